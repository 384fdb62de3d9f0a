"""Setups of other places and families, loaded as any other: from the files to a question that is answered."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from conftest import TEXT, WIDTH, exact_sae, tiny_siglip
from PIL import Image
from sentencepiece import SentencePieceTrainer
from transformers import SiglipModel, SiglipTokenizer

from core.errors import UserError
from core.model.clip import SplitClip
from core.model.places import ImageEmbedding
from core.model.prompts import TEMPLATES
from core.setups.agreement import agree
from core.setups.catalog import Location, SetupSpec, read_catalog
from core.setups.checkpoints.reading import Reading
from core.setups.clips import find_clip, read_clip
from core.setups.loading import Setup, load
from core.setups.options import own_setup
from core.workbench import Workbench

NAMES = ("dog", "cat", "owl")


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Folders of dictionaries that miss nothing, by width."""

    def folder(width: int) -> Path:
        made = tmp_path_factory.mktemp("exact")
        exact_sae(width).save_model(made)
        return made

    return folder


def card(clip: Path, dictionary: Path, **settings: object) -> SetupSpec:
    spec = SetupSpec("other", "Other", Location(clip), Location(dictionary), 1, "all", "MIT", "")
    return replace(spec, **settings)  # type: ignore[arg-type]


def answers_as_transformers(setup: Setup, folder: Path, picture: Image.Image) -> None:
    """Logits and probabilities by transformers' own processor and model."""
    model = type(setup.clip.model).from_pretrained(folder).eval()
    pixels = setup.clip.image_processor(picture, return_tensors="pt")["pixel_values"]
    prompts = [f"a photo of a {name}" for name in NAMES]
    padding = {"padding": "max_length", "max_length": 24} if setup.clip.scoring.per_class else {"padding": True}
    texts = setup.clip.tokenizer(prompts, return_tensors="pt", **padding)
    asked = {"input_ids": texts["input_ids"]}
    if not setup.clip.scoring.per_class:
        asked["attention_mask"] = texts["attention_mask"]
    with torch.no_grad():
        logits = model(pixel_values=pixels, **asked).logits_per_image[0]
    bench = Workbench(setup)
    said = bench.classify(bench.open(picture), NAMES, TEMPLATES["single"])
    np.testing.assert_allclose(said.logits, logits.numpy(), atol=1e-4)
    means = logits.sigmoid() if setup.clip.scoring.per_class else logits.softmax(0)
    np.testing.assert_allclose(said.probabilities, means.numpy(), atol=1e-5)
    np.testing.assert_allclose(said.shares, logits.softmax(0).numpy(), atol=1e-5)


@pytest.mark.parametrize("place", ["residual", "mlp", "embedding"])
@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_a_setup_of_any_place_and_family_answers(
    clip_folder: Path, siglip_folder: Path, exact: Callable[[int], Path], picture: Image.Image, family: str, place: str
) -> None:
    folder = {"clip": clip_folder, "siglip": siglip_folder}[family]
    width = 16 if (family, place) == ("clip", "embedding") else WIDTH
    setup = load(card(folder, exact(width), place=place))
    answers_as_transformers(setup, folder, picture)
    assert setup.health is not None
    assert setup.health.not_finite == ""
    assert setup.health.explained_variance == pytest.approx(1, abs=1e-4)
    assert setup.health.answers_kept == 1
    assert (setup.health.explained_variance_cls is None) == (family == "siglip" or place == "embedding")
    assert setup.card.scope == ("cls" if place == "embedding" else "patches" if family == "siglip" else "all")


def test_the_tokenizer_of_a_siglip_is_read_from_its_own_file(siglip_folder: Path, tmp_path: Path) -> None:
    """As in google/siglip-base-patch16-224: spiece.model, and a class that reads nothing else."""
    words = "a photo of a dog cat owl red fish bus the quick brown fox jumps over the lazy dogs while five wizards box"
    turned = [words.split()[k:] + words.split()[:k] for k in range(20)]
    model = BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=(" ".join(each) for each in turned), model_writer=model, vocab_size=50,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    folder = copytree(siglip_folder, tmp_path / "clip")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (folder / file).unlink()
    (tmp_path / "spiece.model").write_bytes(model.getvalue())
    SiglipTokenizer(str(tmp_path / "spiece.model"), model_max_length=24).save_pretrained(folder)
    clip = read_clip(folder, ImageEmbedding())
    assert type(clip.tokenizer) is SiglipTokenizer
    prompts = ["a Dog!", "the quick brown fox jumps"]
    ids = clip.tokenizer(prompts, padding="max_length", max_length=24, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        expected = SiglipModel.from_pretrained(folder).eval().get_text_features(input_ids=ids).pooler_output
    torch.testing.assert_close(clip.texts(prompts), torch.nn.functional.normalize(expected), atol=1e-5, rtol=1e-5)


def test_a_siglip_reads_texts_in_lower_case(siglip_folder: Path) -> None:
    """Whatever its tokenizer would make of capitals."""
    clip = read_clip(siglip_folder, ImageEmbedding())
    heard: list[str] = []
    watched = SplitClip(clip.model, clip.image_processor, Mock(wraps=clip.tokenizer), clip.place)
    watched.tokenizer.side_effect = lambda texts, **asked: heard.extend(texts) or clip.tokenizer(texts, **asked)  # type: ignore[func-returns-value]
    watched.token_ids(["An iPod", "DOG"])
    assert heard == ["an ipod", "dog"]


def test_scopes_that_a_model_has_not_are_trouble(siglip_folder: Path, exact: Callable[[int], Path]) -> None:
    with pytest.raises(UserError, match="no class token"):
        load(card(siglip_folder, exact(WIDTH), scope="cls"))


def test_a_siglip_without_its_head_or_of_two_lengths_is_trouble(tmp_path: Path) -> None:
    for change, said in (
        ({"vision_use_head": False}, "without the head"),
        ({}, "of 32 numbers .* of 24"),
    ):
        config: Any = tiny_siglip().config
        config.vision_config.update(change)
        config.text_config.update({"projection_size": TEXT["hidden_size"]} if not change else {})
        SiglipModel(config).save_pretrained(tmp_path)
        with pytest.raises(UserError, match=said):
            find_clip(Location(tmp_path), card(tmp_path, tmp_path).at, lambda _: None)


def test_a_dictionary_of_another_place_is_told_which(clip_folder: Path, exact: Callable[[int], Path]) -> None:
    with pytest.raises(UserError, match="16 wide; .* is 32 wide. If it reads the image embedding, .*: embed"):
        load(card(clip_folder, exact(16)))


CLAIMS = [
    ("mlp", {"point": "mlp", "layer": 1}, None),
    ("mlp", {"point": "residual", "layer": 1}, "trained on the residual after a layer; the setup is for the output of"),
    ("mlp", {"point": "mlp", "layer": 2}, "layer 2; the setup is for layer 1"),
    ("residual", {"point": "mlp", "layer": 1}, "trained on the output of an MLP; the setup is for the residual after"),
    ("residual", {"point": "in_mlp", "layer": 1}, "the inside of the MLP in layer 1 .* can be edited here"),
    ("embedding", {"point": "embedding", "layer": -1}, None),
    ("embedding", {"scope": "all"}, None),
]


@pytest.mark.parametrize(("place", "claims", "said"), CLAIMS)
def test_what_a_file_says_of_its_place_is_compared(
    clip_folder: Path, bench: Workbench, place: str, claims: dict[str, object], said: str | None
) -> None:
    spec = card(clip_folder, clip_folder, place=place)
    clip = type(bench.setup.clip)(
        bench.setup.clip.model, bench.setup.clip.image_processor, bench.setup.clip.tokenizer, spec.at
    )
    spec = replace(spec, scope=clip.scope("all"))
    reading = Reading("by hand", exact_sae(clip.width), claims)
    if said is None:
        agree(spec, clip, reading)
    else:
        with pytest.raises(UserError, match=said):
            agree(spec, clip, reading)


def test_a_catalog_needs_no_layer_for_an_embedding(tmp_path: Path) -> None:
    table = """[[setup]]
name = "e"
title = "E"
clip = { folder = "." }
dictionary = { folder = "." }
place = "embedding"
scope = "all"
licence = ""
note = ""
"""
    (tmp_path / "catalog.toml").write_text(table)
    (found,) = read_catalog(tmp_path / "catalog.toml").values()
    assert (found.at.NAME, found.layer) == ("embedding", 0)
    (tmp_path / "catalog.toml").write_text(table.replace("embedding", "mlp"))
    with pytest.raises(UserError, match="lacks or misnames an entry: layer"):
        read_catalog(tmp_path / "catalog.toml")
    (tmp_path / "catalog.toml").write_text(table.replace('"embedding"', '"attention"\nlayer = 1'))
    with pytest.raises(UserError, match="place 'attention'. Choose one of: residual, mlp, embedding"):
        read_catalog(tmp_path / "catalog.toml")


def test_the_command_line_names_a_place(clip_folder: Path) -> None:
    own = {"clip": str(clip_folder), "dictionary": str(clip_folder), "file": ".", "scope": "all", "layout": "sae_lens"}
    said = own | {"words": None, "mean_of": None}
    assert own_setup(SimpleNamespace(**said, place="embedding", layer=None)).at.NAME == "embedding"  # type: ignore[arg-type]
    assert own_setup(SimpleNamespace(**said, place="mlp", layer=2)).at.facts == {"layer": 2, "place": "mlp"}  # type: ignore[arg-type]
    with pytest.raises(UserError, match="--place embedding in place of a layer"):
        own_setup(SimpleNamespace(**said, place="mlp", layer=None))  # type: ignore[arg-type]
