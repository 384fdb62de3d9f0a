"""The view state: what it holds comes back, what is forged is a sentence, and a visit is rebuilt as it was."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.errors import UserError
from core.methods.steering import MAX_LEVERS, Condition, Edit, Lever, Term
from core.methods.targets import ClassTarget
from core.model.prompts import TEMPLATES
from core.page.context import Context
from core.session import visit as session
from core.session.component_search import ComponentSearch
from core.session.view_state import (
    ConditionState,
    EditState,
    LeverState,
    PictureState,
    TermState,
    ViewState,
    content_hash,
    is_of,
    restored,
    state_of,
)
from core.session.visit import Subject, Visit
from core.workbench import Workbench

CLASSES = ("dog", "cat", "owl")

numbers = st.integers(0, 2**31 - 1)
characters = st.characters(exclude_categories=["Cs"])
words = st.text(characters, min_size=1, max_size=200)
levers = st.builds(
    LeverState,
    component=numbers,
    operation=st.sampled_from(["suppress", "scale", "set"]),
    strength=st.floats(-100, 100),
    family=st.none() | numbers,
    at_least=st.none() | st.floats(-1e6, 1e6),
)
conditions = st.builds(
    ConditionState,
    terms=st.lists(st.builds(TermState, component=numbers, weight=st.floats(-1e6, 1e6)), min_size=1, max_size=6).map(
        tuple
    ),
    at_least=st.floats(-1e6, 1e6),
)
edits = st.builds(
    EditState,
    levers=st.lists(levers, max_size=6).map(tuple),
    tokens=st.none() | st.lists(numbers, max_size=6).map(tuple),
    condition=st.none() | conditions,
)
pictures = st.builds(
    PictureState,
    caption=st.text(characters, max_size=400),
    example=st.none() | words,
    counterfactual=st.booleans(),
    photograph=st.booleans(),
    content=st.just("0" * 64),
)
targets = st.fixed_dictionaries(
    {"wanted": st.integers(0, 2), "against": st.none() | st.integers(0, 2), "second": st.none() | pictures}
) | st.fixed_dictionaries({"second": pictures})
"""Classes, with a second picture or without, or the similarity to one."""
plain_states = st.builds(
    ViewState,
    key=st.text("0123456789abcdef", max_size=32),
    step=numbers,
    revision=numbers,
    setup=words,
    commits=st.dictionaries(st.sampled_from(["clip", "dictionary"]), st.text("0123456789abcdef", max_size=40)),
    picture=pictures,
    classes=st.lists(words, min_size=3, max_size=5).map(tuple),
    templates=st.lists(words, min_size=1, max_size=3).map(tuple),
    truth=st.none() | st.integers(0, 2),
    wanted=st.just(0),
    edit=edits,
    tab=st.none() | st.text("abc", max_size=40),
    component=st.none() | numbers,
)
states = st.builds(lambda state, target: state.model_copy(update={"wanted": None, **target}), plain_states, targets)


@given(states)
def test_what_is_written_down_comes_back(state: ViewState) -> None:
    assert ViewState.parsed(state.serialised()) == state


@pytest.fixture(scope="module")
def visit(bench: Workbench, picture: Image.Image) -> Visit:
    found = session.start(bench, picture, Subject("mine"), CLASSES, TEMPLATES["single"], "cat")
    found = session.set_target(bench, found, ClassTarget(2, 0))
    active = int(found.attribution.ranked()[0])
    edit = Edit((Lever(active), Lever(3, "scale", 2.0), Lever(5, "set", 1.5)), (0, 2, 3))
    return session.changed(found, session.change(bench, found, edit))


def test_a_visit_is_rebuilt_as_it_was(bench: Workbench, visit: Visit, picture: Image.Image) -> None:
    state = ViewState.parsed(state_of(bench, visit).serialised())
    for again in (restored(bench, state, [picture]), restored(bench, state, [visit.trace.crop])):
        assert again is not None
        for name in (
            "setup",
            "subject",
            "trace",
            "classes",
            "templates",
            "truth",
            "target",
            "attribution",
            "comparison",
        ):
            assert getattr(again, name) == getattr(visit, name), name
        assert again.comparison == visit.comparison
        assert again.edit == visit.edit
        assert is_of(bench, again, state)
        assert state_of(bench, again) == state


def test_a_second_picture_comes_back_where_it_is_shown(bench: Workbench, visit: Visit, picture: Image.Image) -> None:
    second = session.second_picture(bench, picture.rotate(90), Subject("Another."))
    alike = session.compare_with(bench, visit, second)
    state = ViewState.parsed(state_of(bench, alike).serialised())
    assert (state.wanted, state.against) == (None, None)
    for shown in (picture.rotate(90), second.crop):
        again = restored(bench, state, [picture], [picture, shown])
        assert again is not None
        assert (again.second, again.target, again.attribution) == (second, second.target, alike.attribution)
        assert is_of(bench, again, state)
    lost = restored(bench, state, [picture], [picture])
    assert lost is not None
    assert lost.second is None
    assert lost.target == session.target_for(lost.prediction, lost.truth)
    offered = session.set_target(bench, alike, ClassTarget(1, 0))
    kept = restored(bench, state_of(bench, offered), [picture], [second.crop])
    assert kept is not None
    assert (kept.second, kept.target) == (second, ClassTarget(1, 0))


@pytest.mark.parametrize("target", [{}, {"against": 1}, {"second": {"caption": "", "content": "0" * 64}, "against": 1}])
def test_a_state_without_a_target_is_refused(bench: Workbench, visit: Visit, target: dict[str, Any]) -> None:
    told = json.loads(state_of(bench, visit).serialised())
    told = {name: value for name, value in told.items() if name not in ("wanted", "against")}
    with pytest.raises(UserError, match="Reload the page"):
        ViewState.parsed(json.dumps(told | target))


def test_another_picture_is_never_taken_for_it(bench: Workbench, visit: Visit, picture: Image.Image) -> None:
    state = state_of(bench, visit)
    other = picture.rotate(90)
    crop = visit.trace.crop.copy()
    crop[0, 0, 0] ^= 1
    assert restored(bench, state, [other, "/no/such/file.png", crop]) is None
    found = restored(bench, state, [other, crop, picture])
    assert found is not None
    assert found.trace == visit.trace


def test_a_cache_counts_where_it_is_of_the_same_visit_and_not_older(bench: Workbench, visit: Visit) -> None:
    state = state_of(bench, visit)
    assert is_of(bench, visit, state)
    assert is_of(bench, replace(visit, step=visit.step + 1), state)
    assert not is_of(bench, replace(visit, step=visit.step - 1), state)
    assert not is_of(bench, replace(visit, key="0" * 32), state)


def test_what_a_server_opens_with_is_of_an_unchanged_page_about_the_same(bench: Workbench, visit: Visit) -> None:
    opening = replace(visit, key="", step=0)
    state = state_of(bench, opening)
    untouched = state.model_copy(update={"key": "0" * 32, "tab": "Image"})  # a page names its visit, and its open tab
    assert is_of(bench, opening, state)
    assert is_of(bench, opening, untouched)
    for changes in ({"setup": "another"}, {"step": 1}, {"classes": ("dog", "cat", "bus")}, {"edit": EditState()}):
        assert not is_of(bench, opening, untouched.model_copy(update=changes)), changes


def test_another_setup_answers_about_the_same_without_levers_and_target(
    bench: Workbench, context: Context, visit: Visit
) -> None:
    state = state_of(bench, replace(visit, search=ComponentSearch(opened=3)))
    bundled = context.pool.get("bundled")
    found = restored(bundled, state, [visit.trace.crop])
    assert found is not None
    assert (found.setup, found.classes, found.edit) == ("bundled", CLASSES, Edit())
    assert found.search.opened is None
    assert found.target == session.target_for(found.prediction, found.truth)
    old = state.model_copy(update={"commits": {"clip": "0" * 40}})
    again = restored(bench, old, [visit.trace.crop])
    assert again is not None
    assert (again.trace, again.edit) == (visit.trace, Edit())


def test_an_open_component_comes_back_where_there_is_such_a_one(context: Context, first: Visit) -> None:
    bench, picture = context.pool.get("bundled"), context.examples[0].file()
    state = state_of(bench, replace(first, search=ComponentSearch(opened=3)))
    found = restored(bench, state, [picture])
    assert found is not None
    assert found.search.opened == 3
    with pytest.raises(UserError, match="component"):
        restored(bench, state.model_copy(update={"component": 10**6}), [picture])


def test_a_change_counts_once_and_none_does_not(visit: Visit) -> None:
    assert session.changed(visit, visit) is visit
    later = session.changed(visit, replace(visit, truth=None))
    assert (later.key, later.step) == (visit.key, visit.step + 1)


def test_the_hash_is_of_every_pixel_and_of_the_form() -> None:
    crop = np.zeros((4, 6, 3), np.uint8)
    other = crop.copy()
    other[3, 5, 2] = 1
    assert len({content_hash(crop), content_hash(other), content_hash(crop.transpose(1, 0, 2))}) == 3


def forged(**changes: Any) -> str:
    return json.dumps(
        {
            "setup": "bundled",
            "picture": {"caption": "", "content": "0" * 64},
            "classes": ["a", "b"],
            "templates": ["{}"],
            "wanted": 0,
        }
        | changes
    )


def test_the_least_state_is_one() -> None:
    assert ViewState.parsed(forged()).edit.edit() == Edit()


@pytest.mark.parametrize(
    "text",
    [
        None, 3, "", "null", "[]", "{}", "{" * 10_000, "\ud800", forged(version=2), forged(wanted=2),
        forged(wanted=-1), forged(truth=5), forged(against=9), forged(classes=[]), forged(classes=["a"] * 2001),
        forged(classes=["a" * 201]), forged(classes=["list:pets"]),
        forged(classes="ab"), forged(step=-1), forged(step=1.5), forged(key="zz"), forged(more=1), forged(tab="x" * 41),
        forged(edit={"levers": [{"component": 1, "strength": 1e9}]}), forged(edit={"levers": [{"component": "1"}]}),
        forged(edit={"levers": [{"component": n} for n in range(MAX_LEVERS + 1)]}),
        forged(edit={"levers": [{"component": 1, "strength": float("nan")}]}).replace("NaN", "Infinity"),
        forged(picture={"caption": "", "content": "../../etc/passwd"}),
        forged(edit={"condition": {"terms": [], "at_least": 1}}),
        forged(edit={"condition": {"terms": [{"component": 1}]}}),
        forged(edit={"condition": {"terms": [{"component": n} for n in range(65)], "at_least": 1}}),
        forged(edit={"condition": {"terms": [{"component": 1}], "at_least": 1e9}}),
        forged(edit={"levers": [{"component": 1, "at_least": float("nan")}]}),
        forged(commits={"elsewhere": "x"}), " " * 300_000,
    ],
)  # fmt: skip
def test_what_is_forged_is_a_sentence(text: Any) -> None:
    with pytest.raises(UserError, match=r"^The page sent something .*\.$"):
        ViewState.parsed(text)


names = st.sampled_from(["setup", "picture", "classes", "edit"])
values = st.recursive(
    st.none() | st.floats() | st.text(max_size=5), lambda x: st.dictionaries(names, x) | st.lists(x), max_leaves=8
)


@given(st.text(max_size=200) | values.map(json.dumps))
def test_any_text_is_a_state_or_a_sentence(text: str) -> None:
    with pytest.raises(UserError):
        ViewState.parsed(text)


def test_two_levers_on_a_component_are_a_sentence() -> None:
    state = ViewState.parsed(forged(edit={"levers": [{"component": 1}, {"component": 1}]}))
    with pytest.raises(UserError, match="two levers"):
        state.edit.edit()


def test_two_terms_on_a_component_are_a_sentence() -> None:
    condition = {"terms": [{"component": 1}, {"component": 1, "weight": -2}], "at_least": 1}
    with pytest.raises(UserError, match="component twice"):
        ViewState.parsed(forged(edit={"condition": condition})).edit.edit()


def test_an_edit_comes_back_with_where_it_acts() -> None:
    condition = Condition((Term(7), Term(3, -0.1)), 1 / 3)
    edit = Edit((Lever(1, "scale", 0.5, at_least=2.5), Lever(2, family=9, at_least=-1.0)), (0, 4), condition)
    written = ViewState.parsed(forged(edit=EditState.of(edit).model_dump()))
    assert written.edit.edit() == edit
    assert EditState.of(Edit()).edit() == Edit()


def test_too_many_levers_are_a_sentence() -> None:
    with pytest.raises(UserError, match="257 levers. Keep at most 256"):
        EditState.of(Edit.of_suppressed(range(MAX_LEVERS + 1)))
