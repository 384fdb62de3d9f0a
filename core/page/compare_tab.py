"""Before / after tab: every class before and after the edit. Where the target is supported shows on the canvas."""

from dataclasses import dataclass

import gradio as gr

from ..session.visit import Visit
from ..views import compare as compare_view
from . import pair_box, widgets
from .context import Context
from .replies import Change, Redraw


@dataclass(frozen=True)
class CompareTab:
    """Its parts."""

    tab: gr.Tab
    chart: gr.HTML
    table: gr.HTML
    pair: gr.HTML
    """Two at once."""


def build(context: Context, first: Visit) -> CompareTab:
    """Its layout."""
    with gr.Tab("Before / after", id="compare", render_children=True) as tab:
        chart = widgets.html(compare_view.chart(first), elem_id="chart")
        table = widgets.html(compare_view.table(first.comparison), elem_id="table")
        pair = pair_box.build(context, first)
    return CompareTab(tab, chart, table, pair)


def redraws(tab: CompareTab) -> list[Redraw]:
    """What it draws anew, and since when."""
    return [
        Redraw(tab.chart, Change.LEVER, lambda _, v: compare_view.chart(v)),
        Redraw(tab.table, Change.LEVER, lambda _, v: compare_view.table(v.comparison)),
        *pair_box.redraws(tab.pair),
    ]
