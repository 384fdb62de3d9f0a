"""Build of a concept index in small steps, for a server: what it has so far can be shown on the way.

1. One process reads the pictures a few at a time, so that whoever runs this can let others go first between batches.
2. What it has is saved when the pictures have doubled, and after every 256. It goes on from there, or from the last
   batch where it was stopped gently, and ends with the index that `core.indexing.build` makes, byte for byte.
3. Whenever the pictures have doubled since, there is an index of those so far: references, histograms and clarity.
   Label guesses and neighbours look at all components at once, and come with the whole.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..concepts.index import ConceptIndex
from ..concepts.index_file import MANIFEST, load
from ..pictures.batches import batches
from ..pictures.collection import Collection
from ..setups.loading import Setup
from ..streaming import Alone, is_whole
from .build import IndexRun
from .recipe import IndexRecipe

FIRST = 32
"""Pictures after which there is something to show."""
SAVED_EVERY = 256
"""Pictures after which it is saved, at the latest."""


@dataclass(frozen=True, eq=False)
class BuildStep:
    """A step of the way."""

    done: int
    """Pictures that were looked at."""
    total: int
    """Pictures there are; 0 where that is not known."""
    source: Mapping[str, str]
    """The collection, as the manifest of the index tells it."""
    index: ConceptIndex | None
    """What there is to show, where that is more than before."""
    n_bytes: int = 0
    """What is held in memory to go on with."""

    @classmethod
    def whole(cls, index: ConceptIndex) -> BuildStep:
        """The last one."""
        done = index.manifest.pictures + index.manifest.skipped
        return cls(done, done, index.manifest.source, index)


def build_in_steps(
    setup: Setup, collection: Collection, out: Path, recipe: IndexRecipe, *, workers: int = 0, licence: str = ""
) -> Generator[BuildStep]:
    """Make the index of a setup over a collection, in the folder `out`, step by step; the whole comes last.

    Goes on with one that was begun there; a finished one comes at once. Closing it saves what there is. Raises
    UserError as `core.indexing.build` does.
    """
    if is_whole(out, MANIFEST):
        yield BuildStep.whole(load(out, setup.identity, setup.clip))
        return
    run = IndexRun(setup, collection, out, recipe, Alone(), licence)
    if not run.accumulator.done:
        if run.accumulator.pictures:
            yield _step(run, collection, run.index([run.store], quiet=True, whole=False))
        with closing(_reading(run, setup, collection, recipe.batch, workers)) as reading:
            for index in reading:
                yield _step(run, collection, index)
    run.finish(run.index([run.store], quiet=True))
    yield BuildStep.whole(load(out, run.made_for, setup.clip))


def _step(run: IndexRun, collection: Collection, index: ConceptIndex | None) -> BuildStep:
    """How far a run is."""
    return BuildStep(run.seen, collection.size or 0, run.source, index, run.accumulator.n_bytes)


def _reading(
    run: IndexRun, setup: Setup, collection: Collection, size: int, workers: int
) -> Generator[ConceptIndex | None]:
    """Read the pictures that are left; after every batch, the index of those so far where it is time to show it."""
    saved, shown, counted = run.seen, run.accumulator.pictures, True
    parts = range(collection.n_parts)
    with run.store:
        try:
            for batch in batches(collection, setup.clip.crop, size, parts, run.accumulator.after, workers):
                counted, index = False, None
                run.read(batch)
                counted = True
                if run.seen >= min(max(FIRST, 2 * saved), saved + SAVED_EVERY):
                    run.save()
                    saved = run.seen
                    if run.accumulator.pictures >= max(FIRST, 2 * shown):
                        index, shown = run.index([run.store], quiet=True, whole=False), run.accumulator.pictures
                yield index
            run.accumulator.done = True
        finally:
            if counted and (run.seen > saved or run.accumulator.done):  # of a batch, all or nothing
                run.save()
