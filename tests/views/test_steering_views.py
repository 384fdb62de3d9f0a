"""The Steering tab: levers, and what they carry."""

from view_helpers import with_family

from core.session.visit import Visit
from core.views.steering import Range, levers
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


def test_strengths_reach_beyond_the_peak() -> None:
    for peak in (0.0, 0.03, 1.28, 37.0, 1000.0, -2.0):
        own = Range.of("set", peak)
        assert own.low <= own.start <= own.high
        assert own.step > 0
        assert max(abs(own.low), own.high) <= 100 or abs(peak) > 100
        assert (own.low < 0) == (peak < 0)
    assert Range.of("scale", 3.0) == Range(-2.0, 5.0, 0.1, 1.0)
