"""Reader of zip archives that anybody may have made: pictures are read in place, and nothing is ever written.

1. The archive's directory is read, no more of it than the bounds allow, and its entries are looked at by what they
   claim to be: a path that leads out of the archive, a link, an encrypted entry, one that unpacks to too much, and a
   second one of the same path are left out, with the reason.
2. A single folder that holds all pictures is the archive's root.
3. A picture is unpacked when it is read, in memory, never to more bytes than it claimed. One whose checksum is wrong
   is trouble then, as any damaged picture is.

Entries are stored or deflated, as every program packs pictures. The other methods of the format are left out: Python's
decompress some of them without a bound.
"""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from zlib import error as DeflateError

from ..errors import UserError, echo, printable
from ..words import size_in_words
from .intake import MEGABYTE, Bounds, LeftOut

ARCHIVE_MARKS = (b"PK\x03\x04", b"PK\x05\x06")
"""How a zip begins, and an empty one."""
OTHER_ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"})
"""Endings of archives, which are not looked into within another."""
TABLES = frozenset({".csv", ".tsv", ".jsonl"})
"""Endings of files that may hold labels."""
LONGEST_NAME = 1_000
"""Characters of a path in an archive."""
MOST_BYTES = 2**29
"""Of one picture in an archive where there are no other bounds: a TIFF of 24 megapixels needs 400 MB at most."""

_ENTRY = 512
"""Bytes of the directory for an entry, taken generously: 46 and its path."""
_SYSTEM = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
"""What systems put into archives unasked; as hidden files, nobody misses them."""


def is_archive(path: Path) -> bool:
    """Whether a file is a zip, by its name or by its first bytes."""
    if path.suffix.lower() == ".zip":
        return True
    try:
        with path.open("rb") as file:
            return file.read(4) in ARCHIVE_MARKS
    except OSError:
        return False


class _BoundedFile(io.BufferedReader):
    """An archive's bytes; while its directory is read, no more than `most` of them at once."""

    most: int | None = None

    def read(self, size: int | None = -1) -> bytes:
        if self.most is not None and size is not None and size > self.most:
            raise UserError("The archive lists too many files. Bring fewer of them.")
        return super().read(size)


class Archive:
    """A zip's pictures and tables, by their paths from its root. Several threads may read at a time."""

    n_entries: int
    """Of whatever kind."""
    pictures: Mapping[str, zipfile.ZipInfo]
    """Sorted by path, as far as its characters can be seen."""
    tables: dict[str, zipfile.ZipInfo]
    """Files at the root that may hold labels."""
    left_out: tuple[LeftOut, ...]
    """All other entries but folders and hidden files."""

    def __init__(self, path: Path, endings: frozenset[str], bounds: Bounds | None = None) -> None:
        """Look through the directory; pictures are the files with these endings.

        Raises UserError when the file is no zip or its directory is damaged, and when it lists more files than the
        bounds allow.
        """
        self._bounds = bounds
        self._most = MOST_BYTES if bounds is None else bounds.each
        self._zip = _opened(path, bounds)
        entries = self._zip.infolist()
        self.n_entries = len(entries)
        if bounds is not None and self.n_entries > bounds.files:
            raise UserError(f"The archive lists {self.n_entries:,} files, more than {bounds.files:,}. Bring fewer.")
        found: dict[str, zipfile.ZipInfo] = {}
        tables: dict[str, zipfile.ZipInfo] = {}
        left_out: list[LeftOut] = []
        for info in entries:
            path_inside = _path_of(info)
            parts = PurePosixPath(path_inside).parts
            if path_inside.endswith("/") or any(map(_hidden, parts)):
                continue
            trouble = self._trouble(info, path_inside)
            name = printable("/".join(parts))
            ending = PurePosixPath(name).suffix.lower()
            into = tables if ending in TABLES else found
            if not trouble and ending not in endings | TABLES:
                trouble = _no_picture(ending)
            if not trouble and name in into:
                trouble = "Another file in the archive has the same path, and is taken."
            if trouble:
                left_out.append((echo(printable(path_inside)), trouble))
            else:
                into[name] = info
        root = _common_folder(found)
        self.pictures = {name[len(root) :]: found[name] for name in sorted(found)}
        self.tables = {}
        for name, info in tables.items():
            if name.startswith(root) and "/" not in name[len(root) :]:
                self.tables[name[len(root) :]] = info
            else:
                left_out.append((echo(name), _no_picture("")))
        self.left_out = tuple(left_out)

    def _trouble(self, info: zipfile.ZipInfo, path: str) -> str:
        """Why an entry is left out by what it claims to be; "" where it is not."""
        parts = path.split("/")
        bounds = self._bounds
        if path.startswith("/") or ".." in parts or path[1:2] == ":":
            return "Its path leads out of the archive."
        if len(path) > LONGEST_NAME:
            return f"Its path is longer than {LONGEST_NAME:,} characters."
        if bounds is not None and len(parts) - 1 > bounds.depth:
            return f"It lies more than {bounds.depth} folders deep."
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            return "It is a link or a device, not a file."
        if info.flag_bits & 0x1:
            return "It is encrypted. Pack it without a password."
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return "It is compressed in an unusual way. Pack it as an ordinary zip."
        if info.file_size > self._most:
            return f"It unpacks to {size_in_words(info.file_size)}, more than {size_in_words(self._most)}."
        large = info.file_size > MEGABYTE
        if bounds is not None and large and info.file_size > bounds.ratio * max(info.compress_size, 1):
            return f"It unpacks to more than {bounds.ratio} times its size. Pack pictures as PNG or JPEG."
        return ""

    def read(self, info: zipfile.ZipInfo) -> bytes:
        """Unpack an entry. Raises UserError for a damaged one."""
        try:
            with self._zip.open(info) as file:
                return file.read(info.file_size)
        except (zipfile.BadZipFile, DeflateError, EOFError, OSError, RuntimeError, ValueError) as error:
            raise UserError("It is damaged within the archive. Pack it anew.") from error


def _opened(path: Path, bounds: Bounds | None) -> zipfile.ZipFile:
    """A zip with its directory read."""
    try:
        file = _BoundedFile(io.FileIO(path))
    except OSError as error:
        raise UserError(f"The archive “{echo(path.name)}” cannot be opened. Bring it again.") from error
    file.most = None if bounds is None else max(_ENTRY * bounds.files, 2**17)
    try:
        opened = zipfile.ZipFile(file)
    except UserError:
        file.close()
        raise
    except Exception as error:  # a damaged directory breaks the reader in many ways
        file.close()
        raise UserError(
            f"The archive “{echo(path.name)}” cannot be read as a zip. Pack the pictures into a zip anew."
        ) from error
    file.most = None
    return opened


def _path_of(info: zipfile.ZipInfo) -> str:
    """The path of an entry with slashes. Names that are UTF-8 without saying so are taken as that."""
    name = info.filename
    if not info.flag_bits & 0x800:
        with suppress(UnicodeError):  # else it is what it says: the letters of the first PCs
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _hidden(part: str) -> bool:
    return part in _SYSTEM or (part.startswith(".") and part != "..")


def _no_picture(ending: str) -> str:
    if ending in OTHER_ARCHIVES:
        return "It is an archive within the archive. Take its pictures out."
    return "It is no picture, by its name."


def _common_folder(names: Mapping[str, zipfile.ZipInfo]) -> str:
    """The single folder that everything lies in, with a slash; "" where there is none."""
    firsts = {name.partition("/")[:2] for name in names}
    if len(firsts) == 1:
        [(first, slash)] = firsts
        return first + slash if slash else ""
    return ""
