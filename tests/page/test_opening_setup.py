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
from core.background import Job
from core.methods.steering import Edit
from core.page import layout, setup_bar
from core.page.context import Context
from core.page.inputs import TypedBlocks
from core.page.keeper import bring_back, setup_named
from core.page.opening import Opening
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


def loading(slow: Slow, cards: Mapping[str, SetupSpec], context: Context, name: str = "tiny") -> Context:
    """A page that is meant to open with that setup, which is being loaded, without its layout."""
    pool = make_pool(Settings.from_environment({}), cards, loader=slow)
    pool.get("bundled")
    found = replace(context, pool=pool, opening=Opening(pool, name))
    assert found.opening.job is not None
    found.opening.job.start()
    return found


def page_for(slow: Slow, cards: Mapping[str, SetupSpec], name: str) -> TypedBlocks:
    """The page that is meant to open with that setup."""
    return layout.build(make_pool(Settings.from_environment({}), cards, loader=slow), name)


def end(*jobs: Job[Any, Any]) -> None:
    for job in jobs:
        for _ in job.follow():
            pass


def drawn(page: gr.Blocks) -> dict[str, Any]:
    """What a page is told that opens, by the parts' names."""
    parts = page.get_config_file()["components"]
    return {part["props"]["elem_id"]: part["props"] for part in parts if part["props"].get("elem_id")}


def begun(page: gr.Blocks) -> Visit:
    """The visit of somebody who comes now."""
    (kept, *_) = (one for one in page.blocks.values() if isinstance(one, gr.State) and callable(one.value))
    return SessionState(page)[kept._id]


def test_the_page_is_there_before_its_setup_and_new_visitors_then_open_with_that(
    slow: Slow, cards: Mapping[str, SetupSpec], context: Context
) -> None:
    page = page_for(slow, cards, "tiny")
    (job,) = page.jobs
    assert begun(page).setup == "bundled"
    assert "Tiny &lt;tiny&gt; is loading." in drawn(page)["opening"]["value"]
    job.start()
    slow.let_go.set()
    end(job)
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


def test_how_far_it_is_is_told_until_it_is_there(
    slow: Slow, cards: Mapping[str, SetupSpec], context: Context, first: Visit
) -> None:
    context = loading(slow, cards, context)
    opening = context.opening
    assert (opening.now, opening.meant, opening.is_loading) == ("bundled", "tiny", True)
    told: list[str] = []

    async def watch() -> None:
        async for one in following(context):
            told.append(one)
            if "3 of 18" in one:
                slow.let_go.set()

    asyncio.run(asyncio.wait_for(watch(), PATIENCE))
    assert any("Checking it on 18 photographs" in one and "Bundled demo answers meanwhile" in one for one in told)
    assert not any("<b>somewhere" in one for one in told)
    assert opening.job is not None
    end(opening.job)
    assert (opening.now, opening.meant, opening.is_loading) == ("tiny", "tiny", False)
    assert "data-take-ready" in show_opening(context, first)
    assert "is loaded and checked" in show_opening(context, first)


def test_who_has_begun_keeps_the_visit_and_moves_at_a_press(
    slow: Slow, cards: Mapping[str, SetupSpec], context: Context, first: Visit, tiny: Visit
) -> None:
    slow.let_go.set()
    context = loading(slow, cards, context)
    assert context.opening.job is not None
    end(context.opening.job)
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
    slow: Slow, cards: Mapping[str, SetupSpec], context: Context, first: Visit, name: str, words: str
) -> None:
    slow.let_go.set()
    context = loading(slow, cards, context, name)
    assert context.opening.job is not None
    end(context.opening.job)
    assert (context.opening.now, context.opening.meant, context.opening.is_loading) == ("bundled", "bundled", False)
    said = show_opening(context, first)
    assert words in said
    assert said.endswith("Bundled demo answers instead.</p></div>")


def test_who_comes_after_a_failure_reads_why(slow: Slow, cards: Mapping[str, SetupSpec]) -> None:
    page = page_for(slow, cards, "nosuch")
    (job,) = page.jobs
    job.start()
    end(job)
    assert "Choose one of" in drawn(page)["opening"]["value"]
    assert begun(page).setup == "bundled"


def test_nothing_is_loaded_where_the_bundled_setup_is_meant_or_the_other_is_there(
    context: Context, first: Visit
) -> None:
    context.pool.get("tiny")
    for name in ("bundled", "tiny"):
        opening = Opening(context.pool, name)
        assert (opening.job, opening.now, opening.meant) == (None, name, name)
        assert "notice" not in show_opening(replace(context, opening=opening), first)


def test_a_program_that_names_no_setup_waits_for_the_one_that_is_meant(
    slow: Slow, cards: Mapping[str, SetupSpec], context: Context
) -> None:
    here = loading(slow, cards, context)
    ask = Programs(here.pool, lambda: here.opening.meant)
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
    slow: Slow, cards: Mapping[str, SetupSpec], context: Context, first: Visit, tiny: Visit, by: str
) -> None:
    component = tiny.parts[0].component
    pulled = session.changed(tiny, session.change(context.bench(tiny), tiny, Edit.of_suppressed([component])))
    link = {"link": "setup=tiny&", "link without a setup": ""}.get(by)
    asked = BringBack(
        state=serialised(context, pulled if link is None else first),
        crop="",
        pressed=False,
        link="" if link is None else f"{link}example=dog-note-cat&suppress={component}",
    )
    context = loading(slow, cards, context)
    said = gr.HTML(render=False)
    assert setup_named(context, asked) == "tiny"
    told = loading_first(context, "tiny", said)
    sentence = str(next(told)[said])
    assert "Tiny &lt;tiny&gt; is loading." in sentence
    assert "comes with it" in sentence
    slow.let_go.set()
    list(told)
    visit = bring_back(context, first, asked).visit
    assert visit.setup == "tiny"
    assert [lever.component for lever in visit.edit.levers] == [component]
