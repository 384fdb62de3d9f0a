"""Choice among the formulas that a dictionary's file may have been trained with: which explains photographs best.

Every reading (`core.setups.checkpoints.Reading`) encodes the tokens in its scope of the photographs, and what it
explains of the variance of x decides, among those under which about as many components are active as it was trained to
keep. One that was trained on a standardised x reads z, and what it misses is brought back into the units of x. Only the
one that is taken is folded (`core.setups.standardisation`), so that a large dictionary's weights are not held once for
each reading.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..model.clip import SplitClip
from ..model.sae_dictionary import SaeDictionary
from ..model.scope import Scope
from ..pictures.photographs import photographs
from ..pictures.read import read_picture
from ..stats import explained_variance
from .checkpoints import Reading
from .made import Made
from .standardisation import ResidualStatistics, Standardisation, folded

_AS_GOOD = 1e-3
"""Of two that differ by less in explained variance, the likelier one is taken, which comes first."""

_AS_MANY = 2.0
"""A threshold that stands in for a top-k keeps about k; one that keeps this many times more, or fewer, was no such."""


def choose(
    clip: SplitClip,
    readings: Sequence[Reading],
    scope: Scope,
    statistics: ResidualStatistics | None,
    tell: Callable[[int, int], None] | None = None,
) -> Made:
    """The best of the readings. `statistics` are the CLIP's, needed where a reading has a `standardise`.

    `tell` hears before every photograph, and every reading, how many of them are done.
    """
    standardisations = [
        None if reading.standardise is None or statistics is None else reading.standardise(statistics)
        for reading in readings
    ]
    best, figures = 0, {}
    if len(readings) > 1:
        pictures = photographs()
        total = len(pictures) + len(readings)
        seen = []
        for done, photograph in enumerate(pictures):
            if tell is not None:
                tell(done, total)
            seen.append(clip.read(clip.pixels(clip.crop(read_picture(photograph.path))[None])).seen[0])
        explained, keeps = [], []
        for done, (reading, standardisation) in enumerate(zip(readings, standardisations, strict=True), len(pictures)):
            if tell is not None:
                tell(done, total)
            dictionary = SaeDictionary(reading.sae, scope).to(clip.device)
            value, active = _explained(dictionary, standardisation, seen)
            explained.append(value if np.isfinite(value) else -np.inf)
            keeps.append(reading.active is None or 1 / _AS_MANY <= active / reading.active <= _AS_MANY)
        candidates = [n for n, kept in enumerate(keeps) if kept] or list(range(len(readings)))
        most = max(explained[n] for n in candidates)
        best = next(n for n in candidates if explained[n] >= most - _AS_GOOD)
        figures = {reading.formula: value for reading, value in zip(readings, explained, strict=True)}
    reading, standardisation = readings[best], standardisations[best]
    sae = reading.sae if standardisation is None else folded(reading.sae, standardisation)
    used = None if standardisation is None else statistics
    return Made(SaeDictionary(sae, scope).to(clip.device), reading.formula, figures, standardisation, used)


@torch.no_grad()
def _explained(
    dictionary: SaeDictionary, standardisation: Standardisation | None, residuals: Sequence[Tensor]
) -> tuple[float, float]:
    """Explained variance of x over the tokens in scope of all residuals, [T, d] each; components active at a token."""
    seen, missed, active = [], [], 0
    for x in residuals:
        read = x if standardisation is None else standardisation.of(x)
        activations = dictionary.activations(read)
        again = dictionary.decode(activations) + dictionary.bias_at(read)
        x_hat = again if standardisation is None else standardisation.undone(again)
        scope = dictionary.tokens(len(x))
        inside = slice(scope.start, scope.stop)
        seen.append(x[inside].float().cpu().numpy())
        missed.append((x - x_hat)[inside].float().cpu().numpy())
        active += len(activations.value)
    explained = explained_variance(np.concatenate(seen), np.concatenate(missed))
    return explained, active / sum(map(len, seen))
