"""Evidence for the edit of a visit, worked out as a whole: for what leaves the page, where all of it stands together.

The Evidence tab asks the same of the workbench, part by part, while it is in sight.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace

from ..methods.controls import Controls
from ..methods.dose_response import Response
from ..methods.generalization import Generalization
from ..methods.reconstruction_error import ReconstructionError
from ..methods.side_effects import AttributionChanges, SideEffects
from ..pictures.read import Source
from ..workbench import Step, Workbench
from .visit import Counterfactual, Visit, without_cue

RANDOM = "Trying random edits of this size"
DOSES = "Trying other strengths"
OTHERS = "Asking about other concepts"


@dataclass(frozen=True, eq=False)
class EditEvidence:
    """What is known about an edit on one picture, without an edit only what does not take one."""

    missed: ReconstructionError
    """What the SAE misses of the picture."""
    gone: Counterfactual | None = None
    """What the model says when the cue is really gone; None where no such picture is known."""
    controls: Controls | None = None
    """The edit among random ones."""
    responses: tuple[Response, ...] = ()
    """Its doses, and those of each lever alone where there are several."""
    side_effects: SideEffects | None = None
    """What else it changed."""
    changes: AttributionChanges | None = None
    """Other components that it changed."""
    generalization: Generalization | None = None
    """What it does to the reference scenes."""


def gather(bench: Workbench, visit: Visit, counterfactual: Source | None) -> Generator[Step | EditEvidence]:
    """All of it: how far that is, and the answer last. `counterfactual`: the picture without its cue, if there is one.

    Raises UserError as the workbench does.
    """
    v, asked = visit, (visit.trace, visit.classes, visit.templates)
    found = EditEvidence(
        bench.reconstruction_error(*asked),
        None if counterfactual is None else without_cue(bench, v, counterfactual),
    )
    if v.edit.levers:
        yield RANDOM, 0, 0
        *_, controls = bench.controls(*asked, v.target, v.edit)
        yield DOSES, 0, 0
        responses = tuple(bench.responses(*asked, v.target, v.edit))
        yield OTHERS, 0, 0
        found = replace(
            found,
            controls=controls,
            responses=responses,
            side_effects=bench.side_effects(*asked, v.target, v.edit),
            changes=bench.attribution_changes(*asked, v.attribution, v.edit),
        )
        for step in bench.generalize(v.edit):
            if isinstance(step, Generalization):
                found = replace(found, generalization=step)
            else:
                yield step
    yield found
