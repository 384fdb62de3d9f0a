"""Background threads for long work: where a server offers one, the system lets all others go first."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

OFFERED: ContextVar[Callable[[Callable[[], Any]], Any] | None] = ContextVar("offered", default=None)
"""What does a piece of work, in the background if it should be there; None where nobody else computes."""


def aside(work: Callable[[], T]) -> T:
    """What a piece of long work returns, wherever it is done; threads keep no gradient mode of each other."""
    do = OFFERED.get()
    return work() if do is None else do(work)
