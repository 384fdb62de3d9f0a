"""Search by words and by a picture, against plain arithmetic."""

import numpy as np
import pytest
from conftest import COMPONENTS

from core.concepts import search as module
from core.concepts.index import ConceptIndex
from core.concepts.search import matches_picture, matches_words


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_words_match_by_their_own_alignment_less_that_of_all_words(index: ConceptIndex) -> None:
    rng = np.random.default_rng(1)
    text, others = rng.normal(size=16), rng.normal(size=(9, 16))
    text, others = text / np.linalg.norm(text), others / np.linalg.norm(others, axis=1, keepdims=True)
    z = index.embedding
    wanted = {
        j: cosine(z[j], text) - float(np.mean([cosine(z[j], other) for other in others]))
        for j in range(COMPONENTS)
        if j % 5 != 4
    }
    found = matches_words(index, text, others.mean(0), 100)
    assert [match.component for match in found] == sorted(wanted, key=lambda j: -wanted[j])
    for match in found:
        assert match.score == pytest.approx(wanted[match.component], abs=1e-5)
    assert matches_words(index, text, others.mean(0), 3) == found[:3]


def test_a_picture_matches_by_what_sets_it_apart(index: ConceptIndex) -> None:
    picture = np.random.default_rng(2).normal(size=16)
    unit = picture / np.linalg.norm(picture)
    wanted = {
        j: cosine(index.embedding[j] - index.average, unit - index.average) for j in range(COMPONENTS) if j % 5 != 4
    }
    found = matches_picture(index, picture, 100)
    assert [match.component for match in found] == sorted(wanted, key=lambda j: -wanted[j])
    for match in found:
        assert match.score == pytest.approx(wanted[match.component], abs=1e-5)
    assert matches_picture(index, 7 * picture, 5) == found[:5], "of any length"


def test_many_components_are_searched_a_few_at_a_time(index: ConceptIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.random.default_rng(2).normal(size=16)
    whole = matches_picture(index, picture, 100)
    monkeypatch.setattr(module, "_AT_A_TIME", 7)
    found = matches_picture(index, picture, 100)
    assert [match.component for match in found] == [match.component for match in whole]
    np.testing.assert_allclose([match.score for match in found], [match.score for match in whole], atol=1e-6)
