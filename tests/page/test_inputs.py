"""Inputs: what is not of the types that a listener asks for is refused with a sentence, and so is what Gradio cannot
read; a fault of our own is told in the log alone."""

import asyncio
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio.blocks import Block
from gradio.state_holder import SessionState
from markupsafe import Markup

from core.errors import UserError
from core.page.inputs import FAULT, NOT_HERE, TypedBlocks, endpoint, typed
from core.page.wire import REFUSAL
from core.session.typed import Index, Text


def asked(context: object, text: Text, number: Index | None, kept: object) -> tuple[object, ...]:
    return text, number, kept


def test_values_of_the_types_asked_for_come_in_as_they_are() -> None:
    kept = object()
    read = typed(asked, [gr.Textbox(), gr.Number(), gr.State()], first=1)
    assert read(["dog", 3, kept]) == ["dog", 3, kept]
    assert read(["", None, None]) == ["", None, None]
    assert read(["a 🐕 dog\ud83d", 0, kept]) == ["a 🐕 dog", 0, kept], "half a character goes"
    assert typed(lambda *values: values, [gr.Textbox()])([{"any": 1}]) == [{"any": 1}], "what declares nothing"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *((wrong, 1) for wrong in (None, 3, True, ["dog"], {"a": 1}, b"dog")),
        *(("dog", wrong) for wrong in ("3", 1.0, True, -1, 2**31, float("nan"), float("inf"), [3])),
    ],
)
def test_other_types_are_refused(text: object, number: object) -> None:
    read = typed(asked, [gr.Textbox(), gr.Number(), gr.State()], first=1)
    with pytest.raises(UserError, match="Reload"):
        read([text, number, None])


def test_an_endpoint_says_as_an_error_what_cannot_be_used() -> None:
    def ask(text: Text) -> str:
        raise UserError(f"No {text}.")

    told = endpoint(ask, [gr.Textbox()])
    for value, words in (("dogs", "No dogs."), (3, REFUSAL)):
        with pytest.raises(gr.Error, match=words) as caught:
            told(value)
        assert not caught.value.print_exception
    assert told.__name__ == "ask"


def answer(of: TypedBlocks, *inputs: Any) -> Any:
    """What Gradio's server gets from the only listener."""
    return asyncio.run(of.process_api(0, list(inputs), state=SessionState(of)))["data"]


def refusal(of: TypedBlocks, *inputs: Any) -> gr.Error:
    with pytest.raises(gr.Error) as caught:
        answer(of, *inputs)
    return caught.value


@pytest.fixture
def blocks() -> TypedBlocks:
    with TypedBlocks() as blocks:
        text, chosen, number, file = gr.Textbox(), gr.Dropdown(["a", "b"]), gr.Number(precision=0), gr.File()
        said = gr.HTML()
        gr.on(
            [], lambda *given: " ".join(map(str, given)), [text, chosen, number, file], said, api_visibility="private"
        )  # as the page's own listeners are
    return blocks


def test_what_gradio_reads_is_answered(blocks: TypedBlocks) -> None:
    assert answer(blocks, "dog", "a", 3, None) == ["dog a 3 None"]


@pytest.mark.parametrize(
    "inputs",
    [
        (), ("dog",), (["dog"], "a", 1, None), ({"a": 1}, "a", 1, None), (3, "a", 1, None),
        ("dog", "c", 1, None), ("dog", {"a": 1}, 1, None), ("dog", "a", float("inf"), None), ("dog", "a", "x", None),
        ("dog", "a", 1, "/etc/passwd"), ("dog", "a", 1, []), ("dog", "a", 1, {"path": None}),
    ],
)  # fmt: skip
def test_what_gradio_cannot_read_is_refused(blocks: TypedBlocks, inputs: tuple[Any, ...]) -> None:
    trouble = refusal(blocks, *inputs)
    assert trouble.message == REFUSAL
    assert not trouble.print_exception


def test_a_file_that_was_never_uploaded_is_asked_for(blocks: TypedBlocks) -> None:
    blocks.has_launched = True  # before, any file is welcome
    file = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    trouble = refusal(blocks, "dog", "a", 1, file)
    assert trouble.message == NOT_HERE
    assert not trouble.print_exception


@pytest.mark.parametrize("path", ["/etc/passwd", "\ud800"])
def test_files_in_what_an_event_says_are_refused(path: str) -> None:
    """Gradio looks for them before our own function is called, and told of them by its own exceptions."""
    with TypedBlocks() as blocks:
        gr.on([], lambda: "", None, gr.HTML())
    blocks.has_launched = True
    event = gr.EventData(None, {"file": {"path": path, "meta": {"_type": "gradio.FileData"}}})
    with pytest.raises(gr.Error, match=REFUSAL) as caught:
        asyncio.run(blocks.process_api(0, [], state=SessionState(blocks), event_data=event))
    assert not caught.value.print_exception


def test_a_fault_of_our_own_is_told_in_the_log_alone() -> None:
    with TypedBlocks() as blocks:
        gr.on([], lambda text: text[3], [gr.Textbox()], gr.HTML())
    trouble = refusal(blocks, "dog")
    assert trouble.message == FAULT
    assert trouble.print_exception
    assert isinstance(trouble.__cause__, IndexError)


def test_what_changes_in_a_stream_is_sent_whole() -> None:
    """Edits within a value would change what the page has still to draw."""
    with TypedBlocks() as page:
        parts = [gr.Plot(), gr.HTML(), gr.Plot()]
        gr.on([], lambda: None, None, parts)
    (fn,) = page.fns.values()
    figure, skipped = {"type": "plotly", "plot": "{}", "chart": ""}, {"__type__": "update"}
    steps = [[figure, "a", skipped], [skipped, "ab", skipped], [figure | {"plot": "[]"}, "c", figure]]
    sent = [page.handle_streaming_diffs(fn, list(step), session_hash="s", run="r", final=False) for step in steps]
    assert sent[0] == steps[0]
    assert sent[1] == [[["replace", [], skipped]], [["append", [], "b"]], []]
    assert sent[2] == [[["replace", [], steps[2][0]]], [["replace", [], "c"]], [["replace", [], figure]]]
    assert page.handle_streaming_diffs(fn, [None] * 3, session_hash="s", run="r", final=True) == steps[2]


def test_of_a_reply_only_what_it_draws_is_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent of these is what Gradio would send, and no other part is constructed anew, nor told anything."""
    with TypedBlocks() as page:
        parts = [gr.HTML(), gr.State(), gr.Textbox(), gr.HTML()]
        gr.on([], lambda: None, None, parts)
    (fn,) = page.fns.values()
    made: list[gr.HTML] = []
    construct = gr.HTML.__init__

    def count(part: gr.HTML, *given: Any, **named: Any) -> None:
        made.append(part)
        construct(part, *given, **named)

    replies = [[], parts[:1], parts[1:2], parts[:3], parts[2:], parts]
    for drawn in replies:
        reply = {part: gr.Textbox("b", visible=False) if part is parts[2] else "a" for part in drawn}
        left = dict.fromkeys(set(parts) - set(drawn), gr.skip())
        expected = asyncio.run(gr.Blocks.postprocess_data(page, fn, dict(reply) | left, SessionState(page)))
        with monkeypatch.context() as patch:
            patch.setattr(gr.HTML, "__init__", count)
            sent = asyncio.run(page.postprocess_data(fn, reply | left, SessionState(page)))
        for part, told, one in zip(parts, sent, expected, strict=True):
            assert told == (one if part in drawn else None if part.stateful else gr.skip())
    assert made == []
    state = SessionState(page)
    asyncio.run(page.postprocess_data(fn, {parts[1]: "kept"}, state))
    assert state[parts[1]._id] == "kept"
    with TypedBlocks() as page:
        gr.on([], lambda: None, None, gr.JSON())
    (fn,) = page.fns.values()
    for answer in ({}, {"best": "dog"}, gr.skip()):
        told = asyncio.run(gr.Blocks.postprocess_data(page, fn, dict(answer), SessionState(page)))
        assert asyncio.run(page.postprocess_data(fn, dict(answer), SessionState(page))) == told, "a value, and no reply"
    picture = np.zeros((2, 2, 3), np.uint8)
    with TypedBlocks() as page:
        shown = gr.Image(format="png")
        gr.on([], lambda: None, None, [shown, gr.HTML()])
    (fn,) = page.fns.values()
    sent = asyncio.run(page.postprocess_data(fn, {shown: picture}, SessionState(page)))
    assert sent[0]["path"].endswith(".png")


def test_drawn_html_and_names_of_tabs_are_sent_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Gradio sends them, which constructs each part anew, or asks a thread about each."""
    with TypedBlocks() as page:
        with gr.Tab("one") as tab:
            plain, widget = gr.HTML("a"), gr.HTML("{}", html="a", html_template="${html}")
        gr.on([], lambda: None, None, [plain, widget, tab])
    (fn,) = page.fns.values()
    anew, renamed = gr.update(html="b", value="[1]"), gr.update(label="two")

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError

    replies: list[dict[Block, Any]] = [
        {plain: "b"}, {plain: Markup("<b>b</b>"), widget: gr.update(html="b")}, {plain: None, tab: renamed},
        {widget: "[2]"}, {widget: anew, tab: renamed}, {widget: gr.update(value="[3]")},
        {plain: gr.update(visible=False)},
    ]  # fmt: skip
    for reply in replies:
        left = dict.fromkeys({plain, widget, tab} - set(reply), gr.skip())
        given = {part: dict(value) if isinstance(value, dict) else value for part, value in reply.items()}
        expected = asyncio.run(gr.Blocks.postprocess_data(page, fn, given | left, SessionState(page)))
        with monkeypatch.context() as patch:
            for kind in (gr.HTML, gr.Tab) if reply is not replies[-1] else ():
                patch.setattr(kind, "__init__", fail)
                patch.setattr(kind, "postprocess", fail, raising=False)
            sent = asyncio.run(page.postprocess_data(fn, reply | left, SessionState(page)))
        for part, told, one in zip(fn.outputs, sent, expected, strict=True):
            for update in (told, one):
                if isinstance(update, dict) and "props" in update:  # among which Gradio counts its own mark
                    update["props"].pop("__type__", None)
            assert told == (one if part in reply else gr.skip())
