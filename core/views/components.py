"""Components (SAE latents) -> HTML of the Components tab: the page of one, and the answers to a search.

Reference pictures stand in style sheets of their own (`page_sheet`, `found_sheet`), so that a part that is drawn anew
for another target carries none of them again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from markupsafe import Markup

from ..concepts.component import ActivatingExample, Concept, Histogram, Neighbour
from ..concepts.effects import SteeringEffects
from ..concepts.index import Manifest
from ..concepts.search import Match
from ..pictures.collection import LICENCE
from ..session.visit import Part, Visit
from ..words import count, decimal, signed
from .component import actions, firing, target_words
from .frame import notice
from .glossary import term
from .html import NOTHING, joined, render
from .reference_strip import CHIPPED, STRIP, Face, alignment_words, chip, face_words, named, sheet, strip
from .row import effect_of, map_of, rows

PUSHED = 3
"""Classes listed in each direction."""
TICKS = 5
"""Marks on the histogram's axis, about."""
BY_ATTRIBUTION = (
    "Its strongest pictures are those in which the component speaks most for what the CLIP takes the picture for, by "
    "attribution among the index's words; the numbers are activations."
)
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

    @property
    def concept(self) -> Concept:
        """What the index knows of it."""
        assert self.face.concept is not None
        return self.face.concept


# ---- without an index


def no_index(title: str, trouble: str = "", words: bool = False) -> Markup:
    """What stands there for a setup without a concept index: what is missing, and how to get it.

    `words`: its components are, so that they need no guesses, and are found without one.
    """
    why = Markup("<b>{}</b> ").format(trouble) if trouble else NOTHING
    alone = "" if words else " no-index"
    lacks = f"no reference pictures, {'' if words else 'no guesses, no search, '}no families"
    return Markup("""<p class="empty{}">{}{} has no {}: {}. All else works. To build one from a folder of
 pictures or a data set of the Hub, run <code>{}</code> where this app is installed; <code>--help</code> tells
 how.</p>""").format(alone, why, title, term("concept index"), lacks, BUILD)


def index_to_come(words: bool = False) -> Markup:
    """What stands there while the concept index is made, and has nothing to show yet; `words` as above."""
    return Markup("""<p class="empty{}">The {} of this setup is being made: its first reference pictures come in
 a minute or a few. The top of the page tells how far it is.</p>""").format(
        "" if words else " no-index", term("concept index")
    )


# ---- the page of a component


def no_page() -> Markup:
    """What stands there before a component was opened."""
    told = Markup('<p class="empty">Press a {}’s <b>number</b>, here or in <b>Attribution</b>, to open it.</p>')
    return told.format(term("component"))


def page_sheet(page: Page) -> Markup:
    """The pictures of a component's page."""
    tiny = (face.examples[:1] for face in page.faces.values())
    return sheet(chain(page.face.examples, page.usual, page.mean, *tiny))


def component_page(visit: Visit, page: Page, effects: SteeringEffects | None, opening: int = 0) -> Markup:
    """All that is known of one component; its pictures are in `page_sheet`. `effects` None: still being measured.

    `opening` counts the pages that were opened, for components.js, which brings a newly opened one into sight.
    """
    c, family = page.concept, page.face.family
    part = visit.part(c.component)
    others = [] if family is None else [member for member in family.members if member != c.component]
    return render(
        "component",
        page=page,
        part=part,
        map=map_of(visit, c.component),
        opening=opening,
        guess=named(page.face),
        words=face_words(c),
        actions=actions(c.component, page.face),
        firing=firing(part),
        target=target_words(visit),
        strip=strip,
        histogram=_histogram(page.histogram, part, page.source),
        alignment=alignment_words,
        family=None if family is None else len(family.members),
        members=[chip(member, NOTHING, page.faces.get(member)) for member in others[:CHIPPED]],
        rest=[chip(member, NOTHING, None) for member in others[CHIPPED:]],
        near=_neighbours(page.near, page.faces),
        coactivated=_neighbours(page.coactivated, page.faces),
        effects=_steering_effects(effects),
        source=_source(page.source),
    )


def _neighbours(near: Sequence[Neighbour], faces: Mapping[int, Face]) -> list[Markup]:
    note = Markup("<small>{}</small>")
    return [chip(one.component, note.format(decimal(one.value)), faces.get(one.component)) for one in near]


def _histogram(histogram: Histogram | None, part: Part, source: Manifest) -> Markup:
    """Bars over a logarithmic axis, and where the visit's picture stands on it."""
    if histogram is None:
        return NOTHING
    counts, edges = histogram.counts, histogram.edges.astype(np.float64)
    here = ""
    if part.peak > 0:
        # The axis reaches as far as the visit's own picture does.
        edges = np.append(edges, max(edges[-1], part.peak)) if part.peak > edges[-1] else edges
        here = f"your picture’s strongest: {part.peak:.3g}"

    def place(value: float) -> float:
        share = (np.log(value) - np.log(edges[0])) / (np.log(edges[-1]) - np.log(edges[0]))
        return float(np.clip(100 * share, 0, 100))

    most = int(counts.argmax())
    return render(
        "histogram",
        low=edges[0],
        high=edges[len(counts)],
        most=(edges[most], edges[most + 1]),
        here=here,
        bars=[
            (place(low), place(high) - place(low), 100 * n / counts.max())
            for low, high, n in zip(edges[:-1], edges[1:], counts.tolist(), strict=False)
        ],
        mark=place(part.peak) if here else None,
        ticks=[(place(value), value) for value in _ticks(edges)],
        total=int(counts.sum()),
        tokens=source.tokens,
    )


def _ticks(edges: np.ndarray) -> list[float]:
    """Round numbers (such as 1, 2, 5 times a power of ten) within the edges, about TICKS of them."""
    powers = np.arange(np.floor(np.log10(edges[0])), np.ceil(np.log10(edges[-1])) + 1)
    for steps in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [float(s * 10.0**p) for p in powers for s in steps if edges[0] <= s * 10.0**p <= edges[-1]]
        if len(found) <= TICKS + 2:
            break
    return found


def _source(source: Manifest) -> str:
    """Where the index is from."""
    said = source.source
    details = ", ".join(str(said[key]) for key in ("kind", "split") if said.get(key))
    of = f"{said.get('name', 'a collection')}{f' ({details})' if details else ''}"
    licence = f" Their licence: {said[LICENCE]}." if said.get(LICENCE) else ""
    by = f" {BY_ATTRIBUTION}" if source.by == "attribution" else ""
    return f"Concept index over {source.pictures:,} pictures of {of}.{licence}{by}"


def _steering_effects(effects: SteeringEffects | None) -> Markup:
    """Classes it pushes up and down, on a blank picture and on its references."""
    if effects is None:
        return Markup('<p class="waiting" role="status">Measuring on a grey and on its reference pictures …</p>')
    several = len(effects.classes) > 1
    blank, references, error = (
        (effects.relative_on_blank, effects.relative_on_references, effects.relative_error)
        if several
        else (effects.on_blank, effects.on_references, effects.error)
    )
    n = count(effects.n_references, "reference picture")
    halves = [(f"Set to {effects.strength:.3g} on a grey picture", "everywhere", _most_moved(effects.classes, blank))]
    if effects.n_references:
        moved = _most_moved(effects.classes, references, error)
        halves.append((f"Suppressed on its {n}", "mean ± standard error", moved))
    return render("steering_effects", halves=halves, relative=several)


def _most_moved(
    classes: Sequence[str], change: np.ndarray, error: np.ndarray | None = None
) -> list[tuple[str, float, float | None]]:
    """The classes that move most, up and down: name, change and its standard error in logits, where that is known."""
    order = np.argsort(-change, kind="stable")
    shown = [*(k for k in order[:PUSHED] if change[k] > 0), *(k for k in order[-PUSHED:] if change[k] < 0)]
    known = [None if error is None or np.isnan(error[k]) else float(error[k]) for k in shown]
    return [(classes[k], float(change[k]), off) for k, off in zip(shown, known, strict=True)]


# ---- asked by words or by a picture


def examples(words: Sequence[str]) -> Markup:
    """Searches to press (search.js)."""
    button = Markup('<button type="button" class="act" data-ask="{words}">{words}</button>')
    offered = joined(button.format(words=one) for one in words)
    return Markup('<p class="asks" role="group" aria-label="Example searches">{}</p>').format(offered)


def found_sheet(faces: Mapping[int, Face]) -> Markup:
    """The pictures of a search's answer."""
    return sheet(chain.from_iterable(face.examples[:STRIP] for face in faces.values()))


def found(visit: Visit, asked: str, matches: Sequence[Match], faces: Mapping[int, Face]) -> Markup:
    """The components that match a search, the best first; `asked` in words. Their pictures are in `found_sheet`."""
    if not matches:
        return notice("No component of this index ever fired, so there is none to find.")
    parts = [visit.part(match.component) for match in matches]
    note = Markup('<small class="match">match {}</small>')
    return render(
        "found",
        asked=asked,
        n=len(matches),
        active=sum(bool(part.peak) for part in parts),
        target=target_words(visit),
        rows=rows(
            visit,
            {part.component: effect_of(part) for part in parts},
            faces,
            notes={match.component: note.format(signed(match.score, 3)) for match in matches},
        ),
    )
