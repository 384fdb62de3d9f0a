"""A server for many: each visitor's order, nobody waits for another's long work, and what nobody waits for ends."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import pytest
from open_page import Busy, OpenPage, Refused

from core.errors import UserError
from core.page import fair_queue
from core.page.appearance import launch_options
from core.page.endpoints import LANE
from core.page.fair_queue import OF_A_SESSION, OF_AN_ADDRESS, FairQueue
from core.page.inputs import endpoint
from core.page.lanes import EVERY, LONG
from core.page.widgets import sentences
from core.serving.turns import MOST, Turns
from core.setups.catalog import Location, SetupSpec
from core.setups.loading import Loading
from core.setups.pool import SetupPool


@dataclass
class Served:
    """A page with a counter, work that waits until it is let go, and an answer without end."""

    page: gr.Blocks
    address: str
    let_go: threading.Event
    steps: list[int]
    begun: threading.Event

    @property
    def queue(self) -> FairQueue:
        queue = self.page._queue
        assert isinstance(queue, FairQueue)
        return queue

    def visit(self, *visits: Callable[[OpenPage], Coroutine[Any, Any, Any]]) -> list[Any]:
        """What visitors do at once, each on a page and at an address of its own."""

        async def one(visit: Callable[[OpenPage], Coroutine[Any, Any, Any]], number: int) -> Any:
            page = OpenPage(self.address, config, f"127.0.0.{number + 2}")
            try:
                return await visit(page)
            finally:
                await page.close()

        async def all_of_them() -> list[Any]:
            return await asyncio.gather(*(one(visit, k) for k, visit in enumerate(visits)))

        config: Mapping[str, Any] = httpx.get(f"{self.address}/config").json()
        return asyncio.run(asyncio.wait_for(all_of_them(), 120))


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    let_go, begun = threading.Event(), threading.Event()
    steps: list[int] = []

    def count(so_far: int) -> tuple[int, int]:
        return so_far + 1, so_far + 1

    def wait(so_far: int) -> tuple[int, int]:
        begun.set()
        assert let_go.wait(60)
        return so_far + 1, so_far + 1

    def endless() -> Iterator[int]:
        step = 0
        while True:
            steps.append(step)
            yield step
            step += 1
            threading.Event().wait(0.02)

    with gr.Blocks() as page:
        state, shown = gr.State(0), gr.Number(elem_id="shown")
        for name, fn, lane in (("count", count, EVERY), ("wait", wait, EVERY)):
            gr.Button(elem_id=name).click(fn, state, [state, shown], **lane)
        gr.Button(elem_id="endless").click(endless, None, shown, **LONG)
    page.queue(api_open=False)
    page._queue = FairQueue(page, Turns(), hosted=False)
    _, url, _ = page.launch(**launch_options(), prevent_thread_lock=True, quiet=True)
    yield Served(page, url.rstrip("/"), let_go, steps, begun)
    let_go.set()
    page.close()


@pytest.fixture(autouse=True)
def fresh(served: Served) -> Iterator[None]:
    served.let_go.clear()
    served.begun.clear()
    served.steps.clear()
    yield
    served.let_go.set()
    wait_for(lambda: not served.queue.event_ids_to_events)


async def counted(page: OpenPage) -> int:
    return (await page.press("count", "click"))[page.id("shown")]


def test_a_visitors_own_changes_do_not_overtake_each_other(served: Served) -> None:
    """Twenty presses at once: each starts from what the one before left."""

    async def twenty(page: OpenPage) -> list[int]:
        return await asyncio.gather(*(counted(page) for _ in range(20)))

    for found in served.visit(twenty, twenty, twenty):
        assert sorted(found) == list(range(1, 21))


def test_a_press_does_not_wait_for_what_another_visitor_began(served: Served) -> None:
    async def slow(page: OpenPage) -> int:
        return (await page.press("wait", "click"))[page.id("shown")]

    async def quick(page: OpenPage) -> list[int]:
        while not served.begun.is_set():
            await asyncio.sleep(0.01)
        found = [await counted(page) for _ in range(3)]
        served.let_go.set()
        return found

    assert served.visit(slow, quick) == [1, [1, 2, 3]]


def test_one_visitor_cannot_fill_the_queue(served: Served) -> None:
    """As many as are let in wait; the next is told so in words, and another visitor is served meanwhile."""

    async def greedy(page: OpenPage) -> str:
        asked = [asyncio.create_task(page.press("wait", "click")) for _ in range(OF_A_SESSION)]
        while len(served.queue.event_ids_to_events) < OF_A_SESSION:
            await asyncio.sleep(0.01)
        with pytest.raises(Busy) as busy:
            await page.press("count", "click")
        served.begun.set()
        await asyncio.gather(*asked)
        return str(busy.value)

    async def modest(page: OpenPage) -> int:
        while not served.begun.is_set():
            await asyncio.sleep(0.01)
        found = await counted(page)
        served.let_go.set()
        return found

    said, found = served.visit(greedy, modest)
    assert said.startswith("The server is busy: ")
    assert str(OF_A_SESSION) in said
    assert found == 1


def test_one_address_cannot_fill_the_queue(served: Served) -> None:
    async def crowd(page: OpenPage) -> str:
        for k in range(OF_AN_ADDRESS):
            page.session = f"one-of-many-{k}"
            await page.join(page.event("wait", "click"))
        page.session = "one-more"
        with pytest.raises(Busy) as busy:
            await page.join(page.event("wait", "click"))
        served.begun.set()
        return str(busy.value)

    async def modest(page: OpenPage) -> int:
        while not served.begun.is_set():
            await asyncio.sleep(0.01)
        return await counted(page)

    try:
        said, found = served.visit(crowd, modest)
    finally:
        served.let_go.set()
    assert "from your address" in said
    assert found == 1


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        threading.Event().wait(0.02)
    raise AssertionError("it did not come to that")


def test_an_answer_ends_when_its_reader_leaves(served: Served) -> None:
    async def leaves(page: OpenPage) -> None:
        asked = asyncio.create_task(page.press("endless", "click"))
        while len(served.steps) < 3:
            await asyncio.sleep(0.01)
        asked.cancel()

    served.visit(leaves)
    wait_for(lambda: not served.queue.event_ids_to_events)
    done = len(served.steps)
    threading.Event().wait(0.3)
    assert len(served.steps) == done


def test_an_answer_that_nobody_came_to_read_ends(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_queue, "GRACE", 0.5)
    monkeypatch.setattr(fair_queue, "UNREAD", 0.5)

    async def joins(page: OpenPage) -> str:
        await page.join(page.event("endless", "click"))
        return page.session

    (session,) = served.visit(joins)
    wait_for(lambda: not served.queue.event_ids_to_events)
    done = len(served.steps)
    threading.Event().wait(0.3)
    assert len(served.steps) == done > 0
    wait_for(lambda: session not in served.queue.pending_messages_per_session)


def test_nothing_is_kept_of_events_that_are_over(served: Served) -> None:
    async def presses(page: OpenPage) -> None:
        for _ in range(5):
            await counted(page)

    served.visit(presses)
    wait_for(lambda: not served.queue.event_ids_to_events and not served.queue.readers)
    assert not served.queue.event_analytics


# ---- what needs a setup that is not loaded


@dataclass
class Loads:
    """A page whose answers need a setup, which is loaded when it is let go."""

    served: Served
    pool: SetupPool[str]
    fails: bool = False


@pytest.fixture
def loads() -> Iterator[Loads]:
    let_go, begun = threading.Event(), threading.Event()

    def load(card: SetupSpec, *, tell: Callable[[Loading], None]) -> Any:
        tell(Loading("Reading it"))
        begun.set()
        assert let_go.wait(60)
        if found.fails:
            raise UserError("It cannot be read. Choose another.")
        return SimpleNamespace(n_bytes=1)

    def made(setup: object) -> str:
        return "what the setup says"

    place = Location(Path("nowhere"))
    card = SetupSpec("slow", "Slow", place, place, 1, "all", "MIT", "")
    pool: SetupPool[str] = SetupPool({"slow": card}, made, limit_bytes=10, loader=load)

    def ask() -> str:
        with sentences():
            return pool.get("slow")

    def ask_in_steps() -> Iterator[str]:
        with sentences():
            yield "a first step"
            yield pool.get("slow")

    def count(so_far: int) -> tuple[int, int]:
        return so_far + 1, so_far + 1

    with gr.Blocks() as page:
        state, shown, said = gr.State(0), gr.Number(elem_id="shown"), gr.Textbox(elem_id="said")
        gr.Button(elem_id="count").click(count, state, [state, shown], **EVERY)
        gr.Button(elem_id="press").click(ask, None, said, **EVERY)
        gr.Button(elem_id="evidence").click(ask_in_steps, None, said, **LONG)
        gr.Button(elem_id="program").click(endpoint(ask_in_steps, []), None, said, **LANE, queue=True)
    page.queue(api_open=False)
    page._queue = FairQueue(page, Turns(), hosted=False)
    _, url, _ = page.launch(**launch_options(), prevent_thread_lock=True, quiet=True)
    found = Loads(Served(page, url.rstrip("/"), let_go, [], begun), pool)
    yield found
    let_go.set()
    page.close()


@pytest.mark.parametrize("fails", [False, True])
def test_whoever_needs_a_setup_that_is_loaded_keeps_nobody_waiting(loads: Loads, fails: bool) -> None:
    """More than may compute at once wait for it, by a press, in steps and as programs; another visitor is answered."""
    loads.fails, served = fails, loads.served
    asked = 3 * (MOST + 1)

    def needs(button: str) -> Callable[[OpenPage], Coroutine[Any, Any, str]]:
        async def wait(page: OpenPage) -> str:
            try:
                return str((await page.press(button, "click"))[page.id("said")])
            except Refused as refused:
                return str(refused)

        return wait

    async def another(page: OpenPage) -> list[int]:
        while not served.begun.is_set() or loads.pool._loads["slow"].waiting < asked:
            await asyncio.sleep(0.01)
        found = [await counted(page) for _ in range(3)]
        served.let_go.set()
        return found

    *told, counts = served.visit(*map(needs, ("press", "evidence", "program") * (MOST + 1)), another)
    assert counts == [1, 2, 3]
    assert set(told) == {"It cannot be read. Choose another." if fails else "what the setup says"}
    assert loads.pool.loaded() == (() if fails else ("slow",))
