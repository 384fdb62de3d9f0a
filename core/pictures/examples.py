"""The example pictures: what each shows, what it comes with, and its twin without the cue."""

import json
from dataclasses import dataclass
from pathlib import Path

from ..files import ASSETS
from ..scenes.shortcuts import CUES

FOLDER = ASSETS / "examples"
"""The pictures, as `name`.webp, and examples.json, which `core.bundled.examples` writes."""


@dataclass(frozen=True)
class Example:
    """One picture of the gallery."""

    name: str
    """File name without its ending."""
    sentence: str
    """What it shows and why it is there."""
    classes: tuple[str, ...]
    """The classes it comes with."""
    truth: str
    """What it should be."""
    twin: str | None
    """File name, without its ending, of the same scene without the cue."""
    source: str
    """Where the picture is from."""

    @property
    def cue(self) -> str | None:
        """What the twin lacks, one of `CUES`; None for an example without a twin."""
        return None if self.twin is None else next(cue for cue in CUES if cue in self.name.split("-"))

    @property
    def rendered(self) -> bool:
        """Whether this project drew it; else it is a photograph."""
        return self.source.startswith("rendered")

    def file(self, twin: bool = False) -> Path:
        """The picture, or its twin; the picture itself where it has none."""
        return FOLDER / f"{self.twin if twin and self.twin else self.name}.webp"


def read_examples() -> tuple[Example, ...]:
    """All of them, in the order of the gallery."""
    entries = json.loads((FOLDER / "examples.json").read_text(encoding="utf-8"))
    return tuple(Example(**entry | {"classes": tuple(entry["classes"])}) for entry in entries)
