"""What the visitor sees: nothing typed is ever markup, and no template turns escaping off."""

import re
from pathlib import Path

import pytest
from conftest import EVIL
from jinja2 import UndefinedError
from markupsafe import Markup
from view_helpers import check_markup, evil_setup, faces_of, with_family

from core.files import ASSETS
from core.methods.token_maps import token_maps
from core.pictures.examples import Example
from core.session import visit as session
from core.session.visit import Visit
from core.setups.loading import Loading
from core.views.attribution import part_rows, target_line, waterfall_chart
from core.views.canvas import canvas
from core.views.compare import chart, table
from core.views.frame import foot, header, notice
from core.views.html import render
from core.views.image import gallery, unknown_words
from core.views.prediction import prediction
from core.views.setup import loading, setup_page
from core.views.steering import levers


def all_views(visit: Visit) -> dict[str, Markup]:
    maps, by_token = token_maps(visit.trace, visit.attribution), session.contributions(visit.trace, visit.attribution)
    labels = {visit.parts[0].component: EVIL[1]}
    examples = [Example(EVIL[1], EVIL[0], "words", (), "", None, None, None, "")]
    return {
        "canvas": canvas(visit, maps, by_token, labels, cue=EVIL[0]),
        "prediction": prediction(visit),
        "gallery": gallery(examples, {EVIL[1]: "data:,"}),
        "words": unknown_words({name: (name,) for name in EVIL}, EVIL),
        "target": target_line(visit, 100.0),
        "rows": part_rows(visit),
        "rows with faces": part_rows(visit, faces_of(visit)),
        "waterfall": waterfall_chart(visit, faces_of(visit)),
        "levers": levers(visit),
        "family": levers(with_family(visit), faces_of(visit)),
        "chart": chart(visit),
        "table": table(visit),
        "notice": notice(*EVIL),
        "header": header(*EVIL[:2]),
        "loading": loading(EVIL[0], Loading(EVIL[1], 1, 2)),
        "setup": setup_page(evil_setup()),
        "foot": foot(),
    }


def test_nothing_typed_becomes_markup(visit: Visit) -> None:
    check_markup(all_views(visit))


def test_what_was_typed_is_shown(visit: Visit) -> None:
    shown = all_views(visit)
    for name in ("prediction", "chart", "table"):
        assert "&lt;img src=x onerror=alert(1)&gt;" in shown[name]
        assert "a &amp; b" in shown[name]


@pytest.mark.parametrize("template", sorted((ASSETS / "templates").glob("*.html")), ids=lambda path: path.stem)
def test_no_template_turns_escaping_off(template: Path) -> None:
    """Nor leaves an attribute without quotes, where a space in a text would end it."""
    source = template.read_text(encoding="utf-8")
    assert not re.search(r"\|\s*safe\b|autoescape|Markup", source)
    assert not re.search(r"=\s*{[{%]", re.sub(r"{%.*?%}", "", source))


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("failures", confusion="")
