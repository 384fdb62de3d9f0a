"""The edit -> HTML of the Steering tab: undo, levers, the patches it acts on, and the search for one."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..methods.edit_search import Search
from ..methods.steering import MAX_STRENGTH, Edit, Lever
from ..session.visit import Part, Visit
from ..words import signed
from .component import heat_of
from .frame import section, table
from .html import escaped, flag, sign
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


def history(visit: Visit) -> str:
    """Undo, redo and reset. What cannot be pressed stays focusable: a press must not lose the keyboard's place."""
    buttons = (
        ("undo", "↶ Undo", bool(visit.history.past)),
        ("redo", "↷ Redo", bool(visit.history.future)),
        ("reset", "Reset all", visit.edit != Edit()),
    )
    return '<div class="history" role="group" aria-label="History">{}</div>'.format(
        "".join(
            f'<button type="button" class="act" data-step="{step}" aria-disabled="{flag(not on)}">{words}</button>'
            for step, words, on in buttons
        )
    )


def levers(visit: Visit) -> str:
    """The levers of the edit. `data-revision` makes each drawing differ, so that undo takes back a drag too."""
    body = """<p class="empty">No lever yet. Go to <b>Attribution</b> and press <b>Suppress</b> on a component.</p>"""
    if visit.edit.levers:
        body = f"<ul>{''.join(_lever(group, visit) for group in visit.edit.groups())}</ul>"
    return f"""<div class="levers" data-revision="{visit.revision}"
 style="--picture:url({picture_uri(visit.trace.crop, 160)})">{body}</div>"""


def _lever(group: Sequence[Lever], visit: Visit) -> str:
    """One lever, or those of a family, which are moved as one."""
    first, parts = group[0], [visit.part(lever.component) for lever in group]
    operation, several = first.operation, len(group) > 1
    name = group_name(group)
    # A family is not set to an activation: its members' usual activations differ, and one number would suit none.
    offered = {key: word for key, word in OPERATIONS.items() if key != "set" or not several or operation == "set"}
    choices = "".join(
        f"""<button type="button" role="radio" data-operation="{key}" aria-checked="{flag(key == operation)}"
 tabindex="{0 if key == operation else -1}">{word}</button>"""
        for key, word in offered.items()
    )
    ranges = {key: Range.of(key, max((p.peak for p in parts), key=abs)) for key in UNITS if key in offered}
    data = " ".join(f'data-{key}="{r.low:g} {r.high:g} {r.step:g} {r.start:g}"' for key, r in ranges.items())
    own, unit = ranges.get(operation, ranges["scale"]), UNITS.get(operation, "")
    off = operation == "suppress"
    components = ",".join(str(lever.component) for lever in group)
    family = "" if first.family is None else first.family
    as_one = f"<small>{len(group)} components as one</small> " if several else ""
    seen = _members(parts) if several else heat_of(parts[0], "small")
    return f"""<li class="lever{" family" if several else ""}" data-components="{components}" data-family="{family}"
 data-operation="{operation}" {data}>{seen}
<p class="number"><b>{name}</b> {as_one}{_standing(parts)}</p>
<div class="choice" role="radiogroup" aria-label="What to do with {name}">{choices}</div>
<div class="strength"{" hidden" if off else ""}><input type="range" aria-label="Strength for {name}, {unit}"
 min="{own.low:g}" max="{own.high:g}" step="{own.step:g}" value="{first.strength:g}"><input type="text" class="exact"
 inputmode="decimal" autocomplete="off" aria-label="Strength for {name} as a number" value="{first.strength:g}">
<small>{unit}</small></div>
<p class="strength-none"{"" if off else " hidden"}>removed wherever the edit acts</p>
<button type="button" class="remove" data-remove aria-label="Remove the lever on {name}">✕</button></li>"""


def group_name(group: Sequence[Lever]) -> str:
    """What a lever is on: a component, or a family by the one it was pulled from, which may have left it since."""
    if len(group) == 1:
        return f"#{group[0].component}"
    whole = any(lever.component == lever.family for lever in group)
    return f"#{group[0].family} and its family" if whole else f"the others of #{group[0].family}’s family"


def _standing(parts: Sequence[Part]) -> str:
    """What they contribute to the target together."""
    if not any(part.peak for part in parts):
        return "<small>not active in this picture</small>"
    total = sum(part.total for part in parts)
    tone, shape = sign(total)
    return f"""<span class="sum {tone}"><span aria-hidden="true">{shape}</span> {signed(total)}
 <small>logits</small></span>"""


def _members(parts: Sequence[Part]) -> str:
    """The members of a family: a lever for all of them hides none."""
    listed = "".join(
        f"""<li>{heat_of(part, "tiny") if part.peak else ""}
<span>#{part.component}<small>{_share_of(part)}</small></span></li>"""
        for part in sorted(parts, key=lambda part: (not part.peak, -abs(part.total)))
    )
    return f'<ul class="members" aria-label="Its components, and what each contributes in logits">{listed}</ul>'


def _share_of(part: Part) -> str:
    return f"{sign(part.total)[1]} {signed(part.total)}" if part.peak else "not active"


def intent(visit: Visit) -> str:
    """The edit as the page's widgets carry it, whole, so that what is skipped or late cannot mix."""
    return json.dumps(
        {
            "revision": visit.revision,
            "levers": [[own.component, own.operation, own.strength, own.family] for own in visit.edit.levers],
            "tokens": None if visit.edit.tokens is None else list(visit.edit.tokens),
            "gesture": 0,
        }
    )


def patches(visit: Visit, cls_in_scope: bool = True) -> str:
    """The picture as a grid of patches to choose from, and whether CLS is chosen with them."""
    rows, columns = visit.trace.grid
    chosen = set(visit.edit.tokens or ())
    cells = "".join(
        f'<div role="row">{"".join(_cell(r, c, columns, chosen) for c in range(columns))}</div>' for r in range(rows)
    )
    everywhere = visit.edit.tokens is None
    cls = f"""<button type="button" class="all" data-cls aria-pressed="{flag(0 in chosen)}"
 title="The token the prediction is read from">CLS too</button>"""
    return f"""<div class="patches{" everywhere" if everywhere else ""}" data-revision="{visit.revision}">
<p class="where">Acts on <output>{tokens_words(visit.edit.tokens, rows * columns)}</output>
<span class="buttons">{cls if cls_in_scope else ""}<button type="button" class="all" data-all
 aria-pressed="{flag(everywhere)}">All tokens</button></span></p>
<div class="grid" role="grid" aria-multiselectable="true" aria-label="Patches the edit acts on"
 style="--cols:{columns};--rows:{rows};background-image:url({picture_uri(visit.trace.crop)})">{cells}</div>
<p class="hint">Click or paint patches to confine the edit to them; CLS, the token the prediction is read from, is
 left out unless you add it. Keyboard: arrows move, space chooses.</p></div>"""


def tokens_words(tokens: Sequence[int] | None, n_patches: int) -> str:
    """Where an edit acts, in words (the page says the same in patches.js)."""
    if tokens is None:
        return "all tokens"
    n = sum(token > 0 for token in tokens)
    if 0 in tokens:
        return f"{n} of {n_patches} patches and CLS" if n else "CLS only"
    return f"{n} of {n_patches} patches"


def _cell(row: int, column: int, columns: int, chosen: set[int]) -> str:
    token = row * columns + column + 1
    return f"""<button type="button" role="gridcell" data-patch="{token}" tabindex="{0 if token == 1 else -1}"
 aria-selected="{flag(token in chosen)}" aria-label="row {row + 1}, column {column + 1}"></button>"""


def finder(visit: Visit, search: Search | None = None, trouble: str = "") -> str:
    """The offer to find an edit, how far the search is, and what it found, each edit with a button to use it."""
    if visit.truth is None:
        return section(
            "Find me an edit",
            '<p class="told">Say on the <b>Image</b> tab what the picture should be; then the smallest edit that makes'
            " the model say so can be searched.</p>",
        )
    wanted = f"“{escaped(visit.classes[visit.truth])}”"
    busy = search is not None and not search.done
    told = f'<p class="notice bad">{escaped(trouble)}</p>' if trouble else ""
    if search is not None:
        told = f'<p class="told" role="status">{escaped(search.said(visit.classes))}</p>{_found(visit, search, wanted)}'
    offer = f"""<p class="told">As few suppressions as make the model say {wanted}: proposed by attribution,
 checked by measuring.</p>
<button type="button" class="act" data-find aria-disabled="{flag(busy)}">Find an edit</button>"""
    return section("Find me an edit", offer + told)


def _found(visit: Visit, search: Search, wanted: str) -> str:
    rows = []
    if search.edit is not None and search.edit.levers:
        assert search.margin is not None and search.effect is not None
        rows.append(_offer(visit, search.edit, search.truth, search.margin, search.effect, search.side_effect))
    rows += [_offer(visit, c.edit, c.predicted, c.margin, c.effect, c.side_effect) for c in search.alternatives]
    if not rows:
        return ""
    heads = ("Suppress", "Then it says", "Lead, logits", "Effect, logits", "Side effect, logits", "")
    return f"""{table(heads, rows)}<p class="legend">Lead: {wanted} over the best other class. Effect: on the class
 predicted without an edit, against {wanted}. Side effect: standard deviation of the change over concepts you did not
 ask about.</p>"""


def _offer(visit: Visit, edit: Edit, predicted: int, lead: float, effect: float, side: float | None) -> str:
    components = [str(lever.component) for lever in edit.levers]
    names = " ".join(f"#{component}" for component in components)
    return f"""<tr><th scope="row" title="{names}">{names}</th><td>{escaped(visit.classes[predicted])}</td>
<td>{signed(lead)}</td><td>{signed(effect)}</td><td>{"–" if side is None else f"{side:.2f}"}</td>
<td><button type="button" class="act" data-use="{",".join(components)}" aria-label="Use {names}">Use</button></td>
</tr>"""
