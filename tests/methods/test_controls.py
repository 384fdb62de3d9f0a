"""Controls and random directions again through the unsplit CLIP, densely, one by one."""

import itertools
import pickle
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CLASSES, COMPONENTS, WIDTH, tiny_sae
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_edits import (
    DICTIONARIES,
    FOUND,
    TOKENS,
    Key,
    X,
    dense,
    dense_move,
    edits,
    keys,
    rows,
    same_bits,
    seeds,
    small,
    token_sets,
    unsplit,
)

from core.errors import UserError
from core.methods import controls as module
from core.methods.attribution import ablation_effects
from core.methods.controls import (
    CHANCE,
    DIRECTIONS,
    NEIGHBOURS,
    Controls,
    by_activation,
    controls,
    matched_controls,
    random_directions,
)
from core.methods.question import Question
from core.methods.steering import MAX_STRENGTH, Condition, Edit, Lever, Operation, Term, steer
from core.methods.targets import ClassTarget
from core.model.dictionary import Activations, Dictionary
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary


def energies(found: Activations, edit: Edit, dictionary: Dictionary) -> dict[int, float]:
    """||f_j|| ||v_j|| over the edit's tokens, of the components active there."""
    here = [t for t in dictionary.tokens(TOKENS) if edit.tokens is None or t in edit.tokens]
    what = dense(found)[here, :, None] * rows(dictionary)  # [t, m, d]: f_tj v_j
    sizes = np.sqrt((what**2).sum((0, 2)))
    return {j: float(sizes[j]) for j in range(COMPONENTS) if sizes[j] > 0}


def is_moved(old: Lever, new: Lever, v: np.ndarray) -> bool:
    """Whether the operation is the same, a set activation of the same size in the units of x, or at the end."""
    wanted = old.strength
    if old.operation == "set":
        size = old.strength * np.linalg.norm(v[old.component])
        wanted = np.clip(size / np.linalg.norm(v[new.component]), -MAX_STRENGTH, MAX_STRENGTH)
    return new.operation == old.operation and new.strength == pytest.approx(wanted, rel=1e-5)


def draw(key: Key, edit: Edit, draws: int, seed: int = 0, **options: Any) -> list[Edit]:
    return matched_controls(FOUND[key], edit, DICTIONARIES[key], draws, np.random.default_rng(seed), **options)


# ---- controls: what is drawn


@given(keys, edits, seeds)
def test_controls_match_in_number_operation_and_energy(key: Key, edit: Edit, seed: int) -> None:
    """Brute force: sort what a lever may move to by distance in energy, lever by lever."""
    energy, v = energies(FOUND[key], edit, DICTIONARIES[key]), rows(DICTIONARIES[key])
    own = [lever.component for lever in edit.levers]
    found = draw(key, edit, 3, seed)
    assert len(found) == 3
    for control in found:
        left = set(energy) - set(own)
        assert control.tokens == edit.tokens
        assert len(control.levers) == min(len(own), len(left))
        for old, new in zip(edit.levers, control.levers, strict=False):
            wanted = energy.get(old.component, 0.0)
            away = sorted(abs(energy[j] - wanted) for j in left)
            assert new.component in left
            assert abs(energy[new.component] - wanted) <= away[:NEIGHBOURS][-1] * (1 + 1e-5) + 1e-6
            assert is_moved(old, new, v)
            left.remove(new.component)


def test_every_neighbour_is_as_likely():
    key: Key = ("topk", "all")
    first = int(FOUND[key].components()[0])
    drawn = [edit.levers[0].component for edit in draw(key, Edit.of_suppressed([first]), 4000)]
    _, counts = np.unique(drawn, return_counts=True)
    assert len(counts) == NEIGHBOURS
    np.testing.assert_allclose(counts / 4000, 1 / NEIGHBOURS, atol=0.02)


def test_more_neighbours_when_asked():
    key: Key = ("topk", "all")
    first = int(FOUND[key].components()[0])
    for n in (1, 3, 20):
        assert len({edit.levers[0] for edit in draw(key, Edit.of_suppressed([first]), 500, neighbours=n)}) == n


def test_controls_may_hold_some_of_the_edit_when_asked():
    key: Key = ("topk", "all")
    own = set(FOUND[key].components()[:3].tolist())

    def held(**options: bool) -> list[set[int]]:
        drawn = draw(key, Edit.of_suppressed(own), 200, **options)
        return [own & {lever.component for lever in control.levers} for control in drawn]

    assert any(held(own=True))
    assert not all(held(own=True))
    assert not any(held())


def test_controls_differ_from_draw_to_draw_and_repeat_with_the_seed():
    key: Key = ("jumprelu", "all")
    edit = Edit.of_suppressed(FOUND[key].components()[:2])
    assert draw(key, edit, 30, seed=2) == draw(key, edit, 30, seed=2) != draw(key, edit, 30, seed=3)
    assert len(set(draw(key, edit, 30))) > 5


def test_a_control_takes_what_is_left_when_too_few_are():
    key: Key = ("topk", "cls")
    active = FOUND[key].components()
    assert len(active) == 5
    (control,) = draw(key, Edit.of_suppressed(active[:3]), 1)
    assert sorted(lever.component for lever in control.levers) == active[3:].tolist()
    assert draw(key, Edit.of_suppressed(active), 2) == [Edit()] * 2
    assert draw(key, Edit.of_suppressed(active[:1]).among([4]), 1) == [Edit(tokens=(4,))], "CLS alone is in scope"


@given(keys, edits)
def test_the_rival_has_the_most_energetic_components(key: Key, edit: Edit) -> None:
    energy, v = energies(FOUND[key], edit, DICTIONARIES[key]), rows(DICTIONARIES[key])
    rival = by_activation(FOUND[key], edit, DICTIONARIES[key])
    assert rival.tokens == edit.tokens
    assert len(rival.levers) == min(len(edit.levers), len(energy))
    largest = sorted(energy.values(), reverse=True)
    for old, new, size in zip(edit.levers, rival.levers, largest, strict=False):
        assert energy[new.component] == pytest.approx(size, rel=1e-5)
        assert is_moved(old, new, v)


def test_the_rival_of_the_most_energetic_is_itself():
    key: Key = ("abstopk", "patches")
    edit = Edit((Lever(0, "set", 0.3), Lever(1, "scale", 2.0), Lever(2)), tokens=(2, 3, 5))
    rival = by_activation(FOUND[key], edit, DICTIONARIES[key])
    assert by_activation(FOUND[key], rival, DICTIONARIES[key]) == rival


@given(keys, edits, st.integers(0, COMPONENTS - 1), st.floats(0.05, 1.5), seeds)
def test_controls_act_where_the_edit_does(key: Key, edit: Edit, gate: int, at_least: float, seed: int) -> None:
    """The same condition, and a threshold of the same size in the units of x: matched in what they can change there."""
    found, dictionary, v = FOUND[key], DICTIONARIES[key], rows(DICTIONARIES[key])
    norm = np.linalg.norm(v, axis=1)
    levers = tuple(replace(lever, at_least=at_least) for lever in edit.levers[:1])
    edit = Edit(levers, edit.tokens, Condition((Term(gate),), at_least))

    def above(floor: float) -> dict[int, float]:
        here = [t for t in dictionary.tokens(TOKENS) if edit.tokens is None or t in edit.tokens]
        sizes = dense(found)[here] * norm
        return dict(enumerate(np.linalg.norm(np.where(sizes >= floor, sizes, 0), axis=0)))

    for one in (*draw(key, edit, 3, seed), by_activation(found, edit, dictionary)):
        assert (one.tokens, one.condition) == (edit.tokens, edit.condition)
        for old, new in zip(edit.levers, one.levers, strict=False):
            assert is_moved(old, new, v)
            assert new.at_least == pytest.approx(at_least * norm[old.component] / norm[new.component], rel=1e-5)
    for control in draw(key, edit, 3, seed):
        for old, new in zip(edit.levers, control.levers, strict=False):
            reach = above(at_least * norm[old.component])
            left = set(energies(found, edit, dictionary)) - {old.component}
            away = sorted(abs(reach[j] - reach[old.component]) for j in left)
            assert abs(reach[new.component] - reach[old.component]) <= away[:NEIGHBOURS][-1] * (1 + 1e-4) + 1e-4


# ---- random directions


@given(keys, edits, st.integers(0, 3), seeds)
def test_random_directions_move_by_the_same_norms(key: Key, edit: Edit, draws: int, seed: int) -> None:
    f, dictionary = FOUND[key], DICTIONARIES[key]
    rng = np.random.default_rng(seed)
    single = [Edit((lever,), edit.tokens) for lever in edit.levers]
    for part in (edit, *single):
        found = random_directions(X, f, part, dictionary, draws, rng)
        (steered,) = steer(X, f, [part], dictionary)
        assert found.shape == (draws, TOKENS, WIDTH)
        assert found.dtype == X.dtype
        kept = (steered == X).all(-1)
        for x in found:
            assert same_bits(x[kept], X[kept])
            if len(part.levers) == 1:
                sizes, expected = (x - X).norm(dim=-1), (steered - X).norm(dim=-1)
                torch.testing.assert_close(sizes, expected, rtol=1e-3, atol=1e-4)


def test_a_random_direction_is_the_same_at_all_tokens_and_has_no_favourite():
    """One lever: rows of x' - x are f' - f times one unit vector. Its square is 1/d on average in each dimension."""
    key: Key = ("jumprelu", "all")
    f, dictionary = FOUND[key], DICTIONARIES[key]
    j = int(f.components()[np.argmax([len(f.of(c).nonzero()[0]) for c in f.components()])])
    edit = Edit((Lever(j, "scale", -3.0),))
    moves = (random_directions(X, f, edit, dictionary, 2000, np.random.default_rng(0)) - X).double().numpy()
    scale = -4 * f.of(j).astype(np.float64) * np.linalg.norm(rows(dictionary)[j])
    at = np.flatnonzero(scale)
    assert len(at) > 1
    units = moves[:, at] / scale[at, None]
    np.testing.assert_allclose(units, np.broadcast_to(units[:, :1], units.shape), atol=1e-4)
    np.testing.assert_allclose((units[:, 0] ** 2).mean(0), 1 / WIDTH, rtol=0.2)
    np.testing.assert_allclose(units[:, 0].mean(0), 0, atol=5 / np.sqrt(2000 * WIDTH))


def test_several_random_directions_add_up_independently():
    """Two levers: |x' - x|^2 is a^2 + b^2 on average, since random directions are at right angles on average."""
    key: Key = ("topk", "all")
    edit = Edit((Lever(1, "set", 2.0), Lever(2, "set", -3.0)), tokens=(4,))
    f, dictionary = FOUND[key], DICTIONARIES[key]
    lengths = [np.linalg.norm((s - f.of(j)[4]) * rows(dictionary)[j]) for j, s in ((1, 2.0), (2, -3.0))]
    moves = random_directions(X, f, edit, dictionary, 2000, np.random.default_rng(0))[:, 4] - X[4]
    assert float(moves.square().sum(-1).mean()) == pytest.approx(lengths[0] ** 2 + lengths[1] ** 2, rel=0.03)


def test_random_directions_repeat_with_the_seed_and_leave_the_residual():
    key: Key = ("topk", "all")
    x, edit = X.clone(), Edit.of_suppressed(FOUND[key].components()[:3])
    ways = [random_directions(x, FOUND[key], edit, DICTIONARIES[key], 4, np.random.default_rng(s)) for s in (1, 1, 2)]
    assert same_bits(ways[0], ways[1])
    assert not same_bits(ways[0], ways[2])
    assert same_bits(x, X)


@pytest.mark.parametrize("edit", [Edit((Lever(COMPONENTS),)), Edit((Lever(0),), (0, TOKENS))])
def test_what_the_picture_does_not_have_is_trouble(edit: Edit) -> None:
    f, dictionary = FOUND["topk", "all"], DICTIONARIES["topk", "all"]
    with pytest.raises(UserError, match="no component 48|no token 17"):
        matched_controls(f, edit, dictionary, 2, np.random.default_rng(0))
    with pytest.raises(UserError, match="no component 48|no token 17"):
        random_directions(X, f, edit, dictionary, 2, np.random.default_rng(0))


# ---- controls: percentile and p-value


def among(effect: float, random: Sequence[float]) -> Controls:
    values = np.array(random, dtype=np.float32)
    return Controls(float(effect), values, values, 0.0, Edit(), None, "logits")


def test_percentile_and_p_in_closed_form():
    """Controls 1 to 99: their median is 50, and those at least d away from it are 2 (50 - d), for d = 1 to 49."""
    ladder = [float(i) for i in range(1, 100)]
    for d in range(1, 50):
        for effect in (50 - d, 50 + d):
            assert among(effect, ladder).p_value == pytest.approx((1 + 2 * (50 - d)) / 100)
            assert among(effect, ladder).percentile == pytest.approx(100 * (effect - 0.5) / 99)
            assert among(effect + 0.5, ladder).percentile == pytest.approx(100 * effect / 99)
    assert among(100, ladder).p_value == among(-7, ladder).p_value == 0.01
    assert (among(100, ladder).percentile, among(0, ladder).percentile) == (100, 0)
    assert among(50, ladder).p_value == 1
    assert among(48, ladder).beyond_chance is False
    assert among(98.5, ladder).beyond_chance is True


def test_nineteen_controls_are_just_enough():
    assert among(9, [0.0] * 19).beyond_chance
    assert not among(9, [0.0] * 18).beyond_chance


def test_beyond_chance_is_beyond_components_and_directions():
    near, far = (np.linspace(-reach, reach, 40, dtype=np.float32) for reach in (1, 9))
    for random, directions, beyond in ((near, near, True), (near, far, False), (far, near, False)):
        found = Controls(5.0, random, directions, 0.0, Edit(), None, "logits")
        assert found.beyond_chance is beyond
        assert found.p_directions == Controls(5.0, directions, random, 0.0, Edit(), None, "logits").p_value


def test_without_controls_nothing_is_beyond_chance():
    nothing = among(5, [])
    assert np.isnan(nothing.percentile)
    assert nothing.p_value == 1
    assert not nothing.beyond_chance


@given(small, st.lists(small, min_size=1, max_size=30))
def test_percentile_and_p_equal_the_definitions(effect: int, random: list[int]) -> None:
    found = among(effect, random)
    half = sum(Fraction(1 if r < effect else 0) + Fraction(r == effect, 2) for r in random)
    assert found.percentile == pytest.approx(float(100 * half / len(random)))
    ordered = sorted(random)
    middle = Fraction(ordered[(len(random) - 1) // 2] + ordered[len(random) // 2], 2)
    as_far = sum(abs(r - middle) >= abs(effect - middle) for r in random)
    assert found.p_value == pytest.approx(float(Fraction(1 + as_far, len(random) + 1)))
    assert 1 / (len(random) + 1) <= found.p_value <= 1
    assert 0 <= found.percentile <= 100
    assert found.beyond_chance == (Fraction(1 + as_far, len(random) + 1) <= Fraction(1, 20))


@given(small, st.lists(small, min_size=1, max_size=30), small)
def test_percentile_and_p_of_the_mirror_image_and_of_a_shift(effect: int, random: list[int], by: int) -> None:
    found, mirrored = among(effect, random), among(-effect, [-r for r in random])
    shifted = among(effect + by, [r + by for r in random])
    assert found.p_value == mirrored.p_value == shifted.p_value
    assert found.percentile == pytest.approx(100 - mirrored.percentile) == pytest.approx(shifted.percentile)


# ---- controls: what the model did


def last(found):
    *_, end = found
    return end


def test_the_controls_of_one_lever_are_all_its_nearest_neighbours_once(question_of):
    """Exact ablation of the 20 components nearest in energy, for every active component in turn."""
    question = question_of(ClassTarget(0, 1))
    energy = energies(question.trace.activations, Edit(), question.model.dictionary)
    active = sorted(energy)
    assert len(active) > 21
    effect = dict(
        zip(
            active,
            -ablation_effects(question, active).astype(float),
            strict=True,
        )
    )
    beyond = 0
    for j in active[::6] + [min(active, key=lambda j: effect[j]), max(active, key=lambda j: effect[j])]:
        found = last(controls(question, Edit.of_suppressed([j]), draws=20))
        others = sorted(set(active) - {j}, key=lambda other: abs(energy[other] - energy[j]))[:20]
        assert found.energy == pytest.approx(np.median([energy[other] for other in others]) / energy[j], rel=1e-4)
        assert found.effect == pytest.approx(effect[j], abs=1e-4)
        np.testing.assert_allclose(np.sort(found.random), sorted(effect[other] for other in others), atol=1e-4)
        beyond += found.p_value <= CHANCE
    assert beyond >= 1, "the components of the largest effects stand out"


@pytest.mark.parametrize(
    "edit",
    [
        Edit((Lever(0), Lever(1), Lever(2))),
        Edit((Lever(0, "scale", 3.0), Lever(1, "set", 0.7), Lever(2)), tokens=(0, 3, 4, 5, 6, 7, 8)),
    ],
)
@pytest.mark.parametrize("target", [ClassTarget(2), ClassTarget(0, 1)])
def test_every_effect_again_through_the_unsplit_model(question_of, edit, target, monkeypatch):
    """What is drawn is written down as it is drawn, and measured anew, one by one."""
    drawn: list[Edit] = []
    thrown: list[torch.Tensor] = []

    def noted(keep, ask):
        def asked(*args, **more):
            keep.extend(result := ask(*args, **more))
            return result

        return asked

    monkeypatch.setattr(module, "matched_controls", noted(drawn, matched_controls))
    monkeypatch.setattr(module, "random_directions", noted(thrown, random_directions))
    question = question_of(target)
    clip, dictionary, trace = question.model.clip, question.model.dictionary, question.trace
    found = last(controls(question, edit, draws=40, seed=1))

    before = unsplit(clip, trace, question.classifier, np.zeros((TOKENS, WIDTH)))

    def effect(move: np.ndarray) -> float:
        change = unsplit(clip, trace, question.classifier, move) - before
        return float(change[target.wanted] - (0 if target.against is None else change[target.against]))

    own = {lever.component for lever in edit.levers}
    others = [control for control in drawn if {lever.component for lever in control.levers} != own]
    different = {frozenset(control.levers): control for control in others}
    assert len(different) > 40
    assert found.random.shape == (40,)
    assert found.directions.shape == (DIRECTIONS,)
    first = list(different.values())[:40]
    expected = [effect(dense_move(trace, dictionary, control)) for control in first]
    np.testing.assert_allclose(found.random, expected, atol=2e-4)
    np.testing.assert_allclose(found.directions, [effect(x.numpy() - trace.residual) for x in thrown], atol=2e-4)
    assert found.effect == pytest.approx(effect(dense_move(trace, dictionary, edit)), abs=2e-4)
    assert found.rival == pytest.approx(effect(dense_move(trace, dictionary, found.rival_edit)), abs=2e-4)
    assert found.rival_edit == by_activation(trace.activations, edit, dictionary)
    assert found.random.dtype == found.directions.dtype == np.float32
    assert len(set(found.random.tolist())) > 20
    assert len(set(found.directions.tolist())) == DIRECTIONS
    assert pickle.loads(pickle.dumps(found)) == found


def test_what_is_yielded_grows_to_the_whole(question_of, strongest):
    edit = Edit.of_suppressed(strongest[:3])
    steps = list(controls(question_of(ClassTarget(0, 1)), edit))
    assert [(len(s.random), len(s.directions)) for s in steps] == [(30, 0), (62, 0), (64, 0), (64, DIRECTIONS)]
    for step in steps:
        assert (step.effect, step.rival, step.rival_edit) == (steps[-1].effect, steps[-1].rival, steps[-1].rival_edit)
        np.testing.assert_array_equal(step.random, steps[-1].random[: len(step.random)])
    assert last(controls(question_of(ClassTarget(0, 1)), edit)) == steps[-1]
    other = last(controls(question_of(ClassTarget(0, 1)), edit, seed=1))
    assert other != steps[-1]
    assert other.effect == steps[-1].effect


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, COMPONENTS - 1), min_size=1, max_size=4, unique=True),
    token_sets,
    st.integers(0, 3),
    seeds,
)
def test_an_edit_that_does_nothing_has_no_effect_and_neither_have_its_controls(
    question_of, components, tokens, wanted, seed
):
    edit = Edit(tuple(Lever(j, "scale", 1.0) for j in components), tokens)
    found = last(controls(question_of(ClassTarget(wanted, 4)), edit, draws=20, seed=seed))
    assert found.effect == found.rival == 0
    assert not found.random.any()
    assert found.directions.shape == (DIRECTIONS,)
    assert not found.directions.any()
    assert found.p_value == 1
    assert not found.beyond_chance
    assert len(found.random) == 0 or found.percentile == 50


@settings(max_examples=30)
@given(edits.filter(lambda edit: len(edit.levers) > 0), st.integers(0, 40), seeds)
def test_controls_of_any_edit(question_of, edit, draws, seed):
    question = question_of(ClassTarget(1))
    found = last(controls(question, edit, draws=draws, seed=seed))
    own = {lever.component for lever in edit.levers}
    active = set(energies(question.trace.activations, edit, question.model.dictionary))
    assert len(found.random) <= draws
    assert len(found.directions) == DIRECTIONS
    # A control other than the edit: another component for a lone lever, another set of as many for several.
    enough = bool(active - own) if len(own) == 1 else len(active) >= len(own) and active != own
    assert bool(len(found.random)) == (draws > 0 and enough)
    assert np.isfinite(found.random).all()
    assert np.isfinite(found.directions).all()
    assert 0 < found.p_value <= 1
    assert len(found.rival_edit.levers) <= len(edit.levers)


def test_the_edits_of_chance_are_seldom_beyond_chance(question_of):
    """60 edits drawn as controls are drawn: by its definition p <= 0.05 for about one in twenty of them."""
    trace, dictionary = question_of(ClassTarget(0)).trace, question_of(ClassTarget(0)).model.dictionary
    rng = np.random.default_rng(5)
    active, beyond, percentiles = trace.activations.components(), 0, []
    kinds: list[tuple[Operation, float]] = [("suppress", 0.0), ("scale", 2.0), ("set", 0.5)]
    for seed in range(60):
        chosen = rng.choice(active, 1 + seed % 5, replace=False)
        tokens = None if seed % 2 else tuple(rng.choice(TOKENS, 12, replace=False).tolist())
        seeded = Edit(tuple(Lever(int(j), *kinds[rng.integers(3)]) for j in chosen), tokens)
        (edit,) = matched_controls(trace.activations, seeded, dictionary, 1, rng)
        target = ClassTarget(*rng.choice(len(CLASSES), 2, replace=False).tolist())
        steps = controls(question_of(target), edit, draws=60, seed=seed)
        found = last(itertools.islice(steps, 2))  # the random components; the directions would follow
        beyond += found.p_value <= CHANCE  # alone, without the help of the directions
        percentiles.append(found.percentile)
    assert beyond / 60 <= 0.1
    assert abs(np.mean(percentiles) - 50) < 12  # three standard errors of 60 draws from 0 to 100


def test_too_few_other_components_make_no_controls(clip, picture, classifier):
    on_cls = SaeDictionary(tiny_sae("topk"), "cls")
    trace = SaeClip(clip, on_cls).traces([clip.crop(picture)])[0]
    active = trace.activations.components()
    assert len(active) == 5
    five, two = (
        last(
            controls(Question(SaeClip(clip, on_cls), trace, classifier, ClassTarget(0)), Edit.of_suppressed(active[:k]))
        )
        for k in (5, 2)
    )
    assert len(five.random) == 0
    assert len(five.directions) == DIRECTIONS
    assert five.effect != 0
    assert five.p_value == 1
    assert len(two.random) == 9, "two of five, but not these two"
    assert not two.beyond_chance
