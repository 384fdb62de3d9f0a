"""Files from folders and from a hub: what is fetched, what is told meanwhile, and what happens when it goes wrong."""

import errno
import hashlib
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
from fake_hub import TOKEN, Hub, Misbehave, serve
from huggingface_hub import constants, file_download
from huggingface_hub.utils import _http
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.setups import hub as core_hub
from core.setups.catalog import Location
from core.setups.clips.transformers_folder import TransformersFolder
from core.setups.hub import Download, Fetched, fetch
from core.words import size_in_words

CLIP_FILES = TransformersFolder.patterns()
NAME = "owner/clip"
PLACE = Location(repo=NAME)
WEIGHTS = 300_000
WANTED = {"config.json", "preprocessor_config.json", "model.safetensors", "tokenizer.json", "special_tokens_map.json"}
UNWANTED = {
    "README.md",
    "pytorch_model.bin",
    "flax_model.msgpack",
    "tf_model.h5",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_config.json",
    "onnx/config.json",
    "onnx/model.onnx",
    "model-00001-of-00002.safetensors",
}


def fill(folder: Path, names: set[str], seed: int = 0) -> Path:
    """Files whose content is their own: weights of WEIGHTS bytes, others short."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        block = hashlib.sha256(f"{name}{seed}".encode()).digest()
        path.write_bytes(block * (WEIGHTS // 32) if name == "model.safetensors" else block)
    return folder


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """What is published: a CLIP in every format there is."""
    return fill(tmp_path / "upstream", WANTED | UNWANTED)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where huggingface_hub keeps files; not there yet."""
    return tmp_path / "cache"


@pytest.fixture
def hub(upstream: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that has it, asked in small steps and without waiting before trying again."""
    with serve({NAME: upstream}) as served:
        served.attach(monkeypatch, cache)
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 14)
        for module in (file_download, _http):
            monkeypatch.setattr(module, "time", SimpleNamespace(sleep=lambda seconds: None))
        yield served


def ignore(download: Download) -> None:
    """Told, and not interested."""


def trouble(place: Location = PLACE, patterns: tuple[str, ...] = CLIP_FILES) -> str:
    """What a visitor reads: a sentence that ends, or several."""
    with pytest.raises(UserError) as caught:
        fetch(place, patterns, ignore)
    sentence = str(caught.value)
    assert sentence[0].isupper() or sentence.startswith((NAME, "“"))
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "Error" not in sentence
    return sentence


def same_files(fetched: Fetched, upstream: Path, names: set[str] = WANTED) -> bool:
    """Whether exactly these files are there, byte by byte."""
    there = {p.relative_to(fetched.folder).as_posix() for p in fetched.folder.rglob("*") if p.is_file()}
    return there == names and all((fetched.folder / n).read_bytes() == (upstream / n).read_bytes() for n in names)


def blobs(cache: Path) -> list[Path]:
    """What the cache holds or began."""
    return sorted(cache.glob("models--owner--clip/blobs/*"))


def weights_blob(cache: Path, upstream: Path) -> Path:
    digest = hashlib.sha256((upstream / "model.safetensors").read_bytes()).hexdigest()
    return cache / "models--owner--clip" / "blobs" / digest


# What is fetched


def test_files_of_a_clip_and_no_others(hub: Hub, upstream: Path) -> None:
    fetched = fetch(PLACE, CLIP_FILES, ignore)
    assert fetched.commit == hub.commit(NAME)
    assert same_files(fetched, upstream)
    assert sorted(hub.downloads()) == sorted(WANTED)
    assert {r.path.rsplit("/", 1)[1] for r in hub.asked("/resolve/")} == WANTED
    assert len(hub.asked("/api/")) == 1
    assert all(fetched.commit in r.path for r in hub.asked("/resolve/"))


@pytest.mark.parametrize(
    ("published", "weights"),
    [
        ({"model.safetensors", "pytorch_model.bin"}, {"model.safetensors"}),
        ({"pytorch_model.bin", "open_clip_model.safetensors"}, {"pytorch_model.bin"}),
        (
            {
                "model.safetensors.index.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "pytorch_model.bin",
            },
            {"model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"},
        ),
        (
            {"model.safetensors.index.json", "model-00001-of-00002.safetensors", "pytorch_model.bin"},
            {"pytorch_model.bin"},
        ),
        (
            {"pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"},
            {"pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"},
        ),
    ],
)
def test_weights_in_the_best_format_there_is(hub: Hub, tmp_path: Path, published: set[str], weights: set[str]) -> None:
    rest = {"config.json", "processor_config.json", "vocab.json", "merges.txt"}
    hub.repositories[NAME]["main"] = fill(tmp_path / "other", rest | published)
    fetched = fetch(PLACE, CLIP_FILES, ignore)
    assert same_files(fetched, tmp_path / "other", rest | weights)


def test_wildcards_stay_in_their_folder(hub: Hub, tmp_path: Path) -> None:
    names = {"config.json", "n_images_1.pt", "n_images_2.pt", "old/n_images_3.pt", "20_resid/1.pt", "2_resid/1.pt"}
    hub.repositories[NAME]["main"] = fill(tmp_path / "sae", names)
    assert same_files(
        fetch(PLACE, ("config.json", "n_images_*.pt"), ignore),
        tmp_path / "sae",
        {"config.json", "n_images_1.pt", "n_images_2.pt"},
    )
    assert fetch(PLACE, ("20_resid/1.pt",), ignore).commit == hub.commit(NAME)
    assert hub.downloads()[-1] == "1.pt"
    assert len(hub.downloads()) == 4


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", {"a.pt", "b.json"}),
        ("*.pt", {"a.pt"}),
        ("*/*.pt", {"old/a.pt", "20_resid/1.pt"}),
        ("[0-9]*_resid/?.pt", {"20_resid/1.pt"}),
        ("old", set()),
        ("a.pt/x", set()),
        ("*/*/*", {"old/deep/a.pt"}),
    ],
)
def test_wildcards_mean_the_same_in_folders_and_lists(tmp_path: Path, pattern: str, found: set[str]) -> None:
    names = {"a.pt", "b.json", "old/a.pt", "old/deep/a.pt", "20_resid/1.pt"}
    assert set(core_hub._in_folder(fill(tmp_path, names))(pattern)) == found
    assert set(core_hub._among(dict.fromkeys(names))(pattern)) == found


def test_two_revisions_live_side_by_side(hub: Hub, upstream: Path, tmp_path: Path) -> None:
    newer = shutil.copytree(upstream, tmp_path / "newer")
    (newer / "config.json").write_text("{}")
    hub.repositories[NAME]["v2"] = newer
    first, second = (fetch(Location(repo=NAME, revision=r), CLIP_FILES, ignore) for r in ("main", "v2"))
    assert (first.commit, second.commit) == (hub.commit(NAME, "main"), hub.commit(NAME, "v2"))
    assert first.folder != second.folder
    assert same_files(first, upstream)
    assert same_files(second, newer)
    assert sorted(hub.downloads()) == sorted([*WANTED, "config.json"])  # what they share came once
    assert fetch(Location(repo=NAME, revision=str(first.commit)), CLIP_FILES, ignore) == first


def test_branch_that_moves_on_is_followed(hub: Hub, upstream: Path, tmp_path: Path) -> None:
    old = fetch(PLACE, CLIP_FILES, ignore)
    hub.repositories[NAME]["main"] = fill(tmp_path / "newer", WANTED, seed=1)
    new = fetch(PLACE, CLIP_FILES, ignore)
    assert new.commit != old.commit
    assert same_files(new, tmp_path / "newer")
    assert same_files(old, upstream)


def test_nothing_is_downloaded_twice(hub: Hub) -> None:
    first = fetch(PLACE, CLIP_FILES, ignore)
    before = len(hub.requests)
    assert fetch(PLACE, CLIP_FILES, ignore) == first
    assert len(hub.requests) == before + 1  # what commit the branch is now


def test_two_at_once_download_once(hub: Hub, upstream: Path) -> None:
    hub.misbehave = Misbehave(pause=0.01)
    told: list[list[int]] = [[], []]
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(lambda log: fetch(PLACE, CLIP_FILES, lambda d: log.append(d.done)), told))
    assert both[0] == both[1]
    assert same_files(both[0], upstream)
    assert sorted(hub.downloads()) == sorted(WANTED)
    for log in told:
        assert log == sorted(log)
        assert log[-1] == sum((upstream / name).stat().st_size for name in WANTED)


def test_two_repositories_at_once(hub: Hub, upstream: Path, tmp_path: Path) -> None:
    hub.repositories["owner/other"] = {"main": fill(tmp_path / "other", WANTED, seed=1)}
    hub.misbehave = Misbehave(pause=0.01)
    told: dict[str, list[Download]] = {NAME: [], "owner/other": []}
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(lambda n: fetch(Location(repo=n), CLIP_FILES, told[n].append), told))
    assert same_files(both[0], upstream)
    assert same_files(both[1], tmp_path / "other")
    for name, log in told.items():
        assert {download.what for download in log} == {name}
        assert [download.done for download in log] == sorted(download.done for download in log)
        assert log[-1].done == log[-1].total


# What is told


def test_progress_rises_to_the_total(hub: Hub, upstream: Path) -> None:
    told: list[Download] = []
    fetch(PLACE, CLIP_FILES, told.append)
    total = sum((upstream / name).stat().st_size for name in WANTED)
    assert {download.total for download in told} == {total}
    assert told[0].done == 0
    assert told[-1].done == total
    assert [d.done for d in told] == sorted(d.done for d in told)
    assert len({d.done for d in told}) > WEIGHTS / (1 << 14)  # within a file too
    again: list[Download] = []
    fetch(PLACE, CLIP_FILES, again.append)
    assert again == [Download(NAME, total, total)]


def test_files_that_are_here_count_as_done(hub: Hub, upstream: Path) -> None:
    fetch(PLACE, ("model.safetensors",), ignore)
    told: list[Download] = []
    fetch(PLACE, CLIP_FILES, told.append)
    assert told[0].done == (upstream / "model.safetensors").stat().st_size < told[0].total == told[-1].done


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "x"), httpx2.ReadTimeout("x"), UserError("Cancelled.")]
)
@pytest.mark.parametrize("at", [0, 100_000])
def test_what_tell_raises_ends_it_and_comes_out(hub: Hub, cache: Path, error: BaseException, at: int) -> None:
    def cancel(download: Download) -> None:
        if download.done >= at:
            raise error

    hub.misbehave = Misbehave(pause=0.001)
    with pytest.raises(type(error)) as caught:
        fetch(PLACE, CLIP_FILES, cancel)
    assert caught.value is error
    assert error.__cause__ is None
    assert error.__context__ is None
    assert not [blob for blob in blobs(cache) if blob.stat().st_size > 100 or "incomplete" in blob.name]
    assert len([name for name in hub.downloads() if name == "model.safetensors"]) == (at > 0)
    hub.misbehave = None
    assert fetch(PLACE, CLIP_FILES, ignore).commit == hub.commit(NAME)


@given(st.integers(0, 10**13))
def test_sizes_in_words(n: int) -> None:
    number, unit = size_in_words(n).split()
    size = float(number) * {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
    assert abs(size - n) <= max(0.05 * n, 0.5)
    assert size_in_words(1_710_000_000) == "1.7 GB"
    assert str(Download(NAME, 605_247_071, 1_710_000_000)) == f"{NAME}: 605.2 MB of 1.7 GB"


# Without a hub


FAULTS = {
    "closed": Misbehave(hang_up=True),
    "503": Misbehave(status=503),
    "too many requests": Misbehave(status=429),
    "a login page": Misbehave(login_page=True),
}


def break_off(hub: Hub, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault == "offline":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    elif fault == "nobody there":
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    elif fault == "no such host":
        monkeypatch.setattr(constants, "ENDPOINT", "http://hub.invalid")
    elif fault == "no answer":
        monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.05)
        hub.misbehave = Misbehave(wait=0.5)
    else:
        hub.misbehave = FAULTS[fault]


UNREACHABLE = ["offline", "nobody there", "no such host", "no answer", *FAULTS]


@pytest.mark.parametrize("fault", UNREACHABLE)
def test_without_a_hub_the_copy_serves(hub: Hub, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fetch(PLACE, CLIP_FILES, ignore)
    break_off(hub, fault, monkeypatch)
    assert fetch(PLACE, CLIP_FILES, ignore) == first
    assert fetch(Location(repo=NAME, revision=str(first.commit)), CLIP_FILES, ignore) == first


@pytest.mark.parametrize("fault", UNREACHABLE)
def test_without_a_hub_and_a_copy(hub: Hub, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    break_off(hub, fault, monkeypatch)
    said = trouble()
    assert f"{NAME} at “main” has not been downloaded before" in said
    assert "the bundled setup works without" in said
    expected = {"offline": "HF_HUB_OFFLINE", "no answer": "in time", "503": "HTTP 503", "too many requests": "HTTP 429"}
    assert expected.get(fault, "cannot be reached") in said


def test_without_a_hub_another_revision_does_not_serve(
    hub: Hub, upstream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories[NAME]["v2"] = upstream.parent / "upstream"
    fetch(PLACE, CLIP_FILES, ignore)
    break_off(hub, "offline", monkeypatch)
    assert "“v2” has not been downloaded before" in trouble(Location(repo=NAME, revision="v2"))
    assert "has not been downloaded before" in trouble(Location(repo=NAME, revision="0" * 40))


def test_without_a_hub_and_with_a_part(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(PLACE, ("config.json",), ignore)
    break_off(hub, "offline", monkeypatch)
    assert "only a part" in (said := trouble())
    assert "without preprocessor_config.json, or" in said
    assert fetch(PLACE, ("config.json",), ignore).commit == hub.commit(NAME)


def test_hub_that_breaks_down_midway_leaves_the_older_copy(hub: Hub, upstream: Path, tmp_path: Path) -> None:
    old = fetch(PLACE, CLIP_FILES, ignore)
    hub.repositories[NAME]["main"] = fill(tmp_path / "newer", WANTED, seed=1)
    hub.misbehave = Misbehave(status=503, only="model.safetensors")
    assert fetch(PLACE, CLIP_FILES, ignore) == old
    assert same_files(old, upstream)
    hub.misbehave = None
    assert same_files(fetch(PLACE, CLIP_FILES, ignore), tmp_path / "newer")


# Refusals


def test_no_such_repository(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no repository owner/nothing that may be read" in (said := trouble(Location(repo="owner/nothing")))
    assert "HF_TOKEN" in said
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert "no repository owner/nothing that may be read" in trouble(Location(repo="owner/nothing"))


def test_private_repository(hub: Hub, upstream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.private.add(NAME)
    assert f"no repository {NAME} that may be read" in trouble()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert same_files(fetch(PLACE, CLIP_FILES, ignore), upstream)


def test_gated_repository(hub: Hub, upstream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.gated.add(NAME)
    assert "licence" in (said := trouble())
    assert f"/{NAME}" in said
    assert "HF_TOKEN" in said
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert same_files(fetch(PLACE, CLIP_FILES, ignore), upstream)


def test_token_that_is_not_one(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    assert "does not accept the token" in trouble()


def test_token_goes_to_the_hub_only(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    fetch(PLACE, CLIP_FILES, ignore)
    with_token = {r.server for r in hub.requests if "authorization" in r.headers}
    assert with_token == {"hub"}
    assert "elsewhere" in {r.server for r in hub.requests}
    assert not any(TOKEN in str(r) for r in hub.requests if r.server == "elsewhere")


def test_no_telemetry_and_no_second_way_of_transfer(hub: Hub) -> None:
    fetch(PLACE, CLIP_FILES, ignore)
    assert not any("torch" in r.headers["user-agent"] or "agent/" in r.headers["user-agent"] for r in hub.requests)
    assert not hub.asked("telemetry")
    assert not hub.asked("harnesses")
    assert not hub.asked("xet")


def test_no_such_revision(hub: Hub) -> None:
    assert f"{NAME} has no revision “v9”" in trouble(Location(repo=NAME, revision="v9"))


@pytest.mark.parametrize("revision", ["", "../../refs", "/etc/passwd", "a..b", "-x", "a b"])
def test_revision_that_is_no_name(hub: Hub, revision: str) -> None:
    assert "does not name a branch" in trouble(Location(repo=NAME, revision=revision))
    assert not hub.requests


@pytest.mark.parametrize("name", ["a--b/c", "a/..", "-a/b", "a/b.git", "ä/ö", "a/" + "b" * 97])
def test_repository_that_is_no_name(hub: Hub, name: str) -> None:
    with pytest.raises(UserError, match="owner/name"):
        fetch(Location(repo=name), CLIP_FILES, ignore)
    assert not hub.requests


def test_no_file_that_matches(hub: Hub) -> None:
    said = trouble(patterns=("config.json", "20_resid/*.pt", "cfg.json|sae.json&sae.bin"))
    assert f"{NAME} at “main” lacks 20_resid/*.pt; cfg.json, or sae.json and sae.bin. It holds README.md, " in said
    assert not hub.downloads()


def test_other_refusals(hub: Hub) -> None:
    hub.misbehave = Misbehave(status=400)
    assert "HTTP 400" in trouble()
    hub.misbehave = Misbehave(status=403)
    assert "may be read" in trouble()
    hub.misbehave = Misbehave(status=404, only="HEAD")
    assert "HTTP 404" in trouble()


# Damage


def test_resumed_after_a_cut(hub: Hub, upstream: Path) -> None:
    hub.misbehave = Misbehave(cut_after=100_000, times=2, only="model.safetensors")
    told: list[int] = []
    fetched = fetch(PLACE, CLIP_FILES, lambda download: told.append(download.done))
    assert same_files(fetched, upstream)
    assert told == sorted(told)
    first, *resumed = [r for r in hub.asked("GET", "model.safetensors") if r.server == "elsewhere"]
    assert "range" not in first.headers
    assert len(resumed) == 2
    assert all(r.headers["range"].startswith("bytes=") and r.headers["range"] != "bytes=0-" for r in resumed)


def test_started_over_after_a_cut(hub: Hub, upstream: Path) -> None:
    hub.resumes = False
    hub.misbehave = Misbehave(cut_after=200_000, times=1, only="model.safetensors")
    told: list[Download] = []
    assert same_files(fetch(PLACE, CLIP_FILES, told.append), upstream)
    assert [d.done for d in told] == sorted(d.done for d in told)
    assert told[-1].done == told[-1].total


def test_cut_again_and_again(hub: Hub, cache: Path, upstream: Path) -> None:
    hub.misbehave = Misbehave(cut_after=0, only="model.safetensors")
    assert "cannot be reached" in (said := trouble())
    assert "has not been downloaded before" in said
    assert not weights_blob(cache, upstream).exists()
    hub.misbehave = None
    before = len(hub.downloads())
    assert same_files(fetch(PLACE, CLIP_FILES, ignore), upstream)
    assert "config.json" not in hub.downloads()[before:]  # it had arrived whole


@pytest.mark.parametrize("fault", [Misbehave(short_by=1000), Misbehave(wrong_bytes=True)])
def test_damaged_on_the_way(hub: Hub, cache: Path, upstream: Path, fault: Misbehave) -> None:
    fault.only = "model.safetensors"
    hub.misbehave = fault
    assert "deleted" in (said := trouble())
    assert "Try again" in said
    assert not weights_blob(cache, upstream).exists()
    assert not list(cache.rglob("*.incomplete"))
    hub.misbehave = None
    assert same_files(fetch(PLACE, CLIP_FILES, ignore), upstream)


def test_damaged_small_file(hub: Hub, upstream: Path) -> None:
    hub.misbehave = Misbehave(wrong_bytes=True, only="config.json", times=1)
    assert "“config.json” of owner/clip arrived damaged" in trouble()
    assert same_files(fetch(PLACE, CLIP_FILES, ignore), upstream)


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("also_unlinked", [False, True])
def test_damaged_in_the_cache(
    hub: Hub, cache: Path, upstream: Path, links: bool, also_unlinked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", not links)
    fetched = fetch(PLACE, CLIP_FILES, ignore)
    link = fetched.folder / "model.safetensors"
    assert link.is_symlink() == links
    link.resolve().write_bytes(b"cut short")
    if also_unlinked:
        link.unlink()
    told: list[int] = []
    assert fetch(PLACE, CLIP_FILES, lambda download: told.append(download.done)) == fetched
    assert same_files(fetched, upstream)
    assert told[0] < WEIGHTS < told[-1]
    assert hub.downloads().count("model.safetensors") == 2
    assert hub.downloads().count("config.json") == 1


# The disk


def test_disk_without_room_is_noticed_before(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    assert "needs 300.1 kB" in (said := trouble())
    assert "1.0 kB are free" in said
    assert not hub.downloads()


def test_files_in_the_cache_need_no_room(hub: Hub, upstream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(PLACE, CLIP_FILES, ignore)
    hub.repositories[NAME]["v2"] = shutil.copytree(upstream, upstream.parent / "copy")
    (hub.repositories[NAME]["v2"] / "README.md").write_text("another commit, the same weights")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    assert same_files(fetch(PLACE, CLIP_FILES, ignore), upstream)
    assert same_files(fetch(Location(repo=NAME, revision="v2"), CLIP_FILES, ignore), upstream)


def full(*args: object, **settings: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def forbidden(*args: object, **settings: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize(("fault", "words"), [(full, "needs 300.1 kB"), (forbidden, "Permission denied")])
def test_disk_that_takes_no_more(
    hub: Hub, upstream: Path, fault: Callable[..., None], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(file_download, "http_get", fault)
        assert words in (said := trouble())
        assert "HF_HOME" in said
    assert same_files(fetch(PLACE, CLIP_FILES, ignore), upstream)


# Folders


def test_folder(upstream: Path) -> None:
    assert fetch(Location(folder=upstream), CLIP_FILES, ignore) == Fetched(upstream, None)
    assert fetch(Location(folder=upstream), ("onnx/*.onnx", "README.md|"), ignore) == Fetched(upstream, None)


def test_bundled_setup_is_such_a_folder() -> None:
    assets = Path(__file__).parents[2] / "assets" / "bundled"
    assert fetch(Location(folder=assets / "clip"), CLIP_FILES, ignore).commit is None


def test_folder_that_lacks_something(upstream: Path, tmp_path: Path) -> None:
    assert "There is no folder" in trouble(Location(folder=tmp_path / "nothing"))
    assert "README.md is a file, and a folder is needed" in trouble(Location(folder=upstream / "README.md"))
    (tmp_path / "empty").mkdir()
    assert "It is empty." in trouble(Location(folder=tmp_path / "empty"))
    (upstream / "tokenizer.json").unlink()
    said = trouble(Location(folder=upstream))
    assert "lacks tokenizer.json, or vocab.json and merges.txt, or spiece.model. It holds README.md, config" in said


@given(
    st.lists(st.text("ab", min_size=1, max_size=2), min_size=1, max_size=6, unique=True),
    st.lists(st.lists(st.lists(st.text("ab", max_size=2), max_size=2), min_size=1, max_size=3), max_size=4),
)
def test_patterns_mean_what_they_say(names: list[str], wanted: list[list[list[str]]]) -> None:
    """Against logic: a pattern is satisfied by its first alternative of which every part is there."""
    wanted = [[[part for part in alternative if part] for alternative in pattern] for pattern in wanted]
    patterns = ["|".join("&".join(parts) for parts in pattern) for pattern in wanted]
    chosen, missing = core_hub._choose(patterns, core_hub._among(dict.fromkeys(names)))
    satisfied = [[set(parts) for parts in pattern if set(parts) <= set(names)] for pattern in wanted]
    assert set(chosen) == set().union(*(options[0] for options in satisfied if options))
    assert len(chosen) == len(set(chosen))
    assert missing == [p for p, options in zip(patterns, satisfied, strict=True) if not options]


# Real size


@pytest.mark.full_size
def test_six_hundred_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the steps of huggingface_hub itself, cut once."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    size = 605_247_071  # that of ViT-B/32
    with (folder / "model.safetensors").open("wb") as stream:
        stream.truncate(size)
    told: list[int] = []
    with serve({NAME: folder}) as hub:
        hub.attach(monkeypatch, tmp_path / "cache")
        hub.misbehave = Misbehave(cut_after=250_000_000, times=1)
        hub.commit(NAME)  # hashes the file, which takes longer than fetch would wait
        fetched = fetch(PLACE, ("model.safetensors",), lambda download: told.append(download.done))
        assert (fetched.folder / "model.safetensors").stat().st_size == size
        assert told == sorted(told)
        assert told[-1] == size
        assert len(told) > 50
        resumed = [r for r in hub.requests if "range" in r.headers and r.server == "elsewhere"]
        assert [r.headers["range"] for r in resumed] == [f"bytes={23 * 10 * 2**20}-"]
