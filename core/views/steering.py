"""The edit -> HTML of the Steering tab: its levers, and the search for one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from ..methods.edit_search import Search
from ..methods.steering import MAX_STRENGTH, Edit, Lever
from ..session.visit import Part, Visit
from ..words import signed
from .evidence import condition_words
from .frame import section
from .glossary import term
from .html import NOTHING, flag, joined, render, sign
from .prediction import group_name, head
from .reference_strip import NO_FACES, Face, named, sheet
from .row import Axis, map_of, number, picture_of, pictures

OPERATIONS = {"suppress": "Suppress", "scale": "Scale", "set": "Set"}
UNITS = {"scale": "× its activation", "set": "is its activation, wherever the edit acts"}


@dataclass(frozen=True)
class Range:
    """The slider of a lever."""

    low: float
    """Its left end."""
    high: float
    """Its right end."""
    step: float
    """From one notch to the next."""
    start: float
    """Where it stands at first."""

    @classmethod
    def of(cls, operation: str, peak: float) -> "Range":
        """Scale: -2 to 5 times. Set: up to three times the component's peak activation in this picture."""
        if operation != "set":
            return cls(-2.0, 5.0, 0.1, 1.0)
        peak = peak or 1.0
        reach = min(3 * abs(peak), MAX_STRENGTH)
        step = 10.0 ** np.floor(np.log10(reach / 20))
        reach = float(np.ceil(reach / step) * step)
        return cls(
            -reach if peak < 0 else 0.0, reach, float(step), float(np.clip(np.round(peak / step) * step, -reach, reach))
        )


def levers(visit: Visit, faces: Mapping[int, Face] = NO_FACES) -> Markup:
    """The levers of the edit. `data-revision` makes each drawing differ, so that undo takes back a drag too.

    The pictures of `faces`, by component, have to be in a sheet of the page.
    """
    empty = Markup('<p class="empty">No {} yet. In <b>Attribution</b>, press <b>Suppress</b> on a component.</p>')
    body = empty.format(term("lever"))
    if visit.edit.levers:
        body = Markup("<ul>{}</ul>").format(joined(_lever(group, visit, faces) for group in visit.edit.groups()))
        if visit.edit.condition is not None:
            told = Markup('<p class="told">{}: it acts {}.</p>')
            body += told.format(term("condition", "Condition"), condition_words(visit.edit.condition))
    return Markup("""<div class="levers" data-revision="{}"{}>{}</div>""").format(
        visit.revision, picture_of(visit, faces), body
    )


def _lever(group: Sequence[Lever], visit: Visit, faces: Mapping[int, Face]) -> Markup:
    """One lever, or those of a family, which are moved as one and shown by the one it was pulled from."""
    first, parts = group[0], [visit.part(lever.component) for lever in group]
    operation, several = first.operation, len(group) > 1
    # A family is not set to an activation: its members' usual activations differ, and one number would suit none.
    offered = {key: word for key, word in OPERATIONS.items() if key != "set" or not several or operation == "set"}
    ranges = {key: Range.of(key, max((p.peak for p in parts), key=abs)) for key in UNITS if key in offered}
    shown = visit.part(head(group))
    face = faces.get(shown.component)
    return render(
        "lever",
        name=group_name(group),
        shown=_named(shown.component, face),
        family=first.family,
        components=[lever.component for lever in group],
        operation=operation,
        strength=first.strength,
        operations=offered,
        ranges=ranges,
        own=ranges.get(operation, ranges["scale"]),
        unit=UNITS.get(operation, ""),
        at_least="" if first.at_least is None else f"{first.at_least:g}",
        peak=max((part.peak for part in parts), key=abs),
        component=shown.component,
        map=map_of(visit, shown.component),
        pictures=pictures(shown, face),
        members=_members(parts, visit) if several else NOTHING,
        active=any(part.peak for part in parts),
        total=sum(part.total for part in parts),
        target_unit=visit.target.SHORT_UNIT,
    )


def _named(component: int, face: Face | None) -> Markup:
    """Its number and what it may stand for."""
    return Markup("{} {}").format(number(component, face), named(face)) if face else number(component, face)


def _members(parts: Sequence[Part], visit: Visit) -> Markup:
    """The members of a family: a lever for all of them hides none."""
    member = Markup('<li data-row="{}"{}><b>#{}</b> {}</li>')
    listed = joined(
        member.format(part.component, map_of(visit, part.component), part.component, _share_of(part))
        for part in sorted(parts, key=lambda part: (not part.peak, -abs(part.total)))
    )
    return Markup('<ul class="members" aria-label="Its components, and what each contributes in {}">{}</ul>').format(
        visit.target.UNIT, listed
    )


def _share_of(part: Part) -> str:
    return f"{sign(part.total)[1]} {signed(part.total)}" if part.peak else "not active"


def finder(
    visit: Visit, search: Search | None = None, trouble: str = "", faces: Mapping[int, Face] = NO_FACES
) -> Markup:
    """The offer to find an edit, how far the search is, and what it found, each edit with a button to use it.

    `faces` are those of the components found, by component; their pictures come with it.
    """
    title = "Find an edit"
    if visit.truth is None:
        return section(
            title,
            Markup('<p class="told">Say first, in <b>Image</b>, what the picture should be.</p>'),
        )
    wanted = f"“{visit.classes[visit.truth]}”"
    offer = Markup("""<p class="told">The fewest suppressions that make the model say {}: proposed by {}, checked by
 measuring.</p>
<button type="button" class="act" data-find aria-disabled="{}">Find it</button>""").format(
        wanted, term("attribution"), flag(search is not None and not search.done)
    )
    if search is not None:
        said = Markup('<p class="told" role="status">{}</p>{}')
        return section(title, offer + said.format(search.said(visit.classes), _found(visit, search, wanted, faces)))
    return section(title, offer + (Markup('<p class="notice bad">{}</p>').format(trouble) if trouble else NOTHING))


@dataclass(frozen=True)
class _Proposal:
    """An edit that was found or tried, and what the model then did."""

    components: tuple[int, ...]
    """Those to suppress."""
    predicted: int
    """Index of the class predicted with it."""
    lead: float
    """The logit of the wanted class minus the best other."""
    effect: float
    """On the class predicted without an edit, against the wanted one, in logits."""
    side: float | None
    """Standard deviation of the change over other concepts, in logits; None where it is not known."""


def proposed(search: Search) -> tuple[int, ...]:
    """All components that an edit of the search's answer has a lever on."""
    return tuple(dict.fromkeys(c for one in _proposals(search) for c in one.components))


def _proposals(search: Search) -> list[_Proposal]:
    found = []
    if search.edit is not None and search.edit.levers:
        assert search.margin is not None
        assert search.effect is not None
        found = [_proposal(search.edit, search.truth, search.margin, search.effect, search.side_effect)]
    return found + [_proposal(c.edit, c.predicted, c.margin, c.effect, c.side_effect) for c in search.alternatives]


def _proposal(edit: Edit, *measured: Any) -> _Proposal:
    return _Proposal(tuple(lever.component for lever in edit.levers), *measured)


def _found(visit: Visit, search: Search, wanted: str, faces: Mapping[int, Face]) -> Markup:
    proposals = _proposals(search)
    if not proposals:
        return NOTHING
    return render(
        "proposals",
        sheet=sheet(example for face in faces.values() for example in face.examples),
        proposals=proposals,
        pictures={c: _pictured(visit, c, faces) for c in proposed(search)},
        axis=Axis.over(value for one in proposals for value in (one.lead, one.effect)),
        classes=visit.classes,
        wanted=wanted,
        truth=search.truth,
        picture=picture_of(visit, faces),
    )


def _pictured(visit: Visit, component: int, faces: Mapping[int, Face]) -> Markup:
    """A component of a proposal: its pictures over its name."""
    face = faces.get(component)
    return Markup('<div data-row="{}"{}>{}<p class="who">{}</p></div>').format(
        component, map_of(visit, component), pictures(visit.part(component), face), _named(component, face)
    )
