"""A CLIP without a dictionary opens with words for its components: from the command line to a question answered."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from PIL import Image
from transformers import AutoModel

from core.errors import UserError
from core.methods.steering import Edit, Lever
from core.methods.targets import ClassTarget
from core.model.prompts import TEMPLATES
from core.serving.command_line import app_arguments
from core.session import component_search
from core.setups import verification
from core.setups.catalog import SetupSpec
from core.setups.dictionaries import words as of_words
from core.setups.health import doubts, refusal
from core.setups.loading import Loading, Setup, load
from core.setups.options import WORDS, as_options, own_setup
from core.setups.verified import Verification
from core.workbench import Workbench

LISTED = [first + second for first in "abcdefgh" for second in "ijklmn"]
CLASSES, SINGLE = ("dog", "cat", "owl"), TEMPLATES["single"]


@pytest.fixture(scope="module")
def words_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("words") / "mine.txt"
    file.write_text("# a heading\n" + "\n".join([*LISTED, LISTED[0], LISTED[1].upper()]), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for k in range(9):
        noise = np.random.default_rng(k).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{k}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def folders(clip_folder: Path, siglip_folder: Path) -> Mapping[str, Path]:
    """An OpenAI-layout CLIP, and a SigLIP 2 of fixed resolution, as transformers saves them."""
    return {"clip": clip_folder, "siglip": siglip_folder}


@pytest.fixture(scope="module", autouse=True)
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where embeddings are kept meanwhile."""
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_ASSETS_CACHE", str(folder))
        patch.setattr(of_words, "ACTIVE", 4)
        yield folder


def card_of(*typed: object) -> SetupSpec:
    return own_setup(app_arguments([str(word) for word in typed]))


@pytest.fixture(scope="module", params=["clip", "siglip"])
def opened(
    request: pytest.FixtureRequest, folders: Mapping[str, Path], words_file: Path, pictures: Path, kept: Path
) -> Setup:
    return load(card_of("--clip", folders[request.param], "--words", words_file, "--mean-of", pictures))


# ---- what is typed


def test_a_clip_alone_has_the_words_that_ship(folders: Mapping[str, Path]) -> None:
    card = card_of("--clip", folders["clip"])
    assert (card.kind, card.place, card.dictionary.folder) == ("words", "embedding", WORDS.parent)
    assert card.dictionary.file == WORDS.name
    assert len(of_words.read_words(WORDS)) > 2000


@pytest.mark.parametrize(
    "typed",
    [
        ["--clip", "a/b", "--layer", 3],
        ["--clip", "a/b", "--place", "mlp"],
        ["--dictionary", "a/b"],
        ["--clip", "a/b", "--dictionary", "c/d"],
        ["--clip", "a/b", "--dictionary", "c/d", "--layer", 1, "--words", "w.txt"],
    ],
)
def test_what_is_half_said_is_told(typed: Sequence[object]) -> None:
    with pytest.raises(UserError, match="components are words"):
        card_of(*typed)


@pytest.mark.parametrize(
    "typed",
    [
        "--clip a/b",
        "--clip a/b --dictionary c/d --layer 3 --scope all",
        "--clip a/b --dictionary c/d --file 20/1.pt --layout clipscope --layer 20 --scope cls",
        "--clip a/b --dictionary c/d --place mlp --layer 3 --scope patches",
        "--clip a/b --dictionary c/d --layout clip_topk_sae --place embedding --scope cls",
    ],
)
def test_what_was_typed_is_told_again(typed: str) -> None:
    assert as_options(card_of(*typed.split())) == typed


def test_a_folder_is_told_without_the_way_to_it(folders: Mapping[str, Path], words_file: Path, pictures: Path) -> None:
    card = card_of("--clip", folders["clip"], "--words", words_file, "--mean-of", pictures)
    assert as_options(card) == "--clip CLIP_FOLDER --words mine.txt --mean-of PICTURES"
    assert as_options(replace(card, name="mine")) == "--setup mine"


# ---- what is made


def test_every_word_is_a_component_once(opened: Setup) -> None:
    assert opened.dictionary.words == tuple(LISTED), "a CLIP that reads capitals as small letters has each once"
    assert opened.health is not None
    assert "over 9 pictures of" in opened.formula


def test_numbers_are_those_of_transformers(opened: Setup, folders: Mapping[str, Path], picture: Image.Image) -> None:
    """Logits, probabilities and the effect of a lever, with transformers' own model and processor beside them."""
    folder = folders["siglip" if opened.clip.scoring.per_class else "clip"]
    model = AutoModel.from_pretrained(folder).eval()
    bench = Workbench(opened)
    trace = bench.open(picture)
    said = bench.classify(trace, CLASSES, SINGLE)
    padding = {"padding": "max_length", "max_length": 24} if opened.clip.scoring.per_class else {"padding": True}
    texts = opened.clip.tokenizer([f"a photo of a {one}" for one in CLASSES], return_tensors="pt", **padding)
    asked = {"input_ids": texts["input_ids"]}
    if not opened.clip.scoring.per_class:
        asked["attention_mask"] = texts["attention_mask"]
    with torch.no_grad():
        pixels = opened.clip.image_processor(picture, return_tensors="pt")["pixel_values"]
        whole = model(pixel_values=pixels, **asked)
        z = model.get_image_features(pixel_values=pixels).pooler_output[0].double()
        t = torch.nn.functional.normalize(model.get_text_features(**asked).pooler_output.double(), dim=-1)
    np.testing.assert_allclose(said.logits, whole.logits_per_image[0].numpy(), atol=1e-4)
    scoring = opened.clip.scoring

    def logits(embedding: torch.Tensor) -> np.ndarray:
        return (scoring.scale * t @ (embedding / embedding.norm()) + scoring.bias).numpy()

    attribution = bench.attribute(trace, CLASSES, SINGLE, ClassTarget(0, 1))
    strongest = int(attribution.strongest_for(1)[0])
    f, c = trace.activations.of(strongest)[0], opened.dictionary.directions(np.array([strongest]))[0].double()
    after = bench.compare(trace, Edit((Lever(strongest),)), CLASSES, SINGLE).after
    np.testing.assert_allclose(after.logits, logits(z - float(f) * c), atol=1e-4)
    change = logits(z)[0] - logits(z)[1] - logits(z - float(f) * c)[0] + logits(z - float(f) * c)[1]
    (measured,) = bench.ablation_effects(trace, CLASSES, SINGLE, ClassTarget(0, 1), [strongest])
    assert measured == pytest.approx(change, abs=1e-4)


def test_words_are_found_by_their_name_and_in_a_picture(opened: Setup, picture: Image.Image) -> None:
    bench = Workbench(opened)
    assert bench.is_searchable
    found = component_search.search(bench, component_search.ComponentSearch(), "cm", None)
    assert found.matches is not None
    assert bench.word(found.matches[0].component) == "cm"
    assert found.matches[0].score == pytest.approx(1, abs=1e-5)
    trace = bench.open(picture)
    active = bench.matches_picture(trace.embedding, 50)
    assert {match.component for match in active} == set(trace.activations.components().tolist())
    assert [match.score for match in active] == sorted((match.score for match in active), reverse=True)


def test_embeddings_are_kept(
    opened: Setup, kept: Path, monkeypatch: pytest.MonkeyPatch, words_file: Path, pictures: Path
) -> None:
    made = len(list(kept.rglob("*.safetensors")))
    assert made >= 2
    heard: list[Loading] = []
    again = load(opened.card, tell=heard.append)
    assert again.fingerprint == opened.fingerprint
    assert not {"Reading the words"} & {step.said for step in heard}
    for file in kept.rglob("*.safetensors"):
        file.write_bytes(b"damaged")
    assert load(opened.card, tell=heard.append).fingerprint == opened.fingerprint
    assert "Reading the words" in {step.said for step in heard}
    assert len(list(kept.rglob("*.safetensors"))) == made, "they are written anew"


def test_lists_that_cannot_be_used_are_told(folders: Mapping[str, Path], pictures: Path, tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    for content, said in (
        (b"ab\ncd\n", "2 of the words .* are told apart"),
        (b"\xff\xfe\xfa", "cannot be read"),
        (b"x" * 300, "longer than 200 characters"),
        ("\n".join(f"w{k}" for k in range(5001)).encode(), "5,001 words. Keep at most 5,000"),
    ):
        file.write_bytes(content)
        with pytest.raises(UserError, match=said):
            load(card_of("--clip", folders["clip"], "--words", file, "--mean-of", pictures))
    spec = replace(card_of("--clip", folders["clip"]), place="residual")
    with pytest.raises(UserError, match="words for its dictionary, which are of the image embedding"):
        load(spec)


# ---- how it is judged


def test_a_verification_hashes_the_words(opened: Setup, words_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "load", lambda *_, **__: opened)
    begun = Verification(opened.card.stated, datetime.now(UTC), {})
    _, found = islice(verification._steps(opened.card, begun, lambda _: None), 2)
    assert found.dictionary is not None
    assert found.dictionary.hashes == {words_file.name: hashlib.sha256(words_file.read_bytes()).hexdigest()}
    assert opened.card.stated.endswith(", words")


def test_words_are_not_refused_for_what_they_miss(opened: Setup) -> None:
    health = opened.health
    assert health is not None
    poor = replace(health, explained_variance=0.1, answers_kept=0.2)
    found = doubts(poor, opened.card)
    assert refusal(replace(poor, doubts=found), opened.card) is None
    (said,) = [doubt.sentence for doubt in found if doubt.about == "explained variance"]
    assert "Its words hold 0.10 of the variance" in said
    trained = replace(opened.card, kind="sae")
    assert refusal(replace(poor, doubts=doubts(poor, trained)), trained) is not None
    silent = replace(health, components_vary=0.0)
    assert refusal(replace(silent, doubts=doubts(silent, opened.card)), opened.card) is not None
