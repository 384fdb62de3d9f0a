"""Similarity of two pictures as a target: y = 100 <u, v>, v the other's image embedding of length 1.

"Why are these two alike?" The cosine of image embeddings has no scale of the model's own, and no class and no
probability has part in it; in hundredths it has about the size that logits have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ...records import Record
from .target import Numbers, Target

HUNDREDTHS = 100.0


@dataclass(frozen=True, eq=False, repr=False)
class PictureTarget(Record, Target):
    """The cosine similarity to another picture, in hundredths."""

    UNIT: ClassVar[str] = "hundredths of cosine"
    SHORT_UNIT: ClassVar[str] = "cos/100"

    unit_embedding: np.ndarray
    """float32 [p]: v, the other picture's image embedding, of length 1."""
    caption: str
    """The other picture, for the reader."""

    @classmethod
    def like(cls, embedding: np.ndarray, caption: str) -> "PictureTarget":
        """Similarity to the picture of an image embedding [p] of any length, as it is in a trace."""
        z = embedding.astype(np.float64)
        return cls((z / np.linalg.norm(z)).astype(np.float32), caption)

    def of(self, logits: Numbers, units: Numbers) -> Numbers:
        """Image embeddings of length 1 [..., p] -> y [...], in hundredths. The logits have no part in it."""
        if isinstance(units, Tensor):
            return HUNDREDTHS * (units * torch.as_tensor(self.unit_embedding).to(units)).sum(-1)
        return HUNDREDTHS * (units * self.unit_embedding.astype(np.float64)).sum(-1)

    def per_cosine(self, logit_scale: float) -> float:
        """A hundred hundredths, whatever the scale."""
        return HUNDREDTHS

    @property
    def words(self) -> str:
        """The target where no names are known."""
        return similarity_to(self.caption)

    def named(self, classes: Sequence[str]) -> str:
        """The target for a sentence."""
        return self.words

    def short(self, classes: Sequence[str]) -> str:
        """The target for a legend."""
        return "similarity"

    def sides(self, classes: Sequence[str]) -> tuple[str, str]:
        """What makes the pictures alike, and what tells them apart."""
        return "Makes them alike", "Tells them apart"


def similarity_to(caption: str) -> str:
    """The target in words: “An owl: it is asleep.” → "similarity to an owl"."""
    name = caption.partition(":")[0].rstrip(".")
    return f"similarity to {name[:1].lower()}{name[1:]}"
