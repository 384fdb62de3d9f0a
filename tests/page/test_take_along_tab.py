"""What leaves the page and comes back: a report restores its whole inquiry, and another's state is no one's own."""

import csv
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest

from core.errors import UserError
from core.methods.steering import Edit, Lever
from core.methods.targets import ClassTarget
from core.model.prompts import TEMPLATES
from core.page.context import Context
from core.page.setup_bar import LEFT_BEHIND
from core.page.take_along_tab import CHOICES, NOT_IN_IT, REPORT, TABLES, Which, draw, pack, take_up
from core.pictures.read import read_picture
from core.session import visit as session
from core.session.many_pictures import OWN, OwnPictures
from core.session.report_file import packed, read_report
from core.session.visit import Subject, Visit
from core.views.images import lossless_uri

SAME = ("subject", "trace", "classes", "templates", "truth", "target", "attribution", "comparison", "edit")
CLASSES = ("horse", "<script>alert(1)</script>", "=sheep")
MOST = 3_000_000
"""Bytes of a report."""


@pytest.fixture(scope="module")
def own(context: Context, first: Visit) -> Visit:
    """A picture of a visitor's own, with their classes and target, and five levers."""
    bench, example = context.bench(first), context.example_named("sheep-stamp")
    assert example is not None
    subject = Subject("Your picture <b>", photograph=True)
    v = session.start(bench, example.file(), subject, CLASSES, TEMPLATES["single"], "=sheep")
    v = session.set_target(bench, v, ClassTarget(1, 0))
    edit = Edit(tuple(Lever(part.component) for part in v.parts[:5]), (0, 3, 4))
    return session.changed(first, session.change(bench, v, edit))


@pytest.fixture(scope="module")
def files(context: Context, own: Visit) -> Mapping[str, bytes]:
    """What the page makes of that."""
    *_, last = pack(context, own, OwnPictures(), "https://somebody-clip-levers.hf.space/")
    assert "opens in any browser" in last["said"]
    return dict(last["files"])


@pytest.fixture
def report(files: Mapping[str, bytes], tmp_path: Path) -> Path:
    path = tmp_path / "a.html"
    path.write_bytes(files[REPORT])
    return path


class Elements(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_report_opens_without_a_server_or_a_script(files: Mapping[str, bytes], own: Visit) -> None:
    page = Elements(files[REPORT].decode())
    assert not {"script", "link", "iframe", "object", "form", "button", "input", "base"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    addresses = [value for name, value in page.attributes if name in ("src", "href")]
    (link,) = (value for value in addresses if value.startswith("https://somebody-clip-levers.hf.space/?"))
    assert f"suppress={','.join(str(lever.component) for lever in own.edit.levers)}" in link
    assert "which has all but the picture" in page.text
    assert all(value.startswith(("data:", "#", "https://arxiv.org/")) for value in addresses if value != link)
    assert any("default-src 'none'" in value for _, value in page.attributes)
    assert len(files[REPORT]) < MOST
    for words in (*CLASSES, "Your picture <b>", "How to cite", "arXiv:2604.11467"):
        assert words in page.text
    for part in own.parts:
        assert f"#{part.component}" in page.text
    for asks in ("More than chance?", "How strong?", "What else changed?", "Does it hold on others?", "out of reach"):
        assert asks in page.text


def test_a_report_restores_its_inquiry(context: Context, first: Visit, own: Visit, report: Path) -> None:
    outcome = take_up(context, replace(first, key="ab" * 16, step=7, revision=3), str(report))
    v = outcome.visit
    assert [getattr(v, name) == getattr(own, name) for name in SAME] == [True] * len(SAME)
    assert v.agreement is not None, "measured, too"
    assert (v.key, v.step, v.revision) == ("ab" * 16, 7, 4), "this page goes on, and its widgets' messages are void"
    assert outcome.notes == ()


def test_a_report_of_this_very_visit_takes_it_back(context: Context, own: Visit, report: Path) -> None:
    later = session.changed(own, session.change(context.bench(own), own, Edit()))
    assert take_up(context, later, str(report)).visit.edit == own.edit


def test_whose_page_it_was_is_not_in_it(files: Mapping[str, bytes], own: Visit, report: Path) -> None:
    assert own.key
    assert own.key.encode() not in files[REPORT]
    state = read_report(report).state
    assert (state.key, state.step, state.revision) == ("", 0, 0)


@pytest.mark.parametrize("crop", ["another's", ""])
def test_another_picture_in_a_report_is_not_shown_for_its_own(
    context: Context, first: Visit, own: Visit, report: Path, crop: str
) -> None:
    was = lossless_uri(own.trace.crop)
    text = report.read_text(encoding="utf-8")
    assert text.count(was) == 1, "once, losslessly"
    report.write_text(text.replace(was, lossless_uri(first.trace.crop) if crop else ""), encoding="utf-8")
    outcome = take_up(context, first, str(report))
    assert outcome.notes == (NOT_IN_IT,)
    assert outcome.visit.subject == first.subject
    assert (outcome.visit.classes, outcome.visit.edit) == (own.classes, own.edit)


def test_a_state_that_was_written_anew_is_what_it_says_and_no_more(
    context: Context, first: Visit, report: Path
) -> None:
    state, text = read_report(report).state, report.read_text(encoding="utf-8")

    def forged(**changes: object) -> str:
        other = state.model_validate_json(json.dumps(state.model_dump(mode="json") | changes))
        report.write_text(text.replace(packed(state), packed(other)), encoding="utf-8")
        return str(report)

    outcome = take_up(context, first, forged(edit={"levers": [{"component": 10**6}]}, component=10**6))
    assert (outcome.visit.edit, outcome.notes) == (Edit(), (LEFT_BEHIND,))
    outcome = take_up(context, first, forged(setup="<b>never heard of</b>"))
    assert outcome.visit.setup == first.setup
    assert "“<b>never heard of</b>” cannot be had now" in outcome.notes[0]


@pytest.mark.parametrize("content", [b"", b"<html>", b"%PDF-1.7", b"\x89PNG"])
def test_what_is_no_report_changes_nothing(context: Context, first: Visit, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.html"
    path.write_bytes(content)
    for file in (str(path), None, "gone.html"):
        with pytest.raises(UserError):
            take_up(context, first, file)


def test_a_report_brought_as_a_picture_is_told_where_it_belongs(report: Path) -> None:
    with pytest.raises(UserError, match="report of this app. Drop it on Take along"):
        read_picture(report)


def test_the_tables_have_the_numbers_of_the_page(files: Mapping[str, bytes], own: Visit) -> None:
    with zipfile.ZipFile(io.BytesIO(files[TABLES])) as archive:
        tables = {
            name: list(csv.reader(io.StringIO(archive.read(name).decode("utf-8-sig"), newline="")))
            for name in archive.namelist()
        }
    assert set(tables) == {
        f"{name}.csv"
        for name in (
            "settings", "classes", "contributions", "maps", "edit", "controls", "doses", "side-effects",
            "other-components", "reference-pictures",
        )
    }  # fmt: skip
    heads, *rows = tables["classes.csv"]
    assert [row[0] for row in rows] == [*CLASSES[:2], "'=sheep"], "no formula"
    after = heads.index("probability_after")
    assert [float(row[after]) for row in rows] == own.comparison.after.probabilities.tolist()


# ---- figures


def test_every_choice_is_a_figure(context: Context, first: Visit) -> None:
    assert set(CHOICES.values()) == set(get_args(Which))
    (drawn,) = list(draw(context, first, "contributions", "svg", "one", OwnPictures(), None))
    name, svg = drawn["file"] or ("", b"")
    assert name == "contributions.svg"
    assert b"</svg>" in svg
    assert "data:image/svg+xml;base64," in drawn["preview"]
    assert drawn["caption"].startswith("Contributions of the strongest components")
    assert "Rank correlation" in drawn["caption"], "what was not measured yet is"
    assert list(draw(context, first, "contributions", "svg", "one", OwnPictures(), drawn["drawn"])) == [], "once"


@pytest.mark.parametrize("which", ["controls", "doses", "turned"])
def test_a_figure_of_an_edit_asks_for_one(context: Context, first: Visit, which: Which) -> None:
    (drawn,) = list(draw(context, first, which, "svg", "one", OwnPictures(), None))
    assert "Pull a lever first" in drawn["preview"]
    assert (drawn["caption"], drawn["file"]) == ("", None)


def test_pictures_that_are_gone_are_asked_for(context: Context, own: Visit) -> None:
    there = replace(own, many=replace(own.many, which=OWN, own="mine"))
    (drawn,) = list(draw(context, there, "turned", "svg", "one", OwnPictures(), None))
    assert "Bring them again" in drawn["preview"]


@pytest.mark.parametrize("which", ["doses", "turned"])
def test_what_is_not_known_yet_is_worked_out(context: Context, own: Visit, which: Which) -> None:
    *before, drawn = draw(context, own, which, "svg", "one", OwnPictures(), None)
    assert all(one["file"] is None for one in before)
    assert "suppress #" in drawn["caption"]
    assert drawn["file"] is not None
