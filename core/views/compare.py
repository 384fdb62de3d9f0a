"""The prediction before and after the edit -> HTML of the Before / after tab."""

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from ..model.prediction import Comparison
from ..session.visit import Visit
from .component import target_words
from .html import render
from .images import heat_uri, picture_uri
from .prediction import flip_words


def chart(visit: Visit) -> Markup:
    """The flip in words, and the probability of every class before and after."""
    c = visit.comparison
    tone, flip = flip_words(c, visit.edit.n_groups)
    return render(
        "chart",
        tone=tone,
        flip=flip,
        classes=c.before.classes,
        before=c.before.probabilities.tolist(),
        after=c.after.probabilities.tolist(),
        best=c.after.top,
        order=c.before.order.tolist(),
    )


def table(comparison: Comparison) -> Markup:
    """Probability, logit and rank of every class, before and after."""
    both = (comparison.before, comparison.after)
    return render(
        "changes",
        classes=comparison.before.classes,
        probability=[prediction.probabilities.tolist() for prediction in both],
        logit=[prediction.logits.tolist() for prediction in both],
        change=comparison.logit_change.tolist(),
        rank=[prediction.ranks.tolist() for prediction in both],
        order=comparison.before.order.tolist(),
    )


@dataclass(frozen=True)
class Support:
    """Where a target's support sits, at one time."""

    when: str
    """Before or after."""
    value: float
    """The target's value, in logits."""
    tokens: np.ndarray
    """float [T]: what all components together contribute by each token, in logits."""

    @property
    def by_patches(self) -> float:
        """What all patches contribute together, in logits."""
        return float(self.tokens[1:].sum())

    @property
    def by_cls(self) -> float:
        """What CLS contributes, in logits."""
        return float(self.tokens[0])


def heat_pair(visit: Visit, before: Support, after: Support) -> Markup:
    """Where the target's support sits before and after the edit, on one scale."""
    heats = [support.tokens[1:].reshape(visit.trace.grid) for support in (before, after)]
    peak = max(float(np.abs(heat).max()) for heat in heats) or 1.0
    return render(
        "heats",
        picture=picture_uri(visit.trace.crop),
        target=target_words(visit),
        peak=peak,
        figures=[(s, heat_uri(heat, peak)) for s, heat in zip((before, after), heats, strict=True)],
    )
