"""A CLIP with the dictionary (SAE) that reads a place of its vision tower: what every question is put to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .clip import SplitClip
from .dictionary import Activations, Dictionary
from .trace import Trace

BATCH = 32
"""Pictures, or edits of one picture, in one forward."""

_GREY = 128


@dataclass(frozen=True, eq=False)
class SaeClip:
    """A CLIP split at a place, and a dictionary of components (SAE latents) there. Read-only."""

    clip: SplitClip
    """The model."""
    dictionary: Dictionary
    """The components of what it has at that place."""

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
        side = self.clip.image_size
        return np.full((side, side, 3), _GREY, dtype=np.uint8)

    @torch.no_grad()
    def traces(self, crops: Sequence[np.ndarray] | np.ndarray) -> tuple[Trace, ...]:
        """Read uint8 crops, each [S, S, 3] as `SplitClip.crop` makes them, in one batch."""
        if not len(crops):
            return ()
        at = self.clip.read(self.clip.pixels(np.stack(list(crops))))
        embedding = self.clip.embed_from_residual(at.x)
        return tuple(
            Trace(
                crop=np.array(crop),
                residual=x.cpu().numpy().copy(),
                activations=self.dictionary.activations(seen),
                embedding=z.cpu().numpy().copy(),
                grid=self.clip.grid,
                class_token=self.clip.has_class_token,
                part_seen=None if at.seen is at.x else seen.cpu().numpy().copy(),
            )
            for crop, x, seen, z in zip(crops, *at, embedding, strict=True)
        )

    def trace(self, crop: np.ndarray) -> Trace:
        """Read one crop, uint8 [S, S, 3]."""
        return self.traces([crop])[0]

    def residual(self, trace: Trace) -> Tensor:
        """x [T, d] of a picture, on the model's device. It may share memory with the trace: do not write."""
        return self.clip.tensor(trace.residual)

    def seen(self, trace: Trace) -> Tensor:
        """What the dictionary reads of a picture, [T, d]: x, or the part of it. Do not write."""
        return self.clip.tensor(trace.seen)

    @torch.no_grad()
    def reconstructed(self, trace: Trace) -> Tensor:
        """What the dictionary makes of what it reads, [T, d]; as it is at tokens out of its scope."""
        seen = self.seen(trace)
        scope = self.dictionary.tokens(len(seen))
        inside = slice(scope.start, scope.stop)
        found = seen.clone()
        found[inside] = (self.dictionary.decode(trace.activations) + self.dictionary.bias_at(seen))[inside]
        return found

    def moved(self, trace: Trace, residual: Tensor, activations: Activations) -> Trace:
        """A picture as an edit leaves it, x [T, d] and f: whatever is added to x is added to what is seen of it."""
        part = None
        if trace.part_seen is not None:
            part = trace.part_seen + (residual - self.residual(trace)).cpu().numpy()
        return replace(
            trace,
            residual=residual.cpu().numpy(),
            activations=activations,
            embedding=self.embeddings(trace, residual[None])[0].cpu().numpy(),
            part_seen=part,
        )

    @torch.no_grad()
    def embeddings(self, trace: Trace, residuals: Tensor) -> Tensor:
        """Residuals [B, T, d] of one picture, edited or not -> image embeddings [B, p]. No gradients.

        A residual that no edit changed keeps the trace's embedding: batches round differently, by a few 1e-7, and an
        edit that does nothing should be seen to do nothing.
        """
        embeddings = self.clip.tensor(trace.embedding).repeat(len(residuals), 1)
        changed = (residuals != self.residual(trace)).flatten(1).any(1)
        if changed.any():
            embeddings[changed] = self.clip.embed_from_residual(residuals[changed])
        return embeddings
