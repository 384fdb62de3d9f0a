"""Pictures that come when a test lets them, for an index that grows meanwhile: no clock."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import constants
from streamed import Drawn

from core.indexing import build_in_steps
from core.pictures.collection import Collection


class Licensed(Drawn):
    """Pictures whose licence is known."""

    def __init__(self, look: Callable[[int], None]) -> None:
        super().__init__((37,), look)
        self.manifest = {**self.manifest, "licence": "cc-by-4.0"}


class HeldPictures:
    """What an index may be made from: the reading is held before these pictures."""

    pictures = "/home/somebody/pictures"
    workers = 0

    def __init__(self, *holds: int) -> None:
        self.reached, self.go = {n: threading.Event() for n in holds}, {n: threading.Event() for n in holds}

    def look(self, place: int) -> None:
        if place in self.go:
            self.reached[place].set()
            assert self.go[place].wait(60)

    def open(self) -> Collection:
        return Licensed(self.look)


@contextmanager
def held_pictures(monkeypatch: pytest.MonkeyPatch, kept: Path, *holds: int) -> Iterator[HeldPictures]:
    """Held before these; let go at the end. There is something to show after four, and what is made is `kept` there."""
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(kept))
    monkeypatch.setattr(build_in_steps, "FIRST", 4)
    held = HeldPictures(*holds)
    yield held
    for go in held.go.values():
        go.set()
    for thread in threading.enumerate():  # torch ends the process where it still computes at the end of that
        if thread.name.startswith("making the index of"):
            thread.join()
