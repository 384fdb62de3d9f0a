"""The reference scenes: always the same, of known truth, and read as the unsplit model reads them."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from unsplit import best, unsplit

from core.methods.picture_set import PictureSet
from core.methods.reference_scenes import KINDS, crops, read_references, reference_cases
from core.model.clip import SplitClip, text_classifier
from core.model.dictionary import Dictionary
from core.model.prompts import TEMPLATES
from core.model.sae_clip import SaeClip
from core.scenes.sampling import HELD_OUT, held_out
from core.scenes.scene import CLASSES, STAMPED_CLASS, WATER_CLASS, Painter

CASES = reference_cases()
N = len(CASES)


@pytest.fixture(scope="module")
def vectors(clip: SplitClip) -> Tensor:
    return text_classifier(clip, CLASSES, TEMPLATES["single"])


@pytest.fixture(scope="module")
def reading(clip: SplitClip, dictionary: Dictionary) -> list:
    """All that `read_references` yields."""
    return list(read_references(SaeClip(clip, dictionary), batch=70))


# The scenes


def test_there_are_300_pictures_of_four_kinds() -> None:
    assert N == 300
    counted = {kind: sum(case.kind == kind for case in CASES) for kind in KINDS}
    assert counted == dict(KINDS) == {"clean": 120, "attacked": 90, "stamped": 45, "flooded": 45}


def test_they_are_always_the_same_and_all_different() -> None:
    assert reference_cases() == CASES
    assert len({case.scene for case in CASES}) == N


def test_each_kind_has_its_cue_and_no_other() -> None:
    for case in CASES:
        scene = case.scene
        assert scene.main is not None
        assert scene.main.name == case.truth in CLASSES
        cues = {"attacked": scene.label, "stamped": scene.stamp, "flooded": scene.background == "water" or None}
        assert [kind for kind, cue in cues.items() if cue is not None] == [case.kind] * (case.kind != "clean")
        word = scene.label.word if scene.label else None
        assert case.foil == {"attacked": word, "stamped": STAMPED_CLASS, "flooded": WATER_CLASS}.get(case.kind)
        assert case.foil != case.truth
        assert case.foil in CLASSES or case.kind == "clean"


@pytest.mark.parametrize("split", ["validation", "test"])
def test_none_is_among_the_held_out_pictures(split: str) -> None:
    """Not one in common with as many as are used; the same seeds would share nearly all of a kind."""
    mine = {case.scene for case in CASES}
    for kind in HELD_OUT:
        theirs = {case.scene for case in held_out(kind, 300, split)}
        assert not mine & theirs


def test_they_are_drawn_at_the_side_asked_for() -> None:
    few = CASES[::60]
    for side in (32, 50):
        drawn = list(crops(few, side))
        assert [crop.shape for crop in drawn] == [(side, side, 3)] * len(few)
        for crop, case in zip(drawn, few, strict=True):
            assert crop.dtype == np.uint8
            assert np.array_equal(crop, Painter(side).paint(case.scene))


# Reading them


def test_reading_tells_its_progress(reading: list) -> None:
    assert reading[:-1] == [(0, 300), (70, 300), (140, 300), (210, 300), (280, 300), (300, 300)]
    assert isinstance(reading[-1], PictureSet)


def test_the_references_are_the_pictures_in_order(reading: list, clip: SplitClip, vectors: Tensor) -> None:
    found = reading[-1]
    assert found.classes == CLASSES
    assert len(found.traces) == N
    assert found.group.tolist() == [case.kind for case in CASES]
    assert [CLASSES[i] for i in found.truth] == [case.truth for case in CASES]
    painter = Painter(32)
    for i in range(0, N, 37):
        assert np.array_equal(found.traces[i].crop, painter.paint(CASES[i].scene))
        z = unsplit(clip, found.traces[i], None)
        torch.testing.assert_close(torch.as_tensor(found.traces[i].embedding), z, atol=1e-5, rtol=1e-5)
        assert best(z, vectors, found.said[i])


def test_they_print_briefly_pickle_and_compare(reading: list) -> None:
    found = reading[-1]
    assert repr(found) == "PictureSet(300 pictures, 40 classes)"
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    assert again != replace(found, truth=found.said)
