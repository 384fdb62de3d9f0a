"""The edit -> HTML of the Steering tab: undo, levers, the patches it acts on, and the search for one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from ..methods.edit_search import Search
from ..methods.steering import MAX_STRENGTH, Edit, Lever
from ..session.visit import Part, Visit
from ..words import NONE, signed
from .component import heat_of
from .frame import section, table
from .html import NOTHING, flag, joined, render, sign
from .images import picture_uri

OPERATIONS = {"suppress": "Suppress", "scale": "Scale", "set": "Set"}
UNITS = {"scale": "× its activation", "set": "its activation, wherever the edit acts"}


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


def history(visit: Visit) -> Markup:
    """Undo, redo and reset. What cannot be pressed stays focusable: a press must not lose the keyboard's place."""
    button = Markup('<button type="button" class="act" data-step="{}" aria-disabled="{}">{}</button>')
    buttons = (
        button.format("undo", flag(not visit.history.past), "↶ Undo"),
        button.format("redo", flag(not visit.history.future), "↷ Redo"),
        button.format("reset", flag(visit.edit == Edit()), "Reset all"),
    )
    return Markup('<div class="history" role="group" aria-label="History">{}</div>').format(joined(buttons))


def levers(visit: Visit) -> Markup:
    """The levers of the edit. `data-revision` makes each drawing differ, so that undo takes back a drag too."""
    body = Markup(
        '<p class="empty">No lever yet. Go to <b>Attribution</b> and press <b>Suppress</b> on a component.</p>'
    )
    if visit.edit.levers:
        body = Markup("<ul>{}</ul>").format(joined(_lever(group, visit) for group in visit.edit.groups()))
    return Markup("""<div class="levers" data-revision="{}"
 style="--picture:url({})">{}</div>""").format(visit.revision, picture_uri(visit.trace.crop, 160), body)


def _lever(group: Sequence[Lever], visit: Visit) -> Markup:
    """One lever, or those of a family, which are moved as one."""
    first, parts = group[0], [visit.part(lever.component) for lever in group]
    operation, several = first.operation, len(group) > 1
    # A family is not set to an activation: its members' usual activations differ, and one number would suit none.
    offered = {key: word for key, word in OPERATIONS.items() if key != "set" or not several or operation == "set"}
    ranges = {key: Range.of(key, max((p.peak for p in parts), key=abs)) for key in UNITS if key in offered}
    return render(
        "lever",
        name=group_name(group),
        several=several,
        components=[lever.component for lever in group],
        family="" if first.family is None else first.family,
        operation=operation,
        strength=first.strength,
        operations=offered,
        ranges=ranges,
        own=ranges.get(operation, ranges["scale"]),
        unit=UNITS.get(operation, ""),
        seen=_members(parts) if several else heat_of(parts[0], "small"),
        active=any(part.peak for part in parts),
        total=sum(part.total for part in parts),
    )


def group_name(group: Sequence[Lever]) -> str:
    """What a lever is on: a component, or a family by the one it was pulled from, which may have left it since."""
    if len(group) == 1:
        return f"#{group[0].component}"
    whole = any(lever.component == lever.family for lever in group)
    return f"#{group[0].family} and its family" if whole else f"the others of #{group[0].family}’s family"


def _members(parts: Sequence[Part]) -> Markup:
    """The members of a family: a lever for all of them hides none."""
    member = Markup("<li>{}\n<span>#{}<small>{}</small></span></li>")
    listed = joined(
        member.format(heat_of(part, "tiny") if part.peak else NOTHING, part.component, _share_of(part))
        for part in sorted(parts, key=lambda part: (not part.peak, -abs(part.total)))
    )
    return Markup(
        '<ul class="members" aria-label="Its components, and what each contributes in logits">{}</ul>'
    ).format(listed)


def _share_of(part: Part) -> str:
    return f"{sign(part.total)[1]} {signed(part.total)}" if part.peak else "not active"


def patches(visit: Visit, cls_in_scope: bool = True) -> Markup:
    """The picture as a grid of patches to choose from, and whether CLS is chosen with them."""
    rows, columns = visit.trace.grid
    return render(
        "patches",
        revision=visit.revision,
        everywhere=visit.edit.tokens is None,
        where=tokens_words(visit.edit.tokens, rows * columns),
        cls_in_scope=cls_in_scope,
        chosen=frozenset(visit.edit.tokens or ()),
        rows=rows,
        columns=columns,
        picture=picture_uri(visit.trace.crop),
    )


def tokens_words(tokens: Sequence[int] | None, n_patches: int) -> str:
    """Where an edit acts, in words (the page says the same in patches.js)."""
    if tokens is None:
        return "all tokens"
    n = sum(token > 0 for token in tokens)
    if 0 in tokens:
        return f"{n} of {n_patches} patches and CLS" if n else "CLS only"
    return f"{n} of {n_patches} patches"


def finder(visit: Visit, search: Search | None = None, trouble: str = "") -> Markup:
    """The offer to find an edit, how far the search is, and what it found, each edit with a button to use it."""
    title = "Find me an edit"
    if visit.truth is None:
        return section(
            title,
            Markup("""<p class="told">Say on the <b>Image</b> tab what the picture should be; then the smallest edit
 that makes the model say so can be searched.</p>"""),
        )
    wanted = f"“{visit.classes[visit.truth]}”"
    offer = Markup("""<p class="told">As few suppressions as make the model say {}: proposed by attribution,
 checked by measuring.</p>
<button type="button" class="act" data-find aria-disabled="{}">Find an edit</button>""").format(
        wanted, flag(search is not None and not search.done)
    )
    if search is not None:
        said = Markup('<p class="told" role="status">{}</p>{}')
        return section(title, offer + said.format(search.said(visit.classes), _found(visit, search, wanted)))
    return section(title, offer + (Markup('<p class="notice bad">{}</p>').format(trouble) if trouble else NOTHING))


def _found(visit: Visit, search: Search, wanted: str) -> Markup:
    rows = []
    if search.edit is not None and search.edit.levers:
        assert search.margin is not None
        assert search.effect is not None
        rows.append(_offer(visit, search.edit, search.truth, search.margin, search.effect, search.side_effect))
    rows += [_offer(visit, c.edit, c.predicted, c.margin, c.effect, c.side_effect) for c in search.alternatives]
    if not rows:
        return NOTHING
    heads = ("Suppress", "Then it says", "Lead, logits", "Effect, logits", "Side effect, logits", "")
    legend = Markup("""<p class="legend">Lead: {wanted} over the best other class. Effect: on the class
 predicted without an edit, against {wanted}. Side effect: standard deviation of the change over concepts you did not
 ask about.</p>""")
    return table(heads, rows) + legend.format(wanted=wanted)


def _offer(visit: Visit, edit: Edit, predicted: int, lead: float, effect: float, side: float | None) -> Markup:
    components = [str(lever.component) for lever in edit.levers]
    return Markup("""<tr><th scope="row" title="{names}">{names}</th><td>{predicted}</td>
<td>{lead}</td><td>{effect}</td><td>{side}</td>
<td><button type="button" class="act" data-use="{components}" aria-label="Use {names}">Use</button></td>
</tr>""").format(
        names=" ".join(f"#{component}" for component in components),
        components=",".join(components),
        predicted=visit.classes[predicted],
        lead=signed(lead),
        effect=signed(effect),
        side=NONE if side is None else f"{side:.2f}",
    )
