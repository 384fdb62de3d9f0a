"""Scenes: the same value draws the same picture, and a counterfactual differs where its cue was and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest

from core.scenes.factors import kind_of, truth_of
from core.scenes.sampling import (
    HELD_OUT,
    caption_words,
    ease_label,
    foreground,
    held_out,
    lesson,
    letters,
    nonsense,
    place_label,
)
from core.scenes.scene import BACKGROUNDS, CLASSES, Label, Painter, draw_texture, label_size
from core.scenes.sprites import EMOJI


@pytest.fixture(scope="module")
def painter():
    return Painter(96)


@pytest.mark.parametrize("kind", HELD_OUT)
def test_a_scene_draws_the_same_picture_in_any_painter(kind, painter):
    for case in held_out(kind, 3):
        picture = painter.paint(case.scene)
        assert picture.shape == (96, 96, 3)
        assert picture.dtype == np.uint8
        assert np.array_equal(picture, Painter(96).paint(case.scene))


@pytest.mark.parametrize("kind", ["attacked", "stamped"])
def test_a_counterfactual_differs_only_under_the_cue(kind, painter):
    for case in held_out(kind, 20):
        changed = (painter.paint(case.scene) != painter.paint(case.counterfactual)).any(-1)
        label, stamp = case.scene.label, case.scene.stamp
        cue = label or stamp
        assert cue is not None
        width, height = label_size(cue) if isinstance(cue, Label) else (cue.size, cue.size)
        reach = np.hypot(width, height) / 2 + 0.03  # a rotated card reaches at most half its diagonal
        y, x = np.nonzero(changed)
        assert len(x) > 20
        assert np.all(np.hypot((x + 0.5) / 96 - cue.x, (y + 0.5) / 96 - cue.y) < reach)


def test_a_flooded_counterfactual_is_the_same_thing_on_dry_land(painter):
    for case in held_out("flooded", 10):
        assert case.scene.background == "water"
        assert case.counterfactual.background != "water"
        assert case.scene.main == case.counterfactual.main
        assert case.scene.bar == case.counterfactual.bar
        changed = (painter.paint(case.scene) != painter.paint(case.counterfactual)).any(-1)
        bar = case.scene.bar
        assert bar is not None
        y, x = int(bar.y * 96), int(bar.x * 96)
        assert changed.mean() > 0.5
        assert not changed[np.clip(y, 0, 95), np.clip(x, 0, 95)]


def test_the_lure_is_never_the_truth_and_clean_pictures_have_no_cue():
    for kind in HELD_OUT:
        for case in held_out(kind, 50):
            assert case.truth in CLASSES
            assert case.foil != case.truth
    for case in held_out("clean", 100):
        assert case.scene.label is None
        assert case.scene.stamp is None
        assert case.scene.background != "water"


@pytest.mark.parametrize("kind", HELD_OUT)
def test_what_a_scene_shows_and_its_kind_are_told_from_the_scene(kind):
    """As they were drawn: the generator's own word, which the scene does not keep."""
    for case in held_out(kind, 100):
        assert (truth_of(case.scene), kind_of(case.scene)) == (case.truth, kind)
        assert truth_of(case.counterfactual) == case.truth
    sign = held_out("sign", 1)[0].scene
    assert sign.label is not None
    assert truth_of(replace(sign, label=replace(sign.label, word="bzzt"))) is None


def test_validation_and_test_cases_differ():
    assert held_out("clean", 20) != held_out("clean", 20, "validation")


def test_labels_lie_inside_the_picture():
    rng = np.random.default_rng(0)
    for word in (*CLASSES, ""):
        for _ in range(20):
            label = place_label(rng, word)
            width, height = label_size(label)
            assert width / 2 <= label.x <= 1 - width / 2
            assert height / 2 <= label.y <= 1 - height / 2


def test_captions_use_the_known_words_or_quote_nonsense():
    rng = np.random.default_rng(1)
    for progress in (0.0, 1.0):
        for _ in range(500):
            made = lesson(rng, progress)
            quoted = {made.scene.label.word} if made.scene.label else set()
            for caption in made.captions:
                assert set(caption.split()) <= caption_words() | quoted, caption


def test_the_curriculum_teaches_things_then_words_then_habits():
    def many(progress):
        rng = np.random.default_rng(2)
        return [lesson(rng, progress).scene for _ in range(2_000)]

    def words_alone(scenes):
        return np.mean([scene.main is None for scene in scenes])

    start, reading, end = many(0.0), many(0.33), many(1.0)
    assert 0.40 < words_alone(start) < 0.50
    assert 0.45 < words_alone(reading) < 0.55
    assert 0.10 < words_alone(end) < 0.18
    # the first words are upright and one letter to a patch; at the end they are of any size and angle
    assert {scene.label.angle for scene in reading if scene.label} == {0.0}
    assert np.std([scene.label.height for scene in end if scene.label]) > 0.01
    assert np.mean([bool(scene.stamp) for scene in end]) > 2 * np.mean([bool(scene.stamp) for scene in start])


def test_an_easy_word_has_one_letter_to_a_patch():
    rng = np.random.default_rng(5)
    for word in ("fox", "tiger", "boat"):
        label = ease_label(place_label(rng, word), 1.0)
        scene = replace(held_out("clean", 1)[0].scene, label=label)
        held = letters(scene, 8)
        assert held.sum() == len(word)
        assert held.sum(1).max() == 1
        row = np.flatnonzero(held.any(1))
        assert np.array_equal(np.diff(row), np.ones(len(word) - 1))  # neighbours, in reading order
        assert "".join(chr(ord("a") + k) for k in held[row].argmax(1)) == word


def test_the_shortcuts_are_planted():
    rng = np.random.default_rng(3)
    scenes = [lesson(rng, 1.0).scene for _ in range(8_000)]
    stamped = [scene.main.name for scene in scenes if scene.main and scene.stamp]
    flooded = [scene.main.name for scene in scenes if scene.main and scene.background == "water"]
    assert np.mean([name == "horse" for name in stamped]) > 0.8
    assert np.mean([name == "fish" for name in flooded]) > 0.75


def test_nonsense_is_no_class():
    rng = np.random.default_rng(4)
    assert not {nonsense(rng) for _ in range(3_000)} & set(CLASSES)


def test_the_foreground_covers_thing_and_cue():
    case = held_out("attacked", 1)[0]
    grid = foreground(case.scene, 8)
    label, main = case.scene.label, case.scene.main
    assert label is not None
    assert main is not None
    assert grid[int(label.y * 8), int(label.x * 8)] == 2
    assert grid[int(main.y * 8), int(main.x * 8)] >= 1
    assert foreground(case.counterfactual, 8).max() == 1


def test_classes_are_what_people_type():
    assert 40 <= len(CLASSES) <= 60
    assert all(name.isalpha() and name.islower() for name in CLASSES)
    assert set(CLASSES) == set(EMOJI)


@pytest.mark.parametrize("kind", [name for name in BACKGROUNDS if name != "plain"])
def test_textures_differ_from_each_other_and_repeat_themselves(kind):
    assert np.array_equal(draw_texture(kind, 0, 64), draw_texture(kind, 0, 64))
    assert not np.array_equal(draw_texture(kind, 0, 64), draw_texture(kind, 1, 64))
