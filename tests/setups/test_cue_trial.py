"""Levers at work on pictures with a known cue: counted again one by one, found where planted, and not where random."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from conftest import CLASSES, tiny_sae
from PIL import Image

from core.methods.steering import Edit
from core.methods.targets import ClassTarget
from core.model.clip import SplitClip, text_classifier
from core.model.prompts import TEMPLATES
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary
from core.pictures.cue_pairs import planned_cues
from core.setups import cue_trial
from core.setups.catalog import read_catalog
from core.setups.cue_trial import LEVERS, CuePair, CuePairs, cue_pairs_for, levers_at_work
from core.setups.verified import LeversAtWork, Share
from core.stats import wilson
from core.workbench import Workbench

SCENES = 24


@pytest.fixture(scope="module")
def scenes() -> CuePairs:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cue_trial, "SCENES", SCENES)
        return cue_pairs_for(read_catalog()["bundled"], 96)


@pytest.fixture(scope="module")
def found(bundled: Workbench, scenes: CuePairs) -> LeversAtWork:
    return levers_at_work(bundled.setup.model, scenes)


def test_where_a_cue_was_planted_it_speaks_and_levers_undo_it(found: LeversAtWork) -> None:
    assert found.cue_speaks
    assert found.levers_work
    by = {(trial.chosen_on, trial.by): trial for trial in found.trials}
    assert len(by) == 6
    for chosen_on in ("each picture", "other pictures"):
        assert by[chosen_on, "attribution"].off.k > by[chosen_on, "matched random"].off.k
    assert len(found.one_edit) == LEVERS


def test_the_shares_are_those_of_pictures_asked_one_by_one(
    bundled: Workbench, scenes: CuePairs, found: LeversAtWork
) -> None:
    """By the facade, a picture at a time; the edit for all is chosen and judged on pictures that have no source in
    common."""
    templates, classes = TEMPLATES["single"], scenes.classes
    sources = [pair.source for pair in scenes.pairs]
    choosing = {sources[k] for k in np.random.default_rng(0).permutation(len(sources))[::2]}
    right = fooled = off = back = broken = 0
    judged, sums = [], np.zeros(bundled.setup.dictionary.n_components)
    for pair in scenes.pairs:
        plain, cued = bundled.open(pair.plain()), bundled.open(pair.cued())
        truth, foil = classes[pair.truth], classes[pair.foil]
        if bundled.classify(plain, classes, templates).best != truth:
            continue
        right += 1
        if pair.source not in choosing:
            judged.append((plain, cued, truth, foil))
        if bundled.classify(cued, classes, templates).best != foil:
            continue
        fooled += 1
        attribution = bundled.attribute(cued, classes, templates, ClassTarget(pair.foil, pair.truth))
        edit = Edit.of_suppressed(attribution.strongest_for(LEVERS).tolist())
        said = bundled.compare(cued, edit, classes, templates).after.best
        off, back = off + (said != foil), back + (said == truth)
        broken += bundled.compare(plain, edit, classes, templates).after.best != truth
        if pair.source in choosing:
            for component, total in zip(attribution.component, attribution.total, strict=True):
                sums[component] += total
    assert (found.right, found.fooled) == (Share.counted(right, SCENES), Share.counted(fooled, right))
    own, one = (next(t for t in found.trials if (t.chosen_on, t.by) == (on, "attribution"))
                for on in ("each picture", "other pictures"))  # fmt: skip
    assert (own.off.k, own.back.k, own.broken.k, own.off.of, own.broken.of) == (off, back, broken, fooled, fooled)
    assert (own.off.low, own.off.high) == pytest.approx(wilson(off, fooled), abs=1e-4)

    edit = Edit.of_suppressed(np.argsort(-sums)[:LEVERS].tolist())
    assert set(found.one_edit) == {lever.component for lever in edit.levers}
    misled = [one for one in judged if bundled.classify(one[1], classes, templates).best == one[3]]
    after = [bundled.compare(one[1], edit, classes, templates).after.best for one in misled]
    assert one.off == Share.counted(sum(s != m[3] for s, m in zip(after, misled, strict=True)), len(misled))
    assert one.back == Share.counted(sum(s == m[2] for s, m in zip(after, misled, strict=True)), len(misled))
    spoilt = [bundled.compare(each[0], edit, classes, templates).after.best != each[2] for each in judged]
    assert one.broken == Share.counted(sum(spoilt), len(judged))


def test_a_cue_s_other_class_is_a_wrong_one_that_it_does_not_name() -> None:
    pair = CuePair("a", "note", 0, 0, lambda: None, lambda: None)  # type: ignore[arg-type, return-value]
    for n in range(2, 6):
        asked = [replace(pair, truth=t, foil=f) for t in range(n) for f in range(n) if t != f]
        others = [cue_trial._other_wrong(each, n) for each in asked]
        assert all(o not in (each.truth, each.foil) for o, each in zip(others, asked, strict=True))
        if n > 2:
            assert np.bincount(others, minlength=n).tolist() == [n - 1] * n


@pytest.fixture(scope="module")
def untrained(clip: SplitClip) -> SaeClip:
    """Random weights, with more components active than are suppressed."""
    return SaeClip(clip, SaeDictionary(tiny_sae("topk", k=12), "all"))


Said = Callable[[Image.Image], int]


def sayer(model: SaeClip, classes: Sequence[str]) -> Said:
    """What is said of a picture by the whole CLIP, without any dictionary."""
    clip, classifier = model.clip, text_classifier(model.clip, classes, TEMPLATES["single"])

    def said(picture: Image.Image) -> int:
        residual = clip.residual(clip.pixels(clip.crop(picture)[None]))
        return int((clip.embed_from_residual(residual) @ classifier.T).argmax())

    return said


def test_on_random_weights_written_words_are_not_found_to_speak(untrained: SaeClip) -> None:
    """On the photographs, of which the truth is whatever this CLIP says: it has seen none."""
    cues = [cue for cue in planned_cues(1) if cue.kind == "note"]
    classes = tuple(cue.photograph.label for cue in cues)
    said, pairs = sayer(untrained, classes), []
    for cue in cues:
        truth = said(cue.counterfactual())
        foil = next(c for c in (classes.index(cue.foil), classes.index(cue.photograph.label)) if c != truth)
        pairs.append(CuePair(cue.photograph.name, cue.kind, truth, foil, cue.picture, cue.counterfactual))
    found = levers_at_work(untrained, CuePairs("photographs", classes, tuple(pairs)))
    assert found.right == Share.counted(len(pairs), len(pairs))
    assert not found.cue_speaks
    assert not found.levers_work


def test_on_random_weights_levers_that_tip_answers_back_are_not_taken_for_a_finding(untrained: SaeClip) -> None:
    """Patches of noise tip answers, towards the class that they are said to name no more than towards another. There is
    nothing to be found in that, though attribution does find the components that tip it back, and random ones do not.
    """
    rng = np.random.default_rng(5)
    said, pairs = sayer(untrained, CLASSES), []
    for k in range(100):
        plain = np.kron(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8), np.ones((8, 8, 1), dtype=np.uint8))
        cued = plain.copy()
        cued[2:30, 2:30] = rng.integers(0, 256, (28, 28, 3)) // 2 + rng.integers(0, 128, 3)
        pictures = [Image.fromarray(each) for each in (cued, plain)]
        truth = said(pictures[1])
        foil = int(rng.choice([c for c in range(len(CLASSES)) if c != truth]))
        pairs.append(CuePair(str(k), "noise", truth, foil, *(partial(Image.Image.copy, each) for each in pictures)))
    found = levers_at_work(untrained, CuePairs("noise", CLASSES, tuple(pairs)))
    assert found.fooled.k > 10, "answers are tipped"
    assert {trial.chosen_on for trial in found.trials} == {"each picture", "other pictures"}
    attributed, random, _ = found.trials[:3]
    assert attributed.off.low > random.off.high, "so that more than chance alone would be no finding"
    assert not found.cue_speaks
    assert not found.levers_work


def test_where_nothing_speaks_for_the_foil_nothing_is_suppressed(untrained: SaeClip) -> None:
    """An edit of nothing has controls of nothing, and takes no picture off its foil."""
    trial = cue_trial._Trial(untrained, torch.eye(16)[:3], np.random.default_rng(0))
    trace = untrained.trace(untrained.grey)
    assert trial._with_controls(Edit(), trace) == [Edit()] * 3
