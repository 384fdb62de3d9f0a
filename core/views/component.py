"""One component, or the target, wherever it is shown -> HTML: its heatmap, its buttons, its words."""

import numpy as np
from markupsafe import Markup

from ..session.visit import Part, Visit
from ..words import signed
from .html import NOTHING, joined
from .images import heat_uri
from .reference_strip import ONLY_CLS, Face


def heat_of(part: Part, size: str = "") -> Markup:
    """What a component contributes by each patch, over the visit's picture (--picture); nothing without patches."""
    if not part.heat.size:
        return NOTHING
    words = f"Where component {part.component} acts; its strongest patch: {signed(_strongest(part.heat))} {part.unit}"
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
    if not part.heat.size:
        return f"activation {part.peak:.3g}"
    return f"activation up to {part.peak:.3g}, on {part.n_patches} of {part.heat.size} patches"


def actions(component: int, face: Face | None) -> Markup:
    """The levers of a component as buttons: its own, and its family's. A script marks what is pulled (pressed.js)."""
    buttons = [
        _lever(component, "suppress", "Suppress", "Suppressed ✓"),
        _lever(component, "amplify", "Amplify", "Amplified ✓"),
    ]
    if face and face.family and len(face.family.members) > 1:
        n = len(face.family.members)
        buttons.append(_lever(component, "family", f"Family ({n})", f"Family ({n}) ✓"))
    return joined(buttons)


def _lever(component: int, action: str, offer: str, done: str) -> Markup:
    title = "Suppress all of its family, as one lever" if action == "family" else ""
    name = f"{offer}: suppress the family of" if action == "family" else offer
    return Markup("""<button type="button" class="act" data-component="{component}" data-action="{action}"
 aria-pressed="false" aria-label="{name} component {component}" title="{title}" data-off="{offer}"
 data-on="{done}">{offer}</button>""").format(
        component=component, action=action, name=name, title=title, offer=offer, done=done
    )


def target_words(visit: Visit) -> str:
    """The target in a sentence."""
    return visit.target.named(visit.classes)
