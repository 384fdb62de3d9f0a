"""Attribution tab: the target, and what it is made of."""

from dataclasses import dataclass
from typing import Any, Literal

import gradio as gr

from ..errors import UserError
from ..methods.targets import ClassTarget
from ..session import visit as session
from ..session.typed import Index
from ..session.visit import Visit
from ..views import attribution as attribution_view
from ..views.reference_strip import sheet
from . import log_tab, widgets
from .context import Context
from .faces import of_parts
from .lanes import AS_SENT, Lane
from .replies import Besides, Change, Changes, Listener, Redraw, Replies

NOTHING = -1
"""The choice of no class in a list of classes."""
ALIKE = -2
"""The choice of the second picture in place of a class."""


@dataclass(frozen=True)
class AttributionTab:
    """Its parts."""

    tab: gr.Tab
    wanted: gr.Dropdown
    against: gr.Dropdown
    said: gr.HTML
    target: gr.HTML
    sheet: gr.HTML
    """The reference pictures of the rows: a style sheet, so that measured effects carry none of them again."""
    waterfall: gr.HTML
    rows: gr.HTML


def build(context: Context, first: Visit) -> AttributionTab:
    """Its layout."""
    with gr.Tab("Attribution", id="attribution", render_children=True) as tab:
        with gr.Row(elem_id="question"):
            bare: dict[str, Any] = {"container": False, "min_width": 90}
            wanted = gr.Dropdown(**_wanted_list(first), label="What speaks for", elem_id="wanted", **bare)
            against = gr.Dropdown(**_against_list(first), label="against", elem_id="against", **bare)
            target = widgets.html(show_target(context, first), elem_id="target")
        log_tab.build_expectation("attribution")
        said = widgets.notice_place("said-target")
        pictures = widgets.html(show_sheet(context, first), elem_id="rows-sheet")
        waterfall = widgets.html(show_waterfall(context, first), elem_id="waterfall")
        rows = widgets.widget("rows", show_rows(context, first), "components")
    return AttributionTab(tab, wanted, against, said, target, pictures, waterfall, rows)


def redraws(tab: AttributionTab) -> list[Redraw]:
    """What it draws anew, and since when."""
    return [
        # The lists change with the classes alone: of a thousand names they are not sent for another target.
        Redraw(tab.wanted, Change.TARGET, lambda _, v: gr.update(value=_wanted_list(v)["value"])),
        Redraw(tab.against, Change.TARGET, lambda _, v: gr.update(value=_against_list(v)["value"])),
        Redraw(tab.wanted, Change.CLASSES, lambda _, v: gr.update(**_wanted_list(v))),
        Redraw(tab.against, Change.CLASSES, lambda _, v: gr.update(**_against_list(v))),
        Redraw(tab.target, Change.TARGET, show_target),
        Redraw(tab.sheet, Change.TARGET, show_sheet),
        Redraw(tab.waterfall, Change.TARGET, show_waterfall),
        Redraw(tab.rows, Change.TARGET, show_rows),
    ]


def lists(tab: AttributionTab) -> list[Besides]:
    """The lists in which the target is chosen, drawn anew where a second picture comes or goes."""
    return [
        Besides(tab.wanted, lambda _, __, v, *_read: gr.update(**_wanted_list(v))),
        Besides(tab.against, lambda _, __, v, *_read: gr.update(value=_against_list(v)["value"])),
    ]


def listen(tab: AttributionTab, replies: Replies, slow: Lane) -> Changes:
    """Its listeners, but for the presses on components (see press.py)."""
    targeted = replies.step(
        set_target, Change.TARGET, tab.wanted, tab.against, notices=[tab.said], on_trouble=lists(tab)
    )  # fmt: skip
    return [(Change.TARGET, gr.on([tab.wanted.input, tab.against.input], *targeted, **(slow | AS_SENT)))]


def measuring(tab: AttributionTab, replies: Replies) -> Listener:
    """What follows another target, other classes, another picture."""
    ticked = [
        Besides(tab.waterfall, lambda context, _, v: show_waterfall(context, v)),
        Besides(tab.rows, lambda context, _, v: show_rows(context, v)),
    ]
    return replies.step(measure, None, besides=ticked)


def show_target(context: Context, v: Visit) -> str:
    """The target's value, and what of it the components can explain."""
    setup = context.bench(v).setup
    return attribution_view.target_line(v, setup.clip.logit_scale, bool(setup.dictionary.words))


def show_waterfall(context: Context, v: Visit) -> str:
    """What the target is made of, from zero to its value."""
    return attribution_view.waterfall_chart(v, of_parts(context.bench(v), v))


def show_rows(context: Context, v: Visit) -> str:
    """The strongest components for and against."""
    return attribution_view.part_rows(v, of_parts(context.bench(v), v))


def show_sheet(context: Context, v: Visit) -> str:
    """The pictures of the rows."""
    return sheet(example for face in of_parts(context.bench(v), v).values() for example in face.examples)


def set_target(context: Context, v: Visit, wanted: Index | Literal[-2], against: Index | Literal[-1] | None) -> Visit:
    """Another target. Raises UserError for a similarity against a class."""
    other = None if against in (None, NOTHING) else against
    if wanted != ALIKE:
        return session.set_target(context.bench(v), v, ClassTarget(wanted, other))
    if v.second is None:
        raise UserError("There is no second picture. Choose one in Image, under “Compare with another picture”.")
    if v.about_second and other is not None:
        raise UserError("The similarity to a picture stands against no class. Choose a class on the left first.")
    return session.set_target(context.bench(v), v, v.second.target)


def measure(context: Context, v: Visit) -> Visit:
    """The second half of an answer about a picture or a target: what the model does without each component."""
    return session.measure(context.bench(v), v) if v.agreement is None else v


def _choices(v: Visit, none: str) -> list[tuple[str, int]]:
    return [(none, NOTHING), *((name, k) for k, name in enumerate(v.classes))]


def _wanted_list(v: Visit) -> dict[str, Any]:
    alike = [] if v.second is None else [("similarity", ALIKE)]
    wanted, *_ = (*v.target.classes, ALIKE)
    return {"choices": [*alike, *_choices(v, "")[1:]], "value": wanted}


def _against_list(v: Visit) -> dict[str, Any]:
    _, against = (*v.target.classes, NOTHING, NOTHING)[:2]
    return {"choices": _choices(v, "(nothing)"), "value": against}
