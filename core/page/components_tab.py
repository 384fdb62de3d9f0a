"""Components tab: the search for components by words or a picture, and the page of one of them."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import TypedDict

import gradio as gr
from gradio.events import Dependency

from ..concepts.index import ConceptIndex
from ..session import component_search, steering_effects
from ..session import visit as session
from ..session.cancellation import LatestOnly
from ..session.steering_effects import KnownEffects
from ..session.typed import Text
from ..session.view_state import content_hash
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
from .wire import AskWords, OpenTab

NAME = "Components"
"""Of the tab, on the page."""
COMPONENTS = "components"
"""Of the tab, among Gradio's."""
Drawn = tuple[Hashable, Hashable]
"""What the answer to the search that stands there is about, and the page of a component."""
NOTHING: Drawn = (None, None)
TINY = 1
"""Reference pictures of a component that is shown in passing."""


class ComponentAnswers(TypedDict, total=False):
    """What components do in the present picture, part by part."""

    found: str
    """HTML: the answer to the search."""
    page: str
    """HTML: the page of the one that is open."""
    drawn: Drawn
    """What both are about from now on."""
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
    drawn: gr.State
    """Drawn."""
    effects: gr.State
    """KnownEffects | None."""
    latest: gr.State
    """LatestOnly, of what follows a change."""


def build(context: Context, first: Visit) -> ComponentsTab:
    """Its layout."""
    with gr.Tab(NAME, id=COMPONENTS, render_children=True) as tab, gr.Row(elem_id="components", equal_height=False):
        with gr.Column(elem_id="finding", min_width=260):
            with gr.Row(elem_id="search", visible=context.bench(first).is_searchable) as searching:
                words_for = gr.Textbox(label="Find components by words", elem_id="words-for", scale=3, min_width=200)
                picture_for = gr.File(label="or by a picture", height=84, elem_id="picture-for", scale=2, min_width=150)
            said = widgets.notice_place("said-search")
            found_sheet = widgets.html(elem_id="found-sheet")
            found = widgets.widget("found", show_found(context, first), "components", "search")
        with gr.Column(elem_id="opened", min_width=260):
            page_sheet = widgets.html(elem_id="component-sheet")
            page = widgets.widget("component", show_page(context, first, None), "components")
            # beside the tabs, they would be counted as tabs
            drawn, effects, latest = gr.State(NOTHING), gr.State(None), gr.State(LatestOnly())
    return ComponentsTab(
        tab, searching, words_for, picture_for, said, found_sheet, page_sheet, found, page, drawn, effects, latest
    )  # fmt: skip


def redraws(tab: ComponentsTab) -> list[Redraw]:
    """What it draws anew, and since when; what was found and opened follows by `following`, where it is in sight."""
    return [Redraw(tab.searching, Change.SETUP, lambda context, v: gr.Row(visible=context.bench(v).is_searchable))]


def at_first(tab: ComponentsTab) -> list[Besides]:
    """What follows elsewhere only where it is in sight, on a page that begins."""
    return [
        Besides(tab.found, lambda context, _, v: show_found(context, v)),
        Besides(tab.page, lambda context, _, v: show_page(context, v, None)),
    ]


def listen(tab: ComponentsTab, replies: Replies, slow: Lane) -> list[Dependency]:
    """Its listeners, but for the presses on components (see press.py): the searches, whose answers follow."""
    shown = [
        Besides(tab.found_sheet, lambda context, _, v, *_read: show_found_sheet(context, v)),
        Besides(tab.said, lambda *_: frame.notice()),
    ]
    no_picture = Besides(tab.picture_for, lambda *_: None)
    by_words = replies.step(search_words, None, hears=AskWords, notices=[tab.said], besides=[*shown, no_picture])
    by_picture = replies.step(search, None, tab.words_for, tab.picture_for, notices=[tab.said], besides=shown)
    picture = gr.on([tab.picture_for.upload, tab.picture_for.clear], *by_picture, **slow)
    return [tab.found.ask(*by_words, **slow), picture]


def following(tab: ComponentsTab, replies: Replies) -> Listener:
    """What follows every search and every change, where the tab is in sight."""
    shows = {"found": tab.found, "page": tab.page, "drawn": tab.drawn, "effects": tab.effects}
    return replies.stream(follow, shows, tab.drawn, tab.effects, tab.latest, hears=OpenTab)


def show_found(context: Context, v: Visit) -> str:
    """The answer to the search, as it stands for the present picture."""
    bench = context.bench(v)
    if not bench.is_searchable:
        return ""
    offered = components_view.examples(component_search.examples(bench))
    if v.search.matches is None:
        return offered
    return offered + components_view.found(v, v.search.asked, v.search.matches, _found_faces(bench, v))


def show_found_sheet(context: Context, v: Visit) -> str:
    """The pictures of that."""
    return components_view.found_sheet(_found_faces(context.bench(v), v))


def show_page(context: Context, v: Visit, known: KnownEffects | None) -> str:
    """The page of the component that is open; what it pushes, where `known` is about that."""
    bench, component = context.bench(v), v.search.opened
    if bench.index is None:
        words = bool(bench.setup.dictionary.words)
        if bench.making is not None and not bench.making.over:
            return components_view.index_to_come(words)
        return components_view.no_index(bench.card.title, bench.setup.index_trouble, words)
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


def search_words(context: Context, v: Visit, asked: AskWords) -> Visit:
    """The components that match words; a picture that was dropped before is asked about no more.

    What was asked before the latest search, and comes after it, changes nothing.
    """
    told = session.accept_message(v, "search", v.revision, asked.moment)
    return v if told is None else search(context, told, asked.words, None)


def search(context: Context, v: Visit, words: Text, picture: str | None) -> Visit:
    """The components that match words, or a picture where one was dropped."""
    return replace(v, search=component_search.search(context.bench(v), v.search, words, picture))


def follow(
    context: Context,
    v: Visit,
    opened: OpenTab,
    drawn: Drawn,
    known: KnownEffects | None,
    latest: LatestOnly[None],
) -> Iterator[ComponentAnswers]:
    """What components do in the present picture, where that is in sight; what one pushes is measured last.

    What stands there (`drawn`) is not drawn again: no lever changes it, and no search the page.
    """
    wanted_still = latest.begin(opened.moment)
    if opened.tab != NAME or not wanted_still():
        return
    bench, now = context.bench(v), about(context, v)
    anew: ComponentAnswers = {}
    if drawn[0] != now[0]:
        anew["found"] = show_found(context, v)
    if drawn[1] != now[1]:
        anew["page"] = show_page(context, v, known)
    if anew:
        yield anew | {"drawn": now}
    if not steering_effects.unmeasured(bench, v, known):
        return
    known = steering_effects.measure(bench, v)
    if wanted_still():
        yield {"effects": known, "page": show_page(context, v, known)}


def about(context: Context, v: Visit) -> Drawn:
    """What the answer to the search depends on, and what the page of a component."""
    making = context.bench(v).making
    index = 0 if making is None or making.step is None else making.step.shown
    crop = content_hash(v.trace.crop)
    asked = v.setup, index, v.subject, crop, v.classes, v.templates, v.target, v.agreement is None
    return (*asked, v.search.matches, v.search.asked), (*asked, v.search.opened, v.search.openings)


def _found_faces(bench: Workbench, v: Visit) -> dict[int, Face]:
    return dict(faces(bench, (match.component for match in v.search.matches or ())))


def _page(bench: Workbench, index: ConceptIndex, component: int) -> components_view.Page:
    near, coactivated = (bench.neighbours(component, by) for by in ("direction", "firing"))
    family = bench.family(component)
    relatives = {n.component for n in (*near, *coactivated)} | set(family.members if family else ()) - {component}
    most = max(found.picture.shape[1] for found in (index.top, index.mean, index.mid))
    top, mean, usual = (bench.activating_examples(component, kind, most) for kind in ("top", "mean", "mid"))
    return components_view.Page(
        face=Face(bench.concept(component), top, family, word=bench.word(component)),
        usual=usual,
        mean=mean,
        histogram=bench.histogram(component),
        near=near,
        coactivated=coactivated,
        faces=faces(bench, sorted(relatives), TINY),
        source=index.manifest,
    )
