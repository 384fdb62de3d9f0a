"""The waterfall against finite differences in float64, by the definition of each of its steps."""

import numpy as np
import pytest
from conftest import COMPONENTS
from PIL import Image
from test_attribution import SETUPS, TARGETS, Case

from core.methods.attribution import attribute
from core.methods.targets import ClassTarget
from core.methods.waterfall import waterfall
from core.model.scope import Scope


@pytest.mark.parametrize("setup", SETUPS, ids=str)
@pytest.mark.parametrize("target", TARGETS[1::2], ids=str)
def test_the_steps_lead_from_zero_to_the_value(
    setup: tuple[int, str, Scope, str], target: ClassTarget, picture: Image.Image
) -> None:
    """Each step by its definition; their sum is the target, through the unsplit model."""
    case = Case(*setup, picture)
    attribution = attribute(case.question(target))
    named = [*attribution.strongest_for(2).tolist(), *attribution.strongest_against(2).tolist()]
    found = waterfall(attribution, named)

    def flow(x: np.ndarray) -> float:
        return case.slope(case.x.numpy(), x, target)

    inside = np.zeros((17, 1))
    inside[case.inside] = 1
    decoded = case.f @ case.v
    value = case.y(case.x.numpy(), target)
    assert [c for c, _ in found.named] == named
    for c, total in found.named:
        assert total == pytest.approx(flow(case.f[:, [c]] * case.v[c]), abs=1e-4)
    rest = [c for c in range(COMPONENTS) if case.f[:, c].any() and c not in named]
    assert found.n_others == len(rest)
    assert found.others == pytest.approx(sum(flow(case.f[:, [c]] * case.v[c]) for c in rest), abs=1e-3)
    assert found.error == pytest.approx(flow((case.x.numpy() - case.bias) * inside - decoded), abs=1e-3)
    assert found.offset == pytest.approx(flow(case.bias * inside + case.x.numpy() * (1 - inside)), abs=1e-3)
    assert found.beyond == pytest.approx(value - flow(case.x.numpy()), abs=1e-3)
    assert found.components + found.error + found.offset + found.beyond == pytest.approx(value, abs=1e-4)


def test_with_every_component_named_there_are_no_others(picture: Image.Image) -> None:
    case = Case(1, "topk", "all", "none", picture)
    attribution = attribute(case.question(ClassTarget(0)))
    found = waterfall(attribution, attribution.component.tolist())
    assert found.n_others == 0
    assert found.others == pytest.approx(0, abs=1e-4)


def test_of_an_integral_what_is_left_is_the_value_without_components(picture: Image.Image) -> None:
    case = Case(1, "topk", "all", "none", picture)
    attribution = attribute(case.question(ClassTarget(0)), "integrated", 64)
    found = waterfall(attribution, [])
    assert (found.error, found.offset) == (0, 0)
    assert found.beyond == pytest.approx(case.y(case.x.numpy() - case.f @ case.v, ClassTarget(0)), abs=1e-2)
