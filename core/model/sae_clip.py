"""A CLIP with the dictionary (SAE) that reads its residual stream after layer L: what every question is put to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .clip import SplitClip
from .dictionary import Dictionary
from .trace import Trace

BATCH = 32
"""Pictures, or edits of one picture, in one forward."""

_GREY = 128


@dataclass(frozen=True, eq=False)
class SaeClip:
    """A CLIP split after layer L, and a dictionary of components (SAE latents) there. Read-only."""

    clip: SplitClip
    """The model."""
    dictionary: Dictionary
    """The components of its residual stream after layer L."""

    @property
    def n_bytes(self) -> int:
        """What the weights take in memory."""
        return self.clip.n_bytes + self.dictionary.n_bytes

    def to(self, device: str) -> "SaeClip":
        """The same on another device; what is there already is not copied."""
        return SaeClip(self.clip.to(device), self.dictionary.to(device))

    @property
    def grey(self) -> np.ndarray:
        """The blank picture, all grey, as the model sees it: uint8 [S, S, 3]."""
        side = self.clip.model.config.vision_config.image_size
        return np.full((side, side, 3), _GREY, dtype=np.uint8)

    @torch.no_grad()
    def traces(self, crops: Sequence[np.ndarray] | np.ndarray) -> tuple[Trace, ...]:
        """Read uint8 crops, each [S, S, 3] as `SplitClip.crop` makes them, in one batch."""
        if not len(crops):
            return ()
        residual = self.clip.residual(self.clip.pixels(np.stack(list(crops))))
        embedding = self.clip.embed_from_residual(residual)
        return tuple(
            Trace(
                crop=np.array(crop),
                residual=x.cpu().numpy().copy(),
                activations=self.dictionary.activations(x),
                embedding=z.cpu().numpy().copy(),
                grid=self.clip.grid,
            )
            for crop, x, z in zip(crops, residual, embedding, strict=True)
        )

    def trace(self, crop: np.ndarray) -> Trace:
        """Read one crop, uint8 [S, S, 3]."""
        return self.traces([crop])[0]

    def residual(self, trace: Trace) -> Tensor:
        """x [T, d] of a picture, on the model's device. It may share memory with the trace: do not write."""
        return self.clip.place(trace.residual)

    @torch.no_grad()
    def embeddings(self, trace: Trace, residuals: Tensor) -> Tensor:
        """Residuals [B, T, d] of one picture, edited or not -> image embeddings [B, p]. No gradients.

        A residual that no edit changed keeps the trace's embedding: batches round differently, by a few 1e-7, and an
        edit that does nothing should be seen to do nothing.
        """
        embeddings = self.clip.place(trace.embedding).repeat(len(residuals), 1)
        changed = (residuals != self.residual(trace)).flatten(1).any(1)
        if changed.any():
            embeddings[changed] = self.clip.embed_from_residual(residuals[changed])
        return embeddings
