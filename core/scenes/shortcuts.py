"""The planted shortcuts: cues that speak for a wrong class, and what people call them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Shortcut:
    """One of them, in words."""

    cue: str
    """The cue in one word."""
    fooled_by: str
    """The cue as what fools a model."""
    shown: str
    """The cue as what a picture shows."""


SHORTCUTS: Mapping[str, Shortcut] = MappingProxyType(
    {
        "attacked": Shortcut("note", "a conflicting word", "a conflicting note"),
        "stamped": Shortcut("stamp", "the stamp", "the stamp"),
        "flooded": Shortcut("water", "water", "water"),
    }
)
"""By kind of scene, as in `sampling.HELD_OUT` and in reports."""
CUES: Mapping[str, str] = MappingProxyType({shortcut.cue: kind for kind, shortcut in SHORTCUTS.items()})
"""The kind of scene of each cue."""
