"""Report of an inquiry -> one HTML file: what the page shows of it, all evidence, and the state it comes back from.

It is drawn by the page's own views and style sheet, without a script, and asks no network for anything.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from markupsafe import Markup

from ..files import ASSETS
from ..methods.generalization import Generalization
from ..session.evidence import EditEvidence
from ..session.report_file import CROP_ID, SECOND_ID, STATE_NAME, packed
from ..session.view_state import ViewState
from ..session.visit import Visit
from ..setups.loading import Setup
from ..words import signed
from . import attribution, charts, compare, evidence, glossary
from .component import target_words
from .frame import table
from .html import NOTHING, joined, render
from .images import lossless_uri, picture_uri
from .prediction import done, head
from .reference_strip import Face, sheet
from .row import Effect, effect_of, rows
from .settings import settings


class Trial(NamedTuple):
    """What an edit does to a set of pictures."""

    pictures: str
    """Which they are, in words."""
    found: Generalization
    """What it does."""


def report(
    setup: Setup,
    visit: Visit,
    state: ViewState,
    found: EditEvidence,
    faces: Mapping[int, Face],
    trial: Trial | None = None,
    cue: str = "",
    link: str = "",
) -> str:
    """The file. `faces`: of the strongest components and the levers, by component; `cue`: what `found.gone` lacks."""
    style = (ASSETS / "style.css").read_text(encoding="utf-8")
    dark = re.search(r"\.dark \{([^}]*)\}", style)
    assert dark is not None
    page = render(
        "report",
        state_name=STATE_NAME,
        packed=packed(state),
        readable=state.model_dump_json(indent=1, exclude_defaults=True),
        crop_id=CROP_ID,
        crop=lossless_uri(visit.trace.crop),
        second_id=SECOND_ID,
        second=visit.second,
        second_crop=None if visit.second is None else lossless_uri(visit.second.crop),
        small=picture_uri(visit.trace.crop, 160),
        page_style=Markup(style),  # noqa: S704 - it is ours
        dark=Markup(dark[1]),  # noqa: S704
        sheet=sheet(example for face in faces.values() for example in face.examples),
        subject=visit.subject,
        headline=_headline(visit),
        settings=settings(setup, visit),
        link=link,
        chart=compare.chart(visit),
        table=compare.table(visit),
        target=target_words(visit),
        target_line=attribution.target_line(visit, setup.clip.logit_scale, bool(setup.dictionary.words)),
        waterfall=attribution.waterfall_chart(visit, faces),
        rows=attribution.part_rows(visit, faces, still=True),
        has_map=visit.trace.has_map,
        levers=_levers(visit, faces),
        evidence=_answers(visit, found, trial, cue),
        glossary=glossary.listed(),
    )
    return str(glossary.linked(page))


def _headline(visit: Visit) -> str:
    was, now = visit.comparison.before.best, visit.comparison.after.best
    if not visit.edit.levers:
        return f"CLIP says “{was}”"
    return f"CLIP says “{was}”; with the edit, {'still' if was == now else 'it says'} “{now}”"


def _levers(visit: Visit, faces: Mapping[int, Face]) -> Markup:
    """The levers of the edit, each by the component that stands for it."""
    if not visit.edit.levers:
        return NOTHING
    groups = {head(group): group for group in visit.edit.groups()}
    effects: dict[int, Effect] = {component: effect_of(visit.part(component)) for component in groups}
    notes = {
        component: Markup("{}{} ").format(done(group[0]), f", with {len(group) - 1} of its family" * (len(group) > 1))
        for component, group in groups.items()
    }
    return rows(visit, effects, faces, notes=notes, still=True)


def _answers(visit: Visit, found: EditEvidence, trial: Trial | None, cue: str) -> list[tuple[str, Markup]]:
    """What is known of the edit, by question."""
    told: list[tuple[str, Markup]] = []
    if visit.edit.levers:
        told.append((evidence.ASKS["effect"], _effect(visit)))
    if found.controls is not None:
        words = evidence.chance_words(found.controls) + charts.distribution(found.controls)
        told.append((evidence.ASKS["chance"], words))
    if found.responses:
        told.append((evidence.STRENGTH, _doses(visit, found)))
    if found.side_effects is not None:
        told.append((evidence.ASKS["side_effects"], evidence.concepts(found.side_effects, _changes(visit, found))))
    if found.generalization is not None:
        told.append((evidence.ASKS["generalization"], evidence.by_kind(found.generalization)))
    if trial is not None:
        told.append((f"On many pictures: {trial.pictures}", _tried(trial.found)))
    if found.gone is not None:
        title = f"When the {cue} is really gone"
        told.append((title, evidence.counterfactual(visit, f"without the {cue}", found.gone)))
    told.append((evidence.ASKS["reconstruction_error"], evidence.missed_words(found.missed, visit.trace.has_map)))
    return told


def _effect(visit: Visit) -> Markup:
    was, now = visit.moved
    return Markup('<p class="told">The target, {}, goes from {} to <b>{}</b>: {} {}.</p>').format(
        target_words(visit), signed(was), signed(now), signed(now - was), visit.target.UNIT
    )


def _doses(visit: Visit, found: EditEvidence) -> Markup:
    alone = [f"{evidence.group_words(group)} alone" for group in visit.edit.groups()]
    names = ["All levers together", *alone][: len(found.responses)]
    sets = any(lever.operation == "set" for lever in visit.edit.levers)
    drawn = Markup("<h4>{}</h4>{}{}")
    return joined(
        drawn.format(
            name,
            evidence.dose_words(response, visit.classes),
            charts.dose(response, visit.classes, visit.target, None, sets),
        )
        for name, response in zip(names, found.responses, strict=True)
    )


def _changes(visit: Visit, found: EditEvidence) -> Markup:
    """Other components that contribute otherwise now."""
    if found.changes is None or not len(found.changes.component):
        return NOTHING
    row = Markup('<tr><th scope="row">#{}</th><td>{}</td><td>{}</td></tr>')
    numbers = zip(
        found.changes.component.tolist(), found.changes.before.tolist(), found.changes.after.tolist(), strict=True
    )
    listed = [row.format(component, signed(before), signed(after)) for component, before, after in numbers]
    return table((f"Other components, {visit.target.UNIT}", "Before", "With the edit"), listed)


def _tried(found: Generalization) -> Markup:
    """What the edit does to a set, by class."""
    row = Markup('<tr><th scope="row">{}</th><td>{} of {}</td><td>{} of {}</td><td>{}</td></tr>')
    listed = [
        row.format(name, c.fixed, c.wrong, c.broken, c.right, c.unchanged)
        for name, c in [("all", found.counts), *found.by_class.items()]
    ]
    heads = ("Pictures of", "Fixed, of the wrong", "Broken, of the right", "Unchanged")
    return Markup('<p class="told"><b>{}</b></p>').format(found.said) + table(heads, listed)
