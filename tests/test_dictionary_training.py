"""A dictionary trained on residuals of known make-up finds it, and what is saved is what this project loads."""

import numpy as np
import pytest
import torch

from core.dictionary import Dictionary
from core.dictionary_training import DictionaryRecipe, draw_tokens, train_dictionary

WIDTH, ATOMS = 16, 24


@pytest.fixture(scope="module")
def residuals():
    """Sums of two of 24 directions plus a constant, [200, 5, 16]."""
    rng = np.random.default_rng(0)
    atoms = rng.normal(size=(ATOMS, WIDTH))
    x = np.full((200, 5, WIDTH), 0.5)
    for picture in range(200):
        for token in range(5):
            for atom in rng.choice(ATOMS, 2, replace=False):
                x[picture, token] += rng.uniform(2, 4) * atoms[atom]
    return torch.tensor(x, dtype=torch.float32)


def small(**changes):
    return DictionaryRecipe(
        **{"levels": (12, 48), "k": 3, "samples": 120_000, "batch": 256, "learning_rate": 3e-3} | changes
    )


def test_it_learns_and_saves_what_the_project_loads(residuals, tmp_path):
    train_dictionary(residuals, small(), tmp_path, "cpu")
    dictionary = Dictionary.from_folder(tmp_path, "all")
    assert (dictionary.width, dictionary.n_components) == (WIDTH, 48)
    missed = (residuals - dictionary.reconstruct(residuals)).square().sum()
    spread = (residuals - residuals.mean((0, 1))).square().sum()
    assert missed / spread < 0.25
    active = (dictionary.encode(residuals) != 0).sum(-1).float()
    assert active.mean() == pytest.approx(3, abs=0.5)  # the threshold is calibrated


def test_the_first_components_reconstruct_alone(residuals, tmp_path):
    """Of two dictionaries of the same size, the one with levels holds more in its first components."""

    def held_by_the_first(levels):
        train_dictionary(residuals, small(levels=levels), tmp_path / str(levels), "cpu")
        dictionary = Dictionary.from_folder(tmp_path / str(levels), "all")
        f = dictionary.encode(residuals)[..., :12]
        x_hat = f @ dictionary.directions(np.arange(12)) + dictionary.bias_at(residuals)
        spread = (residuals - residuals.mean((0, 1))).square().sum()
        return 1 - ((residuals - x_hat).square().sum() / spread).item()

    assert held_by_the_first((12, 48)) > held_by_the_first((48,)) + 0.1


def test_class_tokens_are_drawn_as_often_as_asked():
    marked = torch.zeros(50, 7, 4)
    marked[:, 0] = 1  # class tokens
    batch = next(draw_tokens(marked, small(batch=1_000, class_token_share=0.3)))
    assert batch.shape == (1_000, 4)
    assert (batch[:, 0] == 1).sum() == 300


def test_the_same_seed_draws_the_same_tokens(residuals):
    once, again, other = (next(draw_tokens(residuals, small(seed=seed))) for seed in (1, 1, 2))
    assert torch.equal(once, again) and not torch.equal(once, other)
