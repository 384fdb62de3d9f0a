"""Levers and targets as people type them."""

import pytest
from PIL import Image

from core.errors import UserError
from core.methods.targets import ClassTarget
from core.model.prompts import TEMPLATES
from core.session import visit as session
from core.session.typed import lever, named_target
from core.session.visit import Subject
from core.workbench import Workbench


@pytest.mark.parametrize("typed", ["nan", "inf", "1e9", "abc", "", "101"])
def test_strengths_that_cannot_be_used(typed: str) -> None:
    with pytest.raises(UserError):
        lever(1, "scale", typed)


@pytest.mark.parametrize(("typed", "strength"), [("1,5", 1.5), ("−2", -2.0), (" 3 ", 3.0), (0.5, 0.5)])
def test_strengths_as_people_type_them(typed: str | float, strength: float) -> None:
    assert lever(1, "scale", typed).strength == strength


def test_targets_by_name(bench: Workbench, picture: Image.Image) -> None:
    visit = session.start(bench, picture, Subject("a picture"), ("dog", "cat", "owl"), TEMPLATES["single"], None)
    assert named_target(visit.prediction, "CAT", "dog") == ClassTarget(1, 0)
    assert named_target(visit.prediction, "cat", None) == ClassTarget(1, None)
    assert named_target(visit.prediction, "", "") == visit.target
    with pytest.raises(UserError, match="not among the classes"):
        named_target(visit.prediction, "horse", None)
