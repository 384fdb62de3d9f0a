"""The evidence as the visitor sees it: plain values in, HTML out; charts are in core/views/charts.py."""

from collections.abc import Sequence

import numpy as np

from ..methods.controls import Controls
from ..methods.dose_response import Response
from ..methods.generalization import Generalization
from ..methods.reconstruction_error import ReconstructionError
from ..methods.side_effects import AttributionChanges, SideEffects
from ..methods.steering import Lever
from ..model.prediction import Prediction
from ..scenes.shortcuts import SHORTCUTS
from ..session.visit import Counterfactual, Visit
from ..words import count, signed
from .component import target_words
from .frame import table
from .html import escaped, percent, sign
from .images import picture_uri
from .steering import group_name, tokens_words

MOVED = 6
"""Concepts shown in each direction."""
NAMED = 6
"""Components listed by number; of more, the rest are counted."""
ENOUGH = 19
"""Controls that a verdict takes: with fewer, no effect can be beyond chance at p = 0.05."""
KIND_WORDS = {"clean": "no cue"} | {kind: shortcut.shown for kind, shortcut in SHORTCUTS.items()}


# ---- the edit, and three numbers about it


def no_edit() -> str:
    """What stands in place of the evidence while there is no lever."""
    return """<p class="empty">No lever yet. Pull one in <b>Attribution</b>, or let <b>Steering</b> find you an edit.
 Here you then see whether it does more than chance, what else it changes, and whether it holds elsewhere.</p>"""


def lever_words(group: Sequence[Lever]) -> str:
    """A lever, or those of a family, in words."""
    lever, who = group[0], group_words(group)
    if lever.operation == "suppress":
        return f"suppress {who}"
    if lever.operation == "scale":
        return f"{who} × {lever.strength:g}"
    return f"set {who} to {lever.strength:g}"


def group_words(group: Sequence[Lever]) -> str:
    """What a lever is on."""
    return group_name(group) + (f" ({count(len(group), 'component')})" if len(group) > 1 else "")


def headline(visit: Visit, controls: Controls | None = None, ripple: SideEffects | None = None) -> str:
    """The edit, and three numbers about it: effect, chance, selectivity. None: not computed yet."""
    rows, columns = visit.trace.grid
    done = ", ".join(map(lever_words, visit.edit.groups()))
    effect, tone, words, how = "…", "", "…", "the same done to random components"
    if controls is not None:
        effect = f"{signed(controls.effect)} <small>logits</small>"
        tone, words, how = verdict(controls)
    selectivity = "…" if ripple is None else selectivity_words(ripple)
    facts = (
        ("Effect on the target", effect, f"{target_words(visit)}: after minus before"),
        ("Against chance", f'<span class="{tone}">{words}</span>', how),
        ("Selectivity", selectivity, "effect on the target, for each unit of side effect"),
    )
    cells = "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd><dd class='small'>{small}</dd></div>" for name, value, small in facts
    )
    return f"""<section class="sheet"><p class="edit">Your edit: <b>{escaped(done)}</b>, on
 {tokens_words(visit.edit.tokens, rows * columns)}</p><dl class="trio">{cells}</dl></section>"""


def verdict(controls: Controls) -> tuple[str, str, str]:
    """(tone, verdict, how it was reached): whether the effect is more than random edits of this size have."""
    n = len(controls.random)
    if n < ENOUGH:
        return "doubt", "Cannot be told", f"only {count(n, 'random edit')} of this size can be made here"
    p = max(controls.p_value, controls.p_directions)
    how = f"p = {p:.2f}; percentile {controls.percentile:.0f} of {n} random edits"
    return ("good", "Beyond chance", how) if controls.beyond_chance else ("doubt", "No better than chance", how)


def selectivity_words(ripple: SideEffects) -> str:
    """The headline number; a dash where there is nothing to divide by."""
    return "–" if ripple.selectivity is None else f"{ripple.selectivity:.1f} <small>×</small>"


# ---- chance and strength


def chance_words(controls: Controls) -> str:
    """What the chart of the controls says."""
    _, words, _ = verdict(controls)
    named = [f"#{lever.component}" for lever in controls.rival_edit.levers]
    rival = ", ".join(named[:NAMED]) + (f" and {len(named) - NAMED} more" if len(named) > NAMED else "")
    moved = f"it by {_range(controls.random)}" if len(controls.random) else "nothing: there is none"
    theirs = ""
    if controls.energy is not None:
        weak = ": weaker edits, so the directions are the fairer comparison" if controls.energy < 0.5 else ""
        theirs = f" (theirs is {controls.energy:.2g} times its own{weak})"
    return f"""<p class="told"><b>{words}.</b> Your edit moves the target by <b>{signed(controls.effect)} logits</b>.
 The same done to {count(len(controls.random), "random set")} of active components as near as there are to its
 energy ‖f‖·‖v‖{theirs} moves {moved}; along {count(len(controls.directions), "random direction")} of the same norm, by
 {_range(controls.directions)} (the middle 90 %); done to the most active components ({rival}), by
 {signed(controls.rival)}.</p>"""


def _range(values: np.ndarray) -> str:
    low, high = np.percentile(values, [5, 95])
    return f"{signed(float(low))} to {signed(float(high))}"


def dose_words(response: Response, classes: Sequence[str]) -> str:
    """Where the prediction flips along the doses."""
    if not response.flips:
        return '<p class="told">At none of these strengths does the prediction flip.</p>'
    flips = "; ".join(
        f"between × {flip.low:g} and × {flip.high:g} from “{escaped(classes[flip.before])}”"
        f" to “{escaped(classes[flip.after])}”"
        for flip in response.flips
    )
    return f'<p class="told">From weak to strong, the prediction flips {flips}.</p>'


# ---- ripple


def ripples(ripple: SideEffects, shifted: AttributionChanges) -> str:
    """Everyday concepts that moved most, and other components whose contribution changed."""
    side = "–" if ripple.side_effect is None else f"{ripple.side_effect:.2f} logits"
    up = _moves(ripple, ripple.most_up(MOVED), "for", "▲ Rose most")
    down = _moves(ripple, ripple.most_down(MOVED), "against", "▼ Fell most")
    return f"""<p class="told">Side effect: <b>{side}</b>, the standard deviation of the change over
 {count(len(ripple.concepts), "concept")} you did not ask about. The target moved by {signed(ripple.effect)} logits;
 selectivity is the one divided by the other. Cosine between the image embeddings before and after:
 <b>{ripple.cosine:.3f}</b> (1 = unchanged).</p><div class="halves">{up}{down}</div>
<p class="legend">Change of each concept’s logit, less the mean change of all of them.</p>{_shifts(shifted)}"""


def _moves(ripple: SideEffects, which: np.ndarray, tone: str, title: str) -> str:
    reach = float(np.abs(ripple.relative).max(initial=0.0)) or 1.0
    rows = "".join(
        f"""<li><span class="name">{escaped(ripple.concepts[k])}</span><span class="scale" aria-hidden="true"><i
 style="width:{100 * abs(float(ripple.relative[k])) / reach:.0f}%"></i></span>
<span class="value">{signed(float(ripple.relative[k]))}</span></li>"""
        for k in which.tolist()
    )
    return f"""<section class="half {tone}"><h4>{title} <small>logits</small></h4>
<ul class="moves">{rows or "<li>none</li>"}</ul></section>"""


def _shifts(shifted: AttributionChanges) -> str:
    if not len(shifted.component):
        return '<p class="told">No other component contributes differently to the target now.</p>'
    rows = [
        f'<tr><th scope="row">#{c}</th><td>{signed(b)} → <b>{signed(a)}</b></td><td>{_change(a - b)}</td></tr>'
        for c, b, a in zip(shifted.component.tolist(), shifted.before.tolist(), shifted.after.tolist(), strict=True)
    ]
    return f"""<details><summary>Other components that now contribute differently to the target</summary>
{table(("Component", "Contribution, logits", "Change"), rows)}</details>"""


def _change(value: float) -> str:
    _, shape = sign(value)
    return f'<span aria-hidden="true">{shape}</span> {signed(value)}'


# ---- other pictures


def elsewhere(found: Generalization) -> str:
    """The same edit on the reference pictures: how many it fixes and breaks, by kind, and which."""
    rows = [
        f"""<tr><th scope="row">{KIND_WORDS[kind]}</th><td>{c.fixed} of {c.wrong}{_interval(c.fixed_interval)}</td>
<td>{c.broken} of {c.right}{_interval(c.broken_interval)}</td><td>{c.unchanged}</td></tr>"""
        for kind, c in found.by_kind.items()
    ]
    changed = found.counts.fixed + found.counts.broken
    odds = f" Exact McNemar test of fixed against broken: p = {found.counts.p_value:.2g}." if changed else ""
    heads = ("Pictures with", "Fixed, of the wrong", "Broken, of the right", "Unchanged")
    return f"""<p class="told"><b>{escaped(found.said)}</b>{odds} These are {len(found.truth)} scenes rendered by this
 project, among {len(found.classes)} classes; there the edit acts on all tokens.</p>{table(heads, rows)}
{_thumbs("▲ Fixed", found.fixed, found)}{_thumbs("▼ Broken", found.broken, found)}"""


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" <small>({100 * interval[0]:.0f} to {100 * interval[1]:.0f} %)</small>"


def _thumbs(title: str, which: np.ndarray, found: Generalization) -> str:
    if not len(which):
        return ""
    kept = [k for k, i in enumerate(found.shown) if i in which]
    shown = "".join(_thumb(k, found) for k in kept)
    more = f" <small>{len(kept)} of {len(which)}</small>" if len(which) > len(kept) else ""
    return f'<h4>{title}{more}</h4><div class="thumbs">{shown}</div>'


def _thumb(k: int, found: Generalization) -> str:
    names, i = found.classes, found.shown[k]
    shows = f"{names[found.truth[i]]}, {KIND_WORDS[str(found.kind[i])]}"
    return f"""<figure><img src="{picture_uri(found.crops[k], 96)}" width="96" height="96" alt="{shows}"
><figcaption>{names[found.before[i]]} → <b>{names[found.after[i]]}</b></figcaption></figure>"""


# ---- the true counterfactual


def no_twin(is_twin: bool) -> str:
    """What stands there for a picture without a known twin."""
    if is_twin:
        return '<p class="told">This is the picture without its cue. Show it with the cue to compare.</p>'
    return """<p class="told">For a scene rendered by this project the picture without its cue is known. For this
 picture it is not: paint or crop the cue away below, and the model is asked about what is left.</p>"""


def counterfactual(visit: Visit, how: str, gone: Counterfactual, at_large: str = "") -> str:
    """The two remedies side by side: the cue taken out of the picture, and the components taken out of the model."""
    columns = [("as it is", visit.prediction), (how, gone.prediction)]
    said = f"Really without it, the model says “{escaped(gone.prediction.best)}”"
    if visit.edit.levers:
        edited = visit.comparison.after
        columns.append(("with your edit", edited))
        same = "the same" if edited.top == gone.prediction.top else "not the same"
        said += f"; with your edit, “{escaped(edited.best)}”: {same}"
    order = dict.fromkeys([*visit.prediction.order[:6].tolist(), *(p.top for _, p in columns)])
    rows = [
        f"""<tr><th scope="row">{escaped(visit.classes[k])}{" ✓" if k == visit.truth else ""}</th>
{"".join(f"<td>{_share(p, k)}</td>" for _, p in columns)}</tr>"""
        for k in order
    ]
    truth = "" if visit.truth is None else "✓ what the picture should be · "
    return f"""<p class="told"><b>{said}.</b> The image embeddings of the two have a cosine of {gone.cosine:.3f}.
 {escaped(at_large)}</p>{table(("Probability, %", *(name for name, _ in columns)), rows)}
<p class="legend">{truth}bold: the predicted class</p>"""


def _share(p: Prediction, k: int) -> str:
    value = percent(float(p.probabilities[k]))
    return f"<b>{value}</b>" if k == p.top else value


# ---- what the SAE misses


def missed_words(missed: ReconstructionError) -> str:
    """What no component can explain or steer in this picture."""
    facts = []
    if missed.explained_variance is not None:
        explained = percent(missed.explained_variance)
        facts.append(f"The components explain <b>{explained} %</b> of the variance of this picture’s tokens.")
    if missed.cls_share is not None:
        facts.append(f"At CLS they miss <b>{percent(missed.cls_share)} %</b> of the squared length.")
    before, through = missed.before, missed.through
    same = "as on" if through.top == before.top else "<b>unlike</b> on"
    return f"""<p class="told">{" ".join(facts)} Through the reconstruction alone, the model says
 “{escaped(through.best)}” ({percent(float(through.probabilities[through.top]))} %), {same} the picture itself
 (“{escaped(before.best)}”, {percent(float(before.probabilities[before.top]))} %). Levers never replace the picture by
 its reconstruction: what is missed stays in place, unexplained and out of reach.</p>"""
