"""Recipe of a concept index: how many pictures it keeps of every component, and in what form."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ..errors import UserError


@dataclass(frozen=True)
class IndexRecipe:
    """What an index keeps, and how."""

    top: int = 8
    """Reference pictures of every component by largest activation."""
    mean: int = 8
    """By mean activation."""
    mid: int = 6
    """From around the median."""
    near: int = 48
    """Nearest components, by direction and by firing. Families are found in these lists: shorter ones fall apart."""
    side: int = 112
    """Pixels of a thumbnail's side, at most: pictures are not enlarged."""
    quality: int = 75
    """Of the thumbnails, as WebP has it, 1 to 100."""
    batch: int = 32
    """Pictures in one batch. Numbers depend on it by a few 1e-7."""
    mid_sample: int = 32
    """Of every component's pictures, this many are kept to find the median and what lies around it."""
    together_sample: int = 4096
    """Of all pictures, this many are kept to see what fires together."""
    vocabulary: tuple[str, ...] = ()
    """What labels are chosen among."""

    def __post_init__(self) -> None:
        """Raise UserError for a number that is out of range."""
        for name, value in asdict(self).items():
            most = {"quality": 100, "side": 4096}.get(name, 100_000)
            if name != "vocabulary" and not 1 <= value <= most:
                raise UserError(f"The index's {name.replace('_', ' ')} is {value}. Choose 1 to {most:,}.")
        if self.mid_sample < self.mid:
            raise UserError(f"{self.mid} pictures from the middle of a sample of {self.mid_sample}: take fewer.")
