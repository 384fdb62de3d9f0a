"""Conditions found, chosen and judged, against slow restatements picture by picture, and on a model."""

from dataclasses import replace
from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.errors import UserError
from core.methods.conditions import (
    SHARES,
    Outcomes,
    Proposal,
    _nearest,
    best_single,
    choose,
    counts_under,
    curve,
    promise,
    promise_of,
    propose,
    regressed,
)
from core.methods.generalization import Generalization, generalize
from core.methods.picture_set import PictureSet, split
from core.methods.reference_scenes import read_references
from core.methods.steering import Condition, Edit, Term, acts
from core.model.clip import SplitClip, text_classifier
from core.model.dictionary import Dictionary
from core.model.prompts import TEMPLATES
from core.model.sae_clip import SaeClip
from core.scenes.scene import CLASSES
from core.setups.catalog import Location, SetupSpec
from core.setups.loading import Setup
from core.workbench import Workbench


def made(seed: int, n: int, telling: bool = True) -> Outcomes:
    """Pictures of 6 components: the first is high where the edit repairs, the second where it breaks, or none is."""
    rng = np.random.default_rng(seed)
    fate = rng.choice(4, n, p=[0.2, 0.2, 0.2, 0.4])  # repaired, still wrong, broken, still right
    values = rng.choice([0, 0.25, 0.5, 1, 2], (n, 6)) + 0.01 * rng.integers(0, 3, (n, 6))
    if telling:
        values[:, 0] += 2 * (fate == 0)
        values[:, 1] += 1.5 * (fate == 2)
    return Outcomes(values.astype(np.float32), fate >= 2, fate < 2, fate == 0, fate == 2)


sets = st.builds(made, st.integers(0, 99), st.integers(1, 60), st.booleans())
sums = st.lists(
    st.builds(Term, st.integers(0, 5), st.floats(-2, 2, width=32)),
    min_size=1,
    max_size=4,
    unique_by=lambda t: t.component,
).map(tuple)


def slow_tally(outcomes: Outcomes, terms: tuple[Term, ...], at_least: float) -> tuple[int, int, int]:
    """In how many pictures it acts, how many it repairs, how many it breaks."""
    found = [0, 0, 0]
    for i in range(len(outcomes)):
        score = 0.0
        for term in terms:
            score += term.weight * float(outcomes.pooled[i, term.component])
        if score >= at_least:
            found = [a + int(b) for a, b in zip(found, (True, outcomes.fixed[i], outcomes.broken[i]), strict=True)]
    return found[0], found[1], found[2]


@given(sets, sums)
def test_a_curve_is_the_tally_at_every_threshold(outcomes: Outcomes, terms: tuple[Term, ...]) -> None:
    thresholds = np.unique(outcomes.score(terms))[::-1]
    found = curve(outcomes, Proposal(terms, thresholds))
    for k, at_least in enumerate(thresholds):
        slow = slow_tally(outcomes, terms, at_least)
        assert (found.acts[k], found.fixed[k], found.broken[k]) == slow
        counted = counts_under(outcomes, Condition(terms, float(at_least)))
        assert (counted.acts, counted.fixed, counted.broken) == slow
        assert (counted.wrong, counted.right, counted.pictures) == (found.wrong, found.right, found.pictures)
    assert (np.diff(found.broken) >= 0).all()
    assert found.acts[-1] == len(outcomes)


def slow_choice(choice: Outcomes, proposals: list[Proposal], rate: float, confidence: float) -> set[Condition | None]:
    """All conditions that may be taken, of the largest number of repaired pictures; None for the edit as it is."""
    n, allowed = int(choice.right.sum()), dict[Condition | None, int]()
    for proposal in proposals:
        for at_least in proposal.thresholds:
            _, fixed, broken = slow_tally(choice, proposal.terms, at_least)
            p = Fraction(str(rate))
            tail = sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(broken + 1))
            if tail > (1 - Fraction(str(confidence))) / len(proposals):
                break
            allowed[None if at_least == -np.inf else Condition(proposal.terms, float(at_least))] = fixed
    best = max(allowed.values(), default=0)
    return {condition for condition, fixed in allowed.items() if fixed == best}


@settings(max_examples=40)
@given(
    st.integers(0, 99), st.integers(0, 99), st.sampled_from([30, 90]), st.sampled_from([0.1, 0.3]), st.integers(1, 3)
)
def test_the_choice_is_the_last_threshold_that_learn_then_test_takes(
    seed: int, other: int, n: int, rate: float, terms: int
) -> None:
    proposals = list(propose(made(seed, 80), terms, rate))
    choice = made(other, n)
    found = choose(choice, proposals, rate, 0.9)
    wanted = slow_choice(choice, proposals, rate, 0.9)
    assert found.promised == bool(wanted)
    assert found.condition in (wanted or {None})


@settings(max_examples=40)
@given(sets, st.sampled_from([0.02, 0.2, 0.6]))
def test_the_best_single_component_is_found_by_trying_all(outcomes: Outcomes, rate: float) -> None:
    if not outcomes.fixed.any() or not outcomes.broken.any():
        assert propose(outcomes, 1, rate) == ()
        return

    def repairs(term: Term) -> int:
        thresholds = [*np.unique(outcomes.score((term,))), np.inf]
        slow = [slow_tally(outcomes, (term,), at_least) for at_least in thresholds]
        return max(fixed for _, fixed, broken in slow if broken <= int(rate * outcomes.right.sum()))

    (term,) = best_single(outcomes, rate)
    assert repairs(term) == max(repairs(Term(j, sign)) for j in range(6) for sign in (1.0, -1.0))


def test_regression_finds_the_components_that_tell_and_no_more_than_asked() -> None:
    outcomes = made(0, 400)
    one, two = regressed(outcomes, 2)
    assert {one.component, two.component} == {0, 1}
    assert {term.component: np.sign(term.weight) for term in (one, two)} == {0: 1, 1: -1}
    assert max(abs(one.weight), abs(two.weight)) == 1
    for most in (1, 2, 3, 6):
        assert 0 < len(regressed(outcomes, most)) <= most
    scaled = replace(outcomes, pooled=outcomes.pooled * 1024)
    assert [(term.component, term.weight) for term in regressed(scaled, 4)] == [
        (term.component, pytest.approx(term.weight, rel=1e-3)) for term in regressed(outcomes, 4)
    ], "another unit, the same condition"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9_999), st.integers(1, 5))
def test_each_term_is_the_one_that_leaves_least_of_the_regression_untold(seed: int, most: int) -> None:
    """Found anew by fitting every larger set of columns: least squares with a ridge."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, 6)) @ rng.normal(size=(6, 6))
    score = x @ rng.normal(size=6)
    ridge = 0.03 * (x**2).sum(0).max()

    def fitted(columns: list[int]) -> tuple[float, np.ndarray]:
        few = x[:, columns]
        larger = np.vstack([few, np.sqrt(ridge) * np.eye(len(columns))])
        weights = np.linalg.lstsq(larger, np.append(score, np.zeros(len(columns))), rcond=None)[0]
        return float(((score - few @ weights) ** 2).sum() + ridge * (weights**2).sum()), weights

    chosen: list[int] = []
    for _ in range(most):
        chosen.append(min((j for j in range(6) if j not in chosen), key=lambda j: fitted([*chosen, j])[0]))
    columns, weights = _nearest(x, score, most)
    assert columns.tolist() == chosen
    np.testing.assert_allclose(weights, fitted(chosen)[1], rtol=1e-6, atol=1e-9)


def test_a_copy_of_a_component_is_not_named_in_place_of_another_that_tells_more() -> None:
    outcomes = made(0, 400)
    copied = replace(outcomes, pooled=outcomes.pooled[:, [0, 0, 1, 2, 3, 4]])
    assert {term.component for term in regressed(copied, 2)} in ({0, 2}, {1, 2})


def test_a_condition_repairs_more_than_the_edit_may_and_the_sentence_says_all() -> None:
    parts = [made(seed, 600) for seed in (1, 2, 3)]
    found = promise(parts, most_terms=3, rate=0.02, confidence=0.95)
    assert found.choice.promised
    assert found.choice.condition is not None
    assert found.chosen_on.fixed > 0.5 * parts[1].fixed.sum()
    assert counts_under(parts[1], None).most_broken() > 0.2, "as it is the edit may not be used"
    said = found.said("made up by a test")
    c, j = found.chosen_on, found.judged_on
    for what in (
        "at most 2 %", "with confidence 95 %", "pictures like these", "made up by a test", f"{c.right} of them right",
        f"breaks {c.broken} ", "α = 2 %, δ = 5 %", f"repairs {j.fixed} of {j.wrong}", f"breaks {j.broken} of {j.right}",
    ):  # fmt: skip
        assert what in said


def test_too_few_pictures_say_how_many_would_do() -> None:
    found = promise([made(1, 200), made(2, 60), made(3, 30)], most_terms=2, rate=0.02)
    assert not found.choice.promised
    assert found.needed == 149, "ln 0.05 / ln 0.98"
    assert "takes 149 right ones" in found.said("x")
    assert f"a set of about {-(-149 * 290 // found.chosen_on.right):,} pictures such as these 290" in found.said("x")
    nothing = made(5, 20)
    empty = replace_all(nothing, right=np.zeros(20, bool), broken=np.zeros(20, bool))
    assert "With 0 right pictures" in promise([empty] * 3).said("x")


def test_where_nothing_tells_pictures_apart_there_is_no_promise_and_it_is_said() -> None:
    parts = [replace_all(made(seed, 400), pooled=np.ones((400, 6), np.float32)) for seed in (1, 2, 3)]
    found = promise(parts)
    assert (found.choice.promised, found.choice.condition) == (False, None)
    assert "No condition that was found" in found.said("x")
    assert found.judged_on.broken == parts[2].broken.sum(), "what the edit does as it is"


def test_an_edit_that_breaks_nothing_is_promised_as_it_is() -> None:
    whole = [replace_all(made(seed, 300), broken=np.zeros(300, bool)) for seed in (1, 2, 3)]
    found = promise(whole)
    assert (found.choice.promised, found.choice.condition) == (True, None)
    assert found.chosen_on.acts == 300
    assert "breaks 0" in found.said("x")


def test_an_edit_that_breaks_few_enough_needs_no_condition() -> None:
    """A sum that every picture reaches is no condition, and is not told as one."""
    parts = [made(seed, 600) for seed in (1, 2, 3)]
    for part in parts:
        part.broken[np.flatnonzero(part.broken)[1:]] = False
    found = promise(parts)
    assert (found.choice.promised, found.choice.condition) == (True, None)
    assert found.chosen_on == counts_under(parts[1], None)
    assert found.said("x").startswith("Needs no condition: as it is, it breaks at most 2 %")


def replace_all(outcomes: Outcomes, **columns: Any) -> Outcomes:
    return replace(outcomes, **columns)


@settings(max_examples=20)
@given(st.integers(0, 99))
def test_redrawn_parts_hold_their_pictures(seed: int) -> None:
    outcomes = made(seed, 30)
    drawn = np.random.default_rng(seed).integers(0, 30, 50)
    part = outcomes.part(drawn)
    for k, i in enumerate(drawn):
        assert np.array_equal(part.pooled[k], outcomes.pooled[i])
        assert (part.fixed[k], part.right[k]) == (outcomes.fixed[i], outcomes.right[i])


def test_shares_that_mean_nothing_are_trouble() -> None:
    for rate, confidence in ((0.0, 0.95), (-0.5, 0.95), (0.02, 1.0)):
        with pytest.raises(UserError, match="between 0 and 1"):
            promise([made(1, 30)] * 3, rate=rate, confidence=confidence)


# On a model


@pytest.fixture(scope="module")
def vectors(clip: SplitClip) -> Tensor:
    return text_classifier(clip, CLASSES, TEMPLATES["single"])


@pytest.fixture(scope="module")
def some(clip: SplitClip, dictionary: Dictionary) -> PictureSet:
    """Every sixth reference scene, half of them called right, so that there is something to fix and to break."""
    *_, whole = read_references(SaeClip(clip, dictionary), batch=70)
    assert isinstance(whole, PictureSet)
    few = whole.part(np.arange(0, len(whole), 6))
    return replace(few, truth=np.where(np.arange(len(few)) % 2, few.said, (few.said + 1) % len(CLASSES)))


def tried(clip: SplitClip, dictionary: Dictionary, some: PictureSet, vectors: Tensor, edit: Edit) -> Generalization:
    *_, found = generalize(SaeClip(clip, dictionary), some, vectors, edit)
    assert isinstance(found, Generalization)
    return found


def test_the_model_does_under_a_condition_what_is_computed_without_it(
    clip: SplitClip, dictionary: Dictionary, some: PictureSet, vectors: Tensor
) -> None:
    common = np.unique(np.concatenate([t.activations.components() for t in some.traces]), return_counts=True)
    edit = Edit.of_suppressed(common[0][np.argsort(-common[1])[:12]])
    trial = tried(clip, dictionary, some, vectors, edit)
    outcomes = Outcomes.of(some, trial, dictionary)
    assert np.array_equal(np.flatnonzero(outcomes.fixed), trial.fixed)
    assert outcomes.broken.sum() == len(trial.broken) > 0
    terms = (Term(int(common[0][0])), Term(int(common[0][1]), -0.7))
    for at_least in np.quantile(outcomes.score(terms), (0, 0.3, 0.8)):
        condition = Condition(terms, float(at_least))
        found, wanted = (
            tried(clip, dictionary, some, vectors, replace(edit, condition=condition)),
            counts_under(outcomes, condition),
        )
        assert (len(found.fixed), len(found.broken)) == (wanted.fixed, wanted.broken)
        where = [acts(t.activations, replace(edit, condition=condition), dictionary) for t in some.traces]
        assert sum(where) == wanted.acts
        assert np.array_equal(found.touched, trial.touched & where)
    whole = promise_of(some, trial, dictionary)
    assert sum(part.pictures for part in (whole.chosen_on, whole.judged_on)) < len(some)
    assert "nothing can be promised" in whole.said("the reference scenes")


def test_the_workbench_deals_the_pictures_out_itself(
    clip: SplitClip, dictionary: Dictionary, some: PictureSet, vectors: Tensor
) -> None:
    """Its answer is that of the parts, for the edit without the condition that it has."""
    edit = Edit.of_suppressed(range(6))
    outcomes = Outcomes.of(some, tried(clip, dictionary, some, vectors, edit), dictionary)
    parts = [outcomes.part(which) for which in split(some.names, SHARES, 0)]
    card = SetupSpec("tiny", "Tiny", Location(Path("a")), Location(Path("b")), 1, "all", "MIT", "")
    bench = Workbench(Setup(card, SaeClip(clip, dictionary)))
    gated = replace(edit, condition=Condition((Term(0),), 1e6))
    *steps, found = bench.find_condition(some, gated, TEMPLATES["single"], 3, 0.3, 0.8)
    assert found == promise(parts, 3, 0.3, 0.8)
    assert steps
