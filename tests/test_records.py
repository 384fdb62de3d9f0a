"""Records compare by content and print by shape."""

from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import numpy as np
import pytest

from core.records import Record


@dataclass(frozen=True, eq=False, repr=False)
class Sample(Record):
    """A record."""

    array: np.ndarray
    """Numbers."""
    name: Any = "a"
    """Something else."""


@dataclass(frozen=True, eq=False, repr=False)
class Other(Sample):
    """Another class with the same fields."""


def test_equal_by_content() -> None:
    base = Sample(np.array([1.0, np.nan]))
    assert base == Sample(np.array([1.0, np.nan]))
    for different in (
        Sample(np.array([1.0, 2.0])),
        Sample(np.array([1.0])),
        Sample(np.array([1.0, np.nan]), "b"),
        Sample(np.array([1.0, np.nan], dtype=np.float32)),
        Sample(np.array([1.0, np.nan]), None),
        Other(np.array([1.0, np.nan])),
        "text",
    ):
        assert base != different
    assert Sample(np.array(["a", "b"])) == Sample(np.array(["a", "b"]))
    assert Sample(np.zeros(1), base) == Sample(np.zeros(1), Sample(np.array([1.0, np.nan])))


def test_printed_by_shape() -> None:
    assert repr(Sample(np.zeros((2, 3), np.float32))) == "Sample(array=float32[2, 3], name='a')"


def test_frozen_and_not_hashable() -> None:
    with pytest.raises(FrozenInstanceError):
        Sample(np.zeros(1)).name = "b"  # type: ignore[misc]
    with pytest.raises(TypeError):
        hash(Sample(np.zeros(1)))
