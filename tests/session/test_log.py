"""The log of edits: what a browser keeps comes back, what is forged is left out, and numbers are the page's."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_view_state import forged, states, values

from core.methods.controls import Controls
from core.page.context import Context
from core.session import visit as session
from core.session.log import MAX_LINES, Log, LogLine, observed
from core.session.view_state import LeverState, ViewState, state_of
from core.session.visit import Visit

DEEP: list[Any] = []
for _ in range(1_000):
    DEEP = [DEEP]


def told(**changes: Any) -> dict[str, Any]:
    """A line as a browser keeps it."""
    state = json.loads(forged(edit={"levers": [{"component": 99}]}))
    seen = {"before": 0, "before_share": 0.9, "after": 1, "after_share": 0.5, "effect": -3.25}
    return {"id": "0" * 16, "time": 1_764_105_923_456, "expectation": "dog", "state": state, "observed": seen} | changes


def with_a_lever(state: ViewState) -> ViewState:
    edit = state.edit.model_copy(update={"levers": (LeverState(component=1),), "condition": None})
    return state.model_copy(update={"edit": edit})


@settings(max_examples=30)
@given(states.map(with_a_lever), st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_what_is_kept_comes_back(state: ViewState, expectation: str) -> None:
    line = LogLine.model_validate_json(
        json.dumps(told(state=json.loads(state.serialised()), expectation=expectation, verdict="held"))
    )
    assert (line.state, line.expectation) == (state, expectation)
    assert Log.read([json.loads(line.model_dump_json(exclude_defaults=True))]) == Log((line,))


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "x"}, {"id": "0" * 15}, {"time": -1}, {"time": 1e300}, {"time": float("nan")},
        {"expectation": "x" * 301},
        {"expectation": None}, {"expectation": "\ud800"}, {"state": None}, {"state": json.loads(forged(version=2))},
        {"state": json.loads(forged())}, {"verdict": "right"}, {"more": 1}, {"observed": None},
        {"state": json.loads(forged(wanted=2, edit={"levers": [{"component": 1}]}))},
        {"state": json.loads(forged(edit={"levers": [{"component": 1}, {"component": 1}]}))},
        {"observed": told()["observed"] | {"after": 2}}, {"observed": told()["observed"] | {"effect": float("inf")}},
        {"observed": told()["observed"] | {"before_share": 1.1}}, {"chance": {"p": 2, "judgement": "good"}},
        {"chance": {"judgement": "sure"}}, {"side": {"spread": "0"}}, {"side": {"selectivity": -1}},
        {"more": DEEP},
    ],
)  # fmt: skip
def test_what_is_forged_is_left_out_and_the_others_stay(wrong: dict[str, Any]) -> None:
    found = Log.read([told(), told(id="1" * 16) | wrong])
    assert [line.id for line in found.lines] == ["0" * 16]
    assert found.unreadable == 1


@settings(max_examples=30)
@given(st.lists(values | st.dictionaries(st.sampled_from(sorted(told())), values, max_size=3), max_size=3))
def test_whatever_a_browser_keeps_is_read(lines: list[Any]) -> None:
    assert Log.read(lines) == Log((), len(lines))


def test_the_latest_count_and_each_once() -> None:
    found = Log.read([told(id=f"{k:016x}") for k in range(MAX_LINES + 5)])
    assert [int(line.id, 16) for line in found.lines] == list(range(5, MAX_LINES + 5))
    twice = Log.read([told(expectation="first"), told(expectation="second")])
    assert [line.expectation for line in twice.lines] == ["first"]


def test_a_line_observes_what_the_model_did(context: Context, first: Visit) -> None:
    """The effect is that of which the evidence tells, by another way."""
    bench = context.bench(first)
    v = session.press(bench, first, 99, "suppress", True)
    *_, last = bench.controls(v.trace, v.classes, v.templates, v.target, v.edit)
    assert isinstance(last, Controls)
    seen = observed(v)
    assert seen.effect == pytest.approx(last.effect, abs=1e-4)
    assert (v.classes[seen.before], v.classes[seen.after]) == ("cat", "dog")
    assert seen.after_share == np.max(v.comparison.after.probabilities)
    line = told(state=json.loads(state_of(bench, v).serialised()), observed=seen.model_dump())
    assert Log.read([line]).lines[0].observed == seen
