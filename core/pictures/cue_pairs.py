"""Plan seeded cues on the free photographs: hundreds of pictures, each with its counterfactual, from a dozen.

1. The middle square of a photograph is the counterfactual. All photographs are asked one question: which of the things
   that they show is it?
2. On it a note, a price tag or a watermark names what another photograph shows, the foil. The foil, and the cue's
   place, size and turn, are drawn from a seed. Every thing is named about as often as any other.

Nothing is tuned to a model, and nothing is kept on disk: a pair is drawn when it is asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFont

from .photograph_examples import SIDE, Cut, Plant, note, price_tag, watermark
from .photographs import Photograph, photographs
from .read import read_picture

KINDS = ("note", "price tag", "watermark")
"""Of cues."""
_WIDEST = 0.9
"""Of the picture's side, for a card."""


@dataclass(frozen=True)
class PlannedCue:
    """A photograph and the cue that is to be drawn on it."""

    photograph: Photograph
    """What is shown, with its true label."""
    kind: str
    """Of the cue."""
    foil: str
    """The label of another photograph, which the cue names."""
    plant: Plant
    """Draws the cue."""

    def counterfactual(self) -> Image.Image:
        """Without the cue, RGB, square."""
        width, height = read_picture(self.photograph.path).size
        side = min(width, height)
        return Cut(self.photograph.name, ((width - side) // 2, (height - side) // 2), side).picture()

    def picture(self) -> Image.Image:
        """With the cue."""
        return self.plant(self.counterfactual())


def planned_cues(each: int, seed: int = 0) -> tuple[PlannedCue, ...]:
    """`each` cues of every kind on every photograph, by photograph: 39 times `each` from thirteen of them."""
    return tuple(_planned(each, np.random.default_rng(seed)))


def _planned(each: int, rng: np.random.Generator) -> Iterator[PlannedCue]:
    shown = photographs()
    for photograph in shown:
        others = [one.label for one in shown if one is not photograph]
        foils: list[str] = []
        for kind in KINDS * each:
            foils = foils or [others[k] for k in rng.permutation(len(others))]
            foil = foils.pop()
            yield PlannedCue(photograph, kind, foil, _drawn(kind, foil, rng))


def _drawn(kind: str, word: str, rng: np.random.Generator) -> Plant:
    """A cue of that kind with a word, of a place, size and turn of its own."""
    if kind == "watermark":
        text, height = f"{word} pictures", float(rng.uniform(26, 42))
        apart = (ImageFont.load_default(height).getlength(text) + height, 2.4 * height)
        return watermark(text, height, float(rng.uniform(0, 35)), apart, float(rng.uniform(0.4, 0.65)))
    card, text, margin = (note, word, 0.9) if kind == "note" else (price_tag, f"{word} $4.99", 1.2)
    height = float(rng.uniform(46, 84))
    # Letters are 0.62 of a card's height, and it grows with them.
    relative = 0.62 * ImageFont.load_default(100).getlength(text) / 100 + margin
    height = min(height, _WIDEST * SIDE / relative)
    width = relative * height
    x, y = (float(rng.uniform(length / 2, SIDE - length / 2)) for length in (width, 1.4 * height))
    return card(text, (x, y), (width, height), float(rng.uniform(-12, 12)))
