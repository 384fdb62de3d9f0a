"""Kept figures of health checks: those shipped are measured again, and none is used for what it is not of."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest
import torch
from fake_hub import serve

from core.bundled import health as command
from core.model.clip import SplitClip
from core.model.dictionary import Dictionary
from core.model.places import ResidualStream
from core.model.sae_dictionary import SaeDictionary
from core.setups import kept_health as module
from core.setups.catalog import CATALOG, Location, SetupSpec, read_catalog
from core.setups.health import Health
from core.setups.health_check import check, probe_for
from core.setups.identity import identity
from core.setups.kept_health import BUNDLED_HEALTH, about_check, kept_health
from core.setups.loading import Loading, load, load_setup
from core.workbench import Workbench

BUNDLED = read_catalog(CATALOG)["bundled"]


def same(one: Health, other: Health) -> bool:
    """But for what the order of sums changes on another machine."""
    near = {
        name: pytest.approx(value, abs=1e-4) if isinstance(value, float) else value for name, value in vars(one).items()
    }
    fits = [(fit.layer, pytest.approx([fit.explained_variance, fit.missed], abs=1e-4)) for fit in one.fits]
    found = [(fit.layer, [fit.explained_variance, fit.missed]) for fit in other.fits]
    return vars(other) | {"fits": fits} == near | {"fits": fits} and found == fits


def test_the_shipped_figures_are_those_of_a_check_made_now(bundled: Workbench) -> None:
    setup = bundled.setup
    now = check(setup.clip, setup.dictionary, BUNDLED, probe_for(BUNDLED))
    assert setup.health is not None
    assert same(now, setup.health)
    assert not same(now, replace(setup.health, answers_kept=0.9))
    # What is shipped is also what the command would write.
    about = about_check(BUNDLED, setup.clip, identity(BUNDLED, {}, setup.clip, setup.dictionary))
    assert json.loads(BUNDLED_HEALTH.read_text())["about"] == about


def test_the_bundled_setup_is_not_checked_at_every_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.setups.loading.check", None)
    setup = load_setup("bundled")
    assert setup.health is not None
    assert setup.health.doubts == ()
    assert setup.health.explained_variance > 0.9


def test_the_command_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "BUNDLED_HEALTH", tmp_path / "health.json")
    command.main()
    fresh, shipped = (json.loads(path.read_text()) for path in (tmp_path / "health.json", BUNDLED_HEALTH))
    assert fresh["about"] == shipped["about"]
    assert fresh["health"].keys() == shipped["health"].keys()


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetupSpec:
    """The bundled setup with its files elsewhere, where they can be changed."""
    folder = copytree(BUNDLED_HEALTH.parent, tmp_path / "bundled")
    monkeypatch.setattr("core.setups.health_check.BUNDLED_CLIP", folder / "clip")
    monkeypatch.setattr(module, "BUNDLED_HEALTH", folder / "health.json")
    return replace(BUNDLED, clip=Location(folder / "clip"), dictionary=Location(folder / "dictionary"))


class Begun(Exception):
    """The check has begun: it need not be made."""


def begins(spec: SetupSpec) -> bool:
    """Whether a check is begun as it loads."""

    def stop(step: Loading) -> None:
        if step.said.startswith("Checking"):
            raise Begun

    try:
        load(spec, tell=stop)
    except Begun:
        return True
    return False


def told(spec: SetupSpec) -> bool:
    """Whether it is checked as it loads."""
    steps: list[Loading] = []
    load(spec, tell=steps.append)
    return any(step.said.startswith("Checking") for step in steps)


@pytest.mark.parametrize(
    "file", ["clip/model.safetensors", "clip/tokenizer.json", "dictionary/sae_weights.safetensors"]
)
def test_one_changed_byte_has_it_checked_again(copied: SetupSpec, file: str) -> None:
    assert not begins(copied)
    path = module.BUNDLED_HEALTH.parent / file
    content = bytearray(path.read_bytes())
    if file.endswith(".json"):
        content += b"\n"
    else:
        content[-1] ^= 1  # the last bit but seven of the last weight
    path.write_bytes(content)
    assert begins(copied)


def test_what_decides_the_figures_stands_in_the_text(bundled: Workbench) -> None:
    setup = bundled.setup
    clip, dictionary = setup.clip, setup.dictionary

    def about(spec: SetupSpec = BUNDLED, clip: SplitClip = clip, dictionary: Dictionary = dictionary) -> object:
        return about_check(spec, clip, identity(spec, setup.commits, clip, dictionary))

    shallower = SplitClip(clip.model, clip.image_processor, clip.tokenizer, ResidualStream(clip.layer - 1))
    rougher = SplitClip(clip.model, clip.image_processor, clip.tokenizer, clip.place, torch.bfloat16)
    texts = [
        about(),
        about(clip=shallower),
        about(clip=rougher),
        about(dictionary=SaeDictionary(dictionary.sae, "cls")),
    ]
    assert len({json.dumps(text) for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("folder", "published"), [("examples.FOLDER", False), ("photographs.FOLDER", True), ("examples.PHOTOGRAPHS", True)]
)
def test_other_pictures_decide_the_figures(
    bundled: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, published: bool
) -> None:
    """The bundled setup's are its own examples, and those of all others are photographs."""
    setup = bundled.setup
    elsewhere = Location(repo="a/b", revision="0" * 40)
    specs = (BUNDLED, replace(BUNDLED, clip=elsewhere, dictionary=elsewhere))
    commits = {"clip": "0" * 40, "dictionary": "1" * 40}

    def about() -> list[object]:
        return [about_check(spec, setup.clip, identity(spec, commits, setup.clip, setup.dictionary)) for spec in specs]

    before = about()
    assert None not in before
    monkeypatch.setattr(f"core.pictures.{folder}", tmp_path)
    assert [now == then for now, then in zip(about(), before, strict=True)] == [published, not published]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"about": 1}', "\udcff", "{health}", "{strings}"])
def test_what_is_damaged_is_not_used(copied: SetupSpec, text: str) -> None:
    kept = json.loads(module.BUNDLED_HEALTH.read_text())
    assert kept_health(copied, kept["about"]) is not None
    wrong = {
        "{health}": json.dumps(kept | {"health": {"pictures": 21}}),
        "{strings}": json.dumps(kept | {"health": kept["health"] | {"explained_variance": "much"}}),
    }
    module.BUNDLED_HEALTH.write_bytes(wrong.get(text, text).encode(errors="surrogateescape"))
    assert kept_health(copied, kept["about"]) is None


def test_where_none_can_be_used_it_is_measured_again(copied: SetupSpec) -> None:
    module.BUNDLED_HEALTH.write_text("{")
    assert told(copied)


def test_doubts_follow_from_kept_figures_by_the_rules_of_today(copied: SetupSpec) -> None:
    kept = json.loads(module.BUNDLED_HEALTH.read_text())
    kept["health"]["accuracy"] = 0.1
    kept["health"]["doubts"] = [{"about": "ties", "weight": "odd", "sentence": "By an old rule."}]
    module.BUNDLED_HEALTH.write_text(json.dumps(kept))
    health = kept_health(copied, kept["about"])
    assert health is not None
    assert [doubt.about for doubt in health.doubts] == ["right answers"]


# ---- remembered


@contextmanager
def on_a_hub(clip: Path, dictionary: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SetupSpec]:
    with serve({"a/clip": clip, "a/sae": dictionary}) as hub:
        hub.attach(monkeypatch, cache)
        parts = Location(repo="a/clip"), Location(repo="a/sae")
        yield SetupSpec("tiny", "Tiny", *parts, 1, "all", "MIT", "")


def test_what_comes_from_the_hub_is_checked_once(
    clip_folder: Path, exact_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_a_hub(clip_folder, exact_folder, tmp_path / "cache", monkeypatch) as spec:
        assert [told(spec), told(spec)] == [True, False]
        assert load(spec).health == load(spec).health
        assert told(replace(spec, layer=2)), "another layer"
        assert len(list((tmp_path / "cache-assets").rglob("*.json"))) == 2


def test_another_commit_or_library_has_it_checked_again(
    clip_folder: Path, exact_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dictionary = copytree(exact_folder, tmp_path / "dictionary")
    with on_a_hub(clip_folder, dictionary, tmp_path / "cache", monkeypatch) as spec:
        assert [told(spec), told(spec)] == [True, False]
        (dictionary / "README.md").write_text("Another commit.")
        assert [told(spec), told(spec)] == [True, False]
        monkeypatch.setattr("torch.__version__", "2.13.1+cpu")
        assert [told(spec), told(spec)] == [True, False]
        monkeypatch.setattr("torch.__version__", "2.13.1+cu130")
        assert not told(spec), "another build of the same"


def test_folders_of_ones_own_are_checked_at_every_start(clip_folder: Path, exact_folder: Path) -> None:
    spec = SetupSpec("tiny", "Tiny", Location(clip_folder), Location(exact_folder), 1, "all", "MIT", "")
    assert [told(spec), told(spec)] == [True, True]


def test_where_nothing_can_be_written_it_is_checked_again(
    clip_folder: Path, exact_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_a_hub(clip_folder, exact_folder, tmp_path / "cache", monkeypatch) as spec:
        (tmp_path / "cache-assets").write_text("a file where the folder should be")
        assert [told(spec), told(spec)] == [True, True]
