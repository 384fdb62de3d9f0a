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

from ..model.clip import SplitClip, logits
from ..model.dictionary import CHUNK, Dictionary
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
    slope, step = np.empty(len(component)), max(1, CHUNK // dictionary.width)
    for start in range(0, len(component), step):
        part = slice(start, start + step)
        at = (torch.as_tensor(each[part], device=gradient.device) for each in (picture, found.tokens))
        slope[part] = (gradient[tuple(at)] * dictionary.directions(component[part])).sum(-1).cpu().double().numpy()
    return np.add.reduceat(slope * found.values, found.first[:-1])
