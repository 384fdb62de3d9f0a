"""One component, or the target, wherever it is shown -> HTML: its heatmap, its buttons, its words."""

import numpy as np
from markupsafe import Markup

from ..methods.steering import Edit, Lever
from ..session.visit import Part, Visit
from ..words import signed
from .html import NOTHING, flag
from .images import heat_uri
from .reference_strip import ONLY_CLS, Face


def heat_of(part: Part, size: str = "") -> Markup:
    """What a component contributes by each patch, over the visit's picture (--picture)."""
    words = f"Where component {part.component} acts; its strongest patch: {signed(_strongest(part.heat))} logits"
    return Markup("""<span class="heat {size}" role="img" aria-label="{words}" title="{words}"><i
 style="background-image:url({heat})"></i>{nowhere}</span>""").format(
        size=size, words=words, heat=heat_uri(part.heat), nowhere=_nowhere(part)
    )


def _nowhere(part: Part) -> Markup:
    if part.n_patches:
        return NOTHING
    return ONLY_CLS if part.peak else Markup("<em>not active</em>")


def _strongest(heat: np.ndarray) -> float:
    return float(heat.flat[np.abs(heat).argmax()])


def firing(part: Part) -> str:
    """Where in the visit's picture a component fires, and how strongly."""
    return f"activation up to {part.peak:.3g}, on {part.n_patches} of {part.heat.size} patches"


def actions(component: int, edit: Edit, face: Face | None, more: bool = True) -> Markup:
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
            Markup("""<button type="button" class="act" data-component="{component}" data-action="open"
 aria-label="More about component {component}">More</button>""").format(component=component)
        )
    return Markup("\n").join(buttons)


def _toggle(component: int, action: str, on: bool, offer: str, done: str) -> Markup:
    return Markup("""<button type="button" class="act" data-component="{component}" data-action="{action}"
 aria-pressed="{on}" aria-label="{offer} {of}component {component}">{words}</button>""").format(
        component=component,
        action=action,
        on=flag(on),
        offer=offer,
        of="of " if action == "family" else "",
        words=done if on else offer,
    )


def lever_on(edit: Edit, component: int) -> Lever | None:
    """The lever on a component; None where there is none."""
    return next((lever for lever in edit.levers if lever.component == component), None)


def target_words(visit: Visit) -> str:
    """The target by the names of its classes."""
    against = "" if visit.against is None else f" against “{visit.against}”"
    return f"“{visit.wanted}”{against}"
