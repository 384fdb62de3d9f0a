"""Before / after tab: every class before and after the edit. Where the target is supported shows on the canvas."""

from dataclasses import dataclass

import gradio as gr

from ..session.visit import Visit
from ..views import compare as compare_view
from . import pair_box, widgets
from .context import Context
from .lanes import LATEST
from .replies import Change, Redraw, Replies
from .wire import FindClass


@dataclass(frozen=True)
class CompareTab:
    """Its parts."""

    tab: gr.Tab
    chart: gr.HTML
    find: gr.HTML
    """A field that finds a class among many."""
    found: gr.HTML
    table: gr.HTML
    pair: gr.HTML
    """Two at once."""


def build(context: Context, first: Visit) -> CompareTab:
    """Its layout."""
    with gr.Tab("Before / after", id="compare", render_children=True) as tab:
        chart = widgets.html(compare_view.chart(first), elem_id="chart")
        find = widgets.widget("find-class", compare_view.search(first), "classes")
        found = widgets.html("", elem_id="found-classes")
        table = widgets.html(compare_view.table(first), elem_id="table")
        pair = pair_box.build(context, first)
    return CompareTab(tab, chart, find, found, table, pair)


def redraws(tab: CompareTab) -> list[Redraw]:
    """What it draws anew, and since when."""
    return [
        Redraw(tab.chart, Change.LEVER, lambda _, v: compare_view.chart(v)),
        Redraw(tab.table, Change.LEVER, lambda _, v: compare_view.table(v)),
        Redraw(tab.find, Change.CLASSES, lambda _, v: compare_view.search(v)),
        Redraw(tab.found, Change.CLASSES, lambda *_: ""),
        *pair_box.redraws(tab.pair),
    ]


def listen(tab: CompareTab, replies: Replies) -> None:
    """Its listener, but for the two at once."""
    tab.find.seek(*replies.answer(find, tab.found, hears=FindClass), **LATEST)


def find(_context: Context, v: Visit, asked: FindClass) -> str:
    """The classes with these words in their names; nothing for no words."""
    return compare_view.found(v, asked.words) if asked.words.strip() else ""
