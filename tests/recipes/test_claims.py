"""Claims: what a trial of an edit says of it, and that a recipe knows its setup."""

import numpy as np
import pytest
from scipy.stats import beta
from tiny_recipes import recipe_of, setup_of

from core.errors import UserError
from core.methods.generalization import Generalization
from core.model.clip import SplitClip
from core.recipes import check_setup, claim_of


def trial(before: list[int], after: list[int], truth: list[int]) -> Generalization:
    n = len(before)
    changed = np.array(before) != np.array(after)
    return Generalization(
        before=np.array(before), after=np.array(after), truth=np.array(truth), group=np.full(n, ""),
        touched=changed | (np.arange(n) == 0), lead=np.zeros(n, np.float32), lead_after=np.zeros(n, np.float32),
        classes=("a", "b"), shown=np.zeros(0, int), crops=np.zeros((0, 2, 2, 3), np.uint8),
    )  # fmt: skip


def test_a_claim_counts_and_bounds() -> None:
    found = claim_of(
        trial([0, 0, 1, 1, 0, 0], [0, 1, 0, 1, 1, 0], [0, 0, 0, 0, -1, 0]), "six", unseen=True, confidence=0.9
    )
    assert (found.n, found.acts, found.changes) == (6, 4, 3)
    assert (found.wrong, found.right, found.fixed, found.broken) == (2, 3, 1, 1)
    assert found.broken_at_most == pytest.approx(beta.ppf(0.9, 2, 2))
    assert found.fixed_at_least == pytest.approx(beta.ppf(0.1, 1, 2))
    assert "Of pictures like these it breaks at most" in found.said


def test_without_labels_nothing_is_bound() -> None:
    found = claim_of(trial([0, 0], [0, 1], [-1, -1]), "two", unseen=True)
    assert (found.broken_at_most, found.fixed_at_least) == (None, None)
    assert found.said == "two (2 pictures): acts in 2, changes the answer of 1."


def test_pictures_that_the_edit_was_chosen_with_promise_nothing() -> None:
    found = claim_of(trial([0], [1], [1]), "one", unseen=False)
    assert "promises nothing of others" in found.said


def test_a_recipe_knows_its_setup(clip: SplitClip) -> None:
    setup = setup_of(clip, "topk")
    check_setup(recipe_of(setup), setup)
    for other in (setup_of(clip, "topk", k=6), setup_of(clip, "topk", "cls"), setup_of(clip, "jumprelu")):
        with pytest.raises(UserError, match=r"of another setup, 'tiny': a with b, after layer 1"):
            check_setup(recipe_of(setup), other)
