"""A component (SAE latent) as a row, wherever one is shown -> HTML: pictures, effect, levers, details.

The rows of a list share one axis. A row is drawn since the target and not since a lever: a script marks what is pulled.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from ..methods.side_effects import AttributionChanges
from ..methods.targets import ClassTarget
from ..session.visit import Part, Visit
from ..words import signed
from .component import actions, firing, heat_of
from .glossary import term
from .html import NOTHING, joined, render
from .images import picture_uri
from .reference_strip import NO_FACES, STRIP, Face, face_words, named, strip


@dataclass(frozen=True)
class Axis:
    """The axis that the rows of a list share, in their unit; zero is on it."""

    low: float
    """Its left end, at most 0."""
    high: float
    """Its right end, at least 0."""

    @classmethod
    def over(cls, values: Iterable[float | None]) -> "Axis":
        """An axis on which all these have a place."""
        known = [0.0, *(value for value in values if value is not None)]
        return cls(min(known), max(known))

    def at(self, value: float) -> float:
        """The place of a value, in percent from the left."""
        return 100 * (value - self.low) / (self.high - self.low) if self.high > self.low else 0.0

    def span(self, one: float, other: float = 0.0) -> tuple[float, float]:
        """Left end and width of a bar between two values, in percent."""
        left, right = sorted((self.at(one), self.at(other)))
        return left, right - left


@dataclass(frozen=True)
class Effect:
    """What a row's bar and tick stand for."""

    bar: float
    """Told by the bar."""
    tick: float | None = None
    """Told by the tick; None where there is none (yet)."""
    words: Markup | str = NOTHING
    """What stands under the bar's number: the tick's, or that it is awaited."""
    doubt: str = ""
    """How the two disagree; nothing where they do not."""
    unit: str = ClassTarget.SHORT_UNIT
    """Of both."""


def effect_of(part: Part, awaited: bool = False) -> Effect:
    """Predicted and measured; `awaited`: what is not measured yet will be."""
    if part.measured is None:
        return Effect(part.total, words="measuring …" if awaited else NOTHING, unit=part.short_unit)
    doubt = disagreement(part.total, part.measured)
    return Effect(part.total, part.measured, f"measured {signed(part.measured)}", doubt, part.short_unit)


def disagreement(predicted: float, measured: float) -> str:
    """How a measured effect contradicts its prediction, in words; nothing where they agree within a factor of two.

    Effects that both round to nothing (below 0.01) are not worth a sentence.
    """
    small, large = sorted((abs(predicted), abs(measured)))
    if large < 0.01:
        return ""
    if predicted * measured < 0 and small >= 0.01:
        return "opposite sign"
    if large <= 2 * small:
        return ""
    return "over twice" if abs(measured) > abs(predicted) else "under half"


def rows(
    visit: Visit,
    effects: Mapping[int, Effect],
    faces: Mapping[int, Face] = NO_FACES,
    axis: Axis | None = None,
    notes: Mapping[int, Markup] | None = None,
    anchored: bool = False,
    still: bool = False,
) -> Markup:
    """The rows of some components, in the order of `effects`, on a common axis (their own without `axis`).

    `notes`: more about a component, beside its number. `anchored`: links on the page lead to these rows, by their ids.
    `still`: nothing in them can be pressed, as in a report; the map stands in place of the buttons.
    """
    axis = axis or Axis.over(value for effect in effects.values() for value in (effect.bar, effect.tick))
    drawn = [
        render(
            "row",
            part=part,
            effect=effect,
            axis=axis,
            anchored=anchored,
            map=NOTHING if still else map_of(visit, component),
            pictures=pictures(part, faces.get(component)),
            number=number(component, None if still else faces.get(component)),
            guess=named(faces.get(component)),
            note=(notes or {}).get(component, NOTHING),
            actions=heat_of(part, "small") if still else actions(component, faces.get(component)),
            details=_details(visit, part, faces.get(component)),
            opens=_has_page(faces.get(component)) and not still,
        )
        for component, effect in effects.items()
        for part in [visit.part(component)]
    ]
    return Markup('<ul class="rows"{}>{}</ul>').format(picture_of(visit, faces), joined(drawn))


def picture_of(visit: Visit, faces: Mapping[int, Face]) -> Markup:
    """The visit's picture as an attribute of a list, for rows that have none of their own."""
    if any(map(_has_page, faces.values())):
        return NOTHING
    return Markup(' style="--picture:url({})"').format(picture_uri(visit.trace.crop, 160))


def pictures(part: Part, face: Face | None) -> Markup:
    """Its reference pictures; without a concept index its map, small, in the visit's picture."""
    if face is None or face.concept is None:
        return heat_of(part, "small")
    if not face.examples:
        return Markup('<div class="strip"></div>')
    by_attribution = face.concept.by == "attribution"
    return strip(face, face.examples[:STRIP], "where it speaks most" if by_attribution else "where it fires most")


def number(component: int, face: Face | None) -> Markup:
    """Its number, which opens its page where it has one."""
    if not _has_page(face):
        return Markup("<b>#{}</b>").format(component)
    return Markup("""<button type="button" class="opens" data-component="{component}" data-action="open"
 aria-label="Open component {component}">#{component}</button>""").format(component=component)


def _has_page(face: Face | None) -> bool:
    """Whether a concept index knows a component, so that there are pictures of it, and a page."""
    return face is not None and face.concept is not None


def map_of(visit: Visit, component: int) -> Markup:
    """Where a component fires, and what for, as an attribute for the picture at the side.

    [[token, activation, attribution], ...], to 3 digits and to 0.0001. Nothing for the target's strongest
    components, whose maps that picture has, and for one that is not active.
    """
    f = visit.trace.activations
    where = f.span(component)
    if where.start == where.stop or any(part.component == component for part in visit.parts):
        return NOTHING
    places = zip(f.token[where].tolist(), f.value[where].tolist(), visit.attribution.pair[where].tolist(), strict=True)
    listed = ",".join(f"[{token},{activation:.3g},{round(share, 4):g}]" for token, activation, share in places)
    return Markup(' data-map="[{}]"').format(listed)


def _details(visit: Visit, part: Part, face: Face | None) -> Markup:
    """What there is to know besides: where the effect comes from, where it fires, how clear and how frequent it is."""
    told: list[Markup | str] = []
    if part.peak and not part.heat.size:
        told = [firing(part)]
    elif part.peak:
        strongest = float(part.heat.flat[np.abs(part.heat).argmax()])
        words = Markup("by patches {}, at most {} by one").format(signed(part.total - part.on_cls), signed(strongest))
        if visit.trace.class_token:
            words += Markup("; by {} {}").format(term("CLS"), signed(part.on_cls))
        told = [Markup("{} {}").format(words, part.unit), firing(part)]
    if face is not None and face.concept is not None:
        told.append(face_words(face.concept))
    return Markup(" · ").join(told)


def changed(visit: Visit, changes: AttributionChanges, faces: Mapping[int, Face] = NO_FACES) -> Markup:
    """Components that an edit changed besides its own: what each contributed before (bar) and contributes now (tick).

    Their pictures have to be in a sheet of the page (`reference_strip.sheet`).
    """
    numbers: Sequence[tuple[int, float, float]] = list(
        zip(changes.component.tolist(), changes.before.tolist(), changes.after.tolist(), strict=True)
    )
    effects = {
        c: Effect(before, after, f"now {signed(after)}", unit=visit.target.SHORT_UNIT) for c, before, after in numbers
    }
    return rows(visit, effects, faces)
