"""Accumulator of a concept index: what is kept of every component while pictures stream by, however many they are.

1. A batch's activations (`core.indexing.firing`) are counted in: sums, a histogram, and of every component the n best
   pictures by two measures (`TopK`), with where it fires in them (`Occurrences`).
   Where references go by attribution, the n best of the first measure are those with the largest A_j above 0.
2. What lies "around the middle" cannot be known before the end, so of every component's pictures a random sample is
   kept, and for co-activation a random sample of all pictures. A hash of their ids decides which pictures are in a
   sample, so it depends neither on their order nor on who reads them.
3. Accumulators of several processes add up exactly, but for the last bits of sums, and are saved at once or not at all.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from safetensors.numpy import load_file, save_file

from ..files import replacing
from ..hashing import hashed, hashed_pairs
from .firing import BatchActivations
from .recipe import IndexRecipe

EDGES = (2 ** (np.arange(-24, 25) / 2)).astype(np.float32)
"""Of the histogram's bins: powers of sqrt 2 from 2^-12 to 2^12."""

# ---- the best pictures

EMPTY_KEY = np.iinfo(np.uint32).max
NO_PICTURE = np.iinfo(np.int64).max
"""The key and the picture of a place that is empty: behind all others."""


def descending_keys(values: np.ndarray) -> np.ndarray:
    """Keys that put float32 values >= 0 into descending order: uint32. (Their bits are in the order of the values.)"""
    return np.uint32(EMPTY_KEY) - values.astype(np.float32).view(np.uint32)


def values_of(keys: np.ndarray) -> np.ndarray:
    """What `descending_keys` was given; 0 where a place is empty."""
    return (np.uint32(EMPTY_KEY) - keys).view(np.float32)


def random_keys(component: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Keys that put a component's pictures (ids) into random order, always the same: uint32, below `EMPTY_KEY`.

    31 bits of a hash are enough among the pictures of one component.
    """
    return (hashed_pairs(picture, component) >> np.uint64(33)).astype(np.uint32)


class TopK:
    """For each of m components the n pictures with the smallest keys; of equal keys, those with the smallest ids.

    A component's places are always in order, by key, then id, and the empty ones come last.
    """

    def __init__(self, m: int, n: int) -> None:
        """All places are empty."""
        self.key = np.full((m, n), EMPTY_KEY, np.uint32)
        self.id = np.full((m, n), NO_PICTURE, np.int64)
        self.row = np.full((m, n), -1, np.int64)
        """Where the owner keeps what it knows of the component in that picture; -1 in an empty place."""

    @property
    def taken(self) -> np.ndarray:
        """Which places are not empty, bool [m, n]."""
        return self.row >= 0

    def admits(self, component: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Which candidates may be among the best, bool; which are is seen when they are added."""
        return key <= self.key[component, -1]

    def add(self, component: np.ndarray, key: np.ndarray, id_: np.ndarray, row: np.ndarray) -> None:
        """Consider candidates, which come in ascending order of components.

        Of n = 3 places, a component with the keys 2 5 9 that is offered 7 and 4 keeps 2 4 5.
        """
        begins = np.flatnonzero(np.diff(component, prepend=-1))
        changed, offered = component[begins], np.diff(np.append(begins, len(component)))  # [c] components
        n = self.key.shape[1]
        kept_key = _in_lists(np.repeat(np.arange(len(changed)), n), self.key[changed].ravel())
        new_key = _in_lists(np.repeat(np.arange(len(changed)), offered), key)
        ids = np.concatenate([self.id[changed].ravel(), id_])
        order = _merge(kept_key, new_key, ids)
        # A component's kept and new places now follow each other, n + offered of them: the first n stay.
        first = np.arange(len(changed)) * n + np.cumsum(offered) - offered
        best = order[first[:, None] + np.arange(n)]
        keys = np.concatenate([kept_key, new_key])[best] & np.uint64(EMPTY_KEY)
        rows = np.concatenate([self.row[changed].ravel(), row])
        self.key[changed], self.id[changed], self.row[changed] = keys.astype(np.uint32), ids[best], rows[best]


def _in_lists(number: np.ndarray, key: np.ndarray) -> np.ndarray:
    """What sorts by the list's number, then key: uint64."""
    return (number.astype(np.uint64) << np.uint64(32)) | key


def _merge(kept_key: np.ndarray, new_key: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """What puts kept [K] and new [N], one after the other, into order, by key, then id: int64 [K + N].

    The kept are in order already, so only the new are sorted, and each is placed behind the kept that come first. Kept
    keys 2 5 9 and new ones 7 4 are in order as 0 4 1 3 2.
    """
    n_kept = len(kept_key)
    sorted_new = np.lexsort((ids[n_kept:], new_key))
    behind = np.searchsorted(kept_key, new_key[sorted_new], "right")  # so many kept come before each
    equal = (behind > 0) & (kept_key[behind - 1] == new_key[sorted_new])
    if (ids[n_kept:][sorted_new][equal] < ids[behind[equal] - 1]).any():  # its id says: before some kept of its key
        return np.lexsort((ids, np.concatenate([kept_key, new_key])))
    order = np.empty(len(ids), np.int64)
    place = behind + np.arange(len(new_key))
    order[place] = n_kept + sorted_new
    left = np.ones(len(ids), bool)
    left[place] = False
    order[left] = np.arange(n_kept)
    return order


# ---- where components fire in these


def _ranges(start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """start_0 ... start_0 + length_0 - 1, start_1 ...: int64."""
    end = np.cumsum(length)
    return np.arange(end[-1] if len(end) else 0) + np.repeat(start - (end - length), length)


@dataclass(frozen=True, eq=False)
class Occurrences:
    """What is known of a component in one of its pictures, for E such pairs."""

    peak: np.ndarray
    """float32 [E]: the largest activation over the tokens in scope."""
    token: np.ndarray
    """int32 [E]: the token of that."""
    length: np.ndarray
    """int64 [E]: on how many patches it fires."""
    patch: np.ndarray
    """uint16: on which, those of each pair after those of the one before."""
    share: np.ndarray
    """uint8: the activation there, 255 at the peak, at least 1."""

    def __len__(self) -> int:
        """E."""
        return len(self.peak)

    @classmethod
    def of(cls, found: BatchActivations, which: np.ndarray) -> Occurrences:
        """Of some of the pairs that fire."""
        begin, length = found.first[which], np.diff(found.first)[which]
        # CLS, the first of all tokens, is no patch.
        fires = length > 0
        cls_too = np.zeros(len(which), np.int64)
        cls_too[fires] = found.tokens[begin[fires]] == 0
        begin, length = begin + cls_too, length - cls_too
        cells = _ranges(begin, length)
        share = np.rint(255 * (found.values[cells] / np.repeat(found.peak[which], length)))
        return cls(
            peak=found.peak[which],
            token=found.token[which].astype(np.int32),
            length=length,
            patch=(found.tokens[cells] - 1).astype(np.uint16),
            share=np.maximum(share, 1).astype(np.uint8),
        )

    @classmethod
    def joined(cls, parts: Sequence[Occurrences]) -> Occurrences:
        """One after the other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__annotations__))

    def only(self, which: np.ndarray) -> Occurrences:
        """Some of them, in that order."""
        length = self.length[which]
        cells = _ranges((np.cumsum(self.length) - self.length)[which], length)
        return Occurrences(self.peak[which], self.token[which], length, self.patch[cells], self.share[cells])


_NO_OCCURRENCES = Occurrences(*(np.empty(0, kind) for kind in (np.float32, np.int32, np.int64, np.uint16, np.uint8)))


@dataclass(frozen=True, eq=False, order=False)
class SampledPicture:
    """One picture of the sample, and what fires in it."""

    hash: int
    """Of its id; the sample is of the pictures with the smallest."""
    id: int
    """The picture."""
    component: np.ndarray
    """int32 [n], ascending."""
    peak: np.ndarray
    """float32 [n]: the largest activation of each."""


class Accumulator:
    """All that is kept of the pictures so far: a few numbers for every component, however many pictures there are."""

    def __init__(self, m: int, p: int, recipe: IndexRecipe) -> None:
        """Of no pictures yet, for m components and embeddings of length p."""
        self.m, self.recipe = m, recipe
        self.pictures = self.tokens = self.skipped = 0
        self.after: tuple[int, int] | None = None  # the last batch: its part and its number
        self.done = False
        self.active = np.zeros(m, np.int64)
        self.sums = np.zeros(m)
        self.peak = np.zeros(m, np.float32)
        self.histogram = np.zeros((m, len(EDGES) - 1), np.int64)
        self.embeddings = np.zeros(p)
        self.best = {
            "top": TopK(m, recipe.top),
            "mean": TopK(m, recipe.mean),
            "mid": TopK(m, recipe.kept_for_mid),
        }
        self._keep(_NO_OCCURRENCES)
        self.sample: list[SampledPicture] = []

    @property
    def n_bytes(self) -> int:
        """What it takes in memory."""
        parts = (self, *self.best.values(), *self._occurrences, *self.sample)
        return sum(v.nbytes for part in parts for v in vars(part).values() if isinstance(v, np.ndarray))

    def add(
        self,
        ids: np.ndarray,
        found: BatchActivations,
        n_tokens: int,
        units: np.ndarray,
        contribution: np.ndarray | None = None,
    ) -> np.ndarray:
        """Count in a batch, with `n_tokens` of each picture in scope and the unit embeddings [B, p].

        `contribution` is A_j of each pair that fires, float [G], where references go by attribution. Returns which of
        the batch's pictures became a reference of any component: places in it, ascending.
        """
        self.pictures += len(ids)
        self.tokens += len(ids) * n_tokens
        self.embeddings += units.sum(0, dtype=np.float64)
        self.active += np.bincount(found.component, minlength=self.m)
        self.sums += np.bincount(found.component, found.total, self.m)
        np.maximum.at(self.peak, found.component, found.peak)
        component_of = np.repeat(found.component, np.diff(found.first))
        bins = len(EDGES) - 1
        bin_ = np.clip(np.searchsorted(EDGES, found.values, "right") - 1, 0, bins - 1)
        np.add.at(self.histogram.reshape(-1), component_of * bins + bin_, 1)
        self._add_to_sample(ids, found)
        return self._add_references(ids, found, n_tokens, found.peak if contribution is None else contribution)

    def _add_references(
        self, ids: np.ndarray, found: BatchActivations, n_tokens: int, strength: np.ndarray
    ) -> np.ndarray:
        id_ = ids[found.picture]
        keys = {
            "top": descending_keys(np.maximum(strength, 0)),
            "mean": descending_keys(found.total / n_tokens),
            "mid": random_keys(found.component, id_),
        }
        wanted = {which: best.admits(found.component, keys[which]) for which, best in self.best.items()}
        wanted["top"] &= strength > 0
        candidates = np.flatnonzero(np.logical_or.reduce(list(wanted.values())))
        if not len(candidates):
            return candidates
        begin = self._n_rows
        row = np.full(len(id_), -1)
        row[candidates] = begin + np.arange(len(candidates))
        for which, best in self.best.items():
            of = np.flatnonzero(wanted[which])
            if len(of):
                best.add(found.component[of], keys[which][of], id_[of], row[of])
        # Of the candidates only those that stayed are kept, in rows that follow each other.
        stayed = np.zeros(len(candidates), bool)
        for best in self.best.values():
            stayed[best.row[best.row >= begin] - begin] = True
        new_row, kept = begin + np.cumsum(stayed) - 1, np.flatnonzero(stayed)
        for best in self.best.values():
            is_new = best.row >= begin
            best.row[is_new] = new_row[best.row[is_new] - begin]
        self._occurrences.append(Occurrences.of(found, candidates[kept]))
        self._n_rows += len(kept)
        if self._n_rows > 2 * self._n_living + (1 << 18):
            self.compact()
        return np.unique(found.picture[candidates[kept]])

    def _add_to_sample(self, ids: np.ndarray, found: BatchActivations) -> None:
        for place, (id_, hash_) in enumerate(zip(ids.tolist(), hashed(ids).tolist(), strict=True)):
            if len(self.sample) < self.recipe.together_sample or (hash_, id_) < _order(self.sample[-1]):
                which = found.picture == place
                component, peak = found.component[which].astype(np.int32), found.peak[which]
                self._sample(SampledPicture(hash_, id_, component, peak))

    def _sample(self, sampled: SampledPicture) -> None:
        insort(self.sample, sampled, key=_order)
        del self.sample[self.recipe.together_sample :]

    def compact(self) -> Occurrences:
        """Forget what no component refers to any more; what is left."""
        alive = np.zeros(self._n_rows, bool)
        for best in self.best.values():
            alive[best.row[best.taken]] = True
        living, new_row = Occurrences.joined(self._occurrences).only(np.flatnonzero(alive)), np.cumsum(alive) - 1
        for best in self.best.values():
            best.row[best.taken] = new_row[best.row[best.taken]]
        self._keep(living)
        return living

    def _keep(self, living: Occurrences) -> None:
        self._occurrences, self._n_rows, self._n_living = [living], len(living), len(living)

    def merge(self, other: Accumulator) -> None:
        """Count in what another process has read."""
        for name in ("pictures", "tokens", "skipped", "active", "sums", "histogram", "embeddings"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.peak = np.maximum(self.peak, other.peak)
        begin = self._n_rows
        theirs = other.compact()
        self._occurrences.append(theirs)
        self._n_rows += len(theirs)
        for which, best in self.best.items():
            more = other.best[which]
            component, place = np.nonzero(more.taken)
            at = component, place
            best.add(component, more.key[at], more.id[at], begin + more.row[at])
        self.compact()
        for sampled in other.sample:
            self._sample(sampled)

    # To and from a file

    def save(self, path: Path, more: dict[str, np.ndarray]) -> None:
        """Write it, with some arrays of others, at once or not at all."""
        arrays = {name: getattr(self, name) for name in ("active", "sums", "peak", "histogram", "embeddings")}
        for which, best in self.best.items():
            arrays |= {f"{which}.{name}": array for name, array in vars(best).items()}
        arrays |= {f"occurrences.{name}": array for name, array in vars(self.compact()).items()}
        arrays["sample.hash"] = np.array([picture.hash for picture in self.sample], np.uint64)
        arrays["sample.id"] = np.array([picture.id for picture in self.sample], np.int64)
        arrays["sample.length"] = np.array([len(picture.component) for picture in self.sample], np.int64)
        for name, kind in (("component", np.int32), ("peak", np.float32)):
            arrays[f"sample.{name}"] = np.concatenate([np.empty(0, kind), *(getattr(s, name) for s in self.sample)])
        arrays["counts"] = np.array([self.pictures, self.tokens, self.skipped, self.done, *(self.after or ())])
        with replacing(path) as beside:
            save_file(arrays | more, beside)

    @classmethod
    def load(cls, path: Path, m: int, p: int, recipe: IndexRecipe) -> tuple[Self, dict[str, np.ndarray]]:
        """What was saved, and all arrays."""
        made = cls(m, p, recipe)
        arrays = load_file(path)
        for name in ("active", "sums", "peak", "histogram", "embeddings"):
            setattr(made, name, arrays[name])
        for which, best in made.best.items():
            best.key, best.id, best.row = (arrays[f"{which}.{name}"] for name in ("key", "id", "row"))
        made._keep(Occurrences(*(arrays[f"occurrences.{name}"] for name in Occurrences.__annotations__)))
        ends = np.cumsum(arrays["sample.length"])[:-1]
        parts = (np.split(arrays[f"sample.{name}"], ends) for name in ("component", "peak"))
        of_each = zip(arrays["sample.hash"].tolist(), arrays["sample.id"].tolist(), *parts, strict=False)
        made.sample = [SampledPicture(*picture) for picture in of_each]
        made.pictures, made.tokens, made.skipped, done, *after = arrays["counts"].tolist()
        made.done, made.after = bool(done), (after[0], after[1]) if after else None
        return made, arrays


def _order(sampled: SampledPicture) -> tuple[int, int]:
    return sampled.hash, sampled.id
