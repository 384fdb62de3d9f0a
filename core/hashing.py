"""Hashes for choices that do not depend on order: SplitMix64 of whole numbers, SHA-256 of names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

_STEPS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def hashed(numbers: np.ndarray) -> np.ndarray:
    """uint64 -> uint64, as good as random: one step of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    z = numbers.astype(np.uint64) + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_STEPS[0])
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_STEPS[1])
    return z ^ (z >> np.uint64(31))


def hashed_pairs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """uint64 hashes of pairs of whole numbers, elementwise."""
    return hashed(hashed(first) + second.astype(np.uint64) * _GOLDEN)


def name_place(name: str, seed: int = 0) -> float:
    """Where a name falls, from 0 to below 1: SHA-256 of seed and name."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / (1 << 48)


def drawn_order(names: Sequence[str], seed: int = 0) -> np.ndarray:
    """Indices into `names`, int [N], in an order that a hash of each fixes: the first of them are as good as drawn."""
    return np.argsort([name_place(name, seed) for name in names], kind="stable")
