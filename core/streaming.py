"""Streaming of a collection through a model, once: saved on the way, gone on with after a stop, shared among processes.

1. `processes` says who reads. Each process reads every W-th part of the collection, a batch at a time (`stream`), and
   counts what it sees into an accumulator of its own.
2. What is made of a batch does not depend on who makes it: on a CPU each batch is computed by one thread
   (`threads_apart`), since sums over several come in another order, and several at once (`made_of`).
3. The accumulator is saved every so many batches. A run that was stopped at any moment goes on from there: `begin` sees
   that what lies in the folder are the beginnings of the same run, and `restoring` tells what cannot be read of it.
4. At the end the main process adds the accumulators up, writes what comes of them, and clears the beginnings away
   (`end`). `stops_told` turns whatever stops a command into a sentence and an exit code.

On GPUs: `accelerate launch -m core.NAME ...`; on CPUs, of which accelerate starts one process only:
`torchrun --nproc-per-node 2 -m core.NAME ...`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import Any, NoReturn, Protocol, TypeVar

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from PIL import Image
from safetensors import SafetensorError
from tqdm import tqdm

from .errors import UserError
from .files import replacing
from .model.devices import best_device
from .pictures.batches import Batch, batches
from .pictures.collection import Collection, share

WORK = ".work"
"""The folder inside a run's own that holds what is needed to go on with it."""

_OVER = ".work-over"
"""What it is called while it is deleted."""

MOST_THREADS = 8
"""Batches computed at once: each takes memory for the activations of its pictures."""

T = TypeVar("T")

_PATIENCE = timedelta(days=30)
"""How long a process waits for the others, whose pictures may take longer."""


@dataclass(frozen=True)
class Streaming:
    """How a collection is read."""

    batch: int = 32
    """Pictures at a time; numbers depend on it by a few 1e-7."""
    every: int = 100
    """Save after so many batches."""
    workers: int = 0
    """Threads that read pictures ahead."""
    quiet: bool = False
    """Whether no progress is shown."""


class Group(Protocol):
    """The processes that read: what `accelerate.PartialState` is, and `Alone`."""

    @property
    def num_processes(self) -> int:
        """How many."""

    @property
    def process_index(self) -> int:
        """Which of them this is."""

    @property
    def is_main_process(self) -> bool:
        """Whether it is the first."""

    def wait_for_everyone(self) -> None:
        """Go on when all have come so far."""


class Alone:
    """One process that nobody has started others with, whatever it is besides: a server, say."""

    num_processes = 1
    process_index = 0
    is_main_process = True

    def wait_for_everyone(self) -> None:
        """Go on."""


def processes() -> PartialState:
    """This process, and those that accelerate has started with it: on CPUs where there is no CUDA or none is wanted."""
    several = "LOCAL_RANK" in os.environ
    cpu = best_device() == "cpu" or (several and best_device() != "cuda") or parse_flag_from_env("ACCELERATE_USE_CPU")
    return PartialState(cpu=bool(cpu), timeout=_PATIENCE)


@contextmanager
def threads_apart(group: PartialState) -> Iterator[int]:
    """Every thread computes alone; how many of them may: as many as torch would have taken for one sum."""
    threads = torch.get_num_threads()
    if group.device.type != "cpu":
        yield 1
        return
    torch.set_num_threads(1)
    try:
        yield min(threads, MOST_THREADS)
    finally:
        torch.set_num_threads(threads)


def is_whole(out: Path, last: str) -> bool:
    """Whether a run ended in the folder, of which `last` is the file that is written last."""
    return (out / last).exists() and not (out / WORK).exists()


def begin(out: Path, made: str, last: str, settings: Mapping[str, Any], group: Group) -> Path:
    """See that what lies in the folder are the beginnings of this run, or nothing; where they are saved.

    `made` is what is made there, "index" say, and `last` the file of it that is written last. Runs are the same when
    their `settings` are, as JSON, and the number of processes. Raises UserError when the folder holds such a thing
    already, or the beginnings of another.
    """
    settings = json.loads(json.dumps({**settings, "processes": group.num_processes}))  # as it is read again
    work = out / WORK
    path = work / "settings.json"
    if group.is_main_process:
        shutil.rmtree(out / _OVER, ignore_errors=True)
    article = "an" if made[0] in "aeiou" else "a"
    if is_whole(out, last):
        raise UserError(f"The folder {out} holds {article} {made} already. Name another, or delete that one.")
    if path.exists():
        try:
            begun = dict(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise UserError(f"The file {path} cannot be read. Delete the folder {work} to begin anew.") from error
        other = [name for name, value in settings.items() if begun.get(name) != value]
        if other:
            raise UserError(
                f"The folder {work} holds the beginnings of another {made}: its {' and '.join(other)} "
                f"{'differs' if len(other) == 1 else 'differ'}. Repeat that command, or delete the folder."
            )
    elif group.is_main_process:
        work.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            beside.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    group.wait_for_everyone()
    return work


@contextmanager
def restoring(work: Path) -> Iterator[None]:
    """What goes wrong when that which was saved is read, as a sentence."""
    try:
        yield
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise UserError(f"What was saved in {work} cannot be read: {error}. Delete it to start afresh.") from error


def stream(
    collection: Collection,
    crop: Callable[[Image.Image], np.ndarray],
    group: Group,
    how: Streaming,
    *,
    after: tuple[int, int] | None,
    seen: int,
    save: Callable[[], None],
) -> Iterator[Batch]:
    """This process's batches of a collection, behind the last that is done: `after`, its part and its number.

    `seen` pictures were read before. `save` is called after every `how.every` batches, once they are dealt with: when
    the next is asked for.
    """
    parts = share(collection.n_parts, group.process_index, group.num_processes)
    with tqdm(
        total=None if collection.size is None else collection.size // group.num_processes,
        initial=seen,
        unit=" pictures",
        disable=how.quiet or not group.is_main_process,
        desc="Reading" if group.num_processes == 1 else f"Reading (1 of {group.num_processes} processes)",
    ) as bar:
        for number, batch in enumerate(batches(collection, crop, how.batch, parts, after, how.workers), 1):
            yield batch
            bar.update(len(batch.ids) + batch.skipped)
            if number % how.every == 0:
                save()


def made_of(found: Iterable[Batch], make: Callable[[Batch], T], threads: int = 1) -> Generator[tuple[Batch, T]]:
    """Each batch, in their order, and what `make` makes of it; so many threads make it, of so many batches at once."""
    if threads == 1:
        for batch in found:
            yield batch, make(batch)
        return
    # MKL counts threads for each thread: a new one would take as many as OMP_NUM_THREADS says
    pool = ThreadPoolExecutor(threads, "batches", initializer=torch.set_num_threads, initargs=(1,))
    waiting: deque[tuple[Batch, Future[T]]] = deque()
    try:
        for batch in found:
            waiting.append((batch, pool.submit(make, batch)))
            if len(waiting) >= threads:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def held_back() -> Iterator[None]:
    """A stop (Ctrl-C, SIGTERM) comes when what is done inside is done whole."""
    if current_thread() is not main_thread():  # there it never comes
        yield
        return
    came: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, hold) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def end(out: Path) -> None:
    """Clear the beginnings away, now that what they were for is there."""
    os.replace(out / WORK, out / _OVER)  # renamed, it is no longer taken for the beginnings of anything
    shutil.rmtree(out / _OVER)


# ---- the command


@contextmanager
def stops_told(group: PartialState, out: Path, batch: int, code: int = 1) -> Iterator[None]:
    """End a command with a sentence, and an exit code, for whatever stops it; `code` for what it cannot use.

    SIGTERM, by which a CI or a launcher ends it, is a stop as Ctrl-C is. What a stop says more is told.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt as stop:
        goes_on = f"What was saved is in {out / WORK}; the same command goes on from there."
        fail(group, " ".join(["Stopped.", *map(str, stop.args), goes_on]), 130)
    except UserError as trouble:
        fail(group, str(trouble), code)
    except torch.OutOfMemoryError:
        fail(group, f"{batch} pictures at a time take too much memory. Choose a smaller --batch.", code)
    except (OSError, SafetensorError) as error:
        fail(group, f"Files in {out} cannot be read or written: {error}. The same command tries again.", code)
    finally:
        signal.signal(signal.SIGTERM, before)


def fail(group: PartialState, said: str, code: int) -> NoReturn:
    """End with a sentence. That of another process than the main one may be the only one that says why."""
    who = "" if group.is_main_process else f"Process {group.process_index + 1} of {group.num_processes}: "
    print(f"{who}{said}", file=sys.stderr)
    sys.exit(code)
