"""Saving and loading a concept index: a folder of three files, checked when read.

`manifest.json` says what the index was made of; `index.safetensors` holds the arrays, their integers in as few bytes as
they need and the lengths of the firing regions in place of their starts; `thumbnails.safetensors` is mapped and not
read. `core.indexing` makes an index.

One may come from the Hub, so nothing in its files is believed: what does not fit together is a UserError.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..errors import UserError
from ..files import replacing
from ..model.clip import SplitClip
from ..words import SCOPES
from .index import FORMAT, LABELS, ActivatingExamples, ConceptIndex, Identity, Manifest, Thumbnails

MANIFEST, ARRAYS, THUMBNAILS = "manifest.json", "index.safetensors", "thumbnails.safetensors"

INDEX_FILES: tuple[str, ...] = (MANIFEST, ARRAYS, THUMBNAILS)
"""The files of an index: patterns for `core.setups.hub.fetch`."""

_MAX_MANIFEST = 16_000_000
"""Bytes. The longest vocabularies take one or two million."""

_CHECKED = TypeAdapter(Manifest)

_LISTS = ("top", "mean", "mid")

_FORM: Mapping[str, tuple[Any, str]] = {
    "active_pictures": (np.int64, "m"),
    "active_tokens": (np.int64, "m"),
    "mean_active": (np.float32, "m"),
    "peak": (np.float32, "m"),
    "edges": (np.float32, "edges"),
    "histogram": (np.int64, "m bins"),
    "embedding": (np.float16, "m p"),
    "average": (np.float32, "p"),
    "clarity": (np.float32, "m"),
    "label": (np.int32, "m labels"),
    "alignment": (np.float32, "m labels"),
    "near": (np.int32, "m k"),
    "near_cosine": (np.float32, "m k"),
    "together": (np.int32, "m k"),
    "together_share": (np.float32, "m k"),
    **{
        f"{which}.{name}": form
        for which in _LISTS
        for name, form in {
            "picture": (np.int32, f"m n_{which}"),
            "value": (np.float32, f"m n_{which}"),
            "token": (np.int32, f"m n_{which}"),
            "length": (np.int64, f"m n_{which}"),
            "patch": (np.uint16, f"cells_{which}"),
            "share": (np.uint8, f"cells_{which}"),
        }.items()
    },
}
"""The arrays of `index.safetensors`: in memory of this type, and of these sizes, by name."""

_FIELDS = {"together": "coactivated", "together_share": "coactivation"}
"""What an array of the file is called in memory, where that is something else."""

_UNKNOWN = {"clarity", "alignment"}
"""Arrays that may hold nan."""


def save(index: ConceptIndex, folder: Path) -> None:
    """Write the three files, each whole or not at all; the manifest, without which there is no index, comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: getattr(index, _FIELDS.get(name, name)) for name in _FORM if "." not in name}
    for which in _LISTS:
        found: ActivatingExamples = getattr(index, which)
        arrays |= {f"{which}.{name}": getattr(found, name) for name in ("picture", "value", "token", "patch", "share")}
        arrays[f"{which}.length"] = np.diff(found.start).reshape(found.picture.shape)
    (folder / MANIFEST).unlink(missing_ok=True)
    with replacing(folder / ARRAYS) as path:
        _write({name: _narrow(array) for name, array in arrays.items()}, path)
    with replacing(folder / THUMBNAILS) as path:
        _write({"start": _narrow(index.pictures.start), "bytes": index.pictures.bytes}, path)
    with replacing(folder / MANIFEST) as path:
        path.write_bytes(written(index.manifest))


def written(manifest: Manifest) -> bytes:
    """The manifest as its file has it. Raises UserError for one that `load` would not read back."""
    try:
        data = (json.dumps(asdict(manifest), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
        _CHECKED.validate_json(data, strict=True)
        if len(data) > _MAX_MANIFEST:
            raise ValueError(f"it is too long, as its vocabulary of {len(manifest.vocabulary):,} words is")
    except ValidationError as error:
        raise UserError(
            f"The index could not have a manifest with this {_where(error)}: shorten or correct that."
        ) from error
    except ValueError as error:
        raise UserError(f"The index could not have such a manifest: {error}. Shorten or correct that.") from error
    return data


def _write(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    path.chmod(0o644)  # safetensors lets nobody else read what it writes


def _narrow(array: np.ndarray) -> np.ndarray:
    """Integers in the narrowest type that holds them all, the rest as it is."""
    if array.dtype.kind not in "iu":
        return array
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    kinds = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32)
    fits = (kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    return array.astype(next(fits, np.int64))


def load(folder: Path, setup_identity: Identity, clip: SplitClip | None = None) -> ConceptIndex:
    """The index in a folder. Thumbnails are mapped from their file, which must stay as long as the index.

    Raises UserError when it is of another format or another setup, lacks a file, or holds anything that does not fit
    together; with `clip`, the setup's own, also when the grid or p are not the clip's.
    """
    what = f"The concept index in {folder.resolve().name}"
    manifest = _read_manifest(folder / MANIFEST, what)
    if manifest.setup.fingerprint != setup_identity.fingerprint:
        made, here = _in_words(manifest.setup), _in_words(setup_identity)
        raise UserError(
            f"{what} was made for {made}; this setup is {here if here != made else 'the same with other weights'}. "
            "Name its own index, or build one with: python -m core.indexing"
        )
    try:
        index = _read(folder, manifest)
        _check(index)
        if manifest.setup.components != setup_identity.components:
            raise _Unfit("it has another number of components")
        if clip is not None and (manifest.grid != clip.grid or len(index.average) != clip.projection):
            raise _Unfit("its pictures or its embeddings have another shape")
    except (OSError, SafetensorError, _Unfit) as error:
        raise UserError(
            f"{what} is damaged or incomplete: {error}. Put its files there anew, or build one with: "
            "python -m core.indexing"
        ) from error
    return index


class _Unfit(Exception):
    """Files that do not fit together."""


def _in_words(setup: Identity) -> str:
    """For the reader: which setup."""

    def at(name: str, commit: str | None) -> str:
        return f"{name} at {commit[:7]}" if commit else name

    return (
        f"{at(setup.dictionary, setup.dictionary_commit)} ({setup.components:,} components) at layer {setup.layer} of "
        f"{at(setup.clip, setup.clip_commit)}, read at {SCOPES[setup.scope].tokens}"
    )


def _read_manifest(path: Path, what: str) -> Manifest:
    anew = "Put it there anew, or build one with: python -m core.indexing"
    try:
        if path.stat().st_size > _MAX_MANIFEST:
            raise ValueError("it is too long")
        data = path.read_bytes()
        written = json.loads(data.decode())
        if isinstance(written, dict) and isinstance(written.get("format"), int) and written["format"] != FORMAT:
            raise UserError(
                f"{what} is of format {written['format']}; this version reads {FORMAT}. Build it anew with: "
                "python -m core.indexing"
            )
        return _CHECKED.validate_json(data, strict=True)
    except FileNotFoundError as error:
        raise UserError(f"{what} has no {path.name}. {anew}") from error
    except ValidationError as error:
        where = _where(error) or "as a whole"
        raise UserError(f"{what} has a manifest that is not as it should be ({where}). {anew}") from error
    except UserError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{what} has a manifest that cannot be read: {error}. {anew}") from error


def _where(error: ValidationError) -> str:
    """Where in the manifest what is wrong first stands."""
    return "/".join(map(str, error.errors()[0]["loc"]))


def _read(folder: Path, manifest: Manifest) -> ConceptIndex:
    """The arrays, of the types they have in memory and of sizes that fit each other."""
    sizes = {"m": manifest.setup.components, "labels": LABELS}
    arrays = {}
    with safe_open(folder / ARRAYS, "numpy") as file:
        names = set(file.keys())
        if names != set(_FORM):
            raise _Unfit(f"{ARRAYS} lacks or misnames {', '.join(sorted(names ^ set(_FORM))[:3])}")
        for name, (dtype, form) in _FORM.items():
            shape = tuple(file.get_slice(name).get_shape())
            wanted = tuple(sizes.setdefault(size, n) for size, n in zip(form.split(), shape, strict=False))
            if len(form.split()) != len(shape) or wanted != shape:
                raise _Unfit(f"{name} has the shape {list(shape)}")
            arrays[name] = _widened(name, file.get_tensor(name), dtype)
    if sizes["edges"] != sizes["bins"] + 1:
        raise _Unfit("the histogram has not one edge more than bins")
    lists = {}
    for which in _LISTS:
        parts = {name: arrays.pop(f"{which}.{name}") for name in ("picture", "value", "token", "patch", "share")}
        length = arrays.pop(f"{which}.length").ravel()
        if length.size and (length.min() < 0 or length.max() > len(parts["patch"])):
            raise _Unfit(f"{which}.length is out of range")
        lists[which] = ActivatingExamples(start=_starts(length), **parts)
    held: dict[str, Any] = {_FIELDS.get(name, name): array for name, array in arrays.items()} | lists
    return ConceptIndex(manifest, **held, pictures=_mapped(folder / THUMBNAILS))


def _widened(name: str, array: np.ndarray, dtype: Any) -> np.ndarray:
    """As that type, if no number is lost."""
    integers = np.issubdtype(dtype, np.integer)
    if array.dtype.kind not in ("iu" if integers else "f"):
        raise _Unfit(f"{name} holds {array.dtype}")
    if integers and array.size:
        most = np.iinfo(dtype)
        if int(array.min()) < most.min or int(array.max()) > most.max:
            raise _Unfit(f"{name} is out of range")
    elif name not in _UNKNOWN and not np.isfinite(array).all():
        raise _Unfit(f"{name} holds what is no number")
    return array.astype(dtype)


def _starts(length: np.ndarray) -> np.ndarray:
    """Where each of several runs begins, and where the last ends: int64 [n + 1]."""
    return np.concatenate([[0], np.cumsum(length, dtype=np.int64)])


def _mapped(path: Path) -> Thumbnails:
    """Thumbnails, their bytes mapped from the file."""
    with safe_open(path, "numpy") as file:  # checks that the header is sound and the file as long as it says
        if set(file.keys()) != {"start", "bytes"}:
            raise _Unfit(f"{THUMBNAILS} lacks or misnames its arrays")
        start = _widened("start", file.get_tensor("start"), np.int64)
        form = file.get_slice("bytes")
        if form.get_dtype() != "U8" or len(form.get_shape()) != 1 or start.ndim != 1 or not len(start):
            raise _Unfit(f"{THUMBNAILS} holds arrays of another form")
    with path.open("rb") as stream:  # 8 bytes: the header's length; the header, in JSON; the arrays
        length = int.from_bytes(stream.read(8), "little")
        begin, end = json.loads(stream.read(length))["bytes"]["data_offsets"]
    if start[0] != 0 or start[-1] != end - begin or (np.diff(start) < 0).any():
        raise _Unfit(f"{THUMBNAILS} says that pictures begin where there are none")
    # An empty file cannot be mapped.
    data = np.memmap(path, np.uint8, "r", 8 + length + begin, (end - begin,)) if end > begin else np.empty(0, np.uint8)
    return Thumbnails(start, np.asarray(data))


def _check(index: ConceptIndex) -> None:
    """Raise unless every number that points somewhere points to something that is there, and counts are counts."""
    manifest = index.manifest
    m, patches = index.n_components, manifest.grid[0] * manifest.grid[1]
    bounds = {
        "active_pictures": (index.active_pictures, 0, manifest.pictures),
        "active_tokens": (index.active_tokens, 0, manifest.tokens),
        "histogram": (index.histogram, 0, manifest.tokens),
        "mean_active": (index.mean_active, 0, np.inf),
        "peak": (index.peak, 0, np.inf),
        "label": (index.label, -1, len(manifest.vocabulary) - 1),
        "near": (index.near, -1, m - 1),
        "together": (index.coactivated, -1, m - 1),
    }
    for which in _LISTS:
        found: ActivatingExamples = getattr(index, which)
        if found.start[-1] != len(found.patch):
            raise _Unfit(f"{which}.length does not add up")
        bounds |= {
            f"{which}.picture": (found.picture, -1, len(index.pictures) - 1),
            f"{which}.value": (found.value, 0, np.inf),
            f"{which}.token": (found.token, 0, patches),
            f"{which}.patch": (found.patch, 0, patches - 1),
        }
    for name, (array, low, high) in bounds.items():
        if array.size and (array.min() < low or array.max() > high):
            raise _Unfit(f"{name} is out of range")
    if (np.diff(index.edges) <= 0).any():
        raise _Unfit("edges do not ascend")
