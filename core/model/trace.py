"""Trace of a picture: what it left at the place, its activations and its embedding, read once.

The layers up to the place never run again.
"""

from dataclasses import dataclass

import numpy as np

from ..records import Preview, Record
from .dictionary import Activations


@dataclass(frozen=True, eq=False, repr=False)
class Trace(Record):
    """What one picture left in the model: numpy and plain values only, so that it pickles."""

    crop: np.ndarray
    """uint8 [S, S, 3]: the pixels the model saw."""
    residual: np.ndarray
    """float32 [T, d]: x at the place (`core.model.places`): most often the residual stream after layer L."""
    activations: Activations
    """The active components of the tokens in the dictionary's scope."""
    embedding: np.ndarray
    """float32 [p]: z, the image embedding, not normalised."""
    grid: tuple[int, int]
    """Rows and columns of the patches that x has a token for, T = 1 + rows * columns; 0 and 0: none, and so no map."""
    class_token: bool = True
    """Whether token 0 is a class token. It is not in a model without one, nor where x is the image embedding."""
    part_seen: np.ndarray | None = None
    """float32 [T, d]: what the dictionary reads, where that is a part of x; None where it is x."""

    @property
    def seen(self) -> np.ndarray:
        """float32 [T, d]: what the dictionary reads."""
        return self.residual if self.part_seen is None else self.part_seen

    @property
    def has_map(self) -> bool:
        """Whether there are tokens that are places in the picture."""
        return self.grid != (0, 0)

    def preview(self) -> Preview:
        """The picture's size and what is active in it."""
        f, (rows, columns) = self.activations, self.grid
        places = f", {rows} x {columns} patches{' and CLS' * self.class_token}" if self.has_map else ""
        return Preview(
            f"A picture of {self.crop.shape[0]} x {self.crop.shape[1]} pixels{places}: "
            f"{len(f.components()):,} of {f.n_components:,} components active, {len(f.token):,} times"
        )
