"""The side panel: what the page is told of a picture, the twin of a scene, patches that are painted, undo."""

import json
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from core.methods.steering import Edit, Lever
from core.page.context import Context
from core.page.image_tab import bring
from core.page.replies import Outcome
from core.page.side_panel import (
    choose_patches,
    show_about,
    show_after,
    show_canvas,
    show_prediction,
    step,
    switch_counterfactual,
)
from core.page.wire import ChoosePatches, HistoryStep, ShowCounterfactual
from core.session import visit as session
from core.session.visit import Visit

NOTE = 99
"""A component that reads the note."""
CAT = Path(__file__).parents[2] / "assets" / "examples" / "photo-cat.webp"


@pytest.fixture
def pulled(context: Context, first: Visit) -> Visit:
    return session.change(context.bench(first), first, Edit.of_suppressed([NOTE]))


def told(drawn: str, name: str) -> Any:
    """What a view says in an attribute."""
    return json.loads(unescape(drawn.split(f"{name}='")[1].split("'")[0]))


def test_the_page_is_told_where_everything_fires(context: Context, first: Visit, tiny: Visit) -> None:
    maps = told(show_canvas(context, first), "data-maps")
    activations, parts = first.trace.activations, [str(part.component) for part in first.parts]
    assert list(maps["maps"])[: len(parts)] == parts
    assert set(maps["labels"]) <= {str(j) for j in activations.components().tolist()}
    assert (maps["pages"], maps["target"]) == (True, "“cat” against “dog”")
    assert maps["before"]["value"] == pytest.approx(first.attribution.value, abs=1e-3)
    assert len(maps["firing"]) == len(maps["tokens"]) == len(maps["before"]["tokens"]) == activations.n_tokens
    places = sum(len(flat) for flat in (*maps["maps"].values(), *maps["tokens"])) / 3
    assert places <= sum(maps["firing"]) == len(activations.token)
    bare = told(show_canvas(context, tiny), "data-maps")
    assert (bare["pages"], bare["labels"]) == (False, {})


def test_a_lever_moves_the_prediction_and_not_the_canvas(context: Context, first: Visit, pulled: Visit) -> None:
    assert show_canvas(context, pulled) == show_canvas(context, first)
    assert show_prediction(context, pulled) != show_prediction(context, first)


def test_the_target_after_the_edit_says_of_what_it_is(context: Context, first: Visit, pulled: Visit) -> None:
    after = json.loads(show_after(context, pulled))
    assert f'data-digest="{after["of"]}"' in show_prediction(context, pulled)
    assert f'data-digest="{after["of"]}"' not in show_prediction(context, first)
    change, (wanted, against) = pulled.comparison.logit_change, first.target.classes
    expected = first.attribution.value + change[wanted] - change[against]
    assert after["value"] == pytest.approx(expected, abs=1e-2)
    assert after["tokens"] != json.loads(show_after(context, first))["tokens"]


def test_patches_keep_the_levers(context: Context, pulled: Visit) -> None:
    v = choose_patches(context, pulled, painted(pulled, 5.0, (1, 2)))
    assert isinstance(v, Visit)
    assert v.edit == Edit((Lever(NOTE),), (1, 2))
    assert "2 of 64 patches" in show_prediction(context, v)
    assert told(show_prediction(context, v), "data-patches") == {"tokens": [1, 2], "revision": 1, "heard": 5.0}
    outcome = choose_patches(context, v, painted(v, 6.0, (10_000,)))
    assert isinstance(outcome, Outcome)
    assert outcome.notes
    assert outcome.visit.edit == v.edit


def test_late_and_outdated_strokes_change_nothing(context: Context, pulled: Visit) -> None:
    v = choose_patches(context, pulled, painted(pulled, 5.0, (1,)))
    assert isinstance(v, Visit)
    assert choose_patches(context, v, painted(v, 5.0, (2,))) is v
    other = session.change(context.bench(v), v, Edit())
    assert choose_patches(context, other, painted(v, 9.0, (2,))) is other
    stroke = choose_patches(context, v, painted(v, 6.0, (1, 2)))
    assert isinstance(stroke, Visit)
    assert session.undo(context.bench(v), stroke).edit == pulled.edit, "a stroke is one step"


def painted(v: Visit, moment: float, tokens: tuple[int, ...]) -> ChoosePatches:
    return ChoosePatches(revision=v.revision, moment=moment, gesture=1.0, tokens=tokens)


def test_undo_redo_reset(context: Context, pulled: Visit) -> None:
    undone = step(context, pulled, HistoryStep(step="undo"))
    assert undone.edit == Edit()
    assert step(context, undone, HistoryStep(step="redo")).edit == pulled.edit
    reset = step(context, pulled, HistoryStep(step="reset"))
    assert reset.edit == Edit()
    assert step(context, reset, HistoryStep(step="undo")).edit == pulled.edit


def test_the_same_scene_without_its_cue_and_with_it_again(context: Context, first: Visit) -> None:
    pulled = session.change(context.bench(first), first, Edit.of_suppressed([99]))
    without = switch_counterfactual(context, pulled, ShowCounterfactual(on=True))
    assert without.subject.counterfactual
    assert without.edit == pulled.edit
    assert without.prediction.best == "dog"
    assert ">With the note<" in show_canvas(context, without)
    again = switch_counterfactual(context, without, ShowCounterfactual(on=False))
    assert again.comparison == pulled.comparison
    assert not again.subject.counterfactual
    assert show_about(context, again) == show_about(context, first) != show_about(context, without)


def test_a_picture_without_a_counterfactual_stays(context: Context, first: Visit) -> None:
    own = bring(context, first, str(CAT), "dog\ncat", "single", "").visit
    assert switch_counterfactual(context, own, ShowCounterfactual(on=True)) is own
