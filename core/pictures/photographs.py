"""Free photographs of plain things, and seeded square crops of them: pictures to judge published dictionaries by.

Published CLIPs and dictionaries were trained on photographs, so rendered scenes say little about them. These ship with
the app (`assets/photographs`, licences in assets/README.md), so that a check needs no network.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..files import ASSETS
from .read import read_picture

FOLDER = ASSETS / "photographs"
"""The pictures, as `name`.webp, and photographs.toml, which tells what is on them."""

_LEAST_SHARE = 0.25
"""Of the largest square that fits into a photograph, a crop covers at least this share of the area."""


@dataclass(frozen=True)
class Photograph:
    """A photograph, and a question with an answer that anybody sees."""

    name: str
    """File name without its ending."""
    label: str
    """What is on it, one of the classes."""
    classes: tuple[str, ...]
    """What it could be; only the label is right."""
    source: str
    """Who took it, and where the file is from."""
    licence: str
    """Under which it may be used."""

    @property
    def path(self) -> Path:
        """The file."""
        return FOLDER / f"{self.name}.webp"


def photographs() -> tuple[Photograph, ...]:
    """All of them, by name."""
    entries = tomllib.loads((FOLDER / "photographs.toml").read_text(encoding="utf-8"))["photograph"]
    return tuple(Photograph(**entry | {"classes": tuple(entry["classes"])}) for entry in entries)


def crops(n: int, seed: int = 0) -> Iterator[Image.Image]:
    """n square RGB crops, of each photograph in turn, every second one or so mirrored.

    Size (a quarter to all of the largest square's area) and place are drawn evenly. The first of many crops are the
    few crops of the same seed.
    """
    rng = np.random.default_rng(seed)
    pictures = [read_picture(photograph.path) for photograph in photographs()]
    for index in range(n):
        picture = pictures[index % len(pictures)]
        side = round(min(picture.size) * rng.uniform(_LEAST_SHARE, 1) ** 0.5)
        left, top = (int(rng.integers(length - side + 1)) for length in picture.size)
        crop = picture.crop((left, top, left + side, top + side))
        yield crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop
