"""The page of a component, and search: nothing from an index is markup, every number has its unit."""

import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import EVIL
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from PIL import Image
from plain_text import plain
from view_helpers import check_markup, classes, face, pictures

from core.concepts.component import Histogram, Neighbour
from core.concepts.effects import SteeringEffects
from core.concepts.index import Identity, Manifest
from core.concepts.search import Match
from core.methods.steering import Edit, Lever
from core.model.prompts import TEMPLATES
from core.session import visit as session
from core.session.visit import Subject, Visit
from core.views import components as pages
from core.views.reference_strip import CHIPPED, Face
from core.words import signed
from core.workbench import Workbench

SETUP = Identity(EVIL[0], None, EVIL[1], None, 1, "all", 48, 32, "0" * 64)
SOURCE = Manifest(1, SETUP, {"kind": "folder", "name": EVIL[0], "split": EVIL[1]}, 200, 3400, 0, (4, 4), EVIL, 96)


@pytest.fixture(scope="module")
def visit(bench: Workbench, picture: Image.Image) -> Visit:
    start = session.start(bench, picture, Subject(EVIL[0]), EVIL, TEMPLATES["single"], None)
    return session.change(bench, start, Edit((Lever(start.parts[0].component),)))


def quiet_component(visit: Visit) -> int:
    return next(c for c in range(48) if not visit.part(c).peak)


def histogram(*counts: int) -> Histogram:
    return Histogram(np.sqrt(2.0, dtype=np.float32) ** np.arange(len(counts) + 1), np.array(counts))


def page(component: int, family: int = 3, **known: object) -> pages.Page:
    return pages.Page(
        face(component, 6, family, **known), face(component + 50, 4).examples, face(component + 60, 2).examples,
        histogram(3, 0, 5, 1), (Neighbour(4, 0.5), Neighbour(5, -0.25)), (Neighbour(6, 0.75),),
        {4: face(4, 3), 6: replace(face(6, 0), examples=())}, SOURCE,
    )  # fmt: skip


def effects(n: int = 3, classes: tuple[str, ...] = EVIL) -> SteeringEffects:
    rng = np.random.default_rng(1)
    change, each = rng.normal(size=len(classes)), rng.normal(size=(n, len(classes)))
    return SteeringEffects(classes, 12.5, change.astype(np.float32), each.astype(np.float32))


def all_views(visit: Visit) -> dict[str, Markup]:
    first, quiet = visit.parts[0].component, quiet_component(visit)
    faces = {first: face(first)}
    return {
        "page": pages.component_page(visit, page(first), effects()),
        "page, family of many": pages.component_page(visit, page(first, 20), None),
        "page, silent": pages.component_page(
            visit, replace(page(quiet, 0, fired=0, guesses=(), clarity=None), histogram=None), None
        ),
        "sheet": pages.page_sheet(page(first)) + pages.found_sheet(faces),
        "found": pages.found(visit, EVIL[0], (Match(first, 0.25), Match(quiet, -0.125)), faces),
        "nothing found": pages.found(visit, EVIL[1], (), {}),
        "nothing": pages.examples(EVIL) + pages.no_page() + pages.no_index(EVIL[0], EVIL[1]),
    }


def test_nothing_from_an_index_becomes_markup(visit: Visit) -> None:
    check_markup(all_views(visit))


def test_the_page_says_what_is_known(visit: Visit) -> None:
    first = visit.parts[0]
    html = pages.component_page(visit, page(first.component), effects())
    assert f"Component #{first.component} " in html
    assert html.count("guess: “") > 1
    assert "its strongest: " in html
    assert "around the median: " in html
    assert "by mean activation: " in html
    assert "+0.125" in html, "the one guess with its score"
    assert "+0.100" in html, "and the other"
    assert "Attribution to “" in plain(html)
    assert "logits</b>" in html
    assert "activation up to" in html
    assert 'aria-label="Suppress component' in html
    assert "Amplify" in html
    assert "Family (3)" in html
    assert 'data-action="open"' in html
    assert ">More<" not in html
    assert "over 200 pictures of &lt;img src=x onerror=alert(1)&gt; (folder, " in html
    named = {name for names in classes(html) for name in names} - {"whole"}
    assert named <= set(pictures(pages.page_sheet(page(first.component))))


def test_the_page_says_which_opening_it_is_and_leads_back(visit: Visit) -> None:
    html = pages.component_page(visit, page(visit.parts[0].component), None, 3)
    assert 'data-opening="3"' in html
    assert html.count("data-back") == 2


@pytest.mark.parametrize("edges", [(1.2, 3.9), (1.0, 40.0), (0.003, 900.0), (2.1, 9.4)])
def test_an_axis_has_a_few_marks_whatever_it_spans(edges: tuple[float, float]) -> None:
    ticks = pages._ticks(np.array(edges))
    assert 3 <= len(ticks) <= pages.TICKS + 2
    assert ticks == sorted(ticks)
    assert all(edges[0] <= tick <= edges[1] for tick in ticks)


def test_the_page_of_what_is_not_active_and_of_what_never_fired(visit: Visit) -> None:
    quiet = quiet_component(visit)
    assert "<b>Not active</b> here" in pages.component_page(visit, page(quiet), None)
    silent = replace(page(quiet, 0, fired=0, guesses=(), clarity=None), histogram=None, usual=(), mean=())
    html = pages.component_page(visit, replace(silent, face=replace(silent.face, examples=())), None)
    assert "never fired in the 200 pictures" in html
    assert "What it pushes" not in html
    assert "How strongly" not in html
    assert "strip" not in html


def test_the_pushes_wait_and_then_say_what_was_done(visit: Visit) -> None:
    component = visit.parts[0].component
    assert "Measuring on a grey and on its reference pictures" in pages.component_page(visit, page(component), None)
    html = pages.component_page(visit, page(component), effects())
    assert "Set to 12.5 on a grey picture" in html
    assert "Suppressed on its 3 reference pictures" in html
    assert "less the mean of all classes" in html
    assert "± " in html
    assert "logit" in html
    told = effects()
    for change in (told.relative_on_blank, told.relative_on_references):
        for k, value in enumerate(change.tolist()):
            assert f"{'▲' if value > 0 else '▼'}</span> {'+' if value > 0 else '−'}{abs(value):.2f}" in html, k
    alone = pages.component_page(visit, page(component), effects(1, ("dog",)))
    assert "less the mean" not in alone
    assert "± nan" not in alone
    assert "1 reference picture<" not in alone
    assert "Suppressed" not in pages.component_page(visit, page(component), effects(0)).split("What it pushes")[1]


def test_of_many_classes_the_most_pushed_are_listed(visit: Visit) -> None:
    many = tuple(f"thing {k}" for k in range(30))
    change = np.arange(30, dtype=np.float32) - 10
    told = SteeringEffects(many, 1.0, change, np.zeros((0, 30), dtype=np.float32))
    html = pages.component_page(visit, page(3), told)
    assert re.findall(r'title="thing (\d+)"', html) == ["29", "28", "27", "2", "1", "0"]


def test_a_family_shows_all_its_members(visit: Visit) -> None:
    html = pages.component_page(visit, page(10, 20), None)
    opened = [int(c) for c in re.findall(r'class="chip" data-component="(\d+)"', html)]
    assert opened == [*range(11, 30), 4, 5, 6]
    assert f"and {19 - CHIPPED} more" in html
    assert "Its family 20 components" in plain(html)
    assert "−0.25" in html
    assert "more</summary>" not in pages.component_page(visit, page(10, 3), None)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40), st.floats(2.0**-8, 2.0**12), st.integers(-16, 16))
def test_a_histogram_stays_on_its_axis(visit: Visit, counts: list[int], peak: float, low: int) -> None:
    counts[0] = counts[-1] = 1
    edges = np.sqrt(2.0) ** np.arange(low, low + len(counts) + 1)
    told = Histogram(edges.astype(np.float32), np.array(counts))
    part = replace(visit.parts[0], peak=peak)
    html = pages._histogram(told, part, SOURCE)
    bars = [tuple(map(float, bar)) for bar in re.findall(r"<i style=\"left:(.+?)%;width:(.+?)%;height:(.+?)%\"", html)]
    assert len(bars) == len(counts)
    for (left, width, height), n in zip(bars, counts, strict=True):
        assert left >= 0
        assert left + width <= 100.1
        assert height == pytest.approx(100 * n / max(counts), abs=0.06)
    assert [bar[0] for bar in bars] == sorted(bar[0] for bar in bars)
    ticks = [(float(at), float(v)) for at, v in re.findall(r'<span style="left:(.+?)%">(.+?)</span>', html)]
    assert len(ticks) <= 12
    assert all(0 <= at <= 100 for at, _ in ticks)
    assert ticks == sorted(ticks)
    (mark,) = re.findall(r'class="mark" style="left:(.+?)%"', html)
    below = [float(at) for at, v in ticks if v < peak / 1.1]
    above = [float(at) for at, v in ticks if v > peak * 1.1]
    assert max(below, default=0.0) <= float(mark) <= min(above, default=100.0)
    assert f"your picture’s strongest: {peak:.3g}" in html
    assert "tokens" in html
    assert "logarithmic" in html


def test_a_search_says_what_matches_and_what_it_does_here(visit: Visit) -> None:
    part, quiet = visit.parts[0], quiet_component(visit)
    faces: dict[int, Face] = {part.component: face(part.component), quiet: face(quiet)}
    html = pages.found(visit, "“<b>”", (Match(part.component, 0.25), Match(quiet, -0.125)), faces)
    assert "2 components by match with “<b>”; 1 active here" in plain(html)
    first, second = html.split("<li ")[1:]
    assert "match +0.250" in first
    assert f"{signed(part.total)} <small>logits" in first
    assert "match −0.125" in second
    assert "not active here" in second
    assert "logits" not in second.split('<p class="legend')[0]
    assert first.count('class="shot') == 4
    assert 'data-action="open"' in first
    named = {name for names in classes(html) for name in names}
    assert named == set(pictures(pages.found_sheet(faces)))


def test_searches_to_press() -> None:
    html = pages.examples(("water", "the word cat"))
    assert html.count("data-ask=") == 2
    assert 'data-ask="the word cat"' in html


def test_a_search_of_an_index_where_nothing_ever_fired(visit: Visit) -> None:
    assert "none to find" in pages.found(visit, "“x”", (), {})


def test_without_an_index_the_page_says_how_to_get_one() -> None:
    html = pages.no_index("Tiny", "It is of another setup.")
    assert "Tiny has no concept index" in plain(html)
    assert "It is of another setup." in html
    assert "python -m core.indexing" in html
    assert "All else works" in html
