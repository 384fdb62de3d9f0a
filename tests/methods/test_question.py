"""A question against its parts, one picture and one edit at a time, and what an edit that does nothing does."""

import numpy as np
import pytest
import torch
from conftest import COMPONENTS

from core.errors import UserError
from core.methods.question import Question
from core.methods.steering import Edit, Lever, steer
from core.methods.targets import ClassTarget
from core.model.clip import SplitClip, logits
from core.model.dictionary import Dictionary
from core.model.sae_clip import SaeClip
from core.model.trace import Trace

EDITS = (
    Edit(),
    Edit.of_suppressed(range(0, COMPONENTS, 3)),
    Edit((Lever(1, "set", 2.0), Lever(5, "scale", 3.0)), (0, 2)),
)


@pytest.fixture(scope="module")
def question(clip: SplitClip, dictionary: Dictionary, trace: Trace, classifier: torch.Tensor) -> Question:
    return Question(SaeClip(clip, dictionary), trace, classifier, ClassTarget(0, 1))


@torch.no_grad()
def alone(question: Question, edit: Edit) -> tuple[np.ndarray, np.ndarray]:
    """The embedding and the logits under one edit, by hand."""
    clip, trace = question.model.clip, question.trace
    x = steer(torch.as_tensor(trace.residual), trace.activations, [edit], question.model.dictionary)
    z = clip.embed_from_residual(x)[0]
    return z.numpy(), logits(z, question.classifier, clip.scoring).numpy()


def test_place_steer_embed_and_logits(question: Question) -> None:
    residuals, embeddings = question.steered(EDITS), question.embeddings_under(EDITS)
    for edit, z, answer, y, value in zip(
        EDITS, embeddings, *question.answers(residuals), question.values(residuals), strict=True
    ):
        expected, said = alone(question, edit)
        np.testing.assert_allclose(z, expected, atol=1e-5)
        np.testing.assert_allclose(answer, said, atol=1e-4)
        assert y.item() == pytest.approx(said[0] - said[1], abs=1e-4)
        assert value.item() == pytest.approx(said[0] - said[1], abs=1e-4)
    effects = question.effects(residuals)
    whole = question.value
    assert effects.dtype == np.float32
    assert len(effects) == len(EDITS)
    for edit, effect in zip(EDITS, effects, strict=True):
        said = alone(question, edit)[1]
        assert effect == pytest.approx(said[0] - said[1] - whole, abs=1e-4)


def test_an_edit_that_does_nothing_is_seen_to_do_nothing_in_any_batch(question: Question) -> None:
    f = question.trace.activations
    idle = next(j for j in range(COMPONENTS) if j not in f.component)
    nothing = [Edit(), Edit.of_suppressed([idle]), Edit((Lever(int(f.component[0]), "scale", 1.0),))]
    for others in ([], [EDITS[1]], [EDITS[1], EDITS[2]] * 5):
        residuals = question.steered([*others, *nothing])
        assert not question.effects(residuals)[len(others) :].any()
        for z in question.embeddings_under([*others, *nothing])[len(others) :]:
            assert np.array_equal(z, question.trace.embedding)
        for answer in question.answers(residuals)[0][len(others) :]:
            assert torch.equal(answer, question.logits)


def test_the_model_is_not_run_for_what_no_edit_changed(question: Question, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question.model.clip, "embed_from_residual", None)
    assert not question.effects(question.steered([Edit(), Edit()])).any()


def test_a_target_that_is_not_among_the_classes(question: Question) -> None:
    wrong = Question(question.model, question.trace, question.classifier, ClassTarget(9))
    with pytest.raises(UserError, match="no class number 9"):
        _ = wrong.value
