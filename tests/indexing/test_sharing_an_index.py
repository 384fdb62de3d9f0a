"""An index on the Hub: pushed with a card that says from which pictures, under which licence, and loaded from there."""

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import EVIL
from fake_hub import Hub, Misbehave
from streamed import Drawn
from tiny_setups import setup_of

from core.concepts.index import ConceptIndex
from core.concepts.index_file import INDEX_FILES, load
from core.errors import UserError
from core.indexing import __main__ as command
from core.indexing.__main__ import main
from core.indexing.sharing import index_card, licence_of
from core.model.clip import SplitClip
from core.setups.catalog import Location
from core.setups.hub import fetch
from core.setups.loading import Setup


@pytest.fixture
def setup(clip: SplitClip) -> Setup:
    return setup_of(clip)


@pytest.fixture
def typed(tmp_path: Path, setup: Setup, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command, for three pictures and a setup that is loaded already."""
    monkeypatch.setattr(command, "load_setup", lambda card, device, anyway: setup)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for place in (0, 1, 2):
        Drawn().picture(place).save(pictures / f"{place}.png")
    return ["--setup", "bundled", "--pictures", str(pictures), "--out", str(tmp_path / "index"), "--side", "16"]


def said_of(capsys: pytest.CaptureFixture[str], typed: list[str]) -> str:
    with pytest.raises(SystemExit):
        main(typed)
    return capsys.readouterr().err


def test_there_and_back(hub: Hub, typed: list[str], setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    main([*typed, "--push", "you/index", "--licence", "cc-by-4.0"])
    told = capsys.readouterr().out
    folder = hub.repositories["you/index"]["main"]
    assert {path.name for path in folder.iterdir()} == {*INDEX_FILES, "README.md"}
    (line,) = re.findall("index = .*", told)
    place = tomllib.loads(line)["index"]
    assert place == {"repo": "you/index", "revision": hub.commit("you/index")}
    fetched = fetch(Location(**place), INDEX_FILES, lambda _: None)
    index = load(fetched.folder, setup.identity, setup.clip)
    assert index.manifest.source["licence"] == "cc-by-4.0"
    head, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)[1:]
    assert yaml.safe_load(head)["license"] == "cc-by-4.0"
    for part in (
        "3 of pictures (fingerprint", "0 could not be read", "| licence of the pictures | cc-by-4.0 |",
        "3 of these pictures, at most 16 pixels wide", setup.fingerprint, "--setup tiny --index you/index",
        "residual stream after vision layer 1 of 0 to 3; ",
        "largest activation",
    ):  # fmt: skip
        assert part in text


def test_a_push_that_fails_is_repeated_without_reading_a_picture_again(
    hub: Hub, typed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed = [*typed, "--push", "you/index", "--licence", "mit"]
    hub.misbehave = Misbehave(status=400)
    assert "the same command pushes it" in said_of(capsys, pushed)
    hub.misbehave = None
    for picture in (tmp_path / "pictures").iterdir():
        picture.write_bytes(b"gone")
    main(pushed)
    assert set(hub.repositories) == {"you/index"}


def test_what_is_missing_is_told_before_a_picture_is_read(
    hub: Hub, typed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--licence cc-by-4.0" in said_of(capsys, [*typed, "--push", "you/index"])
    assert "owner/name" in said_of(capsys, [*typed, "--push", "index", "--licence", "mit"])
    assert not (tmp_path / "index").exists()
    assert hub.repositories == {}


def test_an_index_without_a_licence_in_it_is_pushed_under_one_that_is_named(hub: Hub, typed: list[str]) -> None:
    main(typed)
    main([*typed, "--push", "you/index", "--licence", "the museum's own"])
    folder = hub.repositories["you/index"]["main"]
    head = yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert (head["license"], head["license_name"]) == ("other", "the museum's own")
    assert "licence" not in json.loads((folder / "manifest.json").read_text())["source"]


def test_the_licence_that_pictures_tell_is_taken() -> None:
    assert licence_of({"licence": "cc0-1.0"}, None) == "cc0-1.0"
    assert licence_of({"licence": "cc0-1.0"}, "mit") == "mit"
    with pytest.raises(UserError, match="small copies"):
        licence_of({}, None)


def test_names_stay_text(index: ConceptIndex, setup: Setup) -> None:
    hosted = replace(setup, card=replace(setup.card, clip=Location(repo="o/clip")))
    source = {"kind": "dataset", "name": "o/set", "revision": EVIL[0], "split": "a | b"}
    evil = replace(index, manifest=replace(index.manifest, source=source, by="attribution"))
    text = index_card("you/index", evil, hosted, EVIL[1])
    assert "<img" not in text
    assert "<script" not in text.split("---\n", 2)[2]
    assert "a \\| b" in text
    assert "attribution" in text
    head = yaml.safe_load(text.split("---\n")[1])
    assert (head["base_model"], head["datasets"]) == ("o/clip", "o/set")
