"""The training of CLIP-Scope's dictionaries, restated, for small ones of the same kind.

Lewington-pitsos/sache at 0c97cd3: `training_step` in sache/train.py, `TopKSAE` in sache/model.py. The released ones:
`batch_norm`, 65,536 components of which 32 are active, batches of 128 pictures x 257 tokens, a rate of 9e-5
(vitact/build_configs.py of Lewington-pitsos/vitsae).
"""

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor


def trained(
    x: Tensor, components: int, k: int, *, batch_norm: bool = True, steps: int = 200, pictures: int = 8
) -> OrderedDict[str, Tensor]:
    """pre_b [d], enc [d, m] and dec [m, d] for the residual x [pictures, T, d]; a batch is of `pictures` of them.

    With `batch_norm`, every batch is standardised by its own mean and deviation.
    """
    d = x.shape[-1]
    generator = torch.Generator().manual_seed(0)
    pre_b = 0.01 * torch.randn(d, generator=generator)
    enc = torch.randn(d, components, generator=generator) / (2 * d) ** 0.5
    weights = OrderedDict(pre_b=pre_b, enc=enc, dec=enc.T.clone())
    optimizer = torch.optim.Adam([weight.requires_grad_() for weight in weights.values()], lr=5e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, steps)  # theirs is constant, and much longer
    for _ in range(steps):
        batch = x[torch.randperm(len(x), generator=generator)[:pictures]].flatten(0, 1)
        if batch_norm:
            batch = (batch - batch.mean(dim=0, keepdim=True)) / (batch.std(dim=0, keepdim=True) + 1e-6)
        delta_pow = (batch - decoded(weights, encoded(weights, batch, k))).pow(2)
        loss = (delta_pow / batch.pow(2).sum(-1, keepdim=True).sqrt() + 1e-9).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return OrderedDict((name, weight.detach()) for name, weight in weights.items())


def encoded(weights: Mapping[str, Tensor], z: Tensor, k: int) -> Tensor:
    """z [n, d] -> f [n, m]: the k largest pre-activations, signs kept."""
    topk = torch.topk((z - weights["pre_b"]) @ weights["enc"], k=k, dim=-1)
    return z.new_zeros(len(z), weights["enc"].shape[1]).scatter(-1, topk.indices, topk.values)


def decoded(weights: Mapping[str, Tensor], f: Tensor) -> Tensor:
    """f [n, m] -> z_hat [n, d]."""
    return f @ weights["dec"] + weights["pre_b"]
