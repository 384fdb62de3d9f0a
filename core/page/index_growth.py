"""Growth of a concept index on the page: how far it is, and the reference pictures as they come.

1. While an index is made in the background, a script asks how far it is.
2. Where there is more to show than was drawn, it asks for that. What shows reference pictures is then drawn anew, as it
   stands for the present visit; but for the levers, which would move under the visitor's hand, and get theirs with the
   next press.
"""

from dataclasses import dataclass

import gradio as gr
from gradio.events import Dependency

from ..session.visit import Visit
from ..views import growth as growth_view
from . import attribution_tab, components_tab, setup_bar, widgets
from .attribution_tab import AttributionTab
from .components_tab import ComponentsTab
from .context import Context
from .lanes import EVERY, LATEST
from .replies import Change, Redraw, Replies, Shown, Shows
from .setup_bar import SetupBar


@dataclass(frozen=True)
class IndexGrowth:
    """Its part."""

    told: gr.HTML


def build(context: Context, first: Visit) -> IndexGrowth:
    """Its layout."""
    return IndexGrowth(widgets.widget("growth", show_growth(context, first), elem_classes="said"))


def redraws(part: IndexGrowth) -> list[Redraw]:
    """What it draws anew, and since when."""
    return [Redraw(part.told, Change.SETUP, show_growth)]


def listen(
    part: IndexGrowth, replies: Replies, bar: SetupBar, rows: AttributionTab, components: ComponentsTab
) -> Dependency:
    """Its listeners; returned is what draws more than there was. What the Components tab shows follows that."""
    part.told.growing(*replies.answer(show_growth, part.told), **LATEST)
    shows: Shows = {
        "searching": Shown(components.searching, lambda there: gr.Row(visible=there)),
        "sheet": rows.sheet, "rows": rows.rows, "waterfall": rows.waterfall,
        "found_sheet": components.found_sheet, "page_sheet": components.page_sheet, "setup": bar.page,
    }  # fmt: skip
    grown: Dependency = part.told.grown(*replies.answer(show_more, shows), **EVERY)
    widgets.tells_of_refusal(grown, "growth")
    return grown


def show_growth(context: Context, v: Visit) -> str:
    """How far the index is; nothing where none is made."""
    bench = context.bench(v)
    return "" if bench.making is None else growth_view.growth(v.setup, bench.making, bench.index)


def show_more(context: Context, v: Visit) -> dict[str, object]:
    """What shows reference pictures, and what they are from."""
    return {
        "searching": context.bench(v).index is not None,
        "sheet": attribution_tab.show_sheet(context, v),
        "rows": attribution_tab.show_rows(context, v),
        "waterfall": attribution_tab.show_waterfall(context, v),
        "found_sheet": components_tab.show_found_sheet(context, v),
        "page_sheet": components_tab.show_page_sheet(context, v),
        "setup": setup_bar.show_page(context, v),
    }
