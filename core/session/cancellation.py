"""Cancellation of a visitor's long answers: of each kind, only the latest is worked out to its end."""

import math
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestOnly(Generic[T]):
    """One kind of long answer. A new one that begins cancels the one before it, at its next step.

    It lives in the visitor's session and is the one thing there that changes: an answer that is still being worked out
    has to learn that nobody waits for it any more, and what is being computed cannot be told otherwise.
    """

    def __init__(self) -> None:
        """Nothing is being worked out."""
        self._latest = 0
        self._moment = -1.0
        self.about: str | None = None
        """What the latest one is about, where whoever began it said so and for as long as it lasts."""
        self.reply: T | None = None
        """What the latest one last replied. An older one that ends after it has to reply the same: the page keeps what
        comes last."""

    def begin(self, moment: float = math.inf, about: str | None = None) -> Callable[[], bool]:
        """Begin an answer. What this returns tells whether it is still wanted.

        `moment` is when the page asked for it, in ms by its own clock: what was asked for earlier than the latest, and
        comes later, is not wanted, and cancels nothing.
        """
        if moment < self._moment:
            return lambda: False
        self._moment, self.about = moment, about
        self._latest += 1
        mine = self._latest
        return lambda: mine == self._latest
