"""The base of this project's results: frozen dataclasses of numpy arrays that compare and print well."""

from dataclasses import fields
from typing import Any

import numpy as np


class Record:
    """Base of a `@dataclass(frozen=True, eq=False, repr=False)` that holds arrays.

    A generated `==` would compare arrays elementwise and fail on the result, a generated `repr` would print
    thousands of numbers. Here records are equal when all their fields hold the same values, and an array
    prints as its shape.
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
