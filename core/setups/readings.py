"""Choice among the formulas that a dictionary's file may have been trained with: which explains photographs best.

Every reading (`core.setups.checkpoints.Reading`) encodes the tokens in its scope of the photographs, and what it
explains of the variance of x decides. One that was trained on a standardised x reads z, and what it misses is brought
back into the units of x. Only the one that is taken is folded (`core.setups.standardisation`), so that a large
dictionary's weights are not held once for each reading.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..model.clip import SplitClip
from ..model.dictionary import Dictionary, Scope
from ..pictures.photographs import photographs
from ..pictures.read import read_picture
from ..stats import explained_variance
from .checkpoints import Reading
from .standardisation import ResidualStatistics, Standardisation, folded

_AS_GOOD = 1e-3
"""Of two that differ by less in explained variance, the likelier one is taken, which comes first."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """A dictionary, ready to be used, and how it was chosen."""

    dictionary: Dictionary
    """It, in the units of x, where the CLIP is."""
    formula: str
    """How it encodes, in words."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Explained variance over the photographs of each formula that was tried; nothing where there was but one."""
    standardisation: Standardisation | None = None
    """What is folded into it; None where it was trained on x itself."""


def choose(
    clip: SplitClip,
    readings: Sequence[Reading],
    scope: Scope,
    statistics: ResidualStatistics | None,
    tell: Callable[[int, int], None] | None = None,
) -> Chosen:
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
        residuals = []
        for done, photograph in enumerate(pictures):
            if tell is not None:
                tell(done, total)
            residuals.append(clip.residual(clip.pixels(clip.crop(read_picture(photograph.path))[None]))[0])
        explained = []
        for done, (reading, standardisation) in enumerate(zip(readings, standardisations, strict=True), len(pictures)):
            if tell is not None:
                tell(done, total)
            dictionary = Dictionary(reading.sae, scope).to(clip.device)
            explained.append(_explained(dictionary, standardisation, residuals))
        explained = [value if np.isfinite(value) else -np.inf for value in explained]
        best = next(n for n, value in enumerate(explained) if value >= max(explained) - _AS_GOOD)
        figures = {reading.formula: value for reading, value in zip(readings, explained, strict=True)}
    reading, standardisation = readings[best], standardisations[best]
    sae = reading.sae if standardisation is None else folded(reading.sae, standardisation)
    return Chosen(Dictionary(sae, scope).to(clip.device), reading.formula, figures, standardisation)


@torch.no_grad()
def _explained(dictionary: Dictionary, standardisation: Standardisation | None, residuals: Sequence[Tensor]) -> float:
    """Explained variance of x over the tokens in scope of all residuals, [T, d] each."""
    seen, missed = [], []
    for x in residuals:
        read = x if standardisation is None else standardisation.of(x)
        again = dictionary.decode(dictionary.activations(read)) + dictionary.bias_at(read)
        x_hat = again if standardisation is None else standardisation.undone(again)
        scope = dictionary.tokens(len(x))
        inside = slice(scope.start, scope.stop)
        seen.append(x[inside].float().cpu().numpy())
        missed.append((x - x_hat)[inside].float().cpu().numpy())
    return explained_variance(np.concatenate(seen), np.concatenate(missed))
