"""Image tab: the examples, a visitor's own picture, and the classes with their wording.

Classes are typed, one a line; a list that ships stands there as a line with its name, and a file fills the box. What
takes a CLIP longer than a moment to read is read first, step by step (`read_classes`), and asked about then.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

import gradio as gr

from ..errors import UserError
from ..model.class_file import MOST_BYTES, read_classes
from ..model.class_lists import BEGINS, TITLES, WORDINGS, lines_of, written
from ..model.prompts import TEMPLATES, parse_classes, parse_templates
from ..pictures.examples import Example
from ..session import visit as session
from ..session.cancellation import LatestOnly
from ..session.typed import Text
from ..session.view_state import content_hash
from ..session.visit import Subject, Visit
from ..views import frame
from ..views import image as image_view
from ..words import count
from ..workbench import Workbench
from . import second_picture, widgets
from .context import Context
from .lanes import AS_SENT, EVERY, LONG, PRIVATE, Lane
from .picture_sets import halt
from .replies import Besides, Change, Changes, Outcome, Redraw, Replies, Shown, Shows
from .wire import ChooseExample

Wording = Literal["single", "ensemble", "openai-7", "openai-80", "own"]
"""Of the classes: a name in TEMPLATES, or the visitor's own."""
LISTED = "imagenet-1k"
"""The list that a button puts into the box."""
TOLD_EVERY = 0.3
"""Seconds between two words on how far a reading is."""
NOT_YET = "The classes in the box take this CLIP a while to read: press Classify."


class Filled(TypedDict):
    """The box of classes, when something was put into it."""

    classes: str
    said: str
    """HTML."""
    before: str
    """What stood there, to be put back."""
    back: bool
    """Whether there is anything to put back."""


@dataclass(frozen=True)
class ImageTab:
    """Its parts."""

    tab: gr.Tab
    gallery: gr.HTML
    upload: gr.File
    said_picture: gr.HTML
    truth: gr.Dropdown
    classes: gr.Textbox
    listed: gr.Button
    file: gr.UploadButton
    back: gr.Button
    before: gr.State
    """What stood in the box before something was put into it."""
    reading: gr.HTML
    """How far the reading of classes is."""
    readings: gr.State
    """LatestOnly, of these."""
    wording: gr.Dropdown
    own: gr.Textbox
    classify: gr.Button
    said_classes: gr.HTML
    words: gr.HTML
    second: second_picture.Offer


def build(context: Context, first: Visit) -> ImageTab:
    """Its layout."""
    with gr.Tab("Image", id="image", render_children=True) as tab:
        gallery = widgets.widget("gallery", show_gallery(context, first))
        with gr.Row(equal_height=False):
            with gr.Column(min_width=280):
                upload = gr.File(label="Your own picture", height=132, elem_id="upload")
                said_picture = widgets.notice_place("said-picture")
                truth = gr.Dropdown(
                    **_truth_list(first), label="What should it be?", elem_id="truth",
                    info="Asks what speaks for the predicted class against this one.",
                )  # fmt: skip
            with gr.Column(min_width=280):
                classes = gr.Textbox(
                    _one_per_line(first), label="Classes, one per line", lines=5, max_lines=10, elem_id="classes"
                )
                with gr.Row(elem_id="class-lists"):
                    small: dict[str, Any] = {"size": "sm", "min_width": 100}
                    listed = gr.Button(
                        f"{TITLES[LISTED]}’s {len(lines_of(LISTED))} names", elem_id="listed", size="sm", min_width=175
                    )
                    file = gr.UploadButton("A file of names", elem_id="class-file", **small)
                    back = gr.Button("Put back", visible=False, elem_id="put-back", **small)
                wording = gr.Dropdown(_wordings(), value="single", label="Wording of the classes", elem_id="wording")
                own = gr.Textbox(
                    "a photo of a {}\na drawing of a {}", visible=False, lines=2, max_lines=8,
                    label="Your wordings, one per line; {} is the class", elem_id="own",
                )  # fmt: skip
                classify = gr.Button("Classify", variant="primary", elem_id="classify")
                reading = widgets.widget("reading", "")
                said_classes = widgets.notice_place("said-classes")
                words = widgets.html(show_unknown_words(context, first), elem_id="words")
        second = second_picture.build_offer()
        before, readings = gr.State(""), gr.State(LatestOnly())
    return ImageTab(
        tab, gallery, upload, said_picture, truth, classes, listed, file, back, before, reading, readings, wording, own,
        classify, said_classes, words, second,
    )  # fmt: skip


def redraws(tab: ImageTab) -> list[Redraw]:
    """What it draws anew, and since when."""
    return [
        Redraw(tab.gallery, Change.SETUP, show_gallery),
        Redraw(tab.truth, Change.CLASSES, lambda _, v: gr.Dropdown(**_truth_list(v))),
        Redraw(tab.words, Change.CLASSES, show_unknown_words),
    ]


def asked_again(tab: ImageTab) -> list[Besides]:
    """What a visitor typed and chose, as it follows from a visit that was brought back."""
    return [
        Besides(tab.upload, lambda *_: None),
        Besides(tab.classes, lambda _, __, v, *_read: _one_per_line(v)),
        Besides(tab.wording, lambda _, __, v, *_read: _wording(v)),
        Besides(tab.own, lambda _, __, v, *_read: _own_wording(v)),
    ]


def listen(tab: ImageTab, replies: Replies, another: Lane) -> Changes:
    """Its listeners."""
    asked_for = (tab.classes, tab.wording, tab.own)
    chosen = replies.step(
        choose, Change.PICTURE, hears=ChooseExample, notices=[tab.said_picture],
        besides=[Besides(tab.classes, lambda _, __, v: _one_per_line(v)), Besides(tab.upload, lambda *_: None)],
    )  # fmt: skip
    brought = replies.step(
        bring, Change.PICTURE, tab.upload, *asked_for, notices=[tab.said_picture], notes=tab.said_classes
    )  # fmt: skip
    begin = Besides(tab.reading, lambda context, _, v, *read: show_reading(context, v, *read[:3]))
    asked = replies.step(ask, Change.CLASSES, *asked_for, tab.truth, notices=[tab.said_classes], always=[begin])
    read = replies.stream(read_those, {"reading": tab.reading}, *asked_for, tab.readings)
    then = replies.step(ask, Change.CLASSES, *asked_for, tab.truth, notices=[tab.said_classes])
    own = Shown(tab.own, lambda visible: gr.Textbox(visible=visible))
    tab.wording.input(*replies.answer(own_wording, own, tab.wording), **PRIVATE)
    tab.upload.clear(*replies.answer(keep_picture, tab.said_picture), **EVERY)
    _listen_to_box(tab, replies)
    tab.reading.halt(*replies.step(halt, None, tab.readings), **EVERY)
    asking = [tab.classify.click, tab.truth.input, tab.wording.input]
    was_read = tab.reading.read(*read, **(LONG | AS_SENT | {"trigger_mode": "multiple"}))
    widgets.tells_of_refusal(was_read, "reading")
    return [
        (Change.CLASSES, was_read.then(*then, **(another | AS_SENT))),
        (Change.PICTURE, tab.gallery.choose(*chosen, **another)),
        (Change.PICTURE, tab.upload.upload(*brought, **another)),
        (Change.CLASSES, gr.on(asking, *asked, **(another | AS_SENT))),
    ]


def _listen_to_box(tab: ImageTab, replies: Replies) -> None:
    """What is put into the box of classes, and back."""
    shows: Shows = {
        "classes": tab.classes, "said": tab.said_classes, "before": tab.before,
        "back": Shown(tab.back, lambda there: gr.Button(visible=there)),
    }  # fmt: skip
    tab.listed.click(*replies.answer(put_list, shows, tab.classes, tab.before), **EVERY)
    tab.file.upload(*replies.answer(put_file, shows, tab.file, tab.classes, tab.before), **EVERY)
    tab.back.click(*replies.answer(put_back, shows, tab.classes, tab.before), **EVERY)


def put_list(_context: Context, _v: Visit, text: Text, before: str) -> Filled:
    """The names of a list in place of what is typed."""
    return _filled(BEGINS + LISTED, parse_classes(BEGINS + LISTED).notes, text, before)


def put_file(_context: Context, _v: Visit, file: str | None, text: Text, before: str) -> Filled:
    """The names of a file in place of what is typed. Of one that cannot be used, a sentence."""
    path = Path(file or "")
    try:
        found = read_classes(_content(path), path.name)
    except UserError as trouble:
        return {"classes": text, "said": frame.notice(str(trouble), tone="bad"), "before": before, "back": bool(before)}
    notes = (f"{path.name}: {count(len(found.names), 'class', 'es')}.", *found.notes)
    return _filled("\n".join(written(found.names)), notes, text, before)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as opened:
            return opened.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UserError("The file is not here, or not any more. Bring it again.") from error


def put_back(_context: Context, _v: Visit, text: Text, before: str) -> Filled:
    """What stood in the box before: the two change places."""
    return {"classes": before, "said": frame.notice(), "before": text, "back": True}


def _filled(classes: str, notes: tuple[str, ...], text: str, before: str) -> Filled:
    if text.strip() == classes:
        return {"classes": text, "said": frame.notice(*notes), "before": before, "back": bool(before)}
    said = frame.notice(*notes, "Press Classify to ask about them.")
    return {"classes": classes, "said": said, "before": text, "back": bool(text.strip())}


def show_reading(context: Context, v: Visit, text: str, wording: Wording, own: str) -> object:
    """Where the classes have to be read first: what makes the page ask for that (reading.js). Else nothing."""
    try:
        names, templates = parse_classes(text).names, _templates(wording, own)
    except UserError:
        return ""
    return "" if context.bench(v).reads_at_once(names, templates) else image_view.begin_reading()


def read_those(
    context: Context, v: Visit, text: Text, wording: Wording, own: Text, readings: LatestOnly[None]
) -> Iterator[dict[str, str]]:
    """Read the classes in the box, telling how far that is, until they are read or somebody stops it."""
    wanted_still, told, shown = readings.begin(), 0.0, ""
    try:
        for step in context.bench(v).read_classes(parse_classes(text).names, _templates(wording, own)):
            if not wanted_still():
                yield {"reading": image_view.reading_stopped(*step[1:])}
                return
            if time.monotonic() > told + TOLD_EVERY:
                told, shown = time.monotonic(), frame.waiting(*step, stops=True)
            yield {"reading": shown}  # the same again is not sent
    except UserError as trouble:
        yield {"reading": frame.notice(str(trouble), tone="bad")}
        return
    yield {"reading": ""}


def show_gallery(context: Context, v: Visit) -> str:
    """The examples of the setup. Which of them is looked at, the page marks by itself (gallery.js)."""
    return image_view.gallery(context.gallery(context.card(v)), context.thumbnails)


def show_unknown_words(context: Context, v: Visit) -> str:
    """The classes with words that the setup never saw."""
    known = context.card(v).vocabulary or ()
    return image_view.unknown_words(context.bench(v).unknown_words(v.classes), sorted(known))


def choose(context: Context, v: Visit, asked: ChooseExample) -> Visit:
    """An example, with its own classes."""
    example = context.example_named(asked.example)
    if example is None:
        raise UserError(ChooseExample.refusal)
    return session.after(v, start_with(context.bench(v), example, v.templates))


def start_with(bench: Workbench, example: Example, templates: tuple[str, ...]) -> Visit:
    """A visit that begins with an example."""
    return session.start(
        bench, example.file(), session.subject_of(example), example.classes, templates, example.truth, example.foil
    )  # fmt: skip


def bring(context: Context, v: Visit, file: str | None, text: Text, wording: Wording, own: Text) -> Outcome:
    """The visitor's own picture. It is welcome with classes that cannot be used, too: with those asked before."""
    names, templates, trouble = v.classes, v.templates, ""
    try:
        asked = parse_classes(text).names, _templates(wording, own)
        if context.bench(v).reads_at_once(*asked):
            names, templates = asked
        else:
            trouble = NOT_YET
    except UserError as error:
        trouble = str(error)
    subject = Subject("Your picture", photograph=True)
    begun = session.start(context.bench(v), file, subject, names, templates, None)
    if v.awaited and content_hash(begun.trace.crop).startswith(v.awaited):
        begun = session.begin(context.bench(v), begun.trace, subject, v.classes, v.templates, v.truth, v.target, v.edit)
    begun = session.after(v, begun)
    return Outcome(begun, Change.PICTURE, (trouble,), tone="bad")


def ask(context: Context, v: Visit, text: Text, wording: Wording, own: Text, should_be: Text | None) -> Outcome:
    """Other classes, or another wording of them, or another class that the picture should be."""
    asked, templates = parse_classes(text), _templates(wording, own)
    if not context.bench(v).reads_at_once(asked.names, templates):
        return Outcome(v, None, asked.notes)
    v = session.ask(context.bench(v), v, asked.names, templates, should_be or None)
    return Outcome(v, Change.CLASSES, asked.notes)


def own_wording(_context: Context, _v: Visit, wording: Wording) -> bool:
    """Whether the visitor writes the wording."""
    return wording == "own"


def keep_picture(_context: Context, v: Visit) -> str:
    """An upload that is taken away takes nothing with it."""
    return frame.notice(f"The picture looked at stays: {v.subject.caption}")


def _templates(wording: Wording, own: str) -> tuple[str, ...]:
    return parse_templates(own) if wording == "own" else TEMPLATES[wording]


def _truth_list(v: Visit) -> dict[str, Any]:
    """By name: while the classes are typed anew, a number would soon mean another class."""
    choices = [("I don't say", ""), *((name, name) for name in v.classes)]
    return {"choices": choices, "value": "" if v.truth is None else v.classes[v.truth]}


def _one_per_line(v: Visit) -> str:
    return "\n".join(written(v.classes))


def _wordings() -> list[tuple[str, str]]:
    mean = f"the mean of {len(TEMPLATES['ensemble'])} wordings"
    published = [(f"OpenAI’s {len(TEMPLATES[name])} for ImageNet", name) for name in WORDINGS]
    return [(TEMPLATES["single"][0], "single"), (mean, "ensemble"), *published, ("my own", "own")]


def _wording(v: Visit) -> str:
    return next((name for name, templates in TEMPLATES.items() if templates == v.templates), "own")


def _own_wording(v: Visit) -> gr.Textbox:
    return gr.Textbox("\n".join(v.templates), visible=True) if _wording(v) == "own" else gr.Textbox(visible=False)
