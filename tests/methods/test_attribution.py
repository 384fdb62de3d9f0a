"""Attributions against finite differences in float64, and ablations through the unsplit model with a hook."""

import itertools
import pickle
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from conftest import CLASSES, COMPONENTS, tiny_model, tiny_sae, tiny_tokenizer
from PIL import Image
from transformers import CLIPImageProcessorPil

from core.errors import UserError
from core.methods.attribution import ablation_effects, attribute
from core.methods.question import Question
from core.methods.targets import ClassTarget
from core.model.clip import SplitClip, text_classifier
from core.model.dictionary import Dictionary
from core.model.places import ResidualStream
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary
from core.model.scope import Scope
from core.model.trace import Trace

SETUPS: list[tuple[int, str, Scope, str]] = [
    (0, "jumprelu", "all", "none"),
    (1, "topk", "all", "none"),
    (1, "abstopk", "patches", "none"),
    (1, "topk", "patches", "layer_norm"),
    (2, "standard", "all", "none"),
    (2, "gated", "cls", "none"),
    (3, "topk", "all", "none"),
]
TARGETS = [ClassTarget(0), ClassTarget(3), ClassTarget(0, 1), ClassTarget(4, 2)]


class Case:
    """A setup in float64 with one picture, and everything that is asked of it, worked out slowly."""

    def __init__(self, layer: int, architecture: str, scope: Scope, normalisation: str, picture: Image.Image) -> None:
        processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
        self.clip = SplitClip(tiny_model().double(), processor, tiny_tokenizer(), ResidualStream(layer))
        settings = {"rescale_acts_by_decoder_norm": True} if architecture == "topk" else {}
        sae = tiny_sae(architecture, **settings).to(dtype=torch.float64)
        sae.cfg.normalize_activations = normalisation
        self.dictionary = SaeDictionary(sae, scope)
        self.classifier = text_classifier(self.clip, CLASSES, ("a photo of a {}",))
        self.trace: Trace = SaeClip(self.clip, self.dictionary).traces([self.clip.crop(picture)])[0]
        self.x = torch.as_tensor(self.trace.residual)
        # Activations are stored in float32: the slow way starts from the same numbers.
        self.f = np.zeros((17, COMPONENTS))
        for j in range(COMPONENTS):
            self.f[:, j] = self.trace.activations.of(j)
        decode = self.dictionary.sae.decode
        self.v = (decode(torch.eye(COMPONENTS).double()) - decode(torch.zeros(1, COMPONENTS).double())).numpy()
        self.inside = {"all": slice(0, 17), "cls": slice(0, 1), "patches": slice(1, 17)}[scope]
        self.bias = np.tile(sae.b_dec.detach().numpy(), (17, 1))
        if normalisation == "layer_norm":
            x = self.x.numpy()
            self.bias = x.mean(1, keepdims=True) + x.std(1, ddof=1, keepdims=True) * self.bias

    def question(self, target: ClassTarget) -> Question:
        """What the methods are asked."""
        return Question(SaeClip(self.clip, self.dictionary), self.trace, self.classifier, target)

    def y(self, x: np.ndarray, target: ClassTarget) -> float:
        """The target through the unsplit model: a hook puts x in place of the residual after layer L."""
        layer = self.clip.model.vision_model.encoder.layers[self.clip.layer]
        hook = layer.register_forward_hook(lambda module, inputs, output: torch.as_tensor(x)[None])
        with torch.no_grad():
            z = self.clip.model.get_image_features(pixel_values=self.clip.pixels(self.trace.crop[None])).pooler_output
        hook.remove()
        cosines = (z[0] / z[0].norm()) @ self.classifier.T
        y = cosines[target.wanted] - (0 if target.against is None else cosines[target.against])
        return float(np.exp(self.clip.model.logit_scale.item()) * y)

    def slope(self, x: np.ndarray, direction: np.ndarray, target: ClassTarget, h: float = 1e-4) -> float:
        """<direction, dy/dx> by a central difference."""
        return (self.y(x + h * direction, target) - self.y(x - h * direction, target)) / (2 * h)

    def part(self, j: int) -> np.ndarray:
        """f_tj v_j for every token, [T, d]."""
        return self.f[:, j, None] * self.v[j]


@pytest.fixture(scope="module", params=SETUPS, ids=lambda setup: "-".join(map(str, setup)))
def case(request: pytest.FixtureRequest, picture: Image.Image) -> Case:
    layer, architecture, scope, normalisation = request.param
    return Case(layer, architecture, scope, normalisation, picture)


@pytest.fixture(params=TARGETS, ids=str)
def target(request: pytest.FixtureRequest) -> ClassTarget:
    return request.param


def test_value_is_the_target(case: Case, target: ClassTarget) -> None:
    attribution = attribute(case.question(target))
    assert attribution.value == pytest.approx(case.y(case.x.numpy(), target), abs=1e-9)
    assert attribution.target == target
    assert attribution.method == "gradient"


def test_gradient_pairs_equal_finite_differences(case: Case) -> None:
    target = ClassTarget(0, 1)
    found = case.trace.activations
    attribution = attribute(case.question(target))
    assert len(attribution.pair) == len(found.value) >= 5
    chosen = np.random.default_rng(0).choice(len(found.value), 12)
    for n in chosen:
        t, j = found.token[n], found.component[n]
        direction = np.zeros_like(case.x.numpy())
        direction[t] = case.f[t, j] * case.v[j]
        assert attribution.pair[n] == pytest.approx(case.slope(case.x.numpy(), direction, target), abs=1e-5, rel=1e-4)
    assert np.abs(attribution.pair).max() > 0.01


def test_gradient_totals_equal_finite_differences_for_every_component(case: Case) -> None:
    target = ClassTarget(3)
    attribution = attribute(case.question(target))
    assert attribution.component.tolist() == np.flatnonzero(case.f.any(axis=0)).tolist()
    for j in range(COMPONENTS):
        expected = case.slope(case.x.numpy(), case.part(j), target)
        assert attribution.total_of(j) == pytest.approx(expected, abs=1e-5, rel=1e-4)


def test_gradient_is_complete_to_first_order(case: Case, target: ClassTarget) -> None:
    found = attribute(case.question(target)).completeness
    x, inside = case.x.numpy(), case.inside
    decoded = case.f @ case.v
    directions = {name: np.zeros_like(x) for name in ("error", "bias", "rest")}
    directions["bias"][inside] = case.bias[inside]
    directions["error"][inside] = (x - decoded - directions["bias"])[inside]
    directions["rest"] = x.copy()
    directions["rest"][inside] = 0
    assert found.components == pytest.approx(case.slope(x, decoded, target), abs=1e-5, rel=1e-4)
    assert found.whole == pytest.approx(case.slope(x, x, target), abs=1e-5, rel=1e-4)
    for name, direction in directions.items():
        assert getattr(found, name) == pytest.approx(case.slope(x, direction, target), abs=1e-5, rel=1e-4)
    assert found.gap == pytest.approx(0, abs=1e-9)
    sizes = [abs(case.slope(x, direction, target)) for direction in (decoded, *directions.values())]
    assert found.error_share == pytest.approx(sizes[1] / sum(sizes), abs=1e-4)


def test_peak_and_energy(case: Case) -> None:
    attribution = attribute(case.question(ClassTarget(0)))
    for n, j in enumerate(attribution.component):
        expected = max(case.f[:, j], key=abs)
        assert attribution.peak[n] == pytest.approx(expected)
        energy = np.sqrt(sum(value**2 for value in case.f[:, j])) * np.linalg.norm(case.v[j])
        assert attribution.energy[n] == pytest.approx(energy, rel=1e-5)


def test_integrated_equals_an_integral_of_finite_differences(case: Case) -> None:
    target = ClassTarget(0, 1)
    attribution = attribute(case.question(target), "integrated", n_steps=200)
    assert attribution.method == "integrated"
    decoded = case.f @ case.v
    points, weights = np.polynomial.legendre.leggauss(16)
    for j in attribution.ranked()[[0, 1, -1]]:
        slopes = [case.slope(case.x.numpy() - (1 - a) * decoded, case.part(j), target) for a in (points + 1) / 2]
        assert attribution.total_of(j) == pytest.approx(weights @ slopes / 2, abs=2e-3, rel=2e-3)


def test_integrated_adds_up_to_what_all_components_do(case: Case, target: ClassTarget) -> None:
    found = attribute(case.question(target), "integrated", n_steps=300).completeness
    expected = case.y(case.x.numpy(), target) - case.y(case.x.numpy() - case.f @ case.v, target)
    assert found.whole == pytest.approx(expected, abs=1e-9)
    assert found.components == pytest.approx(expected, abs=5e-3)
    assert found.gap == pytest.approx(found.whole - found.components)
    assert (found.error, found.bias, found.rest, found.error_share) == (None, None, None, None)
    coarse = attribute(case.question(target), "integrated", n_steps=2).completeness
    assert abs(coarse.gap) > abs(found.gap)


def test_integral_does_not_depend_on_its_batches(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    question = case.question(ClassTarget(1))
    at_once = attribute(question, "integrated", 10)
    monkeypatch.setattr("core.methods.attribution.BATCH", 3)
    np.testing.assert_allclose(attribute(question, "integrated", 10).pair, at_once.pair, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_ablation_effects_equal_one_ablation_at_a_time_in_the_unsplit_model(case: Case, batch: int) -> None:
    target = ClassTarget(0, 1)
    components = list(range(COMPONENTS))[::-1] + [3]
    found = ablation_effects(case.question(target), components, batch=batch)
    whole = case.y(case.x.numpy(), target)
    expected = [whole - case.y(case.x.numpy() - case.part(j), target) for j in components]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found).max() > 0.05
    inactive = [n for n, j in enumerate(components) if not case.f[:, j].any()]
    assert inactive
    assert not found[inactive].any()


def test_attribution_predicts_what_small_changes_do(case: Case, target: ClassTarget) -> None:
    """Taking away a little of a component moves y by as much of A_j: what links attribution and ablation."""
    attribution = attribute(case.question(target))
    for j in attribution.strongest_for(2):
        moved = case.y(case.x.numpy(), target) - case.y(case.x.numpy() - 1e-4 * case.part(j), target)
        assert moved == pytest.approx(1e-4 * attribution.total_of(j), rel=0.02)


# In single precision, as shipped


def test_order_of_the_strongest(
    clip: SplitClip, dictionary: Dictionary, trace: Trace, classifier: torch.Tensor
) -> None:
    attribution = attribute(Question(SaeClip(clip, dictionary), trace, classifier, ClassTarget(0, 1)))
    totals = {int(j): attribution.total_of(int(j)) for j in attribution.component}
    positive = sorted((j for j in totals if totals[j] > 0), key=lambda j: -totals[j])
    negative = sorted((j for j in totals if totals[j] < 0), key=lambda j: totals[j])
    assert len(positive) >= 4
    assert len(negative) >= 4
    assert attribution.strongest_for(3).tolist() == positive[:3]
    assert attribution.strongest_against(3).tolist() == negative[:3]
    assert attribution.strongest_for(999).tolist() == positive
    assert attribution.strongest_against(999).tolist() == negative
    assert attribution.strongest_for(0).tolist() == attribution.strongest_against(0).tolist() == []
    assert attribution.ranked().tolist() == sorted(totals, key=lambda j: -totals[j])
    assert attribution.total_of(COMPONENTS - 1 if COMPONENTS - 1 not in totals else -1) == 0


def test_totals_are_sums_of_pairs(
    clip: SplitClip, dictionary: Dictionary, trace: Trace, classifier: torch.Tensor
) -> None:
    for method in ("gradient", "integrated"):
        attribution = attribute(Question(SaeClip(clip, dictionary), trace, classifier, ClassTarget(2)), method)
        for j in attribution.component:
            heat = trace.activations.at_tokens(attribution.pair, j)
            assert attribution.total_of(j) == pytest.approx(heat.sum(), abs=1e-5)
            assert set(np.flatnonzero(heat)) <= set(np.flatnonzero(trace.activations.of(j)))


def test_a_difference_is_the_difference_of_attributions(
    clip: SplitClip, dictionary: Dictionary, trace: Trace, classifier: torch.Tensor
) -> None:
    a, b, difference, reverse = (
        attribute(Question(SaeClip(clip, dictionary), trace, classifier, target))
        for target in (ClassTarget(0), ClassTarget(1), ClassTarget(0, 1), ClassTarget(1, 0))
    )
    np.testing.assert_allclose(a.pair - b.pair, difference.pair, atol=1e-5)
    np.testing.assert_allclose(reverse.total, -difference.total, atol=1e-6)


def test_one_forward_and_one_backward_for_all_components(
    clip: SplitClip, dictionary: Dictionary, trace: Trace, classifier: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, backward = Mock(wraps=clip.embed_from_residual), Mock(wraps=torch.autograd.grad)
    monkeypatch.setattr(clip, "embed_from_residual", forward)
    monkeypatch.setattr(torch.autograd, "grad", backward)
    attribute(Question(SaeClip(clip, dictionary), trace, classifier, ClassTarget(0)))
    assert [len(called.args[0]) for called in forward.call_args_list] == [1]
    assert backward.call_count == 1


def test_gradients_of_several_pictures_are_their_own(
    clip: SplitClip, dictionary: Dictionary, trace: Trace, classifier: torch.Tensor
) -> None:
    x = clip.tensor(trace.residual)
    residuals = torch.stack([x, x.flip(0), 2 * x])
    for target in (ClassTarget(0), ClassTarget(1), ClassTarget(2, 0)):
        question = Question(SaeClip(clip, dictionary), trace, classifier, target)
        values, gradients = question.gradients(residuals)
        for n in range(3):
            value, gradient = question.gradients(residuals[n : n + 1])
            torch.testing.assert_close(values[n], value[0], atol=1e-4, rtol=1e-5)
            torch.testing.assert_close(gradients[n], gradient[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(values, question.values(residuals))
        assert not residuals.requires_grad
        assert not gradients.requires_grad
        assert not values.requires_grad


def test_pairs_do_not_depend_on_their_chunks(
    clip: SplitClip, dictionary: Dictionary, trace: Trace, classifier: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = attribute(Question(SaeClip(clip, dictionary), trace, classifier, ClassTarget(0)))
    monkeypatch.setattr("core.methods.attribution.CHUNK", 1)
    np.testing.assert_allclose(
        attribute(Question(SaeClip(clip, dictionary), trace, classifier, ClassTarget(0))).pair, at_once.pair, atol=1e-6
    )


def test_a_picture_on_which_nothing_is_active(clip: SplitClip, trace: Trace, classifier: torch.Tensor) -> None:
    sae = tiny_sae("standard")
    sae.b_enc.data.fill_(-1e6)
    dictionary = SaeDictionary(sae, "all")
    empty = replace(trace, activations=dictionary.activations(clip.tensor(trace.residual)))
    for method in ("gradient", "integrated"):
        attribution = attribute(Question(SaeClip(clip, dictionary), empty, classifier, ClassTarget(0)), method)
        assert len(attribution.component) == len(attribution.pair) == len(attribution.peak) == 0
        assert attribution.completeness.components == 0
        assert attribution.strongest_for(3).tolist() == []
    assert ablation_effects(
        Question(SaeClip(clip, dictionary), empty, classifier, ClassTarget(0)), [1, 2]
    ).tolist() == [
        0,
        0,
    ]
    assert ablation_effects(Question(SaeClip(clip, dictionary), empty, classifier, ClassTarget(0)), []).shape == (0,)


@pytest.mark.parametrize(
    "target", [ClassTarget(5), ClassTarget(-1), ClassTarget(0, 5), ClassTarget(2, -1), ClassTarget(2, 2)], ids=str
)
def test_targets_that_make_no_sense_are_trouble(
    target: ClassTarget, clip: SplitClip, dictionary: Dictionary, trace: Trace, classifier: torch.Tensor
) -> None:
    for method in ("gradient", "integrated"):
        with pytest.raises(UserError):
            attribute(Question(SaeClip(clip, dictionary), trace, classifier, target), method)
    with pytest.raises(UserError):
        ablation_effects(Question(SaeClip(clip, dictionary), trace, classifier, target), [0])


def test_attributions_pickle_and_compare(
    clip: SplitClip, dictionary: Dictionary, trace: Trace, classifier: torch.Tensor
) -> None:
    a, b = (
        attribute(Question(SaeClip(clip, dictionary), trace, classifier, target))
        for target in (ClassTarget(0), ClassTarget(1))
    )
    assert pickle.loads(pickle.dumps(a)) == a
    assert a != b
    assert pickle.loads(pickle.dumps(trace)) == trace
    for one, other in itertools.combinations([a, b, trace], 2):
        assert one != other
