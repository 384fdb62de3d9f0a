"""Streamed data sets of the Hub, or of a folder, as collections."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
from huggingface_hub import HfApi
from PIL import Image

from ..errors import UserError, first_line
from ..files import as_text
from .collection import Collection, fingerprint
from .read import read_picture

_FEW_FILES = 64
"""A data set of fewer files is divided further, by the row groups of its files, where their format has such."""


class DataSet(Collection):
    """A streamed data set of the library `datasets`; its files are the parts."""

    def __init__(self, dataset: Any, column: str, manifest: Mapping[str, str], limit: int | None = None) -> None:
        """Hold a `datasets.IterableDataset` that does not decode; `column` holds its pictures."""
        self._dataset, self._column = dataset, column
        self.n_parts = dataset.num_shards
        splits = dataset.info.splits or {}
        known = splits[manifest["split"]].num_examples if manifest["split"] in splits else None
        self.size = min((n for n in (limit, known) if n), default=None)
        self._limit = limit
        self.manifest = manifest if limit is None else {**manifest, "limit": str(limit)}

    def entries(self, number: int, start: int = 0) -> Iterator[Any]:
        """What the column holds: bytes, a path, or both."""
        end = None
        if self._limit is not None:
            end = self._limit * (number + 1) // self.n_parts - self._limit * number // self.n_parts
            if start >= end:
                return
        with _streaming(self.manifest["name"]):
            rows = self._dataset.shard(num_shards=self.n_parts, index=number).skip(start)
            for row in islice(rows, None if end is None else end - start):
                if self._column not in row:
                    raise UserError(
                        f"The data set {self.manifest['name']} has no column “{self._column}”. "
                        f"It has: {', '.join(row)}. Name one of them as the column of pictures."
                    )
                yield row[self._column]

    def picture(self, entry: Any) -> Image.Image:
        """Decode it."""
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


def data_set(
    name: str, split: str, column: str | None, revision: str | None, config: str | None, limit: int | None
) -> DataSet:
    """Open a data set: of the Hub, at one commit, or in a folder."""
    import datasets  # a second, which other collections save

    folder = Path(name).expanduser()
    manifest = {"kind": "dataset", "name": name, "split": split}
    with _opening(name):
        if folder.is_dir():
            files = sorted(
                path.relative_to(folder).as_posix()
                for path in folder.rglob("*")
                if path.is_file() and not path.name.startswith(".")
            )
            if not files:
                raise UserError(f"The folder {name} holds no pictures. Choose another.")
            manifest["name"], manifest["fingerprint"] = as_text(folder.resolve().name), fingerprint(folder, files)
            name = str(folder)
        elif name.startswith((".", "/", "~")) or name.count("/") > 1:
            raise UserError(f"There is no folder {name}. Correct the path, or name a data set of the Hub.")
        else:
            revision = HfApi().dataset_info(name, revision=revision).sha
            manifest["revision"] = revision or ""
        dataset = datasets.load_dataset(name, config, split=split, revision=revision, streaming=True)
        if dataset.num_shards < _FEW_FILES:
            dataset = dataset.reshard()
        features = dataset.features or {}
        if features:
            dataset = dataset.decode(False)
    if config is not None:
        manifest["config"] = config
    if column is None:
        column = next((key for key, kind in features.items() if isinstance(kind, datasets.Image)), None)
    if column is None or features and column not in features:
        wanted = "no column of pictures" if column is None else f"no column “{column}”"
        has = f" It has: {', '.join(features)}." if features else ""
        raise UserError(f"The data set {manifest['name']} has {wanted}.{has} Name the column that holds pictures.")
    if features:
        dataset = dataset.select_columns([column])
    return DataSet(dataset, column, {**manifest, "column": column}, limit)


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
            f"The data set {name} could not be read any further: {first_line(error)}. Run the same command again to "
            "go on."
        ) from error


def _no_network(error: BaseException | None) -> bool:
    import httpx2

    while error is not None:
        if isinstance(error, ConnectionError | TimeoutError | httpx2.TransportError):
            return True
        error = error.__cause__
    return False
