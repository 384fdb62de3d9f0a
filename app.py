"""The page: layout and wiring. What is shown is written in core/views, what is computed in core."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from core.model.devices import on_zero_gpu

if on_zero_gpu():
    import spaces  # before anything that could touch CUDA

import gradio as gr
import numpy as np

from core.errors import UserError
from core.files import ASSETS
from core.methods.dose_response import Response
from core.methods.steering import Edit
from core.methods.target import Target
from core.model.prompts import TEMPLATES, parse_classes, parse_templates
from core.page import evidence_stream as proving
from core.pictures.examples import Example, read_examples
from core.pictures.read import read_picture
from core.serving.api import Programs
from core.serving.settings import Settings, chosen_setups, make_shelf
from core.session import component_search as inquiries
from core.session import visit as session
from core.session.cancellation import LatestOnly
from core.session.component_search import Inquiry, Pushed
from core.session.typed import lever
from core.session.visit import Subject, Visit
from core.setups.catalog import SetupSpec, find
from core.setups.loading import Loading
from core.setups.pool import SetupPool
from core.views import attribution as attribution_view
from core.views import compare as compare_view
from core.views import evidence as proofs
from core.views import frame
from core.views import image as image_view
from core.views import panel as panel_view
from core.views import setup as setup_view
from core.views import steering as steering_view
from core.views.images import picture_uri
from core.views.reference_strip import sheet
from core.views.report_words import ceiling_words, read_report, repair_words
from core.workbench import Workbench

NOTHING = -1
"""The choice of no class in a list of classes."""
NAME_THE_TAB = """(...told) => {
  const tab = document.querySelector("#tabs [role=tab][aria-selected=true]").textContent.trim();
  return [...told.slice(0, -1), JSON.stringify([tab, performance.now()])];
}"""
"""What a listener is told last: which tab is open, and when that was so, for questions that overtake each other."""
EDITOR_SIDE = 640
"""Pixels of the longer side of a picture that is painted on."""


def build(shelf: SetupPool[Workbench], opens_with: str, apology: str = "") -> gr.Blocks:
    """The whole page. The first example is worked out here, so that it arrives with the page.

    Every visitor chooses among the shelf's setups; `apology` says why the page does not open with another one.
    """
    examples = read_examples()
    thumbs = [picture_uri(e.file(), 224) for e in examples]
    by_name = {e.name: e for e in examples}
    reports = {name: read_report(card.report) for name, card in shelf.cards.items()}

    def bench_of(v: Visit) -> Workbench:
        """The setup a visit is about; loaded anew where it had to leave for others."""
        return shelf.get(v.setup)

    # ---- pictures and words

    def open_example(bench: Workbench, e: Example, templates: tuple[str, ...]) -> Visit:
        return session.start(bench, e.file(), session.subject_of(e), e.classes, templates, e.truth)

    def cue_of(v: Visit) -> str | None:
        return None if v.subject.example is None else by_name[v.subject.example].cue

    def templates_of(wording: str, own: str) -> tuple[str, ...]:
        return parse_templates(own) if wording == "own" else TEMPLATES[wording]

    # ---- what each part shows for a visit

    def show_about(v: Visit) -> str:
        if v.subject.photograph and shelf.cards[v.setup].vocabulary is not None:
            return frame.notice(
                "This demo model has never seen photographs: choose a published setup at the top of the page. "
                "What it says here shows how the levers work, not what CLIP sees.",
                tone="warn",
            )
        first_example = v.subject.example == examples[0].name and not v.subject.counterfactual
        return frame.notice(repair_words(reports[v.setup]) if first_example else "")

    def show_setup(v: Visit) -> str:
        return setup_view.setup_page(bench_of(v).setup)

    def show_setup_line(v: Visit) -> str:
        return setup_view.setup_line(shelf.cards[v.setup])

    def show_words(v: Visit) -> str:
        known = shelf.cards[v.setup].vocabulary or ()
        return image_view.unknown_words(bench_of(v).unknown_words(v.classes), sorted(known))

    def show_target(v: Visit) -> str:
        return attribution_view.target_line(v, bench_of(v).setup.clip.logit_scale)

    def show_panel(v: Visit) -> str:
        return panel_view.panel(v, cue_of(v))

    def show_patches(v: Visit) -> str:
        return steering_view.patches(v, shelf.cards[v.setup].scope != "patches")

    def show_heats(v: Visit) -> str:
        trace, attribution = session.afterwards(bench_of(v), v)
        before = session.contributions(v.trace, v.attribution)
        after = session.contributions(trace, attribution)
        return compare_view.heat_pair(
            v,
            compare_view.Support("Before", v.attribution.value, before),
            compare_view.Support("After", attribution.value, after),
        )

    def show_cards(v: Visit) -> str:
        return attribution_view.cards(v, inquiries.on_cards(bench_of(v), v))

    def show_faces(v: Visit) -> str:
        """The pictures on the cards: once, and not with every move of a lever."""
        shown = inquiries.on_cards(bench_of(v), v)
        return sheet(shot for face in shown.values() for shot in face.shots)

    def show_gone(v: Visit) -> str:
        """For an example with a twin: what the model says when the cue is really gone."""
        cue = cue_of(v)
        if cue is None or v.subject.counterfactual:
            return frame.section("When the cue is really gone", proofs.no_twin(v.subject.counterfactual))
        gone = session.without_cue(bench_of(v), v, by_name[str(v.subject.example)].file(counterfactual=True))
        told = proofs.counterfactual(v, f"without the {cue}", gone, ceiling_words(reports[v.setup], cue))
        return frame.section(f"When the {cue} is really gone", told)

    def class_choices(v: Visit, none: str) -> list[tuple[str, int]]:
        return [(none, NOTHING), *((name, k) for k, name in enumerate(v.classes))]

    def truth_list(v: Visit) -> dict[str, Any]:
        """By name: while the classes are typed anew, a number would soon mean another class."""
        choices = [("I don't say", ""), *((name, name) for name in v.classes)]
        return {"choices": choices, "value": "" if v.truth is None else v.classes[v.truth]}

    def wanted_list(v: Visit) -> dict[str, Any]:
        return {"choices": class_choices(v, "")[1:], "value": v.target.wanted}

    def against_list(v: Visit) -> dict[str, Any]:
        value = NOTHING if v.target.against is None else v.target.against
        return {"choices": class_choices(v, "(nothing)"), "value": value}

    def steering_title(v: Visit) -> str:
        return f"Steering · {v.edit.n_groups}" if v.edit.levers else "Steering"

    opening = shelf.get(opens_with)
    first = session.measure(opening, open_example(opening, examples[0], TEMPLATES["single"]))
    part: dict[str, Any] = {"padding": False, "apply_default_css": False, "js_on_load": None}

    def widget(name: str, html: str, word: str | None = None, script: str | None = None) -> gr.HTML:
        """HTML that listens, by the script of its name or another's.

        With a `word`, that is its value, for the page to write, and Python draws by a prop.

        While its tab was never opened, a reply that leaves a component out would make it forget its props
        (though not its value), so replies always name those with a word: see `sorry`.
        """
        js = (ASSETS / "widgets" / f"{script or name}.js").read_text(encoding="utf-8")
        own: dict[str, Any] = {"js_on_load": js, "elem_id": name, "padding": False, "apply_default_css": False}
        return gr.HTML(html, **own) if word is None else gr.HTML(word, html=html, html_template="${html}", **own)

    def said(elem_id: str) -> gr.HTML:
        """Where a sentence for the visitor appears, next to what it is about."""
        return gr.HTML(frame.notice(), elem_id=elem_id, elem_classes="said", **part)

    with gr.Blocks(title="CLIP Levers", fill_width=True, delete_cache=(900, 3600)) as demo:
        visit = gr.State(first)
        with gr.Row(elem_id="top"):
            gr.HTML(
                frame.header(
                    "CLIP Levers", "Find the concept that drives a prediction, pull it, see everything that changes."
                ),
                elem_id="brand", **part,
            )  # fmt: skip
            with gr.Column(scale=0, min_width=340, elem_id="setup"):
                chosen = gr.Dropdown(
                    [(setup_view.setup_choice(card), name) for name, card in shelf.cards.items()],
                    value=opens_with, label="Setup", elem_id="chosen", container=False, filterable=False,
                )  # fmt: skip
                setup_line = gr.HTML(show_setup_line(first), elem_id="setup-line", **part)
        with gr.Accordion("About this setup", open=False, elem_id="about-setup"):
            setup_page = gr.HTML(show_setup(first), elem_id="setup-page", **part)
        said_setup = gr.HTML(frame.notice(apology, tone="warn"), elem_id="said-setup", elem_classes="said", **part)
        stop = gr.Button("Stop loading it", visible=False, size="sm", elem_id="stop")
        with gr.Row(elem_id="desk"):
            with gr.Column(scale=0, min_width=340, elem_id="side"):
                panel = widget("panel", show_panel(first))
            with gr.Column(scale=1, min_width=320, elem_id="main"):
                about = gr.HTML(show_about(first), elem_id="about", elem_classes="said", **part)
                with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs:
                    with gr.Tab("Image", id="image", render_children=True) as image:
                        gallery = widget("gallery", image_view.gallery(examples, thumbs, first.subject.example))
                        with gr.Row(equal_height=False):
                            with gr.Column(min_width=280):
                                upload = gr.File(
                                    label="Your own picture", file_types=["image"], height=132, elem_id="upload"
                                )
                                said_picture = said("said-picture")
                                truth = gr.Dropdown(
                                    **truth_list(first), label="What should it be?", elem_id="truth",
                                    info="Sets the question: what speaks for the predicted class against this one?",
                                )  # fmt: skip
                            with gr.Column(min_width=280):
                                classes = gr.Textbox(
                                    "\n".join(first.classes), label="Classes, one per line", lines=5, max_lines=10,
                                    elem_id="classes",
                                )  # fmt: skip
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
                                    label="Your wordings, one per line, {} is the class", elem_id="own",
                                )  # fmt: skip
                                classify = gr.Button("Classify", variant="primary", elem_id="classify")
                                said_classes = said("said-classes")
                                words = gr.HTML(show_words(first), elem_id="words", **part)
                    with gr.Tab("Attribution", id="attribution", render_children=True) as attribution:
                        with gr.Row(elem_id="question"):
                            wanted = gr.Dropdown(
                                **wanted_list(first), label="What speaks for", elem_id="wanted", min_width=120
                            )
                            against = gr.Dropdown(
                                **against_list(first), label="against", elem_id="against", min_width=120
                            )
                        said_target = said("said-target")
                        target = gr.HTML(show_target(first), elem_id="target", **part)
                        faces = gr.HTML(show_faces(first), elem_id="cards-sheet", **part)
                        cards = widget("cards", show_cards(first))
                        look = widget("look", inquiries.show_look(opening, first))
                    with gr.Tab("Components", id="components", render_children=True) as components:
                        with gr.Row(elem_id="search", visible=opening.index is not None) as searching:
                            words_for = gr.Textbox(
                                label="Find components by words", placeholder="written text", elem_id="words-for",
                                submit_btn="Search", scale=3, min_width=260,
                            )  # fmt: skip
                            picture_for = gr.File(
                                label="or by a picture", file_types=["image"], height=132, elem_id="picture-for",
                                scale=2, min_width=220,
                            )  # fmt: skip
                        said_search = said("said-search")
                        found_faces = gr.HTML(elem_id="found-sheet", **part)
                        page_faces = gr.HTML(elem_id="component-sheet", **part)
                        found = widget("found", inquiries.show_found(opening, first, Inquiry()), script="cards")
                        page = widget("component", inquiries.show_page(opening, first, Inquiry(), None), script="cards")
                        inquired, pushed = gr.State(Inquiry()), gr.State(None)
                    with gr.Tab(steering_title(first), id="steering", render_children=True) as steering:
                        history = widget("history", steering_view.history(first))
                        said_levers = said("said-levers")
                        with gr.Row(equal_height=False):
                            with gr.Column(scale=3, min_width=320):
                                levers = widget("levers", steering_view.levers(first), steering_view.intent(first))
                            with gr.Column(scale=2, min_width=280):
                                patches = widget("patches", show_patches(first), steering_view.intent(first))
                        finder = widget("finder", steering_view.finder(first))
                    with gr.Tab("Before / after", id="compare", render_children=True) as compare:
                        chart = gr.HTML(compare_view.chart(first), elem_id="chart", **part)
                        table = gr.HTML(compare_view.table(first.comparison), elem_id="table", **part)
                        heats = gr.HTML(show_heats(first), elem_id="heats", **part)
                    with gr.Tab("Evidence", id="evidence", render_children=True) as evidence:
                        summary = gr.HTML(proofs.no_edit(), elem_id="summary", **part)
                        with gr.Row(equal_height=False, visible=False) as tried:
                            with gr.Column(min_width=320, elem_classes="sheet"):
                                said_chance = gr.HTML(elem_id="said-chance", **part)
                                chance = gr.Plot(show_label=False, container=False, elem_id="chance")
                            with gr.Column(min_width=320, elem_classes="sheet"):
                                said_dose = gr.HTML(elem_id="said-dose", **part)
                                which = gr.Dropdown(label="Strength of", elem_id="which", visible=False)
                                dose = gr.Plot(show_label=False, container=False, elem_id="dose")
                        ripple = gr.HTML(elem_id="ripple", **part)
                        elsewhere = gr.HTML(elem_id="elsewhere", **part)
                        really = gr.HTML(elem_id="really", **part)
                        with gr.Accordion("Take the cue away yourself", open=False, elem_id="own-twin") as own_twin:
                            editor = gr.ImageEditor(
                                type="numpy", sources=(), transforms=("crop",), layers=False, height=420,
                                brush=gr.Brush(default_size=28, colors=["#808080", "#ffffff", "#000000", "#7a9a5a"]),
                                label="Paint over the cue, or crop it away", elem_id="editor",
                            )  # fmt: skip
                            retell = gr.Button("Ask the model about this picture", elem_id="retell")
                            own_gone = gr.HTML(elem_id="own-gone", **part)
                        lacking = gr.HTML(elem_id="lacking", **part)
                        proved, answers, errands = gr.State(None), gr.State([]), gr.State(LatestOnly())
                        inquiring = gr.State(LatestOnly())
                        loads, failed = gr.State(LatestOnly()), gr.State("")
                        on_tab = gr.Textbox(visible=False)
        gr.HTML(frame.foot(), elem_id="foot", **part)

        # ---- replies: what follows a change

        notices = [said_picture, said_classes, said_target, said_levers, said_search]

        def answer(v: Visit) -> dict:
            """What follows every change of the edit. (Heatmaps after the edit wait until their tab is opened.)"""
            return {
                visit: v,
                panel: show_panel(v),
                cards: show_cards(v),
                chart: compare_view.chart(v),
                table: compare_view.table(v.comparison),
                history: steering_view.history(v),
                steering: gr.Tab(steering_title(v)),
            } | {notice: frame.notice() for notice in notices}

        def widgets(v: Visit) -> dict:
            """The widgets that carry the visitor's own settings: drawn anew only when Python changed the edit."""
            word = steering_view.intent(v)
            return {
                levers: gr.HTML(value=word, html=steering_view.levers(v)),
                patches: gr.HTML(value=word, html=show_patches(v)),
            }

        def question(v: Visit) -> dict:
            """The target and all that depends on it."""
            return {
                target: show_target(v),
                wanted: gr.Dropdown(**wanted_list(v)),
                against: gr.Dropdown(**against_list(v)),
                heats: show_heats(v),
                faces: show_faces(v),
                look: inquiries.show_look(bench_of(v), v),
            } | widgets(v)

        def picture(v: Visit) -> dict:
            """Another picture or other classes."""
            return {
                about: show_about(v),
                gallery: image_view.gallery(examples, thumbs, v.subject.example),
                truth: gr.Dropdown(**truth_list(v)),
                words: show_words(v),
                finder: steering_view.finder(v),
            } | answer(v) | question(v)  # fmt: skip

        def other_setup(v: Visit) -> dict:
            """Another setup, asked the same about the same picture."""
            has_index = bench_of(v).index is not None
            return other_picture(v) | {
                setup_line: show_setup_line(v),
                setup_page: show_setup(v),
                searching: gr.Row(visible=has_index),
            }

        def other_picture(v: Visit) -> dict:
            """Another picture: what was painted on the old one goes with it."""
            return picture(v) | {editor: None, own_gone: "", own_twin: gr.Accordion(open=False)}

        def sorry(v: Visit, where: gr.HTML, trouble: UserError) -> dict:
            """The sentence, in its place; everything else stays as it is, on the page too what was typed."""
            drawn = {} if where is said_levers else widgets(v)
            return drawn | {visit: v, where: frame.notice(str(trouble), tone="bad")}

        # ---- listeners

        def told_setup(html: str, busy: bool = False, failure: str = "") -> dict:
            """What a loading replies. All of it every time: what a stream leaves out is emptied."""
            return {said_setup: html, stop: gr.Button("Stop loading it", visible=busy), failed: failure}

        def change_setup(v: Visit, name: str, loads: LatestOnly) -> Iterator[dict]:
            """Load a setup, telling how far that is. The visit goes on meanwhile, with the setup it has."""
            wanted_still = loads.begin()
            news: tuple = (frame.notice(),)
            loads.reply = news  # nothing yet: an older loading may end before this one has told anything
            try:
                for step in shelf.bring(name):
                    if not wanted_still():
                        break
                    if isinstance(step, Loading):
                        loads.reply = (setup_view.loading(shelf.cards[name].title, step), True)
                        yield told_setup(*loads.reply)
            except UserError as trouble:
                sentence = f"{trouble} {shelf.cards[v.setup].title} stays."
                news = (frame.notice(sentence, tone="bad"), False, name)
            if wanted_still():
                loads.reply = news
            yield told_setup(*loads.reply)

        def move(v: Visit, name: str, failure: str, file: str | None) -> dict:
            """Ask the setup that was loaded, unless another was chosen meanwhile, which is on its way."""
            if name == failure:
                return widgets(v) | {chosen: v.setup}
            if name == v.setup or name not in shelf.loaded():
                return widgets(v)
            left = bool(v.edit.levers)
            try:
                v = session.change_setup(shelf.get(name), v, picture_of(v, file))
            except UserError as trouble:
                return widgets(v) | {said_setup: frame.notice(str(trouble), tone="bad"), chosen: v.setup}
            lost = "Your levers stayed behind: the components of another dictionary are others."
            return other_setup(v) | {said_setup: frame.notice(lost if left else "")}

        def stay(v: Visit, loads: LatestOnly) -> dict:
            """Whoever presses stop no longer waits; when nobody does, the loading ends."""
            loads.begin()
            told = f"Stopped. {shelf.cards[v.setup].title} stays; what was downloaded is kept for the next time."
            loads.reply = (frame.notice(told),)
            return told_setup(*loads.reply) | {chosen: v.setup}

        def picture_of(v: Visit, file: str | None) -> Path | str | np.ndarray:
            """The picture of a visit: the file, or, where that is gone, what the model saw of it."""
            if v.subject.example is not None:
                return by_name[v.subject.example].file(v.subject.counterfactual)
            if file is not None:
                try:
                    read_picture(file)
                    return file
                except UserError:  # it was refused when it came: the visit is still about the picture before
                    pass
            return v.trace.crop

        def choose(v: Visit, event: gr.EventData) -> dict:
            v = session.after(v, open_example(bench_of(v), examples[int(event.example)], v.templates))
            return other_picture(v) | {classes: "\n".join(v.classes), upload: None}

        def bring(v: Visit, file: str | None, text: str, how: str, own_text: str) -> dict:
            trouble_here: dict = {}
            names, templates = v.classes, v.templates
            try:
                names, templates = parse_classes(text).names, templates_of(how, own_text)
            except UserError as trouble:  # the picture is welcome all the same, with the classes asked before
                trouble_here = {said_classes: frame.notice(str(trouble), tone="bad")}
            subject = Subject("Your picture", photograph=True)
            try:
                v = session.after(v, session.start(bench_of(v), file, subject, names, templates, None))
            except UserError as trouble:
                return sorry(v, said_picture, trouble)
            return other_picture(v) | trouble_here

        def gone(v: Visit) -> dict:
            return {said_picture: frame.notice(f"The picture looked at stays: {v.subject.caption}")}

        def twin(v: Visit, event: gr.EventData) -> dict:
            e = by_name[v.subject.example or examples[0].name]
            without = bool(event.on) and e.counterfactual is not None
            subject = session.subject_of(e, without)
            return other_picture(session.look_at(bench_of(v), v, e.file(without), subject))

        def reclassify(v: Visit, text: str, how: str, own_text: str, should_be: str | None) -> dict:
            shown = {own: gr.Textbox(visible=how == "own")}
            try:
                asked = parse_classes(text)
                v = session.ask(bench_of(v), v, asked.names, templates_of(how, own_text), should_be or None)
            except UserError as trouble:
                return sorry(v, said_classes, trouble) | shown
            return picture(v) | shown | {said_classes: frame.notice(*asked.notes)}

        def retarget(v: Visit, w: int, a: int | None) -> dict:
            try:
                v = session.set_target(bench_of(v), v, Target(w, None if a in (None, NOTHING) else a))
            except UserError as trouble:
                return sorry(v, said_target, trouble)
            return answer(v) | question(v)

        def measure(v: Visit) -> Any:
            """The second half of an answer about a picture or a target: what the model does without each component."""
            if v.agreement is not None:
                return gr.skip()
            v = session.measure(bench_of(v), v)
            return {visit: v, cards: show_cards(v)}

        def press(v: Visit, i: Inquiry, known: Pushed | None, event: gr.EventData) -> dict:
            """A press on a component, wherever it is shown."""
            component = int(event.component)
            if event.action == "open":
                i = inquiries.open_page(v, i, component)
                told = inquiries.show_page(bench_of(v), v, i, known)
                drawn = inquiries.page_faces(bench_of(v), v, i)
                return widgets(v) | {inquired: i, page: told, page_faces: drawn, tabs: gr.Tabs(selected="components")}
            try:
                v = session.press(bench_of(v), v, component, event.action, bool(event.on))
            except UserError as trouble:
                return sorry(v, said_target, trouble) | {said_search: frame.notice(str(trouble), tone="bad")}
            return answer(v) | widgets(v)

        def look_up_words(v: Visit, i: Inquiry, text: str) -> dict:
            """The components that match words; a picture that was dropped before is asked about no more."""
            return look_up(v, i, text, None) | {picture_for: None}

        def look_up(v: Visit, i: Inquiry, text: str, file: str | None) -> dict:
            """The components that match words, or a picture where one was dropped."""
            try:
                i = inquiries.search(bench_of(v), v, i, text, file)
            except UserError as trouble:
                return {said_search: frame.notice(str(trouble), tone="bad")}
            return {
                inquired: i,
                found: inquiries.show_found(bench_of(v), v, i),
                found_faces: inquiries.found_faces(bench_of(v), v, i),
                said_search: frame.notice(),
            }

        def inquire(v: Visit, i: Inquiry, known: Pushed | None, asked_last: LatestOnly, on: str) -> Iterator[dict]:
            """What components do in the present picture, where that is in sight; what one pushes is measured last."""
            tab, moment = json.loads(on)
            wanted_still = asked_last.begin(moment)
            if tab != "Components" or not wanted_still():
                yield gr.skip()  # as in `prove`
                return
            bench = bench_of(v)
            yield {
                found: inquiries.show_found(bench, v, i), page: inquiries.show_page(bench, v, i, known), pushed: known
            }  # fmt: skip
            if not inquiries.unmeasured(bench, v, i, known):
                return
            known = inquiries.measure(bench, v, i)
            if wanted_still():
                yield {pushed: known, page: inquiries.show_page(bench, v, i, known)}

        def pull(v: Visit, word: str) -> dict:
            wish = json.loads(word)
            heard = session.accept_message(v, "levers", wish["revision"], wish["moment"])
            if heard is None:
                return {visit: v}
            old = [(one.component, one.operation) for one in heard.edit.levers]
            try:
                edit = Edit(tuple(lever(*each) for each in wish["levers"]), heard.edit.tokens)
                v = session.pull(bench_of(heard), heard, edit, wish["gesture"])
            except UserError as trouble:
                return sorry(heard, said_levers, trouble)
            same = old == [(one.component, one.operation) for one in v.edit.levers]
            # A reply to a slider never draws the sliders: it would move them under the visitor's hand.
            return answer(v) | ({} if same else {levers: gr.HTML(html=steering_view.levers(v))})

        def pick(v: Visit, word: str) -> dict:
            wish = json.loads(word)
            heard = session.accept_message(v, "patches", wish["revision"], wish["moment"])
            if heard is None:
                return {visit: v}
            try:
                v = session.pull(bench_of(heard), heard, heard.edit.among(wish["tokens"]), wish["gesture"])
            except UserError as trouble:
                return sorry(heard, said_levers, trouble)
            reply = answer(v)
            del reply[said_levers]  # what is wrong with a strength still is
            return reply

        def find(v: Visit) -> Iterator[dict]:
            """The smallest edit that makes the picture what it should be, as far as the search is."""
            if v.truth is None:
                yield gr.skip()  # as in `prove`
                return
            try:
                for search in bench_of(v).search(v.trace, v.classes, v.templates, v.truth):
                    yield {finder: steering_view.finder(v, search)}
            except UserError as trouble:
                yield {finder: steering_view.finder(v, trouble=str(trouble))}

        def use(v: Visit, event: gr.EventData) -> dict:
            """An edit that was found, in place of the present one. What else was found stays on the page."""
            try:
                v = session.change(bench_of(v), v, Edit.of_suppressed(int(component) for component in event.components))
            except UserError as trouble:
                return sorry(v, said_levers, trouble)
            return answer(v) | widgets(v)

        def prove(v: Visit, already: object, errands: LatestOnly, on: str) -> Iterator[dict]:
            """The evidence, where it is in sight: part by part, until something else is asked for.

            This follows every change, so that a change ends what is still being worked out about the state before.
            """
            tab, moment = json.loads(on)
            wanted_still = errands.begin(moment)
            key = (v.setup, v.revision, v.subject, v.classes, v.templates, v.truth, v.target, v.edit)
            if tab != "Evidence" or key == already or not wanted_still():
                yield gr.skip()  # a stream without any step would empty what it could tell
                return
            yield {proved: None}
            for told in proving.prove(bench_of(v), v, show_gone(v)):
                if not wanted_still():
                    return
                yield shown(told)
            yield {proved: key}

        def shown(told: Mapping[str, Any]) -> dict:
            """What the parts of the tab are to show, as Gradio wants to hear it."""
            as_update = {
                "tried": lambda pulled: gr.Row(visible=pulled),
                "which": lambda names: gr.Dropdown(
                    [(n, k) for k, n in enumerate(names)], value=0, visible=len(names) > 1
                ),
            }
            return {evidence_parts[name]: as_update.get(name, lambda same: same)(value) for name, value in told.items()}

        def show_dose(found: list[tuple[Visit, Response]], k: int) -> dict:
            return shown(proving.show_dose(*found[k]))

        def lend(v: Visit, file: str | None) -> np.ndarray:
            """The picture, to be painted on."""
            picture = read_picture(picture_of(v, file))
            picture.thumbnail((EDITOR_SIDE, EDITOR_SIDE))
            return np.asarray(picture)

        def take_away(v: Visit, drawing: dict | None) -> str:
            """The visitor's own twin beside the picture and the edit."""
            if drawing is None or drawing["composite"] is None:
                return frame.notice("There is no picture above yet. Open this part again to get it.", tone="bad")
            try:
                found = session.without_cue(bench_of(v), v, drawing["composite"])
            except UserError as trouble:
                return frame.notice(str(trouble), tone="bad")
            return proofs.counterfactual(v, "as you changed it", found)

        def step(v: Visit, event: gr.EventData) -> dict:
            if event.step == "reset":
                v = session.change(bench_of(v), v, Edit())
            else:
                v = {"undo": session.undo, "redo": session.redo}[event.step](bench_of(v), v)
            return answer(v) | widgets(v)

        # One visitor's changes must not overtake each other: all of them pass one queue, one at a time.
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        turn = private | {"concurrency_id": "visit", "concurrency_limit": 1}
        long = private | {"concurrency_id": "evidence", "concurrency_limit": 4}
        evidence_parts = {
            "summary": summary, "tried": tried, "said_chance": said_chance, "chance": chance, "said_dose": said_dose,
            "which": which, "dose": dose, "answers": answers, "ripple": ripple, "elsewhere": elsewhere,
            "really": really, "own_gone": own_gone, "lacking": lacking,
        }  # fmt: skip
        proof_parts = [proved, *evidence_parts.values()]
        finding = finder.find(find, visit, finder, **long)
        every = turn | {"trigger_mode": "multiple"}  # every press counts, in order
        latest = turn | {"trigger_mode": "always_last"}  # only the latest counts, read from the widget's value
        slow = every | {"show_progress": "minimal", "show_progress_on": [panel]}
        another = slow | {"cancels": [finding]}  # an edit is found for one picture among its classes
        follow = [visit, panel, cards, chart, table, history, steering, *notices]
        ask = [target, wanted, against, levers, patches, heats, faces, look]
        all_parts = [*follow, *ask, about, gallery, truth, words, finder]
        fresh_parts = [*all_parts, editor, own_gone, own_twin]
        asked_for = [classes, wording, own]

        questions = [
            gallery.choose(choose, visit, [*fresh_parts, classes, upload], **another),
            upload.upload(bring, [visit, upload, *asked_for], fresh_parts, **another),
            panel.twin(twin, visit, fresh_parts, **another),
            gr.on(
                [classify.click, truth.input, wording.input],
                reclassify, [visit, *asked_for, truth], [*all_parts, own], **another,
            ),
            gr.on([wanted.input, against.input], retarget, [visit, wanted, against], [*follow, *ask], **slow),
        ]  # fmt: skip
        for asked in questions:
            asked.then(measure, visit, [visit, cards], **every)
        pressed = [
            place.act(
                press, [visit, inquired, pushed], [*follow, levers, patches, inquired, page, page_faces, tabs], **every
            )
            for place in (cards, look, found, page)
        ]
        searched = [inquired, found, found_faces, said_search]
        words_for.submit(look_up_words, [visit, inquired, words_for], [*searched, picture_for], **slow)
        gr.on(
            [picture_for.upload, picture_for.clear],
            look_up, [visit, inquired, words_for, picture_for], searched, **slow,
        )  # fmt: skip
        changes = [
            *questions,
            *pressed,
            levers.pull(pull, [visit, levers], [*follow, levers], **latest),
            patches.pick(pick, [visit, patches], follow, **latest),
            history.step(step, visit, [*follow, levers, patches], **every),
            finder.use(use, visit, [*follow, levers, patches], **every),
        ]
        proof: dict[str, Any] = {"js": NAME_THE_TAB, "trigger_mode": "multiple"} | long
        # Another tab ends what nobody looks at any more.
        opened = [tab.select for tab in (image, attribution, components, steering, compare, evidence)]

        def follow_up(after: Any) -> None:
            """What is told besides, where its tab is in sight."""
            after(prove, [visit, proved, errands, on_tab], proof_parts, **proof)
            after(inquire, [visit, inquired, pushed, inquiring, on_tab], [found, page, pushed], **proof)

        for after in (*opened, *(change.then for change in changes)):
            follow_up(after)
        # The list itself is no output here: between the steps of a stream it would be emptied.
        loading = chosen.input(
            change_setup, [visit, chosen, loads], [said_setup, stop, failed],
            trigger_mode="multiple", concurrency_id="setups", concurrency_limit=32, **private,
        )  # fmt: skip
        moved = loading.then(
            move,
            [visit, chosen, failed, upload],
            [*fresh_parts, setup_line, setup_page, said_setup, chosen, searching],
            **another,
        )
        measured = moved.then(measure, visit, [visit, cards], **every)
        follow_up(measured.then)
        stop.click(stay, [visit, loads], [said_setup, stop, failed, chosen], **every)
        upload.clear(gone, visit, said_picture, **every)
        compare.select(show_heats, visit, heats, **turn)
        which.input(show_dose, [answers, which], [said_dose, dose], **turn)
        own_twin.expand(lend, [visit, upload], editor, **turn)
        retell.click(take_away, [visit, editor], own_gone, **turn)

        endpoints(shelf, opens_with)
    return demo


def endpoints(shelf: SetupPool[Workbench], opens_with: str) -> None:
    """The same questions for programs; see /?view=api. Classes are separated by commas or lines.

    The inputs are components nobody sees, and not `gr.api`, which would hand over any path a caller names:
    `gr.File` accepts only what was uploaded.
    """
    file = gr.File(visible=False, label="picture")
    text, wanted, against, words, name = (
        gr.Textbox("", visible=False, label=label) for label in ("classes", "wanted", "against", "words", "setup")
    )
    number, which = (
        gr.Number(value, visible=False, label=label, precision=0) for value, label in ((10, "shown"), (0, "component"))
    )
    levers, tokens, found = (gr.JSON(visible=False, label=label) for label in ("levers", "tokens", "answer"))

    ask = Programs(shelf, opens_with)

    def setups() -> list[dict]:
        """The setups this page offers, by the names that the other endpoints take."""
        return ask.setups()

    def predict(picture: str | None, classes: str, setup: str) -> dict:
        """Zero-shot prediction among the classes."""
        with told():
            return ask.predict(picture, classes, setup)

    def attribute(picture: str | None, classes: str, wanted: str, against: str, shown: int | None, setup: str) -> dict:
        """The strongest components for `wanted` against `against`, by default the predicted class and the next."""
        with told():
            return ask.attribute(picture, classes, wanted, against, shown, setup)

    def steer(picture: str | None, classes: str, levers: list, tokens: list | None, setup: str) -> dict:
        """The prediction before and after an edit."""
        with told():
            return ask.steer(picture, classes, levers, tokens, setup)

    def component(component: int | None, classes: str, setup: str) -> dict:
        """What a component fires for: reference pictures, label guesses, neighbours, family, what it pushes."""
        with told():
            return ask.component(component, classes, setup)

    def search(words: str, picture: str | None, shown: int | None, setup: str) -> dict:
        """The components whose reference pictures fit words, or a picture where there are no words."""
        with told():
            return ask.search(words, picture, shown, setup)

    limits: dict[str, Any] = {"concurrency_id": "programs", "concurrency_limit": 1}
    gr.on([], setups, None, found, api_name="setups", **limits)
    gr.on([], predict, [file, text, name], found, api_name="predict", **limits)
    gr.on([], attribute, [file, text, wanted, against, number, name], found, api_name="attribute", **limits)
    gr.on([], component, [which, text, name], found, api_name="component", **limits)
    gr.on([], search, [words, file, number, name], found, api_name="search", **limits)
    gr.on([], steer, [file, text, levers, tokens, name], found, api_name="steer", **limits)


def pressed_on(event: gr.EventData) -> int:
    """The component whose button was pressed. Raises UserError for an event that our own page does not send."""
    try:
        return int(event.component)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError("That press names no component. Reload the page, and press again.") from error


@contextmanager
def told() -> Iterator[None]:
    """UserError reaches a program as the error's message."""
    try:
        yield
    except UserError as trouble:
        raise gr.Error(str(trouble), print_exception=False) from trouble


def theme() -> gr.themes.Base:
    """Gradio's own parts in this page's colours, light and dark."""
    chosen = json.loads((ASSETS / "theme.json").read_text(encoding="utf-8"))
    hue = gr.themes.Color(**chosen["hue"], name="levers")
    return gr.themes.Base(
        primary_hue=hue, secondary_hue=hue, neutral_hue="slate", radius_size="md", spacing_size="md", text_size="md",
        font=chosen["font"], font_mono=chosen["font_mono"],
    ).set(**chosen["set"])  # fmt: skip


def launch_options() -> dict[str, Any]:
    """What `launch` needs to show the page as designed."""
    # In the head: Gradio rewrites what it is given as css=, prefixing selectors and breaking some.
    style = (ASSETS / "style.css").read_text(encoding="utf-8")
    script = (ASSETS / "widgets" / "tabs.js").read_text(encoding="utf-8")
    return {
        "theme": theme(), "head": f"<style>{style}</style><script>{script}</script>",
        "footer_links": [], "max_file_size": "40mb",
        "run_history": False, "ssr_mode": False, "show_error": True,
    }  # fmt: skip


def make_page(settings: Settings, cards: Mapping[str, SetupSpec]) -> gr.Blocks:
    """The page, ready to be launched. Where its setup cannot be loaded it opens with the bundled one, and says why."""
    shelf = make_shelf(settings, cards, spaces.GPU if on_zero_gpu() else None)
    opens_with, apology = settings.setup, ""
    try:
        find(cards, opens_with)
        shelf.get(opens_with)
    except UserError as trouble:
        opens_with, apology = "bundled", f"{trouble} This page opens with the bundled demo instead."
    return build(shelf, opens_with, apology).queue(max_size=64)


def main() -> None:
    """The command."""
    try:
        page = make_page(*chosen_setups(Settings.from_environment(), sys.argv[1:]))
    except UserError as trouble:
        raise SystemExit(str(trouble)) from trouble
    page.launch(**launch_options())


if __name__ == "__main__":
    main()
