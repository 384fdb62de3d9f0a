"""Deletion and insertion curves of orderings, their areas, and rank correlations with ablation effects.

Deletion suppresses the first n of an order; insertion suppresses all and puts the first n back. The dictionary's error
stays. A good order makes the target fall fast, and come back fast ("RISE", arXiv 1806.07421, for pixels). Effects are
y(after) - y(before), in logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..methods.attribution import ablation_effects
from ..methods.question import Question
from ..model.sae_clip import BATCH
from ..stats import SEED, estimate, rank_correlation
from .orderings import METHODS, orders, predictions

COUNTS = (0, 1, 2, 3, 5, 8, 12, 20, 30, 50)
"""How many components a curve suppresses or puts back; after these, all of them."""
MEASURED = 200
"""The most components of a picture that are ablated one by one for the rank correlation: those of most energy."""


@torch.no_grad()
def curves(question: Question, order: np.ndarray) -> np.ndarray:
    """y in logits along deletion and insertion, float64 [2, len(COUNTS) + 1].

    `order` holds every active component once. Counts beyond its length mean all of them.
    """
    f, dictionary = question.trace.activations, question.model.dictionary
    cuts = np.minimum((*COUNTS, len(order)), len(order))
    place = np.zeros(f.n_components, dtype=np.int64)
    place[order] = np.arange(len(order))
    level = np.searchsorted(cuts, place[f.component], side="right")  # the first cut that takes the component
    first = torch.stack(  # what the components up to each cut add to the residual, [S, T, d]
        [
            dictionary.decode(replace(f, token=f.token[at], component=f.component[at], value=f.value[at]))
            for at in (level == step for step in range(len(cuts)))
        ]
    ).cumsum(0)
    x = question.model.residual(question.trace)
    y = [question.values(some) for some in torch.cat([x - first, x - (first[-1] - first)]).split(BATCH)]
    return torch.cat(y).cpu().double().numpy().reshape(2, -1)


def area(curve: np.ndarray) -> np.ndarray:
    """The mean height of curves [..., S], by trapezoids, with equal distances between successive counts.

    Not between components: that would be the tail of the curve, since nobody pulls a hundred levers.
    """
    return np.trapezoid(curve, axis=-1) / (np.shape(curve)[-1] - 1)


def effects_along(question: Question, ordered: Mapping[str, Sequence[np.ndarray]]) -> dict[str, np.ndarray]:
    """For each method y - y(x) along both curves, [2, S], in logits, averaged over its orders."""
    found = {}
    for name, some in ordered.items():
        y = np.stack([curves(question, order) for order in some])
        found[name] = (y - y[:, :1, :1]).mean(0)
    return found


# Rank correlation


def agreement(question: Question, predicted: Mapping[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """Rank correlations of predicted and measured effects, and of their sizes, over the active components.

    nan where there is none. Sizes, since energy knows no sign. Of more than 200 components, those of most energy.
    """
    components = question.trace.activations.components()
    chosen = np.sort(np.argsort(-predicted["energy"], kind="stable")[:MEASURED])
    lost = ablation_effects(question, components[chosen])
    return {
        name: (rank_correlation(scores[chosen], lost), rank_correlation(np.abs(scores[chosen]), np.abs(lost)))
        for name, scores in predicted.items()
    }


# The report


def faithfulness(questions: Sequence[Question]) -> dict[str, Any]:
    """Curves, their areas, and rank correlations, over pictures."""
    rng = np.random.default_rng(SEED)
    along: list[dict[str, np.ndarray]] = []
    agreed: list[dict[str, tuple[float, float]]] = []
    for question in questions:
        predicted = predictions(question)
        along.append(effects_along(question, orders(question, predicted, rng)))
        agreed.append(agreement(question, predicted))
    n_components = [float(len(question.trace.activations.components())) for question in questions]
    shape = (len(questions), 2, len(COUNTS) + 1)
    found = {name: np.array([one[name] for one in along]).reshape(shape) for name in (*METHODS, "random")}
    areas = {name: area(each) for name, each in found.items()}  # [pictures, 2]
    return {
        "pictures": len(questions),
        "active_components": estimate(np.array(n_components)),
        "counts": [*COUNTS, "all"],
        "deletion": {name: [estimate(column) for column in each[:, 0].T] for name, each in found.items()},
        "insertion": {name: [estimate(column) for column in each[:, 1].T] for name, each in found.items()},
        "area": {
            name: {
                "deletion": estimate(each[:, 0]),
                "insertion": estimate(each[:, 1]),
                "between": estimate(each[:, 1] - each[:, 0]),
            }
            for name, each in areas.items()
        },
        "rank_correlation": {
            name: {
                kind: estimate(np.array([one[name][at] for one in agreed]), np.median)
                for at, kind in enumerate(("effects", "sizes"))
            }
            for name in METHODS
        },
    }
