"""Top-k that keeps its signs: the k largest pre-activations, negative ones included, and no ReLU after them.

CLIP-Scope trains so, and saev since 2025. sae_lens has two neighbours of it: "topk", which sets what is negative among
the k to 0, and "abstopk", which chooses by size without the sign. Registered with sae_lens under a name of its own,
such a dictionary is saved to and loaded from a sae_lens folder as any other, wherever this module was imported.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from sae_lens import TopKSAE, TopKSAEConfig, register_sae_class
from torch import Tensor


@dataclass
class SignedTopKSAEConfig(TopKSAEConfig):
    """As of "topk": k is the number of components kept at each token."""

    @classmethod
    def architecture(cls) -> str:
        """Its name in `cfg.json`."""
        return "signed_topk"


class SignedTopKSAE(TopKSAE):
    """f = the k largest of (x - b_dec) W_enc + b_enc, sign kept, 0 elsewhere; x_hat = f W_dec + b_dec."""

    def get_activation_fn(self) -> Callable[[Tensor], Tensor]:
        """What is applied to the pre-activations [..., m]."""
        k = self.cfg.k

        def largest(before: Tensor) -> Tensor:
            value, component = torch.topk(before, k, dim=-1, sorted=False)
            return torch.zeros_like(before).scatter_(-1, component, value)

        return largest


register_sae_class(SignedTopKSAEConfig.architecture(), SignedTopKSAE, SignedTopKSAEConfig)
