"""Many pictures tab: a set of them, what the present edit does to it, and what is behind its failures."""

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import gradio as gr
import numpy as np
from gradio.events import Dependency

from ..errors import UserError, printable
from ..methods.failures import Findings
from ..methods.picture_set import MOST_BYTES, PictureSet
from ..methods.reference_scenes import KINDS
from ..model.sae_clip import BATCH
from ..pictures.batches import Batch, batches
from ..pictures.collection import Collection
from ..pictures.hub_dataset import DataSetChoice
from ..pictures.intake import MEGABYTE, Bounds
from ..pictures.opening import open_pictures
from ..session import visit as session
from ..session.cancellation import LatestOnly
from ..session.many_pictures import INDEX, OWN, OWN_BYTES, PHOTOGRAPHS, BegunTrial, OwnPictures, OwnSet
from ..session.typed import Text
from ..session.visit import Visit
from ..views import frame, reference_strip
from ..views import many as many_view
from ..workbench import Workbench
from . import condition_box, recipe_box, widgets
from .context import Context
from .faces import faces
from .lanes import AS_SENT, EVERY, LONG, Lane
from .picture_sets import BRING_AGAIN, ChosenSet, choices, chosen, halt
from .replies import Besides, Change, Changes, Listener, Redraw, Replies, Shown, Shows
from .wire import ClaimUnseen, ExplainConfusion, OpenPicture, OpenTab

NAME = "Many pictures"
"""Of the tab, on the page."""
MANY = "many"
"""Of the tab, among Gradio's."""
LABELS, PAGE = "labels", "page"
"""What the classes of one's own pictures are."""
QUICK = 1.0
"""Seconds that a trial may take before it tells how far it is."""
Drawn = tuple[Hashable, Hashable]
"""What stands there is about: what the edit does, and what is behind a confusion."""
NOTHING: Drawn = (None, None)


class ManyParts(TypedDict, total=False):
    """What the parts of the tab show from now on. A part that is not named stays as it is. Without a type: HTML."""

    about: str
    """The set."""
    tried: str
    """What the edit does to it."""
    confusions: str
    sheet: str
    """The pictures of what is behind a confusion: a style sheet."""
    failures: str
    """What is behind a confusion."""
    drawn: Drawn


class ReadingParts(TypedDict):
    """How far the reading of one's own pictures is. All of it every time: what a stream leaves out is emptied."""

    reading: str
    """HTML: how far, or what became of it."""
    busy: bool
    """Whether it can be stopped."""


@dataclass(frozen=True)
class ManyTab:
    """Its parts."""

    tab: gr.Tab
    which: gr.Dropdown
    classes_of: gr.Dropdown
    grouped_by: gr.Dropdown
    """The column that groups one's own pictures, where their table has several."""
    bringing: gr.Row
    files: gr.File
    named: gr.Textbox
    """A folder or a data set, in local runs."""
    split: gr.Dropdown
    """The part of that data set, where it has several."""
    read: gr.Button
    stop: gr.Button
    reading: gr.HTML
    said: gr.HTML
    about: gr.HTML
    tried: gr.HTML
    confusions: gr.HTML
    sheet: gr.HTML
    failures: gr.HTML
    condition: condition_box.ConditionBox
    recipe: recipe_box.RecipeBox
    drawn: gr.State
    """Drawn."""
    own: gr.State
    """OwnPictures."""
    latest: gr.State
    """LatestOnly, of what follows a change."""
    readings: gr.State
    """LatestOnly, of readings."""
    going_on: gr.State
    """LatestOnly: what begins it stops the reading, and what was read by then is kept."""
    stops: gr.State
    """LatestOnly: what begins it stops what follows a change, until the next one or until it is told to go on."""
    begun: gr.State
    """BegunTrial."""


def build(context: Context, first: Visit) -> ManyTab:
    """Its layout."""
    with gr.Tab(NAME, id=MANY, render_children=True) as tab:
        with gr.Row(elem_id="choosing"):
            which = gr.Dropdown(
                choices(context.bench(first)),
                value=first.many.which,
                label="Pictures",
                elem_id="which-pictures",
                scale=3,
                min_width=200,
            )
            classes_of = gr.Dropdown(
                [("its labels, if any", LABELS), ("the classes of this page", PAGE)], value=LABELS, visible=False,
                label="Classes", elem_id="classes-of", scale=2, min_width=180,
            )  # fmt: skip
            grouped_by = gr.Dropdown(
                [("their column “group”", "")], value="", visible=False, label="Groups by", elem_id="grouped-by",
                scale=2, min_width=180,
            )  # fmt: skip
        with gr.Row(elem_id="bringing", visible=False, equal_height=False) as bringing:
            files = gr.File(
                label="Pictures, or a zip; labels by folders, or in a CSV (file_name,label,group)", height=120,
                file_count="multiple", elem_id="own-pictures", scale=3, min_width=240,
            )  # fmt: skip
            with gr.Column(scale=2, min_width=200):
                widgets.html(many_view.bounds(_bounds(context), _most_bytes(context)), elem_id="bounds")
                named = gr.Textbox(
                    label="Or a folder here, or a data set of the Hub", placeholder="~/pictures or owner/name",
                    max_lines=1, max_length=1000, visible=context.local, elem_id="named-pictures",
                )  # fmt: skip
                split = gr.Dropdown([], visible=False, label="Part of the data set", elem_id="split-of")
                read = gr.Button("Read them", variant="primary", elem_id="read-pictures")
                stop = gr.Button("Stop: keep what was read", visible=False, size="sm", elem_id="stop-reading")
        reading = widgets.html(frame.notice(), elem_id="said-reading", elem_classes="said")
        said = widgets.notice_place("said-many")
        about = widgets.html(elem_id="about-pictures")
        tried = widgets.widget("tried", "", "many")
        confusions = widgets.widget("confusions", "", "many")
        sheet = widgets.html(elem_id="failures-sheet")
        failures = widgets.widget("failures", "", "components", "many")
        condition, recipe = condition_box.build(), recipe_box.build()
        drawn, own, latest = gr.State(NOTHING), gr.State(OwnPictures()), gr.State(LatestOnly())
        readings, going_on, stops = gr.State(LatestOnly()), gr.State(LatestOnly()), gr.State(LatestOnly())
        begun = gr.State(BegunTrial())
    return ManyTab(
        tab, which, classes_of, grouped_by, bringing, files, named, split, read, stop, reading, said, about, tried,
        confusions, sheet, failures, condition, recipe, drawn, own, latest, readings, going_on, stops, begun,
    )  # fmt: skip


def asked_again(tab: ManyTab) -> list[Besides]:
    """What a visitor chose, as it follows from a visit."""
    return [
        Besides(tab.which, lambda context, _, v, *_read: _which(context, v)),
        Besides(
            tab.classes_of, lambda _, __, v, *_read: gr.Dropdown(value=_classes_of(v), visible=v.many.which == OWN)
        ),
        Besides(tab.bringing, lambda _, __, v, *_read: gr.Row(visible=v.many.which == OWN)),
        Besides(tab.grouped_by, lambda _, __, v, *read: _grouped_by(v, read)),
    ]


def redraws(tab: ManyTab) -> list[Redraw]:
    """Another setup has other sets."""
    return [Redraw(tab.which, Change.SETUP, _which)]


def _which(context: Context, v: Visit) -> gr.Dropdown:
    offered = choices(context.bench(v))
    return gr.Dropdown(offered, value=v.many.which if v.many.which in dict(offered).values() else None)


def _classes_of(v: Visit) -> str:
    return LABELS if v.many.by_labels else PAGE


def _grouped_by(v: Visit, read: Sequence[object]) -> object:
    """The columns to choose from, of the set in sight; as they are where it does not say which that is."""
    own = next((one for one in read if isinstance(one, OwnPictures)), None)
    if v.many.which != OWN:
        return gr.Dropdown(visible=False)
    held = None if own is None else own.of(v.setup)
    if held is None:
        return gr.skip()
    columns = held.pictures.columns
    first = "their column “group”" if any(held.pictures.group) else "nothing"
    return gr.Dropdown(
        [(first, ""), *((name, name) for name in columns)], value=v.many.grouped_by, visible=bool(columns)
    )


def _split(v: Visit, own: OwnPictures) -> gr.Dropdown:
    """The parts of the data set that was read last."""
    held = own.of(v.setup)
    splits, split = ((), None) if held is None else (held.splits, held.split)
    return gr.Dropdown(list(splits), value=split or None, visible=len(splits) > 1)


def listen(tab: ManyTab, replies: Replies, asked_again: Sequence[Besides], another: Lane) -> Changes:
    """The listener that changes what is looked at. `asked_again`: what is typed and chosen, as it follows from that."""
    opened = replies.step(
        open_picture, Change.PICTURE, tab.own, hears=OpenPicture, notices=[tab.said],
        besides=asked_again,
    )  # fmt: skip
    return [(Change.PICTURE, tab.tried.look(*opened, **another))]


def asking(tab: ManyTab, replies: Replies) -> list[Dependency]:
    """The listeners that ask about other pictures; their answers follow."""
    again = asked_again(tab)
    choosing = tab.which, tab.classes_of, tab.grouped_by
    chosen = replies.step(choose, None, *choosing, tab.own, notices=[tab.said], besides=again[1:])
    explained = replies.step(explain, None, hears=ExplainConfusion, notices=[tab.said])
    tab.tried.claim(*replies.step(claim, None, hears=ClaimUnseen, notices=[tab.said]), **EVERY)
    shows: Shows = {"reading": tab.reading, "busy": Shown(tab.stop, lambda busy: gr.Button(visible=busy))}
    reads = tab.files, tab.named, tab.split, tab.own, tab.readings, tab.going_on
    brought = tab.read.click(*replies.stream(read, shows, *reads), **LONG)
    split = Besides(tab.split, lambda _, __, v, own: _split(v, own))
    used = replies.step(use, None, tab.own, notices=[tab.said], besides=[*again, split])
    for place in (tab.tried, tab.failures):
        place.halt(*replies.step(halt, None, tab.stops), **EVERY)
    resumed = replies.step(lambda _, v: v, None)
    tab.stop.click(*replies.answer(stop, shows["busy"], tab.going_on), **EVERY)
    return [
        gr.on([one.input for one in choosing], *chosen, **(EVERY | AS_SENT)),
        tab.confusions.explain(*explained, **EVERY),
        brought.then(*used, **EVERY),
        *(place.resume(*resumed, **EVERY) for place in (tab.tried, tab.failures)),
    ]


def following(tab: ManyTab, replies: Replies) -> Listener:
    """What follows every change, and every question about other pictures, where the tab is in sight."""
    shows = {name: getattr(tab, name) for name in ManyParts.__annotations__}
    reads = tab.drawn, tab.own, tab.latest, tab.stops, tab.begun
    return replies.stream(follow, shows, *reads, hears=OpenTab)


# ---- which pictures


def choose(
    _context: Context, v: Visit, which: Text | None, classes_of: Text | None, grouped_by: Text | None, own: OwnPictures
) -> Visit:
    """Another set, or other classes or groups of it. What was looked into in the one before stays there."""
    which, by_labels, grouped_by = which or "", classes_of != PAGE, grouped_by or ""
    if which not in ("", OWN, PHOTOGRAPHS, INDEX, *KINDS):
        raise UserError("There are no such pictures. Choose others.")
    if (which, by_labels) != (v.many.which, v.many.by_labels):
        v = replace(v, many=replace(v.many, which=which, by_labels=by_labels, confusion=None))
    held = own.of(v.setup) if which == OWN else None
    if held is None or grouped_by == v.many.grouped_by:
        return v
    if grouped_by and grouped_by not in held.pictures.columns:
        raise UserError("These pictures have no such column to group them by. Choose another.")
    return replace(v, many=replace(v.many, grouped_by=grouped_by))


def read(
    context: Context,
    v: Visit,
    files: list[str] | None,
    named: Text | None,
    split: Text | None,
    own: OwnPictures,
    readings: LatestOnly[None],
    going_on: LatestOnly[None],
) -> Iterator[ReadingParts]:
    """Read a visitor's own pictures, once, telling how far that is. A stop keeps what was read by then."""
    wanted_still, go_on = readings.begin(), going_on.begin()
    bench = context.bench(v)
    yield {"reading": frame.waiting("Looking through the pictures"), "busy": True}
    try:
        given = _given(context, files, (named or "").strip())
        choice = DataSetChoice(_split_of(given, split, own))
        collection = open_pictures(given, bounds=_bounds(context), may_name=context.local, choice=choice)
        drawn = collection.drawn()  # so that those read before a stop are as good as any
        found = batches(drawn, bench.setup.clip.crop, BATCH, range(drawn.n_parts))
        trouble: list[str] = []
        kept = _until(go_on, found, trouble)
        for step in bench.read_set(kept, v.classes, v.templates, collection.size, _most_bytes(context)):
            if not wanted_still():
                return
            if isinstance(step, PictureSet):
                in_order = replace(step.part(np.argsort(step.names)), troubles=step.troubles)
                read_now = step if drawn is collection else in_order
                of = collection.splits, collection.manifest.get("split", ""), given if isinstance(given, str) else ""
                held = OwnSet(_named(given, collection), v.setup, read_now, *of)
                context.room.keep(own, held)
                if not go_on():
                    trouble.append(many_view.stopped_words(len(step), collection.size, drawn is not collection))
                words = many_view.read_words(held, collection.intake, *trouble)
                yield {"reading": words, "busy": False}
            else:
                yield {"reading": frame.waiting(*step), "busy": True}
    except UserError as error:
        yield {"reading": frame.notice(str(error), tone="bad"), "busy": False}


def _given(context: Context, files: list[str] | None, named: str) -> str | list[Path]:
    """What to read: what was named, or the files. Raises UserError for neither, both, and a name on a shared page."""
    if named and not context.local:
        raise UserError("Folders and data sets can be named in local runs only. Bring files, or a zip.")
    if named and files:
        raise UserError("There are files, and a name. Clear one of them, so that it is clear what to read.")
    if not named and not files:
        raise UserError("There are no files yet. Bring pictures, or a zip of them.")
    return named or [Path(file) for file in files or ()]


def _split_of(given: str | Sequence[Path], split: str | None, own: OwnPictures) -> str | None:
    """The part of a data set that is meant: the one that was chosen, of the same data set as before."""
    held = own.held
    return split if split and held is not None and isinstance(given, str) and held.given == given else None


def _bounds(context: Context) -> Bounds:
    """How much may come in at a time: large files may lie in a folder of one's own, which nobody has to keep."""
    return Bounds(unpacked=20_000 * MEGABYTE) if context.local else Bounds()


def _most_bytes(context: Context) -> int:
    """What a set may take in memory."""
    return MOST_BYTES if context.local else OWN_BYTES


def _named(given: str | Sequence[Path], collection: Collection) -> str:
    """What a set is called: a data set as it was named, a folder without where it lies, which no report is to tell."""
    if isinstance(given, str):
        of = f", {collection.manifest['split']}" if len(collection.splits) > 1 else ""
        return printable(collection.manifest["name"])[-150:] + printable(of)[:40]
    more = f" and {len(given) - 1} more" if len(given) > 1 else ""
    return f"{given[0].name[:150]}{more}"


def _until(go_on: Callable[[], bool], found: Iterator[Batch], trouble: list[str]) -> Iterator[Batch]:
    """The batches until somebody stops it, or something breaks, which is added to `trouble`; the first in any case."""
    any_yet = False
    try:
        for batch in found:
            yield batch
            any_yet = True
            if not go_on():
                return
    except UserError as error:  # a data set that cannot be read any further
        if not any_yet:
            raise
        trouble.append(str(error))


def stop(_context: Context, _v: Visit, going_on: LatestOnly[None]) -> bool:
    """Stop the reading, and keep what was read; whether there is anything left to stop."""
    going_on.begin()
    return False


def use(_context: Context, v: Visit, own: OwnPictures) -> Visit:
    """The pictures that were just read, if there are any."""
    held = own.of(v.setup)
    if held is None or held.key == v.many.read:
        return v
    return replace(v, many=replace(v.many, which=OWN, own=held.name, read=held.key, confusion=None, grouped_by=""))


def open_picture(context: Context, v: Visit, asked: OpenPicture, own: OwnPictures) -> Visit:
    """A picture of the set in place of the one looked at, with the edit in place."""
    bench = context.bench(v)
    *_, found = chosen(bench, v, own)
    if not isinstance(found, ChosenSet):
        raise UserError(BRING_AGAIN)
    return session.open_from_set(bench, v, found.pictures, asked.picture, found.templates, found.photographs)


# ---- what follows


def explain(_context: Context, v: Visit, asked: ExplainConfusion) -> Visit:
    """A confusion to look into, or none."""
    return replace(v, many=replace(v.many, confusion=(asked.truth, asked.said) if asked.on else None))


def claim(_context: Context, v: Visit, asked: ClaimUnseen) -> Visit:
    """What the visitor says of an edit as it is tried: that these pictures did not choose it, or nothing."""
    return replace(v, many=replace(v.many, unseen=asked.trial if asked.on else ""))


def follow(
    context: Context,
    v: Visit,
    opened: OpenTab,
    drawn: Drawn,
    own: OwnPictures,
    latest: LatestOnly[None],
    stops: LatestOnly[None],
    begun: BegunTrial,
) -> Iterator[ManyParts]:
    """What the edit does to the set, and what is behind a confusion, where that is in sight.

    This follows every change, so that a change ends what is still being worked out about the state before. A trial goes
    on from where it was stopped.
    """
    wanted_still = latest.begin(opened.moment)
    if opened.tab != NAME or not wanted_still():
        return
    bench, about, go_on = context.bench(v), _about(v, own), stops.begin()
    if drawn == about:
        return
    found = None
    try:
        for found in chosen(bench, v, own, stops=True):
            if not wanted_still():
                return
            if not go_on():
                yield {"tried": frame.stopped(), "drawn": NOTHING}
                return
            if isinstance(found, str):
                yield {"tried": found, "drawn": NOTHING}
    except UserError as trouble:
        yield {**_nothing(frame.notice(str(trouble), tone="bad")), "drawn": about}
        return
    if not isinstance(found, ChosenSet):
        yield {**_nothing(many_view.gone(v.many.own)), "drawn": about}
        return
    done = [then if then == now else None for then, now in zip(drawn, about, strict=True)]
    yield {
        "about": many_view.about_set(found.pictures, found.called),
        "confusions": many_view.confusions(found.pictures, v.many.confusion),
        "drawn": (done[0], done[1]),
    }
    trial = (*_asked(v, own), v.edit.among(None))
    answers = tried(bench, v, found, begun, trial), failures(bench, v, found)
    for k, answer in enumerate(answers):
        if done[k] is not None:
            continue
        for step in answer:
            if not wanted_still():
                return
            if not go_on():
                yield {"failures": frame.stopped()} if k else {"tried": _so_far(v, found, begun, trial)}
                return
            if step:
                yield step
        done[k] = about[k]
        yield {"drawn": (done[0], done[1])}


def _nothing(words: str) -> ManyParts:
    return {"about": "", "tried": words, "confusions": "", "sheet": "", "failures": ""}


def _about(v: Visit, own: OwnPictures) -> Drawn:
    """What the two answers depend on."""
    pictures = _asked(v, own)
    return (*pictures, v.many.grouped_by, v.edit.among(None)), (*pictures, v.many.confusion)


def _asked(v: Visit, own: OwnPictures) -> tuple[Hashable, ...]:
    """Which pictures are asked which classes."""
    pictures: tuple[Hashable, ...] = (v.setup, v.many.which)
    if v.many.which in (PHOTOGRAPHS, INDEX):
        pictures += (v.classes if v.many.which == INDEX else None, v.templates)
    if v.many.which == OWN:
        held = own.of(v.setup)
        asked = None if v.many.by_labels and held is not None and held.pictures.label_names else v.classes
        pictures += (None if held is None else held.key, asked, v.templates)
    return pictures


def tried(bench: Workbench, v: Visit, found: ChosenSet, begun: BegunTrial, about: Hashable) -> Iterator[ManyParts]:
    """What the edit does to the set, or to what is left of it; how far that came is kept.

    Nothing is told of a step while that is quick: the page would flicker.
    """
    if not v.edit.levers:
        yield {"tried": many_view.standing(found.pictures)}
        return
    soon = time.monotonic() + QUICK
    n = len(found.pictures)
    for so_far in bench.try_on(found.pictures, v.edit, found.templates, begun.of(about)):
        begun.keep(about, so_far)
        if len(so_far) == n:
            yield {"tried": many_view.tried(v, found.pictures, so_far.found)}
        elif time.monotonic() > soon:
            yield {"tried": frame.waiting("The same edit on these pictures", len(so_far), n, stops=True)}
        else:
            yield {}


def _so_far(v: Visit, found: ChosenSet, begun: BegunTrial, about: Hashable) -> str:
    """What there is of a trial that was stopped."""
    so_far = begun.of(about)
    return frame.stopped() if so_far is None else many_view.tried_so_far(v, found.pictures, so_far)


def failures(bench: Workbench, v: Visit, found: ChosenSet) -> Iterator[ManyParts]:
    """What is behind a confusion: components and families, proposed on one half of the set and judged on the other."""
    confusion = many_view.named_confusion(found.pictures, v.many.confusion)
    if confusion is None:
        yield {"sheet": "", "failures": ""}
        return
    try:
        for step in bench.find_candidates(found.pictures, confusion, found.templates):
            if isinstance(step, Findings):
                shown = faces(bench, many_view.listed(step))
                sheet = reference_strip.sheet(example for face in shown.values() for example in face.examples)
                yield {"sheet": sheet, "failures": many_view.failures(v, step, shown)}
            else:
                yield {"failures": frame.waiting(*step, stops=True)}
    except UserError as trouble:
        yield {"sheet": "", "failures": frame.notice(str(trouble), tone="warn")}
