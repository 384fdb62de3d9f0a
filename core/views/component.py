"""One component or the target, wherever it is shown -> HTML: its heatmap, its buttons, its name."""

import numpy as np

from ..methods.steering import Edit, Lever
from ..session.visit import Part, Visit
from ..words import signed
from .html import escaped, flag
from .images import heat_uri
from .reference_strip import ONLY_CLS, Face


def heat_of(part: Part, size: str = "") -> str:
    """What a component contributes by each patch, over the visit's picture (--picture)."""
    words = f"Where component {part.component} acts; its strongest patch: {signed(_strongest(part.heat))} logits"
    return f"""<span class="heat {size}" role="img" aria-label="{words}" title="{words}"><i
 style="background-image:url({heat_uri(part.heat)})"></i>{_nowhere(part)}</span>"""


def _nowhere(part: Part) -> str:
    if part.n_patches:
        return ""
    return ONLY_CLS if part.peak else "<em>not active</em>"


def _strongest(heat: np.ndarray) -> float:
    return float(heat.flat[np.abs(heat).argmax()])


def firing(part: Part) -> str:
    """Where in the visit's picture a component fires, and how strongly."""
    return f"activation up to {part.peak:.3g}, on {part.n_patches} of {part.heat.size} patches"


def actions(component: int, edit: Edit, face: Face | None, more: bool = True) -> str:
    """What can be done with a component, as buttons: pull its lever, or its family's, or open its page."""
    lever = lever_on(edit, component)
    suppressed = lever is not None and lever.operation == "suppress"
    amplified = lever is not None and lever.operation == "scale" and lever.strength > 1
    buttons = [
        _toggle(component, "suppress", suppressed, "Suppress", "Suppressed ✓"),
        _toggle(component, "amplify", amplified, "Amplify", "Amplified ✓"),
    ]
    if face and face.family and len(face.family.members) > 1:
        n, as_one = len(face.family.members), len(edit.group_of(component)) > 1
        offer, done = f"Suppress family ({n})", f"Family suppressed ({n}) ✓"
        buttons.append(_toggle(component, "family", suppressed and as_one, offer, done))
    if face and more:
        buttons.append(
            f"""<button type="button" class="act" data-component="{component}" data-action="open"
 aria-label="More about component {component}">More</button>"""
        )
    return "\n".join(buttons)


def _toggle(component: int, action: str, on: bool, offer: str, done: str) -> str:
    return f"""<button type="button" class="act" data-component="{component}" data-action="{action}"
 aria-pressed="{flag(on)}" aria-label="{offer} {"of " if action == "family" else ""}component {component}"
>{done if on else offer}</button>"""


def lever_on(edit: Edit, component: int) -> Lever | None:
    """The lever on a component; None where there is none."""
    return next((lever for lever in edit.levers if lever.component == component), None)


def target_words(visit: Visit) -> str:
    """The target by the names of its classes."""
    against = "" if visit.against is None else f" against “{escaped(visit.against)}”"
    return f"“{escaped(visit.wanted)}”{against}"
