"""Bounds on what an edit does to pictures like those it was tried on: exact binomial bounds, and Learn then Test.

All are about a rate r, such as the share of pictures that were right and that an edit breaks. n pictures were drawn
independently like those of later use, k of them were counted (broke), and none was seen when the edit was chosen.

1. One edit: Clopper-Pearson bounds, one-sided, by quantiles of Beta distributions (Clopper and Pearson 1934).
2. One of many thresholds, chosen by the same pictures: Learn then Test (Angelopoulos et al., arXiv 2110.01052). The
   thresholds are ordered before looking, from "never acts" on. Each is tested in turn, H_j: r_j > rate, by the exact
   binomial p-value P(Bin(n, rate) <= k_j), until the first that is not rejected (fixed-sequence testing). Whichever of
   the rejected is then taken, r <= rate holds with the stated confidence, though the data chose it. Several such
   sequences share what may go wrong equally (Bonferroni).

`scipy.stats` takes nearly half a second to import: it is imported where it is used.
"""

import math
from collections.abc import Sequence

import numpy as np

from ..errors import UserError


def check_share(value: float, what: str) -> float:
    """The number itself. Raises UserError for one that is not between 0 and 1."""
    if not 0 < value < 1:
        raise UserError(
            f"A {what} of {value:g} means nothing here. Give a number between 0 and 1, such as 0.05 for 5 %."
        )
    return value


def upper_bound(k: int, n: int, confidence: float = 0.95) -> float:
    """With this confidence, r is at most this share, 0 to 1, after k of n: by Beta(k + 1, n - k); 1 of none.

    Raises UserError for a confidence that is not between 0 and 1, ValueError for k not from 0 to n.
    """
    _check(k, n, confidence)
    if k == n:
        return 1.0
    from scipy.stats import beta

    return float(beta.ppf(confidence, k + 1, n - k))


def lower_bound(k: int, n: int, confidence: float = 0.95) -> float:
    """With this confidence, r is at least this share, 0 to 1, after k of n: by Beta(k, n - k + 1); 0 of none.

    Raises as `upper_bound`. An upper and a lower bound together hold with confidence 1 - 2 (1 - confidence).
    """
    _check(k, n, confidence)
    if k == 0:
        return 0.0
    from scipy.stats import beta

    return float(beta.ppf(1 - confidence, k, n - k + 1))


def most_allowed(n: int, rate: float, confidence: float = 0.95) -> int | None:
    """The largest k of n with which r <= rate can be said with this confidence; None where even 0 of n is too little.

    P(Bin(n, rate) <= k) <= 1 - confidence. Raises UserError for a rate or a confidence that is not between 0 and 1.
    """
    from scipy.stats import binom

    check_share(rate, "rate")
    check_share(confidence, "confidence")
    k = int(binom.ppf(1 - confidence, n, rate))  # the first with P >= 1 - confidence
    while k >= 0 and p_value(k, n, rate) > 1 - confidence:
        k -= 1
    return k if k >= 0 else None


def pictures_needed(rate: float, confidence: float = 0.95, k: int = 0) -> int:
    """The fewest n with which r <= rate can be said with this confidence when k of them are counted.

    With k = 0 that is n >= ln(1 - confidence) / ln(1 - rate): 299 for 1 % at 95 %. Raises as `most_allowed`.
    """
    check_share(rate, "rate")
    check_share(confidence, "confidence")
    high = max(k, math.ceil(math.log1p(-confidence) / math.log1p(-rate)))
    while p_value(k, high, rate) > 1 - confidence:
        high *= 2
    low = k - 1  # too few: of k pictures all would be counted
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if p_value(k, middle, rate) <= 1 - confidence else (middle, high)
    return high


def p_value(k: int, n: int, rate: float) -> float:
    """Of r > rate, after k of n: P(Bin(n, rate) <= k), the most likely that so few are counted were it so."""
    from scipy.stats import binom

    return float(binom.cdf(k, n, rate))


def learn_then_test(sequences: Sequence[np.ndarray], n: int, rate: float, confidence: float = 0.95) -> tuple[int, ...]:
    """How many thresholds of each sequence can be taken: r <= rate for all of these at once, with this confidence.

    A sequence is k_j, int [thresholds], the pictures counted at each, of n; its order was fixed before looking. Of each
    the first so many are rejected: tested in turn at (1 - confidence) / len(sequences). Raises as `most_allowed`,
    ValueError for counts that are not from 0 to n.
    """
    if not sequences:
        return ()
    most = most_allowed(n, rate, 1 - (1 - confidence) / len(sequences))
    found = []
    for counted in sequences:
        if len(counted) and not 0 <= min(counted) <= max(counted) <= n:
            raise ValueError(f"counts from {min(counted)} to {max(counted)} of {n} pictures")
        kept = np.zeros(len(counted), dtype=bool) if most is None else np.asarray(counted) <= most
        found.append(len(kept) if kept.all() else int(kept.argmin()))
    return tuple(found)


def _check(k: int, n: int, confidence: float) -> None:
    check_share(confidence, "confidence")
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} pictures")
