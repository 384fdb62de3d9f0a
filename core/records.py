"""Record, the base of all results: a frozen dataclass of arrays, compared by value and printed as a table."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any

import numpy as np
from markupsafe import Markup

from .words import count

MOST_ROWS = 12
"""Rows of a printed table; of more, the first of these."""


@dataclass(frozen=True)
class Preview:
    """A result in a few numbers, to be printed."""

    title: str
    """What it comes to, in a line."""
    heads: Sequence[str] = ()
    """Of the columns."""
    rows: Sequence[Sequence[str]] = ()
    """As many cells in each as there are columns."""

    def __str__(self) -> str:
        """The title, and under it the table: its first column flush left, numbers flush right."""
        shown = [self.heads, *islice(self.rows, MOST_ROWS)] if self.rows else []
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        lines = (
            "  ".join(cell.rjust(width) if k else cell.ljust(width) for k, (cell, width) in cells).rstrip()
            for cells in (enumerate(zip(row, widths, strict=True)) for row in shown)
        )
        return "\n".join([self.title, *lines, *self._more])

    @property
    def html(self) -> Markup:
        """The same for a notebook."""
        row, head, cell = Markup("<tr>{}</tr>"), Markup("<th>{}</th>"), Markup("<td>{}</td>")
        nothing = Markup("")
        body = [row.format(nothing.join(map(head.format, self.heads)))] if self.rows else []
        body += [row.format(nothing.join(map(cell.format, cells))) for cells in islice(self.rows, MOST_ROWS)]
        below = nothing.join(map(Markup("<p>{}</p>").format, self._more))
        return Markup("<p><b>{}</b></p><table>{}</table>{}").format(self.title, nothing.join(body), below)

    @property
    def _more(self) -> list[str]:
        left = len(self.rows) - MOST_ROWS
        return [f"… and {count(left, 'more row')}"] if left > 0 else []


class Printed:
    """Base of results that print as a table of their numbers; their `repr` is that of their fields."""

    def preview(self) -> Preview | None:
        """What is printed; None for the `repr`."""
        return None

    def __str__(self) -> str:
        """A line and a short table."""
        preview = self.preview()
        return repr(self) if preview is None else str(preview)

    def _repr_html_(self) -> str | None:
        """The same in a notebook, which takes the `repr` where this is None."""
        preview = self.preview()
        return None if preview is None else str(preview.html)


class Record(Printed):
    """Base of a `@dataclass(frozen=True, eq=False, repr=False)` that holds arrays.

    A generated `==` would compare arrays elementwise and fail on the result, a generated `repr` would print
    thousands of numbers. Here records are equal when all their fields hold the same values, and the `repr` of an array
    is its shape. What `print` and notebooks show is the `preview`.
    """

    def __eq__(self, other: object) -> bool:
        """Whether `other` is of the same class and holds the same values in every field."""
        if type(other) is not type(self):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))  # type: ignore[arg-type]

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """The class and its fields, arrays by dtype and shape."""
        shown = (f"{f.name}={_shown(getattr(self, f.name))}" for f in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(shown)})"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        floats = a.dtype.kind == "f" and b.dtype.kind == "f"
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=floats)
    return type(a) is type(b) and bool(a == b)


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    return repr(value)
