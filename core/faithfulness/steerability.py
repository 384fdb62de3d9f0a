"""Steerability: how much of what a component does falls on one concept.

Each component is set, on a blank grey picture, to the pattern in which it typically fires; how concentrated is the
change of the logits over a vocabulary? The idea is that of "Steering CLIP's vision transformer with sparse
autoencoders" (Joseph et al., arXiv 2504.08729); the formula is this project's.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..model.clip import logits, text_classifier
from ..model.prompts import TEMPLATES
from ..model.sae_clip import BATCH, SaeClip
from ..model.trace import Trace
from ..stats import SEED, beyond_common, estimate

NOTHING = 1e-4
"""A change of fewer logits than this is rounding."""
MOVES = 1.0
"""A component moves a word when it changes its logit, against the mean of all words, by this much: odds by e."""
BINS = 20
"""Of the histogram of concentration."""
SHOWN = 10
"""Components listed as the most steerable."""


def concentration(change: np.ndarray) -> np.ndarray:
    """How much of each change [..., V] of the vocabulary's logits is a change of one concept, 0 to 1, [...].

    With d the change less its mean over the vocabulary (a shift common to all is invisible to any softmax), it is
    max d^2 / sum d^2 times V / (V - 1): the squared correlation of d with "this one concept and no other". 1 for such
    a change, 1 / (V - 1) at the least, and 0 where no concept moves by 0.0001 logits or more against the others.
    """
    change = np.asarray(change, dtype=np.float64)
    n = change.shape[-1]
    squares = beyond_common(change) ** 2
    top, total = squares.max(-1), squares.sum(-1)
    share = np.where(top < NOTHING**2, 0.0, top / np.where(total, total, 1.0))
    return np.minimum(share * n / (n - 1), 1.0)  # rounding goes a little beyond


def typical_patterns(traces: Sequence[Trace]) -> tuple[np.ndarray, np.ndarray]:
    """The components active anywhere, int [k], and how each typically fires, float32 [k, T].

    That is its activations in one of these pictures: the one at the 95th percentile (nearest rank) of ||f_j|| among
    those where it is active. So it is set where it usually fires, and as strongly as it really does at its peak.
    """
    found = []
    for picture, trace in enumerate(traces):
        component, which = np.unique(trace.activations.component, return_inverse=True)
        strength = np.sqrt(np.bincount(which, weights=trace.activations.value.astype(np.float64) ** 2))
        found.append((component, strength, np.full(len(component), picture)))
    component, strength, where = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((strength, component))
    components, first, count = np.unique(component[order], return_index=True, return_counts=True)
    chosen = where[order][first + np.ceil(0.95 * count).astype(int) - 1]
    patterns = [traces[p].activations.of(int(j)) for p, j in zip(chosen, components, strict=True)]
    return components, np.stack(patterns)


@torch.no_grad()
def impulse(model: SaeClip, trace: Trace, added: np.ndarray, directions: Tensor, vocabulary: Tensor) -> np.ndarray:
    """The change of the vocabulary's logits, float64 [k, V], when x_t becomes x_t + added_kt v_k, for each k.

    `added` is [k, T], `directions` [k, d], `vocabulary` unit text vectors [V, p].
    """
    clip, x = model.clip, model.residual(trace)
    before = logits(clip.embed_from_residual(x[None]), vocabulary, clip.scoring)
    parts = [torch.zeros(0, len(vocabulary)).to(before)]
    for f, v in zip(clip.tensor(added).split(BATCH), directions.split(BATCH), strict=True):
        parts.append(
            logits(clip.embed_from_residual(x + f[:, :, None] * v[:, None]), vocabulary, clip.scoring) - before
        )
    return torch.cat(parts).cpu().double().numpy()


def steerability(model: SaeClip, traces: Sequence[Trace], words: Sequence[str]) -> dict[str, Any]:
    """How concentrated the effect of each component is over a vocabulary, on a blank grey picture.

    Every component active in `traces` is set to its typical pattern; the control is a random direction of the same
    norm in its place. `moving` are the components that move some word by a logit or more: the concentration of an
    effect near zero says little. Intervals are over components. Raises UserError for fewer than two words.
    """
    if len(words) < 2:
        raise UserError("The vocabulary needs at least two words. Add some that the pictures may show.")
    grey = model.trace(model.grey)
    components, patterns = typical_patterns(traces)
    added = patterns - np.stack([grey.activations.of(int(j)) for j in components])
    v = model.dictionary.directions(components)
    noise = torch.randn(v.shape, generator=torch.Generator().manual_seed(SEED)).to(v)
    control = noise * (v.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True))
    vocabulary = text_classifier(model.clip, words, TEMPLATES["single"])
    changes = impulse(model, grey, added, v, vocabulary)
    found = concentration(changes)
    random = concentration(impulse(model, grey, added, control, vocabulary))
    apart = beyond_common(changes)
    concepts = np.abs(apart).argmax(-1)
    effects = np.take_along_axis(apart, concepts[:, None], 1)[:, 0]
    moving = np.abs(effects) >= MOVES
    ranked = np.argsort(-found, kind="stable")
    return {
        "vocabulary": list(words),
        "all": _distribution(found, random),
        "moving": _distribution(found[moving], random),
        "control": _distribution(random, random),
        "strongest": [
            {
                "component": int(components[i]),
                "concept": words[concepts[i]],
                "effect": round(float(effects[i]), 4),
                "concentration": round(float(found[i]), 4),
            }
            for i in ranked[moving[ranked]][:SHOWN]
        ],
    }


def _distribution(shares: np.ndarray, control: np.ndarray) -> dict[str, Any]:
    """Of concentrations [k]; the histogram gives shares in equal bins from 0 to 1.

    `beyond_control` is the share more concentrated than 95 % of the control.
    """
    counts, _ = np.histogram(shares, BINS, (0, 1))
    return {
        "components": len(shares),
        "median": estimate(shares, np.median),
        "above_half": estimate(shares > 0.5),
        "beyond_control": estimate(shares > np.quantile(control, 0.95)),
        "histogram": [round(float(count) / max(len(shares), 1), 4) for count in counts],
    }
