"""The page's visit brought back where the server has lost it: as it was, or with a sentence about what is missing."""

import json
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest
from gradio.blocks import Block
from gradio.state_holder import SessionState

from core.errors import UserError
from core.methods.steering import Edit, Lever
from core.methods.targets import ClassTarget
from core.model.prompts import TEMPLATES
from core.page import image_tab, press
from core.page.context import Context
from core.page.keeper import BRING_IT_AGAIN, FORGOTTEN, bring_back, once, show_crop
from core.page.replies import Outcome
from core.page.setup_bar import LEFT_BEHIND
from core.page.visit_state import VisitState, keep, serialised
from core.page.wire import BringBack, PressComponent
from core.pictures.read import read_picture
from core.session import visit as session
from core.session.view_state import content_hash
from core.session.visit import Subject, Visit

SAME = (
    "subject",
    "trace",
    "classes",
    "templates",
    "truth",
    "target",
    "attribution",
    "comparison",
    "edit",
    "key",
    "step",
)
OTHER = "sheep-stamp"
"""Another example than the first."""


@pytest.fixture(scope="module")
def state() -> VisitState:
    with gr.Blocks():
        return VisitState(gr.State(), gr.HTML())


@pytest.fixture(scope="module")
def own(context: Context, first: Visit) -> Visit:
    """A picture of a visitor's own, with their classes, target and lever."""
    bench, example = context.bench(first), context.example_named(OTHER)
    assert example is not None
    subject = Subject("Your picture", photograph=True)
    v = session.start(bench, example.file(), subject, ("horse", "frog", "sheep"), TEMPLATES["single"], "sheep")
    v = session.set_target(bench, v, ClassTarget(1, 0))
    return session.changed(first, session.change(bench, v, Edit((Lever(v.parts[0].component),))))


def page_of(context: Context, v: Visit, pressed: bool = False, **changes: object) -> BringBack:
    """What a page that is about this visit sends."""
    carried = json.loads(serialised(context, v)) | changes
    source = str(show_crop(v)).partition('src="')[2].partition('"')[0]
    return BringBack(state=json.dumps(carried), crop=source, pressed=pressed)


def test_an_own_picture_comes_back_from_the_crop_in_the_page(context: Context, first: Visit, own: Visit) -> None:
    outcome = bring_back(context, first, page_of(context, own))
    assert [getattr(outcome.visit, name) == getattr(own, name) for name in SAME] == [True] * len(SAME)
    assert outcome.visit.agreement is not None, "measured, too"
    assert outcome.notes == ()
    assert bring_back(context, first, page_of(context, own, pressed=True)).notes == (FORGOTTEN,)


def test_what_the_server_holds_already_is_left_as_it_is(context: Context, first: Visit, own: Visit) -> None:
    later = replace(own, step=own.step + 1)
    assert bring_back(context, later, page_of(context, own)) == Outcome(later, None)
    outcome = bring_back(context, first, page_of(context, first, key="ab" * 16))
    assert (outcome.change, outcome.visit.key) == (None, "ab" * 16)


@pytest.mark.parametrize("name", [OTHER, "pagoda-watermark"])
@pytest.mark.parametrize("setup", ["bundled", "tiny"])
def test_an_example_is_rebuilt_at_once_and_the_press_counts(
    context: Context, request: pytest.FixtureRequest, first: Visit, state: VisitState, name: str, setup: str
) -> None:
    """Rendered or a photograph, whichever setup is asked of it: the picture stays where the setup is changed."""
    held = first
    first = first if setup == "bundled" else request.getfixturevalue("tiny")
    bench, example = context.bench(first), context.example_named(name)
    assert example is not None
    there = session.changed(first, session.after(first, image_tab.start_with(bench, example, first.templates)))
    there = session.changed(there, session.change(bench, there, Edit((Lever(3),))))
    found = state.visit(context, held, serialised(context, there))
    assert found is not None
    assert all(getattr(found, part) == getattr(there, part) for part in SAME)
    pressed = press.press(context, found, PressComponent(component=5, action="suppress", on=True))
    assert isinstance(pressed, Visit)
    assert [lever.component for lever in pressed.edit.levers] == [3, 5]
    assert pressed.subject.example == name


def test_an_older_visit_of_the_same_page_is_another_server_s_past(
    context: Context, first: Visit, state: VisitState
) -> None:
    bench = context.bench(first)
    one = session.changed(first, session.change(bench, first, Edit((Lever(3),))))
    two = session.changed(one, session.change(bench, one, Edit((Lever(3), Lever(5)))))
    found = state.visit(context, one, serialised(context, two))
    assert found is not None
    assert (found.edit, found.step) == (two.edit, 2)
    assert state.visit(context, two, serialised(context, one)) is two, "two presses were on their way at once"


def test_an_own_picture_is_not_guessed(context: Context, first: Visit, own: Visit, state: VisitState) -> None:
    assert state.visit(context, first, serialised(context, own)) is None
    assert state.visit(context, own, serialised(context, own)) is own


@pytest.mark.parametrize("crop", ["", "data:image/webp;base64,", "data:image/webp;base64,AAAA", "\ud800", "another"])
def test_a_picture_that_is_nowhere_has_to_be_brought_again(
    context: Context, first: Visit, own: Visit, crop: str
) -> None:
    if crop == "another":
        other = replace(own, trace=first.trace)
        crop = page_of(context, other).crop
    outcome = bring_back(context, first, page_of(context, own).model_copy(update={"crop": crop}))
    v = outcome.visit
    assert outcome.notes == (BRING_IT_AGAIN,)
    assert v.subject == first.subject
    assert (v.classes, v.truth, v.target, v.edit) == (own.classes, own.truth, own.target, own.edit)
    assert v.awaited == content_hash(own.trace.crop)
    example = context.example_named(OTHER)
    assert example is not None
    again = image_tab.bring(context, v, str(example.file()), "\n".join(v.classes), "single", "").visit
    assert again.trace == own.trace
    assert (again.target, again.edit, again.truth) == (own.target, own.edit, own.truth)
    another = image_tab.bring(context, v, str(context.examples[2].file()), "dog\ncat", "single", "").visit
    assert another.edit == Edit()


def test_until_then_a_published_setup_shows_a_photograph(context: Context, tiny: Visit) -> None:
    bench = context.bench(tiny)
    subject = Subject("Your picture", photograph=True)
    own = session.start(bench, np.zeros((9, 9), np.uint8), subject, ("horse", "frog"), TEMPLATES["single"], None)
    outcome = bring_back(context, tiny, page_of(context, session.changed(tiny, own)).model_copy(update={"crop": ""}))
    assert outcome.notes == (BRING_IT_AGAIN,)
    assert outcome.visit.subject.example == context.gallery(bench.card)[0].name == "coffee-note-ipod"


def test_where_a_setup_is_gone_another_answers_and_says_so(context: Context, first: Visit, own: Visit) -> None:
    for name in ("lost", "never heard of"):
        outcome = bring_back(context, first, page_of(context, own, setup=name))
        v = outcome.visit
        assert (v.setup, v.classes, v.edit) == (first.setup, own.classes, Edit())
        assert v.trace == own.trace, "the same picture"
        assert len(outcome.notes) == 2
        assert outcome.notes[1] == LEFT_BEHIND
        assert outcome.notes[0].endswith(f"cannot be had now: {context.card(first).title} answers instead.")


def test_levers_that_are_not_there_stay_behind(context: Context, first: Visit, own: Visit) -> None:
    asked = page_of(context, own, edit={"levers": [{"component": 10**6}]}, component=10**6)
    outcome = bring_back(context, first, asked)
    assert outcome.visit.trace == own.trace
    assert outcome.visit.edit == Edit()
    assert outcome.notes == (LEFT_BEHIND,)


def test_what_is_forged_is_a_sentence(context: Context, first: Visit, own: Visit) -> None:
    for text in ("", "null", "{}", "\ud800"):
        with pytest.raises(UserError, match="Reload the page"):
            bring_back(context, first, page_of(context, own).model_copy(update={"state": text}))


def test_the_crop_of_an_example_is_not_sent(context: Context, first: Visit, own: Visit) -> None:
    assert show_crop(first) == ""
    assert len(show_crop(own)) > 1000


def test_what_was_chosen_and_typed_follows_from_the_visit(context: Context, first: Visit, own: Visit) -> None:
    with gr.Blocks():
        tab = image_tab.build(context, first)
    wordings = replace(own, templates=("a {}", "the {}"))
    shown: dict[Block, object] = {one.part: one.show(context, first, wordings) for one in image_tab.asked_again(tab)}
    assert shown[tab.classes] == "horse\nfrog\nsheep"
    assert shown[tab.wording] == "own"
    assert shown[tab.upload] is None
    assert shown[tab.own]._constructor_args[0] == {"value": "a {}\nthe {}", "visible": True}  # type: ignore[attr-defined]
    for name in ("single", "ensemble"):
        usual = replace(own, templates=TEMPLATES[name])
        assert {one.part: one.show(context, first, usual) for one in image_tab.asked_again(tab)}[tab.wording] == name


@pytest.mark.parametrize("side", [96, 224, 336])
def test_every_pixel_of_the_crop_comes_back(context: Context, own: Visit, side: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    asked = page_of(context, replace(own, trace=replace(own.trace, crop=noise)))
    assert np.array_equal(np.asarray(read_picture(asked.picture())), noise)


def test_a_visit_that_is_kept_is_not_written_out(first: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    with gr.Blocks() as page:
        kept = keep(first)
    monkeypatch.setattr("dataclasses.asdict", None)
    state = SessionState(page)
    assert state[kept._id] == first
    state[kept._id] = replace(first, step=5)
    assert state[kept._id].step == 5
    assert SessionState(page)[kept._id] == first
    assert not page.fns, "nothing is asked for it"


def test_an_answer_that_was_asked_for_twice_takes_nothing_back(context: Context, first: Visit) -> None:
    """A page that waited long asked again for what a link says: what was done since the first answer stays."""
    asked = page_of(context, first).model_copy(update={"link": "suppress=7", "moment": 12.5})
    opened = once(context, first, asked).visit
    assert [lever.component for lever in opened.edit.levers] == [7]
    later = session.changed(opened, session.change(context.bench(first), opened, Edit((Lever(3),))))
    assert once(context, later, asked) == Outcome(later, None)
    anew = once(context, later, asked.model_copy(update={"moment": 99.0}))
    assert anew.visit.edit == opened.edit
