"""Doses of an edit again through the unsplit CLIP, densely, one by one."""

import itertools
import pickle
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import CLASSES
from hypothesis import given
from hypothesis import strategies as st
from tiny_edits import (
    DICTIONARIES,
    FOUND,
    Key,
    X,
    dense_move,
    edits,
    keys,
    lever_sets,
    same_bits,
    small,
    unsplit,
)

from core.errors import UserError
from core.methods.controls import (
    controls,
)
from core.methods.dose_response import DOSES, Response, dosed, responses
from core.methods.steering import MAX_STRENGTH, Edit, Lever, steer
from core.methods.targets import ClassTarget
from core.model.prediction import predict


@given(edits, st.floats(-1e4, 1e4))
def test_a_dose_scales_what_is_active_and_what_is_set(edit: Edit, dose: float) -> None:
    found = dosed(edit, dose)
    assert found.tokens == edit.tokens
    assert len(found.levers) == len(edit.levers)
    for old, new in zip(edit.levers, found.levers, strict=True):
        wanted = dose * old.strength if old.operation == "set" else dose
        assert new.component == old.component
        assert abs(new.strength) <= MAX_STRENGTH
        assert new.operation == ("set" if old.operation == "set" else "scale")
        assert new.strength == (wanted if abs(wanted) <= MAX_STRENGTH else np.sign(wanted) * MAX_STRENGTH)


@given(keys, edits)
def test_dose_0_suppresses_and_dose_1_changes_only_what_is_set(key: Key, edit: Edit) -> None:
    f, dictionary = FOUND[key], DICTIONARIES[key]
    none, off, one, kept = steer(
        X,
        f,
        [
            dosed(edit, 0),
            Edit.of_suppressed(lever.component for lever in edit.levers).among(edit.tokens),
            dosed(edit, 1),
            replace(edit, levers=tuple(lever for lever in edit.levers if lever.operation == "set")),
        ],
        dictionary,
    )
    assert same_bits(none, off)
    torch.testing.assert_close(one, kept, rtol=1e-5, atol=1e-4)
    if not any(lever.operation == "set" for lever in edit.levers):
        assert same_bits(one, X)


@given(lever_sets.map(lambda some: Edit(tuple(lever for lever in some if lever.operation == "set"))))
def test_dose_1_of_set_levers_is_the_edit(edit: Edit) -> None:
    assert dosed(edit, 1) == edit


def test_a_dose_that_is_no_number_is_trouble():
    with pytest.raises(UserError, match="-100 to 100"):
        dosed(Edit.of_suppressed([1]), float("nan"))


@pytest.mark.parametrize("target", [ClassTarget(3), ClassTarget(0, 1)])
def test_doses_again_through_the_unsplit_model(question_of, strongest, target):
    a, b, c = strongest[:3]
    edit = Edit((Lever(a), Lever(b, "set", 0.8), Lever(c, "scale", 2.0)), tokens=tuple(range(0, 17, 2)))
    question = question_of(target)
    clip, dictionary, trace = question.model.clip, question.model.dictionary, question.trace
    found = list(responses(question, edit))
    assert [response.component for response in found] == [None, a, b, c]
    for response in found:
        levers = tuple(lever for lever in edit.levers if response.component in (None, lever.component))
        assert response.doses.tolist() == list(DOSES)
        expected = np.stack(
            [
                unsplit(
                    clip, trace, question.classifier, dense_move(trace, dictionary, replace(edit, levers=levers), dose)
                )
                for dose in DOSES
            ]
        )
        np.testing.assert_allclose(response.logits, expected, atol=2e-4)
        y = expected[:, target.wanted] - (0 if target.against is None else expected[:, target.against])
        np.testing.assert_allclose(response.target, y, atol=4e-4)
        assert np.ptp(response.target) > 1e-2
        assert response.target.dtype == response.logits.dtype == np.float32
        assert response.top.tolist() == response.logits.argmax(1).tolist()
        assert response.target_classes == ((3,) if target == ClassTarget(3) else (0, 1))
        assert pickle.loads(pickle.dumps(response)) == response


@pytest.mark.parametrize("kind", ["suppress", "scale"])
def test_dose_1_is_the_picture_unedited_bit_for_bit(question_of, strongest, kind):
    question = question_of(ClassTarget(2))
    before = predict(question.trace.embedding, question.classifier, CLASSES, question.model.clip.scoring).logits
    edit = Edit(tuple(Lever(j, kind, 0.0) for j in strongest[:3]))
    for response in responses(question, edit):
        at = DOSES.index(1)
        assert response.logits[at].tobytes() == before.tobytes()
        assert response.target[at] == before[2]
        assert (np.delete(response.logits, at, axis=0) != before).any(axis=1).all()


def test_one_lever_has_one_response(question_of, strongest):
    edit = Edit.of_suppressed(strongest[:1])
    (found,) = responses(question_of(ClassTarget(0)), edit)
    assert found.component is None


def answered(logits: Sequence[Sequence[float]], *classes: int) -> Response:
    values = np.array(logits, dtype=np.float32)
    return Response(None, 0.0, values[0], np.array(DOSES[: len(values)]), values[:, 0], values, classes, "logits", 1.0)


def test_flips_by_hand():
    found = answered([[1, 0, 0], [1, 2, 0], [1, 2, 0], [3, 2, 9], [3, 2, 9], [9, 9, 0]], 0)
    assert found.top.tolist() == [0, 1, 1, 2, 2, 0]
    assert found.flips == ((-1, -0.5, 0, 1), (0, 0.25, 1, 2), (0.5, 0.75, 2, 0))
    assert (found.flips[1].low, found.flips[1].high, found.flips[1].before, found.flips[1].after) == (0, 0.25, 1, 2)
    assert answered([[1, 0], [2, 1]], 0).flips == ()


@given(st.lists(st.lists(small, min_size=5, max_size=5), min_size=1, max_size=len(DOSES)))
def test_flips_lead_from_the_first_class_to_the_last(table: list[list[int]]) -> None:
    found = answered(table, 0)
    at = int(found.top[0])
    for flip, following in itertools.zip_longest(found.flips, found.flips[1:]):
        assert flip.before == at != flip.after
        assert DOSES.index(flip.high) == DOSES.index(flip.low) + 1
        assert following is None or following.low >= flip.high
        at = flip.after
    assert at == found.top[-1]


@given(
    st.lists(st.lists(small, min_size=6, max_size=6), min_size=1, max_size=5),
    st.integers(0, 7),
    st.none() | st.lists(st.integers(0, 5), max_size=6),
)
def test_the_most_affected_range_most(table: list[list[int]], k: int, besides: list[int] | None) -> None:
    found = answered(table, 2, 4).most_affected(k, besides)
    ranges = [max(row[c] for row in table) - min(row[c] for row in table) for c in range(6)]
    allowed = [c for c in range(6) if c not in ((2, 4) if besides is None else besides)]
    assert found.tolist() == sorted(allowed, key=lambda c: (-ranges[c], c))[:k]


def test_three_are_shown_unless_asked():
    assert answered([[0, 0, 0, 0, 0], [5, 1, 2, 3, 4]], 4).most_affected().tolist() == [0, 3, 2]


def test_an_empty_edit_is_trouble(question_of):
    for ask in (controls, responses):
        with pytest.raises(UserError, match="Pull a lever first"):
            next(ask(question_of(ClassTarget(0)), Edit(tokens=(1,))))
        with pytest.raises(UserError, match="no class number 9"):
            next(ask(question_of(ClassTarget(9)), Edit.of_suppressed([1])))
