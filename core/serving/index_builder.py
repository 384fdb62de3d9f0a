"""Builder of concept indexes in the background, for setups that come without one.

1. When such a setup has been loaded, a thread of low priority streams pictures of the data set that
   CLIP_LEVERS_INDEX_FROM names through it, a few at a time (`core.indexing.build_in_steps`); between two batches it
   waits while visitors compute. Setups take turns.
2. What it has so far is handed to the setup's workbench, which answers from it from then on, and tells how far it is.
3. It lies in huggingface_hub's folder for assets, by the fingerprint of the setup's weights, and by the pictures and
   their revision: a server that starts again goes on from there, or has the whole at once.
4. A data set that cannot be read ends it with a sentence; all else goes on. So does a setup that has left the memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol
from weakref import ref

from filelock import FileLock, Timeout
from huggingface_hub import cached_assets_path, constants

from ..background import Job
from ..concepts import index_file
from ..concepts.growth import Growth
from ..errors import UserError, first_line
from ..methods.side_effects import probe_words, read_vocabulary
from ..pictures.collection import LICENCE, Collection
from ..setups.loading import Setup
from ..workbench import Workbench

if TYPE_CHECKING:
    from ..indexing.build_in_steps import BuildStep

BATCH = 4
"""Pictures at a time: what a visitor may have to share the processor with."""


class NamedPictures(Protocol):
    """Which pictures, not opened yet: `core.pictures.options.CollectionOptions`."""

    @property
    def pictures(self) -> str:
        """What they are called where they are asked for."""

    @property
    def workers(self) -> int:
        """Threads that read them ahead."""

    def open(self) -> Collection:
        """Open them. Raises UserError."""


class IndexBuilder:
    """What gives setups the index that they lack. One for all setups of a page."""

    def __init__(
        self,
        pictures: NamedPictures,
        rest: Callable[[], None] = lambda: None,
        grew: Callable[[str], None] = lambda _: None,
    ) -> None:
        """From these pictures; `rest` is called before every batch, and returns when others have what they want.

        `grew` is told the name of a setup that takes more memory than before.
        """
        self._pictures, self._rest, self._grew = pictures, rest, grew
        self._turn = Lock()

    def begin(self, bench: Workbench) -> Job[Growth, None] | None:
        """Build the index of a setup in the background; None where it has one."""
        if bench.index is not None:
            return None
        work = partial(self._run, ref(bench), bench.setup)
        bench.making = job = Job(f"making the index of {bench.card.name}", work)
        job.start()
        return job

    # In the job's thread

    def _run(self, held: ref[Workbench], setup: Setup, tell: Callable[[Growth], None]) -> None:
        """Nothing here keeps the workbench, so that it ends when nobody else does."""
        growth = Growth()
        tell(growth)
        with self._turn, closing(self._steps(setup)) as steps:
            for step in steps:
                bench = held()
                if bench is None:
                    return
                if step.index is not None:
                    bench.take_index(step.index)
                del bench
                shown = growth.shown + (step.index is not None)
                of = step.source.get("name", ""), step.source.get(LICENCE, "")  # a folder's name, not the way to it
                growth = Growth(*of, step.done, step.total, step.n_bytes, shown)
                tell(growth)
                if step.index is not None:
                    self._grew(setup.card.name)
                del step  # the workbench may be given a larger index next
                self._rest()

    def _steps(self, setup: Setup) -> Generator[BuildStep]:
        """The building, step by step."""
        from ..indexing.build_in_steps import build_in_steps  # a second, which a page without this saves
        from ..indexing.recipe import IndexRecipe

        try:
            collection = self._pictures.open()
        except UserError:
            if (kept := _kept_of(setup, self._pictures.pictures)) is None:
                raise
            yield kept
            return
        words = probe_words(read_vocabulary(), setup.card.vocabulary, ())
        recipe = IndexRecipe(batch=BATCH, vocabulary=tuple(dict.fromkeys(words)))
        about = json.dumps([dict(collection.manifest), asdict(recipe)], sort_keys=True)
        out = _folder(setup) / hashlib.sha256(about.encode()).hexdigest()[:16]
        with _alone(out):
            yield from build_in_steps(setup, collection, out, recipe, workers=self._pictures.workers)


def _folder(setup: Setup) -> Path:
    """Where the indexes of a setup are kept. Raises UserError where there can be no such folder."""
    try:
        return cached_assets_path("clip-levers", "index", setup.fingerprint, assets_dir=constants.HF_ASSETS_CACHE)
    except (OSError, ValueError) as error:
        raise UserError(
            f"The folder for a concept index cannot be made in {constants.HF_ASSETS_CACHE}: {first_line(error)}. Set "
            "HF_HOME to a folder that can be written."
        ) from error


def _kept_of(setup: Setup, pictures: str) -> BuildStep | None:
    """The newest whole index over pictures of that name that was made here, for when these cannot be asked for."""
    from ..indexing.build_in_steps import BuildStep

    found = []
    for path in _folder(setup).glob(f"*/{index_file.MANIFEST}"):
        with suppress(UserError, OSError):
            index = index_file.load(path.parent, setup.identity)
            if index.manifest.source.get("name") == pictures:
                found.append((path.stat().st_mtime, index))
    if not found:
        return None
    _, index = max(found, key=lambda one: one[0])
    return BuildStep.whole(index)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Let no other server write there. Raises UserError where one does, OSError where nobody can."""
    out.mkdir(exist_ok=True)
    lock = FileLock(f"{out}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserError(
            "Another server on this machine builds this index just now. Start this one again when it is done."
        ) from error
    try:
        yield
    finally:
        lock.release()
