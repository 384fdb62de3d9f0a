"""Pictures by the thousand, in a fixed order: a folder, a data set of the Hub, or scenes drawn by this project.

1. A collection comes in parts: runs of 256 pictures of a folder, the files of a data set. Several processes share the
   parts out among them (`share`), and each reads its parts from beginning to end, or from where it stopped.
2. Within a part nothing is decoded before it is needed, so that skipping what is done already costs little.
3. `batches` makes of the parts what a model reads: crops, some hundred at a time, decoded ahead by several threads. A
   batch never holds pictures of two parts, so what is in it does not depend on how many processes there are.

A picture that cannot be read is counted and left out; it never ends a run of hours.
"""

import argparse
import hashlib
import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from threading import local
from typing import Any, NamedTuple, TypeVar

import fsspec
import numpy as np
from huggingface_hub import HfApi
from PIL import Image

from ..errors import UserError
from ..files import as_text
from .read import FORMATS, read_picture

PART = 256
"""Pictures in a part of a folder, or of scenes."""

_FEW_FILES = 64
"""A data set of fewer files is divided further, by the row groups of its files, where their format has such."""

T = TypeVar("T")


class Piece(NamedTuple):
    """One picture of a collection."""

    id: int
    """Its part times 2^32 plus its place in the part: the same whoever reads it."""
    picture: Image.Image | None
    """Upright, in RGB; None for one that could not be read."""
    trouble: str = ""
    """Why it could not."""


class Collection(ABC):
    """Pictures in a fixed order. Read-only; several threads and processes may read at a time."""

    said: Mapping[str, str]
    """What identifies it, for manifests: its kind ("folder", "dataset" or "scenes"), its name, and more."""
    n_parts: int
    """It comes in so many parts."""
    size: int | None
    """Pictures, those that cannot be read included; None where that is not known before they are read."""

    @abstractmethod
    def entries(self, number: int, start: int = 0) -> Iterator[Any]:
        """The pictures of a part from its start-th on, not yet decoded: what `picture` takes."""

    @abstractmethod
    def picture(self, entry: Any) -> Image.Image:
        """Decode an entry: upright, in RGB. Raises UserError for one that cannot be read."""

    def part(self, number: int, start: int = 0) -> Iterator[Piece]:
        """The pictures of a part from its start-th on. Raises UserError when the part itself cannot be read."""
        for place, entry in enumerate(self.entries(number, start), start):
            yield self.piece(number, place, entry)

    def piece(self, number: int, place: int, entry: Any) -> Piece:
        """Decode an entry, or tell why not."""
        id_ = (number << 32) + place
        try:
            return Piece(id_, self.picture(entry))
        except UserError as trouble:
            return Piece(id_, None, str(trouble))


@dataclass(frozen=True)
class Batch:
    """Some pictures of one part, as a model reads them."""

    part: int
    """Which part."""
    number: int
    """Which batch of that part, from 0."""
    ids: np.ndarray
    """int64 [B]: of the pictures that could be read, see `Piece`."""
    crops: np.ndarray
    """uint8 [B, S, S, 3]. B may be 0."""
    skipped: int
    """Pictures that could not be read, and are not among the B."""


def open_collection(
    name: str,
    *,
    split: str = "train",
    column: str | None = None,
    revision: str | None = None,
    config: str | None = None,
    limit: int | None = None,
) -> Collection:
    """The collection of that name: "scenes:training" or "scenes:index", a folder, or a data set of the Hub.

    A folder that holds no pictures, but files of a data set (parquet, say), is read as that data set. `split`,
    `column` (by default the first of pictures), `revision` and `config` are for data sets. `limit` is how many
    pictures to take in all, spread evenly over a folder, or over the files of a data set.
    Raises UserError when there is no such collection, or nothing in it.
    """
    if limit is not None and limit < 1:
        raise UserError(f"A collection of {limit} pictures holds nothing. Take 1 or more.")
    kind, _, which = name.partition(":")
    if kind == "scenes":
        return scenes_named(which, limit)
    folder = Path(name).expanduser()
    if folder.is_dir():
        files = picture_files(folder)
        if files:
            return Folder(folder, files, limit)
    return _data_set(name, split, column, revision, config, limit)


def add_collection_options(parser: argparse.ArgumentParser, scenes: str) -> None:
    """Let a command be told which collection; `scenes` are the ones that suit it. `chosen_collection` opens it."""
    options = parser.add_argument_group("the pictures")
    options.add_argument("--pictures", required=True, help=f"a folder, a data set of the Hub, or {scenes}")
    options.add_argument("--limit", type=int, help="pictures to take in all, spread evenly; by default all")
    options.add_argument("--split", default="train", help="of a data set")
    options.add_argument("--column", help="of a data set; by default the first that holds pictures")
    options.add_argument("--config", help="of a data set")
    options.add_argument("--revision", help="of a data set: a branch, a tag or a commit; by default the newest")
    options.add_argument("--workers", type=int, default=4, help="threads that read pictures ahead")


def chosen_collection(arguments: argparse.Namespace) -> Collection:
    """The collection that was named, as `open_collection` opens it. Raises UserError where it cannot."""
    if arguments.workers < 0:
        raise UserError(f"There cannot be {arguments.workers} workers. Name 0 or more.")
    names = ("split", "column", "config", "revision", "limit")
    return open_collection(arguments.pictures, **{name: getattr(arguments, name) for name in names})


def share(n_parts: int, rank: int = 0, world: int = 1) -> range:
    """The parts that process `rank` of `world` reads: every world-th."""
    return range(rank, n_parts, world)


# ---- a folder


def picture_files(folder: Path) -> tuple[str, ...]:
    """The pictures anywhere below a folder, as paths from there, sorted; what is hidden is left out.

    Pictures are files whose names end as those of the formats that `core.pictures.read` reads.
    """
    endings = {end for end, format_ in Image.registered_extensions().items() if format_ in FORMATS}
    found = []
    for above, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(above).relative_to(folder)
        found += [
            (inside / name).as_posix()
            for name in names
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in endings
        ]
    return tuple(sorted(found))


class Folder(Collection):
    """The pictures below a folder."""

    def __init__(self, folder: Path, files: Sequence[str], limit: int | None = None) -> None:
        """Hold `files`, paths from `folder`, or `limit` of them, evenly spread."""
        self._folder = folder
        self._files = _spread(files, limit)
        self.size = len(self._files)
        self.n_parts = -(-self.size // PART)
        self.said = {
            "kind": "folder",
            "name": as_text(folder.resolve().name),
            "pictures": str(self.size),
            "fingerprint": _fingerprint(folder, self._files),
        }

    def entries(self, number: int, start: int = 0) -> Iterator[str]:
        """Paths from the folder."""
        yield from self._files[number * PART : (number + 1) * PART][start:]

    def picture(self, entry: str) -> Image.Image:
        """Read the file."""
        return read_picture(self._folder / entry)


def _fingerprint(folder: Path, files: Iterable[str]) -> str:
    """A hash over the files' paths and sizes: 16 digits of SHA-256."""
    digest = hashlib.sha256()
    for name in files:
        digest.update(f"{name}\0{(folder / name).stat().st_size}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _spread(things: Sequence[T], limit: int | None) -> Sequence[T]:
    """`limit` of them, evenly spread, or all."""
    count = len(things)
    if limit is None or limit >= count:
        return things
    return [things[i * count // limit] for i in range(limit)]


# ---- scenes


def scenes_named(which: str, limit: int | None = None) -> "Scenes":
    """The scenes that trained the bundled dictionary ("training"), or held-out ones ("index"); the first `limit`."""
    from ..scenes import sampling  # what most runs do without

    if which not in sampling.COLLECTIONS:
        known = " or ".join(f"scenes:{name}" for name in sampling.COLLECTIONS)
        raise UserError(f"There are no scenes called “{which}”. Choose {known}.")
    count, draw = sampling.COLLECTIONS[which]
    count = count if limit is None else min(limit, count)
    return Scenes(draw(count), {"kind": "scenes", "name": f"scenes:{which}", "pictures": str(count)})


class Scenes(Collection):
    """Scenes, painted when they are asked for."""

    def __init__(self, scenes: Sequence[Any], said: Mapping[str, str]) -> None:
        """Hold `scenes` (`core.scenes.scene.Scene`)."""
        self.scenes = scenes
        self.said = said
        self.size = len(scenes)
        self.n_parts = -(-self.size // PART)
        self._painters = local()  # a painter keeps what it has drawn, which threads should not share

    def entries(self, number: int, start: int = 0) -> Iterator[Any]:
        """Scenes."""
        yield from self.scenes[number * PART : (number + 1) * PART][start:]

    def picture(self, entry: Any) -> Image.Image:
        """Paint it, at the size that the bundled CLIP sees."""
        if not hasattr(self._painters, "own"):
            from ..scenes.sampling import SIDE
            from ..scenes.scene import Painter

            self._painters.own = Painter(SIDE)
        return Image.fromarray(self._painters.own.paint(entry))


# ---- a data set


class DataSet(Collection):
    """A streamed data set of the library `datasets`; its files are the parts."""

    def __init__(self, dataset: Any, column: str, said: Mapping[str, str], limit: int | None = None) -> None:
        """Hold a `datasets.IterableDataset` that does not decode; `column` holds its pictures."""
        self._dataset, self._column = dataset, column
        self.n_parts = dataset.num_shards
        splits = dataset.info.splits or {}
        known = splits[said["split"]].num_examples if said["split"] in splits else None
        self.size = min((n for n in (limit, known) if n), default=None)
        self._limit = limit
        self.said = said if limit is None else {**said, "limit": str(limit)}

    def entries(self, number: int, start: int = 0) -> Iterator[Any]:
        """What the column holds: bytes, a path, or both."""
        end = None
        if self._limit is not None:
            end = self._limit * (number + 1) // self.n_parts - self._limit * number // self.n_parts
            if start >= end:
                return
        with _streaming(self.said["name"]):
            rows = self._dataset.shard(num_shards=self.n_parts, index=number).skip(start)
            for row in islice(rows, None if end is None else end - start):
                if self._column not in row:
                    raise UserError(
                        f"The data set {self.said['name']} has no column “{self._column}”. "
                        f"It has: {', '.join(row)}. Name one of them as the column of pictures."
                    )
                yield row[self._column]

    def picture(self, entry: Any) -> Image.Image:
        """Decode it."""
        if isinstance(entry, Mapping):
            entry = entry.get("bytes") or entry.get("path")
        if isinstance(entry, str):
            try:
                with fsspec.open(entry, "rb") as file:
                    entry = file.read()
            except (OSError, ValueError) as error:
                raise UserError(f"The file {entry} of the data set cannot be opened.") from error
        if entry is None or isinstance(entry, bytes | Image.Image):
            return read_picture(entry)
        raise UserError(f"The data set holds {type(entry).__name__} where a picture should be.")


def _data_set(
    name: str, split: str, column: str | None, revision: str | None, config: str | None, limit: int | None
) -> DataSet:
    """Open a data set: of the Hub, at one commit, or in a folder."""
    import datasets  # a second, which other collections save

    folder = Path(name).expanduser()
    said = {"kind": "dataset", "name": name, "split": split}
    with _opening(name):
        if folder.is_dir():
            files = sorted(
                path.relative_to(folder).as_posix()
                for path in folder.rglob("*")
                if path.is_file() and not path.name.startswith(".")
            )
            if not files:
                raise UserError(f"The folder {name} holds no pictures. Choose another.")
            said["name"], said["fingerprint"] = as_text(folder.resolve().name), _fingerprint(folder, files)
            name = str(folder)
        elif name.startswith((".", "/", "~")) or name.count("/") > 1:
            raise UserError(f"There is no folder {name}. Correct the path, or name a data set of the Hub.")
        else:
            revision = HfApi().dataset_info(name, revision=revision).sha
            said["revision"] = revision or ""
        dataset = datasets.load_dataset(name, config, split=split, revision=revision, streaming=True)
        if dataset.num_shards < _FEW_FILES:
            dataset = dataset.reshard()
        features = dataset.features or {}
        if features:
            dataset = dataset.decode(False)
    if config is not None:
        said["config"] = config
    if column is None:
        column = next((key for key, kind in features.items() if isinstance(kind, datasets.Image)), None)
    if column is None or features and column not in features:
        wanted = "no column of pictures" if column is None else f"no column “{column}”"
        has = f" It has: {', '.join(features)}." if features else ""
        raise UserError(f"The data set {said['name']} has {wanted}.{has} Name the column that holds pictures.")
    if features:
        dataset = dataset.select_columns([column])
    return DataSet(dataset, column, {**said, "column": column}, limit)


@contextmanager
def _opening(name: str) -> Iterator[None]:
    """Whatever `datasets` and the Hub raise over a data set that cannot be opened, as a sentence."""
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        yield
    except UserError:
        raise
    except GatedRepoError as error:
        raise UserError(
            f"The data set {name} is gated: accept its terms on the Hub, log in with `hf auth login`, and try again."
        ) from error
    except (RepositoryNotFoundError, DatasetNotFoundError) as error:
        raise UserError(
            f"There is no data set {name} on the Hub, nor a folder of that name here, or it is private or gated. "
            "Correct the name, or log in with `hf auth login`."
        ) from error
    except OfflineModeIsEnabled as error:
        raise UserError(
            f"The data set {name} is on the Hub, and HF_HUB_OFFLINE forbids asking it. Unset that."
        ) from error
    except Exception as error:
        if _no_network(error):
            raise UserError(
                f"The Hub cannot be reached for the data set {name}. Try again later, or name a folder."
            ) from error
        raise UserError(
            f"The data set {name} cannot be opened: {_first_line(error)}. Choose what it offers."
        ) from error


@contextmanager
def _streaming(name: str) -> Iterator[None]:
    """What breaks on the way through a data set, as a sentence."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"The data set {name} could not be read any further: {_first_line(error)}. Run the same command again to "
            "go on."
        ) from error


def _no_network(error: BaseException | None) -> bool:
    import httpx2

    while error is not None:
        if isinstance(error, ConnectionError | TimeoutError | httpx2.TransportError):
            return True
        error = error.__cause__
    return False


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "")[:200].rstrip(".") or type(error).__name__


# ---- batches


def batches(
    collection: Collection,
    crop: Callable[[Image.Image], np.ndarray],
    size: int,
    parts: Iterable[int],
    after: tuple[int, int] | None = None,
    workers: int = 0,
) -> Iterator[Batch]:
    """The pictures of some parts, part by part, in batches of at most `size`.

    `crop` makes of a picture what the model sees of it, uint8 [S, S, 3]. `after` names the last batch that is done
    already: its part and its number. `workers` threads decode and crop ahead of whoever asks, at most two batches.
    Raises UserError when a part cannot be read.
    """
    parts = list(parts)
    if after is not None:
        parts = parts[parts.index(after[0]) :]

    def read(number: int, place: int, entry: Any) -> tuple[int, np.ndarray | None]:
        piece = collection.piece(number, place, entry)
        return piece.id, None if piece.picture is None else crop(piece.picture)

    def tasks() -> Iterator[tuple[int, int, Callable[[], tuple[int, np.ndarray | None]]]]:
        """What to read, with its part and the number of its batch."""
        for part in parts:
            first = (after[1] + 1) * size if after is not None and part == after[0] else 0
            for place, entry in enumerate(collection.entries(part, first), first):
                yield part, place // size, partial(read, part, place, entry)

    key: tuple[int, int] | None = None
    held: list[tuple[int, np.ndarray | None]] = []
    for part, number, pair in _ahead(tasks(), workers, 2 * size):
        if key is not None and key != (part, number):
            yield _batch(*key, held, crop)
            held = []
        key = part, number
        held.append(pair)
    if key is not None:
        yield _batch(*key, held, crop)


def _batch(part: int, number: int, held: Sequence[tuple[int, np.ndarray | None]], crop: Callable) -> Batch:
    good = [(id_, seen) for id_, seen in held if seen is not None]
    if good:
        crops = np.stack([seen for _, seen in good])
    else:
        crops = crop(Image.new("RGB", (64, 64)))[None][:0]
    return Batch(part, number, np.array([id_ for id_, _ in good], dtype=np.int64), crops, len(held) - len(good))


def _ahead(tasks: Iterator[tuple[int, int, Callable[[], T]]], workers: int, depth: int) -> Iterator[tuple[int, int, T]]:
    """What the tasks return, in their order, run by so many threads, and at most `depth` of them ahead."""
    if not workers:
        for part, number, task in tasks:
            yield part, number, task()
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pictures")
    waiting: deque[tuple[int, int, Future[T]]] = deque()
    try:
        for part, number, task in tasks:
            waiting.append((part, number, pool.submit(task)))
            if len(waiting) >= depth:
                part, number, future = waiting.popleft()
                yield part, number, future.result()
        while waiting:
            part, number, future = waiting.popleft()
            yield part, number, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
