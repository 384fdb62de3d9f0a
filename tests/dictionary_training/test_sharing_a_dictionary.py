"""A trained dictionary on the Hub: with a card that says of which CLIP, on which pictures, and how it did."""

from pathlib import Path

import pytest
import yaml
from conftest import EVIL
from fake_hub import TOKEN, serve

from core.dictionary_training.recipe import DictionaryRecipe
from core.dictionary_training.sharing import FILES, dictionary_card, push_dictionary
from core.dictionary_training.trainer import Trained
from core.errors import UserError
from core.setups.catalog import Location, SetupSpec
from core.setups.hub import fetch

CARD = SetupSpec(
    "mine", "Mine", Location(repo="o/clip", revision="a" * 40), Location(Path()), 9, "patches", "MIT", "", place="mlp"
)
TRAINED = Trained(pictures=1000, skipped=10, explained_variance=0.812, active_per_token=31.9)


def card(source: dict[str, str], licence: str | None = "mit") -> str:
    return dictionary_card("you/dictionary", CARD, 12, DictionaryRecipe(), TRAINED, source, licence)


def test_the_card_tells_what_it_was_trained_on_and_how_it_did() -> None:
    text = card({"kind": "dataset", "name": "o/pictures", "revision": "b" * 40, "licence": "cc-by-4.0"})
    facts = yaml.safe_load(text.split("---\n")[1])
    assert (facts["license"], facts["base_model"], facts["datasets"]) == ("mit", "o/clip", "o/pictures")
    for part in (
        f"o/clip at `{'a' * 40}`", "output of the MLP of vision layer 9 of 0 to 11", "990 of o/pictures (revision bbb",
        "| licence of the pictures | cc-by-4.0 |", "81.2 %", "31.9", "--dictionary you/dictionary",
        "--place mlp --layer 9 --scope patches",
    ):  # fmt: skip
        assert part in text
    assert "license" not in yaml.safe_load(card({}, None).split("---\n")[1])
    assert "not told" in card({})


def test_names_stay_text() -> None:
    text = card({"kind": "folder", "name": EVIL[0], "fingerprint": "a | b"})
    assert "<img" not in text
    assert "a \\| b" in text


def test_there_and_back(dictionary_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with serve({}) as hub:
        hub.attach(monkeypatch, tmp_path / "cache")
        with pytest.raises(UserError, match="Set HF_TOKEN"):
            push_dictionary("you/dictionary", dictionary_folder, card({}))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        commit = push_dictionary("you/dictionary", dictionary_folder, card({}))
        folder = fetch(Location(repo="you/dictionary", revision=commit), FILES, lambda _: None).folder
        for name in FILES:
            assert (folder / name).read_bytes() == (dictionary_folder / name).read_bytes()
        assert (hub.repositories["you/dictionary"]["main"] / "README.md").read_text(encoding="utf-8") == card({})
