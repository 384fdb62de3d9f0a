"""The edit of a recipe as a module of torch: x -> x', from the rows of the dictionary that it needs.

1. f_tj of the recipe's components at every token in scope: an encoder of a few rows. Of a top-k dictionary a component
   is active where fewer than k others are larger, so the others are counted, a part of them at a time, and a token
   leaves the count as soon as each of its own components has k above it. Most leave with the first part.
2. Whether the condition holds in the picture, and whether each lever's threshold is reached at the token.
3. x'_t = x_t + sum_j (f'_tj - f_tj) v_j, as `core.methods.steering` has it.

Weights stay in float32 whatever the model is converted to, and so does what is computed here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model.sae_dictionary import normal
from ..model.scope import tokens_in_scope
from .recipe import Recipe, needed_components

_FIRST_PART = 1024
"""Other components that are counted first; each later part is twice as large."""


class TokenEdit(nn.Module):
    """The levers of a recipe, with their thresholds and condition. Without state: safe to use from several threads."""

    encoder: Tensor
    bias: Tensor
    decoder: Tensor
    factor: Tensor
    constant: Tensor
    at_least: Tensor
    lever: Tensor
    term: Tensor
    weight: Tensor
    centre: Tensor | None
    threshold: Tensor | None
    gate_bias: Tensor | None
    gate_scale: Tensor | None
    others: Tensor
    others_bias: Tensor

    def __init__(self, recipe: Recipe, whole_encoder: tuple[Tensor, Tensor] | None = None) -> None:
        """`whole_encoder`, rows [m, d] and biases [m], is what a top-k dictionary needs besides; None for others."""
        super().__init__()
        facts, arrays = recipe.facts, recipe.arrays
        self.architecture, self.k = facts.encoder.architecture, facts.encoder.k
        self.normalisation, self.scope = facts.encoder.normalisation, facts.identity.scope
        self.condition = facts.edit.condition
        levers = facts.edit.levers
        place = {component: at for at, component in enumerate(needed_components(facts.edit))}
        at = [place[lever.component] for lever in levers]
        terms = () if self.condition is None else self.condition.terms
        # f' = factor f + constant
        buffers = {
            "encoder": arrays.encoder.T, "bias": arrays.bias, "decoder": arrays.decoder[at],
            "centre": arrays.centre, "threshold": arrays.threshold,
            "gate_bias": arrays.gate_bias, "gate_scale": arrays.gate_scale,
            "factor": [lever.strength if lever.operation == "scale" else 0.0 for lever in levers],
            "constant": [lever.strength if lever.operation == "set" else 0.0 for lever in levers],
            "at_least": [-np.inf if lever.at_least is None else lever.at_least for lever in levers],
            "weight": [term.weight for term in terms],
        }  # fmt: skip
        for name, values in buffers.items():
            copied = None if values is None else torch.from_numpy(np.array(values, dtype=np.float32, order="C"))
            self.register_buffer(name, copied, persistent=False)
        self.register_buffer("lever", torch.tensor(at), persistent=False)
        self.register_buffer("term", torch.tensor([place[term.component] for term in terms]).long(), persistent=False)
        if whole_encoder is not None:
            rows, bias = whole_encoder
            others = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
            others[list(place)] = False
            self.register_buffer("others", rows[others], persistent=False)
            self.register_buffer("others_bias", bias[others], persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Go where the model goes, but stay in float32: a threshold is missed by what 16 bits round away."""
        super()._apply(lambda tensor: tensor.to(fn(tensor).device), recurse)  # type: ignore[no-untyped-call]
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, T, d] -> x' [B, T, d], and whether anything was changed in each picture, bool [B]."""
        tokens = tokens_in_scope(self.scope, x.shape[1])
        with torch.autocast(x.device.type, enabled=False):
            f = self.activations(x[:, tokens.start : tokens.stop].float())
            own = f[..., self.lever]
            change = own * (self.factor - 1) + self.constant
            acts = own >= self.at_least
            if self.condition is not None:
                score = (f[..., self.term].amax(1) * self.weight).sum(-1)
                acts = acts & (score >= self.condition.at_least)[:, None, None]
            change = torch.where(acts, change, 0.0)
            moved = change @ self.decoder
        moved = F.pad(moved, (0, 0, tokens.start, x.shape[1] - tokens.stop))
        return x + moved.to(x.dtype), (change != 0).flatten(1).any(1)

    def activations(self, seen: Tensor) -> Tensor:
        """Tokens in scope [B, t, d] -> f [B, t, k] of the recipe's components, as v_j multiplies it."""
        if self.normalisation == "none":
            return self._encoded(seen)
        normed, _, spread = normal(seen, self.normalisation)
        return self._encoded(normed) * spread

    def _encoded(self, seen: Tensor) -> Tensor:
        if self.centre is not None:
            seen = seen - self.centre
        product = seen @ self.encoder
        if self.gate_bias is not None and self.gate_scale is not None:
            return torch.relu(product * self.gate_scale + self.bias) * (product + self.gate_bias > 0)
        before = product + self.bias
        if self.k is not None:
            f = before.flatten(0, -2)
            largest = self._among_the_largest(seen.flatten(0, -2), f, self.k).view_as(before)
            before = torch.where(largest, before, 0.0)
            return torch.relu(before) if self.architecture == "topk" else before
        f = torch.relu(before)
        return f if self.threshold is None else f * (before > self.threshold)

    def _among_the_largest(self, seen: Tensor, before: Tensor, k: int) -> Tensor:
        """Whether each component is among the k largest of its token: [n, d] and pre-activations [n, j] -> bool [n, j].

        Where the pre-activation is not positive and a ReLU follows, the answer does not matter, and may be wrong.
        """
        by_size = self.architecture == "abstopk"
        own = before.abs() if by_size else before
        above = (own[:, None, :] > own[:, :, None]).sum(-1)
        competing = (own > 0) if self.architecture == "topk" else torch.ones_like(own, dtype=torch.bool)
        start, size = 0, _FIRST_PART
        while start < len(self.others):
            left = (competing & (above < k)).any(-1).nonzero()[:, 0]
            if not len(left):
                break
            part = slice(start, start + size)
            theirs = F.linear(seen[left], self.others[part], self.others_bias[part])
            theirs = theirs.abs() if by_size else theirs
            mine = own[left]
            more = torch.stack([(theirs > mine[:, j, None]).sum(-1) for j in range(mine.shape[1])], dim=-1)
            above = above.index_add(0, left, more)
            start, size = start + size, 2 * size
        return above < k
