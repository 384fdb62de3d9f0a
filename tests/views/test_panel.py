"""The panel says what is predicted now and was before, and whether it flipped."""

from dataclasses import replace
from string import ascii_lowercase

import pytest

from core.model.prompts import TEMPLATES
from core.session import visit as session
from core.session.visit import Visit
from core.views.compare import chart, table
from core.views.panel import PANEL_CLASSES, flip_words, panel
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
    beside = panel(many)
    assert beside.count('<li class="bar') <= PANEL_CLASSES + 1
    assert chart(many).count('class="pair"') == n
    assert table(many.comparison).count("<tr>") == n + 1
    assert ("more: see Before / after" in beside) == (n > PANEL_CLASSES + 1 or n == 200)
