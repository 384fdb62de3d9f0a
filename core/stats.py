"""Statistics of many pictures, with their 95 % percentile bootstrap intervals as plain values for a report.

`scipy.stats` takes nearly half a second to import: it is imported where it is used, and the first page does without.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

RESAMPLES = 2_000
SEED = 0

Statistic = Callable[..., Any]
"""Such as `np.mean`: takes an array and an axis."""


def interval(values: np.ndarray, statistic: Statistic = np.mean) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a statistic of numbers [n]; nan for fewer than two."""
    if len(values) < 2:
        return float("nan"), float("nan")
    from scipy.stats import bootstrap

    rng = np.random.default_rng(SEED)
    drawn = bootstrap((values,), statistic, n_resamples=RESAMPLES, method="percentile", rng=rng)
    return float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)


def estimate(values: np.ndarray, statistic: Statistic = np.mean) -> dict[str, Any]:
    """A statistic of numbers [n], `value`, its interval, `low` to `high`, and `of`, the n it is of; nan is left out.

    To four places; a number that does not exist is None.
    """
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    numbers = (float(statistic(values)) if len(values) else float("nan"), *interval(values, statistic))
    value, low, high = (round(number, 4) if np.isfinite(number) else None for number in numbers)
    return {"value": value, "low": low, "high": high, "of": len(values)}


def wilson(k: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval for a share of k of n, 0 to 1; all of that range of nothing."""
    if not n:
        return 0.0, 1.0
    from scipy.stats import binomtest

    found = binomtest(k, n).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def beyond_common(change: np.ndarray) -> np.ndarray:
    """Changes of logits [..., C] less their mean over the C classes or concepts, float64: what a softmax can see."""
    return change - change.mean(axis=-1, keepdims=True, dtype=np.float64) if change.shape[-1] else change.astype(float)


def rank_correlation(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Spearman's rank correlation of two arrays [k], Pearson's of the ranks; nan where one is constant or k < 2."""
    if len(predicted) < 2 or not (np.ptp(predicted) > 0 and np.ptp(measured) > 0):
        return float("nan")
    return float(np.corrcoef(_ranks(predicted), _ranks(measured))[1, 0])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks [k] of the values, of equal ones their mean."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which]


def explained_variance(x: np.ndarray, missed: np.ndarray) -> float:
    """1 - sum |missed|^2 / sum |x - mean|^2 over n tokens, [n, d] each, in float64; nan where x does not vary.

    The mean is that of each of the d numbers over the tokens.
    """
    x, missed = x.astype(np.float64), missed.astype(np.float64)
    spread = np.square(x - x.mean(0)).sum()
    return float(1 - np.square(missed).sum() / spread) if spread else float("nan")
