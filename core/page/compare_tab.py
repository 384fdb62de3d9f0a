"""Before / after tab: every class before and after the edit, and where the target is supported."""

from dataclasses import dataclass

import gradio as gr

from ..session import visit as session
from ..session.visit import Visit
from ..views import compare as compare_view
from . import widgets
from .context import Context
from .lanes import TURN
from .replies import Change, Redraw, Replies


@dataclass(frozen=True)
class CompareTab:
    """Its parts."""

    tab: gr.Tab
    chart: gr.HTML
    table: gr.HTML
    heatmaps: gr.HTML


def build(context: Context, first: Visit) -> CompareTab:
    """Its layout."""
    with gr.Tab("Before / after", id="compare", render_children=True) as tab:
        chart = widgets.html(compare_view.chart(first), elem_id="chart")
        table = widgets.html(compare_view.table(first.comparison), elem_id="table")
        heatmaps = widgets.html(show_heatmaps(context, first), elem_id="heats")
    return CompareTab(tab, chart, table, heatmaps)


def redraws(tab: CompareTab) -> list[Redraw]:
    """What it draws anew, and since when. Heatmaps after an edit wait until the tab is opened."""
    return [
        Redraw(tab.chart, Change.LEVER, lambda _, v: compare_view.chart(v)),
        Redraw(tab.table, Change.LEVER, lambda _, v: compare_view.table(v.comparison)),
        Redraw(tab.heatmaps, Change.TARGET, show_heatmaps),
    ]


def listen(tab: CompareTab, replies: Replies) -> None:
    """Its listeners."""
    tab.tab.select(*replies.answer(show_heatmaps, tab.heatmaps), **TURN)


def show_heatmaps(context: Context, v: Visit) -> str:
    """Where the target's support sits, before and after."""
    trace, attribution = session.afterwards(context.bench(v), v)
    before = session.contributions(v.trace, v.attribution)
    after = session.contributions(trace, attribution)
    return compare_view.heat_pair(
        v,
        compare_view.Support("Before", v.attribution.value, before),
        compare_view.Support("After", attribution.value, after),
    )
