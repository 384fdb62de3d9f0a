"""SplitMix64 hashes of whole numbers, for choices that do not depend on order."""

from __future__ import annotations

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
