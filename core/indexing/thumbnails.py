"""Thumbnails and embeddings of reference pictures, in files that only grow.

A picture's are appended when some component first takes it as a reference, and looked up at the end for those that
still are. Where the files end is part of what is saved with a tally: what lies beyond is of a run that was stopped.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

import numpy as np

from ..concepts.index import Thumbnails
from ..pictures.thumbnail import thumbnail
from .recipe import IndexRecipe


class ThumbnailStore:
    """Thumbnails and unit embeddings of pictures, appended to two files; pictures come in ascending order of ids."""

    def __init__(self, work: Path, rank: int, recipe: IndexRecipe, p: int) -> None:
        """The files of process `rank` in the folder `work`, as they are there, or empty."""
        self._paths = [work / f"thumbnails-{rank}.bin", work / f"embeddings-{rank}.bin"]
        self._recipe, self._p = recipe, p
        self._ids: list[int] = []
        self._ends: list[int] = [0]
        self._pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="thumbnails")
        self._waiting: deque[tuple[int, Future[bytes], np.ndarray]] = deque()

    def __enter__(self) -> Self:
        """Open the files for writing; what they hold beyond what is known is of a run that was stopped, and goes."""
        self._files = [path.open("ab") for path in self._paths]
        for file, size in zip(self._files, (self._ends[-1], len(self._ids) * self._p * 4), strict=True):
            file.truncate(size)
        return self

    def __exit__(self, *_error: object) -> None:
        """Close them."""
        self._pool.shutdown(cancel_futures=True)
        for file in self._files:
            file.close()

    def add(self, ids: np.ndarray, crops: np.ndarray, units: np.ndarray) -> None:
        """Keep some pictures. Thumbnails are made while the next batch is read."""
        self.settle()
        side, quality = self._recipe.side, self._recipe.quality
        for id_, crop, unit in zip(ids.tolist(), crops, units, strict=True):
            self._waiting.append((id_, self._pool.submit(thumbnail, crop, side, quality), unit))

    def settle(self) -> None:
        """Write what is not yet in the files."""
        while self._waiting:
            id_, webp, unit = self._waiting.popleft()
            self._ids.append(id_)
            self._ends.append(self._ends[-1] + self._files[0].write(webp.result()))
            self._files[1].write(unit.astype("<f4").tobytes())

    def known(self) -> dict[str, np.ndarray]:
        """Where what is in the files, all of which is now on the disk."""
        self.settle()
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        return {"store.ids": np.array(self._ids, np.int64), "store.ends": np.array(self._ends, np.int64)}

    def restore(self, known: dict[str, np.ndarray]) -> None:
        """Go on from what `known` said."""
        self._ids, self._ends = known["store.ids"].tolist(), known["store.ends"].tolist()
        sizes = (self._ends[-1], len(self._ids) * self._p * 4)
        if any(not path.exists() or path.stat().st_size < n for path, n in zip(self._paths, sizes, strict=True)):
            raise ValueError("files are missing, or shorter than they were")


class StoredThumbnails:
    """What several stores hold, for reading."""

    def __init__(self, stores: Iterable[ThumbnailStore]) -> None:
        """Map their files."""
        self._parts = []
        for store in stores:
            thumbnails, embeddings = (
                _mapped(path, kind) for path, kind in zip(store._paths, ("u1", "<f4"), strict=True)
            )
            ids, ends = np.array(store._ids, np.int64), np.array(store._ends, np.int64)
            embeddings = embeddings[: len(ids) * store._p].reshape(len(ids), store._p)
            self._parts.append((ids, ends, thumbnails, embeddings))
        self._p = self._parts[0][3].shape[1]

    def embeddings(self, ids: np.ndarray) -> np.ndarray:
        """Unit embeddings, float32 [n, p]."""
        found = np.zeros((len(ids), self._p), np.float32)
        for known, _, _, embeddings in self._parts:
            here = np.flatnonzero(np.isin(ids, known))
            found[here] = embeddings[np.searchsorted(known, ids[here])]
        return found

    def thumbnails(self, ids: np.ndarray) -> Thumbnails:
        """Of these pictures, in this order."""
        begin, length = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
        whose = np.zeros(len(ids), np.int64)
        for number, (known, ends, _, _) in enumerate(self._parts):
            here = np.flatnonzero(np.isin(ids, known))
            at = np.searchsorted(known, ids[here])
            begin[here], length[here], whose[here] = ends[at], ends[at + 1] - ends[at], number
        start = np.concatenate([[0], np.cumsum(length)])
        data = np.empty(start[-1], np.uint8)
        for row in range(len(ids)):
            data[start[row] : start[row + 1]] = self._parts[whose[row]][2][begin[row] : begin[row] + length[row]]
        return Thumbnails(start, data)


def _mapped(path: Path, kind: str) -> np.ndarray:
    """A file's numbers. (An empty file cannot be mapped.)"""
    return np.memmap(path, kind, "r") if path.stat().st_size else np.empty(0, kind)
