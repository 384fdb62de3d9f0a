"""The catalog of setups: what it reads, and what it says of one that cannot be loaded."""

from pathlib import Path

import pytest
from conftest import tiny_sae
from sae_lens import StandardSAE, StandardSAEConfig

from core.catalog import load, load_setup, read_catalog
from core.errors import Trouble


@pytest.fixture
def catalog(tmp_path: Path, clip_folder: Path) -> Path:
    """A catalog with a good setup, one that lacks its folder, and one whose parts do not fit."""
    tiny_sae("topk").save_model(tmp_path / "sae")
    StandardSAE(StandardSAEConfig(d_in=8, d_sae=16)).save_model(tmp_path / "narrow")
    (tmp_path / "words.txt").write_text("Dog\ncat\nred fish\n")
    path = tmp_path / "catalog.toml"
    path.write_text("".join(table(name, clip_folder, sae) for name, sae in SAES.items()))
    return path


SAES = {"good": "sae", "lacking": "nowhere", "narrow": "narrow"}


def table(name: str, clip_folder: Path, sae: str, more: str = "") -> str:
    words = 'words = "words.txt"' if name == "good" else ""
    return f"""
[[setup]]
name = "{name}"
title = "The {name} one"
clip = "{clip_folder.as_posix()}"
dictionary = "{sae}"
layer = 2
scope = "patches"
licence = "MIT"
note = "For tests."
{words}
{more}
"""


def test_cards(catalog: Path, clip_folder: Path) -> None:
    cards = read_catalog(catalog)
    assert list(cards) == ["good", "lacking", "narrow"]
    card = cards["good"]
    assert (card.name, card.title, card.layer, card.scope) == ("good", "The good one", 2, "patches")
    assert (card.licence, card.note) == ("MIT", "For tests.")
    assert card.clip == clip_folder and card.dictionary == catalog.parent / "sae"
    assert card.knows == {"dog", "cat", "red", "fish"}
    assert cards["narrow"].knows is None
    with pytest.raises(TypeError):
        cards["more"] = card  # type: ignore[index]


def test_load_setup(catalog: Path) -> None:
    setup = load_setup("good", catalog=catalog)
    assert setup.card == read_catalog(catalog)["good"]
    assert setup.clip.layer == 2 and setup.dictionary.scope == "patches"
    assert setup.clip.width == setup.dictionary.width


@pytest.mark.parametrize(
    ("name", "said"), [("lacking", "nowhere"), ("narrow", "8 wide"), ("else", "good, lacking, narrow")]
)
def test_setups_that_cannot_be_loaded_are_trouble(catalog: Path, name: str, said: str) -> None:
    with pytest.raises(Trouble, match=said):
        load_setup(name, catalog=catalog)


def test_a_layer_that_is_not_there_is_trouble(catalog: Path) -> None:
    catalog.write_text(catalog.read_text().replace("layer = 2", "layer = 9"))
    with pytest.raises(Trouble, match="0 to 3"):
        load(read_catalog(catalog)["good"])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "The good one"', "", "title"),
        ('dictionary = "sae"', "", "dictionary"),
        ('licence = "MIT"', 'license = "MIT"', "licen"),
        ('name = "lacking"', 'name = "good"', "twice"),
    ],
)
def test_tables_that_are_not_right_are_trouble(catalog: Path, old: str, new: str, said: str) -> None:
    text = catalog.read_text()
    assert old in text
    catalog.write_text(text.replace(old, new, 1))
    with pytest.raises(Trouble, match=said):
        read_catalog(catalog)
