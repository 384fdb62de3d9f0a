"""The number that is explained, and which one it is when nobody says."""

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.methods.target import Target, default_target
from core.model.prediction import Prediction


def prediction(*logits: float) -> Prediction:
    values = np.array(logits, dtype=np.float32)
    return Prediction(tuple("abcd"[: len(logits)]), values, values)


def test_target_of_logits() -> None:
    values = torch.tensor([[1.0, 5.0, -2.0], [0.0, 3.0, 4.0]])
    assert Target(1).of(values).tolist() == [5.0, 3.0]
    assert Target(1, 2).of(values).tolist() == [7.0, -1.0]


@pytest.mark.parametrize("target", [Target(3), Target(-1), Target(0, 3), Target(1, 1)], ids=str)
def test_targets_that_make_no_sense_are_trouble(target: Target) -> None:
    with pytest.raises(UserError):
        target.of(torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("should_be", "expected"),
    [(None, Target(1)), (0, Target(1, 0)), (2, Target(1, 2)), (1, Target(1, 2))],
)
def test_default_target(should_be: int | None, expected: Target) -> None:
    assert default_target(prediction(0.0, 5.0, 2.0), should_be) == expected


def test_default_target_of_a_single_class() -> None:
    assert default_target(prediction(3.0), 0) == default_target(prediction(3.0), None) == Target(0)
