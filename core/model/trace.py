"""A picture, read once: everything later steps need, so that the layers up to L never run again for it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..records import Record
from .clip import SplitClip
from .dictionary import Activations, Dictionary


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


@torch.no_grad()
def trace_crops(clip: SplitClip, dictionary: Dictionary, crops: Sequence[np.ndarray] | np.ndarray) -> tuple[Trace, ...]:
    """Read uint8 crops, each [S, S, 3] as `SplitClip.crop` makes them, in one batch."""
    if not len(crops):
        return ()
    residual = clip.residual(clip.pixels(np.stack(list(crops))))
    embedding = clip.embed_from_residual(residual)
    return tuple(
        Trace(
            crop=np.array(crop),
            residual=x.cpu().numpy().copy(),
            activations=dictionary.activations(x),
            embedding=z.cpu().numpy().copy(),
            grid=clip.grid,
        )
        for crop, x, z in zip(crops, residual, embedding, strict=True)
    )


def finish(clip: SplitClip, trace: Trace, residuals: Tensor) -> Tensor:
    """Residuals [B, T, d] of one picture, edited or not -> image embeddings [B, p]. No gradients.

    A residual that no edit changed keeps the trace's embedding: batches round differently, by a few 1e-7, and an edit
    that does nothing should be seen to do nothing.
    """
    embeddings = clip.place(trace.embedding).repeat(len(residuals), 1)
    changed = (residuals != clip.place(trace.residual)).flatten(1).any(1)
    if changed.any():
        with torch.no_grad():
            embeddings[changed] = clip.embed_from_residual(residuals[changed])
    return embeddings
