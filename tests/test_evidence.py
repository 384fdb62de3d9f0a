"""Controls: as many components as the edit, of about its energy, never its own."""

import numpy as np
import pytest
from scipy.stats import rankdata

from core.attribution import attribute
from core.clip import TEMPLATES, text_classifier
from core.evidence import NEIGHBOURS, matched_controls, rank_correlation
from core.target import Target
from core.trace import trace_crops


@pytest.fixture(scope="module")
def attribution(clip, dictionary, picture):
    trace = trace_crops(clip, dictionary, [clip.crop(picture)])[0]
    classifier = text_classifier(clip, ("dog", "cat"), TEMPLATES["single"])
    return attribute(clip, dictionary, trace, classifier, Target(0, 1))


def suppressed(edit):
    assert all(lever.operation == "suppress" for lever in edit.levers)
    return [lever.component for lever in edit.levers]


def test_controls_are_as_many_active_others(attribution):
    chosen = attribution.component[:3]
    for edit in matched_controls(attribution, chosen, 50, np.random.default_rng(0)):
        drawn = suppressed(edit)
        assert len(drawn) == len(set(drawn)) == 3
        assert set(drawn) <= set(attribution.component.tolist()) - set(chosen.tolist())


def test_each_is_among_the_nearest_in_energy(attribution):
    """Brute force: sort all other active components by distance in energy and look the drawn one up."""
    for chosen in attribution.component[:5]:
        energy = dict(zip(attribution.component.tolist(), attribution.energy.tolist(), strict=True))
        others = sorted((c for c in energy if c != chosen), key=lambda c: abs(energy[c] - energy[int(chosen)]))
        reach = abs(energy[others[min(NEIGHBOURS, len(others)) - 1]] - energy[int(chosen)])
        for edit in matched_controls(attribution, np.array([chosen]), 20, np.random.default_rng(1)):
            (drawn,) = suppressed(edit)
            assert abs(energy[drawn] - energy[int(chosen)]) <= reach


def test_controls_differ_from_draw_to_draw_and_repeat_with_the_seed(attribution):
    chosen = attribution.component[:2]
    once, again = (matched_controls(attribution, chosen, 30, np.random.default_rng(2)) for _ in range(2))
    assert once == again
    assert len(set(once)) > 5


def test_a_control_takes_what_is_left_when_too_few_are(attribution):
    chosen = attribution.component[:-2]
    (edit,) = matched_controls(attribution, chosen, 1, np.random.default_rng(3))
    assert sorted(suppressed(edit)) == attribution.component[-2:].tolist()


def test_rank_correlation_is_pearsons_of_the_ranks():
    rng = np.random.default_rng(4)
    for _ in range(20):
        a, b = rng.integers(0, 6, 30), rng.normal(size=30)  # with ties
        assert rank_correlation(a, b) == pytest.approx(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
    assert rank_correlation(np.arange(5), np.arange(5) ** 3) == pytest.approx(1)
    assert rank_correlation(np.arange(5), -np.arange(5)) == pytest.approx(-1)


def test_no_correlation_of_nothing():
    assert np.isnan(rank_correlation(np.array([1.0]), np.array([2.0])))
    assert np.isnan(rank_correlation(np.ones(4), np.arange(4)))
