"""Queue of the page's events, in place of Gradio's: order is kept for each visitor, and not for all of them together.

Gradio runs the events of one `concurrency_id` in the order in which they came, whoever they are from. Here

1. a visitor's own changes wait for each other (`VISIT`), and nobody else's; Gradio reads what it keeps for a session
   when an event starts and writes it when that ends, so that none may start between;
2. whatever computes waits for its turn (see `core.serving.turns`), quick or long by its lane, without holding a thread;
3. who has too much waiting, alone or at one address, is refused with a sentence, and so is everybody when the server
   has too much;
4. events that nobody waits for end: those of a page that is gone, and those whose answers nobody came to read;
5. what needs a setup that is not loaded leaves its turn to others until that is there, and is then worked out anew.
"""

import asyncio
import functools
import inspect
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, MutableMapping
from threading import Lock
from typing import Any, TypeVar

import fastapi
import gradio as gr
from gradio.context import LocalContext
from gradio.data_classes import PredictBodyInternal
from gradio.queueing import Event, Queue
from gradio.server_messages import EstimationMessage, ProcessCompletedMessage

from ..background import AWAITED, Job, NotYetError
from ..serving.turns import NobodyWaitsError, Turns, Visitor
from .lanes import COMPUTING, VISIT
from .wire import REFUSAL

SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""How a page or a program may call itself."""
OF_A_SESSION, OF_AN_ADDRESS, OF_ALL = 32, 128, 512
"""Events that wait or run, at most."""
RUNNING_IN_A_LANE = 6
"""Events of one session that run in one lane; of those that change the visit, one."""
GRACE = 10.0
"""Seconds after which somebody has to read the answers to an event."""
UNREAD = 60.0
"""Seconds for which answers are kept that nobody reads."""
LOOKS = 0.1
"""Seconds between two looks at what is waited for."""

_END = object()
T = TypeVar("T")
Awaited = dict[str, Job[Any, Any]]


class FairQueue(Queue):
    """The queue of one page."""

    def __init__(self, page: gr.Blocks, turns: Turns, hosted: bool, local: bool = False) -> None:
        """For `page`; `hosted` is whether it stands behind a proxy that names its visitors' addresses.

        `local`: whether this machine alone is to reach it.
        """
        super().__init__(
            live_updates=True,
            concurrency_count=OF_ALL,
            update_intervals=1,
            max_size=None,
            blocks=page,
            default_concurrency_limit=None,
        )
        self.sleep_when_free = 0.005  # at Gradio's 0.001, a server that nobody uses keeps 4 % of a core busy: here 2 %
        self.ANALYTICS_MAX_EVENTS = 0  # it would go through the last 10,000 events after each, to tell nobody
        self.readers: Counter[str] = Counter()
        """Open streams of answers, by session."""
        self.hosted = hosted
        """Whether a proxy names its visitors' addresses."""
        self.local = local
        """Whether this machine alone is to reach the page: `Doors` hold that."""
        self.closing = False
        """Whether the server is about to end, and takes nothing new."""
        self._turns = turns
        self._unread: dict[str, float] = {}
        for fn in page.fns.values():
            if fn.fn is not None and fn.concurrency_id in COMPUTING:
                fn.fn = self._in_turn(fn.fn, quick=fn.concurrency_id == VISIT)

    @property
    def computing(self) -> bool:
        """Whether answers are being worked out, or wait for that; not whether something is downloaded or told."""
        return any(event.concurrency_id in COMPUTING for event in list(self.event_ids_to_events.values()))

    def start(self) -> None:
        """Begin."""
        self.max_thread_count = OF_ALL  # what waits holds no thread
        Queue.start(self)  # named, since gradio leaves it untyped
        task = asyncio.get_running_loop().create_task(self._forget_the_gone())
        self._asyncio_tasks.add(task)

    def compute_analytics_summary(self, _: Any) -> dict[str, Any]:
        """Nothing: nobody looks at it."""
        return {}

    async def push(self, body: PredictBodyInternal, request: fastapi.Request, username: str | None) -> Any:
        """Take an event. Raises HTTPException with a sentence for one too many, or that nothing here answers."""
        who = Visitor(body.session_hash or "", address_of(request.scope, self.hosted))
        if self.closing:
            raise fastapi.HTTPException(503, "The server is about to stop. Reload the page in a minute.")
        listener = self.blocks.fns.get(body.fn_index) if body.fn_index is not None else None
        if listener is not None and listener.fn is None:  # a script alone listens, in the browser
            raise fastapi.HTTPException(400, REFUSAL)
        events = list(self.event_ids_to_events.values())
        if sum(event.session_hash == who.session for event in events) >= OF_A_SESSION:
            raise _busy(f"{OF_A_SESSION} requests of this page are being worked on already")
        if sum(self._of(event).address == who.address for event in events) >= OF_AN_ADDRESS:
            raise _busy(f"{OF_AN_ADDRESS} requests from your address are being worked on already")
        if len(events) >= OF_ALL:
            raise _busy(f"{OF_ALL} requests of all its visitors are being worked on already")
        return await super().push(body, request, username)

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """The next event to start: the first whose session has none running that it has to wait for."""
        running = Counter((event.session_hash, event.concurrency_id) for job in self.active_jobs for event in job or ())
        for lane, waiting in self.event_queue_per_concurrency_id.items():
            most = 1 if lane == VISIT else RUNNING_IN_A_LANE
            for event in waiting.queue:
                if running[event.session_hash, lane] < most:
                    waiting.queue.remove(event)
                    return [event], False, lane
        return None

    def broadcast_estimations(self, concurrency_id: str, after: int | None = None) -> None:
        """Tell an event that has just come how many of its own session it waits for."""
        if after is not None:
            waiting = self.event_queue_per_concurrency_id[concurrency_id].queue
            event = waiting[after]
            rank = sum(one.session_hash == event.session_hash for one in waiting[:after])
            self._tell(event, rank, rank + 1)

    def _tell(self, event: Event, place: int, of: int) -> None:
        self.send_message(event, EstimationMessage(rank=place, rank_eta=None, queue_size=of))

    def _in_turn(self, fn: Callable[..., Any], quick: bool) -> Callable[..., Any]:
        """A listener that waits for its turn; of a generator, and of one that is returned, every step."""
        if not inspect.isgeneratorfunction(fn):

            @functools.wraps(fn)
            async def answer(*values: Any, **named: Any) -> Any:
                ask, awaited = functools.partial(fn, *values, **named), Awaited()
                try:
                    found = await self._compute(quick, ask, awaited)
                    return await self._last(quick, ask, found, awaited) if isinstance(found, Generator) else found
                except NobodyWaitsError as gone:
                    raise gr.Error("The page is gone.", print_exception=False) from gone

            return answer

        @functools.wraps(fn)
        async def answers(*values: Any, **named: Any) -> AsyncIterator[Any]:
            steps, awaited = _Steps(functools.partial(fn, *values, **named)), Awaited()
            try:
                while (found := await self._compute(quick, steps.step, awaited)) is not _END:
                    yield found
            except NobodyWaitsError:
                return
            finally:  # a step that is still being worked out ends first
                asyncio.get_running_loop().run_in_executor(None, steps.close)

        return answers

    async def _last(
        self, quick: bool, ask: Callable[[], Generator[Any]], found: Generator[Any], awaited: Awaited
    ) -> Any:
        """What a program is answered in steps: the last of them. Each has a turn."""
        steps, last = _Steps(ask, found), None
        try:
            while (step := await self._compute(quick, steps.step, awaited)) is not _END:
                last = step
            return last
        finally:
            asyncio.get_running_loop().run_in_executor(None, steps.close)

    async def _compute(self, quick: bool, work: Callable[[], Any], awaited: Awaited) -> Any:
        """What the work returns. What it needs is waited for without a turn, and kept in `awaited` for its event."""
        event = self.event_ids_to_events.get(LocalContext.event_id.get(None) or "")
        if event is None:
            raise NobodyWaitsError
        tell = functools.partial(self._tell, event)
        while True:
            doing = functools.partial(_having_waited, awaited, work)
            try:
                return await self._turns.take(self._of(event), quick, doing, lambda: event.alive, tell)
            except NotYetError as needs:
                try:
                    while not needs.job.over:
                        if not event.alive:
                            raise NobodyWaitsError from None
                        await asyncio.sleep(LOOKS)
                finally:
                    needs.leave()
                awaited[needs.job.name] = needs.job

    def _of(self, event: Event) -> Visitor:
        return Visitor(event.session_hash, address_of(event.request.scope, self.hosted))

    def _end_idle_streams(self, idle_before: set[str]) -> set[str]:
        """The sessions whose streams have nothing to tell; those of them that had nothing before, either, end.

        A page that hears of an answer before it knows that it asked opens another stream for it, which Gradio ends only
        after an answer.
        """
        idle = {
            session
            for session in self.readers
            if session in self.pending_messages_per_session and self.pending_event_ids_session.get(session) == set()
        }
        for session in idle & idle_before:
            nothing = ProcessCompletedMessage(event_id="none", output={}, success=True)
            self.pending_messages_per_session[session].put_nowait(nothing)
        return idle - idle_before

    async def _forget_the_gone(self) -> None:
        """End events whose answers nobody reads and streams without an answer to come; forget what nobody read."""
        idle: set[str] = set()
        while not self.stopped:
            await asyncio.sleep(1)
            idle = self._end_idle_streams(idle)
            now = time.monotonic()
            waiting = [event for event in self.event_ids_to_events.values() if now - event.enqueue_time > GRACE]
            for session in {event.session_hash for event in waiting if not self.readers[event.session_hash]}:
                await self.clean_events(session_hash=session)
            unread = {s for s, told in self.pending_messages_per_session.items() if not self.readers[s]}
            self._unread = {session: self._unread.get(session, now) for session in unread}
            for session, since in self._unread.items():
                if now - since > UNREAD:
                    self.pending_messages_per_session.pop(session, None)
                    self.pending_event_ids_session.pop(session, None)


def address_of(scope: MutableMapping[str, Any], hosted: bool) -> str:
    """Whence a request comes. Behind a proxy, what that says of it, which a stranger may forge."""
    named = dict(scope["headers"]).get(b"x-forwarded-for", b"").decode("latin-1") if hosted else ""
    return named.split(",")[0].strip() or (scope["client"] or ("",))[0]


def _having_waited(awaited: Awaited, work: Callable[[], T]) -> T:
    before = AWAITED.set(awaited)
    try:
        return work()
    finally:
        AWAITED.reset(before)


class _Steps:
    """The steps of a generator, worked out in threads. One that needs what is not there yet begins anew."""

    def __init__(self, ask: Callable[[], Generator[Any]], begun: Generator[Any] | None = None) -> None:
        self._ask, self._steps, self._lock = ask, begun or ask(), Lock()

    def step(self) -> Any:
        with self._lock:
            try:
                return next(self._steps, _END)
            except NotYetError:
                self._steps = self._ask()
                raise

    def close(self) -> None:
        with self._lock:
            self._steps.close()


def _busy(why: str) -> fastapi.HTTPException:
    return fastapi.HTTPException(429, f"The server is busy: {why}. Wait for their answers, and try again.")
