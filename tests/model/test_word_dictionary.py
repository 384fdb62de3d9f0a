"""Words as a dictionary, against a slow solution of the same problem, and the conditions that the least has to meet."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.errors import UserError
from core.model.word_dictionary import PENALTIES, WordDictionary, with_active

P, M = 12, 30


def drawn(seed: int, penalty: float = 0.05) -> tuple[WordDictionary, Tensor, Tensor, Tensor]:
    """Words in a cone, their texts, pictures in another cone of any length, and what all pictures share."""
    torch.manual_seed(seed)
    texts = torch.nn.functional.normalize(2 * torch.randn(P) + torch.randn(M, P), dim=-1)
    pictures = (2 * torch.randn(P) + torch.randn(5, P)) * torch.rand(5, 1) * 9
    mean = torch.nn.functional.normalize(pictures, dim=-1).mean(0)
    return WordDictionary([f"word {k}" for k in range(M)], texts, mean, penalty), texts, pictures, mean


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def by_hand(texts: Tensor, picture: Tensor, mean: Tensor, penalty: float) -> tuple[np.ndarray, np.ndarray, float]:
    """w by projected gradient descent of |C w - u|^2 + 2 penalty sum w over w >= 0; C [m, p]; and |z| s."""
    t, z, m = (each.double().numpy() for each in (texts, picture, mean))
    directions, apart = unit(t - t.mean(0)), unit(z) - m
    u = unit(apart)
    w = np.zeros(len(directions))
    step = 1 / np.linalg.eigvalsh(directions @ directions.T).max()
    for _ in range(3_000):
        w = np.maximum(0, w - step * (directions @ (w @ directions - u) + penalty))
    return w, directions, float(np.linalg.norm(z) * np.linalg.norm(apart))


@pytest.mark.parametrize("penalty", [0.05, 0.3])
def test_words_are_the_least_of_the_objective(penalty: float) -> None:
    dictionary, texts, pictures, mean = drawn(1, penalty)
    f = dictionary.encode_seen(pictures[:2])
    for picture, row in zip(pictures, f, strict=False):
        w, directions, size = by_hand(texts, picture, mean, penalty)
        assert 0 < np.count_nonzero(row) < P
        np.testing.assert_allclose(row.numpy(), size * w, atol=1e-4 * size)
        np.testing.assert_allclose(dictionary.directions(np.arange(M)).numpy(), directions, atol=1e-6)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), penalty=st.sampled_from(PENALTIES))
def test_no_word_could_be_moved_to_the_better(seed: int, penalty: float) -> None:
    """The Karush-Kuhn-Tucker conditions: c_k (u - C w) is the penalty where w_k > 0, and at most that elsewhere."""
    dictionary, _, pictures, _ = drawn(seed, penalty)
    units, _ = dictionary._split(pictures[:2])
    for u in units:
        w = dictionary._solved(u, penalty)
        slope = dictionary._columns.T @ (u - dictionary._columns @ w)
        assert (w >= 0).all()
        assert slope.max() <= penalty + 1e-7
        np.testing.assert_allclose(slope[w > 0], penalty, atol=1e-7)


def test_an_embedding_is_its_words_the_mean_and_what_they_miss() -> None:
    dictionary, texts, pictures, mean = drawn(2)
    x = pictures[:1]
    w, directions, size = by_hand(texts, pictures[0], mean, 0.05)
    z = pictures[0].double().numpy()
    missed = z - size * w @ directions - np.linalg.norm(z) * mean.double().numpy()
    error = x - dictionary.reconstruct(x)
    np.testing.assert_allclose(error[0].numpy(), missed, atol=1e-4)
    found = dictionary.activations(x)
    again = dictionary.decode(found) + dictionary.bias_at(x) + error
    torch.testing.assert_close(again, x, atol=1e-5, rtol=1e-5)
    assert found.component.tolist() == np.flatnonzero(w > 1e-9).tolist()
    # what is missed is no more than the mean alone would miss
    assert error.norm() < (x - dictionary.bias_at(x)).norm()


def test_a_longer_embedding_has_the_same_words_more_strongly() -> None:
    dictionary, _, pictures, _ = drawn(3)
    torch.testing.assert_close(dictionary.encode(7 * pictures), 7 * dictionary.encode(pictures), rtol=1e-5, atol=1e-5)


def test_what_is_read_beside_a_picture_does_not_matter() -> None:
    dictionary, _, pictures, _ = drawn(4)
    together = dictionary.encode(pictures[:, None])
    for picture, f in zip(pictures, together, strict=True):
        assert torch.equal(dictionary.encode(picture[None]), f)


def test_nothing_beyond_the_mean_has_no_words_and_what_is_no_number_has_none_either() -> None:
    dictionary, _, pictures, _ = drawn(5)
    dictionary = WordDictionary(dictionary.words, drawn(5)[1], pictures[0] / pictures[0].norm(), 0.05)
    assert not dictionary.encode(torch.zeros(1, P)).any()
    assert dictionary.encode(pictures[:1]).abs().max() < 1e-5 * pictures[0].norm()
    assert dictionary.encode(torch.full((1, P), float("nan"))).isnan().all()


def test_the_penalty_is_the_largest_with_so_many_words() -> None:
    dictionary, texts, pictures, mean = drawn(6)
    chosen = with_active(dictionary.words, texts, pictures, mean, 4)

    def active(penalty: float) -> float:
        found = WordDictionary(dictionary.words, texts, mean, penalty)
        return float((found.encode(pictures[:, None]) != 0).sum() / len(pictures))

    before = PENALTIES[PENALTIES.index(chosen.penalty) - 1]
    assert active(chosen.penalty) >= 4 > active(before)
    assert with_active(dictionary.words, texts, pictures, mean, 10 * M).penalty == PENALTIES[-1]


def test_a_word_is_nearest_to_its_own_text() -> None:
    dictionary, texts, _, _ = drawn(7)
    near = dictionary.nearness(texts[3])
    assert near.argmax() == 3
    assert near[3] == pytest.approx(1, abs=1e-6)


def test_it_moves_and_is_no_sae() -> None:
    dictionary, _, _, _ = drawn(8)
    assert dictionary.to("cpu") is dictionary
    assert dictionary.to("meta").device.type == "meta"
    assert dictionary.device.type == "cpu"
    assert dictionary.n_bytes > 4 * M * P + 8 * M * (M + P)
    with pytest.raises(UserError, match="not those of an SAE"):
        _ = dictionary.sae
    with pytest.raises(ValueError, match="2 words with 30"):
        WordDictionary(["a", "b"], drawn(8)[1], torch.zeros(P), 0.1)
