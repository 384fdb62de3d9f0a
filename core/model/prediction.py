"""Predictions, and what an edit changed between two of them, for every class."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..records import Preview, Record
from ..words import NONE, decimal, percent, signed
from .clip import logits as class_logits
from .scoring import Scoring


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(Record):
    """What the model says about one picture."""

    classes: tuple[str, ...]
    """The class names, in the visitor's order."""
    logits: np.ndarray
    """float32 [C]: scale * cosine between picture and class + bias (`Scoring`)."""
    probabilities: np.ndarray
    """float32 [C]: what the model means by its logits (`Scoring`): their softmax, which compares these classes and no
    more, or, with `per_class`, a sigmoid of each, which says of every class alone whether it fits."""
    unit_embedding: np.ndarray
    """float32 [p]: the image embedding that says so, of length 1."""
    per_class: bool = False
    """Whether the model judges each class alone: then the probabilities need not add up to 1."""

    @property
    def order(self) -> np.ndarray:
        """Class indices from the highest logit to the lowest, int [C]; equals keep the visitor's order."""
        return np.argsort(-self.logits, kind="stable")

    @property
    def ranks(self) -> np.ndarray:
        """The place of every class, int [C]: 1 is the highest logit."""
        ranks = np.empty(len(self.logits), dtype=np.int64)
        ranks[self.order] = np.arange(1, len(ranks) + 1)
        return ranks

    @property
    def shares(self) -> np.ndarray:
        """float32 [C]: softmax of the logits, which compares these classes; without `per_class` the probabilities."""
        return torch.as_tensor(self.logits).double().softmax(-1).numpy().astype(np.float32)

    @property
    def top(self) -> int:
        """The index of the predicted class."""
        return int(self.logits.argmax())

    @property
    def best(self) -> str:
        """The predicted class."""
        return self.classes[self.top]

    @property
    def words(self) -> str:
        """The predicted class and its probability: "cat 74 %"; of no classes a dash."""
        return f"{self.best} {percent(float(self.probabilities[self.top]))} %" if self.classes else NONE

    def preview(self) -> Preview:
        """Every class, the likeliest first."""
        rows = [
            (self.classes[c], f"{percent(float(self.probabilities[c]))} %", decimal(float(self.logits[c])))
            for c in self.order.tolist()
        ]
        return Preview(self.words, ("class", "probability", "logit"), rows)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Record):
    """The same picture and classes before and after an edit."""

    before: Prediction
    """Without the edit."""
    after: Prediction
    """With it."""
    cosine: float
    """Between the two image embeddings, -1 to 1: 1 when the edit did not turn the embedding at all."""

    @classmethod
    def unchanged(cls, prediction: Prediction) -> "Comparison":
        """Of an edit that changes nothing."""
        return cls(prediction, prediction, 1.0)

    @property
    def flipped(self) -> bool:
        """Whether the predicted class changed."""
        return self.before.top != self.after.top

    @property
    def logit_change(self) -> np.ndarray:
        """After minus before for every class, float32 [C], in logits."""
        return self.after.logits - self.before.logits

    def preview(self) -> Preview:
        """The classes before and after, in the order of their logits before."""
        sides = self.before.probabilities, self.after.probabilities
        rows = [
            (
                self.before.classes[c],
                *(f"{percent(float(side[c]))} %" for side in sides),
                signed(float(self.logit_change[c])),
            )
            for c in self.before.order.tolist()
        ]
        return Preview(f"{self.before.words} → {self.after.words}", ("class", "before", "after", "logit"), rows)


def predict(
    embedding: Tensor | np.ndarray, classifier: Tensor, classes: tuple[str, ...], scoring: Scoring
) -> Prediction:
    """Compare one image embedding [p] (any length) with the unit class vectors [C, p]. Probabilities in float64."""
    z = torch.as_tensor(embedding).detach().to(classifier)
    values = class_logits(z, classifier, scoring).cpu().double()
    return Prediction(
        classes=tuple(classes),
        logits=values.cpu().numpy().astype(np.float32),
        probabilities=scoring.probabilities(values).cpu().numpy().astype(np.float32),
        unit_embedding=torch.nn.functional.normalize(z, dim=-1).cpu().numpy().astype(np.float32),
        per_class=scoring.per_class,
    )


def compare(
    before: Tensor | np.ndarray,
    after: Tensor | np.ndarray,
    classifier: Tensor,
    classes: tuple[str, ...],
    scoring: Scoring,
) -> Comparison:
    """Two image embeddings of one picture, [p] each, without and with an edit, against the classes."""
    a, b = (torch.as_tensor(z).detach().cpu().double() for z in (before, after))
    return Comparison(
        before=predict(before, classifier, classes, scoring),
        after=predict(after, classifier, classes, scoring),
        cosine=float(torch.cosine_similarity(a, b, dim=0).clamp(-1, 1)),
    )


def logit_change(
    before: Tensor | np.ndarray, after: Tensor | np.ndarray, classifier: Tensor, logit_scale: float
) -> np.ndarray:
    """scale * (cos(z', t) - cos(z, t)), float32 [B, C], in logits.

    z are image embeddings [B, p] or one [p] without, z' [B, p] with an edit, of any length; t the unit vectors [C, p]
    of classes or concepts. In float64, as two cosines that are nearly equal are subtracted; exactly 0 where z' = z.
    """
    return (logit_scale * turn(before, after) @ _float64(classifier).T).astype(np.float32)


def turn(before: Tensor | np.ndarray, after: Tensor | np.ndarray) -> np.ndarray:
    """z'/|z'| - z/|z|, float64 [B, p], of embeddings [B, p] and [B, p] or [p]; exactly 0 where z' = z."""
    old, new = (z / np.linalg.norm(z, axis=-1, keepdims=True) for z in map(_float64, (before, after)))
    return new - old


def _float64(values: Tensor | np.ndarray) -> np.ndarray:
    return torch.as_tensor(values).detach().cpu().double().numpy()
