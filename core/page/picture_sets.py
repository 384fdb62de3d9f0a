"""Picture set that a visit asks about, from what it names: what all visitors have, or their own; and a stop."""

import time
from collections.abc import Generator, Iterator
from typing import NamedTuple

from ..errors import UserError
from ..methods.picture_set import PictureSet
from ..methods.reference_scenes import KINDS
from ..model.prompts import TEMPLATES
from ..pictures.examples import asked_classes, example_pictures
from ..session.cancellation import LatestOnly
from ..session.many_pictures import INDEX, OWN, PHOTOGRAPHS, OwnPictures
from ..session.visit import Visit
from ..views import frame
from ..views import many as many_view
from ..workbench import INDEXED, Step, Workbench
from .context import Context

BRING_AGAIN = "These pictures are not on the server any more. Bring them again."
SCENES = "scenes rendered by this project"
QUICK = 1.0
"""Seconds that the reading of classes may take before it is told how far it is."""


class ChosenSet(NamedTuple):
    """A set, as it is asked about."""

    pictures: PictureSet
    """The pictures, among the classes that are asked about."""
    called: str
    """What they are, after their number."""
    photographs: bool
    """Whether there may be photographs among them."""
    templates: tuple[str, ...]
    """How the classes are put into words."""


def halt(_context: Context, v: Visit, stops: LatestOnly[None]) -> Visit:
    """End what a visitor waits for, at its next step: what begins `stops` is over for all that began it before."""
    stops.begin()
    return v


def choices(bench: Workbench) -> list[tuple[str, str]]:
    """The sets that there are for a setup: what they are called, and their names."""
    kinds = [(f"Scenes: {many_view.group_words(kind)} ({n})", kind) for kind, n in KINDS.items()]
    found = [(f"All scenes ({sum(KINDS.values())})", ""), *kinds]
    if _knows_photographs(bench):
        found.append((f"Photographs, with a planted cue and without ({example_pictures().size})", PHOTOGRAPHS))
    if bench.index is not None:
        n = min(INDEXED, len(bench.index.pictures))
        found.append((f"Reference pictures of the concept index ({n})", INDEX))
    return [*found, ("Your own pictures", OWN)]


def chosen(bench: Workbench, v: Visit, own: OwnPictures, stops: bool = False) -> Iterator[str | ChosenSet | None]:
    """The set that is asked about, last: None where a visitor has to bring it. Before, how far its reading is: HTML.

    With `stops`, that has a button which stops it, for many.js.

    Raises UserError for labels that cannot be asked about, and for a set that the setup does not have.
    """
    which = v.many.which
    if which not in (name for _, name in choices(bench)):
        raise UserError("These pictures are not for this setup. Choose others above.")
    if which == OWN:
        held = own.of(v.setup)
        if held is None:
            yield None
            return
        names = (held.pictures.label_names if v.many.by_labels else ()) or v.classes
        yield from _read(bench.read_classes(names, v.templates), stops)
        pictures = held.pictures.grouped(v.many.grouped_by) if v.many.grouped_by else held.pictures
        asked = bench.classified(pictures, names, v.templates)
        yield ChosenSet(asked, f"of your pictures, {held.name}", True, v.templates)
    elif which in (PHOTOGRAPHS, INDEX):
        photographs = which == PHOTOGRAPHS
        called = "photographs, some with a planted cue" if photographs else "reference pictures of the concept index"
        classes = asked_classes() if photographs else v.classes
        yield from _read(bench.read_classes(classes, v.templates), stops)
        for step in _steps(bench.photographs() if photographs else bench.indexed_pictures(), stops):
            if isinstance(step, str):
                yield step
            else:
                asked = bench.classified(step, classes, v.templates)
                yield ChosenSet(asked, called, _knows_photographs(bench), v.templates)
    else:
        for step in _steps(bench.references(), stops):
            if isinstance(step, str):
                yield step
            else:
                some = step.part((step.group == which).nonzero()[0]) if which else step
                yield ChosenSet(some, SCENES, False, TEMPLATES["single"])


def _steps(reading: Generator[Step | PictureSet], stops: bool) -> Iterator[str | PictureSet]:
    for step in reading:
        yield step if isinstance(step, PictureSet) else frame.waiting(*step, stops=stops)


def _read(reading: Iterator[Step], stops: bool) -> Iterator[str]:
    """How far the reading of the classes is, where that takes more than a moment."""
    soon = time.monotonic() + QUICK
    for step in reading:
        if time.monotonic() > soon:
            yield frame.waiting(*step, stops=stops)


def _knows_photographs(bench: Workbench) -> bool:
    """Whether the setup knows other words than those of the rendered scenes."""
    return bench.card.vocabulary is None
