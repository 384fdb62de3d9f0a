"""Replies follow from one scale of change: what may be drawn and what is drawn are never at odds."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gradio as gr
import pytest
from gradio.blocks import Block

from core.errors import UserError
from core.page.context import Context
from core.page.replies import Besides, Change, Listener, Outcome, Redraw, Replies, Shown
from core.page.visit_state import VisitState
from core.page.wire import EditMessage, PressComponent
from core.session.visit import Visit

CHANGES = list(Change)


class Parts:
    """One part for each size of change, one that is always drawn, two places for sentences."""

    def __init__(self) -> None:
        with gr.Blocks():
            self.state = gr.State()
            self.by_change = {change: gr.HTML(elem_id=change.name) for change in Change}
            self.always, self.besides, self.read = gr.HTML(), gr.HTML(), gr.Textbox()
            self.here, self.there = gr.HTML(), gr.HTML()


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts()


@pytest.fixture(scope="module")
def replies(context: Context, parts: Parts) -> Replies:
    redraws = [Redraw(part, since, lambda _, v: f"revision {v.revision}") for since, part in parts.by_change.items()]
    redraws.append(Redraw(parts.always, Change.EDIT, lambda _, v: "always", always=True))
    return Replies(context, VisitState(parts.state), tuple(redraws), (parts.here, parts.there))


def onward(context: Context, v: Visit, *read: Any) -> Visit:
    return replace(v, revision=v.revision + 1)


def raises(context: Context, v: Visit, *read: Any) -> Visit:
    raise UserError("Not <b>so</b>.")


def drawn(listener: Listener, *values: Any) -> dict[Block, Any]:
    """The reply, which names nothing that it may not draw."""
    reply = listener.fn(*values)
    assert set(reply) <= set(listener.outputs)
    assert len(listener.outputs) == len(set(listener.outputs))
    return reply


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_draws_what_it_and_every_smaller_one_draws(
    replies: Replies, parts: Parts, first: Visit, change: Change
) -> None:
    listener = replies.step(onward, change, notices=[parts.here])
    reply = drawn(listener, first)
    assert set(reply) == set(listener.outputs), "nothing is an output that is never drawn"
    assert reply[parts.state].revision == first.revision + 1
    for since, part in parts.by_change.items():
        assert (part in reply) == (since <= change)
        assert reply.get(part, "revision 1") == "revision 1"
    assert "notice" not in reply[parts.here] + reply[parts.there]


def test_the_scale_is_ordered() -> None:
    assert [c.name for c in sorted(Change)] == ["LEVER", "EDIT", "TARGET", "CLASSES", "PICTURE", "SETUP"]


def test_the_same_visit_draws_nothing_but_what_is_always_drawn(replies: Replies, parts: Parts, first: Visit) -> None:
    listener = replies.step(lambda context, v: v, Change.PICTURE, notices=[parts.here])
    assert drawn(listener, first) == {parts.state: first, parts.always: "always"}


def test_trouble_is_said_in_its_place_and_changes_nothing(replies: Replies, parts: Parts, first: Visit) -> None:
    back = Besides(parts.besides, lambda context, was, v, *read: (was is v, read))
    listener = replies.step(raises, Change.EDIT, parts.read, notices=[parts.there], on_trouble=[back])
    reply = drawn(listener, first, "typed")
    assert reply.pop(parts.there).count("Not &lt;b&gt;so&lt;/b&gt;.") == 1
    assert reply == {parts.state: first, parts.always: "always", parts.besides: (True, ("typed",))}


def test_a_smaller_outcome_draws_less(replies: Replies, parts: Parts, first: Visit) -> None:
    def less(context: Context, v: Visit) -> Outcome:
        return Outcome(replace(v, revision=9), Change.LEVER, ("Well.",), tone="warn")

    reply = drawn(replies.step(less, Change.SETUP, notices=[parts.here], notes=parts.there), first)
    assert {since for since, part in parts.by_change.items() if part in reply} == {Change.LEVER}
    assert "Well." in reply[parts.there]
    assert "warn" in reply[parts.there]
    assert "notice" not in reply[parts.here]


def test_a_note_without_a_change_is_all_that_is_said(replies: Replies, parts: Parts, first: Visit) -> None:
    heard = replace(first, latest_message={"levers": 5.0})
    listener = replies.step(lambda *_: Outcome(heard, None, ("Hm.",), tone="bad"), Change.LEVER, notices=[parts.here])
    reply = drawn(listener, first)
    assert set(reply) == {parts.state, parts.here}
    assert "Hm." in reply[parts.here]
    assert reply[parts.state] is heard


def test_what_a_step_keeps_is_not_cleared(replies: Replies, parts: Parts, first: Visit) -> None:
    kept = {"notices": [parts.here], "keeps": [parts.here]}
    reply = drawn(replies.step(onward, Change.LEVER, **kept), first)
    assert parts.here not in reply
    assert parts.there in reply
    assert "Not" in drawn(replies.step(raises, Change.LEVER, **kept), first)[parts.here]


def test_parts_besides_are_drawn_from_before_and_after(replies: Replies, parts: Parts, first: Visit) -> None:
    besides = [Besides(parts.besides, lambda _, was, v, *read: (was.revision, v.revision, read))]
    listener = replies.step(onward, None, parts.read, besides=besides)
    assert drawn(listener, first, "typed")[parts.besides] == (0, 1, ("typed",))
    assert parts.besides not in drawn(replies.step(lambda context, v: v, None, besides=besides), first)


def test_a_press_that_names_no_component_gets_a_sentence(replies: Replies, parts: Parts, first: Visit) -> None:
    listener = replies.step(onward, Change.EDIT, hears=PressComponent, notices=[parts.here])
    for told in ({"component": "a lot", "action": "suppress", "on": True}, {}, None, 7):
        reply = drawn(listener, gr.EventData(None, told), first)
        assert "names no component" in reply[parts.here]
        assert reply[parts.state] is first


def test_a_message_is_handed_on_first(replies: Replies, parts: Parts, first: Visit) -> None:
    taken = []

    def take(context: Context, v: Visit, *told: Any) -> Visit:
        taken.append(told)
        return v

    pressed = PressComponent(component=3, action="open", on=True)
    drawn(
        replies.step(take, Change.EDIT, parts.read, hears=PressComponent),
        gr.EventData(None, pressed.model_dump()), first, "typed",
    )  # fmt: skip
    message = EditMessage.of(first)
    listener = replies.step(take, Change.EDIT, parts.read, hears=EditMessage, written_in=parts.always)
    assert listener.inputs == [parts.state, parts.read, parts.always]
    drawn(listener, first, "typed", message.to_json())
    assert taken == [(pressed, "typed"), (message, "typed")]


def test_an_answer_leaves_the_visit(replies: Replies, parts: Parts, first: Visit) -> None:
    one = replies.answer(lambda _, v, typed: v.setup + typed, parts.here, parts.read)
    assert drawn(one, first, "!") == {parts.here: "bundled!"}
    several = {"said": parts.here, "shown": Shown(parts.there, lambda on: ("update", on))}
    two = replies.answer(lambda *_: {"shown": True}, several)
    assert two.outputs == [parts.here, parts.there]
    assert drawn(two, first) == {parts.there: ("update", True)}
    with pytest.raises(gr.Error, match="Not <b>so</b>."):
        replies.answer(raises, parts.here).fn(first)


def stream_of(*steps: dict[str, object]) -> Callable[..., Iterator[dict[str, object]]]:
    return lambda context, v: iter(steps)


def test_a_stream_draws_part_by_part_and_its_last_step_changes_nothing(
    replies: Replies, parts: Parts, first: Visit
) -> None:
    shows = {"a": parts.here, "b": parts.there}
    told = list(replies.stream(stream_of({"a": 1}, {"a": 2, "b": 3}), shows).fn(first))
    assert told == [{parts.here: 1}, {parts.here: 2, parts.there: 3}, gr.skip()]
    assert list(replies.stream(stream_of(), shows).fn(first)) == [gr.skip()]
