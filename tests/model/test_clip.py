"""The split CLIP against the unsplit one, and class texts against arithmetic by hand."""

import dataclasses
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from conftest import CLASSES, LAYERS, WIDTH
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

from core.errors import UserError
from core.model.clip import SplitClip, check_text_work, indistinct_classes, logits, text_classifier
from core.model.places import ResidualStream
from core.model.prompts import TEMPLATES
from core.setups.clips import read_clip


@pytest.fixture(scope="module", params=range(LAYERS))
def split(request: pytest.FixtureRequest, clip_folder: Path) -> SplitClip:
    """The tiny CLIP split after each of its layers in turn."""
    return read_clip(clip_folder, ResidualStream(request.param))


@pytest.fixture(scope="module")
def whole(clip_folder: Path) -> CLIPModel:
    """The same CLIP, as transformers runs it."""
    return CLIPModel.from_pretrained(clip_folder).eval()


@pytest.fixture(scope="module")
def pixels(clip: SplitClip) -> torch.Tensor:
    """Three random pictures, as the model takes them."""
    rng = np.random.default_rng(1)
    return clip.pixels(rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8))


def whole_embedding(model: CLIPModel, pixels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.get_image_features(pixel_values=pixels).pooler_output


def test_split_forward_equals_the_unsplit_model(split: SplitClip, whole: CLIPModel, pixels: torch.Tensor) -> None:
    embedding = split.embed_from_residual(split.residual(pixels))
    torch.testing.assert_close(embedding, whole_embedding(whole, pixels), atol=1e-5, rtol=1e-5)


def test_residual_is_what_a_hook_sees(split: SplitClip, whole: CLIPModel, pixels: torch.Tensor) -> None:
    seen = []
    layer = whole.vision_model.encoder.layers[split.layer]
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    whole_embedding(whole, pixels)
    hook.remove()
    assert seen[0].shape == (3, 17, WIDTH)
    torch.testing.assert_close(split.residual(pixels), seen[0], atol=1e-6, rtol=1e-6)


def test_a_changed_residual_ends_as_in_the_unsplit_model(
    split: SplitClip, whole: CLIPModel, pixels: torch.Tensor
) -> None:
    change = torch.randn(3, 17, WIDTH, generator=torch.Generator().manual_seed(2))
    layer = whole.vision_model.encoder.layers[split.layer]
    hook = layer.register_forward_hook(lambda module, inputs, output: output + change)
    expected = whole_embedding(whole, pixels)
    hook.remove()
    changed = split.embed_from_residual(split.residual(pixels) + change)
    torch.testing.assert_close(changed, expected, atol=1e-5, rtol=1e-5)
    unchanged = whole_embedding(whole, pixels)
    assert (changed - unchanged).abs().max() > 0.1, "the change has to matter for this test to mean anything"


def test_gradient_of_finish_equals_the_gradient_through_all_layers(
    split: SplitClip, whole: CLIPModel, pixels: torch.Tensor
) -> None:
    direction = torch.randn(16, generator=torch.Generator().manual_seed(3))
    seen = []
    layer = whole.vision_model.encoder.layers[split.layer]
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    embedding = whole.get_image_features(pixel_values=pixels).pooler_output
    (expected,) = torch.autograd.grad((embedding @ direction).sum(), seen[0])
    hook.remove()
    x = split.residual(pixels).requires_grad_()
    (gradient,) = torch.autograd.grad((split.embed_from_residual(x) @ direction).sum(), x)
    torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-4)


def test_a_picture_gets_the_same_embedding_alone_and_in_a_batch(clip: SplitClip, pixels: torch.Tensor) -> None:
    together = clip.embed_from_residual(clip.residual(pixels))
    alone = torch.cat([clip.embed_from_residual(clip.residual(one[None])) for one in pixels])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_nothing_in_the_model_can_be_trained(clip: SplitClip) -> None:
    assert not any(weight.requires_grad for weight in clip.model.parameters())
    assert not clip.model.training


@pytest.mark.parametrize("layer", [-1, LAYERS, 99])
def test_a_layer_the_model_does_not_have_is_trouble(clip_folder: Path, layer: int) -> None:
    with pytest.raises(UserError, match="from 0 to 3"):
        read_clip(clip_folder, ResidualStream(layer))


def test_sizes(clip: SplitClip) -> None:
    assert (clip.n_layers, clip.width, clip.grid) == (LAYERS, WIDTH, (4, 4))
    assert clip.logit_scale == pytest.approx(np.exp(2.6592), rel=1e-6)


# Pictures


def noise(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width * 1000 + height)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(("width", "height"), [(32, 32), (80, 48), (48, 81), (7, 5), (1, 1), (33, 3), (300, 200)])
def test_pixels_equal_the_processor_s(clip: SplitClip, clip_folder: Path, width: int, height: int) -> None:
    picture = noise(width, height)
    expected = CLIPProcessor.from_pretrained(clip_folder)(images=picture, return_tensors="pt")["pixel_values"]
    crop = clip.crop(picture)
    assert crop.shape == (32, 32, 3)
    assert crop.dtype == np.uint8
    torch.testing.assert_close(clip.pixels(crop[None]), expected, atol=1e-6, rtol=1e-6)


def test_crop_is_the_middle_of_the_resized_picture(clip: SplitClip) -> None:
    resized = noise(96, 64).resize((48, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(clip.crop(noise(96, 64)), np.asarray(resized)[:, 8:40])


# Texts


def test_texts_equal_the_unsplit_model_s(clip: SplitClip, whole: CLIPModel) -> None:
    prompts = ["a photo of a dog", "owl", "a red fish on a bus"]
    rows = clip.texts(prompts)
    for row, prompt in zip(rows, prompts, strict=True):
        tokens = clip.tokenizer([prompt], return_tensors="pt")
        with torch.no_grad():
            expected = whole.get_text_features(input_ids=tokens["input_ids"]).pooler_output[0]
        torch.testing.assert_close(row, expected / expected.norm(), atol=1e-5, rtol=1e-5)


def test_more_prompts_than_a_batch(clip: SplitClip, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = [a + b for a in "abc" for b in "xyz"]
    at_once = clip.texts(prompts)
    monkeypatch.setattr("core.model.clip._TEXT_BATCH", 2)
    torch.testing.assert_close(clip.texts(prompts), at_once, atol=1e-5, rtol=1e-5)
    assert at_once.shape == (9, 16)
    assert (at_once[0] - at_once[8]).abs().max() > 1e-3


def test_a_prompt_longer_than_the_context_loses_its_end(clip: SplitClip) -> None:
    long, longer = clip.texts(["b" + " a" * 30, "b" + " a" * 30 + " dog"])
    assert torch.isfinite(long).all()
    torch.testing.assert_close(long, longer)
    just, other = clip.texts(["b" + " a" * 20 + " dog", "b" + " a" * 20 + " c"])  # 22 tokens and two marks: 24
    assert (just - other).abs().max() > 1e-3, "up to the context every word counts"


def test_no_prompts_give_no_rows(clip: SplitClip) -> None:
    assert clip.texts([]).shape == (0, 16)


def test_logits_equal_the_unsplit_model_s(clip: SplitClip, whole: CLIPModel, pixels: torch.Tensor) -> None:
    prompts = ["dog", "cat", "owl"]
    tokens = clip.tokenizer(prompts, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = whole(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], pixel_values=pixels
        ).logits_per_image
    embedding = clip.embed_from_residual(clip.residual(pixels))
    found = logits(embedding, clip.texts(prompts), clip.scoring)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(logits(3 * embedding, clip.texts(prompts), clip.scoring), found)


@pytest.mark.parametrize("templates", [TEMPLATES[name] for name in ("single", "ensemble", "openai-7")])
def test_classifier_is_the_unit_mean_over_templates(clip: SplitClip, templates: tuple[str, ...]) -> None:
    classifier = text_classifier(clip, CLASSES, templates)
    assert classifier.shape == (len(CLASSES), 16)
    for row, name in zip(classifier, CLASSES, strict=True):
        vectors = [clip.texts([template.replace("{}", name)])[0].double() for template in templates]
        mean = torch.stack(vectors).mean(0)
        torch.testing.assert_close(row.double(), mean / mean.norm(), atol=1e-5, rtol=1e-5)


def test_braces_in_a_class_stay_as_typed(clip: SplitClip) -> None:
    classifier = text_classifier(clip, ["{0}", "{a}"], ["a {} b"])
    torch.testing.assert_close(classifier, clip.texts(["a {0} b", "a {a} b"]), atol=1e-5, rtol=1e-5)
    classifier = text_classifier(clip, ["{}", "c"], ["{} {0} {"])
    torch.testing.assert_close(classifier, clip.texts(["{} {0} {", "c {0} {"]), atol=1e-5, rtol=1e-5)


def test_named_templates_cannot_be_changed() -> None:
    assert all("{}" in template for templates in TEMPLATES.values() for template in templates)
    with pytest.raises(TypeError):
        TEMPLATES["single"] = ("{}",)  # type: ignore[index]


def test_the_split_clip_keeps_no_state(clip: SplitClip, pixels: torch.Tensor) -> None:
    before = dict(vars(clip))
    first = clip.embed_from_residual(clip.residual(pixels))
    clip.embed_from_residual(clip.residual(pixels.flip(0)))
    assert vars(clip) == before
    assert not dataclasses.is_dataclass(clip)
    assert torch.equal(clip.embed_from_residual(clip.residual(pixels)), first)


def test_more_texts_than_anybody_waits_for_are_refused(clip, monkeypatch):
    """The bound is tokens times weights, so a larger text tower reads fewer."""
    weights = sum(p.numel() for p in clip.model.text_model.encoder.parameters())
    tokens = sum(len(ids) for ids in clip.token_ids(["a dog", "a cat", "the dog", "the cat"]))
    monkeypatch.setattr("core.model.clip.MAX_TEXT_WORK", tokens * weights)
    check_text_work(clip, ("dog", "cat"), ("a {}", "the {}"))
    monkeypatch.setattr("core.model.clip.MAX_TEXT_WORK", tokens * weights - 1)
    with pytest.raises(UserError, match="2 classes in 2 wordings are 4 texts: .* about 3 at most"):
        check_text_work(clip, ("dog", "cat"), ("a {}", "the {}"))


def test_the_tokenizer_is_always_asked_in_the_same_way(clip):
    """It keeps how it was last asked to cut and to pad, so that one thread's texts were cut or padded as another's."""
    tokenizer = Mock(wraps=clip.tokenizer, pad_token_id=clip.tokenizer.pad_token_id)
    watched = SplitClip(clip.model, clip.image_processor, tokenizer, clip.place)
    prompts = ["a dog", "a photo of a red fish"]
    assert [len(ids) for ids in watched.token_ids(prompts)] == [len(clip.token_ids([each])[0]) for each in prompts]
    watched.texts(prompts)
    check_text_work(watched, prompts, ("{}",))
    indistinct_classes(watched, prompts, ("{}",))
    text_classifier(watched, prompts, ("{}",))
    asked = [called.kwargs for called in tokenizer.call_args_list]
    assert len(asked) > 4
    assert all(settings == asked[0] and not settings.get("padding") for settings in asked)


def test_texts_of_different_lengths_are_read_as_each_alone(clip):
    prompts = ["a", "a photo of a red fish", "dog" * 100]
    torch.testing.assert_close(clip.texts(prompts), torch.cat([clip.texts([each]) for each in prompts]))
