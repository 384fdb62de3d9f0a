"""The pool of loaded setups that all visitors share: single-flight loading, and a bound on memory.

Whoever asks for a setup that is being loaded waits for the same load and sees how far it is. What was not used for
longest leaves when the memory is needed. A failure is not remembered, so that asking again tries again.
"""

import gc
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Generator, Mapping
from threading import Condition, Lock, Thread
from typing import Generic, Protocol, cast

from ..errors import UserError
from ..words import size_in_words
from .catalog import SetupSpec, find
from .loading import Loading, Setup, T, Tell, load


class Loader(Protocol):
    """What loads a setup: `load`, or a part of it."""

    def __call__(self, card: SetupSpec, *, tell: Tell) -> Setup:
        """Load it, telling how far it is."""


class _Nobody(BaseException):
    """Nobody waits any more. Not an Exception, so that nothing on the way takes it for a failure."""


class _Load(Generic[T]):
    """A setup that is being loaded, for whoever waits. Everything in it is guarded by the pool's condition."""

    def __init__(self) -> None:
        self.waiting = 0
        self.step = Loading("")
        self.steps = 0
        self.over = False
        self.made: T | None = None
        self.failure: str | None = None

    def tell(self, step: Loading) -> None:
        self.step = step
        self.steps += 1

    def has_news(self, heard: int) -> bool:
        return self.over or self.steps > heard


class SetupPool(Generic[T]):
    """Loaded setups, shared by all visitors, each with what was made of it (a Workbench, say).

    The weights of all together stay below a limit: what was used longest ago leaves before another setup is read. What
    is in use then lives on until it no longer is. Safe to use from several threads.
    """

    def __init__(
        self,
        cards: Mapping[str, SetupSpec],
        make: Callable[[Setup], T],
        *,
        limit_bytes: int,
        pinned: Collection[str] = (),
        loader: Loader = load,
    ) -> None:
        """Nothing is loaded yet. What is `pinned` never leaves once it is, and is loaded whatever the limit."""
        self.cards = cards
        self._make = make
        self._limit = limit_bytes
        self._pinned = frozenset(pinned)
        self._loader = loader
        self._kept: OrderedDict[str, tuple[T, int]] = OrderedDict()  # with bytes; used longest ago comes first
        self._loads: dict[str, _Load[T]] = {}
        self._changed = Condition()
        self._turn = Lock()

    def loaded(self) -> tuple[str, ...]:
        """The names of what is loaded."""
        with self._changed:
            return tuple(self._kept)

    def peek(self, name: str) -> T | None:
        """What was made of a setup, if it is loaded; that does not count as use.

        It takes no lock: in a process that was forked, one could be held by a thread which is not there.
        """
        kept = self._kept.get(name)
        return None if kept is None else kept[0]

    def get(self, name: str) -> T:
        """What was made of a setup, loaded if need be. Raises UserError when there is no such setup or it fails."""
        *_, made = self.bring(name)
        return cast(T, made)

    def bring(self, name: str) -> Generator[Loading | T]:
        """As `get`: how far it is, for as long as that lasts, and last what was made of the setup.

        Whoever asks meanwhile waits for the same load. It goes on while anybody waits; when all have closed their
        iterators it ends at its next step, and what was downloaded is kept.
        """
        card = find(self.cards, name)
        with self._changed:
            kept = self._kept.get(name)
            if kept is not None:
                self._kept.move_to_end(name)
            else:
                load = self._loads.get(name) or self._begin(card)
                load.waiting += 1
        if kept is not None:
            yield kept[0]
            return
        try:
            heard = 0
            while True:
                with self._changed:
                    while not load.has_news(heard):
                        self._changed.wait()
                    over, step, heard = load.over, load.step, load.steps
                if over:
                    break
                yield step
        finally:
            with self._changed:
                load.waiting -= 1
        if load.failure is not None:
            raise UserError(load.failure)
        yield cast(T, load.made)

    # In the load's own thread

    def _begin(self, card: SetupSpec) -> _Load[T]:
        load: _Load[T] = _Load()
        self._loads[card.name] = load
        Thread(target=self._run, args=(card, load), name=f"loading {card.name}", daemon=True).start()
        return load

    def _run(self, card: SetupSpec, load: _Load[T]) -> None:
        """Load one setup, and tell how it ended. Setups are read one after the other, for the sake of memory."""
        made: T | None = None
        failure: str | None = None
        try:
            if not self._turn.acquire(blocking=False):
                self._tell(card, load, Loading("Waiting for another setup to load"))
                self._turn.acquire()
            try:
                setup = self._loader(card, tell=lambda step: self._tell(card, load, step))
                made = self._make(setup)
                self._keep(card, made, setup.n_bytes)
            finally:
                self._turn.release()
        except _Nobody:
            return
        except UserError as trouble:
            failure = str(trouble)
        except Exception as error:
            logging.getLogger(__name__).exception("the setup %r could not be loaded", card.name)
            failure = f"The setup {card.name!r} could not be loaded ({type(error).__name__}). Choose another."
        with self._changed:
            load.made, load.failure = made, failure
            self._end(card, load)

    def _tell(self, card: SetupSpec, load: _Load[T], step: Loading) -> None:
        with self._changed:
            if not load.waiting:
                self._end(card, load)  # who asks from now on begins anew
                raise _Nobody
            load.tell(step)
            self._changed.notify_all()
        if step.needs:
            self._make_room(card, step.needs, ask_only=step.in_bytes)

    def _end(self, card: SetupSpec, load: _Load[T]) -> None:
        load.over = True
        del self._loads[card.name]
        self._changed.notify_all()

    def _keep(self, card: SetupSpec, made: T, n_bytes: int) -> None:
        self._make_room(card, n_bytes)
        with self._changed:
            self._kept[card.name] = made, n_bytes

    def _make_room(self, card: SetupSpec, n_bytes: int, ask_only: bool = False) -> None:
        """Let others leave until n_bytes more are within the limit. Raises UserError when that cannot be."""
        with self._changed:
            # Sizes alone: a name here that is still bound to what leaves would keep it alive.
            sizes = {name: kept[1] for name, kept in self._kept.items()}
            pinned = sum(size for name, size in sizes.items() if name in self._pinned)
            if n_bytes > self._limit - pinned and card.name not in self._pinned:
                taken = f", of which {size_in_words(pinned)} are taken for good" if pinned else ""
                raise UserError(
                    f"The setup {card.name!r} takes {size_in_words(n_bytes)} of memory; this page has "
                    f"{size_in_words(self._limit)} for setups{taken}. Choose a smaller one."
                )
            if ask_only:
                return
            leaving, total = [], n_bytes + sum(sizes.values())
            for name, size in sizes.items():
                if total > self._limit and name not in self._pinned:
                    leaving.append(name)
                    total -= size
            for name in leaving:
                del self._kept[name]
        if leaving:
            gc.collect()  # modules of transformers and sae_lens refer to themselves in circles
