"""Folders as people have them: what can be used is used; of the rest a sentence says what it is and what is needed."""

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CLASSES, tiny_model
from open_clip_files import make_weights
from PIL import Image
from safetensors.torch import load_file, save_file
from test_open_clip import TINY, write
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Siglip2Config,
)

from core.errors import UserError
from core.model.clip import SplitClip
from core.model.places import ResidualStream
from core.setups.catalog import Location
from core.setups.clips import OpenClipFolder, TransformersFolder, layout_of, read_clip
from core.setups.hub import list_files

SIDE = 32


@pytest.fixture
def folder(clip_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny CLIP, to be changed."""
    return copytree(clip_folder, tmp_path / "someone's clip")


def refusal(folder: Path) -> str:
    """The sentence. It names the folder, says what to do, and holds nothing for a terminal."""
    with pytest.raises(UserError) as caught:
        read_clip(folder, ResidualStream(1))
    said = str(caught.value)
    assert str(folder) in said
    assert said.endswith(".")
    assert said.isprintable()
    assert "[1m" not in said
    assert "anew" not in said.replace("put them there anew", "")
    assert "Error" not in said
    return said


def same_model(clip: SplitClip, other: SplitClip) -> bool:
    ours, theirs = clip.model.state_dict(), other.model.state_dict()
    same = all(torch.equal(weight, theirs[name]) for name, weight in ours.items())
    return same and torch.equal(clip.texts(CLASSES), other.texts(CLASSES))


# What is used


def as_pickle(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")


def as_old_pickle(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def as_shards(folder: Path) -> None:
    tiny_model().save_pretrained(folder, max_shard_size="40KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 1


def without_format(folder: Path) -> None:
    save_file(load_file(folder / "model.safetensors"), folder / "model.safetensors")


def with_positions(folder: Path) -> None:
    """As files of transformers before 4.31 have them."""
    more = {"vision_model.embeddings.position_ids": torch.arange(17)[None]}
    save_file(load_file(folder / "model.safetensors") | more, folder / "model.safetensors", {"format": "pt"})


def with_old_processor(folder: Path) -> None:
    """The names and numbers of OpenAI's own preprocessor_config.json."""
    (folder / "processor_config.json").unlink()
    told = {"feature_extractor_type": "CLIPFeatureExtractor", "size": SIDE, "crop_size": SIDE, "do_center_crop": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(told))


def beside_open_clip(folder: Path) -> None:
    write_settings = {"model_cfg": {"vision_cfg": {"timm_model_name": "other"}, "text_cfg": {}}, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(write_settings))
    (folder / "open_clip_pytorch_model.bin").write_bytes(b"not looked at")


@pytest.mark.parametrize(
    "change",
    [as_pickle, as_old_pickle, as_shards, without_format, with_positions, with_old_processor, beside_open_clip],
)
def test_every_form_that_is_published_is_the_same_model(
    change: Callable[[Path], None], folder: Path, clip: SplitClip
) -> None:
    change(folder)
    assert same_model(read_clip(folder, ResidualStream(1)), clip)


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def told_processor(folder: Path, **told: Any) -> Path:
    (folder / "processor_config.json").unlink(missing_ok=True)
    kind = {} if "feature_extractor_type" in told else {"image_processor_type": "CLIPImageProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(kind | told))
    return folder


SQUARE = {"height": SIDE, "width": SIDE}


@pytest.mark.parametrize(
    ("told", "resized", "box"),
    [
        ({"size": {"shortest_edge": SIDE}, "crop_size": SQUARE}, (48, 32), (8, 0, 40, 32)),
        ({"size": {"shortest_edge": SIDE}, "do_center_crop": False}, (48, 32), (8, 0, 40, 32)),
        ({"size": {"shortest_edge": 40}, "crop_size": SQUARE}, (60, 40), (14, 4, 46, 36)),
        ({"size": SQUARE, "crop_size": SQUARE}, (32, 32), (0, 0, 32, 32)),
        ({"size": SQUARE, "do_center_crop": False}, (32, 32), (0, 0, 32, 32)),
        ({"image_processor_type": "ViTImageProcessor", "size": SQUARE, "resample": 3}, (32, 32), (0, 0, 32, 32)),
        ({"feature_extractor_type": "ViTFeatureExtractor", "size": SIDE, "resample": 3}, (32, 32), (0, 0, 32, 32)),
        ({"image_processor_type": "SiglipImageProcessor", "size": SQUARE, "resample": 3}, (32, 32), (0, 0, 32, 32)),
    ],
)
def test_processors_whose_pictures_fit_are_used(
    told: dict[str, Any], resized: tuple[int, int], box: tuple[int, int, int, int], folder: Path
) -> None:
    clip = read_clip(told_processor(folder, **told), ResidualStream(1))
    left, top, right, bottom = box
    for wide, size, cut in (
        (picture(96, 64), resized, box),
        (picture(64, 96), resized[::-1], (top, left, bottom, right)),
    ):
        expected = wide.resize(size, Image.Resampling.BICUBIC).crop(cut)
        assert np.array_equal(clip.crop(wide), np.asarray(expected))


def test_the_colours_of_another_processor_are_its_own(folder: Path) -> None:
    clip = read_clip(told_processor(folder, image_processor_type="ViTImageProcessor", size=SQUARE), ResidualStream(1))
    seen = clip.crop(picture(64, 64))
    expected = (seen / 255 - 0.5) / 0.5  # what a ViT's is where nothing is said
    np.testing.assert_allclose(clip.pixels(seen[None])[0].permute(1, 2, 0), expected, atol=1e-6)


# What is refused


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}}, "224 × 224 pixels"),
        ({"size": {"shortest_edge": SIDE}, "crop_size": {"height": 24, "width": 24}}, "24 × 24 pixels"),
        ({"size": {"shortest_edge": 24}, "do_center_crop": False}, "36 × 24 pixels"),
        ({"size": {"longest_edge": SIDE}}, "longest_edge 32"),
        ({"size": {"shortest_edge": SIDE, "longest_edge": 40}, "do_center_crop": False}, None),
        ({"image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16}}, "16 × 16 pixels"),
        ({"size": {"shortest_edge": 10**9}, "crop_size": {"height": 10**9, "width": 10**9}}, "1000000"),
        ({"do_resize": False, "do_center_crop": False}, "pixels"),
    ],
)
def test_processors_whose_pictures_do_not_fit_are_refused_with_both_sizes(
    told: dict[str, Any], said: str | None, folder: Path
) -> None:
    told_processor(folder, **told)
    if said is None:  # it is made to cut the middle out
        assert read_clip(folder, ResidualStream(1)).crop(picture(96, 64)).shape == (SIDE, SIDE, 3)
        return
    assert said in (refused := refusal(folder))
    assert "32 × 32" in refused
    assert "preprocessor_config.json" in refused


def vision_only(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    config = tiny_model().config.vision_config
    assert isinstance(config, CLIPVisionConfig)
    CLIPVisionModelWithProjection(config).save_pretrained(folder)


def vision_only_without_tokenizer(folder: Path) -> None:
    vision_only(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "processor_config.json"):
        (folder / name).unlink()


def text_only(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    config = tiny_model().config.text_config
    assert isinstance(config, CLIPTextConfig)
    CLIPTextModelWithProjection(config).save_pretrained(folder)


def vision_weights_of_a_whole(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    seen = {name: weight for name, weight in weights.items() if name.startswith(("vision", "visual"))}
    save_file(seen, folder / "model.safetensors", {"format": "pt"})


def naflex(folder: Path) -> None:
    Siglip2Config().save_pretrained(folder)


def timm(folder: Path) -> None:
    """The settings of timm/vit_base_patch32_clip_224.laion2b_ft_in1k, of which only some are here."""
    (folder / "config.json").write_text('{"architecture": "vit_base_patch32_clip_224", "num_classes": 1000}')


def a_stranger(folder: Path) -> None:
    (folder / "config.json").write_text(
        json.dumps({"model_type": "\x1b[31mred\u202e", "auto_map": {"AutoModel": "x.y"}})
    )


def of_data_parallel(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({f"module.{n}": w for n, w in weights.items()}, folder / "model.safetensors", {"format": "pt"})


def a_whole_object(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(tiny_model(), folder / "pytorch_model.bin")


def a_checkpoint(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({"epoch": 3, "state_dict": weights}, folder / "pytorch_model.bin")


def of_another_size(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {"visual_projection.weight": torch.zeros(16, 31)}, folder / "model.safetensors")


def without_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["vision_model.encoder.layers.2.mlp.fc1.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def not_fetched(folder: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:3c00043509d2e3f35ec62bd85a643a\nsize 605219608\n"
    (folder / "model.safetensors").write_text(pointer)


def a_foreign_tokenizer(folder: Path) -> None:
    told = json.loads((folder / "tokenizer.json").read_text())
    told["model"]["vocab"] |= {f"word{index}": index for index in range(60, 70)}
    (folder / "tokenizer.json").write_text(json.dumps(told))


def another_processor(folder: Path) -> None:
    told_processor(folder, image_processor_type="MyProcessor", auto_map={"AutoImageProcessor": "mine.MyProcessor"})
    (folder / "mine.py").write_text("raise SystemExit('ran')")


def too_large(folder: Path) -> None:
    told = json.loads((folder / "config.json").read_text())
    told["vision_config"]["num_hidden_layers"] = 10**9
    (folder / "config.json").write_text(json.dumps(told))


def uneven(folder: Path) -> None:
    told = json.loads((folder / "config.json").read_text())
    told["text_config"]["num_attention_heads"] = 5
    (folder / "config.json").write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (vision_only, "the vision tower of a CLIP alone (model_type 'clip_vision_model')"),
        (vision_only_without_tokenizer, "the vision tower of a CLIP alone (model_type 'clip_vision_model')"),
        (text_only, "the text tower of a CLIP alone (model_type 'clip_text_model')"),
        (vision_weights_of_a_whole, "are the vision tower of a CLIP alone"),
        (naflex, "a SigLIP 2 of variable resolution (NaFlex)"),
        (timm, "a model that is not transformers'"),
        (a_stranger, "another model (model_type '"),
        (of_data_parallel, "“module.”"),
        (a_whole_object, "a pickle of more than tensors"),
        (a_checkpoint, "None of the weights"),
        (of_another_size, "'visual_projection.weight' in the shape [16, 31]"),
        (without_a_weight, "lacks weights: 'vision_model.encoder.layers.2.mlp.fc1.weight'"),
        (not_fetched, "a pointer to it"),
        (a_foreign_tokenizer, "ids up to 69"),
        (another_processor, "a kind that is not known here"),
        (too_large, "1000000000 for num_hidden_layers"),
        (uneven, "5 heads for a width of 24"),
    ],
)
def test_what_is_no_whole_clip_is_called_by_its_name(change: Callable[[Path], None], said: str, folder: Path) -> None:
    change(folder)
    assert said in refusal(folder)


# Which layout


def test_a_repository_of_timm_s_is_read_as_open_clip_s(tmp_path: Path) -> None:
    """timm/vit_base_patch32_clip_224.laion2b and its like hold timm's config.json beside open_clip's files."""
    write(tmp_path, TINY, make_weights(TINY))
    timm(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"timm's")
    assert layout_of(list_files(Location(tmp_path))) is OpenClipFolder
    assert read_clip(tmp_path, ResidualStream(1)).n_layers == 3


def test_of_two_layouts_that_is_read_of_which_all_is_there(folder: Path) -> None:
    write(folder, TINY, make_weights(TINY))
    assert layout_of(list_files(Location(folder))) is TransformersFolder
    (folder / "processor_config.json").unlink()
    assert layout_of(list_files(Location(folder))) is OpenClipFolder


def test_what_is_missing_is_that_of_the_layout_which_has_begun(tmp_path: Path) -> None:
    assert "neither config.json nor open_clip_config.json" in refusal(tmp_path)
    write(tmp_path, TINY, make_weights(TINY))
    (tmp_path / "open_clip_model.safetensors").unlink()
    assert "lacks open_clip_model.safetensors, or open_clip_pytorch_model.safetensors, or" in refusal(tmp_path)
