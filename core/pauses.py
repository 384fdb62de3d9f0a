"""Pauses of long work: between two of its batches it lets quicker work go first, where a server asks for that."""

from collections.abc import Callable
from contextvars import ContextVar

ASKED: ContextVar[Callable[[], object] | None] = ContextVar("asked", default=None)
"""What to do at a pause; None where nobody else computes."""


def pause() -> None:
    """Here long work may be held up for a moment."""
    if (wait := ASKED.get()) is not None:
        wait()
