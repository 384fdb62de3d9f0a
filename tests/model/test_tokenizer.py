"""CLIP's tokenizer, built from OpenAI's own merges, against token ids that others published, and a slow second one.

Everything that CLIP knows of a class passes through these numbers, and a wrong one shows nowhere: a prompt in other
words is a prompt too. So the ids are compared with published ones, and what `SplitClip` makes of them with the text
tower run by hand.
"""

import json
import unicodedata
from pathlib import Path

import pytest
import regex
import torch
import torch.nn.functional as F
from conftest import tokenizer_of
from hypothesis import given
from hypothesis import strategies as st
from published_tokenizer import CONTEXT, byte_letters, laion_settings, published_merges, vocabulary
from transformers import AutoTokenizer, CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from core.model.clip import SplitClip
from core.model.places import ResidualStream
from core.setups.clips import read_clip
from core.setups.published_tokens import END, PUBLISHED, START


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return tokenizer_of(vocabulary(), published_merges(), CONTEXT)


class SlowTokenizer:
    """Byte-pair encoding as the paper tells it: merge the pair that comes first in the list, again and again."""

    WORDS = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")

    def __init__(self) -> None:
        self.ids = vocabulary()
        self.rank = {pair: index for index, pair in enumerate(published_merges())}
        self.letters = byte_letters()

    def __call__(self, text: str) -> list[int]:
        words = self.WORDS.findall(unicodedata.normalize("NFC", text).lower())
        return [START, *(self.ids[piece] for word in words for piece in self.pieces(word)), END]

    def pieces(self, word: str) -> list[str]:
        pieces = [self.letters[byte] for byte in word.encode("utf-8")]
        pieces[-1] += "</w>"
        while len(pieces) > 1:
            ranks = [self.rank.get(pair, len(self.rank)) for pair in zip(pieces, pieces[1:], strict=False)]
            if min(ranks) == len(self.rank):
                break
            at = ranks.index(min(ranks))
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
        return pieces


SLOW = SlowTokenizer()


def test_the_vocabulary_has_the_published_size_and_marks(tokenizer: CLIPTokenizer) -> None:
    assert len(vocabulary()) == len(tokenizer) == 49408
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (START, END, END)


@pytest.mark.parametrize("text", PUBLISHED)
def test_ids_are_the_published_ones(tokenizer: CLIPTokenizer, text: str) -> None:
    assert tokenizer(text)["input_ids"] == [START, *PUBLISHED[text], END]
    assert SLOW(text) == [START, *PUBLISHED[text], END]


@pytest.mark.parametrize("text", ["A PHOTO of a Dog", "  a photo\tof a\n\ndog ", "a photo  of  a dog"])
def test_case_and_spaces_do_not_matter(tokenizer: CLIPTokenizer, text: str) -> None:
    assert tokenizer(text)["input_ids"] == [START, *PUBLISHED["a photo of a dog"], END]


@pytest.mark.parametrize(
    "text", ["", "café", "cafe\u0301", "Ünïcödé naïve 日本語", "Größe", "🐕", "it's we'll", "a2b3 12345", "— “quotes”"]
)
def test_any_script_is_written_in_bytes(tokenizer: CLIPTokenizer, text: str) -> None:
    ids = tokenizer(text)["input_ids"]
    assert ids == SLOW(text)
    assert tokenizer.convert_tokens_to_ids("<|endoftext|>") not in ids[1:-1], "nothing is unknown"


@given(st.text(st.sampled_from("abcdeghiklmnoprstuvy ABCT'!?.,-&0123 éñßüабв日本狗🐕"), max_size=40))
def test_ids_equal_the_slow_tokenizer_s(tokenizer: CLIPTokenizer, text: str) -> None:
    assert tokenizer(text)["input_ids"] == SLOW(text)


# What SplitClip makes of them


@pytest.fixture(scope="module", params=[END, 2], ids=["the end is named", "the end is the highest id"])
def clip(
    request: pytest.FixtureRequest, tokenizer: CLIPTokenizer, tmp_path_factory: pytest.TempPathFactory
) -> SplitClip:
    """A small random CLIP on disk, with OpenAI's vocabulary.

    Published configs of OpenAI's models say that the end mark has the id 2. It has not; what is meant is that the
    embedding is read where the id is highest (transformers pull request 24773).
    """
    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    words = {"vocab_size": 49408, "max_position_embeddings": CONTEXT, "bos_token_id": 0, "eos_token_id": request.param}
    vision = {"image_size": 32, "patch_size": 16}
    folder = tmp_path_factory.mktemp("clip")
    model = CLIPModel(CLIPConfig(text_config=size | words, vision_config=size | vision, projection_dim=8))
    for weight in model.parameters():
        if weight.ndim >= 2:
            torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
    model.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return read_clip(folder, ResidualStream(0))


def text_embedding(clip: SplitClip, ids: list[int]) -> torch.Tensor:
    """The text tower by hand: one prompt, nothing padded, read at its end mark, which is the last and highest id."""
    with torch.no_grad():
        states = clip.model.text_model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        assert int(torch.tensor(ids).argmax()) == len(ids) - 1
        return F.normalize(clip.model.text_projection(states[-1]), dim=-1)


def test_texts_are_read_at_their_end(clip: SplitClip) -> None:
    prompts = ["a photo of a dog", "dog", "", "a photo of an astronaut riding a horse on mars", "Größe 日本語 🐕"]
    expected = torch.stack([text_embedding(clip, SLOW(prompt)) for prompt in prompts])
    torch.testing.assert_close(clip.texts(prompts), expected, atol=1e-5, rtol=1e-5)
    assert (expected[0] - expected[1]).abs().max() > 0.1, "the prompts have to differ for this test to mean anything"


def test_a_long_prompt_keeps_its_beginning_and_its_end_mark(clip: SplitClip) -> None:
    words = ["dog", "cat", "bus"] * 40
    ids = [START, *SLOW(" ".join(words))[1 : CONTEXT - 1], END]
    assert len(ids) == CONTEXT
    long, longer = clip.texts([" ".join(words), " ".join([*words, "astronaut"])])
    torch.testing.assert_close(long, text_embedding(clip, ids), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(long, longer)


@pytest.mark.parametrize("files", ["tokenizer.json", "vocab.json merges.txt", "tokenizer.json vocab.json merges.txt"])
def test_files_as_they_are_published_give_the_same_ids(tokenizer: CLIPTokenizer, files: str, tmp_path: Path) -> None:
    """Read as `read_clip` does, whichever of the two forms of a vocabulary a repository holds."""
    merges = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in published_merges()), ""])
    contents = {
        "tokenizer.json": tokenizer.backend_tokenizer.to_str(),
        "vocab.json": json.dumps(vocabulary()),
        "merges.txt": merges,
    }
    for name in files.split():
        (tmp_path / name).write_text(contents[name], encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(laion_settings()), encoding="utf-8")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}), encoding="utf-8")
    read = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    long = "dog " * 200
    for text in (*PUBLISHED, "Größe 日本語 🐕", long):
        ids = read(text, truncation=True, max_length=CONTEXT)["input_ids"]
        assert ids == tokenizer(text, truncation=True, max_length=CONTEXT)["input_ids"]
    assert read(["dog", "a dog"], padding=True)["input_ids"][0] == [START, 1929, END, END]
