"""Named endpoints of the page, for programs: gradio_client, curl (core/serving/API.md), and MCP clients (tools.py).

Their names, parameters and order are kept: whoever wrote a program against them finds them again.
"""

from collections.abc import Callable, Generator
from functools import wraps
from inspect import signature
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.processing_utils import save_bytes_to_cache

from ..recipes import Recipe
from ..serving.api import SHOWN, SHOWN_PICTURES, Programs
from .context import Context
from .inputs import endpoint
from .lanes import PROGRAMS, Lane
from .recipe_box import FOLDER, zipped

LANE: Lane = {"concurrency_id": PROGRAMS, "concurrency_limit": None}


def build(context: Context) -> None:
    """Add them to the page. The setup that it is meant to open with answers where none is named.

    The inputs are components nobody sees, one for each name of a parameter, and not `gr.api`, which would hand over any
    path a caller names: `gr.File` accepts only what was uploaded.
    """
    parts: dict[str, Component] = {
        "picture": gr.File(visible=False, label="picture"),
        "like": gr.File(visible=False, label="like"),
        "pictures": gr.File(visible=False, label="pictures", file_count="multiple"),
        "unseen": gr.Checkbox(False, visible=False, label="unseen"),
        "component": gr.Number(visible=False, label="component", precision=0),
        "shown": gr.Number(SHOWN, visible=False, label="shown", precision=0),
        "pictures_shown": gr.Number(SHOWN_PICTURES, visible=False, label="pictures_shown", precision=0),
    }
    for name in ("classes", "wanted", "against", "truth", "words", "title", "setup"):
        parts[name] = gr.Textbox("", visible=False, label=name)
    for name in ("levers", "tokens", "condition"):
        parts[name] = gr.JSON(visible=False, label=name)
    answer, file = gr.JSON(visible=False, label="answer"), gr.File(visible=False, label="recipe")
    ask = Programs(context.pool, lambda: context.opening.meant)
    fns: dict[Callable[..., object], Component] = dict.fromkeys(
        (
            ask.setups, ask.predict, ask.attribute, ask.steer, ask.evidence, ask.component, ask.search, ask.find_edit,
            ask.try_on_many,
        ),
        answer,
    )  # fmt: skip
    fns[_filed(ask.recipe, file.GRADIO_CACHE)] = file
    for fn, answers in fns.items():
        reads = [parts[name] for name in signature(fn).parameters]
        gr.on([], endpoint(fn, reads), reads, answers, api_name=fn.__name__, **LANE)


def _filed(fn: Callable[..., Generator[Recipe | None]], folder: str) -> Callable[..., Generator[str | None]]:
    """The same with a recipe as a zip in a folder."""

    @wraps(fn)
    def steps(*values: Any) -> Generator[str | None]:
        for made in fn(*values):
            yield None if made is None else save_bytes_to_cache(zipped(made), f"{FOLDER}.zip", folder)

    return steps
