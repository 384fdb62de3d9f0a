"""A question: one picture, some classes and a target, put to a CLIP and its SAE; every method starts from one.

Everything here runs what comes after the place only: take x there, steer it, embed it, compare with the classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.clip import logits
from ..model.sae_clip import SaeClip
from ..model.trace import Trace
from .steering import Edit, steered
from .targets import Target


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
    """The number y(x) that is explained, in its own unit: `Target.UNIT`."""

    def logits_of(self, embeddings: Tensor) -> Tensor:
        """Logits of the classes [..., C] of image embeddings [..., p], in one product. Differentiable."""
        return logits(embeddings, self.classifier, self.model.clip.scoring)

    def values_of(self, embeddings: Tensor) -> Tensor:
        """y [...] of image embeddings [..., p]. Differentiable."""
        return self.target.of(self.logits_of(embeddings), F.normalize(embeddings, dim=-1))

    @property
    def embedding(self) -> Tensor:
        """The image embedding without any edit, [p], not normalised."""
        return self.model.clip.tensor(self.trace.embedding)

    @property
    @torch.no_grad()
    def logits(self) -> Tensor:
        """Logits of the classes without any edit, [C]."""
        return self.logits_of(self.embedding)

    @property
    @torch.no_grad()
    def value(self) -> float:
        """y(x), without any edit. Raises UserError for a target that is not among the classes."""
        return self.values_of(self.embedding).item()

    # Of residuals x [B, T, d], whichever they are

    def values(self, residuals: Tensor) -> Tensor:
        """x [B, T, d] -> y [B]. Differentiable."""
        return self.values_of(self.model.clip.embed_from_residual(residuals))

    def gradients(self, residuals: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, T, d] -> y [B] and dy/dx [B, T, d]: one forward, one backward."""
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
    def answers(self, residuals: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, C] and y [B] of residuals [B, T, d] of this picture, edited or not.

        Every embedding is answered alone: batches round differently, by a few 1e-7, and an edit that does nothing
        should be seen to do nothing.
        """
        embeddings = self.model.embeddings(self.trace, residuals)
        logits, values = (torch.stack([of(z) for z in embeddings]) for of in (self.logits_of, self.values_of))
        return logits, values

    def effects(self, residuals: Tensor) -> np.ndarray:
        """y(after) - y(x), float32 [B], of residuals [B, T, d] of this picture, edited or not."""
        _, after = self.answers(residuals)
        return (after.cpu().double() - self.value).numpy().astype(np.float32)
