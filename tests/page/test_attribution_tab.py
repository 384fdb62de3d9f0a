"""The Attribution tab: the target, and the second half of an answer."""

import pytest

from core.errors import UserError
from core.methods.targets import ClassTarget
from core.page.attribution_tab import (
    NOTHING,
    measure,
    set_target,
    show_rows,
    show_sheet,
    show_target,
    show_waterfall,
)
from core.page.context import Context
from core.session.visit import Visit


def test_a_target_of_ones_own(context: Context, first: Visit) -> None:
    dog, cat = first.classes.index("dog"), first.classes.index("cat")
    v = set_target(context, first, dog, cat)
    assert v.target == ClassTarget(dog, cat)
    assert v.attribution.value == pytest.approx(-first.attribution.value)
    assert show_target(context, v) != show_target(context, first)
    assert "“dog” against “cat” stands at" in show_waterfall(context, v)
    for none in (NOTHING, None):
        assert set_target(context, first, dog, none).target == ClassTarget(dog)
    with pytest.raises(UserError, match="itself"):
        set_target(context, first, dog, dog)


def test_effects_are_measured_once(context: Context, first: Visit) -> None:
    assert first.agreement is None
    assert "measuring …" in show_rows(context, first)
    assert "tick" not in show_waterfall(context, first)
    v = measure(context, first)
    assert v.agreement is not None
    assert "measuring …" not in show_rows(context, v)
    assert show_waterfall(context, v).count('class="tick"') == len(v.parts)
    assert measure(context, v) is v


def test_pictures_of_the_rows_stand_in_a_sheet(context: Context, first: Visit, tiny: Visit) -> None:
    assert show_sheet(context, first).count("data:image/webp") > 10
    assert "data:" not in show_rows(context, first)
    assert "data:" not in show_waterfall(context, first)
    assert "data:" not in show_sheet(context, tiny), "without an index there are none"
