"""The condition box: what is promised is the workbench's own, and the condition that was found is put on the edit."""

import html
import json
import re
from dataclasses import replace

import pytest

from core.errors import UserError
from core.methods.conditions import Promise
from core.methods.picture_set import PictureSet
from core.methods.steering import Condition, Edit, Term
from core.model.prompts import TEMPLATES
from core.page.condition_box import find, use_condition
from core.page.context import Context
from core.page.picture_sets import halt
from core.page.wire import UseCondition
from core.session import visit as session
from core.session.cancellation import LatestOnly
from core.session.many_pictures import OWN, OwnPictures
from core.session.visit import Visit
from core.views import evidence, steering
from core.views.frame import stopped
from core.views.many import edit_words
from core.views.prediction import prediction


@pytest.fixture(scope="module")
def pulled(context: Context, first: Visit) -> Visit:
    """A family that repairs 14 of the 300 scenes and breaks 3."""
    return session.press(context.bench(first), first, 36, "family", True)


def found(context: Context, v: Visit, rate: float | None = 6, terms: float | None = 3) -> str:
    *_, last = find(context, v, rate, terms, OwnPictures(), LatestOnly())
    return last["promise"]


def test_a_condition_is_found_and_used(context: Context, pulled: Visit) -> None:
    bench = context.bench(pulled)
    *_, scenes = bench.references()
    assert isinstance(scenes, PictureSet)
    *_, promise = bench.find_condition(scenes, pulled.edit, TEMPLATES["single"], 3, 0.06)
    assert isinstance(promise, Promise)
    assert promise.choice.condition is not None
    told = found(context, pulled)
    assert promise.said("300 scenes rendered by this project; 40 classes") in html.unescape(told)
    messages = [json.loads(html.unescape(one)) for one in re.findall('data-condition="([^"]*)"', told)]
    use, leave = (UseCondition.read(json.dumps(one)) for one in messages)
    v = use_condition(context, pulled, use)
    assert v.edit.condition == promise.choice.condition, "to the last digit"
    assert v.edit.levers == pulled.edit.levers
    assert use_condition(context, v, leave).edit == pulled.edit
    for term in promise.choice.condition.terms:
        assert f'data-component="{term.component}" data-action="open"' in told


def test_a_search_is_stopped(context: Context, pulled: Visit) -> None:
    stops = LatestOnly[None]()
    search = find(context, pulled, 6, 3, OwnPictures(), stops)
    assert "data-halt" in next(search)["promise"]
    halt(context, pulled, stops)
    assert list(search) == [{"promise": stopped()}]


def test_too_few_pictures_promise_nothing_and_it_says_how_many_would(context: Context, pulled: Visit) -> None:
    told = found(context, pulled, 0.5)
    assert "nothing can be promised" in told
    assert "data-condition" not in told


def test_what_cannot_be_asked_is_said(context: Context, first: Visit, pulled: Visit) -> None:
    assert "no lever yet" in found(context, first)
    for terms in (None, 0, 65):
        assert "from 1 to 64 components" in found(context, pulled, terms=terms)
    for rate in (None, 0, 100, -3):
        told = found(context, pulled, rate)
        assert "how many percent" in told
        assert "more than 0 and less than 100" in told, "in the unit that is asked for"
    own = replace(pulled, many=replace(pulled.many, which=OWN))
    assert "Bring them again" in found(context, own)
    with pytest.raises(UserError, match="no component"):
        use_condition(context, pulled, UseCondition(terms=((10**6, 1.0),), at_least=0.0))


def test_an_edit_that_needs_no_condition_is_told_as_one_without_and_a_press_takes_it_off(
    context: Context, pulled: Visit
) -> None:
    """A condition that holds everywhere is none; the one that the edit has, from before, can go."""
    gated = use_condition(context, pulled, UseCondition(terms=((0, 1.0),), at_least=0.0))
    for v in (pulled, gated):
        told = html.unescape(found(context, v, 50))
        assert "Needs no condition: as it is, it breaks at most 50 %" in told
        assert "Use this condition" not in told
        assert ("No condition</button>" in told) == (v is gated)


def test_a_condition_is_told_with_the_edit(first: Visit, context: Context) -> None:
    """On every tab, and a weight that is small beside the others is not told as none."""
    edit = Edit(Edit.of_suppressed([99]).levers, None, Condition((Term(99, 1.0), Term(7, -0.0025)), -0.5))
    v = session.change(context.bench(first), first, edit)
    told = "only in pictures where 1 × #99 − 0.0025 × #7 ≥ −0.5, each by the token where it fires most"
    assert edit_words(v) == f"suppress #99, {told}"
    assert evidence.edit_words(v, "").endswith(f", {told}</p>")
    assert f": it acts {told}." in steering.levers(v)
    assert "only in some pictures" in prediction(v)
    assert "only in" not in evidence.edit_words(first, "") + steering.levers(first)


def test_a_condition_is_taken_off_beside_the_picture(first: Visit, context: Context) -> None:
    edit = Edit(Edit.of_suppressed([99]).levers, None, Condition((Term(99),), 0.5))
    v = session.change(context.bench(first), first, edit)
    (message,) = re.findall("data-condition='([^']*)'", prediction(v))
    v = use_condition(context, v, UseCondition.read(message))
    assert v.edit == Edit.of_suppressed([99])
    assert "data-condition" not in prediction(v)


def test_every_threshold_is_drawn_with_what_it_does(context: Context, pulled: Visit) -> None:
    """The numbers told are those of the curves, and the one that stands there is the threshold that was taken."""
    bench = context.bench(pulled)
    *_, scenes = bench.references()
    assert isinstance(scenes, PictureSet)
    *_, promise = bench.find_condition(scenes, pulled.edit, TEMPLATES["single"], 3, 0.06)
    assert isinstance(promise, Promise)
    curves, condition = promise.curves, promise.choice.condition
    assert curves is not None
    assert condition is not None
    told = html.unescape(found(context, pulled))
    said = json.loads(re.findall("data-said='([^']*)'", told)[0])
    assert said[0] == "It never acts."
    assert len(said) == 1 + len(curves.choice.at_least)
    for part, counts in ((curves.choice, promise.chosen_on), (curves.judging, promise.judged_on)):
        k = part.at_least.tolist().index(condition.at_least)
        assert (part.acts[k], part.fixed[k], part.broken[k]) == (counts.acts, counts.fixed, counts.broken)
        numbers = f"repairs {counts.fixed} of {counts.wrong}", f"breaks {counts.broken} of {counts.right}"
        assert all(one in said[k + 1] for one in numbers)
    standing = re.findall('value="([0-9]+)" aria-label="Threshold', told)
    assert said[int(standing[0])] in re.findall('<p class="told at">([^<]*)</p>', told)
    allowed = f"none of {promise.chosen_on.right} right pictures"
    assert curves.allowed == 0
    assert allowed in told
    after = curves.choice.broken[k + 1 :]
    assert promise.chosen_on.broken <= curves.allowed < after[0], "the next threshold breaks too many"
    assert promise.found_on + promise.chosen_on.pictures + promise.judged_on.pictures == len(scenes)
