"""Faults of the house, found before the app starts: a port in use, a folder that cannot be written, a full disk."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError

NEEDED = 200_000_000
"""Bytes that have to be free for what visitors bring."""


def chosen_port(environment: Mapping[str, str] = os.environ) -> int:
    """GRADIO_SERVER_PORT, or 7860. Raises UserError where it is no port, or in use at GRADIO_SERVER_NAME."""
    text, host = environment.get("GRADIO_SERVER_PORT", "7860"), environment.get("GRADIO_SERVER_NAME", "127.0.0.1")
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise UserError(f"GRADIO_SERVER_PORT is “{text}”. Give it the number of a port, such as 7860.")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host.strip("[]"), int(text)))
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            raise UserError(
                f"Port {text} of {host} cannot be used: {why}. Stop what uses it, or set GRADIO_SERVER_PORT to another."
            ) from error
    return int(text)


@contextmanager
def uploads_folder(environment: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """A new folder for what visitors bring, in GRADIO_TEMP_DIR or where temporary files go; it is deleted at the end.

    Raises UserError where it cannot be written, or hardly anything can.
    """
    try:
        parent = Path(environment.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="clip-levers-", dir=parent))
    except OSError as error:
        raise UserError(
            f"The folder for temporary files cannot be written: {error.strerror or error}. Set GRADIO_TEMP_DIR to one "
            "that can."
        ) from error
    try:
        free = shutil.disk_usage(folder).free
        if free < NEEDED:
            raise UserError(
                f"The disk of {parent} is full: {free / 1e6:.0f} MB are free, and what visitors bring needs "
                f"{NEEDED / 1e6:.0f}. Make room there, or set GRADIO_TEMP_DIR to a folder on another disk."
            )
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
