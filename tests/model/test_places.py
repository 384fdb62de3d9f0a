"""Every family of models, split at every place, against the unsplit model of transformers."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import WIDTH, tiny_model, tiny_siglip, tiny_tokenizer
from torch import Tensor
from transformers import CLIPImageProcessorPil, PreTrainedModel
from unsplit_places import MODELS, hooked, numbered, own, whole

from core.errors import UserError
from core.model.clip import SplitClip, logits
from core.model.families import FAMILIES, family_of
from core.model.places import PLACES, ImageEmbedding, MlpOutput, Place, ResidualStream, place_of

AT = [*(kind(layer) for kind in (ResidualStream, MlpOutput) for layer in (0, 1, 3)), ImageEmbedding()]


def test_each_family_is_tried_here() -> None:
    assert set(MODELS) == set(FAMILIES)
    assert {place.NAME for place in AT} == set(PLACES)


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return MODELS[request.param]().eval()


@pytest.fixture(params=AT, ids=lambda place: f"{place.NAME} {place.layer}")
def split(request: pytest.FixtureRequest, model: PreTrainedModel) -> SplitClip:
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return SplitClip(model, processor, tiny_tokenizer(), request.param)


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_the_split_model_ends_as_the_unsplit_one(split: SplitClip, pixels: Tensor) -> None:
    at = split.read(pixels)
    assert at.x.shape == at.seen.shape == (3, split.n_tokens, split.width)
    torch.testing.assert_close(split.embed_from_residual(at.x), whole(split.model, pixels), atol=1e-5, rtol=1e-5)


def test_what_is_seen_is_what_a_hook_sees(split: SplitClip, pixels: Tensor) -> None:
    with hooked(split.model, split.place) as seen:
        whole(split.model, pixels)
    torch.testing.assert_close(split.read(pixels).seen, numbered(split, seen[0]), atol=1e-5, rtol=1e-5)


def test_what_is_added_to_x_is_added_to_what_is_seen(split: SplitClip, pixels: Tensor) -> None:
    at = split.read(pixels)
    change = torch.randn(at.x.shape, generator=torch.Generator().manual_seed(2))
    with hooked(split.model, split.place, own(split, change)):
        expected = whole(split.model, pixels)
    found = split.embed_from_residual(at.x + change)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert (found - whole(split.model, pixels)).abs().max() > 0.1, "the change has to matter"


def test_the_gradient_of_x_is_that_of_what_is_seen(split: SplitClip, pixels: Tensor) -> None:
    direction = torch.randn(split.projection, generator=torch.Generator().manual_seed(3))
    with hooked(split.model, split.place, torch.zeros((), requires_grad=True)) as seen, torch.enable_grad():
        watched = pixels.clone().requires_grad_()
        z = split.model.get_image_features(pixel_values=watched).pooler_output
        (expected,) = torch.autograd.grad((z @ direction).sum(), seen[0])
    x = split.read(pixels).x.requires_grad_()
    (gradient,) = torch.autograd.grad((split.embed_from_residual(x) @ direction).sum(), x)
    torch.testing.assert_close(gradient, numbered(split, expected), atol=1e-5, rtol=1e-4)


def test_beside_it_lie_the_same_places_of_the_layers_beside(split: SplitClip, pixels: Tensor) -> None:
    found = split.read_beside(pixels)
    near = [n for n in range(split.place.layer - 1, split.place.layer + 2) if 0 <= n < split.n_layers]
    assert list(found) == ([0] if isinstance(split.place, ImageEmbedding) else near)
    for layer, at in found.items():
        other = SplitClip(split.model, split.image_processor, split.tokenizer, place_of(split.place.NAME, layer))
        for one, another in zip(at, other.read(pixels), strict=True):
            torch.testing.assert_close(one, another, atol=1e-6, rtol=1e-6)


def test_in_lower_precision_both_parts_come_back_in_full(model: PreTrainedModel, pixels: Tensor) -> None:
    for place in AT:
        lower = SplitClip(model, Any, Any, place, torch.bfloat16).read(pixels)  # type: ignore[arg-type]
        exact = SplitClip(model, Any, Any, place).read(pixels)  # type: ignore[arg-type]
        assert {lower.x.dtype, lower.seen.dtype} == {torch.float32}
        assert (lower.x is lower.seen) == (exact.x is exact.seen)
        assert 0 < (lower.seen - exact.seen).norm() / exact.seen.norm() < 0.1


@pytest.mark.parametrize("layer", [-1, 4])
@pytest.mark.parametrize("kind", [ResidualStream, MlpOutput])
def test_a_layer_that_there_is_not_is_trouble(kind: type[Place], layer: int) -> None:
    with pytest.raises(UserError, match="from 0 to 3"):
        kind(layer).check(4)


def test_the_embedding_is_of_no_layer() -> None:
    assert ImageEmbedding().facts == {"place": "embedding"}
    ImageEmbedding().check(1)


def test_scopes_are_those_of_the_tokens_that_there_are(split: SplitClip) -> None:
    if isinstance(split.place, ImageEmbedding):
        assert {split.scope(asked) for asked in ("all", "cls", "patches")} == {"cls"}
        assert (split.n_tokens, split.grid, split.has_class_token) == (1, (0, 0), False)
    elif split.family.CLASS_TOKEN:
        assert [split.scope(asked) for asked in ("all", "cls", "patches")] == ["all", "cls", "patches"]
    else:
        assert split.scope("all") == split.scope("patches") == "patches"
        with pytest.raises(UserError, match="no class token"):
            split.scope("cls")


def test_where_there_is_no_class_token_token_0_is_nothing(pixels: Tensor) -> None:
    split = SplitClip(tiny_siglip(), Any, Any, ResidualStream(1))  # type: ignore[arg-type]
    x = split.read(pixels).x
    assert x.shape == (3, 17, WIDTH)
    assert not x[:, 0].any()
    moved = x.clone()
    moved[:, 0] = 7.0
    assert torch.equal(split.embed_from_residual(moved), split.embed_from_residual(x))


def test_logits_are_the_unsplit_model_s(split: SplitClip, pixels: Tensor) -> None:
    """With its bias, where it has one; and a probability is what transformers' own page says it is."""
    prompts = ["a photo of a dog", "owl", "a red fish on a bus"]
    padding: dict[str, Any] = {"padding": True}
    if split.scoring.per_class:
        padding = {"padding": "max_length", "max_length": 24}
    ids = split.tokenizer(prompts, return_tensors="pt", **padding)
    asked = {"input_ids": ids["input_ids"]}
    if not split.scoring.per_class:
        asked["attention_mask"] = ids["attention_mask"]
    with torch.no_grad():
        expected = split.model(**asked, pixel_values=pixels).logits_per_image
    embedding = split.embed_from_residual(split.read(pixels).x)
    found = logits(embedding, split.texts(prompts), split.scoring)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)
    means = torch.sigmoid(expected) if split.scoring.per_class else expected.softmax(1)
    torch.testing.assert_close(split.scoring.probabilities(found), means, atol=1e-5, rtol=1e-5)


def test_texts_of_different_lengths_are_read_as_each_alone(model: PreTrainedModel) -> None:
    split = SplitClip(model, Any, tiny_tokenizer(), ImageEmbedding())  # type: ignore[arg-type]
    prompts = ["a", "a photo of a red fish", "dog" * 100]
    torch.testing.assert_close(split.texts(prompts), torch.cat([split.texts([each]) for each in prompts]))


def test_siglip_pads_on_the_side_of_its_tokenizer() -> None:
    split = SplitClip(tiny_siglip(), Any, tiny_tokenizer(), ImageEmbedding())  # type: ignore[arg-type]
    right = split.texts(["a dog"])
    split.tokenizer.padding_side = "left"
    ids = split.tokenizer(["a dog"], padding="max_length", max_length=24, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        expected = split.model.get_text_features(input_ids=ids).pooler_output
    torch.testing.assert_close(split.texts(["a dog"]), expected / expected.norm(), atol=1e-5, rtol=1e-5)
    assert (right - split.texts(["a dog"])).abs().max() > 1e-3


def test_a_model_of_no_known_family_is_trouble() -> None:
    model: Any = SimpleNamespace(config=SimpleNamespace(model_type="blip"))
    with pytest.raises(UserError, match="“blip” cannot be run here"):
        family_of(model)


def test_the_lens_of_clip_is_what_a_step_at_cls_does_to_the_last_norm() -> None:
    """To first order, but for the norm's division: a slow restatement as matrices."""
    family = family_of(tiny_model())
    v = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(4))
    norm, projection = family.model.vision_model.post_layernorm, family.model.visual_projection
    centre = torch.eye(WIDTH) - torch.ones(WIDTH, WIDTH) / WIDTH
    slow = projection.weight @ torch.diag(norm.weight) @ centre @ v.T
    torch.testing.assert_close(family.lens(v), slow.T, atol=1e-5, rtol=1e-5)
    assert torch.equal(ImageEmbedding().lens(family, v), v)


def test_the_lens_of_siglip_is_what_the_same_step_at_all_patches_does_to_the_head_s_attention() -> None:
    family = family_of(tiny_siglip())
    vision = family.model.vision_model
    v = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(4))
    normed = (v - v.mean(-1, keepdim=True)) * vision.post_layernorm.weight
    patches = torch.randn(1, 16, WIDTH, generator=torch.Generator().manual_seed(5))

    def attended(values: Tensor) -> Tensor:
        probe = vision.head.probe.repeat(len(values), 1, 1)
        keys = patches.expand(len(values), -1, -1)
        return vision.head.attention(probe, keys, values)[0][:, 0]

    before = attended(patches.expand(5, -1, -1))
    after = attended(patches + normed[:, None])
    torch.testing.assert_close(family.lens(v), after - before, atol=1e-5, rtol=1e-5)
