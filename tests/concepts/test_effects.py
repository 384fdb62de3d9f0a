"""What a component does to the classes, against the model itself."""

import io

import numpy as np
import pytest
import torch
from conftest import CLASSES, COMPONENTS, tiny_sae
from PIL import Image

from core.concepts.component import activating_examples
from core.concepts.effects import SteeringEffects, crops_of, steering_effects, strength_of
from core.concepts.index import ConceptIndex
from core.errors import UserError
from core.model.clip import SplitClip
from core.model.dictionary import Dictionary
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary


@pytest.fixture(scope="module", params=["all", "cls", "patches"])
def dictionary_in(request: pytest.FixtureRequest) -> Dictionary:
    return SaeDictionary(tiny_sae("standard"), request.param)


def read_slowly(clip: SplitClip, crop: np.ndarray, classifier: torch.Tensor, change: torch.Tensor) -> np.ndarray:
    """The logits with `change` added to the residual, all layers after L run in full, in float64."""
    x = clip.residual(clip.pixels(crop[None])) + change
    for layer in clip.model.vision_model.encoder.layers[clip.layer + 1 :]:
        x = layer(x, attention_mask=None)
    z = clip.model.visual_projection(clip.model.vision_model.post_layernorm(x[:, 0]))[0].detach().double()
    return clip.logit_scale * (classifier.double() @ (z / z.norm())).numpy()


@torch.no_grad()
def test_pushes_are_what_the_model_does(
    clip: SplitClip, dictionary_in: Dictionary, classifier: torch.Tensor, index: ConceptIndex
) -> None:
    component, strength = 7, 130.0
    crops = crops_of(index, component, 4, 32)
    found = steering_effects(SaeClip(clip, dictionary_in), component, strength, crops, classifier, CLASSES)
    v = dictionary_in.sae.W_dec[component]
    grey = np.full((32, 32, 3), 128, np.uint8)
    wanted = []
    for number, crop in enumerate([grey, *crops]):
        f = dictionary_in.encode(clip.residual(clip.pixels(crop[None])))[0, :, component]
        change = -f[:, None] * v
        if not number:
            scope = dictionary_in.tokens(len(f))
            change[scope.start : scope.stop] += strength * v
        none = torch.zeros_like(change)
        wanted.append(read_slowly(clip, crop, classifier, change) - read_slowly(clip, crop, classifier, none))
    np.testing.assert_allclose(found.on_blank, wanted[0], atol=2e-5)
    np.testing.assert_allclose(found.each, wanted[1:], atol=2e-5)
    assert found.classes == CLASSES
    assert found.strength == strength
    assert found.n_references == len(crops)


def test_a_picture_where_it_does_not_fire_is_not_changed_at_all(
    clip: SplitClip, classifier: torch.Tensor, index: ConceptIndex
) -> None:
    dictionary = SaeDictionary(tiny_sae("standard"), "all")
    crops = np.concatenate([crops_of(index, j, 3, 32) for j in (0, 1, 2, 3)])
    traces = SaeClip(clip, dictionary).traces(crops)
    fires = np.array([[trace.activations.of(j).any() for trace in traces] for j in range(COMPONENTS)])
    component = int(np.flatnonzero(fires.any(1) & ~fires.all(1))[0])
    found = steering_effects(SaeClip(clip, dictionary), component, 1.0, crops, classifier, CLASSES)
    np.testing.assert_array_equal(found.each.any(1), fires[component])


def test_means_errors_and_what_is_common() -> None:
    rng = np.random.default_rng(0)
    each = rng.normal(2, 1, (6, 5)).astype(np.float32)
    found = SteeringEffects(CLASSES, 1.0, each[0], each)
    np.testing.assert_allclose(found.on_references, each.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.error, each.std(0, ddof=1) / 6**0.5, rtol=1e-5)
    apart = np.array([row - row.mean() for row in each.astype(np.float64)])
    np.testing.assert_allclose(found.relative_on_blank, apart[0], atol=1e-6)
    np.testing.assert_allclose(found.relative_on_references, apart.mean(0), atol=1e-6)
    np.testing.assert_allclose(found.relative_error, apart.std(0, ddof=1) / 6**0.5, rtol=1e-4)
    one, none = SteeringEffects(CLASSES, 1.0, each[0], each[:1]), SteeringEffects(CLASSES, 1.0, each[0], each[:0])
    np.testing.assert_array_equal(one.on_references, each[0])
    assert np.isnan(one.error).all()
    assert np.isnan(none.on_references).all()
    assert np.isnan(none.error).all()


def test_the_strength_and_the_pictures_are_those_of_the_references(index: ConceptIndex) -> None:
    for j in range(COMPONENTS):
        values = [example.value for example in activating_examples(index, j, "top", 99)]
        crops = crops_of(index, j, 3, 32)
        if j % 5 == 4:
            with pytest.raises(UserError, match="never fired"):
                strength_of(index, j)
            assert crops.shape == (0, 32, 32, 3)
            continue
        assert strength_of(index, j) == pytest.approx(np.mean(values))
        assert crops.dtype == np.uint8
        assert len(crops) == min(3, len(values))
        for crop, example in zip(crops, activating_examples(index, j, "top", 3), strict=True):
            small = Image.open(io.BytesIO(example.webp)).convert("RGB")
            np.testing.assert_array_equal(crop, np.asarray(small.resize((32, 32), Image.Resampling.BICUBIC)))
