"""Faces of components (their reference pictures, label guess and family), gathered for the views."""

from collections.abc import Iterable, Mapping

from ..session.visit import Visit
from ..views.reference_strip import STRIP, Face
from ..workbench import Workbench


def faces(bench: Workbench, components: Iterable[int], most: int = STRIP) -> Mapping[int, Face]:
    """How components are recognised, with at most that many pictures each; nothing without an index or words."""
    if bench.index is None:
        return {c: Face(None, word=word) for c in components if (word := bench.word(c)) is not None}
    return {
        c: Face(bench.concept(c), bench.activating_examples(c, "top", most), bench.family(c), bench.word(c))
        for c in components
    }


def of_parts(bench: Workbench, visit: Visit) -> Mapping[int, Face]:
    """Of the target's strongest components."""
    return faces(bench, (part.component for part in visit.parts))
