"""The prediction before and after the edit -> HTML of the Before / after tab."""

from collections.abc import Sequence

from markupsafe import Markup

from ..session.visit import Visit
from .html import NOTHING, render
from .prediction import ALL_LISTED, at, flip_words, listed, meaning

FOUND = 50
"""Classes that a search shows."""


def chart(visit: Visit) -> Markup:
    """The flip in words, and the probability of every class before and after; of many classes, of some."""
    c, shown = visit.comparison, listed(visit)
    tone, flip = flip_words(c, visit.edit.n_groups)
    return render(
        "chart",
        tone=tone,
        meaning=meaning(c.before),
        flip=flip,
        classes=c.before.classes,
        before=at(c.before.probabilities, shown),
        after=at(c.after.probabilities, shown),
        best=c.after.top,
        order=shown,
    )


def table(visit: Visit) -> Markup:
    """Probability, logit and rank of every class, or of many of some; where each is judged alone, its share, too."""
    return changes(visit, listed(visit))


def changes(visit: Visit, shown: Sequence[int]) -> Markup:
    """The same of these classes, in their order."""
    comparison = visit.comparison
    both = (comparison.before, comparison.after)
    return render(
        "changes",
        classes=comparison.before.classes,
        probability=[at(prediction.probabilities, shown) for prediction in both],
        shares=[at(prediction.shares, shown) for prediction in both] if comparison.before.per_class else None,
        logit=[at(prediction.logits, shown) for prediction in both],
        change=at(comparison.logit_change, shown),
        rank=[prediction.ranks for prediction in both],
        order=shown,
    )


def search(visit: Visit) -> Markup:
    """A field that finds a class among many (classes.js); nothing where all stand there."""
    n = len(visit.classes)
    return render("class_search", n=n) if n > ALL_LISTED else NOTHING


def found(visit: Visit, words: str) -> Markup:
    """The classes whose names have these words, the likeliest first."""
    sought = words.casefold().split()
    order = visit.comparison.before.order.tolist()
    some = [k for k in order if all(one in visit.classes[k].casefold() for one in sought)]
    more = len(some) - FOUND
    rest = Markup('<p class="more">{:,} more have it in their names</p>').format(more) if more > 0 else NOTHING
    if not some:
        return Markup('<p class="empty">None of the {:,} classes has “{}” in its name.</p>').format(len(order), words)
    return changes(visit, some[:FOUND]) + rest
