"""The CLIP with a recipe in it: what it computes, token by token and slowly; and that it is a CLIP like any other."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CLASSES, COMPONENTS, tiny_model
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_edits import rows
from tiny_recipes import CONDITION, EDIT, KINDS, recipe_of, setup_of, with_edit
from torch import Tensor, nn
from transformers import (
    AutoModel,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    pipeline,
)

from core.errors import UserError
from core.methods.steering import Condition, Edit, Lever, Term
from core.model.clip import SplitClip
from core.model.dictionary import Dictionary
from core.model.scope import Scope
from core.recipes import Recipe, apply_recipe, save_recipe
from core.recipes.making import encoder_rows
from core.recipes.steered_clip import SteeredLayer
from core.recipes.token_edit import TokenEdit
from core.setups.loading import Setup
from core.workbench import Workbench

SCOPES: tuple[Scope, ...] = ("all", "cls", "patches")
TEMPLATE = ("a photo of a {}",)


def slowly(x: Tensor, dictionary: Dictionary, edit: Edit) -> np.ndarray:
    """x' of one picture, [T, d], by the formulas, one number after the other, from every activation there is."""
    f = dictionary.encode(x).double().numpy()
    tokens = dictionary.tokens(len(x))
    acts = True
    if edit.condition is not None:
        score = sum(term.weight * max(f[t, term.component] for t in tokens) for term in edit.condition.terms)
        acts = score >= edit.condition.at_least
    v, moved = rows(dictionary), x.double().numpy().copy()
    for t, lever in itertools.product(tokens, edit.levers):
        f_tj = f[t, lever.component]
        if acts and (lever.at_least is None or f_tj >= lever.at_least):
            wanted = {"suppress": 0, "scale": lever.strength * f_tj, "set": lever.strength}[lever.operation]
            moved[t] += (wanted - f_tj) * v[lever.component]
    return moved


def whole(setup: Setup) -> tuple[Tensor, Tensor] | None:
    return encoder_rows(setup.dictionary) if setup.dictionary.sae.cfg.architecture().endswith("topk") else None


@pytest.fixture(scope="module")
def pixels(clip: SplitClip) -> Tensor:
    return torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def x(clip: SplitClip, pixels: Tensor) -> Tensor:
    return clip.residual(pixels)


@pytest.fixture
def model() -> CLIPModel:
    """A user's own, of the same weights."""
    return tiny_model()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("conditional", [False, True])
def test_the_edit_is_the_formula(clip: SplitClip, x: Tensor, kind: str, scope: Scope, conditional: bool) -> None:
    setup, edit, most = setup_of(clip, kind, scope), EDIT, len(x)
    if conditional:  # in half of the pictures
        seen = setup.dictionary.encode(x)[:, setup.dictionary.tokens(x.shape[1]), :].amax(1)
        scores = sorted((seen[:, 0] - 0.5 * seen[:, 20]).tolist())
        condition = Condition((Term(0), Term(20, -0.5)), (scores[2] + scores[3]) / 2)
        edit, most = replace(EDIT, condition=condition), 3 if scores[2] < scores[3] else len(x)
    moved, acts = TokenEdit(recipe_of(setup, edit), whole(setup))(x)
    expected = np.stack([slowly(each, setup.dictionary, edit) for each in x])
    np.testing.assert_allclose(moved.numpy(), expected, atol=2e-5)
    assert np.array_equal(acts.numpy(), (expected != x.double().numpy()).any((1, 2)))
    assert 0 < acts.sum() <= most


levers = st.builds(
    Lever,
    component=st.integers(0, COMPONENTS - 1),
    operation=st.sampled_from(["suppress", "scale", "set"]),
    strength=st.floats(-3, 3, width=32),
    at_least=st.none() | st.floats(-1, 2, width=32),
)
terms = st.builds(Term, component=st.integers(0, COMPONENTS - 1), weight=st.floats(-2, 2, width=32))
conditions = st.builds(
    Condition,
    st.lists(terms, min_size=1, max_size=4, unique_by=lambda term: term.component),
    st.floats(-2, 2, width=32),
)
edits = st.builds(
    Edit,
    st.lists(levers, min_size=1, max_size=6, unique_by=lambda lever: lever.component).map(tuple),
    st.none(),
    st.none() | conditions,
)


@pytest.fixture(scope="module")
def made(clip: SplitClip) -> dict[tuple[str, Scope], tuple[Setup, Recipe]]:
    """Of every kind and scope, a recipe to put other edits into."""
    setups = {(kind, scope): setup_of(clip, kind, scope) for kind in KINDS for scope in SCOPES}
    return {key: (setup, recipe_of(setup)) for key, setup in setups.items()}


@given(st.sampled_from(sorted(KINDS)), st.sampled_from(SCOPES), edits)
def test_any_edit_is_the_formula(
    made: dict[tuple[str, Scope], tuple[Setup, Recipe]], x: Tensor, kind: str, scope: Scope, edit: Edit
) -> None:
    setup, recipe = made[kind, scope]
    moved, _ = TokenEdit(with_edit(setup, recipe, edit), whole(setup))(x[:2])
    expected = np.stack([slowly(each, setup.dictionary, edit) for each in x[:2]])
    np.testing.assert_allclose(moved.numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.endswith("topk")])
@pytest.mark.parametrize("first", [1, 7, 16])
def test_the_largest_are_found_part_by_part(
    clip: SplitClip, x: Tensor, kind: str, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many parts as there can be; the tiny dictionaries fit into the first one otherwise."""
    monkeypatch.setattr("core.recipes.token_edit._FIRST_PART", first)
    setup = setup_of(clip, kind)
    everything = Edit.of_suppressed(range(COMPONENTS))
    f = TokenEdit(recipe_of(setup, everything), whole(setup)).activations(x)
    for some in (everything, Edit.of_suppressed(range(0, COMPONENTS, 9))):
        components = [lever.component for lever in some.levers]
        found = TokenEdit(recipe_of(setup, some), whole(setup)).activations(x)
        torch.testing.assert_close(found, f[..., components])
        expected = setup.dictionary.encode(x)
        torch.testing.assert_close((found != 0).float(), (expected[..., components] != 0).float())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scope", SCOPES)
def test_the_numbers_of_the_page(clip: SplitClip, picture: Image.Image, kind: str, scope: Scope) -> None:
    setup, edit = setup_of(clip, kind, scope), replace(EDIT, condition=Condition((Term(2), Term(7)), -100.0))
    bench = Workbench(setup)
    trace = bench.open(picture)
    compared = bench.compare(trace, edit, CLASSES, TEMPLATE)
    steered: Any = apply_recipe(tiny_model(), recipe_of(setup, edit))
    with torch.no_grad():
        for built, said in ((tiny_model(), compared.before), (steered, compared.after)):
            z = built.get_image_features(pixel_values=clip.pixels(trace.crop[None])).pooler_output[0]
            classes = bench.class_vectors(CLASSES, TEMPLATE)
            logits = built.logit_scale.exp() * torch.nn.functional.normalize(z, dim=-1) @ classes.T
            np.testing.assert_allclose(logits.numpy(), said.logits, atol=1e-4)
    assert np.abs(compared.after.logits - compared.before.logits).max() > 0.01


@pytest.fixture(scope="module")
def setup(clip: SplitClip) -> Setup:
    return setup_of(clip, "jumprelu")


@pytest.fixture(scope="module", params=["jumprelu", "topk"])
def steered(request: pytest.FixtureRequest, clip: SplitClip) -> Any:
    edit = replace(EDIT, condition=Condition((Term(2),), 0.2))
    return apply_recipe(tiny_model(), recipe_of(setup_of(clip, request.param), edit))


def features(model: Any, pixels: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.get_image_features(pixel_values=pixels).pooler_output
    return found


def test_the_users_model_stays_what_it_is(model: CLIPModel, setup: Setup, pixels: Tensor) -> None:
    before, weights = features(model, pixels), {name: weight.clone() for name, weight in model.state_dict().items()}
    steered: Any = apply_recipe(model, recipe_of(setup))
    moved = features(steered, pixels)
    assert not torch.allclose(moved, before, atol=1e-3)
    assert torch.equal(features(model, pixels), before)
    ours, theirs = dict(model.named_parameters()), dict(steered.named_parameters())
    assert ours.keys() == theirs.keys()
    assert all(ours[name].data_ptr() == theirs[name].data_ptr() for name in ours), "weights are in memory once"
    steered.to(torch.bfloat16)
    del steered
    assert model.dtype == torch.float32
    assert not any(isinstance(module, SteeredLayer) for module in model.modules())
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
    assert not any(module._forward_hooks and isinstance(module, SteeredLayer) for module in model.modules())


def test_it_is_of_the_same_class_and_returns_what_transformers_returns(
    model: CLIPModel, steered: Any, pixels: Tensor
) -> None:
    ids = torch.tensor([[0, 5, 6, 1], [0, 7, 8, 1]])
    asked: dict[str, Any] = {"input_ids": ids, "pixel_values": pixels, "return_loss": False}
    assert type(steered) is CLIPModel
    for more in ({}, {"output_hidden_states": True, "output_attentions": True}, {"return_dict": False}):
        with torch.no_grad():
            plain, moved = model(**asked, **more), steered(**asked, **more)
        assert type(plain) is type(moved)
        if more.get("return_dict", True):
            assert plain.keys() == moved.keys()
            assert torch.equal(plain.text_embeds, moved.text_embeds)
            assert not torch.allclose(plain.logits_per_image, moved.logits_per_image, atol=1e-3)
    a, b = (
        each.get_image_features(pixel_values=pixels, output_hidden_states=True, output_attentions=True)
        for each in (model, steered)
    )
    assert a.keys() == b.keys()
    assert len(a.hidden_states) == len(b.hidden_states)
    assert len(a.attentions) == len(b.attentions)
    same = [torch.equal(x, y) for x, y in zip(a.hidden_states, b.hidden_states, strict=True)]
    assert same == [True, True, False, False, False], "edited after layer 1, and shown as edited"


def test_batches_give_what_single_pictures_give(steered: Any, pixels: Tensor) -> None:
    alone = torch.cat([features(steered, each[None]) for each in pixels])
    torch.testing.assert_close(features(steered, pixels), alone, atol=1e-5, rtol=0)


def test_threads(steered: Any, pixels: Tensor) -> None:
    expected = [features(steered, each[None]) for each in pixels]
    n = steered.watch().n
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: features(steered, pixels[i % 6][None]), range(48)))
    assert all(torch.allclose(z, expected[i % 6], atol=1e-6) for i, z in enumerate(found))
    assert steered.watch().n == n + 48


def test_deep_copies_count_for_themselves(steered: Any, pixels: Tensor) -> None:
    other = deepcopy(steered)
    n = steered.watch().n
    assert torch.equal(features(other, pixels), features(steered, pixels))
    assert (steered.watch().n, other.watch().n) == (n + 6, n + 6)
    features(other, pixels)
    assert (steered.watch().n, other.watch().n) == (n + 6, n + 12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(model: CLIPModel, clip: SplitClip, pixels: Tensor, dtype: torch.dtype) -> None:
    """Converted afterwards, or loaded so: the same numbers, near those of full precision; the edit stays float32."""
    recipe = recipe_of(setup_of(clip, "standard"))
    full = features(apply_recipe(model, recipe), pixels)
    converted, halved = apply_recipe(model, recipe), tiny_model()
    for module in (converted, halved):
        nn.Module.to(module, dtype)
    loaded = apply_recipe(halved, recipe)
    for steered in (converted, loaded):
        found = features(steered, pixels.to(dtype))
        assert found.dtype == dtype
        assert torch.nn.functional.cosine_similarity(found.float(), full).min() > 0.999
        assert all(buffer.dtype != dtype for buffer in steered.vision_model.encoder.layers[1].edit.buffers())
    assert torch.equal(features(converted, pixels.to(dtype)), features(loaded, pixels.to(dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        z = features(apply_recipe(model, recipe), pixels)
    assert torch.nn.functional.cosine_similarity(z.float(), full).min() > 0.999


def test_compiled(steered: Any, pixels: Tensor) -> None:
    compiled = torch.compile(steered.vision_model, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(pixels).pooler_output, steered.vision_model(pixels).pooler_output)


def test_without_counts_it_compiles_in_one_graph(model: CLIPModel, setup: Setup, pixels: Tensor) -> None:
    recipe = recipe_of(setup, replace(EDIT, condition=CONDITION))
    steered: Any = apply_recipe(model, recipe, count="nothing")
    layer = steered.vision_model.encoder.layers[1]
    entering = torch.randn(2, 17, 32)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(entering, None), layer(entering, None))
    assert not hasattr(steered, "watch")


def test_data_parallel(steered: Any, pixels: Tensor) -> None:
    """Without a GPU it calls the model itself; what it makes on GPUs is in the next test."""
    parallel = nn.DataParallel(steered)
    with torch.no_grad():
        assert torch.equal(
            parallel(pixel_values=pixels, input_ids=torch.tensor([[0, 5, 1]] * 6)).image_embeds,
            steered(pixel_values=pixels, input_ids=torch.tensor([[0, 5, 1]] * 6)).image_embeds,
        )


def replica(module: nn.Module, memo: dict[nn.Module, nn.Module]) -> nn.Module:
    """What `torch.nn.parallel.replicate` makes for one device: shallow copies, tensors as plain attributes."""
    if module not in memo:
        memo[module] = copied = module._replicate_for_data_parallel()
        for name, child in module._modules.items():
            if child is not None:
                copied._modules[name] = replica(child, memo)
        copied._parameters.update({name: None for name, weight in module._parameters.items() if weight is None})
        for name, weight in module._parameters.items():
            if weight is not None:
                setattr(copied, name, weight.detach().clone())
        for name, buffer in module._buffers.items():
            copied._buffers[name] = None if buffer is None else buffer.clone()
    return memo[module]


@pytest.mark.parametrize("count", ["acts", "answers"])
def test_replicas_count_together(model: CLIPModel, setup: Setup, pixels: Tensor, count: Any) -> None:
    steered: Any = apply_recipe(model, recipe_of(setup), count=count)
    copies: list[Any] = [replica(steered, {}) for _ in range(3)]
    assert all(torch.equal(features(each, pixels), features(steered, pixels)) for each in copies)
    assert steered.watch().n == 6 * 6


def test_gradients_flow_and_training_leaves_the_edit(model: CLIPModel, setup: Setup, pixels: Tensor) -> None:
    steered: Any = apply_recipe(model, recipe_of(setup))
    steered.requires_grad_(True).train()
    steered.get_image_features(pixel_values=pixels).pooler_output.sum().backward()
    assert steered.vision_model.embeddings.class_embedding.grad is not None
    assert all(parameter.grad is None for parameter in model.parameters())


def test_vision_model_alone(setup: Setup, pixels: Tensor) -> None:
    whole_model: Any = tiny_model()
    vision = CLIPVisionModelWithProjection(
        CLIPVisionConfig(**whole_model.config.vision_config.to_dict() | {"projection_dim": 16})
    ).eval()
    vision.load_state_dict(whole_model.state_dict(), strict=False)
    steered: Any = apply_recipe(vision, recipe_of(setup))
    with torch.no_grad():
        found = steered(pixel_values=pixels).image_embeds
    torch.testing.assert_close(found, features(apply_recipe(tiny_model(), recipe_of(setup)), pixels), atol=1e-6, rtol=0)


def test_the_pipeline(clip: SplitClip, clip_folder: Path, setup: Setup, picture: Image.Image) -> None:
    bench = Workbench(setup)
    compared = bench.compare(bench.open(picture), EDIT, CLASSES, TEMPLATE)
    steered: Any = apply_recipe(CLIPModel.from_pretrained(clip_folder), recipe_of(setup))
    processor = CLIPImageProcessorPil.from_pretrained(clip_folder)
    make: Any = pipeline  # whose many forms do not name this one
    classify = make(
        "zero-shot-image-classification", model=steered, tokenizer=clip.tokenizer, image_processor=processor
    )
    result = classify(picture, candidate_labels=list(CLASSES), hypothesis_template=TEMPLATE[0])
    found = {each["label"]: each["score"] for each in result}
    np.testing.assert_allclose([found[name] for name in CLASSES], compared.after.probabilities, atol=1e-4)


def test_saving_keeps_the_plain_clip(steered: Any, pixels: Tensor, tmp_path: Path) -> None:
    steered.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    assert type(again) is CLIPModel
    torch.testing.assert_close(features(again, pixels), features(tiny_model(), pixels))


def test_from_a_folder(model: CLIPModel, setup: Setup, pixels: Tensor, tmp_path: Path) -> None:
    recipe = recipe_of(setup)
    steered: Any = apply_recipe(model, str(save_recipe(recipe, tmp_path)))
    assert torch.equal(features(steered, pixels), features(apply_recipe(model, recipe), pixels))


def test_a_top_k_recipe_without_its_encoder(model: CLIPModel, clip: SplitClip, pixels: Tensor) -> None:
    setup = setup_of(clip, "topk")
    bare, held = recipe_of(setup, whole_encoder=False), recipe_of(setup)
    with pytest.raises(UserError, match=r"components compete.*load_setup\('tiny'\)"):
        apply_recipe(model, bare)
    with pytest.raises(UserError, match="another dictionary"):
        apply_recipe(model, bare, dictionary=setup_of(clip, "topk", k=6).dictionary)
    steered: Any = apply_recipe(model, bare, dictionary=setup.dictionary)
    assert torch.equal(features(steered, pixels), features(apply_recipe(model, held), pixels))


def others() -> Iterator[tuple[str, CLIPModel]]:
    weights = tiny_model()
    weights.vision_model.encoder.layers[0].mlp.fc1.weight.data[0, 0] += 0.01
    yield "vision", weights
    text = tiny_model()
    text.text_projection.weight.data[0, 0] += 0.01
    yield "text", text
    formula: Any = tiny_model()
    formula.config.vision_config.hidden_act = "quick_gelu"
    yield "vision", formula


@pytest.mark.parametrize(("tower", "other"), list(others()))
def test_another_clip_is_refused(tower: str, other: CLIPModel, setup: Setup) -> None:
    with pytest.raises(UserError, match=f"another CLIP.*its {tower} tower differs"):
        apply_recipe(other, recipe_of(setup))


def test_a_recipe_of_a_clip_of_another_size_is_refused(model: CLIPModel, setup: Setup) -> None:
    """The two files fit together, and the towers' fingerprints are right: somebody else wrote them."""
    recipe = recipe_of(setup)
    arrays, identity = recipe.arrays, recipe.facts.identity
    narrow = {"encoder": arrays.encoder[:, 1:], "decoder": arrays.decoder[:, 1:]}
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"layer": len(model.vision_model.encoder.layers)}, {}),
        ({"width": identity.width - 1}, narrow),
        ({}, {"classes": arrays.classes[:, 1:]}),
    ]
    for its, theirs in cases:
        facts = recipe.facts.model_copy(update={"identity": replace(identity, **its)})
        with pytest.raises(UserError, match="of another size"):
            apply_recipe(model, Recipe(facts, replace(arrays, **theirs)))


def test_what_is_no_clip_or_has_a_recipe_is_refused(model: CLIPModel, setup: Setup) -> None:
    with pytest.raises(UserError, match="not to a Linear"):
        apply_recipe(nn.Linear(2, 2), recipe_of(setup))  # type: ignore[type-var]
    with pytest.raises(UserError, match="a recipe in it already"):
        apply_recipe(apply_recipe(model, recipe_of(setup)), recipe_of(setup))
    model.vision_model.encoder.layers[1].forward = lambda *_: None
    with pytest.raises(UserError, match="without a device_map"):
        apply_recipe(model, recipe_of(setup))
    with pytest.raises(UserError, match="no claim 4"):
        apply_recipe(tiny_model(), recipe_of(setup), claim=4)
