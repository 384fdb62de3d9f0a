"""Turns at computing: a visitor's quick work waits for nobody's long work, and whoever used least is next.

1. Quick work (a press) and long work (a step of the evidence) have a lane each. In a lane, one computation starts after
   the other: two at once take about as long as one after the other, and more take longer.
2. What is still running when its lane's `PATIENCE` is over keeps the next of that lane from starting no longer, as long
   as fewer than `MOST` are running: of one address half of these, or a single one where others were here lately.
3. Long work is done in background threads, and so are batches of quick work that has outrun its patience
   (`core.background`): the system gives them what the others leave.
4. Next in a lane is the address that has used least, of its sessions the one that has used least, and of its work what
   came first. Use is computing time, half of which is forgotten every `HALF_LIFE` seconds.

All of it happens in one event loop; only the work itself is done in threads.
"""

import asyncio
import functools
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TypeVar

from ..background import OFFERED, let_others_go_first

MOST = 4
"""Computations at once."""
PATIENCE = {True: 0.25, False: 2.0}
"""Seconds for which quick work (True) and long work (False) has its lane for itself."""
HALF_LIFE = 10.0
"""Seconds after which half of what was used is forgotten."""
LONGEST_REST = 5.0
"""Seconds for which work that nobody asked for waits for everybody else, at most: it comes on even on a busy page."""
TOLD_EVERY = 1.0
"""Seconds after which whoever waits is told its place anew."""

T = TypeVar("T")


class NobodyWaitsError(Exception):
    """Whoever asked for the work is gone."""


@dataclass(frozen=True)
class Visitor:
    """Whose work it is."""

    session: str
    """One page that is open."""
    address: str
    """Where it is open: several may be at one address."""


@dataclass(eq=False)
class _Turn:
    who: Visitor
    quick: bool
    number: int
    may_start: asyncio.Event = field(default_factory=asyncio.Event)
    began: float = 0.0


class Turns:
    """Who computes now, and who waits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nobody."""
        self._clock = clock
        self._numbers = itertools.count()
        self._waiting: list[_Turn] = []
        self._running: list[_Turn] = []
        self._used: dict[tuple[str, str], tuple[float, float]] = {}
        self._background = ThreadPoolExecutor(MOST, "background", let_others_go_first)

    async def take(
        self,
        who: Visitor,
        quick: bool,
        work: Callable[[], T],
        wanted: Callable[[], bool] = lambda: True,
        tell: Callable[[int, int], object] = lambda *_: None,
    ) -> T:
        """What the work returns, when its turn has come; it is done in a thread.

        While it waits, `tell` is given its place in the line, from 0, and the length of that; it leaves when it is not
        `wanted` any more, which raises NobodyWaitsError. Whoever is cancelled while it is done leaves the turn to it.
        """
        turn = _Turn(who, quick, next(self._numbers))
        self._waiting.append(turn)
        self._start()
        try:
            while not turn.may_start.is_set():
                try:
                    await asyncio.wait_for(turn.may_start.wait(), TOLD_EVERY)
                except TimeoutError:
                    if turn.may_start.is_set():  # just now
                        break
                    if not wanted():
                        raise NobodyWaitsError from None
                    if not turn.may_start.is_set():  # the loop may be late, and the turn have come meanwhile
                        line = sorted((one for one in self._waiting if one.quick == quick), key=self._order)
                        tell(line.index(turn), len(line))
            if not wanted():
                raise NobodyWaitsError
            context = copy_context()
            if quick:
                context.run(OFFERED.set, functools.partial(self._aside, turn))
            threads = None if quick else self._background  # None: asyncio's own
            doing = asyncio.get_running_loop().run_in_executor(threads, context.run, work)
        except BaseException:
            self._end(turn)
            raise

        def end(done: asyncio.Future[T]) -> None:
            if not done.cancelled():
                done.exception()  # asked for, in case nobody is left to do so
            self._end(turn)

        doing.add_done_callback(end)
        return await asyncio.shield(doing)

    def rest(self) -> None:
        """Wait in a thread, before a step of work that nobody asked for, while anybody computes or waits."""
        end = self._clock() + LONGEST_REST
        while (self._running or self._waiting) and self._clock() < end:
            time.sleep(0.02)

    def _start(self) -> None:
        here = self._addresses_here()
        while ready := [turn for turn in self._waiting if self._startable(turn, here)]:
            turn = min(ready, key=self._order)
            self._waiting.remove(turn)
            self._running.append(turn)
            turn.began = self._clock()
            turn.may_start.set()
            asyncio.get_running_loop().call_later(PATIENCE[turn.quick] + 0.01, self._start)

    def _startable(self, turn: _Turn, here: set[str]) -> bool:
        running = self._running
        fresh = any(one.quick == turn.quick and self._is_fresh(one) for one in running)
        neighbours = sum(one.who.address == turn.who.address for one in running)
        others = len(here) - (turn.who.address in here)
        most = 1 if others else MOST // 2
        return not fresh and len(running) < MOST and neighbours < most

    def _addresses_here(self) -> set[str]:
        """Those that have had a turn within a `HALF_LIFE`."""
        since = self._clock() - HALF_LIFE
        return {name for (kind, name), (_, at) in self._used.items() if kind == "address" and at > since}

    def _aside(self, turn: _Turn, work: Callable[[], T]) -> T:
        """A batch of quick work, in the background from when it is quick no more."""
        return work() if self._is_fresh(turn) else self._background.submit(work).result()

    def _is_fresh(self, turn: _Turn) -> bool:
        return self._clock() - turn.began < PATIENCE[turn.quick]

    def _end(self, turn: _Turn) -> None:
        if turn in self._running:
            self._running.remove(turn)
            for key in _keys(turn.who):
                self._used[key] = (self._use(key) + self._clock() - turn.began, self._clock())
            if len(self._used) > 1000:
                self._used = {key: used for key, used in self._used.items() if self._use(key) > 0.001}
        elif turn in self._waiting:
            self._waiting.remove(turn)
        self._start()

    def _order(self, turn: _Turn) -> tuple[bool, float, float, int]:
        address, session = _keys(turn.who)
        return not turn.quick, self._use(address), self._use(session), turn.number

    def _use(self, key: tuple[str, str]) -> float:
        seconds, at = self._used.get(key, (0.0, 0.0))
        return seconds * 0.5 ** ((self._clock() - at) / HALF_LIFE)


def _keys(who: Visitor) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("address", who.address), ("session", who.session)
