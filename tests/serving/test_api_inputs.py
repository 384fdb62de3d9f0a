"""Edits as programs write them: those that can be used come back as they are, all else is refused with a sentence."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.methods.steering import (
    MAX_LEVERS,
    MAX_STRENGTH,
    MAX_TERMS,
    MAX_THRESHOLD,
    Condition,
    Edit,
    Lever,
    Term,
)
from core.serving import api_inputs as plain


def test_edits_from_plain_json() -> None:
    wish = [{"component": 3}, {"component": 4, "operation": "scale", "strength": 2}]
    assert plain.edit(wish, [2, 1]) == Edit((Lever(3), Lever(4, "scale", 2.0)), (1, 2))
    bad: object
    for bad in (
        None,
        "x",
        [1],
        [{}],
        [{"component": "x"}],
        [{"component": 1, "operation": "explode"}],
        [{"component": 1}] * 2,
    ):
        with pytest.raises(UserError):
            plain.edit(bad)
    with pytest.raises(UserError):
        plain.edit([{"component": 1, "operation": "scale", "strength": "nan"}])


NO_STRENGTHS: tuple[object, ...] = (None, True, [1.0], {}, "x" * 1_000_000)


@pytest.mark.parametrize(
    ("levers", "tokens"),
    [
        *(([{"component": wrong}], None) for wrong in (float("inf"), 1.5, 2.0, "3", True, -1, 2**63, [3])),
        *(([{"component": 1, "strength": wrong}], None) for wrong in NO_STRENGTHS),
        ([{"component": 1, "strenght": 2}], None), ([{"component": 1, "operation": ["set"]}], None),
        ({"component": 1}, None), ([], "all"), ([], [float("inf")]), ([], ["0"]), ([], [-1]), ([], {"0": 1}),
    ],
)  # fmt: skip
def test_what_is_no_edit_gets_a_sentence(levers: object, tokens: object) -> None:
    with pytest.raises(UserError) as told:
        plain.edit(levers, tokens)
    assert len(str(told.value)) < 300


def test_more_levers_than_256_are_refused() -> None:
    assert len(plain.edit([{"component": n} for n in range(MAX_LEVERS)]).levers) == MAX_LEVERS
    with pytest.raises(UserError, match="20,000 levers. Keep at most 256"):
        plain.edit([{"component": n} for n in range(20_000)])


NUMBERS = st.integers(0, 2**31 - 1)
THRESHOLDS = st.floats(-MAX_THRESHOLD, MAX_THRESHOLD) | st.integers(-100, 100).map(float)
CONDITIONS = st.builds(
    Condition,
    st.lists(st.builds(Term, NUMBERS, THRESHOLDS), min_size=1, max_size=4, unique_by=lambda term: term.component),
    THRESHOLDS,
)
EDITS = st.builds(
    Edit,
    st.lists(
        st.builds(
            Lever, NUMBERS, st.sampled_from(["suppress", "scale", "set"]), st.floats(-MAX_STRENGTH, MAX_STRENGTH),
            st.none(), st.none() | THRESHOLDS,
        ),
        max_size=8, unique_by=lambda lever: lever.component,
    ),
    st.none() | st.lists(st.integers(0, 300), max_size=8),
    st.none() | CONDITIONS,
)  # fmt: skip


@settings(max_examples=25)
@given(EDITS)
def test_an_edit_comes_back_as_it_is(edit: Edit) -> None:
    """By way of JSON, as `/find_edit` and all others tell it, and as recipe.json has it."""
    told = json.loads(json.dumps(plain.plain_edit(edit)))
    assert plain.edit(**told) == edit


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["component", "operation", "strength", "family", "at_least", "terms", "weight", "x"]), inner,
        max_size=4,
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=60)
@given(ANYTHING, ANYTHING, ANYTHING)
def test_whatever_comes_is_an_edit_or_refused_with_a_sentence(
    levers: object, tokens: object, condition: object
) -> None:
    for asked in ((levers, tokens, condition), (levers, None, None), ([], tokens, None), ([], None, condition)):
        try:
            assert isinstance(plain.edit(*asked), Edit)
        except UserError as told:
            assert str(told)[0].isupper() or str(told).startswith("“")
            assert str(told).endswith((".", "]"))
            assert len(str(told)) < 300


@pytest.mark.parametrize(
    "condition",
    [
        {}, [], "x", {"terms": []}, {"terms": [], "at_least": 1}, {"terms": [{"component": 1}]},
        {"terms": [{"component": 1}], "at_least": float("nan")}, {"terms": [{"component": 1}], "at_least": "1"},
        {"terms": [{"component": 1}] * 2, "at_least": 1}, {"terms": [{"component": 1, "weight": 1e9}], "at_least": 1},
        {"terms": [{"component": n} for n in range(MAX_TERMS + 1)], "at_least": 1},
        {"terms": [{"component": 1}], "at_least": 1, "more": 1},
    ],
)  # fmt: skip
def test_what_is_no_condition_gets_a_sentence(condition: object) -> None:
    with pytest.raises(UserError) as told:
        plain.edit([], None, condition)
    assert len(str(told.value)) < 300
