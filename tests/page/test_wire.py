"""Messages of the widgets: what their scripts write is read, and anything else is refused with a sentence."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import UserError
from core.methods.steering import Edit, Lever
from core.page.context import Context
from core.page.wire import (
    MAX_CHARACTERS,
    MAX_SEARCH,
    AskWords,
    ChooseExample,
    ChoosePatches,
    ClaimUnseen,
    EditMessage,
    ExplainConfusion,
    HistoryStep,
    Message,
    OpenPicture,
    OpenTab,
    PressComponent,
    SecondStep,
    ShowCounterfactual,
    UseCondition,
    UseEdit,
)
from core.session import visit as session
from core.session.visit import Visit

WRITTEN = json.loads((Path(__file__).parent / "widget_messages.json").read_text(encoding="utf-8"))
"""By event, as the scripts in assets/widgets write them (tests/browser/test_widget_messages.py has them do so); `tab`:
what following.js says."""


def test_what_the_scripts_write_is_read() -> None:
    assert ChooseExample.read(WRITTEN["choose"]).example == "owl-note-nonsense"
    assert ChooseExample.read(WRITTEN["like"]).example == "car-note-car"
    assert SecondStep.read(WRITTEN["second"]).step == "take away"
    assert ShowCounterfactual.read(WRITTEN["twin"]).on
    assert PressComponent.read(WRITTEN["act"]) == PressComponent(component=99, action="suppress", on=True)
    assert AskWords.read(WRITTEN["ask"]) == AskWords(words="the word cat", moment=812.3)
    assert UseEdit.read(WRITTEN["use"]).components == (99, 7)
    assert OpenPicture.read(WRITTEN["look"]) == OpenPicture(picture="attacked/12")
    assert UseCondition.read(WRITTEN["condition"]) == UseCondition(terms=((99, 1.0), (7, -0.25)), at_least=0.5)
    assert ClaimUnseen.read(WRITTEN["claim"]) == ClaimUnseen(trial="0123456789abcdef", on=True)
    assert ExplainConfusion.read(WRITTEN["explain"]) == ExplainConfusion(truth="dog", said="cat", on=True)
    assert HistoryStep.read(WRITTEN["step"]).step == "undo"
    pulled, picked = EditMessage.read(WRITTEN["pull"]), ChoosePatches.read(WRITTEN["pick"])
    first, second = Lever(99, "scale", 1.5, at_least=0.4), Lever(7, "suppress", 0.0, family=7)
    assert [one.lever() for one in pulled.levers] == [first, second]
    assert (pulled.revision, picked.revision, picked.tokens) == (4, 4, (0, 1, 17))
    assert picked.moment > pulled.moment > 0
    assert picked.gesture > pulled.gesture
    assert OpenTab.read(WRITTEN["tab"]) == OpenTab(tab="Before / after", moment=12.5)


def test_the_levers_start_from_all_that_are_pulled(context: Context, first: Visit) -> None:
    """What they send back without a change makes the same levers again."""
    bench = context.bench(first)
    levers = (Lever(99), Lever(7, "scale", 0.5), Lever(12, "set", -1.25, family=7))
    pulled = session.change(bench, first, Edit(levers, (0, 3)))
    message = EditMessage.read(EditMessage.of(pulled).to_json())
    assert tuple(one.lever() for one in message.levers) == pulled.edit.levers
    assert message.revision == pulled.revision
    assert EditMessage.of(replace(first, revision=7)).revision == 7


EDIT = {"revision": 0, "moment": 1.0, "gesture": 0, "levers": []}
PATCHES = {"revision": 0, "moment": 1.0, "gesture": 0, "tokens": None}
NO_EXAMPLES: tuple[object, ...] = (None, [], 3, {"example": 0}, {"example": ""}, {"example": None})
LEVER = {"component": 1, "operation": "scale", "strength": "2", "family": None}


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        *((PressComponent, {"action": "suppress", "on": True} | wrong) for wrong in (
            {}, {"component": None}, {"component": "a lot"}, {"component": "99"}, {"component": 1.5},
            {"component": -1}, {"component": 2**40}, {"component": True}, {"component": [1]},
            {"component": float("inf")}, {"component": 1, "action": "explode"}, {"component": 1, "on": "yes"},
            {"component": 1, "more": 1},
        )),
        *((ChooseExample, told) for told in NO_EXAMPLES),
        *((UseEdit, {"components": told}) for told in (None, "1,2", [1, None], [float("nan")], list(range(5000)))),
        *((AskWords, {"words": "cat", "moment": 1.0} | wrong) for wrong in (
            {"words": None}, {"words": ["cat"]}, {"words": "x" * (MAX_SEARCH + 1)}, {"moment": "now"}, {"more": 1},
        )),
        (HistoryStep, {"step": "__class__"}),
        (ShowCounterfactual, {"on": None}),
        *((SecondStep, told) for told in (None, {}, {"step": "undo"}, {"step": "ask", "more": 1})),
        *((EditMessage, told) for told in ("", "null", "[]", "{", "[" * 100_000, "\ud800", "NaN", None, 3, b"{}")),
        *((EditMessage, json.dumps(EDIT | wrong)) for wrong in (
            {"revision": None}, {"revision": -1}, {"moment": "soon"}, {"moment": float("inf")}, {"gesture": None},
            {"levers": None}, {"levers": [[1, "scale", 2, None]]}, {"levers": [LEVER | {"component": "x"}]},
            {"levers": [LEVER | {"operation": "explode"}]}, {"levers": [LEVER | {"strength": None}]},
            {"levers": [LEVER] * 5000}, {"tokens": None},
        )),
        (ChoosePatches, ""),
        *((ChoosePatches, json.dumps(PATCHES | wrong)) for wrong in (
            {"revision": -1}, {"moment": None}, {"gesture": "a"}, {"tokens": [-1]}, {"tokens": "all"},
            {"tokens": [0.5]}, {"tokens": [1] * 5000}, {"more": 1},
        )),
        (EditMessage, json.dumps(EDIT) + " " * MAX_CHARACTERS),
        (OpenTab, '["Evidence", 12.5]'), (OpenTab, '{"tab": "x", "moment": null}'), (OpenTab, ""), (OpenTab, None),
        (OpenTab, json.dumps({"tab": "x" * 200, "moment": 1})),
    ],
)  # fmt: skip
def test_what_they_never_write_gets_a_sentence(kind: type[Message], told: Any) -> None:
    with pytest.raises(UserError, match="Reload"):
        kind.read(told)
