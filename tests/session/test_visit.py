"""A visitor's session: steps that keep what they should."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import tiny_sae
from PIL import Image
from scipy.stats import spearmanr

from core.errors import UserError
from core.methods.steering import MAX_LEVERS, Edit, Lever
from core.methods.targets import ClassTarget
from core.model.clip import SplitClip
from core.model.prompts import TEMPLATES
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary
from core.session import visit as session
from core.session.visit import Subject, Visit
from core.setups.catalog import Location, SetupSpec
from core.setups.loading import Setup
from core.workbench import Workbench

CLASSES = ("dog", "cat", "owl")
SINGLE = TEMPLATES["single"]


@pytest.fixture(scope="module")
def visit(bench: Workbench, picture: Image.Image) -> Visit:
    return session.start(bench, picture, Subject("a picture"), CLASSES, SINGLE, None)


@pytest.fixture(scope="module")
def other(clip: SplitClip) -> Workbench:
    """Another dictionary for the same CLIP."""
    card = SetupSpec("other", "Other", Location(Path("a")), Location(Path("b")), 1, "all", "MIT", "")
    return Workbench(Setup(card, SaeClip(clip, SaeDictionary(tiny_sae("jumprelu", seed=3), "all"))))


def test_start_answers_everything(visit: Visit) -> None:
    assert visit.edit == Edit()
    assert not visit.comparison.flipped
    order = visit.prediction.order
    assert visit.target == ClassTarget(int(order[0]), int(order[1]))
    assert visit.parts
    for part in visit.parts:
        assert part.total == pytest.approx(part.on_cls + part.heat.sum(), abs=1e-4)


def test_another_setup_is_asked_the_same(bench: Workbench, other: Workbench, picture: Image.Image) -> None:
    start = session.start(bench, picture, Subject("a picture"), CLASSES, SINGLE, CLASSES[1])
    pulled = session.change(bench, start, Edit.of_suppressed(start.attribution.ranked()[:2].tolist()))
    moved = session.change_setup(other, pulled, picture)
    fresh = session.start(other, picture, Subject("a picture"), CLASSES, SINGLE, CLASSES[1])
    assert moved.setup == other.card.name != pulled.setup == bench.card.name
    expected = replace(fresh, revision=pulled.revision + 1, searches={pulled.setup: pulled.search})
    assert moved == expected, "no lever: its components are others"


def test_measured_effects_come_after_the_predictions(bench: Workbench, visit: Visit) -> None:
    assert visit.agreement is None
    assert all(part.measured is None for part in visit.parts)
    measured = session.measure(bench, visit)
    for part in measured.parts:
        removed = bench.compare(visit.trace, Edit.of_suppressed([part.component]), CLASSES, SINGLE)
        wanted, against = visit.target.classes
        lost = removed.logit_change[against] - removed.logit_change[wanted]
        assert part.measured == pytest.approx(float(lost), abs=1e-4)
    predicted, effects = zip(*((part.total, part.measured) for part in measured.parts), strict=True)
    assert measured.agreement == pytest.approx(spearmanr(predicted, effects).statistic)


def test_the_target_follows_the_truth(bench: Workbench, visit: Visit) -> None:
    first, second, third = (int(k) for k in visit.prediction.order)
    said = {k: session.ask(bench, visit, CLASSES, SINGLE, CLASSES[k].upper()) for k in (first, third)}
    assert said[first].target == ClassTarget(first, second)
    assert said[first].truth == first
    assert said[third].target == ClassTarget(first, third)
    # What a cue speaks for is compared with where it did not win.
    right, wrong = (
        session.start(bench, visit.trace.crop, Subject("x"), CLASSES, SINGLE, CLASSES[truth], CLASSES[third])
        for truth in (first, second)
    )
    assert (right.target, wrong.target) == (ClassTarget(first, third), ClassTarget(first, second))
    alone = session.ask(bench, visit, ("dog",), SINGLE, "dog")
    assert alone.target == ClassTarget(0, None)


def test_other_classes_keep_the_levers(bench: Workbench, visit: Visit) -> None:
    pulled = session.change(bench, visit, Edit.of_suppressed([visit.parts[0].component]))
    asked = session.ask(bench, pulled, ("owl", "bus"), TEMPLATES["ensemble"], None)
    assert asked.edit == pulled.edit
    assert asked.history == pulled.history
    assert asked.comparison == bench.compare(visit.trace, pulled.edit, ("owl", "bus"), TEMPLATES["ensemble"])


def test_another_picture_keeps_what_was_set(bench: Workbench, visit: Visit) -> None:
    pulled = session.change(bench, visit, Edit.of_suppressed([visit.parts[0].component]))
    grey = session.look_at(bench, pulled, np.full((40, 40, 3), 128, np.uint8), Subject("grey"))
    assert (grey.edit, grey.target, grey.classes) == (pulled.edit, pulled.target, pulled.classes)
    assert grey.revision > pulled.revision
    assert grey.trace != pulled.trace
    new = session.after(pulled, session.start(bench, np.zeros((9, 9), np.uint8), Subject("x"), CLASSES, SINGLE, None))
    assert new.edit == Edit()
    assert new.revision > pulled.revision


def test_undo_and_redo_measure_again(bench: Workbench, visit: Visit) -> None:
    pulled = session.change(bench, visit, Edit.of_suppressed([visit.parts[0].component]))
    back = session.undo(bench, pulled)
    assert back.edit == Edit()
    assert back.comparison == visit.comparison
    assert session.redo(bench, back).comparison == pulled.comparison
    assert back.revision > pulled.revision > visit.revision


def test_late_and_outdated_messages_are_not_accepted(visit: Visit) -> None:
    told = session.accept_message(visit, "levers", visit.revision, 5.0)
    assert told is not None
    assert session.accept_message(told, "levers", visit.revision, 5.0) is None
    assert session.accept_message(told, "levers", visit.revision + 1, 9.0) is None
    assert session.accept_message(told, "patches", visit.revision, 1.0) is not None


def test_moving_levers_does_not_void_their_messages(bench: Workbench, visit: Visit) -> None:
    moved = session.pull(bench, visit, Edit((Lever(3, "scale", 2.0),)), gesture=1.0)
    assert moved.revision == visit.revision


def test_a_component_that_is_not_shown_has_a_part(visit: Visit) -> None:
    active = set(visit.trace.activations.components().tolist())
    silent = next(j for j in range(visit.trace.activations.n_components) if j not in active)
    part = visit.part(silent)
    assert part.total == 0
    assert part.peak == 0
    assert not part.heat.any()
    assert part.measured is None
    hidden = active - {part.component for part in visit.parts}
    for component in hidden:
        assert visit.part(component).total == visit.attribution.total_of(component)


def test_afterwards_explains_the_steered_picture(bench: Workbench, visit: Visit) -> None:
    assert session.afterwards(bench, visit) == (visit.trace, visit.attribution)
    component = visit.parts[0].component
    pulled = session.change(bench, visit, Edit.of_suppressed([component]))
    trace, attribution = session.afterwards(bench, pulled)
    assert attribution.total_of(component) == 0
    logits, (wanted, against) = pulled.comparison.after.logits, visit.target.classes
    assert attribution.value == pytest.approx(float(logits[wanted] - logits[against]), abs=1e-3)
    assert session.contributions(trace, attribution).sum() == pytest.approx(attribution.total.sum(), abs=1e-3)


def test_trouble_leaves_the_visit_as_it_was(bench: Workbench, visit: Visit) -> None:
    before = visit.edit, visit.revision, visit.comparison
    with pytest.raises(UserError):
        session.set_target(bench, visit, ClassTarget(0, 0))
    with pytest.raises(UserError):
        session.change(bench, visit, Edit.of_suppressed([10_000]))
    assert (visit.edit, visit.revision, visit.comparison) == before


def test_the_counterfactual_beside_the_edit(bench: Workbench, picture: Image.Image, visit: Visit) -> None:
    same = session.without_cue(bench, visit, picture)
    assert same.cosine == pytest.approx(1, abs=1e-5)
    assert same.prediction.best == visit.prediction.best
    edited = session.change(bench, visit, Edit.of_suppressed([visit.parts[0].component]))
    gone = session.without_cue(bench, edited, picture)
    assert gone.cosine == pytest.approx(edited.comparison.cosine, abs=1e-5)
    with pytest.raises(UserError):
        session.without_cue(bench, visit, b"no picture")


def test_more_levers_than_256_are_refused_with_their_number(bench: Workbench, visit: Visit) -> None:
    """By every way that leads to an edit; that there are not so many components is not what is said."""
    many = Edit.of_suppressed(range(MAX_LEVERS + 1))
    steps = (
        lambda: session.change(bench, visit, many),
        lambda: session.pull(bench, visit, many, 1.0),
        lambda: session.begin(bench, visit.trace, visit.subject, CLASSES, SINGLE, None, edit=many),
    )
    for step in steps:
        with pytest.raises(UserError, match="These are 257 levers. Keep at most 256"):
            step()


def test_why_two_pictures_are_alike(bench: Workbench, visit: Visit, picture: Image.Image) -> None:
    """The visit's own numbers, of a picture compared with: before, after an edit, and when it is taken away again."""
    second = session.second_picture(bench, picture.rotate(90), Subject("Another."))
    alike = session.compare_with(bench, visit, second)
    assert alike.about_second
    z, v = (bench.trace(crop).embedding.astype(float) for crop in (visit.trace.crop, second.crop))
    cosine = 100 * z @ v / (np.linalg.norm(z) * np.linalg.norm(v))
    assert alike.attribution.value == pytest.approx(cosine, abs=1e-3)
    assert alike.moved == pytest.approx((cosine, cosine), abs=1e-3)
    assert {part.unit for part in alike.parts} == {"hundredths of cosine"}
    component = alike.parts[0].component
    (measured,) = (p.measured for p in session.measure(bench, alike).parts if p.component == component)
    pulled = session.change(bench, alike, Edit.of_suppressed([component]))
    was, now = pulled.moved
    assert was - now == pytest.approx(measured, abs=1e-3)
    after = bench.steer(visit.trace, pulled.edit).embedding.astype(float)
    assert now == pytest.approx(100 * after @ v / (np.linalg.norm(after) * np.linalg.norm(v)), abs=1e-3)
    assert session.afterwards(bench, pulled)[1].value == pytest.approx(now, abs=1e-3)
    assert session.ask(bench, pulled, ("dog", "cat"), SINGLE, None).target == second.target
    apart = session.without_second(bench, pulled)
    assert (apart.second, apart.edit) == (None, pulled.edit)
    assert apart.target == pulled.class_target == session.target_for(visit.prediction, visit.truth)
    offered = session.set_target(bench, alike, ClassTarget(0))
    assert not offered.about_second
    assert session.without_second(bench, offered).target == ClassTarget(0)


def test_a_second_picture_stays_where_it_can(bench: Workbench, visit: Visit, picture: Image.Image) -> None:
    second = session.second_picture(bench, picture.rotate(90), Subject("Another."))
    alike = session.compare_with(bench, visit, second)
    assert session.look_at(bench, alike, picture.rotate(180), Subject("x")).target == second.target
    anew = session.after(alike, session.start(bench, picture, Subject("x"), CLASSES, SINGLE, None))
    assert (anew.second, anew.about_second) == (second, False)
    moved = session.change_setup(bench, alike, picture, picture.rotate(90))
    assert (moved.second, moved.about_second) == (second, True)
    moved = session.change_setup(bench, session.set_target(bench, alike, ClassTarget(0)), picture)
    assert (moved.second, moved.about_second) == (second, False)
