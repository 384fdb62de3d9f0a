"""Growth of a concept index that is made in the background -> HTML: how far it is, from which pictures."""

from markupsafe import Markup

from ..background import Job
from ..concepts.growth import Growth
from ..concepts.index import ConceptIndex
from .html import NOTHING


def growth(setup: str, making: Job[Growth, None], index: ConceptIndex | None) -> Markup:
    """How far it is, and why it ended, where it did too early; `index` is what there is so far. Read by growth.js."""
    over, step = making.over, making.step or Growth()
    said = _ended(making.trouble, index) if over else _going_on(step, index)
    return Markup('<div role="status" data-setup="{}" data-shown="{}"{}>{}</div>').format(
        setup, step.shown, Markup(" data-over=yes") if over else NOTHING, said
    )


def _ended(trouble: str, index: ConceptIndex | None) -> Markup:
    if not trouble:
        return NOTHING
    rests = "All else works without."
    if index is not None:
        rests = f"Those shown are from {index.manifest.pictures:,} pictures."
    return Markup('<p class="notice warn">No more reference pictures: {} {}</p>').format(trouble, rests)


def _going_on(step: Growth, index: ConceptIndex | None) -> Markup:
    so_far = "The first come in a minute or a few."
    if index is not None:
        last = "are being found" if step.done == step.total else "come last"
        so_far = f"Shown: from {index.manifest.pictures:,} of them; label guesses and families {last}."
    bar = NOTHING
    if step.total:
        bar = Markup(
            ' <progress max="{total}" value="{done}"></progress> <small>{done:,} of {total:,}.</small>'
        ).format(total=step.total, done=step.done)
    licence = f" (licence: {step.licence})" if step.licence else ""
    return Markup("""<p class="notice quiet">Looking for reference pictures in <b>{}</b>{}.{} <small>{}</small>
</p>""").format(step.source or "a data set", licence, bar, so_far)
