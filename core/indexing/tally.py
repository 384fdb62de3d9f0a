"""What an index in the making keeps while pictures stream by: little for every component, however many pictures.

1. `firing`: a batch is encoded, a few million numbers at a time; the few activations above 0 are taken out at once.
2. A `Tally` counts them in: sums, a histogram, and of every component the n best pictures by two measures, with where
   it fires in them. What lies "around the middle" cannot be known before the end, so of every component's pictures a
   random sample is kept, and for what fires together a random sample of all pictures. A hash of their ids decides which
   pictures are in a sample, so it depends neither on their order nor on who reads them.
3. Tallies of several processes add up exactly, but for the last bits of sums, and are saved at once or not at all.
"""

from __future__ import annotations

import os
from bisect import insort
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import Tensor

from ..errors import UserError
from ..hashing import _GOLDEN, hashed
from ..model.dictionary import Dictionary

EDGES = (2 ** (np.arange(-24, 25) / 2)).astype(np.float32)
"""Of the histogram's bins: powers of sqrt 2 from 2^-12 to 2^12."""

_CHUNK = 1 << 25
"""Numbers in one dense block of activations (128 MB in float32)."""

_LAST = np.iinfo(np.uint32).max
_NOBODY = np.iinfo(np.int64).max
"""The key and the picture of a place that is empty: behind all others."""


@dataclass(frozen=True)
class IndexRecipe:
    """What an index keeps, and how."""

    top: int = 8
    """Reference pictures of every component by largest activation."""
    mean: int = 8
    """By mean activation."""
    mid: int = 6
    """From around the median."""
    near: int = 48
    """Nearest components, by direction and by firing. Families are found in these lists: shorter ones fall apart."""
    side: int = 112
    """Pixels of a thumbnail's side, at most: pictures are not enlarged."""
    quality: int = 75
    """Of the thumbnails, as WebP has it, 1 to 100."""
    batch: int = 32
    """Pictures in one batch. Numbers depend on it by a few 1e-7."""
    mid_sample: int = 32
    """Of every component's pictures, this many are kept to find the median and what lies around it."""
    together_sample: int = 4096
    """Of all pictures, this many are kept to see what fires together."""
    vocabulary: tuple[str, ...] = ()
    """What labels are chosen among."""

    def __post_init__(self) -> None:
        """Raise UserError for a number that is out of range."""
        for name, value in asdict(self).items():
            most = {"quality": 100, "side": 4096}.get(name, 100_000)
            if name != "vocabulary" and not 1 <= value <= most:
                raise UserError(f"The index's {name.replace('_', ' ')} is {value}. Choose 1 to {most:,}.")
        if self.mid_sample < self.mid:
            raise UserError(f"{self.mid} pictures from the middle of a sample of {self.mid_sample}: take fewer.")


# ---- what fires in a batch


@dataclass(frozen=True, eq=False)
class Firing:
    """What fires in a batch of pictures: pairs of a component and a picture, sorted by component, then picture."""

    component: np.ndarray
    """int64 [G]."""
    picture: np.ndarray
    """int64 [G]: its place in the batch."""
    peak: np.ndarray
    """float32 [G]: the largest activation over the tokens in scope."""
    token: np.ndarray
    """int64 [G]: the token of that, the first of equals; 0 is CLS."""
    total: np.ndarray
    """float64 [G]: the sum over the tokens."""
    first: np.ndarray
    """int64 [G + 1]: where each pair's tokens begin in the two arrays below."""
    tokens: np.ndarray
    """int64 [K]: the tokens at which it fires, ascending."""
    values: np.ndarray
    """float32 [K]: the activations there, above 0."""


@torch.no_grad()
def firing(dictionary: Dictionary, residual: Tensor) -> Firing:
    """x [B, T, d] -> what fires. Of a dictionary with signs, only what is above 0 counts as firing."""
    n_pictures, n_tokens, _ = residual.shape
    m, scope = dictionary.n_components, dictionary.tokens(n_tokens)
    seen = residual[:, scope.start : scope.stop].flatten(0, 1)
    step = max(1, _CHUNK // m)
    rows, components, values = [], [], []
    for start in range(0, len(seen), step):
        place, value = _above_0(dictionary.encode_seen(seen[start : start + step]))
        row = place // m
        rows.append(row + start)
        components.append(place - row * m)
        values.append(value)
    row, component, value = (np.concatenate(parts) for parts in (rows, components, values))
    pair = component * n_pictures + row // len(scope)
    token = row % len(scope) + scope.start
    order = np.argsort(pair * n_tokens + token)
    pair, token, value = pair[order], token[order], value[order]

    begins = np.flatnonzero(np.diff(pair, prepend=-1))
    first = np.append(begins, len(pair))
    if not len(pair):  # reduceat has no word for nothing
        nothing = np.empty(0, np.int64)
        return Firing(nothing, nothing, value, nothing, nothing.astype(np.float64), first, token, value)
    peak = np.maximum.reduceat(value, begins)
    group = np.repeat(np.arange(len(begins)), np.diff(first))
    strongest = np.flatnonzero(value == peak[group])
    strongest = strongest[np.diff(group[strongest], prepend=-1) > 0]
    return Firing(
        component=pair[begins] // n_pictures,
        picture=pair[begins] % n_pictures,
        peak=peak,
        token=token[strongest],
        total=np.add.reduceat(value.astype(np.float64), begins),
        first=first,
        tokens=token,
        values=value,
    )


def _above_0(f: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Where the flattened f is above 0, int64, and its values there, float32. numpy is faster at it on a CPU."""
    if f.device.type == "cpu":
        flat = f.numpy().ravel()
        place = np.flatnonzero(flat > 0)
        return place, flat[place].astype(np.float32, copy=False)
    there = (f.flatten() > 0).nonzero()[:, 0]
    return there.cpu().numpy(), f.flatten()[there].float().cpu().numpy()


def _ranges(start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """start_0 ... start_0 + length_0 - 1, start_1 ...: int64."""
    end = np.cumsum(length)
    return np.arange(end[-1] if len(end) else 0) + np.repeat(start - (end - length), length)


# ---- what is kept


def _short(hashes: np.ndarray) -> np.ndarray:
    """Of hashes the first 31 bits, which are enough among the pictures of one component: uint32, below `_LAST`."""
    return (hashes >> np.uint64(33)).astype(np.uint32)


def _descending(values: np.ndarray) -> np.ndarray:
    """Keys that put float32 values >= 0 into descending order: uint32. (Their bits are in the order of the values.)"""
    return np.uint32(_LAST) - values.astype(np.float32).view(np.uint32)


def values_of(keys: np.ndarray) -> np.ndarray:
    """What `_descending` was given; 0 where a place is empty."""
    return (np.uint32(_LAST) - keys).view(np.float32)


class Best:
    """For each of m components the n pictures with the smallest keys; of equal keys, those with the smallest ids."""

    def __init__(self, m: int, n: int) -> None:
        """All places are empty."""
        self.key = np.full((m, n), _LAST, np.uint32)
        self.id = np.full((m, n), _NOBODY, np.int64)
        self.entry = np.full((m, n), -1, np.int64)

    @property
    def taken(self) -> np.ndarray:
        """Which places are not empty, bool [m, n]."""
        return self.entry >= 0

    def admits(self, component: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Which candidates may be among the best, bool; which are is seen when they are added."""
        return key <= self.key[component, -1]

    def add(self, component: np.ndarray, key: np.ndarray, id_: np.ndarray, entry: np.ndarray) -> None:
        """Consider candidates, which come in ascending order of components."""
        begins = np.flatnonzero(np.diff(component, prepend=-1))
        rows, count, n = component[begins], np.diff(np.append(begins, len(component))), self.key.shape[1]
        ids, entries = (
            np.concatenate([kept[rows].ravel(), new]) for kept, new in ((self.id, id_), (self.entry, entry))
        )
        # What is there is in order; the candidates are put into order, and each to its place in that.
        there = _in_rows(np.repeat(np.arange(len(rows)), n), self.key[rows].ravel())
        new = _in_rows(np.repeat(np.arange(len(rows)), count), key)
        sorted_ = np.lexsort((id_, new))
        behind = np.searchsorted(there, new[sorted_], "right")
        equal = (behind > 0) & (there[behind - 1] == new[sorted_])
        if (id_[sorted_][equal] < ids[behind[equal] - 1]).any():  # among equal keys, not behind all that are there
            order = np.lexsort((ids, np.concatenate([there, new])))
        else:
            order = np.empty(len(ids), np.int64)
            place = behind + np.arange(len(new))
            order[place] = len(there) + sorted_
            others = np.ones(len(ids), bool)
            others[place] = False
            order[others] = np.arange(len(there))
        first = np.arange(len(rows)) * n + np.cumsum(count) - count
        chosen = order[first[:, None] + np.arange(n)]
        keys = np.concatenate([there, new])[chosen] & np.uint64(_LAST)
        self.key[rows], self.id[rows], self.entry[rows] = keys.astype(np.uint32), ids[chosen], entries[chosen]


def _in_rows(row: np.ndarray, key: np.ndarray) -> np.ndarray:
    """What sorts by row, then key: uint64."""
    return (row.astype(np.uint64) << np.uint64(32)) | key


@dataclass(frozen=True, eq=False)
class Entries:
    """What is known of a component in one of its pictures, for many such."""

    peak: np.ndarray
    """float32 [E]: the largest activation over the tokens in scope."""
    token: np.ndarray
    """int32 [E]: the token of that."""
    length: np.ndarray
    """int64 [E]: on how many patches it fires."""
    patch: np.ndarray
    """uint16: on which, those of each entry after those of the one before."""
    share: np.ndarray
    """uint8: the activation there, 255 at the peak, at least 1."""

    def __len__(self) -> int:
        """E."""
        return len(self.peak)

    @classmethod
    def of(cls, found: Firing, which: np.ndarray) -> Entries:
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
    def joined(cls, parts: Sequence[Entries]) -> Entries:
        """One after the other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__annotations__))

    def only(self, which: np.ndarray) -> Entries:
        """Some of them, in that order."""
        length = self.length[which]
        cells = _ranges((np.cumsum(self.length) - self.length)[which], length)
        return Entries(self.peak[which], self.token[which], length, self.patch[cells], self.share[cells])


_NO_ENTRIES = Entries(*(np.empty(0, kind) for kind in (np.float32, np.int32, np.int64, np.uint16, np.uint8)))


@dataclass(frozen=True, eq=False, order=False)
class Sampled:
    """One picture of the sample, and what fires in it."""

    hash: int
    """Of its id; the sample is of the pictures with the smallest."""
    id: int
    """The picture."""
    component: np.ndarray
    """int32 [n], ascending."""
    peak: np.ndarray
    """float32 [n]: the largest activation of each."""


class Tally:
    """All that is kept of the pictures so far: a few numbers for every component, however many pictures there are."""

    def __init__(self, m: int, p: int, recipe: IndexRecipe) -> None:
        """Of no pictures yet, for m components and embeddings of length p."""
        self.m, self.recipe = m, recipe
        self.pictures = self.tokens = self.skipped = 0
        self.after: tuple[int, int] | None = None  # the last batch: its part and its number
        self.done = False
        self.active = np.zeros(m, np.int64)
        self.sums = np.zeros(m)
        self.histogram = np.zeros((m, len(EDGES) - 1), np.int64)
        self.embeddings = np.zeros(p)
        self.best = {
            "top": Best(m, recipe.top),
            "mean": Best(m, recipe.mean),
            "mid": Best(m, recipe.mid_sample),
        }
        self._entries: list[Entries] = [_NO_ENTRIES]
        self._n_entries = self._live = 0
        self.sample: list[Sampled] = []

    def add(self, ids: np.ndarray, found: Firing, n_tokens: int, units: np.ndarray) -> np.ndarray:
        """Count in a batch, with `n_tokens` of each picture in scope and the unit embeddings [B, p].

        Returns which of its pictures became a reference of any component: places in the batch, ascending.
        """
        self.pictures += len(ids)
        self.tokens += len(ids) * n_tokens
        self.embeddings += units.sum(0, dtype=np.float64)
        self.active += np.bincount(found.component, minlength=self.m)
        self.sums += np.bincount(found.component, found.total, self.m)
        component_of = np.repeat(found.component, np.diff(found.first))
        bins = len(EDGES) - 1
        bin_ = np.clip(np.searchsorted(EDGES, found.values, "right") - 1, 0, bins - 1)
        np.add.at(self.histogram.reshape(-1), component_of * bins + bin_, 1)
        self._add_to_sample(ids, found)
        return self._add_references(ids, found, n_tokens)

    def _add_references(self, ids: np.ndarray, found: Firing, n_tokens: int) -> np.ndarray:
        id_ = ids[found.picture]
        keys = {
            "top": _descending(found.peak),
            "mean": _descending(found.total / n_tokens),
            "mid": _short(hashed(hashed(id_) + found.component.astype(np.uint64) * _GOLDEN)),
        }
        wanted = {which: best.admits(found.component, keys[which]) for which, best in self.best.items()}
        candidates = np.flatnonzero(np.logical_or.reduce(list(wanted.values())))
        if not len(candidates):
            return candidates
        begin = self._n_entries
        entry = np.full(len(id_), -1)
        entry[candidates] = begin + np.arange(len(candidates))
        for which, best in self.best.items():
            of = np.flatnonzero(wanted[which])
            if len(of):
                best.add(found.component[of], keys[which][of], id_[of], entry[of])
        # Of the candidates only those that stayed are kept.
        stayed = np.zeros(len(candidates), bool)
        for best in self.best.values():
            stayed[best.entry[best.entry >= begin] - begin] = True
        number, kept = begin + np.cumsum(stayed) - 1, np.flatnonzero(stayed)
        for best in self.best.values():
            fresh = best.entry >= begin
            best.entry[fresh] = number[best.entry[fresh] - begin]
        self._entries.append(Entries.of(found, candidates[kept]))
        self._n_entries += len(kept)
        if self._n_entries > 2 * self._live + (1 << 18):
            self.compact()
        return np.unique(found.picture[candidates[kept]])

    def _add_to_sample(self, ids: np.ndarray, found: Firing) -> None:
        for place, (id_, hash_) in enumerate(zip(ids.tolist(), hashed(ids).tolist(), strict=True)):
            if len(self.sample) < self.recipe.together_sample or (hash_, id_) < _order(self.sample[-1]):
                which = found.picture == place
                component, peak = found.component[which].astype(np.int32), found.peak[which]
                self._sample(Sampled(hash_, id_, component, peak))

    def _sample(self, sampled: Sampled) -> None:
        insort(self.sample, sampled, key=_order)
        del self.sample[self.recipe.together_sample :]

    def compact(self) -> Entries:
        """Forget what no component refers to any more; what is left."""
        alive = np.zeros(self._n_entries, bool)
        for best in self.best.values():
            alive[best.entry[best.taken]] = True
        entries, number = Entries.joined(self._entries).only(np.flatnonzero(alive)), np.cumsum(alive) - 1
        for best in self.best.values():
            best.entry[best.taken] = number[best.entry[best.taken]]
        self._entries, self._n_entries, self._live = [entries], len(entries), len(entries)
        return entries

    def merge(self, other: Tally) -> None:
        """Count in what another process has read."""
        for name in ("pictures", "tokens", "skipped", "active", "sums", "histogram", "embeddings"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        begin = self._n_entries
        theirs = other.compact()
        self._entries.append(theirs)
        self._n_entries += len(theirs)
        for which, best in self.best.items():
            more = other.best[which]
            component, place = np.nonzero(more.taken)
            at = component, place
            best.add(component, more.key[at], more.id[at], begin + more.entry[at])
        self.compact()
        for sampled in other.sample:
            self._sample(sampled)

    # To and from a file

    def save(self, path: Path, more: dict[str, np.ndarray]) -> None:
        """Write it, with some arrays of others, at once or not at all."""
        entries = self.compact()
        arrays = {name: getattr(self, name) for name in ("active", "sums", "histogram", "embeddings")}
        for which, best in self.best.items():
            arrays |= {f"{which}.key": best.key, f"{which}.id": best.id, f"{which}.entry": best.entry}
        arrays |= {f"entries.{name}": array for name, array in vars(entries).items()}
        arrays["sample.hash"] = np.array([one.hash for one in self.sample], np.uint64)
        arrays["sample.id"] = np.array([one.id for one in self.sample], np.int64)
        arrays["sample.length"] = np.array([len(one.component) for one in self.sample], np.int64)
        for name, kind in (("component", np.int32), ("peak", np.float32)):
            arrays[f"sample.{name}"] = np.concatenate([np.empty(0, kind), *(getattr(s, name) for s in self.sample)])
        arrays["counts"] = np.array([self.pictures, self.tokens, self.skipped, self.done, *(self.after or ())])
        beside = path.with_name(path.name + ".part")
        save_file(arrays | more, beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)

    @classmethod
    def load(cls, path: Path, m: int, p: int, recipe: IndexRecipe) -> tuple[Self, dict[str, np.ndarray]]:
        """What was saved, and all arrays."""
        tally = cls(m, p, recipe)
        with safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}
        for name in ("active", "sums", "histogram", "embeddings"):
            setattr(tally, name, arrays[name])
        for which, best in tally.best.items():
            best.key, best.id, best.entry = (arrays[f"{which}.{name}"] for name in ("key", "id", "entry"))
        entries = Entries(*(arrays[f"entries.{name}"] for name in Entries.__annotations__))
        tally._entries, tally._n_entries, tally._live = [entries], len(entries), len(entries)
        ends = np.cumsum(arrays["sample.length"])[:-1]
        parts = (np.split(arrays[f"sample.{name}"], ends) for name in ("component", "peak"))
        of_each = zip(arrays["sample.hash"].tolist(), arrays["sample.id"].tolist(), *parts, strict=False)
        tally.sample = [Sampled(*one) for one in of_each]
        tally.pictures, tally.tokens, tally.skipped, done, *after = arrays["counts"].tolist()
        tally.done, tally.after = bool(done), (after[0], after[1]) if after else None
        return tally, arrays


def _order(sampled: Sampled) -> tuple[int, int]:
    return sampled.hash, sampled.id
