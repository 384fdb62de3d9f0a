"""Share of a collection that a hash of its pictures' names draws, and the others: no picture is in both."""

from collections.abc import Iterator
from typing import Any

from PIL import Image

from ..hashing import name_place
from .collection import About, Collection

SEED = 1
"""Of the hash: another than that by which a set is dealt into parts, or all that is drawn would be in one of them."""


class Drawn(Collection):
    """The pictures of a collection whose names fall into a share of it. Its entries are places and entries of that."""

    def __init__(self, of: Collection, share: float, others: bool = False) -> None:
        """So large a share, from 0 to 1, or the `others`."""
        self._of, self._share, self._others = of, share, others
        self.manifest = {**of.manifest, "drawn": f"{'others than ' if others else ''}{share:.6f}, seed {SEED}"}
        self.n_parts, self.classes, self.splits = of.n_parts, of.classes, of.splits
        self.intake, self.seconds = of.intake, of.seconds
        self.size = None if of.size is None else round(of.size * (1 - share if others else share))  # about so many

    def entries(self, number: int, start: int = 0) -> Iterator[tuple[int, Any]]:
        """The pictures of a part that are drawn, each with its place there."""
        passed = 0
        for place, entry in enumerate(self._of.entries(number)):
            is_drawn = name_place(self._of.about(number, place, entry).name, SEED) < self._share
            if is_drawn != self._others:
                passed += 1
                if passed > start:
                    yield place, entry

    def picture(self, entry: tuple[int, Any]) -> Image.Image:
        """As its collection decodes it."""
        return self._of.picture(entry[1])

    def about(self, number: int, place: int, entry: tuple[int, Any]) -> About:  # noqa: ARG002
        """As its collection tells it."""
        return self._of.about(number, *entry)


def n_pictures(collection: Collection) -> int:
    """How many there are, those that cannot be read included; where that is not known they are counted, not decoded."""
    if collection.size is not None:
        return collection.size
    return sum(1 for number in range(collection.n_parts) for _ in collection.entries(number))
