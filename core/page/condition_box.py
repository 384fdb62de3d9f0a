"""Condition box, in the Many pictures tab: where the edit may act so that it breaks few, and what is promised."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypedDict

import gradio as gr

from ..errors import UserError
from ..methods.conditions import RATE, TERMS, Promise
from ..methods.steering import MAX_TERMS, Condition, Term
from ..session import visit as session
from ..session.cancellation import LatestOnly
from ..session.many_pictures import OwnPictures
from ..session.visit import Visit
from ..views import frame
from ..views import many as many_view
from . import widgets
from .context import Context
from .faces import faces
from .lanes import AS_SENT, EVERY, LONG
from .picture_sets import BRING_AGAIN, ChosenSet, chosen, halt
from .replies import Change, Changes, Redraw, Replies
from .wire import UseCondition


class PromiseParts(TypedDict):
    """How far a condition is."""

    promise: str
    """HTML: how far, or what is promised."""


@dataclass(frozen=True)
class ConditionBox:
    """Its parts."""

    rate: gr.Number
    terms: gr.Number
    find: gr.Button
    promise: gr.HTML
    said: gr.HTML
    stops: gr.State
    """LatestOnly: what begins it stops the search."""


def build() -> ConditionBox:
    """Its layout."""
    with gr.Accordion("Where may it act? A condition, and a promise", open=False, elem_id="condition-box"):
        with gr.Row(equal_height=False):
            rate = gr.Number(100 * RATE, label="May break, % of the right", min_width=160)
            terms = gr.Number(TERMS, label="Components, at most", precision=0, min_width=160)
            find = gr.Button("Find a condition", elem_id="find-condition", min_width=160)
        said = widgets.notice_place("said-condition")
        promise = widgets.widget("promise", "", "many", "components", "thresholds")
    return ConditionBox(rate, terms, find, promise, said, gr.State(LatestOnly()))


def redraws(box: ConditionBox) -> list[Redraw]:
    """Another setup has other components of the same numbers."""
    return [Redraw(box.promise, Change.SETUP, lambda *_: "")]


def listen(box: ConditionBox, replies: Replies, own: gr.State, prediction: gr.HTML) -> Changes:
    """Its listeners. `prediction`: where the edit is told, and its condition taken off."""
    found = replies.stream(find, {"promise": box.promise}, box.rate, box.terms, own, box.stops)
    box.promise.halt(*replies.step(halt, None, box.stops), **EVERY)
    for again in (box.find.click, box.promise.resume):
        again(*found, **(LONG | AS_SENT))
    used = replies.step(use_condition, Change.EDIT, hears=UseCondition, notices=[box.said])
    return [(Change.EDIT, place.condition(*used, **EVERY)) for place in (box.promise, prediction)]


def find(
    context: Context, v: Visit, rate: float | None, terms: float | None, own: OwnPictures, stops: LatestOnly[None]
) -> Iterator[PromiseParts]:
    """A condition under which the edit breaks at most `rate` percent of the right pictures of the set in sight."""
    bench, go_on = context.bench(v), stops.begin()
    try:
        if not v.edit.levers:
            raise UserError("There is no lever yet. Pull one first.")
        if terms is None or not 1 <= terms <= MAX_TERMS:
            raise UserError(f"A condition has from 1 to {MAX_TERMS} components. Write such a number.")
        if rate is None or not 0 < rate < 100:
            raise UserError(
                "Write how many percent of the right pictures the edit may break: more than 0 and less than 100, such "
                "as 2."
            )
        for found in chosen(bench, v, own, stops=True):
            if not go_on():
                yield {"promise": frame.stopped()}
                return
            if found is None:
                raise UserError(BRING_AGAIN)
            if not isinstance(found, ChosenSet):
                yield {"promise": found}
                continue
            for step in bench.find_condition(found.pictures, v.edit, found.templates, int(terms), rate / 100):
                if not go_on():
                    yield {"promise": frame.stopped()}
                    return
                if isinstance(step, Promise):
                    condition = step.choice.condition
                    named = [] if condition is None else [term.component for term in condition.terms]
                    words = many_view.set_words(found.pictures, found.called)
                    yield {"promise": many_view.promised(v, step, words, faces(bench, named, 1))}
                else:
                    yield {"promise": frame.waiting(*step, stops=True)}
    except UserError as trouble:
        yield {"promise": frame.notice(str(trouble), tone="bad")}


def use_condition(context: Context, v: Visit, asked: UseCondition) -> Visit:
    """The edit under a condition, or without one. Raises UserError for one that this dictionary cannot have."""
    terms = tuple(Term(component, weight) for component, weight in asked.terms)
    condition = Condition(terms, asked.at_least) if terms else None
    return session.change(context.bench(v), v, replace(v.edit, condition=condition))
