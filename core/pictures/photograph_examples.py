"""Draw the photographs with a planted cue, and without it: ``python -m core.pictures.photograph_examples``.

For published setups: the free photographs of `core.pictures.photographs`, cut square, and on each a cue of a known
kind, drawn here: a note, a price tag, a watermark, another background. They are tuned to no model, so their sentences
ask, and never tell what CLIP does. The letters are Aileron's, the font that comes with Pillow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi, sin
from types import MappingProxyType

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from .examples import PHOTOGRAPHS, Example, GoesWrong, written
from .photographs import Photograph, photographs
from .read import read_picture

SIDE = 384
"""Pixels of a picture's side: the shorter side of the photographs."""
_FINE = 3
"""What is drawn is drawn this many times larger, and scaled down."""

Point = tuple[float, float]
"""Pixels from the left and from the top."""
Plant = Callable[[Image.Image], Image.Image]
"""A photograph to the same with a cue."""


@dataclass(frozen=True)
class Cut:
    """A square of a photograph."""

    photograph: str
    """Its name in photographs.toml."""
    corner: tuple[int, int]
    """Left and top, in pixels of its file."""
    side: int
    """In pixels of its file."""
    shrunk: float = 1.0
    """The share of the picture's side that it fills, in the middle of a black picture."""

    def picture(self) -> Image.Image:
        """The square, RGB, as large as every example."""
        left, top = self.corner
        whole = read_picture(_photograph(self.photograph).path)
        side = round(self.shrunk * SIDE)
        square = whole.crop((left, top, left + self.side, top + self.side)).resize(
            (side, side), Image.Resampling.LANCZOS
        )
        picture = Image.new("RGB", (SIDE, SIDE))
        picture.paste(square, ((SIDE - side) // 2, (SIDE - side) // 2))
        return picture


@dataclass(frozen=True)
class Plan:
    """An example to be drawn."""

    name: str
    """File name without its ending."""
    cut: str
    """The photograph without the cue: a key of `CUTS`, and the counterfactual's file name."""
    sentence: str
    """For the gallery: what to look for, true whatever a model answers."""
    goes_wrong: GoesWrong
    """Its group there."""
    classes: tuple[str, ...]
    """Those that people would ask; the first is the truth."""
    foil: str | None = None
    """The class that the cue, or a class's name, speaks for."""
    cue: str | None = None
    """What is planted, in a word or two."""
    plant: Plant | None = None
    """How it is drawn; None where nothing is planted."""

    def picture(self) -> Image.Image:
        """With its cue, RGB [SIDE, SIDE]."""
        clean = CUTS[self.cut].picture()
        return clean if self.plant is None else self.plant(clean)

    def example(self) -> Example:
        """As the gallery has it."""
        photograph = _photograph(CUTS[self.cut].photograph)
        return Example(
            name=self.name,
            sentence=self.sentence,
            goes_wrong=self.goes_wrong,
            classes=self.classes,
            truth=self.classes[0],
            foil=self.foil,
            cue=self.cue,
            counterfactual=None if self.plant is None else self.cut,
            source=f"{photograph.source} ({photograph.licence})",
            folder=PHOTOGRAPHS,
        )


def note(word: str, centre: Point, size: tuple[float, float], angle: float) -> Plant:
    """A slip of paper of that width and height with a word on it, turned by `angle` degrees anticlockwise."""

    def plant(picture: Image.Image) -> Image.Image:
        width, height = (round(_FINE * length) for length in size)
        card = Image.new("RGBA", (width, height), (251, 246, 226, 255))
        _write(card, word, (width / 2, height / 2), 0.62 * height, (24, 30, 66))
        return _laid_on(picture, card, centre, angle)

    return plant


def price_tag(price: str, centre: Point, size: tuple[float, float], angle: float) -> Plant:
    """A cardboard tag with a hole, its string and a price."""

    def plant(picture: Image.Image) -> Image.Image:
        width, height = (round(_FINE * length) for length in size)
        card = Image.new("RGBA", (width, height))
        draw = ImageDraw.Draw(card)
        slope, middle, hole = 0.42 * height, height / 2, 0.09 * height
        outline = [(0, middle), (slope, 0), (width, 0), (width, height), (slope, height)]
        draw.polygon(outline, fill=(255, 214, 10, 255))
        draw.ellipse((slope - hole, middle - hole, slope + hole, middle + hole), fill=(90, 70, 30, 255))
        _write(card, price, ((slope + hole + width) / 2, middle), 0.6 * height, (196, 18, 32))
        return _laid_on(picture, card, centre, angle)

    return plant


def watermark(text: str, height: float, angle: float, apart: Point, opacity: float = 0.5) -> Plant:
    """Pale letters all over, every so many pixels across and down, as agencies protect their pictures."""

    def plant(picture: Image.Image) -> Image.Image:
        around = 2 * _FINE * SIDE
        layer = Image.new("RGBA", (around, around), (255, 255, 255, 0))
        across, down = (round(_FINE * length) for length in apart)
        for row, y in enumerate(range(0, around + down, down)):
            for x in range(-(row % 2) * across // 2, around + across, across):
                _write(layer, text, (x, y), _FINE * height, (255, 255, 255), edge=(60, 60, 60))
        turned = layer.rotate(angle, Image.Resampling.BICUBIC)
        margin = (around - _FINE * SIDE) // 2
        seen = turned.crop((margin, margin, margin + _FINE * SIDE, margin + _FINE * SIDE)).reduce(_FINE)
        seen.putalpha(seen.getchannel("A").point(lambda alpha: round(opacity * alpha)))
        return Image.alpha_composite(picture.convert("RGBA"), seen).convert("RGB")

    return plant


def before(background: Cut, outline: Sequence[Point]) -> Plant:
    """Another background around what lies within an outline."""

    def plant(picture: Image.Image) -> Image.Image:
        mask = Image.new("L", (_FINE * SIDE, _FINE * SIDE))
        ImageDraw.Draw(mask).polygon([(_FINE * x, _FINE * y) for x, y in outline], fill=255)
        soft = mask.filter(ImageFilter.GaussianBlur(_FINE)).reduce(_FINE)
        return Image.composite(picture, background.picture(), soft)

    return plant


def _photograph(name: str) -> Photograph:
    return next(one for one in photographs() if one.name == name)


def _write(
    card: Image.Image,
    text: str,
    centre: Point,
    height: float,
    ink: tuple[int, int, int],
    edge: tuple[int, int, int] | None = None,
) -> None:
    """Bold letters: the font's own are thin."""
    font = ImageFont.load_default(height)
    draw = ImageDraw.Draw(card)
    if edge is not None:
        draw.text(centre, text, font=font, fill=edge, anchor="mm", stroke_width=height / 14, stroke_fill=edge)
    draw.text(centre, text, font=font, fill=ink, anchor="mm", stroke_width=height / 28, stroke_fill=ink)


def _laid_on(picture: Image.Image, card: Image.Image, centre: Point, angle: float) -> Image.Image:
    """A card on the picture, with its shadow."""
    fine = Image.new("RGBA", (_FINE * SIDE, _FINE * SIDE))
    turned = card.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    fine.alpha_composite(
        turned, (round(_FINE * centre[0] - turned.width / 2), round(_FINE * centre[1] - turned.height / 2))
    )
    laid = fine.reduce(_FINE)
    shadow = Image.new("RGBA", laid.size)
    shadow.putalpha(
        ImageChops.offset(laid.getchannel("A"), 2, 4).filter(ImageFilter.GaussianBlur(4)).point(lambda a: a // 2)
    )
    return Image.alpha_composite(Image.alpha_composite(picture.convert("RGBA"), shadow), laid).convert("RGB")


CUTS: Mapping[str, Cut] = MappingProxyType(
    {
        "coffee": Cut("coffee", (76, 0), 384),
        "coffee-on-a-table": Cut("coffee", (140, 0), 384),
        "cat": Cut("cat", (80, 0), 300),
        "raccoon": Cut("raccoon", (128, 0), 384),
        "pagoda": Cut("temple", (10, 0), 384),
        "retina": Cut("retina", (0, 0), 384, shrunk=0.6),
        "falcon": Cut("rocket", (96, 0), 384),
        "man-with-a-camera": Cut("photographer", (0, 0), 384),
    }
)
"""What the examples are made of, by the file name of what has no cue."""

SKY = Cut("galaxies", (20, 0), 384)
RETINA = tuple((192 + 112 * cos(2 * pi * k / 90), 191 + 112 * sin(2 * pi * k / 90)) for k in range(90))
"""The outline of the eye's disc in its cut."""
SAUCER: tuple[Point, ...] = (
    (90, 67), (64, 83), (39, 105), (19, 132), (6, 160), (-1, 190), (-1, 215), (4, 245), (16, 275), (34, 300),
    (59, 325), (89, 346), (124, 362), (164, 371), (199, 374), (234, 373), (269, 366), (299, 353), (326, 334),
    (349, 308), (366, 278), (377, 248), (384, 215), (383, 190), (376, 165), (365, 142), (349, 122), (330, 106),
    (326, 102), (331, 75), (330, 68), (322, 64), (312, 65), (306, 72), (303, 72), (294, 57), (279, 42), (259, 30),
    (234, 21), (209, 17), (189, 17), (164, 20), (139, 27), (119, 38), (104, 50), (95, 62),
)  # fmt: skip
"""The outline of cup, spoon and saucer in theirs."""

COFFEE = ("coffee", "iPod", "tea", "pizza", "book")

PLANS: tuple[Plan, ...] = (
    Plan("coffee-note-ipod", "coffee", "A note says “iPod”: does the written word win over the cup?", "words",
         COFFEE, "iPod", "note", note("iPod", (300, 336), (136, 74), 8)),
    Plan("coffee-note-blank", "coffee", "A note without a word: does paper alone change the answer?", "words",
         COFFEE, "iPod", "note", note("", (300, 336), (136, 74), 8)),
    Plan("cat-note-dog", "cat", "A cat with a note that says “dog”: which of the two is the answer?", "words",
         ("cat", "dog", "rabbit", "fox", "owl"), "dog", "note", note("dog", (300, 320), (128, 78), -7)),
    Plan("raccoon-price-tag", "raccoon", "A raccoon with a price tag: does the tag speak for “toy”?", "words",
         ("raccoon", "toy", "fox", "squirrel", "panda"), "toy", "price tag",
         price_tag("$4.99", (110, 300), (170, 74), 12)),
    Plan("cat-dollar-signs", "cat", "Pale dollar signs over a cat: do they speak for “piggy bank”?", "watermark",
         ("cat", "piggy bank", "dog", "rabbit", "owl"), "piggy bank", "dollar signs",
         watermark("$", 90, 0, (128, 100))),
    Plan("pagoda-watermark", "pagoda", "A pagoda under the words “castle pictures”: do they speak for “castle”?",
         "watermark", ("pagoda", "castle", "lighthouse", "skyscraper", "barn"), "castle", "watermark",
         watermark("castle pictures", 34, 28, (300, 84))),
    Plan("retina-galaxies", "retina", "The retina of an eye among galaxies: does the sky make it a planet?",
         "background", ("retina", "planet", "orange", "pizza", "basketball"), "planet", "galaxies",
         before(SKY, RETINA)),
    Plan("coffee-galaxies", "coffee", "A cup on its saucer among galaxies: does the sky make it a flying saucer?",
         "background", ("coffee", "flying saucer", "tea", "soup", "clock"), "flying saucer",
         "galaxies", before(SKY, SAUCER)),
    Plan("falcon", "falcon", "This rocket is a Falcon 9, and a falcon is a bird: which does “falcon” mean?",
         "names", ("falcon", "airplane", "windmill", "bridge", "lighthouse")),
    Plan("coffee-on-a-table", "coffee-on-a-table",
         "Coffee on a table: in “coffee table” both words fit, and together they mean something else.", "names",
         ("coffee", "coffee table", "tea", "armchair", "bookshelf"), "coffee table"),
    Plan("man-with-a-camera", "man-with-a-camera", "A man with a camera, and nothing planted.", "nothing",
         ("photographer", "musician", "golfer", "cyclist", "fisherman")),
)  # fmt: skip
"""In the order of the gallery; the first is what a published setup opens with."""


def drawn() -> Mapping[str, Image.Image]:
    """All pictures, with their cues and without, by their file names."""
    found = {plan.name: plan.picture() for plan in PLANS}
    return found | {plan.cut: CUTS[plan.cut].picture() for plan in PLANS}


def main() -> None:
    """Write the pictures and ``examples.json``."""
    PHOTOGRAPHS.mkdir(exist_ok=True)
    for name, picture in drawn().items():
        picture.save(PHOTOGRAPHS / f"{name}.webp", "WEBP", quality=82, method=6)
    listed = written(plan.example() for plan in PLANS)
    (PHOTOGRAPHS / "examples.json").write_text(listed, encoding="utf-8")


if __name__ == "__main__":
    main()
