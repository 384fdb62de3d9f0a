"""Background work: threads that let all others go first, and long jobs that tell how far they are.

1. Quick work that has become long hands its batches to `aside`, which does them in a background thread where a server
   offers one.
2. A `Job` is long work with a thread of its own: a setup that is loaded, an index that is made. It goes on whoever
   looks, and whoever looks sees how far it is, without holding a thread.
3. Work that has a turn at computing never waits for a job: that would keep the turn, and a thread, from all others. It
   raises `NotYetError`; whoever gave it the turn waits instead, and has it done anew (`core.page.fair_queue`).
"""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Generic, TypeVar, cast

from .errors import UserError

S = TypeVar("S")
T = TypeVar("T")

NICE = 19
"""Of background threads: they take one in seventy of the turns on a processor that somebody else wants."""
LOOKS = 0.5
"""Seconds between two looks at a job."""

OFFERED: ContextVar[Callable[[Callable[[], Any]], Any] | None] = ContextVar("offered", default=None)
"""What does a piece of work, in the background if it should be there; None where nobody else computes."""


def aside(work: Callable[[], T]) -> T:
    """What a piece of long work returns, wherever it is done; threads keep no gradient mode of each other."""
    do = OFFERED.get()
    return work() if do is None else do(work)


def let_others_go_first() -> None:
    """Of the thread that calls it, and those it starts: torch's, say. Elsewhere a process has one priority."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


class StoppedError(BaseException):
    """A job was stopped. Not an Exception, so that nothing on the way takes it for a failure."""


class Job(Generic[S, T]):
    """Long work in a thread of its own: how far it is, for whoever looks, and what it made.

    job = Job("counting", work)    # work(tell) tells its steps, and returns what it made
    job.start()
    job.step, job.over             # at any time; nothing has to be locked for that
    job.outcome()                  # once it is over
    """

    def __init__(self, name: str, work: Callable[[Callable[[S], None]], T], *, urgent: bool = False) -> None:
        """Not begun. It lets all others go first, unless it is urgent: the app cannot begin without it."""
        self.name = name
        """Of the job, and of its thread."""
        self.step: S | None = None
        """What it told last; None before the first step."""
        self.over = False
        """Whether it has ended, however it did."""
        self.trouble = ""
        """Why it made nothing, in a sentence; empty where it did, and as long as it goes on."""
        self._work, self._urgent = work, urgent
        self._made: T | None = None
        self._told = 0
        self._stopped = False
        self._news = threading.Condition()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name=self.name, daemon=True).start()

    def stop(self) -> None:
        """End it at its next step."""
        self._stopped = True

    def follow(self) -> Iterator[S]:
        """The step it is at, and each that is news, until it is over. The thread that asks waits."""
        heard = 0
        while True:
            with self._news:
                while not (self.over or self._told > heard):
                    self._news.wait()
                over, step, heard = self.over, self.step, self._told
            if over:
                return
            yield cast(S, step)

    async def watch(self) -> AsyncIterator[S]:
        """The same for an event loop, where no thread waits. Steps that follow each other quickly are left out."""
        heard: S | None = None
        while not self.over:
            if self.step is not heard:
                heard = self.step
                yield cast(S, heard)
            await asyncio.sleep(LOOKS)

    def outcome(self) -> T:
        """What it made. Raises UserError where it made nothing."""
        if self.trouble:
            raise UserError(self.trouble)
        return cast(T, self._made)

    def _tell(self, step: S) -> None:
        if self._stopped:
            raise StoppedError
        with self._news:
            self.step = step
            self._told += 1
            self._news.notify_all()

    def _run(self) -> None:
        if not self._urgent:
            let_others_go_first()
        try:
            self._made = self._work(self._tell)
        except UserError as trouble:
            self.trouble = str(trouble)
        except StoppedError:
            self.trouble = f"{self.name.capitalize()} was stopped."
        except Exception as error:
            logging.getLogger(__name__).exception("%s failed", self.name)
            self.trouble = f"{self.name.capitalize()} failed ({type(error).__name__})."
        with self._news:
            self.over = True
            self._news.notify_all()


AWAITED: ContextVar[Mapping[str, Job[Any, Any]] | None] = ContextVar("awaited", default=None)
"""In work that has a turn: the jobs, by name, that were waited for before it got that. None where work may wait."""


class NotYetError(Exception):
    """Work that has a turn needs what a job has not made yet."""

    def __init__(self, job: Job[Any, Any], leave: Callable[[], None]) -> None:
        """Wait for `job`, and call `leave` when it is over, or nobody needs it any more."""
        super().__init__(job.name)
        self.job, self.leave = job, leave
