"""Many pictures, and what an edit does to them -> HTML: strips by class, the sentence, pictures, tables, confusions."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from markupsafe import Markup

from ..methods import failures as failures_of
from ..methods.conditions import Promise
from ..methods.failures import Candidates, Confusion, Findings
from ..methods.generalization import Counts, Generalization, TrialSoFar
from ..methods.picture_set import PictureSet
from ..pictures.intake import Bounds, Intake
from ..recipes import Recipe
from ..session.many_pictures import OwnSet
from ..session.visit import Visit
from ..words import MINUS, NONE, count, in_percent, percent, signed, size_in_words
from . import charts, frame
from .evidence import KIND_WORDS, condition_words, interval_words, lever_words
from .frame import table, without_levers
from .glossary import term
from .html import NOTHING, flag, joined, render
from .images import picture_uri
from .reference_strip import Face, chip, sheet
from .row import Effect, rows

STRIPS = 16
"""Classes with a strip; of more, those in which most happens."""
PICTURED = 12
"""Pictures shown of those fixed, of those broken, of those changed."""
CONFUSED = 15
"""Confusions listed, in all."""
SAID = 4
"""Of them, classes that pictures of several others are taken for."""
FAMILIES, COMPONENTS = 4, 8
"""Candidates shown of each kind."""
TABLED = 60
"""Classes, and groups, in the table."""
SIDE = 96
"""Pixels of a picture in a list."""
LISTED = 20
"""Pictures named that could not be read."""


@dataclass(frozen=True)
class Strip:
    """One class, or the pictures without a label, by what became of them."""

    name: str
    """The class."""
    parts: tuple[tuple[str, int], ...]
    """What became of them, as a class of style.css, and of how many."""

    @property
    def total(self) -> int:
        """All of its pictures."""
        return sum(n for _, n in self.parts)

    @property
    def turned(self) -> int:
        """Those that an edit changed."""
        return sum(n for kind, n in self.parts if kind in ("fixed", "broken", "changed"))


WORDS: Mapping[str, str] = MappingProxyType(
    {
        "fixed": "fixed",
        "broken": "broken",
        "changed": "changed, no label",
        "right": "right",
        "wrong": "wrong",
        "same": "unchanged, no label",
    }
)
"""What became of a picture, in words."""
MARKS: Mapping[str, str] = MappingProxyType({"fixed": "▲", "broken": "▼", "changed": "↻", "wrong": "✕"})
"""By shape, beside a number."""


# ---- the set


def about_set(pictures: PictureSet, called: str) -> Markup:
    """What the set is, and how often the model is right in it. `called`: what the pictures are, after their number."""
    labelled, right = int(pictures.labelled.sum()), int(pictures.right.sum())
    told = f"{right} right ({percent(right / labelled)} %)" if labelled else "none with a label"
    if 0 < labelled < len(pictures):
        told += f" of the {labelled} with a label"
    words = f"{set_words(pictures, called)}; {told}{' without an edit' if labelled else ''}."
    return Markup('<p class="told">{}</p>').format(words)


def set_words(pictures: PictureSet, called: str) -> str:
    """Which pictures these are, and among how many classes they are asked about."""
    return f"{len(pictures)} {called}; {count(len(pictures.classes), 'class', 'es')}"


def gone(name: str) -> Markup:
    """What stands there while a visitor's own pictures are not here (any more)."""
    if not name:
        return Markup('<p class="empty">Bring some pictures above, and press <b>Read them</b>.</p>')
    return Markup("""<p class="empty">The pictures “{}” are not on the server any more, or were read by another setup:
 bring them again above.</p>""").format(name)


def bounds(most: Bounds, n_bytes: int) -> Markup:
    """How much may be brought, and what becomes of it."""
    return Markup("""<p class="legend">Up to {:,} pictures, 40 MB of files at once, {} in memory; kept for this
 session alone.</p>""").format(most.pictures, size_in_words(n_bytes))


def stopped_words(n: int, total: int | None, drawn: bool) -> str:
    """Of a reading that was stopped: which of all pictures were read by then."""
    how = "drawn by a hash of their names" if drawn else "its first ones, which are no random choice"
    return f"Stopped: these are {n:,}{'' if total is None else f' of {total:,}'}, {how}."


def read_words(own: OwnSet, intake: Intake, *more: str) -> Markup:
    """How the reading went: how many were read, and which were not, with the reason.

    `more`: what else there is to say of it, such as why it ended early.
    """
    said = [f"{count(len(own.pictures), 'picture')} read.", *more, *intake.remarks]
    told = frame.notice(" ".join(said))
    troubles = [*intake.left_out, *own.pictures.troubles]
    n = intake.n_left_out + len(own.pictures.troubles)
    if not n:
        return told
    item = Markup("<li><b>{}</b>: {}</li>")
    rest = Markup("<li>and {} more</li>").format(n - LISTED) if n > LISTED else NOTHING
    return told + Markup("""<details class="notice warn"><summary>{} left out</summary>
<ul class="listed">{}{}</ul></details>""").format(
        count(n, "file"), joined(item.format(*one) for one in troubles[:LISTED]), rest
    )


# ---- what an edit does to it


def standing(pictures: PictureSet) -> Markup:
    """The set without an edit: where the model is right."""
    strips = [
        Strip(name, (("right", int((of & pictures.right).sum())), ("wrong", int((of & pictures.wrong).sum()))))
        for name, of in _by_class(pictures)
    ]
    if not strips:
        said = Markup("No lever yet. Pull one, and see here what else it changes.")
        return Markup('<p class="empty">{}</p>').format(without_levers(said))
    said = Markup("No lever yet. Press a confusion below for the components behind it.")
    return _strips(strips) + Markup('<p class="told">{}</p>').format(without_levers(said))


def tried_so_far(visit: Visit, pictures: PictureSet, so_far: TrialSoFar) -> Markup:
    """What the edit did to some of the pictures, where it was stopped; what it is of none."""
    if not len(so_far):
        return frame.stopped()
    words = (
        f"Stopped after {len(so_far):,} of {len(pictures):,} pictures, in an order drawn by a hash of their names. No "
        "bound is stated on a part: who stops may have seen enough."
    )
    return frame.stopped(words) + tried(visit, pictures.part(so_far.of), so_far.found, whole=False)


def tried(visit: Visit, pictures: PictureSet, found: Generalization, whole: bool = True) -> Markup:
    """What the edit did: strips by class, the sentence, the fixed and the broken as pictures, the table.

    No bound where it is not on the `whole` set.
    """
    return (
        _strips(_strips_of(pictures, found))
        + _sentence(visit, found)
        + (_bounds(visit, found.counts) if whole and found.counts.labelled else NOTHING)
        + _shown("▲ Fixed", "fixed", found.fixed, pictures, found)
        + _shown("▼ Broken", "broken", found.broken, pictures, found)
        + _shown("↻ Changed, no label", "changed", found.changed, pictures, found)
        + _table(found, visit.many.grouped_by)
    )


def _by_class(pictures: PictureSet) -> list[tuple[str, np.ndarray]]:
    """The classes that pictures show, and which pictures, bool [N]."""
    return [(name, pictures.truth == c) for c, name in enumerate(pictures.classes) if bool((pictures.truth == c).any())]


def _strips_of(pictures: PictureSet, found: Generalization) -> list[Strip]:
    strips = []
    for name, of in _by_class(pictures):
        c = found.counts_of(of)
        parts = ("fixed", c.fixed), ("broken", c.broken), ("right", c.right - c.broken), ("wrong", c.wrong - c.fixed)
        strips.append(Strip(name, parts))
    unlabelled = found.counts.unlabelled
    if unlabelled:
        changed = found.counts.changed
        strips.append(Strip("no label", (("changed", changed), ("same", unlabelled - changed))))
    return strips


def _strips(strips: Sequence[Strip]) -> Markup:
    order = sorted(strips, key=lambda one: (-one.turned, -dict(one.parts).get("wrong", 0)))
    shown, rest = order[:STRIPS], order[STRIPS:]
    kinds = [kind for kind in WORDS if any(n for one in strips for each, n in one.parts if each == kind)]
    return render(
        "strips",
        strips=shown,
        most=max((one.total for one in shown), default=1),
        keys=[(kind, WORDS[kind]) for kind in kinds],
        words=WORDS,
        marks=MARKS,
        more=len(rest),
        turned=sum(one.turned for one in rest),
    )


def _sentence(visit: Visit, found: Generalization) -> Markup:
    """The edit, and what it does, in words."""
    c = found.counts
    more = [Markup("It acts in {} % of the pictures").format(percent(found.acts))]
    if c.labelled:
        lead = Markup("moves the {} of the right class by {} logits on average")
        more.append(lead.format(term("lead"), signed(found.lead_change)))
    if c.fixed + c.broken:
        more.append(Markup("{}: p = {:.2g}").format(term("McNemar test"), c.p_value))
    where = ", on all tokens" if visit.trace.has_map else ""
    return Markup('<p class="edit">Your edit{}: {}</p><p class="told"><b>{}</b> {}.</p>').format(
        where, edit_words(visit), found.said, Markup("; ").join(more)
    )


def _bounds(visit: Visit, c: Counts) -> Markup:
    """What may be said of other pictures: nothing, unless these did not choose the edit. Both stand there (many.js)."""
    said = []
    if c.wrong:
        said.append(f"fixes at least {in_percent(c.least_fixed(), 1)} of those that are wrong")
    if c.right:
        said.append(f"breaks at most {in_percent(c.most_broken(), 1)} of those that are right")
    return Markup("""<div class="bounds" data-trial="{trial}" data-claimed="{claimed}">
<p class="claimed">Of pictures like these, drawn independently from where these come from, <b>it {said}</b>:
 exact one-sided {bounds} (Clopper-Pearson), each with confidence 95 %.</p>
<p class="unclaimed">No bound on other pictures: as far as is known here, these pictures were used to find it.</p>
<button type="button" class="act" aria-pressed="{claimed}">I chose this edit without these pictures</button>
</div>""").format(
        bounds=term("bound", "bounds"),
        trial=visit.many.trial(visit.setup, visit.edit),
        claimed=flag(visit.many.is_unseen(visit.setup, visit.edit)),
        said=" and ".join(said),
    )


def edit_words(visit: Visit) -> str:
    """The edit in words."""
    done, condition = ", ".join(map(lever_words, visit.edit.groups())), visit.edit.condition
    return done if condition is None else f"{done}, {condition_words(condition)}"


def _shown(title: str, kind: str, which: np.ndarray, pictures: PictureSet, found: Generalization) -> Markup:
    """Some of those that changed, each a button that opens it (many.js)."""
    if not len(which):
        return NOTHING
    some = which[:PICTURED].tolist()
    small = Markup(" <small>{} of {}</small>").format(len(some), len(which)) if len(which) > len(some) else NOTHING
    names = found.classes
    button = Markup("""<button type="button" class="pictured" data-picture="{name}"
 aria-label="Open {name}: {was} → {now}"><img src="{src}" width="{side}" height="{side}"
 alt=""><span>{was} → <b>{now}</b></span></button>""")
    return Markup('<section class="turned {}"><h3>{}{}</h3><div class="thumbs">{}</div></section>').format(
        kind,
        title,
        small,
        joined(
            button.format(
                name=pictures.names[i],
                was=names[found.before[i]],
                now=names[found.after[i]],
                src=picture_uri(pictures.traces[i].crop, SIDE),
                side=SIDE,
            )
            for i in some
        ),
    )


def _table(found: Generalization, grouped_by: str) -> Markup:
    """By class and by group, as numbers; open where a column of groups was asked for."""
    by_class = list(found.by_class.items())
    groups = [(group_words(group), counts) for group, counts in found.by_group.items() if group]
    parts = []
    both = [("Class", by_class), (grouped_by or "Group", groups)]
    for title, listed_of in reversed(both) if grouped_by else both:
        if listed_of:
            heads = (title, "Right before", "Right after", "Fixed, of the wrong", "Broken, of the right", "Unchanged")
            parts.append(table(heads, (_row(name, counts) for name, counts in listed_of[:TABLED])))
            if len(listed_of) > TABLED:
                parts.append(Markup('<p class="legend">and {} more</p>').format(len(listed_of) - TABLED))
    if not parts:
        return NOTHING
    return Markup('<details class="by-class"{}><summary>By class{}</summary>{}</details>').format(
        Markup(" open") if grouped_by else NOTHING, " and group" if groups else "", joined(parts)
    )


def _row(name: str, c: Counts) -> Markup:
    if not c.labelled:
        words = f"{c.changed} of {c.unlabelled} changed, no label"
        return Markup('<tr><th scope="row">{}</th><td colspan="5">{}</td></tr>').format(name, words)
    return Markup("""<tr><th scope="row">{}</th><td>{}{}</td><td>{}{}</td><td>{} of {}{}</td><td>{} of {}{}</td>
<td>{}</td></tr>""").format(
        name,
        _share(c.right, c.labelled),
        interval_words(c.accuracy_interval),
        _share(c.right_after, c.labelled),
        interval_words(c.accuracy_after_interval),
        c.fixed,
        c.wrong,
        interval_words(c.fixed_interval),
        c.broken,
        c.right,
        interval_words(c.broken_interval),
        c.unchanged,
    )


def _share(k: int, n: int) -> str:
    return f"{percent(k / n)} %" if n else NONE


def group_words(group: str) -> str:
    """A group of pictures in words: a kind of scene, or as its owner calls it."""
    return KIND_WORDS.get(group, group)


# ---- what goes wrong


def confusions(pictures: PictureSet, chosen: tuple[str, str] | None) -> Markup:
    """What is taken for what, as buttons (many.js): everything, what is often said wrongly, and pairs of classes."""
    if not pictures.labelled.any():
        return NOTHING
    pairs = failures_of.confusions(pictures)
    if not pairs:
        return Markup('<h3>What goes wrong</h3><p class="told">Nothing: every picture with a label is right.</p>')
    said = Counter[int]()
    for pair, n in pairs.items():
        assert pair.said is not None
        said[pair.said] += n
    many = [
        (Confusion(said=c), n) for c, n in said.most_common() if n > max(pairs.get(p, 0) for p in pairs if p.said == c)
    ]
    listed = [(Confusion(), int(pictures.wrong.sum())), *many[:SAID], *pairs.items()][:CONFUSED]
    names = pictures.classes
    buttons = []
    for one, n in listed:
        truth, mistaken = ("" if c is None else names[c] for c in (one.truth, one.said))
        buttons.append((truth, mistaken, n, (truth, mistaken) == chosen))
    return render("confusions", confusions=buttons, most=max(n for _, n in listed[1:]) if listed[1:] else 1)


def named_confusion(pictures: PictureSet, chosen: tuple[str, str] | None) -> Confusion | None:
    """The confusion of these names, nothing standing for any class; None where the set has none of them."""
    if chosen is None or any(name and name not in pictures.classes for name in chosen):
        return None
    return Confusion(*(pictures.classes.index(name) if name else None for name in chosen))


def listed(found: Findings) -> list[int]:
    """The components that stand for what is shown, each once."""
    heads = [members[0] for one, most in _kinds(found) for members in _foremost(one, most).values()]
    return list(dict.fromkeys(heads))


def _kinds(found: Findings) -> tuple[tuple[Candidates, int], ...]:
    return (found.families, FAMILIES), (found.components, COMPONENTS)


def _foremost(found: Candidates, most: int) -> dict[int, tuple[int, ...]]:
    """The first by mean attribution on the part that they were proposed on: place and members."""
    return {int(k): found.members[k] for k in found.order("attribution")[:most]}


def failures(visit: Visit, found: Findings, faces: Mapping[int, Face]) -> Markup:
    """What may be behind a confusion, as rows; their pictures have to be in a sheet of the page."""
    parts = [_candidates(visit, one, faces, most) for one, most in _kinds(found)]
    titles = "Families", "Components"
    return render(
        "failures",
        confusion="everything" if found.confusion == Confusion() else found.confusion.words(found.classes),
        said=found.said,
        parts=[(title, part) for title, part in zip(titles, parts, strict=True) if part],
    )


def _candidates(visit: Visit, found: Candidates, faces: Mapping[int, Face], most: int) -> Markup:
    effects, notes = {}, {}
    at = found.judging
    for k, members in _foremost(found, most).items():
        c, head = found.counts[k], members[0]
        bar = float(at.attribution[k]) if np.isfinite(at.attribution[k]) else 0.0
        tells = f" AUROC {at.auroc[k]:.2f}" if np.isfinite(at.auroc[k]) else ""
        words = Markup("fixes <b>{}</b>, breaks <b>{}</b><br>{}").format(c.fixed, c.broken, tells)
        effects[head] = Effect(bar, words=words)
        notes[head] = Markup('<small class="match">in {} of {}</small>').format(at.among_first[k], at.failures)
    return rows(visit, effects, faces, notes=notes) if effects else NOTHING


# ---- conditions


def promised(visit: Visit, found: Promise, like_these: str, faces: Mapping[int, Face]) -> Markup:
    """What may be promised of the edit under a condition, its components, and buttons that put it on or off (many.js).

    The reference pictures come with it.
    """
    done = ", ".join(map(lever_words, visit.edit.groups()))
    done = done[:1].upper() + done[1:]
    tone = "quiet" if found.choice.promised else "warn"
    told = frame.notice(f"{done}: {found.said(like_these)}", tone=tone)
    condition = found.choice.condition
    button = Markup('<button type="button" class="act" data-condition="{}">{}</button>')
    leave = button.format(json.dumps({"terms": [], "at_least": 0}), "No condition")
    if condition is None:
        return told if visit.edit.condition is None else told + Markup('<p class="actions">{}</p>').format(leave)
    note = Markup("<small>× {}</small>")
    chips = joined(
        chip(term.component, note.format(f"{term.weight:.3g}".replace("-", MINUS)), faces.get(term.component))
        for term in condition.terms
    )
    terms = [[term.component, term.weight] for term in condition.terms]
    message = json.dumps({"terms": terms, "at_least": condition.at_least})
    return told + Markup("""{sheet}<p class="told">It acts {words}. Found on {found_on}
 pictures, and on none of those below.</p>
<div class="chips">{chips}</div><p class="actions">{use} {leave}</p>{chart}""").format(
        found_on=found.found_on,
        chart=charts.thresholds(found),
        sheet=sheet(example for face in faces.values() for example in face.examples),
        words=condition_words(condition),
        chips=chips,
        use=button.format(message, "Use this condition"),
        leave=leave,
    )


# ---- recipes


def saved(visit: Visit, recipe: Recipe, folder: str) -> Markup:
    """What was claimed of a recipe that was saved, of which edit, and how it is used in code."""
    title, words = recipe.facts.title, edit_words(visit)
    edit = "" if title == words[:200] else f"Its edit: {words}."
    of_classes = (
        f"A recipe is about classes: in place of the similarity it names {recipe.facts.target.named(visit.classes)}."
    )
    asked = "" if visit.target.classes else of_classes
    claims = [claim.said for claim in recipe.facts.claims] or ["Without a claim: there is no set to try it on here."]
    return Markup("""{}<pre class="code" tabindex="0"><code>from clip_levers.recipes import apply_recipe
steered = apply_recipe(model, "{}")  # the unpacked folder; model: the CLIPModel of this setup</code></pre>""").format(
        frame.notice(f"“{title}” is ready.", edit, asked, *claims), folder
    )


def loaded(recipe: Recipe) -> tuple[str, ...]:
    """What a recipe that was loaded is, and what was claimed of it."""
    return f"“{recipe.facts.title}” is in place.", *(claim.said for claim in recipe.facts.claims)
