"""Steering tab: the levers of the edit, and the search for a small one. Where it acts is painted on the canvas."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import gradio as gr
from gradio.events import Dependency

from ..errors import UserError
from ..methods.steering import Edit
from ..session import visit as session
from ..session.visit import Visit
from ..views import steering as steering_view
from ..views.prediction import head
from ..views.reference_strip import Face, sheet
from . import log_tab, widgets
from .context import Context
from .faces import faces
from .lanes import EVERY, LATEST, long
from .replies import Besides, Change, Changes, Outcome, Redraw, Replies
from .wire import EditMessage, UseEdit


class Found(TypedDict):
    """How far the search for an edit is."""

    finder: str
    """HTML."""


@dataclass(frozen=True)
class SteeringTab:
    """Its parts."""

    tab: gr.Tab
    said: gr.HTML
    levers: gr.HTML
    sheet: gr.HTML
    """The reference pictures of the levers which the rows on Attribution do not have: a style sheet."""
    finder: gr.HTML


def build(context: Context, first: Visit) -> SteeringTab:
    """Its layout."""
    message = EditMessage.of(first).to_json()
    with gr.Tab(title(first), id="steering", render_children=True) as tab:
        log_tab.build_expectation("steering")
        said = widgets.notice_place("said-levers")
        pictures = widgets.html(show_sheet(context, first), elem_id="levers-sheet")
        levers = widgets.message_widget("levers", show_levers(context, first), message)
        finder = widgets.widget("finder", steering_view.finder(first))
    return SteeringTab(tab, said, levers, pictures, finder)


def redraws(tab: SteeringTab) -> list[Redraw]:
    """What it draws anew, and since when. The page's own levers show a move already."""
    return [
        Redraw(tab.sheet, Change.EDIT, show_sheet),
        Redraw(tab.levers, Change.EDIT, lambda context, v: _redrawn(show_levers(context, v), v)),
        Redraw(tab.finder, Change.CLASSES, lambda _, v: steering_view.finder(v)),
        Redraw(tab.tab, Change.LEVER, lambda _, v: gr.update(label=title(v))),
    ]


def listen(tab: SteeringTab, replies: Replies) -> Changes:
    """Its listeners, but for the search."""
    rows = Besides(tab.levers, _other_rows)
    pulled = replies.step(
        pull, Change.LEVER, hears=EditMessage, written_in=tab.levers, notices=[tab.said], besides=[rows]
    )  # fmt: skip
    used = replies.step(use, Change.EDIT, hears=UseEdit, notices=[tab.said])
    return [
        (Change.LEVER, tab.levers.pull(*pulled, **LATEST)),
        (Change.EDIT, tab.finder.use(*used, **EVERY)),
    ]


def searching(tab: SteeringTab, replies: Replies) -> Dependency:
    """The search for an edit, which other listeners cancel."""
    search: Dependency = tab.finder.find(*replies.stream(find, {"finder": tab.finder}), **long(tab.finder))
    widgets.tells_of_refusal(search, "finder")
    return search


def title(v: Visit) -> str:
    """The tab's name, with the number of levers."""
    return f"Steering · {v.edit.n_groups}" if v.edit.levers else "Steering"


def show_levers(context: Context, v: Visit) -> str:
    """The levers of the edit."""
    return steering_view.levers(v, _faces(context, v))


def show_sheet(context: Context, v: Visit) -> str:
    """The pictures of the levers, but for those that the rows on Attribution have, and do not change for others."""
    shown = {part.component for part in v.parts} if context.bench(v).making is None else set()
    return sheet(example for c, face in _faces(context, v).items() if c not in shown for example in face.examples)


def pull(context: Context, v: Visit, message: EditMessage) -> Visit | Outcome:
    """The levers as they stand on the page now; late and outdated messages change nothing."""
    told = session.accept_message(v, "levers", message.revision, message.moment)
    if told is None:
        return v
    try:
        edit = replace(told.edit, levers=tuple(one.lever() for one in message.levers))
        return session.pull(context.bench(told), told, edit, message.gesture)
    except UserError as trouble:
        return Outcome(told, None, (str(trouble),), tone="bad")


def find(context: Context, v: Visit) -> Iterator[Found]:
    """The smallest edit that makes the picture what it should be, as far as the search is."""
    if v.truth is None:
        return
    try:
        bench = context.bench(v)
        for search in bench.find_edit(v.trace, v.classes, v.templates, v.truth):
            yield {"finder": steering_view.finder(v, search, faces=faces(bench, steering_view.proposed(search)))}
    except UserError as trouble:
        yield {"finder": steering_view.finder(v, trouble=str(trouble))}


def use(context: Context, v: Visit, asked: UseEdit) -> Visit:
    """An edit that was found, in place of the present one. What else was found stays on the page."""
    return session.change(context.bench(v), v, Edit.of_suppressed(asked.components))


def _redrawn(drawn: str, v: Visit) -> dict[str, Any]:
    return widgets.redrawn(drawn, EditMessage.of(v).to_json())


def _other_rows(context: Context, was: Visit, v: Visit) -> object:
    """Rows that came or went are drawn. A slider that moved is not: that would move it under the visitor's hand."""
    before, now = ([(lever.component, lever.operation) for lever in one.edit.levers] for one in (was, v))
    return gr.skip() if before == now else widgets.redrawn(show_levers(context, v))


def _faces(context: Context, v: Visit) -> Mapping[int, Face]:
    return faces(context.bench(v), map(head, v.edit.groups()))
