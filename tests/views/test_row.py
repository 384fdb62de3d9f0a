"""The row of a component: every number has its unit, signs have shapes, one axis for all, and no lever changes it."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from plain_text import plain
from view_helpers import check_markup, face, faces_of

from core.methods.side_effects import AttributionChanges
from core.session.history import History
from core.session.visit import Visit
from core.views.row import Axis, Effect, changed, disagreement, effect_of, map_of, rows
from core.words import signed


def places(html: str, kind: str) -> list[tuple[float, ...]]:
    """Left end (and width) of every bar or tick, in percent."""
    found = re.findall(rf'class="{kind}" style="left:([\d.]+)%(?:;width:([\d.]+)%)?"', html)
    return [tuple(float(number) for number in one if number) for one in found]


def test_bars_and_ticks_share_one_axis(visit: Visit) -> None:
    effects = {part.component: effect_of(part) for part in visit.parts}
    values = [0.0, *(part.total for part in visit.parts), *(part.measured or 0.0 for part in visit.parts)]
    low, high = min(values), max(values)
    html = rows(visit, effects)
    bars, ticks, zeros = (places(html, kind) for kind in ("amount", "tick", "zero"))
    assert len(bars) == len(ticks) == len(zeros) == len(visit.parts)

    def at(value: float) -> float:
        return 100 * (value - low) / (high - low)

    for part, (left, width), (tick,), (zero,) in zip(visit.parts, bars, ticks, zeros, strict=True):
        assert part.measured is not None
        assert zero == pytest.approx(at(0), abs=0.06)
        assert left == pytest.approx(min(at(0), at(part.total)), abs=0.06)
        assert width == pytest.approx(abs(at(part.total) - at(0)), abs=0.06)
        assert tick == pytest.approx(at(part.measured), abs=0.06)
    assert Axis.over([]) == Axis(0.0, 0.0)
    assert Axis.over([]).at(0.0) == 0.0
    assert Axis.over([-1.0, None, 3.0]) == Axis(-1.0, 3.0)


def test_every_row_says_number_unit_sign_and_shape(visit: Visit) -> None:
    html = rows(visit, {part.component: effect_of(part) for part in visit.parts})
    for part, row in zip(visit.parts, html.split("<li ")[1:], strict=True):
        assert part.measured is not None
        assert f'data-row="{part.component}"' in row
        assert f"{'▲' if part.total > 0 else '▼'}</span> {signed(part.total)} <small>logits" in row
        assert f"measured {signed(part.measured)}" in row
        assert f"by CLS {signed(part.on_cls)} logits" in plain(row)
        assert f"on {part.n_patches} of {part.heat.size} patches" in row
        for action in ("suppress", "amplify"):
            assert f'data-component="{part.component}" data-action="{action}"' in row


def test_no_lever_changes_a_row(visit: Visit) -> None:
    """What is pulled is marked by a script: a press on a lever sends no row."""
    effects = {part.component: effect_of(part) for part in visit.parts}
    faces = faces_of(visit)
    assert visit.edit.levers
    assert rows(visit, effects, faces) == rows(replace(visit, history=History()), effects, faces)
    html = rows(visit, effects, faces)
    assert 'aria-pressed="true"' not in html
    assert html.count('data-on="Suppressed ✓"') == len(visit.parts)


@pytest.mark.parametrize(
    ("predicted", "measured", "said"),
    [
        (1.0, 0.9, ""), (1.0, 2.0, ""), (-1.0, -0.5, ""), (0.001, -0.004, ""),
        (1.0, 2.1, "over twice"), (-1.0, -0.4, "under half"), (0.5, 0.0, "under half"),
        (1.0, -0.2, "opposite sign"), (-0.3, 3.0, "opposite sign"),
    ],
)  # fmt: skip
def test_a_disagreement_is_said(visit: Visit, predicted: float, measured: float, said: str) -> None:
    assert disagreement(predicted, measured) == said
    part = replace(visit.parts[0], total=predicted, measured=measured)
    html = rows(visit, {part.component: effect_of(part)})
    assert (f">{said}</button></b>" in html) if said else ("doubt" not in html)


def test_what_is_awaited_says_so(visit: Visit) -> None:
    part = replace(visit.parts[0], measured=None)
    assert effect_of(part, awaited=True).words == "measuring …"
    assert effect_of(part) == Effect(part.total)


def test_rows_with_faces(visit: Visit) -> None:
    faces = faces_of(visit)
    effects = {part.component: effect_of(part) for part in visit.parts}
    html, bare = rows(visit, effects, faces), rows(visit, effects)
    check_markup({"with": html, "without": bare})
    assert html.count('class="strip" role="img"') == len(visit.parts) - 1
    assert html.count("never fired in the 200 pictures") == 1
    assert html.count("guess: “") == len(visit.parts) - 1
    assert "guess: “&lt;img" in html
    assert "data:" not in html, "the pictures are in the sheet"
    assert html.count("Family (3)</button>") == 1
    assert html.count('aria-label="More about component') == len(visit.parts)
    for absent in ("strip", "guess", "open", "family"):
        assert absent not in bare
    assert bare.count('class="heat small"') == len(visit.parts)
    assert bare.count("data:image/webp") == 1, "the visitor's own picture"


def test_what_does_nothing_here_says_so(visit: Visit) -> None:
    quiet = next(c for c in range(48) if not visit.part(c).peak)
    html = rows(visit, {quiet: effect_of(visit.part(quiet))}, {quiet: face(quiet)})
    assert "not active here" in html
    assert "logits" not in html
    assert places(html, "amount") == []


def test_a_row_carries_the_map_that_the_page_lacks(visit: Visit) -> None:
    first, f = visit.parts[0], visit.trace.activations
    assert map_of(visit, first.component) == "", "it is among those that the picture has"
    weak = replace(visit, parts=visit.parts[1:])
    told = re.search(r'data-map="(.*?)"', rows(weak, {first.component: effect_of(first)}))
    assert told is not None
    listed = json.loads(told[1])
    share = f.at_tokens(visit.attribution.pair, first.component)
    assert [token for token, _, _ in listed] == np.flatnonzero(f.of(first.component)).tolist()
    for token, activation, contribution in listed:
        assert activation == pytest.approx(float(f.of(first.component)[token]), rel=1e-2)
        assert contribution == pytest.approx(float(share[token]), abs=1e-4)
    quiet = next(c for c in range(48) if not visit.part(c).peak)
    assert map_of(visit, quiet) == ""


def test_components_that_an_edit_changed(visit: Visit) -> None:
    """Before is the bar, now the tick, also of one that was not active before."""
    shown = [part.component for part in visit.parts[:2]]
    before, after = np.array([0.5, 0.0], dtype=np.float32), np.array([-0.25, 0.75], dtype=np.float32)
    html = changed(visit, AttributionChanges(np.array(shown, dtype=np.int32), before, after), faces_of(visit))
    first, second = html.split("<li ")[1:]
    assert "+0.50 <small>logits" in first
    assert "now −0.25" in first
    assert "now +0.75" in second
    assert places(first, "tick") == [(0.0,)]
    assert places(second, "tick") == [(100.0,)]
