"""The evidence as HTML and charts: nothing typed is markup, verdicts are said in words, null edits look null."""

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from conftest import EVIL
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from PIL import Image
from plain_text import plain
from view_helpers import check_markup

from core.methods.controls import Controls
from core.methods.generalization import Generalization
from core.methods.reference_scenes import KINDS
from core.methods.side_effects import AttributionChanges, SideEffects
from core.methods.steering import Edit, Lever
from core.methods.targets import ClassTarget
from core.model.prediction import Comparison
from core.model.prompts import TEMPLATES
from core.session import visit as session
from core.session.visit import Subject, Visit
from core.views import charts, frame
from core.views import evidence as proofs
from core.views import steering as steering_view
from core.workbench import Step, Workbench


@pytest.fixture(scope="module")
def bench(bench: Workbench, few_references: None) -> Workbench:
    """The tiny setup, which keeps the reference scenes that it reads here to itself."""
    return Workbench(bench.setup)


@pytest.fixture(scope="module")
def visit(bench: Workbench, picture: Image.Image) -> Visit:
    start = session.start(bench, picture, Subject(EVIL[0]), EVIL, TEMPLATES["single"], EVIL[1])
    shown = [part.component for part in start.parts]
    return session.change(bench, start, Edit((Lever(shown[0]), Lever(shown[1], "set", 2.0)), (0, 3, 4)))


def everything(bench: Workbench, visit: Visit, picture: Image.Image) -> dict[str, Markup]:
    asked = (visit.trace, visit.classes, visit.templates)
    *_, controls = bench.controls(*asked, visit.target, visit.edit)
    responses = list(bench.responses(*asked, visit.target, visit.edit))
    rippled = bench.side_effects(*asked, visit.target, visit.edit)
    shifted = bench.attribution_changes(*asked, visit.attribution, visit.edit)
    *_, tested = bench.generalize(visit.edit)
    assert isinstance(tested, Generalization)
    searches = list(bench.find_edit(*asked, visit.truth or 0))
    gone = session.without_cue(bench, visit, picture.rotate(90))
    return {
        "no edit": proofs.no_edit(),
        "edit": proofs.edit_words(visit, EVIL[0]),
        "unasked": proofs.unasked("effect"),
        "pending": proofs.pending("generalization", "a", 1, 2),
        "effect": proofs.effect(visit),
        "no doses": proofs.no_doses(),
        "doses": proofs.doses(visit, responses),
        "chance": proofs.chance(controls),
        "trying": proofs.trying(controls),
        "ripple": proofs.side_effects(visit, rippled, shifted),
        "elsewhere": proofs.generalization(tested),
        "gone": proofs.counterfactual(visit, EVIL[1], gone, EVIL[0]),
        "known counterfactual": proofs.known_counterfactual(visit, EVIL[1], gone, EVIL[0]),
        "no counterfactual": proofs.no_counterfactual(True) + proofs.no_counterfactual(False),
        "missed": proofs.reconstruction_error(bench.reconstruction_error(*asked)),
        "searching": steering_view.finder(visit, searches[0]),
        "found": steering_view.finder(visit, searches[-1]),
        "trouble": steering_view.finder(visit, trouble=EVIL[0]),
        "unknown truth": steering_view.finder(replace(visit, truth=None)),
        "waiting": frame.waiting("a", 1, 2) + frame.waiting("b"),
    }


@pytest.fixture(scope="module")
def shown(bench: Workbench, visit: Visit, picture: Image.Image) -> dict[str, Markup]:
    return everything(bench, visit, picture)


def test_nothing_typed_becomes_markup(shown: dict[str, Markup]) -> None:
    check_markup(shown)


def test_numbers_have_units(shown: dict[str, str]) -> None:
    assert shown["ripple"].count("data-row=") == 8, "other components, wherever they are pointed at"
    for name in ("effect", "chance", "ripple", "found"):
        assert "logits" in shown[name], name
    assert "%" in shown["elsewhere"]
    assert "%" in shown["gone"]
    assert "%" in shown["missed"]


def controls(effect: float, random: np.ndarray) -> Controls:
    return Controls(
        effect, random.astype(np.float32), np.linspace(-1, 1, 32), 0.0, Edit.of_suppressed([3]), 0.9, "logits"
    )


def test_the_verdict_in_words() -> None:
    spread = np.linspace(-1, 1, 64)
    assert proofs.verdict(controls(-5.0, spread))[1] == "Beyond chance"
    assert proofs.verdict(controls(0.1, spread))[1] == "No better than chance"
    assert "No better than chance" in proofs.chance(controls(0.1, spread))
    assert proofs.verdict(controls(-5.0, spread[:10]))[1] == "Cannot be told"
    assert "Cannot be told" in proofs.chance(controls(-5.0, spread[:0]))


def tone(answer: str) -> str:
    """Of the verdict: good, doubt or open, which its shape tells as well."""
    found = re.search(r'class="answer (\w+)"', answer)
    assert found is not None
    assert f'<span aria-hidden="true">{proofs.MARKS[found[1]]}</span>' in answer
    return found[1]


def test_an_answer_is_good_only_where_that_is_earned(visit: Visit, bench: Workbench) -> None:
    spread = np.linspace(-1, 1, 64)
    assert tone(proofs.chance(controls(-5.0, spread))) == "good"
    assert tone(proofs.chance(controls(0.1, spread))) == "doubt"
    assert tone(proofs.chance(controls(-5.0, spread[:10]))) == "open"
    assert "p =" not in proofs.chance(controls(-5.0, spread[:10])).partition("</button>")[0]

    def effect(after: list[float], truth: int | None) -> str:
        moved = replace(visit.prediction, logits=np.array(after, dtype=np.float32))
        before = replace(visit.prediction, logits=np.array([1, 0, -1], dtype=np.float32))
        return tone(proofs.effect(replace(three, comparison=Comparison(before, moved, 1.0), truth=truth)))

    three = replace(visit, classes=("a", "b", "c"), target=ClassTarget(0, 1))
    assert effect([0, 1, -1], 1) == effect([0, 1, -1], None) == "good"
    assert effect([0, 1, 2], 1) == "doubt", "it flips to what is as wrong"
    assert effect([0.5, 0, -1], 1) == "open"

    def changed(target: float) -> str:
        concepts = tuple(f"word {k}" for k in range(40))
        found = SideEffects(concepts, np.linspace(-1, 1, 40).astype(np.float32), 1.0, target, "logits")
        none = AttributionChanges(*(np.zeros(0, dtype=np.int32) for _ in range(3)))
        return tone(proofs.side_effects(visit, found, none))

    assert (changed(-3.0), changed(0.5)) == ("good", "doubt")

    *_, tested = bench.generalize(visit.edit)
    assert isinstance(tested, Generalization)

    def elsewhere(fixed: int, broken: int) -> str:
        truth = np.zeros(len(tested.truth), dtype=int)
        before, after = truth.copy(), truth.copy()
        before[:fixed], after[fixed : fixed + broken] = 1, 1
        return tone(proofs.generalization(replace(tested, truth=truth, before=before, after=after, shown=truth[:0])))

    assert [elsewhere(*counts) for counts in ((9, 1), (1, 9), (3, 1), (0, 0))] == ["good", "doubt", "open", "open"]


def test_a_random_edit_is_no_better_than_chance(bench: Workbench, picture: Image.Image) -> None:
    """Of edits whose components are drawn at random, the panel calls few more than chance."""
    start = session.start(bench, picture, Subject("a"), ("dog", "cat", "owl"), TEMPLATES["single"], None)
    asked = (start.trace, start.classes, start.templates, start.target)
    active = start.trace.activations.components()
    rng = np.random.default_rng(0)
    said = []
    for _ in range(40):
        edit = Edit.of_suppressed(rng.choice(active, 2, replace=False).tolist())
        *_, found = bench.controls(*asked, edit)
        said.append(proofs.verdict(found)[1])
    assert said.count("No better than chance") >= 34


def test_an_edit_of_nothing_fixes_and_breaks_nothing(bench: Workbench) -> None:
    *_, tested = bench.generalize(Edit())
    assert isinstance(tested, Generalization)
    html = proofs.generalization(tested)
    assert not len(tested.fixed)
    assert not len(tested.broken)
    assert "McNemar" not in html
    assert "<img" not in html
    assert html.count('<th scope="row">') == len(KINDS)


def points(drawn: str, line: int) -> np.ndarray:
    """A line of a chart of doses, [S, 2], in percent from the left and from the top."""
    found = re.search(rf'<path class="line-{line}" d="M([^"]+)">', drawn)
    assert found is not None
    return np.array([[float(number) for number in point.split()] for point in found[1].split("L")])


def test_charts_hold_the_numbers(bench: Workbench, visit: Visit) -> None:
    asked = (visit.trace, visit.classes, visit.templates, visit.target, visit.edit)
    for response in bench.responses(*asked):
        drawn = charts.dose(response, visit.classes, visit.target, None, sets=False)
        assert drawn.count("<path") == 1 + min(3, len(visit.classes) - 2)
        line, change = points(drawn, 1), response.target - visit.attribution.value
        np.testing.assert_allclose(line[:, 0], 100 * (response.doses + 1) / 5, atol=0.06)
        if np.ptp(change) > 0.01:
            assert np.corrcoef(line[:, 1], -change)[0, 1] == pytest.approx(1, abs=1e-4)
    *_, found = bench.controls(*asked)
    drawn = charts.distribution(found)
    axis = charts.ChartAxis.around([*found.random.tolist(), *found.directions.tolist(), found.effect, found.rival])
    for name, value in (("edit", found.effect), ("rival", found.rival)):
        assert f'<i class="{name}" style="left:{axis.place(value):.1f}%">' in drawn
    for name, values in (("random", found.random), ("directions", found.directions)):
        path = re.search(rf'<path class="{name}" d="([^"]+)">', drawn)
        assert path is not None
        heights = 100 - np.array([float(up) for up in re.findall(r"V([\d.]+)H", path[1])])
        counts = np.histogram(values, np.linspace(axis.low, axis.high, charts.BINS + 1))[0]
        np.testing.assert_allclose(heights / heights.max(), counts / counts.max(), atol=0.002)


def handles(drawn: str) -> list[dict[str, str]]:
    return [dict(re.findall(r'([\w-]+)="([^"]*)"', tag)) for tag in re.findall('<b class="handle"[^>]*>', drawn)]


def test_each_lever_has_a_handle_where_it_stands(bench: Workbench, visit: Visit) -> None:
    asked = (visit.trace, visit.classes, visit.templates, visit.target)
    first, second, third = (part.component for part in visit.parts[:3])
    edit = Edit((Lever(first), Lever(second, "scale", 1.5), Lever(third, "set", 0.4)))
    several = session.change(bench, visit, edit)
    drawn = proofs.doses(several, list(bench.responses(*asked, edit)))
    assert drawn.count("<option>") == drawn.count('class="chart dose"') == 4
    found = handles(drawn)
    assert [one["data-components"] for one in found] == [str(first), str(second), str(third)], "none for all together"
    assert [one["aria-valuetext"] for one in found] == ["suppressed", "× 1.5", "set to 0.4"]
    assert [one["style"] for one in found] == ["left:20.0%", "left:50.0%", "left:40.0%"]
    assert (found[2]["aria-valuemin"], found[2]["aria-valuemax"]) == ("-0.4", "1.6")
    nothing = Edit((Lever(first, "set", 0.0),))
    drawn = proofs.doses(session.change(bench, visit, nothing), list(bench.responses(*asked, nothing)))
    assert handles(drawn) == [], "all doses of nothing are the same"


@given(st.lists(st.floats(-1e4, 1e4), min_size=1))
def test_an_axis_has_some_round_numbers(values: list[float]) -> None:
    axis = charts.ChartAxis.around(values)
    assert all(0 < axis.place(value) < 100 for value in values)
    ticks = axis.ticks
    assert 3 <= len(ticks) <= charts.TICKS + 1
    assert len({words for _, words in ticks}) == len(ticks)
    assert [place for place, _ in ticks] == sorted(place for place, _ in ticks)


def test_a_set_lever_is_compared_with_the_picture_as_it_is(bench: Workbench, visit: Visit) -> None:
    """At factor 1 a set lever sets: the change there is the edit's effect, not nothing."""
    edit = Edit((Lever(visit.parts[0].component, "set", 0.3),))
    asked = (visit.trace, visit.classes, visit.templates, visit.target, edit)
    (response,) = bench.responses(*asked)
    *_, found = bench.controls(*asked)
    drawn = proofs.doses(session.change(bench, visit, edit), [response])
    assert abs(found.effect) > 0.01
    at_one = points(drawn, 1)[list(response.doses).index(1.0)]
    zero = re.search(r'class="level zero" style="bottom:([\d.]+)%"', drawn)
    assert zero is not None
    assert np.sign(100 - at_one[1] - float(zero[1])) == np.sign(found.effect)
    assert "the activation that is set" in drawn


def test_classes_that_leave_no_concept_to_probe(bench: Workbench, picture: Image.Image) -> None:
    classes = ("dog", "cat")  # the only word this setup knows is dog
    v = session.start(bench, picture, Subject("a"), classes, TEMPLATES["single"], "cat")
    edit = Edit.of_suppressed([v.parts[0].component])
    rippled = bench.side_effects(v.trace, classes, v.templates, v.target, edit)
    assert rippled.concepts == ()
    assert rippled.selectivity is None
    *_, search = bench.find_edit(v.trace, classes, v.templates, 1)
    assert search.done
    assert search.side_effect is None
    shifted = bench.attribution_changes(v.trace, classes, v.templates, v.attribution, edit)
    drawn = proofs.side_effects(v, rippled, shifted)
    assert tone(drawn) == "open"
    assert '<span class="figure">–</span>' in drawn
    assert "Side effect over 0 concepts: –" in plain(drawn)


def progress(step: Step | Generalization) -> tuple[int, int]:
    """How many of how many pictures are read."""
    assert isinstance(step, tuple)
    _, done, total = step
    return done, total


def test_a_reading_that_failed_begins_anew(bench: Workbench) -> None:
    fresh = Workbench(bench.setup)

    begin = fresh._references._begin

    def broken() -> Iterator[tuple[int, int]]:
        fresh._references._begin = begin
        yield 0, 60
        raise MemoryError

    fresh._references._begin = broken
    asking = fresh.generalize(Edit())
    assert progress(next(asking)) == (0, 60)
    with pytest.raises(MemoryError):
        next(asking)
    *_, found = fresh.generalize(Edit())
    assert isinstance(found, Generalization)


def test_the_references_are_read_once_by_whoever_asks(bench: Workbench) -> None:
    fresh = Workbench(bench.setup)
    first, second = fresh.generalize(Edit()), fresh.generalize(Edit())
    seen = [progress(next(asking))[0] for asking in (first, second, first)]
    assert seen == sorted(set(seen)), "no part is read twice"
    first.close()
    *_, found = second
    assert isinstance(found, Generalization)
    assert all("Reading" not in step[0] for step in fresh.generalize(Edit()) if not isinstance(step, Generalization))


def test_the_finder_offers_what_it_found(visit: Visit, bench: Workbench, shown: dict[str, str]) -> None:
    *_, search = bench.find_edit(visit.trace, visit.classes, visit.templates, visit.truth or 0)
    offered = len(search.alternatives) + bool(search.edit and search.edit.levers)
    assert shown["found"].count("data-use=") == offered
    assert 'aria-disabled="true"' in shown["searching"]
    assert 'aria-disabled="false"' in shown["found"]
    assert "data-find" not in shown["unknown truth"]
