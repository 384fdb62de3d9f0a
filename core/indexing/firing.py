"""Activations above 0 of a batch of pictures, by component and picture.

A batch is encoded, a few million numbers at a time; the few activations above 0 are taken out at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..model.dictionary import CHUNK, Dictionary, nonzero


@dataclass(frozen=True, eq=False)
class BatchActivations:
    """Activations above 0 in a batch of pictures: G pairs of a component and a picture, by component, then picture."""

    component: np.ndarray
    """int64 [G]."""
    picture: np.ndarray
    """int64 [G]: its place in the batch."""
    peak: np.ndarray
    """float32 [G]: the largest activation over the tokens in scope."""
    token: np.ndarray
    """int64 [G]: the token of that, the first of equals; 0 is CLS."""
    total: np.ndarray
    """float64 [G]: the sum over the tokens."""
    first: np.ndarray
    """int64 [G + 1]: where each pair's tokens begin in the two arrays below."""
    tokens: np.ndarray
    """int64 [K]: the tokens at which it fires, ascending."""
    values: np.ndarray
    """float32 [K]: the activations there, above 0."""


@torch.no_grad()
def batch_activations(dictionary: Dictionary, residual: Tensor) -> BatchActivations:
    """x [B, T, d] -> what fires. Of a dictionary with signs, only what is above 0 counts as firing."""
    n_pictures, n_tokens, _ = residual.shape
    m, scope = dictionary.n_components, dictionary.tokens(n_tokens)
    seen = residual[:, scope.start : scope.stop].flatten(0, 1)
    step = max(1, CHUNK // m)
    rows, components, values = [], [], []
    for start in range(0, len(seen), step):
        place, value = nonzero(dictionary.encode_seen(seen[start : start + step]))
        above = value > 0
        place, value = place[above], value[above]
        row = place // m
        rows.append(row + start)
        components.append(place - row * m)
        values.append(value)
    row, component, value = (np.concatenate(parts) for parts in (rows, components, values))
    pair = component * n_pictures + row // len(scope)
    token = row % len(scope) + scope.start
    order = np.argsort(pair * n_tokens + token)
    pair, token, value = pair[order], token[order], value[order]

    begins = np.flatnonzero(np.diff(pair, prepend=-1))
    first = np.append(begins, len(pair))
    if not len(pair):  # reduceat raises for an empty array
        nothing = np.empty(0, np.int64)
        return BatchActivations(nothing, nothing, value, nothing, nothing.astype(np.float64), first, token, value)
    peak = np.maximum.reduceat(value, begins)
    group = np.repeat(np.arange(len(begins)), np.diff(first))
    strongest = np.flatnonzero(value == peak[group])
    strongest = strongest[np.diff(group[strongest], prepend=-1) > 0]
    return BatchActivations(
        component=pair[begins] // n_pictures,
        picture=pair[begins] % n_pictures,
        peak=peak,
        token=token[strongest],
        total=np.add.reduceat(value.astype(np.float64), begins),
        first=first,
        tokens=token,
        values=value,
    )
