"""Attribution of what a CLIP takes pictures for, to the components that fire in them (activation x gradient).

An index may choose a component's reference pictures by what the component contributes there, rather than by how
strongly it fires (relevance maximisation: Achtibat et al., Nature Machine Intelligence 2023; of CLIP's components,
Dreyer et al., arXiv 2505.20229). What a picture is explained for is then its own: the logit y of the word, of the
index's vocabulary, that the CLIP takes it for. A_j = sum_t f_tj <v_j, dy/dx_t>, as on the page.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..methods.attribution import pair_contributions
from ..model.clip import SplitClip, logits
from ..model.dictionary import Dictionary
from .firing import BatchActivations


def contributions(
    clip: SplitClip, dictionary: Dictionary, residual: Tensor, classifier: Tensor, found: BatchActivations
) -> np.ndarray:
    """A_j in logits of each pair that fires, float64 [G], for x [B, T, d] and unit class vectors [C, p].

    One forward and one backward through what comes after the place.
    """
    with torch.enable_grad():
        x = residual.detach().clone().requires_grad_()
        y = logits(clip.embed_from_residual(x), classifier, clip.scoring).amax(-1)
        (gradient,) = torch.autograd.grad(y.sum(), x)
    if not len(found.component):
        return np.zeros(0)
    count = np.diff(found.first)
    component, picture = np.repeat(found.component, count), np.repeat(found.picture, count)
    token = picture * gradient.shape[1] + found.tokens  # as if they were of one picture
    pairs = pair_contributions(token, component, found.values, gradient.flatten(0, 1), dictionary)
    return np.add.reduceat(pairs, found.first[:-1])
