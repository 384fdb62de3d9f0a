"""From a card to a setup: what is chosen, told and refused; and the pool, with visitors in threads."""

import gc
import io
import json
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from queue import Queue
from shutil import copytree
from threading import Barrier, Event, Lock, Semaphore, Thread
from threading import enumerate as threads
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

import pytest
import torch
from conftest import WIDTH
from fake_hub import serve
from hypothesis import given
from hypothesis import strategies as st
from sae_lens import StandardSAE, StandardSAEConfig
from safetensors.torch import load_file, save_file

from core.errors import UserError
from core.model.clip import SplitClip
from core.model.dictionary import Dictionary
from core.setups.catalog import Location, SetupSpec, read_catalog
from core.setups.checkpoints import Reading
from core.setups.health_check import check, example_samples, probe_for
from core.setups.loading import Loading, Setup, load, load_setup
from core.setups.pool import SetupPool

PATIENCE = 60
"""Seconds after which a test that hangs fails."""


def card_of(clip: Location | Path, dictionary: Location | Path, **changes: Any) -> SetupSpec:
    places = [Location(one) if isinstance(one, Path) else one for one in (clip, dictionary)]
    return replace(SetupSpec("tiny", "Tiny", places[0], places[1], 1, "all", "MIT", ""), **changes)


# ---- dictionaries that fit the tiny CLIP


@pytest.fixture(scope="module")
def axes(clip: SplitClip) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean [d] of the residual after layer 1 over the example pictures, and 2 d directions [2 d, d], v and -v.

    With both ends of every axis of an orthogonal basis, relu((x - mean) V^T) V + mean is x.
    """
    crops = [clip.crop(sample.picture) for sample in example_samples()]
    x = torch.cat([clip.residual(clip.pixels(crop[None]))[0] for crop in crops])
    v = torch.linalg.svd(x - x.mean(0), full_matrices=False)[2]
    return x.mean(0), torch.cat([v, -v])


def fitting_sae(axes: tuple[torch.Tensor, torch.Tensor]) -> StandardSAE:
    mean, v = axes
    sae = StandardSAE(StandardSAEConfig(d_in=WIDTH, d_sae=2 * WIDTH))
    sae.load_state_dict({"W_enc": v.T.contiguous(), "b_enc": torch.zeros(2 * WIDTH), "W_dec": v, "b_dec": mean})
    return sae


@pytest.fixture(scope="module")
def sae_lens_folder(axes: tuple[torch.Tensor, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitting")
    fitting_sae(axes).save_model(folder)
    return folder


@pytest.fixture(scope="module")
def saev_folder(axes: tuple[torch.Tensor, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of SAE-V: made with "- b_dec" in the encoder, and without."""
    mean, v = axes
    folder = tmp_path_factory.mktemp("saev")
    for name, b_enc in (("minus.pt", torch.zeros(2 * WIDTH)), ("plain.pt", -v @ mean)):
        stream = io.BytesIO()
        stream.write(json.dumps({"d_vit": WIDTH, "exp_factor": 2, "seed": 42}).encode() + b"\n")
        torch.save({"W_enc": v.T.contiguous(), "b_enc": b_enc, "W_dec": v, "b_dec": mean}, stream)
        (folder / name).write_bytes(stream.getvalue())
    return folder


# ---- load


def test_a_setup_in_folders_is_loaded_and_checked(clip_folder: Path, sae_lens_folder: Path) -> None:
    card = card_of(clip_folder, sae_lens_folder)
    told: list[Loading] = []
    setup = load(card, tell=told.append)
    assert setup.card == card
    assert setup.clip.layer == 1
    assert setup.dictionary.scope == "all"
    assert setup.commits == {}
    assert setup.alternatives == {}
    assert "standard" in setup.formula
    assert setup.health == check(setup.clip, setup.dictionary, card, probe_for(card))
    assert setup.health is not None
    assert setup.health.explained_variance == pytest.approx(1, abs=1e-3)
    weights = [*setup.clip.model.parameters(), *setup.dictionary.sae.parameters()]
    assert sum(4 * weight.numel() for weight in weights) <= setup.n_bytes
    assert setup.to("cpu").clip is setup.clip
    assert setup.to("cpu").dictionary is setup.dictionary

    n = setup.health.pictures
    stages = list(dict.fromkeys(step.said for step in told))
    assert stages == ["Reading the CLIP", "Reading the dictionary", f"Checking it on {n} {setup.health.kind}"]
    assert [(step.done, step.total) for step in told if step.total] == [(done, n) for done in range(n)]
    assert [step.needs for step in told] == pytest.approx([setup.n_bytes] * len(told), rel=0.05)
    assert not any(step.in_bytes for step in told)


def test_the_bundled_setup_has_no_doubts() -> None:
    setup = load_setup("bundled")
    assert setup.card.name == "bundled"
    assert setup.health is not None
    with pytest.raises(UserError, match="bundled"):
        load_setup("another")


@pytest.mark.parametrize(("file", "minus"), [("minus.pt", True), ("plain.pt", False)])
def test_of_several_formulas_the_one_that_fits_is_taken(
    clip_folder: Path, saev_folder: Path, file: str, minus: bool
) -> None:
    setup = load(card_of(clip_folder, Location(saev_folder, file=file), layout="saev"))
    assert ("b_dec" in setup.formula) == minus == setup.dictionary.sae.cfg.apply_b_dec_to_input
    assert setup.health is not None
    assert len(setup.alternatives) == 4
    assert setup.health.explained_variance == pytest.approx(1, abs=1e-3)
    assert setup.alternatives[setup.formula] == pytest.approx(1, abs=1e-3)
    (other,) = (f for f in setup.alternatives if f.endswith("W_enc + b_enc)") and ("b_dec" in f) != minus)
    assert setup.alternatives[other] < 0.9  # scaled, a dictionary that misses nothing would miss nothing either


def test_whoever_listens_can_stop_it_at_every_stage(clip_folder: Path, sae_lens_folder: Path) -> None:
    for stage in ("Reading the CLIP", "Reading the dictionary", "Checking"):

        def stop(step: Loading, stage: str = stage) -> None:
            if step.said.startswith(stage):
                raise KeyboardInterrupt(stage)

        with pytest.raises(KeyboardInterrupt, match=stage):
            load(card_of(clip_folder, sae_lens_folder), tell=stop)


def test_a_dictionary_that_does_not_fit_is_refused_with_its_numbers(clip_folder: Path, dictionary_folder: Path) -> None:
    with pytest.raises(UserError, match=r"'tiny' is refused. Its dictionary explains −\d+\.\d\d .* photographs"):
        load(card_of(clip_folder, dictionary_folder))
    setup = load(card_of(clip_folder, dictionary_folder), anyway=True)
    assert setup.health is not None
    assert setup.health.doubts[0].weight == "unfit"


def test_what_a_catalog_pins_to_commits_opens_with_its_doubts(
    clip_folder: Path, dictionary_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve({CLIP_REPO: clip_folder, SAE_REPO: dictionary_folder}) as hub:
        hub.attach(monkeypatch, tmp_path / "cache")
        newest = card_of(Location(repo=CLIP_REPO), Location(repo=SAE_REPO))
        with pytest.raises(UserError, match="is refused. Its dictionary explains"):
            load(newest)
        at, dictionary_at = (Location(repo=repo, revision=hub.commit(repo)) for repo in (CLIP_REPO, SAE_REPO))
        setup = load(replace(newest, clip=at, dictionary=dictionary_at))
    assert setup.health is not None
    assert setup.health.explained_variance < 0.3
    (unfit,) = (doubt for doubt in setup.health.doubts if doubt.about == "explained variance")
    assert f"{setup.health.explained_variance:.2f}".replace("-", "−") in unfit.sentence


def test_a_clip_whose_answers_rest_on_nothing_is_never_opened(
    clip_folder: Path, sae_lens_folder: Path, tmp_path: Path
) -> None:
    folder = copytree(clip_folder, tmp_path / "clip")
    weights = load_file(folder / "model.safetensors")
    weights["text_projection.weight"][3, 2] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"'tiny' is refused\. .* in the weight text_projection.weight of its CLIP"):
        load(card_of(folder, sae_lens_folder), anyway=True)


def test_parts_of_other_sizes_are_trouble(clip_folder: Path, sae_lens_folder: Path, tmp_path: Path) -> None:
    StandardSAE(StandardSAEConfig(d_in=8, d_sae=16)).save_model(tmp_path)
    with pytest.raises(UserError, match=f"8 wide; the residual after a layer of its CLIP is {WIDTH} wide"):
        load(card_of(clip_folder, tmp_path))
    StandardSAE(StandardSAEConfig(d_in=16, d_sae=32)).save_model(tmp_path)
    with pytest.raises(UserError, match=f"16 wide; .* is {WIDTH} wide. If it reads the image embedding"):
        load(card_of(clip_folder, tmp_path))
    with pytest.raises(UserError, match="0 to 3, not 9"):
        load(card_of(clip_folder, sae_lens_folder, layer=9))


CLAIMS: list[tuple[dict[str, Any], str | None]] = [
    ({}, None),
    ({"layer": 1, "scope": "all", "point": "residual", "model": "another/name"}, None),
    ({"layer": -3}, None),
    ({"layer": 2}, "layer 2; the setup is for layer 1"),
    ({"layer": -1}, "layer -1; the setup is for layer 1"),
    ({"layer": 5}, "layer 5; the setup is for layer 1"),
    ({"scope": "cls"}, "CLS only; the setup is for all tokens"),
    ({"layer": 0, "hook": "blocks.1.hook_resid_pre"}, "layer 0 .“blocks.1.hook_resid_pre”.; the setup is for layer 1"),
    ({"point": "mlp", "layer": 1}, "trained on the output of an MLP; the setup is for the residual after a layer"),
    (
        {"point": "embedding", "layer": -1},
        "the image embedding and layer -1; the setup is for the residual after a layer and layer 1",
    ),
    ({"point": "hook_z", "layer": 2}, "another place in layer 2 .“hook_z”.; only the residual"),
    ({"layer": 0, "scope": "patches"}, "layer 0 and patches only; the setup is for layer 1 and all tokens"),
]


@pytest.mark.parametrize(("claims", "said"), CLAIMS, ids=lambda value: str(value) if isinstance(value, dict) else "")
def test_what_a_file_says_of_itself_is_compared_with_the_card(
    clip_folder: Path,
    sae_lens_folder: Path,
    axes: tuple[torch.Tensor, torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
    claims: dict[str, Any],
    said: str | None,
) -> None:
    reading = Reading("by hand", fitting_sae(axes), MappingProxyType(claims))
    monkeypatch.setattr("core.setups.dictionaries.trained.read_checkpoint", lambda layout, root, file: (reading,))
    card = card_of(clip_folder, sae_lens_folder)
    if said is None:
        assert load(card).formula == "by hand"
        return
    with pytest.raises(UserError, match=said):
        load(card)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def lose_a_weight(path: Path) -> None:
    weights = load_file(path)
    del weights["vision_model.encoder.layers.2.mlp.fc1.weight"]
    save_file(weights, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("part", "file", "damage"),
    [
        ("CLIP", "model.safetensors", cut),
        ("CLIP", "config.json", cut),
        ("CLIP", "tokenizer.json", cut),
        ("CLIP", "processor_config.json", cut),
        ("CLIP", "model.safetensors", lose_a_weight),
        ("CLIP", "model.safetensors", Path.unlink),
        ("dictionary", "sae_weights.safetensors", cut),
        ("dictionary", "cfg.json", cut),
        ("dictionary", "cfg.json", Path.unlink),
    ],
)
def test_damaged_and_missing_files_are_a_sentence(
    clip_folder: Path,
    sae_lens_folder: Path,
    tmp_path: Path,
    part: str,
    file: str,
    damage: Callable[[Path], None],
) -> None:
    folders = {
        name: copytree(folder, tmp_path / name)
        for name, folder in (("CLIP", clip_folder), ("dictionary", sae_lens_folder))
    }
    damage(folders[part] / file)
    with pytest.raises(UserError) as caught:
        load(card_of(folders["CLIP"], folders["dictionary"]))
    said = str(caught.value)
    assert len(said) > 40
    assert said.endswith(".")
    assert "\n" not in said
    assert "Traceback" not in said


def test_a_folder_that_is_not_there_is_trouble(clip_folder: Path, sae_lens_folder: Path, tmp_path: Path) -> None:
    for clip, dictionary in ((tmp_path / "nowhere", sae_lens_folder), (clip_folder, tmp_path / "nowhere")):
        with pytest.raises(UserError, match="nowhere"):
            load(card_of(clip, dictionary))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("MPS backend out of memory (MPS allocated: 5.1 GB)"),
        OSError(12, "Cannot allocate memory"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("where", ["core.setups.loading.read_clip", "core.setups.loading.check"])
def test_too_little_memory_is_a_sentence_with_the_size(
    clip_folder: Path, sae_lens_folder: Path, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception
) -> None:
    def fail(*arguments: object, **settings: object) -> None:
        raise error

    monkeypatch.setattr(where, fail)
    with pytest.raises(UserError, match=r"not enough memory for the setup 'tiny' \(its weights take about \d+.* kB\)"):
        load(card_of(clip_folder, sae_lens_folder))


def test_a_mistake_of_our_own_is_not_taken_for_a_damaged_file(
    clip_folder: Path, sae_lens_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(*arguments: object) -> None:
        raise KeyError("mistake")

    monkeypatch.setattr("core.setups.loading.check", mistaken)
    with pytest.raises(KeyError, match="mistake"):
        load(card_of(clip_folder, sae_lens_folder))


# ---- load, from a Hub

CLIP_REPO, SAE_REPO, SAEV_REPO = "someone/tiny-clip", "someone/tiny-sae", "someone/tiny-saev"


def test_a_setup_comes_from_the_hub_and_then_without_it(
    clip_folder: Path,
    sae_lens_folder: Path,
    saev_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sae_lens = card_of(Location(repo=CLIP_REPO), Location(repo=SAE_REPO))
    saev = card_of(Location(repo=CLIP_REPO), Location(repo=SAEV_REPO, file="plain.pt"), layout="saev")
    with serve({CLIP_REPO: clip_folder, SAE_REPO: sae_lens_folder, SAEV_REPO: saev_folder}) as hub:
        hub.attach(monkeypatch, tmp_path / "cache")
        told: list[Loading] = []
        first, second = load(sae_lens, tell=told.append), load(saev)
        assert first.commits == {"clip": hub.commit(CLIP_REPO), "dictionary": hub.commit(SAE_REPO)}
        assert second.commits == {"clip": hub.commit(CLIP_REPO), "dictionary": hub.commit(SAEV_REPO)}
        assert hub.downloads().count("model.safetensors") == 1
        downloads = [step for step in told if step.in_bytes]
        assert {step.said for step in downloads} == {f"Downloading {CLIP_REPO}", f"Downloading {SAE_REPO}"}
        assert all(step.done < step.total <= step.needs for step in downloads)

    told.clear()
    again = load(sae_lens, tell=told.append)
    assert again.commits == first.commits
    assert again.health == first.health
    assert not any(step.in_bytes for step in told)
    assert load(saev).formula == second.formula
    with pytest.raises(UserError, match="someone/else"):
        load(replace(sae_lens, dictionary=Location(repo="someone/else")))


def test_a_download_that_nobody_waits_for_ends_and_what_came_is_kept(
    clip_folder: Path, sae_lens_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = card_of(Location(repo=CLIP_REPO), Location(repo=SAE_REPO))
    with serve({CLIP_REPO: clip_folder, SAE_REPO: sae_lens_folder}) as hub:
        hub.attach(monkeypatch, tmp_path / "cache")
        pool = SetupPool({"tiny": card}, lambda setup: setup, limit_bytes=10**9)
        visitor = pool.bring("tiny")
        weights = (clip_folder / "model.safetensors").stat().st_size
        for step in visitor:
            if isinstance(step, Loading) and step.said == f"Downloading {CLIP_REPO}" and step.total > weights:
                break
        visitor.close()
        wait_for_the_end_of("loading tiny")
        before = hub.downloads()
        assert pool.loaded() == ()
        assert "sae_weights.safetensors" in before
        assert pool.get("tiny").commits["clip"] == hub.commit(CLIP_REPO)
        assert hub.downloads()[len(before) :].count("sae_weights.safetensors") == 0


@pytest.mark.parametrize("wrong", ["its config", "its weights", "its layer", "the dictionary"])
def test_nothing_large_is_downloaded_for_a_setup_that_cannot_be(
    clip_folder: Path, sae_lens_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    clip, dictionary = copytree(clip_folder, tmp_path / "clip"), copytree(sae_lens_folder, tmp_path / "sae")
    if wrong == "its config":
        (clip / "config.json").write_text('{"model_type": "siglip2"}')
    elif wrong == "its weights":
        (clip / "model.safetensors").unlink()
    elif wrong == "the dictionary":
        (dictionary / "cfg.json").unlink()
    card = card_of(Location(repo=CLIP_REPO), Location(repo=SAE_REPO), layer=7 if wrong == "its layer" else 1)
    with serve({CLIP_REPO: clip, SAE_REPO: dictionary}) as hub:
        hub.attach(monkeypatch, tmp_path / "cache")
        said = {
            "its config": f"^{CLIP_REPO} holds a SigLIP 2",
            "its weights": f"^{CLIP_REPO} .* lacks model.safetensors",
            "its layer": "4 vision layers",
            "the dictionary": f"^{SAE_REPO} .* lacks cfg.json",
        }
        with pytest.raises(UserError, match=said[wrong]):
            load(card)
        assert "config.json" in hub.downloads()
        assert not any(name.endswith(".safetensors") for name in hub.downloads())


# ---- the pool


class Toy:
    """What stands for a setup, and for what is made of it."""

    def __init__(self, name: str, n_bytes: int = 1) -> None:
        self.name, self.n_bytes = name, n_bytes
        self.circle = self  # as modules of sae_lens have


class Guided:
    """A loader that takes one step for each `go`, and remembers how its loads went."""

    def __init__(self, steps: int = 2) -> None:
        self.steps, self.go = steps, Semaphore(0)
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.fails: Exception | None = None

    def __call__(self, card: SetupSpec, *, tell: Callable[[Loading], None]) -> Any:
        self.begun.append(card.name)
        try:
            for n in range(self.steps):
                tell(Loading(f"{card.name} {n}", n, self.steps))
                assert self.go.acquire(timeout=PATIENCE)
            if self.fails is not None:
                raise self.fails
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise
        self.ended.append("loaded")
        return Toy(card.name)


def toy(card: SetupSpec, *, tell: Callable[[Loading], None]) -> Any:
    return Toy(card.name)


def cards(*names: str) -> Mapping[str, SetupSpec]:
    return {name: card_of(Path(name), Path(name), name=name) for name in names}


def same(setup: Any) -> Any:
    return setup


class Visitor:
    """Somebody who waits for a setup, in a thread."""

    def __init__(self, pool: SetupPool[Any], name: str) -> None:
        self.heard: Queue[str] = Queue()
        self.got: Any = None
        self._leaves = Event()
        self._thread = Thread(target=self._wait, args=(pool.bring(name),), daemon=True)
        self._thread.start()

    def _wait(self, steps: Iterator[Any]) -> None:
        try:
            for step in steps:
                if not isinstance(step, Loading):
                    self.got = step
                    return
                self.heard.put(step.said)
        except UserError as trouble:
            self.got = trouble

    def hears(self, said: str) -> None:
        assert self.heard.get(timeout=PATIENCE) == said

    def gets(self) -> Any:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.got


def wait_for_the_end_of(name: str) -> None:
    for thread in threads():
        if thread.name == name:
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_visitors_wait_for_the_same_load_and_all_see_it() -> None:
    loader = Guided()
    pool: SetupPool[Any] = SetupPool(cards("a"), same, limit_bytes=10, loader=loader)
    early = [Visitor(pool, "a") for _ in range(4)]
    for visitor in early:
        visitor.hears("a 0")
    late = Visitor(pool, "a")
    late.hears("a 0")  # what is going on, at once
    loader.go.release()
    for visitor in (*early, late):
        visitor.hears("a 1")
    assert pool.loaded() == ()
    assert pool.peek("a") is None
    loader.go.release()
    found = {id(visitor.gets()) for visitor in (*early, late)}
    assert len(found) == 1
    assert loader.begun == ["a"]
    assert pool.loaded() == ("a",)
    assert id(pool.get("a")) in found
    assert id(pool.peek("a")) in found
    assert list(pool.bring("a")) == [pool.get("a")]
    assert loader.begun == ["a"]


def test_a_load_ends_when_all_have_left() -> None:
    loader = Guided()
    pool: SetupPool[Any] = SetupPool(cards("a"), same, limit_bytes=10, loader=loader)
    both = [pool.bring("a"), pool.bring("a")]
    for visitor in both:
        assert isinstance(next(visitor), Loading)
    for visitor in both:
        visitor.close()
    assert loader.ended == []
    loader.go.release()
    wait_for_the_end_of("loading a")
    assert loader.ended == ["StoppedError"]
    assert pool.loaded() == ()
    loader.go.release(2)
    assert pool.get("a").name == "a"
    assert loader.begun == ["a", "a"]


def test_a_load_goes_on_while_one_stays() -> None:
    loader = Guided()
    pool: SetupPool[Any] = SetupPool(cards("a"), same, limit_bytes=10, loader=loader)
    leaving = pool.bring("a")
    next(leaving)
    staying = Visitor(pool, "a")
    staying.hears("a 0")
    leaving.close()
    loader.go.release(2)
    assert staying.gets() is pool.peek("a")
    assert loader.ended == ["loaded"]


def test_who_comes_back_in_time_finds_the_same_load() -> None:
    loader = Guided()
    pool: SetupPool[Any] = SetupPool(cards("a"), same, limit_bytes=10, loader=loader)
    first = pool.bring("a")
    next(first)
    first.close()
    back = Visitor(pool, "a")
    back.hears("a 0")
    loader.go.release(2)
    assert back.gets().name == "a"
    assert loader.begun == ["a"]


def test_who_never_begins_to_wait_is_nobody() -> None:
    loader = Guided()
    pool: SetupPool[Any] = SetupPool(cards("a"), same, limit_bytes=10, loader=loader)
    pool.bring("a").close()
    assert loader.begun == []


@pytest.mark.parametrize(
    ("error", "said"),
    [(UserError("The Hub is on holiday. Try again."), "holiday"), (KeyError("mistake"), r"'a' could not be loaded")],
)
def test_a_failure_reaches_all_and_is_not_remembered(error: Exception, said: str) -> None:
    loader = Guided(steps=1)
    loader.fails = error
    pool: SetupPool[Any] = SetupPool(cards("a"), same, limit_bytes=10, loader=loader)
    visitors = [Visitor(pool, "a") for _ in range(3)]
    for visitor in visitors:
        visitor.hears("a 0")
    loader.go.release()
    troubles = [visitor.gets() for visitor in visitors]
    assert all(isinstance(trouble, UserError) for trouble in troubles)
    assert len({str(trouble) for trouble in troubles}) == 1
    assert loader.begun == ["a"]
    loader.go.release()
    with pytest.raises(UserError, match=said):
        pool.get("a")
    loader.fails = None
    loader.go.release()
    assert pool.get("a").name == "a"
    assert loader.begun == ["a"] * 3


@pytest.mark.parametrize(
    ("error", "said"), [(UserError("The vocabulary is gone."), "vocabulary"), (OSError("disk"), "OSError")]
)
def test_what_cannot_be_made_of_a_setup_is_a_failure_too(error: Exception, said: str) -> None:
    broken = True

    def make(setup: Any) -> str:
        if broken:
            raise error
        return f"made of {setup.name}"

    pool = SetupPool(cards("a"), make, limit_bytes=10, loader=toy)
    with pytest.raises(UserError, match=said):
        pool.get("a")
    assert pool.loaded() == ()
    broken = False
    assert pool.get("a") == "made of a"


def test_a_name_that_is_not_there_is_trouble() -> None:
    pool: SetupPool[Any] = SetupPool(cards("a", "b"), same, limit_bytes=10, loader=Guided())
    with pytest.raises(UserError, match="Choose one of: a, b"):
        pool.get("c")


def test_different_setups_are_loaded_one_after_the_other() -> None:
    loader = Guided(steps=1)
    pool: SetupPool[Any] = SetupPool(cards("a", "b"), same, limit_bytes=10, loader=loader)
    one = Visitor(pool, "a")
    one.hears("a 0")
    two = Visitor(pool, "b")
    two.hears("Waiting for another setup to load")
    assert loader.begun == ["a"]
    loader.go.release()
    assert one.gets().name == "a"
    two.hears("b 0")
    loader.go.release()
    assert two.gets().name == "b"
    assert loader.begun == ["a", "b"]


def test_who_leaves_while_waiting_for_a_turn_begins_nothing() -> None:
    loader = Guided(steps=1)
    pool: SetupPool[Any] = SetupPool(cards("a", "b"), same, limit_bytes=10, loader=loader)
    one = Visitor(pool, "a")
    one.hears("a 0")
    two = pool.bring("b")
    assert next(two).said.startswith("Waiting")
    two.close()
    loader.go.release()
    assert one.gets().name == "a"
    wait_for_the_end_of("loading b")
    assert loader.ended in (["loaded"], ["loaded", "StoppedError"])
    assert pool.loaded() == ("a",)


# Memory


def sized(sizes: Mapping[str, int], told: bool = True) -> Callable[..., Any]:
    """A loader of setups of these sizes, which it may tell beforehand."""

    def loader(card: SetupSpec, *, tell: Callable[[Loading], None]) -> Any:
        if told:
            tell(Loading("Reading", needs=sizes[card.name]))
        return Toy(card.name, sizes[card.name])

    return loader


def test_what_was_not_used_for_longest_leaves_and_what_is_pinned_stays() -> None:
    sizes = {"pin": 1, "a": 1, "b": 1, "c": 1, "wide": 2}
    pool: SetupPool[Any] = SetupPool(cards(*sizes), same, limit_bytes=4, pinned={"pin"}, loader=sized(sizes))
    for name in ("pin", "a", "b", "c"):
        pool.get(name)
    assert pool.loaded() == ("pin", "a", "b", "c")
    pool.get("a")
    pool.peek("b")  # is no use
    pool.get("wide")
    assert pool.loaded() == ("pin", "a", "wide")
    pool.get("b")
    assert pool.loaded() == ("pin", "wide", "b")


def test_others_leave_for_what_has_grown() -> None:
    sizes, more = {"pin": 1, "a": 1, "b": 1, "c": 1}, dict.fromkeys("abc", 0)
    pool: SetupPool[Any] = SetupPool(
        cards(*sizes), same, limit_bytes=4, pinned={"pin"}, loader=sized(sizes), grown=lambda toy: more.get(toy.name, 0)
    )
    for name in sizes:
        pool.get(name)
    pool.make_room("a")
    assert pool.loaded() == ("pin", "a", "b", "c"), "all as large as before"
    more["a"] = 1
    pool.make_room("lost")
    pool.make_room("a")
    assert pool.loaded() == ("pin", "a", "c"), "though it was used longest ago"
    pool.get("b")
    assert pool.loaded() == ("pin", "c", "b"), "it counts as large as it is"
    more["c"] = 9
    pool.make_room("c")
    assert pool.loaded() == ("pin", "c"), "it stays, however large"


@patch("core.setups.pool.gc.collect", lambda: 0)  # it takes longer than all the rest
@given(
    sizes=st.lists(st.integers(1, 6), min_size=4, max_size=4),
    limit=st.integers(3, 12),
    asked=st.lists(st.integers(0, 3), max_size=12),
    honest=st.booleans(),
)
def test_the_pool_is_like_a_list_in_order_of_use(sizes: list[int], limit: int, asked: list[int], honest: bool) -> None:
    names = ["a", "b", "c", "d"]
    by_name = dict(zip(names, sizes, strict=True))
    # whether the size is known beforehand makes no difference to what stays
    loader = sized(by_name, honest)
    pool: SetupPool[Any] = SetupPool(cards(*names), same, limit_bytes=limit, pinned={"a"}, loader=loader)
    kept: list[str] = []
    for name in (names[index] for index in asked):
        if name in kept:
            kept = [one for one in kept if one != name] + [name]
        elif name != "a" and by_name[name] > limit - by_name["a"] * ("a" in kept):
            with pytest.raises(UserError, match=f"'{name}' takes {by_name[name]} bytes of memory; .* {limit} bytes"):
                pool.get(name)
            continue
        else:
            for old in [one for one in kept if one != "a"]:
                if sum(by_name[one] for one in (*kept, name)) > limit:
                    kept.remove(old)
            kept.append(name)
        assert pool.get(name) is pool.peek(name)
        assert pool.loaded() == tuple(kept)


def test_room_is_made_before_reading_but_not_before_downloading() -> None:
    seen = {}

    def loader(card: SetupSpec, *, tell: Callable[[Loading], None]) -> Any:
        tell(Loading("Downloading", 1, 2, in_bytes=True, needs=3))
        seen["downloading"] = pool.loaded()
        tell(Loading("Reading", needs=3))
        seen["reading"] = pool.loaded()
        return Toy(card.name, 3)

    pool: SetupPool[Any] = SetupPool(cards("a", "b"), same, limit_bytes=4, loader=loader)
    pool.get("a")
    pool.get("b")
    assert seen == {"downloading": ("a",), "reading": ()}


@pytest.mark.parametrize("when", ["downloading", "reading", "loaded"])
def test_a_setup_too_large_for_the_pool_is_refused_and_nothing_leaves_for_it(when: str) -> None:
    reached = []

    def loader(card: SetupSpec, *, tell: Callable[[Loading], None]) -> Any:
        if card.name == "large":
            tell(Loading("Downloading", 1, 2, in_bytes=True, needs=2_500_000 if when == "downloading" else 1))
            reached.append("reading")
            tell(Loading("Reading", needs=2_500_000 if when == "reading" else 1))
            reached.append("loaded")
            return Toy(card.name, 2_500_000)
        return Toy(card.name, 1_000_000)

    pool: SetupPool[Any] = SetupPool(cards("pin", "large"), same, limit_bytes=3_000_000, pinned={"pin"}, loader=loader)
    pool.get("pin")
    with pytest.raises(
        UserError, match="'large' takes 2.5 MB .* 3.0 MB for setups, of which 1.0 MB are taken for good"
    ):
        pool.get("large")
    assert reached == ["reading", "loaded"][: ["downloading", "reading", "loaded"].index(when)]
    assert pool.loaded() == ("pin",)


def test_a_pinned_setup_comes_whatever_the_limit() -> None:
    sizes = {"pin": 9, "a": 1}
    pool: SetupPool[Any] = SetupPool(cards(*sizes), same, limit_bytes=4, pinned={"pin"}, loader=sized(sizes))
    pool.get("a")
    pool.get("pin")
    assert pool.loaded() == ("pin",)
    with pytest.raises(UserError, match="taken for good"):
        pool.get("a")


def test_what_left_is_gone_once_nobody_uses_it() -> None:
    sizes = {"a": 2, "b": 2, "c": 2}
    pool: SetupPool[Any] = SetupPool(cards(*sizes), same, limit_bytes=3, loader=sized(sizes))
    gone = weakref.ref(pool.get("a"))
    wait_for_the_end_of("loading a")
    in_use = pool.get("b")
    assert gone() is None  # although it refers to itself
    wait_for_the_end_of("loading b")
    pool.get("c")
    assert pool.loaded() == ("c",)
    assert in_use.name == "b"
    still = weakref.ref(in_use)
    del in_use
    gc.collect()
    assert still() is None


def test_real_weights_are_gone_too(clip_folder: Path, sae_lens_folder: Path) -> None:
    two = {name: card_of(clip_folder, sae_lens_folder, name=name) for name in ("one", "other")}
    size = load(two["one"]).n_bytes
    pool = SetupPool(two, lambda setup: [setup], limit_bytes=int(1.5 * size))
    setup = pool.get("one")[0]
    gone = [weakref.ref(weight) for weight in (setup.clip.model.logit_scale, setup.dictionary.sae.W_dec)]
    del setup
    pool.get("other")
    assert pool.loaded() == ("other",)
    assert [ref() for ref in gone] == [None, None]


@patch("core.setups.pool.gc.collect", lambda: 0)
def test_many_visitors_at_once_never_exceed_the_limit() -> None:
    sizes = {"pin": 1, "a": 2, "b": 3, "c": 1, "d": 2}
    limit, guard, now, worst = 6, Lock(), [0], [0, 0]

    def loader(card: SetupSpec, *, tell: Callable[[Loading], None]) -> Any:
        with guard:
            now[0] += 1
            worst[0] = max(worst[0], now[0])
        for n in range(3):
            tell(Loading("Reading", n, 3, needs=sizes[card.name]))
        worst[1] = max(worst[1], sizes[card.name] + sum(sizes[name] for name in pool.loaded()))
        with guard:
            now[0] -= 1
        return Toy(card.name, sizes[card.name])

    pool: SetupPool[Any] = SetupPool(cards(*sizes), same, limit_bytes=limit, pinned={"pin"}, loader=loader)
    together, wrong = Barrier(6), []

    def visit(start: int) -> None:
        together.wait(PATIENCE)
        names = list(sizes)
        for n in range(20):
            name = names[(start + n * (start + 1)) % len(names)]
            if pool.get(name).name != name:
                wrong.append(name)

    visitors = [Thread(target=visit, args=(n,), daemon=True) for n in range(6)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(PATIENCE)
    assert not any(visitor.is_alive() for visitor in visitors)
    assert wrong == []
    assert worst[0] == 1
    assert worst[1] <= limit


def test_the_pool_serves_real_setups() -> None:
    bundled = {"bundled": read_catalog()["bundled"]}
    pool: SetupPool[tuple[str, Setup]] = SetupPool(
        bundled, lambda setup: ("made", setup), limit_bytes=1, pinned={"bundled"}, loader=load
    )
    *steps, made = pool.bring("bundled")
    assert all(isinstance(step, Loading) for step in steps)
    assert isinstance(made, tuple)
    assert made[0] == "made"
    assert isinstance(made[1].dictionary, Dictionary)
