"""The second picture, with which the one that is looked at is compared -> HTML beside it, and the offer of one."""

from markupsafe import Markup

from ..session.visit import SecondPicture, Visit
from ..words import decimal, signed
from .glossary import term
from .html import NOTHING, render
from .images import lossless_uri


def second(visit: Visit) -> Markup:
    """The second picture, small, how alike the two are, and whether that is asked about; nothing without one."""
    if visit.second is None:
        return NOTHING
    return render(
        "second",
        second=visit.second,
        picture=lossless_uri(visit.second.crop),
        cosine=_similarity(visit, visit.second) / 100,
        asked=visit.about_second,
    )


def offer() -> Markup:
    """Where the examples stand that a picture may be compared with: second.js takes them from the gallery."""
    return Markup(
        '<p class="told">Why are these two alike? Choose an example, or bring a picture of your own.</p>'
        '<div class="likes"></div>'
    )


def similarity_line(visit: Visit) -> Markup:
    """How alike the two are before the edit and with it, where that is asked about; else nothing."""
    if not visit.about_second:
        return NOTHING
    was, now = visit.moved
    moved = Markup(" → <b>{}</b> ({})").format(decimal(now), signed(now - was)) if visit.edit.levers else NOTHING
    return Markup("Similarity {}{} {}").format(decimal(was), moved, term(visit.target.UNIT))


def _similarity(visit: Visit, other: SecondPicture) -> float:
    before = visit.prediction
    return float(other.target.of(before.logits, before.unit_embedding))
