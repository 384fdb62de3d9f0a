"""The Steering tab: levers, what they carry, and where they act."""

from dataclasses import replace

from view_helpers import with_family

from core.session.history import History
from core.session.visit import Visit
from core.views.prediction import prediction
from core.views.steering import Range, group_name, history, levers, tokens_words
from core.words import signed


def test_a_family_is_one_lever(visit: Visit) -> None:
    pulled = with_family(visit)
    html = levers(pulled)
    alone, family = html.split('<li class="lever')[1:]
    members = [lever.component for lever in pulled.edit.groups()[1]]
    assert f'data-components="{members[0]},{members[1]},{members[2]}" data-family="{members[0]}"' in family
    assert family.count('role="radio"') == 2
    assert "data-set" not in family
    assert alone.count('role="radio"') == 3
    assert f"#{members[0]} and its family" in family
    assert "3 components as one" in family
    assert family.count("<li data-row=") == 3
    assert family.count("not active") == 1
    together = sum(visit.part(c).total for c in members)
    assert f"{signed(together)} <small>logits</small>" in family
    assert 'value="0.5"' in family
    assert 'data-family=""' in alone
    assert "(2 levers)" in prediction(pulled)
    assert group_name(pulled.edit.release(members[0]).groups()[1]) == f"the others of #{members[0]}’s family"
    assert group_name(pulled.edit.groups()[0]) == f"#{pulled.edit.levers[0].component}"


def test_strengths_reach_beyond_the_peak() -> None:
    for peak in (0.0, 0.03, 1.28, 37.0, 1000.0, -2.0):
        own = Range.of("set", peak)
        assert own.low <= own.start <= own.high
        assert own.step > 0
        assert max(abs(own.low), own.high) <= 100 or abs(peak) > 100
        assert (own.low < 0) == (peak < 0)
    assert Range.of("scale", 3.0) == Range(-2.0, 5.0, 0.1, 1.0)


def test_where_an_edit_acts() -> None:
    said = {
        None: "all tokens",
        (0,): "CLS only",
        (0, 2): "1 of 64 patches and CLS",
        (1, 2): "2 of 64 patches",
        (): "0 of 64 patches",
    }
    assert {tokens: tokens_words(tokens, 64) for tokens in said} == said


def test_what_cannot_be_pressed_keeps_the_focus(visit: Visit) -> None:
    html = history(replace(visit, history=History()))
    assert html.count('aria-disabled="true"') == 3
    assert " disabled" not in html.replace("aria-disabled", "")
