"""Views of many pictures: what is drawn adds up, the most comes first, and nothing grows without a bound."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from plain_text import plain
from view_helpers import check_markup

from core.methods.failures import Confusion
from core.methods.generalization import Generalization
from core.methods.picture_set import PictureSet
from core.model.dictionary import Activations
from core.model.trace import Trace
from core.pictures.intake import intake
from core.session.many_pictures import OwnSet
from core.session.visit import Visit
from core.views import many

NONE = np.zeros(0, dtype=np.int32)
GREY = Trace(
    np.full((4, 4, 3), 128, dtype=np.uint8), np.zeros((5, 2), dtype=np.float32),
    Activations(NONE, NONE, NONE.astype(np.float32), 5, 8), np.zeros(2, dtype=np.float32), (2, 2),
)  # fmt: skip


def tried(
    classes: Sequence[str], became: str, of: Sequence[int] | None = None, names: str = "p", group: str = ""
) -> tuple[PictureSet, Generalization]:
    """Pictures that are fixed (f), broken (b), right (r), wrong (w), or without a label: changed (c), or not (-)."""
    n = len(became)
    truth = np.array([0] * n if of is None else of)
    other = (truth + 1) % len(classes)
    before = np.array([truth[i] if one in "br-c" else other[i] for i, one in enumerate(became)])
    after = np.array([truth[i] if one in "fr-" else other[i] for i, one in enumerate(became)])
    truth = np.array([-1 if one in "c-" else truth[i] for i, one in enumerate(became)])
    groups = np.array([group] * n)
    pictures = PictureSet((GREY,) * n, tuple(f"{names} {i}" for i in range(n)), truth, groups, before, tuple(classes))
    lead = np.zeros(n, dtype=np.float32)
    shown = np.zeros(0, dtype=np.int64)
    found = Generalization(
        before, after, truth, groups, before != after, lead, lead + 0.5, tuple(classes), shown, GREY.crop[None][:0]
    )
    return pictures, found


def test_every_strip_adds_up(visit: Visit) -> None:
    pictures, found = tried(("dog", "cat"), "ffbrw" + "wwc-", [0] * 5 + [1] * 4)
    drawn = many.tried(visit, pictures, found)
    labels = re.findall('role="img" aria-label="([^"]*)"', drawn)
    assert labels == [
        "dog: 2 fixed, 1 broken, 1 right, 1 wrong",
        "no label: 1 changed, no label, 1 unchanged, no label",
        "cat: 2 wrong",
    ]
    assert found.said in drawn
    assert "It acts in 44 % of the pictures; moves the lead of the right class by +0.50 logits" in plain(drawn)
    assert len(re.findall("data-picture", drawn)) == 4, "two fixed, one broken, one changed"
    check_markup({"tried": drawn, "standing": many.standing(pictures)})


def test_the_tokens_are_told_where_there_are_any(visit: Visit) -> None:
    pictures, found = tried(("dog", "cat"), "fr")
    assert "Your edit, on all tokens: " in many.tried(visit, pictures, found)
    nowhere = replace(visit, trace=replace(visit.trace, grid=(0, 0)))
    assert "Your edit: " in many.tried(nowhere, pictures, found)


def test_pictures_without_any_label(visit: Visit) -> None:
    pictures, found = tried(("dog", "cat"), "cc-")
    drawn = many.tried(visit, pictures, found)
    assert "Changes the answer in 2 of 3 pictures without a label" in drawn
    assert "right class" not in drawn
    assert "McNemar" not in drawn
    assert many.confusions(pictures, None) == ""
    assert "none with a label" in many.about_set(pictures, "pictures")
    assert "No lever yet" in many.standing(pictures)


def test_of_many_classes_the_most_changed_are_drawn(visit: Visit) -> None:
    n = 150
    classes = tuple(f"class {c}" for c in range(n))
    pictures, found = tried(classes, "r" * (n - 1) + "f" * 30, [*range(n - 1), *[n - 1] * 30])
    drawn = many.tried(visit, pictures, found)
    strips = re.findall('class="name" title="([^"]*)"', drawn)
    assert strips[0] == f"class {n - 1}"
    assert len(strips) == many.STRIPS
    assert f"and {n - many.STRIPS} classes more, none of whose pictures changed" in drawn
    assert f"{many.PICTURED} of 30" in drawn
    assert drawn.count("data-picture") == many.PICTURED
    assert f"and {n - many.TABLED} more" in drawn


def test_what_goes_wrong_is_counted_alone_and_together() -> None:
    of = [0, 0, 0, 1, 2, 2]
    pictures, _ = tried(("dog", "cat", "owl"), "wwwwwr", of)  # dog is taken for cat, cat for owl, owl for dog
    drawn = many.confusions(pictures, ("dog", "cat"))
    listed = re.findall(r'data-truth="(\w*)" data-said="(\w*)" aria-pressed="(\w+)".*?class="n">(\d+)<', drawn, re.S)
    assert listed[0] == ("", "", "false", "5")
    assert listed[1] == ("dog", "cat", "true", "3"), "no other class is taken for a cat: that is said once"
    assert many.named_confusion(pictures, ("", "cat")) == Confusion(said=1)
    assert many.named_confusion(pictures, ("cow", "cat")) is None
    assert many.named_confusion(pictures, None) is None
    right, _ = tried(("dog", "cat"), "rr")
    assert "every picture with a label is right" in many.confusions(right, None)


@pytest.mark.parametrize(("n", "more"), [(1, ""), (20, ""), (25, "and 5 more")])
def test_files_left_out_are_named(n: int, more: str) -> None:
    pictures, _ = tried(("dog", "cat"), "r")
    stopped = many.stopped_words(1, 30, True)
    told = many.read_words(OwnSet("a", "b", pictures), intake(["Well."], [(f"f{k}", "No.") for k in range(n)]), stopped)
    assert f"1 picture read. {stopped} Well." in told
    assert stopped == "Stopped: these are 1 of 30, drawn by a hash of their names."
    assert "no random choice" in many.stopped_words(1, None, False)
    assert told.count("<b>f") == min(n, 20)
    assert (more in told) if more else ("more</li>" not in told)
