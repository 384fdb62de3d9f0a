"""Paths of the files that come with the package, text out of anybody's files, and files written at once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

_INSTALLED = Path(__file__).parent / "assets"

ASSETS = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[1] / "assets"
"""The catalog, weights, examples, templates and styles: inside an installed package, beside `core` in a checkout."""


def as_text(name: str) -> str:
    """A name of a file system, which may be any bytes, with a “?” for what is no text."""
    return name.encode(errors="replace").decode()


def decoded(data: bytes) -> tuple[str, bool]:
    """The text in a file's bytes, and whether its encoding was guessed: UTF-8 or UTF-16 by its mark, else Windows-1252.

    The last is what spreadsheets of the West write; as nobody says so, other letters may come out wrong.
    """
    try:
        return data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"), False
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), True


@contextmanager
def replacing(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Where to write what then becomes the file `path`, at once: whoever reads it finds the old one or the new, whole.

    The new one is on the disk before it takes the old one's place. Where writing fails, the old one stays. With
    `shared` several may write at a time; one that is killed then leaves a file beside it behind.
    """
    beside = path.with_name(f"{path.name}.{uuid4().hex}.part" if shared else f"{path.name}.part")
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
