"""Evidence tab, part by part: what answers quickly comes first, and a change ends what is still being worked out."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import gradio as gr
import numpy as np
from pydantic import BaseModel

from ..errors import UserError
from ..methods.dose_response import Response
from ..methods.generalization import Generalization
from ..pictures.read import read_picture
from ..session import visit as session
from ..session.cancellation import LatestOnly
from ..session.typed import Index, Text
from ..session.visit import Visit
from ..views import evidence as evidence_view
from ..views import frame
from ..views.report_words import ceiling_words
from . import widgets
from .context import Context
from .lanes import AS_SENT, TURN
from .replies import Change, Listener, Redraw, Replies, Shown, Shows
from .wire import OpenTab

if TYPE_CHECKING:  # plotly comes with the first chart
    import plotly.graph_objects as go

NAME = "Evidence"
"""Of the tab, on the page."""
EDITOR_SIDE = 640
"""Pixels of the longer side of a picture that is painted on."""


class EvidenceParts(TypedDict, total=False):
    """What the parts of the tab show from now on. A part that is not named stays as it is. Without a type: HTML."""

    summary: str
    """The edit, and three numbers about it."""
    said_chance: str
    chance: "go.Figure | None"
    said_dose: str
    dose: "go.Figure | None"
    responses: list[tuple[Visit, Response]]
    """What can be chosen to be shown as `dose`."""
    which: Sequence[str]
    """The same by name."""
    side_effects: str
    generalization: str
    counterfactual: str
    own_counterfactual: str
    reconstruction_error: str
    told_about: Hashable
    """What the evidence is about, once it is complete."""


class UploadedFile(BaseModel):
    """A file as Gradio names it."""

    path: Text


class Drawing(BaseModel):
    """What the editor sends: the files of its background, its layers, and what can be seen of both, which is read."""

    composite: UploadedFile | None


@dataclass(frozen=True)
class EvidenceTab:
    """Its parts."""

    tab: gr.Tab
    summary: gr.HTML
    said_chance: gr.HTML
    chance: gr.Plot
    said_dose: gr.HTML
    which: gr.Dropdown
    dose: gr.Plot
    side_effects: gr.HTML
    generalization: gr.HTML
    counterfactual: gr.HTML
    own_section: gr.Accordion
    editor: gr.ImageEditor
    retell: gr.Button
    own_counterfactual: gr.HTML
    reconstruction_error: gr.HTML
    told_about: gr.State
    responses: gr.State
    latest: gr.State
    """LatestOnly, of the evidence."""


def build() -> EvidenceTab:
    """Its layout."""
    with gr.Tab(NAME, id="evidence", render_children=True) as tab:
        summary = widgets.html(evidence_view.no_edit(), elem_id="summary")
        # Hidden by style while there is no edit: a plot in a row that Gradio shows and hides may lose its figure.
        with gr.Row(equal_height=False, elem_id="tried"):
            with gr.Column(min_width=320, elem_classes="sheet"):
                said_chance = widgets.html(elem_id="said-chance")
                chance = gr.Plot(show_label=False, container=False, elem_id="chance")
            with gr.Column(min_width=320, elem_classes="sheet"):
                said_dose = widgets.html(elem_id="said-dose")
                which = gr.Dropdown(label="Strength of", elem_id="which", visible=False)
                dose = gr.Plot(show_label=False, container=False, elem_id="dose")
        side_effects = widgets.html(elem_id="ripple")
        generalization = widgets.html(elem_id="elsewhere")
        counterfactual = widgets.html(elem_id="really")
        with gr.Accordion("Take the cue away yourself", open=False, elem_id="own-twin") as own_section:
            editor = gr.ImageEditor(
                sources=(), transforms=("crop",), layers=False, height=420,
                brush=gr.Brush(default_size=28, colors=["#808080", "#ffffff", "#000000", "#7a9a5a"]),
                label="Paint over the cue, or crop it away", elem_id="editor",
            )  # fmt: skip
            retell = gr.Button("Ask the model about this picture", elem_id="retell")
            own_counterfactual = widgets.html(elem_id="own-gone")
        reconstruction_error = widgets.html(elem_id="lacking")
        told_about, responses, latest = gr.State(None), gr.State([]), gr.State(LatestOnly())
    return EvidenceTab(
        tab, summary, said_chance, chance, said_dose, which, dose, side_effects, generalization, counterfactual,
        own_section, editor, retell, own_counterfactual, reconstruction_error,
        told_about, responses, latest,
    )  # fmt: skip


def redraws(tab: EvidenceTab) -> list[Redraw]:
    """What it draws anew, and since when: what was painted on a picture goes with it. The rest is by `following`."""
    return [
        Redraw(tab.editor, Change.PICTURE, lambda *_: None),
        Redraw(tab.own_counterfactual, Change.PICTURE, lambda *_: ""),
        Redraw(tab.own_section, Change.PICTURE, lambda *_: gr.Accordion(open=False)),
    ]


def listen(tab: EvidenceTab, replies: Replies, upload: gr.File) -> None:
    """Its listeners."""
    dose = {"said_dose": tab.said_dose, "dose": tab.dose}
    tab.which.input(*replies.answer(show_chosen_dose, dose, tab.responses, tab.which), **(TURN | AS_SENT))
    tab.own_section.expand(*replies.answer(lend, tab.editor, upload), **TURN)
    told = replies.answer(ask_about_own_counterfactual, tab.own_counterfactual, tab.editor)
    tab.retell.click(*told, **(TURN | AS_SENT))


def following(tab: EvidenceTab, replies: Replies, open_tab: gr.Textbox) -> Listener:
    """What follows every change, where the tab is in sight."""
    return replies.stream(follow, _shows(tab), tab.told_about, tab.latest, hears=OpenTab, written_in=open_tab)


def follow(
    context: Context, v: Visit, opened: OpenTab, told_about: Hashable, latest: LatestOnly[None]
) -> Iterator[EvidenceParts]:
    """The evidence, where it is in sight: part by part, until something else is asked for.

    This follows every change, so that a change ends what is still being worked out about the state before.
    """
    wanted_still = latest.begin(opened.moment)
    about = (v.setup, v.revision, v.subject, v.classes, v.templates, v.truth, v.target, v.edit)
    if opened.tab != NAME or about == told_about or not wanted_still():
        return
    yield {"told_about": None}
    for parts in evidence(context, v):
        if not wanted_still():
            return
        yield parts
    yield {"told_about": about}


def evidence(context: Context, v: Visit) -> Iterator[EvidenceParts]:
    """All that is known about the visit's edit."""
    bench, pulled = context.bench(v), bool(v.edit.levers)
    missed = bench.reconstruction_error(v.trace, v.classes, v.templates)
    yield {
        "summary": evidence_view.headline(v) if pulled else evidence_view.no_edit(),
        "said_chance": frame.heading("More than chance?")
        + frame.waiting("Trying random edits of this size"),
        "said_dose": frame.heading("Strength"),
        "chance": None,
        "dose": None,
        "responses": [],
        "which": [],
        "side_effects": "",
        "generalization": "",
        "own_counterfactual": "",
        "counterfactual": show_counterfactual(context, v),
        "reconstruction_error": frame.section(
            "What the SAE misses", evidence_view.reconstruction_error(missed)
        ),
    }  # fmt: skip
    if pulled:
        yield from _about_edit(context, v)


def _about_edit(context: Context, v: Visit) -> Iterator[EvidenceParts]:
    from ..views import charts

    bench, asked = context.bench(v), (v.trace, v.classes, v.templates)
    for controls in bench.controls(*asked, v.target, v.edit):
        yield {"chance": charts.chance(controls)}
    yield {
        "summary": evidence_view.headline(v, controls),
        "said_chance": frame.heading("More than chance?") + evidence_view.chance_words(controls),
    }
    found: list[Response] = []
    for response in bench.responses(*asked, v.target, v.edit):
        found.append(response)
        if len(found) == 1:
            yield show_dose(v, response)
    names = ["all levers together"]
    if len(found) > 1:
        names += [f"{evidence_view.group_words(group)} alone" for group in v.edit.groups()]
    yield {"responses": [(v, response) for response in found], "which": names}
    ripple = bench.side_effects(*asked, v.target, v.edit)
    shifted = bench.attribution_changes(*asked, v.attribution, v.edit)
    yield {
        "summary": evidence_view.headline(v, controls, ripple),
        "side_effects": frame.section("What else changed", evidence_view.side_effects(ripple, shifted)),
    }
    for one in bench.generalize(v.edit):
        told = evidence_view.generalization(one) if isinstance(one, Generalization) else frame.waiting(*one)
        yield {"generalization": frame.section("On other pictures", told)}


def show_dose(v: Visit, response: Response) -> EvidenceParts:
    """What an edit does at many strengths."""
    from ..views import charts

    return {
        "said_dose": frame.heading("Strength") + evidence_view.dose_words(response, v.classes),
        "dose": charts.dose(response, v.classes, v.target, v.edit),
    }


def show_chosen_dose(
    _context: Context, _v: Visit, responses: list[tuple[Visit, Response]], chosen: Index
) -> EvidenceParts:
    """The same for the one that was chosen, and for the visit it was worked out for."""
    if chosen >= len(responses):  # they are being worked out anew
        raise UserError("That strength is not there any more. Choose again when the chart is.")
    return show_dose(*responses[chosen])


def show_counterfactual(context: Context, v: Visit) -> str:
    """For an example with a counterfactual: what the model says when the cue is really gone."""
    example, cue = context.example(v), context.cue(v)
    if example is None or cue is None or v.subject.counterfactual:
        return frame.section("When the cue is really gone", evidence_view.no_counterfactual(v.subject.counterfactual))
    found = session.without_cue(context.bench(v), v, example.file(counterfactual=True))
    at_large = ceiling_words(context.reports[v.setup], cue) if example.rendered else ""
    told = evidence_view.counterfactual(v, f"without the {cue}", found, at_large)
    return frame.section(f"When the {cue} is really gone", told)


def lend(context: Context, v: Visit, file: str | None) -> np.ndarray:
    """The picture, to be painted on, uint8 [rows, columns, 3]."""
    picture = read_picture(context.picture(v, file))
    picture.thumbnail((EDITOR_SIDE, EDITOR_SIDE))
    return np.asarray(picture)


def ask_about_own_counterfactual(context: Context, v: Visit, drawing: Drawing | None) -> str:
    """The visitor's own counterfactual beside the picture and the edit."""
    if drawing is None or drawing.composite is None:
        return frame.notice("There is no picture above yet. Open this part again to get it.", tone="bad")
    try:
        found = session.without_cue(context.bench(v), v, drawing.composite.path)
    except UserError as trouble:
        return frame.notice(str(trouble), tone="bad")
    return evidence_view.counterfactual(v, "as you changed it", found)


def _shows(tab: EvidenceTab) -> Shows:
    """The parts by their names in `EvidenceParts`, and how Gradio wants to hear of those that are no HTML."""
    unlike = {"which": Shown(tab.which, _as_list)}
    return {name: unlike.get(name) or getattr(tab, name) for name in EvidenceParts.__annotations__}


def _as_list(names: Sequence[str]) -> gr.Dropdown:
    choices = [(name, k) for k, name in enumerate(names)]
    return gr.Dropdown(choices, value=0 if choices else None, visible=len(names) > 1)
