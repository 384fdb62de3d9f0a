"""Side panel, beside every tab: the picture with all that is shown on it, the prediction, and the edit behind it."""

from dataclasses import dataclass

import gradio as gr

from ..errors import UserError
from ..methods.steering import Edit
from ..methods.token_maps import token_maps
from ..session import visit as session
from ..session.visit import Visit
from ..views import canvas as canvas_view
from ..views import frame
from ..views import prediction as prediction_view
from ..views.report_words import repair_words
from . import second_picture, widgets
from .context import Context
from .lanes import EVERY, LATEST, Lane
from .replies import Change, Changes, Outcome, Redraw, Replies, Shown
from .wire import ChoosePatches, HistoryStep, ShowCounterfactual


@dataclass(frozen=True)
class SidePanel:
    """Its parts."""

    canvas: gr.HTML
    """The picture and its maps; its value is a `ChoosePatches`, once the page wrote one, and its prop `measured` the
    whole target after the edit, once that was asked for."""
    second: gr.HTML
    """The second picture, where there is one (see second_picture.py)."""
    prediction: gr.HTML
    """What is predicted, and the edit."""
    about: gr.HTML
    """What to know before believing it, over the tabs."""


def build(context: Context, first: Visit) -> tuple[gr.HTML, gr.HTML, gr.HTML]:
    """The layout of what stands at the side: canvas, second picture, prediction, and the link to all of it."""
    with gr.Column(elem_id="panel"):
        canvas = widgets.message_widget("canvas", show_canvas(context, first), "", measured="")
        second = second_picture.build_shown(context, first)
        prediction = widgets.widget("prediction", show_prediction(context, first))
        widgets.widget("links", frame.links())
        return canvas, second, prediction


def build_about(context: Context, first: Visit) -> gr.HTML:
    """The layout of what is said over the tabs."""
    return widgets.html(show_about(context, first), elem_id="about", elem_classes="said")


def redraws(side: SidePanel) -> list[Redraw]:
    """What it draws anew, and since when."""
    return [
        Redraw(side.canvas, Change.TARGET, lambda context, v: widgets.redrawn(show_canvas(context, v))),
        *second_picture.redraws(side.second),
        Redraw(side.prediction, Change.LEVER, show_prediction),
        Redraw(side.about, Change.PICTURE, show_about),
    ]


def listen(side: SidePanel, replies: Replies, said: gr.HTML, another: Lane) -> Changes:
    """Its listeners, but for the presses on components (see press.py). `said`: where a mistake is told."""
    turned = replies.step(switch_counterfactual, Change.PICTURE, hears=ShowCounterfactual, notices=[said])
    picked = replies.step(
        choose_patches, Change.LEVER, hears=ChoosePatches, written_in=side.canvas, notices=[said],
        keeps=replies.notices,  # what is wrong with a strength still is
    )  # fmt: skip
    stepped = replies.step(step, Change.EDIT, hears=HistoryStep, notices=[said])
    told = Shown(side.canvas, lambda found: gr.update(measured=found))
    side.canvas.measure(*replies.answer(show_after, told), **LATEST)
    return [
        (Change.PICTURE, side.canvas.twin(*turned, **another)),
        (Change.LEVER, side.canvas.pick(*picked, **LATEST)),
        (Change.EDIT, side.prediction.step(*stepped, **EVERY)),
    ]


def show_canvas(context: Context, v: Visit) -> str:
    """The picture, and the maps of what fires in it."""
    bench = context.bench(v)
    maps = token_maps(v.trace, v.attribution, [part.component for part in v.parts])
    labels: dict[int, str] = {}
    if bench.index is not None:  # of those in sight alone: of a dense dictionary ten thousand fire
        shown = {one.component for one in maps.maps} | {j for firing in maps.tokens for j, _, _ in firing}
        labels = {one.component: one.label for one in map(bench.concept, sorted(shown)) if one.label is not None}
    return canvas_view.canvas(
        v,
        maps,
        session.contributions(v.trace, v.attribution),
        labels,
        pages=bench.index is not None,
        cls_in_scope=context.card(v).scope != "patches",
        cue=context.cue(v),
    )


def show_after(context: Context, v: Visit) -> str:
    """What supports the target after the edit."""
    trace, attribution = session.afterwards(context.bench(v), v)
    return canvas_view.after(v, attribution.value, session.contributions(trace, attribution))


def show_prediction(_context: Context, v: Visit) -> str:
    """The prediction, and the edit that made it so."""
    return prediction_view.prediction(v)


def show_about(context: Context, v: Visit) -> str:
    """What to know before believing what is said about this picture."""
    if v.subject.photograph and context.card(v).vocabulary is not None:
        return frame.notice(
            "This demo model has never seen a photograph: it shows how levers work, not what CLIP sees. "
            "For that, choose a published setup above.",
            tone="warn",
        )
    first_example = v.subject.example == context.examples[0].name and not v.subject.counterfactual
    return frame.notice(repair_words(context.reports[v.setup]) if first_example else "")


def switch_counterfactual(context: Context, v: Visit, asked: ShowCounterfactual) -> Visit:
    """The same scene without its cue, or with it again."""
    example = context.example(v)
    if example is None or example.counterfactual is None:
        return v
    return session.look_at(context.bench(v), v, example.file(asked.on), session.subject_of(example, asked.on))


def choose_patches(context: Context, v: Visit, message: ChoosePatches) -> Visit | Outcome:
    """The patches as they are chosen on the page now; late and outdated messages change nothing."""
    told = session.accept_message(v, "patches", message.revision, message.moment)
    if told is None:
        return v
    try:
        return session.pull(context.bench(told), told, told.edit.among(message.tokens), message.gesture)
    except UserError as trouble:
        return Outcome(told, None, (str(trouble),), tone="bad")


def step(context: Context, v: Visit, pressed: HistoryStep) -> Visit:
    """Undo, redo, or no lever at all."""
    bench = context.bench(v)
    if pressed.step == "reset":
        return session.change(bench, v, Edit())
    return session.undo(bench, v) if pressed.step == "undo" else session.redo(bench, v)
