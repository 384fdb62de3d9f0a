"""A dictionary as it was made for a CLIP, with what is told of that."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..model.dictionary import Dictionary
from .standardisation import ResidualStatistics, Standardisation

Hear = Callable[[str], Callable[[int, int], None]]
"""Told what is being done, it gives what hears how much of that is done, and how much there is."""


@dataclass(frozen=True, eq=False)
class Made:
    """A dictionary, on the CLIP's device."""

    dictionary: Dictionary
    """The components."""
    formula: str
    """How it encodes, in words."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Where its file does not tell the formula: the explained variance over the photographs of each that was tried."""
    standardisation: Standardisation | None = None
    """What its weights have folded in; None where it reads x itself."""
    statistics: ResidualStatistics | None = None
    """What that standardisation is from; None without one."""
