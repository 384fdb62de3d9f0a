"""Launch of the app: environment, settings, page."""

import gc
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")


@contextmanager
def all_kept() -> Iterator[None]:
    """Nothing is looked at for garbage while these imports are made, nor are they themselves later: they stay.

    A million objects come with them, and looking through them again and again takes a sixth of the start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


with all_kept():
    from ..model.devices import on_zero_gpu

    if on_zero_gpu():
        import spaces  # before anything that could touch CUDA

    import gradio as gr

    from ..errors import UserError
    from ..serving.settings import Settings, chosen_setups, make_shelf
    from ..serving.turns import Turns
    from ..setups.catalog import SetupSpec, find
    from .appearance import launch_options
    from .fair_queue import FairQueue
    from .layout import build


def make_page(settings: Settings, cards: Mapping[str, SetupSpec]) -> gr.Blocks:
    """The page, ready to be launched. Where its setup cannot be loaded it opens with the bundled one, and says why."""
    pool = make_shelf(settings, cards, spaces.GPU if on_zero_gpu() else None)
    opens_with, apology = settings.setup, ""
    try:
        find(cards, opens_with)
        pool.get(opens_with)
    except UserError as trouble:
        opens_with, apology = "bundled", f"{trouble} This page opens with the bundled demo instead."
    page = build(pool, opens_with, apology).queue(api_open=False)
    page._queue = FairQueue(page, Turns(), settings.hosted)
    return page


def main() -> None:
    """The command."""
    try:
        page = make_page(*chosen_setups(Settings.from_environment(), sys.argv[1:]))
    except UserError as trouble:
        raise SystemExit(str(trouble)) from trouble
    page.launch(**launch_options())
