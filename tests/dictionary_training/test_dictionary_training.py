"""A dictionary trained on residuals of known make-up finds it; stops, processes and a small memory change nothing."""

import json
import multiprocessing
import os
import signal
import socket
import time
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from core.dictionary_training import trainer as module
from core.dictionary_training.__main__ import main, write_catalog
from core.dictionary_training.buffer import Ring
from core.dictionary_training.recipe import DictionaryRecipe
from core.dictionary_training.trainer import Trained, calibrate_threshold, train_dictionary
from core.errors import UserError
from core.model.clip import SplitClip
from core.model.places import AtPlace, ImageEmbedding, ResidualStream
from core.model.sae_dictionary import SaeDictionary
from core.pictures.collection import Collection
from core.pictures.options import CollectionOptions
from core.setups.catalog import Location, read_catalog
from core.setups.clips import read_clip
from core.setups.loading import load

WIDTH, ATOMS, PICTURES = 16, 24, 200


class Numbers(Collection):
    """Pictures that show nothing but their number. Some cannot be read, and from a place on none ever comes."""

    size: int

    def __init__(self, size: int = PICTURES, part: int = 32, damaged: tuple[int, ...] = (), stuck: int = 10**9) -> None:
        self.size, self.n_parts = size, -(-size // part)
        self.manifest = {"kind": "test", "name": "numbers", "pictures": str(size)}
        self._part, self._damaged, self._stuck = part, damaged, stuck
        self._given = 0

    def entries(self, number: int, start: int = 0) -> Iterator[int]:
        yield from range(number * self._part + start, min(self.size, (number + 1) * self._part))

    def picture(self, entry: int) -> Image.Image:
        self._given += 1
        while self._given > self._stuck:
            time.sleep(1)
        if entry in self._damaged:
            raise UserError("It is damaged.")
        return Image.new("RGB", (1, 1), (entry // 256, entry % 256, 0))


class Planted:
    """A stand-in for a CLIP whose residuals are known: for picture n, row n of [200, 5, 16]."""

    place, n_layers = ResidualStream(2), 6
    width, n_tokens, has_class_token = WIDTH, 5, True

    def __init__(self, residuals: torch.Tensor) -> None:
        self._residuals = residuals
        self.model = SimpleNamespace(vision_model=torch.nn.Linear(1, 1, bias=False))
        torch.nn.init.ones_(self.model.vision_model.weight)

    def crop(self, picture: Image.Image) -> np.ndarray:
        return np.asarray(picture)

    def pixels(self, crops: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(crops[:, 0, 0, 0].astype(np.int64) * 256 + crops[:, 0, 0, 1])

    def read(self, numbers: torch.Tensor) -> AtPlace:
        return AtPlace(self._residuals[numbers], self._residuals[numbers])


def planted_residuals() -> torch.Tensor:
    """Sums of two of 24 directions plus a constant, [200, 5, 16]."""
    rng = np.random.default_rng(0)
    atoms = rng.normal(size=(ATOMS, WIDTH))
    x = np.full((PICTURES, 5, WIDTH), 0.5)
    for picture in range(PICTURES):
        for token in range(5):
            for atom in rng.choice(ATOMS, 2, replace=False):
                x[picture, token] += rng.uniform(2, 4) * atoms[atom]
    return torch.tensor(x, dtype=torch.float32)


@pytest.fixture(scope="module")
def residuals() -> torch.Tensor:
    return planted_residuals()


@pytest.fixture(scope="module")
def planted(residuals: torch.Tensor) -> Any:
    return Planted(residuals)


def small(**changes: Any) -> DictionaryRecipe:
    recipe = DictionaryRecipe(levels=(12, 48), k=3, samples=64_000, batch=256, learning_rate=3e-3)
    return replace(recipe, **changes)


def short(**changes: Any) -> DictionaryRecipe:
    return small(**{"samples": 5_120, "batch": 128, "buffer": 64} | changes)


# ---- what is learned


@pytest.fixture(scope="module")
def learned(planted: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    """A dictionary with levels, trained on everything; its folder, and how that ended."""
    folder = tmp_path_factory.mktemp("learned")
    return folder, train_dictionary(planted, "all", Numbers(), small(), folder)


def left(residuals: torch.Tensor, x_hat: torch.Tensor) -> float:
    """The share of the variance that a reconstruction misses."""
    spread = (residuals - residuals.mean(tuple(range(residuals.ndim - 1)))).square().sum()
    return ((residuals - x_hat).square().sum() / spread).item()


def test_it_learns_and_saves_what_the_project_loads(learned: tuple[Path, Trained], residuals: torch.Tensor) -> None:
    folder, trained = learned
    dictionary = SaeDictionary.from_folder(folder, "all")
    assert (dictionary.width, dictionary.n_components) == (WIDTH, 48)
    missed = left(residuals, dictionary.reconstruct(residuals))
    assert missed < 0.25
    active = (dictionary.encode(residuals) != 0).sum(-1).float()
    assert active.mean() == pytest.approx(3, rel=0.05)  # the threshold is calibrated
    assert trained.active_per_token == pytest.approx(3, rel=0.02)
    assert trained.explained_variance == pytest.approx(1 - missed, abs=0.03)
    assert (trained.pictures, trained.skipped) == (PICTURES, 0)


def test_what_is_saved_says_what_it_is(learned: tuple[Path, Trained]) -> None:
    folder, _ = learned
    assert sorted(path.name for path in folder.iterdir()) == ["cfg.json", "sae_weights.safetensors"]
    saved = json.loads((folder / "cfg.json").read_text())
    assert saved["architecture"] == "jumprelu"
    assert saved["dtype"] == "float16"
    assert saved["device"] == "cpu"
    assert saved["metadata"]["hook_name"] == "blocks.2.hook_resid_post"
    assert saved["metadata"]["dataset_path"] == "numbers"
    assert saved["metadata"]["training_architecture"] == "matryoshka_batchtopk"


@pytest.mark.parametrize(("scope", "levels"), [("cls", (48,)), ("patches", (12, 48))])
def test_tokens_out_of_scope_are_not_learned(scope: Any, levels: tuple[int, ...], tmp_path: Path) -> None:
    """Where only some of the tokens hold the planted directions, the others being noise."""
    x = planted_residuals()
    noise = 100 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    inside = slice(0, 1) if scope == "cls" else slice(1, None)
    noise[:, inside] = x[:, inside]
    recipe = small(levels=levels, samples=32_000, full_precision=True)
    trained = train_dictionary(Planted(noise), scope, Numbers(), recipe, tmp_path)  # type: ignore[arg-type]
    dictionary = SaeDictionary.from_folder(tmp_path, scope)
    assert left(x[:, inside], dictionary.reconstruct(noise)[:, inside]) < 0.35
    active = (dictionary.encode(noise)[:, inside] != 0).sum(-1).float()
    assert active.mean() == pytest.approx(3, rel=0.05)
    assert trained.explained_variance > 0.65
    assert load_file(tmp_path / "sae_weights.safetensors")["W_dec"].dtype == torch.float32


def test_the_first_components_reconstruct_alone(
    learned: tuple[Path, Trained], planted: Any, residuals: torch.Tensor, tmp_path: Path
) -> None:
    """Of two dictionaries of the same size, the one with levels holds more in its first components."""

    def missed_by_the_first(folder: Path) -> float:
        dictionary = SaeDictionary.from_folder(folder, "all")
        f = dictionary.encode(residuals)[..., :12]
        return left(residuals, f @ dictionary.directions(np.arange(12)) + dictionary.bias_at(residuals))

    train_dictionary(planted, "all", Numbers(), small(levels=(48,)), tmp_path)
    assert json.loads((tmp_path / "cfg.json").read_text())["metadata"]["training_architecture"] == "batchtopk"
    assert missed_by_the_first(learned[0]) < missed_by_the_first(tmp_path) - 0.1


def test_the_threshold_lets_k_of_all_activations_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """As sorting all of them at once gives it, in blocks of any size."""
    torch.manual_seed(0)
    tokens = torch.randn(50, WIDTH)
    for numbers in (1, 3 * 48, 1 << 20):
        monkeypatch.setattr(module, "CHUNK", numbers)
        sae = module.new_sae(SimpleNamespace(width=WIDTH), small(), "cpu")  # type: ignore[arg-type]
        calibrate_threshold(sae, tokens, 3)
        _, before = sae.encode_with_hidden_pre(tokens)
        assert sae.topk_threshold.item() == before.flatten().sort(descending=True).values[3 * 50 - 1].item()


# ---- what is held and drawn


def test_class_tokens_are_drawn_as_often_as_asked() -> None:
    marked = torch.zeros(PICTURES, 5, WIDTH)
    marked[:, 0] = 1  # class tokens
    ring = Ring(Planted(marked), "all", Numbers(), 50)  # type: ignore[arg-type]
    ring.fill()
    drawn = ring.draw(1_000, 0.3, torch.Generator().manual_seed(1))
    assert drawn.shape == (1_000, WIDTH)
    assert (drawn[:, 0] == 1).sum() == 300


def test_the_same_seed_draws_the_same_tokens(planted: Any) -> None:
    ring = Ring(planted, "patches", Numbers(), PICTURES)
    ring.fill()
    once, again, other = (ring.draw(64, 0.5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@settings(max_examples=40)
@given(
    capacity=st.integers(1, 60),
    size=st.integers(1, 50),
    part=st.integers(1, 20),
    damaged=st.sets(st.integers(0, 49), max_size=10),
    steps=st.lists(st.integers(0, 150), max_size=3),
)
def test_a_ring_holds_the_pictures_read_last_and_is_made_again_from_a_few_numbers(
    capacity: int, size: int, part: int, damaged: set[int], steps: list[int]
) -> None:
    marked = torch.arange(PICTURES, dtype=torch.float32)[:, None, None].expand(PICTURES, 5, WIDTH)
    readable = [number for number in range(size) if number not in damaged]

    def ring() -> Ring:
        return Ring(Planted(marked), "cls", Numbers(size, part, tuple(damaged)), capacity)  # type: ignore[arg-type]

    def read_on(one: Ring) -> None:
        one.fill()
        one.renew(1)

    one = ring()
    if not readable:
        with pytest.raises(UserError, match="None of"):
            read_on(one)
        return
    one.fill()
    assert len(one.held) == min(capacity, len(readable)) or one.read >= capacity
    for until in sorted(steps):
        one.renew(until)
        assert one.read >= until
    last = [readable[index % len(readable)] for index in range(one.read - len(one.held), one.read)]
    assert sorted(one.held[:, 0, 0].tolist()) == sorted(map(float, last))
    other = ring()
    other.restore(one.state())
    assert torch.equal(other.held, one.held)
    assert other.state() == one.state()
    until = one.read + 7
    for each in (one, other):
        each.renew(until)
    assert torch.equal(other.held, one.held)


def test_a_collection_beyond_the_ring_is_read_once(planted: Any, tmp_path: Path) -> None:
    numbers = Numbers(damaged=(5, 77))
    trained = train_dictionary(planted, "all", numbers, short(), tmp_path)
    assert numbers._given <= PICTURES + 64
    assert trained.pictures >= PICTURES - 64
    assert trained.skipped == 2


def test_what_takes_more_than_the_memory_is_trouble(planted: Any) -> None:
    with pytest.raises(UserError, match="--buffer"):
        Ring(planted, "all", Numbers(), 10**12)


def test_residuals_beyond_half_precision_are_trouble() -> None:
    ring = Ring(Planted(torch.full((PICTURES, 5, WIDTH), 1e6)), "all", Numbers(), 10)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="beyond half precision"):
        ring.fill()


@pytest.mark.parametrize(
    "changes",
    [
        *({"levels": ()}, {"levels": (8, 8)}, {"k": 0}, {"k": 49}, {"samples": 100}, {"batch": 0}, {"buffer": 0}),
        *({"class_token_share": 2.0}, {"learning_rate": 0.0}, {"dead_after": 0}),
    ],
)
def test_a_recipe_that_nothing_can_be_trained_with_is_trouble(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        small(**changes)


def test_processes_that_cannot_share_are_trouble(planted: Any, tmp_path: Path) -> None:
    three = SimpleNamespace(process_index=0, num_processes=3)
    with pytest.raises(UserError, match="multiple"):
        train_dictionary(planted, "all", Numbers(), small(), tmp_path, accelerator=three)
    with pytest.raises(UserError, match="every 0 steps"):
        train_dictionary(planted, "all", Numbers(), small(), tmp_path, checkpoint_every=0)
    with pytest.raises(UserError, match="fewer processes"):
        train_dictionary(planted, "all", Numbers(20), small(batch=300), tmp_path, accelerator=three)


# ---- stops, and processes


def train_in_a_process(folder: Path, stuck: int, environment: dict[str, str], recipe: DictionaryRecipe) -> None:
    """What a child does. It says with which weights it ended."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    saved: list[Any] = []
    real = module.calibrate_threshold

    def watched(sae: Any, tokens: torch.Tensor, k: int) -> None:
        real(sae, tokens, k)
        saved.append({name: tensor.clone() for name, tensor in sae.state_dict().items()})

    module.calibrate_threshold = watched
    clip: Any = Planted(planted_residuals())
    train_dictionary(clip, "all", Numbers(stuck=stuck), recipe, folder, checkpoint_every=10)
    torch.save(saved[0], folder.with_name(f"{folder.name}-{environment.get('RANK', 0)}"))


@pytest.fixture(scope="module")
def processes() -> Any:
    """Processes that start quickly: what they need is imported once, by one that they are forked from."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["core.dictionary_training.trainer"])
    return context


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "sae_weights.safetensors")


def test_a_training_that_is_killed_and_taken_up_makes_the_same_dictionary(
    processes: Any, planted: Any, tmp_path: Path
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train_dictionary(planted, "all", Numbers(), short(), whole)
    child = processes.Process(target=train_in_a_process, args=(killed, 150, {}, short()))  # hangs while it renews
    child.start()
    checkpoints = killed / "checkpoints"
    while not list(checkpoints.glob("step-*[0-9]")) and child.is_alive():
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    (checkpoints / "step-000000039.new").mkdir()  # one that was not written to its end
    assert child.exitcode == -signal.SIGKILL
    assert not (killed / "cfg.json").exists()

    with pytest.raises(UserError, match="k 3 and not 4"):
        train_dictionary(planted, "all", Numbers(), short(k=4), killed)
    other = Numbers()
    other.manifest = {**other.manifest, "name": "others"}
    with pytest.raises(UserError, match="pictures' name"):
        train_dictionary(planted, "all", other, short(), killed)

    seen: list[int] = []
    real = module.DistributedTrainer.train_step

    def train_step(self: Any, batch: Any) -> Any:
        seen.append(self.n_training_steps)
        return real(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.DistributedTrainer, "train_step", train_step)
        train_dictionary(planted, "all", Numbers(), short(), killed)
    assert seen[0] % 10 == 0
    assert seen[0] > 0
    assert seen[-1] == 39
    assert all(torch.equal(weights(killed)[name], value) for name, value in weights(whole).items())
    assert not checkpoints.exists()
    torch.set_num_threads(threads)


def stop_after_ten_steps(planted: Any, folder: Path) -> Path:
    """A checkpoint."""
    real = module.DistributedTrainer.train_step

    def stopped(self: Any, batch: torch.Tensor) -> Any:
        if self.n_training_steps == 10:
            raise KeyboardInterrupt
        return real(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.DistributedTrainer, "train_step", stopped)
        with pytest.raises(KeyboardInterrupt):
            train_dictionary(planted, "all", Numbers(), short(), folder, checkpoint_every=10)
    return folder / "checkpoints" / "step-000000010"


class Evil:
    """What runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return (os.mkdir, (os.environ["EVIL_FOLDER"],))


def test_a_damaged_checkpoint_is_trouble_and_none_is_unpickled(
    planted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = stop_after_ten_steps(planted, tmp_path / "out")
    monkeypatch.setenv("EVIL_FOLDER", str(tmp_path / "evil"))
    torch.save({"optimizer": Evil()}, checkpoint / "trainer_state.pt")
    with pytest.raises(UserError, match="damaged"):
        train_dictionary(planted, "all", Numbers(), short(), tmp_path / "out")
    assert not (tmp_path / "evil").exists()
    (checkpoint / "settings.json").unlink()
    with pytest.raises(UserError, match="damaged"):
        train_dictionary(planted, "all", Numbers(), short(), tmp_path / "out")


def test_two_processes_end_with_the_same_weights(processes: Any, residuals: torch.Tensor, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    recipe = small(samples=25_600, batch=256, full_precision=True, dead_after=5)
    children = []
    for rank in range(2):
        environment = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        arguments = (tmp_path / "two", 10**9, environment | {"MASTER_PORT": str(port)}, recipe)
        children.append(processes.Process(target=train_in_a_process, args=arguments))
        children[-1].start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    first, second = (torch.load(tmp_path / f"two-{rank}", weights_only=True) for rank in range(2))
    assert all(torch.equal(first[name], second[name]) for name in ("W_enc", "W_dec", "b_enc", "b_dec"))
    assert torch.equal(first["topk_threshold"], second["topk_threshold"])  # calibrated by the tokens of both
    unit = first["W_dec"] / first["W_dec"].norm(dim=1, keepdim=True)  # as sae_lens saves it
    torch.testing.assert_close(weights(tmp_path / "two")["W_dec"], unit)
    dictionary = SaeDictionary.from_folder(tmp_path / "two", "all")
    assert left(residuals, dictionary.reconstruct(residuals)) < 0.35
    assert (dictionary.encode(residuals) != 0).sum(-1).float().mean() == pytest.approx(3, rel=0.05)


# ---- the command


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of blurred noise."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number in range(150):
        blocks = Image.fromarray(rng.integers(0, 255, (4, 4, 3), dtype=np.uint8))
        blocks.resize((40, 36)).save(folder / f"{number:03d}.png")
    return folder


def words(clip_folder: Path, pictures: Path, out: Path, *more: str) -> list[str]:
    return [
        *("--clip", str(clip_folder), "--layer", "1", "--pictures", str(pictures), "--out", str(out)),
        *("--levels", "24", "96", "--k", "8", "--samples", "25600", "--batch", "128", "--learning-rate", "0.005"),
        *("--buffer", "100", "--workers", "2", *more),
    ]


def test_the_command_trains_on_the_image_embedding_too(
    clip_folder: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which has no layer: without one, of another place, nothing is begun."""
    asked = [word for word in words(clip_folder, pictures, tmp_path / "mine") if word not in ("--layer", "1")]
    with pytest.raises(SystemExit, match="Name the layer by --layer"):
        main(asked)
    main([*asked, "--place", "embedding", "--samples", "40960"])
    capsys.readouterr()
    (card,) = read_catalog(tmp_path / "mine" / "catalog.toml").values()
    assert (card.at, card.scope) == (ImageEmbedding(), "cls")
    assert load(card, anyway=True).dictionary.width == 16


def test_the_command_makes_a_setup_that_loads(
    clip_folder: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "damaged.png").write_bytes(b"no picture")
    out = tmp_path / "mine"
    main(words(clip_folder, pictures, out))
    said = capsys.readouterr().out
    assert "On 18 photographs the components hold" in said
    assert "Explained variance" in said
    assert f"app.py --catalog {out / 'catalog.toml'} --setup mine" in said
    (card,) = read_catalog(out / "catalog.toml").values()
    assert (card.name, card.layer, card.scope, card.clip.folder) == ("mine", 1, "all", clip_folder.resolve())
    assert pictures.name in card.note
    assert "96 components" in card.note
    setup = load(card)
    assert setup.dictionary.n_components == 96
    assert setup.health is not None
    assert setup.health.explained_variance > 0.5
    # The dictionary itself says where it belongs.
    text = (out / "catalog.toml").read_text().replace("layer = 1", "layer = 2")
    (out / "catalog.toml").write_text(text)
    with pytest.raises(UserError, match="layer 1"):
        load(read_catalog(out / "catalog.toml")["mine"])

    with pytest.raises(SystemExit, match="a dictionary already"):
        main(words(clip_folder, pictures, out))


def test_a_bad_dictionary_is_said_to_be_one(clip_folder: Path, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="is refused. .* stays in"):
        main(words(clip_folder, pictures, tmp_path / "bad", "--k", "1", "--samples", "2000", "--learning-rate", "1e-6"))
    assert (tmp_path / "bad" / "cfg.json").exists()


def test_stopped_by_hand_it_says_how_to_go_on(
    clip_folder: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.DistributedTrainer.train_step

    def stopped(self: Any, batch: torch.Tensor) -> Any:
        if self.n_training_steps == 25:
            raise KeyboardInterrupt
        return real(self, batch)

    monkeypatch.setattr(module.DistributedTrainer, "train_step", stopped)
    with pytest.raises(SystemExit, match="go on from step 20"):
        main(words(clip_folder, pictures, tmp_path, "--checkpoint-every", "10"))
    with pytest.raises(SystemExit, match="other settings"):
        main(words(clip_folder, pictures, tmp_path, "--scope", "cls"))


def test_what_cannot_be_is_one_sentence(clip_folder: Path, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="vision layers"):
        main(words(clip_folder, pictures, tmp_path, "--layer", "9"))
    with pytest.raises(SystemExit, match="no folder"):
        main(words(clip_folder, tmp_path / "nowhere", tmp_path))
    with pytest.raises(SystemExit, match="levels"):
        main(words(clip_folder, pictures, tmp_path, "--levels", "8", "4"))


def test_of_a_data_set_the_number_of_pictures_is_asked_for(clip_folder: Path, pictures: Path, tmp_path: Path) -> None:
    files = sorted(pictures.glob("0*.png"))
    rows = {"seen": [{"bytes": file.read_bytes(), "path": None} for file in files]}
    features = datasets.Features({"seen": datasets.Image()})
    (tmp_path / "data").mkdir()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "data" / "train.parquet", batch_size=16)
    with pytest.raises(SystemExit, match="--limit"):
        main(words(clip_folder, tmp_path / "data", tmp_path / "out"))
    clip = read_clip(clip_folder, ResidualStream(3))
    streamed = CollectionOptions(str(tmp_path / "data"), limit=100).open()
    trained = train_dictionary(clip, "patches", streamed, short(), tmp_path / "out", workers=2)
    assert 90 <= trained.pictures - trained.skipped <= 132  # all of them about once
    assert trained.explained_variance > 0.2
    assert trained.active_per_token == pytest.approx(3, rel=0.05)
    settings = json.loads((tmp_path / "out" / "cfg.json").read_text())
    assert settings["metadata"]["dataset_path"] == "data"


def test_a_catalog_entry_holds_any_name(tmp_path: Path) -> None:
    place = Location(repo="openai/clip-vit-base-patch32", revision="0" * 40)
    folder = tmp_path / 'a "quoted" \\ n\x7fäme'
    folder.mkdir()
    catalog = write_catalog(folder, place, ResidualStream(9), "cls", DictionaryRecipe(), 'pictures of "x"\n')
    table = tomllib.loads(catalog.read_text(encoding="utf-8"))["setup"][0]
    assert table["name"] == folder.name
    assert '"x"' in table["note"]
    (card,) = read_catalog(catalog).values()
    assert card.clip == place
    assert card.dictionary.folder == folder / "."
    assert card.scope == "cls"


def test_without_cuda_it_trains_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert module.new_accelerator().device.type == "cpu"


def test_a_split_clip_is_what_it_takes(clip: SplitClip) -> None:
    """The stand-in above has what is asked of a CLIP, in the same form."""
    crops = np.stack([clip.crop(Image.new("RGB", (9, 7)))])
    ring_of = clip.residual(clip.pixels(crops))
    assert ring_of.shape == (1, 1 + clip.grid[0] * clip.grid[1], clip.width)
