"""Side effects against the formulas written out, and against the unsplit model with dense activations."""

import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import COMPONENTS
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.errors import UserError
from core.methods.attribution import Attribution, attribute
from core.methods.question import Question
from core.methods.side_effects import (
    ROUNDING,
    ProbeConcept,
    SideEffects,
    attribution_changes,
    probe_words,
    read_vocabulary,
    side_effects,
)
from core.methods.steering import Edit, Lever, edited, steer
from core.methods.targets import ClassTarget
from core.model.clip import SplitClip, text_classifier
from core.model.dictionary import Dictionary
from core.model.prediction import logit_change
from core.model.sae_clip import SaeClip
from core.model.trace import Trace
from core.scenes.scene import BACKGROUNDS
from core.scenes.scene import CLASSES as SCENE_CLASSES
from core.setups.catalog import read_catalog

VOCABULARY = read_vocabulary()
NAMES = [concept.name for concept in VOCABULARY]
WORDS = ("tree", "sky", "blue boat", "queen", "soup", "piano")
TARGET = ClassTarget(1, 0)
ROWS = torch.nn.functional.normalize(torch.randn(5, 6, generator=torch.Generator().manual_seed(1)), dim=-1)

vectors = st.lists(st.floats(-3, 3, width=32), min_size=6, max_size=6).filter(lambda v: math.hypot(*v) > 0.1)
changes = st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=12)


@pytest.fixture(scope="module")
def words(clip: SplitClip) -> Tensor:
    return text_classifier(clip, WORDS, ("a photo of a {}",))


def made(change: list[float], effect: float = 1.0) -> SideEffects:
    return SideEffects(
        tuple(f"word {i}" for i in range(len(change))), np.array(change, dtype=np.float32), 1.0, effect, "logits"
    )


# The vocabulary


def test_the_vocabulary_is_clean() -> None:
    assert 400 <= len(NAMES) <= 500
    assert len(set(NAMES)) == len(NAMES)
    assert all(name == " ".join(name.lower().split()) for name in NAMES)
    assert all(name.replace(" ", "").replace("-", "").isalpha() for name in NAMES)


def test_the_vocabulary_has_its_groups_and_the_bundled_words() -> None:
    groups = {concept.group for concept in VOCABULARY}
    assert groups >= {"objects", "animals", "food", "vehicles", "scenes", "materials", "colours", "text", "activities"}
    assert set(NAMES) >= set(SCENE_CLASSES)
    known = read_catalog()["bundled"].vocabulary
    assert known
    assert set(NAMES) >= {"bricks", *BACKGROUNDS} & known
    assert ProbeConcept("owl", "animals") in VOCABULARY
    assert ProbeConcept("water", "materials") in VOCABULARY


def test_a_vocabulary_is_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("# first things\nball\n\n  hot dog \n#second\nélan\n", encoding="utf-8")
    expected = (
        ProbeConcept("ball", "first things"),
        ProbeConcept("hot dog", "first things"),
        ProbeConcept("élan", "second"),
    )
    assert read_vocabulary(path) == expected


def test_every_word_probes_a_setup_that_knows_all_words() -> None:
    assert list(probe_words(VOCABULARY, None, ())) == NAMES
    assert list(probe_words(VOCABULARY, None, ("Hot Dog", "OWL", "unheard of"))) == [
        name
        for name in NAMES
        if name not in ("hot dog", "dog", "owl")  # a hot dog names a dog, too
    ]


def test_the_bundled_setup_is_probed_with_the_words_it_knows() -> None:
    known = read_catalog()["bundled"].vocabulary
    assert known is not None
    found = probe_words(VOCABULARY, known, ("dog", "cat"))
    assert len(found) >= 45
    assert set(found) == {name for name in NAMES if set(name.split()) <= known} - {"dog", "cat"}


@settings(max_examples=30)
@given(st.sets(st.sampled_from(["hot", "dog", "x", "ray", "owl"])))
def test_a_concept_is_known_when_all_of_its_words_are(known: set[str]) -> None:
    vocabulary = [ProbeConcept(name, "") for name in ("hot dog", "dog", "x-ray", "owl")]
    parts = {"hot dog": {"hot", "dog"}, "dog": {"dog"}, "x-ray": {"x", "ray"}, "owl": {"owl"}}
    assert set(probe_words(vocabulary, frozenset(known), ())) == {name for name in parts if parts[name] <= known}


# The change of concepts, the side effect, the selectivity


@given(vectors, st.lists(vectors, min_size=1, max_size=4), st.floats(1, 100))
def test_the_change_of_logits_equals_the_formula(before: list[float], several: list[list[float]], scale: float) -> None:
    def cosine(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)

    found = logit_change(np.array(before, dtype=np.float32), torch.tensor(several), ROWS, scale)
    expected = [[scale * (cosine(z, t) - cosine(before, t)) for t in ROWS.tolist()] for z in several]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found.shape == (len(several), 5)
    assert found.dtype == np.float32


@given(vectors, st.lists(vectors, max_size=3))
def test_an_embedding_that_did_not_turn_changes_nothing(z: list[float], others: list[list[float]]) -> None:
    several = np.array([*others, z, [4 * v for v in z]], dtype=np.float32)
    found = logit_change(np.array(z, dtype=np.float32), several, ROWS, 100.0)
    assert not found[len(others)].any()
    np.testing.assert_allclose(found[-1], 0, atol=1e-10)


@given(changes, st.floats(-50, 50))
def test_side_effect_and_selectivity_equal_the_formulas(change: list[float], effect: float) -> None:
    mean = math.fsum(change) / len(change)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in change) / len(change))
    found = made(change, effect)
    assert found.side_effect == pytest.approx(spread, abs=1e-9)
    np.testing.assert_allclose(found.relative, [value - mean for value in change], atol=1e-4)
    if spread > 2 * ROUNDING:
        assert found.selectivity == pytest.approx(abs(effect) / spread)
    if spread < ROUNDING / 2:
        assert found.selectivity is None


@given(changes, st.integers(-64, 64))
def test_a_shift_common_to_all_is_no_side_effect(change: list[float], shift: int) -> None:
    grid = np.round(np.array(change) * 64) / 64  # so that float32 adds without rounding
    a, b = made(grid.tolist()), made((grid + shift).tolist())
    assert b.side_effect == pytest.approx(a.side_effect, abs=1e-6)
    assert a.most_up(3).tolist() == b.most_up(3).tolist()
    assert a.most_down(3).tolist() == b.most_down(3).tolist()
    assert made([float(shift)] * 5).side_effect == 0
    assert made([float(shift)] * 5).selectivity is None


def test_selectivity_has_no_unit() -> None:
    assert made([1, -2, 4], -3).selectivity == pytest.approx(made([10, -20, 40], 30).selectivity)


def test_too_few_concepts_are_no_measure() -> None:
    assert made([]).side_effect is made([2.0]).side_effect is None
    assert made([]).selectivity is made([2.0]).selectivity is None
    assert made([]).most_up(3).tolist() == made([2.0]).most_down(3).tolist() == []


@given(changes, st.integers(0, 14))
def test_most_up_and_down_are_the_furthest_from_the_mean(change: list[float], k: int) -> None:
    found = made(change)
    relative = found.relative.tolist()
    up = sorted((i for i, value in enumerate(relative) if value > 0), key=lambda i: (-found.change[i], i))
    down = sorted((i for i, value in enumerate(relative) if value < 0), key=lambda i: (found.change[i], i))
    assert found.most_up(k).tolist() == up[:k]
    assert found.most_down(k).tolist() == down[:k]


# Side effects of edits


def embedding_of(clip: SplitClip, dictionary: Dictionary, trace: Trace, edit: Edit) -> Tensor:
    """The slow way: the unsplit model reads the pixels; a hook adds the difference of two dense decodes."""
    x = torch.as_tensor(trace.residual)
    f = dictionary.encode(x)
    changed = f.clone()
    for lever in edit.levers:
        for t in range(len(x)) if edit.tokens is None else edit.tokens:
            wanted = lever.strength if lever.operation == "set" else lever.strength * f[t, lever.component]
            changed[t, lever.component] = wanted
    with torch.no_grad():
        difference = dictionary.sae.decode(changed) - dictionary.sae.decode(f)
        layer = clip.model.vision_model.encoder.layers[clip.layer]
        hook = layer.register_forward_hook(lambda module, inputs, output: output + difference)
        z = clip.model.get_image_features(pixel_values=clip.pixels(trace.crop[None])).pooler_output[0]
        hook.remove()
    return z


def some_edits(trace: Trace) -> list[Edit]:
    active = [int(j) for j in trace.activations.components()]
    return [
        Edit.of_suppressed(active[:3]),
        Edit((Lever(active[0], "scale", 3.0), Lever(active[-1]))),
        Edit(),
        Edit((Lever(active[1], "set", 2.5),), (0, 3, 4)),
        Edit.of_suppressed(active),
    ]


def test_ripples_equal_the_unsplit_model(
    clip: SplitClip, dictionary: Dictionary, trace: Trace, classifier: Tensor, words: Tensor
) -> None:
    edits = some_edits(trace)
    before = embedding_of(clip, dictionary, trace, Edit())
    for found, edit in zip(
        side_effects(Question(SaeClip(clip, dictionary), trace, classifier, TARGET), edits, WORDS, words),
        edits,
        strict=True,
    ):
        after = embedding_of(clip, dictionary, trace, edit)
        a, b = (z / z.norm() for z in (before, after))
        y, new = (clip.logit_scale * u @ (classifier[TARGET.wanted] - classifier[TARGET.against]) for u in (a, b))
        np.testing.assert_allclose(found.change, clip.logit_scale * words @ (b - a), atol=1e-4)
        assert found.effect == pytest.approx(float(new - y), abs=1e-4)
        assert found.cosine == pytest.approx(float(a @ b), abs=1e-5)
        assert found.concepts == WORDS
        if edit.levers:
            assert abs(found.effect) > 1e-3
            assert found.selectivity is not None
            assert found.cosine < 1 - 1e-5


def test_edits_side_by_side_are_the_same_as_one_by_one(
    clip: SplitClip, dictionary: Dictionary, trace: Trace, classifier: Tensor, words: Tensor
) -> None:
    edits = some_edits(trace)
    together = side_effects(
        Question(SaeClip(clip, dictionary), trace, classifier, TARGET), edits, WORDS, words, batch=2
    )
    for found, edit in zip(together, edits, strict=True):
        alone = side_effects(Question(SaeClip(clip, dictionary), trace, classifier, TARGET), [edit], WORDS, words)[0]
        np.testing.assert_allclose(found.change, alone.change, atol=1e-4)
        assert found.effect == pytest.approx(alone.effect, abs=1e-4)
        assert found.cosine == pytest.approx(alone.cosine, abs=1e-5)
    assert side_effects(Question(SaeClip(clip, dictionary), trace, classifier, TARGET), [], WORDS, words) == ()


@settings(max_examples=30)
@given(st.sets(st.integers(0, COMPONENTS - 1), max_size=5), st.integers(0, 3))
def test_an_edit_of_nothing_has_no_ripple(clip, dictionary, trace, classifier, words, components, others):
    """No lever, no token, or every strength as it is: exactly 0, also beside edits that do much."""
    nothing = [
        Edit(),
        Edit.of_suppressed(components).among(()),
        Edit(tuple(Lever(j, "scale", 1.0) for j in components)),
        Edit.of_suppressed(set(range(COMPONENTS)) - set(trace.activations.components().tolist())),
    ]
    edits = [*some_edits(trace)[:others], *nothing]
    for found in side_effects(Question(SaeClip(clip, dictionary), trace, classifier, TARGET), edits, WORDS, words)[
        others:
    ]:
        assert not found.change.any()
        assert found.effect == 0
        assert found.cosine == 1
        assert found.side_effect == 0
        assert found.selectivity is None
        assert found.most_up(3).size == found.most_down(3).size == 0


def test_what_cannot_be_measured_is_refused(
    clip: SplitClip, dictionary: Dictionary, trace: Trace, classifier: Tensor, words: Tensor
) -> None:
    with pytest.raises(UserError, match="no class number 9"):
        side_effects(Question(SaeClip(clip, dictionary), trace, classifier, ClassTarget(9)), [Edit()], WORDS, words)
    with pytest.raises(UserError, match="no component 48"):
        side_effects(
            Question(SaeClip(clip, dictionary), trace, classifier, TARGET),
            [Edit.of_suppressed([COMPONENTS])],
            WORDS,
            words,
        )
    with pytest.raises(ValueError, match="2 concepts with 6 vectors"):
        side_effects(Question(SaeClip(clip, dictionary), trace, classifier, TARGET), [Edit()], WORDS[:2], words)


# Attributions of the other components


@pytest.fixture(scope="module")
def attributions(
    clip: SplitClip, dictionary: Dictionary, trace: Trace, classifier: Tensor
) -> tuple[Attribution, Attribution, Edit]:
    """Before and after an edit that suppresses two components and sets one that was not active."""
    before = attribute(Question(SaeClip(clip, dictionary), trace, classifier, TARGET))
    silent = next(j for j in range(COMPONENTS) if j not in before.component)
    edit = Edit.of_suppressed(before.strongest_for(2)).pull(Lever(silent, "set", 2.0))
    x = steer(torch.as_tensor(trace.residual), trace.activations, [edit], dictionary)[0]
    steered = replace(trace, residual=x.numpy(), activations=edited(trace.activations, edit, dictionary))
    return before, attribute(Question(SaeClip(clip, dictionary), steered, classifier, TARGET)), edit


@pytest.mark.parametrize("k", [0, 1, 5, COMPONENTS])
def test_attribution_changes_equal_brute_force(attributions: tuple[Attribution, Attribution, Edit], k: int) -> None:
    before, after, edit = attributions
    found = attribution_changes(before, after, edit, k)
    others = set(range(COMPONENTS)) - {lever.component for lever in edit.levers}
    change = {j: abs(after.total_of(j) - before.total_of(j)) for j in others}
    order = sorted((j for j in others if change[j]), key=lambda j: (-change[j], j))
    assert found.component.tolist() == order[:k]
    assert found.before.tolist() == [before.total_of(j) for j in order[:k]]
    assert found.after.tolist() == [after.total_of(j) for j in order[:k]]
    assert len(order) > 5
    assert (found.component.dtype, found.before.dtype, found.after.dtype) == (np.int32, np.float32, np.float32)


def test_a_component_of_one_side_only_counts_as_0_on_the_other(
    attributions: tuple[Attribution, Attribution, Edit],
) -> None:
    before, after, edit = attributions
    silent = edit.levers[-1].component
    found = attribution_changes(before, after, Edit(), COMPONENTS)
    at = found.component.tolist().index(silent)
    assert found.before[at] == 0
    assert found.after[at] == after.total_of(silent) != 0


def test_without_an_edit_no_attribution_changes(attributions: tuple[Attribution, Attribution, Edit]) -> None:
    before, _, _ = attributions
    assert attribution_changes(before, before, Edit()).component.size == 0


def test_only_like_attributions_are_compared(attributions: tuple[Attribution, Attribution, Edit]) -> None:
    before, after, edit = attributions
    for other in (replace(after, target=ClassTarget(0)), replace(after, method="integrated")):
        with pytest.raises(ValueError, match="different"):
            attribution_changes(before, other, edit)


def test_results_pickle_compare_and_print(attributions: tuple[Attribution, Attribution, Edit]) -> None:
    for record in (made([1, 2, 3]), attribution_changes(*attributions)):
        assert pickle.loads(pickle.dumps(record)) == record
    assert made([1, 2]) != made([1, 3])
    assert (
        repr(made([1, 2]))
        == "SideEffects(concepts=('word 0', 'word 1'), change=float32[2], cosine=1.0, effect=1.0, unit='logits')"
    )
