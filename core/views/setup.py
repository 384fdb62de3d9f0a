"""A setup -> HTML: its name in the list, how far its loading is, and what is known of it."""

from math import isfinite

from ..setups.catalog import Location, SetupSpec
from ..setups.loading import Loading, Setup
from ..words import SCOPES, decimal
from .frame import notice
from .html import escaped


def setup_choice(card: SetupSpec) -> str:
    """A setup in the list of them."""
    return card.title if card.verified else f"{card.title} · unverified"


def loading(title: str, step: Loading) -> str:
    """How far a setup is on its way."""
    done = ""
    if step.total:
        size = (
            f"{step.done / 1e6:,.0f} of {step.total / 1e6:,.0f} MB" if step.in_bytes else f"{step.done} of {step.total}"
        )
        done = f""" <progress max="{step.total}" value="{step.done}"></progress> <small>{size}</small>"""
    return f"""<div role="status"><p class="notice quiet"><b>{escaped(title)}.</b> {escaped(step.said)}{done}
 <small>The page goes on with the present setup meanwhile.</small></p></div>"""


def setup_line(card: SetupSpec) -> str:
    """What a visitor should know before trusting the setup, where it is named."""
    return f"""<p class="setup-line">{escaped(card.note)}</p>"""


def setup_page(setup: Setup) -> str:
    """What is known of a setup: what it is, where it came from, and how its dictionary did on the examples."""
    card, dictionary = setup.card, setup.dictionary
    depth = f"after layer {card.layer} of 0 to {setup.clip.n_layers - 1}"
    facts = [
        ("Good for", escaped(card.good_for)),
        ("CLIP", _place(card.clip, setup.commits.get("clip"))),
        ("Dictionary", _place(card.dictionary, setup.commits.get("dictionary"))),
        ("Reads", f"{dictionary.n_components:,} components of {SCOPES[card.scope].only}, {depth}"),
        ("Encodes", escaped(setup.formula)),
        ("Standardised by", escaped(setup.statistics.summary) if setup.statistics else ""),
        ("Concept index", _index_words(setup)),
        ("Licence", escaped(card.licence)),
        ("More", _link(card.paper, card.paper) if card.paper else ""),
    ]
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts if value)
    unverified = notice(
        "Unverified: its reader is tested on files made in its layout, but nobody has reported loading it from where "
        "it is published. The figures below are this load's own.",
        tone="warn",
    )
    return f"""<div class="about"><div>{"" if card.verified else unverified}<dl class="setup-facts">{listed}</dl></div>
<div>{_health(setup)}</div></div>"""


def _index_words(setup: Setup) -> str:
    if setup.index is None:
        return escaped(setup.index_trouble or "none yet: its components have no pictures")
    made_of = setup.index.manifest
    return escaped(f"over {made_of.pictures:,} pictures of {made_of.source.get('name', 'a collection')}")


def _health(setup: Setup) -> str:
    if setup.health is None:
        return ""
    odd = notice(*(doubt.sentence for doubt in setup.health.doubts), tone="warn")
    tried = "".join(
        f"<li>{escaped(formula)}: {_explained(explained)}{', taken' * (formula == setup.formula)}</li>"
        for formula, explained in setup.alternatives.items()
    )
    choice = f"<p>Its file does not say how it encodes. Tried on photographs:</p><ul>{tried}</ul>" if tried else ""
    source = setup.card.published.source
    rows = "".join(
        f"""<tr><th scope="row">{escaped(row.label)} <small>{escaped(row.remark)}</small></th>
<td>{_figure(row.ours, row.unit)}</td><td>{_figure(row.published, row.unit)}</td></tr>"""
        for row in setup.health.rows(setup.card.published)
    )
    heads = f"""<th scope="col">Checked when it was loaded</th><th scope="col">here</th>
<th scope="col">published{f" <small>{escaped(source)}</small>" if source else ""}</th>"""
    return f"""{odd}<p class="told">{escaped(setup.health.said)}</p>{choice}
<div class="scroll"><table class="health"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"""


def _explained(value: float) -> str:
    return f"explained variance {decimal(value)}" if isfinite(value) else "numbers that are not finite"


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{shown.replace('-', '−')} {escaped(unit)}"


def _place(place: Location, commit: str | None) -> str:
    if place.repo is None:
        return escaped(f"a folder, {place.folder.name if place.folder else place}")
    at = f" <small>at {escaped(commit[:10])}</small>" if commit else ""
    inside = "" if place.file == "." else f" <small>{escaped(place.file)}</small>"
    return _link(f"https://huggingface.co/{place.repo}", place.repo) + inside + at


def _link(address: str, words: str) -> str:
    return f"""<a href="{escaped(address)}" target="_blank" rel="noopener">{escaped(words)}</a>"""
