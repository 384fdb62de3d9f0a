"""Kept for the next start: what took long to compute, in huggingface_hub's folder for assets.

All that it depends on is written into its file, as text (`about`). It is used only where every line of that is the
same; a damaged file is none. Where nothing can be written, nothing is lost but the time.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from huggingface_hub import cached_assets_path, constants
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..files import replacing


def kept_folder(kind: str, of: str) -> Path | None:
    """The folder for what is kept of one kind and one thing; None where there can be none."""
    try:
        return cached_assets_path("clip-levers", kind, of, assets_dir=constants.HF_ASSETS_CACHE)
    except (OSError, ValueError):
        return None


def kept_at(kind: str, of: str, about: Mapping[str, str], ending: str) -> Path | None:
    """The file there for what depends on that; None where there can be no folder."""
    name = hashlib.sha256(json.dumps(dict(about), sort_keys=True).encode()).hexdigest()[:16]
    folder = kept_folder(kind, of)
    return None if folder is None else folder / f"{name}.{ending}"


def kept_rows(path: Path | None, about: Mapping[str, str], shape: tuple[int | None, int]) -> Tensor | None:
    """The rows of a file, float32 [n, d]; None for none, for others, and for what cannot be rows of that `shape`."""
    if path is None:
        return None
    try:
        with safe_open(path, framework="pt") as file:
            same = json.loads((file.metadata() or {}).get("about", "null")) == about
            rows: Tensor = file.get_tensor("rows")
    except (OSError, ValueError, SafetensorError):
        return None
    fits = rows.ndim == 2 and rows.shape[1] == shape[1] and shape[0] in (None, len(rows))
    return rows if same and fits and rows.dtype == torch.float32 and bool(rows.isfinite().all()) else None


def keep_rows(path: Path | None, about: Mapping[str, str], rows: Tensor) -> None:
    """Write the file that `kept_rows` reads, in float32, at once or not at all."""
    if path is None:
        return
    with suppress(OSError, ValueError, SafetensorError), replacing(path, shared=True) as beside:
        save_file({"rows": rows.float().cpu().contiguous()}, beside, {"about": json.dumps(dict(about))})
