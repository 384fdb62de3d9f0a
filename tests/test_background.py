"""Jobs: how far one is can be seen at any time by anybody, and what it made, or why it made nothing, in the end."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable

import pytest

from core import background
from core.background import NICE, Job
from core.errors import UserError

PATIENCE = 60
"""Seconds."""
Tell = Callable[[int], None]


class Guided:
    """Work that takes one of three steps for each `go`."""

    def __init__(self) -> None:
        self.go, self.nice = threading.Semaphore(0), -1

    def __call__(self, tell: Tell) -> str:
        self.nice = os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) if sys.platform == "linux" else -1
        for step in range(3):
            tell(step)
            assert self.go.acquire(timeout=PATIENCE)
        return "made"


@pytest.fixture
def work() -> Guided:
    return Guided()


def test_all_who_follow_see_each_step_and_then_what_was_made(work: Guided) -> None:
    job: Job[int, str] = Job("counting", work)
    assert (job.step, job.over) == (None, False)
    job.start()
    early, late = job.follow(), job.follow()
    assert next(early) == 0
    work.go.release()
    assert next(early) == 1
    assert next(late) == 1, "what it is at"
    work.go.release(2)
    assert [*early][-1:] in ([2], [])
    assert [*late][-1:] in ([2], [])
    assert job.over
    assert job.outcome() == "made"
    assert list(job.follow()) == []


def test_an_event_loop_sees_them_without_a_thread(work: Guided, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "LOOKS", 0.001)
    job: Job[int, str] = Job("counting", work)
    job.start()

    async def look() -> list[int]:
        seen = []
        async for step in job.watch():
            seen.append(step)
            work.go.release()
        return seen

    assert asyncio.run(asyncio.wait_for(look(), PATIENCE)) == [0, 1, 2]
    assert job.outcome() == "made"


def ended(job: Job[int, str]) -> Job[int, str]:
    job.start()
    for _ in job.follow():
        pass
    return job


@pytest.mark.parametrize(
    ("error", "said"), [(UserError("The disk is full. Make room."), "The disk is full"), (KeyError("x"), "KeyError")]
)
def test_why_nothing_was_made_is_a_sentence(error: Exception, said: str, caplog: pytest.LogCaptureFixture) -> None:
    def fail(tell: Tell) -> str:
        raise error

    job = ended(Job("counting", fail))
    assert job.trouble
    with pytest.raises(UserError, match=said):
        job.outcome()
    assert bool(caplog.records) != isinstance(error, UserError), "our own mistakes are told in the log"


def test_it_ends_at_the_next_step_when_it_is_stopped(work: Guided) -> None:
    job: Job[int, str] = Job("counting", work)
    job.start()
    steps = job.follow()
    assert next(steps) == 0
    job.stop()
    work.go.release()
    assert list(steps) == []
    with pytest.raises(UserError, match=r"Counting was stopped\."):
        job.outcome()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process has one priority")
def test_it_lets_others_go_first_unless_it_is_urgent() -> None:
    here = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    for urgent in (False, True):
        work = Guided()
        work.go.release(3)
        ended(Job("counting", work, urgent=urgent))
        assert work.nice == (here if urgent else max(here, NICE))
