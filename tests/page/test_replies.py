"""Replies follow from one scale of change: what may be drawn and what is drawn are never at odds."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gradio as gr
import pytest
from gradio.blocks import Block

from core.errors import UserError
from core.page.context import Context
from core.page.replies import Besides, Change, Listener, Outcome, Redraw, Replies, Shown
from core.page.visit_state import VisitState, serialised
from core.page.wire import EditMessage, PressComponent
from core.session.visit import Visit

CHANGES = list(Change)


class Parts:
    """One part for each size of change, two places for sentences."""

    def __init__(self) -> None:
        with gr.Blocks():
            self.state, self.carried = gr.State(), gr.HTML()
            self.by_change = {change: gr.HTML(elem_id=change.name) for change in Change}
            self.besides, self.read = gr.HTML(), gr.Textbox()
            self.here, self.there = gr.HTML(), gr.HTML()


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts()


@pytest.fixture(scope="module")
def replies(context: Context, parts: Parts) -> Replies:
    redraws = [Redraw(part, since, lambda _, v: f"revision {v.revision}") for since, part in parts.by_change.items()]
    return Replies(context, VisitState(parts.state, parts.carried), tuple(redraws), (parts.here, parts.there))


def onward(context: Context, v: Visit, *read: Any) -> Visit:
    return replace(v, revision=v.revision + 1)


def raises(context: Context, v: Visit, *read: Any) -> Visit:
    raise UserError("Not <b>so</b>.")


@pytest.fixture(scope="module")
def stays(parts: Parts, context: Context, first: Visit) -> dict[Block, Any]:
    """What a visit's two parts hold as long as it stays as it is: what the server keeps, and what the page carries."""
    return {parts.state: first, parts.carried: serialised(context, first)}


def carried(reply: dict[Block, Any], parts: Parts) -> dict[Block, Any]:
    """What a reply leaves the page to carry, as its next event sends it: the link beside it is for the page alone."""
    told = reply[parts.carried]
    assert told["query"].startswith("setup=bundled&example=dog-note-cat&")
    return reply | {parts.carried: told["value"]}


def drawn(listener: Listener, *values: Any) -> dict[Block, Any]:
    """The reply, which names nothing that it may not draw."""
    reply = listener.fn(*values)
    assert set(reply) <= set(listener.outputs)
    assert len(listener.outputs) == len(set(listener.outputs))
    return reply


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_draws_what_it_and_every_smaller_one_draws(
    replies: Replies, parts: Parts, first: Visit, stays: dict[Block, Any], change: Change
) -> None:
    listener = replies.step(onward, change, notices=[parts.here])
    reply = drawn(listener, *stays.values())
    assert set(reply) == set(listener.outputs), "nothing is an output that is never drawn"
    assert reply[parts.state].revision == first.revision + 1
    for since, part in parts.by_change.items():
        assert (part in reply) == (since <= change)
        assert reply.get(part, "revision 1") == "revision 1"
    assert "notice" not in reply[parts.here] + reply[parts.there]


def test_the_scale_is_ordered() -> None:
    assert [c.name for c in sorted(Change)] == ["LEVER", "EDIT", "TARGET", "CLASSES", "PICTURE", "SETUP"]


def test_the_same_visit_draws_nothing(replies: Replies, parts: Parts, first: Visit, stays: dict[Block, Any]) -> None:
    listener = replies.step(lambda context, v: v, Change.PICTURE, notices=[parts.here])
    assert carried(drawn(listener, *stays.values()), parts) == stays


def test_trouble_is_said_in_its_place_and_changes_nothing(
    replies: Replies, parts: Parts, first: Visit, stays: dict[Block, Any]
) -> None:
    back = Besides(parts.besides, lambda context, was, v, *read: (was is v, read))
    listener = replies.step(raises, Change.EDIT, parts.read, notices=[parts.there], on_trouble=[back])
    reply = drawn(listener, *stays.values(), "typed")
    assert reply.pop(parts.there).count("Not &lt;b&gt;so&lt;/b&gt;.") == 1
    assert carried(reply, parts) == stays | {parts.besides: (True, ("typed",))}


def test_a_smaller_outcome_draws_less(replies: Replies, parts: Parts, first: Visit, stays: dict[Block, Any]) -> None:
    def less(context: Context, v: Visit) -> Outcome:
        return Outcome(replace(v, revision=9), Change.LEVER, ("Well.",), tone="warn")

    reply = drawn(replies.step(less, Change.SETUP, notices=[parts.here], notes=parts.there), *stays.values())
    assert {since for since, part in parts.by_change.items() if part in reply} == {Change.LEVER}
    assert "Well." in reply[parts.there]
    assert "warn" in reply[parts.there]
    assert "notice" not in reply[parts.here]


def test_a_note_without_a_change_is_all_that_is_said(
    replies: Replies, parts: Parts, first: Visit, stays: dict[Block, Any]
) -> None:
    heard = replace(first, latest_message={"levers": 5.0})
    listener = replies.step(lambda *_: Outcome(heard, None, ("Hm.",), tone="bad"), Change.LEVER, notices=[parts.here])
    reply = drawn(listener, *stays.values())
    assert set(reply) == {*stays, parts.here}
    assert "Hm." in reply[parts.here]
    assert reply[parts.state].latest_message == {"levers": 5.0}


def test_what_a_step_keeps_is_not_cleared(
    replies: Replies, parts: Parts, first: Visit, stays: dict[Block, Any]
) -> None:
    kept: dict[str, Any] = {"notices": [parts.here], "keeps": [parts.here]}
    reply = drawn(replies.step(onward, Change.LEVER, **kept), *stays.values())
    assert parts.here not in reply
    assert parts.there in reply
    assert "Not" in drawn(replies.step(raises, Change.LEVER, **kept), *stays.values())[parts.here]


def test_parts_besides_are_drawn_from_before_and_after(
    replies: Replies, parts: Parts, first: Visit, stays: dict[Block, Any]
) -> None:
    besides = [Besides(parts.besides, lambda _, was, v, *read: (was.revision, v.revision, read))]
    listener = replies.step(onward, None, parts.read, besides=besides)
    assert drawn(listener, *stays.values(), "typed")[parts.besides] == (0, 1, ("typed",))
    assert parts.besides not in drawn(replies.step(lambda context, v: v, None, besides=besides), *stays.values())


def test_what_no_page_of_ours_carries_changes_nothing(replies: Replies, parts: Parts, first: Visit) -> None:
    listener = replies.step(onward, Change.EDIT, notices=[parts.here])
    for forged in (None, "", "{}", "\ud800", 7):
        reply = drawn(listener, first, forged)
        assert set(reply) == {parts.carried, parts.here}
        assert reply[parts.carried] == gr.skip()
        assert "Reload the page" in reply[parts.here]
        assert drawn(replies.step(onward, None), first, forged) == {parts.carried: gr.skip()}
    with pytest.raises(gr.Error, match="Reload the page"):
        replies.answer(lambda *_: "", parts.here).fn(first, "{}")


def test_a_lost_visit_is_called_back_and_nothing_else_happens(
    replies: Replies, parts: Parts, first: Visit, stays: dict[Block, Any]
) -> None:
    """Where the server holds another visit than the page is about, and the page's picture is not an example."""
    state = json.loads(stays[parts.carried])
    state["picture"] = {"caption": "Your picture", "content": "0" * 64}
    others = json.dumps(state)
    listener = replies.step(raises, Change.EDIT, notices=[parts.here])
    asked = drawn(listener, first, others)
    assert set(asked) == {parts.carried}
    assert asked[parts.carried]["lost"]
    assert set(drawn(replies.answer(raises, parts.here), first, others)) == {parts.carried}
    told, _ = replies.stream(stream_of({"a": 1}), {"a": parts.here}).fn(first, others)
    assert set(told) == {parts.carried}


def test_the_step_that_brings_back_is_given_what_the_server_holds(replies: Replies, parts: Parts, first: Visit) -> None:
    back = replace(first, key="0" * 32, step=5)
    listener = replies.step(lambda *_: Outcome(back, Change.SETUP), Change.SETUP, brings_back=True)
    reply = drawn(listener, replace(first, revision=7), "whatever")
    assert reply[parts.state] is back
    assert json.loads(carried(reply, parts)[parts.carried])["step"] == 5


def test_every_change_is_a_step_of_the_same_visit(replies: Replies, parts: Parts, stays: dict[Block, Any]) -> None:
    listener, told = replies.step(onward, Change.LEVER), stays
    for step in (1, 2):
        told = {part: carried(drawn(listener, *told.values()), parts)[part] for part in stays}
        assert told[parts.state].step == json.loads(told[parts.carried])["step"] == step
    assert len(told[parts.state].key) == 32


def test_a_press_that_names_no_component_gets_a_sentence(
    replies: Replies, parts: Parts, first: Visit, stays: dict[Block, Any]
) -> None:
    listener = replies.step(onward, Change.EDIT, hears=PressComponent, notices=[parts.here])
    for told in ({"component": "a lot", "action": "suppress", "on": True}, {}, None, 7):
        reply = drawn(listener, gr.EventData(None, told), *stays.values())
        assert "names no component" in reply[parts.here]
        assert reply[parts.state] is first


def test_a_message_is_handed_on_first(replies: Replies, parts: Parts, first: Visit, stays: dict[Block, Any]) -> None:
    taken = []

    def take(context: Context, v: Visit, *told: Any) -> Visit:
        taken.append(told)
        return v

    pressed = PressComponent(component=3, action="open", on=True)
    drawn(
        replies.step(take, Change.EDIT, parts.read, hears=PressComponent),
        gr.EventData(None, pressed.model_dump()), *stays.values(), "typed",
    )  # fmt: skip
    message = EditMessage.of(first)
    listener = replies.step(take, Change.EDIT, parts.read, hears=EditMessage, written_in=parts.besides)
    assert listener.inputs == [*stays, parts.read, parts.besides]
    drawn(listener, *stays.values(), "typed", message.to_json())
    assert taken == [(pressed, "typed"), (message, "typed")]


def test_an_answer_leaves_the_visit(replies: Replies, parts: Parts, first: Visit, stays: dict[Block, Any]) -> None:
    one = replies.answer(lambda _, v, typed: v.setup + typed, parts.here, parts.read)
    assert drawn(one, *stays.values(), "!") == {parts.here: "bundled!"}
    several: dict[str, Block | Shown] = {"said": parts.here, "shown": Shown(parts.there, lambda on: ("update", on))}
    two = replies.answer(lambda *_: {"shown": True}, several)
    assert two.outputs == [*stays, parts.here, parts.there]
    assert drawn(two, *stays.values()) == {parts.there: ("update", True)}
    with pytest.raises(gr.Error, match="Not <b>so</b>."):
        replies.answer(raises, parts.here).fn(*stays.values())


def stream_of(*steps: dict[str, object]) -> Callable[..., Iterator[dict[str, object]]]:
    return lambda context, v: iter(steps)


def test_a_stream_draws_part_by_part_and_its_last_step_changes_nothing(
    replies: Replies, parts: Parts, first: Visit, stays: dict[Block, Any]
) -> None:
    shows = {"a": parts.here, "b": parts.there}
    told = list(replies.stream(stream_of({"a": 1}, {"a": 2, "b": 3}), shows).fn(*stays.values()))
    assert told == [{parts.here: 1}, {parts.here: 2, parts.there: 3}, gr.skip()]
    assert list(replies.stream(stream_of(), shows).fn(*stays.values())) == [gr.skip()]
