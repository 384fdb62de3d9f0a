"""The cards: every number has its unit, signs have shapes, levers and families are known."""

from dataclasses import replace

import numpy as np
import pytest
from view_helpers import activating_example, classes, concept, faces_of

from core.session.history import History
from core.session.visit import Visit
from core.views.attribution import cards, disagreement
from core.views.component import actions
from core.views.reference_strip import Face, sheet


def test_every_card_says_unit_sign_and_shape(visit: Visit) -> None:
    html = cards(visit)
    assert html.count('id="component-') == len(visit.parts)
    assert (
        html.count("by CLS")
        == len(visit.parts)
        == html.count("measured +") + html.count("measured −") + html.count("measured ±")
    )
    for part in visit.parts:
        assert f"#{part.component}<" in html
        assert "logits" in html
    assert "▲" in html
    assert "▼" in html


def test_cards_wait_for_the_measurement(visit: Visit) -> None:
    early = replace(visit, parts=tuple(replace(part, measured=None) for part in visit.parts))
    assert cards(early).count("measuring …") == len(visit.parts)
    assert "rank correlation" in cards(visit)
    assert "measuring" not in cards(visit)


@pytest.mark.parametrize(
    ('predicted', 'measured', 'said'),
    [
        (1.0, 0.9, ""), (1.0, 2.0, ""), (-1.0, -0.5, ""), (0.001, -0.004, ""),
        (1.0, 2.1, "more than twice as much"), (-1.0, -0.4, "less than half"), (0.5, 0.0, "less than half"),
        (1.0, -0.2, "the other way"), (-0.3, 3.0, "the other way"),
    ],
)  # fmt: skip
def test_a_disagreement_is_said(predicted: float, measured: float, said: str) -> None:
    assert disagreement(predicted, measured) == said


def test_a_card_is_the_same_whatever_the_edit(visit: Visit) -> None:
    """What is pressed is marked on the page (pressed.js)."""
    assert visit.edit.levers
    assert cards(visit) == cards(replace(visit, history=History()))
    assert cards(visit).count('data-row="') == len(visit.parts)


def test_cards_with_faces(visit: Visit) -> None:
    """Strips and words where they are known; the pictures themselves are in the sheet."""
    faces = faces_of(visit)
    html, bare = cards(visit, faces), cards(visit)
    assert html.count('class="strip"') == len(visit.parts) - 1
    assert html.count("never fired in the 200 pictures") == 1
    assert html.count('data-action="open"') == 2 * len(visit.parts) - 1
    assert html.count("The pictures are the evidence; the label is a guess.") == 1
    assert html.count("data:image/webp") == 1, "the visitor's own picture"
    assert "guess: “&lt;img" in html
    assert html.count("guess: “") == len(visit.parts) - 1
    for absent in ("strip", "guess", "open", "family", "evidence"):
        assert absent not in bare
    with_pictures = sheet(one for face in faces.values() for one in face.examples)
    assert all(f".{name}{{" in with_pictures for names in classes(html) for name in names if name != "whole")


def test_the_weight_of_the_cards(visit: Visit) -> None:
    """12 cards with 5 pictures of 1.2 KB: the pictures weigh what base64 makes of them, and come once."""
    noise = np.random.default_rng(0)
    faces = {}
    for c in range(12):
        examples = [
            replace(activating_example(k), webp=noise.bytes(1200), region=noise.random((16, 16)) < 0.1)
            for k in range(5)
        ]
        faces[c] = Face(concept(c), tuple(replace(one, region=one.region.astype(np.float32)) for one in examples))
    once = len(sheet(one for face in faces.values() for one in face.examples))
    parts = tuple(replace(visit.parts[0], component=c) for c in faces)
    again = len(cards(replace(visit, parts=parts), faces)) - len(cards(replace(visit, parts=parts)))
    assert once < 60 * 1200 * 4 / 3 * 1.25
    assert again < 20_000


def test_a_family_has_a_button(visit: Visit) -> None:
    faces = faces_of(visit)
    first, second = (part.component for part in visit.parts[:2])
    buttons = actions(first, faces[first])
    assert buttons.count('data-action="family"') == 1
    assert 'data-off="Suppress family (3)" data-on="Family suppressed (3) ✓"' in buttons
    assert "family" not in actions(second, faces[second])
