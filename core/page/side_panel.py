"""Side panel, beside every tab: the picture as the model sees it, its prediction, and what to know about it."""

from dataclasses import dataclass

import gradio as gr

from ..session import visit as session
from ..session.visit import Visit
from ..views import canvas as canvas_view
from ..views import frame
from ..views import prediction as prediction_view
from ..views.report_words import repair_words
from . import widgets
from .context import Context
from .lanes import Lane
from .replies import Change, Changes, Redraw, Replies
from .wire import ShowCounterfactual


@dataclass(frozen=True)
class SidePanel:
    """Its parts."""

    canvas: gr.HTML
    """The picture."""
    prediction: gr.HTML
    """What is predicted of it, and the edit."""
    about: gr.HTML
    """Over the tabs."""


def build(context: Context, first: Visit) -> tuple[gr.HTML, gr.HTML]:
    """The layout of what stands at the side: canvas and prediction."""
    with gr.Column(elem_id="panel"):
        canvas = widgets.widget("canvas", show_canvas(context, first))
        return canvas, widgets.html(show_prediction(context, first), elem_id="prediction")


def build_about(context: Context, first: Visit) -> gr.HTML:
    """The layout of what is said over the tabs."""
    return widgets.html(show_about(context, first), elem_id="about", elem_classes="said")


def redraws(side: SidePanel) -> list[Redraw]:
    """What it draws anew, and since when."""
    return [
        Redraw(side.canvas, Change.TARGET, show_canvas),
        Redraw(side.prediction, Change.LEVER, show_prediction),
        Redraw(side.about, Change.PICTURE, show_about),
    ]


def listen(side: SidePanel, replies: Replies, said: gr.HTML, another: Lane) -> Changes:
    """Its listeners."""
    listener = replies.step(switch_counterfactual, Change.PICTURE, hears=ShowCounterfactual, notices=[said])
    return [(Change.PICTURE, side.canvas.twin(*listener, **another))]


def show_canvas(context: Context, v: Visit) -> str:
    """The picture."""
    return canvas_view.canvas(v, context.cue(v))


def show_prediction(_context: Context, v: Visit) -> str:
    """The prediction, and the edit that made it so."""
    return prediction_view.prediction(v)


def show_about(context: Context, v: Visit) -> str:
    """What to know before believing what is said about this picture."""
    if v.subject.photograph and context.card(v).vocabulary is not None:
        return frame.notice(
            "This demo model has never seen photographs: choose a published setup at the top of the page. "
            "What it says here shows how the levers work, not what CLIP sees.",
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
