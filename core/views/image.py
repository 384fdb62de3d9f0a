"""The examples, and class names with unknown words -> HTML of the Image tab."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, islice
from types import MappingProxyType

import numpy as np
from markupsafe import Markup

from ..pictures.examples import Example, GoesWrong
from .html import NOTHING, joined
from .images import lossless_uri

THUMBNAIL = 176
"""Pixels of the longer side of an example in the gallery."""
NAMED = 20
"""Classes with unknown words that are named; of more, the rest are counted."""
HEADINGS: Mapping[GoesWrong, str] = MappingProxyType(
    {
        "words": "Written words",
        "watermark": "Watermark",
        "background": "Background",
        "names": "Class names",
        "nothing": "Nothing planted",
    }
)
"""Of the examples by what may mislead a model."""


def gallery(examples: Iterable[Example], thumbnails: Mapping[str, str]) -> Markup:
    """The examples as buttons, by what may mislead a model; `thumbnails` are data URIs by the examples' names."""
    button = Markup("""<button type="button" class="example" data-example="{}">
<img src="{}" alt="" width="{side}" height="{side}"><span>{}</span></button>""")
    group = Markup("""<section style="--examples:{}" aria-labelledby="gallery-{kind}"><h2 id="gallery-{kind}">{}</h2>
{}</section>""")
    groups = []
    for kind, found in groupby(examples, lambda example: example.goes_wrong):
        buttons = [button.format(one.name, thumbnails[one.name], one.sentence, side=THUMBNAIL) for one in found]
        groups.append(group.format(len(buttons), HEADINGS[kind], joined(buttons), kind=kind))
    return Markup('<div class="gallery">{}</div>').format(joined(groups))


def unknown_words(unknown: Mapping[str, Sequence[str]], known: Sequence[str]) -> Markup:
    """A mark on every class with words the setup never saw, and the words it did see."""
    if not unknown:
        return NOTHING
    names = "; ".join(
        f"“{name}”" if " ".join(words) == name.lower() else f"“{name}” ({', '.join(words)})"
        for name, words in islice(unknown.items(), NAMED)
    )
    if len(unknown) > NAMED:
        names += f" and the words of {len(unknown) - NAMED:,} more classes"
    return Markup("""<div class="notice warn" role="status">
<p class="listed">This demo model has never seen {}: expect noise.</p>
<details><summary>The {} words it knows</summary><p>{}</p></details></div>""").format(
        names, len(known), ", ".join(known)
    )


def begin_reading() -> Markup:
    """In place of an answer about classes that have to be read first: reading.js asks for that when it sees it."""
    return Markup('<p class="waiting" role="status" data-begin>Reading the classes (once) …</p>')


def reading_stopped(done: int, total: int) -> Markup:
    """What stands there when a visitor stopped it."""
    return Markup("""<p class="waiting" role="status">Stopped at {:,} of {:,} texts; Classify goes on from there.
</p>""").format(done, total)


def crop(pixels: np.ndarray) -> Markup:
    """What the model saw of a picture, uint8 [S, S, 3], for the page to keep: every pixel of it, and unseen."""
    return Markup('<img src="{}" alt="" hidden>').format(lossless_uri(pixels))
