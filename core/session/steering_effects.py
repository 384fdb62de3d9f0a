"""Steering effects of the component whose page is open: what it pushes, measured once for each question."""

from collections.abc import Hashable
from dataclasses import dataclass

from ..concepts.effects import SteeringEffects
from ..workbench import Workbench
from .visit import Visit


@dataclass(frozen=True)
class KnownEffects:
    """What a component was found to push, and for which question."""

    question: Hashable
    """The setup, the component, and the classes with their wording."""
    effects: SteeringEffects
    """The answer."""


def known_for(visit: Visit, component: int, known: KnownEffects | None) -> SteeringEffects | None:
    """What is known to be pushed by a component, where `known` is about that one and the visit's classes."""
    return known.effects if known is not None and known.question == _question(visit, component) else None


def unmeasured(bench: Workbench, visit: Visit, known: KnownEffects | None) -> bool:
    """Whether a page is open whose component's effects are still to be measured."""
    component = visit.search.opened
    if bench.index is None or component is None or bench.concept(component).dead:
        return False
    return known_for(visit, component, known) is None


def measure(bench: Workbench, visit: Visit) -> KnownEffects:
    """Those of the component that is open. It takes a moment: a page that is `unmeasured` is shown before."""
    component = visit.search.opened
    assert component is not None
    return KnownEffects(_question(visit, component), bench.steering_effects(component, visit.classes, visit.templates))


def _question(visit: Visit, component: int) -> Hashable:
    return visit.setup, component, visit.classes, visit.templates
