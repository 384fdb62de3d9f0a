"""A setup and its concept index: found where the catalog says, refused where it is of another, and never needed."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import WIDTH, exact_sae, tiny_model
from fake_hub import serve
from PIL import Image

from core.concepts.index import ConceptIndex
from core.errors import UserError
from core.indexing.build import build
from core.indexing.recipe import IndexRecipe
from core.pictures.options import CollectionOptions
from core.setups.catalog import Location, SetupSpec
from core.setups.loading import load
from core.workbench import Workbench


@pytest.fixture(scope="module")
def card(clip_folder: Path, exact_folder: Path) -> SetupSpec:
    return SetupSpec("tiny", "Tiny", Location(clip_folder), Location(exact_folder), 1, "all", "MIT", "")


@pytest.fixture(scope="module")
def folder(card: SetupSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A concept index of that setup, in the folder `indexes/tiny`."""
    pictures = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(5)
    for number in range(6):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(pictures / f"{number}.png")
    out = tmp_path_factory.mktemp("indexes") / "tiny"
    build(load(card), CollectionOptions(str(pictures)).open(), out, IndexRecipe(vocabulary=("dog", "cat")), quiet=True)
    return out


def test_an_index_comes_with_its_setup(card: SetupSpec, folder: Path) -> None:
    plain, setup = load(card), load(replace(card, index=Location(folder)))
    assert (plain.index, plain.index_trouble) == (None, "")
    assert isinstance(setup.index, ConceptIndex)
    assert setup.index_trouble == ""
    assert setup.index.manifest.pictures == 6
    assert setup.index.n_components == setup.dictionary.n_components
    assert setup.n_bytes == plain.n_bytes + setup.index.n_bytes
    assert Workbench(setup).concept(0).pictures == 6


def test_one_place_may_hold_the_indexes_of_several_setups(card: SetupSpec, folder: Path) -> None:
    setup = load(replace(card, index=Location(folder.parent, file="tiny")))
    assert setup.index is not None
    assert setup.index == load(replace(card, index=Location(folder))).index


def test_an_index_comes_from_the_hub(
    card: SetupSpec, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve({"some/indexes": folder.parent}) as hub:
        hub.attach(monkeypatch, tmp_path / "cache")
        setup = load(replace(card, index=Location(repo="some/indexes", file="tiny")))
        assert setup.index is not None
        assert setup.index_trouble == ""
        lost = load(replace(card, index=Location(repo="some/indexes", file="nothing")))
        assert lost.index is None
        assert "nothing/manifest.json" in lost.index_trouble


@pytest.fixture
def others(card: SetupSpec, tmp_path: Path) -> Mapping[str, SetupSpec]:
    """Setups that are not quite the one the index is of."""
    dictionary, clip = tmp_path / "dictionary", tmp_path / "clip"
    sae = exact_sae(WIDTH)
    sae.W_dec.data[3] *= 1.01
    sae.save_model(dictionary)
    assert card.clip.folder is not None
    shutil.copytree(card.clip.folder, clip)
    tiny_model(seed=1).save_pretrained(clip)
    return {
        "another dictionary": replace(card, dictionary=Location(dictionary)),
        "another clip": replace(card, clip=Location(clip)),
        "another scope": replace(card, scope="patches"),
    }


@pytest.mark.parametrize("which", ["another dictionary", "another clip", "another scope"])
def test_the_index_of_another_setup_is_refused_and_the_setup_works(
    others: Mapping[str, SetupSpec], folder: Path, which: str
) -> None:
    setup = load(replace(others[which], index=Location(folder)))
    assert setup.index is None
    assert "was made for" in setup.index_trouble
    with pytest.raises(UserError, match="was made for.*python -m core.indexing"):
        Workbench(setup).concept(0)


def test_a_missing_or_damaged_index_is_a_sentence_and_the_setup_works(
    card: SetupSpec, folder: Path, tmp_path: Path
) -> None:
    nowhere = load(replace(card, index=Location(tmp_path / "nowhere")))
    assert nowhere.index is None
    assert "There is no folder" in nowhere.index_trouble
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    (damaged / "index.safetensors").write_bytes((folder / "index.safetensors").read_bytes()[:-100])
    setup = load(replace(card, index=Location(damaged)))
    assert setup.index is None
    assert "damaged" in setup.index_trouble
