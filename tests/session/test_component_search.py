"""What a visitor asked of the components outlives changes of the picture, and not of the setup."""

from dataclasses import replace

import pytest

from core.errors import UserError
from core.methods.steering import Edit
from core.model.prompts import TEMPLATES
from core.pictures.examples import read_examples
from core.session import component_search as inquiries
from core.session import visit as session
from core.session.component_search import FOUND, Inquiry
from core.session.visit import Visit
from core.setups.loading import load_setup
from core.workbench import Workbench

EXAMPLES = read_examples()


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return Workbench(load_setup("bundled"))


@pytest.fixture(scope="module")
def bare(bench: Workbench) -> Workbench:
    """The same setup without its index."""
    return Workbench(replace(bench.setup, index=None, index_trouble="It is <b>lost</b>."))


def visit_of(bench: Workbench, number: int = 0) -> Visit:
    e = EXAMPLES[number]
    return session.start(bench, e.file(), session.subject_of(e), e.classes, TEMPLATES["single"], e.truth)


@pytest.fixture(scope="module")
def v(bench: Workbench) -> Visit:
    return visit_of(bench)


def test_a_search_by_words_or_by_a_picture(bench: Workbench, v: Visit) -> None:
    by_words = inquiries.search(bench, v, Inquiry(), "  the word cat ", None)
    assert by_words.matches == bench.matches_words("the word cat", FOUND) and by_words.asked == "“the word cat”"
    by_picture = inquiries.search(bench, v, by_words, "the word cat", EXAMPLES[1].file())
    trace = bench.open(EXAMPLES[1].file())
    assert by_picture.matches == bench.matches_picture(trace.embedding, FOUND)
    assert inquiries.search(bench, v, by_picture, "  ", None).matches is None
    with pytest.raises(UserError, match="characters"):
        inquiries.search(bench, v, by_words, "x" * 300, None)


def test_it_outlives_another_picture_and_no_other_setup(bench: Workbench, v: Visit) -> None:
    asked = inquiries.open_page(v, inquiries.search(bench, v, Inquiry(), "dog", None), 99)
    other = visit_of(bench, 3)
    assert inquiries.of(other, asked) == asked
    elsewhere = replace(v, setup="another")
    assert inquiries.of(elsewhere, asked).matches is None and inquiries.of(elsewhere, asked).opened is None
    assert inquiries.search(bench, v, asked, "cat", None).opened == 99, "a search leaves the page open"


def test_the_page_waits_for_what_is_pushed_and_tells_it_for_these_classes_only(bench: Workbench, v: Visit) -> None:
    asked = inquiries.open_page(v, Inquiry(), 99)
    assert inquiries.unmeasured(bench, v, asked, None)
    pushed = inquiries.measure(bench, v, asked)
    assert not inquiries.unmeasured(bench, v, asked, pushed)
    with_pushes, without = (inquiries.show_page(bench, v, asked, known) for known in (pushed, None))
    assert "Set to" in with_pushes and "Set to" not in without
    fewer = session.ask(bench, v, v.classes[:3], v.templates, None)
    assert inquiries.unmeasured(bench, fewer, asked, pushed)
    assert inquiries.unmeasured(bench, v, inquiries.open_page(v, asked, 100), pushed)
    assert not inquiries.unmeasured(bench, v, Inquiry(v.setup), None)


def test_a_component_that_never_fired_is_not_measured(bench: Workbench, v: Visit) -> None:
    assert bench.index is not None
    silent = int((bench.index.active_pictures == 0).argmax())
    assert bench.concept(silent).dead
    asked = inquiries.open_page(v, Inquiry(), silent)
    assert not inquiries.unmeasured(bench, v, asked, None)
    assert "ever fired" in inquiries.show_page(bench, v, asked, None)


def test_the_page_follows_the_edit(bench: Workbench, v: Visit) -> None:
    asked = inquiries.open_page(v, Inquiry(), 99)
    plain = inquiries.show_page(bench, v, asked, None)
    pulled = inquiries.show_page(bench, session.change(bench, v, Edit.of_suppressed([99])), asked, None)
    assert "Suppressed ✓" in pulled and "Suppressed ✓" not in plain


def test_a_whole_family_is_pulled_and_let_go_by_one_press(bench: Workbench, v: Visit) -> None:
    family = bench.family(99)
    assert family is not None and len(family) > 10
    pulled = session.press(bench, v, 99, "family", True)
    assert {lever.component for lever in pulled.edit.levers} == set(family.members) and pulled.edit.n_groups == 1
    assert pulled.comparison.flipped
    assert session.press(bench, pulled, 99, "family", False).edit == Edit()
    alone = next(c for c in range(800) if bench.family(c) is None)
    assert len(session.press(bench, v, alone, "family", True).edit.levers) == 1


def test_without_an_index_all_says_so(bare: Workbench, v: Visit) -> None:
    asked = inquiries.open_page(v, Inquiry(), 99)
    page = inquiries.show_page(bare, v, asked, None)
    assert "python -m core.indexing" in page and "It is &lt;b&gt;lost" in page
    assert inquiries.on_cards(bare, v) == {} and not inquiries.unmeasured(bare, v, asked, None)
    assert inquiries.page_faces(bare, v, asked) == "" and inquiries.show_found(bare, v, asked) == ""
    assert "Where it looks" in inquiries.show_look(bare, v)


def test_pictures_of_the_page_and_the_search_stand_in_sheets_of_their_own(bench: Workbench, v: Visit) -> None:
    asked = inquiries.search(bench, v, inquiries.open_page(v, Inquiry(), 99), "dog", None)
    for sheet, shown in (
        (inquiries.page_faces(bench, v, asked), inquiries.show_page(bench, v, asked, None)),
        (inquiries.found_faces(bench, v, asked), inquiries.show_found(bench, v, asked)),
    ):
        assert sheet.count("data:image/webp") > 10 and shown.count("data:image/webp") <= 1, "the visit's own picture"
