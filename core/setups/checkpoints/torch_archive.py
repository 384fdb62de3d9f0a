"""Reader of what torch.save wrote, which runs nothing in it.

Weights are read with `weights_only=True`; where a file holds objects, as Prisma's and PatchSAE's configurations are,
every class or function in it that torch does not know becomes an `Inert`, which keeps what it is given. The archive is
checked for damage, which torch does not do, and for what would take longer to read than its size says.
"""

import pickletools
import threading
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path, PurePosixPath
from pickle import UnpicklingError
from pickletools import markobject
from typing import Any, cast

import torch

from ...errors import UserError
from .files import begins
from .settings import dict_in

_LOADING = threading.Lock()
"""What torch may load besides weights is set for the whole process: one file at a time."""

_PARTS = 1000
"""Files in an archive; a dictionary has one for each tensor, and three."""

_PROGRAM = 1 << 20
"""Bytes of the pickle that names the tensors, and steps to hash what is in it; published ones are of 1 to 10 kB."""

_MORE = "{} holds more than tensors and settings, and nothing in it was run. Use the file of its publisher."


class Inert:
    """Stands in for any class or function a file names. It keeps what it is given, and does nothing with it."""

    state: object = None

    def __new__(cls, *_args: object) -> "Inert":
        """Made or called: the same."""
        return object.__new__(cls)

    def __init__(self, *_args: object) -> None:
        """Whatever it was called with is dropped."""

    def __setstate__(self, state: object) -> None:
        """Keep what the object held."""
        self.state = state


def read_torch(file: str, source: Path | BytesIO) -> dict[str, Any]:
    """The dict that torch.save wrote, its tensors on the CPU, mapped from the file where there is one."""
    _check_archive(file, source)
    try:
        with _LOADING:
            unknown = torch.serialization.get_unsafe_globals_in_checkpoint(_again(source))
            with torch.serialization.safe_globals([(Inert, name) for name in unknown]):
                mapped = isinstance(source, Path)
                found = torch.load(_again(source), map_location="cpu", weights_only=True, mmap=mapped)
    except UnpicklingError as error:
        raise UserError(_MORE.format(file)) from error
    except Exception as error:  # what bytes made by anybody can lead an unpickler to has no end
        raise UserError(f"{file} is damaged, or not what torch.save writes. Download it again.") from error
    return dict_in(file, {"its tensors by name": found}, "its tensors by name")


def _check_archive(file: str, source: Path | BytesIO) -> None:
    """Raises UserError unless this is a whole zip archive as torch.save writes it, and what is in it is soon read.

    torch itself looks at no checksum, and would take compressed bytes for numbers. What costs nothing comes first: how
    the parts are packed, how many they are, and whether they are larger together than the file.
    """
    if isinstance(source, Path):
        begins(source, file, b"PK")
    try:
        with zipfile.ZipFile(_again(source)) as archive:
            parts = archive.infolist()
            if len(parts) > _PARTS:
                raise UserError(
                    f"{file} has {len(parts)} parts, more than a dictionary. Choose another file or layout."
                )
            if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
                raise UserError(f"{file} is packed anew. Download it again.")
            whole = sum(max(part.file_size, part.compress_size) for part in parts) <= _size(source)
            programs = [part for part in parts if PurePosixPath(part.filename).name == "data.pkl"]
            if not whole or any(part.file_size > _PROGRAM for part in programs):
                raise UserError(_MORE.format(file) if whole else f"{file} is damaged. Download it again.")
            if archive.testzip() is not None:
                raise UserError(f"{file} is damaged. Download it again.")
            if any(_largest_tuple(archive.read(part)) > _PROGRAM for part in programs):
                raise UserError(_MORE.format(file))
    except UserError:
        raise
    except Exception as error:  # as above
        raise UserError(f"{file} is cut short or damaged. Download it again.") from error


def _largest_tuple(program: bytes) -> int:
    """How many values a tuple of a pickle holds, those in tuples within it counted wherever they stand.

    A tuple is hashed, as a key is, by going through all of these, and a few bytes can hold one tuple twice in another,
    that one twice in a third, and so on. The opcodes are followed without making anything, those that torch takes.
    """
    stack: list[int] = []
    marks: list[int] = []  # how high the stack was
    memo: dict[int, int] = {}
    largest = 0
    for opcode, argument, _ in pickletools.genops(program):
        if opcode.name == "MARK":
            marks.append(len(stack))
        elif opcode.name in ("BINPUT", "LONG_BINPUT"):
            memo[cast(int, argument)] = stack[-1]
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[cast(int, argument)])
        else:
            before = opcode.stack_before
            bottom = marks.pop() - before.index(markobject) if markobject in before else len(stack) - len(before)
            held = stack[bottom:]
            del stack[bottom:]
            size = 1 + sum(held) if opcode.name.startswith("TUPLE") else 1
            largest = max(largest, size)
            stack += [size] * len(opcode.stack_after)
    return largest


def _size(source: Path | BytesIO) -> int:
    return source.stat().st_size if isinstance(source, Path) else source.getbuffer().nbytes


def _again(source: Path | BytesIO) -> Path | BytesIO:
    """From its beginning."""
    if isinstance(source, BytesIO):
        source.seek(0)
    return source


def settings_in(file: str, found: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Settings in a file of torch's: a dict, or what an object held whose class nobody looked at."""
    value = found.get(key)
    return dict_in(file, {key: value.state if isinstance(value, Inert) else value}, key)
