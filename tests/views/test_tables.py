"""Tables as CSV: numbers are numbers, text is never a formula, and what was written comes back."""

import csv
import io
import re

from conftest import EVIL
from hypothesis import example, given
from hypothesis import strategies as st
from test_many_views import tried

from core.errors import printable
from core.session.visit import Visit
from core.views import tables
from core.views.tables import FORMULAS, Cell, csv_file
from core.workbench import Workbench


def read(file: bytes, between: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(file.decode("utf-8-sig"), newline=""), delimiter=between))


@given(st.text(st.characters() | st.sampled_from("=+-@\t\r\n\"';,＝ \ud800"), max_size=12))
@example('=HYPERLINK("http://evil";"a")')
@example("  =1+1")
@example("\t=1")
@example('","=1+1')
@example("-2+3")
@example("\ud800")
@example("a;=1+1;")
@example('a;"=1')
def test_no_text_is_a_formula(text: str) -> None:
    """Nor a part of it, where a spreadsheet reads semicolons between cells."""
    file = csv_file([(text, -1.5, text)])
    ((found, number, again),) = read(file)
    assert not found.lstrip(" ").startswith(FORMULAS)
    assert re.sub("(^|;)'", r"\1", found) == re.sub("(^|;)'", r"\1", printable(text))
    assert float(number) == -1.5, "which begins like a formula, and is a number"
    assert again == found
    parts = [part for row in read(file, ";") for part in row]
    assert not any(part.lstrip(" \r\n").startswith(FORMULAS) for part in parts)


@given(st.lists(st.floats(allow_nan=False) | st.integers(-(10**9), 10**9) | st.none(), min_size=1, max_size=4))
def test_numbers_come_back_as_they_were(values: list[Cell]) -> None:
    (found,) = read(csv_file([values]))
    assert [None if cell == "" else float(cell) for cell in found] == values


def test_the_tables_are_those_of_the_view(bench: Workbench, visit: Visit) -> None:
    heads, *rows = read(csv_file(tables.contribution_rows(visit, {})))
    assert heads[:4] == ["component", "label_guess", "predicted_logits", "measured_logits"]
    told = [(int(row[0]), float(row[2]), float(row[3])) for row in rows]
    assert told == [(part.component, part.total, part.measured) for part in visit.parts]
    heads, *rows = read(csv_file(tables.class_rows(visit)))
    assert [row[0] for row in rows] == list(EVIL)
    after = heads.index("probability_after")
    assert [float(row[after]) for row in rows] == visit.comparison.after.probabilities.tolist()
    heads, *rows = read(csv_file(tables.map_rows(visit)))
    for part in visit.parts:
        total = sum(float(row[3]) for row in rows if int(row[0]) == part.component)
        assert abs(total + part.on_cls - part.total) < 1e-4, "patches and CLS add up"
    heads, *rows = read(csv_file(tables.lever_rows(visit)))
    assert [int(row[0]) for row in rows] == [lever.component for lever in visit.edit.levers]


def test_the_tables_of_evidence_hold_all_of_it(bench: Workbench, visit: Visit) -> None:
    asked = visit.trace, visit.classes, visit.templates, visit.target, visit.edit
    *_, controls = bench.controls(*asked)
    responses = list(bench.responses(*asked))
    assert len(tables.control_rows(controls)) == 3 + len(controls.random) + len(controls.directions)
    assert len(tables.dose_rows(visit, responses)) == 1 + sum(len(one.doses) for one in responses)
    found = bench.side_effects(*asked)
    assert len(tables.side_effect_rows(found)) == 1 + len(found.concepts)
    _, turned = tried(("dog", "=cat"), "ffbrwwc-", group="@group")
    heads, *rows = read(csv_file(tables.picture_rows(turned)))
    assert [row[:2] for row in rows] == [["all", "all"], ["class", "dog"], ["group", "'@group"]]
    assert dict(zip(heads, rows[0], strict=True)) == {
        "by": "all", "name": "all", "wrong": "4", "fixed": "2", "right": "2", "broken": "1", "unlabelled": "2",
        "changed": "1",
    }  # fmt: skip
