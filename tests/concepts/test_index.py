"""The index on disk: what is saved comes back; what is damaged, hostile or of another setup is refused in words."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from conftest import tiny_sae
from hypothesis import given, settings
from hypothesis import strategies as st
from sae_lens import JumpReLUSAE, TopKSAE, TopKSAEConfig
from safetensors.numpy import load_file, save_file

from core.concepts.index import ActivatingExamples, ConceptIndex, Identity, Manifest, Thumbnails
from core.concepts.index_file import ARRAYS, INDEX_FILES, MANIFEST, THUMBNAILS, load, save
from core.errors import UserError
from core.model.clip import SplitClip
from core.model.dictionary import Dictionary
from core.model.places import ResidualStream
from core.model.sae_dictionary import SaeDictionary
from core.setups.catalog import Location, SetupSpec
from core.setups.clips import read_clip
from core.setups.identity import fingerprint, identity

IDENTITY = Identity("owner/clip", "a" * 40, "owner/sae/1.pt", None, 3, "all", 5, 8, "0" * 64)


def references(rng: np.random.Generator, m: int, n: int, thumbnails: int, patches: int) -> ActivatingExamples:
    """Random ones, the last place of the first component empty."""
    picture = rng.integers(0, thumbnails, (m, n)).astype(np.int32)
    picture[0, -1] = -1
    length = np.where(picture.ravel() >= 0, rng.integers(0, patches + 1, m * n), 0)
    cells = [np.sort(rng.permutation(patches)[:k]) for k in length]
    return ActivatingExamples(
        picture=picture,
        value=rng.random((m, n), dtype=np.float32),
        token=rng.integers(0, patches + 1, (m, n)).astype(np.int32),
        start=np.r_[0, np.cumsum(length)].astype(np.int64),
        patch=np.concatenate(cells).astype(np.uint16),
        share=rng.integers(1, 256, length.sum()).astype(np.uint8),
    )


def some_index(seed: int = 0, thumbnails: int = 300, largest: int = 70_000) -> ConceptIndex:
    """An index of random numbers, of which `largest` counts are larger than two bytes hold."""
    rng = np.random.default_rng(seed)
    m, grid, p, k = IDENTITY.components, (3, 7), 6, 4
    lengths = rng.integers(0, 40, thumbnails)

    def lists(n: int) -> ActivatingExamples:
        return references(rng, m, n, thumbnails, grid[0] * grid[1])

    clarity = rng.random(m, dtype=np.float32)
    clarity[0] = np.nan
    words = ("dog", "naïve “quotes”", "a red fish")
    return ConceptIndex(
        manifest=Manifest(1, IDENTITY, {"kind": "folder", "name": "ñ"}, largest, largest, 3, grid, words, 96),
        active_pictures=rng.integers(0, largest, m),
        active_tokens=rng.integers(0, largest, m),
        mean_active=rng.random(m, dtype=np.float32),
        peak=rng.random(m, dtype=np.float32),
        edges=(2.0 ** np.arange(-3, 4)).astype(np.float32),
        histogram=rng.integers(0, largest, (m, 6)),
        top=lists(3),
        mean=lists(4),
        mid=lists(2),
        embedding=rng.normal(size=(m, p)).astype(np.float16),
        average=rng.normal(size=p).astype(np.float32),
        clarity=clarity,
        label=rng.integers(-1, len(words), (m, 3)).astype(np.int32),
        alignment=np.where(np.arange(3) < 2, rng.random((m, 3)), np.nan).astype(np.float32),
        near=rng.integers(-1, m, (m, k)).astype(np.int32),
        near_cosine=rng.random((m, k), dtype=np.float32),
        coactivated=rng.integers(-1, m, (m, k)).astype(np.int32),
        coactivation=rng.random((m, k), dtype=np.float32),
        pictures=Thumbnails(np.r_[0, np.cumsum(lengths)], rng.integers(0, 256, lengths.sum(), dtype=np.uint8)),
    )


@pytest.fixture(scope="module")
def index() -> ConceptIndex:
    return some_index()


@pytest.fixture(scope="module")
def saved(index: ConceptIndex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    save(index, folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "index"))


# ---- saving and loading


@settings(max_examples=15)
@given(
    seed=st.integers(0, 20), thumbnails=st.sampled_from([1, 2, 200, 40_000]), largest=st.sampled_from([9, 300, 2**40])
)
def test_what_is_saved_comes_back(
    seed: int, thumbnails: int, largest: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    index, folder = some_index(seed, thumbnails, largest), tmp_path_factory.mktemp("again")
    save(index, folder)
    back = load(folder, IDENTITY)
    assert back == index
    assert {path.name for path in folder.iterdir()} == set(INDEX_FILES)
    for part, other in ((back, index), *((getattr(back, n), getattr(index, n)) for n in ("top", "mean", "mid"))):
        for field in fields(part):
            value = getattr(part, field.name)
            assert type(value) is type(getattr(other, field.name)), field.name
    assert back.pictures.webp(0) == index.pictures.webp(0)
    assert back.n_bytes == index.n_bytes


def test_files_are_compact_and_readable_by_all(saved: Path) -> None:
    arrays = load_file(saved / ARRAYS)
    assert arrays["top.patch"].dtype == arrays["top.length"].dtype == np.uint8
    assert arrays["top.picture"].dtype == np.int16
    assert arrays["label"].dtype == np.int8
    assert arrays["histogram"].dtype == np.uint32
    assert arrays["embedding"].dtype == np.float16
    assert json.loads((saved / MANIFEST).read_text(encoding="utf-8"))["setup"]["clip"] == "owner/clip"
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in saved.iterdir())


def test_thumbnails_stay_on_the_disk(folder: Path, index: ConceptIndex) -> None:
    """A byte that changes in the file changes in the index, which therefore has not read it."""
    back = load(folder, IDENTITY)
    data = bytearray((folder / THUMBNAILS).read_bytes())
    data[-1] ^= 1
    with (folder / THUMBNAILS).open("r+b") as file:
        file.write(data)
    assert back.pictures.bytes[-1] == index.pictures.bytes[-1] ^ 1
    assert not back.pictures.bytes.flags.writeable


def test_a_save_that_is_stopped_leaves_no_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the old one in part, nor the new one in part."""
    move = Mock(wraps=shutil.move)
    monkeypatch.setattr(os, "replace", move)
    save(some_index(1), folder)
    assert [moved.args[1].name for moved in move.call_args_list] == [ARRAYS, THUMBNAILS, MANIFEST]

    def stop(_old: Path, new: Path) -> None:
        if new.name == THUMBNAILS:
            raise KeyboardInterrupt
        shutil.move(_old, new)

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        save(some_index(2), folder)
    with pytest.raises(UserError, match="has no manifest.json"):
        load(folder, IDENTITY)


# ---- what is refused


def test_another_setup_is_refused_with_both_names(saved: Path) -> None:
    other = replace(IDENTITY, fingerprint="1" * 64, dictionary="other/sae", dictionary_commit="b" * 40, layer=7)
    with pytest.raises(UserError) as trouble:
        load(saved, other)
    said = str(trouble.value)
    assert "made for owner/sae/1.pt (5 components) at layer 3 of owner/clip at aaaaaaa" in said
    assert "this setup is other/sae at bbbbbbb (5 components) at layer 7" in said
    assert "core.indexing" in said
    with pytest.raises(UserError, match="the same with other weights"):
        load(saved, replace(IDENTITY, fingerprint="1" * 64))
    with pytest.raises(UserError, match=r"read at all tokens; this setup is .*, read at the class token\."):
        load(saved, replace(IDENTITY, fingerprint="1" * 64, scope="cls"))
    assert load(saved, replace(IDENTITY, dictionary="moved/elsewhere", clip_commit=None)), "the weights alone decide"


def manifests() -> dict[str, Callable[[dict[str, Any]], Any]]:
    """Ways to spoil a manifest."""

    def without(name: str) -> Callable[[dict[str, Any]], Any]:
        return lambda said: {key: value for key, value in said.items() if key != name}

    return {
        **{f"no {name}": without(name) for name in ("format", "setup", "source", "pictures", "grid", "vocabulary")},
        "a list": lambda said: [said],
        "nothing": lambda said: None,
        "more": lambda said: said | {"run": "rm -rf"},
        "format in words": lambda said: said | {"format": "1"},
        "true for 1": lambda said: said | {"format": True},
        "no pictures": lambda said: said | {"pictures": 0},
        "half a picture": lambda said: said | {"pictures": 1.5},
        "negative": lambda said: said | {"skipped": -1},
        "grid of three": lambda said: said | {"grid": [3, 7, 1]},
        "grid of nothing": lambda said: said | {"grid": [0, 7]},
        "words of numbers": lambda said: said | {"vocabulary": [1]},
        "an essay": lambda said: said | {"vocabulary": ["x" * 5000]},
        "source of lists": lambda said: said | {"source": {"kind": []}},
        "a scope": lambda said: said | {"setup": said["setup"] | {"scope": "everything"}},
        "a fingerprint": lambda said: said | {"setup": said["setup"] | {"fingerprint": "../.."}},
    }


@pytest.mark.parametrize("how", manifests())
def test_a_manifest_that_is_not_as_it_should_be(folder: Path, how: str) -> None:
    said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps(manifests()[how](said)), encoding="utf-8")
    with pytest.raises(UserError, match="manifest"):
        load(folder, IDENTITY)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\udc80", "nan" * 9_000_000])
def test_a_manifest_that_cannot_be_read(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match="manifest"):
        load(folder, IDENTITY)


def test_another_format_says_so(folder: Path) -> None:
    said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps(said | {"format": 2, "new": 1}), encoding="utf-8")
    with pytest.raises(UserError, match="is of format 2; this version reads 1"):
        load(folder, IDENTITY)


@pytest.mark.parametrize("name", INDEX_FILES)
def test_a_file_that_is_missing_cut_short_or_noise(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    for data in (None, b"", whole[: len(whole) // 2], whole[:-1], b"\xff" * len(whole), b"\x10" + bytes(200)):
        (folder / name).unlink(missing_ok=True)
        if data is not None:
            (folder / name).write_bytes(data)
        if name == MANIFEST and data == whole[:-1]:
            continue  # the last is the end of a line
        with pytest.raises(UserError, match="Put|core.indexing"):
            load(folder, IDENTITY)


def spoiled() -> dict[str, Callable[[dict[str, np.ndarray]], Any]]:
    """Ways to spoil the arrays: what a reader would stumble over later."""

    def put(name: str, value: float) -> Callable[[dict[str, np.ndarray]], Any]:
        def to(arrays: dict[str, np.ndarray]) -> None:
            wide = np.float32 if arrays[name].dtype.kind == "f" else np.int64
            arrays[name] = arrays[name].astype(wide)
            arrays[name].flat[-1] = value

        return to

    def change(name: str, function: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict[str, np.ndarray]], Any]:
        return lambda arrays: arrays.update({name: np.ascontiguousarray(function(arrays[name]))})

    return {
        "a picture that is not there": put("top.picture", 300),
        "a picture before the first": put("mid.picture", -2),
        "a patch that is not there": put("mean.patch", 21),
        "a token that is not there": put("top.token", 22),
        "a word that is not there": put("label", 3),
        "a neighbour that is not there": put("near", 5),
        "company that is not there": put("together", -2),
        "more pictures than were read": put("active_pictures", 70_001),
        "counts below 0": put("histogram", -1),
        "a huge count": put("active_tokens", 2**62),
        "an infinite value": put("peak", np.inf),
        "a negative value": put("top.value", -1),
        "no number": put("embedding", np.nan),
        "no number for a cosine": put("near_cosine", np.nan),
        "edges that fall": change("edges", lambda a: a[::-1]),
        "lengths that do not add up": put("top.length", 1_000),
        "lengths below 0": put("top.length", -1),
        "lengths that overflow": put("mid.length", 2**63 - 1),
        "floats for counts": change("histogram", lambda a: a.astype(np.float32)),
        "counts for floats": change("peak", lambda a: a.astype(np.int32)),
        "another shape": change("peak", lambda a: a[:-1]),
        "another number of axes": change("peak", lambda a: a[:, None]),
        "other neighbours": change("near", lambda a: a[:, :-1]),
        "another p": change("average", lambda a: a[:-1]),
        "another list": change("top.token", lambda a: a[:, :-1]),
        "fewer shares": change("top.share", lambda a: a[:-1]),
        "fewer bins": change("histogram", lambda a: a[:, 1:]),
        "one label": change("label", lambda a: a[:, :1]),
        "one too few": lambda arrays: arrays.pop("clarity"),
        "one too many": lambda arrays: arrays.update(secret=np.zeros(3)),
    }


@pytest.mark.parametrize("how", spoiled())
def test_arrays_that_do_not_fit(folder: Path, how: str) -> None:
    arrays = load_file(folder / ARRAYS)
    spoiled()[how](arrays)
    save_file(arrays, folder / ARRAYS)
    with pytest.raises(UserError, match="damaged or incomplete"):
        load(folder, IDENTITY)


@pytest.mark.parametrize(
    "change",
    [
        lambda start, data: {"start": start + 1, "bytes": data},
        lambda start, data: {"start": start, "bytes": data[:-1]},
        lambda start, data: {"start": start[::-1].copy(), "bytes": data},
        lambda start, data: {"start": np.r_[0, -5, start[2:]], "bytes": data},
        lambda start, data: {"start": start[:0], "bytes": data},
        lambda start, data: {"start": start[:, None], "bytes": data},
        lambda start, data: {"start": start.astype(np.float32), "bytes": data},
        lambda start, data: {"start": start, "bytes": data.astype(np.int16)},
        lambda start, data: {"start": start, "bytes": data.reshape(1, -1)},
        lambda start, data: {"start": start},
        lambda start, data: {"start": start[:2], "bytes": data[: start[1]]},
    ],
)
def test_thumbnails_that_do_not_fit(folder: Path, change: Callable[..., dict[str, np.ndarray]]) -> None:
    arrays = load_file(folder / THUMBNAILS)
    save_file(change(arrays["start"].astype(np.int64), arrays["bytes"]), folder / THUMBNAILS)
    with pytest.raises(UserError, match="damaged or incomplete"):
        load(folder, IDENTITY)


def test_sizes_are_those_of_the_setup(saved: Path, clip: SplitClip) -> None:
    with pytest.raises(UserError, match="another number of components"):
        load(saved, replace(IDENTITY, components=6))
    with pytest.raises(UserError, match="another shape"):
        load(saved, IDENTITY, clip)


# ---- fingerprints


def dictionary_of(sae: Any = None, scope: Any = "all") -> Dictionary:
    return SaeDictionary(sae or tiny_sae("topk"), scope)


def test_a_fingerprint_says_what_the_setup_is(clip: SplitClip, clip_folder: Path, dictionary_folder: Path) -> None:
    prints = {
        "as it is": fingerprint(clip, dictionary_of()),
        "layer": fingerprint(
            SplitClip(clip.model, clip.image_processor, clip.tokenizer, ResidualStream(2)), dictionary_of()
        ),
        "scope": fingerprint(clip, dictionary_of(scope="cls")),
        "architecture": fingerprint(clip, dictionary_of(tiny_sae("jumprelu"))),
        "normalisation": fingerprint(clip, dictionary_of(tiny_sae("topk", normalize_activations="layer_norm"))),
        "k": fingerprint(clip, dictionary_of(tiny_sae("topk", k=6))),
        "bias": fingerprint(clip, dictionary_of(tiny_sae("topk", apply_b_dec_to_input=False))),
    }
    assert len(set(prints.values())) == len(prints)
    again = read_clip(clip_folder, ResidualStream(1))
    assert fingerprint(again, SaeDictionary.from_folder(dictionary_folder, "all")) == prints["as it is"]


def test_a_fingerprint_changes_with_any_weight(clip_folder: Path) -> None:
    clip, dictionary = read_clip(clip_folder, ResidualStream(1)), dictionary_of(tiny_sae("jumprelu"))
    assert isinstance(dictionary.sae, JumpReLUSAE)
    seen = {fingerprint(clip, dictionary)}
    tensors = [*clip.model.parameters(), *dictionary.sae.parameters()]
    for tensor in tensors:
        with torch.no_grad():
            tensor.flatten()[-1] += 1
        seen.add(fingerprint(clip, dictionary))
    assert len(seen) == len(tensors) + 1


def test_a_fingerprint_of_large_tensors_looks_at_all_their_columns() -> None:
    from core.setups.identity import _sampled

    large = torch.arange(1024 * 512, dtype=torch.float32).view(1024, 512)
    found = _sampled(large)
    assert 4_000 < len(found) < 5_000
    assert len(np.unique(found % 512)) > 500
    assert found.max() > 1023 * 512
    assert np.array_equal(_sampled(large.T.contiguous().T), found), "however it lies in memory"
    assert np.array_equal(_sampled(large.bfloat16()), large.bfloat16().float().flatten()[::129].numpy()[: len(found)])


def test_an_identity_names_repositories_and_folders_without_their_paths(clip: SplitClip, tmp_path: Path) -> None:
    sae = TopKSAE(TopKSAEConfig(d_in=32, d_sae=48, k=5))
    (tmp_path / "mine").mkdir()
    here, hub = Location(folder=tmp_path / "mine" / ".", file="a/b.pt"), Location(repo="owner/clip", revision="main")
    card = SetupSpec("x", "X", hub, here, 1, "patches", "MIT", "")
    found = identity(card, {"clip": "c" * 40}, clip, SaeDictionary(sae, "patches"))
    assert (found.clip, found.clip_commit) == ("owner/clip", "c" * 40)
    assert (found.dictionary, found.dictionary_commit) == ("mine/a/b.pt", None)
    assert (found.layer, found.scope, found.components, found.width) == (1, "patches", 48, 32)
    assert str(tmp_path) not in repr(found)
