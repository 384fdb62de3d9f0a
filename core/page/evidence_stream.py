"""The Evidence tab, part by part: what answers quickly comes first.

Every step is a mapping from the tab's parts, by name, to what they show from now on: HTML, a chart, a list. A part that
a step does not name stays as it is.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..methods.dose_response import Response
from ..methods.generalization import Generalization
from ..session.visit import Visit
from ..views import charts, frame
from ..views import evidence as proofs
from ..workbench import Workbench

Told = Mapping[str, Any]
"""Parts of the tab, by name, and what they show."""


def prove(bench: Workbench, v: Visit, really: str) -> Iterator[Told]:
    """All that is known about the visit's edit; `really` is what is shown of the picture without its cue."""
    pulled = bool(v.edit.levers)
    yield {
        "summary": proofs.headline(v) if pulled else proofs.no_edit(),
        "tried": pulled,
        "said_chance": frame.heading("More than chance?") + frame.waiting("Trying random edits of this size"),
        "said_dose": frame.heading("Strength"),
        "chance": None,
        "dose": None,
        "answers": [],
        "which": [],
        "ripple": "",
        "elsewhere": "",
        "own_gone": "",
        "really": really,
        "lacking": frame.section(
            "What the SAE misses", proofs.missed_words(bench.reconstruction_error(v.trace, v.classes, v.templates))
        ),
    }
    if pulled:
        yield from _prove_edit(bench, v)


def _prove_edit(bench: Workbench, v: Visit) -> Iterator[Told]:
    asked = (v.trace, v.classes, v.templates)
    for controls in bench.controls(*asked, v.target, v.edit):
        yield {"chance": charts.chance(controls)}
    yield {
        "summary": proofs.headline(v, controls),
        "said_chance": frame.heading("More than chance?") + proofs.chance_words(controls),
    }
    found: list[Response] = []
    for response in bench.responses(*asked, v.target, v.edit):
        found.append(response)
        if len(found) == 1:
            yield show_dose(v, response)
    names = ["all levers together"]
    if len(found) > 1:
        names += [f"{proofs.group_words(group)} alone" for group in v.edit.groups()]
    yield {"answers": [(v, response) for response in found], "which": names}
    rippled = bench.side_effects(*asked, v.target, v.edit)
    shifted = bench.attribution_changes(*asked, v.attribution, v.edit)
    yield {
        "summary": proofs.headline(v, controls, rippled),
        "ripple": frame.section("What else changed", proofs.ripples(rippled, shifted)),
    }
    for step in bench.generalize(v.edit):
        told = proofs.elsewhere(step) if isinstance(step, Generalization) else frame.waiting(*step)
        yield {"elsewhere": frame.section("On other pictures", told)}


def show_dose(v: Visit, response: Response) -> Told:
    """What an edit does at many strengths."""
    return {
        "said_dose": frame.heading("Strength") + proofs.dose_words(response, v.classes),
        "dose": charts.dose(response, v.classes, v.target, v.edit),
    }
