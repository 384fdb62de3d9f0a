"""Components as the visitor meets them: the page of one, the answers to a search, and where the model looks.

Plain values in, HTML out. Reference pictures stand in style sheets of their own (`page_sheet`, `found_sheet`), so that
a part that is drawn anew after a move of a lever carries none of them again.
"""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from ..concepts.component import ActivatingExample, Histogram, Neighbour
from ..concepts.effects import SteeringEffects
from ..concepts.index import Manifest
from ..concepts.search import Match
from ..methods.token_maps import TokenMaps
from ..session.visit import Part, Visit
from ..words import count, decimal, signed
from .component import actions, firing, heat_of, target_words
from .frame import notice
from .html import escaped, flag, sign
from .images import picture_uri
from .reference_strip import CHIPPED, Face, alignment_words, chip, face_words, guess, sheet, strip

PUSHED = 3
"""Classes listed in each direction."""
FOUND_SHOTS = 3
"""Reference pictures beside each component that was found."""
TICKS = 5
"""Marks on the histogram's axis, about."""
BUILD = "python -m core.indexing"
"""The command that builds a concept index."""


@dataclass(frozen=True)
class Page:
    """What the page of one component shows, besides what it pushes."""

    face: Face
    """Its label guesses, its strongest reference pictures, its family."""
    usual: tuple[ActivatingExample, ...]
    """Reference pictures from around the median of its pictures."""
    mean: tuple[ActivatingExample, ...]
    """Reference pictures by mean activation over the tokens in scope."""
    histogram: Histogram | None
    """How strongly it fires, over the tokens of the collection; None for one that never fired."""
    near: tuple[Neighbour, ...]
    """The nearest by direction."""
    coactivated: tuple[Neighbour, ...]
    """The nearest by co-activation."""
    faces: Mapping[int, Face]
    """Of the neighbours and the first members of the family (CHIPPED of them): one picture of each is shown."""
    source: Manifest
    """What the index was made of."""


# ---- without an index


def no_index(title: str, trouble: str = "") -> str:
    """What stands there for a setup without a concept index: what is missing, and how to get it."""
    why = f"<b>{escaped(trouble)}</b> " if trouble else ""
    return f"""<p class="empty">{why}{escaped(title)} has no concept index, so its components are numbers without faces:
 no reference pictures, no label guesses, no search by words, no families. All else works. To build one from a folder of
 pictures or a data set of the Hub, run <code>{BUILD}</code> where this app is installed; <code>--help</code> tells
 how.</p>"""


# ---- the page of a component


def no_page() -> str:
    """What stands there before a component was opened."""
    return """<p class="empty">Press <b>More</b> on a component, here or in <b>Attribution</b>, to see what it fires
 for, how often, what is like it and what it pushes.</p>"""


def page_sheet(page: Page) -> str:
    """The pictures of a component's page."""
    tiny = (face.shots[:1] for face in page.faces.values())
    return sheet(chain(page.face.shots, page.usual, page.mean, *tiny))


def component_page(visit: Visit, page: Page, pushes: SteeringEffects | None, opening: int = 0) -> str:
    """All that is known of one component; its pictures are in `page_sheet`. `pushes` None: still being measured.

    `opening` counts the pages that were opened, for cards.js, which brings a newly opened one into sight.
    """
    c = page.face.concept
    part = visit.part(c.component)
    seen = pushed = ""
    if not c.dead:
        seen = f"""<div class="evidences">
{_evidence("Where it fires most", "its strongest", page.face, page.face.shots)}
{_evidence("Where it fires as usual", "around the median", page.face, page.usual)}
{_evidence("Where it fires all over", "by mean activation", page.face, page.mean)}</div>
<div class="sides">{_histogram(page.histogram, part, page.source)}{_guesses(page.face)}</div>"""
        pushed = f"<section><h4>What it pushes</h4>{_pushes(pushes)}</section>"
    back = """<button type="button" class="act" data-back title="To where this was opened from">↑ Back</button>"""
    return f"""<section class="sheet component" style="--picture:url({picture_uri(visit.trace.crop, 160)})"
 aria-label="Component {c.component}" data-opening="{opening}" tabindex="-1"><div class="about-it"><div>
<h3>Component #{c.component} {guess(c)}</h3>{face_words(c)}</div>
<p class="actions">{actions(c.component, visit.edit, page.face, more=False)}{back}</p></div>
{_here(visit, part)}{seen}{_relatives(page)}{pushed}
<p class="legend">{_source(page.source)} The pictures are the evidence; a label is a guess.</p>
<p class="actions">{back}</p></section>"""


def _here(visit: Visit, part: Part) -> str:
    """What it does in the visit's picture. As tall when it does nothing: what stands below keeps its place."""
    said = "In your picture it is <b>not active</b>."
    if part.peak:
        tone, shape = sign(part.total)
        said = f"""In your picture: {firing(part)}. To {target_words(visit)} it contributes <b class="sum {tone}"><span
 aria-hidden="true">{shape}</span> {signed(part.total)} logits</b>."""
    return f"""<div class="here">{heat_of(part, "small")}<p class="told">{said}</p></div>"""


def _evidence(title: str, which: str, face: Face, shots: Sequence[ActivatingExample]) -> str:
    if not shots:
        return ""
    values = [shot.value for shot in shots]
    return f"""<section><h4>{title} <small>{which}: {max(values):.3g} to {min(values):.3g}</small></h4>
{strip(face, shots, which)}</section>"""


def _histogram(histogram: Histogram | None, part: Part, source: Manifest) -> str:
    """Bars over a logarithmic axis, and where the visit's picture stands on it."""
    if histogram is None:
        return ""
    counts, edges = histogram.counts, histogram.edges.astype(np.float64)
    here = mark = ""
    if part.peak > 0:
        # The axis reaches as far as the visit's own picture does.
        edges = np.append(edges, max(edges[-1], part.peak)) if part.peak > edges[-1] else edges
        here = f"your picture’s strongest: {part.peak:.3g}"

    def place(value: float) -> float:
        share = (np.log(value) - np.log(edges[0])) / (np.log(edges[-1]) - np.log(edges[0]))
        return float(np.clip(100 * share, 0, 100))

    if here:
        mark = f'<b class="mark" style="left:{place(part.peak):.1f}%"></b>'
    tallest = counts.max()
    bars = "".join(
        f'<i style="left:{place(low):.1f}%;width:{place(high) - place(low):.1f}%;height:{100 * n / tallest:.1f}%"></i>'
        for low, high, n in zip(edges[:-1], edges[1:], counts.tolist(), strict=False)
    )
    ticks = "".join(f'<span style="left:{place(v):.1f}%">{v:g}</span>' for v in _ticks(edges))
    most = int(counts.argmax())
    total = int(counts.sum())
    return f"""<section><h4>How strongly it fires</h4><figure class="histogram"><div class="plot" role="img"
 aria-label="Histogram of its activations: from {edges[0]:.2g} to {edges[len(counts)]:.2g}, most often between
 {edges[most]:.2g} and {edges[most + 1]:.2g}; {here}">{bars}{mark}</div>
<div class="axis" aria-hidden="true">{ticks}</div>
<figcaption>activation, on a logarithmic axis; height: how many of the {total:,} tokens at which it fires, of
 {source.tokens:,}{f' · <span class="key mark"></span>{here}' if here else ""}</figcaption></figure></section>"""


def _ticks(edges: np.ndarray) -> list[float]:
    """Round numbers (such as 1, 2, 5 times a power of ten) within the edges, about TICKS of them."""
    powers = np.arange(np.floor(np.log10(edges[0])), np.ceil(np.log10(edges[-1])) + 1)
    for steps in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [float(s * 10.0**p) for p in powers for s in steps if edges[0] <= s * 10.0**p <= edges[-1]]
        if len(found) <= TICKS + 2:
            break
    return found


def _guesses(face: Face) -> str:
    if not face.concept.guesses:
        return ""
    rows = "".join(
        f"""<li title="{alignment_words(one)}"><span>“{escaped(one.word)}”</span>
<b>{signed(one.alignment, 3)}</b></li>"""
        for one in face.concept.guesses
    )
    return f"""<section><h4>Label guesses <small>and how well each fits</small></h4>
<ol class="guesses">{rows}</ol>
<p class="legend">Alignment: cosine of the word with its reference pictures, less that of an empty text.</p>
</section>"""


def _relatives(page: Page) -> str:
    """Its family, and its nearest by direction and by co-activation."""
    parts = []
    if page.face.family is not None:
        parts.append(_family(page, page.face.family.members))
    for title, said, near in (
        ("Nearest in direction", "cosine of the two directions", page.near),
        ("Fire in the same pictures", "cosine of their strongest activations over the pictures", page.coactivated),
    ):
        chips = "".join(
            chip(one.component, f"<small>{decimal(one.value)}</small>", page.faces.get(one.component)) for one in near
        )
        parts.append(
            f"""<section><h4>{title} <small>{said}</small></h4><div class="chips">{chips or "none"}</div></section>"""
        )
    return "".join(parts)


def _family(page: Page, members: Sequence[int]) -> str:
    """The members of its family, all of them: those beyond the first few without pictures."""
    others = [member for member in members if member != page.face.concept.component]
    shown = "".join(chip(member, "", page.faces.get(member)) for member in others[:CHIPPED])
    rest = "".join(chip(member, "", None) for member in others[CHIPPED:])
    more = f"""<details><summary>and {len(others) - CHIPPED} more</summary><div class="chips">{rest}</div></details>"""
    said = f"{len(members)} components alike in direction, or firing in the same pictures; one lever can pull them all"
    return f"""<section><h4>Its family <small>{said}</small></h4><div class="chips">{shown}</div>
{more if rest else ""}</section>"""


def _source(source: Manifest) -> str:
    """Where the index is from."""
    said = source.source
    details = ", ".join(escaped(said[key]) for key in ("kind", "split") if said.get(key))
    of = f"{escaped(said.get('name', 'a collection'))}{f' ({details})' if details else ''}"
    return f"From the concept index over {source.pictures:,} pictures of {of}."


def _pushes(pushes: SteeringEffects | None) -> str:
    """Classes it pushes up and down, on a blank picture and on its references."""
    if pushes is None:
        return '<p class="waiting" role="status">Measuring on a grey picture and on its reference pictures …</p>'
    several = len(pushes.classes) > 1
    blank, references, error = (
        (pushes.relative_on_blank, pushes.relative_on_references, pushes.relative_error)
        if several
        else (pushes.on_blank, pushes.on_references, pushes.error)
    )
    added = _bars(f"Set to {pushes.strength:.3g} on a grey picture", "everywhere", pushes.classes, blank, None)
    n = count(pushes.n_references, "reference picture")
    taken = _bars(f"Suppressed on its {n}", "mean ± standard error", pushes.classes, references, error)
    beyond = ", less the mean change of all classes" if several else ""
    return f"""<div class="halves">{added}{taken if pushes.n_references else ""}</div>
<p class="legend">Change of each class’s logit{beyond}; measured by running the model with and without.</p>"""


def _bars(title: str, small: str, classes: Sequence[str], change: np.ndarray, error: np.ndarray | None) -> str:
    """The classes that move most, up and down, as signed bars in logits."""
    order = np.argsort(-change, kind="stable")
    shown = [*(k for k in order[:PUSHED] if change[k] > 0), *(k for k in order[-PUSHED:] if change[k] < 0)]
    reach = max((abs(float(change[k])) for k in shown), default=1.0)
    rows = "".join(_bar(classes[k], float(change[k]), reach, None if error is None else float(error[k])) for k in shown)
    return f"""<section><h4>{title} <small>{small}</small></h4>
<ul class="pushes">{rows or "<li>No class moves.</li>"}</ul></section>"""


def _bar(name: str, change: float, reach: float, error: float | None) -> str:
    tone, shape = sign(change) if abs(change) >= 0.005 else ("", "")
    off = "" if error is None or np.isnan(error) else f" <small>± {error:.2f}</small>"
    return f"""<li class="{tone}"><span class="name" title="{escaped(name)}">{escaped(name)}</span><span class="both"
 aria-hidden="true"><i style="width:{50 * abs(change) / reach:.0f}%"></i></span><span class="value"><span
 aria-hidden="true">{shape}</span> {signed(change)}{off}</span></li>"""


# ---- asked by words or by a picture


def asked_nothing() -> str:
    """What stands there before a search."""
    return """<p class="empty">Type a few words, such as <b>written text</b>, or drop a picture, and see the components
 whose reference pictures match.</p>"""


def found_sheet(faces: Mapping[int, Face]) -> str:
    """The pictures of a search's answer."""
    return sheet(chain.from_iterable(face.shots[:FOUND_SHOTS] for face in faces.values()))


def found(visit: Visit, asked: str, matches: Sequence[Match], faces: Mapping[int, Face]) -> str:
    """The components that match a search, the best first; `asked` in words. Their pictures are in `found_sheet`."""
    if not matches:
        return notice("No component of this index ever fired, so there is none to find.")
    rows = "".join(_match(match, visit, faces.get(match.component)) for match in matches)
    active = sum(bool(visit.part(match.component).peak) for match in matches)
    heads = ("Component", "Reference pictures", "Match", "In your picture", f"To {target_words(visit)}", "")
    head = "".join(f'<th scope="col" role="columnheader">{words}</th>' for words in heads)
    are = {0: "none of them is", 1: "one of them is"}.get(active, f"{active} of them are")
    return f"""<section class="sheet"><p class="told" role="status">The {count(len(matches), "component")} whose
 reference pictures match {escaped(asked)} best; {are} active in your picture.</p>
<table class="found" role="table"><thead role="rowgroup"><tr role="row">{head}</tr></thead>
<tbody role="rowgroup">{rows}</tbody></table>
<p class="legend">Match: how much nearer the reference pictures are to what you asked for than pictures and words are in
 general, as a difference of cosines. It tells what a component fires for; what it does here is in the columns to its
 right, the last one its predicted contribution to the target. The pictures are the evidence; a label is a guess.</p>
</section>"""


def _match(match: Match, visit: Visit, face: Face | None) -> str:
    part = visit.part(match.component)
    here, does = '<span class="quiet">not active</span>', "–"
    if part.peak:
        where = f"on {part.n_patches} of {part.heat.size} patches" if part.n_patches else "at CLS only"
        here = f"<b>active</b>, up to {part.peak:.3g} <small>{where}</small>"
        tone, shape = sign(part.total) if abs(part.total) >= 0.005 else ("", "")
        does = f"""<b class="sum {tone}"><span aria-hidden="true">{shape}</span> {signed(part.total)}</b>
 <small>logits</small>"""
    return f"""<tr role="row"><th scope="row" role="rowheader"><button type="button" class="opens"
 data-component="{match.component}" data-action="open" aria-label="Open component {match.component}"
>#{match.component}</button> {guess(face.concept) if face else ""}</th>
<td role="cell" class="pictures">{strip(face, face.shots[:FOUND_SHOTS], "where it fires most") if face else ""}</td>
<td role="cell" data-head="Match">{signed(match.score, 3)}</td><td role="cell" data-head="In your picture">{here}</td>
<td role="cell" data-head="To the target">{does}</td>
<td role="cell"><p class="actions">{actions(match.component, visit.edit, face, more=False)}</p></td></tr>"""


# ---- where it looks


def look(visit: Visit, maps: TokenMaps, labels: Mapping[int, str], pages: bool) -> str:
    """The picture under its patches, for look.js: which components fire at a patch, where one does, and what for.

    `labels` are the guesses by component; `pages`: whether components have pages to open. Everything the widget shows
    is in `data-looking`.
    """
    rows, columns = visit.trace.grid
    activations = visit.trace.activations
    shown = {one.component for one in maps.maps} | {j for listed in maps.tokens for j, _, _ in listed}
    data = maps.plain() | {
        "first": visit.parts[0].component if visit.parts else -1,
        "firing": np.bincount(activations.token, minlength=activations.n_tokens).tolist(),
        "labels": {str(component): labels[component] for component in sorted(shown) if component in labels},
        "pages": pages,
    }
    # In single quotes, so that the many double ones need not be written as entities.
    told = html.escape(json.dumps(data, separators=(",", ":")), quote=False).replace("'", "&#x27;")
    switch = "".join(
        f"""<button type="button" role="radio" data-view="{view}" aria-checked="{flag(not k)}" tabindex="{-k}"
>{view.capitalize()}</button>"""
        for k, view in enumerate(("activation", "attribution"))
    )
    cls = """<button type="button" class="all" data-cls aria-pressed="false"
 title="The token the prediction is read from">CLS</button>"""
    return f"""<section class="sheet look" data-shown="activation" data-looking='{told}'
 style="--picture:url({picture_uri(visit.trace.crop)})"><h3>Where it looks</h3>
<div class="choice" role="radiogroup" aria-label="Map shown">{switch}</div>
<div class="maps">{_map("activation", "Activation: where it fires", rows, columns)}
{_map("attribution", f"Attribution: what it contributes to {target_words(visit)}", rows, columns)}
<div class="list"><p class="where"><b class="here" aria-live="polite"></b>{cls if data["firing"][0] else ""}</p>
<ul class="firing" aria-label="Components firing there"></ul></div></div>
<p class="hint">Point at a patch to see what fires there; click or tap to keep it; arrow keys move. Point at a component
 in the list, or press it, to see its two maps. They are different things: a component may fire where that changes
 nothing for the target.</p></section>"""


def _map(kind: str, title: str, rows: int, columns: int) -> str:
    return f"""<figure class="{kind}"><figcaption><b>{title}</b></figcaption><div class="grid" role="grid"
 aria-label="Patches, {kind}" style="--cols:{columns};--rows:{rows}"></div><output></output></figure>"""
