"""The prediction beside the picture says what is predicted now and was before, and whether it flipped."""

import html
import json
import re
from dataclasses import replace
from string import ascii_lowercase

import pytest

from core.methods.steering import Edit, Lever
from core.model.prompts import TEMPLATES
from core.session import visit as session
from core.session.history import History
from core.session.visit import Visit
from core.views.compare import chart, table
from core.views.prediction import SHOWN_CLASSES, flip_words, held, prediction
from core.workbench import Workbench


def test_the_flip_in_words(visit: Visit) -> None:
    c = visit.comparison
    flipped = replace(c, before=c.before, after=replace(c.after, logits=-c.before.logits))
    tone, words = flip_words(flipped, 1)
    assert tone == "flipped"
    assert "Flipped: “" in words
    assert "▲" in words
    assert flip_words(replace(c, after=c.before), 1)[1].startswith("No flip: still “")
    assert "No lever pulled" in flip_words(c, 0)[1]


@pytest.mark.parametrize("n", [1, 2, 200])
def test_any_number_of_classes(bench: Workbench, visit: Visit, n: int) -> None:
    classes = tuple(f"thing {ascii_lowercase[k // 26]}{ascii_lowercase[k % 26]}" for k in range(n))
    many = session.ask(bench, visit, classes, TEMPLATES["single"], None)
    beside = prediction(many)
    assert beside.count('<li class="bar') <= SHOWN_CLASSES + 1
    assert chart(many).count('class="pair"') == n
    assert table(many.comparison).count("<tr>") == n + 1
    assert ("more: see Before / after" in beside) == (n > SHOWN_CLASSES + 1 or n == 200)


def test_the_page_holds_the_edit(visit: Visit) -> None:
    """As its script reads it (pressed.js), in an attribute."""
    edit = Edit((Lever(3, "scale", 2.0),)).pull_family(5, (5, 8))
    told = json.loads(html.unescape(re.findall(r"data-edit='([^']*)'", prediction(with_edit(visit, edit)))[0]))
    assert told == held(edit) == [
        {"components": [3], "operation": "scale", "strength": 2.0},
        {"components": [5, 8], "operation": "suppress", "strength": 0.0},
    ]  # fmt: skip
    assert "data-edit='[]'" in prediction(with_edit(visit, Edit()))


def with_edit(visit: Visit, edit: Edit) -> Visit:
    return replace(visit, history=History(edit))
