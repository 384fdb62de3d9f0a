"""What a visitor asked of the components outlives changes of the picture, and not of the setup."""

from dataclasses import replace

import pytest

from core.errors import UserError
from core.methods.steering import Edit
from core.model.prompts import TEMPLATES
from core.pictures.examples import read_examples
from core.session import steering_effects
from core.session import visit as session
from core.session.component_search import FOUND, ComponentSearch, search
from core.session.visit import Visit
from core.setups.loading import load_setup
from core.workbench import Workbench

EXAMPLES = read_examples()


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return Workbench(load_setup("bundled"))


def visit_of(bench: Workbench, number: int = 0) -> Visit:
    e = EXAMPLES[number]
    return session.start(bench, e.file(), session.subject_of(e), e.classes, TEMPLATES["single"], e.truth)


@pytest.fixture(scope="module")
def v(bench: Workbench) -> Visit:
    return visit_of(bench)


def opened(v: Visit, component: int) -> Visit:
    return replace(v, search=v.search.open_page(component))


def test_a_search_by_words_or_by_a_picture(bench: Workbench) -> None:
    by_words = search(bench, ComponentSearch(), "  the word cat ", None)
    assert by_words.matches == bench.matches_words("the word cat", FOUND)
    assert by_words.asked == "“the word cat”"
    by_picture = search(bench, by_words, "the word cat", EXAMPLES[1].file())
    trace = bench.open(EXAMPLES[1].file())
    assert by_picture.matches == bench.matches_picture(trace.embedding, FOUND)
    assert search(bench, by_picture, "  ", None).matches is None
    with pytest.raises(UserError, match="characters"):
        search(bench, by_words, "x" * 300, None)
    assert search(bench, by_words.open_page(99), "cat", None).opened == 99, "a search leaves the page open"


def test_it_outlives_another_picture_and_no_other_setup(bench: Workbench, v: Visit) -> None:
    asked = replace(v, search=search(bench, v.search.open_page(99), "dog", None))
    other = session.after(asked, visit_of(bench, 3))
    assert other.search == asked.search
    assert session.ask(bench, asked, v.classes[:2], v.templates, None).search == asked.search
    assert session.change(bench, asked, Edit.of_suppressed([99])).search == asked.search
    another = Workbench(replace(bench.setup, card=replace(bench.card, name="another")))
    moved = session.change_setup(another, asked, EXAMPLES[0].file())
    assert moved.search == ComponentSearch(openings=1), "openings are counted on: the page tells them apart by it"
    back = session.change_setup(bench, moved, EXAMPLES[0].file())
    assert back.search == asked.search, "what was asked of a setup is there again when that is"


def test_effects_are_those_of_one_component_among_one_set_of_classes(bench: Workbench, v: Visit) -> None:
    asked = opened(v, 99)
    assert steering_effects.unmeasured(bench, asked, None)
    known = steering_effects.measure(bench, asked)
    assert steering_effects.known_for(asked, 99, known) == bench.steering_effects(99, v.classes, v.templates)
    assert not steering_effects.unmeasured(bench, asked, known)
    fewer = session.ask(bench, asked, v.classes[:3], v.templates, None)
    assert steering_effects.unmeasured(bench, fewer, known)
    assert steering_effects.unmeasured(bench, opened(v, 100), known)
    assert not steering_effects.unmeasured(bench, v, None), "no page is open"


def test_a_component_that_never_fired_is_not_measured(bench: Workbench, v: Visit) -> None:
    assert bench.index is not None
    silent = int((bench.index.active_pictures == 0).argmax())
    assert bench.concept(silent).dead
    assert not steering_effects.unmeasured(bench, opened(v, silent), None)


def test_without_an_index_nothing_is_measured(bench: Workbench, v: Visit) -> None:
    bare = Workbench(replace(bench.setup, index=None, index_trouble="It is <b>lost</b>."))
    assert not steering_effects.unmeasured(bare, opened(v, 99), None)


def test_a_whole_family_is_pulled_and_let_go_by_one_press(bench: Workbench, v: Visit) -> None:
    family = bench.family(99)
    assert family is not None
    assert len(family) > 10
    pulled = session.press(bench, v, 99, "family", True)
    assert {lever.component for lever in pulled.edit.levers} == set(family.members)
    assert pulled.edit.n_groups == 1
    assert pulled.comparison.flipped
    assert session.press(bench, pulled, 99, "family", False).edit == Edit()
    alone = next(c for c in range(800) if bench.family(c) is None)
    assert len(session.press(bench, v, alone, "family", True).edit.levers) == 1
