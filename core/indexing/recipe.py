"""Recipe of a concept index: how many pictures it keeps of every component, and in what form."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from simple_parsing import field

from ..concepts.index import ChosenBy
from ..errors import UserError


@dataclass(frozen=True)
class IndexRecipe:
    """What an index keeps, and how."""

    top: int = 8
    """reference pictures of every component, the strongest by what --by says"""
    by: ChosenBy = "activation"
    """its largest activation, or its attribution to the word of the vocabulary that the CLIP takes a picture for"""
    mean: int = 8
    """reference pictures by mean activation"""
    mid: int = 6
    """reference pictures from around the median"""
    near: int = field(48, cmd=False)
    """nearest components, by direction and by firing; families are found in these lists, and shorter ones fall apart"""
    side: int = 112
    """pixels of a thumbnail's side, at most: pictures are not enlarged"""
    quality: int = 75
    """of the thumbnails, as WebP has it, 1 to 100"""
    batch: int = 32
    """pictures at a time; numbers depend on it by a few 1e-7"""
    mid_sample: int = field(32, cmd=False)
    """of every component's pictures, at least this many are kept to find the median: see `kept_for_mid`"""
    together_sample: int = field(4096, cmd=False)
    """of all pictures, this many are kept to see what fires together"""
    vocabulary: tuple[str, ...] = field((), cmd=False)
    """what labels are chosen among"""

    def __post_init__(self) -> None:
        """Raise UserError for a number that is out of range."""
        for name, value in asdict(self).items():
            most = {"quality": 100, "side": 4096}.get(name, 100_000)
            if name not in ("vocabulary", "by") and not 1 <= value <= most:
                raise UserError(f"The index's {name.replace('_', ' ')} is {value}. Choose 1 to {most:,}.")

    @property
    def kept_for_mid(self) -> int:
        """So many of every component's pictures are kept to find the median and what lies around it."""
        return max(self.mid_sample, 4 * self.mid)
