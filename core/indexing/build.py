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

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..concepts.index import FORMAT, ConceptIndex
from ..concepts.index_file import MANIFEST, load, save, written
from ..errors import UserError
from ..model.clip import SplitClip, text_classifier
from ..model.dictionary import Dictionary
from ..model.prompts import TEMPLATES
from ..pictures.batches import Batch
from ..pictures.collection import Collection
from ..setups.loading import Setup
from ..streaming import Group, Streaming, begin, end, processes, restoring, stream
from .accumulator import Accumulator
from .attribution import contributions
from .firing import batch_activations
from .recipe import IndexRecipe
from .summarise import manifest_of, source_of, summarised
from .thumbnails import StoredThumbnails, ThumbnailStore


@torch.no_grad()
def read_batch(
    accumulator: Accumulator,
    store: ThumbnailStore,
    clip: SplitClip,
    dictionary: Dictionary,
    batch: Batch,
    classifier: Tensor | None = None,
) -> None:
    """Look at a batch of pictures, and keep what is to be kept; by attribution where there are class vectors."""
    if len(batch.ids):
        at = clip.read(clip.pixels(batch.crops))
        units = F.normalize(clip.embed_from_residual(at.x).float(), dim=-1).cpu().numpy()
        found = batch_activations(dictionary, at.seen)
        by = None if classifier is None else contributions(clip, dictionary, at.x, classifier, found)
        kept = accumulator.add(batch.ids, found, len(dictionary.tokens(at.seen.shape[1])), units, by)
        store.add(batch.ids[kept], batch.crops[kept], units[kept])
    accumulator.skipped += batch.skipped
    accumulator.after = batch.part, batch.number


class IndexRun:
    """What one process holds while it makes an index in a folder, or goes on with one that was begun there.

    Raises UserError when the folder holds an index already, or the beginnings of another, and when its manifest could
    not be read back.
    """

    def __init__(
        self, setup: Setup, collection: Collection, out: Path, recipe: IndexRecipe, group: Group, licence: str = ""
    ) -> None:
        """What was saved there, or the beginning; `licence` is that of the pictures, where they do not tell it."""
        self._setup, self._collection, self._out, self._recipe = setup, collection, out, recipe
        self._licence, clip = licence, setup.clip
        self.made_for = setup.identity
        written(manifest_of(self.made_for, collection, recipe, clip, 1, 1, 0, licence))  # what could not be loaded
        if recipe.by == "attribution" and len(recipe.vocabulary) < 2:
            raise UserError(
                "By attribution a picture is taken for one of several words. Give the vocabulary two or more."
            )
        settings = {
            "format": FORMAT,
            "setup": asdict(self.made_for),
            "pictures": dict(collection.manifest),
            "recipe": asdict(recipe),
        }
        self._work = begin(out, "index", MANIFEST, settings, group)
        self._path = _accumulated(self._work, group.process_index)
        self.accumulator, self.store = self._restored(group.process_index)
        self._classifier = None
        if recipe.by == "attribution":
            self._classifier = text_classifier(clip, recipe.vocabulary, TEMPLATES["single"])

    @property
    def seen(self) -> int:
        """Pictures that were read, or could not be."""
        return self.accumulator.pictures + self.accumulator.skipped

    @property
    def source(self) -> Mapping[str, str]:
        """What the manifest will tell of the pictures."""
        return source_of(self._collection, self._licence)

    def read(self, batch: Batch) -> None:
        """Look at a batch; within `with self.store`."""
        setup = self._setup
        read_batch(self.accumulator, self.store, setup.clip, setup.dictionary, batch, self._classifier)

    def save(self) -> None:
        """Save what there is, at once or not at all."""
        self.accumulator.save(self._path, self.store.known())

    def merge(self, ranks: range) -> list[ThumbnailStore]:
        """Count in what other processes have saved; the stores of all."""
        stores = [self.store]
        for rank in ranks:
            theirs, more = self._restored(rank)
            self.accumulator.merge(theirs)
            stores.append(more)
        return stores

    def index(self, stores: list[ThumbnailStore], quiet: bool, whole: bool = True) -> ConceptIndex:
        """The index of what was read, and is in the files (`save`); not the `whole`: see `summarised`."""
        stored, setup = StoredThumbnails(stores), self._setup
        made = self.accumulator, stored, setup, self.made_for, self._collection, self._recipe, quiet
        return summarised(*made, licence=self._licence, whole=whole)

    def finish(self, index: ConceptIndex) -> None:
        """Write it, and clear the beginnings away."""
        save(index, self._out)
        end(self._out)

    def _restored(self, rank: int) -> tuple[Accumulator, ThumbnailStore]:
        """What a process has saved, or the beginning."""
        setup, recipe = self._setup, self._recipe
        m, p = setup.dictionary.n_components, setup.clip.projection
        path, store = _accumulated(self._work, rank), ThumbnailStore(self._work, rank, recipe, p)
        if not path.exists():
            return Accumulator(m, p, recipe), store
        with restoring(self._work):
            accumulator, arrays = Accumulator.load(path, m, p, recipe)
            store.restore(arrays)
        return accumulator, store


def build(
    setup: Setup,
    collection: Collection,
    out: Path,
    recipe: IndexRecipe,
    *,
    every: int = 100,
    workers: int = 0,
    quiet: bool = False,
    licence: str = "",
) -> ConceptIndex:
    """Make the index of a setup over a collection, in the folder `out`, or go on with one that was begun there.

    Saves what it has every `every` batches; `workers` threads read pictures ahead; `quiet` shows no progress; `licence`
    is that of the pictures, where they do not tell it. In several processes that accelerate has started, all call this
    with the same arguments; the folder is shared by all. Raises UserError as `IndexRun` does, and when there is no
    picture.
    """
    group = processes()
    run = IndexRun(setup, collection, out, recipe, group, licence)
    if not run.accumulator.done:
        with run.store:
            for batch in stream(
                collection,
                setup.clip.crop,
                group,
                Streaming(recipe.batch, every, workers, quiet),
                after=run.accumulator.after,
                seen=run.seen,
                save=run.save,
            ):
                run.read(batch)
            run.accumulator.done = True
            run.save()
    group.wait_for_everyone()
    if group.is_main_process:
        run.finish(run.index(run.merge(range(1, group.num_processes)), quiet))
    group.wait_for_everyone()
    return load(out, run.made_for, setup.clip)


def _accumulated(work: Path, rank: int) -> Path:
    return work / f"accumulated-{rank}.safetensors"
