"""Target y(x): the logit, or difference of logits, y(x) that an attribution explains and an ablation measures."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from torch import Tensor

from ..errors import UserError
from ..model.prediction import Prediction
from ..words import MINUS

Logits = TypeVar("Logits", Tensor, np.ndarray)


@dataclass(frozen=True)
class Target:
    """The logit of a class, or that minus the logit of another."""

    wanted: int
    """Index of the class whose logit counts as positive."""
    against: int | None = None
    """Index of the class it is compared with, or None for the logit alone."""

    @property
    def words(self) -> str:
        """The target by the numbers of its classes, from 0: "class 1 - class 0"."""
        return f"class {self.wanted}" + ("" if self.against is None else f" {MINUS} class {self.against}")

    def of(self, logits: Logits) -> Logits:
        """logits [..., C] -> y [...], in logits. Raises UserError for classes that are missing or the same."""
        n_classes = logits.shape[-1]
        for index in (self.wanted, self.against):
            if index is not None and not 0 <= index < n_classes:
                raise UserError(f"There is no class number {index}: there are {n_classes}. Choose the target again.")
        if self.wanted == self.against:
            raise UserError("The target compares a class with itself. Choose two different classes.")
        y = logits[..., self.wanted]
        return y if self.against is None else y - logits[..., self.against]


def default_target(prediction: Prediction, should_be: int | None) -> Target:
    """What to explain when nothing else was asked.

    With `should_be`, the class the visitor says the picture shows: the predicted class minus that one, or,
    where the prediction is right, that one minus the runner-up. Without it: the predicted class's logit.
    """
    order = prediction.order
    if should_be is None or len(order) < 2:
        return Target(int(order[0]))
    rival = order[1] if order[0] == should_be else should_be
    return Target(int(order[0]), int(rival))
