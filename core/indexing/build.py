"""Concept index of a setup, built over a collection: `python -m core.indexing --setup NAME --pictures X --out FOLDER`.

1. The pictures of a collection stream by once (`core.streaming`). What fires in them is counted
   into a `core.indexing.accumulator`; of the pictures that are references for any component, thumbnails and embeddings
   go to a `core.indexing.thumbnails`.
2. Both are saved every so many batches. A run that was stopped at any moment goes on from there, and ends with the same
   index as one that was not.
3. Several processes each read every W-th part of the collection into an accumulator of their own. The main one adds
   them up, and has what a single process would have.
4. At the end comes what looks at all components at once (`core.indexing.summarise`).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F

from ..concepts.index import FORMAT, ConceptIndex
from ..concepts.index_file import MANIFEST, load, save, written
from ..model.clip import SplitClip
from ..model.dictionary import Dictionary
from ..pictures.batches import Batch
from ..pictures.collection import Collection
from ..setups.identity import identity
from ..setups.loading import Setup
from ..streaming import Streaming, begin, end, processes, restoring, stream
from .accumulator import Accumulator
from .firing import batch_activations
from .recipe import IndexRecipe
from .summarise import manifest_of, summarised
from .thumbnails import StoredThumbnails, ThumbnailStore


@torch.no_grad()
def read_batch(
    accumulator: Accumulator, store: ThumbnailStore, clip: SplitClip, dictionary: Dictionary, batch: Batch
) -> None:
    """Look at a batch of pictures, and keep what is to be kept."""
    if len(batch.ids):
        at = clip.read(clip.pixels(batch.crops))
        units = F.normalize(clip.embed_from_residual(at.x).float(), dim=-1).cpu().numpy()
        found = batch_activations(dictionary, at.seen)
        kept = accumulator.add(batch.ids, found, len(dictionary.tokens(at.seen.shape[1])), units)
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
    m, p = dictionary.n_components, clip.projection
    made_for = identity(setup.card, setup.commits, clip, dictionary)
    written(manifest_of(made_for, collection, recipe, clip, 1, 1, 0))  # what could not be loaded is not to be made
    settings = {
        "format": FORMAT,
        "setup": asdict(made_for),
        "pictures": dict(collection.manifest),
        "recipe": asdict(recipe),
    }
    work = begin(out, "index", MANIFEST, settings, group)
    path = _accumulated(work, group.process_index)
    accumulator, store = _restored(work, group.process_index, m, p, recipe)
    if not accumulator.done:
        with store:
            for batch in stream(
                collection,
                clip.crop,
                group,
                Streaming(recipe.batch, every, workers, quiet),
                after=accumulator.after,
                seen=accumulator.pictures + accumulator.skipped,
                save=lambda: accumulator.save(path, store.known()),
            ):
                read_batch(accumulator, store, clip, dictionary, batch)
            accumulator.done = True
            accumulator.save(path, store.known())
    group.wait_for_everyone()
    if group.is_main_process:
        stores = [store]
        for rank in range(1, group.num_processes):
            theirs, more = _restored(work, rank, m, p, recipe)
            accumulator.merge(theirs)
            stores.append(more)
        save(summarised(accumulator, StoredThumbnails(stores), setup, made_for, collection, recipe, quiet), out)
        end(out)
    group.wait_for_everyone()
    return load(out, made_for, clip)


def _accumulated(work: Path, rank: int) -> Path:
    return work / f"accumulated-{rank}.safetensors"


def _restored(work: Path, rank: int, m: int, p: int, recipe: IndexRecipe) -> tuple[Accumulator, ThumbnailStore]:
    """What a process has saved, or the beginning."""
    path, store = _accumulated(work, rank), ThumbnailStore(work, rank, recipe, p)
    if not path.exists():
        return Accumulator(m, p, recipe), store
    with restoring(work):
        accumulator, arrays = Accumulator.load(path, m, p, recipe)
        store.restore(arrays)
    return accumulator, store
