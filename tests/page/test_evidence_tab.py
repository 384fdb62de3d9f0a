"""The Evidence tab: part by part, in sight alone, and never about a state that is over."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.methods.steering import Edit
from core.page.compare_tab import show_heatmaps
from core.page.context import Context
from core.page.evidence_tab import (
    NAME,
    Drawing,
    EvidenceParts,
    EvidenceTab,
    UploadedFile,
    _as_list,
    ask_about_own_counterfactual,
    evidence,
    follow,
    lend,
    show_chosen_dose,
    show_counterfactual,
)
from core.page.side_panel import switch_counterfactual
from core.page.wire import OpenTab, ShowCounterfactual
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
    assert "Through the reconstruction alone" in parts["reconstruction_error"]
    assert "Really without it, the model says “dog”" in parts["counterfactual"]


def test_what_answers_quickly_comes_first(context: Context, pulled: Visit) -> None:
    steps = list(evidence(context, pulled))
    last: EvidenceParts = {}
    for step in steps:
        last |= step
    assert "Trying random edits" in steps[0]["said_chance"]
    assert "Beyond chance" in last["summary"]
    assert "Rose most" in last["side_effects"]
    assert "95 % interval" in last["generalization"]
    order = [next(k for k, step in enumerate(steps) if step.get(name)) for name in ("chance", "dose", "generalization")]
    assert order == sorted(order)
    assert last["which"] == ["all levers together"]
    again = show_chosen_dose(context, pulled, last["responses"], 0)
    assert again["said_dose"] == last["said_dose"]


def test_it_is_worked_out_once(context: Context, first: Visit) -> None:
    steps = list(follow(context, first, here(), None, LatestOnly()))
    assert steps[0] == {"told_about": None}
    about = steps[-1]["told_about"]
    assert about is not None
    assert list(follow(context, first, here(), about, LatestOnly())) == []
    other = session.change(context.bench(first), first, Edit())
    assert list(follow(context, other, here(), about, LatestOnly())), "another state is told of anew"


def test_another_question_ends_it_and_nothing_is_told_out_of_sight(context: Context, pulled: Visit) -> None:
    latest = LatestOnly[None]()
    asked = follow(context, pulled, here(5.0), None, latest)
    next(asked), next(asked)
    assert list(follow(context, pulled, OpenTab(tab="Steering", moment=6.0), None, latest)) == []
    assert list(asked) == []
    assert list(follow(context, pulled, here(4.0), None, latest)) == [], "what was asked for earlier comes too late"


def test_when_the_cue_is_really_gone(context: Context, first: Visit) -> None:
    assert ceiling_words(context.reports["bundled"], "note") in show_counterfactual(context, first)
    without = switch_counterfactual(context, first, ShowCounterfactual(on=True))
    assert "This is the picture without its cue" in show_counterfactual(context, without)


def test_the_cue_taken_away_by_hand(context: Context, first: Visit, tmp_path: Path) -> None:
    canvas = lend(context, first, None)
    assert canvas.dtype == np.uint8
    assert max(canvas.shape) <= 640
    Image.fromarray(canvas).save(tmp_path / "composite.png")

    def drawing(composite: str) -> Drawing:
        return Drawing(composite=UploadedFile(path=str(tmp_path / composite)))

    told = ask_about_own_counterfactual(context, first, drawing("composite.png"))
    assert "Really without it, the model says “cat”" in told, "untouched, it is the same picture"
    for nothing in (None, Drawing(composite=None)):
        assert "no picture above yet" in ask_about_own_counterfactual(context, first, nothing)
    Image.new("1", (5001, 5001)).save(tmp_path / "large.png")
    for wrong, words in (("large.png", "too many megapixels"), ("gone.png", "cannot be opened")):
        assert words in ask_about_own_counterfactual(context, first, drawing(wrong))


def test_heatmaps_before_and_after(context: Context, first: Visit, pulled: Visit) -> None:
    assert "Before" in show_heatmaps(context, pulled)
    assert show_heatmaps(context, pulled) != show_heatmaps(context, first)


def test_a_list_of_no_doses_has_no_choice() -> None:
    """Before there is evidence the list is empty; a choice in it would be warned of in the log at every opening."""
    assert _as_list([]).value is None
    assert _as_list(["all", "one"]).value == 0
