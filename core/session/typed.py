"""Levers and targets as people and programs type them, made into values."""

from typing import Any

from ..errors import UserError
from ..methods.steering import Lever
from ..methods.target import Target
from ..model.prediction import Prediction
from .visit import class_index, target_for


def lever(component: int, operation: Any, strength: str | float, family: int | None = None) -> Lever:
    """A lever as typed. Raises UserError for a strength that is no number."""
    try:
        return Lever(component, operation, float(str(strength).replace(",", ".").replace("−", "-")), family)
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"“{str(strength)[:40]}” is not a number. Type one such as 0.5, 2 or −1; nothing was changed."
        ) from error


def named_target(prediction: Prediction, wanted: str | None, against: str | None) -> Target:
    """A target by class names; what is not named is chosen. Raises UserError for names that are not asked about."""
    for name in filter(None, (wanted, against)):
        if class_index(prediction.classes, name) is None:
            raise UserError(f"“{name}” is not among the classes. Add it to them, or name one of them.")
    first, second = (class_index(prediction.classes, name or None) for name in (wanted, against))
    if first is None:
        return target_for(prediction, second)
    return Target(first, second)
