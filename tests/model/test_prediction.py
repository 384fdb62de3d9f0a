"""Predictions and comparisons against the formulas written out."""

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.model.prediction import Prediction, compare, predict
from core.model.scoring import Scoring

NAMES = ("a", "b", "c", "d")
ROWS = torch.nn.functional.normalize(torch.randn(4, 6, generator=torch.Generator().manual_seed(1)), dim=-1)
vectors = st.lists(st.floats(-3, 3, width=32), min_size=6, max_size=6).filter(
    lambda v: math.sqrt(sum(x * x for x in v)) > 0.1
)


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


@given(vectors, st.floats(1, 100))
def test_predict_equals_the_formula(z: list[float], scale: float) -> None:
    prediction = predict(np.array(z, dtype=np.float32), ROWS, NAMES, Scoring(scale))
    logits = [scale * cosine(z, row) for row in ROWS.tolist()]
    weights = [math.exp(logit - max(logits)) for logit in logits]
    np.testing.assert_allclose(prediction.logits, logits, atol=1e-3)
    np.testing.assert_allclose(prediction.probabilities, [w / sum(weights) for w in weights], atol=1e-3)
    assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-6)
    assert prediction.logits.dtype == prediction.probabilities.dtype == np.float32
    again = predict(torch.tensor(z) * 7, ROWS, NAMES, Scoring(scale))
    np.testing.assert_allclose(again.logits, prediction.logits, atol=1e-3)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8))
def test_order_and_ranks(values: list[int]) -> None:
    logits = np.array(values, dtype=np.float32)
    prediction = Prediction(tuple(map(str, range(len(values)))), logits, logits, logits)
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))
    assert prediction.order.tolist() == expected
    assert prediction.top == expected[0]
    assert prediction.best == str(expected[0])
    for i, rank in enumerate(prediction.ranks):
        assert expected[rank - 1] == i


@given(vectors, vectors)
def test_compare_is_two_predictions_and_the_angle(before: list[float], after: list[float]) -> None:
    a, b = torch.tensor(before), torch.tensor(after)
    comparison = compare(a, b, ROWS, NAMES, Scoring(20.0))
    assert comparison.before == predict(a, ROWS, NAMES, Scoring(20.0))
    assert comparison.after == predict(b, ROWS, NAMES, Scoring(20.0))
    assert comparison.cosine == pytest.approx(cosine(before, after), abs=1e-5)
    assert -1 <= comparison.cosine <= 1
    assert comparison.flipped == (comparison.before.best != comparison.after.best)
    np.testing.assert_array_equal(comparison.logit_change, comparison.after.logits - comparison.before.logits)


def test_flipped_both_ways() -> None:
    a, b = ROWS[0], ROWS[1]
    assert compare(a, b, ROWS, NAMES, Scoring(10.0)).flipped
    assert not compare(a, a + 0.01 * b, ROWS, NAMES, Scoring(10.0)).flipped


def test_an_unchanged_embedding_changes_nothing() -> None:
    comparison = compare(ROWS[2] * 3, ROWS[2] * 3, ROWS, NAMES, Scoring(10.0))
    assert comparison.cosine == pytest.approx(1, abs=1e-12)
    assert not comparison.flipped
    assert not comparison.logit_change.any()
    assert comparison.before.best == "c"


def test_one_class_is_certain() -> None:
    assert predict(ROWS[0], ROWS[:1], ("only",), Scoring(100.0)).probabilities.tolist() == [1.0]


def test_comparisons_pickle_compare_and_print() -> None:
    comparison = compare(ROWS[0], ROWS[1], ROWS, NAMES, Scoring(10.0))
    assert pickle.loads(pickle.dumps(comparison)) == comparison
    assert comparison != compare(ROWS[0], ROWS[2], ROWS, NAMES, Scoring(10.0))
    assert repr(comparison.before) == (
        "Prediction(classes=('a', 'b', 'c', 'd'), logits=float32[4], probabilities=float32[4], "
        "unit_embedding=float32[6], per_class=False)"
    )
