"""A CLIP without a dictionary on the page: components are named by their words, found by them, and pulled as any."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import CLASSES
from PIL import Image
from plain_text import plain
from unsplit_places import words_at

from core.errors import UserError
from core.methods.steering import Edit, Lever
from core.page.attribution_tab import show_rows, show_target, show_waterfall
from core.page.components_tab import search, search_words, show_found, show_page
from core.page.context import Context
from core.page.faces import of_parts
from core.page.side_panel import show_canvas
from core.page.steering_tab import show_levers
from core.page.wire import AskWords
from core.recipes.making import make_recipe
from core.serving.api import Programs
from core.serving.settings import Settings, make_pool
from core.session import visit as session
from core.session.visit import Subject, Visit
from core.setups.catalog import Location, SetupSpec
from core.setups.loading import Setup
from core.views.tables import contribution_rows

SINGLE = ("a photo of a {}",)


@pytest.fixture(scope="module", params=["clip", "siglip"])
def page(request: pytest.FixtureRequest) -> Context:
    model = words_at(request.param)
    place, words = Location(Path("clip")), Location(Path("words"), file="words.txt")
    card = SetupSpec("own", "Own", place, words, 0, "cls", "MIT", "words", kind="words", place="embedding")
    pool = make_pool(Settings.from_environment({}), {"own": card}, loader=lambda card, tell: Setup(card, model))
    return Context.of(pool)


@pytest.fixture(scope="module")
def v(page: Context, picture: Image.Image) -> Visit:
    bench = page.pool.get("own")
    begun = session.start(bench, picture, Subject("noise"), CLASSES, SINGLE, None)
    return session.change(bench, begun, Edit((Lever(begun.parts[0].component),)))


def test_rows_and_levers_say_the_word_and_no_guess(page: Context, v: Visit) -> None:
    bench = page.pool.get("own")
    rows, levers = show_rows(page, v), show_levers(page, v)
    for part in v.parts:
        word = f'<span class="word">“{bench.word(part.component)}”</span>'
        assert word in rows
        assert (word in levers) == (part.component == v.edit.levers[0].component)
    assert "guess" not in rows + levers
    assert 'data-action="open"' not in rows, "there is no page of a word without an index"


def test_what_is_left_is_what_the_words_miss(page: Context, v: Visit) -> None:
    told = plain(show_target(page, v)), plain(show_waterfall(page, v))
    for part in told:
        assert "words miss" in part
        assert "SAE" not in part


def test_tables_call_it_a_word(page: Context, v: Visit) -> None:
    bench = page.pool.get("own")
    heads, first, *_ = contribution_rows(v, of_parts(bench, v))
    assert heads[1] == "word"
    assert first[1] == bench.word(v.parts[0].component)


def test_words_are_searched_for(page: Context, v: Visit) -> None:
    found = search_words(page, v, AskWords(words="bk", moment=1.0))
    assert found.search.matches is not None
    assert page.pool.get("own").word(found.search.matches[0].component) == "bk"
    assert "“bk”" in plain(show_found(page, found))


def test_a_picture_is_answered_by_its_words(page: Context, v: Visit, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    found = search(page, v, "", str(tmp_path / "a.png"))
    trace = page.pool.get("own").open(tmp_path / "a.png")
    assert found.search.matches is not None
    assert found.search.matches[0].component == int(trace.activations.component[trace.activations.value.argmax()])


def test_programs_are_answered_and_told_the_words(page: Context, v: Visit, tmp_path: Path) -> None:
    Image.fromarray(v.trace.crop).save(tmp_path / "a.png")
    bench, ask = page.pool.get("own"), Programs(page.pool, lambda: "own")
    found = ask.attribute(str(tmp_path / "a.png"), ",".join(CLASSES), shown=3)
    assert found["picture"] is None, "there is no map"
    assert [one["word"] for one in found["for"]] == [bench.word(one["component"]) for one in found["for"]]
    assert found["for"]
    assert json.dumps(found)
    (match,) = ask.search("bk", shown=1)["found"]
    assert match["word"] == "bk"
    assert ask.component(match["component"])["word"] == "bk"
    with pytest.raises(UserError, match="no concept index"):
        ask.component(bench.setup.dictionary.n_components)


def test_what_there_is_not_is_said(page: Context, v: Visit) -> None:
    shown = show_page(page, v, None)
    told = plain(shown)
    assert "no reference pictures, no families" in told
    assert "no guesses" not in told
    assert "no-index" not in shown, "beside that the search would be hidden, and words are found without an index"
    assert "map" in plain(show_canvas(page, v))
    with pytest.raises(UserError, match="A recipe is of an edit of a CLIP's residual stream"):
        make_recipe(page.pool.get("own").setup, v.edit, CLASSES, SINGLE, v.class_target, title="no")
