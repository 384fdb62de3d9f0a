"""Report of a validation: one page for people (report.html), the numbers (report.json), and JUnit XML for a CI.

The page is a single file without scripts that asks no network for anything: its pictures are inside. All names and
labels in it may be anybody's; the template escapes them, as the XML writer does, and `core.validation.counts` has left
out what neither can hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple
from xml.etree import ElementTree

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..concepts.index import Identity
from ..errors import UserError
from ..files import replacing
from ..methods.steering import Edit
from ..pictures.intake import Intake
from ..views.evidence import condition_words, lever_words
from ..views.html import render
from ..words import count, listed
from .counts import KeptPicture, PictureCounts, TrialCounts
from .verdict import Outcome, Verdict, share_words

VERSION: Literal[1] = 1
"""Of report.json."""
REPORT = "report.json"
"""Written last: where it is, all of the report is."""
STRIPS = 24
"""Classes that are drawn; of more, those in which most changes."""

MARKS: Mapping[Outcome, str] = MappingProxyType({"holds": "✓", "does not hold": "✕", "cannot be judged": "?"})
"""Of outcomes, by shape."""
TONES: Mapping[Outcome, str] = MappingProxyType({"holds": "good", "does not hold": "bad", "cannot be judged": "open"})
"""The same, as classes of the style sheet."""


class ValidationReport(BaseModel):
    """What a validation found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = VERSION
    """Of this form."""
    outcome: Outcome
    """Of all bounds together."""
    bounds: Annotated[tuple[Verdict, ...], Field(min_length=1)]
    """Each that was stated."""
    recipe: str
    """Whose edit it is."""
    edit: Edit
    """What was tried; on all tokens in the dictionary's scope, wherever it was made."""
    classes: tuple[str, ...]
    """What the model chose from."""
    templates: tuple[str, ...]
    """The prompts for them."""
    setup: Identity
    """What was steered."""
    pictures: dict[str, str]
    """What identifies the collection."""
    intake: Intake = Intake()
    """What of it was not taken before any was read, and why."""
    counts: TrialCounts
    """What became of its pictures."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences on pictures of which nothing is said."""
        c, told = self.counts, [*self.intake.remarks]
        if c.of_others:
            named = listed([f"“{label}”" for label in list(c.others)[:3]])
            told.append(
                f"{count(c.of_others, 'picture')} {'has' if c.of_others == 1 else 'have'} a label that is none of the "
                f"recipe's classes, such as {named}: nothing is said of them."
            )
        if c.total.unlabelled > c.of_others:
            without = c.total.unlabelled - c.of_others
            told.append(f"{count(without, 'picture')} without a label {'is' if without == 1 else 'are'} not judged.")
        if c.unread:
            told.append(f"{count(c.unread, 'picture')} could not be read.")
        if left := self.intake.n_left_out:
            told.append(f"{left:,} files or lines could not be taken.")
        return tuple(told)


# ---- the files


def write_report(report: ValidationReport, out: Path) -> None:
    """Write all of them into a folder, each at once, `REPORT` last."""
    numbers = report.model_dump_json(indent=1, exclude={"counts": {"after": True, "done": True, "kept": _NO_PICTURES}})
    for name, text in (("report.html", page(report)), ("junit.xml", junit(report)), (REPORT, numbers)):
        with replacing(out / name) as beside:
            beside.write_text(text, encoding="utf-8")


_NO_PICTURES = {"__all__": {"__all__": {"webp"}}}


def read_report(out: Path) -> ValidationReport:
    """The numbers, without the pictures. Raises UserError where there are none, or of another version."""
    try:
        return ValidationReport.model_validate_json((out / REPORT).read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(f"There is no report in {out} that can be read. Validate the recipe again.") from error


def junit(report: ValidationReport) -> str:
    """A test case for each bound: a failure where it does not hold, an error where it cannot be judged."""
    outcomes = [verdict.outcome for verdict in report.bounds]
    numbers = {
        "tests": str(len(outcomes)),
        "failures": str(outcomes.count("does not hold")),
        "errors": str(outcomes.count("cannot be judged")),
    }
    suites = ElementTree.Element("testsuites", numbers)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": f"recipe {report.recipe}", **numbers})
    for verdict in report.bounds:
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": "core.validation", "name": f"{report.recipe} {verdict.asks}"}
        )
        if verdict.outcome != "holds":
            kind = "failure" if verdict.outcome == "does not hold" else "error"
            ElementTree.SubElement(case, kind, {"message": verdict.said})
        ElementTree.SubElement(case, "system-out").text = verdict.said
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


# ---- the page


class _Strip(NamedTuple):
    """The pictures of a class."""

    name: str
    tally: PictureCounts
    parts: tuple[tuple[str, str, int], ...]
    """What became of them: a class of the style sheet, in words, how many."""


class _Gauge(NamedTuple):
    """A bound on a line from 0 to 1, or less, where all of it is small: places in percent of its length."""

    verdict: Verdict
    seen: float
    shown: float
    stated: float
    end: str


def page(report: ValidationReport) -> str:
    """The page for people: strips, sentences, tables, pictures."""
    c = report.counts
    strips = _strips(c)
    return render(
        "validation",
        report=report,
        mark=MARKS[report.outcome],
        tone=TONES[report.outcome],
        marks=MARKS,
        tones=TONES,
        strips=strips,
        more_strips=len(c.classes) - len([strip for strip in strips if strip.name in c.classes]),
        gauges=[_gauge(verdict) for verdict in report.bounds],
        tables=[
            (title, [*tallies.items(), ("all", c.total)])
            for title, tallies in (("class", c.classes), ("group", c.groups))
            if tallies
        ],
        kept=[
            (title, mark, c.kept[kind], getattr(c.total, kind))
            for kind, title, mark in (
                ("broken", "Broken", "▼"),
                ("fixed", "Fixed", "▲"),
                ("changed", "Changed, without a label", "↻"),
            )
            if c.kept.get(kind)
        ],
        levers=[lever_words(group) for group in report.edit.groups()],
        condition="" if report.edit.condition is None else condition_words(report.edit.condition),
        unnamed=c.unread - len(c.troubles),
        not_taken=report.intake.n_left_out - len(report.intake.left_out),
        alt=_alt,
    )


def _strips(c: TrialCounts) -> list[_Strip]:
    """In the order of the classes; of many, those in which most changes. Those without a label come last."""
    drawn = set(sorted(c.classes, key=lambda name: -(c.classes[name].fixed + c.classes[name].broken))[:STRIPS])
    found = [_strip(name, tally) for name, tally in c.classes.items() if name in drawn]
    if c.total.unlabelled:
        parts = (("changed", "changed", c.total.changed), ("same", "unchanged", c.total.unlabelled - c.total.changed))
        alone = PictureCounts(unlabelled=c.total.unlabelled, changed=c.total.changed)
        found.append(_Strip("without a label", alone, parts))
    return found


def _strip(name: str, tally: PictureCounts) -> _Strip:
    parts = (
        ("right", "right as before", tally.right - tally.broken),
        ("fixed", "fixed", tally.fixed),
        ("broken", "broken", tally.broken),
        ("wrong", "wrong as before", tally.wrong - tally.fixed),
    )
    return _Strip(name, tally, parts)


def _gauge(verdict: Verdict) -> _Gauge:
    seen = verdict.happened / verdict.of if verdict.of else 0.0
    end = min(1.0, 1.25 * max(seen, verdict.shown, verdict.stated))
    places = [round(100 * share / end, 2) for share in (seen, verdict.shown, verdict.stated)]
    return _Gauge(verdict, places[0], places[1], places[2], share_words(end))


def _alt(one: KeptPicture) -> str:
    return f"{one.name}: said {one.before} without the edit, {one.after} with it"
