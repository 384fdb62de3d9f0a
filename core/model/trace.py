"""Trace of a picture: its residual stream, activations and embedding, read once; the layers up to L never run again."""

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
    """float32 [T, d]: x, the residual stream after layer L."""
    activations: Activations
    """The active components of the tokens in the dictionary's scope."""
    embedding: np.ndarray
    """float32 [p]: z, the image embedding, not normalised."""
    grid: tuple[int, int]
    """Rows and columns of patches; T = 1 + rows * columns."""

    def preview(self) -> Preview:
        """The picture's size and what is active in it."""
        f, (rows, columns) = self.activations, self.grid
        return Preview(
            f"A picture of {self.crop.shape[0]} x {self.crop.shape[1]} pixels, {rows} x {columns} patches and CLS: "
            f"{len(f.components()):,} of {f.n_components:,} components active, {len(f.token):,} times"
        )
