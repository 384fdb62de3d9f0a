"""Batches of crops, as the model reads them, from the parts of a collection; threads decode ahead.

A batch never holds pictures of two parts, so what is in it does not depend on how many processes there are.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import inf
from time import monotonic
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from .collection import Collection, Piece
from .labels import Others

T = TypeVar("T")

_Seen = tuple[Piece, np.ndarray | None]
"""A piece without its picture, and what the model sees of that, uint8 [S, S, 3]; None where it could not be read."""


@dataclass(frozen=True)
class Batch:
    """Some pictures of one part, as a model reads them."""

    part: int
    """Which part."""
    number: int
    """Which batch of that part, from 0."""
    ids: np.ndarray
    """int64 [B]: of the pictures that could be read, see `Piece`."""
    crops: np.ndarray
    """uint8 [B, S, S, 3]. B may be 0."""
    names: tuple[str, ...]
    """Of the B pictures, see `About`."""
    labels: tuple[str | None, ...]
    """Of the B pictures."""
    groups: tuple[str | None, ...]
    """Of the B pictures."""
    troubles: tuple[tuple[str, str], ...] = ()
    """Of each picture that could not be read, and is not among the B: its name, and why."""
    others: tuple[Others, ...] = ()
    """Of the B pictures, see `About`; nothing where nothing is said of any."""

    @property
    def skipped(self) -> int:
        """Pictures that could not be read."""
        return len(self.troubles)


def batches(
    collection: Collection,
    crop: Callable[[Image.Image], np.ndarray],
    size: int,
    parts: Iterable[int],
    after: tuple[int, int] | None = None,
    workers: int = 0,
) -> Generator[Batch]:
    """The pictures of some parts, part by part, in batches of at most `size`.

    `crop` makes of a picture what the model sees of it, uint8 [S, S, 3]. `after` names the last batch that is done
    already: its part and its number. `workers` threads decode and crop ahead of whoever asks, at most two batches.
    Pictures for which the collection's `seconds` do not suffice are among the troubles. Raises UserError when a part
    cannot be read.
    """
    end = inf if collection.seconds is None else monotonic() + collection.seconds
    parts = list(parts)
    if after is not None:
        parts = parts[parts.index(after[0]) :]

    def read(number: int, place: int, entry: Any) -> _Seen:
        if monotonic() > end:
            about = collection.about(number, place, entry)
            return Piece(
                (number << 32) + place, *about, None, f"It was not read within {collection.seconds:g} s."
            ), None
        piece = collection.piece(number, place, entry)
        # The picture itself may be large, and is not to wait for its batch.
        return piece._replace(picture=None), None if piece.picture is None else crop(piece.picture)

    def tasks() -> Iterator[tuple[int, int, Callable[[], _Seen]]]:
        """What to read, with its part and the number of its batch."""
        for part in parts:
            first = (after[1] + 1) * size if after is not None and part == after[0] else 0
            for place, entry in enumerate(collection.entries(part, first), first):
                yield part, place // size, partial(read, part, place, entry)

    key: tuple[int, int] | None = None
    held: list[_Seen] = []
    for part, number, seen in _ahead(tasks(), workers, 2 * size):
        if key is not None and key != (part, number):
            yield _batch(*key, held, crop)
            held = []
        key = part, number
        held.append(seen)
    if key is not None:
        yield _batch(*key, held, crop)


def _batch(part: int, number: int, held: Sequence[_Seen], crop: Callable[[Image.Image], np.ndarray]) -> Batch:
    good = [(piece, seen) for piece, seen in held if seen is not None]
    return Batch(
        part,
        number,
        ids=np.array([piece.id for piece, _ in good], dtype=np.int64),
        crops=np.stack([seen for _, seen in good]) if good else crop(Image.new("RGB", (64, 64)))[None][:0],
        names=tuple(piece.name for piece, _ in good),
        labels=tuple(piece.label for piece, _ in good),
        groups=tuple(piece.group for piece, _ in good),
        others=tuple(piece.others for piece, _ in good) if any(piece.others for piece, _ in good) else (),
        troubles=tuple((piece.name, piece.trouble) for piece, seen in held if seen is None),
    )


def _ahead(tasks: Iterator[tuple[int, int, Callable[[], T]]], workers: int, depth: int) -> Iterator[tuple[int, int, T]]:
    """What the tasks return, in their order, run by so many threads, and at most `depth` of them ahead."""
    if not workers:
        for part, number, task in tasks:
            yield part, number, task()
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pictures")
    waiting: deque[tuple[int, int, Future[T]]] = deque()
    try:
        for part, number, task in tasks:
            waiting.append((part, number, pool.submit(task)))
            if len(waiting) >= depth:
                part, number, future = waiting.popleft()
                yield part, number, future.result()
        while waiting:
            part, number, future = waiting.popleft()
            yield part, number, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
