"""Picture set that a visit asks about, from what it names: rendered scenes, or what the visitor's session holds."""

from collections.abc import Iterator
from typing import NamedTuple

from ..methods.picture_set import PictureSet
from ..model.prompts import TEMPLATES
from ..session.many_pictures import OWN, OwnPictures, OwnSet
from ..session.visit import Visit
from ..views import frame
from ..workbench import Workbench

BRING_AGAIN = "These pictures are not on the server any more. Bring them again."


class ChosenSet(NamedTuple):
    """A set, as it is asked about."""

    pictures: PictureSet
    """The pictures, among the classes that are asked about."""
    own: OwnSet | None
    """Where the visitor brought them."""
    templates: tuple[str, ...]
    """How the classes are put into words."""


def chosen(bench: Workbench, v: Visit, own: OwnPictures) -> Iterator[str | ChosenSet | None]:
    """The set that is asked about, last: None where a visitor has to bring it. Before, how far its reading is: HTML.

    Raises UserError for labels that cannot be asked about.
    """
    if v.many.which == OWN:
        held = own.of(v.setup)
        if held is None:
            yield None
            return
        names = held.pictures.label_names if v.many.by_labels else ()
        yield ChosenSet(bench.classified(held.pictures, names or v.classes, v.templates), held, v.templates)
        return
    for step in bench.references():
        if isinstance(step, PictureSet):
            some = step.part((step.group == v.many.which).nonzero()[0]) if v.many.which else step
            yield ChosenSet(some, None, TEMPLATES["single"])
        else:
            yield frame.waiting(*step)
