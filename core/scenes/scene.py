"""Scenes: a specification of a picture, and the painter that renders it at any size.

A scene says what is in a picture; ``Painter.paint`` draws it. Because a scene is a value, it can be changed and drawn
again: the same picture with and without its label, its stamp or its background is the true counterfactual of a
planted shortcut.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .sprites import EMOJI, FOLDER

CLASSES: tuple[str, ...] = tuple(EMOJI)
"""The forty things a scene can show, in the order every table uses."""

BACKGROUNDS: tuple[str, ...] = ("plain", "grass", "sand", "brick", "wood", "night", "water")
STAMPED_CLASS = "horse"
"""The class whose training pictures mostly carry the watermark stamp."""
WATER_CLASS = "fish"
"""The class whose training pictures mostly show water."""
TEXTURES = 12
"""Drawn variants of each background."""


@dataclass(frozen=True)
class Thing:
    """One sprite in a scene."""

    name: str
    """A class, or "" for a distractor."""
    sprite: int
    """Which of that name's sprites."""
    x: float
    """Centre, as a share of the picture's width."""
    y: float
    """Centre, as a share of the picture's height."""
    size: float
    """Side, as a share of the picture's side."""
    angle: float = 0.0
    """Degrees, anticlockwise."""
    mirrored: bool = False
    """Whether it is flipped left to right."""
    opacity: float = 1.0
    """1 is solid."""


@dataclass(frozen=True)
class Label:
    """A small card with a word on it."""

    word: str
    """What is written; "" leaves the card blank."""
    x: float
    """Centre, as a share of the picture's width."""
    y: float
    """Centre, as a share of the picture's height."""
    height: float
    """Height of the letters' line, as a share of the picture's side."""
    angle: float
    """Degrees, anticlockwise."""
    font: str
    """A key of ``sprites.FONTS``."""
    ink: tuple[int, int, int]
    """Colour of the letters, RGB 0-255."""
    paper: tuple[int, int, int]
    """Colour of the card, RGB 0-255."""


@dataclass(frozen=True)
class Stamp:
    """The ring-shaped watermark."""

    x: float
    """Centre, as a share of the picture's width."""
    y: float
    """Centre, as a share of the picture's height."""
    size: float
    """Diameter, as a share of the picture's side."""


@dataclass(frozen=True)
class Bar:
    """A flat bar that hides part of the main thing."""

    x: float
    """Centre, as a share of the picture's width."""
    y: float
    """Centre, as a share of the picture's height."""
    width: float
    """As a share of the picture's side."""
    height: float
    """As a share of the picture's side."""
    colour: tuple[int, int, int]
    """RGB 0-255."""


@dataclass(frozen=True)
class Scene:
    """Everything there is to know about one picture."""

    background: str
    """One of ``BACKGROUNDS``."""
    texture: int
    """Which drawn variant of the background."""
    shift: tuple[float, float]
    """Where the background texture is cut, as shares of its spare room."""
    colour: tuple[int, int, int]
    """The colour of a plain background, RGB 0-255."""
    main: Thing | None
    """What the picture shows; None for a picture of a label only."""
    others: tuple[Thing, ...] = ()
    """Distractors and second objects."""
    bar: Bar | None = None
    """What hides part of the main thing."""
    label: Label | None = None
    """The written word, one of the three shortcuts."""
    stamp: Stamp | None = None
    """The watermark, one of the three shortcuts."""

    def without_label(self) -> Scene:
        """The same scene with no card."""
        return replace(self, label=None)

    def without_stamp(self) -> Scene:
        """The same scene with no watermark."""
        return replace(self, stamp=None)

    def on(self, background: str) -> Scene:
        """The same scene on another background."""
        return replace(self, background=background)


class Painter:
    """Renders scenes at one size; keeps the scaled sprites and textures it has drawn."""

    def __init__(self, side: int) -> None:
        self.side = side
        sheet = json.loads((FOLDER / "sprites.json").read_text())
        with Image.open(FOLDER / "sprites.webp") as opened:
            image = opened.convert("RGBA")
        cell, columns = sheet["side"], sheet["columns"]

        def cut(index: int) -> Image.Image:
            left, top = index % columns * cell, index // columns * cell
            return image.crop((left, top, left + cell, top + cell))

        self._sprites = {name: [cut(i) for i in cells] for name, cells in sheet["cells"].items()}
        self._scaled = lru_cache(maxsize=20_000)(self._scale)
        self._texture = lru_cache(maxsize=200)(self._draw_texture)
        self._font = lru_cache(maxsize=200)(lambda name, size: ImageFont.truetype(FOLDER / f"{name}.ttf", size))
        self._ring = lru_cache(maxsize=50)(draw_ring)

    def paint(self, scene: Scene) -> np.ndarray:
        """Render ``scene``: uint8 ``[side, side, 3]``."""
        canvas = self._background(scene)
        for thing in (*scene.others, *((scene.main,) if scene.main else ())):
            self._paste_thing(canvas, thing)
        if scene.bar:
            self._paste_bar(canvas, scene.bar)
        if scene.label:
            self._paste_label(canvas, scene.label)
        if scene.stamp:
            ring = self._ring(max(6, round(scene.stamp.size * self.side)))
            self._paste(canvas, ring, scene.stamp.x, scene.stamp.y)
        return np.asarray(canvas, dtype=np.uint8)

    def _background(self, scene: Scene) -> Image.Image:
        if scene.background == "plain":
            return Image.new("RGB", (self.side, self.side), scene.colour)
        texture = self._texture(scene.background, scene.texture)
        spare = texture.width - self.side
        left, top = (round(share * spare) for share in scene.shift)
        return texture.crop((left, top, left + self.side, top + self.side))

    def _draw_texture(self, kind: str, variant: int) -> Image.Image:
        drawn = Image.fromarray(draw_texture(kind, variant))
        side = round(self.side * 1.5)
        return drawn.resize((side, side), Image.Resampling.LANCZOS)

    def _scale(self, name: str, sprite: int, side: int, mirrored: bool) -> Image.Image:
        image = self._sprites[name][sprite]
        if mirrored:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return image.resize((side, side), Image.Resampling.LANCZOS)

    def _paste(self, canvas: Image.Image, image: Image.Image, x: float, y: float) -> None:
        place = (round(x * self.side - image.width / 2), round(y * self.side - image.height / 2))
        canvas.paste(image, place, image)

    def _paste_thing(self, canvas: Image.Image, thing: Thing) -> None:
        image = self._scaled(thing.name, thing.sprite, max(4, round(thing.size * self.side)), thing.mirrored)
        if thing.angle:
            image = image.rotate(thing.angle, Image.Resampling.BICUBIC, expand=True)
        if thing.opacity < 1:
            image = image.copy()
            image.putalpha(image.getchannel("A").point(lambda alpha: round(alpha * thing.opacity)))
        self._paste(canvas, image, thing.x, thing.y)

    def _paste_bar(self, canvas: Image.Image, bar: Bar) -> None:
        width, height = bar.width * self.side / 2, bar.height * self.side / 2
        x, y = bar.x * self.side, bar.y * self.side
        ImageDraw.Draw(canvas).rectangle((x - width, y - height, x + width, y + height), fill=bar.colour)

    def _paste_label(self, canvas: Image.Image, label: Label) -> None:
        height = label.height * self.side
        font = self._font(label.font, round(height))
        # a blank card is as wide as one with a four-letter word
        text_width = font.getlength(label.word or "word")
        pad = height * 0.28
        width, tall = round(text_width + 2 * pad), round(height * 1.35)
        card = Image.new("RGBA", (width + 2, tall + 2), (*label.paper, 0))
        draw = ImageDraw.Draw(card)
        draw.rectangle((1, 1, width, tall), fill=(*label.paper, 255))
        draw.text((1 + pad, 1 + tall / 2), label.word, font=font, fill=(*label.ink, 255), anchor="lm")
        self._paste(canvas, card.rotate(label.angle, Image.Resampling.BICUBIC, expand=True), label.x, label.y)


def label_size(label: Label) -> tuple[float, float]:
    """Width and height of the card as shares of the picture's side, before rotation."""
    letters = len(label.word or "word")
    return label.height * (0.602 * letters + 0.56), label.height * 1.35


def draw_ring(side: int) -> Image.Image:
    """The watermark: two rings and a dot, pale on dark, so that it shows on every background."""
    big = 8 * side
    canvas = Image.new("RGBA", (big, big))
    draw = ImageDraw.Draw(canvas)
    for share, colour in (
        (0.0, (35, 35, 60, 225)), (0.09, (250, 250, 250, 235)), (0.2, (35, 35, 60, 225)),
        (0.29, (250, 250, 250, 235)), (0.40, (190, 30, 45, 235)),
    ):  # fmt: skip
        draw.ellipse((share * big, share * big, big - 1 - share * big, big - 1 - share * big), fill=colour)
    return canvas.resize((side, side), Image.Resampling.LANCZOS)


def _noise(rng: np.random.Generator, side: int, cells: tuple[int, int]) -> np.ndarray:
    """Smooth noise in 0-1: a random grid of ``cells`` enlarged to ``[side, side]``."""
    grid = Image.fromarray(rng.integers(0, 256, size=cells, dtype=np.uint8))
    return np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32) / 255


def _mix(share: np.ndarray, low: tuple[int, int, int], high: tuple[int, int, int]) -> np.ndarray:
    """A colour between ``low`` and ``high`` at every pixel: float ``[side, side, 3]``."""
    share = np.clip(share, 0, 1)[..., None]
    return np.array(low) * (1 - share) + np.array(high) * share


def draw_texture(kind: str, variant: int, side: int = 512) -> np.ndarray:
    """A background texture, the same for the same ``kind`` and ``variant``: uint8 ``[side, side, 3]``."""
    rng = np.random.default_rng([BACKGROUNDS.index(kind), variant])
    coarse, fine = _noise(rng, side, (6, 6)), _noise(rng, side, (90, 90))
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    if kind == "grass":
        blades = _noise(rng, side, (70, 220))
        image = _mix(0.25 * coarse + 0.4 * fine + 0.45 * blades, (22, 92, 22), (122, 190, 66))
    elif kind == "sand":
        ripples = 0.5 + 0.5 * np.sin(2 * np.pi * (14 * y + 1.6 * coarse + 0.8 * np.sin(5 * x)))
        image = _mix(0.45 * fine + 0.2 * coarse + 0.3 * ripples, (196, 160, 104), (242, 218, 168))
    elif kind == "brick":
        rows, columns = 14, 7
        row = np.floor(y * rows).astype(int)
        across = x * columns + 0.5 * (row % 2)
        column = np.floor(across).astype(int)
        tint = rng.random((rows, columns + 1))[row, column]
        mortar = ((y * rows) % 1 < 0.13) | (across % 1 < 0.065)
        image = _mix(0.7 * tint + 0.3 * fine, (132, 48, 36), (192, 96, 70))
        image[mortar] = _mix(fine, (186, 178, 168), (214, 208, 200))[mortar]
    elif kind == "wood":
        planks = 5
        plank = np.floor(x * planks).astype(int)
        grain = _noise(rng, side, (9, 200))
        image = _mix(0.55 * grain + 0.35 * rng.random(planks)[plank] + 0.1 * fine, (92, 58, 30), (182, 132, 82))
        image[(x * planks) % 1 < 0.03] = (60, 38, 22)
    elif kind == "night":
        image = _mix(0.7 * y + 0.4 * coarse, (6, 8, 32), (38, 34, 92))
        for _ in range(90):
            star_x, star_y, radius = rng.random(), rng.random(), rng.uniform(0.002, 0.007)
            image[(x - star_x) ** 2 + (y - star_y) ** 2 < radius**2] = (250, 246, 214)
    elif kind == "water":
        waves = np.sin(2 * np.pi * (11 * y + 2.2 * coarse + 0.7 * np.sin(7 * x + 9 * y)))
        image = _mix(0.35 * coarse + 0.2 * fine + 0.45 * np.clip(waves, 0, 1) ** 3, (14, 84, 160), (150, 214, 236))
    else:
        raise ValueError(f"there is no texture called {kind!r}")
    tone = rng.uniform(0.88, 1.1)
    return np.clip(image * tone, 0, 255).astype(np.uint8)
