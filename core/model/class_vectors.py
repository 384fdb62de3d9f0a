"""Class vectors of one CLIP, read once, step by step, and shared among all who ask about the same classes.

1. Classes are read part by part (`core.model.class_lists.segments`): a list that ships, and those before and after it.
   So whoever adds a class to a thousand has one read, and the numbers of a list are the same whoever asks.
2. A part is read a batch of texts at a time. Who asks meanwhile takes part in the same reading, and who stops leaves it
   to the next one where it is.
3. What was read is kept in memory up to `MOST_BYTES`, and lists that ship by whoever keeps them for longer (`Shelf`).
"""

from collections import OrderedDict
from collections.abc import Generator, Hashable, Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

import torch
from torch import Tensor

from .class_lists import segments
from .clip import SplitClip, classifier_steps

MOST_BYTES = 64 << 20
"""Of the vectors that are kept in memory: of ImageNet's names with 768 numbers each, some twenty kinds of wording."""
MOST_BEGUN = 8
"""Readings that are kept where they were left."""

Names = tuple[str, ...]
"""Classes, or templates."""
Texts = tuple[int, int]
"""Texts that are read, and how many there are."""


class Shelf(Protocol):
    """Where the vectors of a list outlive the process."""

    def find(self, name: str, templates: Names) -> Tensor | None:
        """Those of a list's classes, [C, p]; None where there are none."""
        ...

    def put(self, name: str, templates: Names, vectors: Tensor) -> None:
        """Keep them, where that is possible."""
        ...


@dataclass
class _Reading:
    """A part that is being read."""

    steps: Iterator[Tensor]
    lock: Lock = field(default_factory=Lock)
    parts: list[Tensor] = field(default_factory=list)


class ClassVectors:
    """The class vectors of one CLIP. Safe to share."""

    def __init__(self, clip: SplitClip, shelf: Shelf | None = None) -> None:
        """Read by `clip`; `shelf` keeps lists for longer."""
        self._clip, self._shelf = clip, shelf
        self._found: OrderedDict[Hashable, Tensor] = OrderedDict()
        self._begun: OrderedDict[Hashable, _Reading] = OrderedDict()
        self._lock = Lock()

    def missing(self, classes: Names, templates: Names) -> Names:
        """Those of the classes that are still to be read."""
        if self._kept((classes, templates)) is not None:
            return ()
        parts = segments(classes)
        return tuple(name for listed, part in parts if self._part(listed, part, templates) is None for name in part)

    def read(self, classes: Names, templates: Names) -> Tensor:
        """Unit class vectors [C, p], as `text_classifier`."""
        steps = self.steps(classes, templates)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                found: Tensor = end.value
                return found

    def steps(self, classes: Names, templates: Names) -> Generator[Texts, None, Tensor]:
        """The same, telling after each step how far it is."""
        found = self._kept((classes, templates))
        if found is not None or not classes:
            return self._clip.texts([]) if found is None else found
        parts: list[Tensor] = []
        done = 0
        for listed, part in segments(classes):
            vectors = self._part(listed, part, templates)
            if vectors is None:
                reading = self._reading(part, templates)
                while True:
                    try:
                        yield (done + next(reading)) * len(templates), len(classes) * len(templates)
                    except StopIteration as end:
                        vectors = end.value
                        break
                if listed is not None and self._shelf is not None:
                    self._shelf.put(listed, templates, vectors)
            parts.append(vectors)
            done += len(part)
        return parts[0] if len(parts) == 1 else self._keep((classes, templates), torch.cat(parts))

    def _part(self, listed: str | None, part: Names, templates: Names) -> Tensor | None:
        """The vectors of a part that was read before."""
        found = self._kept((part, templates))
        if found is None and listed is not None and self._shelf is not None:
            found = self._shelf.find(listed, templates)
            if found is not None:
                found = self._keep((part, templates), self._clip.tensor(found))
        return found

    def _reading(self, part: Names, templates: Names) -> Generator[int, None, Tensor]:
        """Read a part, telling after each step how many of its classes are done."""
        key = part, templates
        with self._lock:
            reading = self._begun.setdefault(key, _Reading(classifier_steps(self._clip, part, templates)))
            self._begun.move_to_end(key)
            while len(self._begun) > MOST_BEGUN:
                self._begun.popitem(last=False)
        done = 0
        while done < len(part):
            with reading.lock:
                if sum(map(len, reading.parts)) < len(part):
                    try:
                        reading.parts.append(next(reading.steps))
                    except BaseException:  # it begins anew, for whoever asks next
                        reading.steps = classifier_steps(self._clip, part, templates)
                        reading.parts.clear()
                        raise
                done = sum(map(len, reading.parts))
            yield done
        with self._lock:
            self._begun.pop(key, None)
        return self._keep(key, torch.cat(reading.parts))

    def _kept(self, key: Hashable) -> Tensor | None:
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def _keep(self, key: Hashable, vectors: Tensor) -> Tensor:
        """Keep it, and let go what was not asked for longest."""
        with self._lock:
            self._found[key] = vectors
            self._found.move_to_end(key)
            while len(self._found) > 1 and sum(each.nbytes for each in self._found.values()) > MOST_BYTES:
                self._found.popitem(last=False)
        return vectors
