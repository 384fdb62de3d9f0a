"""What a Space needs: README's front-matter, versions it offers, no large files, and the default setup preloaded.

Facts of https://huggingface.co/docs/hub/spaces-config-reference and spaces-zerogpu, as of September 2026.
"""

import re
import subprocess
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import SpaceHardware
from packaging.requirements import Requirement

from core.serving.settings import Settings
from core.setups.catalog import Location, SetupSpec, read_catalog
from core.setups.checkpoints import files_of
from core.setups.clips import layout_of
from core.setups.hub import list_files

ROOT = Path(__file__).parents[2]
MEGABYTE = 1_000_000

KEYS = frozenset(
    "title emoji colorFrom colorTo sdk sdk_version python_version app_file base_path fullWidth header short_description"
    " models datasets tags thumbnail pinned license suggested_hardware startup_duration_timeout disable_embedding"
    " preload_from_hub custom_headers".split()
)
"""What the Hub reads of a Gradio Space's front-matter."""
COLOURS = frozenset({"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"})
ZERO_GPU_TORCH = frozenset({"2.8.0", "2.9.1", "2.10.0", "2.11.0", "2.12.1", "2.13.0"})
ZERO_GPU_PYTHON = frozenset({"3.12", "3.12.12", "3.10", "3.10.13"})
EXTRAS = ("", "oauth", "mcp")
"""Of gradio, that a Space installs (`gradio[oauth,mcp]==` and the version, in its build log)."""
PRELOAD = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+) (?P<files>[\w./-]+(,[\w./-]+)*) (?P<commit>[0-9a-f]{40})")

PUBLISHED = {
    "laion/CLIP-ViT-L-14-laion2B-s32B-b82K": "README.md config.json preprocessor_config.json model.safetensors "
    "pytorch_model.bin open_clip_config.json open_clip_pytorch_model.bin tokenizer.json tokenizer_config.json "
    "vocab.json merges.txt special_tokens_map.json".split(),
    "lewington/CLIP-ViT-L-scope": "README.md 20_resid/1200013184.pt 22_resid/1200013184.pt".split(),
}
"""Files of repositories, as their pages on the Hub listed them (huggingface.co/<repository>/tree/main, 2026)."""


@pytest.fixture(scope="module")
def front() -> dict[str, Any]:
    """README's front-matter."""
    opening, front, _ = (ROOT / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert opening == "", "the front-matter is the first thing in README"
    return yaml.safe_load(front)


@pytest.fixture(scope="module")
def card() -> SetupSpec:
    """The setup that a Space opens with when nothing else is said."""
    return read_catalog()[Settings.from_environment({"SPACE_ID": "owner/name"}).setup]


def pins() -> dict[str, str]:
    """The exact versions in requirements.txt, by name."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if "==" in line and not line.startswith("#")]
    return {one.name: str(one.specifier).removeprefix("==") for one in wanted}


def repositories(cards: list[SetupSpec]) -> set[str]:
    return {place.repo for card in cards for place in (card.clip, card.dictionary) if place.repo is not None}


def test_the_hub_knows_every_key_and_value(front: dict[str, Any]) -> None:
    assert front.keys() <= KEYS
    assert front["sdk"] == "gradio"
    assert (ROOT / front["app_file"]).is_file()
    assert {front["colorFrom"], front["colorTo"]} <= COLOURS
    assert not re.search(r"[\w\s]", front["emoji"])
    assert 0 < len(front["short_description"]) <= 60
    assert re.fullmatch(r"\d+[mh]", front["startup_duration_timeout"])
    assert front["suggested_hardware"] in {hardware.value for hardware in SpaceHardware}
    assert front["license"] == "mit"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


def test_versions_are_those_of_requirements_and_of_zero_gpu(front: dict[str, Any]) -> None:
    """Two versions of gradio, or a torch that ZeroGPU has not, and the Space does not build."""
    assert front["sdk_version"] == pins()["gradio"]
    assert pins()["torch"] in ZERO_GPU_TORCH
    assert isinstance(front["python_version"], str), "unquoted, 3.10 would be the number 3.1"
    assert front["python_version"] in ZERO_GPU_PYTHON


def test_the_versions_go_with_what_a_space_installs_beside_them() -> None:
    """A Space installs `gradio[oauth,mcp]` in the same step: a pin outside what these take, and it does not build."""
    taken = [Requirement(line) for line in requires("gradio") or ()]
    beside = [one for one in taken if not one.marker or any(one.marker.evaluate({"extra": name}) for name in EXTRAS)]
    assert {"mcp", "pydantic"} <= {one.name for one in beside}
    for name, version in pins().items():
        for one in beside:
            assert one.name != name or version in one.specifier, f"{name}: gradio takes {one.specifier}"


def test_the_models_are_the_catalog_s(front: dict[str, Any]) -> None:
    assert set(front["models"]) == repositories(list(read_catalog().values()))


def test_the_default_setup_is_preloaded(front: dict[str, Any], card: SetupSpec, tmp_path: Path) -> None:
    """The files named there are those that loading takes of what is published; their commits are the catalog's."""
    lines = [PRELOAD.fullmatch(line) for line in front["preload_from_hub"]]
    assert all(lines), "a line is: repository files,separated,by,commas commit"
    preloaded = {line["repo"]: line for line in lines if line}
    assert preloaded.keys() == repositories([card])
    for place in (card.clip, card.dictionary):
        line, folder = preloaded[str(place.repo)], tmp_path / str(place.repo)
        if place.revision != "main":
            assert line["commit"] == place.revision
        for name in PUBLISHED[str(place.repo)]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        listing = list_files(Location(folder=folder))
        patterns = layout_of(listing).patterns() if place == card.clip else files_of(card.layout, place.file)
        assert sorted(listing.choose(patterns)) == sorted(line["files"].split(","))


def test_no_file_is_too_large_for_a_space() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("This is not a git checkout, so nothing says which files belong to it.")
    sizes = {name: path.stat().st_size for name in listed.stdout.split("\0") if (path := ROOT / name).is_file()}
    assert len(sizes) > 50
    assert {name: size for name, size in sizes.items() if size > 10 * MEGABYTE} == {}
