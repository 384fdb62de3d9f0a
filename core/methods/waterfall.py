"""Waterfall of the target y: what leads from zero to its value, each step of it in the unit of y.

    y = named components + all other components + error + offset + beyond

1. The components by activation x gradient, A_j (see `core.methods.attribution`).
2. error = <x - x_hat, dy/dx>: what flows through the part of x that the dictionary misses.
3. offset: the same of the dictionary's bias, and of what flows past it: tokens out of its scope, and, at an MLP's
   output, the stream that this is added to. With 1 and 2 it makes <x, dy/dx>.
4. beyond = y - <x, dy/dx>: what comes after the place is not linear, so first-order parts do not add up to the value.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .attribution import Attribution


@dataclass(frozen=True)
class Waterfall:
    """The steps, which add up to the value."""

    named: tuple[tuple[int, float], ...]
    """Components and what each contributes, in the order they were asked for."""
    others: float
    """What all other active components contribute together."""
    n_others: int
    """How many these are."""
    error: float
    """What the dictionary misses."""
    offset: float
    """The dictionary's bias, and what flows past it."""
    beyond: float
    """The value less all before: what is not of first order. For "integrated", y with every component off."""
    value: float
    """y(x)."""

    @property
    def components(self) -> float:
        """What all components contribute."""
        return sum(total for _, total in self.named) + self.others


def waterfall(attribution: Attribution, named: Sequence[int]) -> Waterfall:
    """The steps from zero to the attribution's value, with a step of its own for each of `named`."""
    whole = attribution.completeness
    steps = tuple((component, attribution.total_of(component)) for component in named)
    error, offset = whole.error or 0.0, (whole.bias or 0.0) + (whole.rest or 0.0)
    return Waterfall(
        named=steps,
        others=whole.components - sum(total for _, total in steps),
        n_others=len(set(attribution.component.tolist()) - set(named)),
        error=error,
        offset=offset,
        beyond=attribution.value - whole.components - error - offset,
        value=attribution.value,
    )
