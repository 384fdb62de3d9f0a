"""Target y: the number that an attribution explains, an edit is meant to move and an ablation measures.

y is linear in the logits of the classes and in the image embedding of length 1, u = z/|z|. So what an edit does to it
is the same function of their changes, whatever the target is.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, TypeVar

import numpy as np
from torch import Tensor

Numbers = TypeVar("Numbers", Tensor, np.ndarray)


class Target(ABC):
    """What is explained of one picture. A frozen value."""

    UNIT: ClassVar[str]
    """Of y, as it stands behind a number."""
    SHORT_UNIT: ClassVar[str]
    """The same where space is scarce."""

    @abstractmethod
    def of(self, logits: Numbers, units: Numbers) -> Numbers:
        """Logits of the classes [..., C] and image embeddings of length 1 [..., p] -> y [...], in `UNIT`.

        Differentiable. Of changes of both it is the change of y. Raises UserError for what is not there.
        """

    @abstractmethod
    def per_cosine(self, logit_scale: float) -> float:
        """What a cosine of 1 is in `UNIT`: what is compared with y is measured in this."""

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes it is made of, by index: one, two for a difference, or none."""
        return ()

    # In words

    @property
    @abstractmethod
    def words(self) -> str:
        """The target where no names are known."""

    @abstractmethod
    def named(self, classes: Sequence[str]) -> str:
        """The target by the names of the classes, for a sentence."""

    @abstractmethod
    def short(self, classes: Sequence[str]) -> str:
        """The same for the legend of a chart."""

    @abstractmethod
    def sides(self, classes: Sequence[str]) -> tuple[str, str]:
        """What a component does that speaks for it, and what one does that speaks against it."""
