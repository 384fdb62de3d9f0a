"""The number that is explained, and which one it is when nobody says."""

import pickle

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.methods.dose_response import responses
from core.methods.question import Question
from core.methods.side_effects import side_effects
from core.methods.steering import Edit
from core.methods.targets import ClassTarget, PictureTarget, Target, default_target
from core.model.clip import SplitClip
from core.model.dictionary import Dictionary
from core.model.prediction import Prediction
from core.model.sae_clip import SaeClip
from core.model.trace import Trace


def prediction(*logits: float) -> Prediction:
    values = np.array(logits, dtype=np.float32)
    return Prediction(tuple("abcd"[: len(logits)]), values, values, values)


def test_target_of_logits() -> None:
    values = torch.tensor([[1.0, 5.0, -2.0], [0.0, 3.0, 4.0]])
    assert ClassTarget(1).of(values, values).tolist() == [5.0, 3.0]
    assert ClassTarget(1, 2).of(values, values).tolist() == [7.0, -1.0]


@pytest.mark.parametrize("target", [ClassTarget(3), ClassTarget(-1), ClassTarget(0, 3), ClassTarget(1, 1)], ids=str)
def test_targets_that_make_no_sense_are_trouble(target: ClassTarget) -> None:
    with pytest.raises(UserError):
        target.of(torch.zeros(2, 3), torch.zeros(2, 4))


@pytest.mark.parametrize(
    ("should_be", "expected"),
    [(None, ClassTarget(1)), (0, ClassTarget(1, 0)), (2, ClassTarget(1, 2)), (1, ClassTarget(1, 2))],
)
def test_default_target(should_be: int | None, expected: ClassTarget) -> None:
    assert default_target(prediction(0.0, 5.0, 2.0), should_be) == expected


def test_default_target_of_a_single_class() -> None:
    assert default_target(prediction(3.0), 0) == default_target(prediction(3.0), None) == ClassTarget(0)


def test_similarity_is_the_cosine_in_hundredths_whatever_the_lengths() -> None:
    rng = np.random.default_rng(0)
    z, other = rng.standard_normal((3, 7)), rng.standard_normal(7)
    target = PictureTarget.like(5 * other, "An owl.")
    units = z / np.linalg.norm(z, axis=1, keepdims=True)
    expected = [100 * float(one @ other) / float(np.linalg.norm(one) * np.linalg.norm(other)) for one in z]
    nothing = np.zeros((3, 2))
    np.testing.assert_allclose(target.of(nothing, units), expected, atol=1e-5)
    np.testing.assert_allclose(target.of(torch.as_tensor(nothing), torch.as_tensor(units)), expected, atol=1e-5)
    assert target.of(nothing[0], target.unit_embedding) == pytest.approx(100, abs=1e-4)
    assert (target.UNIT, target.per_cosine(14.3), target.classes) == ("hundredths of cosine", 100, ())


@pytest.mark.parametrize("target", [ClassTarget(1), ClassTarget(0, 2), PictureTarget.like(np.ones(4), "x")], ids=str)
def test_the_target_of_changes_is_the_change_of_the_target(target: Target) -> None:
    rng = np.random.default_rng(1)
    (logits, others), (units, turned) = rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 5, 4))
    change = target.of(others, turned) - target.of(logits, units)
    np.testing.assert_allclose(target.of(others - logits, turned - units), change, atol=1e-5)


def test_targets_in_words() -> None:
    names = ["dog", "cat", "owl"]
    alone, against, alike = ClassTarget(1), ClassTarget(1, 0), PictureTarget.like(np.ones(2), "An owl: it sleeps.")
    assert [one.named(names) for one in (alone, against, alike)] == [
        "“cat”", "“cat” against “dog”", "similarity to an owl",
    ]  # fmt: skip
    assert [one.short(names) for one in (alone, against, alike)] == ["cat", "cat − dog", "similarity"]
    assert alone.sides(names) == ("For “cat”", "Against “cat”")
    assert against.sides(names) == ("For “cat”, against “dog”", "Against “cat”, for “dog”")
    assert alike.sides(names) == ("Makes them alike", "Tells them apart")
    assert pickle.loads(pickle.dumps(alike)) == alike != against


def test_what_stands_beside_a_similarity_is_in_its_unit(
    clip: SplitClip, dictionary: Dictionary, trace: Trace, classifier: torch.Tensor
) -> None:
    """Classes along the doses, and concepts, here the same ones: 100 times the change of their cosines."""
    question = Question(SaeClip(clip, dictionary), trace, classifier, PictureTarget.like(trace.embedding[::-1], "x"))
    edit = Edit.of_suppressed(trace.activations.components()[:3].tolist())
    t = classifier.double().numpy()
    before, after = (z.double().numpy() for z in (question.embedding, question.embeddings_under([edit])[0]))
    moved = 100 * (t @ after / np.linalg.norm(after) - t @ before / np.linalg.norm(before))
    (ripple,) = side_effects(question, [edit], list("abcde")[: len(t)], classifier)
    np.testing.assert_allclose(ripple.change, moved, atol=1e-4)
    (response, *_) = responses(question, edit)
    np.testing.assert_allclose(response.classes_moved[response.doses.tolist().index(0.0)], moved, atol=1e-3)
    assert response.moved[response.doses.tolist().index(0.0)] == pytest.approx(ripple.effect, abs=1e-3)
    assert {ripple.unit, response.unit} == {"hundredths of cosine"}
    assert len(response.most_affected(len(t))) == len(t), "no class is part of the target"
