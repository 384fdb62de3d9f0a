"""The report as markup: whatever anything in it is called comes out as text, and the state in it stays what it was."""

import base64
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_many_views import tried
from test_text_stays_text import named

from core.errors import printable
from core.files import ASSETS
from core.session.evidence import EditEvidence
from core.session.report_file import STATE_NAME
from core.session.view_state import ViewState, state_of
from core.session.visit import Visit
from core.views.report import Trial, report
from core.workbench import Workbench


class Seen(HTMLParser):
    """Elements with the names of their attributes, all text, and the state."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, ...]] = []
        self.text = ""
        self.state = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, *(name for name, _ in attrs)))
        if dict(attrs).get("name") == STATE_NAME:
            self.state = base64.b64decode(dict(attrs)["content"] or "").decode()

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page_of(bench: Workbench, visit: Visit) -> Callable[[str], str]:
    """The report of a view in which everything that may have a name has this one."""
    missed = bench.reconstruction_error(visit.trace, visit.classes, visit.templates)
    asked = visit.trace, visit.classes, visit.templates, visit.target, visit.edit
    *_, controls = bench.controls(*asked)
    first, *_ = bench.responses(*asked)

    def drawn(name: str) -> str:
        v = replace(named(visit, name), templates=(f"{name} {{}}",))
        _, turned = tried(v.classes, "fbrw")
        found = EditEvidence(missed, controls=controls, responses=(first,))
        return report(bench.setup, v, state_of(bench, v), found, {}, Trial(name, turned), name)

    return drawn


@settings(max_examples=12)
@given(
    name=st.text(
        st.characters(exclude_categories=["C", "Z"]) | st.sampled_from("<>&\"'{}%/;#"), min_size=1, max_size=20
    )
)
@example(name="</style><script>alert(1)</script>")
@example(name='"><img src=x onerror=alert(1)>')
@example(name="{{constructor}}{%raw%}")
def test_every_name_is_text(page_of: Callable[[str], str], name: str) -> None:
    plain, page = Seen(page_of("a")), Seen(page_of(name))
    assert page.elements == plain.elements, "none more, and none less"
    assert printable(name) in page.text
    assert ViewState.parsed(page.state).classes[0] == name


def test_it_is_cited_as_the_citation_file_says(page_of: Callable[[str], str]) -> None:
    said = (ASSETS.parent / "CITATION.cff").read_text(encoding="utf-8")
    page = Seen(page_of("a")).text
    names = re.findall(r"family-names: (\w+)", said)
    assert len(names) == 5
    assert ", ".join(names) in page
    for words in re.findall(r'^    title: "(.*)"$|^    collection-title: "(.*)"$|value: "(.*)"$', said, re.MULTILINE):
        assert "".join(words) in page
