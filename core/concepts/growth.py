"""Growth of a concept index that is made in the background, while the page answers: how far it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Growth:
    """How far the making of an index is."""

    source: str = ""
    """The collection its pictures are of; empty where that is not opened yet."""
    licence: str = ""
    """Of these pictures; empty where that is not known."""
    done: int = 0
    """Pictures that were looked at."""
    total: int = 0
    """Pictures there are; 0 where that is not known."""
    n_bytes: int = 0
    """What is held in memory to go on with, beside what there is to show."""
    shown: int = 0
    """How often there was more to show: what was drawn since a smaller number is of fewer pictures."""
