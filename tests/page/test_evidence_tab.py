"""The Evidence tab: part by part, in sight alone, and never about a state that is over."""

import html
import re
from collections.abc import Hashable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from plain_text import plain

from core.errors import UserError
from core.methods.steering import Edit, Lever
from core.page.context import Context
from core.page.evidence_tab import (
    NAME,
    Drawing,
    EvidenceParts,
    EvidenceTab,
    UploadedFile,
    ask_about_own_counterfactual,
    drag,
    evidence,
    follow,
    lend,
    show_counterfactual,
)
from core.page.side_panel import switch_counterfactual
from core.page.wire import EditMessage, LeverMessage, OpenTab, ShowCounterfactual
from core.session import visit as session
from core.session.cancellation import LatestOnly
from core.session.visit import Visit
from core.views.report_words import ceiling_words


def here(moment: float = 1.0) -> OpenTab:
    return OpenTab(tab=NAME, moment=moment)


@pytest.fixture(scope="module")
def pulled(context: Context, first: Visit) -> Visit:
    return session.change(context.bench(first), first, Edit.of_suppressed([99]))


def test_every_part_has_a_place() -> None:
    assert EvidenceParts.__annotations__.keys() <= EvidenceTab.__annotations__.keys()


def test_without_an_edit_it_says_so_and_what_the_sae_misses(context: Context, first: Visit) -> None:
    (parts,) = evidence(context, first)
    assert "No lever yet" in parts["summary"]
    assert "Of the reconstruction alone" in parts["reconstruction_error"]
    for name in ("effect", "chance", "side_effects", "generalization"):
        assert "data-answer" not in str(parts[name]), "there is nothing to unfold"
    assert "Without the note, the model says “dog”" in parts["counterfactual"]


def test_what_answers_quickly_comes_first(context: Context, pulled: Visit) -> None:
    steps = list(evidence(context, pulled))
    last: EvidenceParts = {}
    for step in steps:
        last |= step
    assert "suppress #99" in steps[0]["summary"]
    assert "flips to “dog”" in steps[0]["effect"], "that is known already"
    for name in ("chance", "side_effects", "generalization"):
        assert "…" in str(steps[0][name]), "each says that it is being worked out"
    assert "Trying random edits" in steps[0]["chance"]
    assert "Beyond chance" in last["chance"]
    assert "Rose most" in last["side_effects"]
    assert "95 % interval" in last["generalization"]
    words = {"chance": "Beyond chance", "doses": "handle", "side_effects": "Rose", "generalization": "McNemar"}
    order = [next(k for k, step in enumerate(steps) if said in str(step.get(name))) for name, said in words.items()]
    assert order == sorted(order)
    assert len(set(order)) == len(order), "part by part"


def test_it_is_worked_out_once(context: Context, first: Visit) -> None:
    steps = list(follow(context, first, here(), None, None, LatestOnly()))
    assert steps[0] == {"told_about": None}
    about = steps[-1]["told_about"]
    assert about is not None
    assert list(follow(context, first, here(), about, None, LatestOnly())) == []
    other = session.change(context.bench(first), first, Edit())
    assert list(follow(context, other, here(), about, None, LatestOnly())), "another state is told of anew"


def test_another_question_ends_it_and_nothing_is_told_out_of_sight(context: Context, pulled: Visit) -> None:
    latest = LatestOnly[None]()
    asked = follow(context, pulled, here(5.0), None, None, latest)
    next(asked), next(asked)
    assert list(follow(context, pulled, OpenTab(tab="Steering", moment=6.0), None, None, latest)) == []
    assert list(asked) == []
    assert list(follow(context, pulled, here(4.0), None, None, latest)) == [], (
        "what was asked for earlier comes too late"
    )


def test_when_the_cue_is_really_gone(context: Context, first: Visit) -> None:
    assert ceiling_words(context.reports["bundled"], "note") in show_counterfactual(context, first)
    without = switch_counterfactual(context, first, ShowCounterfactual(on=True))
    assert "This is the picture without its cue" in plain(show_counterfactual(context, without))


def test_the_cue_taken_away_by_hand(context: Context, first: Visit, tmp_path: Path) -> None:
    canvas = lend(context, first, None)
    assert canvas.dtype == np.uint8
    assert max(canvas.shape) <= 640
    Image.fromarray(canvas).save(tmp_path / "composite.png")

    def drawing(composite: str) -> Drawing:
        return Drawing(composite=UploadedFile(path=str(tmp_path / composite)))

    told = ask_about_own_counterfactual(context, first, drawing("composite.png"))
    assert "As you changed it, the model says “cat”" in told, "untouched, it is the same picture"
    for nothing in (None, Drawing(composite=None)):
        assert "no picture above yet" in ask_about_own_counterfactual(context, first, nothing)
    Image.new("1", (5001, 5001)).save(tmp_path / "large.png")
    for wrong, words in (("large.png", "too many megapixels"), ("gone.png", "cannot be opened")):
        assert words in ask_about_own_counterfactual(context, first, drawing(wrong))


def dragged(v: Visit, strength: float, moment: float, gesture: float = 1.0, component: int = 99) -> EditMessage:
    lever = LeverMessage(component=component, operation="scale", strength=strength, family=None, at_least=None)
    return EditMessage(revision=v.revision, moment=moment, gesture=gesture, levers=(lever,))


def test_a_lever_is_dragged_along_its_doses(context: Context, first: Visit) -> None:
    """What was suppressed is scaled from then on; other levers, and the tokens they act on, stay."""
    edit = Edit.of_suppressed([99, 36]).among((0, 1, 2))
    v = session.change(context.bench(first), first, edit)
    for k, strength in enumerate((0.1, 0.5, 2.0), 1):
        v = drag(context, v, dragged(v, strength, k))
    assert v.edit == Edit((Lever(99, "scale", 2.0), Lever(36)), (0, 1, 2))
    assert session.undo(context.bench(v), v).edit == edit, "one drag is one step of undo"
    assert drag(context, v, dragged(v, 3.0, 3.0)) is v, "late"
    assert drag(context, v, dragged(v, 3.0, 9.0).model_copy(update={"revision": v.revision - 1})) is v, "outdated"
    gone = drag(context, v, dragged(v, 3.0, 9.0, component=7))
    assert gone.edit == v.edit, "it has no lever any more"
    with pytest.raises(UserError, match="cannot be used"):
        drag(context, v, dragged(v, 1e9, 10.0))


def test_a_family_is_dragged_as_one(context: Context, first: Visit) -> None:
    bench = context.bench(first)
    v = session.press(bench, first, 99, "family", True)
    (family,) = v.edit.groups()
    assert len(family) > 1
    message = EditMessage.of(v)
    levers = tuple(one.model_copy(update={"operation": "scale", "strength": 1.5}) for one in message.levers)
    v = drag(context, v, message.model_copy(update={"levers": levers, "moment": 1.0, "gesture": 1.0}))
    assert {(lever.operation, lever.strength, lever.family) for lever in v.edit.levers} == {("scale", 1.5, 99)}


def test_the_doses_stay_while_a_lever_is_dragged_along_them(context: Context, pulled: Visit) -> None:
    def shown(v: Visit, doses_about: Hashable) -> EvidenceParts:
        last: EvidenceParts = {}
        for step in evidence(context, v, doses_about):
            last |= step
        return last

    before = shown(pulled, None)
    moved = drag(context, pulled, dragged(pulled, 0.5, 1.0))
    after = shown(moved, before["doses_about"])
    assert after.keys() == before.keys() - {"doses", "doses_about"}
    (message,) = re.findall('data-message="([^"]*)"', after["summary"])
    told = EditMessage.read(html.unescape(message))
    assert (told.levers[0].strength, told.moment) == (0.5, 1.0), "the handles learn of it, and which move that was"
    other = session.change(context.bench(pulled), pulled, Edit.of_suppressed([36]))
    assert "#36" in shown(other, before["doses_about"])["doses"]
