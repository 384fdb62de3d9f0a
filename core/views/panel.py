"""The picture and its prediction, now against before -> HTML beside every tab."""

from markupsafe import Markup

from ..model.prediction import Comparison
from ..session.visit import Visit
from .html import render
from .images import picture_uri

PANEL_CLASSES = 6
"""Classes beside the picture; the chart has all."""


def panel(visit: Visit, cue: str | None = None, shown: int = PANEL_CLASSES) -> Markup:
    """The picture as the model sees it, and the prediction now against before.

    With `cue` (what the counterfactual lacks) comes the button that shows the same scene without it.
    """
    c, levers = visit.comparison, visit.edit.n_groups
    order = [int(k) for k in c.before.order[:shown]]
    order += [] if c.after.top in order else [c.after.top]
    height, width = visit.trace.crop.shape[:2]
    tone, flip = flip_words(c, levers)
    return render(
        "panel",
        subject=visit.subject,
        picture=picture_uri(visit.trace.crop),
        width=width,
        height=height,
        cue=cue,
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


def flip_words(comparison: Comparison, levers: int) -> tuple[str, Markup | str]:
    """(tone, sentence): whether the predicted class changed."""
    was, now = comparison.before.best, comparison.after.best
    if not levers:
        return "still", f"CLIP says “{now}”. No lever pulled yet."
    if comparison.flipped:
        return "flipped", Markup('<span aria-hidden="true">▲</span> Flipped: “{}” → “{}”').format(was, now)
    return "still", f"No flip: still “{now}”"
