"""What a visitor asks of a setup's concept index, and what the page shows for it.

An inquiry outlives a change of picture, classes or levers: which components match what was asked for, and which one's
page is open, depend on the setup alone. What they do here, in the present picture, is told anew at every change.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace

from ..concepts.effects import SteeringEffects
from ..concepts.index import ConceptIndex
from ..concepts.search import Match
from ..methods.token_maps import token_maps
from ..pictures.read import Source
from ..views import components as pages
from ..views.reference_strip import STRIP, Face
from ..workbench import Workbench
from .visit import Visit

FOUND = 12
"""Components listed for a search."""
TINY = 1
"""Reference pictures of a component that is shown in passing."""


@dataclass(frozen=True)
class Inquiry:
    """What was asked of one setup's components."""

    setup: str = ""
    """The setup: components of another one are others."""
    asked: str = ""
    """What was searched for, for the reader."""
    matches: tuple[Match, ...] | None = None
    """What was found, the best first; None before anything was searched for."""
    opened: int | None = None
    """The component whose page is open."""
    openings: int = 0
    """How many pages were opened, in any setup: the page tells an opening from a drawing anew by it."""


@dataclass(frozen=True)
class Pushed:
    """What a component was found to push, and for which question."""

    question: Hashable
    """The setup, the component, and the classes with their wording."""
    pushes: SteeringEffects
    """The answer."""


def of(v: Visit, inquiry: Inquiry) -> Inquiry:
    """The inquiry as far as it is about the visit's setup."""
    return inquiry if inquiry.setup == v.setup else Inquiry(v.setup, openings=inquiry.openings)


def search(bench: Workbench, v: Visit, inquiry: Inquiry, words: str, picture: Source | None) -> Inquiry:
    """The components that fit words, or a picture where one is given. Raises UserError for what cannot be asked."""
    mine = of(v, inquiry)
    if picture is not None:
        matches = bench.matches_picture(bench.open(picture).embedding, FOUND)
        return replace(mine, asked="your picture", matches=matches)
    if words.strip():
        return replace(mine, asked=f"“{words.strip()}”", matches=bench.matches_words(words.strip(), FOUND))
    return replace(mine, asked="", matches=None)


def open_page(v: Visit, inquiry: Inquiry, component: int) -> Inquiry:
    """With the page of that component open."""
    mine = of(v, inquiry)
    return replace(mine, opened=component, openings=mine.openings + 1)


# ---- what is shown


def faces(bench: Workbench, components: Iterable[int], most: int = STRIP) -> Mapping[int, Face]:
    """How components are recognised; nothing without an index."""
    if bench.index is None:
        return {}
    return {c: Face(bench.concept(c), bench.activating_examples(c, "top", most), bench.family(c)) for c in components}


def on_cards(bench: Workbench, v: Visit) -> Mapping[int, Face]:
    """Of the components whose cards are shown."""
    return faces(bench, (part.component for part in v.parts))


def show_found(bench: Workbench, v: Visit, inquiry: Inquiry) -> str:
    """The answer to the search, as it stands for the present picture."""
    mine = of(v, inquiry)
    if bench.index is None:
        return ""
    if mine.matches is None:
        return pages.asked_nothing()
    return pages.found(v, mine.asked, mine.matches, faces(bench, (match.component for match in mine.matches)))


def found_faces(bench: Workbench, v: Visit, inquiry: Inquiry) -> str:
    """The pictures of `show_found`: a style sheet, which changes with the search alone."""
    matches = of(v, inquiry).matches or ()
    return pages.found_sheet(faces(bench, (match.component for match in matches)))


def page_faces(bench: Workbench, v: Visit, inquiry: Inquiry) -> str:
    """The pictures of `show_page`: a style sheet, which changes with the component alone."""
    component = of(v, inquiry).opened
    if bench.index is None or component is None:
        return ""
    return pages.page_sheet(_page(bench, bench.index, component))


def show_page(bench: Workbench, v: Visit, inquiry: Inquiry, pushed: Pushed | None) -> str:
    """The page of the component that is open; what it pushes, where `pushed` is about that."""
    mine = of(v, inquiry)
    if bench.index is None:
        return pages.no_index(bench.card.title, bench.setup.index_trouble)
    if mine.opened is None:
        return pages.no_page()
    known = pushed.pushes if pushed is not None and pushed.question == _question(v, mine.opened) else None
    return pages.component_page(v, _page(bench, bench.index, mine.opened), known, mine.openings)


def unmeasured(bench: Workbench, v: Visit, inquiry: Inquiry, pushed: Pushed | None) -> bool:
    """Whether a page is open whose component's pushes are still to be measured."""
    component = of(v, inquiry).opened
    if bench.index is None or component is None or bench.concept(component).dead:
        return False
    return pushed is None or pushed.question != _question(v, component)


def measure(bench: Workbench, v: Visit, inquiry: Inquiry) -> Pushed:
    """What the component that is open pushes. It takes a moment: a page that is `unmeasured` is shown before."""
    component = of(v, inquiry).opened
    assert component is not None
    return Pushed(_question(v, component), bench.steering_effects(component, v.classes, v.templates))


def show_look(bench: Workbench, v: Visit) -> str:
    """Where the model looks in the present picture."""
    seen = token_maps(v.trace, v.attribution, [part.component for part in v.parts])
    labels: dict[int, str] = {}
    if bench.index is not None:  # of those in sight alone: of a dense dictionary ten thousand fire
        shown = {one.component for one in seen.maps} | {j for firing in seen.tokens for j, _, _ in firing}
        labels = {one.component: one.label for one in map(bench.concept, sorted(shown)) if one.label is not None}
    return pages.look(v, seen, labels, bench.index is not None)


def _question(v: Visit, component: int) -> Hashable:
    return v.setup, component, v.classes, v.templates


def _page(bench: Workbench, index: ConceptIndex, component: int) -> pages.Page:
    near, coactivated = (bench.neighbours(component, by) for by in ("direction", "firing"))
    family = bench.family(component)
    relatives = {n.component for n in (*near, *coactivated)} | set(family.members if family else ()) - {component}
    most = max(found.picture.shape[1] for found in (index.top, index.mean, index.mid))
    top, mean, usual = (bench.activating_examples(component, kind, most) for kind in ("top", "mean", "mid"))
    return pages.Page(
        face=Face(bench.concept(component), top, family),
        usual=usual,
        mean=mean,
        histogram=bench.spread(component),
        near=near,
        coactivated=coactivated,
        faces=faces(bench, sorted(relatives), TINY),
        source=index.manifest,
    )
