"""A question: one picture, some classes and a target, put to a CLIP and its SAE; every method starts from one.

Everything here runs what comes after the place only: take x there, steer it, embed it, compare with the classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..model.clip import logits
from ..model.sae_clip import SaeClip
from ..model.trace import Trace
from .steering import Edit, steered
from .target import Target


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of one picture: how the target y comes about, and what an edit does to it."""

    model: SaeClip
    """The CLIP and its dictionary."""
    trace: Trace
    """The picture, read once."""
    classifier: Tensor
    """Unit class vectors [C, p], on the model's device."""
    target: Target
    """The number y(x) that is explained: a class's logit, or the difference of two."""

    def logits_of(self, embeddings: Tensor) -> Tensor:
        """Logits of the classes [..., C] of image embeddings [..., p], in one product. Differentiable."""
        return logits(embeddings, self.classifier, self.model.clip.scoring)

    @property
    @torch.no_grad()
    def logits(self) -> Tensor:
        """Logits of the classes without any edit, [C]."""
        return self.logits_of(self.model.clip.tensor(self.trace.embedding))

    @property
    def value(self) -> float:
        """y(x), without any edit, in logits. Raises UserError for a target that is not among the classes."""
        return self.target.of(self.logits).item()

    # Of residuals x [B, T, d], whichever they are

    def values(self, residuals: Tensor) -> Tensor:
        """x [B, T, d] -> y [B], in logits. Differentiable."""
        return self.target.of(self.logits_of(self.model.clip.embed_from_residual(residuals)))

    def gradients(self, residuals: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, T, d] -> y [B] in logits and dy/dx [B, T, d]: one forward, one backward."""
        with torch.enable_grad():
            x = residuals.detach().clone().requires_grad_()
            y = self.values(x)
            (gradient,) = torch.autograd.grad(y.sum(), x)
        return y.detach(), gradient

    # Of this picture under edits

    def steered(self, edits: Sequence[Edit]) -> Tensor:
        """x under each edit, [B, T, d]. Raises UserError as `steering.shift`."""
        return steered(self.model, self.trace, edits)

    def embeddings_under(self, edits: Sequence[Edit]) -> Tensor:
        """The image embedding under each edit, [B, p], in one forward. Raises UserError as `steering.shift`."""
        return self.model.embeddings(self.trace, self.steered(edits))

    @torch.no_grad()
    def answers(self, residuals: Tensor) -> Tensor:
        """Logits [B, C] of residuals [B, T, d] of this picture, edited or not.

        Every embedding meets the classes alone: batches round differently, by a few 1e-7, and an edit that does nothing
        should be seen to do nothing.
        """
        return torch.stack([self.logits_of(z) for z in self.model.embeddings(self.trace, residuals)])

    def effects(self, residuals: Tensor) -> np.ndarray:
        """y(after) - y(x), float32 [B], in logits, of residuals [B, T, d] of this picture, edited or not."""
        before, after = (self.target.of(values).cpu().double() for values in (self.logits, self.answers(residuals)))
        return (after - before).numpy().astype(np.float32)
