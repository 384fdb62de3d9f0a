"""The reference pictures as they were painted once, and what reads them ahead."""

import numpy as np
import pytest

from core.bundled import references
from core.methods.reference_scenes import KINDS, PAINTED, painted
from core.setups.loading import load_setup
from core.workbench import Workbench


def test_they_are_what_would_be_painted_now() -> None:
    """To the last bit. If not: python -m core.bundled.references"""
    anew = np.asarray(references.painted())
    kept = painted()
    assert len(kept) == sum(KINDS.values())
    columns, side = references.COLUMNS, kept.shape[1]
    for k, picture in enumerate(kept):
        row, column = divmod(k, columns)
        assert np.array_equal(picture, anew[row * side : (row + 1) * side, column * side : (column + 1) * side]), k


def test_a_space_takes_the_file() -> None:
    assert PAINTED.stat().st_size < 10_000_000


def test_nothing_is_painted_for_the_bundled_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first evidence reads the pictures alone, and that once, ahead of it where there is time."""
    monkeypatch.setattr("core.methods.reference_scenes.Painter", None)
    bench = Workbench(load_setup("bundled"))
    steps = [done for _, done, _ in bench.read_ahead()]
    assert steps == sorted(steps)
    assert steps[0] == 0
    assert list(bench.read_ahead()) == []
