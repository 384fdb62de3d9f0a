"""Collections: pictures by the thousand in a fixed order, out of files, or scenes drawn by this project.

1. A collection comes in parts: runs of 256 files, the files of a data set (`core.pictures.hub_dataset`).
   Several processes share the parts out among them (`share`), and each reads its parts from beginning to end, or from
   where it stopped.
2. Within a part nothing is decoded before it is needed, so that skipping what is done already costs little.
3. `core.pictures.batches` makes of the parts what a model reads.

A picture that cannot be read is named, with the reason, and left out; it never ends a run of hours.
"""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import local
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from PIL import Image

from ..errors import UserError, echo, printable
from ..hashing import drawn_order
from .intake import Intake
from .labels import Known, Others
from .read import FORMATS, HEIC_ENDINGS, MAX_PIXELS, read_picture

PART = 256
"""Pictures in a part of files, or of scenes."""
LICENCE = "licence"
"""What a manifest calls the licence of the pictures, where that is known."""

T = TypeVar("T")


class About(NamedTuple):
    """What is known of a picture before it is decoded."""

    name: str
    """What its collection calls it: a path, mostly. No other picture there is called so."""
    label: str | None = None
    """The class that it shows; None without one."""
    group: str | None = None
    """What else it is told apart by, such as a place or a camera; None without one."""
    others: Others = ()
    """What other columns of its table say of it, or of its data set."""


class Piece(NamedTuple):
    """One picture of a collection."""

    id: int
    """Its part times 2^32 plus its place in the part: the same whoever reads it."""
    name: str
    """See `About`."""
    label: str | None
    """See `About`."""
    group: str | None
    """See `About`."""
    others: Others
    """See `About`."""
    picture: Image.Image | None
    """Upright, in RGB; None for one that could not be read."""
    trouble: str = ""
    """Why it could not."""


class Collection(ABC):
    """Pictures in a fixed order. Read-only; several threads and processes may read at a time."""

    manifest: Mapping[str, str]
    """What identifies it, for manifests: its kind (such as "folder" or "dataset"), its name, and more."""
    n_parts: int
    """It comes in so many parts."""
    size: int | None
    """Pictures, those that cannot be read included; None where that is not known before they are read."""
    classes: tuple[str, ...] = ()
    """The labels that its pictures may have; none where there are none, or not known before they are read."""
    splits: tuple[str, ...] = ()
    """The parts that its data set comes in, as that names them; nothing for what is none."""
    intake: Intake = Intake()
    """What was taken of what somebody gave, and what was not."""
    seconds: float | None = None
    """Pictures that are not read within so long, from the first on, are left out; None for no such bound."""

    @abstractmethod
    def entries(self, number: int, start: int = 0) -> Iterator[Any]:
        """The pictures of a part from its start-th on, not yet decoded: what `picture` takes."""

    @abstractmethod
    def picture(self, entry: Any) -> Image.Image:
        """Decode an entry: upright, in RGB. Raises UserError for one that cannot be read."""

    def about(self, number: int, place: int, entry: Any) -> About:  # noqa: ARG002
        """What is known of the entry at a place of a part: here no more than where it stands."""
        return About(f"{number}/{place}")

    def drawn(self) -> "Collection":
        """The same pictures in an order that a hash of their names fixes; itself where that cannot be had."""
        return self

    def part(self, number: int, start: int = 0) -> Iterator[Piece]:
        """The pictures of a part from its start-th on. Raises UserError when the part itself cannot be read."""
        for place, entry in enumerate(self.entries(number, start), start):
            yield self.piece(number, place, entry)

    def piece(self, number: int, place: int, entry: Any) -> Piece:
        """Decode an entry, or tell why not."""
        known = (number << 32) + place, *self.about(number, place, entry)
        try:
            return Piece(*known, self.picture(entry))
        except UserError as trouble:
            return Piece(*known, None, str(trouble))


def share(n_parts: int, rank: int = 0, world: int = 1) -> range:
    """The parts that process `rank` of `world` reads: every world-th."""
    return range(rank, n_parts, world)


# ---- files


ENDINGS = frozenset(end for end, format_ in Image.registered_extensions().items() if format_ in FORMATS) | HEIC_ENDINGS
"""How names of pictures end, in small letters: those of the formats that `core.pictures.read` reads."""


def picture_files(folder: Path, most: int | None = None) -> tuple[str, ...]:
    """The pictures anywhere below a folder, as paths from there, sorted; what is hidden is left out.

    Raises UserError for more than `most` files, pictures or not.
    """
    found, seen = [], 0
    for above, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        seen += len(names)
        if most is not None and seen > most:
            raise UserError(f"There are more than {most:,} files below {echo(folder)}. Name a folder further down.")
        inside = Path(above).relative_to(folder)
        found += [
            (inside / name).as_posix()
            for name in names
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in ENDINGS
        ]
    return tuple(sorted(found))


class Files(Collection):
    """Pictures that lie in files: of a folder, of an archive, or given one by one. Its entries are their names."""

    def __init__(
        self,
        names: Sequence[str],
        read: Callable[[str], Path | bytes],
        manifest: Mapping[str, str],
        known: Mapping[str, Known] = MappingProxyType({}),
        pixels: int = MAX_PIXELS,
        others: Mapping[str, Others] = MappingProxyType({}),
    ) -> None:
        """Hold `names`; `read` gives the file of one, or what is in it.

        `known` is what is known of some of them, `others` what other columns say.
        """
        self._names, self._read, self._known, self._pixels, self._others = names, read, known, pixels, others
        self.size = len(names)
        self.n_parts = -(-self.size // PART)
        self.manifest = manifest
        self.classes = tuple(sorted({label for name in names if name in known and (label := known[name].label)}))

    def drawn(self) -> "Files":
        """The same files, in an order that a hash of their names fixes."""
        names = [self._names[i] for i in drawn_order(self._names)]
        other = Files(names, self._read, self.manifest, self._known, self._pixels, self._others)
        other.intake, other.seconds = self.intake, self.seconds
        return other

    def entries(self, number: int, start: int = 0) -> Iterator[str]:
        """Names."""
        yield from self._names[number * PART : (number + 1) * PART][start:]

    def picture(self, entry: str) -> Image.Image:
        """Read the file of that name."""
        return read_picture(self._read(entry), self._pixels)

    def about(self, number: int, place: int, entry: str) -> About:  # noqa: ARG002
        """Its name, as far as it can be seen, and what is known of it."""
        label, group = self._known.get(entry, (None, None))
        return About(printable(entry), label, group, self._others.get(entry, ()))


def fingerprint(files: Iterable[tuple[str, int]]) -> str:
    """A hash over files' paths and sizes: 16 digits of SHA-256."""
    digest = hashlib.sha256()
    for name, size in files:
        digest.update(f"{name}\0{size}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def spread(things: Sequence[T], limit: int | None) -> Sequence[T]:
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

    def __init__(self, scenes: Sequence[Any], manifest: Mapping[str, str]) -> None:
        """Hold `scenes` (`core.scenes.scene.Scene`)."""
        from ..scenes.scene import CLASSES

        self.scenes = scenes
        self.manifest = manifest
        self.classes = CLASSES
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

    def about(self, number: int, place: int, entry: Any) -> About:
        """Its number; what it shows, and what may mislead there (`core.scenes.factors`)."""
        from ..scenes.factors import kind_of, truth_of

        name = f"{self.manifest['name']}/{number * PART + place}"
        return About(name, truth_of(entry), kind_of(entry))
