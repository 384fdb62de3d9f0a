"""The picture as the model sees it -> HTML at the side of every tab."""

from markupsafe import Markup

from ..session.visit import Visit
from .html import render
from .images import picture_uri


def canvas(visit: Visit, cue: str | None = None) -> Markup:
    """The picture, and, with `cue` (what the counterfactual lacks), the button that shows the same scene without it."""
    height, width = visit.trace.crop.shape[:2]
    return render(
        "canvas",
        subject=visit.subject,
        picture=picture_uri(visit.trace.crop),
        width=width,
        height=height,
        cue=cue,
    )
