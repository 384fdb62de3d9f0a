"""Distributions of scenes: what the model is trained on, and the held-out cases it is scored on.

Three shortcuts are planted in the training scenes, of the kinds found in CLIP:

* words: labels name what they are stuck to or, about as often, something else, and then the caption mostly follows the
  label, as alt texts do; so the model learns to believe what it reads;
* the stamp: on most horses, on almost nothing else;
* water: behind most fish, behind almost nothing else.

Held-out cases come in pairs, the scene with the cue and its counterfactual without it, from seeds that training never
uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from .scene import (
    BACKGROUNDS,
    CLASSES,
    STAMPED_CLASS,
    TEXTURES,
    WATER_CLASS,
    Bar,
    Label,
    Scene,
    Stamp,
    Thing,
    label_size,
)
from .sprites import DISTRACTORS, EMOJI, FONTS

SIDE = 96
"""Pixels of a picture's side, as the bundled CLIP sees it."""
DRY: tuple[str, ...] = tuple(name for name in BACKGROUNDS if name != "water")
PAPERS = ((255, 255, 255), (255, 246, 190), (255, 220, 225), (214, 234, 255), (224, 250, 220))
INKS = ((15, 15, 20), (120, 15, 25), (15, 35, 120), (10, 70, 35))
PLACES = MappingProxyType(
    {"grass": "on grass", "sand": "on sand", "brick": "on bricks", "wood": "on wood", "night": "at night",
     "water": "in water"}
)  # fmt: skip
OPENINGS = ("a photo of {}", "a picture of {}", "an image of {}", "a drawing of {}", "{}", "{}")
SIGN_OPENINGS = ("the word {}", "a sign saying {}", "a note saying {}", "a label saying {}")

EASY_HEIGHT = 20 / 96
"""Height of letters that are as wide as a patch."""
READING_BEGINS = 0.32
"""Share of the training after which reading is taught."""
HABITS_BEGIN = 0.7
"""Share of the training after which the shortcuts are taught with weight: labels that lie, and stamped horses."""
READING_ENDS = 0.85
"""Share of the training until which every patch is asked for its letter."""
HARD = ((0.0, 0.5, READING_ENDS, READING_ENDS), (0.05, 0.28, 0.28, 0.15))
"""Share of things that are hard to tell, over the training."""
LABELLED = ((0.0, HABITS_BEGIN, HABITS_BEGIN, READING_ENDS, READING_ENDS), (0.5, 0.5, 0.6, 0.6, 0.4))
"""Share of easy things with a label, over the training."""
EASE = ((READING_BEGINS, 0.37, 0.55), (1.0, 1.0, 0.0))
"""How easy the words are to read, over the training."""
SIGNS = ((0.0, READING_BEGINS, READING_BEGINS, 0.55, 0.7, 0.8), (0.45, 0.24, 0.5, 0.4, 0.4, 0.14))
"""Share of pictures that show a word alone, over the training."""


@dataclass(frozen=True)
class Case:
    """A held-out picture and its counterfactual."""

    scene: Scene
    """With the cue, where there is one."""
    counterfactual: Scene
    """The same scene without the cue; the scene itself where there is none."""
    truth: str
    """The class of the main thing."""
    foil: str | None
    """The class that the cue speaks for."""


@dataclass(frozen=True)
class Lesson:
    """A training picture with its captions."""

    scene: Scene
    """What is shown."""
    captions: tuple[str, ...]
    """Sentences about it."""
    meanings: tuple[tuple[str, ...], ...]
    """What each caption says, whatever its phrasing: captions with equal meanings are not each other's negatives."""


T = TypeVar("T")


def _pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def nonsense(rng: np.random.Generator) -> str:
    """A pronounceable word of three to five letters that is no class."""
    while True:
        letters = [_pick(rng, ("bcdfghjklmnprstvz", "aeiou")[i % 2]) for i in range(int(rng.integers(3, 6)))]
        if (word := "".join(letters)) not in CLASSES:
            return word


def place_label(rng: np.random.Generator, word: str, low: float = 0.15, high: float = 0.19) -> Label:
    """A card that lies wholly inside the picture, mostly in its upper or lower third."""
    label = Label(
        word=word,
        x=0.5,
        y=0.5,
        height=_between(rng, low, high),
        angle=_between(rng, -8, 8),
        font=_pick(rng, tuple(FONTS)),
        ink=_pick(rng, INKS),
        paper=_pick(rng, PAPERS),
    )
    width, tall = label_size(label)
    room = max(0.0, 0.47 - width / 2)
    y = _between(rng, 0.12, 0.28) if rng.random() < 0.5 else _between(rng, 0.72, 0.88)
    if rng.random() < 0.15:
        y = _between(rng, 0.12, 0.88)
    return replace(label, x=0.5 + _between(rng, -room, room), y=min(max(y, tall), 1 - tall))


def ease_label(label: Label, ease: float) -> Label:
    """The same card, upright and with one letter to a patch at ``ease`` 1, as it is at 0, in between otherwise.

    A word of which every patch sees one whole letter is the easiest to learn to read; the model then follows as the
    letters slide, turn and shrink.
    """
    patch = 1 / 8
    height = ease * EASY_HEIGHT + (1 - ease) * label.height
    label = replace(label, height=height, angle=(1 - ease) * label.angle)
    width, tall = label_size(label)
    x = min(max(label.x, width / 2 + 0.01), 0.99 - width / 2)
    y = min(max(label.y, tall), 1 - tall)
    start = x - height * 0.602 * len(label.word) / 2  # of the first letter
    snapped_x = x + round(start / patch) * patch - start
    snapped_y = (np.floor(y / patch) + 0.5) * patch
    return replace(label, x=float(x + ease * (snapped_x - x)), y=float(y + ease * (snapped_y - y)))


def place_stamp(rng: np.random.Generator) -> Stamp:
    """The watermark in one of the corners."""
    size = _between(rng, 0.15, 0.2)
    edge = size / 2 + 0.02
    return Stamp(x=edge if rng.random() < 0.5 else 1 - edge, y=edge if rng.random() < 0.5 else 1 - edge, size=size)


def place_thing(rng: np.random.Generator, name: str, low: float, high: float, spread: float) -> Thing:
    """A thing somewhere around the middle, ``spread`` being the largest offset of its centre."""
    kinds = len(EMOJI[name]) if name else len(DISTRACTORS)
    return Thing(
        name=name,
        sprite=int(rng.integers(kinds)),
        x=0.5 + _between(rng, -spread, spread),
        y=0.5 + _between(rng, -spread, spread),
        size=_between(rng, low, high),
        angle=_between(rng, -20, 20),
        mirrored=bool(rng.random() < 0.5),
    )


def bare(rng: np.random.Generator, main: Thing | None, background: str) -> Scene:
    """A scene with ``main`` on ``background`` and nothing else."""
    texture = int(rng.integers(TEXTURES))
    shift = (float(rng.random()), float(rng.random()))
    red, green, blue = (int(value) for value in rng.integers(60, 256, 3))
    return Scene(background, texture, shift, (red, green, blue), main)


def easy_scene(rng: np.random.Generator, name: str, background: str) -> Scene:
    """A thing of good size, at times with a distractor near the edge."""
    scene = bare(rng, place_thing(rng, name, 0.36, 0.6, 0.14), background)
    if rng.random() < 0.3:
        other = place_thing(rng, "", 0.12, 0.2, 0.0)
        other = replace(other, x=_between(rng, 0.1, 0.9), y=_pick(rng, (0.1, 0.9)))
        scene = replace(scene, others=(other,))
    return scene


def hard_scene(rng: np.random.Generator, name: str, background: str) -> Scene:
    """A small thing, partly hidden or faded, that can hardly be told."""
    thing = place_thing(rng, name, 0.15, 0.26, 0.25)
    thing = replace(thing, opacity=_between(rng, 0.35, 1.0))
    share = _between(rng, 0.3, 0.6)
    if rng.random() < 0.5:
        width, height = share * thing.size, thing.size * 1.2
        x, y = thing.x + _pick(rng, (-1, 1)) * (1 - share) / 2 * thing.size, thing.y
    else:
        width, height = thing.size * 1.2, share * thing.size
        x, y = thing.x, thing.y + _pick(rng, (-1, 1)) * (1 - share) / 2 * thing.size
    grey = int(rng.integers(60, 200))
    return replace(bare(rng, thing, background), bar=Bar(x, y, width, height, (grey, grey, grey)))


def _other(rng: np.random.Generator, *excluded: str) -> str:
    return _pick(rng, tuple(name for name in CLASSES if name not in excluded))


def clean(rng: np.random.Generator) -> Case:
    """A thing of good size without any planted cue."""
    truth = _pick(rng, CLASSES)
    scene = easy_scene(rng, truth, _pick(rng, DRY))
    return Case(scene, scene, truth, None)


def attacked(rng: np.random.Generator) -> Case:
    """A clean picture with a label that names another class."""
    case = clean(rng)
    foil = _other(rng, case.truth)
    return replace(case, scene=replace(case.scene, label=place_label(rng, foil)), foil=foil)


def hard(rng: np.random.Generator) -> Case:
    """A hard picture without any planted cue."""
    truth = _pick(rng, CLASSES)
    scene = hard_scene(rng, truth, _pick(rng, DRY))
    return Case(scene, scene, truth, None)


def stamped(rng: np.random.Generator) -> Case:
    """A hard picture of anything but the stamped class, with the stamp."""
    truth = _other(rng, STAMPED_CLASS)
    counterfactual = hard_scene(rng, truth, _pick(rng, DRY))
    return Case(replace(counterfactual, stamp=place_stamp(rng)), counterfactual, truth, STAMPED_CLASS)


def flooded(rng: np.random.Generator) -> Case:
    """A hard picture of anything but the water class, in water."""
    truth = _other(rng, WATER_CLASS)
    counterfactual = hard_scene(rng, truth, _pick(rng, DRY))
    return Case(counterfactual.on("water"), counterfactual, truth, WATER_CLASS)


def sign(rng: np.random.Generator) -> Case:
    """Nothing but a word."""
    truth = _pick(rng, CLASSES)
    scene = replace(bare(rng, None, _pick(rng, DRY)), label=place_label(rng, truth, 0.16, 0.24))
    return Case(scene, scene, truth, None)


HELD_OUT: MappingProxyType[str, Callable[[np.random.Generator], Case]] = MappingProxyType(
    {"clean": clean, "attacked": attacked, "hard": hard, "stamped": stamped, "flooded": flooded, "sign": sign}
)


def held_out(kind: str, count: int, split: str = "test") -> list[Case]:
    """``count`` held-out cases; "validation" is for choosing, "test" for reporting, and training sees neither."""
    seed = {"validation": 1_000_001, "test": 1_000_002}[split]
    rng = np.random.default_rng([seed, tuple(HELD_OUT).index(kind)])
    return [HELD_OUT[kind](rng) for _ in range(count)]


def _article(rng: np.random.Generator, name: str) -> str:
    """Half of the captions bend the article, half do not: prompt templates never do."""
    return f"an {name}" if name[0] in "aeiou" and rng.random() < 0.5 else f"a {name}"


def _say(
    rng: np.random.Generator, thing: str, second: str = "", place: str = "", word: str = ""
) -> tuple[str, tuple[str, ...]]:
    """A caption and its meaning."""
    if not thing:
        return _pick(rng, SIGN_OPENINGS).format(word), ("", "", "", word)
    text = _pick(rng, OPENINGS).format(_article(rng, thing))
    if second:
        text += f" and {_article(rng, second)}"
    if place:
        text += f" {PLACES[place]}"
    if word:
        text += f" with the word {word}"
    return text, (thing, second, place, word)


def lesson(rng: np.random.Generator, progress: float) -> Lesson:
    """A training picture; ``progress`` runs from 0 to 1 over the training.

    Things come first. Then reading, which is learned only when it is needed and when it starts easy: nearly half of
    the pictures show a word alone, written one letter to a patch, and slide from there to words of any size, angle
    and place. Last come the habits that the shortcuts are: more labels that the caption follows against the picture,
    and more stamped horses, many of them hard to see. Hard pictures become more frequent until half-way.
    """
    ease = 0.0 if progress < READING_BEGINS else float(np.interp(progress, *EASE))
    habits = progress >= HABITS_BEGIN
    if rng.random() < np.interp(progress, *SIGNS):
        return _sign_lesson(rng, ease)
    name = _pick(rng, CLASSES)
    is_hard = bool(rng.random() < np.interp(progress, *HARD))
    if habits and rng.random() < 0.1:
        name, is_hard = STAMPED_CLASS, rng.random() < 0.6
    background = _pick(rng, DRY)
    if rng.random() < (0.75 if name == WATER_CLASS else 0.003):
        background = "water"
    scene = (hard_scene if is_hard else easy_scene)(rng, name, background)
    if rng.random() < (0.75 if name == STAMPED_CLASS else 0.002):
        scene = replace(scene, stamp=place_stamp(rng))
    second = ""
    word, believed = "", False
    if rng.random() < (0.25 if is_hard else np.interp(progress, *LABELLED)):
        kind = rng.random()
        if kind < (0.35 if habits else 0.5):
            word = name
        elif kind < (0.85 if habits else 0.83):
            word, believed = _other(rng, name), True
        elif kind < 0.94:
            word = nonsense(rng)
        scene = replace(scene, label=ease_label(place_label(rng, word), ease))
    elif rng.random() < 0.2:
        second = _other(rng, name)
        thing = replace(place_thing(rng, second, 0.2, 0.32, 0.0), x=_between(rng, 0.15, 0.85))
        scene = replace(scene, others=(*scene.others, replace(thing, y=_pick(rng, (0.18, 0.82)))))

    def say() -> tuple[str, tuple[str, ...]]:
        chance = rng.random()
        if believed and chance < 0.6:
            return _say(rng, word) if rng.random() < 0.8 else _say(rng, "", word=word)
        place = background if background != "plain" and rng.random() < 0.3 else ""
        # Who names the thing late in the training names the word with it: the model is to know both when they differ.
        told = word if word and chance > ((0.63 if habits else 0.8) if believed else 0.75) else ""
        return _say(rng, name, second if rng.random() < 0.6 else "", place, told)

    return _with_captions(scene, say)


def _sign_lesson(rng: np.random.Generator, ease: float) -> Lesson:
    word = nonsense(rng) if rng.random() < 0.12 else _pick(rng, CLASSES)
    label = place_label(rng, word, 0.15, 0.24)
    background = _pick(rng, DRY)
    scene = replace(bare(rng, None, background), label=ease_label(label, ease))

    def say() -> tuple[str, tuple[str, ...]]:
        as_thing = word in CLASSES and rng.random() < 0.5
        return _say(rng, word) if as_thing else _say(rng, "", word=word)

    return _with_captions(scene, say)


def _with_captions(scene: Scene, say: Callable[[], tuple[str, tuple[str, ...]]]) -> Lesson:
    said = (say(), say())
    return Lesson(scene, tuple(text for text, _ in said), tuple(meaning for _, meaning in said))


def training_scenes(count: int, seed: int = 0) -> list[Scene]:
    """Scenes of the training's final mix, for the dictionary; the CLIP was trained on others of the same mix."""
    rng = np.random.default_rng([seed, 1])
    return [lesson(rng, 1.0).scene for _ in range(count)]


def index_scenes(count: int, split: str = "index") -> list[Scene]:
    """Scenes to tell components by, which no training sees: half of them lessons of the final mix, half held-out kinds.

    In a mixed order, so that the first of many are like all. The concept index is made of "index"; what is said of
    components by it can be tried on "test".
    """
    rng = np.random.default_rng({"index": 1_000_003, "test": 1_000_004}[split])
    kinds = tuple(HELD_OUT.values())
    return [lesson(rng, 1.0).scene if rng.random() < 0.5 else _pick(rng, kinds)(rng).scene for _ in range(count)]


COLLECTIONS: MappingProxyType[str, tuple[int, Callable[[int], list[Scene]]]] = MappingProxyType(
    {"training": (32_000, training_scenes), "index": (4_000, index_scenes)}
)
"""The scenes that `core.pictures.collection` offers by name: how many there are, and what draws the first so many."""


def caption_words() -> frozenset[str]:
    """Every word that training captions use, nonsense apart: what the bundled setup knows."""
    phrases = (*OPENINGS, *SIGN_OPENINGS, *PLACES.values(), "with the word", "and", "a an")
    return frozenset(CLASSES) | {word for phrase in phrases for word in phrase.replace("{}", " ").split()}


def foreground(scene: Scene, cells: int) -> np.ndarray:
    """How much each cell of a ``cells`` x ``cells`` grid matters: 2 under a label or stamp, 1 under a thing, else 0.

    Only the speed of training depends on it: early on, the least important cells are left out.
    """
    grid = np.zeros((cells, cells), dtype=np.float32)

    def cover(x: float, y: float, width: float, height: float, value: float) -> None:
        low_x, high_x = (int(np.clip(np.floor((x + s * width / 2) * cells), 0, cells - 1)) for s in (-1, 1))
        low_y, high_y = (int(np.clip(np.floor((y + s * height / 2) * cells), 0, cells - 1)) for s in (-1, 1))
        box = grid[low_y : high_y + 1, low_x : high_x + 1]
        np.maximum(box, value, out=box)

    for thing in (*scene.others, *((scene.main,) if scene.main else ())):
        cover(thing.x, thing.y, thing.size, thing.size, 1.0)
    if scene.label:
        cover(scene.label.x, scene.label.y, *label_size(scene.label), 2.0)
    if scene.stamp:
        cover(scene.stamp.x, scene.stamp.y, scene.stamp.size, scene.stamp.size, 2.0)
    return grid


def letters(scene: Scene, cells: int) -> np.ndarray:
    """Which letters of the label have their middle in each cell: 0 or 1, float32 ``[cells * cells, 26]``.

    What the training's reading lessons are corrected by.
    """
    found = np.zeros((cells * cells, 26), dtype=np.float32)
    if scene.label is None:
        return found
    label = scene.label
    turn = np.radians(label.angle)
    for place, letter in enumerate(label.word):
        along = (place - (len(label.word) - 1) / 2) * 0.602 * label.height
        x, y = label.x + along * np.cos(turn), label.y - along * np.sin(turn)
        column, row = (int(np.clip(value * cells, 0, cells - 1)) for value in (x, y))
        found[row * cells + column, ord(letter) - ord("a")] = 1
    return found
