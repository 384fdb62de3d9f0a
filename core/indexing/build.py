"""Concept index of a setup, built over a collection: `python -m core.indexing --setup NAME --pictures X --out FOLDER`.

1. The pictures of a collection stream by once, a batch at a time. What fires in them is counted
   into a `core.indexing.accumulator`; of the pictures that are references for any component, thumbnails and embeddings
   go to a `core.indexing.thumbnails`.
2. Both are saved every so many batches. A run that was stopped at any moment goes on from there, and ends with the same
   index as one that was not.
3. Several processes each read every W-th part of the collection into an accumulator of their own. The main one adds
   them up, and has what a single process would have. On GPUs: `accelerate launch -m core.indexing ...`; on CPUs, of
   which accelerate starts one process only: `torchrun --nproc-per-node 2 -m core.indexing ...`.
4. At the end comes what looks at all components at once (`core.indexing.summarise`).
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from safetensors import SafetensorError
from tqdm import tqdm

from ..concepts.index import FORMAT, ConceptIndex, Identity
from ..concepts.index_file import MANIFEST, load, save, written
from ..errors import UserError
from ..files import replacing
from ..model.clip import SplitClip
from ..model.devices import best_device
from ..model.dictionary import Dictionary
from ..pictures.batches import Batch, batches
from ..pictures.collection import Collection, share
from ..setups.identity import identity
from ..setups.loading import Setup
from .accumulator import Accumulator
from .firing import batch_activations
from .recipe import IndexRecipe
from .summarise import manifest_of, summarised
from .thumbnails import StoredThumbnails, ThumbnailStore

WORK = ".work"
"""The folder inside the index's own that holds what is needed to go on with a run that was stopped."""

_OVER = ".work-over"
"""What it is called while it is deleted."""


_PATIENCE = timedelta(days=30)
"""How long a process waits for the others, whose pictures may take longer."""


# ---- the run


def processes() -> PartialState:
    """This process, and those that accelerate has started with it: on CPUs where there is no CUDA or none is wanted."""
    several = "LOCAL_RANK" in os.environ
    cpu = best_device() == "cpu" or (several and best_device() != "cuda") or parse_flag_from_env("ACCELERATE_USE_CPU")
    return PartialState(cpu=bool(cpu), timeout=_PATIENCE)


@torch.no_grad()
def read_batch(
    accumulator: Accumulator, store: ThumbnailStore, clip: SplitClip, dictionary: Dictionary, batch: Batch
) -> None:
    """Look at a batch of pictures, and keep what is to be kept."""
    if len(batch.ids):
        residual = clip.residual(clip.pixels(batch.crops))
        units = F.normalize(clip.embed_from_residual(residual).float(), dim=-1).cpu().numpy()
        found = batch_activations(dictionary, residual)
        kept = accumulator.add(batch.ids, found, len(dictionary.tokens(residual.shape[1])), units)
        store.add(batch.ids[kept], batch.crops[kept], units[kept])
    accumulator.skipped += batch.skipped
    accumulator.after = batch.part, batch.number


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
    written(manifest_of(made_for, collection, recipe, clip, 1, 1, 0))  # what could not be loaded is not to be made
    _begin(out, made_for, collection, recipe, group)
    accumulator, store = _restored(work, group.process_index, m, p, recipe)
    if not accumulator.done:
        _stream(accumulator, store, setup, collection, work, group, every, workers, quiet)
    group.wait_for_everyone()
    if group.is_main_process:
        stores = [store]
        for rank in range(1, group.num_processes):
            theirs, more = _restored(work, rank, m, p, recipe)
            accumulator.merge(theirs)
            stores.append(more)
        save(summarised(accumulator, StoredThumbnails(stores), setup, made_for, collection, recipe, quiet), out)
        os.replace(work, out / _OVER)  # renamed, it is no longer taken for the beginnings of an index
        shutil.rmtree(out / _OVER)
    group.wait_for_everyone()
    return load(out, made_for, clip)


def _stream(
    accumulator: Accumulator,
    store: ThumbnailStore,
    setup: Setup,
    collection: Collection,
    work: Path,
    group: PartialState,
    every: int,
    workers: int,
    quiet: bool,
) -> None:
    """Read this process's parts of the collection, from where the accumulator stands."""
    parts = share(collection.n_parts, group.process_index, group.num_processes)
    total = None if collection.size is None else collection.size // group.num_processes
    rank, recipe = group.process_index, accumulator.recipe
    with (
        store,
        tqdm(
            total=total,
            initial=accumulator.pictures + accumulator.skipped,
            unit=" pictures",
            disable=quiet or not group.is_main_process,
            desc="Reading" if group.num_processes == 1 else f"Reading (1 of {group.num_processes} processes)",
        ) as bar,
    ):
        ahead = batches(collection, setup.clip.crop, recipe.batch, parts, accumulator.after, workers)
        for number, batch in enumerate(ahead, 1):
            read_batch(accumulator, store, setup.clip, setup.dictionary, batch)
            bar.update(len(batch.ids) + batch.skipped)
            if number % every == 0:
                accumulator.save(_accumulated(work, rank), store.known())
        accumulator.done = True
        accumulator.save(_accumulated(work, rank), store.known())


def _accumulated(work: Path, rank: int) -> Path:
    return work / f"accumulated-{rank}.safetensors"


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
        with replacing(path) as beside:
            beside.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    group.wait_for_everyone()


def _restored(work: Path, rank: int, m: int, p: int, recipe: IndexRecipe) -> tuple[Accumulator, ThumbnailStore]:
    """What a process has saved, or the beginning."""
    path, store = _accumulated(work, rank), ThumbnailStore(work, rank, recipe, p)
    if not path.exists():
        return Accumulator(m, p, recipe), store
    try:
        accumulator, arrays = Accumulator.load(path, m, p, recipe)
        store.restore(arrays)
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise UserError(f"What was saved in {work} cannot be read: {error}. Delete it to start afresh.") from error
    return accumulator, store


# ---- the end


# ---- the command
