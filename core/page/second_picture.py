"""Second picture: chosen in the Image tab, shown beside the first one, and asked about: why are the two alike?"""

from typing import NamedTuple

import gradio as gr

from ..errors import UserError
from ..pictures.read import Source
from ..session import visit as session
from ..session.visit import Subject, Visit, subject_of
from ..views import second as second_view
from . import widgets
from .context import Context
from .lanes import Lane
from .replies import Besides, Change, Changes, Redraw, Replies
from .wire import ChooseExample, SecondStep

OWN = "Your second picture."
"""The caption of one that a visitor brings."""


class Offer(NamedTuple):
    """Where it is chosen."""

    likes: gr.HTML
    """The examples."""
    upload: gr.File
    said: gr.HTML


def build_shown(context: Context, first: Visit) -> gr.HTML:
    """Where it stands, beside the first one."""
    return widgets.widget("second", show_second(context, first))


def build_offer() -> Offer:
    """Where it is chosen: the examples, a field for one of the visitor's own, and a place for sentences."""
    with gr.Accordion("Compare with another picture", open=False, elem_id="compare-with"):
        likes = widgets.widget("likes", second_view.offer())
        upload = gr.File(label="Another picture of your own", height=132, elem_id="second-upload")
        return Offer(likes, upload, widgets.notice_place("said-second"))


def redraws(shown: gr.HTML) -> list[Redraw]:
    """What it draws anew, and since when."""
    return [Redraw(shown, Change.TARGET, show_second)]


def asked_again(offer: Offer) -> list[Besides]:
    """The field for a picture, as it follows from a visit that was brought back."""
    return [Besides(offer.upload, lambda *_: None)]


def listen(shown: gr.HTML, offer: Offer, replies: Replies, besides: list[Besides], slow: Lane) -> Changes:
    """Its listeners. `besides`: the lists in which the target is chosen, which now have it among them, or no more."""
    emptied, told = asked_again(offer), [offer.said]
    chosen = replies.step(choose, Change.TARGET, hears=ChooseExample, notices=told, besides=[*besides, *emptied])
    brought = replies.step(bring, Change.TARGET, offer.upload, notices=told, besides=besides)
    stepped = replies.step(step, Change.TARGET, hears=SecondStep, notices=told, besides=[*besides, *emptied])
    return [
        (Change.TARGET, offer.likes.like(*chosen, **slow)),
        (Change.TARGET, offer.upload.upload(*brought, **slow)),
        (Change.TARGET, shown.second(*stepped, **slow)),
    ]


def show_second(_context: Context, v: Visit) -> str:
    """The second picture, and how alike the two are."""
    return second_view.second(v)


def choose(context: Context, v: Visit, asked: ChooseExample) -> Visit:
    """An example to compare with."""
    example = context.example_named(asked.example)
    if example is None:
        raise UserError(ChooseExample.refusal)
    return _with(context, v, example.file(), subject_of(example))


def bring(context: Context, v: Visit, file: str | None) -> Visit:
    """A picture of the visitor's own to compare with. Raises UserError for one that cannot be read."""
    return _with(context, v, file, Subject(OWN, photograph=True))


def step(context: Context, v: Visit, pressed: SecondStep) -> Visit:
    """Ask why the two are alike, or take the second picture away."""
    bench = context.bench(v)
    if v.second is None:
        return v
    if pressed.step == "ask":
        return session.compare_with(bench, v, v.second)
    return session.without_second(bench, v)


def _with(context: Context, v: Visit, source: Source | None, subject: Subject) -> Visit:
    bench = context.bench(v)
    return session.compare_with(bench, v, session.second_picture(bench, source, subject))
