"""Statistics of a residual against the unsplit model, and where they come from: shipped, remembered, measured."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.numpy import load_file, save_file

from core.errors import UserError
from core.model.clip import SplitClip
from core.model.places import ResidualStream
from core.model.scope import Scope
from core.pictures.photographs import crops
from core.setups import residual_statistics
from core.setups.catalog import Location, SetupSpec, read_catalog
from core.setups.residual_statistics import (
    about_setup,
    main,
    measured,
    read_statistics,
    statistics_of,
    write_statistics,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = Location(repo="someone/tiny-clip")
SPEC = SetupSpec("tiny", "Tiny", REPO, Location(repo="someone/sae"), 1, "all", "MIT", "")


@pytest.fixture(autouse=True)
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eleven crops, and a folder of this test's own to remember them in."""
    monkeypatch.setattr(residual_statistics, "CROPS", 11)
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    return tmp_path / "assets"


@contextmanager
def readings(clip: SplitClip) -> Iterator[list[int]]:
    """How many pictures the CLIP reads meanwhile."""
    seen: list[int] = []
    hook = clip.model.vision_model.embeddings.register_forward_hook(lambda *args: seen.append(len(args[1][0])))
    try:
        yield seen
    finally:
        hook.remove()


@pytest.mark.parametrize("scope", ["all", "cls", "patches"])
@torch.no_grad()
def test_they_are_those_of_the_unsplit_model(clip: SplitClip, scope: Scope) -> None:
    told: list[tuple[int, int]] = []
    found = measured(clip, scope, 19, lambda *step: told.append(step))
    pixels = clip.image_processor(list(crops(19)), return_tensors="pt")["pixel_values"]
    x = clip.model.vision_model(pixels, output_hidden_states=True).hidden_states[2]
    x = {"all": x, "cls": x[:, :1], "patches": x[:, 1:]}[scope].flatten(0, 1).double()
    assert (found.tokens, found.pictures) == (len(x), 19)
    np.testing.assert_allclose(found.mean, x.mean(0), atol=1e-5)
    np.testing.assert_allclose(found.deviation, x.std(0), rtol=1e-5)
    assert found.distance == pytest.approx(float((x - x.mean(0)).norm(dim=1).mean()), rel=1e-5)
    assert found.mean.dtype == found.deviation.dtype == np.float32
    assert told == [(0, 19), (8, 19), (16, 19)]
    assert all(word in found.summary for word in (f"{len(x):,} tokens", "19 crops"))


def test_whoever_listens_can_stop_it(clip: SplitClip) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(clip, "all", 11, stop)


# ---- remembered


def test_they_are_measured_once_for_a_commit(clip: SplitClip) -> None:
    with readings(clip) as seen:
        first = statistics_of(SPEC, clip, COMMIT)
        assert sum(seen) == 11
        assert statistics_of(SPEC, clip, COMMIT) == first == measured(clip, "all", 11)
        assert sum(seen) == 22  # the last one was measured on purpose


@pytest.mark.parametrize("change", ["scope", "commit", "layer", "precision", "pictures"])
def test_what_decides_them_is_measured_for_itself(
    clip: SplitClip, change: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    statistics_of(SPEC, clip, COMMIT)
    spec, commit, other = SPEC, COMMIT, clip
    if change == "scope":
        spec = replace(SPEC, scope="cls")
    elif change == "commit":
        commit = COMMIT[::-1]
    elif change == "layer":
        other = SplitClip(clip.model, clip.image_processor, clip.tokenizer, ResidualStream(2))
    elif change == "precision":
        other = SplitClip(clip.model, clip.image_processor, clip.tokenizer, ResidualStream(1), torch.bfloat16)
    else:
        (tmp_path / "other.webp").write_bytes(b"another picture")
        monkeypatch.setattr(residual_statistics, "FOLDER", tmp_path)
    with readings(clip) as seen:
        statistics_of(spec, other, commit)
    assert sum(seen) == 11


def test_those_of_a_folder_are_measured_every_time(clip: SplitClip, few: Path) -> None:
    with readings(clip) as seen:
        assert statistics_of(SPEC, clip, None) == statistics_of(SPEC, clip, None)
    assert sum(seen) == 22
    assert not few.exists()


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_damaged_memory_is_written_anew(clip: SplitClip, few: Path, content: bytes | None) -> None:
    first = statistics_of(SPEC, clip, COMMIT)
    (path,) = few.rglob("*.safetensors")
    if content is None:  # of something else
        write_statistics(first, about_setup(SPEC, clip, COMMIT[::-1]), path)
    else:
        path.write_bytes(content)
    with readings(clip) as seen:
        assert statistics_of(SPEC, clip, COMMIT) == first
        assert statistics_of(SPEC, clip, COMMIT) == first
    assert sum(seen) == 11
    assert list(few.rglob("*.safetensors")) == [path]
    assert not list(few.rglob("*.part"))


def test_where_nothing_can_be_written_they_are_measured_again(clip: SplitClip, few: Path) -> None:
    few.write_bytes(b"a file where the folder should be")
    with readings(clip) as seen:
        assert statistics_of(SPEC, clip, COMMIT) == statistics_of(SPEC, clip, COMMIT)
    assert sum(seen) == 22


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="Root may write everywhere.")
def test_a_folder_that_is_read_only_is_left_alone(clip: SplitClip, few: Path) -> None:
    few.mkdir()
    few.chmod(0o500)
    with readings(clip) as seen:
        assert statistics_of(SPEC, clip, COMMIT) == statistics_of(SPEC, clip, COMMIT)
    assert sum(seen) == 22


# ---- shipped


def test_the_command_writes_what_a_catalog_ships(
    clip: SplitClip, clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = tmp_path / "catalog.toml"
    entry = f"""[[setup]]
    name = "tiny"
    title = "Tiny"
    clip = {{ folder = {str(clip_folder)!r} }}
    dictionary = {{ folder = {str(clip_folder)!r} }}
    layer = 1
    scope = "patches"
    licence = "MIT"
    note = ""
    """
    catalog.write_text(entry)
    main(["--setup", "tiny", "--catalog", str(catalog), "--out", str(tmp_path / "statistics" / "tiny.safetensors")])
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == 'statistics = "statistics/tiny.safetensors"'

    catalog.write_text(f"{entry}\n{line}\n")
    spec = read_catalog(catalog)["tiny"]
    expected = measured(clip, "patches", 11)
    with readings(clip) as seen:
        assert statistics_of(spec, clip, None) == expected
    assert not seen


def test_a_shipped_file_of_another_commit_is_not_used(clip: SplitClip, tmp_path: Path) -> None:
    path = tmp_path / "shipped.safetensors"
    found = measured(clip, "all", 11)
    write_statistics(replace(found, mean=found.mean + 1), about_setup(SPEC, clip, COMMIT), path)
    spec = replace(SPEC, statistics=path)
    assert np.array_equal(statistics_of(spec, clip, COMMIT).mean, found.mean + 1)
    assert statistics_of(spec, clip, COMMIT[::-1]) == found


@pytest.mark.parametrize("change", [{"layer": "2"}, {"scope": "cls"}, {"clip": "someone/else"}, {"width": "31"}])
def test_a_shipped_file_of_something_else_is_an_error(clip: SplitClip, tmp_path: Path, change: dict[str, str]) -> None:
    path = tmp_path / "shipped.safetensors"
    found = measured(clip, "all", 11)
    about = {**about_setup(SPEC, clip, COMMIT), **change}
    if "width" in change:
        found = replace(found, mean=found.mean[:31], deviation=found.deviation[:31])
    write_statistics(found, about, path)
    ((key, value),) = change.items()
    with pytest.raises(UserError, match=f"shipped.safetensors is for {key} {value}; the setup 'tiny' needs {key}"):
        statistics_of(replace(SPEC, statistics=path), clip, COMMIT)


@pytest.mark.parametrize("damage", ["missing", "other", "shape", "nan", "negative", "metadata"])
def test_a_file_that_does_not_hold_them_is_an_error(clip: SplitClip, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "shipped.safetensors"
    write_statistics(measured(clip, "all", 11), about_setup(SPEC, clip, COMMIT), path)
    _, about = read_statistics(path)
    arrays = load_file(path)
    told = {"format": "clip-levers residual statistics 1", "tokens": "10", "pictures": "2", **about}
    if damage == "missing":
        path.unlink()
    elif damage == "other":
        path.write_bytes(b"{}")
    else:
        arrays |= {
            "shape": {"mean": arrays["mean"][:-1]},
            "nan": {"deviation": arrays["deviation"] * np.float32("nan")},
            "negative": {"deviation": -arrays["deviation"]},
            "metadata": {},
        }[damage]
        save_file(arrays, path, None if damage == "metadata" else told)
    with pytest.raises(UserError, match=r"shipped\.safetensors .* Measure them again"):
        statistics_of(replace(SPEC, statistics=path), clip, COMMIT)
