"""Components tab: the search for components by words or a picture, and the page of one of them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypedDict

import gradio as gr

from ..concepts.index import ConceptIndex
from ..session import component_search, steering_effects
from ..session.cancellation import LatestOnly
from ..session.steering_effects import KnownEffects
from ..session.typed import Text
from ..session.visit import Visit
from ..views import components as components_view
from ..views import frame
from ..views.reference_strip import Face
from ..workbench import Workbench
from . import widgets
from .context import Context
from .faces import faces
from .lanes import Lane
from .replies import Besides, Change, Listener, Redraw, Replies
from .wire import OpenTab

NAME = "Components"
"""Of the tab, on the page."""
COMPONENTS = "components"
"""Of the tab, among Gradio's."""
TINY = 1
"""Reference pictures of a component that is shown in passing."""


class ComponentAnswers(TypedDict, total=False):
    """What components do in the present picture, part by part."""

    found: str
    """HTML: the answer to the search."""
    page: str
    """HTML: the page of the one that is open."""
    effects: KnownEffects | None
    """What that one pushes, as far as it was measured."""


@dataclass(frozen=True)
class ComponentsTab:
    """Its parts."""

    tab: gr.Tab
    searching: gr.Row
    words_for: gr.Textbox
    picture_for: gr.File
    said: gr.HTML
    found_sheet: gr.HTML
    """The pictures of `found`: a style sheet, which changes with the search alone."""
    page_sheet: gr.HTML
    """The pictures of `page`: a style sheet, which changes with the component alone."""
    found: gr.HTML
    page: gr.HTML
    effects: gr.State
    """KnownEffects | None."""
    latest: gr.State
    """LatestOnly, of what follows a change."""


def build(context: Context, first: Visit) -> ComponentsTab:
    """Its layout."""
    with gr.Tab(NAME, id=COMPONENTS, render_children=True) as tab:
        with gr.Row(elem_id="search", visible=context.bench(first).index is not None) as searching:
            words_for = gr.Textbox(
                label="Find components by words", placeholder="written text", elem_id="words-for", submit_btn="Search",
                scale=3, min_width=260,
            )  # fmt: skip
            picture_for = gr.File(label="or by a picture", height=132, elem_id="picture-for", scale=2, min_width=220)
        said = widgets.notice_place("said-search")
        found_sheet, page_sheet = widgets.html(elem_id="found-sheet"), widgets.html(elem_id="component-sheet")
        found = widgets.widget("found", show_found(context, first), script="cards")
        page = widgets.widget("component", show_page(context, first, None), script="cards")
        effects, latest = gr.State(None), gr.State(LatestOnly())  # beside the tabs, they would be counted as tabs
    return ComponentsTab(
        tab, searching, words_for, picture_for, said, found_sheet, page_sheet, found, page, effects, latest
    )  # fmt: skip


def redraws(tab: ComponentsTab) -> list[Redraw]:
    """What it draws anew, and since when; what was found and opened follows by `following`, where it is in sight."""
    return [Redraw(tab.searching, Change.SETUP, lambda context, v: gr.Row(visible=context.bench(v).index is not None))]


def listen(tab: ComponentsTab, replies: Replies, slow: Lane) -> None:
    """Its listeners, but for the presses on components (see press.py)."""
    shown = [
        Besides(tab.found, lambda context, _, v, *_read: show_found(context, v)),
        Besides(tab.found_sheet, lambda context, _, v, *_read: show_found_sheet(context, v)),
        Besides(tab.said, lambda *_: frame.notice()),
    ]
    no_picture = Besides(tab.picture_for, lambda *_: None)
    by_words = replies.step(search_words, None, tab.words_for, notices=[tab.said], besides=[*shown, no_picture])
    by_picture = replies.step(search, None, tab.words_for, tab.picture_for, notices=[tab.said], besides=shown)
    tab.words_for.submit(*by_words, **slow)
    gr.on([tab.picture_for.upload, tab.picture_for.clear], *by_picture, **slow)


def following(tab: ComponentsTab, replies: Replies, open_tab: gr.Textbox) -> Listener:
    """What follows every change, where the tab is in sight."""
    shows = {"found": tab.found, "page": tab.page, "effects": tab.effects}
    return replies.stream(follow, shows, tab.effects, tab.latest, hears=OpenTab, written_in=open_tab)


def show_found(context: Context, v: Visit) -> str:
    """The answer to the search, as it stands for the present picture."""
    bench = context.bench(v)
    if bench.index is None:
        return ""
    if v.search.matches is None:
        return components_view.asked_nothing()
    return components_view.found(v, v.search.asked, v.search.matches, _found_faces(bench, v))


def show_found_sheet(context: Context, v: Visit) -> str:
    """The pictures of that."""
    return components_view.found_sheet(_found_faces(context.bench(v), v))


def show_page(context: Context, v: Visit, known: KnownEffects | None) -> str:
    """The page of the component that is open; what it pushes, where `known` is about that."""
    bench, component = context.bench(v), v.search.opened
    if bench.index is None:
        return components_view.no_index(bench.card.title, bench.setup.index_trouble)
    if component is None:
        return components_view.no_page()
    effects = steering_effects.known_for(v, component, known)
    return components_view.component_page(v, _page(bench, bench.index, component), effects, v.search.openings)


def show_page_sheet(context: Context, v: Visit) -> str:
    """The pictures of that."""
    bench, component = context.bench(v), v.search.opened
    if bench.index is None or component is None:
        return ""
    return components_view.page_sheet(_page(bench, bench.index, component))


def search_words(context: Context, v: Visit, words: Text) -> Visit:
    """The components that match words; a picture that was dropped before is asked about no more."""
    return search(context, v, words, None)


def search(context: Context, v: Visit, words: Text, picture: str | None) -> Visit:
    """The components that match words, or a picture where one was dropped."""
    return replace(v, search=component_search.search(context.bench(v), v.search, words, picture))


def follow(
    context: Context, v: Visit, opened: OpenTab, known: KnownEffects | None, latest: LatestOnly[None]
) -> Iterator[ComponentAnswers]:
    """What components do in the present picture, where that is in sight; what one pushes is measured last."""
    wanted_still = latest.begin(opened.moment)
    if opened.tab != NAME or not wanted_still():
        return
    yield {"found": show_found(context, v), "page": show_page(context, v, known), "effects": known}
    bench = context.bench(v)
    if not steering_effects.unmeasured(bench, v, known):
        return
    known = steering_effects.measure(bench, v)
    if wanted_still():
        yield {"effects": known, "page": show_page(context, v, known)}


def _found_faces(bench: Workbench, v: Visit) -> dict[int, Face]:
    return dict(faces(bench, (match.component for match in v.search.matches or ())))


def _page(bench: Workbench, index: ConceptIndex, component: int) -> components_view.Page:
    near, coactivated = (bench.neighbours(component, by) for by in ("direction", "firing"))
    family = bench.family(component)
    relatives = {n.component for n in (*near, *coactivated)} | set(family.members if family else ()) - {component}
    most = max(found.picture.shape[1] for found in (index.top, index.mean, index.mid))
    top, mean, usual = (bench.activating_examples(component, kind, most) for kind in ("top", "mean", "mid"))
    return components_view.Page(
        face=Face(bench.concept(component), top, family),
        usual=usual,
        mean=mean,
        histogram=bench.histogram(component),
        near=near,
        coactivated=coactivated,
        faces=faces(bench, sorted(relatives), TINY),
        source=index.manifest,
    )
