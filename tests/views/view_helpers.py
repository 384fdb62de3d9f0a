"""What tests of the views share: names that must stay text, reference pictures, and a reader of HTML."""

import base64
import io
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import numpy as np
from conftest import EVIL, tiny_model, tiny_sae, tiny_tokenizer
from markupsafe import Markup
from PIL import Image
from transformers import CLIPImageProcessorPil

from core.concepts.component import ActivatingExample, Concept, Guess
from core.concepts.families import Family
from core.methods.steering import Edit, Lever
from core.model.clip import SplitClip
from core.model.places import ResidualStream
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary
from core.session.history import History
from core.session.visit import Visit
from core.setups.catalog import Location, Published, SetupSpec
from core.setups.health import Fit, Health, doubts
from core.setups.loading import Setup
from core.setups.verified import ChosenBy, ChosenOn, LeversAtWork, LeverTrial, Share, Verification
from core.views.reference_strip import Face

GRID = (4, 4)
WORD = "<b>\"cat\" & 'dog'</b>"


_START_TAG = re.compile(r"""<[a-z][a-z0-9]*(\s+[a-zA-Z-]+(="[^"]*"|='[^']*')?)*\s*>""")
"""Every attribute is quoted, and apart from the one before."""


class Reader(HTMLParser):
    """HTML as a browser reads it: its elements, and the text in them and in their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, ...]] = []
        """The name of each element and of its attributes, in order."""
        self.texts: list[str] = []
        """What stands between tags, and the values of attributes."""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, "every element is closed"

    def handle_starttag(self, tag: str, attrs: list) -> None:
        assert _START_TAG.fullmatch(self.get_starttag_text() or ""), self.get_starttag_text()
        self.elements.append((tag, *(name for name, _ in attrs)))
        self.texts += [value for _, value in attrs if value is not None]
        if tag not in {"img", "input"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(f"a declaration: {decl}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data}")


def check_markup(views: Mapping[str, Markup]) -> None:
    """Every view is Markup, closes its elements, and has none that a name made."""
    for name, html in views.items():
        assert isinstance(html, Markup), name
        for tag, *attributes in Reader(html).elements:
            assert tag != "script", name
            assert not any(attribute.startswith("on") for attribute in attributes), name


def concept(component: int = 0, **known: object) -> Concept:
    plain = Concept(component, (Guess(WORD, 0.125), Guess("owl", 0.1)), 0.6, 0.2, 0.25, 1.5, 8.0, 50, 200)
    return replace(plain, **known)  # type: ignore[arg-type]


def activating_example(seed: int, patches: tuple[int, ...] = (1, 6)) -> ActivatingExample:
    """A picture of its own for every seed."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (8, 8, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=True)
    region = np.zeros(GRID, dtype=np.float32)
    region.flat[list(patches)] = np.linspace(1, 0.2, len(patches))
    return ActivatingExample(file.getvalue(), 9.0 - seed / 10, 0 if not patches else 1 + patches[0], region, seed)


def face(component: int = 0, n: int = 5, family: int = 0, **known: object) -> Face:
    examples = tuple(activating_example(10 * component + k) for k in range(n))
    members = Family(tuple(range(component, component + family)), 0.9, 0.8, 0.7, None) if family else None
    return Face(concept(component, **known), examples, members)


def faces_of(visit: Visit) -> dict[int, Face]:
    """A face for every card: the first of a family of three, the second silent."""
    shown = [part.component for part in visit.parts]
    faces = {c: Face(concept(c), tuple(activating_example(k) for k in range(5))) for c in shown}
    family = Family((shown[0], *sorted({*range(4)} - {*shown})[:2]), 0.9, 0.8, 0.7, EVIL[0])
    faces[shown[0]] = Face(concept(shown[0], guesses=(Guess(EVIL[0], 0.1),)), faces[shown[0]].examples, family)
    faces[shown[1]] = Face(concept(shown[1], guesses=(), clarity=None, fired=0), ())
    return faces


def pictures(style: str) -> dict[str, Image.Image]:
    """The pictures of a style sheet, by class."""
    rules = re.findall(r"\.([\w-]+)\{--\w+:url\(data:image/\w+;base64,([^)]+)\)\}", style)
    assert style == f"<style>{''.join(re.findall(r'[.][^}]+}', style))}</style>"
    assert len(rules) == style.count("{") == len(dict(rules)), "each once"
    return {name: Image.open(io.BytesIO(base64.b64decode(data))) for name, data in rules}


def classes(html: str) -> list[list[str]]:
    """The classes of every shot."""
    return [words.split()[1:] for words in re.findall(r'class="(shot[^"]*)"', html)]


def with_family(visit: Visit) -> Visit:
    """A lever on the third card, and one on a family whose members are a card, another one and one not shown."""
    shown = [part.component for part in visit.parts]
    hidden = next(c for c in range(48) if c not in shown and not visit.part(c).peak)
    edit = Edit((Lever(shown[2], "set", 1.5),)).pull_family(shown[0], (shown[0], shown[1], hidden), "scale", 0.5)
    return replace(visit, history=History(edit))


def evil_setup() -> Setup:
    """A setup of which every word is a visitor's own, as on the command line."""
    card = SetupSpec(
        "own", EVIL[0], Location(Path(EVIL[1])), Location(repo="a/b", file="<b>.pt"), 1, "all", EVIL[2], EVIL[0],
        good_for=EVIL[3], paper=EVIL[1], published=Published(0.9, 5.0, 0.1, EVIL[0]),
    )  # fmt: skip
    clip = SplitClip(tiny_model(), CLIPImageProcessorPil(), tiny_tokenizer(), ResidualStream(1))
    fit = Fit(1, 0.5, 0.5)
    health = Health(
        2, EVIL[0], 34, 48, "", 14.0, 1.0, 1.0, EVIL[2], ((EVIL[1], EVIL[2]),), 0.5, 0.6, 0.5, 5.0, 5.0, 0.1, 0.3,
        0.5, 0, 0.5, 0.5, 1.0, 0.0, (fit,),
    )  # fmt: skip
    health = replace(health, doubts=doubts(health, card))
    model = SaeClip(clip, SaeDictionary(tiny_sae("topk"), "all"))
    return Setup(card, model, {"clip": EVIL[0]}, EVIL[1], {EVIL[1]: 0.5, EVIL[2]: 0.4}, health=health)


def levers_at_work(**changes: Any) -> LeversAtWork:
    """A CLIP that a written word fools on 60 of 100 pictures, and levers that undo 50 of them; with changes."""
    trials = [
        LeverTrial(chosen_on, by, Share.counted(off, 60), Share.counted(off // 2, 60), Share.counted(off // 10, 60))
        for chosen_on in get_args(ChosenOn)
        for by, off in zip(get_args(ChosenBy), (50, 5, 20), strict=True)
    ]
    found = LeversAtWork(
        pictures="photographs with notes",
        pairs=120,
        sources=13,
        levers=5,
        right=Share.counted(100, 120),
        fooled=Share.counted(60, 100),
        other=Share.counted(1, 100),
        fooled_sources=9,
        by_kind={"note": Share.counted(60, 100)},
        one_edit=(1, 2, 3),
        trials=tuple(trials),
    )
    return replace(found, **changes)


def verification(**changes: Any) -> Verification:
    """A good one of a day, with changes."""
    good = Verification("a setup", datetime(2026, 11, 30, tzinfo=UTC), {"torch": "2.13.0"}, "good")
    return replace(good, **changes)
