"""Classes as a target: y is the logit of a class, or that minus the logit of another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ...errors import UserError
from ...model.prediction import Prediction
from ...words import MINUS
from .target import Numbers, Target


@dataclass(frozen=True)
class ClassTarget(Target):
    """The logit of a class, or that minus the logit of another."""

    UNIT: ClassVar[str] = "logits"
    SHORT_UNIT: ClassVar[str] = "logits"

    wanted: int
    """Index of the class whose logit counts as positive."""
    against: int | None = None
    """Index of the class it is compared with, or None for the logit alone."""

    @property
    def classes(self) -> tuple[int, ...]:
        """The class, and the one that it is compared with, if there is one."""
        return (self.wanted,) if self.against is None else (self.wanted, self.against)

    def of(self, logits: Numbers, units: Numbers) -> Numbers:
        """Logits [..., C] -> y [...], in logits. Raises UserError for classes that are missing or the same."""
        n_classes = logits.shape[-1]
        for index in self.classes:
            if not 0 <= index < n_classes:
                raise UserError(f"There is no class number {index}: there are {n_classes}. Choose the target again.")
        if self.wanted == self.against:
            raise UserError("The target compares a class with itself. Choose two different classes.")
        y = logits[..., self.wanted]
        return y if self.against is None else y - logits[..., self.against]

    def per_cosine(self, logit_scale: float) -> float:
        """The logit scale."""
        return logit_scale

    @property
    def words(self) -> str:
        """The target by the numbers of its classes, from 0: "class 1 - class 0"."""
        return f" {MINUS} ".join(f"class {index}" for index in self.classes)

    def named(self, classes: Sequence[str]) -> str:
        """“cat”, or “cat” against “dog”."""
        return " against ".join(f"“{classes[index]}”" for index in self.classes)

    def short(self, classes: Sequence[str]) -> str:
        """cat, or cat - dog."""
        return f" {MINUS} ".join(classes[index] for index in self.classes)

    def sides(self, classes: Sequence[str]) -> tuple[str, str]:
        """For a class, and against it; so of both, where it is compared with another."""
        first, *others = (f"“{classes[index]}”" for index in self.classes)
        return ", against ".join((f"For {first}", *others)), ", for ".join((f"Against {first}", *others))


def default_target(prediction: Prediction, should_be: int | None) -> ClassTarget:
    """What to explain when nothing else was asked.

    With `should_be`, the class the visitor says the picture shows: the predicted class minus that one, or,
    where the prediction is right, that one minus the runner-up. Without it: the predicted class's logit.
    """
    order = prediction.order
    if should_be is None or len(order) < 2:
        return ClassTarget(int(order[0]))
    rival = order[1] if order[0] == should_be else should_be
    return ClassTarget(int(order[0]), int(rival))
