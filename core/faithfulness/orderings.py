"""Orderings of a picture's active components, each the strongest for the target first, by five attribution methods.

What a method predicts is a number for every active component, these ascending, float [k].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch

from ..methods.attribution import attribute
from ..methods.question import Question

DRAWS = 5
"""Random orders of a picture's components; what they do is averaged."""


def by_gradient(question: Question) -> np.ndarray:
    """Activation x gradient: A_j, in logits."""
    return attribute(question).total


def by_integrated(question: Question) -> np.ndarray:
    """Integrated gradients: A_j, in logits."""
    return attribute(question, "integrated").total


def by_energy(question: Question) -> np.ndarray:
    """||f_j|| ||v_j||, in the units of x, whatever the target: the strongest simple rival."""
    return attribute(question).energy


@torch.no_grad()
def by_lens(question: Question) -> np.ndarray:
    """The logit lens: f_j <P(g (v_j - mean v_j)), t>, for order only; it has no unit.

    g is the weight of the last norm, P the projection and t the target's text direction, as if v_j went straight from
    CLS to the output. f_j is the activation at CLS, which is what is read out, or, where the dictionary leaves CLS
    out, its sum over the patches. A weak baseline, known to be unfaithful in CLIP's middle layers.
    """
    clip, dictionary, f = question.model.clip, question.model.dictionary, question.trace.activations
    components, which = np.unique(f.component, return_inverse=True)
    v = dictionary.directions(components)
    seen = clip.place.lens(clip.family, v)  # [k, p]
    units = torch.eye(question.classifier.shape[1]).to(question.classifier)
    toward = question.target.of(question.classifier.T, units)  # [p]
    read = (f.token == 0) | (dictionary.scope == "patches")
    written = np.bincount(which, weights=f.value * read, minlength=len(components))
    return written * (seen @ toward).cpu().double().numpy()


METHODS: Mapping[str, Callable[[Question], np.ndarray]] = MappingProxyType(
    {"gradient": by_gradient, "integrated": by_integrated, "energy": by_energy, "lens": by_lens}
)
"""By the names the report uses; it calls chance "random"."""


def predictions(question: Question) -> dict[str, np.ndarray]:
    """What every method predicts for the active components, float [k] each."""
    return {name: method(question) for name, method in METHODS.items()}


def orders(
    question: Question, predicted: Mapping[str, np.ndarray], rng: np.random.Generator
) -> dict[str, list[np.ndarray]]:
    """The active components in each method's order, the strongest for the target first, int32 [k]; random: five."""
    components = question.trace.activations.components()
    found = {name: [components[np.argsort(-scores, kind="stable")]] for name, scores in predicted.items()}
    return found | {"random": [rng.permutation(components) for _ in range(DRAWS)]}
