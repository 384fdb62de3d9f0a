"""Two at once, without a browser: what stands beside the visit is what it says it is, and linked where both have it."""

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from core.page.context import Context
from core.page.keeper import show_crop
from core.page.pair_box import show_choices, show_two
from core.page.wire import ShowTwo
from core.session import visit as session
from core.session.view_state import state_of
from core.session.visit import Subject, Visit
from core.views.pair import SHOWN, SideView, shown_components

NOTE = 99
"""A component that reads the note."""


@pytest.fixture(scope="module")
def tried(context: Context, first: Visit) -> Visit:
    return session.press(context.bench(first), first, NOTE, "suppress", True)


def asked(kind: str, name: str = "", *lines: dict[str, Any]) -> ShowTwo:
    return ShowTwo.read(json.dumps({"kind": kind, "name": name, "lines": lines, "moment": 1.5}))


def line_of(context: Context, v: Visit, crop: str = "") -> dict[str, Any]:
    return {"state": state_of(context.bench(v), v).serialised(), "crop": crop, "pressed": False}


def said(drawn: str) -> list[str]:
    """What stands at the two pictures, in a line each."""
    return [
        " ".join(re.sub("<[^>]*>", " ", one).split())
        for one in re.findall("<figcaption>(.*?)</figcaption>", drawn, re.S)
    ]


def maps(drawn: str) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(drawn.partition("data-two='")[2].partition("'")[0])
    return told


def test_an_edit_beside_none(context: Context, tried: Visit) -> None:
    """Both as their edits leave them: the component that is suppressed fires on one side alone."""
    drawn = show_two(context, tried, asked("plain"))
    a, b = said(drawn)
    assert a.startswith(f"A dog 60 % suppress #{NOTE}")
    assert b.startswith("B cat 74 % no lever")
    with_edit, without = maps(drawn)
    assert str(NOTE) in without["maps"]
    assert not any(with_edit["maps"].get(str(NOTE), [])[1::3])
    assert 'value="plain:" selected' in drawn


def test_what_is_drawn_is_what_the_model_says(context: Context, tried: Visit) -> None:
    """A component's map is its activations, and its bars are its contributions, derived from the trace."""
    bench = context.bench(tried)
    trace, attribution = session.afterwards(bench, tried)
    left, _ = maps(show_two(context, tried, asked("cue")))
    side = SideView(tried, trace, attribution, "")
    listed, again = shown_components(side, side)
    assert listed == again
    totals = {c: float(attribution.pair[trace.activations.component == c].sum(dtype=np.float64)) for c in listed}
    assert sorted(totals, key=lambda c: -abs(totals[c])) == listed
    assert len(listed) == SHOWN
    for component, flat in left["maps"].items():
        f = trace.activations.of(int(component))
        assert flat[0::3] == np.flatnonzero(f).tolist()
        np.testing.assert_allclose(flat[1::3], f[np.flatnonzero(f)], rtol=0.01)


@pytest.mark.parametrize(("kind", "name", "words"), [
    ("cue", "", "Here without the note."), ("example", "sheep-stamp", "sheep"), ("plain", "", "no lever"),
])  # fmt: skip
def test_what_can_stand_beside(context: Context, tried: Visit, kind: str, name: str, words: str) -> None:
    assert f'value="{kind}:{name}"' in show_choices(context, tried)
    drawn = show_two(context, tried, asked(kind, name))
    assert words in said(drawn)[1]
    assert "Probability of each class" in drawn
    assert "the same number means" not in drawn
    assert context.card(tried).title not in " ".join(said(drawn)), "what both share is not repeated"


def test_another_setup_has_components_of_its_own(context: Context, first: Visit, tiny: Visit) -> None:
    """The question is the same; components are listed apart, and each marks its own picture."""
    drawn = show_two(context, first, asked("setup", "tiny"))
    assert said(drawn)[1].endswith("Tiny &lt;tiny&gt;")
    assert "the same number means another component" in drawn
    assert set(re.findall('data-sides="([0-9,]*)"', drawn)) == {"0", "1"}
    assert drawn.count("“cat” against “dog”") == 2
    with pytest.raises(UserError, match="not loaded now"):
        show_two(context, first, asked("setup", "lost"))


def test_lines_of_the_log_beside_the_visit_and_each_other(context: Context, first: Visit, tried: Visit) -> None:
    other = session.press(context.bench(first), first, 3, "amplify", True)
    lines = [line_of(context, v) for v in (tried, other)]
    assert [one[:1] for one in said(show_two(context, first, asked("lines", "x", lines[0])))] == ["A", "B"]
    a, b = said(show_two(context, first, asked("lines", "x,y", *lines)))
    assert f"suppress #{NOTE}" in a
    assert "#3 × 2" in b
    with pytest.raises(UserError, match="no line"):
        show_two(context, first, asked("lines"))


def test_a_line_on_one_s_own_picture_takes_its_crop(context: Context, first: Visit, tried: Visit) -> None:
    own = session.look_at(context.bench(tried), tried, first.trace.crop[:, ::-1].copy(), Subject("Your picture"))
    crop = str(show_crop(replace(own))).partition('src="')[2].partition('"')[0]
    assert "Your picture" in said(show_two(context, first, asked("lines", "x", line_of(context, own, crop))))[1]
    with pytest.raises(UserError, match="bring it again"):
        show_two(context, first, asked("lines", "x", line_of(context, own)))


@pytest.mark.parametrize("wrong", [
    {"kind": "both"}, {"name": None}, {"name": "x" * 201}, {"lines": [{}]}, {"moment": "now"}, {"more": 1},
    {"lines": [{"state": "", "crop": "", "pressed": False}] * 3},
])  # fmt: skip
def test_what_the_page_never_asks_gets_a_sentence(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="Reload"):
        ShowTwo.read(json.dumps({"kind": "plain", "name": "", "lines": [], "moment": 1.0} | wrong))


def test_what_is_not_there_gets_a_sentence(context: Context, first: Visit, tiny: Visit) -> None:
    for kind, name in (("example", "nothing"), ("cue", "")):
        with pytest.raises(UserError, match="not here any more"):
            show_two(context, replace(first, subject=Subject("mine")), asked(kind, name))
    broken = {"state": "{}", "crop": "", "pressed": False}
    with pytest.raises(UserError, match="Reload"):
        show_two(context, first, asked("lines", "x", broken))
