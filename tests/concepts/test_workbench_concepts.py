"""What the workbench answers of a concept index, and without one."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from conftest import CLASSES, COMPONENTS

from core.concepts.component import activating_examples, concept, histogram, neighbours
from core.concepts.effects import crops_of, steering_effects, strength_of
from core.concepts.families import Family, families
from core.concepts.index import ConceptIndex
from core.concepts.search import WORDINGS, matches_picture, matches_words
from core.errors import UserError
from core.methods.picture_set import PictureSet
from core.methods.side_effects import read_vocabulary
from core.model.clip import SplitClip, text_classifier
from core.model.sae_clip import SaeClip
from core.pictures.read import read_picture
from core.workbench import INDEXED, SUPPRESSED_ON, Workbench

SINGLE = ("a photo of a {}",)
SILENT = 4
"""A component that never fired."""


def test_the_workbench_answers_as_the_core_does(indexed: Workbench, index: ConceptIndex, clip: SplitClip) -> None:
    assert indexed.index is index
    for j in (0, SILENT):
        assert indexed.concept(j) == concept(index, j)
        assert indexed.activating_examples(j, "mid", 2) == activating_examples(index, j, "mid", 2)
        assert indexed.histogram(j) == histogram(index, j)
        assert indexed.neighbours(j, "firing", 3) == neighbours(index, j, "firing", 3)
        assert indexed.family(j) == next((f for f in families(index) if j in f.members), None)
    assert indexed.families == families(index)
    # this setup knows one word: the empty text stands for all
    text, common = (text_classifier(clip, [word], WORDINGS)[0].numpy() for word in ("red fish", ""))
    assert indexed.matches_words("  red \n fish ", 5) == matches_words(index, text, common, 5)
    picture = np.random.default_rng(0).normal(size=16).astype(np.float32)
    assert indexed.matches_picture(picture, 5) == matches_picture(index, picture, 5)


def test_the_workbench_pushes_on_the_references(indexed: Workbench, index: ConceptIndex) -> None:
    clip, dictionary = indexed.setup.clip, indexed.setup.dictionary
    found = indexed.steering_effects(2, CLASSES, SINGLE)
    crops, classifier = crops_of(index, 2, SUPPRESSED_ON, 32), text_classifier(clip, CLASSES, SINGLE)
    assert found == steering_effects(SaeClip(clip, dictionary), 2, strength_of(index, 2), crops, classifier, CLASSES)
    assert found.n_references == len(activating_examples(index, 2, "top", SUPPRESSED_ON)) > 0
    with pytest.raises(UserError, match="Component 4 never fired in the 200 pictures"):
        indexed.steering_effects(SILENT, CLASSES, SINGLE)


def test_families_are_found_once_whoever_asks(
    bench: Workbench, index: ConceptIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(asked: ConceptIndex) -> tuple[Family, ...]:
        calls.append(asked)
        return families(asked)

    monkeypatch.setattr("core.workbench.families", counted)
    shared = Workbench(replace(bench.setup, index=index))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shared.families, range(16)))
    assert len(calls) == 1
    assert all(answer is answers[0] for answer in answers)


@pytest.mark.parametrize("words", ["", "  \n ", "x" * 201])
def test_what_cannot_be_searched_for_is_said(indexed: Workbench, words: str) -> None:
    with pytest.raises(UserError, match="search"):
        indexed.matches_words(words, 5)


def test_everyday_words_stand_for_all_words_whatever_the_labels_of_the_index(
    bench: Workbench, index: ConceptIndex, clip: SplitClip
) -> None:
    few = replace(index, manifest=replace(index.manifest, vocabulary=("owl",)), label=np.full((COMPONENTS, 3), -1))
    knows_all = replace(bench.setup, index=few, card=replace(bench.setup.card, vocabulary=None))
    found = Workbench(knows_all).matches_words("owl", 4)
    everyday = [concept.name for concept in read_vocabulary()]
    some = everyday[:: -(-len(everyday) // 100)]
    text = text_classifier(clip, ["owl"], WORDINGS)[0].numpy()
    common = text_classifier(clip, some, WORDINGS).mean(0).numpy()
    assert len(some) > 50
    assert found == matches_words(few, text, common, 4)


def test_without_an_index_it_says_what_is_missing_and_how_to_build_one(bench: Workbench) -> None:
    assert bench.index is None
    for ask in (
        lambda b: b.concept(0),
        lambda b: b.activating_examples(0),
        lambda b: b.histogram(0),
        lambda b: b.neighbours(0, "firing"),
        lambda b: b.families,
        lambda b: b.family(0),
        lambda b: b.matches_words("dog", 3),
        lambda b: b.matches_picture(np.ones(16), 3),
        lambda b: b.steering_effects(0, CLASSES, SINGLE),
    ):
        with pytest.raises(
            UserError, match="no concept index.*core.indexing --setup tiny --pictures FOLDER --out INDEX"
        ):
            ask(bench)
    refused = Workbench(replace(bench.setup, index_trouble="It is of another setup."))
    with pytest.raises(UserError, match="is not known. It is of another setup.$"):
        refused.concept(0)


def test_its_reference_pictures_are_a_set_without_labels(indexed: Workbench, index: ConceptIndex) -> None:
    *_, found = indexed.indexed_pictures()
    assert isinstance(found, PictureSet)
    n = min(INDEXED, len(index.pictures))
    assert len(found) == len(set(found.names)) == n
    assert found.label_names == ()
    rows = [int(name.rpartition(" ")[2]) for name in found.names]
    assert rows == [k * len(index.pictures) // n for k in range(n)], "evenly spread"
    crop = indexed.setup.clip.crop(read_picture(index.pictures.webp(rows[-1])))
    assert np.array_equal(found.traces[-1].crop, crop)
    assert list(indexed.indexed_pictures()) == [found], "read once"
