"""Two visits side by side -> HTML: their pictures, what the model says of them, and what the target is made of.

Both are as their edits leave them. What is chosen in one is marked in the other (pair.js): a component, where both have
the same ones, and a patch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from markupsafe import Markup

from ..methods.attribution import Attribution
from ..methods.token_maps import token_maps
from ..model.trace import Trace
from ..session.visit import Visit
from ..words import signed
from .component import target_words
from .html import NOTHING, render
from .images import picture_uri
from .log import edit_words
from .reference_strip import NO_FACES, Face, named, sheet, thumb
from .row import Axis

SHOWN = 12
"""Components of both together, or of each where they are of two setups."""
SHOWN_CLASSES = 6
PIXELS = 360
"""Of a picture's longer side, at most."""
Choice = tuple[str, str, str]
"""What can be shown beside a visit: kind, name, words."""


@dataclass(frozen=True)
class SideView:
    """One of the two."""

    visit: Visit
    """What it is about."""
    trace: Trace
    """Its picture, as its edit leaves it."""
    attribution: Attribution
    """Its target explained on that."""
    setup: str
    """The setup's title."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of what can be pointed at; a picture without a map is one place."""
        return self.trace.grid if self.trace.has_map else (1, 1)

    @property
    def facts(self) -> dict[str, Any]:
        """What stands at its picture."""
        v = self.visit
        height, width = self.trace.crop.shape[:2]
        done = edit_words(v.edit) if v.edit.levers else "no lever"
        return {
            "picture": picture_uri(self.trace.crop, PIXELS),
            "size": (width, height),
            "grid": self.grid,
            "edit": done,
            "caption": v.subject.caption,
            "setup": self.setup,
            "says": v.comparison.after.words,
            "target": f"{target_words(v)} {signed(self.attribution.value)} {v.target.UNIT}",
        }


def choices(
    listed: Sequence[tuple[str, Sequence[Choice]]], chosen: tuple[str, str] = ("", ""), body: Markup = NOTHING
) -> Markup:
    """What can be shown beside the visit, in groups by their titles, what is chosen, and the two (`pair`)."""
    return render("pair", groups=listed, chosen=chosen, body=body)


def shown_components(left: SideView, right: SideView) -> tuple[list[int], list[int]]:
    """The components that count most in each, the strongest first; of one setup, in either, and the same for both."""
    if left.visit.setup == right.visit.setup:
        both = _strongest(left, right)
        return both, both
    return _strongest(left), _strongest(right)


def _strongest(*sides: SideView) -> list[int]:
    size: dict[int, float] = {}
    for side in sides:
        for component, total in zip(side.attribution.component.tolist(), side.attribution.total.tolist(), strict=True):
            size[component] = max(size.get(component, 0.0), abs(total))
    return [c for c in sorted(size, key=lambda c: (-size[c], c)) if size[c] > 0][:SHOWN]


def pair(left: SideView, right: SideView, known: Mapping[str, Mapping[int, Face]] | None = None) -> Markup:
    """The two. The classes are compared where both are asked about the same, components where both have the same.

    `known`: how the components are recognised, by setup.
    """
    sides, shown = (left, right), shown_components(left, right)
    together = left.visit.setup == right.visit.setup
    lists = [(sides, shown[0])] if together else [((side,), listed) for side, listed in zip(sides, shown, strict=True)]
    before, after = (side.visit.comparison.after for side in sides)
    asked_alike = left.visit.classes == right.visit.classes
    order = dict.fromkeys([*before.order[:SHOWN_CLASSES].tolist(), after.top] if asked_alike else [])
    faces = known or {}
    examples = (face.examples[:1] for of_setup in faces.values() for face in of_setup.values())
    return render(
        "two",
        maps=[
            token_maps(side.trace, side.attribution, listed, len(listed)).plain()
            | dict(zip(("rows", "columns"), side.grid, strict=True))
            for side, listed in zip(sides, shown, strict=True)
        ],
        sides=[side.facts for side in sides],
        answers=[(before.classes[k], [float(one.probabilities[k]) for one in (before, after)]) for k in order],
        together=together,
        lists=[_rows(of, listed, sides, faces.get(of[0].visit.setup, NO_FACES)) for of, listed in lists],
        sheet=sheet(chain.from_iterable(examples)),
    )


def _rows(
    of: Sequence[SideView], listed: Sequence[int], sides: Sequence[SideView], faces: Mapping[int, Face]
) -> dict[str, Any]:
    """Components on a common axis, each with a bar for every side that has it."""
    totals = {c: [side.attribution.total_of(c) for side in of] for c in listed}
    which = [k for k, side in enumerate(sides) if any(side is one for one in of)]
    return {
        "sides": which,
        "axis": Axis.over(value for each in totals.values() for value in each),
        "rows": [
            {
                "component": c,
                "thumb": thumb(faces.get(c)),
                "guess": named(faces.get(c)),
                "bars": list(zip(which, totals[c], strict=True)),
            }
            for c in listed
        ],
    }
