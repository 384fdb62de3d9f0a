"""Reconstruction error of a dictionary in one picture: what no component (SAE latent) can explain or steer there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..model.prediction import Prediction, predict
from ..model.sae_clip import SaeClip
from ..model.trace import Trace
from ..records import Preview, Record
from ..stats import explained_variance
from ..words import in_percent, percent


@dataclass(frozen=True, eq=False, repr=False)
class ReconstructionError(Record):
    """What the dictionary misses of one picture: e_t = x_t - x_hat_t of what it reads, over the tokens in its scope."""

    explained_variance: float | None
    """1 - sum_t |e_t|^2 / sum_t |x_t - mean x|^2, 1 at best; None for a single token, which does not vary."""
    cls_share: float | None
    """|e_0|^2 / |x_0|^2 at token 0 (CLS, or the image embedding), 0 at best; None when that is out of scope."""
    before: Prediction
    """What the model says of the picture."""
    through: Prediction
    """What it says when it sees only what the dictionary sees: x_hat in place of what it reads.
    Steering never does this; it keeps e."""

    def preview(self) -> Preview:
        """What the dictionary explains, and the prediction through it."""
        sides = self.before.probabilities, self.through.probabilities
        rows = [
            (self.before.classes[c], *(f"{percent(float(side[c]))} %" for side in sides))
            for c in self.before.order.tolist()
        ]
        explained, cls = in_percent(self.explained_variance), in_percent(self.cls_share)
        title = (
            f"{explained} of the variance explained, {cls} of CLS missed; {self.before.words} → {self.through.words}"
        )
        return Preview(title, ("class", "picture", "through the dictionary"), rows)


@torch.no_grad()
def reconstruction_error(
    model: SaeClip, trace: Trace, classifier: Tensor, classes: tuple[str, ...]
) -> ReconstructionError:
    """What the dictionary misses of the picture, and what that costs among classes with unit vectors [C, p]."""
    clip = model.clip
    x, read, again = model.residual(trace), model.seen(trace), model.reconstructed(trace)
    scope = model.dictionary.tokens(len(x))
    inside = slice(scope.start, scope.stop)
    seen, error = (part[inside].cpu().double() for part in (read, read - again))
    explained = explained_variance(seen.numpy(), error.numpy())
    return ReconstructionError(
        explained_variance=None if math.isnan(explained) else explained,
        cls_share=(error[0].square().sum() / seen[0].square().sum()).item() if 0 in scope else None,
        before=predict(trace.embedding, classifier, classes, clip.scoring),
        through=predict(clip.embed_from_residual((x - read + again)[None])[0], classifier, classes, clip.scoring),
    )
