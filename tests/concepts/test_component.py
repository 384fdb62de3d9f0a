"""One component of a concept index, as it is shown."""

import io
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import CLASSES, COMPONENTS
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_index import EDGES, PICTURES, VOCABULARY

from core.concepts.component import Histogram, activating_examples, concept, histogram, neighbours
from core.concepts.effects import crops_of, steering_effects, strength_of
from core.concepts.index import ConceptIndex
from core.errors import UserError
from core.model.clip import SplitClip
from core.model.dictionary import Dictionary
from core.model.sae_clip import SaeClip


def test_a_concept_is_what_the_index_holds(index: ConceptIndex) -> None:
    for j in range(COMPONENTS):
        found = concept(index, j)
        assert found.component == j
        assert found.dead == (j % 5 == 4) == (found.fired == 0)
        assert found.frequency == index.active_pictures[j] / PICTURES
        assert found.pictures == PICTURES
        assert (found.peak, found.mean_active) == (index.peak[j], index.mean_active[j])
        words = [VOCABULARY[word] for word in index.label[j] if word >= 0]
        assert [guess.word for guess in found.guesses] == words
        assert found.label == (words[0] if words else None)
        assert found.others == found.guesses[1:]
        assert found.alignment == (index.alignment[j, 0] if words else 0)
        assert found.clarity == (None if np.isnan(index.clarity[j]) else index.clarity[j])
        assert found == pickle.loads(pickle.dumps(found)), "plain, and nothing in it that is not equal to itself"


def test_the_usual_clarity_is_that_of_arbitrary_pictures(index: ConceptIndex) -> None:
    rng = np.random.default_rng(0)
    units = rng.normal(size=(400, 16)) + 0.5
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    found = concept(replace(index, average=units.mean(0).astype(np.float32)), 0)
    pairs = np.mean([units[a] @ units[b] for a, b in rng.integers(0, 400, (20_000, 2))])
    assert found.usual == pytest.approx(pairs, abs=0.01)


@pytest.mark.parametrize("kind", ["top", "mean", "mid"])
def test_shots_are_the_reference_pictures(index: ConceptIndex, kind: str) -> None:
    held = getattr(index, kind)
    for j in range(COMPONENTS):
        found = activating_examples(index, j, kind, 4)  # type: ignore[arg-type]
        assert len(found) == min(4, (held.picture[j] >= 0).sum())
        for place, example in enumerate(found):
            at = j * held.picture.shape[1] + place
            region = np.zeros(16)
            for k in range(held.start[at], held.start[at + 1]):
                region[held.patch[k]] = held.share[k] / 255
            np.testing.assert_allclose(example.region, region.reshape(4, 4), rtol=1e-6)
            assert example.row == held.picture[j, place]
            assert example.value == held.value[j, place]
            assert example.on_cls == (held.token[j, place] == 0)
            assert Image.open(io.BytesIO(example.webp)).size == (24, 24)
            assert example.webp == index.pictures.webp(example.row)


def test_the_histogram_is_the_filled_part_of_the_histogram(index: ConceptIndex) -> None:
    for j in range(COMPONENTS):
        found = histogram(index, j)
        if j % 5 == 4:
            assert found is None
            continue
        assert found is not None
        assert len(found.edges) == len(found.counts) + 1
        assert found.counts[0]
        assert found.counts[-1]
        assert found.counts.sum() == index.active_tokens[j]
        for low, high, count in zip(found.edges, found.edges[1:], found.counts, strict=False):
            assert count == index.histogram[j, list(EDGES).index(low)]
            assert high == EDGES[list(EDGES).index(low) + 1]


@given(st.integers(0, 50), st.floats(0.05, 1.5))
def test_quantiles_are_those_of_the_activations(seed: int, width: float) -> None:
    values = np.random.default_rng(seed).lognormal(0.3, width, 4000)
    counts, _ = np.histogram(np.clip(values, EDGES[0], EDGES[-1] * 0.999), EDGES)
    filled = np.flatnonzero(counts)
    histogram = Histogram(EDGES[filled[0] : filled[-1] + 2], counts[filled[0] : filled[-1] + 1])
    shares = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
    found = [histogram.quantile(share) for share in shares]
    assert found == sorted(found)
    assert (found[0], found[-1]) == pytest.approx((histogram.edges[0], histogram.edges[-1]))
    off = np.abs(np.log(np.array(found[1:-1]) / np.quantile(values, shares[1:-1])))
    assert off.max() < (0.08 if width > 0.5 else np.log(2) / 2)


def test_neighbours_are_the_lists_without_empty_places(index: ConceptIndex) -> None:
    for j in range(COMPONENTS):
        for by, who, how in (
            ("direction", index.near, index.near_cosine),
            ("firing", index.coactivated, index.coactivation),
        ):
            found = neighbours(index, j, by, 4)  # type: ignore[arg-type]
            wanted = [(a, b) for a, b in zip(who[j].tolist(), how[j].tolist(), strict=True) if a >= 0]
            assert [(one.component, one.value) for one in found] == wanted[:4]


@pytest.mark.parametrize("component", [-1, COMPONENTS, 10**9])
def test_there_is_no_such_component(
    index: ConceptIndex, clip: SplitClip, dictionary: Dictionary, classifier: torch.Tensor, component: int
) -> None:
    with pytest.raises(UserError, match="no component.*48"):
        concept(index, component)
    for ask in (
        lambda: activating_examples(index, component),
        lambda: histogram(index, component),
        lambda: neighbours(index, component, "firing"),
        lambda: strength_of(index, component),
        lambda: crops_of(index, component, 3, 32),
        lambda: steering_effects(
            SaeClip(clip, dictionary), component, 1.0, np.zeros((0, 32, 32, 3), np.uint8), classifier, CLASSES
        ),
    ):
        with pytest.raises(UserError, match="no component"):
            ask()
