"""Evidence -> charts, as HTML and SVG. Places are in percent: a chart is as wide as its place, and its text stays.

A glance is the same in little, without axes: what can be seen of an answer before it is read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from markupsafe import Markup

from ..methods.conditions import Curve, Promise
from ..methods.controls import Controls
from ..methods.dose_response import Response
from ..methods.generalization import Counts
from ..methods.side_effects import SideEffects
from ..methods.steering import Lever
from ..methods.targets import Target
from ..words import MINUS
from .html import NOTHING, joined, render

BINS = 40
TICKS = 6
"""About how many numbers an axis has."""
MOVED = 4
"""Concepts in the glance at side effects."""
THRESHOLDS = 100
"""About how many thresholds are drawn, of more."""


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
        return self.some_ticks(TICKS)

    def some_ticks(self, most: int) -> list[tuple[float, str]]:
        """About so many of them, at most."""
        fewest = (self.high - self.low) / most
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
    lines = [(f"target: {target.short(classes)}", response.moved)]
    change = response.classes_moved
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
        unit=response.unit,
        low=x.low,
        high=x.high,
        at=x.place(dragged.strength / dragged.unit) if dragged else 0.0,
        sets=sets,
    )


def _line(x: Sequence[float], y: Sequence[float]) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))


# ---- conditions


def thresholds(found: Promise) -> Markup:
    """What the edit repairs and breaks at every threshold of its condition, on the part that chose and on the other.

    Beside them the share that may be broken and the threshold that was taken; the numbers of each threshold are told
    where it is pointed at (thresholds.js). Nothing without a condition.
    """
    condition, curves = found.choice.condition, found.curves
    if condition is None or curves is None:
        return NOTHING
    taken = int(np.flatnonzero(curves.choice.at_least == condition.at_least)[0])
    steps = spread_with(len(curves.choice.at_least), taken, THRESHOLDS)
    parts = curves.choice, curves.judging
    repaired, broken = ([_shares_at(part, kind, steps) for part in parts] for kind in ("fixed", "broken"))
    rate = 100 * found.rate
    most = max(max(values) for values in broken)
    panels = (
        ("fixed", "▲ Repaired, % of the wrong", ChartAxis(0, 1.1 * max(max(map(max, repaired)), 1)), repaired),
        # what happens far above the bound is of no use, and would hide what happens below it
        ("broken", "▼ Broken, % of the right", ChartAxis(0, max(1.6 * rate, min(1.1 * most, 4 * rate))), broken),
    )
    last = len(steps)  # one more than there are steps: before the first it never acts
    across = [100 * k / last for k in range(last + 1)]
    named = sorted({round(last * k / 4) for k in (1, 2, 3)} - {0, last})
    return render(
        "thresholds",
        parts=[(name, part.pictures) for name, part in zip(("chosen on", "judged on"), parts, strict=True)],
        panels=[
            (kind, title, axis.some_ticks(3), [_within(across, values, axis) for values in lines])
            for kind, title, axis, lines in panels
        ],
        bound=(panels[1][2].place(rate), f"{rate:g} %"),
        allowed=(curves.allowed, curves.choice.right),
        across=[(0.0, "never"), *((across[k], f"≥ {number_in(curves.choice.at_least[steps[k - 1]])}") for k in named),
                (100.0, "in all")],
        taken=steps.index(taken) + 1,
        at=across[steps.index(taken) + 1],
        said=["It never acts.", *(_said_at(parts, k) for k in steps)],
    )  # fmt: skip


def spread_with(n: int, kept: int, most: int) -> list[int]:
    """About `most` of the numbers from 0 to n - 1, evenly spread: the first, the last and `kept` among them."""
    return sorted({kept, *np.linspace(0, n - 1, min(n, most)).round().astype(int).tolist()})


def _shares_at(part: Curve, kind: str, steps: Sequence[int]) -> list[float]:
    """In percent, from where the edit never acts."""
    counted, of = (part.fixed, part.wrong) if kind == "fixed" else (part.broken, part.right)
    return [0.0, *(100 * counted[steps] / max(of, 1)).tolist()]


def _within(across: Sequence[float], values: Sequence[float], axis: ChartAxis) -> str:
    """A line that leaves the chart where it leaves its axis."""
    return _line(across, [100 * (1 - value / axis.high) for value in values])


def _said_at(parts: tuple[Curve, Curve], k: int) -> str:
    """What the edit does at one threshold."""
    chosen, judged = parts
    at = chosen.at_least[k]
    where = "In all pictures" if at == -np.inf else f"At {number_in(at)} or more"
    return (
        f"{where}: it acts in {chosen.acts[k]} of {chosen.pictures} pictures, repairs {chosen.fixed[k]} of "
        f"{chosen.wrong} wrong ones and breaks {chosen.broken[k]} of {chosen.right} right ones. Judged on "
        f"{judged.pictures} others: acts in {judged.acts[k]}, repairs {judged.fixed[k]} of {judged.wrong}, breaks "
        f"{judged.broken[k]} of {judged.right}."
    )


def number_in(value: float) -> str:
    """A threshold, to three digits."""
    return f"{value:.3g}".replace("-", MINUS)


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
