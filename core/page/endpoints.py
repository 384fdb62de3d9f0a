"""Named endpoints of the page, for programs; see /?view=api. Classes are separated by commas or lines."""

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.components import Component

from ..serving.api import Programs
from ..session.typed import Index, Text
from ..setups.pool import SetupPool
from ..workbench import Workbench
from .inputs import endpoint
from .lanes import PROGRAMS

Json = dict[str, Any]
"""An answer."""

LANE: Json = {"concurrency_id": PROGRAMS, "concurrency_limit": None}


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

    def predict(picture: str | None, classes: Text | None, setup: Text | None) -> Json:
        """Zero-shot prediction among the classes."""
        return ask.predict(picture, classes, setup)

    def attribute(
        picture: str | None,
        classes: Text | None,
        wanted: Text | None,
        against: Text | None,
        shown: Index | None,
        setup: Text | None,
    ) -> Json:
        """The strongest components for `wanted` against `against`, by default the predicted class and the next."""
        return ask.attribute(picture, classes, wanted, against, shown, setup)

    def steer(picture: str | None, classes: Text | None, levers: object, tokens: object, setup: Text | None) -> Json:
        """The prediction before and after an edit."""
        return ask.steer(picture, classes, levers, tokens, setup)

    def component(component: Index | None, classes: Text | None, setup: Text | None) -> Json:
        """What a component fires for: reference pictures, label guesses, neighbours, family, what it pushes."""
        return ask.component(component, classes, setup)

    def search(words: Text | None, picture: str | None, shown: Index | None, setup: Text | None) -> Json:
        """The components whose reference pictures fit words, or a picture where there are no words."""
        return ask.search(words, picture, shown, setup)

    answers: dict[Callable[..., object], list[Component]] = {
        setups: [],
        predict: [file, text, name],
        attribute: [file, text, wanted, against, number, name],
        component: [which, text, name],
        search: [words, file, number, name],
        steer: [file, text, levers, tokens, name],
    }
    for fn, reads in answers.items():
        gr.on([], endpoint(fn, reads), reads, found, api_name=fn.__name__, **LANE)
