"""The evidence as HTML and charts: nothing typed is markup, verdicts are said in words, null edits look null."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from conftest import EVIL
from markupsafe import Markup
from PIL import Image
from view_helpers import check_markup

from core.methods.controls import Controls
from core.methods.generalization import KINDS, Generalization
from core.methods.steering import Edit, Lever
from core.model.prompts import TEMPLATES
from core.session import visit as session
from core.session.visit import Subject, Visit
from core.views import charts, frame
from core.views import evidence as proofs
from core.views import steering as steering_view
from core.workbench import Step, Workbench


@pytest.fixture(scope="module")
def visit(bench: Workbench, picture: Image.Image) -> Visit:
    start = session.start(bench, picture, Subject(EVIL[0]), EVIL, TEMPLATES["single"], EVIL[1])
    shown = [part.component for part in start.parts]
    return session.change(bench, start, Edit((Lever(shown[0]), Lever(shown[1], "set", 2.0)), (0, 3, 4)))


def everything(bench: Workbench, visit: Visit, picture: Image.Image) -> dict[str, Markup]:
    asked = (visit.trace, visit.classes, visit.templates)
    *_, controls = bench.controls(*asked, visit.target, visit.edit)
    response = next(bench.responses(*asked, visit.target, visit.edit))
    rippled = bench.side_effects(*asked, visit.target, visit.edit)
    shifted = bench.attribution_changes(*asked, visit.attribution, visit.edit)
    *_, tested = bench.generalize(visit.edit)
    assert isinstance(tested, Generalization)
    searches = list(bench.find_edit(*asked, visit.truth or 0))
    gone = session.without_cue(bench, visit, picture.rotate(90))
    return {
        "no edit": proofs.no_edit(),
        "headline": proofs.headline(visit, controls, rippled),
        "early headline": proofs.headline(visit),
        "chance": proofs.chance_words(controls),
        "dose": proofs.dose_words(response, visit.classes),
        "ripple": proofs.side_effects(rippled, shifted),
        "elsewhere": proofs.generalization(tested),
        "gone": proofs.counterfactual(visit, EVIL[1], gone, EVIL[0]),
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
    for name in ("headline", "chance", "ripple", "found"):
        assert "logits" in shown[name], name
    assert "%" in shown["elsewhere"]
    assert "%" in shown["gone"]
    assert "%" in shown["missed"]


def controls(effect: float, random: np.ndarray) -> Controls:
    return Controls(effect, random.astype(np.float32), np.linspace(-1, 1, 32), 0.0, Edit.of_suppressed([3]), 0.9)


def test_the_verdict_in_words() -> None:
    spread = np.linspace(-1, 1, 64)
    assert proofs.verdict(controls(-5.0, spread))[1] == "Beyond chance"
    assert proofs.verdict(controls(0.1, spread))[1] == "No better than chance"
    assert "No better than chance" in proofs.chance_words(controls(0.1, spread))
    assert proofs.verdict(controls(-5.0, spread[:10]))[1] == "Cannot be told"
    assert "Cannot be told" in proofs.chance_words(controls(-5.0, spread[:0]))


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


def test_charts_hold_the_numbers(bench: Workbench, visit: Visit) -> None:
    asked = (visit.trace, visit.classes, visit.templates, visit.target, visit.edit)
    *_, found = bench.controls(*asked)
    chart = charts.chance(found)
    assert np.array_equal(chart.data[0].x, found.random)
    assert np.array_equal(chart.data[1].x, found.directions)
    assert {line.x0 for line in chart.layout.shapes} == {found.effect, found.rival}
    assert "logits" in chart.layout.xaxis.title.text
    whole, suppressed, one_set = bench.responses(*asked)
    for response in (whole, suppressed, one_set):
        chart = charts.dose(response, visit.classes, visit.target, visit.edit)
        assert len(chart.data) == 1 + min(3, len(visit.classes) - 2)
        as_is = visit.attribution.value
        np.testing.assert_allclose(chart.data[0].y, response.target - as_is, atol=1e-4)
        assert all("<img" not in trace.name and "<script" not in trace.name for trace in chart.data)


def test_a_set_lever_is_compared_with_the_picture_as_it_is(bench: Workbench, visit: Visit) -> None:
    """At factor 1 a set lever sets: the change there is the edit's effect, not nothing."""
    edit = Edit((Lever(visit.parts[0].component, "set", 0.3),))
    asked = (visit.trace, visit.classes, visit.templates, visit.target, edit)
    (response,) = bench.responses(*asked)
    *_, found = bench.controls(*asked)
    chart = charts.dose(response, visit.classes, visit.target, edit)
    assert abs(found.effect) > 0.01
    assert chart.data[0].y[list(response.doses).index(1.0)] == pytest.approx(found.effect, abs=1e-4)
    assert "as you set them" in chart.layout.xaxis.title.text


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
    assert "–" in proofs.headline(v, None, rippled)
    assert "Side effect: <b>–" in proofs.side_effects(
        rippled, bench.attribution_changes(v.trace, classes, v.templates, v.attribution, edit)
    )


def progress(step: Step | Generalization) -> tuple[int, int]:
    """How many of how many pictures are read."""
    assert isinstance(step, tuple)
    _, done, total = step
    return done, total


def test_a_reading_that_failed_begins_anew(bench: Workbench) -> None:
    fresh = Workbench(bench.setup)

    def broken() -> Iterator[tuple[int, int]]:
        yield 0, 300
        raise MemoryError

    fresh._readings = broken()
    asking = fresh.generalize(Edit())
    assert progress(next(asking)) == (0, 300)
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
