"""Command-line options that name a collection of pictures, and its opening."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from .collection import Collection
from .hub_dataset import DataSetChoice
from .opening import open_pictures


@dataclass(frozen=True)
class CollectionOptions:
    """Which pictures are read, and how."""

    pictures: str
    """a folder, a zip, a data set of the Hub, or scenes:training or scenes:index"""
    limit: int | None = None
    """pictures to take in all, spread evenly; by default all"""
    split: str | None = None
    """of a data set; by default train, or else its first"""
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
        """The collection, without labels; see `open_pictures`."""
        return open_pictures(self.pictures, labelled=False, limit=self.limit, choice=self._choice())

    def _choice(self) -> DataSetChoice:
        return DataSetChoice(self.split, self.column, self.config, self.revision)


@dataclass(frozen=True)
class LabelledOptions(CollectionOptions):
    """Which pictures are read, and what each of them shows."""

    labels: Path | None = None
    """a CSV or JSONL with the columns file_name, label and, where there are groups, group; by default one that lies
    beside the pictures, or else the names of their folders are the labels; a data set and scenes have their own"""
    label_column: str | None = None
    """of that file, or of the data set; by default label"""
    group_column: str | None = None
    """of that file, or of the data set; by default group"""

    def open(self) -> Collection:
        """The collection with its labels; see `open_pictures`."""
        return open_pictures(
            self.pictures,
            self.labels,
            label_column=self.label_column,
            group_column=self.group_column,
            limit=self.limit,
            choice=self._choice(),
        )
