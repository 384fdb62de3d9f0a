"""Counts of what an edit does to the pictures that pass through a model, without labels and from any thread.

What a batch counts stays on its device until later batches have come, so that nothing waits for it.
"""

from __future__ import annotations

from collections import deque
from copy import deepcopy
from dataclasses import dataclass
from threading import RLock
from typing import Any

import torch
from torch import Tensor

from .rate_test import RateTest

_WAITING = 32
"""Batches whose counts are left on their device."""


@dataclass(frozen=True)
class Tallied:
    """What was counted in some pictures."""

    n: int = 0
    """Pictures."""
    acts: int = 0
    """In which the edit changes anything in the residual."""
    changes: int = 0
    """Of which it changes the answer; 0 where answers are not counted."""
    moved: float = 0.0
    """Sum of 1 - cosine between the embedding with the edit and without; 0 where answers are not counted."""

    def __add__(self, other: Tallied) -> Tallied:
        """Both together."""
        return Tallied(self.n + other.n, self.acts + other.acts, self.changes + other.changes, self.moved + other.moved)


class Tally:
    """Counts, batch by batch. A copy of it, as of a model that holds it, goes on counting by itself."""

    def __init__(self, acts: RateTest | None = None, changes: RateTest | None = None) -> None:
        """Nothing is counted yet. `acts` and `changes` test the rates of both as pictures come."""
        self._lock = RLock()
        self._waiting: deque[tuple[int, Tensor]] = deque()
        self._tests = (acts, changes)
        self._total = Tallied()

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def add(self, acts: Tensor, changes: Tensor | None = None, moved: Tensor | None = None) -> None:
        """One batch: whether the edit acts in each picture, bool [B]; changes its answer, and how far it moves it."""
        sums = [
            torch.zeros_like(acts).sum() if part is None else part.detach().sum() for part in (acts, changes, moved)
        ]
        with self._lock:
            self._waiting.append((len(acts), torch.stack([each.float() for each in sums])))
            while len(self._waiting) > _WAITING:
                self._read()

    def read(self) -> tuple[Tallied, RateTest | None, RateTest | None]:
        """What was counted by now, and copies of the tests."""
        with self._lock:
            while self._waiting:
                self._read()
            acts, changes = deepcopy(self._tests)
            return self._total, acts, changes

    def _read(self) -> None:
        n, sums = self._waiting.popleft()
        acts, changes, moved = sums.tolist()
        self._total += Tallied(n, int(acts), int(changes), moved)
        for test, k in zip(self._tests, (int(acts), int(changes)), strict=True):
            if test is not None:
                test.add(n, k)

    def __getstate__(self) -> dict[str, Any]:
        """Without the lock, which cannot be copied."""
        total, acts, changes = self.read()
        return {"total": total, "tests": (acts, changes)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As `__getstate__` left it."""
        Tally.__init__(self, *state["tests"])
        self._total = state["total"]
