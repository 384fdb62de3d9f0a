"""Streamed data sets of the Hub, or of a folder, as collections."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
from huggingface_hub import HfApi
from huggingface_hub.hf_api import DatasetInfo
from PIL import Image

from ..errors import UserError, echo, first_line, printable
from ..files import as_text
from ..words import listed
from .collection import LICENCE, About, Collection, fingerprint
from .labels import MOST_OTHERS, is_plain
from .read import read_picture

_FEW_FILES = 64
"""A data set of fewer files is divided further, by the row groups of its files, where their format has such."""


@dataclass(frozen=True)
class DataSetChoice:
    """What is read of a data set."""

    split: str | None = None
    """A part of it, as it names them; by default “train”, or else its first."""
    column: str | None = None
    """Of the pictures; by default the first that holds some."""
    config: str | None = None
    """A variant of it, as it names them."""
    revision: str | None = None
    """A branch, a tag or a commit; by default the newest."""


class DataSet(Collection):
    """A streamed data set of the library `datasets`; its files are the parts."""

    def __init__(
        self,
        dataset: Any,
        column: str,
        manifest: Mapping[str, str],
        limit: int | None = None,
        label_column: str | None = None,
        group_column: str | None = None,
        others: Sequence[str] = (),
        splits: Sequence[str] = (),
    ) -> None:
        """Hold a `datasets.IterableDataset` that does not decode; `column` holds its pictures."""
        self._dataset, self._column, self._columns = dataset, column, (label_column, group_column)
        self._others, self.splits = others, tuple(splits)
        self.n_parts = dataset.num_shards
        told = dataset.info.splits or {}
        known = told[manifest["split"]].num_examples if manifest["split"] in told else None
        self.size = min((n for n in (limit, known) if n), default=None)
        self._limit = limit
        self.manifest = manifest if limit is None else {**manifest, "limit": str(limit)}
        features = dataset.features or {}
        self._names = {key: tuple(kind.names) for key, kind in features.items() if hasattr(kind, "int2str")}
        self.classes = self._names.get(label_column or "", ())

    def entries(self, number: int, start: int = 0) -> Iterator[Any]:
        """Rows, with bytes, a path, or both for a picture."""
        end = None
        if self._limit is not None:
            end = self._limit * (number + 1) // self.n_parts - self._limit * number // self.n_parts
            if start >= end:
                return
        with _streaming(self.manifest["name"]):
            rows = self._dataset.shard(num_shards=self.n_parts, index=number).skip(start)
            for row in islice(rows, None if end is None else end - start):
                for column in (self._column, *self._columns):
                    if column is not None and column not in row:
                        raise UserError(
                            f"The data set {self.manifest['name']} has no column “{column}”. "
                            f"It has: {', '.join(row)}. Name one of them as the column of "
                            f"{'pictures' if column == self._column else 'labels or groups'}."
                        )
                yield row

    def picture(self, entry: Any) -> Image.Image:
        """Decode it."""
        entry = entry[self._column]
        if isinstance(entry, Mapping):
            entry = entry.get("bytes") or entry.get("path")
        if isinstance(entry, str):
            try:
                with fsspec.open(entry, "rb") as file:
                    entry = file.read()
            except (OSError, ValueError) as error:
                raise UserError(f"The file {entry} of the data set cannot be opened.") from error
        if entry is None or isinstance(entry, bytes | Image.Image):
            return read_picture(entry)
        raise UserError(f"The data set holds {type(entry).__name__} where a picture should be.")

    def about(self, number: int, place: int, entry: Any) -> About:
        """Where it stands, with the name of its file where there is one; its columns of labels and groups."""
        picture = entry[self._column]
        file = (picture.get("path") if isinstance(picture, Mapping) else picture) or ""
        last = printable(file.rpartition("/")[2]) if isinstance(file, str) else ""
        name = f"{self.manifest['split']}/{number}/{place}{f' {last}' if last else ''}"
        label, group = (self._said(entry, column) for column in self._columns)
        others = ((column, self._said(entry, column) or "") for column in self._others if column in entry)
        return About(name, label, group, tuple((column, said) for column, said in others if is_plain(said)))

    def _said(self, entry: Mapping[str, Any], column: str | None) -> str | None:
        """What stands in a column, in words; a number of a ClassLabel is its name."""
        value = None if column is None else entry[column]
        if column in self._names and isinstance(value, int):
            names = self._names[column]
            return names[value] if 0 <= value < len(names) else None  # -1 stands for none
        if value is None:
            return None
        if isinstance(value, str | int | float):
            return printable(str(value)).strip() or None
        raise UserError(
            f"The column “{column}” of the data set {self.manifest['name']} holds {type(value).__name__}. "
            "Name one of text."
        )


def data_set(
    name: str,
    choice: DataSetChoice,
    limit: int | None = None,
    labelled: bool = False,
    label_column: str | None = None,
    group_column: str | None = None,
) -> DataSet:
    """Open a data set: of the Hub, at one commit, or in a folder.

    Where it is to be `labelled`, by default with its first ClassLabel, or with its column of text called label, and
    grouped by a column that is named, or called group.
    """
    import datasets  # a second, which other collections save

    folder = Path(name).expanduser()
    revision, column = choice.revision, choice.column
    manifest = {"kind": "dataset", "name": name, "split": ""}
    with _opening(name):
        if folder.is_dir():
            files = sorted(
                path.relative_to(folder).as_posix()
                for path in folder.rglob("*")
                if path.is_file() and not path.name.startswith(".")
            )
            if not files:
                raise UserError(f"The folder {name} holds no pictures. Choose another.")
            manifest["name"] = as_text(folder.resolve().name)
            manifest["fingerprint"] = fingerprint((file, (folder / file).stat().st_size) for file in files)
            name = str(folder)
        elif name.startswith((".", "/", "~")) or name.count("/") > 1:
            raise UserError(f"There is no folder {name}. Correct the path, or name a data set of the Hub.")
        else:
            info = HfApi().dataset_info(name, revision=revision)
            revision = info.sha
            manifest["revision"] = revision or ""
            manifest |= _licence(info)
        splits = datasets.load_dataset(name, choice.config, revision=revision, streaming=True)
        split = choice.split or ("train" if "train" in splits else next(iter(splits)))
        if split not in splits:
            raise UserError(
                f"The data set {manifest['name']} has no part “{echo(split)}”. It has: {listed(list(splits))}."
            )
        manifest["split"], dataset = split, splits[split]
        if dataset.num_shards < _FEW_FILES:
            dataset = dataset.reshard()
        features = dataset.features or {}
        if features:
            dataset = dataset.decode(False)
    if choice.config is not None:
        manifest["config"] = choice.config
    if column is None:
        column = next((key for key, kind in features.items() if isinstance(kind, datasets.Image)), None)
    if labelled:
        label_column = label_column or _label_column(features)
        group_column = group_column or ("group" if "group" in features else None)
    for wanted, what in ((column, "pictures"), (label_column, "labels"), (group_column, "groups")):
        if wanted is None and what != "pictures":
            continue
        if wanted is None or features and wanted not in features:
            lacks = "no column of pictures" if wanted is None else f"no column “{wanted}”"
            has = f" It has: {', '.join(features)}." if features else ""
            raise UserError(f"The data set {manifest['name']} has {lacks}.{has} Name the column that holds {what}.")
    assert column is not None
    manifest["column"] = column
    manifest |= {key: at for key, at in (("label", label_column), ("group", group_column)) if at is not None}
    known = column, label_column, group_column
    others = [key for key, kind in features.items() if labelled and key not in known and _groups(kind)][:MOST_OTHERS]
    if features:
        dataset = dataset.select_columns(list(dict.fromkeys(at for at in (*known, *others) if at)))
    return DataSet(dataset, column, manifest, limit, label_column, group_column, others, list(splits))


def _groups(kind: Any) -> bool:
    """Whether pictures may be grouped by such a column: of classes, texts, whole numbers or truth values."""
    dtype = str(getattr(kind, "dtype", ""))
    return hasattr(kind, "int2str") or dtype in ("string", "bool") or dtype.startswith(("int", "uint"))


def _licence(info: DatasetInfo) -> Mapping[str, str]:
    """What the data set's card says of its licence, for its manifest; nothing where it says nothing."""
    said = info.card_data.get("license") if info.card_data is not None else None
    named = said if isinstance(said, list) else [said]
    words = ", ".join(" ".join(printable(one).split()) for one in named if isinstance(one, str))[:200]
    return {LICENCE: words} if words else {}


def _label_column(features: Mapping[str, Any]) -> str | None:
    """The first column of classes, or else one of text that is called label."""
    classes = (key for key, kind in features.items() if hasattr(kind, "int2str"))
    text = "label" if getattr(features.get("label"), "dtype", "") == "string" else None
    return next(classes, text)


@contextmanager
def _opening(name: str) -> Iterator[None]:
    """Whatever `datasets` and the Hub raise over a data set that cannot be opened, as a sentence."""
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        yield
    except UserError:
        raise
    except GatedRepoError as error:
        raise UserError(
            f"The data set {name} is gated: accept its terms on the Hub, log in with `hf auth login`, and try again."
        ) from error
    except (RepositoryNotFoundError, DatasetNotFoundError) as error:
        raise UserError(
            f"There is no data set {name} on the Hub, nor a folder of that name here, or it is private or gated. "
            "Correct the name, or log in with `hf auth login`."
        ) from error
    except OfflineModeIsEnabled as error:
        raise UserError(
            f"The data set {name} is on the Hub, and HF_HUB_OFFLINE forbids asking it. Unset that."
        ) from error
    except Exception as error:
        if _no_network(error):
            raise UserError(
                f"The Hub cannot be reached for the data set {name}. Try again later, or name a folder."
            ) from error
        raise UserError(f"The data set {name} cannot be opened: {first_line(error)}. Choose what it offers.") from error


@contextmanager
def _streaming(name: str) -> Iterator[None]:
    """What breaks on the way through a data set, as a sentence."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"The data set {name} could not be read any further: {first_line(error)}. Try again; a command goes on "
            "from where it was."
        ) from error


def _no_network(error: BaseException | None) -> bool:
    import httpx2

    while error is not None:
        if isinstance(error, ConnectionError | TimeoutError | httpx2.TransportError):
            return True
        error = error.__cause__
    return False
