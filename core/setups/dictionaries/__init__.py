"""Kinds of dictionaries, and how a setup comes by one: read from files of an SAE, or made of words. One file each."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from ...model.clip import SplitClip
from ..catalog import DictionaryKind, SetupSpec
from ..made import Hear, Made
from . import trained, words

__all__ = ["DICTIONARIES"]


class _Kind(Protocol):
    """What the module of a kind has."""

    def files_of(self, card: SetupSpec) -> tuple[str, ...]:
        """The files that it needs: patterns, relative to the root of the dictionary's place."""

    def hint_for_names(self, card: SetupSpec) -> Callable[[Iterable[str]], str]:
        """What the names of the files there tell, where none is among them that is needed."""

    def made(self, card: SetupSpec, clip: SplitClip, clip_commit: str | None, root: Path, hear: Hear) -> Made:
        """The dictionary of the files below `root`, for a CLIP. Raises UserError for what does not fit."""


DICTIONARIES: Mapping[DictionaryKind, _Kind] = MappingProxyType({"sae": trained, "words": words})
"""By `SetupSpec.kind`."""
