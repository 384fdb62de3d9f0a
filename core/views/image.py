"""The examples, and class names with unknown words -> HTML of the Image tab."""

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from ..pictures.examples import Example
from .html import NOTHING, flag, joined
from .images import lossless_uri


def gallery(examples: Sequence[Example], thumbs: Sequence[str], chosen: str | None) -> Markup:
    """The examples as buttons; `chosen` is a name."""
    button = Markup("""<button type="button" class="example" data-example="{}" aria-pressed="{}">
<img src="{}" alt="" width="224" height="224"><span>{}</span></button>""")
    buttons = joined(
        button.format(k, flag(e.name == chosen), thumb, e.sentence)
        for k, (e, thumb) in enumerate(zip(examples, thumbs, strict=True))
    )
    return Markup('<div class="gallery" role="group" aria-label="Examples">{}</div>').format(buttons)


def unknown_words(unknown: Mapping[str, Sequence[str]], known: Sequence[str]) -> Markup:
    """A mark on every class with words the setup never saw, and the words it did see."""
    if not unknown:
        return NOTHING
    names = "; ".join(
        f"“{name}”" if " ".join(words) == name.lower() else f"“{name}” ({', '.join(words)})"
        for name, words in unknown.items()
    )
    return Markup("""<div class="notice warn" role="status">
<p class="listed">This demo model has never seen {}: expect noise there.</p>
<details><summary>The {} words it knows</summary><p>{}</p></details></div>""").format(
        names, len(known), ", ".join(known)
    )


def crop(pixels: np.ndarray) -> Markup:
    """What the model saw of a picture, uint8 [S, S, 3], for the page to keep: every pixel of it, and unseen."""
    return Markup('<img src="{}" alt="" hidden>').format(lossless_uri(pixels))
