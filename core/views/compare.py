"""The prediction before and after the edit -> HTML of the Before / after tab."""

from markupsafe import Markup

from ..model.prediction import Comparison
from ..session.visit import Visit
from .html import render
from .prediction import flip_words, meaning


def chart(visit: Visit) -> Markup:
    """The flip in words, and the probability of every class before and after."""
    c = visit.comparison
    tone, flip = flip_words(c, visit.edit.n_groups)
    return render(
        "chart",
        tone=tone,
        meaning=meaning(c.before),
        flip=flip,
        classes=c.before.classes,
        before=c.before.probabilities.tolist(),
        after=c.after.probabilities.tolist(),
        best=c.after.top,
        order=c.before.order.tolist(),
    )


def table(comparison: Comparison) -> Markup:
    """Probability, logit and rank of every class, before and after; where each is judged alone, its share, too."""
    both = (comparison.before, comparison.after)
    return render(
        "changes",
        classes=comparison.before.classes,
        probability=[prediction.probabilities.tolist() for prediction in both],
        shares=[prediction.shares.tolist() for prediction in both] if comparison.before.per_class else None,
        logit=[prediction.logits.tolist() for prediction in both],
        change=comparison.logit_change.tolist(),
        rank=[prediction.ranks.tolist() for prediction in both],
        order=comparison.before.order.tolist(),
    )
