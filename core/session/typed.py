"""Types of what people and programs type, and levers and targets made of it."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from ..errors import UserError, echo
from ..methods.steering import Lever
from ..methods.targets import ClassTarget
from ..model.prediction import Prediction
from .visit import class_index, target_for

_HALVES = re.compile("[\ud800-\udfff]")


def _without_halves(typed: object) -> object:
    """Half characters (lone surrogates) are what a cut emoji leaves: no encoding, and so no tokenizer, takes them."""
    return _HALVES.sub("", typed) if isinstance(typed, str) else typed


Index = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
"""A whole number that counts something from 0."""
Text = Annotated[str, BeforeValidator(_without_halves), Field(strict=True)]
"""A text of whole characters."""


def lever(
    component: int,
    operation: Any,
    strength: str | float,
    family: int | None = None,
    at_least: str | float | None = None,
) -> Lever:
    """A lever as typed; an empty threshold is none. Raises UserError for a strength or threshold that is no number."""
    nothing = at_least is None or (isinstance(at_least, str) and not at_least.strip())
    return Lever(component, operation, number(strength), family, None if nothing else number(at_least))


def number(typed: object) -> float:
    """A number as people type it. Raises UserError for what is none."""
    try:
        return float(str(typed).replace(",", ".").replace("−", "-"))
    except ValueError as error:
        raise UserError(
            f"“{echo(typed)}” is not a number. Type one such as 0.5, 2 or −1; nothing was changed."
        ) from error


def class_named(classes: Sequence[str], name: str | None) -> int | None:
    """The index of a class; None for no name. Raises UserError for one that is not asked about."""
    if not name:
        return None
    index = class_index(tuple(classes), name)
    if index is None:
        raise UserError(f"“{echo(name)}” is not among the classes. Add it to them, or name one of them.")
    return index


def named_target(prediction: Prediction, wanted: str | None, against: str | None) -> ClassTarget:
    """A target by class names; what is not named is chosen. Raises UserError for names that are not asked about."""
    first, second = (class_named(prediction.classes, name) for name in (wanted, against))
    if first is None:
        return target_for(prediction, second)
    return ClassTarget(first, second)
