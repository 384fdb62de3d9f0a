"""A tour of the page on the first example -> HTML, for tour.js, which shows one step after the other."""

from markupsafe import Markup

from .html import render

STEPS = "look", "guess", "open", "pull", "check", "done"
"""Those that are counted, in order; before them it is offered, and the example opened."""


def tour() -> Markup:
    """What is said at each step; nothing of it is in sight at first."""
    return render("tour", steps=STEPS)
