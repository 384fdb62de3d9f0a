"""The evidence for an edit -> HTML of the Evidence tab: five answers at a glance, and what unfolds from them."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from markupsafe import Markup

from ..methods.controls import CHANCE, Controls
from ..methods.dose_response import Response
from ..methods.generalization import Generalization
from ..methods.reconstruction_error import ReconstructionError
from ..methods.side_effects import AttributionChanges, SideEffects
from ..methods.steering import Condition, Lever
from ..model.prediction import Prediction
from ..scenes.shortcuts import SHORTCUTS
from ..session.log import ChanceCheck, Judgement, SideCheck, side_check
from ..session.visit import Counterfactual, Visit
from ..words import MINUS, NONE, count, percent, signed
from . import charts
from .component import target_words
from .frame import heading, section, table, waiting, without_levers
from .glossary import term
from .html import NOTHING, joined, render
from .images import picture_uri
from .prediction import digest, group_name, tokens_words
from .row import changed

MOVED = 6
"""Concepts shown in each direction."""
NAMED = 6
"""Components listed by number; of more, the rest are counted."""
ENOUGH = 19
"""Controls that a verdict takes: with fewer, no effect can be beyond chance at p = 0.05."""
ASKS: Mapping[str, str] = MappingProxyType(
    {
        "effect": "Does it move the target?",
        "chance": "More than chance?",
        "side_effects": "What else changed?",
        "generalization": "Does it hold on others?",
        "reconstruction_error": "What is out of reach?",
    }
)
"""The five questions, by the names of their answers."""
MARKS: Mapping[str, str] = MappingProxyType({"good": "✓", "doubt": "✕", "open": "–"})
"""Of verdicts, by their tone."""
STRENGTH = "How strong?"
TRYING = "Trying random edits of this size"
KIND_WORDS = {"clean": "no cue"} | {kind: shortcut.shown for kind, shortcut in SHORTCUTS.items()}


# ---- the edit, and five answers about it


def no_edit() -> Markup:
    """What stands in place of the edit while there is no lever."""
    said = Markup("No lever yet. Pull one in <b>Attribution</b>, or find one in <b>Steering</b>.")
    return Markup('<p class="empty">{}</p>').format(without_levers(said))


def lever_words(group: Sequence[Lever]) -> str:
    """A lever, or those of a family, in words."""
    lever, who = group[0], group_words(group)
    where = "" if lever.at_least is None else f" where it fires at {lever.at_least:g} or more"
    if lever.operation == "suppress":
        return f"suppress {who}{where}"
    if lever.operation == "scale":
        return f"{who} × {lever.strength:g}{where}"
    return f"set {who} to {lever.strength:g}{where}"


def condition_words(condition: Condition) -> str:
    """In which pictures an edit acts, in words."""
    first, *others = condition.terms
    words = f"{first.weight:.3g} × #{first.component}"
    words += "".join(f" {'+' if one.weight >= 0 else '-'} {abs(one.weight):.3g} × #{one.component}" for one in others)
    words += f" ≥ {condition.at_least:.3g}"
    return f"only in pictures where {words.replace('-', MINUS)}, each by the token where it fires most"


def group_words(group: Sequence[Lever]) -> str:
    """What a lever is on."""
    return group_name(group) + (f" ({count(len(group), 'component')})" if len(group) > 1 else "")


def edit_words(visit: Visit, message: str) -> Markup:
    """The edit that the answers are about, and the same as a `message` for the handles on its doses (doses.js)."""
    rows, columns = visit.trace.grid
    done = ", ".join(map(lever_words, visit.edit.groups()))
    where = f"on {tokens_words(visit.edit.tokens, rows * columns) if rows else 'the whole picture'}"
    if visit.edit.condition is not None:
        where += f", {condition_words(visit.edit.condition)}"
    return Markup('<p class="edit" data-message="{}" data-of="{}">Your {}: <b>{}</b>, {}</p>').format(
        message, digest(visit), term("edit"), done, where
    )


def unasked(name: str) -> Markup:
    """A question that waits for an edit."""
    return Markup('<div class="answer idle"><span class="asks">{}</span><span class="figure">{}</span></div>').format(
        ASKS[name], NONE
    )


def pending(name: str, what: str, done: int = 0, total: int = 0, glance: Markup = NOTHING) -> Markup:
    """An answer that is still being worked out, and how far that is."""
    so_far = f"{done} of {total}" if total else ""
    return _answer(name, glance, "…", "open", f"{what} …", so_far, waiting(what, done, total))


def _answer(
    name: str,
    glance: Markup,
    figure: Markup | str,
    tone: str,
    says: str,
    reference: Markup | str,
    more: Markup | None,
    found: ChanceCheck | SideCheck | None = None,
) -> Markup:
    """One of the answers. Without `more`, what unfolds is another part of the page. `found`: what the log keeps."""
    return render(
        "answer",
        name=name,
        asks=ASKS[name],
        glance=glance,
        figure=figure,
        tone=tone,
        mark=MARKS[tone],
        says=says,
        reference=reference,
        more=NOTHING if more is None else _unfolded(name, ASKS[name], more),
        found=None if found is None else found.model_dump(),
    )


def _unfolded(name: str, title: str, body: Markup) -> Markup:
    """What an answer rests on."""
    return Markup('<section class="sheet unfolded" id="{}-unfolded" aria-label="{}">{}{}</section>').format(
        name, title, heading(title), body
    )


def _figure(value: str, unit: str) -> Markup:
    return Markup("<b>{}</b> {}").format(value, unit)


# ---- the effect, and the doses


def effect(visit: Visit) -> Markup:
    """From where to where the target moved, and whether the prediction flipped."""
    c, (was, now) = visit.comparison, visit.moved
    tone, says = "open", f"still “{c.after.best}”"
    if c.flipped:
        wrong = visit.truth is not None and c.after.top != visit.truth
        tone, says = ("doubt" if wrong else "good"), f"flips to “{c.after.best}”"
    reference = f"{target_words(visit)}: {signed(was)} → {signed(now)}"
    figure = _figure(signed(now - was), visit.target.UNIT)
    return _answer("effect", charts.effect_glance(was, now), figure, tone, says, reference, None)


def no_doses() -> Markup:
    """What unfolds from the effect while the doses are being tried."""
    return _unfolded("effect", STRENGTH, waiting("Trying other strengths"))


def doses(visit: Visit, responses: Sequence[Response]) -> Markup:
    """What the edit does at many strengths, and each of its levers alone: a chart each, one of them in sight."""
    groups = visit.edit.groups()
    of_all = groups[0] if len(groups) == 1 else None
    shown = [("all levers together", of_all)]
    if len(responses) > 1:
        shown += [(f"{group_words(group)} alone", group) for group in groups]
    parts = []
    for (_, group), response in zip(shown, responses, strict=True):
        dragged = None if group is None else charts.handle(group, group_words(group))
        sets = any(lever.operation == "set" for lever in (visit.edit.levers if group is None else group))
        chart = charts.dose(response, visit.classes, visit.target, dragged, sets)
        parts.append(dose_words(response, visit.classes) + chart)
    return _unfolded("effect", STRENGTH, render("doses", names=[name for name, _ in shown], parts=parts))


def dose_words(response: Response, classes: Sequence[str]) -> Markup:
    """Where the prediction flips along the doses."""
    if not response.flips:
        return Markup('<p class="told">The prediction flips at none of these strengths.</p>')
    flips = "; ".join(
        f"between × {flip.low:g} and × {flip.high:g} from “{classes[flip.before]}” to “{classes[flip.after]}”"
        for flip in response.flips
    )
    return Markup('<p class="told">Flips {}.</p>').format(flips)


# ---- chance


def chance(controls: Controls) -> Markup:
    """Whether the effect is more than random edits of this size have."""
    tone, says, how = verdict(controls)
    p = max(controls.p_value, controls.p_directions)
    enough = len(controls.random) >= ENOUGH
    figure = _figure(f"p = {p:.2f}", "") if enough else NONE
    more = chance_words(controls) + charts.distribution(controls)
    found = ChanceCheck(p=p if enough else None, judgement=tone)
    return _answer("chance", charts.distribution(controls, glance=True), figure, tone, says, how, more, found)


def trying(controls: Controls) -> Markup:
    """The same while more of them are being tried."""
    return pending("chance", TRYING, glance=charts.distribution(controls, glance=True))


def verdict(controls: Controls) -> tuple[Judgement, str, str]:
    """(tone, verdict, how it was reached): whether the effect is more than random edits of this size have."""
    n = len(controls.random)
    if n < ENOUGH:
        return "open", "Cannot be told", f"only {count(n, 'random edit')} of this size can be made"
    how = (
        f"percentile {controls.percentile:.0f} of {n} random edits; and {count(len(controls.directions), 'direction')}"
    )
    return ("good", "Beyond chance", how) if controls.beyond_chance else ("doubt", "No better than chance", how)


def chance_words(controls: Controls) -> Markup:
    """What the chart of the controls says."""
    _, words, _ = verdict(controls)
    named = [f"#{lever.component}" for lever in controls.rival_edit.levers]
    rival = ", ".join(named[:NAMED]) + (f" and {len(named) - NAMED} more" if len(named) > NAMED else "")
    moved = f"it by {_range(controls.random)}" if len(controls.random) else "nothing: there is none"
    theirs = ""
    if controls.energy is not None:
        weak = ": weaker, so the directions are the fairer comparison" if controls.energy < 0.5 else ""
        theirs = f" (of {controls.energy:.2g} times its energy{weak})"
    return Markup("""<p class="told"><b>{words}.</b> Your edit moves the target by <b>{effect} {unit}</b>; its
 {controls}: {sets}{theirs} move {moved}; {directions}, by {range} (the middle 90 %); the
 most active components ({rival}), by {by_rival}.</p>""").format(
        words=words,
        controls=term("controls"),
        effect=signed(controls.effect),
        unit=controls.unit,
        sets=count(len(controls.random), "random set"),
        theirs=theirs,
        moved=moved,
        directions=count(len(controls.directions), "random direction"),
        range=_range(controls.directions),
        rival=rival,
        by_rival=signed(controls.rival),
    )


def _range(values: np.ndarray) -> str:
    low, high = np.percentile(values, [5, 95])
    return f"{signed(float(low))} to {signed(float(high))}"


# ---- side effects


def side_effects(visit: Visit, ripple: SideEffects, shifted: AttributionChanges) -> Markup:
    """How many times further the target moved than other concepts, and which these are."""
    n, farther = len(ripple.concepts), int((np.abs(ripple.relative) < abs(ripple.effect)).sum())
    tone, says = "open", "nothing to compare with"
    figure: Markup | str = NONE
    if ripple.selectivity is not None:
        figure = _figure(f"{ripple.selectivity:.1f} ×", "")
        tone = "good" if n - farther <= CHANCE * n else "doubt"
        says = f"farther than {farther} of {count(n, 'other concept')}"
    reference = f"as far as others (spread {_spread(ripple)})"
    more = concepts(ripple, _attribution_changes(visit, shifted))
    glance = charts.side_effects_glance(ripple)
    return _answer("side_effects", glance, figure, tone, says, reference, more, side_check(ripple))


def _spread(ripple: SideEffects) -> str:
    return NONE if ripple.side_effect is None else f"{ripple.side_effect:.2f} {ripple.unit}"


def concepts(ripple: SideEffects, others: Markup) -> Markup:
    """Everyday concepts that moved most, and under them what `others` says of other components."""

    def moves(which: np.ndarray) -> list[tuple[str, float]]:
        return [(ripple.concepts[k], float(ripple.relative[k])) for k in which.tolist()]

    return render(
        "side_effects",
        side=_spread(ripple),
        concepts=len(ripple.concepts),
        effect=ripple.effect,
        unit=ripple.unit,
        cosine=ripple.cosine,
        moves=(
            ("for", "▲ Rose most", moves(ripple.most_up(MOVED))),
            ("against", "▼ Fell most", moves(ripple.most_down(MOVED))),
        ),
        reach=float(np.abs(ripple.relative).max(initial=0.0)) or 1.0,
        others=others,
    )


def _attribution_changes(visit: Visit, changes: AttributionChanges) -> Markup:
    if not len(changes.component):
        return Markup('<p class="told">No other component’s attribution changed.</p>')
    return Markup("""<details><summary>Other components whose attribution changed</summary>
<p class="legend">Bar: {} before, in {}. Tick: now.</p>{}</details>""").format(
        term("attribution"), visit.target.UNIT, changed(visit, changes)
    )


# ---- other pictures


def generalization(found: Generalization) -> Markup:
    """Whether the same edit fixes more of the reference pictures than it breaks."""
    c, n = found.counts, len(found.truth)
    tone, says = "open", "no clear difference" if c.fixed + c.broken else "changes none"
    if c.fixed != c.broken and c.p_value <= CHANCE:
        more_fixed = c.fixed > c.broken
        tone, says = ("good", "fixes more than it breaks") if more_fixed else ("doubt", "breaks more than it fixes")
    figure = Markup("<b>{}</b> fixed, <b>{}</b> broken").format(c.fixed, c.broken)
    reference = f"of {n} rendered scenes; {c.unchanged} unchanged"
    return _answer("generalization", charts.generalization_glance(c), figure, tone, says, reference, by_kind(found))


def by_kind(found: Generalization) -> Markup:
    """The same edit on the reference pictures: how many it fixes and breaks, by kind, and which."""
    row = Markup("""<tr><th scope="row">{}</th><td>{} of {}{}</td>
<td>{} of {}{}</td><td>{}</td></tr>""")
    rows = [
        row.format(
            KIND_WORDS[kind], c.fixed, c.wrong, interval_words(c.fixed_interval),
            c.broken, c.right, interval_words(c.broken_interval), c.unchanged,
        )
        for kind, c in found.by_group.items()
    ]  # fmt: skip
    changed = found.counts.fixed + found.counts.broken
    odds = Markup(" {}: p = {:.2g}.").format(term("McNemar test"), found.counts.p_value) if changed else NOTHING
    heads = ("Pictures with", "Fixed, of the wrong", "Broken, of the right", "Unchanged")
    told = Markup("""<p class="told"><b>{}</b>{} {} rendered scenes, {} classes; there the edit acts on all
 tokens.</p>""").format(found.said, odds, len(found.truth), len(found.classes))
    return told + table(heads, rows) + _thumbs("▲ Fixed", found.fixed, found) + _thumbs("▼ Broken", found.broken, found)


def interval_words(interval: tuple[float, float] | None) -> Markup:
    """An interval of a share, in percent, beside its numbers."""
    if interval is None:
        return NOTHING
    return Markup(" <small>({:.0f} to {:.0f} %)</small>").format(100 * interval[0], 100 * interval[1])


def _thumbs(title: str, which: np.ndarray, found: Generalization) -> Markup:
    if not len(which):
        return NOTHING
    kept = [k for k, i in enumerate(found.shown) if i in which]
    small = Markup(" <small>{} of {}</small>").format(len(kept), len(which)) if len(which) > len(kept) else NOTHING
    return Markup('<h4>{}{}</h4><div class="thumbs">{}</div>').format(
        title, small, joined(_thumb(k, found) for k in kept)
    )


def _thumb(k: int, found: Generalization) -> Markup:
    names, i = found.classes, found.shown[k]
    shows = f"{names[found.truth[i]]}, {KIND_WORDS[str(found.group[i])]}"
    return Markup("""<figure><img src="{}" width="96" height="96" alt="{}"
><figcaption>{} → <b>{}</b></figcaption></figure>""").format(
        picture_uri(found.crops[k], 96), shows, names[found.before[i]], names[found.after[i]]
    )


# ---- the true counterfactual


def no_counterfactual(is_counterfactual: bool) -> Markup:
    """What stands there for a picture without a known counterfactual."""
    told = Markup('<p class="told">Paint or crop the {} away below, and ask the model again.</p>')
    if is_counterfactual:
        told = Markup('<p class="told">This is the picture without its {}. Show it with it to compare.</p>')
    return section("When the cue is really gone", told.format(term("cue")))


def known_counterfactual(visit: Visit, cue: str, gone: Counterfactual, at_large: str) -> Markup:
    """What the model says when the cue is really gone, and how often that helps."""
    return section(f"When the {cue} is really gone", counterfactual(visit, f"without the {cue}", gone, at_large))


def counterfactual(visit: Visit, how: str, gone: Counterfactual, at_large: str = "") -> Markup:
    """The two remedies side by side: the cue taken out of the picture, and the components taken out of the model."""
    columns = [("as it is", visit.prediction), (how, gone.prediction)]
    said = f"{how[0].upper()}{how[1:]}, the model says “{gone.prediction.best}”"
    if visit.edit.levers:
        edited = visit.comparison.after
        columns.append(("with your edit", edited))
        said += f"; with your edit, “{edited.best}”{' too' if edited.top == gone.prediction.top else ''}"
    order = dict.fromkeys([*visit.prediction.order[:6].tolist(), *(p.top for _, p in columns)])
    row = Markup('<tr><th scope="row">{}{}</th>\n{}</tr>')
    rows = [
        row.format(visit.classes[k], " ✓" if k == visit.truth else "", joined(_share(p, k) for _, p in columns))
        for k in order
    ]
    truth = "" if visit.truth is None else "✓ what it should be · "
    shown = "the edited picture’s" if visit.edit.levers else "the picture’s"
    told = Markup('<p class="told"><b>{}.</b> Cosine of its embedding with {}: {:.3f}. {}</p>').format(
        said, shown, gone.cosine, at_large
    )
    legend = Markup('<p class="legend">{}bold: predicted</p>').format(truth)
    return told + table(("Probability, %", *(name for name, _ in columns)), rows) + legend


def _share(p: Prediction, k: int) -> Markup:
    cell = Markup("<td><b>{}</b></td>") if k == p.top else Markup("<td>{}</td>")
    return cell.format(percent(float(p.probabilities[k])))


# ---- what the SAE misses


def reconstruction_error(missed: ReconstructionError, has_map: bool = True) -> Markup:
    """How much of the picture no component reaches, and what the model says without that.

    `has_map`: whether the dictionary reads tokens, and not the image embedding.
    """
    if missed.explained_variance is not None:
        reached, reference = missed.explained_variance, "of the variance of this picture’s tokens"
    else:
        what = "CLS" if has_map else "the image embedding"
        reached, reference = 1 - (missed.cls_share or 0.0), f"of the squared length of {what}"
    same = missed.through.top == missed.before.top
    says = f"without it, {'still' if same else 'not'} “{(missed.through if same else missed.before).best}”"
    figure = _figure(f"{percent(float(np.clip(1 - reached, 0, 1)))} %", "missed")
    return _answer(
        "reconstruction_error", charts.share_glance(reached), figure, "good" if same else "doubt", says, reference,
        missed_words(missed, has_map),
    )  # fmt: skip


def missed_words(missed: ReconstructionError, has_map: bool = True) -> Markup:
    """What no component can explain or steer in this picture."""
    facts = []
    if missed.explained_variance is not None:
        fact = Markup("{}: <b>{} %</b> of this picture’s tokens.")
        facts.append(fact.format(term("explained variance", "Explained variance"), percent(missed.explained_variance)))
    if missed.cls_share is not None:
        fact = Markup("{} at {}: <b>{} %</b> of the squared length.")
        name = term("reconstruction error", "Reconstruction error")
        facts.append(fact.format(name, "CLS" if has_map else "the image embedding", percent(missed.cls_share)))
    before, through = missed.before, missed.through
    return Markup("""<p class="told">{facts} Of the reconstruction alone, the model says “{through}”
 ({through_share} %), {same} of the picture (“{before}”, {before_share} %). Levers leave what is missed in
 place.</p>""").format(
        facts=Markup(" ").join(facts),
        through=through.best,
        through_share=percent(float(through.probabilities[through.top])),
        same="as on" if through.top == before.top else Markup("<b>unlike</b> on"),
        before=before.best,
        before_share=percent(float(before.probabilities[before.top])),
    )
