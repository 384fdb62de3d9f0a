"""The verdict on bounds against the binomial distribution itself, and the three files of a report."""

import json
import math
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import EVIL
from hypothesis import given
from hypothesis import strategies as st
from validation_report import TALLY, report_of

from core.errors import UserError
from core.validation.counts import PictureCounts, short
from core.validation.report import STRIPS, ValidationReport, junit, page, read_report, write_report
from core.validation.verdict import EXIT_CODES, Outcome, StatedBounds, judge, outcome_of, share_words

# ---- the verdict


def binomial(k: int, n: int, p: float) -> float:
    """P(at most k of n), term by term."""
    return math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


@given(st.integers(0, 60), st.data(), st.sampled_from([0.013, 0.11, 0.37]), st.sampled_from([0.9, 0.95, 0.99]))
def test_a_bound_holds_where_a_worse_share_would_hardly_give_these_counts(
    n: int, data: st.DataObject, share: float, confidence: float
) -> None:
    k = data.draw(st.integers(0, n))
    tally = PictureCounts(right=n, broken=k, wrong=n, fixed=k)
    most, least = judge(tally, StatedBounds(share, share, confidence))
    delta = 1 - confidence
    assert (most.outcome == "holds") == (binomial(k, n, share) <= delta)
    assert (least.outcome == "holds") == (1 - binomial(k - 1, n, share) <= delta)
    # Too few are those that no outcome would do for.
    assert (most.outcome == "cannot be judged") == ((1 - share) ** n > delta)
    assert (least.outcome == "cannot be judged") == (share**n > delta)
    for verdict, none_or_all in ((most, 1 - share), (least, share)):
        assert none_or_all**verdict.needed <= delta < none_or_all ** (verdict.needed - 1)
    if 0 < k < n:
        assert np.isclose(binomial(k, n, most.shown), delta)
        assert np.isclose(1 - binomial(k - 1, n, least.shown), delta)


def test_one_percent_takes_299_pictures() -> None:
    for n, outcome in ((298, "cannot be judged"), (299, "holds")):
        (verdict,) = judge(PictureCounts(right=n), StatedBounds(max_broken=0.01))
        assert (verdict.needed, verdict.outcome) == (299, outcome)
    (verdict,) = judge(PictureCounts(right=298), StatedBounds(max_broken=0.01))
    assert "Only 298 of the pictures were right" in verdict.said
    assert "It takes at least 299" in verdict.said
    (verdict,) = judge(PictureCounts(right=299, broken=1), StatedBounds(max_broken=0.01))
    assert verdict.outcome == "does not hold"


def test_what_no_pictures_can_show_is_refused() -> None:
    for wrong, said in (
        ({}, "no bound to hold"),
        ({"max_broken": 0.0}, "--max-broken is 0"),
        ({"min_fixed": 1.0}, "--min-fixed is 1"),
        ({"max_broken": float("nan")}, "--max-broken is nan"),
        ({"max_broken": 0.1, "confidence": 1.0}, "--confidence is 1"),
        ({"max_broken": 0.1, "confidence": 0.2}, "--confidence is 0.2"),
    ):
        with pytest.raises(UserError, match=said):
            StatedBounds(**wrong)


def test_a_percentage_never_promises_more_than_its_bound() -> None:
    assert share_words(0.01) == "1 %"
    assert share_words(0.012341, up=True) == "1.24 %"
    assert share_words(0.012349, up=False) == "1.23 %"
    assert share_words(0.07, up=True) == share_words(0.07, up=False) == "7 %"


@pytest.mark.parametrize(
    ("outcomes", "whole"),
    [
        (("holds", "holds"), "holds"),
        (("holds", "cannot be judged"), "cannot be judged"),
        (("cannot be judged", "does not hold"), "does not hold"),
    ],
)
def test_the_worst_bound_decides(outcomes: tuple[Outcome, ...], whole: Outcome) -> None:
    (verdict,) = judge(PictureCounts(right=9), StatedBounds(max_broken=0.5))
    assert outcome_of(tuple(verdict.model_copy(update={"outcome": one}) for one in outcomes)) == whole
    assert EXIT_CODES == {"holds": 0, "does not hold": 1, "cannot be judged": 2}


# ---- the files


class Tags(HTMLParser):
    """All tags of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_is_one_file_without_scripts_or_network_and_anybodys_names_stay_text() -> None:
    found = Tags(page(report_of(TALLY)))
    assert not {"script", "link", "iframe", "object", "embed", "base", "form", "svg"} & {tag for tag, _ in found.tags}
    for tag, attributes in found.tags:
        assert not any(name.startswith("on") for name in attributes), attributes
        for name in ("src", "href", "srcset", "action", "data"):
            assert (attributes.get(name) or "data:image/webp;base64,").startswith("data:image/webp;base64,"), tag
    text = "".join(found.text)
    assert all(name in text for name in EVIL)
    styles = [attributes["style"] for _, attributes in found.tags if attributes.get("style")]
    assert all(set(str(style)) <= set("abcdefghijklmnopqrstuvwxyz-:;%.0123456789") for style in styles)
    assert "Fixes 41 of 50 pictures that were wrong" in text
    assert "breaks at most" in text
    order = [text.index(words) for words in ("each class", "With 95 % confidence", "Fixes 41 of 50", "right before")]
    assert order == sorted(order), "first the strips, then the sentences, then the table"
    assert "and 7 more" in text
    images = [attributes for tag, attributes in found.tags if tag == "img"]
    assert len(images) == 3 * len(EVIL)
    assert all(attributes["alt"] for attributes in images)


def test_of_many_classes_those_are_drawn_in_which_most_changes() -> None:
    classes = {f"class {i}": PictureCounts(wrong=9, fixed=i % 7) for i in range(100)}
    text = page(report_of(TALLY, classes=classes))
    drawn = Tags(text).tags
    strips = [attributes for tag, attributes in drawn if attributes.get("class") == "name"]
    assert len(strips) == STRIPS + 1, "and those without a label"
    assert {int(str(one["title"]).split()[1]) % 7 for one in strips[:-1]} == {5, 6}
    assert f"{100 - STRIPS} more classes in which less changes" in text


def tiny_reports() -> Iterator[ValidationReport]:
    """Of no pictures, of none with a label, and of none that an edit changes."""
    yield report_of(PictureCounts())
    yield report_of(PictureCounts(unlabelled=5, changed=1))
    yield report_of(PictureCounts(wrong=5, right=600))


@pytest.mark.parametrize("report", tiny_reports())
def test_a_report_of_hardly_anything(report: ValidationReport, tmp_path: Path) -> None:
    write_report(report, tmp_path)
    assert read_report(tmp_path).bounds == report.bounds
    assert ElementTree.fromstring(junit(report)).get("tests") == "2"


hostile = st.text(st.characters(exclude_categories=()), max_size=30)
"""Any code points: controls, halves of characters, and what turns the order of others."""


@given(st.tuples(hostile, hostile))
def test_any_name_can_be_written_into_all_three(names: tuple[str, str]) -> None:
    shown = short(names[0]), short(names[1])
    report = report_of(TALLY, shown)
    page(report).encode()
    (suite,) = ElementTree.fromstring(junit(report))
    assert suite.get("name") == f"recipe {shown[0]}"
    assert len(suite) == 2
    assert ValidationReport.model_validate_json(report.model_dump_json()) == report


def test_a_case_for_each_bound(tmp_path: Path) -> None:
    report = report_of(PictureCounts(right=400, broken=3, wrong=1, fixed=0), bounds=StatedBounds(0.02, 0.3))
    write_report(report, tmp_path)
    suites = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert {name: suites.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "2", "failures": "0", "errors": "1",
    }  # fmt: skip
    first, second = suites.iter("testcase")
    assert [child.tag for child in first] == ["system-out"]
    assert [child.tag for child in second] == ["error", "system-out"]
    assert second[0].get("message") == report.bounds[1].said
    failing = ElementTree.fromstring(junit(report_of(PictureCounts(right=400, broken=90))))
    assert [child.tag for child in next(failing.iter("testcase"))] == ["failure", "system-out"]


def test_a_report_of_another_version_is_not_read(tmp_path: Path) -> None:
    write_report(report_of(TALLY), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "report.json", "junit.xml"}
    raw = json.loads((tmp_path / "report.json").read_text())
    (tmp_path / "report.json").write_text(json.dumps(raw | {"version": 2}))
    with pytest.raises(UserError, match="no report"):
        read_report(tmp_path)
