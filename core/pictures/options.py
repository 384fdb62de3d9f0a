"""Opening a collection of pictures by its name, and the command-line options that name one."""

import argparse
from pathlib import Path

from ..errors import UserError
from .collection import Collection, Folder, picture_files, scenes_named
from .hub_dataset import data_set


def open_collection(
    name: str,
    *,
    split: str = "train",
    column: str | None = None,
    revision: str | None = None,
    config: str | None = None,
    limit: int | None = None,
) -> Collection:
    """The collection of that name: "scenes:training" or "scenes:index", a folder, or a data set of the Hub.

    A folder that holds no pictures, but files of a data set (parquet, say), is read as that data set. `split`,
    `column` (by default the first of pictures), `revision` and `config` are for data sets. `limit` is how many
    pictures to take in all, spread evenly over a folder, or over the files of a data set.
    Raises UserError when there is no such collection, or nothing in it.
    """
    if limit is not None and limit < 1:
        raise UserError(f"A collection of {limit} pictures holds nothing. Take 1 or more.")
    kind, _, which = name.partition(":")
    if kind == "scenes":
        return scenes_named(which, limit)
    folder = Path(name).expanduser()
    if folder.is_dir():
        files = picture_files(folder)
        if files:
            return Folder(folder, files, limit)
    return data_set(name, split, column, revision, config, limit)


def add_collection_options(parser: argparse.ArgumentParser, scenes: str) -> None:
    """Let a command be told which collection; `scenes` are the ones that suit it. `chosen_collection` opens it."""
    options = parser.add_argument_group("the pictures")
    options.add_argument("--pictures", required=True, help=f"a folder, a data set of the Hub, or {scenes}")
    options.add_argument("--limit", type=int, help="pictures to take in all, spread evenly; by default all")
    options.add_argument("--split", default="train", help="of a data set")
    options.add_argument("--column", help="of a data set; by default the first that holds pictures")
    options.add_argument("--config", help="of a data set")
    options.add_argument("--revision", help="of a data set: a branch, a tag or a commit; by default the newest")
    options.add_argument("--workers", type=int, default=4, help="threads that read pictures ahead")


def chosen_collection(arguments: argparse.Namespace) -> Collection:
    """The collection that was named, as `open_collection` opens it. Raises UserError where it cannot."""
    if arguments.workers < 0:
        raise UserError(f"There cannot be {arguments.workers} workers. Name 0 or more.")
    names = ("split", "column", "config", "revision", "limit")
    return open_collection(arguments.pictures, **{name: getattr(arguments, name) for name in names})
