"""Kept class vectors of the lists that ship, so that the next start has them: ImageNet's names take a CPU minutes.

They depend (`core.setups.kept`) on the weights of the text tower, the tokens that it was given, the templates, and the
list.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from torch import Tensor

from ..model.class_lists import lines_of
from ..model.class_vectors import Names
from ..model.clip import SplitClip, text_work
from .identity import tower_fingerprint
from .kept import keep_rows, kept_at, kept_rows

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
        return kept_rows(_file(about), about, (len(lines_of(name)), self._clip.projection))

    def put(self, name: str, templates: Names, vectors: Tensor) -> None:
        """Keep them."""
        if self._is_worth(name, templates):
            about = self._about(name, templates)
            keep_rows(_file(about), about, vectors)

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


def _file(about: Mapping[str, str]) -> Path | None:
    return kept_at("classes", about["list"], about, "safetensors")
