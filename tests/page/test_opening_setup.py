"""Opening of the page: at once, with progress; then new visitors get the page's own setup, and old ones keep theirs."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from core import background
from core.methods.steering import Edit
from core.page import layout, setup_bar
from core.page.context import Context
from core.page.inputs import TypedBlocks
from core.page.keeper import bring_back, setup_named
from core.page.open_link import OTHER_COMMITS
from core.page.replies import Outcome
from core.page.setup_bar import LEFT_BEHIND, following, loading_first, show_opening, take
from core.page.visit_state import serialised
from core.page.wire import BringBack
from core.serving.api import Programs
from core.serving.settings import Settings, make_pool
from core.session import visit as session
from core.session.visit import Visit
from core.setups.catalog import SetupSpec
from core.setups.loading import Loading, Setup, load

PATIENCE = 60
"""Seconds."""


class Slow:
    """A loader whose published setups stop before their health check, until they are let go."""

    def __init__(self, there: Mapping[str, Setup]) -> None:
        self.there, self.let_go = there, threading.Event()

    def __call__(self, card: SetupSpec, *, tell: Callable[[Loading], None]) -> Setup:
        if card.name != "bundled":
            tell(Loading("Downloading <b>somewhere</b>", 5 * 10**6, 10**7, in_bytes=True))
            tell(Loading("Checking it on 18 photographs", 3, 18))
            assert self.let_go.wait(PATIENCE)
            tell(Loading("Reading its concept index"))
        return self.there[card.name] if card.name in self.there else load(card)


@pytest.fixture
def slow(context: Context) -> Iterator[Slow]:
    found = Slow({name: context.pool.get(name).setup for name in ("bundled", "tiny")})
    yield found
    found.let_go.set()


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "LOOKS", 0.001)


def page_for(slow: Slow, cards: Mapping[str, SetupSpec], name: str) -> tuple[TypedBlocks, Context]:
    """The page that is meant to open with that setup, and its context."""
    contexts: list[Context] = []
    of = Context.of

    def kept(*given: Any) -> Context:
        contexts.append(of(*given))
        return contexts[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Context, "of", kept)
        page = layout.build(make_pool(Settings.from_environment({}), cards, loader=slow), name)
    return page, contexts[0]


def begin(page: TypedBlocks) -> None:
    for job in page.jobs:
        job.start()


def end(page: TypedBlocks) -> None:
    for job in page.jobs:
        assert list(job.follow()) is not None
        assert job.over


def drawn(page: gr.Blocks) -> dict[str, Any]:
    """What a page is told that opens, by the parts' names."""
    parts = page.get_config_file()["components"]
    return {part["props"]["elem_id"]: part["props"] for part in parts if part["props"].get("elem_id")}


def begun(page: gr.Blocks) -> Visit:
    """The visit of somebody who comes now."""
    (kept, *_) = (one for one in page.blocks.values() if isinstance(one, gr.State) and callable(one.value))
    return SessionState(page)[kept._id]


def test_the_page_is_there_before_its_setup_and_new_visitors_then_open_with_that(
    slow: Slow, cards: Mapping[str, SetupSpec], context: Context, first: Visit, tiny: Visit
) -> None:
    page, shared = page_for(slow, cards, "tiny")
    assert begun(page).setup == "bundled"
    assert "Tiny &lt;tiny&gt; is loading." in drawn(page)["opening"]["value"]
    begin(page)
    assert shared.opening.now == "bundled"
    slow.let_go.set()
    end(page)
    assert shared.opening.now == "tiny"
    assert begun(page).setup == "tiny"
    assert begun(page).subject.example == "coffee-note-ipod"
    now, at_once = drawn(page), drawn(layout.build(context.pool, "tiny"))
    assert now.keys() == at_once.keys()
    differing = [
        f"{name}.{prop}: {now[name].get(prop)!r}, not {at_once[name].get(prop)!r}"
        for name in now
        for prop in now[name] | at_once[name]
        if (now[name].get(prop) or None) != (at_once[name].get(prop) or None)
    ]
    assert "\n".join(differing) == ""


def test_how_far_it_is_is_told_without_a_thread_until_it_is_there(
    slow: Slow, cards: Mapping[str, SetupSpec], first: Visit
) -> None:
    page, context = page_for(slow, cards, "tiny")
    begin(page)
    told: list[str] = []

    async def watch() -> None:
        before = threading.active_count()
        async for one in following(context):
            told.append(one)
            assert threading.active_count() <= before
            if "3 of 18" in one:
                slow.let_go.set()

    asyncio.run(asyncio.wait_for(watch(), PATIENCE))
    assert any("Checking it on 18 photographs" in one and "Bundled demo answers meanwhile" in one for one in told)
    assert not any("<b>somewhere" in one for one in told)
    end(page)
    assert "data-take-ready" in show_opening(context, first)
    assert "is loaded and checked" in show_opening(context, first)


def test_who_has_begun_keeps_the_visit_and_moves_at_a_press(
    slow: Slow, cards: Mapping[str, SetupSpec], first: Visit, tiny: Visit
) -> None:
    page, context = page_for(slow, cards, "tiny")
    slow.let_go.set()
    begin(page)
    end(page)
    pulled = session.change(context.bench(first), first, Edit.of_suppressed([first.parts[0].component]))
    moved = take(context, pulled, None)
    assert isinstance(moved, Outcome)
    assert moved.notes == (LEFT_BEHIND,)
    assert (moved.visit.setup, moved.visit.classes) == ("tiny", first.classes)
    assert "notice" not in setup_bar._still_told(context, pulled, moved.visit), "it is told no longer"
    assert take(context, moved.visit, None) is moved.visit
    assert "notice" not in show_opening(context, tiny)


@pytest.mark.parametrize(
    ("name", "words"), [("lost", "nowhere"), ("random", "of the variance"), ("nosuch", "Choose one of")]
)
def test_one_that_cannot_be_had_leaves_the_page_as_it_is_and_says_why(
    slow: Slow, cards: Mapping[str, SetupSpec], first: Visit, name: str, words: str
) -> None:
    page, context = page_for(slow, cards, name)
    slow.let_go.set()
    begin(page)
    end(page)
    assert (context.opening.now, context.opening.meant) == ("bundled", "bundled")
    for said in (show_opening(context, first), drawn(page)["opening"]["value"]):
        assert words in said
        assert "Bundled demo answers instead." in said
    assert begun(page).setup == "bundled"


def test_nothing_is_loaded_where_the_bundled_setup_is_meant_or_the_other_is_there(context: Context) -> None:
    for name in ("bundled", "tiny"):
        page = layout.build(context.pool, name)
        assert page.jobs == []
        assert "data-loading" not in drawn(page)["opening"]["value"]


def test_a_program_that_names_no_setup_waits_for_the_one_that_is_meant(
    slow: Slow, cards: Mapping[str, SetupSpec]
) -> None:
    page, context = page_for(slow, cards, "tiny")
    ask = Programs(context.pool, lambda: context.opening.meant)
    begin(page)
    found: list[Any] = []
    program = threading.Thread(
        target=lambda: found.append(ask.predict(str(context.examples[0].file()), "dog, cat")), daemon=True
    )
    program.start()
    at_once = ask.predict(str(context.examples[0].file()), "dog, cat", setup="bundled")
    assert at_once["setup"]["name"] == "bundled"
    assert found == []
    slow.let_go.set()
    program.join(PATIENCE)
    assert [one["setup"]["name"] for one in found] == ["tiny"]


@pytest.mark.parametrize("by", ["link", "link without a setup", "kept page"])
def test_what_names_the_setup_while_it_is_loading_opens_as_soon_as_it_is_there(
    slow: Slow, cards: Mapping[str, SetupSpec], first: Visit, tiny: Visit, by: str
) -> None:
    page, context = page_for(slow, cards, "tiny")
    begin(page)
    component = tiny.parts[0].component
    there = session.changed(tiny, session.change(context_of_tiny(slow, cards).bench(tiny), tiny, Edit()))
    link = {"link": "setup=tiny&", "link without a setup": "", "kept page": None}[by]
    link = None if link is None else f"{link}example=dog-note-cat&suppress={component}"
    state = serialised(context_of_tiny(slow, cards), there) if link is None else serialised(context, first)
    asked = BringBack(state=state, crop="", pressed=False, link=link or "")
    said = gr.HTML(render=False)
    assert setup_named(context, asked) == "tiny"
    told = loading_first(context, "tiny", said)
    sentence = next(told)[said]
    assert "Tiny &lt;tiny&gt; is loading." in sentence
    assert "comes as soon as it is there" in sentence
    slow.let_go.set()
    list(told)
    outcome = bring_back(context, first, asked)
    assert outcome.visit.setup == "tiny"
    assert OTHER_COMMITS not in outcome.notes
    if link is not None:
        assert [lever.component for lever in outcome.visit.edit.levers] == [component]
    end(page)


def context_of_tiny(slow: Slow, cards: Mapping[str, SetupSpec]) -> Context:
    """A context in which the setup is there."""
    pool = make_pool(Settings.from_environment({}), cards, loader=lambda card, *, tell: slow.there[card.name])
    pool.get("tiny")
    return replace(Context.of(pool, "tiny"))
