"""The prediction now against before, and the edit that made it so -> HTML at the side of every tab."""

from typing import Any

from markupsafe import Markup

from ..methods.steering import Edit
from ..model.prediction import Comparison
from ..session.visit import Visit
from .html import render

SHOWN_CLASSES = 6
"""Classes beside the picture; the chart has all."""


def prediction(visit: Visit, shown: int = SHOWN_CLASSES) -> Markup:
    """The prediction now against before, and what is done to make it so."""
    c, levers = visit.comparison, visit.edit.n_groups
    order = [int(k) for k in c.before.order[:shown]]
    order += [] if c.after.top in order else [c.after.top]
    tone, flip = flip_words(c, levers)
    return render(
        "prediction",
        held=held(visit.edit),
        levers=levers,
        classes=c.before.classes,
        before=c.before.probabilities.tolist(),
        after=c.after.probabilities.tolist(),
        best=c.after.top,
        shown=order,
        tone=tone,
        flip=flip,
        cosine=c.cosine,
    )


def held(edit: Edit) -> list[dict[str, Any]]:
    """The edit as the page's scripts read it: its levers, those of a family as one."""
    return [
        {
            "components": [lever.component for lever in group],
            "operation": group[0].operation,
            "strength": group[0].strength,
        }
        for group in edit.groups()
    ]


def flip_words(comparison: Comparison, levers: int) -> tuple[str, Markup | str]:
    """(tone, sentence): whether the predicted class changed."""
    was, now = comparison.before.best, comparison.after.best
    if not levers:
        return "still", f"CLIP says “{now}”. No lever pulled yet."
    if comparison.flipped:
        return "flipped", Markup('<span aria-hidden="true">▲</span> Flipped: “{}” → “{}”').format(was, now)
    return "still", f"No flip: still “{now}”"
