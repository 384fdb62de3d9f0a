"""Dose-response curves of an edit: the target and every class at many doses (steering coefficients), not at one.

f' = a f for a suppress or scale lever (a = 0 suppresses, 1 leaves untouched), f' = a c for a set lever of strength c.
Everything runs the layers after L only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..records import Preview, Record
from ..words import count, decimal
from .controls import ask_for_a_lever
from .question import Question
from .steering import MAX_STRENGTH, Edit, Lever

DOSES: tuple[float, ...] = (-1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
"""Factors on the activations of an edit's components."""


def dosed(edit: Edit, dose: float) -> Edit:
    """The edit at a dose a: f' = a f for suppress and scale levers, f' = a c for set levers of strength c.

    Where it acts stays as it is. Strengths beyond `MAX_STRENGTH` become the largest one. Raises UserError for a dose
    that is no number.
    """

    def strength(lever: Lever) -> float:
        wanted = dose * lever.strength if lever.operation == "set" else dose
        return float(np.clip(wanted, -MAX_STRENGTH, MAX_STRENGTH))

    return edit.moved(
        Lever(old.component, "set" if old.operation == "set" else "scale", strength(old)) for old in edit.levers
    )


class Flip(NamedTuple):
    """A change of the predicted class between neighbouring doses."""

    low: float
    """The last dose with the class before."""
    high: float
    """The first dose with the class after."""
    before: int
    """The class predicted at the lower dose."""
    after: int
    """The class predicted at the higher one."""


@dataclass(frozen=True, eq=False, repr=False)
class Response(Record):
    """What the model says at every dose of an edit."""

    component: int | None
    """The component whose lever acts alone, of a family the first, or None for the whole edit."""
    before: float
    """y of the picture without any edit, in `unit`."""
    logits_before: np.ndarray
    """float32 [C]: of all classes, without any edit."""
    doses: np.ndarray
    """float64 [S], ascending: 0 suppresses, 1 leaves suppress and scale levers untouched."""
    target: np.ndarray
    """float32 [S]: y, in `unit`."""
    logits: np.ndarray
    """float32 [S, C]: of all classes."""
    target_classes: tuple[int, ...]
    """The classes that y is made of: one, two for a difference, or none."""
    unit: str
    """Of y."""
    per_logit: float
    """What a logit of a class is in the unit of y, 1 where that is a logit."""

    @property
    def moved(self) -> np.ndarray:
        """How far every dose moves the target, float64 [S], in `unit`."""
        return self.target.astype(np.float64) - self.before

    @property
    def classes_moved(self) -> np.ndarray:
        """How far it moves every class, float64 [S, C], in the unit of the target, so that they compare."""
        return (self.logits.astype(np.float64) - self.logits_before) * self.per_logit

    @property
    def top(self) -> np.ndarray:
        """The predicted class at every dose, int [S]."""
        return self.logits.argmax(axis=1)

    def most_affected(self, k: int = 3, besides: Collection[int] | None = None) -> np.ndarray:
        """At most k classes whose logit ranges most over the doses, the widest first, int.

        Classes in `besides` do not count: if it is not given, those of the target.
        """
        left = ~np.isin(np.arange(self.logits.shape[1]), list(self.target_classes if besides is None else besides))
        order = np.argsort(-np.ptp(self.logits, axis=0), kind="stable")
        return order[left[order]][:k]

    @property
    def flips(self) -> tuple[Flip, ...]:
        """Where the predicted class changes from one dose to the next."""
        top, doses = self.top.tolist(), self.doses.tolist()
        return tuple(
            Flip(doses[s], doses[s + 1], top[s], top[s + 1]) for s in range(len(top) - 1) if top[s] != top[s + 1]
        )

    def preview(self) -> Preview:
        """The target and the predicted class at every dose."""
        whose = "The whole edit" if self.component is None else f"The lever on #{self.component} alone"
        numbers = zip(self.doses.tolist(), self.target.tolist(), self.top.tolist(), strict=True)
        rows = [(f"{decimal(dose)} x", decimal(y), f"class {top}") for dose, y, top in numbers]
        title = (
            f"{whose}: the target is {decimal(self.before)} {self.unit} without it; {count(len(self.flips), 'flip')}"
        )
        return Preview(title, ("dose", "target", "predicted"), rows)


def responses(question: Question, edit: Edit) -> Iterator[Response]:
    """The whole edit at all `DOSES`, then each of its levers alone if there are several, in their order.

    A family, whose levers are moved as one, counts as one lever. Raises UserError for an empty edit, for a
    target that is not among the classes, and as `steering.shift`.
    """
    ask_for_a_lever(edit)
    target, scale = question.target, question.model.clip.logit_scale
    parts = [replace(edit, levers=group) for group in edit.groups()]
    for part in [edit, *parts] if len(parts) > 1 else [edit]:
        answers, y = question.answers(question.steered([dosed(part, dose) for dose in DOSES]))
        yield Response(
            component=None if part is edit else part.levers[0].component,
            before=question.value,
            logits_before=question.logits.cpu().numpy().astype(np.float32),
            doses=np.array(DOSES),
            target=y.cpu().numpy().astype(np.float32),
            logits=answers.cpu().numpy().astype(np.float32),
            target_classes=target.classes,
            unit=target.UNIT,
            per_logit=target.per_cosine(scale) / scale,
        )
