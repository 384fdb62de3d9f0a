"""Statistics by their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from core.stats import beyond_common, explained_variance, rank_correlation, wilson


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


@given(st.integers(0, 60), st.integers(0, 60))
def test_wilson_is_the_published_formula(a, b):
    right, of = min(a, b), max(a, b)
    if not of:
        assert wilson(right, of) == (0.0, 1.0)
        return
    z, p = 1.959963984540054, right / of
    middle = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * np.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    assert wilson(right, of) == pytest.approx((middle - half, middle + half), abs=1e-9)


@given(st.lists(st.lists(st.floats(-50, 50, width=32), min_size=3, max_size=3), min_size=1, max_size=4))
def test_what_is_common_to_all_is_left_out(rows: list[list[float]]) -> None:
    found = beyond_common(np.array(rows, dtype=np.float32))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [[x - sum(row) / 3 for x in row] for row in rows], atol=1e-9)
    np.testing.assert_allclose(beyond_common(np.array(rows) + 7), found, atol=1e-9)


def test_nothing_is_common_to_nothing() -> None:
    assert beyond_common(np.zeros((2, 0), dtype=np.float32)).shape == (2, 0)


def test_explained_variance_by_hand() -> None:
    x = np.array([[0.0, 2.0], [4.0, 2.0]])
    assert explained_variance(x, np.array([[1.0, 0.0], [0.0, 1.0]])) == 1 - 2 / 8
    assert np.isnan(explained_variance(x[:1], x[:1]))
