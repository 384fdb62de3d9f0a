"""The files of a dictionary: found by their patterns, looked at before they are read, and named in sentences."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path, PurePosixPath
from types import NoneType

from ...errors import UserError

_SHOWN = 6
"""Names in a sentence."""

_LETTERS = 40
"""Of a name in a sentence."""


def inside(folder: str, name: str) -> str:
    """The path of a file in a folder, both relative to the repository's root."""
    return str(PurePosixPath(folder, name))


def matching(root: Path, pattern: str) -> list[Path]:
    """The files of a pattern, sorted; the very path of one without a `*`, whether it is there or not."""
    return sorted(root.glob(pattern)) if "*" in pattern else [root / pattern]


def single(found: Iterable[Path], pattern: str) -> Path:
    """The one file among those found. Raises UserError for none, or several."""
    paths = list(found)
    if len(paths) != 1:
        there_is = f"several: {few([path.name for path in paths])}" if paths else "none"
        raise UserError(f"One file {pattern} is needed, and there is {there_is}. Name the file in the catalog.")
    return paths[0]


def only(root: Path, pattern: str) -> Path:
    """The one file of a pattern. Raises UserError for none, or several."""
    return single(matching(root, pattern), pattern)


def begins(path: Path, file: str, start: bytes | None) -> Path:
    """`path`, after a look at its first bytes. Raises UserError if it is not there, is empty, or begins otherwise."""
    try:
        with path.open("rb") as stream:
            begin = stream.read(40)
    except OSError as error:
        raise UserError(f"{file} is not there, or cannot be read. Choose a place that holds it.") from error
    if not begin:
        raise UserError(f"{file} is empty. Download it again.")
    if start is not None and not begin.startswith(start):
        shown = begin.decode("ascii", "backslashreplace")
        raise UserError(f"{file} begins with “{shown}”, which this layout does not. Choose another file or layout.")
    return path


def few(names: Iterable[object]) -> str:
    """Names or values for a sentence, cut short: whoever wrote the file chose them."""
    first = list(islice(names, _SHOWN + 1))
    return ", ".join(map(_in_words, first[:_SHOWN])) + (", …" if len(first) > _SHOWN else "")


def _in_words(value: object) -> str:
    """A name, a number, or what kind of thing it is: a list that holds itself twice, often, has no end in words."""
    if isinstance(value, str):
        return value if len(value) <= _LETTERS else f"{value[:_LETTERS]}…"
    if isinstance(value, bool | float | NoneType) or (isinstance(value, int) and abs(value) < 1 << 64):
        return str(value)
    return "a very large number" if isinstance(value, int) else f"a {type(value).__name__}"
