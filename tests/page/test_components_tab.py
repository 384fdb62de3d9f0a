"""The Components tab: the search, the page of a component, and what follows a change while it is in sight."""

import re
from dataclasses import replace

import pytest
from plain_text import plain

from core.errors import UserError
from core.methods.steering import Edit
from core.page.attribution_tab import show_rows
from core.page.components_tab import (
    NAME,
    NOTHING,
    follow,
    search,
    search_words,
    show_found,
    show_found_sheet,
    show_page,
    show_page_sheet,
)
from core.page.context import Context
from core.page.press import press
from core.page.replies import Outcome
from core.page.wire import AskWords, OpenTab, PressComponent
from core.session import steering_effects
from core.session import visit as session
from core.session.cancellation import LatestOnly
from core.session.visit import Visit


def opened(context: Context, v: Visit, component: int = 99) -> Visit:
    outcome = press(context, v, PressComponent(component=component, action="open", on=True))
    assert isinstance(outcome, Outcome)
    assert outcome.change is None
    return outcome.visit


def asked(words: str, moment: float = 1.0) -> AskWords:
    return AskWords(words=words, moment=moment)


def here(moment: float = 1.0) -> OpenTab:
    return OpenTab(tab=NAME, moment=moment)


def test_what_the_empty_page_tells_to_press_is_there(context: Context, first: Visit) -> None:
    told = plain(show_page(context, first, None))
    assert "Press a component’s number, here or in Attribution" in told
    found = show_found(context, search_words(context, first, asked("the word cat")))
    for shown in (show_rows(context, first), found):
        assert re.search(r'class="opens" data-component="(\d+)" data-action="open"\s[^>]*>#\1</button>', shown)


def test_a_search(context: Context, first: Visit) -> None:
    v = search_words(context, first, asked("the word cat"))
    assert "by match with “the word cat”" in plain(show_found(context, v))
    assert show_found_sheet(context, v).count("data:image/webp") > 10
    assert "data:" not in show_found(context, v)
    by_picture = search(context, v, "the word cat", str(context.examples[1].file()))
    assert by_picture.search.asked == "your picture"
    with pytest.raises(UserError, match="characters"):
        search_words(context, v, asked("x" * 300, 2.0))


def test_the_last_search_wins(context: Context, first: Visit) -> None:
    """What was asked before it and comes after it changes nothing."""
    v = search_words(context, first, asked("cat", 5.0))
    assert search_words(context, v, asked("ca", 4.0)) is v
    assert search_words(context, v, asked("cat", 5.0)) is v
    assert search_words(context, v, asked("cats", 6.0)).search.asked == "“cats”"
    assert search_words(context, v, asked(" ", 6.0)).search.matches is None


def test_searches_to_begin_with_are_of_words_that_the_setup_knows(context: Context, first: Visit) -> None:
    offered = re.findall(r'data-ask="(.*?)"', show_found(context, first))
    assert 3 <= len(offered) <= 6
    assert context.bench(first).unknown_words(tuple(offered)) == {}
    assert "written text" not in offered, "the bundled CLIP has seen neither word"
    assert re.findall(r'data-ask="(.*?)"', show_found(context, search_words(context, first, asked("cat")))) == offered


def test_the_page_waits_for_what_is_pushed_and_tells_it_for_these_classes_only(context: Context, first: Visit) -> None:
    v = opened(context, first)
    known = steering_effects.measure(context.bench(v), v)
    assert "Set to" in show_page(context, v, known)
    assert "Set to" not in show_page(context, v, None)
    fewer = session.ask(context.bench(v), v, v.classes[:3], v.templates, None)
    assert "Set to" not in show_page(context, fewer, known)
    assert show_page_sheet(context, v).count("data:image/webp") > 10
    assert "data:" not in show_page(context, v, known)


def test_a_lever_leaves_the_page_as_it_is(context: Context, first: Visit) -> None:
    v = opened(context, first)
    pulled = session.change(context.bench(v), v, Edit.of_suppressed([99]))
    assert show_page(context, pulled, None) == show_page(context, v, None)


def test_a_component_that_never_fired_says_so(context: Context, first: Visit) -> None:
    index = context.bench(first).index
    assert index is not None
    silent = int((index.active_pictures == 0).argmax())
    assert "ever fired" in show_page(context, opened(context, first, silent), None)


def test_without_an_index_all_says_so(context: Context, tiny: Visit) -> None:
    v = opened(context, tiny, 3)
    assert "python -m core.indexing" in show_page(context, v, None)
    assert show_page_sheet(context, v) == "" == show_found(context, v)


def test_what_follows_a_change_is_told_in_two_steps(context: Context, first: Visit) -> None:
    v = opened(context, first)
    at_once, later = follow(context, v, here(), NOTHING, None, LatestOnly())
    drawn = at_once.pop("drawn")
    assert at_once == {"found": show_found(context, v), "page": show_page(context, v, None)}
    known = later["effects"]
    assert known == steering_effects.measure(context.bench(v), v)
    assert "Set to" in later["page"]
    (again,) = follow(context, v, here(), NOTHING, known, LatestOnly())
    assert again["page"] == later["page"], "what is known is not measured again"
    assert list(follow(context, v, here(), drawn, known, LatestOnly())) == [], "nor drawn again where it stands"


def test_what_stands_there_is_drawn_again_for_another_question_and_not_for_a_lever(
    context: Context, first: Visit
) -> None:
    bench, v = context.bench(first), search_words(context, first, asked("cat"))
    (drawn,) = (step["drawn"] for step in follow(context, v, here(), NOTHING, None, LatestOnly()))
    pulled = session.change(bench, v, Edit.of_suppressed([99]))
    assert list(follow(context, pulled, here(), drawn, None, LatestOnly())) == []
    others = (
        session.ask(bench, v, v.classes[:3], v.templates, None),
        session.look_at(bench, v, context.examples[1].file(), v.subject),
        session.measure(bench, v),
    )
    for other in others:
        assert {"found", "page"} <= next(follow(context, other, here(), drawn, None, LatestOnly())).keys()


def test_a_search_leaves_the_open_page_as_it_is(context: Context, first: Visit) -> None:
    """What was unfolded or is being read there stays."""
    v = opened(context, first)
    known = steering_effects.measure(context.bench(v), v)
    (drawn,) = (step["drawn"] for step in follow(context, v, here(), NOTHING, known, LatestOnly()))
    searched = search_words(context, v, asked("cat"))
    (found,) = follow(context, searched, here(), drawn, known, LatestOnly())
    assert found.keys() == {"found", "drawn"}
    (page,) = follow(context, opened(context, searched), here(), found["drawn"], known, LatestOnly())
    assert page.keys() == {"page", "drawn"}


def test_nothing_follows_out_of_sight_or_out_of_date(context: Context, first: Visit) -> None:
    latest = LatestOnly[None]()
    assert list(follow(context, first, OpenTab(tab="Image", moment=5.0), NOTHING, None, latest)) == []
    assert list(follow(context, first, here(4.0), NOTHING, None, latest)) == []
    asked = follow(context, opened(context, first), here(6.0), NOTHING, None, latest)
    next(asked)
    list(follow(context, first, OpenTab(tab="Image", moment=7.0), NOTHING, None, latest))
    assert list(asked) == [], "whoever leaves the tab ends what is measured for it"


@pytest.mark.parametrize("action", ["suppress", "amplify", "family"])
def test_a_press_and_its_reverse(context: Context, first: Visit, action: str) -> None:
    pressed = press(context, first, PressComponent(component=99, action=action, on=True))  # type: ignore[arg-type]
    assert isinstance(pressed, Visit)
    assert pressed.edit.levers
    assert pressed.revision == first.revision + 1
    again = press(context, pressed, PressComponent(component=99, action=action, on=False))  # type: ignore[arg-type]
    assert isinstance(again, Visit)
    assert again.edit == Edit()


@pytest.mark.parametrize("action", ["open", "suppress", "amplify", "family"])
def test_a_component_that_is_not_there_gets_a_sentence(context: Context, first: Visit, action: str) -> None:
    with pytest.raises(UserError, match="no component"):
        press(context, first, PressComponent(component=10**6, action=action, on=True))  # type: ignore[arg-type]


def test_every_opening_counts(context: Context, first: Visit) -> None:
    twice = opened(context, opened(context, first))
    assert (twice.search.opened, twice.search.openings) == (99, 2)
    assert replace(twice, search=first.search) == first, "opening a page changes nothing else"
