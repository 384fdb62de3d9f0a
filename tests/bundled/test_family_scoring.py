"""A family holds a planted shortcut as the committed report, and its model card, say."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.bundled.family_scoring import REPORT, best_family, predict_without, random_edits, score, table
from core.bundled.scoring import Scorer, look_at
from core.concepts.families import families
from core.errors import UserError
from core.methods.steering import Edit, steer
from core.model.clip import logits
from core.scenes.shortcuts import SHORTCUTS
from core.setups.loading import load_setup

CARD = Path(__file__).parents[2] / "assets" / "bundled" / "README.md"


@pytest.fixture(scope="module")
def setup():
    return load_setup("bundled")


@pytest.fixture(scope="module")
def scorer(setup):
    return Scorer.of(setup.model)


@pytest.fixture(scope="module")
def committed():
    return json.loads(REPORT.read_text())


def test_what_is_said_without_components_is_what_steering_one_picture_says(setup, scorer):
    kind = look_at(scorer, "attacked", 6, "validation")
    edits = [Edit(), Edit.of_suppressed(families(setup.index)[0].members)]
    said = predict_without(scorer, kind, edits)
    for picture, trace in enumerate(scorer.traces(kind.crops)):
        for number, edit in enumerate(edits):
            x = steer(torch.from_numpy(trace.residual), trace.activations, [edit], setup.dictionary)
            answer = logits(setup.clip.embed_from_residual(x), scorer.classifier, setup.clip.scoring).argmax(-1).item()
            assert said[number, picture] == answer


def test_the_best_family_is_the_one_after_which_most_are_right(setup, scorer):
    kind = look_at(scorer, "attacked", 30, "validation")
    found = families(setup.index)
    largest = found[:3]
    right = [(predict_without(scorer, kind, [Edit.of_suppressed(f.members)])[0] == kind.truth).sum() for f in largest]
    assert best_family(scorer, kind, largest) is largest[int(np.argmax(right))]


def test_random_edits_are_of_that_size_and_of_components_that_fire(setup):
    edits = random_edits(setup, 5, 0)
    assert len(edits) > 5
    assert len(set(edits)) == len(edits)
    for edit in edits:
        assert len(edit.levers) == 5
        assert all(setup.index.active_pictures[lever.component] > 0 for lever in edit.levers)


@pytest.mark.full
@pytest.mark.parametrize("name", SHORTCUTS)
def test_the_committed_family_is_of_the_shipped_index_and_does_what_is_said(setup, scorer, committed, name):
    said = committed[name]
    assert tuple(said["members"]) in {family.members for family in families(setup.index)}
    kind = look_at(scorer, name, 120, "test")
    now = predict_without(scorer, kind, [Edit.of_suppressed(said["members"])])[0]
    # 120 of the 600 scenes: three standard errors of a share near one half
    assert np.mean(now == kind.truth) == pytest.approx(said["right"], abs=0.14)
    assert np.mean(now == kind.foil) == pytest.approx(said["lured"], abs=0.14)


def test_one_lever_on_the_family_of_words_repairs_most_and_harms_nothing(committed):
    words = committed["attacked"]
    assert words["right_before"] < 0.2
    assert words["right"] > 0.7, "the family of words no longer holds the shortcut"
    assert words["right_at_random"] < 0.3
    assert all(committed[name]["clean"] > committed[name]["clean_before"] - 0.02 for name in SHORTCUTS)


def test_the_model_card_has_the_table(committed):
    assert table(committed) in CARD.read_text(encoding="utf-8")


def test_without_an_index_there_is_nothing_to_score(setup):
    with pytest.raises(UserError, match="concept index"):
        score(replace(setup, index=None))


def test_the_table_reads_well():
    found = {
        "members": [1, 2], "label": None, "right_before": 0.1, "right": 0.5, "right_at_random": 0.12,
        "right_with_the_cue_removed": 0.9, "lured_before": 0.6, "lured": 0.05, "clean_before": 0.98, "clean": 0.975,
    }  # fmt: skip
    rows = table(dict.fromkeys(SHORTCUTS, found)).splitlines()
    assert rows[2].startswith("| a conflicting word | 2 components | 10.0 → **50.0 %** | 60.0 → **5.0 %** | 12.0 %")
    assert len({row.count("|") for row in rows}) == 1
