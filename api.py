"""The same questions for programs: three endpoints that answer in plain JSON."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from core import plain
from core.clip import TEMPLATES
from core.errors import Trouble
from core.prompts import parse_classes
from core.visit import named_target
from core.workbench import Workbench


def endpoints(bench: Workbench) -> None:
    """The same questions for programs; see /?view=api. Classes are separated by commas or lines.

    The inputs are components nobody sees, and not `gr.api`, which would hand over any path a caller names:
    `gr.File` accepts only what was uploaded.
    """
    file = gr.File(visible=False, label="picture")
    text, wanted, against = (gr.Textbox("", visible=False, label=name) for name in ("classes", "wanted", "against"))
    number = gr.Number(10, visible=False, label="shown", precision=0)
    levers, tokens, found = (gr.JSON(visible=False, label=name) for name in ("levers", "tokens", "answer"))

    def predict(picture: str | None, classes: str) -> dict:
        """Zero-shot prediction among the classes."""
        with told():
            names = parse_classes(classes or "").names
            return plain.prediction(bench.classify(bench.open(picture), names, TEMPLATES["single"]))

    def attribute(picture: str | None, classes: str, wanted: str, against: str, shown: int | None) -> dict:
        """The strongest components for `wanted` against `against`, by default the predicted class and the next."""
        with told():
            names = parse_classes(classes or "").names
            trace, templates = bench.open(picture), TEMPLATES["single"]
            target = named_target(bench.classify(trace, names, templates), wanted, against)
            return plain.attribution(bench.attribute(trace, names, templates, target), names, max(1, shown or 10))

    def steer(picture: str | None, classes: str, levers: list, tokens: list | None) -> dict:
        """The prediction before and after an edit."""
        with told():
            names = parse_classes(classes or "").names
            edit = plain.edit(levers, tokens)
            return plain.comparison(bench.compare(bench.open(picture), edit, names, TEMPLATES["single"]))

    limits: dict[str, Any] = {"concurrency_id": "programs", "concurrency_limit": 1}
    gr.on([], predict, [file, text], found, api_name="predict", **limits)
    gr.on([], attribute, [file, text, wanted, against, number], found, api_name="attribute", **limits)
    gr.on([], steer, [file, text, levers, tokens], found, api_name="steer", **limits)


@contextmanager
def told() -> Iterator[None]:
    """Trouble reaches a program as the error's message."""
    try:
        yield
    except Trouble as trouble:
        raise gr.Error(str(trouble), print_exception=False) from trouble
