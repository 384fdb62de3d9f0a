"""Token maps of a picture: which components (SAE latents) fire at each of its patches, and what counts there.

Two things that are easily taken for each other are kept apart. A component's *activation map* is where it fires: f_tj.
Its *attribution map* is where its firing counts for this prediction: A_tj. It may fire strongly where that
changes nothing. Both are as sparse as the activations are, and are handed over at once, so that a page which shows them
under the pointer asks for nothing more. What is handed over is bounded: of a dense dictionary ten thousand components
fire, in half a million places.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..model.trace import Trace
from ..records import Record
from .attribution import Attribution

AT_A_TOKEN = 8
"""Components listed for a token."""
MOST = 200
"""Components with a map."""
PLACES = 4000
"""Places at which these fire, together; the components asked for have their maps whatever these hold."""


@dataclass(frozen=True, eq=False, repr=False)
class TokenMap(Record):
    """Where one component fires, and what it contributes there."""

    component: int
    """Index into the dictionary."""
    token: np.ndarray
    """int32 [n]: the tokens at which it fires, ascending; 0 is CLS, then the patches in reading order."""
    activation: np.ndarray
    """float32 [n]: f_tj, in the units of f."""
    attribution: np.ndarray
    """float32 [n]: A_tj, in the unit of the target; positive speaks for the target."""


@dataclass(frozen=True, eq=False, repr=False)
class TokenMaps(Record):
    """What a page needs in order to show where the model looks, without asking again."""

    grid: tuple[int, int]
    """Rows and columns of patches."""
    tokens: tuple[tuple[tuple[int, float, float], ...], ...]
    """For every token, from CLS on, the strongest components there, by size of activation, the strongest first:
    component, activation and attribution at that token."""
    maps: tuple[TokenMap, ...]
    """Of the components asked for first, and then of those that fire most strongly at any token."""

    def plain(self) -> dict[str, Any]:
        """As `json.dumps` takes it: activations to 3 digits, attributions to 0.0001 logits, every place once.

        rows and columns; maps: by component (as text) [token, activation, attribution, token, ...]; tokens: for each
        [component, activation, attribution, component, ...] of the strongest there that have no map.
        """
        rows, columns = self.grid
        mapped = {one.component for one in self.maps}
        return {
            "rows": rows,
            "columns": columns,
            "tokens": [_flat(one for one in firing if one[0] not in mapped) for firing in self.tokens],
            "maps": {str(one.component): _flat(_places(one)) for one in self.maps},
        }


def token_maps(
    trace: Trace, attribution: Attribution, first: Sequence[int] = (), most: int = MOST, places: int = PLACES
) -> TokenMaps:
    """Activations and attributions by place, of the trace that `attribution` explains.

    Maps are given of at most `most` active components: those of `first`, in that order, then the others by their
    activation of largest size, until all maps hold `places` places. Raises ValueError for an attribution of another
    trace.
    """
    f = trace.activations
    if len(attribution.pair) != len(f.value):
        raise ValueError("the attribution is of another trace")
    size = np.abs(f.value)

    order = np.lexsort((f.component, -size, f.token))
    starts = np.searchsorted(f.token[order], np.arange(f.n_tokens + 1))
    tokens = tuple(
        tuple(
            (int(f.component[at]), float(f.value[at]), float(attribution.pair[at]))
            for at in order[start:stop][:AT_A_TOKEN]
        )
        for start, stop in zip(starts[:-1], starts[1:], strict=True)
    )

    strongest = f.component[np.argsort(-size, kind="stable")]
    active = set(strongest.tolist())
    wanted = dict.fromkeys([*(int(j) for j in first if int(j) in active), *strongest.tolist()])
    maps: list[TokenMap] = []
    for j in list(wanted)[:most]:
        one = _map(trace, attribution, j)
        places -= len(one.token)
        if places < 0 and j not in first:
            break
        maps.append(one)
    return TokenMaps(trace.grid, tokens, tuple(maps))


def _map(trace: Trace, attribution: Attribution, component: int) -> TokenMap:
    f = trace.activations
    where = f.span(component)
    return TokenMap(component, f.token[where].copy(), f.value[where].copy(), attribution.pair[where].copy())


def _places(one: TokenMap) -> Iterable[tuple[int, float, float]]:
    return zip(one.token.tolist(), one.activation.tolist(), one.attribution.tolist(), strict=True)


def _flat(listed: Iterable[tuple[int, float, float]]) -> list[float]:
    return [value for which, f, a in listed for value in (which, _short(float(f"{f:.3g}")), logits(a))]


def logits(value: float) -> float:
    """To 0.0001 logits."""
    return _short(round(value, 4))


def _short(value: float) -> float:
    """As JSON writes it in the fewest characters."""
    return int(value) if value.is_integer() else value
