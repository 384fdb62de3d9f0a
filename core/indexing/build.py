"""Make a concept index: `python -m core.indexing --setup bundled --pictures FOLDER --out FOLDER`.

1. The pictures of a collection stream by once, a batch at a time. What fires in them is counted into a
   `core.indexing.tally`; of the pictures that are references for any component, thumbnails and embeddings go to a
   `core.indexing.thumbnails`.
2. Both are saved every so many batches. A run that was stopped at any moment goes on from there, and ends with the same
   index as one that was not.
3. Several processes each read every W-th part of the collection into a tally of their own. The main one adds them up,
   and has what a single process would have. On GPUs: `accelerate launch -m core.indexing ...`; on CPUs, of which
   accelerate starts one process only: `torchrun --nproc-per-node 2 -m core.indexing ...`.
4. At the end comes what looks at all components at once: labels, clarity, and the nearest by direction and by firing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from safetensors import SafetensorError
from torch import Tensor
from tqdm import tqdm

from ..concepts.index import LABELS, ConceptIndex, Identity, Manifest, References
from ..concepts.index_file import FORMAT, MANIFEST, load, save, written
from ..errors import UserError
from ..methods.side_effects import VOCABULARY, probe_words, read_vocabulary
from ..model.clip import SplitClip, text_classifier
from ..model.devices import best_device
from ..model.dictionary import Dictionary
from ..model.prompts import TEMPLATES
from ..pictures.batches import Batch, batches
from ..pictures.collection import Collection, share
from ..pictures.options import add_collection_options, chosen_collection
from ..setups.catalog import find
from ..setups.identity import identity
from ..setups.loading import Setup
from ..setups.loading import load as load_setup
from ..setups.options import add_setup_options, known_setups, own_setup
from .tally import EDGES, Best, Entries, IndexRecipe, Sampled, Tally, firing, values_of
from .thumbnails import Store, Stored

WORK = ".work"
"""The folder inside the index's own that holds what is needed to go on with a run that was stopped."""

_OVER = ".work-over"
"""What it is called while it is deleted."""

_CHUNK = 1 << 25
"""Numbers in one dense block (128 MB in float32)."""

_PATIENCE = timedelta(days=30)
"""How long a process waits for the others, whose pictures may take longer."""


# ---- formulas


def clarity(mean: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Mean pairwise cosine of n unit vectors, from their mean [..., p]: float32 [...], -1/(n-1) to 1, nan for n < 2.

    |sum of u|^2 = n + (the sum over pairs, each twice), so the mean over pairs is (|mean|^2 - 1/n) n / (n - 1).
    """
    many = np.where(n < 2, np.nan, n)
    return (((mean.astype(np.float64) ** 2).sum(-1) - 1 / many) * many / (many - 1)).astype(np.float32)


def alignment(z: np.ndarray, t: np.ndarray, t_empty: np.ndarray) -> np.ndarray:
    """s(t) = cos(z, t) - cos(z, t_empty): how much more an embedding is like a text than like no text at all.

    z [..., p] of any length (for 0, all scores are 0), unit text embeddings t [V, p], and that of "", t_empty [p] ->
    float32 [..., V], -2 to 2. From "From What to How" (arXiv 2505.20229).
    """
    z = z.astype(np.float32)
    length = np.linalg.norm(z, axis=-1, keepdims=True)
    unit = z / np.where(length > 0, length, 1)
    return unit @ t.astype(np.float32).T - (unit @ t_empty.astype(np.float32))[..., None]


# ---- the run


def processes() -> PartialState:
    """This process, and those that accelerate has started with it: on CPUs where there is no CUDA or none is wanted."""
    several = "LOCAL_RANK" in os.environ
    cpu = best_device() == "cpu" or (several and best_device() != "cuda") or parse_flag_from_env("ACCELERATE_USE_CPU")
    return PartialState(cpu=bool(cpu), timeout=_PATIENCE)


@torch.no_grad()
def read_batch(tally: Tally, store: Store, clip: SplitClip, dictionary: Dictionary, batch: Batch) -> None:
    """Look at a batch of pictures, and keep what is to be kept."""
    if len(batch.ids):
        residual = clip.residual(clip.pixels(batch.crops))
        units = F.normalize(clip.finish(residual).float(), dim=-1).cpu().numpy()
        found = firing(dictionary, residual)
        kept = tally.add(batch.ids, found, len(dictionary.tokens(residual.shape[1])), units)
        store.add(batch.ids[kept], batch.crops[kept], units[kept])
    tally.skipped += batch.skipped
    tally.after = batch.part, batch.number


def build(
    setup: Setup,
    collection: Collection,
    out: Path,
    recipe: IndexRecipe,
    *,
    every: int = 100,
    workers: int = 0,
    quiet: bool = False,
) -> ConceptIndex:
    """Make the index of a setup over a collection, in the folder `out`, or go on with one that was begun there.

    Saves what it has every `every` batches; `workers` threads read pictures ahead; `quiet` shows no progress. In
    several processes that accelerate has started, all call this with the same arguments; the folder is shared by all.
    Raises UserError when the folder holds an index already, or the beginnings of another, and when there is no picture.
    """
    group = processes()
    clip, dictionary = setup.clip, setup.dictionary
    m, p, work = dictionary.n_components, clip.model.config.projection_dim, out / WORK
    made_for = identity(setup.card, setup.commits, clip, dictionary)
    written(_manifest(made_for, collection, recipe, clip, 1, 1, 0))  # what could not be loaded is not to be made
    _begin(out, made_for, collection, recipe, group)
    tally, store = _restored(work, group.process_index, m, p, recipe)
    if not tally.done:
        _stream(tally, store, setup, collection, work, group, every, workers, quiet)
    group.wait_for_everyone()
    if group.is_main_process:
        stores = [store]
        for rank in range(1, group.num_processes):
            theirs, more = _restored(work, rank, m, p, recipe)
            tally.merge(theirs)
            stores.append(more)
        save(_finished(tally, Stored(stores), setup, made_for, collection, recipe, quiet), out)
        os.replace(work, out / _OVER)  # renamed, it is no longer taken for the beginnings of an index
        shutil.rmtree(out / _OVER)
    group.wait_for_everyone()
    return load(out, made_for, clip)


def _stream(
    tally: Tally,
    store: Store,
    setup: Setup,
    collection: Collection,
    work: Path,
    group: PartialState,
    every: int,
    workers: int,
    quiet: bool,
) -> None:
    """Read this process's parts of the collection, from where the tally stands."""
    parts = share(collection.n_parts, group.process_index, group.num_processes)
    total = None if collection.size is None else collection.size // group.num_processes
    rank, recipe = group.process_index, tally.recipe
    with (
        store,
        tqdm(
            total=total,
            initial=tally.pictures + tally.skipped,
            unit=" pictures",
            disable=quiet or not group.is_main_process,
            desc="Reading" if group.num_processes == 1 else f"Reading (1 of {group.num_processes} processes)",
        ) as bar,
    ):
        ahead = batches(collection, setup.clip.crop, recipe.batch, parts, tally.after, workers)
        for number, batch in enumerate(ahead, 1):
            read_batch(tally, store, setup.clip, setup.dictionary, batch)
            bar.update(len(batch.ids) + batch.skipped)
            if number % every == 0:
                tally.save(_tally(work, rank), store.known())
        tally.done = True
        tally.save(_tally(work, rank), store.known())


def _tally(work: Path, rank: int) -> Path:
    return work / f"tally-{rank}.safetensors"


def _begin(out: Path, made_for: Identity, collection: Collection, recipe: IndexRecipe, group: PartialState) -> None:
    """See that what lies in the folder are the beginnings of this index, or nothing."""
    settings = {
        "format": FORMAT,
        "setup": asdict(made_for),
        "pictures": dict(collection.manifest),
        "recipe": asdict(recipe) | {"vocabulary": list(recipe.vocabulary)},
        "processes": group.num_processes,
    }
    work = out / WORK
    path = work / "settings.json"
    if group.is_main_process:
        shutil.rmtree(out / _OVER, ignore_errors=True)
    if (out / MANIFEST).exists() and not work.exists():
        raise UserError(f"The folder {out} holds an index already. Name another, or delete that one.")
    if path.exists():
        try:
            begun = dict(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise UserError(f"The file {path} cannot be read. Delete the folder {work} to begin anew.") from error
        other = [name for name, value in settings.items() if begun.get(name) != value]
        if other:
            raise UserError(
                f"The folder {work} holds the beginnings of another index: its {' and '.join(other)} "
                f"{'differs' if len(other) == 1 else 'differ'}. Repeat that command, or delete the folder."
            )
    elif group.is_main_process:
        work.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".part")
        beside.write_text(json.dumps(settings, indent=1), encoding="utf-8")
        os.replace(beside, path)
    group.wait_for_everyone()


def _restored(work: Path, rank: int, m: int, p: int, recipe: IndexRecipe) -> tuple[Tally, Store]:
    """What a process has saved, or the beginning."""
    path, store = _tally(work, rank), Store(work, rank, recipe, p)
    if not path.exists():
        return Tally(m, p, recipe), store
    try:
        tally, arrays = Tally.load(path, m, p, recipe)
        store.restore(arrays)
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise UserError(f"What was saved in {work} cannot be read: {error}. Delete it to start afresh.") from error
    return tally, store


# ---- the end


def _finished(
    tally: Tally,
    stored: Stored,
    setup: Setup,
    made_for: Identity,
    collection: Collection,
    recipe: IndexRecipe,
    quiet: bool,
) -> ConceptIndex:
    """All that the tally tells of the components."""
    if not tally.pictures:
        raise UserError(f"None of the {tally.skipped:,} pictures could be read. Name another collection.")
    clip, dictionary = setup.clip, setup.dictionary
    entries = tally.compact()
    tally.best["mid"] = _around_median(tally.best["mid"], entries.peak, recipe.mid)
    ids = np.unique(np.concatenate([best.id[best.taken] for best in tally.best.values()]))
    lists = {which: _references(which, best, entries, ids) for which, best in tally.best.items()}

    z, n = _common(tally.best["top"], stored)
    label, scores = _guesses(clip, z, n, recipe.vocabulary)
    active_tokens = tally.histogram.sum(1)
    edges, histogram = _trimmed(tally.histogram)
    directions = dictionary.directions(np.arange(tally.m)).float()
    near, near_cosine = _nearest(directions, recipe.near, -np.inf, "Nearest by direction", quiet)
    fired = _fired(tally.sample, tally.m, directions.device)
    together, together_share = _nearest(fired, recipe.near, 0, "Nearest by firing", quiet)
    return ConceptIndex(
        manifest=_manifest(made_for, collection, recipe, clip, tally.pictures, tally.tokens, tally.skipped),
        active_pictures=tally.active,
        active_tokens=active_tokens,
        mean_active=(tally.sums / np.maximum(1, active_tokens)).astype(np.float32),
        peak=lists["top"].value[:, 0],
        edges=edges,
        histogram=histogram,
        **lists,
        embedding=z.astype(np.float16),
        average=(tally.embeddings / tally.pictures).astype(np.float32),
        clarity=clarity(z, n),
        label=label,
        alignment=scores,
        near=near,
        near_cosine=near_cosine,
        together=together,
        together_share=together_share,
        pictures=stored.thumbnails(ids),
    )


def _manifest(
    made_for: Identity,
    collection: Collection,
    recipe: IndexRecipe,
    clip: SplitClip,
    pictures: int,
    tokens: int,
    skipped: int,
) -> Manifest:
    return Manifest(
        format=FORMAT,
        setup=made_for,
        source=dict(collection.manifest),
        pictures=pictures,
        tokens=tokens,
        skipped=skipped,
        grid=clip.grid,
        vocabulary=recipe.vocabulary,
        side=min(recipe.side, clip.model.config.vision_config.image_size),
    )


def _trimmed(histogram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The edges of the bins and their counts, without the outermost bins in which no component has any."""
    used = np.flatnonzero(histogram.any(0))
    low, high = (used[0], used[-1] + 1) if len(used) else (0, 1)
    return EDGES[low : high + 1], np.ascontiguousarray(histogram[:, low:high])


def _around_median(sample: Best, peaks: np.ndarray, n: int) -> Best:
    """Of every component's sample, the n pictures whose peaks are nearest their median, the nearest first."""
    peak = np.where(sample.taken, peaks[np.where(sample.taken, sample.entry, 0)] if len(peaks) else np.nan, np.nan)
    ordered = np.sort(peak.astype(np.float64), axis=1)  # nan come last
    count = sample.taken.sum(1)
    rows = np.arange(len(peak))
    median = (ordered[rows, np.maximum(0, (count - 1) // 2)] + ordered[rows, count // 2 % peak.shape[1]]) / 2
    order = np.lexsort((sample.id, np.abs(peak - median[:, None])), axis=1)[:, :n]  # nan come last here too
    chosen = Best(len(peak), n)
    for name in ("key", "id", "entry"):
        setattr(chosen, name, np.take_along_axis(getattr(sample, name), order, axis=1))
    return chosen


def _references(which: str, best: Best, entries: Entries, ids: np.ndarray) -> References:
    """A list of pictures as the index has it; `ids` are those of its thumbnails."""
    taken, of = best.taken, best.entry[best.taken]
    token, length, value = np.zeros(taken.shape, np.int32), np.zeros(taken.shape, np.int64), values_of(best.key)
    token[taken], length[taken] = entries.token[of], entries.length[of]
    if which == "mid":
        value = np.zeros(taken.shape, np.float32)
        value[taken] = entries.peak[of]
    regions = entries.only(of)
    return References(
        picture=np.where(taken, np.searchsorted(ids, best.id), -1).astype(np.int32),
        value=value,
        token=token,
        start=np.concatenate([[0], np.cumsum(length.ravel())]),
        patch=regions.patch,
        share=regions.share,
    )


def _common(top: Best, stored: Stored) -> tuple[np.ndarray, np.ndarray]:
    """What the top pictures have in common: z_j, float32 [m, p], and of how many it is the mean, int64 [m]."""
    n, found, step = top.taken.sum(1), [], 1024
    for start in range(0, len(n), step):
        part = slice(start, start + step)
        taken = top.taken[part]
        units = stored.embeddings(top.id[part][taken])
        of_each = np.zeros((*taken.shape, units.shape[1]), np.float32)
        of_each[taken] = units
        sums = of_each.sum(1, dtype=np.float64)
        found.append((sums / np.maximum(1, n[part])[:, None]).astype(np.float32))
    return np.concatenate(found), n


def _guesses(clip: SplitClip, z: np.ndarray, n: np.ndarray, vocabulary: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The best labels, int32 [m, 3], and their scores, float32 [m, 3]; -1 and nan where there is none."""
    label = np.full((len(z), LABELS), -1, np.int32)
    scores = np.full((len(z), LABELS), np.nan, np.float32)
    if not vocabulary:
        return label, scores
    t = text_classifier(clip, vocabulary, TEMPLATES["single"]).float().cpu().numpy()
    empty = clip.texts([""])[0].float().cpu().numpy()
    known = np.flatnonzero(n)
    step = max(1, _CHUNK // len(vocabulary))
    for start in range(0, len(known), step):
        part = known[start : start + step]
        found = alignment(z[part], t, empty)
        best = np.argsort(-found, axis=1, kind="stable")[:, :LABELS]
        label[part, : best.shape[1]] = best
        scores[part, : best.shape[1]] = np.take_along_axis(found, best, axis=1)
    return label, scores


def _fired(sample: Sequence[Sampled], m: int, device: torch.device) -> Tensor:
    """The largest activation of every component in every picture of the sample: [m, K]. Dense, as only that is fast."""
    found = np.zeros((len(sample), m), np.float32)
    for row, one in zip(found, sorted(sample, key=lambda one: one.id), strict=True):
        row[one.component] = one.peak
    return torch.from_numpy(found).to(device).T.contiguous()


def _nearest(rows: Tensor, k: int, above: float, said: str, quiet: bool) -> tuple[np.ndarray, np.ndarray]:
    """For every row [m, d] the k others with the largest cosine `above` a limit: int32 [m, k], float32 [m, k].

    Where there are fewer, -1 and 0.
    """
    m, unit = len(rows), F.normalize(rows, dim=-1)
    index, cosine = np.full((m, k), -1, np.int32), np.zeros((m, k), np.float32)
    step = max(1, _CHUNK // m)
    for start in tqdm(range(0, m, step), desc=said, leave=False, disable=quiet):
        part = unit[start : start + step] @ unit.T
        part[torch.arange(len(part)), start + torch.arange(len(part))] = -torch.inf
        value, where = part.topk(min(k, m - 1))
        good = value > above
        to = slice(start, start + len(part)), slice(0, value.shape[1])
        index[to] = torch.where(good, where, -1).cpu().numpy()
        cosine[to] = torch.where(good, value.clamp(-1, 1), 0).cpu().numpy()
    return index, cosine


# ---- the command


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m core.indexing",
        description="Make the concept index of a setup: what each of its components fires for.",
        epilog="After a stop, the same command goes on. Several GPUs: accelerate launch -m core.indexing ...",
    )
    add_setup_options(parser)
    add_collection_options(parser, "scenes:index")
    index = parser.add_argument_group("the index")
    index.add_argument("--out", type=Path, required=True, help="the folder for it")
    index.add_argument("--top", type=int, default=IndexRecipe.top, help="references by largest activation")
    index.add_argument("--mean", type=int, default=IndexRecipe.mean, help="references by mean activation")
    index.add_argument("--mid", type=int, default=IndexRecipe.mid, help="references from around the median")
    index.add_argument("--side", type=int, default=IndexRecipe.side, help="pixels of a thumbnail's side")
    index.add_argument("--quality", type=int, default=IndexRecipe.quality, help="of thumbnails, 1 to 100")
    index.add_argument("--vocabulary", type=Path, default=VOCABULARY, help="labels to choose among, one a line")
    run = parser.add_argument_group("the run")
    run.add_argument("--batch", type=int, default=IndexRecipe.batch, help="pictures at a time")
    run.add_argument("--every", type=int, default=100, help="save after so many batches")
    return parser.parse_args(words)


def _run(arguments: argparse.Namespace, device: str) -> ConceptIndex:
    if arguments.every < 1:
        raise UserError("--every is 1 or more. Correct it.")
    own = arguments.clip or arguments.dictionary
    card = own_setup(arguments) if own else find(known_setups(arguments), arguments.setup or "bundled")
    try:
        # A word that stood there twice would be two guesses.
        words = tuple(dict.fromkeys(probe_words(read_vocabulary(arguments.vocabulary), card.knows, ())))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The vocabulary {arguments.vocabulary} cannot be read. Name a text file.") from error
    sizes = {name: getattr(arguments, name) for name in ("top", "mean", "mid", "side", "quality", "batch")}
    sample = max(IndexRecipe.mid_sample, 4 * arguments.mid)
    recipe = IndexRecipe(**sizes, mid_sample=sample, vocabulary=words)
    collection = chosen_collection(arguments)
    setup = load_setup(card, device)
    return build(setup, collection, arguments.out, recipe, every=arguments.every, workers=arguments.workers)


def main(words: Sequence[str] | None = None) -> None:
    """The command."""
    arguments = _arguments(words)
    group = processes()
    try:
        index = _run(arguments, str(group.device))
    except KeyboardInterrupt:
        _fail(group, f"Stopped. What was saved is in {arguments.out / WORK}; the same command goes on from there.", 130)
    except UserError as trouble:
        _fail(group, str(trouble), 1)
    except torch.OutOfMemoryError:
        _fail(group, f"{arguments.batch} pictures at a time take too much memory. Choose a smaller --batch.", 1)
    except (OSError, SafetensorError) as error:
        _fail(group, f"Files in {arguments.out} cannot be read or written: {error}. The same command tries again.", 1)
    if group.is_main_process:
        manifest, fires = index.manifest, int((index.active_pictures > 0).sum())
        skipped = f" ({manifest.skipped:,} could not be read)" if manifest.skipped else ""
        print(
            f"{arguments.out}: {fires:,} of {index.n_components:,} components fire in {manifest.pictures:,} pictures"
            f"{skipped}; {len(index.pictures):,} of them are references."
        )
    group.destroy_process_group()


def _fail(group: PartialState, said: str, code: int) -> NoReturn:
    """End with a sentence. That of another process than the main one may be the only one that says why."""
    who = "" if group.is_main_process else f"Process {group.process_index + 1} of {group.num_processes}: "
    print(f"{who}{said}", file=sys.stderr)
    sys.exit(code)
