"""Bounds against binomial tails summed in exact fractions, and Learn then Test against its plain restatement."""

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import accumulate
from math import comb, fsum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.methods.bounds import (
    learn_then_test,
    lower_bound,
    most_allowed,
    p_value,
    pictures_needed,
    upper_bound,
)

counts = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
confidences = st.sampled_from([0.55, 0.8, 0.9, 0.95, 0.99])
rates = st.sampled_from([0.01, 0.02, 0.1, 0.25, 0.5, 0.9])


@cache
def tails(n: int, rate: float) -> list[Fraction]:
    """P(Bin(n, rate) <= k) for k = 0, ..., n, exactly."""
    p = Fraction(str(rate))
    return list(accumulate(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(n + 1)))


def tail(k: int, n: int, rate: float) -> Fraction:
    return tails(n, rate)[k]


def rounded_tail(k: int, n: int, rate: float) -> float:
    return fsum(comb(n, i) * rate**i * (1 - rate) ** (n - i) for i in range(k + 1))


def searched(holds: Callable[[float], bool], low: float = 0.0, high: float = 1.0) -> float:
    """The place in [0, 1] up to which `holds` is true, by bisection."""
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


@settings(max_examples=50)
@given(counts, confidences)
def test_the_bounds_are_the_rates_at_which_the_tails_have_that_chance(drawn: tuple[int, int], level: float) -> None:
    k, n = drawn
    upper = searched(lambda r: rounded_tail(k, n, r) > 1 - level)
    lower = 0.0 if k == 0 else searched(lambda r: 1 - rounded_tail(k - 1, n, r) <= 1 - level)
    assert upper_bound(k, n, level) == pytest.approx(upper, abs=1e-9)
    assert lower_bound(k, n, level) == pytest.approx(lower, abs=1e-9)


def test_bounds_that_everybody_knows() -> None:
    assert upper_bound(0, 299) <= 0.01 < upper_bound(0, 298)
    assert upper_bound(0, 10) == pytest.approx(1 - 0.05**0.1)
    assert lower_bound(10, 10) == pytest.approx(0.05**0.1)
    assert (lower_bound(0, 7), upper_bound(7, 7), upper_bound(0, 0), lower_bound(0, 0)) == (0, 1, 1, 0)


@given(st.integers(0, 80), rates, confidences)
def test_the_most_that_is_allowed_and_one_more_is_not(n: int, rate: float, level: float) -> None:
    allowed = [k for k in range(n + 1) if tail(k, n, rate) <= 1 - Fraction(str(level))]
    found = most_allowed(n, rate, level)
    assert found == (max(allowed) if allowed else None)
    if found is not None:
        assert upper_bound(found, n, level) <= rate + 1e-12


@given(st.integers(0, 4), st.sampled_from([0.05, 0.1, 0.3, 0.6]), confidences)
def test_as_many_pictures_as_are_needed_and_not_one_fewer(k: int, rate: float, level: float) -> None:
    n = pictures_needed(rate, level, k)
    assert tail(k, n, rate) <= 1 - Fraction(str(level))
    assert n == k or tail(k, n - 1, rate) > 1 - Fraction(str(level))


def test_pictures_needed_that_everybody_knows() -> None:
    assert [pictures_needed(rate) for rate in (0.01, 0.02, 0.05)] == [299, 149, 59]
    assert pictures_needed(0.01, 0.99) == 459
    assert pictures_needed(1e-4) == 29956


sequences = st.integers(1, 400).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.lists(st.integers(0, min(n, 12)), max_size=12), min_size=1, max_size=4))
)


@settings(max_examples=50)
@given(sequences, st.sampled_from([0.02, 0.1]), st.sampled_from([0.9, 0.95]))
def test_thresholds_are_tested_in_turn_until_one_is_not_rejected(
    drawn: tuple[int, list[list[int]]], rate: float, level: float
) -> None:
    n, several = drawn
    expected = []
    for sequence in several:
        taken = 0
        for k in sequence:
            if tail(k, n, rate) > (1 - Fraction(str(level))) / len(several):
                break
            taken += 1
        expected.append(taken)
    assert learn_then_test([np.array(s, dtype=int) for s in several], n, rate, level) == tuple(expected)


def test_the_promise_holds_whatever_the_data_chose() -> None:
    """Thresholds whose rates rise from 0: those taken have a rate above the promised one in at most delta of the runs.

    Each picture has the threshold from which on it is counted, so that the counts are of the same pictures; two
    sequences, and of both the threshold with the largest rate is looked at: the least favourable choice.
    """
    rng = np.random.default_rng(0)
    n, rate, level, runs = 300, 0.05, 0.9, 1000
    true = np.linspace(0, 0.1, 401)
    failed = 0
    for _ in range(runs):
        drawn = [np.searchsorted(true, rng.random(n), side="left") for _ in range(2)]
        found = learn_then_test([np.bincount(one, minlength=402).cumsum()[:401] for one in drawn], n, rate, level)
        failed += max(true[taken - 1] if taken else 0 for taken in found) > rate
    share = failed / runs
    assert share <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / runs)
    assert share > 0.04, "the test has to be able to fail: nearly all of what is allowed is used"


def test_what_cannot_be_meant_is_trouble() -> None:
    for wrong in (0.0, 1.0, -0.5, 2.0, float("nan")):
        for ask in (
            lambda x: upper_bound(1, 2, x),
            lambda x: lower_bound(1, 2, x),
            lambda x: pictures_needed(x),
            lambda x: most_allowed(10, 0.1, x),
            lambda x: learn_then_test([np.array([0])], 10, x),
        ):
            with pytest.raises(UserError, match="between 0 and 1"):
                ask(wrong)
    for k, n in ((-1, 3), (4, 3)):
        with pytest.raises(ValueError, match="of 3 pictures"):
            upper_bound(k, n)
    with pytest.raises(ValueError, match="of 3 pictures"):
        learn_then_test([np.array([4])], 3, 0.1)
    assert learn_then_test([], 10, 0.1) == ()
    assert p_value(0, 10, 0.5) == pytest.approx(0.5**10)
