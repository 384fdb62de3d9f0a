"""Planned cues: seeded, evenly named, each picture beside the same one without its cue."""

from collections import Counter

import numpy as np

from core.pictures.cue_pairs import KINDS, planned_cues
from core.pictures.photograph_examples import SIDE
from core.pictures.photographs import photographs


def test_a_plan_is_the_same_for_a_seed() -> None:
    def about(seed: int) -> list[tuple[str, str, str]]:
        return [(cue.photograph.name, cue.kind, cue.foil) for cue in planned_cues(1, seed)]

    assert about(0) == about(0)
    assert about(0) != about(1)


def test_hundreds_come_of_a_dozen_and_every_thing_is_named_about_as_often_but_on_its_own_picture() -> None:
    cues = planned_cues(6)
    assert len(cues) == 6 * len(KINDS) * len(photographs()) > 200
    assert all(cue.foil != cue.photograph.label for cue in cues)
    named = Counter(cue.foil for cue in cues)
    assert set(named) == {photograph.label for photograph in photographs()}
    assert max(named.values()) <= 2 * min(named.values())
    assert Counter(cue.kind for cue in cues) == dict.fromkeys(KINDS, len(cues) / len(KINDS))


def test_a_cue_changes_its_picture_and_leaves_the_rest_of_it() -> None:
    """A card covers a part of it, within its frame; a watermark is all over."""
    for cue in planned_cues(1)[:3]:
        plain, cued = (np.asarray(one, dtype=int) for one in (cue.counterfactual(), cue.picture()))
        assert plain.shape == cued.shape == (SIDE, SIDE, 3)
        changed = np.abs(plain - cued).max(-1) > 60
        rows, columns = (np.flatnonzero(changed.any(axis)) for axis in (1, 0))
        if cue.kind == "watermark":
            assert len(rows) > 0.8 * SIDE
            assert len(columns) > 0.8 * SIDE
        else:
            assert 0.01 < changed.mean() < 0.5
            assert np.ptp(rows) < SIDE // 2
            assert np.ptp(columns) < SIDE
