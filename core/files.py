"""Paths of the files that come with the package, and names of a file system as text."""

from pathlib import Path

ASSETS = Path(__file__).parents[1] / "assets"
"""The catalog, the bundled weights, examples, templates and styles."""


def as_text(name: str) -> str:
    """A name of a file system, which may be any bytes, with a “?” for what is no text."""
    return name.encode(errors="replace").decode()
