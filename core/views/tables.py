"""Tables of a view as CSV files: every number that the page shows, unrounded, for a program or a spreadsheet.

Numbers are written as numbers. Text that a spreadsheet would take for a formula begins with an apostrophe, which makes
it text there.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

from ..errors import printable
from ..methods.controls import Controls
from ..methods.dose_response import Response
from ..methods.generalization import Generalization
from ..methods.side_effects import AttributionChanges, SideEffects
from ..session.visit import Counterfactual, Visit
from .reference_strip import Face

Cell = str | float | int | None
"""A value of a table; None for none."""
Rows = list[tuple[Cell, ...]]
"""Of a table, the heads first."""

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes the rest of a cell for a formula after, the wide forms of East Asia too."""
_BEGINS = re.compile(rf"(^|(?<=;))(?=[\" ]*[{re.escape(''.join(FORMULAS))}])")
"""Where a cell may begin: at a semicolon, too, which parts cells where a comma parts a number's digits."""


def csv_file(rows: Iterable[Sequence[Cell]]) -> bytes:
    """A table as a file in UTF-8, with the mark that spreadsheets know it by."""
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_NONNUMERIC).writerows([_cell(value) for value in row] for row in rows)
    return file.getvalue().encode("utf-8-sig")


def _cell(value: Cell) -> Cell:
    if isinstance(value, str):
        return printable(_BEGINS.sub("'", value))
    return "" if value is None else value


def settings_rows(settings: Mapping[str, str]) -> Rows:
    """What was set."""
    return [("setting", "value"), *settings.items()]


def contribution_rows(visit: Visit, faces: Mapping[int, Face]) -> Rows:
    """The strongest components of the target."""
    label = "word" if any(face.word for face in faces.values()) else "label_guess"
    heads = (
        "component", label, *(f"{what}_{unit_name(visit.target.UNIT)}" for what in ("predicted", "measured", "by_cls")),
        "peak_activation", "active_patches",
    )  # fmt: skip
    return [
        heads,
        *(
            (part.component, _label(faces.get(part.component)), part.total, part.measured, part.on_cls, part.peak,
             part.n_patches)
            for part in visit.parts
        ),
    ]  # fmt: skip


def _label(face: Face | None) -> str | None:
    return None if face is None else face.label


def map_rows(visit: Visit) -> Rows:
    """What these components contribute by each patch; none where that is nothing."""
    rows: Rows = [("component", "row", "column", f"contribution_{unit_name(visit.target.UNIT)}")]
    for part in visit.parts:
        rows += [
            (part.component, i, j, float(part.heat[i, j]))
            for i, j in zip(*(k.tolist() for k in part.heat.nonzero()), strict=True)
        ]
    return rows


def class_rows(visit: Visit, gone: Counterfactual | None = None) -> Rows:
    """Every class before and after the edit, and what the model says of the picture without its cue."""
    before, after = visit.comparison.before, visit.comparison.after
    sides = [("before", before), ("after", after), *([] if gone is None else [("without_cue", gone.prediction)])]
    heads = [f"{what}_{name}" for name, _ in sides for what in ("probability", "logit", "rank")]
    rows: Rows = [("class", "should_be", *heads)]
    for k, name in enumerate(before.classes):
        numbers = [
            number
            for _, side in sides
            for number in (float(side.probabilities[k]), float(side.logits[k]), int(side.ranks[k]))
        ]
        rows.append((name, int(k == visit.truth), *numbers))
    return rows


def lever_rows(visit: Visit) -> Rows:
    """The edit, lever by lever."""
    heads = ("component", "operation", "strength", "family", "at_least")
    return [
        heads,
        *((one.component, one.operation, one.strength, one.family, one.at_least) for one in visit.edit.levers),
    ]


def control_rows(found: Controls) -> Rows:
    """The edit's effect, and that of each of its controls."""
    rows: Rows = [
        ("kind", f"effect_{unit_name(found.unit)}"),
        ("the edit", found.effect),
        ("most active components", found.rival),
    ]
    rows += [("random edit", value) for value in found.random.tolist()]
    return rows + [("random direction", value) for value in found.directions.tolist()]


def dose_rows(visit: Visit, responses: Sequence[Response]) -> Rows:
    """Target and classes at every dose, of the whole edit and of each lever alone."""
    unit = unit_name(visit.target.UNIT)
    rows: Rows = [("levers", "dose", f"target_{unit}", *(f"logit of {name}" for name in visit.classes))]
    for response in responses:
        who = "all" if response.component is None else f"#{response.component} alone"
        for dose, target, logits in zip(
            response.doses.tolist(), response.target.tolist(), response.logits.tolist(), strict=True
        ):
            rows.append((who, dose, target, *logits))
    return rows


def side_effect_rows(found: SideEffects) -> Rows:
    """What else changed: every concept that was asked about."""
    numbers = zip(found.concepts, found.change.tolist(), found.relative.tolist(), strict=True)
    unit = unit_name(found.unit)
    return [("concept", f"change_{unit}", f"change_beyond_the_mean_{unit}"), *numbers]


def change_rows(visit: Visit, found: AttributionChanges) -> Rows:
    """Other components that contribute otherwise with the edit."""
    numbers = zip(found.component.tolist(), found.before.tolist(), found.after.tolist(), strict=True)
    unit = unit_name(visit.target.UNIT)
    return [("component", f"before_{unit}", f"after_{unit}"), *numbers]


def unit_name(unit: str) -> str:
    """A unit as part of a column's name."""
    return unit.replace(" ", "_")


def picture_rows(found: Generalization) -> Rows:
    """Other pictures, by class and by group: how many the edit fixes and breaks."""
    heads = ("by", "name", "wrong", "fixed", "right", "broken", "unlabelled", "changed")
    each = [("all", "all", found.counts)]
    each += [("class", name, tally) for name, tally in found.by_class.items()]
    each += [("group", name, tally) for name, tally in found.by_group.items() if name]
    rows: Rows = [heads]
    rows += [(by, name, c.wrong, c.fixed, c.right, c.broken, c.unlabelled, c.changed) for by, name, c in each]
    return rows
