"""Evidence tab, part by part: what answers quickly comes first, and a change ends what is still being worked out."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import TypedDict

import gradio as gr
import numpy as np
from pydantic import BaseModel

from ..errors import UserError
from ..methods.generalization import Generalization
from ..pictures.read import read_picture
from ..session import visit as session
from ..session.cancellation import LatestOnly
from ..session.typed import Text
from ..session.visit import Visit
from ..views import evidence as evidence_view
from ..views import frame
from ..views.report_words import ceiling_words
from . import widgets
from .context import Context
from .lanes import AS_SENT, LATEST, TURN
from .replies import Change, Changes, Listener, Redraw, Replies
from .wire import EditMessage, OpenTab

NAME = "Evidence"
"""Of the tab, on the page."""
EDITOR_SIDE = 640
"""Pixels of the longer side of a picture that is painted on."""


class EvidenceParts(TypedDict, total=False):
    """What the parts of the tab show from now on. A part that is not named stays as it is. Without a type: HTML."""

    summary: str
    """The edit."""
    effect: str
    doses: str
    """What unfolds from the effect."""
    chance: str
    side_effects: str
    generalization: str
    reconstruction_error: str
    counterfactual: str
    own_counterfactual: str
    doses_about: Hashable
    """What the doses are about."""
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
    effect: gr.HTML
    doses: gr.HTML
    handle: gr.HTML
    """Sends an `EditMessage` when one is dragged. Its charts are in `doses`, and the edit in force in `summary`: what
    it has still to send must not be written over."""
    chance: gr.HTML
    side_effects: gr.HTML
    generalization: gr.HTML
    reconstruction_error: gr.HTML
    counterfactual: gr.HTML
    own_section: gr.Accordion
    editor: gr.ImageEditor
    retell: gr.Button
    own_counterfactual: gr.HTML
    doses_about: gr.State
    told_about: gr.State
    latest: gr.State
    """LatestOnly, of the evidence."""


def build(first: Visit) -> EvidenceTab:
    """Its layout."""
    with gr.Tab(NAME, id="evidence", render_children=True) as tab:
        summary = widgets.html(evidence_view.no_edit(), elem_id="summary")
        with gr.Row(elem_id="answers"):
            effect = widgets.widget("effect", evidence_view.unasked("effect"), "answers")
            doses = widgets.html(elem_id="doses")
            handle = widgets.widget("handle", _message(first), "doses")
            chance = widgets.html(evidence_view.unasked("chance"), elem_id="chance")
            side_effects = widgets.widget("ripple", evidence_view.unasked("side_effects"), "components")
            generalization = widgets.html(evidence_view.unasked("generalization"), elem_id="elsewhere")
            reconstruction_error = widgets.html(evidence_view.unasked("reconstruction_error"), elem_id="lacking")
        counterfactual = widgets.html(elem_id="really")
        with gr.Accordion("Take the cue away yourself", open=False, elem_id="own-twin") as own_section:
            editor = gr.ImageEditor(
                sources=(), transforms=("crop",), layers=False, height=420,
                brush=gr.Brush(default_size=28, colors=["#808080", "#ffffff", "#000000", "#7a9a5a"]),
                label="Paint over the cue, or crop it away", elem_id="editor",
            )  # fmt: skip
            retell = gr.Button("Ask the model about this picture", elem_id="retell")
            own_counterfactual = widgets.html(elem_id="own-gone")
        doses_about, told_about, latest = gr.State(None), gr.State(None), gr.State(LatestOnly())
    return EvidenceTab(
        tab, summary, effect, doses, handle, chance, side_effects, generalization, reconstruction_error,
        counterfactual, own_section, editor, retell, own_counterfactual, doses_about, told_about, latest,
    )  # fmt: skip


def redraws(tab: EvidenceTab) -> list[Redraw]:
    """What it draws anew, and since when: what was painted on a picture goes with it. The rest is by `following`."""
    return [
        Redraw(tab.editor, Change.PICTURE, lambda *_: None),
        Redraw(tab.own_counterfactual, Change.PICTURE, lambda *_: ""),
        Redraw(tab.own_section, Change.PICTURE, lambda *_: gr.Accordion(open=False)),
    ]


def listen(tab: EvidenceTab, replies: Replies, upload: gr.File) -> Changes:
    """Its listeners."""
    dragged = replies.step(drag, Change.EDIT, hears=EditMessage, written_in=tab.handle)
    tab.own_section.expand(*replies.answer(lend, tab.editor, upload), **TURN)
    told = replies.answer(ask_about_own_counterfactual, tab.own_counterfactual, tab.editor)
    tab.retell.click(*told, **(TURN | AS_SENT))
    return [(Change.EDIT, tab.handle.pull(*dragged, **LATEST))]


def drag(context: Context, v: Visit, message: EditMessage) -> Visit:
    """A lever as it was dragged along its doses; late and outdated messages, and levers that are gone, change nothing.

    It is a message as those of the levers themselves, so that of both the latest counts. Raises UserError as `Edit`.
    """
    told = session.accept_message(v, "levers", message.revision, message.moment)
    if told is None:
        return v
    moved = {one.component: one.lever() for one in message.levers}
    edit = told.edit.moved(moved.get(old.component, old) for old in told.edit.levers)
    return session.pull(context.bench(told), told, edit, message.gesture)


def _message(v: Visit) -> str:
    """The edit in force, and when the page sent its levers last."""
    sent = v.latest_message.get("levers", 0.0)
    return EditMessage.of(v).model_copy(update={"moment": sent}).to_json()


def following(tab: EvidenceTab, replies: Replies) -> Listener:
    """What follows every change, where the tab is in sight."""
    shows = {name: getattr(tab, name) for name in EvidenceParts.__annotations__}
    reads = tab.told_about, tab.doses_about, tab.latest
    return replies.stream(follow, shows, *reads, hears=OpenTab)


def follow(
    context: Context,
    v: Visit,
    opened: OpenTab,
    told_about: Hashable,
    doses_about: Hashable,
    latest: LatestOnly[None],
) -> Iterator[EvidenceParts]:
    """The evidence, where it is in sight: part by part, until something else is asked for.

    This follows every change, so that a change ends what is still being worked out about the state before.
    """
    wanted_still = latest.begin(opened.moment)
    about = (*_asked(v), v.edit)
    if opened.tab != NAME or about == told_about or not wanted_still():
        return
    yield {"told_about": None}
    for parts in evidence(context, v, doses_about):
        if not wanted_still():
            return
        yield parts
    yield {"told_about": about}


def _asked(v: Visit) -> tuple[Hashable, ...]:
    return (v.setup, v.revision, v.subject, v.classes, v.templates, v.truth, v.target)


def evidence(context: Context, v: Visit, doses_about: Hashable = None) -> Iterator[EvidenceParts]:
    """All that is known about the visit's edit. Doses that the page shows already, `doses_about`, stay."""
    missed = context.bench(v).reconstruction_error(v.trace, v.classes, v.templates)
    first: EvidenceParts = {
        "counterfactual": show_counterfactual(context, v),
        "own_counterfactual": "",
        "reconstruction_error": evidence_view.reconstruction_error(missed, v.trace.has_map),
    }
    if v.edit.levers:
        yield from _about_edit(context, v, first, doses_about)
        return
    yield {
        **first,
        "summary": evidence_view.no_edit(),
        "effect": evidence_view.unasked("effect"),
        "doses": "",
        "chance": evidence_view.unasked("chance"),
        "side_effects": evidence_view.unasked("side_effects"),
        "generalization": evidence_view.unasked("generalization"),
        "doses_about": None,
    }


def _about_edit(context: Context, v: Visit, first: EvidenceParts, doses_about: Hashable) -> Iterator[EvidenceParts]:
    bench, asked = context.bench(v), (v.trace, v.classes, v.templates)
    # At which strength a lever stands makes no difference to its doses: while it is dragged along them, they stay.
    levers = tuple((lever.component, lever.family, lever.operation == "set") for lever in v.edit.levers)
    about = (*_asked(v), v.edit.tokens, levers)
    if about != doses_about:
        first = {**first, "doses": evidence_view.no_doses(), "doses_about": None}
    yield {
        **first,
        "summary": evidence_view.edit_words(v, _message(v)),
        "effect": evidence_view.effect(v),
        "chance": evidence_view.pending("chance", evidence_view.TRYING),
        "side_effects": evidence_view.pending("side_effects", "Asking about other concepts"),
        "generalization": evidence_view.pending("generalization", "Waiting for the rest"),
    }
    for controls in bench.controls(*asked, v.target, v.edit):
        yield {"chance": evidence_view.trying(controls)}
    yield {"chance": evidence_view.chance(controls)}
    if about != doses_about:
        responses = list(bench.responses(*asked, v.target, v.edit))
        yield {"doses": evidence_view.doses(v, responses), "doses_about": about}
    ripple = bench.side_effects(*asked, v.target, v.edit)
    shifted = bench.attribution_changes(*asked, v.attribution, v.edit)
    yield {"side_effects": evidence_view.side_effects(v, ripple, shifted)}
    for one in bench.generalize(v.edit):
        if isinstance(one, Generalization):
            yield {"generalization": evidence_view.generalization(one)}
        else:
            yield {"generalization": evidence_view.pending("generalization", *one)}


def show_counterfactual(context: Context, v: Visit) -> str:
    """For an example with a counterfactual: what the model says when the cue is really gone."""
    example, cue = context.example(v), context.cue(v)
    if example is None or cue is None or v.subject.counterfactual:
        return evidence_view.no_counterfactual(v.subject.counterfactual)
    found = session.without_cue(context.bench(v), v, example.file(counterfactual=True))
    at_large = ceiling_words(context.reports[v.setup], cue) if example.rendered else ""
    return evidence_view.known_counterfactual(v, cue, found, at_large)


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
