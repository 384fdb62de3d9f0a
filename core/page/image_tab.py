"""Image tab: the examples, a visitor's own picture, and the classes with their wording."""

from dataclasses import dataclass
from typing import Any, Literal

import gradio as gr

from ..errors import UserError
from ..model.prompts import TEMPLATES, parse_classes, parse_templates
from ..pictures.examples import Example
from ..session import visit as session
from ..session.typed import Text
from ..session.view_state import content_hash
from ..session.visit import Subject, Visit
from ..views import frame
from ..views import image as image_view
from ..workbench import Workbench
from . import widgets
from .context import Context
from .lanes import AS_SENT, EVERY, PRIVATE, Lane
from .replies import Besides, Change, Changes, Outcome, Redraw, Replies, Shown
from .wire import ChooseExample

Wording = Literal["single", "ensemble", "own"]
"""Of the classes: a name in TEMPLATES, or the visitor's own."""


@dataclass(frozen=True)
class ImageTab:
    """Its parts."""

    tab: gr.Tab
    gallery: gr.HTML
    upload: gr.File
    said_picture: gr.HTML
    truth: gr.Dropdown
    classes: gr.Textbox
    wording: gr.Dropdown
    own: gr.Textbox
    classify: gr.Button
    said_classes: gr.HTML
    words: gr.HTML


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
                wording = gr.Dropdown(
                    [
                        (TEMPLATES["single"][0], "single"),
                        (f"the mean of {len(TEMPLATES['ensemble'])} wordings", "ensemble"),
                        ("my own", "own"),
                    ],
                    value="single", label="Wording of the classes", elem_id="wording",
                )  # fmt: skip
                own = gr.Textbox(
                    "a photo of a {}\na drawing of a {}", visible=False, lines=2, max_lines=8,
                    label="Your wordings, one per line; {} is the class", elem_id="own",
                )  # fmt: skip
                classify = gr.Button("Classify", variant="primary", elem_id="classify")
                said_classes = widgets.notice_place("said-classes")
                words = widgets.html(show_unknown_words(context, first), elem_id="words")
    return ImageTab(
        tab, gallery, upload, said_picture, truth, classes, wording, own, classify, said_classes, words
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
    asked = replies.step(ask, Change.CLASSES, *asked_for, tab.truth, notices=[tab.said_classes])
    own = Shown(tab.own, lambda visible: gr.Textbox(visible=visible))
    tab.wording.input(*replies.answer(own_wording, own, tab.wording), **PRIVATE)
    tab.upload.clear(*replies.answer(keep_picture, tab.said_picture), **EVERY)
    asking = [tab.classify.click, tab.truth.input, tab.wording.input]
    return [
        (Change.PICTURE, tab.gallery.choose(*chosen, **another)),
        (Change.PICTURE, tab.upload.upload(*brought, **another)),
        (Change.CLASSES, gr.on(asking, *asked, **(another | AS_SENT))),
    ]


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
        names, templates = parse_classes(text).names, _templates(wording, own)
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
    asked = parse_classes(text)
    v = session.ask(context.bench(v), v, asked.names, _templates(wording, own), should_be or None)
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
    return "\n".join(v.classes)


def _wording(v: Visit) -> str:
    return next((name for name, templates in TEMPLATES.items() if templates == v.templates), "own")


def _own_wording(v: Visit) -> gr.Textbox:
    return gr.Textbox("\n".join(v.templates), visible=True) if _wording(v) == "own" else gr.Textbox(visible=False)
