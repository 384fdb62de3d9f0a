"""The tensors of a dictionary's file, checked as they are taken: name, shape, type, and finite numbers."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from ...errors import UserError
from .files import few

PLAIN = ("W_enc", "b_enc", "W_dec", "b_dec")
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class Tensors:
    """The tensors of a file, checked as they are taken."""

    def __init__(self, file: str, found: Mapping[str, Any]) -> None:
        """Raises UserError unless these are plain tensors, with numbers."""
        if not all(
            type(tensor) in (Tensor, Parameter)
            and tensor.layout == torch.strided
            and not (tensor.is_meta or tensor.is_nested or tensor.is_quantized)
            for tensor in found.values()
        ):
            raise UserError(f"{file} does not hold the tensors of a dictionary by name. Choose another file or layout.")
        self.file = file
        self.left: dict[str, Tensor] = dict(found)

    def expect(self, names: Collection[str]) -> None:
        """Raises UserError unless it has these tensors, and no others: one too many is another kind of dictionary."""
        missing, more = [name for name in names if name not in self.left], [n for n in self.left if n not in names]
        if missing or more:
            wrong = [f"lacks {few(missing)}"] * bool(missing) + [f"also holds {few(more)}"] * bool(more)
            raise UserError(f"{self.file} {' and '.join(wrong)}; expected {few(names)}. Choose another file or layout.")

    def sizes(self, name: str) -> tuple[int, int]:
        """Rows and columns of a matrix. Raises UserError for what is none."""
        tensor = self.left[name]
        if tensor.ndim != 2 or 0 in tensor.shape:
            raise UserError(f"In {self.file}, {name} is {_shape(tensor)}, expected a matrix.")
        return tensor.shape[0], tensor.shape[1]

    def number(self, name: str) -> Any:
        """A tensor that holds one number, as Python's. Raises UserError for what is none."""
        tensor = self.left.pop(name)
        if tensor.numel() != 1:
            raise UserError(f"In {self.file}, {name} is {_shape(tensor)}, expected one number.")
        return tensor.item()

    def take(self, name: str, *shape: int, turned: bool = False) -> Tensor:
        """The tensor, of this shape, as contiguous float32 of its own; it is stored transposed if `turned`.

        Raises UserError for another shape, for numbers that are no floats, and for one that is not finite.
        """
        tensor = self.left.pop(name).detach()
        stored = shape[::-1] if turned else shape
        if tuple(tensor.shape) != stored:
            raise UserError(f"In {self.file}, {name} is {_shape(tensor)}, expected {list(stored)}.")
        if tensor.dtype not in _FLOATS:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise UserError(f"In {self.file}, {name} holds {kind} numbers, expected floating-point ones.")
        if tensor.untyped_storage().nbytes() < tensor.nbytes:  # one number, repeated to any size
            raise UserError(f"In {self.file}, {name} holds fewer numbers than its shape {list(stored)} says.")
        own = (tensor.T if turned else tensor).to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        if not finite(own):
            raise UserError(f"In {self.file}, {name} holds numbers that are not finite. Download it again.")
        return own

    def finite_number(self, name: str) -> float:
        """As `number`, a finite float. Raises UserError for what is none."""
        value = self.number(name)
        if not isinstance(value, float) or not math.isfinite(value):
            raise UserError(f"In {self.file}, {name} is {value}, expected a finite number.")
        return value

    def plain(self, d: int, m: int, beside: Collection[str] = ()) -> dict[str, Tensor]:
        """W_enc [d, m], b_enc [m], W_dec [m, d] and b_dec [d]; only what is `beside` them is left then."""
        self.expect((*PLAIN, *beside))
        return {name: self.take(name, *shape) for name, shape in zip(PLAIN, ((d, m), (m,), (m, d), (d,)), strict=True)}


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape)) if tensor.ndim <= 4 else f"of {tensor.ndim} dimensions"


def finite(tensor: Tensor) -> bool:
    """Whether every number is finite, without a second tensor of that size: nan and inf show in the extremes."""
    return all(bool(extreme.isfinite()) for extreme in torch.aminmax(tensor))
