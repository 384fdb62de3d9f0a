"""Buffer of residuals for a dictionary training: those of the pictures that were read last, in half precision."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import psutil
import torch
from torch import Tensor

from ..errors import UserError
from ..model.clip import SplitClip
from ..model.scope import Scope, tokens_in_scope
from ..pictures.batches import batches
from ..pictures.collection import Collection
from ..words import size_in_words

_READ = 128
"""Pictures that run through the CLIP at a time."""


class _BatchStart(NamedTuple):
    """Where a batch of pictures lies."""

    first: int
    """Pictures read before it."""
    part: int
    """Its part of the collection."""
    number: int
    """Its number in that part."""


class Ring:
    """The residuals of the pictures that were read last, of one process's share of a collection."""

    def __init__(
        self,
        clip: SplitClip,
        scope: Scope,
        collection: Collection,
        capacity: int,
        parts: Sequence[int] | None = None,
        workers: int = 0,
    ) -> None:
        """Room for so many pictures; nothing is read yet. `parts` is the share, by default all of them."""
        self.read = 0
        self.skipped = 0
        self._clip, self._collection, self._workers = clip, collection, workers
        self._parts = list(range(collection.n_parts) if parts is None else parts)
        scoped = tokens_in_scope(scope, clip.n_tokens)
        self._tokens, tokens = slice(scoped.start, scoped.stop), len(scoped)
        self._class_token = scope == "all"
        size = 2 * capacity * tokens * clip.width
        if size > psutil.virtual_memory().available:
            raise UserError(
                f"The residuals of {capacity:,} pictures take {size_in_words(size)}, more memory than there is. "
                "Hold fewer with --buffer."
            )
        self.held = torch.empty(capacity, tokens, clip.width, dtype=torch.float16)
        """float16 [n, tokens in scope, d], n at most the capacity."""
        self._at_a_time = min(_READ, capacity)
        self._batches = self._stream(None)
        self._found = False
        self._marks: deque[_BatchStart] = deque()

    def fill(self, tell: Callable[[int], object] = lambda _: None) -> None:
        """Read until it is full or the share is at its end. `tell` hears how many pictures were read at a time."""
        while self.read < len(self.held):
            before = self.read
            if not self._read_on():
                self.held = self.held[: self.read]
            tell(self.read - before)

    def renew(self, until: int) -> None:
        """Read on, round and round, until so many pictures were read in all."""
        while self.read < until:
            self._read_on()

    def state(self) -> list[int]:
        """Whole numbers from which `restore` makes the same ring."""
        return [len(self.held), self.read, self.skipped, *self._marks[0]]

    def restore(self, state: Sequence[int], tell: Callable[[int], object] = lambda _: None) -> None:
        """Hold again what was held, by reading it again."""
        size, read, skipped, *oldest = state
        mark = _BatchStart(*oldest)
        self.held = self.held[:size]
        self._batches = self._stream(mark)
        self._found = True
        self.read = mark.first
        while self.read < read:
            before = self.read
            self._read_on()
            tell(self.read - before)
        self.skipped = skipped

    def draw(self, count: int, class_token_share: float, generator: torch.Generator) -> Tensor:
        """Tokens [count, d], float16; of the class token, where it is one among others, that share."""
        pictures, tokens, _ = self.held.shape
        first = 1 if self._class_token else 0
        picture = torch.randint(pictures, (count,), generator=generator)
        token = torch.randint(first, tokens, (count,), generator=generator)
        if self._class_token:
            token[: round(count * class_token_share)] = 0
        return self.held[picture, token]

    def _stream(self, start: _BatchStart | None) -> Iterator[Any]:
        """The batches of one round, from one of them on."""
        parts, after = self._parts, None
        if start is not None:
            parts = parts[parts.index(start.part) :]
            after = (start.part, start.number - 1) if start.number else None
        return batches(self._collection, self._clip.crop, self._at_a_time, parts, after, self._workers)

    def _read_on(self) -> bool:
        """Read the next batch of pictures over the oldest. False where a round ended instead, and the next begins."""
        batch = next(self._batches, None)
        if batch is None:
            if not self._found:
                raise UserError("None of the collection's pictures could be read. Choose another collection.")
            self._batches, self._found = self._stream(None), False
            return False
        self.skipped += batch.skipped
        if not len(batch.crops):
            return True
        x = self._clip.read(self._clip.pixels(batch.crops)).seen[:, self._tokens].half().cpu()
        if not bool(torch.isfinite(x).all()):
            place = self._clip.place.words(self._clip.n_layers)
            raise UserError(f"The {place} holds numbers beyond half precision. Choose another place.")
        self._found = True
        self.held[(torch.arange(len(x)) + self.read) % len(self.held)] = x
        self._marks.append(_BatchStart(self.read, batch.part, batch.number))
        self.read += len(x)
        while len(self._marks) > 1 and self._marks[1].first <= self.read - len(self.held):
            self._marks.popleft()
        return True
