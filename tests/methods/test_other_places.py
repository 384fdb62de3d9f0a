"""Attribution, steering and what is missed at every place of every family, against the unsplit model.

What is explained is what speaks for a class against another, or the similarity to another picture: the same tests.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from conftest import CLASSES
from torch import Tensor
from unsplit_places import hooked, numbered, own, question_at, whole

from core.methods.attribution import ablation_effects, attribute
from core.methods.question import Question
from core.methods.reconstruction_error import reconstruction_error
from core.methods.steering import Edit, Lever, edited
from core.methods.targets import PictureTarget
from core.model.clip import SplitClip
from core.model.places import ImageEmbedding, MlpOutput, ResidualStream

CASES = [
    *(("clip", place) for place in (MlpOutput(2), ImageEmbedding())),
    *(("siglip", place) for place in (ResidualStream(1), MlpOutput(3), ImageEmbedding())),
    ("metaclip_2", MlpOutput(1)),
    ("clip", ResidualStream(2)),
    *((family, ImageEmbedding(), True) for family in ("clip", "siglip")),
]
"""Family, place, and whether the components are words."""


@dataclass(frozen=True)
class Twin:
    """A question put to a place, and the same put to the unsplit model."""

    question: Question
    pixels: Tensor
    other: Tensor | None
    """Pixels of the picture that the similarity is to, [1, 3, S, S]; None where classes are asked about."""

    def y(self, z: Tensor) -> Tensor:
        """The target of an image embedding [p] of any length, by the formula of its kind, where no bias counts."""
        if self.other is not None:
            v = whole(self.clip.model, self.other)[0].to(z)
            return 100 * (z @ v) / (z.norm() * v.norm())
        values = self.clip.scoring.scale * (self.question.classifier.to(z) @ (z / z.norm()))
        return values[0] - values[1]

    @property
    def clip(self) -> SplitClip:
        return self.question.model.clip

    def value(self, change: Tensor | None = None) -> float:
        """y by the unsplit model, float64, with `change` [T, d] added at the place."""
        with hooked(self.clip.model, self.clip.place, None if change is None else own(self.clip, change[None])):
            z = whole(self.clip.model, self.pixels)[0].double()
        return float(self.y(z))

    def gradient(self) -> tuple[Tensor, Tensor]:
        """What the unsplit model has at the place, and dy of it, [T, d] each."""
        with (
            torch.enable_grad(),
            hooked(self.clip.model, self.clip.place, torch.zeros((), requires_grad=True)) as seen,
        ):
            z = self.clip.model.get_image_features(pixel_values=self.pixels).pooler_output[0]
            (gradient,) = torch.autograd.grad(self.y(z), seen[0])
        return numbered(self.clip, seen[0].detach())[0], numbered(self.clip, gradient)[0]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]} {case[1].NAME}{' words' * len(case[2:])}")
def of_classes(request: pytest.FixtureRequest) -> Twin:
    question = question_at(*request.param)
    return Twin(question, question.model.clip.pixels(question.trace.crop[None]), None)


@pytest.fixture(scope="module", params=["classes", "picture"])
def twin(request: pytest.FixtureRequest, of_classes: Twin) -> Twin:
    if request.param == "classes":
        return of_classes
    question = of_classes.question
    other = np.random.default_rng(8).integers(0, 256, question.trace.crop.shape, dtype=np.uint8)
    alike = PictureTarget.like(question.model.trace(other).embedding, "another")
    return replace(of_classes, question=replace(question, target=alike), other=question.model.clip.pixels(other[None]))


def test_the_value_is_that_of_the_unsplit_model(twin: Twin) -> None:
    assert twin.question.value / 100 == pytest.approx(twin.value() / 100, abs=1e-5)
    assert attribute(twin.question).value == pytest.approx(twin.value(), abs=1e-3)


def test_the_trace_says_what_it_holds(of_classes: Twin) -> None:
    trace, clip = of_classes.question.trace, of_classes.clip
    assert trace.has_map == (clip.place.NAME != "embedding")
    assert trace.class_token == (clip.family.CLASS_TOKEN and trace.has_map)
    assert len(trace.residual) == trace.activations.n_tokens == 1 + trace.grid[0] * trace.grid[1]
    assert (trace.part_seen is not None) == (clip.place.NAME == "mlp")
    assert trace.seen.shape == trace.residual.shape
    assert ("patches" in trace.preview().title, "CLS" in trace.preview().title) == (trace.has_map, trace.class_token)


def test_contributions_and_what_they_leave_are_those_of_the_unsplit_model(twin: Twin) -> None:
    """The slow way: one pair of token and component at a time, and every part by its own formula."""
    seen, gradient = twin.gradient()
    found, trace, dictionary = attribute(twin.question), twin.question.trace, twin.question.model.dictionary
    f = dictionary.encode(seen)
    v = dictionary.directions(np.arange(dictionary.n_components))
    slow = {}
    for j in range(dictionary.n_components):
        if f[:, j].any():
            slow[j] = sum(float(f[t, j]) * float(v[j] @ gradient[t]) for t in range(len(seen)))
    assert list(slow) == found.component.tolist()
    np.testing.assert_allclose(found.total, list(slow.values()), atol=2e-4)
    inside = list(dictionary.tokens(len(seen)))
    x = torch.as_tensor(trace.residual)
    parts = found.completeness
    b = dictionary.bias_at(seen)
    error = sum(float((seen[t] - f[t] @ v - b[t]) @ gradient[t]) for t in inside)
    bias = sum(float(b[t] @ gradient[t]) for t in inside)
    past = sum(float((x[t] - (seen[t] if t in inside else 0)) @ gradient[t]) for t in range(len(seen)))
    assert parts.error == pytest.approx(error, abs=2e-3)
    assert parts.bias == pytest.approx(bias, abs=2e-3)
    assert parts.rest == pytest.approx(past, abs=2e-3)
    assert parts.whole == pytest.approx(parts.components + error + bias + past, abs=5e-3)
    assert parts.gap == pytest.approx(0, abs=1e-9)
    if not trace.has_map:  # a cosine does not know how long the embedding is
        assert parts.whole == pytest.approx(0, abs=1e-4)


def test_the_integral_is_what_all_components_do(twin: Twin) -> None:
    found = attribute(twin.question, "integrated", n_steps=64)
    model, trace = twin.question.model, twin.question.trace
    without = twin.value(-model.dictionary.decode(trace.activations))
    assert found.completeness.whole == pytest.approx(twin.value() - without, abs=1e-3)
    assert abs(found.completeness.gap) < 0.05 * abs(found.completeness.whole) + 0.05


def test_levers_move_the_target_as_in_the_unsplit_model(twin: Twin) -> None:
    model, trace = twin.question.model, twin.question.trace
    one, other = attribute(twin.question).ranked()[[0, -1]].tolist()
    for edit in (
        Edit((Lever(one), Lever(other, "scale", -2.0))),
        Edit((Lever(one, "set", 3.0),), tokens=(0, 2)),
        Edit((Lever(one, "scale", 2.0, at_least=0.1),)),
    ):
        if edit.tokens and len(trace.residual) == 1:
            edit = edit.among(None)
        change = model.dictionary.decode(edited(trace.activations, edit, model.dictionary))
        change -= model.dictionary.decode(trace.activations)
        (effect,) = twin.question.effects(twin.question.steered([edit]))
        assert change.any()
        assert effect == pytest.approx(twin.value(change) - twin.value(), abs=1e-4)
    assert twin.question.effects(twin.question.steered([Edit()])).tolist() == [0.0]


def test_what_is_measured_is_the_unsplit_model_without_the_component(twin: Twin) -> None:
    dictionary, trace = twin.question.model.dictionary, twin.question.trace
    chosen = trace.activations.components()[:4]
    found = ablation_effects(twin.question, chosen)
    for j, effect in zip(chosen.tolist(), found.tolist(), strict=True):
        without = -torch.outer(torch.as_tensor(trace.activations.of(j)), dictionary.directions(np.array([j]))[0])
        assert effect == pytest.approx(twin.value() - twin.value(without), abs=1e-4)


def test_what_is_missed_is_of_what_is_read(of_classes: Twin) -> None:
    model, trace = of_classes.question.model, of_classes.question.trace
    found = reconstruction_error(model, trace, of_classes.question.classifier, CLASSES)
    inside = list(model.dictionary.tokens(len(trace.residual)))
    seen = torch.as_tensor(trace.seen)
    again = seen.clone()
    again[inside] = model.dictionary.reconstruct_seen(seen[inside])
    target = of_classes.question.target
    through, before = (target.of(one.logits, one.unit_embedding) for one in (found.through, found.before))
    difference = through - before
    assert difference == pytest.approx(of_classes.value(again - seen) - of_classes.value(), abs=1e-4)
    assert (found.explained_variance is None) == (len(inside) == 1)
    if 0 in inside:
        share = ((seen - again)[0].square().sum() / seen[0].square().sum()).item()
        assert found.cls_share == pytest.approx(share, rel=1e-4)


def test_a_picture_as_an_edit_leaves_it_has_the_difference_in_both_parts(of_classes: Twin) -> None:
    model, trace = of_classes.question.model, of_classes.question.trace
    edit = Edit((Lever(int(trace.activations.components()[0]), "scale", 3.0),))
    (x,) = of_classes.question.steered([edit])
    left = model.moved(trace, x, edited(trace.activations, edit, model.dictionary))
    np.testing.assert_allclose(left.seen - trace.seen, left.residual - trace.residual, atol=1e-5)
    np.testing.assert_allclose(model.dictionary.decode(left.activations) - model.dictionary.decode(trace.activations),
                               left.residual - trace.residual, atol=1e-5)  # fmt: skip
    assert left.class_token == trace.class_token
    assert left.grid == trace.grid
