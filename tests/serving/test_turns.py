"""Turns at computing: every work is done once, in a fair order, and nobody's quick work waits for long work."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.background import NICE, aside
from core.serving import turns as module
from core.serving.turns import MOST, NobodyWaitsError, Turns, Visitor

ANNA, BEN = Visitor("anna", "here"), Visitor("ben", "there")


class Clock:
    """Time that passes only while somebody works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


works = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.booleans(), st.sampled_from((0.01, 0.5, 3.0))),
    max_size=30,
)


@given(works)
def test_every_work_is_done_once_and_never_too_much_at_once(asked: list[tuple[str, str, bool, float]]) -> None:
    clock, done, lock = Clock(), [], threading.Lock()
    running: list[tuple[str, bool]] = []

    def work(number: int) -> Callable[[], int]:
        session, address, quick, seconds = asked[number]

        def doing() -> int:
            with lock:
                running.append((address, quick))
                assert len(running) <= MOST
                assert sum(one == address for one, _ in running) <= MOST // 2
                clock.now += seconds
                running.remove((address, quick))
                done.append(number)
            return number

        return doing

    async def all_of_them() -> list[int]:
        turns = Turns(clock)
        return await asyncio.gather(
            *(
                turns.take(Visitor(address + session, address), quick, work(number))
                for number, (session, address, quick, _) in enumerate(asked)
            )
        )

    assert asyncio.run(all_of_them()) == list(range(len(asked)))
    assert sorted(done) == list(range(len(asked)))
    for lane in {(session, address, quick) for session, address, quick, _ in asked}:
        mine = [number for number in done if asked[number][:3] == lane]
        assert mine == sorted(mine), "a visitor's work of one kind keeps its order"


@given(st.integers(1, 20), st.booleans(), st.floats(0.01, 10))
def test_who_has_much_to_do_is_behind_who_has_little(much: int, quick: bool, seconds: float) -> None:
    clock, order, all_asked = Clock(), [], threading.Event()

    def work(who: Visitor) -> Callable[[], None]:
        def doing() -> None:
            assert all_asked.wait(60)
            clock.now += seconds
            order.append(who)

        return doing

    async def all_of_them() -> None:
        turns = Turns(clock)
        asked = [asyncio.create_task(turns.take(who, quick, work(who))) for who in [ANNA] * much + [BEN]]
        await asyncio.sleep(0)
        all_asked.set()
        await asyncio.gather(*asked)

    asyncio.run(all_of_them())
    assert BEN in order[:2], "at most what was running already came before"


def test_quick_work_does_not_wait_for_long_work() -> None:
    async def both() -> None:
        turns, pressed = Turns(), threading.Event()
        long = asyncio.create_task(turns.take(ANNA, False, pressed.wait))
        await asyncio.sleep(0)
        await turns.take(ANNA, True, pressed.set)  # which the long work waits for
        await long

    asyncio.run(asyncio.wait_for(both(), 30))


@pytest.mark.parametrize("quick", [True, False])
def test_what_takes_too_long_gives_way_in_its_own_lane(quick: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.PATIENCE, quick, 0.05)

    async def both() -> None:
        turns, free = Turns(), threading.Event()
        slow = asyncio.create_task(turns.take(ANNA, quick, free.wait))
        await asyncio.sleep(0)
        await turns.take(BEN, quick, free.set)
        await slow

    asyncio.run(asyncio.wait_for(both(), 30))


def test_one_address_never_takes_all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.PATIENCE, True, 0.01)

    async def all_of_them() -> None:
        turns, free = Turns(), threading.Event()
        crowd = [turns.take(Visitor(str(k), "here"), True, free.wait) for k in range(50)]
        tasks = [asyncio.create_task(one) for one in crowd]
        await asyncio.sleep(0.1)
        await turns.take(BEN, True, free.set)
        await asyncio.gather(*tasks)

    asyncio.run(asyncio.wait_for(all_of_them(), 30))


@pytest.mark.parametrize("others", [0, 1])
def test_an_address_has_one_place_while_others_are_here_and_half_of_them_else(
    monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """What somebody did lately counts as well: between two presses one looks at the page."""
    monkeypatch.setattr(module, "PATIENCE", {True: 0.01, False: 0.01})

    async def most_at_once() -> int:
        turns, free, lock, running, most = Turns(), threading.Event(), threading.Lock(), [0], [0]

        def work() -> None:
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            assert free.wait(60)
            with lock:
                running[0] -= 1

        for _ in range(others):
            await turns.take(BEN, True, lambda: None)
        tasks = [asyncio.create_task(turns.take(ANNA, False, work)) for _ in range(6)]
        await asyncio.sleep(0.3)
        free.set()
        await asyncio.gather(*tasks)
        return most[0]

    assert asyncio.run(most_at_once()) == (1 if others else MOST // 2)


def test_who_waits_is_told_its_place_and_leaves_when_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOLD_EVERY", 0.01)

    async def three() -> list[tuple[int, int]]:
        turns, free, told = Turns(), threading.Event(), []
        running = asyncio.create_task(turns.take(ANNA, False, free.wait))
        await asyncio.sleep(0)
        ben = asyncio.create_task(turns.take(BEN, False, lambda: None))
        await asyncio.sleep(0)
        late = turns.take(ANNA, False, lambda: None, lambda: len(told) < 2, lambda *at: told.append(at))
        with pytest.raises(NobodyWaitsError):
            await late
        free.set()
        await asyncio.gather(running, ben)
        return told

    assert asyncio.run(three()) == [(1, 2), (1, 2)]


def test_a_turn_that_is_left_is_free_again() -> None:
    def fails() -> Any:
        raise ValueError("as work may")

    async def all_of_them() -> None:
        turns, free = Turns(), threading.Event()
        with pytest.raises(ValueError, match="as work may"):
            await turns.take(ANNA, True, fails)
        running = asyncio.create_task(turns.take(ANNA, True, free.wait))
        waiting = asyncio.create_task(turns.take(BEN, True, lambda: None))
        await asyncio.sleep(0.01)
        running.cancel()
        waiting.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        free.set()  # whose turn it was is gone, but what it began is done first
        assert await turns.take(BEN, True, lambda: 1) == 1

    asyncio.run(asyncio.wait_for(all_of_them(), 30))


def test_a_turn_that_comes_just_as_the_wait_for_it_is_over_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    async def over_at_once(turn: Any, _: float) -> None:
        """As `asyncio.wait_for`, when the loop is late: the time is over, and the turn has come meanwhile."""
        await turn
        raise TimeoutError

    async def both() -> list[int]:
        turns = Turns()
        return await asyncio.gather(*(turns.take(who, True, lambda: 1) for who in (ANNA, BEN)))

    monkeypatch.setattr(asyncio, "wait_for", over_at_once)
    assert asyncio.run(both()) == [1, 1]


def nice() -> int:
    """Of this thread: how much it lets others go first."""
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
@pytest.mark.parametrize(("patience", "quick", "more"), [(60.0, True, 0), (0.0, True, NICE), (60.0, False, NICE)])
def test_long_work_is_done_in_the_background(
    monkeypatch: pytest.MonkeyPatch, patience: float, quick: bool, more: int
) -> None:
    """Quick work from when it is quick no more."""
    monkeypatch.setattr(module, "PATIENCE", {True: patience, False: patience})
    assert asyncio.run(Turns().take(ANNA, quick, lambda: aside(nice))) == min(19, nice() + more)


def test_what_is_done_in_the_background_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", {True: 0.0, False: 0.0})
    for quick in (True, False):
        with pytest.raises(ZeroDivisionError):
            asyncio.run(Turns().take(ANNA, quick, lambda: aside(lambda: 1 // 0)))


def test_work_alone_is_done_where_it_is() -> None:
    assert aside(threading.get_ident) == threading.get_ident()
