"""Evidence -> charts, as HTML and SVG. Places are in percent: a chart is as wide as its place, and its text stays.

A glance is the same in little, without axes: what can be seen of an answer before it is read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from markupsafe import Markup

from ..methods.controls import Controls
from ..methods.dose_response import Response
from ..methods.generalization import Counts
from ..methods.side_effects import SideEffects
from ..methods.steering import Lever
from ..methods.target import Target
from ..words import MINUS
from .html import joined, render

BINS = 40
TICKS = 6
"""About how many numbers an axis has."""
MOVED = 4
"""Concepts in the glance at side effects."""


@dataclass(frozen=True)
class ChartAxis:
    """Numbers along one side of a chart."""

    low: float
    """At its beginning."""
    high: float
    """At its end."""

    @classmethod
    def around(cls, values: Iterable[float], pad: float = 0.05) -> Self:
        """From the lowest of these to the highest, and a little more: all of one where they are the same."""
        low, high = min(values), max(values)
        spare = pad * (high - low) if high - low > 1e-3 else 1.0
        return cls(low - spare, high + spare)

    def place(self, value: float) -> float:
        """Where a number stands, in percent; what is beyond an end stands there."""
        return float(np.clip(100 * (value - self.low) / (self.high - self.low), 0, 100))

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Round numbers along it: (place, number)."""
        fewest = (self.high - self.low) / TICKS
        power = 10.0 ** np.floor(np.log10(fewest))
        step = next(power * n for n in (1, 2, 2.5, 5, 10) if power * n >= fewest)
        found = step * np.arange(np.ceil(self.low / step), np.floor(self.high / step) + 1)
        return [(self.place(value), number(value)) for value in found.tolist()]


def number(value: float) -> str:
    """A number as an axis has it."""
    return f"{round(value, 6) + 0.0:g}".replace("-", MINUS)


# ---- the effect


def effect_glance(before: float, after: float) -> Markup:
    """From where to where the target moved, and where zero is."""
    axis = ChartAxis.around((before, after, 0.0), 0.08)
    was, now = axis.place(before), axis.place(after)
    return Markup("""<span class="moved"><i class="zero" style="left:{zero:.1f}%"></i>
<i class="way" style="left:{left:.1f}%;width:{width:.1f}%"></i><i class="was" style="left:{was:.1f}%"></i>
<i class="now" style="left:{now:.1f}%"></i></span>""").format(
        zero=axis.place(0.0), left=min(was, now), width=abs(now - was), was=was, now=now
    )


@dataclass(frozen=True)
class Handle:
    """What is dragged along the doses: the lever of one component, or those of a family."""

    components: tuple[int, ...]
    """Of its levers."""
    name: str
    """What it is on, in words."""
    unit: float
    """The strength at dose 1: 1 for a factor, the activation that is set for another."""
    strength: float
    """Where it stands: a factor, or an activation."""
    says: str
    """The same in words, as doses.js has them."""


def handle(group: Sequence[Lever], name: str) -> Handle | None:
    """The handle for the levers of one group; None where all doses are the same."""
    first = group[0]
    unit = first.strength if first.operation == "set" else 1.0
    words = {
        "suppress": "suppressed",
        "scale": f"× {number(first.strength)}",
        "set": f"set to {number(first.strength)}",
    }
    components = tuple(lever.component for lever in group)
    return Handle(components, name, unit, first.strength, words[first.operation]) if unit else None


def dose(response: Response, classes: Sequence[str], target: Target, dragged: Handle | None, sets: bool) -> Markup:
    """The target and the classes most affected besides it, against the dose; `sets`: whether a lever sets."""
    against = "" if target.against is None else f" {MINUS} {classes[target.against]}"
    lines = [(f"target: {classes[target.wanted]}{against}", response.target.astype(float) - response.before)]
    change = response.logits.astype(float) - response.logits_before
    lines += [(classes[k], change[:, k]) for k in response.most_affected().tolist()]
    x = ChartAxis(float(response.doses.min()), float(response.doses.max()))
    y = ChartAxis.around(np.concatenate([values for _, values in lines]).tolist())
    across = [x.place(value) for value in response.doses.tolist()]
    ticks = [(x.place(value), value) for value in np.arange(np.ceil(x.low), x.high + 1).tolist()]
    unit = dragged.unit if dragged else 1.0
    return render(
        "dose",
        lines=[(name, _line(across, [100 - y.place(value) for value in values.tolist()])) for name, values in lines],
        across=[(place, number(value * unit)) for place, value in ticks],
        up=y.ticks,
        zero=y.place(0.0),
        below=x.place(0.0),
        flips=[(x.place((f.low + f.high) / 2), classes[f.before], classes[f.after]) for f in response.flips],
        handle=dragged,
        low=x.low,
        high=x.high,
        at=x.place(dragged.strength / dragged.unit) if dragged else 0.0,
        sets=sets,
    )


def _line(x: Sequence[float], y: Sequence[float]) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))


# ---- chance


def distribution(controls: Controls, glance: bool = False) -> Markup:
    """What random edits of the same size do to the target, and where the edit stands among them."""
    own = (controls.effect, controls.rival)
    axis = ChartAxis.around([*controls.random.tolist(), *controls.directions.tolist(), *own])
    edges = np.linspace(axis.low, axis.high, BINS + 1)
    counted = [np.histogram(values, edges)[0] for values in (controls.random, controls.directions)]
    tallest = max(1, *(int(counts.max()) for counts in counted))
    up = ChartAxis(0, tallest)
    random, directions = (_steps(counts.tolist(), up) for counts in counted)
    return render(
        "distribution",
        random=random,
        directions=directions,
        effect=axis.place(controls.effect),
        rival=axis.place(controls.rival),
        controls=controls,
        across=axis.ticks,
        tallest=tallest,
        glance=glance,
    )


def _steps(counts: Sequence[int], up: ChartAxis) -> str:
    """A histogram's outline, as an SVG path."""
    ends = (100 * k / BINS for k in range(1, BINS + 1))
    return "M0 100" + "".join(f"V{100 - up.place(n):.1f}H{end:g}" for n, end in zip(counts, ends, strict=True)) + "V100"


# ---- side effects, other pictures, what is out of reach


def side_effects_glance(ripple: SideEffects) -> Markup:
    """The target beside the concepts that moved most."""
    most = np.argsort(-np.abs(ripple.relative), kind="stable")[:MOVED].tolist()
    bars = [("target", ripple.effect), *((ripple.concepts[k], float(ripple.relative[k])) for k in most)]
    reach = max(abs(value) for _, value in bars) or 1.0
    bar = Markup('<span class="short">{}</span><span class="length"><i style="width:{:.0f}%"></i></span>')
    return Markup('<span class="lengths">{}</span>').format(
        joined(bar.format(name, 100 * abs(value) / reach) for name, value in bars)
    )


def generalization_glance(counts: Counts) -> Markup:
    """How many pictures are fixed, unchanged and broken, as shares of all."""
    return _shares((("fixed", counts.fixed), ("unchanged", counts.unchanged), ("broken", counts.broken)))


def share_glance(reached: float) -> Markup:
    """What is within reach, 0 to 1, and what is missed."""
    within = float(np.clip(reached, 0, 1))
    return _shares((("reached", within), ("missed", 1 - within)))


def _shares(parts: Sequence[tuple[str, float]]) -> Markup:
    share = Markup('<i class="{}" style="flex-grow:{:g}"></i>')
    return Markup('<span class="shares">{}</span>').format(joined(share.format(*part) for part in parts if part[1]))
