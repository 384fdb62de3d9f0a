"""Drawing of the sprites and the letters, once, from Debian's fonts; all else reads the committed files.

    python -m core.scenes.sprites

needs ``fonts-noto-color-emoji``, ``fonts-dejavu-core`` and ``fonttools``. Scenes then render alike on every machine,
whatever fonts it has.
"""

from __future__ import annotations

import json
from types import MappingProxyType

from PIL import Image, ImageDraw, ImageFont

from ..files import ASSETS

FOLDER = ASSETS / "sprites"
SIDE = 128
"""Side of one sprite on the sheet, in pixels."""

EMOJI = MappingProxyType(
    {
        "dog": "🐶🐕", "cat": "🐱🐈", "cow": "🐮🐄", "pig": "🐷🐖", "horse": "🐴🐎", "sheep": "🐑🐏", "fox": "🦊",
        "bear": "🐻", "lion": "🦁", "tiger": "🐯🐅", "mouse": "🐭🐁", "frog": "🐸", "snake": "🐍", "owl": "🦉",
        "duck": "🦆", "bee": "🐝", "crab": "🦀", "fish": "🐟🐠", "whale": "🐳🐋", "car": "🚗🚙", "bus": "🚌",
        "truck": "🚚", "train": "🚆", "boat": "⛵", "plane": "✈", "bike": "🚲", "house": "🏠", "tree": "🌳",
        "rose": "🌹", "apple": "🍎", "lemon": "🍋", "pizza": "🍕", "bread": "🍞", "cake": "🎂", "ball": "⚽",
        "book": "📕", "clock": "⏰", "key": "🔑", "shoe": "👟", "hat": "🎩",
    }
)  # fmt: skip
"""Class name to its emoji: what a visitor would type, one to five letters, so that the words fit on a label."""

DISTRACTORS = "🍄🍁🎈🍀🐚🌵🪨🪵"
"""Things that lie about in scenes and are never a class."""

FONTS = MappingProxyType(
    {
        "dejavu": "/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf",
        "liberation": "/usr/share/fonts/truetype/liberation/LiberationMono-Bold.ttf",
    }
)
EMOJI_FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"


def draw_emoji(character: str) -> Image.Image:
    """One emoji, cropped to its ink and centred on a transparent ``SIDE`` x ``SIDE`` square."""
    font = ImageFont.truetype(EMOJI_FONT, 109)  # the only size the bitmap font has
    canvas = Image.new("RGBA", (160, 160))
    ImageDraw.Draw(canvas).text((8, 8), character, font=font, embedded_color=True)
    ink = canvas.crop(canvas.getbbox())
    scale = SIDE / max(ink.size)
    ink = ink.resize((round(ink.width * scale), round(ink.height * scale)), Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (SIDE, SIDE))
    square.paste(ink, ((SIDE - ink.width) // 2, (SIDE - ink.height) // 2))
    return square


def main() -> None:
    """Write ``sprites.webp``, ``sprites.json`` (name -> cells of the sheet) and the two letter fonts."""
    from fontTools import subset

    FOLDER.mkdir(parents=True, exist_ok=True)
    characters = [(name, c) for name, several in EMOJI.items() for c in several]
    characters += [("", c) for c in DISTRACTORS]
    columns = 8
    rows = -(-len(characters) // columns)
    sheet = Image.new("RGBA", (columns * SIDE, rows * SIDE))
    cells: dict[str, list[int]] = {}
    for cell, (name, character) in enumerate(characters):
        sheet.paste(draw_emoji(character), (cell % columns * SIDE, cell // columns * SIDE))
        cells.setdefault(name, []).append(cell)
    sheet.save(FOLDER / "sprites.webp", lossless=True, method=6)
    (FOLDER / "sprites.json").write_text(json.dumps({"side": SIDE, "columns": columns, "cells": cells}) + "\n")
    for name, source in FONTS.items():
        options = ["--text=abcdefghijklmnopqrstuvwxyz", "--no-hinting", f"--output-file={FOLDER / name}.ttf"]
        subset.main([source, *options])


if __name__ == "__main__":
    main()
