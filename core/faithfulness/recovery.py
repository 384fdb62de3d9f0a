"""Recovery of planted causes: the rank, in an ordering, of the first component whose suppression alone corrects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..methods.question import Question
from ..methods.steering import Edit
from ..model.sae_clip import BATCH
from ..stats import SEED, estimate
from .orderings import METHODS, orders, predictions

WITHIN = (1, 3, 5)
"""Ranks within which a planted cause may be found."""


@torch.no_grad()
def causes(question: Question) -> np.ndarray:
    """The components whose suppression alone takes the prediction off the target's wanted class, int32."""
    components = question.trace.activations.components()
    moved = [np.zeros(0, dtype=bool)]
    for start in range(0, len(components), BATCH):
        edits = [Edit.of_suppressed([int(j)]) for j in components[start : start + BATCH]]
        after = question.logits_of(question.embeddings_under(edits))
        moved.append((after.argmax(-1) != question.target.classes[0]).cpu().numpy())
    return components[np.concatenate(moved)]


def first_rank(order: np.ndarray, wanted: np.ndarray) -> int:
    """The place in `order`, from 1, of the first component that is among `wanted`; some must be."""
    return int(np.flatnonzero(np.isin(order, wanted))[0]) + 1


def recovery(questions: Sequence[Question]) -> dict[str, Any]:
    """How early each method's order has the first component that is by itself a cause of the prediction.

    Ranks are over the pictures that have such a component: `exists` says how many do.
    """
    rng = np.random.default_rng(SEED)
    exists: list[bool] = []
    ranks: dict[str, list[list[int]]] = {name: [] for name in (*METHODS, "random")}
    for question in questions:
        wanted = causes(question)
        exists.append(len(wanted) > 0)
        if len(wanted):
            for name, some in orders(question, predictions(question), rng).items():
                ranks[name].append([first_rank(order, wanted) for order in some])
    found = {}
    for name, rows in ranks.items():
        each = np.array(rows, dtype=float).reshape(len(rows), -1 if rows else 1)
        found[name] = {
            "median_rank": estimate(np.median(each, axis=1), np.median),
            "within": {str(n): estimate((each <= n).mean(1)) for n in WITHIN},
        }
    return {"pictures": len(questions), "exists": estimate(np.array(exists, dtype=float)), "methods": found}
