"""The concept index against a slow, dense derivation; runs that were stopped; several processes."""

import json
import os
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import COMPONENTS, tiny_sae
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from streamed import Drawn, at_a_time, in_a_process, killed_at
from tiny_setups import RECIPE, WORDS, setup_of

from core.concepts.index import ActivatingExamples, ConceptIndex
from core.concepts.index_file import INDEX_FILES, MANIFEST, load
from core.errors import UserError
from core.indexing import __main__ as command
from core.indexing import build as indexing
from core.indexing import build_in_steps
from core.indexing.__main__ import main
from core.indexing.accumulator import EDGES, Accumulator, TopK
from core.indexing.build import build
from core.indexing.firing import batch_activations
from core.indexing.summarise import alignment, clarity
from core.indexing.thumbnails import ThumbnailStore
from core.model.clip import SplitClip
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary
from core.model.scope import Scope
from core.pictures.collection import Collection
from core.setups.identity import identity
from core.setups.loading import Setup
from core.streaming import WORK, processes

pytestmark = pytest.mark.usefixtures("one_thread")

SCOPES = ("all", "cls", "patches")


@pytest.fixture(scope="module")
def setup(clip: SplitClip) -> Setup:
    return setup_of(clip)


@pytest.fixture(scope="module")
def undisturbed(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> ConceptIndex:
    """What every run over the drawn pictures should end with."""
    return build(setup, Drawn(), tmp_path_factory.mktemp("index") / "new", RECIPE, quiet=True)


# ---- the numbers


@dataclass
class Dense:
    """Everything at once: what a run never has."""

    ids: np.ndarray
    crops: list[np.ndarray]
    f: np.ndarray
    """float32 [N, T, m]: activations of all tokens, 0 where not above 0."""
    z: np.ndarray
    """float32 [N, p]: unit embeddings."""


def dense(setup: Setup, collection: Collection, batch: int) -> Dense:
    ids, crops, fs, zs = [], [], [], []
    for number in range(collection.n_parts):
        pieces = list(collection.part(number))
        for start in range(0, len(pieces), batch):
            good = [(piece.id, piece.picture) for piece in pieces[start : start + batch] if piece.picture is not None]
            seen = [setup.clip.crop(picture) for _, picture in good]
            x = setup.clip.residual(setup.clip.pixels(np.stack(seen)))
            ids += [piece_id for piece_id, _ in good]
            crops += seen
            fs.append(setup.dictionary.encode(x).clamp(min=0))
            zs.append(torch.nn.functional.normalize(setup.clip.embed_from_residual(x), dim=-1))
    return Dense(np.array(ids), crops, torch.cat(fs).numpy(), torch.cat(zs).numpy())


def check_list(
    index: ConceptIndex, found: ActivatingExamples, d: Dense, ids: np.ndarray, want: list[list[int]]
) -> None:
    """The pictures (rows of `d`) of every component, and what is said of each."""
    for j, rows in enumerate(want):
        places = found.picture[j]
        assert (places[len(rows) :] == -1).all()
        assert (found.value[j, len(rows) :] == 0).all()
        assert ids[places[: len(rows)]].tolist() == d.ids[rows].tolist()
        for place, row in enumerate(rows):
            f = d.f[row, :, j]
            assert found.token[j, place] == f.argmax()
            region = found.region(j, place, index.manifest.grid).ravel()
            assert np.array_equal(region > 0, f[1:] > 0)
            assert np.allclose(region, f[1:] / f.max(), atol=1 / 255)


@pytest.mark.parametrize(
    ("architecture", "scope"),
    [*(("topk", scope) for scope in SCOPES), ("jumprelu", "all"), ("signed_topk", "all"), ("abstopk", "patches")],
)
def test_every_number_of_the_index(clip: SplitClip, tmp_path: Path, architecture: str, scope: Scope) -> None:
    setup = setup_of(clip, architecture, scope)
    index = build(setup, Drawn(), tmp_path, RECIPE, quiet=True)
    d = dense(setup, Drawn(), RECIPE.batch)
    m, n_scope = COMPONENTS, {"all": 17, "cls": 1, "patches": 16}[scope]
    peaks, fires = d.f.max(1), d.f > 0  # [N, m], [N, T, m]

    assert (index.manifest.pictures, index.manifest.skipped) == (len(d.ids), sum(i % 7 == 3 for i in range(37)))
    assert index.manifest.tokens == n_scope * len(d.ids)
    assert index.manifest.setup == identity(setup.card, {}, clip, setup.dictionary)
    assert index.active_pictures.tolist() == fires.any(1).sum(0).tolist()
    assert index.active_tokens.tolist() == fires.sum((0, 1)).tolist()
    assert (index.active_pictures == 0).any() or architecture == "topk", "some never fire"
    mean = [d.f[..., j][fires[..., j]].mean(dtype=np.float64) if fires[..., j].any() else 0 for j in range(m)]
    assert np.allclose(index.mean_active, mean, rtol=1e-6)
    assert np.array_equal(index.peak, peaks.max(0))

    shown = np.concatenate([found.picture.ravel() for found in (index.top, index.mean, index.mid)])
    assert np.unique(shown[shown >= 0]).tolist() == list(range(len(index.pictures)))
    ids = reference_ids(index, d)
    means = (d.f.sum(1, dtype=np.float64) / n_scope).astype(np.float32)
    ranked = {name: [best(values[:, j], d.ids) for j in range(m)] for name, values in (("top", peaks), ("mean", means))}
    for name, found, n in (("top", index.top, RECIPE.top), ("mean", index.mean, RECIPE.mean)):
        check_list(index, found, d, ids, [rows[:n] for rows in ranked[name]])
    for j in range(m):
        n = min(RECIPE.top, len(ranked["top"][j]))
        assert np.array_equal(index.top.value[j, :n], peaks[ranked["top"][j][:n], j])
        n = min(RECIPE.mean, len(ranked["mean"][j]))
        assert np.allclose(index.mean.value[j, :n], means[ranked["mean"][j][:n], j], rtol=1e-6)

    for j in range(m):  # exact counts, the outermost bins without an end
        counts = np.histogram(d.f[..., j][fires[..., j]], np.r_[0, index.edges[1:-1], np.inf])[0]
        assert index.histogram[j].tolist() == counts.tolist()
    assert set(index.edges) <= set(EDGES)

    assert np.allclose(index.average, d.z.mean(0), atol=1e-6)
    texts = clip.texts([f"a photo of a {word}" for word in WORDS] + [""]).numpy()
    for j in range(m):
        units = d.z[ranked["top"][j][: RECIPE.top]].astype(np.float64)
        if not len(units):
            assert not index.embedding[j].any()
            assert (index.label[j] == -1).all()
            assert np.isnan(index.alignment[j]).all()
            assert np.isnan(index.clarity[j])
            assert index.peak[j] == 0
            continue
        z = units.mean(0)
        assert np.allclose(index.embedding[j], z, atol=1e-3)
        pairs = [units[a] @ units[b] for a in range(len(units)) for b in range(a)]
        assert np.isclose(index.clarity[j], np.mean(pairs), atol=1e-5) if pairs else np.isnan(index.clarity[j])
        scores = texts @ z / np.linalg.norm(z)
        scores = scores[:-1] - scores[-1]
        assert np.allclose(index.alignment[j], np.sort(scores)[::-1][:3], atol=1e-5)
        assert np.allclose(scores[index.label[j]], index.alignment[j], atol=1e-5)

    directions = setup.dictionary.directions(np.arange(m)).numpy()
    check_nearest(index.near, index.near_cosine, cosines(directions), -np.inf)


def best(values: np.ndarray, ids: np.ndarray) -> list[int]:
    """Rows of the values above 0, the largest first; of equal ones, that of the smaller id."""
    return sorted(np.flatnonzero(values > 0).tolist(), key=lambda row: (-values[row], ids[row]))


def reference_ids(index: ConceptIndex, d: Dense) -> np.ndarray:
    """Which picture every thumbnail is of: the one whose thumbnail is the same file."""
    files = {webp(crop): id_ for id_, crop in zip(d.ids, d.crops, strict=True)}
    found = np.array([files[index.pictures.webp(row)] for row in range(len(index.pictures))])
    assert (np.diff(found) > 0).all()
    return found


def webp(crop: np.ndarray) -> bytes:
    stream = BytesIO()
    small = Image.fromarray(crop).resize((RECIPE.side, RECIPE.side), Image.Resampling.LANCZOS)
    small.save(stream, "WEBP", quality=RECIPE.quality, method=6)
    return stream.getvalue()


def cosines(rows: np.ndarray) -> np.ndarray:
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit.astype(np.float64) @ unit.T.astype(np.float64)


def check_nearest(index: np.ndarray, value: np.ndarray, wanted: np.ndarray, above: float) -> None:
    """Of every row the k others with the largest cosines."""
    for j, row in enumerate(wanted):
        others = np.delete(row, j)
        k = min(index.shape[1], int((others > above).sum()))
        assert np.allclose(value[j, :k], np.sort(others)[::-1][:k], atol=1e-5)
        assert np.allclose(row[index[j, :k]], value[j, :k], atol=1e-5)
        assert j not in index[j]
        assert (index[j, k:] == -1).all()
        assert (value[j, k:] == 0).all()


@pytest.mark.parametrize("whole", [True, False], ids=["all pictures", "a sample"])
def test_what_fires_together_and_what_is_from_the_middle(clip: SplitClip, tmp_path: Path, whole: bool) -> None:
    """Where the samples hold all pictures, both are exact; smaller ones are of the right pictures."""
    setup = setup_of(clip)
    size = 100 if whole else 5
    recipe = replace(RECIPE, mid_sample=size, together_sample=size)
    index = build(setup, Drawn(), tmp_path, recipe, quiet=True)
    d = dense(setup, Drawn(), RECIPE.batch)
    peaks, ids = d.f.max(1), reference_ids(index, d)
    row_of = {id_: row for row, id_ in enumerate(d.ids)}
    if whole:
        check_nearest(index.coactivated, index.coactivation, cosines(peaks.T), 0)
    for j in range(COMPONENTS):
        places = index.mid.picture[j][index.mid.picture[j] >= 0]
        rows = [row_of[id_] for id_ in ids[places]]
        assert len(set(rows)) == len(rows) == min(recipe.mid, index.active_pictures[j])
        assert np.array_equal(index.mid.value[j, : len(rows)], peaks[rows, j])
        assert (peaks[rows, j] > 0).all()
        if whole and rows:
            active = np.flatnonzero(peaks[:, j] > 0)
            away = np.abs(peaks[active, j].astype(np.float64) - np.median(peaks[active, j].astype(np.float64)))
            assert rows == active[np.lexsort((d.ids[active], away))][: recipe.mid].tolist()


def test_samples_are_the_same_whatever_the_batches(clip: SplitClip, tmp_path: Path) -> None:
    """Which pictures are looked at for the middle depends on nothing but their ids."""
    indexes = [
        build(setup_of(clip), Drawn(), tmp_path / str(size), replace(RECIPE, batch=size), quiet=True) for size in (3, 8)
    ]
    a, b = indexes
    assert np.array_equal(a.mid.picture, b.mid.picture)
    assert np.array_equal(a.coactivated, b.coactivated)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=60), st.lists(st.integers(1, 20), max_size=8))
def test_the_best_of_each_row(pairs: list[tuple[int, int]], cuts: list[int]) -> None:
    """Whatever the order and the portions, with many equal keys."""
    component, key = (np.array([pair[i] for pair in pairs], dtype=np.int64) for i in range(2))
    ids = np.random.default_rng(len(pairs)).permutation(len(pairs))
    found, start = TopK(4, 3), 0
    for size in [*cuts, len(pairs)]:
        part = np.arange(start, min(start + size, len(pairs)))
        part = part[np.argsort(component[part], kind="stable")]
        part = part[found.admits(component[part], key[part].astype(np.uint32))]
        if len(part):
            found.add(component[part], key[part].astype(np.uint32), ids[part], part)
        start += size
    for j in range(4):
        wanted = sorted((int(k), int(i)) for c, k, i in zip(component, key, ids, strict=True) if c == j)[:3]
        taken = found.taken[j]
        assert list(zip(found.key[j][taken].tolist(), found.id[j][taken].tolist(), strict=True)) == wanted


def test_nothing_fires(clip: SplitClip, tmp_path: Path) -> None:
    """An index of a dictionary that is silent has empty places, and can be saved and read."""
    sae = tiny_sae("jumprelu")
    sae.threshold.data.fill_(1e6)
    index = build(
        replace(setup_of(clip), model=SaeClip(clip, SaeDictionary(sae, "all"))), Drawn(), tmp_path, RECIPE, quiet=True
    )
    assert not index.peak.any()
    assert (index.top.picture == -1).all()
    assert len(index.pictures) == 0
    assert (index.coactivated == -1).all()
    assert (index.near >= 0).all()
    assert not index.top.region(0, 0, (4, 4)).any()


def test_small_formulas() -> None:
    rng = np.random.default_rng(0)
    units = rng.normal(size=(5, 8))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    pairs = [units[a] @ units[b] for a in range(5) for b in range(a)]
    assert np.isclose(clarity(units.mean(0), np.array(5)), np.mean(pairs), atol=1e-6)
    assert np.isnan(clarity(units[:1], np.array([1])))[0]
    assert np.isclose(clarity(units[0], np.array(3)), 1)
    z, t, empty = 3 * units[0], units[1:4], units[4]
    assert np.allclose(alignment(z, t, empty), t @ units[0] - empty @ units[0], atol=1e-6)
    assert alignment(np.stack([z, 0 * z]), t, empty).shape == (2, 3)
    assert not alignment(0 * z, t, empty).any()


def test_large_dictionaries_are_encoded_in_portions(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    x = setup.clip.residual(setup.clip.pixels(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)))
    at_once = batch_activations(setup.dictionary, x)
    monkeypatch.setattr("core.indexing.firing.CHUNK", 7 * COMPONENTS)
    portions = batch_activations(setup.dictionary, x)
    for name in ("component", "picture", "token", "first", "tokens"):
        assert np.array_equal(getattr(at_once, name), getattr(portions, name))
    assert np.allclose(at_once.values, portions.values, rtol=1e-5)


# ---- what is stopped


class Stop(Exception):
    """Something happened."""


@pytest.mark.parametrize("every", [1, 3])
def test_a_run_that_fails_again_and_again_ends_with_the_same_index(
    setup: Setup, tmp_path: Path, undisturbed: ConceptIndex, every: int
) -> None:
    failing = np.random.default_rng(every).permutation(37)[:12].tolist()  # at these pictures, each once

    def look(place: int) -> None:
        if place in failing:
            failing.remove(place)
            raise Stop

    found = None
    while found is None:
        with suppress(Stop):
            found = build(setup, Drawn(look=look), tmp_path, RECIPE, every=every, quiet=True)
    assert not failing
    assert found == undisturbed
    assert not (tmp_path / WORK).exists()


@pytest.mark.parametrize("step_by_step", [False, True], ids=["at once", "step by step"])
def test_a_run_killed_at_any_moment_goes_on(
    setup: Setup, tmp_path: Path, undisturbed: ConceptIndex, step_by_step: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL between any two steps that touch the disk, and before and after every batch; the run then goes on."""
    monkeypatch.setattr(build_in_steps, "FIRST", 4)
    monkeypatch.setattr(build_in_steps, "SAVED_EVERY", 8)
    moments = [
        (os, "replace"),
        (os, "fsync"),
        (indexing, "read_batch"),
        (ThumbnailStore, "add"),
        (shutil, "rmtree"),
    ]

    def run() -> None:
        if step_by_step:
            list(build_in_steps.build_in_steps(setup, Drawn(), tmp_path, RECIPE))
        else:
            build(setup, Drawn(), tmp_path, RECIPE, every=2, quiet=True)

    rng, kills, late = np.random.default_rng(int(step_by_step)), 0, 0
    while not (tmp_path / MANIFEST).exists() or (tmp_path / WORK).exists():
        process = in_a_process(killed_at(int(rng.integers(1, 40 if step_by_step else 24)), moments, run))
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        kills += 1
        late += any(tmp_path.glob("index.safetensors*"))
    assert kills > 5, "killed while reading"
    assert late or step_by_step, "killed while writing the index"
    assert load(tmp_path, undisturbed.manifest.setup) == undisturbed
    with pytest.raises(UserError, match="holds an index already"):
        build(setup, Drawn(), tmp_path, RECIPE, quiet=True)
    assert {path.name for path in tmp_path.iterdir()} == set(INDEX_FILES)


def test_what_cannot_be_gone_on_with(setup: Setup, tmp_path: Path) -> None:
    def look(place: int) -> None:
        if place == 20:
            raise Stop

    with pytest.raises(Stop):
        build(setup, Drawn(look=look), tmp_path, RECIPE, every=1, quiet=True)
    with pytest.raises(UserError, match="another index: its recipe differs"):
        build(setup, Drawn(), tmp_path, replace(RECIPE, top=2), quiet=True)
    with pytest.raises(UserError, match="its pictures differs"):
        build(setup, Drawn((5, 5)), tmp_path, RECIPE, quiet=True)
    with pytest.raises(UserError, match="its setup and recipe differ"):
        build(setup_of(setup.clip, "jumprelu"), Drawn(), tmp_path, replace(RECIPE, top=2), quiet=True)
    (tmp_path / WORK / "thumbnails-0.bin").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be read"):
        build(setup, Drawn(), tmp_path, RECIPE, quiet=True)
    (tmp_path / WORK / "accumulated-0.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read"):
        build(setup, Drawn(), tmp_path, RECIPE, quiet=True)
    (tmp_path / WORK / "settings.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        build(setup, Drawn(), tmp_path, RECIPE, quiet=True)


def test_an_index_is_not_written_over(setup: Setup, tmp_path: Path) -> None:
    build(setup, Drawn((3,)), tmp_path, RECIPE, quiet=True)
    with pytest.raises(UserError, match="holds an index already"):
        build(setup, Drawn((3,)), tmp_path, RECIPE, quiet=True)


def test_no_picture_can_be_read(setup: Setup, tmp_path: Path) -> None:
    class Broken(Drawn):
        def picture(self, entry: int) -> Image.Image:
            raise UserError("It cannot be read.")

    with pytest.raises(UserError, match="None of the 37 pictures"):
        build(setup, Broken(), tmp_path, RECIPE, quiet=True)


def test_what_could_not_be_read_back_is_told_before_anything_is_read(setup: Setup, tmp_path: Path) -> None:
    def look(place: int) -> None:
        raise AssertionError("a picture was read")

    long, many = (replace(RECIPE, vocabulary=words) for words in (("dog " * 400,), ("word" * 200,) * 25_000))
    for recipe, said in ((long, "vocabulary/0"), (many, "too long")):
        with pytest.raises(UserError, match=said):
            build(setup, Drawn(look=look), tmp_path / "new", recipe, quiet=True)
    unwritable = Drawn(look=look)
    unwritable.manifest = {**unwritable.manifest, "name": "b\udcff"}
    with pytest.raises(UserError, match="manifest"):
        build(setup, unwritable, tmp_path / "new", RECIPE, quiet=True)
    assert not (tmp_path / "new").exists()


# ---- several processes


@pytest.mark.parametrize("world", [2, 7])
def test_several_processes_make_the_same_index(
    setup: Setup, tmp_path: Path, undisturbed: ConceptIndex, world: int
) -> None:
    """Also more processes than there are parts."""

    def run() -> None:
        assert processes().num_processes == world
        found = build(setup, Drawn(), tmp_path, RECIPE, every=2, quiet=True)
        assert found.manifest == undisturbed.manifest

    assert at_a_time(world, run) == [0] * world
    found = load(tmp_path, undisturbed.manifest.setup)
    assert np.allclose(found.mean_active, undisturbed.mean_active, rtol=1e-6)
    assert np.allclose(found.average, undisturbed.average, rtol=1e-6, atol=1e-8)
    assert replace(found, mean_active=undisturbed.mean_active, average=undisturbed.average) == undisturbed


def test_what_is_kept_stays_small(setup: Setup) -> None:
    """However many pictures go by, what is no reference any more is forgotten."""
    accumulator, rng = Accumulator(COMPONENTS, 16, RECIPE), np.random.default_rng(0)
    residual = setup.clip.residual(setup.clip.pixels(rng.integers(0, 256, (4, 32, 32, 3), np.uint8)))
    for number in range(60):
        found = batch_activations(setup.dictionary, residual * float(rng.uniform(0.5, 2)))
        accumulator.add(np.arange(4) + 4 * number, found, 17, np.zeros((4, 16)))
    places = COMPONENTS * (RECIPE.top + RECIPE.mean + RECIPE.kept_for_mid)
    assert len(accumulator.compact()) <= places
    assert len(accumulator.sample) == RECIPE.together_sample


# ---- the command


def test_the_command(tmp_path: Path, clip_folder: Path, exact_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures, out, words = tmp_path / "pictures", tmp_path / "index", tmp_path / "words.txt"
    pictures.mkdir()
    for place in (0, 1, 2):
        Drawn().picture(place).save(pictures / f"{place}.png")
    (pictures / "broken.png").write_bytes(b"no picture")
    words.write_text("# animals\ndog\ncat\ndog\n")
    said = ["--clip", str(clip_folder), "--dictionary", str(exact_folder), "--layer", "1", "--pictures", str(pictures)]
    said += ["--out", str(out), "--vocabulary", str(words), "--top", "2", "--side", "16"]
    main(said)
    told = capsys.readouterr().out
    assert "fire in 3 pictures (1 could not be read)" in told
    assert "3 of them are references" in told
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["vocabulary"] == ["dog", "cat"]
    assert manifest["source"]["kind"] == "folder"
    assert (manifest["pictures"], manifest["skipped"], manifest["side"]) == (3, 1, 16)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--pictures", "nowhere/at/all"], "no folder"),
        (["--setup", "nothing"], "There is no setup"),
        (["--top", "0"], "Choose 1 to"),
        (["--vocabulary", "nowhere.txt"], "cannot be read"),
        (["--every", "0"], "--every is 1 or more"),
        (["--limit", "0"], "holds nothing"),
    ],
)
def test_what_the_command_cannot_use_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--pictures", str(tmp_path), "--out", str(tmp_path / "out"), *wrong])
    assert end.value.code == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "the same command goes on"),
        (torch.OutOfMemoryError("CUDA out of memory"), 1, "smaller --batch"),
        (OSError(28, "No space left on device"), 1, "No space left on device. The same command tries again"),
    ],
)
def test_however_the_command_ends_it_says_how_to_go_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    def stop(*_args: object) -> None:
        raise error

    monkeypatch.setattr(command, "_run", stop)
    with pytest.raises(SystemExit) as end:
        main(["--pictures", "scenes:index", "--out", str(tmp_path)])
    assert end.value.code == code
    assert said in capsys.readouterr().err
