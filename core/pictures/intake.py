"""Intake of pictures that somebody brings: how much may come in, what was taken, what was not and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .read import MAX_PIXELS

MOST_LISTED = 200
"""Things left out that an intake names; of more it says how many."""

MEGABYTE = 2**20

LeftOut = tuple[str, str]
"""What was not taken, and why, in a sentence: a picture, a file, or a line of a table."""


@dataclass(frozen=True)
class Bounds:
    """How much may come in at a time on a page that anybody can reach; commands have no bounds."""

    pictures: int = 1_000
    """Pictures taken; of more, so many, evenly spread."""
    files: int = 5_000
    """Files given, or files in an archive, whatever they are."""
    packed: int = 200 * MEGABYTE
    """Bytes given in all."""
    unpacked: int = 500 * MEGABYTE
    """Bytes of the pictures taken from an archive, unpacked."""
    each: int = 20 * MEGABYTE
    """Bytes of one picture, unpacked."""
    ratio: int = 200
    """A file in an archive that unpacks to more than a megabyte may do so to so many times its bytes."""
    depth: int = 8
    """Folders within folders of an archive."""
    table: int = MEGABYTE // 2
    """Bytes of a file of labels."""
    classes: int = 2_000
    """Different labels; where there are more, none is taken."""
    pixels: int = MAX_PIXELS
    """Of a decoded picture; see `core.pictures.read`."""
    seconds: float = 300
    """From the first picture on; what was not read by then is left out."""
    walked: int = 200_000
    """Files below a folder that is named, pictures or not."""


@dataclass(frozen=True)
class Intake:
    """What became of what was given, before any picture is decoded."""

    remarks: tuple[str, ...] = ()
    """Sentences on the whole: how many of how many were taken, what the labels are from, how many have none."""
    left_out: tuple[LeftOut, ...] = ()
    """The first `MOST_LISTED`."""
    n_left_out: int = 0
    """How many there are in all."""


def intake(remarks: Sequence[str], left_out: Sequence[LeftOut]) -> Intake:
    """With the first of what was left out."""
    return Intake(tuple(remarks), tuple(left_out[:MOST_LISTED]), len(left_out))
