"""A thousand classes on the page: put into the box, read step by step or stopped, and what a press sends of them."""

import json
from dataclasses import replace
from itertools import islice, product
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from core.methods.steering import Edit
from core.model.class_lists import lines_of
from core.model.prompts import TEMPLATES
from core.page.attribution_tab import AttributionTab
from core.page.attribution_tab import redraws as attribution_redraws
from core.page.compare_tab import find
from core.page.context import Context
from core.page.image_tab import (
    NOT_YET,
    Wording,
    ask,
    bring,
    put_back,
    put_file,
    put_list,
    read_those,
    show_reading,
    show_unknown_words,
)
from core.page.keeper import bring_back
from core.page.open_link import open_link
from core.page.replies import Change, Outcome
from core.page.setup_bar import ONE_WORDING, use
from core.page.side_panel import show_prediction
from core.page.visit_state import VisitState, query_of, serialised
from core.page.wire import BringBack, FindClass
from core.session import visit as session
from core.session.cancellation import LatestOnly
from core.session.links import from_query
from core.session.view_state import ViewState, state_of
from core.session.visit import Visit
from core.views import compare

CAT = Path(__file__).parents[2] / "assets" / "examples" / "photo-cat.webp"
LIST, NAMES = "list:imagenet-1k", lines_of("imagenet-1k")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def thousand(begins: str) -> str:
    return "\n".join(f"{begins} {''.join(three)}" for three in islice(product(LETTERS, repeat=3), 1000))


@pytest.fixture(scope="module")
def listed(context: Context, first: Visit) -> Visit:
    """The first example, asked about ImageNet's names and one more."""
    return ask(context, first, f"{LIST}\ndog", "single", "", "dog").visit


# ---- the box


def test_a_list_goes_into_the_box_and_what_was_typed_can_be_put_back(context: Context, first: Visit) -> None:
    filled = put_list(context, first, "dog\nzeb", "")
    assert (filled["classes"], filled["before"], filled["back"]) == (LIST, "dog\nzeb", True)
    assert "998 names" in filled["said"]
    again = put_list(context, first, LIST, "dog\nzeb")
    assert (again["classes"], again["before"]) == (LIST, "dog\nzeb"), "pressed twice, nothing is lost"
    back = put_back(context, first, filled["classes"], filled["before"])
    assert (back["classes"], back["before"], back["back"]) == ("dog\nzeb", LIST, True)


def test_a_file_fills_the_box_or_leaves_it(context: Context, first: Visit, tmp_path: Path) -> None:
    good, bad = tmp_path / "my names.csv", tmp_path / "picture.txt"
    good.write_text("id,label\n1,dog\n2,zebra crossing\n", encoding="utf-8")
    bad.write_bytes(b"\x89PNG\0")
    filled = put_file(context, first, str(good), "typed", "")
    assert (filled["classes"], filled["before"], filled["back"]) == ("dog\nzebra crossing", "typed", True)
    assert "my names.csv: 2 classes." in filled["said"]
    stays = put_file(context, first, str(bad), "typed", "before")
    assert (stays["classes"], stays["before"], stays["back"]) == ("typed", "before", True)
    assert "The file picture.txt is no text" in stays["said"]
    for gone in (None, str(tmp_path / "gone.txt")):
        assert "Bring it again" in put_file(context, first, gone, "typed", "")["said"]


# ---- reading


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CLIP so large that nothing is read at once."""
    monkeypatch.setattr("core.workbench.AT_ONCE", 0)
    monkeypatch.setattr("core.page.image_tab.TOLD_EVERY", 0)


@pytest.mark.usefixtures("slowly")
def test_what_takes_long_is_read_first_and_asked_about_then(context: Context, first: Visit) -> None:
    asked: tuple[str, Wording, str] = thousand("first"), "single", ""
    waits = ask(context, first, *asked, None)
    assert (waits.visit, waits.change) == (first, None)
    assert "data-begin" in str(show_reading(context, first, *asked)), "the page asks for the reading, by this"
    told = [str(parts["reading"]) for parts in read_those(context, first, *asked, LatestOnly())]
    assert 'max="1000" value="128"' in told[0]
    assert "data-halt" in told[0]
    assert told[-1] == ""
    assert show_reading(context, first, *asked) == ""
    assert len(ask(context, first, *asked, None).visit.classes) == 1000


@pytest.mark.usefixtures("slowly")
def test_a_reading_is_stopped_and_goes_on_from_there(context: Context, first: Visit) -> None:
    asked: tuple[str, Wording, str] = thousand("second"), "single", ""
    latest: LatestOnly[None] = LatestOnly()
    reading = read_those(context, first, *asked, latest)
    next(reading)
    latest.begin()  # as the button does
    (end,) = reading
    assert "Stopped at 256 of 1,000 texts" in end["reading"]
    assert ask(context, first, *asked, None).visit is first
    again = read_those(context, first, *asked, latest)
    assert 'value="384"' in next(again)["reading"]


def test_what_cannot_be_read_gets_a_sentence(context: Context, first: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    assert show_reading(context, first, " ", "single", "") == "", "the answer itself says what is wrong"
    monkeypatch.setattr("core.workbench.MOST_TEXT_WORK", 1)
    (told,) = read_those(context, first, thousand("third"), "openai-80", "", LatestOnly())
    assert "80,000 texts: minutes of this CLIP, here" in told["reading"]


@pytest.mark.usefixtures("slowly")
def test_a_picture_is_not_kept_waiting_for_classes(context: Context, first: Visit) -> None:
    brought = bring(context, first, str(CAT), thousand("fourth"), "single", "")
    assert (brought.visit.classes, brought.notes) == (first.classes, (NOT_YET,))


def test_where_nothing_tells_how_far_it_is_one_wording_is_read(
    context: Context, first: Visit, tiny: Visit, listed: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another setup, and a link."""
    monkeypatch.setattr("core.model.clip.MAX_TEXT_WORK", 1e9)
    moved = use(context, replace(listed, templates=TEMPLATES["openai-80"]), tiny.setup, None, None)
    assert isinstance(moved, Outcome)
    assert (moved.visit.setup, moved.visit.classes) == ("tiny", listed.classes)
    assert (moved.visit.templates, moved.notes[-1]) == (TEMPLATES["single"], ONE_WORDING)
    link, said = from_query(f"example=dog-note-cat&classes={LIST}&wording=openai-80&truth=")
    assert not said
    told = BringBack(state=serialised(context, first), crop="", pressed=False)
    opened = open_link(context, first, told, link)
    assert (opened.visit.classes, opened.visit.templates) == (NAMES, TEMPLATES["single"])
    assert opened.notes == (ONE_WORDING,)


# ---- what is shown and sent


def test_the_page_carries_a_list_by_its_name(context: Context, listed: Visit) -> None:
    assert listed.classes == (*NAMES, "dog")
    state = state_of(context.bench(listed), listed)
    text = serialised(context, listed)
    assert len(text) < 1000
    assert ViewState.parsed(text) == state
    assert f"classes={LIST},dog&" in query_of(state)


def test_a_press_sends_little_of_a_thousand_classes(context: Context, first: Visit, listed: Visit) -> None:
    def sent(v: Visit) -> int:
        v = session.change(context.bench(v), v, Edit.of_suppressed([99]))
        state, _ = state_of(context.bench(v), v).apart()
        return sum(map(len, (show_prediction(context, v), compare.chart(v), compare.table(v), state.serialised())))

    assert sent(listed) < sent(first) + 9_000
    assert sent(ask(context, first, thousand("sent"), "single", "", None).visit) < sent(listed) + 1_000


def test_long_classes_are_sent_once_and_stand_beside_what_the_page_carries(context: Context, first: Visit) -> None:
    own = ask(context, first, thousand("beside"), "single", "", None).visit
    own = session.changed(first, own)
    place = VisitState(gr.State(), gr.HTML())
    told = place.kept_as(context, own)[place.carried]
    state = ViewState.parsed(told["value"])
    assert not state.is_whole
    assert told["query"] == "", "no address holds them"
    assert json.loads(told["names"]) == {state.classes[0]: list(own.classes)}
    assert "names" not in place.kept_as(context, own, told["value"])[place.carried], "it has them"
    other = ask(context, first, thousand("others"), "single", "", None).visit
    assert "names" in place.kept_as(context, other, told["value"])[place.carried]
    assert place.visit(context, own, told["value"]) == own
    assert place.visit(context, first, told["value"]) is None, "the page is to bring them, with all else"
    classes = json.loads(told["names"])[state.classes[0]]  # as keeper.js does
    asked = BringBack(state=json.dumps(json.loads(told["value"]) | {"classes": classes}), crop="", pressed=False)
    back = bring_back(context, first, asked).visit
    assert (back.classes, back.key, back.step) == (own.classes, own.key, own.step)


def test_another_target_sends_no_list_of_classes(context: Context, listed: Visit) -> None:
    tab = AttributionTab(*AttributionTab.__annotations__)  # type: ignore[arg-type]
    for part in ("wanted", "against"):
        shown: dict[Change, Any] = {
            one.since: one.show(context, listed) for one in attribution_redraws(tab) if str(one.part) == part
        }
        assert "choices" not in shown[Change.TARGET]
        assert len(shown[Change.CLASSES]["choices"]) >= 999
        assert shown[Change.CLASSES]["value"] == shown[Change.TARGET]["value"]


def test_a_class_is_found(context: Context, listed: Visit) -> None:
    assert find(context, listed, FindClass(words="crane")).count("<tr>") == 3
    assert find(context, listed, FindClass(words=" ")) == ""


def test_a_model_that_knows_few_words_says_so_shortly(context: Context, listed: Visit) -> None:
    said = show_unknown_words(context, listed)
    assert "more classes" in said
    assert len(said) < 3000
