"""Standardisation of the residual that a dictionary was trained on, folded into the dictionary's weights.

Some dictionaries were trained on z = (x - mean) / scale, number by number: f = a((z - b) E + e) and z_hat = f D + b. In
the units of x this is a dictionary of the same form with the same activations:

    (z - b) E + e = (x - mean - scale b) (E / scale) + e        E' = E / scale (by rows)
    x_hat = scale z_hat + mean = f (D scale) + mean + scale b     D' = D scale (by columns),  b' = mean + scale b

and without the "- b", z E + e = x E' + e' with e' = e - (mean / scale) E. So nothing else has to know of z.
"""

from dataclasses import dataclass

import numpy as np
import torch
from sae_lens import SAE
from torch import Tensor

from ..model.sae_dictionary import blank_sae, filled_sae
from ..records import Record


@dataclass(frozen=True, eq=False, repr=False)
class ResidualStatistics(Record):
    """The residual of a CLIP after layer L, over all tokens in a scope of some pictures."""

    mean: np.ndarray
    """float32 [d]."""
    deviation: np.ndarray
    """Standard deviation of each of the d numbers, with n - 1, float32 [d]."""
    distance: float
    """Of a token from the mean: the mean over tokens of |x - mean|."""
    tokens: int
    """n."""
    pictures: int
    """How many crops the tokens are of."""

    @property
    def summary(self) -> str:
        """What they are of, for the reader."""
        return f"mean and deviation over {self.tokens:,} tokens of {self.pictures} crops of photographs"


@dataclass(frozen=True, eq=False, repr=False)
class Standardisation(Record):
    """z = (x - mean) / scale, for each of the d numbers of a token."""

    mean: np.ndarray
    """float32 [d], in the units of x."""
    scale: np.ndarray
    """float32 [d], in the units of x, above 0."""

    def of(self, x: Tensor) -> Tensor:
        """x [..., d] -> z [..., d]."""
        return (x - _like(x, self.mean)) / _like(x, self.scale)

    def undone(self, z: Tensor) -> Tensor:
        """z [..., d] -> x [..., d]."""
        return z * _like(z, self.scale) + _like(z, self.mean)

    def explained_variance(self, x: np.ndarray, missed: np.ndarray) -> float:
        """What projects that train on z publish: the mean over tokens of 1 - |z - z_hat|^2 / |z - mean_d(z)|^2.

        x and x - x_hat, [n, d]; mean_d(z) is one number, the mean of the d numbers of a token. Formula: sache,
        `training_step` in sache/train.py, since its commit 049a4a1. Not the share of the summed variance, so it is not
        the explained variance of x either.
        """
        z = (x.astype(np.float64) - self.mean) / self.scale
        left = np.square(missed.astype(np.float64) / self.scale).sum(1)
        return float(np.mean(1 - left / np.square(z - z.mean(1, keepdims=True)).sum(1)))


@torch.no_grad()
def folded(sae: SAE, standardisation: Standardisation) -> SAE:
    """The dictionary that does with x what `sae` does with z: new weights, the same activations, frozen.

    For architectures with one bias before the activation (relu, JumpReLU, top-k). Raises ValueError for any other, and
    for one that normalises x, or the rows of its decoder, itself.
    """
    rescales = getattr(sae.cfg, "rescale_acts_by_decoder_norm", False)
    if sae.cfg.architecture() == "gated" or sae.cfg.normalize_activations != "none" or rescales:
        raise ValueError("a standardisation cannot be folded into this kind of dictionary")
    weights = dict(sae.state_dict())
    mean, scale = (_like(weights["W_enc"], numbers) for numbers in (standardisation.mean, standardisation.scale))
    outer = weights["W_enc"] / scale[:, None]
    if not sae.cfg.apply_b_dec_to_input:
        weights["b_enc"] = weights["b_enc"] - mean @ outer
    weights |= {"W_enc": outer, "W_dec": weights["W_dec"] * scale, "b_dec": mean + scale * weights["b_dec"]}
    return filled_sae(blank_sae(sae.cfg), weights).eval().requires_grad_(False)


def _like(tensor: Tensor, numbers: np.ndarray) -> Tensor:
    return torch.as_tensor(numbers, dtype=tensor.dtype, device=tensor.device)
