"""Gradio's quirks, written once: HTML with and without a script, values beside what is drawn, errors as sentences."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio.events import Dependency

from ..errors import UserError
from ..files import ASSETS
from ..views import frame

_BARE: dict[str, Any] = {"padding": False, "apply_default_css": False}


def html(value: str | None = None, *, elem_id: str, elem_classes: str | None = None) -> gr.HTML:
    """HTML that does not listen."""
    return gr.HTML(value, elem_id=elem_id, elem_classes=elem_classes, js_on_load=None, **_BARE)


def notice_place(elem_id: str) -> gr.HTML:
    """Where a sentence for the visitor appears, next to what it is about."""
    return html(frame.notice(), elem_id=elem_id, elem_classes="said")


def widget(name: str, value: str, *scripts: str, elem_classes: str | None = None) -> gr.HTML:
    """HTML that listens, by the script of its name in assets/widgets, or by others."""
    script = "\n".join(map(_script, scripts or (name,)))
    return gr.HTML(value, elem_id=name, elem_classes=elem_classes, js_on_load=script, **_BARE)


def message_widget(name: str, drawn: str, message: str, **props: Any) -> gr.HTML:
    """HTML that listens, and whose value is a message for the page to write; Python draws by a prop."""
    html: dict[str, Any] = {"html": drawn, "html_template": "${html}", "js_on_load": _script(name)}
    return gr.HTML(message, elem_id=name, **html, **props, **_BARE)


def redrawn(drawn: str, message: str | None = None) -> dict[str, Any]:
    """An update of a `message_widget`: what it shows, and its value where the page's own is outdated."""
    return gr.update(html=drawn) if message is None else gr.update(html=drawn, value=message)


def event_data(event: gr.EventData) -> object:
    """What a script gave to `trigger`. Gradio hands it out by attribute alone, which fails for what is not there."""
    return event._data


def tells(event: str, detail: str) -> str:
    """A listener's `js`: the scripts of the page hear that something happened, and to what."""
    return f"() => document.dispatchEvent(new CustomEvent('{event}', {{ detail: '{detail}' }}))"


def tells_of_refusal(asked: Dependency, name: str) -> None:
    """What waits for an answer hears that none will come: too much was asked, or the way to the server broke."""
    asked.failure(None, js=tells("refused", name))


@contextmanager
def sentences() -> Iterator[None]:
    """UserError reaches a program, or a visitor where there is no better place, as the error's message."""
    try:
        yield
    except UserError as trouble:
        raise gr.Error(str(trouble), print_exception=False) from trouble


def _script(name: str) -> str:
    return (ASSETS / "widgets" / f"{name}.js").read_text(encoding="utf-8")
