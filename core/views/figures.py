"""Figures for print: what the page shows of one view, as an author needs it, each with a caption that says all.

What is to be seen comes first in a caption, and the settings after it. In figures of an edit its own colour is dark,
and what it is compared with is light; what speaks against the target, or breaks, is hatched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import printable
from ..methods.controls import Controls
from ..methods.dose_response import Response
from ..methods.generalization import Counts, Generalization
from ..session.visit import Part, Visit
from ..words import count, percent, signed
from .component import target_words
from .evidence import KIND_WORDS, verdict
from .figure_files import PrintFigure, Width
from .prediction import head, meaning
from .reference_strip import Face

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PATCHES = 5
"""Maps beside the picture."""
MOST_CLASSES = 12
"""Classes with a bar; of more, those that are likeliest before or after the edit."""
MOST_STRIPS = 16
"""Classes of a picture set with a strip; of more, those in which most pictures turn."""
BINS = 30
SEEN = 0.1
"""Of the strongest patch: weaker ones are left clear in a map's hatching."""
FOR, AGAINST, WAS, NOW, QUIET = "#00695c", "#f0b48a", "#c3cad8", "#303da6", "#667085"
HATCH = "//////"
LINES: Sequence[Mapping[str, Any]] = (
    {"color": NOW, "linestyle": "-", "marker": "o"},
    {"color": FOR, "linestyle": (0, (5, 2)), "marker": "s"},
    {"color": QUIET, "linestyle": (0, (1, 1.2)), "marker": "^"},
    {"color": "#b4480a", "linestyle": (0, (5, 1.5, 1, 1.5)), "marker": "v"},
)
"""Of a chart of doses: told apart by dash and mark."""


def short(text: str, most: int) -> str:
    """A name as a figure has room for it."""
    text = printable(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _named(component: int, faces: Mapping[int, Face], most: int) -> str:
    """Its number, and its word, or its label as a guess."""
    face = faces.get(component)
    if face is None or face.label is None:
        return f"#{component}"
    return f"#{component} “{short(face.label, most)}”{'' if face.word else '?'}"


GUESSED = "names in quotes with a question mark are guesses"

# ---- picture and maps


def picture_and_maps(visit: Visit, faces: Mapping[int, Face], settings: str) -> PrintFigure:
    """The picture, and where the components of the edit, then the strongest ones, count."""
    of_edit = [head(group) for group in visit.edit.groups()]
    by_size = sorted(visit.parts, key=lambda part: -abs(part.total))
    shown = [visit.part(c) for c in dict.fromkeys([*of_edit, *(part.component for part in by_size)])][:PATCHES]
    cls = "; CLS is in the sum above a map and not in the map" * visit.trace.class_token
    where = " by each patch" if visit.trace.has_map else ""
    nowhere = "" if visit.trace.has_map else "There is no map: what is read is the image embedding. "
    caption = (
        f"The picture as the model sees it, and what {_some_components(len(shown))}{where} to the target "
        f"{target_words(visit)} (activation × gradient, in {visit.target.UNIT}{cls}). {nowhere}"
        f"Green: for the target; orange and hatched: against it; full colour is each map’s strongest patch, outlined. "
        f"▲ and ▼: the component’s sum over all tokens; {GUESSED}. {settings}"
    )

    def height(width: Width) -> float:
        return 67.0 if width == "one" else 39.0

    return PrintFigure(
        "picture-and-maps", "Picture and maps", caption, height, partial(_draw_maps, visit, shown, faces)
    )


def _some_components(n: int) -> str:
    return f"{n} of its components contribute" if n != 1 else "one of its components contributes"


def _draw_maps(visit: Visit, shown: Sequence[Part], faces: Mapping[int, Face], figure: Figure, width: Width) -> None:
    rows, columns = (2, 3) if width == "one" else (1, PATCHES + 1)
    places = figure.subplots(rows, columns).ravel()
    grey = visit.trace.crop.mean(-1)
    for place in places:
        place.set_axis_off()
    places[0].imshow(visit.trace.crop)
    places[0].set_title("picture")
    for place, part in zip(places[1:], shown, strict=False):
        place.imshow(255 - (255 - grey) * 0.45, cmap="gray", vmin=0, vmax=255)
        _draw_heat(place, part, visit.trace.crop.shape[:2])
        shape = "▲" if part.total >= 0 else "▼"
        place.set_title(f"{_named(part.component, faces, 9)}\n{shape} {signed(part.total)}")


def _draw_heat(place: Axes, part: Part, size: tuple[int, int]) -> None:
    """A component's map over a picture of that many pixels."""
    from matplotlib.patches import Rectangle

    heat = part.heat
    peak = float(np.abs(heat).max(initial=0.0))
    if not peak:
        nowhere = "not active" if not part.peak else "only at CLS" if heat.size else "no map"
        place.text(0.5, 0.06, nowhere, transform=place.transAxes, ha="center", fontsize=6)
        return
    high, wide = size[0] / heat.shape[0], size[1] / heat.shape[1]
    strongest = int(np.abs(heat).argmax())
    for k, value in enumerate(heat.ravel().tolist()):
        strength = abs(value) / peak
        corner = (k % heat.shape[1] * wide - 0.5, k // heat.shape[1] * high - 0.5)
        if strength >= SEEN:
            face = {"facecolor": FOR if value > 0 else AGAINST, "alpha": strength**0.7 * 0.85, "linewidth": 0}
            place.add_patch(Rectangle(corner, wide, high, **face))
            if value < 0:
                place.add_patch(Rectangle(corner, wide, high, fill=False, hatch=HATCH, linewidth=0, alpha=0.7))
        if k == strongest:
            place.add_patch(Rectangle(corner, wide, high, fill=False, edgecolor="black", linewidth=0.9))


# ---- contributions


def contributions(visit: Visit, faces: Mapping[int, Face], settings: str) -> PrintFigure:
    """The strongest components as bars: predicted, and measured as a mark. The visit has to be measured."""
    parts = sorted(visit.parts, key=lambda part: -part.total)
    agreement = visit.agreement
    said = "" if agreement is None or np.isnan(agreement) else f" Rank correlation of the two: {agreement:.2f}."
    caption = (
        f"Contributions of the strongest components to the target {target_words(visit)}, which stands at "
        f"{signed(visit.attribution.value)} {visit.target.UNIT}. "
        "Bars: predicted (activation × gradient, summed over tokens), "
        "hatched where against the target. Diamonds: measured, what the target lost when the model ran without the "
        "component."
        f"{said} In the margin: predicted, and measured after the slash; {GUESSED}. {settings}"
    )
    return PrintFigure(
        "contributions",
        "Contributions, predicted and measured",
        caption,
        lambda _: 14.0 + 4.3 * max(len(parts), 2),
        partial(_draw_contributions, parts, visit.target.UNIT, faces),
    )


def _draw_contributions(
    parts: Sequence[Part], unit: str, faces: Mapping[int, Face], figure: Figure, width: Width
) -> None:
    place = figure.subplots()
    for y, part in enumerate(parts):
        positive = part.total >= 0
        place.barh(
            y, part.total, height=0.66, color=FOR if positive else AGAINST, edgecolor="black",
            hatch=None if positive else HATCH,
        )  # fmt: skip
        numbers = signed(part.total)
        if part.measured is not None:
            mark: dict[str, Any] = {"marker": "D", "markersize": 3.2, "color": "white", "markeredgecolor": "black"}
            place.plot([part.measured], [y], linestyle="none", markeredgewidth=0.8, zorder=3, **mark)
            numbers += f" / {signed(part.measured)}"
        place.text(1.02, y, numbers, transform=place.get_yaxis_transform(), va="center", fontsize=6)
    _names(place, [_named(part.component, faces, 14 if width == "one" else 30) for part in parts])
    place.axvline(0, color="black", linewidth=0.5)
    place.set_xlabel(unit)


def _names(place: Axes, names: Sequence[str]) -> None:
    """Names of rows, from above."""
    place.set_yticks(np.arange(len(names)), names)
    place.set_ylim(len(names) - 0.4, -0.6)
    place.tick_params(axis="y", length=0)


# ---- before and after


def before_after(visit: Visit, settings: str) -> PrintFigure:
    """The probability of every class before and after the edit."""
    c = visit.comparison
    likeliest = np.argsort(-np.maximum(c.before.probabilities, c.after.probabilities), kind="stable")[:MOST_CLASSES]
    order = [int(k) for k in c.before.order if k in likeliest]
    rest = len(c.before.classes) - len(order)
    marked = "" if visit.truth is None else " ✓: what the picture should be."
    caption = (
        f"Probability of {f'the {len(order)} likeliest classes' if rest else 'each class'} before and after the edit, "
        f"in % ({meaning(c.before).replace('these ', '')}): the model says “{c.before.best}” before "
        f"and “{c.after.best}” after it.{marked} {settings}"
    )
    return PrintFigure(
        "before-after",
        "Before and after the edit",
        caption,
        lambda _: 17.0 + 6.0 * max(len(order), 2),
        partial(_draw_before_after, visit, order),
    )


def _draw_before_after(visit: Visit, order: Sequence[int], figure: Figure, width: Width) -> None:
    place = figure.subplots()
    c, at = visit.comparison, np.arange(len(order))
    sides = ((-0.19, c.before, WAS, "before"), (0.19, c.after, NOW, "after"))
    for shift, prediction, colour, name in sides:
        shares = 100 * prediction.probabilities[list(order)].astype(float)
        place.barh(at + shift, shares, height=0.36, color=colour, edgecolor="black", label=name)
        for y, k, share in zip((at + shift).tolist(), order, shares.tolist(), strict=True):
            place.text(share + 1, y, f"{percent(float(prediction.probabilities[k]))} %", va="center", fontsize=6)
    most = 16 if width == "one" else 40
    names = [short(c.before.classes[k], most) + (" ✓" if k == visit.truth else "") for k in order]
    _names(place, names)
    place.set_xlim(0, 112)
    place.set_xticks([0, 25, 50, 75, 100])
    place.set_xlabel("probability, %")
    _keys(figure, place)


def _keys(figure: Figure, place: Axes, columns: int = 2) -> None:
    """What colours and lines are, above the chart."""
    handles, names = place.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=columns, handlelength=2.2, columnspacing=1.2)


# ---- the edit among its controls


def among_controls(visit: Visit, found: Controls, settings: str) -> PrintFigure:
    """What random edits of the same size do to the target, and where the edit stands among them."""
    _, words, how = verdict(found)
    caption = (
        f"{words}. The edit moves the target {target_words(visit)} by {signed(found.effect)} {found.unit} "
        f"(dark line); grey: the same done to {count(len(found.random), 'random set')} of active components "
        f"as near as there are to its energy ‖f‖·‖v‖ (p = {found.p_value:.3f}); outline: "
        f"{count(len(found.directions), 'random direction')} of the same norm (p = {found.p_directions:.3f}); dashed: "
        f"the most active components, {signed(found.rival)}. "
        f"Two-sided permutation tests by rank; {how}. {settings}"
    )
    return PrintFigure(
        "controls", "The edit among its controls", caption, lambda _: 52.0, partial(_draw_controls, found)
    )


def _draw_controls(found: Controls, figure: Figure, _: Width) -> None:
    from matplotlib.ticker import MaxNLocator

    place = figure.subplots()
    all_of_them = [*found.random.tolist(), *found.directions.tolist(), found.effect, found.rival]
    edges = np.linspace(min(all_of_them), max(all_of_them) + 1e-6, BINS + 1).tolist()
    place.hist(found.random, edges, color=WAS, edgecolor="black", linewidth=0.3, label="random edits")
    place.hist(found.directions, edges, histtype="step", color="black", linewidth=0.8, label="random directions")
    place.axvline(found.rival, color="#b4480a", linestyle=(0, (4, 2)), label="most active components")
    place.axvline(found.effect, color=NOW, linewidth=2.2, label=f"the edit, {signed(found.effect)}")
    place.set_xlabel(f"change of the target, {found.unit}")
    place.set_ylabel("number of edits")
    place.yaxis.set_major_locator(MaxNLocator(integer=True))
    _keys(figure, place)


# ---- doses


def doses(visit: Visit, response: Response, settings: str) -> PrintFigure:
    """The target and the classes most affected besides it, against the dose of the whole edit."""
    classes = visit.classes
    flips = "; ".join(
        f"“{classes[flip.before]}” to “{classes[flip.after]}” between × {flip.low:g} and × {flip.high:g}"
        for flip in response.flips
    )
    sets = any(lever.operation == "set" for lever in visit.edit.levers)
    unit = "1: levers that set, as they were set" if sets else "0 suppresses, 1 leaves it as it is"
    caption = (
        f"Dose response of the edit’s components: change, in {response.unit}, against the factor "
        f"on the activation ({unit}). "
        f"{f'Dotted lines: the prediction flips from {flips}.' if flips else 'The prediction flips at none of these.'} "
        f"{settings}"
    )
    return PrintFigure("doses", "Dose response", caption, lambda _: 58.0, partial(_draw_doses, visit, response))


def _draw_doses(visit: Visit, response: Response, figure: Figure, width: Width) -> None:
    place = figure.subplots()
    most = 14 if width == "one" else 32
    names, change = [short(name, most) for name in visit.classes], response.classes_moved
    lines = [(f"target: {visit.target.short(names)}", response.moved)]
    lines += [(names[k], change[:, k]) for k in response.most_affected().tolist()]
    place.axhline(0, color=QUIET, linewidth=0.5)
    for k, ((name, values), how) in enumerate(zip(lines, LINES, strict=False)):
        place.plot(response.doses, values, markersize=2.5, label=name, zorder=3 - k / 10, **how)
    for flip in response.flips:
        place.axvline((flip.low + flip.high) / 2, color="black", linewidth=0.7, linestyle=(0, (1, 2)))
    place.set_xlabel("factor on the activation")
    place.set_ylabel(f"change, {response.unit}")
    _keys(figure, place)


# ---- fixed and broken


def turned(found: Generalization, pictures: str, settings: str) -> PrintFigure:
    """How many pictures of a set the edit fixes and breaks, by class or, for the rendered scenes, by kind."""
    by_kind = set(found.group.tolist()) <= set(KIND_WORDS)
    tallies = {KIND_WORDS[name]: c for name, c in found.by_group.items()} if by_kind else found.by_class
    shown = dict(sorted(tallies.items(), key=lambda one: -(one[1].fixed + one[1].broken))[:MOST_STRIPS])
    c, left = found.counts, len(tallies) - len(shown)
    caption = (
        f"What the same edit, on all tokens, does to other pictures ({pictures}), by "
        f"{'what was planted in them' if by_kind else 'class'}. {found.said} Exact McNemar test of fixed against "
        f"broken: p = {c.p_value:.2g}.{f' {left} classes with fewer changes are left out.' if left else ''} {settings}"
    )
    return PrintFigure(
        "fixed-and-broken",
        "Fixed and broken on other pictures",
        caption,
        lambda _: 19.0 + 4.6 * max(len(shown), 2),
        partial(_draw_turned, shown),
    )


def _draw_turned(tallies: Mapping[str, Counts], figure: Figure, width: Width) -> None:
    place = figure.subplots()
    parts: tuple[tuple[str, str, str | None, list[int]], ...] = (
        ("fixed", FOR, None, [c.fixed for c in tallies.values()]),
        ("broken", AGAINST, HATCH, [c.broken for c in tallies.values()]),
        ("right as before", "white", None, [c.right - c.broken for c in tallies.values()]),
        ("wrong as before", WAS, None, [c.wrong - c.fixed for c in tallies.values()]),
        ("without a label", "white", "...", [c.unlabelled for c in tallies.values()]),
    )
    start = np.zeros(len(tallies))
    for name, colour, hatch, numbers in parts:
        if any(numbers):
            place.barh(
                np.arange(len(tallies)), numbers, left=start, height=0.7, color=colour, hatch=hatch,
                edgecolor="black", label=name,
            )  # fmt: skip
        start += numbers
    for y, c in enumerate(tallies.values()):
        numbers_of = f"▲ {c.fixed}  ▼ {c.broken}"
        place.text(1.02, y, numbers_of, transform=place.get_yaxis_transform(), va="center", fontsize=6)
    _names(place, [short(name, 16 if width == "one" else 40) for name in tallies])
    place.set_xlabel("pictures")
    _keys(figure, place)
