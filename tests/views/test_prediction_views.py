"""The prediction beside the picture says what is predicted now and was before, and whether it flipped."""

import html
import json
import re
from dataclasses import replace
from itertools import islice, product
from string import ascii_lowercase

import numpy as np
import pytest
from view_helpers import Reader, with_family

from core.methods.steering import Edit, Lever
from core.model.prompts import TEMPLATES
from core.session import visit as session
from core.session.history import History
from core.session.visit import Visit
from core.views.compare import chart, found, search, table
from core.views.prediction import (
    ALL_LISTED,
    LISTED,
    SHOWN_CLASSES,
    done,
    flip_words,
    group_name,
    held,
    listed,
    prediction,
    tokens_words,
)
from core.workbench import Workbench


def test_the_flip_in_words(visit: Visit) -> None:
    c = visit.comparison
    flipped = replace(c, before=c.before, after=replace(c.after, logits=-c.before.logits))
    tone, words = flip_words(flipped, 1)
    assert tone == "flipped"
    assert "Flipped: “" in words
    assert "▲" in words
    assert flip_words(replace(c, after=c.before), 1)[1].startswith("No flip: still “")
    assert flip_words(c, 0)[1] == f"CLIP says “{c.after.best}”"


@pytest.mark.parametrize("n", [1, 2, ALL_LISTED, 2000])
def test_any_number_of_classes(bench: Workbench, visit: Visit, n: int) -> None:
    letters = product(ascii_lowercase, repeat=3)
    classes = tuple(f"thing {''.join(three)}" for three in islice(letters, n))
    many = session.ask(bench, visit, classes, TEMPLATES["single"], None)
    beside = prediction(many)
    assert beside.count('<li class="bar') <= SHOWN_CLASSES + 3
    shown = n if n <= ALL_LISTED else len(listed(many))
    assert (shown == n) == (n <= ALL_LISTED)
    assert chart(many).count('class="pair"') == shown <= ALL_LISTED
    assert (f"and {n - shown:,} others" in chart(many)) == (shown < n)
    assert table(many).count("<tr>") == shown + 1
    assert ("others, under Before / after" in beside) == (n > SHOWN_CLASSES + 3)
    assert bool(search(many)) == (n > ALL_LISTED)


def test_of_many_classes_those_are_listed_that_matter(bench: Workbench, visit: Visit) -> None:
    """The likeliest before and after, those that moved most, those of the target, and what it should be."""
    classes = tuple(f"thing {''.join(three)}" for three in islice(product(ascii_lowercase, repeat=3), 300))
    many = session.ask(bench, visit, classes, TEMPLATES["single"], classes[77])
    c = many.comparison
    moved = c.before.logits.copy()
    moved[[5, 9]] += np.array([-4.0, 30.0], dtype=np.float32)
    many = replace(many, comparison=replace(c, after=replace(c.before, logits=moved)))
    shown = listed(many)
    assert {5, 9, 77, *many.target.classes} <= set(shown)
    assert set(c.before.order[:LISTED].tolist()) <= set(shown)
    assert shown == sorted(shown, key=lambda k: -c.before.logits[k])


def test_a_class_is_found_by_a_part_of_its_name(bench: Workbench, visit: Visit) -> None:
    classes = tuple(f"thing {''.join(three)}" for three in islice(product(ascii_lowercase, repeat=3), 300))
    many = session.ask(bench, visit, classes, TEMPLATES["single"], None)
    some = found(many, "THING aa")
    assert some.count("<tr>") == 26 + 1
    assert "more" not in some
    assert "250 more have it in their names" in found(many, "thing")
    assert "None of the 300 classes has “&lt;b&gt;” in its name." in found(many, "<b>")


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


def test_the_edit_is_in_sight(visit: Visit) -> None:
    """Every lever has a chip that names it, says what it does, and releases it; a family has one."""
    pulled = with_family(visit)
    shown = prediction(pulled)
    alone, family = (group[0].component for group in pulled.edit.groups())
    words = " ".join(" ".join(Reader(shown).texts).split())
    assert f"#{alone} set to 1.5" in words
    assert f"#{family} and its family (3) × 0.5" in words
    assert f'data-release="suppress" data-component="{alone}" aria-label="Release #{alone}"' in shown
    assert f'data-release="family" data-component="{family}"' in shown
    assert shown.count("data-row") == 2
    assert "on 2 of 16 patches" in prediction(with_edit(visit, Edit(pulled.edit.levers, (1, 2))))
    assert "data-release" not in prediction(with_edit(visit, Edit()))


def test_levers_have_names(visit: Visit) -> None:
    pulled = with_family(visit)
    alone, family = pulled.edit.groups()
    assert group_name(alone) == f"#{alone[0].component}"
    first = family[0].component
    assert group_name(pulled.edit.release(first).groups()[1]) == f"the others of #{first}’s family"
    assert [done(lever) for lever in (Lever(1), Lever(1, "scale", -2.5), Lever(1, "set", 3.0))] == [
        "suppressed", "× -2.5", "set to 3",
    ]  # fmt: skip


def test_where_an_edit_acts() -> None:
    said = {
        None: "all tokens",
        (0,): "CLS only",
        (0, 2): "1 of 64 patches and CLS",
        (1, 2): "2 of 64 patches",
        (): "0 of 64 patches",
    }
    assert {tokens: tokens_words(tokens, 64) for tokens in said} == said


def test_what_cannot_be_pressed_keeps_the_focus(visit: Visit) -> None:
    drawn = prediction(with_edit(visit, Edit()))
    assert drawn.count('aria-disabled="true"') == 3
    assert " disabled" not in drawn.replace("aria-disabled", "")


def test_a_flip_is_said_apart_from_what_changes_with_every_move(visit: Visit) -> None:
    spoken = prediction(visit).split('aria-live="polite"')[1].split("</p>")[0]
    assert "“" in spoken
    assert "cosine" not in spoken


def test_a_threshold_is_told_wherever_the_lever_is(visit: Visit) -> None:
    for lever, words in (
        (Lever(3, at_least=0.5), "suppressed where ≥ 0.5"),
        (Lever(3, "scale", 2.0, at_least=-1), "× 2 where ≥ -1"),
        (Lever(3, "set", 2.0), "set to 2"),
    ):
        assert done(lever) == words
    v = replace(visit, history=History(Edit((Lever(3, at_least=0.5),))))
    assert "#3 suppressed where ≥ 0.5" in html.unescape(prediction(v))
