"""open_clip's layout against open_clip's forward pass written down: the same embeddings, or a sentence why not.

Source of names, settings and arithmetic: see `open_clip_files`; of the preprocessing, src/open_clip/transform.py
(`image_transform`) and factory.py (the size is the model's), of the tokens, tokenizer.py (`SimpleTokenizer.__call__`),
of what a checkpoint may hold, factory.py (`load_state_dict`), at the same commit.
"""

import json
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from open_clip_files import PUBLISHED_CONFIG, make_weights, padded, read, see, write_tokenizer, write_weights
from PIL import Image
from published_tokenizer import CONTEXT, published_merges, vocabulary
from torch import Tensor

from core.errors import UserError
from core.model.clip import SplitClip
from core.model.places import ResidualStream
from core.setups.clips import read_clip
from core.setups.published_tokens import END, PUBLISHED, START

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ("dog", "cat", "a red fish", "an owl on a bus", "")
TINY: dict[str, Any] = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 3, "width": 32, "patch_size": 8, "head_width": 8},
    "text_cfg": {"context_length": 24, "vocab_size": 54, "width": 24, "heads": 2, "layers": 2},
}


def letters() -> dict[str, int]:
    """Every letter, in a word and at its end, and the two marks with the highest ids, as in CLIP's vocabulary."""
    tokens = [*LETTERS, *(letter + "</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    return {token: index for index, token in enumerate(tokens)}


def spelled(text: str) -> list[int]:
    ids = letters()
    spelled = [word[:-1] + "|" + word[-1] for word in text.split()]
    inner = [ids[c] for word in spelled for c in (*word[: word.index("|")], word[-1] + "</w>")]
    return [ids["<|startoftext|>"], *inner, ids["<|endoftext|>"]]


def config_of(**changes: Any) -> dict[str, Any]:
    """TINY with settings changed; those of a tower as `vision_cfg__layers`."""
    config = deepcopy(TINY)
    for name, value in changes.items():
        *section, key = name.split("__")
        (config[section[0]] if section else config)[key] = value
    return config


def write(
    folder: Path, config: dict[str, Any], weights: dict[str, Tensor], pictures: dict[str, Any] | None = None
) -> Path:
    told = {"model_cfg": config, "preprocess_cfg": {} if pictures is None else pictures}
    (folder / "open_clip_config.json").write_text(json.dumps(told))
    write_tokenizer(folder, letters(), [], config["text_cfg"]["context_length"])
    write_weights(folder, weights)
    return folder


def agrees(clip: SplitClip, weights: dict[str, Tensor], config: dict[str, Any]) -> None:
    """Every layer's residual, and the embeddings of pictures and texts, to 1e-5."""
    side = clip.image_size
    pixels = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        after, embeddings = see(weights, config, pixels)
        torch.testing.assert_close(clip.residual(pixels), after[clip.layer], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(clip.embed_from_residual(after[clip.layer]), embeddings, atol=1e-5, rtol=1e-5)
        context = config["text_cfg"]["context_length"]
        prompts = [*WORDS, "a very long text that goes on and on " * 3]
        tokens = padded([spelled(prompt) for prompt in prompts], context, letters()["<|endoftext|>"])
        texts = F.normalize(read(weights, config, tokens), dim=-1)
        torch.testing.assert_close(clip.texts(prompts), texts, atol=1e-5, rtol=1e-5)
    assert (texts[0] - texts[1]).abs().max() > 0.1
    assert (embeddings[0] - embeddings[1]).abs().max() > 0.1
    assert clip.logit_scale == pytest.approx(weights["logit_scale"].exp().item())


SHAPES: dict[str, dict[str, Any]] = {
    "the defaults": {},
    "quick_gelu": {"quick_gelu": True},
    "quick_gelu off": {"quick_gelu": False},
    "other widths": {"vision_cfg__width": 40, "text_cfg__width": 48, "embed_dim": 20},
    "one head": {"vision_cfg__head_width": 32, "text_cfg__heads": 1},
    "small heads": {"vision_cfg__head_width": 4, "text_cfg__heads": 8},
    "heads of 64": {"vision_cfg__width": 128, "vision_cfg__head_width": 64},
    "odd ratio": {"vision_cfg__mlp_ratio": 4.3637, "text_cfg__mlp_ratio": 2.5},
    "other patches": {"vision_cfg__patch_size": 14, "vision_cfg__image_size": 42},
    "patches that leave a rest": {"vision_cfg__patch_size": 9},
    "a short context": {"text_cfg__context_length": 9},
    "a long context": {"text_cfg__context_length": 130},
    "one layer": {"vision_cfg__layers": 1, "text_cfg__layers": 1},
    "LayerScale": {"vision_cfg__ls_init_value": 1e-4, "text_cfg__ls_init_value": 0.1},
    "a named end": {"text_cfg__pool_type": "eos", "text_cfg__eos_id": 53},
    "harmless settings": {
        "vision_cfg__patch_dropout": 0.5,
        "vision_cfg__final_ln_after_pool": True,
        "vision_cfg__attentional_pool": False,
        "vision_cfg__timm_model_name": None,
        "vision_cfg__pool_type": "tok",
        "text_cfg__pool_type": "argmax",
        "text_cfg__hf_model_name": "",
        "text_cfg__pad_id": 0,
        "nonscalar_logit_scale": False,
    },
}


@pytest.mark.parametrize("name", SHAPES)
def test_it_answers_as_open_clip_does(name: str, tmp_path: Path) -> None:
    config = config_of(**SHAPES[name])
    weights = make_weights(config)
    clip = read_clip(write(tmp_path, config, weights), ResidualStream(0))
    agrees(clip, weights, config)
    assert clip.grid == (config["vision_cfg"]["image_size"] // config["vision_cfg"]["patch_size"],) * 2


def test_it_is_split_at_any_layer(tmp_path: Path) -> None:
    weights = make_weights(TINY)
    write(tmp_path, TINY, weights)
    for layer in range(3):
        agrees(read_clip(tmp_path, ResidualStream(layer)), weights, TINY)
    with pytest.raises(UserError, match="3 vision layers"):
        read_clip(tmp_path, ResidualStream(3))


def test_quick_gelu_is_another_model() -> None:
    """The test above could not tell a wrong activation where the two answered alike."""
    weights = make_weights(TINY)
    pixels = torch.randn(1, 3, 32, 32)
    quick, slow = (see(weights, TINY | {"quick_gelu": quick}, pixels)[1] for quick in (True, False))
    assert (quick - slow).abs().max() > 1e-3


def in_half(weights: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    half = {name: weight.half() for name, weight in weights.items()}
    write_weights(folder, half)
    return {name: weight.float() for name, weight in half.items()}


def pickled(weights: Mapping[str, object], folder: Path) -> None:
    (folder / "open_clip_model.safetensors").unlink()
    torch.save(weights, folder / "open_clip_pytorch_model.bin")


def converted(weights: dict[str, Tensor], folder: Path) -> None:
    """As the Hub's own converter of pickles names it, on laion/CLIP-ViT-g-14-laion2B-s12B-b42K at 4b0305a."""
    (folder / "open_clip_model.safetensors").rename(folder / "open_clip_pytorch_model.safetensors")
    (folder / "open_clip_pytorch_model.bin").write_bytes(b"not asked for")


def a_checkpoint(weights: dict[str, Tensor], folder: Path) -> None:
    state = {f"module.{name}": weight for name, weight in weights.items()}
    pickled({"epoch": 3, "name": "tiny", "state_dict": state}, folder)


def custom_text(weights: dict[str, Tensor], folder: Path) -> None:
    outside = ("visual.", "logit_scale")
    named = {name if name.startswith(outside) else f"text.{name}": weight for name, weight in weights.items()}
    write_weights(folder, named)


def more_of_it(weights: dict[str, Tensor], folder: Path) -> None:
    scale = weights["logit_scale"].reshape(1)
    write_weights(folder, weights | {"attn_mask": torch.zeros(24, 24), "logit_scale": scale})


@pytest.mark.parametrize("how", [in_half, pickled, converted, a_checkpoint, custom_text, more_of_it])
def test_weights_in_every_form_they_are_written_in(how: Callable[..., Any], tmp_path: Path) -> None:
    config = config_of(custom_text=how is custom_text, vision_cfg__ls_init_value=0.1)
    weights = make_weights(config)
    write(tmp_path, config, weights)
    expected = how(weights, tmp_path) or weights
    agrees(read_clip(tmp_path, ResidualStream(1)), expected, config)


# Tokens


@pytest.mark.parametrize("files", ["tokenizer.json", "vocab.json merges.txt", "all"])
def test_tokens_are_those_of_open_clip(files: str, tmp_path: Path) -> None:
    """With CLIP's whole vocabulary; zeros follow the end, which nothing that is read looks at."""
    config = config_of(text_cfg__vocab_size=49408, text_cfg__context_length=CONTEXT, embed_dim=8)
    weights = make_weights(config)
    write(tmp_path, config, weights)
    write_tokenizer(tmp_path, vocabulary(), published_merges(), CONTEXT)
    if files != "all":
        for name in {"tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"} - set(files.split()):
            (tmp_path / name).unlink()
    clip = read_clip(tmp_path, ResidualStream(0))
    long = "a photo of a dog " * 40
    whole = [START, *PUBLISHED["a photo of a dog"] * 40, END]
    ids = [[START, *known, END] for known in PUBLISHED.values()] + [whole]
    with torch.no_grad():
        expected = F.normalize(read(weights, config, padded(ids, CONTEXT, END)), dim=-1)
    torch.testing.assert_close(clip.texts([*PUBLISHED, long]), expected, atol=1e-5, rtol=1e-5)
    assert clip.tokenizer("a photo of a cat")["input_ids"] == [START, *PUBLISHED["a photo of a cat"], END]


# Pictures


def test_pictures_are_made_as_open_clip_makes_them(tmp_path: Path) -> None:
    """PIL does the resizing in torchvision too. Sides are such that an even number of pixels is cut off."""
    rng = np.random.default_rng(0)
    colours = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7]}
    picture = Image.fromarray(rng.integers(0, 256, (64, 96, 3), dtype=np.uint8))
    for told, resized, box, method in (
        ({}, (48, 32), (8, 0, 40, 32), Image.Resampling.BICUBIC),
        ({"interpolation": "bilinear", "resize_mode": "shortest"}, (48, 32), (8, 0, 40, 32), Image.Resampling.BILINEAR),
        ({"interpolation": "random", "size": 224}, (48, 32), (8, 0, 40, 32), Image.Resampling.BICUBIC),
        ({"resize_mode": "squash", "mode": "RGB"}, (32, 32), (0, 0, 32, 32), Image.Resampling.BICUBIC),
    ):
        clip = read_clip(write(tmp_path, TINY, make_weights(TINY), told | colours), ResidualStream(0))
        expected = np.array(picture.resize(resized, method).crop(box))
        assert np.array_equal(clip.crop(picture), expected), told
        values = (expected / 255 - np.array(colours["mean"])) / np.array(colours["std"])
        np.testing.assert_allclose(clip.pixels(expected[None])[0].permute(1, 2, 0), values, atol=1e-6)


def test_colours_that_are_not_told_are_openai_s_and_one_stands_for_three(tmp_path: Path) -> None:
    processor = read_clip(write(tmp_path, TINY, make_weights(TINY)), ResidualStream(0)).image_processor
    assert tuple(processor.image_mean) == (0.48145466, 0.4578275, 0.40821073)  # type: ignore[attr-defined]
    assert tuple(processor.image_std) == (0.26862954, 0.26130258, 0.27577711)  # type: ignore[attr-defined]
    told = {"mean": 0.5, "std": 0.25}
    processor = read_clip(write(tmp_path, TINY, make_weights(TINY), told), ResidualStream(0)).image_processor
    assert tuple(processor.image_mean) == (0.5,) * 3  # type: ignore[attr-defined]
    assert tuple(processor.image_std) == (0.25,) * 3  # type: ignore[attr-defined]


# Refusals


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_clip(folder, ResidualStream(0))
    said = str(caught.value)
    assert str(folder) in said
    assert said.endswith(".")
    assert said.isprintable()
    return said


OTHERS: dict[str, dict[str, Any]] = {
    "timm.*convnext_base": {"vision_cfg__timm_model_name": "convnext_base", "vision_cfg__timm_pool": "avg"},
    "ResNet": {"vision_cfg__layers": [3, 4, 6, 3]},
    "text tower of transformers'.*roberta-base": {"text_cfg__hf_model_name": "roberta-base"},
    "CoCa's attentional pooling": {"vision_cfg__attentional_pool": True, "vision_cfg__attn_pooler_heads": 8},
    "CoCa's text tower": {"text_cfg__embed_cls": True},
    "CoCa's text decoder": {"multimodal_cfg": {"width": 512}},
    "without a norm before its layers": {"vision_cfg__no_ln_pre": True, "vision_cfg__pool_type": "avg"},
    "pool_type' = 'avg'": {"vision_cfg__pool_type": "avg", "vision_cfg__final_ln_after_pool": True},
    "pool_type' = 'last'": {"text_cfg__pool_type": "last"},
    "reads backwards": {"text_cfg__no_causal_mask": True},
    "sigmoid": {"init_logit_bias": -10},
    "qk_norm": {"vision_cfg__qk_norm": True},
    "block_type' = 'custom'": {"vision_cfg__block_type": "custom"},
    "text_arch' = 'modern'": {"text_cfg__text_arch": "modern"},
    "norm_kwargs": {"vision_cfg__norm_kwargs": {"eps": 1e-6}},
    "act_kwargs": {"text_cfg__act_kwargs": {"approximate": "tanh"}},
    "proj_bias": {"text_cfg__proj_bias": True},
    "proj_type' = 'none'": {"text_cfg__proj_type": "none"},
    "tokenizer_kwargs": {"text_cfg__tokenizer_kwargs": {"clean": "canonicalize"}},
    "audio_cfg": {"audio_cfg": {"sample_rate": 48000}},
    "does not read at.*eos_id' = 2": {"text_cfg__pool_type": "eos", "text_cfg__eos_id": 2},
    "global_average_pool": {"vision_cfg__global_average_pool": True},
}


@pytest.mark.parametrize("said", OTHERS)
def test_towers_that_are_not_its_own_are_refused_by_their_names(said: str, tmp_path: Path) -> None:
    write(tmp_path, TINY, make_weights(TINY))
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config_of(**OTHERS[said]), "preprocess_cfg": {}})
    )
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"not looked at")
    assert re.search(said, refusal(tmp_path))


@pytest.mark.parametrize(
    ("pictures", "said"),
    [
        ({"resize_mode": "longest"}, "resize_mode"),
        ({"interpolation": "lanczos"}, "interpolation"),
        ({"mean": [1, 2]}, "three numbers for mean"),
        ({"std": [0.5, 0.5, 0]}, "std that is not positive"),
        ({"std": "wide"}, "three numbers for std"),
        ({"new": {"a\x1b[31m": 1}}, "'new'"),
        ({"a\x1b[31m": True}, r"x1b"),
    ],
)
def test_pictures_that_cannot_be_made_so_are_refused(pictures: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in refusal(write(tmp_path, TINY, make_weights(TINY), pictures))


SIZES = [
    ({"vision_cfg__head_width": 10}, "3 heads for a width of 32"),
    ({"vision_cfg__layers": 10**9}, "1000000000 for num_hidden_layers"),
    ({"vision_cfg__layers": "many"}, "'many' for layers"),
    ({"vision_cfg__head_width": 0.5}, "0.5 for head_width"),
    ({"vision_cfg__head_width": 64}, "0 for num_attention_heads"),
    ({"vision_cfg__image_size": [32, 64]}, "no number for image_size"),
    ({"vision_cfg__patch_size": 64}, "larger than its pictures"),
    ({"text_cfg__vocab_size": 10**8}, "100000000 for vocab_size"),
    ({"text_cfg__mlp_ratio": float("inf")}, "inf for mlp_ratio"),
    ({"embed_dim": None}, "0 for projection_dim"),
    ({"vision_cfg": None}, "lacks vision_cfg"),
]


@pytest.mark.parametrize(("changes", "said"), SIZES, ids=lambda value: str(value)[:30])
def test_sizes_that_no_clip_has_are_refused_at_once(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    write(tmp_path, TINY, make_weights(TINY))
    told = {"model_cfg": config_of(**changes), "preprocess_cfg": {}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(told))
    assert re.search(said, refusal(tmp_path))


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"model_cfg": 3}', "[" * 100_000, ' {"a":1}' + " " * (1 << 20)])
def test_settings_that_are_none(text: str, tmp_path: Path) -> None:
    write(tmp_path, TINY, make_weights(TINY))
    (tmp_path / "open_clip_config.json").write_text(text)
    assert "open_clip_config.json" in refusal(tmp_path)


def test_weights_of_another_model_are_refused_with_their_names(tmp_path: Path) -> None:
    weights = make_weights(TINY)
    write(tmp_path, TINY, weights | {"visual.trunk.head.weight": torch.zeros(2)})
    assert "'visual.trunk.head.weight'" in refusal(tmp_path)
    write_weights(tmp_path, {name: weight for name, weight in weights.items() if "ln_post" not in name})
    assert "lacks weights: 'vision_model.post_layernorm.bias'" in refusal(tmp_path)
    write_weights(tmp_path, weights | {"visual.proj": torch.zeros(32, 13)})
    assert "[13, 32]" in (said := refusal(tmp_path))
    assert "[12, 32]" in said


def test_a_pickle_of_more_than_tensors_stays_closed(tmp_path: Path) -> None:
    class Stranger:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    weights = make_weights(TINY)
    write(tmp_path, TINY, weights)
    pickled({**weights, "more": Stranger()}, tmp_path)
    assert "pickle" in refusal(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_another_model_s_tokenizer_is_refused(tmp_path: Path) -> None:
    write(tmp_path, TINY, make_weights(TINY))
    write_tokenizer(tmp_path, vocabulary(), published_merges(), CONTEXT)
    assert "ids up to 49407" in refusal(tmp_path)
    fewer = {token: index for index, token in enumerate(token for token in letters() if token != "z")}
    write_tokenizer(tmp_path, fewer, [], 24)
    assert "at the id 53" in (said := refusal(tmp_path))
    assert "ends one with 52" in said


def test_the_published_settings_are_those_of_a_vit_b_32() -> None:
    told = json.loads(PUBLISHED_CONFIG)
    assert len(PUBLISHED_CONFIG) == 469
    assert told["model_cfg"]["vision_cfg"]["patch_size"] == 32
