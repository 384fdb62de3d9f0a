"""The Attribution tab: what the target is made of adds up, and its rows are for and against it."""

import re
from dataclasses import replace

import numpy as np
import pytest
from plain_text import plain
from view_helpers import activating_example, check_markup, classes, concept, face, faces_of

from core.session.visit import Visit
from core.views.attribution import Step, part_rows, steps, target_line, waterfall_chart
from core.views.component import actions
from core.views.reference_strip import Face, sheet
from core.words import signed


def test_the_target_line_says_unit_and_what_is_missed(visit: Visit) -> None:
    said = plain(target_line(visit, 19.0))
    assert said.startswith(f"{signed(visit.attribution.value)} logits (19 × cosine)")
    assert re.search(r"the SAE misses \d+ %", said)


# ---- the waterfall


def test_each_bar_begins_where_the_one_before_ended(visit: Visit) -> None:
    *parts, whole = steps(visit)
    at = 0.0
    for step in parts:
        assert step.start == pytest.approx(at)
        at = step.end
    assert at == pytest.approx(visit.attribution.value, abs=1e-5)
    assert (whole.start, whole.size, whole.tone) == (0.0, visit.attribution.value, "whole")
    shown = [part.component for part in visit.parts]
    assert [step.component for step in parts[: len(shown)]] == shown
    assert [step.size for step in parts[: len(shown)]] == [part.total for part in visit.parts]
    assert [plain(step.name) for step in parts[len(shown) :]] == [
        f"{len(visit.attribution.component) - len(shown)} others", "SAE misses", "offset", "not linear",
    ]  # fmt: skip


def test_the_bars_as_they_are_drawn_add_up_to_the_value(visit: Visit) -> None:
    """From the places in the HTML alone: sizes with their signs, by the scale that the last bar sets."""
    html = waterfall_chart(visit)
    zero = float(re.findall(r"--zero:([\d.]+)%", html)[0])
    drawn = [
        (float(left), float(size), float(end))
        for left, size, end in re.findall(r"--from:([\d.]+)%;--size:([\d.]+)%;--end:([\d.]+)%", html)
    ]
    at = zero
    for left, size, end in drawn[:-1]:
        assert min(abs(left - at), abs(left + size - at)) < 0.03, "it touches the end of the one before"
        assert min(abs(left - end), abs(left + size - end)) < 0.03
        at = end
    left, size, end = drawn[-1]
    assert at == pytest.approx(end, abs=0.03)
    value = visit.attribution.value
    assert (left if value > 0 else left + size) == pytest.approx(zero, abs=0.03)
    assert html.count("<li ") == len(drawn) == len(steps(visit))


def test_it_says_that_it_adds_up(visit: Visit) -> None:
    text = plain(waterfall_chart(visit).split("<figcaption>")[1])
    told = [float(n.replace("−", "-").replace("±", "")) for n in re.findall(r"[+−±]\d+\.\d\d", text)]
    assert sum(told[:-1]) == pytest.approx(told[-1], abs=0.03), "to rounding"
    assert told[-1] == pytest.approx(visit.attribution.value, abs=0.005)
    for words in ("It adds up", "components", "SAE misses", "offset", "not linear", "logits"):
        assert words in text


def test_bars_lead_to_their_rows_and_say_what_they_are(visit: Visit) -> None:
    faces = faces_of(visit)
    html, rows = waterfall_chart(visit, faces), part_rows(visit, faces)
    check_markup({"waterfall": html, "without faces": waterfall_chart(visit)})
    for part in visit.parts:
        assert part.measured is not None
        assert f'<a href="#component-{part.component}" data-row="{part.component}"' in html
        assert f'id="component-{part.component}" tabindex="-1"' in rows
        assert f"predicted {signed(part.total)}, measured {signed(part.measured)} logits" in html
    assert html.count('<i class="tick">') == len(visit.parts)
    assert html.count('class="shot') == len(visit.parts) - 1
    assert html.count("▲</span>") + html.count("▼</span>") == len(visit.parts)


def test_ticks_come_when_effects_are_measured(visit: Visit) -> None:
    early = replace(visit, parts=tuple(replace(part, measured=None) for part in visit.parts))
    assert "tick" not in waterfall_chart(early)
    assert "measured" not in waterfall_chart(early)
    step = Step("#3", 1.0, 0.5, "", 3, measured=-0.25)
    assert (step.end, step.tick, step.tone) == (1.5, 0.75, "for")


# ---- the rows


def test_rows_are_for_and_against(visit: Visit) -> None:
    html = part_rows(visit)
    check_markup({"rows": html})
    _, speaks_for, against = html.split('<section class="half ')
    for part in visit.parts:
        assert f'id="component-{part.component}"' in (speaks_for if part.total > 0 else against)
    assert "▲" in speaks_for
    assert "▼" in against


def test_rows_wait_for_the_measurement(visit: Visit) -> None:
    early = replace(visit, parts=tuple(replace(part, measured=None) for part in visit.parts))
    assert part_rows(early).count("measuring …") == len(visit.parts)
    assert re.search(r"Rank correlation \d.\d\d · (none|\d+) of \d+ disagree", plain(part_rows(visit)))
    assert "measuring" not in part_rows(visit)


def test_rows_with_faces(visit: Visit) -> None:
    """The pictures themselves are in the sheet."""
    faces = faces_of(visit)
    html = part_rows(visit, faces)
    assert "They are the evidence; the label is a guess." in plain(html)
    assert "evidence" not in part_rows(visit)
    with_pictures = sheet(one for each in faces.values() for one in each.examples)
    assert all(f".{name}{{" in with_pictures for names in classes(html) for name in names if name != "whole")


def test_the_weight_of_the_rows(visit: Visit) -> None:
    """12 rows with 4 pictures of 1.2 KB: the pictures weigh what base64 makes of them, and come once."""
    noise = np.random.default_rng(0)
    faces = {}
    for c in range(12):
        examples = [
            replace(activating_example(k), webp=noise.bytes(1200), region=noise.random((16, 16)) < 0.1)
            for k in range(4)
        ]
        faces[c] = Face(concept(c), tuple(replace(one, region=one.region.astype(np.float32)) for one in examples))
    once = len(sheet(one for each in faces.values() for one in each.examples))
    parts = tuple(replace(visit.parts[0], component=c) for c in faces)
    again = len(part_rows(replace(visit, parts=parts), faces))
    assert once < 48 * 1200 * 4 / 3 * 1.25
    assert again < 40_000, "this goes out again when effects are measured"


def test_a_family_has_a_button_that_tells_its_size() -> None:
    buttons = actions(3, face(3, family=3))
    assert buttons.count('data-action="family"') == 1
    assert 'data-off="Family (3)"' in buttons
    assert 'data-on="Family (3) ✓"' in buttons
    assert "family" not in actions(3, face(3))
    assert "family" not in actions(3, None)
    assert buttons.count('aria-pressed="false"') == 3, "a script marks what is pulled"
