"""Anytime-valid test of a rate: from when on pictures are no longer like those that a recipe's rate was counted in.

A rate p is known to lie in [low, high]. After n independent pictures with k events,

    E_n(p) = B(a + k, b + n - k) / (B(a, b) p^k (1 - p)^(n - k))

is a martingale with mean 1 under p: the likelihood ratio of a beta mixture of rates to p (Robbins, 1970). Its least
value over [low, high] is at the rate seen, as far as that lies within. By Ville's inequality it ever reaches 1 / delta
with probability at most delta, however long one watches and whenever one looks.

One such martingale that begins with the first picture would have to outweigh all good pictures before a change. So
further ones begin later, at numbers of pictures that grow by a fifth, and what is watched is their weighted sum with
weights that add up to 1 (those that have not begun count as 1), which is a martingale with mean 1 again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_PRIOR = 0.5
"""a and b of the mixture: Jeffreys' prior."""
_FIRST_RESTART = 32
"""Pictures after which the second martingale begins."""
_GROWTH = 1.2
"""How much later than the last one the next begins."""


@dataclass(frozen=True)
class Alarm:
    """That a rate is no longer what it was."""

    at: int
    """Pictures seen when it was noticed."""
    since: int
    """Pictures seen before the stretch that speaks most clearly for a change."""
    rate: float
    """Share of events in that stretch, 0 to 1."""


def log_evidence(n: np.ndarray, k: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """log of the least E_n(p) over p in [low, high] after n pictures with k events, arrays of one shape."""
    from scipy.special import betaln, xlog1py, xlogy

    p = np.clip(k / np.maximum(n, 1), low, high)
    mixture = betaln(_PRIOR + k, _PRIOR + n - k) - betaln(_PRIOR, _PRIOR)
    found: np.ndarray = mixture - xlogy(k, p) - xlog1py(n - k, -p)
    return found


class RateTest:
    """The test for one rate, fed batch by batch."""

    def __init__(self, low: float, high: float, delta: float) -> None:
        """`low` and `high` bound the rate, `delta` the probability of a false alarm."""
        self.low, self.high, self.delta = low, high, delta
        self.n = self.k = 0
        self.alarm: Alarm | None = None
        self._starts = [(0, 0)]
        self._restart = _FIRST_RESTART

    def add(self, n: int, k: int) -> None:
        """n more pictures with k events."""
        self.n, self.k = self.n + n, self.k + k
        if self.alarm is not None or not n:
            return
        starts = np.array(self._starts)
        since = np.array([self.n, self.k]) - starts
        order = np.arange(1, len(starts) + 1)
        parts = log_evidence(since[:, 0], since[:, 1], self.low, self.high) - np.log(order * (order + 1))
        unbegun = -np.log(len(starts) + 1)
        if np.logaddexp(np.logaddexp.reduce(parts), unbegun) >= -np.log(self.delta):
            strongest = int(parts.argmax())
            seen, events = since[strongest].tolist()
            self.alarm = Alarm(self.n, int(starts[strongest, 0]), events / seen)
        elif self.n >= self._restart:
            self._starts.append((self.n, self.k))
            self._restart = max(int(_GROWTH * self._restart), self.n + 1)
