"""Picture sets through the facade: read once, asked among any classes, edits tried on them."""

from collections.abc import Generator, Iterator
from typing import TypeVar
from unittest.mock import Mock

import numpy as np
import pytest
from conftest import COMPONENTS

from core.errors import UserError
from core.methods.failures import Confusion, Findings, find_candidates
from core.methods.generalization import Generalization, generalize
from core.methods.picture_set import PictureSet, read_set, split
from core.methods.steering import Edit, Lever
from core.model.clip import text_classifier
from core.pictures.batches import Batch
from core.workbench import Step, Workbench

ONE, TWO = ("a photo of a {}",), ("{}", "a drawing of a {}")
CLASSES = ("dog", "cat", "owl")
EDIT = Edit((Lever(3, "set", 9.0),))

T = TypeVar("T")


def batches() -> Iterator[Batch]:
    for number in range(2):
        crops = np.random.default_rng(number).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
        names = tuple(f"{number}-{k}.png" for k in range(3))
        yield Batch(0, number, np.arange(3), crops, names, ("dog", "cat", "bus"), (None,) * 3)


def answer(steps: Generator[Step | T]) -> T:
    """The last of them; the others say how far it is."""
    *before, last = steps
    assert all(isinstance(step, tuple) and step[1] <= step[2] for step in before)
    assert not isinstance(last, tuple)
    return last


@pytest.fixture(scope="module")
def pictures(bench: Workbench) -> PictureSet:
    return answer(bench.read_set(batches(), CLASSES, ONE, 6))


def test_a_set_is_the_core_s(bench: Workbench, pictures: PictureSet) -> None:
    *_, slow = read_set(bench.setup.model, batches(), CLASSES, ONE)
    assert pictures == slow
    assert pictures.truth.tolist() == [0, 1, -1] * 2
    assert answer(bench.read_set(batches(), (), ONE)).classes == ("bus", "cat", "dog")


def test_classes_that_cannot_be_asked_are_refused_before_reading(bench: Workbench) -> None:
    unread = Mock(side_effect=AssertionError)
    with pytest.raises(UserError, match="cannot tell"):
        next(bench.read_set(iter(unread, None), ("dog", "DOG"), ONE))


def test_an_edit_is_tried_on_a_set(bench: Workbench, pictures: PictureSet) -> None:
    found = answer(bench.try_edit(pictures, EDIT, ONE))
    assert isinstance(found, Generalization)
    assert np.array_equal(found.before, pictures.said)
    *_, slow = generalize(bench.setup.model, pictures, text_classifier(bench.setup.clip, CLASSES, ONE), EDIT)
    assert found == slow
    with pytest.raises(UserError, match="no component"):
        answer(bench.try_edit(pictures, Edit.of_suppressed([COMPONENTS]), ONE))


def test_other_classes_and_templates_need_no_reading(bench: Workbench, pictures: PictureSet) -> None:
    other = bench.classified(pictures, ("bus", "dog"), TWO)
    assert other == answer(bench.read_set(batches(), ("bus", "dog"), TWO))
    assert all(a is b for a, b in zip(other.traces, pictures.traces, strict=True))


def test_what_drives_failures_is_found_on_one_half_and_judged_on_the_other(indexed: Workbench) -> None:
    scenes = answer(indexed.references())
    found = answer(indexed.find_candidates(scenes, Confusion(), ONE))
    assert isinstance(found, Findings)
    halves = split(scenes.names, (0.5, 0.5))
    assert [found.discovery.tolist(), found.judging.tolist()] == [half.tolist() for half in halves]
    families = [family.members for family in indexed.families]
    vectors = text_classifier(indexed.setup.clip, scenes.classes, ONE)
    *_, slow = find_candidates(indexed.setup.model, scenes, vectors, Confusion(), (halves[0], halves[1]), families)
    assert found == slow
    assert found.components.members
    assert set(found.families.members) <= set(families)


def test_the_reference_scenes_are_a_set_like_others(bench: Workbench) -> None:
    scenes = answer(bench.references())
    assert answer(bench.references()) is scenes
    assert answer(bench.try_edit(scenes, EDIT, ONE)) == answer(bench.generalize(EDIT))
