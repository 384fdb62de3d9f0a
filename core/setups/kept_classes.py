"""Kept class vectors of the lists that ship, so that the next start has them: ImageNet's names take a CPU minutes.

They lie in huggingface_hub's folder for assets, as figures of health checks do (`kept_health`). What they depend on is
written into each file: the weights of the text tower, the tokens that it was given, the templates, and the list. A file
is used only where all that is the same; a damaged one is no file.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from huggingface_hub import cached_assets_path, constants
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..files import replacing
from ..model.class_lists import lines_of
from ..model.class_vectors import Names
from ..model.clip import SplitClip, text_work
from .identity import tower_fingerprint

WORTH = 2e11
"""Multiplications from which on vectors are kept: some seconds of a few cores. What takes less is read anew."""

_VERSION = "1"
"""Of how they are made. To be raised whenever `classifier_steps` gives other numbers."""


class KeptClasses:
    """Where the class vectors of one CLIP are kept."""

    def __init__(self, clip: SplitClip) -> None:
        """Of `clip`."""
        self._clip = clip

    def find(self, name: str, templates: Names) -> Tensor | None:
        """Those of a list's classes, [C, p], float32; None where there are none."""
        if not self._is_worth(name, templates):
            return None
        about = self._about(name, templates)
        path = _kept_at(about)
        try:
            if path is None:
                return None
            with safe_open(path, framework="pt") as file:
                vectors: Tensor = file.get_tensor("classes")
                same = json.loads((file.metadata() or {}).get("about", "null")) == about
        except (OSError, ValueError, SafetensorError):
            return None
        fits = vectors.shape == (len(lines_of(name)), self._clip.projection)
        return vectors if same and fits and bool(vectors.isfinite().all()) else None

    def put(self, name: str, templates: Names, vectors: Tensor) -> None:
        """Keep them. Where nothing can be written, nothing is lost but the time."""
        if not self._is_worth(name, templates):
            return
        about = self._about(name, templates)
        path = _kept_at(about)
        if path is None:
            return
        with suppress(OSError, ValueError, SafetensorError), replacing(path, shared=True) as beside:
            save_file({"classes": vectors.float().cpu().contiguous()}, beside, {"about": json.dumps(about)})

    def _is_worth(self, name: str, templates: Names) -> bool:
        return text_work(self._clip, lines_of(name), templates) > WORTH

    def _about(self, name: str, templates: Names) -> dict[str, str]:
        names = lines_of(name)
        tokens = self._clip.token_ids([templates[0].replace("{}", one) for one in names])
        return {
            "version": _VERSION,
            "text": self._fingerprint,
            "precision": str(self._clip.dtype).removeprefix("torch."),
            "list": name,
            "tokens": _hash(tokens),
            "templates": _hash(templates),
        }

    @cached_property
    def _fingerprint(self) -> str:
        return tower_fingerprint(self._clip.model, "text", self._clip.dtype)


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _kept_at(about: Mapping[str, str]) -> Path | None:
    """The file of these vectors; None where there can be no folder."""
    try:
        folder = cached_assets_path("clip-levers", "classes", about["list"], assets_dir=constants.HF_ASSETS_CACHE)
    except (OSError, ValueError):
        return None
    return folder / f"{_hash(dict(about))[:16]}.safetensors"
