"""Verdict on the bounds that were stated for an edit: does each hold on pictures like these?

A bound on the broken share holds where the exact binomial upper bound of the broken among the right pictures, at the
stated confidence, is at most the share that was allowed; one on the fixed share, where the lower bound of the fixed
among the wrong ones is at least the share that was asked for (`core.methods.bounds`). Where there are so few pictures
that none broken, or all fixed, would not do, nothing can be said, and it is told how many it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..errors import UserError
from ..methods.bounds import lower_bound, pictures_needed, upper_bound
from .counts import PictureCounts

Outcome = Literal["holds", "does not hold", "cannot be judged"]

EXIT_CODES: Mapping[Outcome, int] = MappingProxyType({"holds": 0, "does not hold": 1, "cannot be judged": 2})

BoundName = Literal["max-broken", "min-fixed"]

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class StatedBounds:
    """What has to hold of an edit, stated before the pictures are read."""

    max_broken: float | None = None
    """the share of the right pictures that the edit may break at most, between 0 and 1"""
    min_fixed: float | None = None
    """the share of the wrong pictures that the edit has to fix at least, between 0 and 1"""
    confidence: float = 0.95
    """of each bound, on pictures like these: between 0.5 and 1"""

    def __post_init__(self) -> None:
        """Raise UserError where there is none, or one that no number of pictures could show."""
        if self.max_broken is None and self.min_fixed is None:
            raise UserError("There is no bound to hold. Give --max-broken, --min-fixed or both.")
        for name, share in (("max-broken", self.max_broken), ("min-fixed", self.min_fixed)):
            if share is not None and not 0 < share < 1:
                raise UserError(f"--{name} is {share:g}, and no pictures show that. Give a share between 0 and 1.")
        if not 0.5 <= self.confidence < 1:
            raise UserError(f"--confidence is {self.confidence:g}. Give at least 0.5, and less than 1.")


class Verdict(BaseModel):
    """One bound, and what the pictures say of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bound: BoundName
    """Which one."""
    stated: Share
    """What has to hold, as a share of the pictures that were right, or wrong, without the edit."""
    confidence: Share
    """With which."""
    happened: Annotated[int, Field(ge=0)]
    """Pictures that were broken, or fixed."""
    of: Annotated[int, Field(ge=0)]
    """Pictures that were right, or wrong, without the edit."""
    shown: Share
    """At most so large a share is broken, or at least so large a one fixed, with that confidence."""
    needed: Annotated[int, Field(ge=1)]
    """So many pictures that were right, or wrong, it takes at least."""
    outcome: Outcome
    """Whether it holds."""

    @property
    def asks(self) -> str:
        """What has to hold, in words."""
        if self.bound == "max-broken":
            return f"breaks at most {share_words(self.stated)} of right pictures"
        return f"fixes at least {share_words(self.stated)} of wrong pictures"

    @property
    def said(self) -> str:
        """What the pictures say of it, in sentences."""
        broken = self.bound == "max-broken"
        was, did, none = ("right", "broken", "none") if broken else ("wrong", "fixed", "all")
        if self.outcome == "cannot be judged":
            return (
                f"Only {self.of:,} of the pictures were {was} without the edit. It takes at least {self.needed:,} such "
                f"pictures, {none} of them {did}, to state this with {share_words(self.confidence)} confidence."
            )
        does, stated = ("breaks at most", "allowed are") if broken else ("fixes at least", "asked for are")
        are = "is" if self.happened == 1 else "are"
        return (
            f"{self.happened:,} of {self.of:,} pictures that were {was} {are} {did}. With "
            f"{share_words(self.confidence)} confidence, it {does} {share_words(self.shown, up=broken)} of {was} "
            f"pictures like these; {stated} {share_words(self.stated)}."
        )


def judge(tally: PictureCounts, stated: StatedBounds) -> tuple[Verdict, ...]:
    """Hold each bound that was stated against the counts."""
    found = []
    level = stated.confidence
    if stated.max_broken is not None:
        k, n, most = tally.broken, tally.right, stated.max_broken
        shown, needed = upper_bound(k, n, level), pictures_needed(most, level)
        found.append(_verdict("max-broken", most, level, k, n, shown, needed, shown <= most))
    if stated.min_fixed is not None:
        k, n, least = tally.fixed, tally.wrong, stated.min_fixed
        shown, needed = lower_bound(k, n, level), pictures_needed(1 - least, level)
        found.append(_verdict("min-fixed", least, level, k, n, shown, needed, shown >= least))
    return tuple(found)


def _verdict(
    bound: BoundName, stated: float, confidence: float, k: int, n: int, shown: float, needed: int, holds: bool
) -> Verdict:
    outcome: Outcome = "holds" if holds else "cannot be judged" if n < needed else "does not hold"
    return Verdict(
        bound=bound,
        stated=stated,
        confidence=confidence,
        happened=k,
        of=n,
        shown=shown,
        needed=needed,
        outcome=outcome,
    )


def outcome_of(verdicts: tuple[Verdict, ...]) -> Outcome:
    """Of all bounds together: one that does not hold decides, then one that cannot be judged."""
    found = {verdict.outcome for verdict in verdicts}
    outcomes: tuple[Outcome, ...] = ("does not hold", "cannot be judged", "holds")
    return next(outcome for outcome in outcomes if outcome in found)


def share_words(share: float, up: bool | None = None) -> str:
    """0 to 1 -> percent with up to two digits behind the point; rounded up, or down, where a bound is to stay true."""
    hundredths = share * 10_000
    way = round if up is None else ceil if up else floor
    return f"{way(round(hundredths, 6)) / 100:g} %"
