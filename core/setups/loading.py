"""From a card of the catalog to a setup that answers, and the shelf on which loaded setups stand.

1. `load` fetches the files, reads the CLIP and the dictionary, and compares what the dictionary's file says of itself
   with the card. Of several formulas that the file may have been trained with, the one that reconstructs the example
   pictures best is taken, and the figures of all are kept.
2. Every setup is checked on the example pictures (`core.setups.health`); a bad one is refused with its numbers.
3. Where its catalog names a concept index, that is read too. A setup works without one, and says why there is none.
4. A `Shelf` keeps loaded setups for all visitors: whoever asks for one that is being loaded waits for the same load and
   sees how far it is. What was not used for longest leaves when the memory is needed.

Whatever goes wrong is a Trouble with a sentence; it is not remembered, so that asking again tries again.
"""

import gc
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from threading import Condition, Lock, Thread
from typing import Generic, Protocol, TypeVar, cast

import torch
from transformers import CLIPConfig, CLIPModel

from ..concepts import index as concept_index
from ..concepts.index import ConceptIndex
from ..errors import Trouble
from ..model.clip import SplitClip
from ..model.dictionary import Dictionary
from .catalog import CATALOG, SetupCard, find, read_catalog
from .checkpoints import Reading, files_of, read_checkpoint
from .health import Health, check_each, example_samples, refusal
from .hub import CLIP_FILES, Download, fetch, size_in_words
from .identity import identity

_SCOPES = {"all": "all tokens", "cls": "CLS only", "patches": "patches only"}
_NO_MEMORY = re.compile("out of memory|not enough memory|can(?:'|no)t allocate memory", re.IGNORECASE)
"""How torch says it on a CPU and on Apple's GPU, and the system: there is no exception of its own for it."""

T = TypeVar("T")


@dataclass(frozen=True)
class Loading:
    """How far a setup is on its way."""

    said: str
    """What is being done, for the reader."""
    done: int = 0
    """How much of it is done."""
    total: int = 0
    """How much there is; 0 where that is not known."""
    in_bytes: bool = False
    """Whether that is counted in bytes: of a download, with those of an earlier one."""
    needs: int = 0
    """Bytes of memory that the setup's weights will take, as far as is known; 0 where it is not."""


Tell = Callable[[Loading], None]
"""Hears how far it is. It cancels the loading by raising; what it raises comes out as it is."""


@dataclass(frozen=True, eq=False)
class Setup:
    """A setup, loaded. Read-only, and shared by all visitors."""

    card: SetupCard
    """What it is."""
    clip: SplitClip
    """The model, split at the card's layer."""
    dictionary: Dictionary
    """The components of that layer."""
    commits: Mapping[str, str] = field(default_factory=dict)
    """The commit of each repository it came from, by "clip" and "dictionary"; nothing for folders."""
    formula: str = ""
    """How the dictionary encodes, in words."""
    alternatives: Mapping[str, float] = field(default_factory=dict)
    """Where its file does not tell the formula: the explained variance (as in `Health`) of each that was tried."""
    health: Health | None = None
    """How it did on the example pictures; None for one that was put together by hand."""
    index: ConceptIndex | None = None
    """What its components fire for; None without a concept index."""
    index_trouble: str = ""
    """Why its concept index cannot be used; empty where there is one, or none was named."""

    @property
    def n_bytes(self) -> int:
        """What the weights and the concept index take in memory."""
        return self.clip.n_bytes + self.dictionary.n_bytes + (0 if self.index is None else self.index.n_bytes)

    def to(self, device: str) -> "Setup":
        """The same on another device; what is there already is not copied."""
        return replace(self, clip=self.clip.to(device), dictionary=self.dictionary.to(device))


def _nobody(step: Loading) -> None:
    """Hear nothing."""


def load(card: SetupCard, device: str = "cpu", prefix: torch.dtype = torch.float32, tell: Tell = _nobody) -> Setup:
    """Load a setup; `prefix` is the precision of the CLIP's layers up to L (see `SplitClip`).

    Raises Trouble when its parts are missing, damaged, or do not fit each other or the memory, and when its
    reconstruction is bad.
    """
    needs = 0

    def hear(step: Loading) -> None:
        nonlocal needs
        needs = step.needs or needs
        tell(step)

    try:
        return _loaded(card, device, prefix, hear)
    except Exception as error:
        if not _lacks_memory(error):
            raise
        size = f" (its weights take about {size_in_words(needs)})" if needs else ""
        raise Trouble(
            f"There is not enough memory for the setup {card.name!r}{size}. "
            "Choose a smaller one, or end what else takes memory here."
        ) from error


def load_setup(name: str, device: str = "cpu", catalog: Path = CATALOG) -> Setup:
    """Load the setup of that name. Raises Trouble when the catalog has none, or as `load` does."""
    return load(find(read_catalog(catalog), name), device)


def _loaded(card: SetupCard, device: str, prefix: torch.dtype, tell: Tell) -> Setup:
    # The dictionary first: it is what is missing, or misnamed, more often.
    patterns = files_of(card.layout, card.dictionary.file)
    fetched = fetch(card.dictionary, patterns, _downloading(tell, 0))
    size = _file_sizes(fetched.folder, patterns)
    clip_fetched = fetch(card.clip, CLIP_FILES, _downloading(tell, size))

    with _readable("CLIP", str(card.clip)):
        size += _clip_size(clip_fetched.folder)
        tell(Loading("Reading the CLIP", needs=size))
        clip = SplitClip.from_folder(clip_fetched.folder, card.layer, device, prefix)
    tell(Loading("Reading the dictionary", needs=size))
    with _readable("dictionary", str(card.dictionary)):
        readings = read_checkpoint(card.layout, fetched.folder, card.dictionary.file)
    for reading in readings:
        _agree(card, clip, reading)
    dictionaries = [Dictionary(reading.sae, card.scope).to(device) for reading in readings]

    samples = example_samples()
    what = f"Checking it on {len(samples)} pictures"
    healths = check_each(clip, dictionaries, samples, lambda done, total: tell(Loading(what, done, total, needs=size)))
    explained = [h.explained_variance if h.finite else -float("inf") for h in healths]
    best = explained.index(max(explained))
    if (refused := refusal(healths[best], card)) is not None:
        raise Trouble(refused)
    commits = {
        part: commit
        for part, commit in (("clip", clip_fetched.commit), ("dictionary", fetched.commit))
        if commit is not None
    }
    index, trouble = _index(card, commits, clip, dictionaries[best], tell)
    figures = {reading.formula: h.explained_variance for reading, h in zip(readings, healths, strict=True)}
    return Setup(
        card=card,
        clip=clip,
        dictionary=dictionaries[best],
        commits=commits,
        formula=readings[best].formula,
        alternatives=figures if len(readings) > 1 else {},
        health=healths[best],
        index=index,
        index_trouble=trouble,
    )


def _index(
    card: SetupCard, commits: Mapping[str, str], clip: SplitClip, dictionary: Dictionary, tell: Tell
) -> tuple[ConceptIndex | None, str]:
    """The concept index of a setup, or why it cannot be used: the setup is good without."""
    if card.index is None:
        return None, ""
    try:
        # A repository may hold the indexes of several setups, each in a folder of its own.
        files = [(PurePosixPath(card.index.file) / name).as_posix() for name in concept_index.INDEX_FILES]
        fetched = fetch(card.index, files, _downloading(tell, 0))
        made_for = identity(card, commits, clip, dictionary)
        return concept_index.load(fetched.folder / card.index.file, made_for, clip), ""
    except Trouble as trouble:
        return None, str(trouble)


def _downloading(tell: Tell, besides: int) -> Callable[[Download], None]:
    """Pass on how far a download is, unless everything is here; `besides` are bytes needed for other files."""

    def hear(download: Download) -> None:
        if download.done < download.total:
            said, needs = f"Downloading {download.what}", besides + download.total
            tell(Loading(said, download.done, download.total, in_bytes=True, needs=needs))

    return hear


@contextmanager
def _readable(what: str, where: str) -> Iterator[None]:
    """Whatever transformers, safetensors and torch raise over files that are not as they should be, as a sentence."""
    try:
        yield
    except Exception as error:
        if isinstance(error, Trouble) or _lacks_memory(error):
            raise
        first = next(iter(str(error).strip().splitlines()), "")[:200].rstrip(".")
        raise Trouble(
            f"The {what} in {where} cannot be read: {first or type(error).__name__}. "
            "Its files are damaged or of another kind; put them there anew, or choose another setup."
        ) from error


def _clip_size(folder: Path) -> int:
    """Bytes of a CLIP's weights in float32, from its configuration alone."""
    config = CLIPConfig.from_pretrained(folder, local_files_only=True)
    with torch.device("meta"):
        model = CLIPModel(config)
    return sum(4 * weight.numel() for weight in model.parameters())


def _file_sizes(folder: Path, patterns: Collection[str]) -> int:
    """Bytes on disk of the files that patterns (see `hub.CLIP_FILES`) name: about what they take in memory."""
    names = {name for pattern in patterns for name in re.split("[|&]", pattern) if name}
    return sum(path.stat().st_size for name in names for path in folder.glob(name))


def _agree(card: SetupCard, clip: SplitClip, reading: Reading) -> None:
    """Raise Trouble where the dictionary cannot be of this CLIP, or says of itself what the card does not."""
    width = reading.sae.cfg.d_in
    if width != clip.width:
        raise Trouble(
            f"The dictionary of the setup {card.name!r} is for a residual {width} wide; "
            f"its CLIP has {clip.width}. Choose one trained on this CLIP."
        )
    claims, differences = reading.claims, []
    if "layer" in claims:
        layer = cast(int, claims["layer"])
        if card.layer != (layer if layer >= 0 else clip.n_layers + layer):
            differences.append((f"layer {layer}", f"layer {card.layer}"))
    if claims.get("scope", card.scope) != card.scope:
        differences.append((_SCOPES[str(claims["scope"])], _SCOPES[card.scope]))
    if claims.get("point", "residual") != "residual":
        differences.append((f"the point “{claims['point']}”", "the residual after a layer"))
    if differences:
        theirs, ours = (" and ".join(parts) for parts in zip(*differences, strict=True))
        raise Trouble(
            f"The dictionary of the setup {card.name!r} says that it was trained on {theirs}; the setup is for {ours} "
            "(layers from 0). Correct the setup, or choose another dictionary."
        )


def _lacks_memory(error: BaseException | None) -> bool:
    """Whether memory ran out, there or in what caused it."""
    while error is not None:
        own = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if own or isinstance(error, RuntimeError | OSError) and _NO_MEMORY.search(str(error)):
            return True
        error = error.__cause__
    return False


# ---- the shelf


class Loader(Protocol):
    """What loads a setup: `load`, or a part of it."""

    def __call__(self, card: SetupCard, *, tell: Tell) -> Setup:
        """Load it, telling how far it is."""


class _Nobody(BaseException):
    """Nobody waits any more. Not an Exception, so that nothing on the way takes it for a failure."""


class _Load(Generic[T]):
    """A setup that is being loaded, for whoever waits. Everything in it is guarded by the shelf's condition."""

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


class Shelf(Generic[T]):
    """Loaded setups, shared by all visitors, each with what was made of it (a Workbench, say).

    The weights of all together stay below a limit: what was used longest ago leaves before another setup is read. What
    is in use then lives on until it no longer is. Safe to use from several threads.
    """

    def __init__(
        self,
        cards: Mapping[str, SetupCard],
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
        """What was made of a setup, loaded if need be. Raises Trouble when there is no such setup or it fails."""
        *_, made = self.bring(name)
        return cast(T, made)

    def bring(self, name: str) -> Iterator[Loading | T]:
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
            raise Trouble(load.failure)
        yield cast(T, load.made)

    # In the load's own thread

    def _begin(self, card: SetupCard) -> _Load[T]:
        load: _Load[T] = _Load()
        self._loads[card.name] = load
        Thread(target=self._run, args=(card, load), name=f"loading {card.name}", daemon=True).start()
        return load

    def _run(self, card: SetupCard, load: _Load[T]) -> None:
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
        except Trouble as trouble:
            failure = str(trouble)
        except Exception as error:
            logging.getLogger(__name__).exception("the setup %r could not be loaded", card.name)
            failure = f"The setup {card.name!r} could not be loaded ({type(error).__name__}). Choose another."
        with self._changed:
            load.made, load.failure = made, failure
            self._end(card, load)

    def _tell(self, card: SetupCard, load: _Load[T], step: Loading) -> None:
        with self._changed:
            if not load.waiting:
                self._end(card, load)  # who asks from now on begins anew
                raise _Nobody
            load.tell(step)
            self._changed.notify_all()
        if step.needs:
            self._make_room(card, step.needs, ask_only=step.in_bytes)

    def _end(self, card: SetupCard, load: _Load[T]) -> None:
        load.over = True
        del self._loads[card.name]
        self._changed.notify_all()

    def _keep(self, card: SetupCard, made: T, n_bytes: int) -> None:
        self._make_room(card, n_bytes)
        with self._changed:
            self._kept[card.name] = made, n_bytes

    def _make_room(self, card: SetupCard, n_bytes: int, ask_only: bool = False) -> None:
        """Let others leave until n_bytes more are within the limit. Raises Trouble when that cannot be."""
        with self._changed:
            # Sizes alone: a name here that is still bound to what leaves would keep it alive.
            sizes = {name: kept[1] for name, kept in self._kept.items()}
            pinned = sum(size for name, size in sizes.items() if name in self._pinned)
            if n_bytes > self._limit - pinned and card.name not in self._pinned:
                taken = f", of which {size_in_words(pinned)} are taken for good" if pinned else ""
                raise Trouble(
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
