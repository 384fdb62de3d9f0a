"""Reference pictures that come while the page answers: told how far, and drawn when there are more."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import EVIL, opening_visit
from held_pictures import HeldPictures, held_pictures
from plain_text import plain

from core.background import Job
from core.concepts.growth import Growth
from core.concepts.index import ConceptIndex
from core.page.components_tab import NAME, NOTHING, follow
from core.page.context import Context
from core.page.index_growth import show_growth, show_more
from core.page.press import press
from core.page.replies import Outcome
from core.page.setup_bar import show_page
from core.page.wire import OpenTab, PressComponent
from core.serving import settings as serving
from core.serving.index_builder import IndexBuilder
from core.serving.settings import Settings, make_pool
from core.session.cancellation import LatestOnly
from core.session.visit import Visit
from core.setups.catalog import SetupSpec
from core.views.growth import growth


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HeldPictures]:
    with held_pictures(monkeypatch, tmp_path, 14, 30) as held:
        yield held


@pytest.fixture
def growing_context(context: Context, held: HeldPictures) -> Context:
    """The page's setups, loaded already, of which those without an index get one from what is held."""
    setups = {name: context.pool.get(name).setup for name in ("bundled", "tiny")}
    given = Settings.from_environment({})

    def loader(card: SetupSpec, *, tell: object) -> object:
        return setups[card.name]

    pool = make_pool(given, {name: context.pool.cards[name] for name in setups}, loader=loader)  # type: ignore[arg-type]
    builder = IndexBuilder(held)
    pool._make = serving._with_index(pool._make, builder)
    return Context.of(pool)


def test_faces_come_while_the_page_answers(growing_context: Context, held: HeldPictures) -> None:
    context = growing_context
    v = opening_visit(context, "tiny")
    assert held.reached[14].wait(60)
    bench = context.bench(v)

    told = show_growth(context, v)
    assert 'data-setup="tiny" data-shown="1"' in told
    assert "drawn for tests (licence: cc-by-4.0)" in plain(told)
    assert held.pictures not in told, "where a folder lies on the server is nobody's business"
    assert "12 of 37" in plain(told)
    assert "Shown: from 7 of them; label guesses and families come last" in plain(told)
    early = show_more(context, v)
    assert early["searching"]
    assert "data:image/webp" in str(early["sheet"])
    assert 'class="strip"' in str(early["rows"])
    assert "over 7 pictures of drawn for tests" in plain(str(early["setup"]))

    pressed = press(context, v, PressComponent(component=v.parts[0].component, action="suppress", on=True))
    assert isinstance(pressed, Visit), "the page answers meanwhile"
    assert [lever.component for lever in pressed.edit.levers] == [v.parts[0].component]

    held.go[14].set()
    assert held.reached[30].wait(60)
    assert 'data-shown="2"' in show_growth(context, v)
    assert show_more(context, v) != early, "whoever asks later sees more"
    held.go[30].set()
    assert bench.making is not None
    for _ in bench.making.follow():
        pass
    assert show_growth(context, v) == '<div role="status" data-setup="tiny" data-shown="3" data-over=yes></div>'
    assert "over 32 pictures of drawn for tests (licence: cc-by-4.0)" in plain(show_page(context, v))
    opened = press(context, v, PressComponent(component=v.parts[0].component, action="open", on=True))
    assert isinstance(opened, Outcome)
    first, _ = follow(context, opened.visit, OpenTab(tab=NAME, moment=1.0), NOTHING, None, LatestOnly())
    shown = first["page"]
    assert "Concept index over 32 pictures of drawn for tests (drawn). Their licence: cc-by-4.0." in plain(shown)


def test_what_stands_on_the_components_tab_is_drawn_again_when_there_is_more(
    growing_context: Context, held: HeldPictures
) -> None:
    context = growing_context
    v = opening_visit(context, "tiny")
    assert held.reached[14].wait(60)
    here = OpenTab(tab=NAME, moment=1.0)
    (drawn,) = (step["drawn"] for step in follow(context, v, here, NOTHING, None, LatestOnly()))
    assert list(follow(context, v, here, drawn, None, LatestOnly())) == []
    held.go[14].set()
    assert held.reached[30].wait(60)
    (again,) = follow(context, v, here, drawn, None, LatestOnly())
    assert {"found", "page", "drawn"} == again.keys()


@pytest.mark.parametrize("trouble", ["", EVIL[1]])
def test_names_out_of_data_sets_stay_text(index: ConceptIndex, trouble: str) -> None:
    making: Job[Growth, None] = Job("making", lambda tell: tell(Growth(EVIL[0], EVIL[1], 3, 7, shown=1)))
    making.start()
    for _ in making.follow():
        pass
    making.over, making.trouble = bool(trouble), trouble
    told = growth(EVIL[0], making, index)
    assert "<img" not in told
    assert "<script" not in told
    assert (EVIL[1] if trouble else EVIL[0]) in plain(told)


def test_a_setup_with_an_index_tells_nothing(growing_context: Context) -> None:
    assert show_growth(growing_context, opening_visit(growing_context, "bundled")) == ""
