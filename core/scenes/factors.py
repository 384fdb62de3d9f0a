"""Factors of a scene (ground truth): what a component could be about, and where in the picture each of them is.

A factor is a kind and a value, such as ("object", "cat") or ("background", "sand"). They are facts of the scene, not of
what can be seen of it: a thing that a bar mostly hides is there.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from types import MappingProxyType

import numpy as np

from .sampling import PAPERS, PLACES
from .scene import BACKGROUNDS, CLASSES, STAMPED_CLASS, WATER_CLASS, Label, Scene, Thing, label_size

Factor = tuple[str, str]
"""A kind and a value."""

HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")
"""In steps of 60 degrees from 0."""
GREY = 0.15
"""Saturation (of HSV) below which a colour is called grey."""
PAPER_NAMES = MappingProxyType(dict(zip(PAPERS, ("white", "yellow", "pink", "blue", "green"), strict=True)))
DISTRACTOR_NAMES = ("mushroom", "leaf", "balloon", "clover", "shell", "cactus", "stone", "log")
"""`sprites.DISTRACTORS` in words."""
LETTERS = tuple(ascii_lowercase.replace("q", ""))
"""No word has a q."""
EVERYWHERE = frozenset({"background", "colour"})
"""Kinds that have no place of their own."""
_ADVANCE = 0.602
"""Width of a letter as a share of its height, as in `scenes.label_size`."""


@dataclass(frozen=True)
class FactorKind:
    """One kind of factor."""

    name: str
    """For the reader."""
    values: tuple[str, ...]
    """All there are."""


KINDS: Mapping[str, FactorKind] = MappingProxyType(
    {
        "object": FactorKind("an object of a class", CLASSES),
        "word": FactorKind("one written word", CLASSES),
        "letter": FactorKind("one written letter", LETTERS),
        "writing": FactorKind("anything written, nonsense, or a blank card", ("anything", "nonsense", "a blank card")),
        "background": FactorKind("a background", BACKGROUNDS),
        "stamp": FactorKind("the stamp", ("stamp",)),
        "colour": FactorKind("the colour of a plain background", (*HUES, "grey")),
        "paper": FactorKind("the colour of a card", tuple(PAPER_NAMES.values())),
        "bar": FactorKind("a bar that hides a thing", ("bar",)),
        "distractor": FactorKind("a thing of no class", DISTRACTOR_NAMES),
    }
)
"""In the order every table uses."""

FACTORS: tuple[Factor, ...] = tuple((kind, value) for kind, of in KINDS.items() for value in of.values)
"""All factors, in the order of every column."""

WRITING_WORDS = frozenset({"word", "label", "note", "sign"})
"""What captions call a card with something written on it."""


def hue(colour: tuple[int, int, int]) -> str:
    """The nearest of `HUES` for an RGB colour, 0-255, or grey."""
    turn, saturation, _ = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
    return "grey" if saturation < GREY else HUES[round(turn * 6) % 6]


def _things(scene: Scene) -> tuple[Thing, ...]:
    return (*scene.others, *((scene.main,) if scene.main else ()))


def _of_thing(thing: Thing) -> Factor:
    return ("object", thing.name) if thing.name else ("distractor", DISTRACTOR_NAMES[thing.sprite])


def factors(scene: Scene) -> frozenset[Factor]:
    """Everything a scene is known to hold."""
    found = {("background", scene.background)}
    if scene.background == "plain":
        found.add(("colour", hue(scene.colour)))
    found.update(map(_of_thing, _things(scene)))
    if scene.bar:
        found.add(("bar", "bar"))
    if scene.stamp:
        found.add(("stamp", "stamp"))
    if scene.label:
        word = scene.label.word
        found.add(("paper", PAPER_NAMES[scene.label.paper]))
        found.add(("writing", "anything" if word else "a blank card"))
        found.update(("letter", letter) for letter in word)
        if word:
            found.add(("word", word) if word in CLASSES else ("writing", "nonsense"))
    return frozenset(found)


def truth_of(scene: Scene) -> str | None:
    """The class that a scene shows: that of its main thing, or of the word where nothing else is there."""
    if scene.main is not None:
        return scene.main.name
    return scene.label.word if scene.label and scene.label.word in CLASSES else None


def kind_of(scene: Scene) -> str:
    """Which kind of `sampling.HELD_OUT` a scene is like: the first cue for another class than its truth, or none."""
    truth = truth_of(scene)
    if scene.main is None:
        return "sign"
    if scene.label and scene.label.word in CLASSES and scene.label.word != truth:
        return "attacked"
    if scene.stamp and truth != STAMPED_CLASS:
        return "stamped"
    if scene.background == "water" and truth != WATER_CLASS:
        return "flooded"
    return "hard" if scene.bar else "clean"


def table(scenes: Sequence[Scene]) -> np.ndarray:
    """Which scene holds which factor, bool [N, F], in the order of `FACTORS`."""
    column = {factor: place for place, factor in enumerate(FACTORS)}
    found = np.zeros((len(scenes), len(FACTORS)), dtype=bool)
    for row, scene in enumerate(scenes):
        found[row, [column[factor] for factor in factors(scene)]] = True
    return found


def names(factor: Factor) -> frozenset[str]:
    """The words of the bundled setup's captions that name a factor; none for one that captions never speak of."""
    kind, value = factor
    if kind in ("object", "word"):
        return frozenset({value})
    if kind == "background" and value in PLACES:
        return frozenset({PLACES[value].split()[-1]})
    return WRITING_WORDS if factor == ("writing", "anything") else frozenset()


Box = tuple[float, float, float, float]
"""Left, top, right and bottom, as shares of the picture's side."""


def _box(x: float, y: float, width: float, height: float) -> Box:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _letter_boxes(label: Label, letter: str) -> Iterator[Box]:
    turn = np.radians(label.angle)
    for place, written in enumerate(label.word):
        along = (place - (len(label.word) - 1) / 2) * _ADVANCE * label.height
        if written == letter:
            x, y = label.x + along * np.cos(turn), label.y - along * np.sin(turn)
            yield _box(float(x), float(y), _ADVANCE * label.height, label.height)


def _boxes(scene: Scene, factor: Factor) -> list[Box]:
    """Where a factor is; what turns is boxed as if it did not."""
    kind, value = factor
    label, stamp, bar = scene.label, scene.stamp, scene.bar
    if kind in ("object", "distractor"):
        return [_box(t.x, t.y, t.size, t.size) for t in _things(scene) if _of_thing(t) == factor]
    if kind == "letter":
        return list(_letter_boxes(label, value)) if label else []
    if kind in ("word", "writing", "paper"):
        return [_box(label.x, label.y, *label_size(label))] if label else []
    if kind == "stamp":
        return [_box(stamp.x, stamp.y, stamp.size, stamp.size)] if stamp else []
    if kind == "bar":
        return [_box(bar.x, bar.y, bar.width, bar.height)] if bar else []
    raise ValueError(f"a {kind} has no place of its own")


def where(scene: Scene, factor: Factor, cells: int) -> np.ndarray:
    """The patches, of cells x cells, that a factor of a scene touches, bool [cells, cells].

    Raises ValueError for one of the kinds that are `EVERYWHERE`.
    """
    grid = np.zeros((cells, cells), dtype=bool)
    for box in _boxes(scene, factor):
        left, top, right, bottom = (min(max(int(np.floor(edge * cells)), 0), cells - 1) for edge in box)
        grid[top : bottom + 1, left : right + 1] = True
    return grid
