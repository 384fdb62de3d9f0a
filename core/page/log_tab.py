"""Log tab: the edits that were tried, which the visitor's browser keeps, and the field for what is expected of one.

A line is made, judged, restored and forgotten by the page's scripts (tried.js, log.js), from what the page holds: a
lever that is pulled asks nothing for it. `gr.BrowserState` would keep it as well, but only listeners can write it, so
that each press would carry the whole log there and back; of two pages of one browser the later would overwrite what the
other wrote, since it is read at the opening alone; and its script, with the cipher that it brings, is 71 KB. What the
browser keeps is sent when it is looked at or saved, read as anything that comes in (core/session/log.py), and drawn.
"""

from dataclasses import dataclass

import gradio as gr

from ..session.log import Log
from ..session.view_state import ViewState
from ..session.visit import Visit
from ..views import log as log_view
from . import widgets
from .context import Context
from .lanes import LATEST
from .replies import Replies, Shown
from .visit_state import query_of
from .wire import ShowLog


@dataclass(frozen=True)
class LogTab:
    """Its parts."""

    tab: gr.Tab
    log: gr.HTML
    """Its value is a `ShowLog`, once the page wrote one, and its prop `written` the log as Markdown, once asked for."""


def build() -> LogTab:
    """Its layout."""
    with gr.Tab("Log", id="log", render_children=True) as tab:
        log = widgets.message_widget("log", log_view.log(Log(), {}, {}), "", written="")
    return LogTab(tab, log)


def build_expectation(tab: str) -> gr.HTML:
    """The field for what is expected, at the top of a tab in which levers are pulled."""
    return widgets.html(log_view.expectation(), elem_id=f"expect-{tab}", elem_classes="expecting")


def build_asking() -> gr.HTML:
    """The same question while a result waits for it, over all tabs; its script keeps the log."""
    return widgets.widget("asking", log_view.asking(), "tried")


def listen(tab: LogTab, replies: Replies) -> None:
    """Its listeners; none changes the visit: a line is restored by the keeper."""
    drawn, written = Shown(tab.log, widgets.redrawn), Shown(tab.log, lambda text: gr.update(written=text))
    tab.log.show(*replies.answer(show_log, drawn, hears=ShowLog, written_in=tab.log), **LATEST)
    tab.log.save(*replies.answer(show_markdown, written, hears=ShowLog, written_in=tab.log), **LATEST)


def show_log(context: Context, _: Visit, asked: ShowLog) -> str:
    """The lines that the browser keeps."""
    return log_view.log(Log.read(asked.lines), _titles(context), context.thumbnails)


def show_markdown(context: Context, _: Visit, asked: ShowLog) -> str:
    """The same as a document, with a link to each line."""

    def link(state: ViewState) -> str:
        query = query_of(state)
        return f"{asked.address}?{query}" if query else ""

    return log_view.markdown(Log.read(asked.lines), _titles(context), link)


def _titles(context: Context) -> dict[str, str]:
    return {name: card.title for name, card in context.pool.cards.items()}
