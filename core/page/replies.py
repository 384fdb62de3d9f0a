"""Replies to the page: how much a step changed, and what is drawn anew from that.

Every part of the page says once since which change it is drawn anew. What a listener may draw (its outputs, which
Gradio wants to know beforehand) and what it does draw (its reply) both follow from that.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from gradio.events import Dependency

from ..errors import UserError
from ..session import visit as session
from ..session.visit import Visit
from ..views import frame
from .context import Context
from .inputs import typed
from .visit_state import VisitState
from .widgets import event_data, sentences
from .wire import Message


class Change(IntEnum):
    """How much of a visit changed. Each includes all before it."""

    LEVER = 0
    """The edit, by the page's own levers, which show it already."""
    EDIT = 1
    """The edit, by a press."""
    TARGET = 2
    """What is explained."""
    CLASSES = 3
    """What is asked: the classes, their wording, what it should be."""
    PICTURE = 4
    """The picture."""
    SETUP = 5
    """The model."""


Changes = list[tuple[Change, Dependency]]
"""Events that change the visit, and how much they can change it."""

Updates = dict[Block, Any]
"""Parts of the page, and what Gradio is to do with each: a value, or a component as an update."""


@dataclass(frozen=True)
class Redraw:
    """A part of the page, and when it is drawn anew."""

    part: Block
    """A component, a row, a tab."""
    since: Change
    """By this change and every larger one."""
    show: Callable[[Context, Visit], object]
    """What it shows for a visit."""


@dataclass(frozen=True)
class Besides:
    """A part that one listener alone draws, besides what follows from its change."""

    part: Block
    """A component, a row, a tab."""
    show: Callable[..., object]
    """What it shows, from the context, the visit before and after, and what the step read; `gr.skip()` to leave it."""


@dataclass(frozen=True)
class Outcome:
    """What a step led to, where that is more than another visit."""

    visit: Visit
    """The visit from now on."""
    change: Change | None
    """How much of it changed; None where nothing is to be drawn anew."""
    notes: tuple[str, ...] = ()
    """Sentences for the visitor."""
    tone: str = "quiet"
    """Of these: quiet, warn or bad."""


class Listener(NamedTuple):
    """What an event of Gradio's takes first: `button.click(*listener)`."""

    fn: Callable[..., Any]
    """What it calls."""
    inputs: list[Component]
    """What that is given."""
    outputs: list[Block]
    """What it may draw."""


@dataclass(frozen=True)
class Shown:
    """A part of an answer, and how Gradio wants to hear it."""

    part: Block
    """A component, a row, a tab."""
    update: Callable[[Any], object]
    """From what the answer says."""


Shows = Mapping[str, Block | Shown]
"""The parts of an answer, by the names that it gives them."""


@dataclass(frozen=True)
class Replies:
    """Makes listeners of plain functions. Each of these takes the context and the visit, then what it asked for."""

    context: Context
    """Shared by all visitors."""
    state: VisitState
    """Where the visit is kept between two events."""
    redraws: tuple[Redraw, ...]
    """All parts of the page that follow a change."""
    notices: tuple[gr.HTML, ...]
    """Where sentences appear; what they complain of is over with the next change."""

    def drawn(self, v: Visit, besides: Sequence[Besides] = ()) -> Updates:
        """All that is drawn of a visit, and `besides`, on a page that begins with it."""
        shown = {one.part: one.show(self.context, v) for one in self.redraws}
        asked = {one.part: one.show(self.context, v, v) for one in besides}
        return self.state.kept_as(self.context, v) | shown | asked

    def step(
        self,
        take: Callable[..., Visit | Outcome],
        change: Change | None,
        *reads: Component,
        hears: type[Message] | None = None,
        written_in: Component | None = None,
        notices: Sequence[gr.HTML] = (),
        notes: gr.HTML | None = None,
        besides: Sequence[Besides] = (),
        on_trouble: Sequence[Besides] = (),
        always: Sequence[Besides] = (),
        keeps: Collection[gr.HTML] = (),
        brings_back: bool = False,
    ) -> Listener:
        """A step of the visit, which changes it as much as said, or nothing where the same visit comes back.

        `take` is given the context, the visit, the message it hears (the event's data, or the value of `written_in`)
        and the values of what it reads. The sentence of a UserError appears in `notices`, what an `Outcome` notes in
        `notes` or else there; `keeps` are not cleared. After an error `on_trouble` is drawn, and the visit stays;
        `always` is drawn after an answer, whether the visit changed or not.
        Where the server has lost the visit nothing changes, and the page is asked to bring it back; the step that does
        so (`brings_back`) is given what the server holds instead.
        """
        redraws = [] if change is None else [redraw for redraw in self.redraws if redraw.since <= change]
        cleared = [] if change is None else [place for place in self.notices if place not in keeps]
        places = list(notices) if notes is None else [notes]
        as_typed = typed(take, reads, 2 + (hears is not None))

        def reply(values: Sequence[Any], event: gr.EventData | None) -> Updates:
            visit, read, told = self._given(values, event, hears, written_in)
            stays: Callable[[], Updates] = dict
            carried = None if brings_back else values[1]
            try:
                before = values[0] if brings_back else visit()
                if before is None:
                    return self.state.called_back()
                stays = partial(self._as_before, before, carried, on_trouble, read)
                taken = take(self.context, before, *told(), *as_typed(read))
                if not isinstance(taken, Outcome):
                    taken = Outcome(taken, None if taken is before else change)
                v = taken.visit if brings_back else session.changed(before, taken.visit)
                changed, kept_now = taken.change, self.state.kept_as(self.context, v, carried)
            except UserError as trouble:
                nothing = {self.state.carried: gr.skip()}  # Gradio takes an empty reply for a missing value
                return nothing | stays() | dict.fromkeys(notices, frame.notice(str(trouble), tone="bad"))
            drawn = {
                redraw.part: redraw.show(self.context, v)
                for redraw in redraws
                if changed is not None and redraw.since <= changed
            }
            drawn |= {one.part: one.show(self.context, before, v, *read) for one in always}
            if v is not before:
                drawn |= {one.part: one.show(self.context, before, v, *read) for one in besides}
            if changed is not None:
                drawn |= dict.fromkeys(cleared, frame.notice())
            if taken.notes or (changed is not None and not set(places) & set(keeps)):
                drawn |= dict.fromkeys(places, frame.notice(*taken.notes, tone=taken.tone))
            return kept_now | drawn

        drawn_by = [redraw.part for redraw in redraws] + [one.part for one in (*besides, *on_trouble, *always)]
        outputs = [*self.state.parts, *drawn_by, *cleared, *places, *notices]
        return self._listener(reply, reads, outputs, hears, written_in)

    def _as_before(self, v: Visit, carried: str | None, on_trouble: Sequence[Besides], read: Sequence[Any]) -> Updates:
        """The visit as it was, after an error."""
        drawn = {one.part: one.show(self.context, v, v, *read) for one in on_trouble}
        return self.state.kept_as(self.context, v, carried) | drawn

    def answer(
        self,
        ask: Callable[..., object],
        shows: Block | Shown | Shows,
        *reads: Component,
        hears: type[Message] | None = None,
        written_in: Component | None = None,
    ) -> Listener:
        """An answer that leaves the visit as it is: one value for one part, or a mapping by the parts' names."""
        parts = shows if isinstance(shows, Mapping) else {"": shows}
        as_typed = typed(ask, reads, 2 + (hears is not None))

        def reply(values: Sequence[Any], event: gr.EventData | None) -> Updates:
            visit, read, told = self._given(values, event, hears, written_in)
            with sentences():
                v = visit()
                if v is None:
                    return self.state.called_back()
                found = ask(self.context, v, *told(), *as_typed(read))
            return _shown(parts, found if isinstance(shows, Mapping) else {"": found})

        return self._listener(reply, reads, [*self.state.parts, *_parts(parts)], hears, written_in)

    def stream(
        self,
        ask: Callable[..., Iterator[Mapping[str, object]]],
        shows: Shows,
        *reads: Component,
        hears: type[Message] | None = None,
    ) -> Listener:
        """An answer part by part, each a mapping by the parts' names. What a step does not name stays."""
        as_typed = typed(ask, reads, 2 + (hears is not None))

        def reply(values: Sequence[Any], event: gr.EventData | None) -> Iterator[Updates | dict[str, Any]]:
            visit, read, told = self._given(values, event, hears, None)
            with sentences():
                v = visit()
                if v is None:
                    yield self.state.called_back()
                else:
                    for found in ask(self.context, v, *told(), *as_typed(read)):
                        yield _shown(shows, found)
            # What it sends last is sent again at its end, when another stream may have drawn something newer.
            yield gr.skip()

        def on_event(event: gr.EventData, *values: Any) -> Iterator[Updates | dict[str, Any]]:
            yield from reply(values, event)

        def on_values(*values: Any) -> Iterator[Updates | dict[str, Any]]:
            yield from reply(values, None)

        fn = on_values if hears is None else on_event
        return Listener(fn, self._inputs(reads, None), [*self.state.parts, *_parts(shows)])

    def _given(
        self,
        values: Sequence[Any],
        event: gr.EventData | None,
        hears: type[Message] | None,
        written_in: Component | None,
    ) -> tuple[Callable[[], Visit | None], list[Any], Callable[[], tuple[Message, ...]]]:
        """How to get the visit that an event is about, what else was read, and how to read what the event says.

        Both may raise UserError; the visit is None where the server has lost it.
        """
        n = len(self.state.parts)
        held, read = values[:n], list(values[n:])
        message = read.pop() if written_in is not None else None if event is None else event_data(event)
        return (
            lambda: self.state.visit(self.context, *held),
            read,
            lambda: () if hears is None else (hears.read(message),),
        )

    def _listener(
        self,
        reply: Callable[[Sequence[Any], gr.EventData | None], Updates],
        reads: Sequence[Component],
        outputs: Sequence[Block],
        hears: type[Message] | None,
        written_in: Component | None,
    ) -> Listener:
        def on_event(event: gr.EventData, *values: Any) -> Updates:
            return reply(values, event)

        def on_values(*values: Any) -> Updates:
            return reply(values, None)

        fn = on_event if hears is not None and written_in is None else on_values
        return Listener(fn, self._inputs(reads, written_in), list(dict.fromkeys(outputs)))

    def _inputs(self, reads: Sequence[Component], written_in: Component | None) -> list[Component]:
        """A message in a widget's value comes last: there a listener's `js` may write one."""
        return [*self.state.parts, *reads, *([] if written_in is None else [written_in])]


def _parts(shows: Shows) -> list[Block]:
    return [one.part if isinstance(one, Shown) else one for one in shows.values()]


def _shown(shows: Shows, found: object) -> Updates:
    assert isinstance(found, Mapping)
    updates: Updates = {}
    for name, value in found.items():
        one = shows[name]
        if isinstance(one, Shown):
            updates[one.part] = one.update(value)
        else:
            updates[one] = value
    return updates
