"""What torch.save wrote, read without running anything in it.

Weights are read with `weights_only=True`; where a file holds objects, as Prisma's and PatchSAE's configurations are,
every class or function in it that torch does not know becomes an `Inert`, which keeps what it is given. The archive is
checked for damage, which torch does not do.
"""

import threading
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from ...errors import UserError
from .files import begins
from .settings import dict_in

_LOADING = threading.Lock()
"""What torch may load besides weights is set for the whole process: one file at a time."""


class Inert:
    """Stands in for any class or function a file names. It keeps what it is given, and does nothing with it."""

    state: object = None

    def __new__(cls, *args: object) -> "Inert":
        """Made or called: the same."""
        return object.__new__(cls)

    def __init__(self, *args: object) -> None:
        """Whatever it was called with is dropped."""

    def __setstate__(self, state: object) -> None:
        """Keep what the object held."""
        self.state = state


def read_torch(file: str, source: Path | BytesIO) -> dict:
    """The dict that torch.save wrote, its tensors on the CPU, mapped from the file where there is one."""
    _check_archive(file, source)
    try:
        with _LOADING:
            unknown = torch.serialization.get_unsafe_globals_in_checkpoint(_again(source))
            with torch.serialization.safe_globals([(Inert, name) for name in unknown]):
                mapped = isinstance(source, Path)
                found = torch.load(_again(source), map_location="cpu", weights_only=True, mmap=mapped)
    except UnpicklingError as error:
        raise UserError(
            f"{file} holds more than tensors and settings, and nothing in it was run. Use the file of its publisher."
        ) from error
    except Exception as error:  # what bytes made by anybody can lead an unpickler to has no end
        raise UserError(f"{file} is damaged, or not what torch.save writes. Download it again.") from error
    return dict_in(file, {"its tensors by name": found}, "its tensors by name")


def _check_archive(file: str, source: Path | BytesIO) -> None:
    """Raises UserError unless this is a whole zip archive as torch.save writes it.

    torch itself looks at no checksum, and would take compressed bytes for numbers.
    """
    if isinstance(source, Path):
        begins(source, file, b"PK")
    try:
        with zipfile.ZipFile(_again(source)) as archive:
            whole = archive.testzip() is None
            plain = all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
    except Exception as error:  # as above
        raise UserError(f"{file} is cut short or damaged. Download it again.") from error
    if not whole or not plain:
        raise UserError(f"{file} is {'packed anew' if whole else 'damaged'}. Download it again.")


def _again(source: Path | BytesIO) -> Path | BytesIO:
    """From its beginning."""
    if isinstance(source, BytesIO):
        source.seek(0)
    return source


def settings_in(file: str, found: Mapping[str, Any], key: str) -> dict:
    """Settings in a file of torch's: a dict, or what an object held whose class nobody looked at."""
    value = found.get(key)
    return dict_in(file, {key: value.state if isinstance(value, Inert) else value}, key)
