"""Rank correlation by its definition."""

import numpy as np
import pytest
from scipy.stats import rankdata

from core.stats import rank_correlation


def test_rank_correlation_is_pearsons_of_the_ranks():
    rng = np.random.default_rng(4)
    for _ in range(20):
        a, b = rng.integers(0, 6, 30), rng.normal(size=30)  # with ties
        assert rank_correlation(a, b) == pytest.approx(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
    assert rank_correlation(np.arange(5), np.arange(5) ** 3) == pytest.approx(1)
    assert rank_correlation(np.arange(5), -np.arange(5)) == pytest.approx(-1)


def test_no_correlation_of_nothing():
    assert np.isnan(rank_correlation(np.array([1.0]), np.array([2.0])))
    assert np.isnan(rank_correlation(np.ones(4), np.arange(4)))
