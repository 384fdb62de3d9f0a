"""Reference pictures and what is said beside them: each picture once, lit where the component fires, guesses marked."""

import io
from dataclasses import replace

import numpy as np
import pytest
from markupsafe import Markup, escape
from PIL import Image
from plain_text import plain
from view_helpers import GRID, WORD, activating_example, classes, concept, face, pictures

from core.views.html import NOTHING
from core.views.reference_strip import chip, face_words, guess, sheet, strip


def test_every_picture_stands_once_in_the_sheet_and_every_strip_finds_it() -> None:
    faces = [face(0), face(1), replace(face(2), examples=face(0).examples)]
    found = pictures(sheet(one for each in faces for one in each.examples))
    named = [names for each in faces for names in classes(strip(each, each.examples, "most"))]
    assert {name for names in named for name in names} == set(found)
    assert sum(picture.format == "WEBP" for picture in found.values()) == 10
    for names, one in zip(named, (one for each in faces for one in each.examples), strict=True):
        picture, mask = (found[name] for name in names)
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(Image.open(io.BytesIO(one.webp))))
        assert mask.size == GRID


def test_what_fires_at_cls_only_says_so_and_is_not_dimmed() -> None:
    examples = (activating_example(0), activating_example(1, ()), activating_example(2, ()))
    html = strip(face(7), examples, "most")
    assert html.count("only CLS") == 2
    assert "in 2 of them it fires at CLS only" in html
    assert [("whole" in names) for names in classes(html)] == [False, True, True]
    assert len(pictures(sheet(examples))) == 4, "three pictures, one mask"
    assert "activation 9, on 2 patches" in html
    assert "activation 8.9, at CLS only" in html


def test_a_strip_says_what_it_shows() -> None:
    html = strip(face(7), face(7).examples, "around the median")
    assert 'role="img" aria-label="5 reference pictures of component 7, around the median; lit where it fires"' in html
    assert 'data-component="7"' in html
    assert 'data-action="open"' in html


def test_a_label_is_marked_as_a_guess_and_cannot_be_markup() -> None:
    said = guess(concept())
    assert f"guess: “{escape(WORD)}”" in said
    assert "<b>" not in said
    assert "+0.125" in said
    assert guess(concept(guesses=())) == ""
    assert '<b>"' not in chip(3, NOTHING, face(3))


@pytest.mark.parametrize(
    ("clarity", "usual", "word"),
    [
        (0.95, 0.2, "very clear"), (0.5, 0.2, "clear"), (0.35, 0.2, "fairly clear"), (0.5, 0.5, "mixed"),
        (0.1, 0.5, "mixed"),
    ],
)  # fmt: skip
def test_clarity_is_told_against_arbitrary_pictures(clarity: float, usual: float, word: str) -> None:
    said = plain(face_words(concept(clarity=clarity, usual=usual)))
    assert said.startswith(f"{word} (clarity {clarity:.2f}; of random pictures {usual:.2f})")


def test_frequency_names_its_pictures() -> None:
    said = face_words(concept())
    assert "fires in 50 of 200 pictures (25 %)" in said
    assert "&lt; 1 %" in face_words(concept(frequency=0.001, fired=1, pictures=1000))


def test_what_never_fired_says_so() -> None:
    silent = concept(guesses=(), clarity=None, frequency=0.0, fired=0)
    assert "never fired in the 200 pictures" in face_words(silent)
    assert "clar" not in face_words(silent)
    assert "clarity" not in face_words(concept(clarity=None, fired=1))


def test_a_chip_opens_a_component_with_or_without_a_face() -> None:
    known, unknown = chip(3, Markup("<small>0.9</small>"), face(3)), chip(4, NOTHING, None)
    for html, component in ((known, 3), (unknown, 4)):
        assert f'data-component="{component}" data-action="open"' in html
        assert f"<b>#{component}</b>" in html
    assert classes(known)[0][1] == "whole"
    assert "shot" not in unknown
