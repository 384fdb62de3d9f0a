"""Records compare by content and print by shape."""

from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import numpy as np
import pytest

from core.records import MOST_ROWS, Preview, Record


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


@dataclass(frozen=True, eq=False, repr=False)
class Told(Record):
    """A record that says what it comes to."""

    rows: tuple[tuple[str, str], ...]
    """Of its table."""

    def preview(self) -> Preview:
        """A table with text that looks like markup."""
        return Preview("a < b", ("name", "<i>"), self.rows)


def test_prints_tell_and_repr_keeps_the_shapes() -> None:
    told = Told((("dog & cat", "7 %"), ("owl", "100 %")))
    assert str(told) == "a < b\nname         <i>\ndog & cat    7 %\nowl        100 %"
    assert f"{told}" == str(told)
    assert repr(told).startswith("Told(rows=")
    assert str(Sample(np.zeros(2))) == repr(Sample(np.zeros(2)))
    assert Sample(np.zeros(2))._repr_html_() is None


def test_a_notebook_gets_escaped_html() -> None:
    html = Told((("<b>dog</b>", "7 %"),))._repr_html_()
    assert html == (
        "<p><b>a &lt; b</b></p><table><tr><th>name</th><th>&lt;i&gt;</th></tr>"
        "<tr><td>&lt;b&gt;dog&lt;/b&gt;</td><td>7 %</td></tr></table>"
    )


def test_a_long_table_is_cut() -> None:
    told = Told(tuple((str(k), str(k)) for k in range(MOST_ROWS + 3)))
    lines = str(told).split("\n")
    assert len(lines) == 2 + MOST_ROWS + 1
    assert lines[-1] == "… and 3 more rows"
    assert str(told._repr_html_()).count("<tr>") == 1 + MOST_ROWS
    assert "<p>… and 3 more rows</p>" in str(told._repr_html_())
    assert str(Told(())) == "a < b"
