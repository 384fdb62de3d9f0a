"""Presses on a component, wherever it is shown: its lever is pulled or released, or its page opens."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import gradio as gr

from ..session import visit as session
from ..session.steering_effects import KnownEffects
from ..session.visit import Visit
from .components_tab import COMPONENTS, ComponentsTab, show_page, show_page_sheet
from .context import Context
from .lanes import EVERY
from .replies import Besides, Change, Changes, Outcome, Replies
from .wire import PressComponent


def listen(
    places: Sequence[gr.HTML], tab: ComponentsTab, tabs: gr.Tabs, replies: Replies, notices: Sequence[gr.HTML]
) -> Changes:
    """The listeners of all places that show components."""
    opening = [
        Besides(tab.page, _if_opened(show_page)),
        Besides(tab.page_sheet, _if_opened(lambda context, v, _: show_page_sheet(context, v))),
        Besides(tabs, _if_opened(lambda *_: gr.Tabs(selected=COMPONENTS))),
    ]
    pressed = replies.step(press, Change.EDIT, tab.effects, hears=PressComponent, notices=notices, besides=opening)
    return [(Change.EDIT, place.act(*pressed, **EVERY)) for place in places]


def press(context: Context, v: Visit, pressed: PressComponent, _: KnownEffects | None = None) -> Visit | Outcome:
    """A component's button pressed. Raises UserError for a component that is not there."""
    bench = context.bench(v)
    if pressed.action == "open":
        if bench.index is not None:
            bench.concept(pressed.component)
        return Outcome(replace(v, search=v.search.open_page(pressed.component)), None)
    return session.press(bench, v, pressed.component, pressed.action, pressed.on)


def _if_opened(show: Callable[[Context, Visit, KnownEffects | None], object]) -> Callable[..., object]:
    """Shown where the press opened a page, with what is known of the effects of its component."""

    def shown(context: Context, was: Visit, v: Visit, known: KnownEffects | None) -> object:
        return show(context, v, known) if v.search.openings != was.search.openings else gr.skip()

    return shown
