"""Launch of the app: settings, page, and its end."""

import gc
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Event

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

    from ..background import Job
    from ..concepts.growth import Growth
    from ..serving.settings import Settings, chosen_setups, make_pool
    from ..serving.turns import Turns
    from ..setups.catalog import SetupSpec
    from ..setups.pool import SetupPool
    from ..workbench import Workbench
    from .appearance import launch_options
    from .fair_queue import FairQueue
    from .inputs import TypedBlocks
    from .layout import build

__all__ = ["launch_options", "make_page", "open_app", "serve"]

SWITCH = 0.0005
"""Seconds after which a thread that computes lets the next run Python: a press changes threads a dozen times."""
LAST_SECONDS = 8.0
"""For answers that are being worked out when the app has to end, and for what has to be saved."""


def make_page(settings: Settings, cards: Mapping[str, SetupSpec]) -> TypedBlocks:
    """The page, ready to be launched, and to load the setup of the settings once it is."""
    turns = Turns()
    pool = make_pool(settings, cards, spaces.GPU if on_zero_gpu() else None, rest=turns.rest)
    page = build(pool, settings.setup, settings.local)
    page.unsaved = partial(_unsaved, pool)
    page.queue(api_open=False)
    page._queue = FairQueue(page, turns, settings.hosted, settings.local)
    page.mcp_server = True  # so that the start, and the page's configuration, tell of our tools (tools.py)
    return page


def _unsaved(pool: SetupPool[Workbench]) -> list[Job[Growth, None]]:
    """What reads pictures for a concept index just now."""
    making = [bench.making for name in pool.loaded() if (bench := pool.peek(name)) is not None]
    begun = [(job, job.step) for job in making if job is not None and job.step is not None]
    return [job for job, step in begun if step.source and step.done != step.total]


def open_app(words: Sequence[str], port: int) -> None:
    """Serve the page of the environment's settings and what was typed. Raises UserError for what cannot be used."""
    serve(make_page(*chosen_setups(Settings.from_environment(), words)), port)


def serve(page: TypedBlocks, port: int) -> None:
    """Serve the page until the process is told to end. Answers that are being worked out then have some seconds.

    So has what is made in the background, to save how far it is.
    """
    end = Event()
    before = {number: signal.signal(number, lambda *_: end.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    sys.setswitchinterval(SWITCH)
    try:
        page.launch(**launch_options(), prevent_thread_lock=True, server_port=port)
        for job in page.jobs:
            job.start()
        end.wait()
    finally:
        unsaved = page.unsaved()
        for job in (*page.jobs, *unsaved):
            job.stop()
        for number, handler in before.items():  # told twice, it ends at once
            signal.signal(number, handler)
        queue, last = page._queue, time.monotonic() + LAST_SECONDS
        assert isinstance(queue, FairQueue)
        queue.closing = True
        while (queue.computing or not all(job.over for job in unsaved)) and time.monotonic() < last:
            time.sleep(0.05)
        page.close(verbose=False)
