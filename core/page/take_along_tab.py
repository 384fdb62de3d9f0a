"""Take along tab: figures for print, the report with all evidence and tables, and a place where a report comes back.

Nothing of it follows a lever: a figure is drawn when the tab is opened, or one is chosen, and told to be outdated by a
script (take_along.js).
"""

import io
import re
import zipfile
from collections.abc import Hashable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypedDict

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from ..errors import UserError
from ..methods.controls import ask_for_a_lever
from ..methods.generalization import Generalization
from ..session import visit as session
from ..session.evidence import EditEvidence, gather
from ..session.many_pictures import OwnPictures
from ..session.report_file import read_report
from ..session.typed import Text
from ..session.view_state import state_of
from ..session.visit import Visit
from ..views import figures, frame, tables
from ..views import many as many_view
from ..views import report as report_view
from ..views import take_along as take_along_view
from ..views.figure_files import Format, PrintFigure, Width, figure_file, undrawable
from ..views.prediction import digest, head
from ..views.report import Trial
from ..views.settings import in_a_sentence, settings
from . import widgets
from .context import Context
from .faces import faces, of_parts
from .keeper import rebuilt
from .lanes import LOADING, LONG, Lane, long
from .picture_sets import BRING_AGAIN, ChosenSet, chosen
from .replies import Besides, Change, Changes, Outcome, Replies, Shown, Shows, Updates
from .setup_bar import loading_first
from .visit_state import query_of

Which = Literal["maps", "contributions", "before_after", "controls", "doses", "turned"]
"""Figures."""
CHOICES: Mapping[str, Which] = MappingProxyType(
    {
        "Contributions": "contributions",
        "Picture and maps": "maps",
        "Before and after": "before_after",
        "The edit among its controls": "controls",
        "Doses": "doses",
        "Fixed and broken": "turned",
    }
)
"""By how they are called."""
FORMATS: tuple[tuple[str, Format], ...] = (("SVG", "svg"), ("PDF", "pdf"), ("PNG, 600 dpi", "png"))
WIDE: tuple[tuple[str, Width], ...] = (("one column, 85 mm", "one"), ("two columns, 174 mm", "two"))
REPORT, TABLES = "clip-levers-report.html", "clip-levers-tables.zip"
WHERE_FROM = "(...told) => [...told.slice(0, -1), location.origin + location.pathname]"
"""A listener's `js`: its last input becomes the address of the page."""
_ADDRESS = re.compile(r"https?://[\w.:/@%~+-]{1,300}", re.ASCII)
BACK = "The report’s inquiry is back. What could not be brought back is told at the top."
NOT_IN_IT = "The picture in this report is missing, or another one: bring it again."


class FigureParts(TypedDict):
    """What stands there of a figure. All of it every time: what a stream leaves out is emptied."""

    preview: str
    """HTML."""
    caption: str
    file: tuple[str, bytes] | None
    """Its name and what is in it; None where there is none."""
    drawn: Hashable
    """What it is of."""


class PackedParts(TypedDict):
    """How far a report is."""

    said: str
    """HTML."""
    files: list[tuple[str, bytes]]
    """Names, and what is in them."""


@dataclass(frozen=True)
class TakeAlongTab:
    """Its parts."""

    tab: gr.Tab
    which: gr.Dropdown
    kind: gr.Radio
    width: gr.Radio
    preview: gr.HTML
    caption: gr.Textbox
    download: gr.DownloadButton
    again: gr.Button
    pack: gr.Button
    said_pack: gr.HTML
    files: gr.File
    bring: gr.File
    said: gr.HTML
    address: gr.Textbox
    """Of the page, written by its own script."""
    drawn: gr.State
    """What the figure is of."""


def build() -> TakeAlongTab:
    """Its layout."""
    with gr.Tab("Take along", id="take-along", render_children=True) as tab, gr.Column(elem_id="take"):
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=300):
                preview = widgets.widget("print-figure", "", "take_along")
            with gr.Column(scale=2, min_width=260):
                which = gr.Dropdown(
                    list(CHOICES.items()), value="contributions", label="Figure", elem_id="which-figure"
                )
                kind = gr.Radio(FORMATS, value="svg", label="Format", elem_id="figure-format")
                width = gr.Radio(WIDE, value="one", label="Width", elem_id="figure-width")
                download = gr.DownloadButton("Download figure", variant="primary", elem_id="download-figure")
                again = gr.Button("Draw it again", variant="primary", elem_id="draw-again")
        caption = gr.Textbox(
            label="Caption, with all settings", lines=3, max_lines=8, interactive=False, buttons=["copy"],
            elem_id="figure-caption",
        )  # fmt: skip
        with gr.Row(equal_height=False, elem_id="reports"):
            with gr.Column(min_width=280):
                pack = gr.Button("Make report and tables", elem_id="make-report")
                said_pack = widgets.notice_place("said-report")
                files = gr.File(label="Report, and tables as CSV", interactive=False, elem_id="report-files")
            with gr.Column(min_width=280):
                bring = gr.File(label="Go on from a report", height=165, elem_id="bring-report")
                said = widgets.notice_place("said-take-along")
        address, drawn = gr.Textbox(visible=False), gr.State(None)
    return TakeAlongTab(
        tab, which, kind, width, preview, caption, download, again, pack, said_pack, files, bring, said, address, drawn
    )  # fmt: skip


def listen(
    tab: TakeAlongTab, replies: Replies, own: gr.State, kept: gr.HTML, asked_again: list[Besides], another: Lane
) -> Changes:
    """Its listeners. What a report did not bring back is told in `kept`, and gone with the next change.

    `asked_again`: what is typed and chosen, as it follows from the report.
    """
    _listen_to_figures(tab, replies, own)
    cache = tab.files.GRADIO_CACHE
    packs: Shows = {
        "said": tab.said_pack,
        "files": Shown(
            tab.files, lambda named: [save_bytes_to_cache(data, name, cache) for name, data in named] or None
        ),
    }
    tab.pack.click(*replies.stream(pack, packs, own, tab.address), **LONG, js=WHERE_FROM)

    def load(file: str | None) -> Iterator[Updates]:
        """Load the report's setup first, in a lane in which nobody else waits for it."""
        with suppress(UserError):
            yield from loading_first(replies.context, read_report(Path(file or "")).state.setup, tab.said)
        yield {tab.said: gr.skip()}

    here = Besides(tab.said, lambda *_: frame.notice(BACK))
    brought = replies.step(
        take_up, Change.SETUP, tab.bring, notices=[tab.said], notes=kept, besides=[*asked_again, here]
    )  # fmt: skip
    event = tab.bring.upload(load, tab.bring, tab.said, **LOADING).then(*brought, **another)
    return [(Change.SETUP, event)]


def _listen_to_figures(tab: TakeAlongTab, replies: Replies, own: gr.State) -> None:
    """What is drawn, and when: as the tab opens, when one is chosen, or asked for."""
    cache = tab.download.GRADIO_CACHE

    def offered(file: tuple[str, bytes] | None) -> gr.DownloadButton:
        if file is None:
            return gr.DownloadButton(value=None, interactive=False)
        return gr.DownloadButton(value=save_bytes_to_cache(file[1], file[0], cache), interactive=True)

    shows: Shows = {
        "preview": tab.preview, "caption": tab.caption, "file": Shown(tab.download, offered), "drawn": tab.drawn,
    }  # fmt: skip
    drawing = replies.stream(draw, shows, tab.which, tab.kind, tab.width, own, tab.drawn)
    latest = long(tab.preview) | {"trigger_mode": "always_last"}
    asked = [tab.tab.select, tab.which.input, tab.kind.input, tab.width.input, tab.again.click]
    gr.on(asked, *drawing, **latest)


# ---- figures


def draw(
    context: Context, v: Visit, which: Which, kind: Format, width: Width, own: OwnPictures, drawn: Hashable
) -> Iterator[FigureParts]:
    """The chosen figure as it will be in print, unless it stands there already."""
    about = (digest(v), v.many, which, kind, width)
    if about == drawn:
        return
    try:
        for found in figure_of(context, v, which, own):
            if isinstance(found, PrintFigure):
                svg = figure_file(found, "svg", width)
                file = svg if kind == "svg" else figure_file(found, kind, width)
                shown = take_along_view.preview(v, found.title, svg, undrawable("".join(v.classes)))
                yield {
                    "preview": shown, "caption": found.caption,
                    "file": (f"{found.name}.{kind}", file), "drawn": about,
                }  # fmt: skip
            else:
                yield {"preview": found, "caption": "", "file": None, "drawn": None}
    except UserError as trouble:
        shown = take_along_view.no_figure(v, str(trouble))
        yield {"preview": shown, "caption": "", "file": None, "drawn": None}


def figure_of(context: Context, v: Visit, which: Which, own: OwnPictures) -> Iterator[str | PrintFigure]:
    """A figure, last; before, how far it is: HTML. What is not known yet is worked out.

    Raises UserError where it takes an edit, or pictures, that there are not.
    """
    bench = context.bench(v)
    told, asked = in_a_sentence(bench.setup, v), (v.trace, v.classes, v.templates, v.target, v.edit)
    if which == "before_after":
        yield figures.before_after(v, told)
    elif which in ("maps", "contributions"):
        drawn = figures.picture_and_maps if which == "maps" else figures.contributions
        yield drawn(_measured(context, v), faces(bench, _recognised(v)), told)
    elif which == "turned":
        for step in _trial(context, v, own):
            yield figures.turned(step.found, step.pictures, told) if isinstance(step, Trial) else step
    else:
        ask_for_a_lever(v.edit)
        yield frame.waiting("Trying the edit")
        if which == "controls":
            *_, controls = bench.controls(*asked)
            yield figures.among_controls(v, controls, told)
        else:
            yield figures.doses(v, next(iter(bench.responses(*asked))), told)


def _measured(context: Context, v: Visit) -> Visit:
    return v if v.agreement is not None else session.measure(context.bench(v), v)


def _recognised(v: Visit) -> list[int]:
    """The components that are shown: the strongest, and those of the levers."""
    return list(dict.fromkeys([*(part.component for part in v.parts), *map(head, v.edit.groups())]))


def _trial(context: Context, v: Visit, own: OwnPictures) -> Iterator[str | Trial]:
    """What the edit does to the pictures that are chosen under Many pictures, last; before, how far that is: HTML."""
    ask_for_a_lever(v.edit)
    bench = context.bench(v)
    for found in chosen(bench, v, own):
        if found is None:
            raise UserError(BRING_AGAIN)
        if isinstance(found, ChosenSet):
            for step in bench.try_edit(found.pictures, v.edit, found.templates):
                if isinstance(step, Generalization):
                    yield Trial(many_view.set_words(found.pictures, found.called), step)
                else:
                    yield frame.waiting(*step)
        else:
            yield found


# ---- the report, and the tables


def pack(context: Context, v: Visit, own: OwnPictures, address: Text) -> Iterator[PackedParts]:
    """The report and a zip of all tables; what of them is not known yet is worked out. `address`: of the page."""
    yield {"said": frame.waiting("Working out all evidence"), "files": []}
    try:
        bench, v, trial, missing = context.bench(v), _measured(context, v), None, ""
        example = context.example(v)
        twin = None if context.cue(v) is None or v.subject.counterfactual else example
        found: Any = None
        for found in gather(bench, v, None if twin is None else twin.file(counterfactual=True)):
            if not isinstance(found, EditEvidence):
                yield {"said": frame.waiting(*found), "files": []}
        if v.edit.levers and v.many.which:
            try:
                for step in _trial(context, v, own):
                    trial = step if isinstance(step, Trial) else None
            except UserError as trouble:
                missing = f" Many pictures are not in it: {trouble}"
        # Whose page it was, and how often that was changed, is nobody's business.
        state = state_of(bench, v).model_copy(update={"key": "", "step": 0, "revision": 0})
        shown = faces(bench, _recognised(v))
        query = query_of(state)
        link = f"{address}?{query}" if query and _ADDRESS.fullmatch(address) else ""
        page = report_view.report(bench.setup, v, state, found, shown, trial, context.cue(v) or "", link)
        said = frame.notice(f"The report opens in any browser, without this server.{missing}")
        files = [(REPORT, page.encode()), (TABLES, _zipped(tables_of(context, v, found, trial)))]
        yield {"said": said, "files": files}
    except UserError as trouble:
        yield {"said": frame.notice(str(trouble), tone="bad"), "files": []}


def tables_of(context: Context, v: Visit, found: EditEvidence, trial: Trial | None) -> dict[str, tables.Rows]:
    """All tables, by the names of their files."""
    bench = context.bench(v)
    shown: dict[str, tables.Rows] = {
        "settings": tables.settings_rows(settings(bench.setup, v)),
        "classes": tables.class_rows(v, found.gone),
        "contributions": tables.contribution_rows(v, of_parts(bench, v)),
        "maps": tables.map_rows(v),
    }
    if v.edit.levers:
        shown["edit"] = tables.lever_rows(v)
    if found.controls is not None:
        shown["controls"] = tables.control_rows(found.controls)
    if found.responses:
        shown["doses"] = tables.dose_rows(v, found.responses)
    if found.side_effects is not None:
        shown["side-effects"] = tables.side_effect_rows(found.side_effects)
    if found.changes is not None:
        shown["other-components"] = tables.change_rows(v, found.changes)
    if found.generalization is not None:
        shown["reference-pictures"] = tables.picture_rows(found.generalization)
    if trial is not None:
        shown["many-pictures"] = tables.picture_rows(trial.found)
    return shown


def _zipped(shown: Mapping[str, tables.Rows]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, rows in shown.items():
            archive.writestr(f"{name}.csv", tables.csv_file(rows))
    return data.getvalue()


def take_up(context: Context, v: Visit, file: str | None) -> Outcome:
    """The inquiry of a report in place of the present one. Raises UserError for what is no report.

    The page stays the one that it is: the report's visit becomes the next step of its own.
    """
    state, *crops = read_report(Path(file or ""))
    there, notes = rebuilt(context, v, state, (crops[0], crops[1]), NOT_IN_IT)
    there = replace(
        there, key=v.key, step=v.step, revision=v.revision + 1, latest_message=v.latest_message, searches=v.searches
    )
    return Outcome(there, Change.SETUP, tuple(notes), tone="warn")
