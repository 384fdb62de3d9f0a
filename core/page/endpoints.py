"""Named endpoints: the same questions for programs; see /?view=api. Classes are separated by commas or lines."""

from typing import Any

import gradio as gr

from ..serving.api import Programs
from ..setups.pool import SetupPool
from ..workbench import Workbench
from .widgets import sentences

Json = dict[str, Any]
"""An answer."""

LANE: Json = {"concurrency_id": "programs", "concurrency_limit": 1}


def build(pool: SetupPool[Workbench], opens_with: str) -> None:
    """Add them to the page. The setup `opens_with` answers where none is named.

    The inputs are components nobody sees, and not `gr.api`, which would hand over any path a caller names:
    `gr.File` accepts only what was uploaded.
    """
    file = gr.File(visible=False, label="picture")
    text, wanted, against, words, name = (
        gr.Textbox("", visible=False, label=label) for label in ("classes", "wanted", "against", "words", "setup")
    )
    number, which = (
        gr.Number(value, visible=False, label=label, precision=0) for value, label in ((10, "shown"), (0, "component"))
    )
    levers, tokens, found = (gr.JSON(visible=False, label=label) for label in ("levers", "tokens", "answer"))

    ask = Programs(pool, opens_with)

    def setups() -> list[Json]:
        """The setups this page offers, by the names that the other endpoints take."""
        return ask.setups()

    def predict(picture: str | None, classes: str, setup: str) -> Json:
        """Zero-shot prediction among the classes."""
        with sentences():
            return ask.predict(picture, classes, setup)

    def attribute(picture: str | None, classes: str, wanted: str, against: str, shown: int | None, setup: str) -> Json:
        """The strongest components for `wanted` against `against`, by default the predicted class and the next."""
        with sentences():
            return ask.attribute(picture, classes, wanted, against, shown, setup)

    def steer(picture: str | None, classes: str, levers: Any, tokens: Any, setup: str) -> Json:
        """The prediction before and after an edit."""
        with sentences():
            return ask.steer(picture, classes, levers, tokens, setup)

    def component(component: int | None, classes: str, setup: str) -> Json:
        """What a component fires for: reference pictures, label guesses, neighbours, family, what it pushes."""
        with sentences():
            return ask.component(component, classes, setup)

    def search(words: str, picture: str | None, shown: int | None, setup: str) -> Json:
        """The components whose reference pictures fit words, or a picture where there are no words."""
        with sentences():
            return ask.search(words, picture, shown, setup)

    gr.on([], setups, None, found, api_name="setups", **LANE)
    gr.on([], predict, [file, text, name], found, api_name="predict", **LANE)
    gr.on([], attribute, [file, text, wanted, against, number, name], found, api_name="attribute", **LANE)
    gr.on([], component, [which, text, name], found, api_name="component", **LANE)
    gr.on([], search, [words, file, number, name], found, api_name="search", **LANE)
    gr.on([], steer, [file, text, levers, tokens, name], found, api_name="steer", **LANE)
