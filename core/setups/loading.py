"""Loading of a setup: from a card of the catalog to a checked CLIP with its dictionary.

1. `load` fetches the files, reads the CLIP and the dictionary, as its kind is made (`core.setups.dictionaries`). What
   an SAE's file says of itself is compared with the card. Of several formulas that the file may have been trained with,
   the one that reconstructs photographs best is taken, and the figures of all are kept (`core.setups.readings`). A
   dictionary of words is computed from the CLIP.
2. Every setup is checked on a few pictures (`core.setups.health_check`), unless the figures of the same check were kept
   (`core.setups.kept_health`). What is doubtful stands with it; the rules of `core.setups.health` refuse it.
3. Where its catalog names a concept index, that is read too. A setup works without one, and says why there is none.

Whatever goes wrong is a UserError with a sentence; it is not remembered, so that asking again tries again.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TypeVar

import torch
from transformers import PreTrainedConfig

from ..concepts import index_file
from ..concepts.index import ConceptIndex, Identity
from ..errors import UserError
from ..model.clip import SplitClip
from ..model.dictionary import Dictionary
from ..model.sae_clip import SaeClip
from ..words import size_in_words
from .catalog import CATALOG, SetupSpec, find, read_catalog
from .clips import find_clip, read_clip
from .clips.parts import model_class
from .dictionaries import DICTIONARIES
from .foreign_errors import lacks_memory
from .health import Health, refusal
from .health_check import check, probe_for
from .hub import Download, fetch
from .identity import fingerprint, identity
from .kept_health import about_check, kept_health, remember
from .made import Hear, Made
from .standardisation import ResidualStatistics, Standardisation

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

    card: SetupSpec
    """What it is."""
    model: SaeClip
    """The CLIP, split at the card's place, and the components there."""
    commits: Mapping[str, str] = field(default_factory=dict)
    """The commit of each repository it came from, by "clip" and "dictionary"; nothing for folders."""
    formula: str = ""
    """How the dictionary encodes, in words."""
    alternatives: Mapping[str, float] = field(default_factory=dict)
    """Where its file does not tell the formula: the explained variance over the photographs of each that was tried."""
    health: Health | None = None
    """How it did on a few pictures, and what is doubtful; None for one that was put together by hand."""
    index: ConceptIndex | None = None
    """What its components fire for; None without a concept index."""
    index_trouble: str = ""
    """Why its concept index cannot be used; empty where there is one, or none was named."""
    standardisation: Standardisation | None = None
    """What the dictionary's weights have folded in; None where it was trained on x itself."""
    statistics: ResidualStatistics | None = None
    """What that standardisation is from; None without one."""

    @property
    def clip(self) -> SplitClip:
        """The CLIP."""
        return self.model.clip

    @property
    def dictionary(self) -> Dictionary:
        """The components."""
        return self.model.dictionary

    @property
    def n_bytes(self) -> int:
        """What the weights and the concept index take in memory."""
        return self.model.n_bytes + (0 if self.index is None else self.index.n_bytes)

    @property
    def identity(self) -> Identity:
        """Which setup it is, as files that are made for it say (`core.setups.identity`)."""
        return identity(self.card, self.commits, self.clip, self.dictionary)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights of both, and of how they are put together (`core.setups.identity`)."""
        return fingerprint(self.clip, self.dictionary)

    def to(self, device: str) -> "Setup":
        """The same on another device; what is there already is not copied."""
        return replace(self, model=self.model.to(device))


def _nobody(step: Loading) -> None:
    """Hear nothing."""


def load(
    card: SetupSpec,
    device: str = "cpu",
    prefix: torch.dtype = torch.float32,
    tell: Tell = _nobody,
    anyway: bool = False,
) -> Setup:
    """Load a setup; `prefix` is the precision of the CLIP's layers up to L (see `SplitClip`).

    Raises UserError when its parts are missing, damaged, or do not fit each other or the memory, when its answers rest
    on nothing, and when its dictionary hardly reconstructs what it is given: the last only for a setup that the catalog
    does not pin to commits, and not if `anyway`.
    """
    needs = 0

    def hear(step: Loading) -> None:
        nonlocal needs
        needs = step.needs or needs
        tell(step)

    try:
        return _loaded(card, device, prefix, hear, anyway)
    except Exception as error:
        if not lacks_memory(error):
            raise
        size = f" (its weights take about {size_in_words(needs)})" if needs else ""
        raise UserError(
            f"There is not enough memory for the setup {card.name!r}{size}. "
            "Choose a smaller one, or end what else takes memory here."
        ) from error


def load_setup(name: str, device: str = "cpu", catalog: Path = CATALOG, anyway: bool = False) -> Setup:
    """Load the setup of that name. Raises UserError when the catalog has none, or as `load` does."""
    return load(find(read_catalog(catalog), name), device, anyway=anyway)


def _loaded(card: SetupSpec, device: str, prefix: torch.dtype, tell: Tell, anyway: bool) -> Setup:
    # Nothing large comes before it is known that both parts are there, and that the CLIP can be used.
    source = find_clip(card.clip, card.at, _downloading(tell, 0))
    clip_size = _clip_size(source.settings.config)
    kind = DICTIONARIES[card.kind]
    patterns = kind.files_of(card)
    fetched = fetch(card.dictionary, patterns, _downloading(tell, clip_size), kind.hint_for_names(card))
    dictionary_size = _file_sizes(fetched.folder, patterns)
    clip_files, clip_commit = source.download(_downloading(tell, dictionary_size))
    size = clip_size + dictionary_size

    tell(Loading("Reading the CLIP", needs=size))
    clip = read_clip(clip_files, card.at, device, prefix)
    card = replace(card, scope=clip.scope(card.scope))
    commits = {
        part: commit for part, commit in (("clip", clip_commit), ("dictionary", fetched.commit)) if commit is not None
    }

    def hear(what: str) -> Callable[[int, int], None]:
        return lambda done, total: tell(Loading(what, done, total, needs=size))

    tell(Loading("Reading the dictionary", needs=size))
    made = kind.made(card, clip, clip_commit, fetched.folder, hear)
    setup_identity = identity(card, commits, clip, made.dictionary)
    health = _health(card, setup_identity, clip, made, hear)
    if (refused := refusal(health, card, anyway)) is not None:
        raise UserError(refused)
    index, trouble = _index(card, setup_identity, clip, tell)
    return Setup(
        card=card,
        model=SaeClip(clip, made.dictionary),
        commits=commits,
        formula=made.formula,
        alternatives=made.figures,
        standardisation=made.standardisation,
        statistics=made.statistics,
        health=health,
        index=index,
        index_trouble=trouble,
    )


def _health(
    card: SetupSpec,
    setup_identity: Identity,
    clip: SplitClip,
    made: Made,
    hear: Hear,
) -> Health:
    """The figures of the health check, kept ones or new ones."""
    about = about_check(card, clip, setup_identity)
    kept = None if about is None else kept_health(card, about)
    if kept is not None:
        return kept
    probe = probe_for(card)
    checking = hear(f"Checking it on {len(probe.samples)} {probe.kind}")
    health = check(clip, made.dictionary, card, probe, checking, made.standardisation)
    if about is not None:
        remember(health, card, about)
    return health


def _index(card: SetupSpec, setup_identity: Identity, clip: SplitClip, tell: Tell) -> tuple[ConceptIndex | None, str]:
    """The concept index of a setup, or why it cannot be used: the setup is good without."""
    if card.index is None:
        return None, ""
    try:
        # A repository may hold the indexes of several setups, each in a folder of its own.
        files = [(PurePosixPath(card.index.file) / name).as_posix() for name in index_file.INDEX_FILES]
        fetched = fetch(card.index, files, _downloading(tell, 0))
        return index_file.load(fetched.folder / card.index.file, setup_identity, clip), ""
    except UserError as trouble:
        return None, str(trouble)


def _downloading(tell: Tell, besides: int) -> Callable[[Download], None]:
    """Pass on how far a download is, unless everything is here; `besides` are bytes needed for other files."""

    def hear(download: Download) -> None:
        if download.done < download.total:
            said, needs = f"Downloading {download.what}", besides + download.total
            tell(Loading(said, download.done, download.total, in_bytes=True, needs=needs))

    return hear


def _clip_size(config: PreTrainedConfig) -> int:
    """Bytes of a CLIP's weights in float32, from its configuration alone."""
    with torch.device("meta"):
        model = model_class(config)(config)
    return sum(4 * weight.numel() for weight in model.parameters())


def _file_sizes(folder: Path, patterns: Collection[str]) -> int:
    """Bytes on disk of the files that patterns (see `hub.Listing.choose`) name: about what they take in memory."""
    names = {name for pattern in patterns for name in re.split("[|&]", pattern) if name}
    return sum(path.stat().st_size for name in names for path in folder.glob(name))
