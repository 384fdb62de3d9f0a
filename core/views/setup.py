"""A setup -> HTML: its name in the list, how far its loading is, and what is known of it."""

from math import isfinite

from markupsafe import Markup

from ..pictures.collection import LICENCE
from ..setups.catalog import Location, SetupSpec
from ..setups.loading import Loading, Setup
from ..setups.verified import LeversAtWork, LeverTrial
from ..words import MINUS, NONE, decimal, listed
from .frame import notice
from .glossary import term
from .html import NOTHING, render

PROBABILITIES = (
    "a sigmoid of each logit, for every class alone: they need not add up to 100 %; beside them, a softmax over your "
    "classes"
)
"""What those of a model mean that judges each class alone."""


def setup_name() -> Markup:
    """What the list of setups is of."""
    return Markup('<p class="setup-name">{}</p>').format(term("setup", "Setup"))


def setup_choice(card: SetupSpec) -> str:
    """A setup in the list of them."""
    return card.title if card.verified else f"{card.title} · unverified"


def loading(title: str, step: Loading) -> Markup:
    """How far a setup is that the visitor chose."""
    return Markup('<div role="status">{}</div>').format(
        _loading(f"{title}.", step, "The present setup answers meanwhile.")
    )


def loading_for_all(title: str, present: str, step: Loading | None) -> Markup:
    """How far the setup is that the page is meant to open with, while `present` answers (opening.js)."""
    return Markup("<div data-loading>{}</div>").format(
        _loading(f"{title} is loading.", step, f"{present} answers meanwhile.")
    )


def loading_for_view(title: str, step: Loading) -> Markup:
    """How far the setup is that a link names, or a page that was here before."""
    return Markup('<div role="status">{}</div>').format(
        _loading(f"{title} is loading.", step, "What you opened comes with it.")
    )


def ready(title: str) -> Markup:
    """That the setup is there which the page is meant to open with, for somebody who began before (opening.js)."""
    return Markup("""<div role="status"><p class="notice quiet"><b>{}</b> is loaded and checked.
<button type="button" class="act" data-take-ready>Ask it the same</button></p></div>""").format(title)


def _loading(title: str, step: Loading | None, meanwhile: str) -> Markup:
    said, done = NOTHING, NOTHING
    if step is not None:
        said = Markup(" {} …").format(step.said)
    if step is not None and step.total:
        size = (
            f"{step.done / 1e6:,.0f} of {step.total / 1e6:,.0f} MB" if step.in_bytes else f"{step.done} of {step.total}"
        )
        done = Markup(' <progress max="{}" value="{}"></progress> <small>{}.</small>').format(
            step.total, step.done, size
        )
    return Markup("""<p class="notice quiet"><b>{}</b>{}{} <small>{}</small></p>""").format(
        title, said, done, meanwhile
    )


def setup_line(card: SetupSpec) -> Markup:
    """What a visitor should know before trusting the setup, where it is named."""
    return Markup('<p class="setup-line">{}</p>').format(card.note)


def setup_page(setup: Setup) -> Markup:
    """What is known of a setup: what it is, where it came from, and how its dictionary did on the examples."""
    card, dictionary, health = setup.card, setup.dictionary, setup.health
    levers = None if card.verification is None else card.verification.levers
    place = setup.clip.place
    reads = f"{place.tokens_words(card.scope).only}: {place.words(setup.clip.n_layers)}"
    facts: list[tuple[Markup | str, Markup | str]] = [
        ("Good for", card.good_for),
        ("CLIP", _place(card.clip, setup.commits.get("clip"))),
        (term("dictionary", "Dictionary"), _place(card.dictionary, setup.commits.get("dictionary"))),
        ("Reads", f"{dictionary.n_components:,} components of {reads}"),
        ("Encodes", setup.formula),
        ("Probabilities", PROBABILITIES if setup.clip.scoring.per_class else ""),
        ("Standardised by", setup.statistics.summary if setup.statistics else ""),
        ("Concept index", _index_words(setup)),
        ("Verified", _verified_words(card)),
        ("Licence", card.licence),
        ("More", _link(card.paper, card.paper) if card.paper else ""),
    ]
    return render(
        "setup",
        facts=facts,
        unverified=notice(_unverified_words(setup), tone="warn"),
        health=health,
        doubts=notice(*(doubt.sentence for doubt in health.doubts), tone="warn") if health else NOTHING,
        alternatives=setup.alternatives,
        formula=setup.formula,
        explained=_explained,
        source=card.published.source,
        rows=health.rows(card.published) if health else (),
        figure=_figure,
        levers=levers,
        levers_said=NOTHING if levers is None else _levers_words(levers),
        levers_of=NOTHING if levers is None else _pairs_words(levers),
        track=_track,
    )


def _verified_words(card: SetupSpec) -> str:
    """When, and by which versions."""
    found = card.verification
    if found is None or not card.verified:
        return ""
    versions = [f"{name} {found.software[name]}" for name in ("torch", "transformers") if name in found.software]
    return ", ".join([f"{found.date:%Y-%m-%d}", *versions])


def _unverified_words(setup: Setup) -> str:
    """Why the setup is not verified, or not as it was loaded now; empty where it is."""
    card, found = setup.card, setup.card.verification
    if found is None:
        return (
            "Unverified: its reader is tested on files made in its layout; nobody has reported loading the published "
            "ones."
        )
    if not card.verified:
        return f"It failed its verification on {found.date:%Y-%m-%d}. {found.reason}"
    others = [part for part, commit in setup.commits.items() if found.commits.get(part) != commit]
    if not others:
        return ""
    return (
        f"What is published has changed since {found.date:%Y-%m-%d}, when it was verified: this is another commit of "
        f"its {listed(['CLIP' if part == 'clip' else part for part in others])}."
    )


def _track(trial: LeverTrial) -> Markup:
    """From none to all fooled pictures: how many are off the wrong class, with the interval, and how many back."""
    if not trial.off.of:
        return NOTHING
    off, back = (100 * share.k / share.of for share in (trial.off, trial.back))
    return Markup("""<span class="moved"><i class="way" style="left:{:.0f}%;width:{:.0f}%"></i>
<i class="now" style="left:{:.0f}%"></i><i class="was" style="left:{:.0f}%"></i></span>""").format(
        100 * trial.off.low, 100 * (trial.off.high - trial.off.low), off, back
    )


def _pairs_words(levers: LeversAtWork) -> str:
    """On how much the table rests: pairs of one scene are alike, and count for less than their number."""
    return f"{levers.pairs} pictures of {levers.sources} scenes, {levers.fooled_sources} of which fool it with a cue"


def _levers_words(levers: LeversAtWork) -> str:
    """What cues do to the CLIP, and whether levers undo it, in two sentences."""
    fooled, other = levers.fooled, levers.other
    said = (
        f"On {levers.pictures}, where it is right without, the model says what the cue names in {fooled.words}, and "
        f"another wrong class in {other.words}."
    )
    if not levers.cue_speaks:
        return f"{said} So these cues do not speak to it, and levers have nothing to undo."
    more = "takes" if levers.levers_work else "does not take"
    return f"{said} Suppressing at most {levers.levers} components {more} more of them off that class than chance."


def _index_words(setup: Setup) -> str:
    if setup.index is None:
        return setup.index_trouble or "none yet"
    made_of = setup.index.manifest
    licence = made_of.source.get(LICENCE, "")
    return (
        f"over {made_of.pictures:,} pictures of {made_of.source.get('name', 'a collection')}"
        f"{f' (licence: {licence})' if licence else ''}"
        f"{', reference pictures by attribution' if made_of.by == 'attribution' else ''}"
    )


def _explained(value: float) -> str:
    return f"explained variance {decimal(value)}" if isfinite(value) else "numbers that are not finite"


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return NONE
    shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{shown.replace('-', MINUS)} {unit}"


def _place(place: Location, commit: str | None) -> Markup | str:
    if place.repo is None:
        return f"a folder, {place.folder.name if place.folder else place}"
    small = Markup(" <small>{}</small>")
    inside = NOTHING if place.file == "." else small.format(place.file)
    at = small.format(f"at {commit[:10]}") if commit else NOTHING
    return _link(f"https://huggingface.co/{place.repo}", place.repo) + inside + at


def _link(address: str, words: str) -> Markup:
    return Markup('<a href="{}" target="_blank" rel="noopener">{}</a>').format(address, words)
