"""How the app starts: the environment, the command line, and which setups are offered where."""

from collections.abc import Mapping
from html import unescape
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.pictures.options import CollectionOptions
from core.serving.api_json import provenance
from core.serving.settings import Settings, chosen_setups, make_pool
from core.setups.catalog import Location, SetupSpec, read_catalog
from core.views.setup import setup_page

AT_HOME: dict[str, str] = {}
ON_A_SPACE = {"SPACE_ID": "somebody/clip-levers"}


def test_a_space_opens_with_a_published_setup_and_others_with_the_bundled() -> None:
    here, there = Settings.from_environment(AT_HOME), Settings.from_environment(ON_A_SPACE)
    assert (here.setup, here.hosted) == ("bundled", False)
    assert there.hosted
    assert read_catalog()[there.setup].downloads
    chosen = Settings.from_environment(ON_A_SPACE | {"CLIP_LEVERS_SETUP": "bundled"})
    assert chosen.setup == "bundled"
    assert chosen.hosted


def test_memory_and_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.from_environment({"CLIP_LEVERS_MEMORY_GB": "2.5"}).memory == 2_500_000_000
    monkeypatch.setattr("core.serving.settings.best_device", lambda: "cuda")
    assert Settings.from_environment({"CLIP_LEVERS_PREFIX": "bfloat16"}).prefix == torch.bfloat16


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLIP_LEVERS_MEMORY_GB", "much"),
        ("CLIP_LEVERS_MEMORY_GB", "0"),
        ("CLIP_LEVERS_MEMORY_GB", "nan"),
        ("CLIP_LEVERS_PREFIX", "int8"),
    ],
)
def test_what_cannot_be_used_is_trouble(name: str, value: str) -> None:
    with pytest.raises(UserError):
        Settings.from_environment({name: value})


def test_a_lower_precision_is_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.serving.settings.best_device", lambda: "cpu")
    with pytest.raises(UserError, match="GPU"):
        Settings.from_environment({"CLIP_LEVERS_PREFIX": "bfloat16"})


def test_zero_gpu_keeps_the_models_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """There torch claims to have a GPU, outside the functions that borrow one too."""
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert Settings.from_environment(ON_A_SPACE).device == "cpu"


def test_the_command_line_chooses_the_setup() -> None:
    settings, cards = chosen_setups(Settings.from_environment(AT_HOME), ["--setup", "sae-v"])
    assert settings.setup == "sae-v"
    assert list(cards) == list(read_catalog())


def test_a_setup_of_ones_own(tmp_path: Path) -> None:
    words = ["--clip", "openai/clip-vit-base-patch32", "--dictionary", str(tmp_path), "--layer", "9", "--scope", "cls"]
    settings, cards = chosen_setups(Settings.from_environment(AT_HOME), [*words, "--file", "sae", "--layout", "prisma"])
    own = cards[settings.setup]
    assert own.clip.repo == "openai/clip-vit-base-patch32"
    assert own.dictionary.folder == tmp_path
    assert (own.dictionary.file, own.layout, own.layer, own.scope) == ("sae", "prisma", 9, "cls")
    assert not own.verified
    assert "bundled" in cards


def test_a_file_may_be_named_in_place_of_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "sae.pt"
    path.write_bytes(b"{}")
    words = ["--clip", "openai/clip-vit-base-patch32", "--dictionary", str(path), "--layer", "9", "--layout", "saev"]
    settings, cards = chosen_setups(Settings.from_environment(AT_HOME), words)
    assert cards[settings.setup].dictionary == Location(folder=tmp_path, file="sae.pt")
    for wrong in ([*words, "--file", "other.pt"], ["--clip", str(path), *words[2:]]):
        with pytest.raises(UserError, match="sae.pt is a file, and a folder is needed"):
            chosen_setups(Settings.from_environment(AT_HOME), wrong)


@pytest.mark.parametrize(
    "words",
    [
        ["--dictionary", "c/d", "--layer", "1"],
        ["--clip", "a/b", "--dictionary", "c/d"],
        ["--clip", "not a repository", "--dictionary", "c/d", "--layer", "1"],
        ["--clip", "a/b", "--dictionary", "c/d", "--layer", "1", "--file", "../../etc/passwd"],
    ],
)
def test_half_a_setup_is_trouble(words: list[str]) -> None:
    with pytest.raises(UserError):
        chosen_setups(Settings.from_environment(AT_HOME), words)


@pytest.mark.parametrize("option", ["--index", "--clip"])
@pytest.mark.parametrize("path", ["/nowhere/at/all", "./nowhere", "../nowhere/x", "~/nowhere at all"])
def test_a_folder_that_is_not_there_is_called_a_folder(option: str, path: str) -> None:
    words = [option, path] + (["--dictionary", "c/d", "--layer", "1"] if option == "--clip" else [])
    with pytest.raises(UserError, match="There is no folder"):
        chosen_setups(Settings.from_environment(AT_HOME), words)


def test_a_public_space_loads_nothing_but_its_catalog() -> None:
    settings = Settings.from_environment(ON_A_SPACE)
    with pytest.raises(UserError, match="Space"):
        chosen_setups(settings, ["--clip", "a/b", "--dictionary", "c/d", "--layer", "1"])
    _, cards = chosen_setups(settings, [])
    assert "bundled" in cards
    assert settings.setup in cards
    assert all(card.dictionary.repo for name, card in cards.items() if name != "bundled"), "no folder of a visitor's"


def test_what_does_not_fit_is_opened_only_where_that_is_asked_for(cards: Mapping[str, SetupSpec]) -> None:
    settings, _ = chosen_setups(Settings.from_environment(AT_HOME), [])
    with pytest.raises(UserError, match=r"'random' is refused\. .* --anyway"):
        make_pool(settings, cards).get("random")
    settings, _ = chosen_setups(Settings.from_environment(AT_HOME), ["--anyway"])
    setup = make_pool(settings, cards).get("random").setup
    doubts = provenance(setup)["doubts"]
    assert ("explained variance", "unfit") in [(doubt["about"], doubt["weight"]) for doubt in doubts]
    assert all(doubt["sentence"] in unescape(setup_page(setup)) for doubt in doubts)


def test_a_catalog_of_ones_own_adds_its_setups(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.toml"
    lines = ['name = "mine"', 'title = "Mine"', 'clip = { folder = "clip" }', 'dictionary = { folder = "." }']
    text = "\n".join(["[[setup]]", *lines, "layer = 1", 'scope = "cls"', 'licence = "?"', 'note = ""'])
    catalog.write_text(text)
    settings, cards = chosen_setups(Settings.from_environment(AT_HOME), ["--catalog", str(catalog), "--setup", "mine"])
    assert settings.setup == "mine"
    assert cards["mine"].scope == "cls"
    assert list(cards) == [*read_catalog(), "mine"]
    with pytest.raises(UserError, match="Space"):
        chosen_setups(Settings.from_environment(ON_A_SPACE), ["--catalog", str(catalog)])
    catalog.write_text(text.replace("mine", "bundled"))
    with pytest.raises(UserError, match="already"):
        chosen_setups(Settings.from_environment(AT_HOME), ["--catalog", str(catalog)])
    with pytest.raises(UserError, match="cannot be read"):
        chosen_setups(Settings.from_environment(AT_HOME), ["--catalog", str(tmp_path / "nowhere.toml")])


@pytest.mark.parametrize(
    ("environment", "local"),
    [
        (AT_HOME, True),
        ({"GRADIO_SERVER_NAME": "localhost"}, True),
        ({"GRADIO_SERVER_NAME": "::1", "GRADIO_SHARE": ""}, True),
        ({"GRADIO_SERVER_NAME": "0.0.0.0"}, False),
        ({"GRADIO_SERVER_NAME": "192.168.1.7"}, False),
        ({"GRADIO_SHARE": "True"}, False),
        ({"GRADIO_ROOT_PATH": "/levers"}, False),
        (ON_A_SPACE, False),
    ],
)
def test_only_a_page_that_nobody_else_reaches_is_local(environment: Mapping[str, str], local: bool) -> None:
    assert Settings.from_environment(environment).local == local


def test_what_indexes_are_made_from(tmp_path: Path) -> None:
    def made_from(text: str) -> CollectionOptions | None:
        return Settings.from_environment(AT_HOME | {"CLIP_LEVERS_INDEX_FROM": text}).index_from

    assert made_from("") is None
    assert Settings.from_environment(AT_HOME).index_from is None
    assert made_from("owner/name") == CollectionOptions("owner/name", limit=2000, workers=1)
    assert made_from("mnist") == CollectionOptions("mnist", limit=2000, workers=1)
    found = made_from("owner/name split=validation column=img config=small revision=0123abc limit=500")
    assert found == CollectionOptions("owner/name", 500, "validation", "img", "small", "0123abc", 1)
    folder = tmp_path / "my pictures"
    folder.mkdir()
    assert made_from(f"'{folder}' limit=50") == CollectionOptions(str(folder), limit=50, workers=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nowhere/at/all", "neither a folder here nor a data set"),
        ("/nowhere", "neither a folder here"),
        ("-x", "neither a folder here"),
        ("owner/name splits=train", "split=..., column=..."),
        ("owner/name split=", "split=..., column=..."),
        ("owner/name train", "split=..., column=..."),
        ("owner/name limit=0", "from 1 to 100,000"),
        ("owner/name limit=many", "from 1 to 100,000"),
        ("owner/name limit=1000000", "from 1 to 100,000"),
        ("'owner/name", "No closing quotation"),
    ],
)
def test_what_no_index_can_be_made_from_is_a_sentence(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Settings.from_environment(AT_HOME | {"CLIP_LEVERS_INDEX_FROM": text})


@given(st.text(max_size=60))
def test_whatever_stands_there_is_understood_or_refused_with_a_sentence(text: str) -> None:
    try:
        found = Settings.from_environment(AT_HOME | {"CLIP_LEVERS_INDEX_FROM": text}).index_from
    except UserError as trouble:
        assert str(trouble).startswith("CLIP_LEVERS_INDEX_FROM ")
    else:
        assert found is None or 1 <= (found.limit or 0) <= 100_000
