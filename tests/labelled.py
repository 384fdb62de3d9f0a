"""Random pictures with labels and groups, and an edit that fixes some of them and breaks others."""

from pathlib import Path

import torch
from conftest import tiny_sae
from streamed import Drawn

from core.methods.steering import Condition, Edit, Lever, Term
from core.model.clip import SplitClip
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary
from core.pictures.collection import About
from core.setups.catalog import Location, SetupSpec
from core.setups.loading import Setup
from core.validation.validate import ReportOptions, ValidatedEdit
from core.validation.verdict import StatedBounds

CLASSES = ("dog", "owl", "a bus")
WHERE = 14, 4.0
"""The component whose activation decides whether the edit acts in a picture, and how large it has to be."""
LEVERS = Lever(3, "set", 6.0), Lever(7), Lever(11, "scale", -3.0)
EDIT = Edit(LEVERS, condition=Condition((Term(WHERE[0]),), WHERE[1]))
VALIDATED = ValidatedEdit("tiny", EDIT, CLASSES, ("a photo of a {}",))
STATED = StatedBounds(max_broken=0.5, min_fixed=0.1, confidence=0.9)
OPTIONS = ReportOptions(shown=2, side=16, batch=4)


def label_of(place: int) -> str | None:
    """None for every fifth picture, and now and then what is none of the classes."""
    if place % 5 == 4:
        return None
    return "tench" if place % 11 == 5 else CLASSES[place % len(CLASSES)]


def group_of(place: int) -> str | None:
    return (None, "day", "night")[place % 3 - place % 2]


class Labelled(Drawn):
    """Drawn pictures with labels and groups."""

    def about(self, number: int, place: int, entry: int) -> About:
        return About(f"{entry}.png", label_of(entry), group_of(entry))


def setup_of(clip: SplitClip) -> Setup:
    torch.manual_seed(1)
    card = SetupSpec("tiny", "Tiny", Location(Path("clip")), Location(Path("sae")), 1, "all", "MIT", "")
    return Setup(card, SaeClip(clip, SaeDictionary(tiny_sae("topk"), "all")))
