"""The pool of loaded setups that all visitors share: single-flight loading, and a bound on memory.

Whoever asks for a setup that is being loaded waits for the same load and sees how far it is: a `Job`, which lets all
others go first. What was not used for longest leaves when the memory is needed. A failure is not remembered, so that
asking again tries again.
"""

import gc
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Generator, Mapping
from functools import partial
from threading import Lock
from typing import Any, Generic, Protocol, cast

from ..background import AWAITED, Job, NotYetError, StoppedError
from ..errors import UserError
from ..words import size_in_words
from .catalog import SetupSpec, find
from .loading import Loading, Setup, T, Tell, load


class Loader(Protocol):
    """What loads a setup: `load`, or a part of it."""

    def __call__(self, card: SetupSpec, *, tell: Tell) -> Setup:
        """Load it, telling how far it is."""


class _Load(Generic[T]):
    """A setup that is being loaded, for whoever waits: how many, guarded by the pool's lock."""

    def __init__(self, card: SetupSpec, work: Callable[["_Load[T]", Tell], T], urgent: bool) -> None:
        self.card = card
        self.waiting = 0
        self.job: Job[Loading, T] = Job(_job_name(card.name), partial(work, self), urgent=urgent)


def _job_name(setup: str) -> str:
    return f"loading {setup}"


class SetupPool(Generic[T]):
    """Loaded setups, shared by all visitors, each with what was made of it (a Workbench, say).

    All together stay below a limit, weights and concept indexes: what was used longest ago leaves before another setup
    is read, or when one has grown. What is in use then lives on until it no longer is. Several threads may use it.
    """

    def __init__(
        self,
        cards: Mapping[str, SetupSpec],
        make: Callable[[Setup], T],
        *,
        limit_bytes: int,
        pinned: Collection[str] = (),
        loader: Loader = load,
        grown: Callable[[T], int] = lambda _: 0,
    ) -> None:
        """Nothing is loaded yet. What is `pinned` never leaves once it is, and is loaded whatever the limit.

        `grown` says by how many bytes what was made of a setup has grown since (`make_room`).
        """
        self.cards = cards
        self._make = make
        self._limit = limit_bytes
        self._pinned = frozenset(pinned)
        self._loader = loader
        self._grown = grown
        self._kept: OrderedDict[str, tuple[T, int]] = OrderedDict()  # with bytes; used longest ago comes first
        self._loads: dict[str, _Load[T]] = {}
        self._lock = Lock()
        self._turn = Lock()

    def loaded(self) -> tuple[str, ...]:
        """The names of what is loaded."""
        with self._lock:
            return tuple(self._kept)

    def peek(self, name: str) -> T | None:
        """What was made of a setup, if it is loaded; that does not count as use.

        It takes no lock: in a process that was forked, one could be held by a thread which is not there.
        """
        kept = self._kept.get(name)
        return None if kept is None else kept[0]

    def make_room(self, name: str) -> None:
        """Let others leave for what was made of a setup, and has grown. It stays, however large it is."""
        with self._lock:
            kept = self._kept.get(name)
        if kept is not None:
            self._let_leave(name, kept[1] + self._grown(kept[0]))

    def get(self, name: str) -> T:
        """What was made of a setup, loaded if need be. Raises UserError when there is no such setup or it fails.

        Work that has a turn does not wait for that, but is told to by NotYetError (`core.background`).
        """
        awaited = AWAITED.get()
        if awaited is not None:
            return self._at_once(name, awaited)
        *_, made = self.bring(name)
        return cast(T, made)

    def bring(self, name: str) -> Generator[Loading | T]:
        """As `get`: how far it is, for as long as that lasts, and last what was made of the setup.

        Whoever asks meanwhile waits for the same load. It goes on while anybody waits; when all have closed their
        iterators it ends at its next step, and what was downloaded is kept.
        """
        kept, load = self._kept_or_load(find(self.cards, name))
        if load is None:
            yield cast(T, kept)
            return
        try:
            yield from load.job.follow()
        finally:
            self._leave(load)
        yield load.job.outcome()

    def _at_once(self, name: str, awaited: Mapping[str, Job[Any, Any]]) -> T:
        if (ended := awaited.get(_job_name(name))) is not None:
            return cast(T, ended.outcome())
        kept, load = self._kept_or_load(find(self.cards, name))
        if load is not None:
            raise NotYetError(load.job, partial(self._leave, load))
        return cast(T, kept)

    def _kept_or_load(self, card: SetupSpec) -> tuple[T | None, _Load[T] | None]:
        """What was made of a setup that is loaded, or else the load of it, which the caller then waits for."""
        with self._lock:
            kept = self._kept.get(card.name)
            if kept is not None:
                self._kept.move_to_end(card.name)
                return kept[0], None
            load = self._loads.get(card.name)
            if load is None:
                load = self._loads[card.name] = _Load(card, self._run, urgent=card.name in self._pinned)
                load.job.start()
            load.waiting += 1
            return None, load

    def _leave(self, load: _Load[T]) -> None:
        with self._lock:
            load.waiting -= 1

    # In the load's own thread

    def _run(self, load: _Load[T], tell: Tell) -> T:
        """Load one setup. Setups are read one after the other, for the sake of memory."""
        card, hear = load.card, partial(self._tell, load, tell)
        try:
            if not self._turn.acquire(blocking=False):
                hear(Loading("Waiting for another setup to load"))
                self._turn.acquire()
            try:
                setup = self._loader(card, tell=hear)
                made = self._make(setup)
                self._keep(card, made, setup.n_bytes)
            finally:
                self._turn.release()
        except UserError:
            raise
        except Exception as error:
            logging.getLogger(__name__).exception("the setup %r could not be loaded", card.name)
            raise UserError(
                f"The setup {card.name!r} could not be loaded ({type(error).__name__}). Choose another."
            ) from error
        finally:
            with self._lock:
                self._forget(load)
        return made

    def _tell(self, load: _Load[T], tell: Tell, step: Loading) -> None:
        with self._lock:
            if not load.waiting:
                self._forget(load)  # who asks from now on begins anew
                raise StoppedError
        tell(step)
        if step.needs:
            self._make_room_to_load(load.card, step.needs, ask_only=step.in_bytes)

    def _forget(self, load: _Load[T]) -> None:
        if self._loads.get(load.card.name) is load:
            del self._loads[load.card.name]

    def _keep(self, card: SetupSpec, made: T, n_bytes: int) -> None:
        self._make_room_to_load(card, n_bytes)
        with self._lock:
            self._kept[card.name] = made, n_bytes

    def _make_room_to_load(self, card: SetupSpec, n_bytes: int, ask_only: bool = False) -> None:
        """Let others leave until n_bytes more are within the limit. Raises UserError when that cannot be."""
        with self._lock:
            pinned = sum(size for name, size in self._sizes().items() if name in self._pinned)
        if n_bytes > self._limit - pinned and card.name not in self._pinned:
            taken = f", of which {size_in_words(pinned)} are taken for good" if pinned else ""
            raise UserError(
                f"The setup {card.name!r} takes {size_in_words(n_bytes)} of memory; this page has "
                f"{size_in_words(self._limit)} for setups{taken}. Choose a smaller one."
            )
        if not ask_only:
            self._let_leave(card.name, n_bytes)

    def _let_leave(self, for_: str, n_bytes: int) -> None:
        """Let others leave until so many bytes for that setup are within the limit, or none is left."""
        with self._lock:
            sizes = self._sizes()
            sizes.pop(for_, None)
            leaving, total = [], n_bytes + sum(sizes.values())
            for name, size in sizes.items():
                if total > self._limit and name not in self._pinned:
                    leaving.append(name)
                    total -= size
            for name in leaving:
                del self._kept[name]
        if leaving:
            gc.collect()  # modules of transformers and sae_lens refer to themselves in circles

    def _sizes(self) -> dict[str, int]:
        """Sizes alone: a name that is still bound to what leaves would keep it alive. Within the lock."""
        return {name: n_bytes + self._grown(made) for name, (made, n_bytes) in self._kept.items()}
