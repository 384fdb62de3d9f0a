"""Command-line options that name a collection of pictures, and its opening."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from .collection import Collection, Folder, picture_files, scenes_named
from .hub_dataset import data_set


@dataclass(frozen=True)
class CollectionOptions:
    """Which pictures are read, and how."""

    pictures: str
    """a folder, a data set of the Hub, or scenes:training or scenes:index"""
    limit: int | None = None
    """pictures to take in all, spread evenly; by default all"""
    split: str = "train"
    """of a data set"""
    column: str | None = None
    """of a data set; by default the first that holds pictures"""
    config: str | None = None
    """of a data set"""
    revision: str | None = None
    """of a data set: a branch, a tag or a commit; by default the newest"""
    workers: int = 4
    """threads that read pictures ahead"""

    def __post_init__(self) -> None:
        """Raise UserError for a number that is out of range."""
        if self.limit is not None and self.limit < 1:
            raise UserError(f"A collection of {self.limit} pictures holds nothing. Take 1 or more.")
        if self.workers < 0:
            raise UserError(f"There cannot be {self.workers} workers. Name 0 or more.")

    def open(self) -> Collection:
        """The collection. A folder without pictures, but with files of a data set (parquet, say), is read as that.

        A limit is spread evenly over a folder, or over the files of a data set. Raises UserError when there is no such
        collection, or nothing in it.
        """
        kind, _, which = self.pictures.partition(":")
        if kind == "scenes":
            return scenes_named(which, self.limit)
        folder = Path(self.pictures).expanduser()
        if folder.is_dir():
            files = picture_files(folder)
            if files:
                return Folder(folder, files, self.limit)
        return data_set(self.pictures, self.split, self.column, self.revision, self.config, self.limit)
