"""Watch of a steered model: whether the pictures it sees are still like those that its recipe was judged on.

No labels are needed: what is compared is in how many pictures the edit acts, and how often it changes the answer. The
recipe's own rates are known within intervals (Clopper-Pearson), from its counts; `rate_test` says when a rate has left
its interval. Of delta, the probability that the watch is ever wrong, each rate has an equal part, and of that half goes
to its interval and half to the test. Pictures are taken as independent: those of one video are not.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ..errors import UserError
from ..methods.bounds import lower_bound, upper_bound
from ..records import Preview, Printed
from ..words import count, in_percent
from .rate_test import Alarm, RateTest
from .recipe import Claim, RecipeFacts
from .tally import Tally

DELTA = 0.05
"""How likely the watch is ever to raise an alarm while nothing has changed, at most."""


@dataclass(frozen=True)
class WatchedRate:
    """One rate of a steered model, and the recipe's own."""

    what: str
    """What is counted, in words that follow a share: "of the pictures are changed"."""
    share: float
    """In the pictures seen, 0 to 1."""
    low: float | None
    """The recipe's rate is at least this; None where it states none."""
    high: float | None
    """And at most this."""
    alarm: Alarm | None
    """That it has left these bounds; None for no sign of that."""

    @property
    def said(self) -> str:
        """The rate in one sentence."""
        seen = f"{in_percent(self.share, 1)} {self.what}"
        if self.low is None or self.high is None:
            return f"{seen}; the recipe states no rate to compare with."
        bounds = f"{in_percent(self.low, 1)} to {in_percent(self.high, 1)}"
        if self.alarm is None:
            return f"{seen}; the recipe's {bounds} still fits."
        return (
            f"No longer like the recipe's pictures, noticed after {self.alarm.at:,}: since picture "
            f"{self.alarm.since:,}, {in_percent(self.alarm.rate, 1)} {self.what}, where the recipe has {bounds}."
        )


@dataclass(frozen=True)
class WatchReport(Printed):
    """What a steered model has counted, and whether that is like its recipe."""

    n: int
    """Pictures seen."""
    rates: tuple[WatchedRate, ...]
    """In how many the edit acts, and of how many it changes the answer, where that is counted."""
    moved: float | None
    """Mean of 1 - cosine of the embedding with the edit and without, where it acts; None where that is not known."""
    delta: float
    """Probability of any alarm while nothing has changed, at most."""

    @property
    def is_like_the_recipe(self) -> bool:
        """Whether no rate has left its bounds."""
        return all(rate.alarm is None for rate in self.rates)

    def preview(self) -> Preview:
        """Each rate in a sentence."""
        moved = [] if self.moved is None else [f"Where it acts, the embedding moves by 1 - cosine = {self.moved:.3g}."]
        return Preview(" ".join([f"{count(self.n, 'picture')} seen.", *(rate.said for rate in self.rates), *moved]))


class Watch(nn.Module):
    """What a steered model counts; calling it tells. It has no weights and takes no part in the forward pass."""

    def __init__(self, tally: Tally, answers: bool) -> None:
        """Tell of `tally`; `answers` says whether changed answers are counted, too."""
        super().__init__()
        self.tally, self.answers = tally, answers

    def forward(self) -> WatchReport:
        """What was counted by now, as `steered.watch()`."""
        total, acts, changes = self.tally.read()
        counted = [("of them are changed in the residual", total.acts, acts)]
        if self.answers:
            counted.append(("of them have another answer", total.changes, changes))
        rates = tuple(
            WatchedRate(
                what=what,
                share=k / total.n if total.n else 0.0,
                low=None if test is None else test.low,
                high=None if test is None else test.high,
                alarm=None if test is None else test.alarm,
            )
            for what, k, test in counted
        )
        moved = total.moved / total.acts if self.answers and total.acts else None
        return WatchReport(total.n, rates, moved, DELTA)


def tally_for(facts: RecipeFacts, claim: int | None, answers: bool) -> Tally:
    """A tally with a test for each rate that is counted; without any where the recipe states none.

    Raises UserError for a claim that there is not.
    """
    chosen = _claim(facts, claim)
    if chosen is None:
        return Tally()
    tests = [_test(k, chosen.n, DELTA / (1 + answers)) for k in (chosen.acts, chosen.changes)]
    return Tally(tests[0], tests[1] if answers else None)


def _claim(facts: RecipeFacts, index: int | None) -> Claim | None:
    if index is not None:
        if not 0 <= index < len(facts.claims):
            raise UserError(f"There is no claim {index}: this recipe has {len(facts.claims)}, counted from 0.")
        return facts.claims[index]
    return max((claim for claim in facts.claims if claim.unseen and claim.n), key=lambda claim: claim.n, default=None)


def _test(k: int, n: int, delta: float) -> RateTest:
    """The test for a rate that was k of n: a quarter of delta for each end of its interval, half for the test."""
    one_sided = 1 - delta / 4
    return RateTest(lower_bound(k, n, one_sided), upper_bound(k, n, one_sided), delta / 2)
