"""CLIPs from a Hub: what is downloaded of a repository, in which order, and what is read when the Hub goes away."""

from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace

import pytest
import torch
from conftest import CLASSES, tiny_model
from fake_hub import Hub, Misbehave, serve
from open_clip_files import PUBLISHED_FILES, make_weights
from test_open_clip import TINY, agrees, write

from core.errors import UserError
from core.model.clip import SplitClip
from core.model.places import ResidualStream
from core.setups.catalog import Location
from core.setups.clips import find_clip, read_clip
from core.setups.hub import Download

OPENAI, DATACOMP = "openai/clip-vit-base-patch16", "laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K"
"""Of the first, no safetensors were seen at 57c2164; the second is in open_clip's layout."""


@pytest.fixture
def openai(clip_folder: Path, tmp_path: Path) -> Path:
    """The tiny CLIP as a pickle of tensors, beside other formats."""
    folder = copytree(clip_folder, tmp_path / "openai")
    (folder / "model.safetensors").unlink()
    torch.save(tiny_model().state_dict(), folder / "pytorch_model.bin")
    for name in ("README.md", "flax_model.msgpack"):
        (folder / name).write_bytes(b"not asked for")
    return folder


@pytest.fixture
def datacomp(tmp_path: Path) -> Path:
    """A tiny CLIP in the files of that repository."""
    folder = tmp_path / "datacomp"
    folder.mkdir()
    write(folder, TINY, make_weights(TINY))
    for name in ("README.md", "open_clip_pytorch_model.bin"):
        (folder / name).write_bytes(b"not asked for")
    assert sorted(path.name for path in folder.iterdir()) == sorted(PUBLISHED_FILES)
    return folder


@pytest.fixture
def hub(openai: Path, datacomp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve({OPENAI: openai, DATACOMP: datacomp}) as served:
        served.attach(monkeypatch, tmp_path / "cache")
        yield served


def ignore(download: Download) -> None:
    """Told, and not interested."""


def read(repo: str, layer: int = 1) -> tuple[SplitClip, str | None]:
    files, commit = find_clip(Location(repo=repo), ResidualStream(layer), ignore).download(ignore)
    return read_clip(files, ResidualStream(layer)), commit


def test_a_repository_without_safetensors_loads_from_its_pickle(hub: Hub, clip: SplitClip) -> None:
    found, commit = read(OPENAI)
    assert commit == hub.commit(OPENAI)
    assert torch.equal(found.texts(CLASSES), clip.texts(CLASSES))
    assert hub.downloads().count("pytorch_model.bin") == 1
    assert "flax_model.msgpack" not in hub.downloads()


def test_open_clip_s_repository_loads_from_the_files_it_has(hub: Hub) -> None:
    source = find_clip(Location(repo=DATACOMP), ResidualStream(1), ignore)
    assert "open_clip_config.json" in hub.downloads()
    assert "open_clip_model.safetensors" not in hub.downloads()
    files, commit = source.download(ignore)
    agrees(read_clip(files, ResidualStream(1)), make_weights(TINY), TINY)
    assert commit == hub.commit(DATACOMP)
    assert len(hub.asked("/api/")) == 1
    assert sorted(hub.downloads()) == sorted(set(PUBLISHED_FILES) - {"README.md", "open_clip_pytorch_model.bin"})


def test_settings_alone_do_not_count_as_a_copy(hub: Hub) -> None:
    find_clip(Location(repo=DATACOMP), ResidualStream(1), ignore)
    hub.misbehave = Misbehave(status=503)
    with pytest.raises(UserError, match="has not been downloaded before"):
        find_clip(Location(repo=DATACOMP), ResidualStream(1), ignore)


def test_when_the_hub_breaks_down_before_the_weights_all_is_read_of_the_older_copy(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=ignore))  # it would try for 20 s
    _, old = read(DATACOMP)
    newer = tmp_path / "newer"
    newer.mkdir()
    config = TINY | {"quick_gelu": True}
    hub.repositories[DATACOMP]["main"] = write(newer, config, make_weights(config, seed=1))
    source = find_clip(Location(repo=DATACOMP), ResidualStream(1), ignore)
    assert source.settings.config.vision_config.hidden_act == "quick_gelu"
    hub.misbehave = Misbehave(status=503)
    files, commit = source.download(ignore)
    assert commit == old != hub.commit(DATACOMP)
    agrees(read_clip(files, ResidualStream(1)), make_weights(TINY), TINY)
    hub.misbehave = None
    found, commit = read(DATACOMP)
    assert commit == hub.commit(DATACOMP)
    agrees(found, make_weights(config, seed=1), config)
