"""Evidence: is an edit's effect more than any edit of its size would have?

A control suppresses random components in place of the chosen ones, matched in number and in energy ||f_j|| ||v_j||:
how much of the residual stream they make up in this picture.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr

from .attribution import Attribution
from .steering import Edit

NEIGHBOURS = 10
"""Each chosen component is replaced by one of this many components closest to it in energy."""


def matched_controls(attribution: Attribution, chosen: np.ndarray, draws: int, rng: np.random.Generator) -> list[Edit]:
    """``draws`` random edits that suppress as many components as ``chosen`` (int [k]), matched in energy.

    Only components active in the picture and not chosen are drawn, none twice in one control; where fewer than k are
    left, the control takes them all.
    """
    free = ~np.isin(attribution.component, chosen)
    energies = attribution.energy[np.searchsorted(attribution.component, chosen)]
    edits = []
    for _ in range(draws):
        left = np.flatnonzero(free)
        taken: list[int] = []
        for energy in energies:
            if not len(left):
                break
            near = np.argsort(np.abs(attribution.energy[left] - energy), kind="stable")[:NEIGHBOURS]
            at = left[rng.choice(near)]
            taken.append(int(attribution.component[at]))
            left = left[left != at]
        edits.append(Edit.of_suppressed(taken))
    return edits


def rank_correlation(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Spearman's rank correlation of two arrays [k]; nan where one is constant or k < 2."""
    if len(predicted) < 2 or np.ptp(predicted) == 0 or np.ptp(measured) == 0:
        return float("nan")
    return float(spearmanr(predicted, measured).statistic)
