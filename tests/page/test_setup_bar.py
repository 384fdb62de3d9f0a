"""The setup bar: a setup that is chosen is loaded once, told once, and used; one that cannot be changes nothing."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import UserError
from core.methods.steering import Edit
from core.page.context import Context
from core.page.replies import Change, Outcome
from core.page.setup_bar import LEFT_BEHIND, Failure, Progress, load, show_line, show_page, stop_loading, use
from core.session import visit as session
from core.session.cancellation import LatestOnly
from core.session.visit import Visit
from core.setups.loading import Loading


@pytest.fixture
def loading() -> LatestOnly[Progress]:
    return LatestOnly()


@pytest.fixture
def slow(context: Context) -> tuple[Context, list[str]]:
    """A page whose setups take three steps to load; and what was asked for."""
    asked = []

    def bring(name: str) -> Iterator[Any]:
        asked.append(name)
        yield from (Loading("Downloading", megabyte, 3) for megabyte in range(3))
        yield "the setup"

    return replace(context, pool=SimpleNamespace(bring=bring, cards=context.pool.cards)), asked  # type: ignore[arg-type]


def test_a_loading_tells_how_far_it_is_and_clears_that(
    slow: tuple[Context, list[str]], first: Visit, loading: LatestOnly[Progress]
) -> None:
    *told, last = load(slow[0], first, "tiny", loading)
    assert [one["busy"] for one in told] == [True] * 3
    assert "1 of 3" in told[1]["said"]
    assert "The present setup answers meanwhile" in told[0]["said"]
    assert not last["busy"]
    assert last["failed"] is None
    assert "notice" not in last["said"]


def test_a_choice_that_is_told_twice_is_loaded_once(
    slow: tuple[Context, list[str]], first: Visit, loading: LatestOnly[Progress]
) -> None:
    """Gradio tells of a choice by mouse twice: the second loading wiped away what the first had led to."""
    context, asked = slow
    once = load(context, first, "tiny", loading)
    assert next(once)["busy"]
    assert list(load(context, first, "tiny", loading)) == []
    *_, last = once
    assert asked == ["tiny"]
    assert not last["busy"]
    assert list(load(context, first, "tiny", loading)), "later it can be chosen again"


def test_who_leaves_a_loading_can_choose_it_again(
    slow: tuple[Context, list[str]], first: Visit, loading: LatestOnly[Progress]
) -> None:
    left = load(slow[0], first, "tiny", loading)
    next(left)
    left.close()  # type: ignore[attr-defined]
    assert next(load(slow[0], first, "tiny", loading))["busy"]


def test_another_choice_ends_a_loading_which_then_tells_of_the_other(
    slow: tuple[Context, list[str]], first: Visit, loading: LatestOnly[Progress]
) -> None:
    older = load(slow[0], first, "tiny", loading)
    next(older)
    newer = load(slow[0], first, "random", loading)
    told = next(newer)
    assert list(older) == [told], "the page keeps what comes last"


def test_a_setup_that_is_there_has_nothing_to_tell(
    context: Context, tiny: Visit, loading: LatestOnly[Progress]
) -> None:
    assert list(load(context, tiny, "bundled", loading)) == []
    assert loading.about is None


@pytest.mark.parametrize(("name", "words"), [("lost", "nowhere"), ("random", "of the variance"), ("nosuch", "tiny")])
def test_one_that_cannot_be_loaded_changes_nothing(
    context: Context, first: Visit, loading: LatestOnly[Progress], name: str, words: str
) -> None:
    *_, told = load(context, first, name, loading)
    failed = told["failed"]
    assert failed is not None
    assert failed.setup == name
    assert words in failed.sentence
    assert failed.sentence.endswith("Bundled demo stays.")
    assert not told["busy"]
    with pytest.raises(UserError, match="Bundled demo stays"):
        use(context, first, name, failed, None)


def test_stopping_says_what_stays(slow: tuple[Context, list[str]], first: Visit, loading: LatestOnly[Progress]) -> None:
    on_its_way = load(slow[0], first, "tiny", loading)
    next(on_its_way)
    told = stop_loading(slow[0], first, loading)
    assert told["chosen"] == "bundled"
    assert not told["busy"]
    assert "Stopped. Bundled demo stays" in told["said"]
    (last,) = on_its_way
    assert last["said"] == told["said"]


def test_the_setup_that_was_loaded_is_asked_the_same(context: Context, tiny: Visit) -> None:
    pulled = session.change(context.bench(tiny), tiny, Edit.of_suppressed([int(tiny.attribution.ranked()[0])]))
    moved = use(context, pulled, "bundled", None, None)
    assert isinstance(moved, Outcome)
    assert moved.change is Change.SETUP
    assert moved.notes == (LEFT_BEHIND,)
    v = moved.visit
    assert (v.setup, v.classes, v.truth, v.edit) == ("bundled", tiny.classes, tiny.truth, Edit())
    assert "Bundled" in context.card(v).title
    assert show_line(context, v) != show_line(context, tiny)
    assert "Explained variance" in show_page(context, v)
    without = use(context, tiny, "bundled", Failure("random", "Not that one."), None)
    assert isinstance(without, Outcome)
    assert without.notes == ()


def test_one_that_is_not_there_yet_waits_for_its_own_loading(context: Context, first: Visit) -> None:
    assert use(context, first, "bundled", None, None) is first
    assert use(context, first, "lost", None, None) is first
