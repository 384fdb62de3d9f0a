"""Steering effects of one component (SAE latent) on classes: set on a grey picture, suppressed on its own pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import UserError
from ..methods.steering import Edit, steered
from ..model.prediction import logit_change
from ..model.sae_clip import SaeClip
from ..pictures.read import read_picture
from ..records import Preview, Record
from ..stats import beyond_common
from ..words import NONE, count, decimal, signed
from .component import activating_examples, check_component
from .index import ConceptIndex


@dataclass(frozen=True, eq=False, repr=False)
class SteeringEffects(Record):
    """What a component does to the classes' logits, whichever picture is looked at.

    All changes are after minus before, in logits, and what is common to all classes is left in; the `relative_` ones
    are without it, which is what a softmax can see of them.
    """

    classes: tuple[str, ...]
    """The classes."""
    strength: float
    """What it was set to on the grey picture, in the units of f."""
    on_blank: np.ndarray
    """float32 [C]: the change when it is set to `strength` at every token in scope of a picture that is all grey."""
    each: np.ndarray
    """float32 [n, C]: the change on each of n reference pictures when it is suppressed; 0 where it does not fire."""

    @property
    def n_references(self) -> int:
        """n."""
        return len(self.each)

    @property
    def on_references(self) -> np.ndarray:
        """The mean of `each` over the pictures, float32 [C]; nan without any."""
        return _mean_rows(self.each)

    @property
    def error(self) -> np.ndarray:
        """The standard error of `on_references`, float32 [C]; nan for fewer than two pictures."""
        return _error(self.each)

    @property
    def relative_on_blank(self) -> np.ndarray:
        """`on_blank` without what is common to all classes, float32 [C]."""
        return _relative(self.on_blank)

    @property
    def relative_on_references(self) -> np.ndarray:
        """`on_references` without what is common to all classes, float32 [C]."""
        return _mean_rows(_relative(self.each))

    @property
    def relative_error(self) -> np.ndarray:
        """The standard error of `relative_on_references`, float32 [C]; nan for fewer than two pictures."""
        return _error(_relative(self.each))

    def preview(self) -> Preview:
        """What it does to every class, in the visitor's order."""
        numbers = zip(
            self.classes, self.on_blank.tolist(), self.on_references.tolist(), self.error.tolist(), strict=True
        )
        rows = [
            (
                name,
                signed(set_),
                *(NONE if math.isnan(x) else write(x) for x, write in ((off, signed), (error, decimal))),
            )
            for name, set_, off, error in numbers
        ]
        title = (
            f"Set to {decimal(self.strength)} on grey; suppressed on {count(self.n_references, 'reference picture')}"
        )
        return Preview(title, ("class", "set, logits", "suppressed, logits", "standard error"), rows)


def _relative(change: np.ndarray) -> np.ndarray:
    return beyond_common(change).astype(np.float32)


def _mean_rows(each: np.ndarray) -> np.ndarray:
    if not len(each):
        return np.full(each.shape[1], np.nan, dtype=np.float32)
    return each.mean(axis=0, dtype=np.float64).astype(np.float32)


def _error(each: np.ndarray) -> np.ndarray:
    if len(each) < 2:
        return np.full(each.shape[1], np.nan, dtype=np.float32)
    return (each.std(axis=0, ddof=1, dtype=np.float64) / math.sqrt(len(each))).astype(np.float32)


def strength_of(index: ConceptIndex, component: int) -> float:
    """How strong a component is where it is strong: the mean of its `top` pictures' activations, in the units of f.

    Raises UserError for one that never fired, or when there is no such component.
    """
    check_component(index, component)
    values = index.top.value[component][index.top.picture[component] >= 0]
    if not len(values):
        raise UserError(
            f"Component {component} never fired in the {index.manifest.pictures:,} pictures of the concept index: "
            "there is nothing to set it to, and no picture to suppress it on. Choose another one."
        )
    return float(values.mean(dtype=np.float64))


def crops_of(index: ConceptIndex, component: int, most: int, side: int) -> np.ndarray:
    """At most that many of its `top` reference pictures as the model reads them, uint8 [n, side, side, 3].

    They are the index's thumbnails, enlarged: finer than these, nothing is kept of the pictures themselves. A component
    that lives on fine detail fires less here than it did.
    """
    pictures = [read_picture(example.webp) for example in activating_examples(index, component, "top", most)]
    crops = [np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC)) for picture in pictures]
    return np.stack(crops) if crops else np.zeros((0, side, side, 3), dtype=np.uint8)


@torch.no_grad()
def steering_effects(
    model: SaeClip,
    component: int,
    strength: float,
    crops: np.ndarray,
    classifier: Tensor,
    classes: Sequence[str],
) -> SteeringEffects:
    """What a component does to classes, of unit vectors [C, p], when set on a grey picture and suppressed on crops.

    On the grey picture it is set at every token in scope, which no real picture does: a strong dose, to see which way
    it pushes. The crops, uint8 [n, S, S, 3], are its reference pictures. The edits take one pass through the layers
    after L. Raises UserError when there is no such component.
    """
    clip, dictionary = model.clip, model.dictionary
    check_component(dictionary, component)
    traces = model.traces(np.concatenate([model.grey[None], crops]))
    before = np.stack([trace.embedding for trace in traces])

    x = torch.stack([model.residual(trace) for trace in traces])
    # A lever cannot be set beyond 100, which is nothing for a dictionary with large activations.
    scope = list(dictionary.tokens(len(traces[0].residual)))
    lacking = strength - clip.tensor(traces[0].activations.of(component))[scope]
    x[0, scope] += lacking[:, None] * dictionary.directions(np.array([component]))
    off = Edit.of_suppressed([component])
    for row, trace in enumerate(traces[1:], start=1):
        x[row] = steered(model, trace, [off])[0]
    fires = [0] + [row for row, trace in enumerate(traces) if row and trace.activations.of(component).any()]
    after = before.copy()
    after[fires] = clip.embed_from_residual(x[fires]).cpu().numpy()

    change = logit_change(before, after, classifier, clip.logit_scale)
    return SteeringEffects(tuple(classes), float(strength), change[0], change[1:])
