"""Log of the edits that one visitor tried: what was expected of each, what it did, and what the visitor says of that.

The visitor's own browser keeps it (assets/widgets/log.js), and sends it when it is to be shown. So nothing in it is
believed: every line is bounded and read by itself, and one that cannot be read is left out, and counted. A line holds
the whole view state, by which it is restored.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError, model_validator

from ..methods.side_effects import SideEffects
from .view_state import Index, Value, ViewState
from .visit import Visit

MAX_LINES = 100
"""Lines of a log; of more, the first are forgotten."""
MAX_LOG = 400_000
"""Characters of its lines as JSON; beyond that, the first are forgotten."""
MAX_EXPECTATION = 300
"""Characters of what was expected."""
MAX_CROP = 250_000
"""Characters of a crop that is kept with its lines, as a data URI: some 250 x 250 pixels of a photograph."""
MAX_CROPS = 1_500_000
"""Of all of them."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Logits = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Judgement = Literal["good", "doubt", "open"]
"""Of a number, as everywhere on the page: it speaks for the edit, against it, or neither."""


class Observed(Value):
    """What the model said before and after an edit, as the page showed it."""

    before: Index
    """The predicted class, by its place among the classes."""
    before_share: Share
    """Its probability."""
    after: Index
    """The predicted class after the edit."""
    after_share: Share
    """Its probability."""
    effect: Logits
    """How far the edit moved the target, in its unit."""


class ChanceCheck(Value):
    """How the effect stands among those of random edits of its size."""

    p: Share | None = None
    """The larger of the two p-values; None where too few such edits can be made."""
    judgement: Judgement
    """Whether it is more than chance."""


class SideCheck(Value):
    """What else the edit changed."""

    spread: Logits | None = None
    """Standard deviation of the change over other concepts, in the target's unit; None where none is asked about."""
    selectivity: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] | None = None
    """How many times further the target moved."""


class LogLine(Value):
    """One edit that was tried."""

    id: Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]
    """At random."""
    time: Annotated[int, Field(ge=0, lt=253_402_300_800_000)]
    """When, in ms since 1970."""
    expectation: Annotated[str, StringConstraints(max_length=MAX_EXPECTATION)] = ""
    """What the visitor expected, in their words, before they saw the result; nothing where they did not say."""
    state: ViewState
    """What it was tried on, and the edit."""
    observed: Observed
    """What happened."""
    chance: ChanceCheck | None = None
    """None where that was not asked."""
    side: SideCheck | None = None
    """None where that was not asked."""
    verdict: Literal["held", "refuted", "unclear"] | None = None
    """What the visitor says of their expectation; None while they do not say."""

    @model_validator(mode="after")
    def _is_of_its_classes(self) -> "LogLine":
        if max(self.observed.before, self.observed.after) >= len(self.state.classes):
            raise ValueError("it observed a class that was not asked about")
        if not self.state.edit.edit().levers:  # raises UserError, which is a ValueError, for what is no edit
            raise ValueError("it is no edit")
        return self


@dataclass(frozen=True)
class Log:
    """What a browser keeps, as far as it can be read."""

    lines: tuple[LogLine, ...] = ()
    """In the order in which they were tried; of several of one id, the first."""
    unreadable: int = 0
    """How many more there are: of another version of this page, or written by something else."""

    @classmethod
    def read(cls, lines: Iterable[Any]) -> "Log":
        """Lines as a browser sends them: plain values, whatever they are."""
        found: dict[str, LogLine] = {}
        unreadable = 0
        for told in lines:
            line = _line(told)
            if line is None:
                unreadable += 1
            else:
                found.setdefault(line.id, line)
        return cls(tuple(found.values())[-MAX_LINES:], unreadable)


def _line(told: object) -> LogLine | None:
    try:
        return LogLine.model_validate_json(json.dumps(told))  # as JSON: strict values take lists for tuples from there
    except (ValidationError, RecursionError):  # lists within lists, deeper than JSON is written
        return None


def observed(visit: Visit) -> Observed:
    """What a visit's edit did."""
    c, (was, now) = visit.comparison, visit.moved
    return Observed(
        before=c.before.top,
        before_share=float(c.before.probabilities[c.before.top]),
        after=c.after.top,
        after_share=float(c.after.probabilities[c.after.top]),
        effect=now - was,
    )


def side_check(ripple: SideEffects) -> SideCheck:
    """What a line keeps of the side effects."""
    return SideCheck(spread=ripple.side_effect, selectivity=ripple.selectivity)
