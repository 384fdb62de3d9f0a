"""The log of the edits that were tried -> HTML of the Log tab, the field for what is expected, and Markdown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from types import MappingProxyType
from typing import Any

from markupsafe import Markup

from ..methods.steering import Edit
from ..methods.targets import ClassTarget, PictureTarget, similarity_to
from ..session.log import MAX_CROP, MAX_CROPS, MAX_EXPECTATION, MAX_LINES, MAX_LOG, Log, LogLine
from ..session.view_state import ViewState
from ..words import NONE, count, percent, signed
from ..words import markdown_text as plain
from .evidence import MARKS, condition_words, lever_words
from .html import render

VERDICTS: Mapping[str, str] = MappingProxyType({"held": "Held", "refuted": "Refuted", "unclear": "Unclear"})
"""What a visitor may say of their expectation."""
CHANCE_WORDS: Mapping[str, str] = MappingProxyType(
    {"good": "beyond chance", "doubt": "no better than chance", "open": "cannot be told"}
)
"""Of the effect among those of random edits, by their judgement."""


@dataclass(frozen=True)
class Tried:
    """A line as it is read."""

    line: LogLine
    """What the browser keeps."""
    edit: str
    """What was done, in words."""
    before: str
    """What the model said, with its probability."""
    after: str
    """What it said then."""
    flipped: bool
    """Whether that is another class."""
    when: datetime
    """When it was tried."""

    @classmethod
    def of(cls, line: LogLine) -> "Tried":
        """What stands in a line."""
        seen, names = line.observed, line.state.classes
        return cls(
            line,
            edit_words(line.state.edit.edit()),
            f"{names[seen.before]} {percent(seen.before_share)} %",
            f"{names[seen.after]} {percent(seen.after_share)} %",
            seen.before != seen.after,
            datetime.fromtimestamp(line.time / 1000, UTC),
        )

    @property
    def chance(self) -> str:
        """Against chance, in words; nothing where that was not asked."""
        told = self.line.chance
        if told is None:
            return ""
        return CHANCE_WORDS[told.judgement] + ("" if told.p is None else f", p = {told.p:.2f}")

    @property
    def side(self) -> str:
        """The side effect, in words; nothing where that was not asked."""
        told = self.line.side
        if told is None:
            return ""
        times = "" if told.selectivity is None else f"; target {told.selectivity:.1f}\u00a0× as far"
        spread = NONE if told.spread is None else f"{told.spread:.2f} {unit_of(self.line.state)}"
        return f"{spread}{times}"


def log(found: Log, titles: Mapping[str, str], pictures: Mapping[str, str]) -> Markup:
    """All lines, the latest first, by what they were tried on.

    `titles`: of setups, by their names; `pictures`: thumbnails of examples as data URIs, by their names.
    """
    return render(
        "log",
        n=len(found.lines),
        unreadable=found.unreadable,
        most=MAX_LINES,
        groups=[
            {
                "state": state,
                "picture": None if state.picture.counterfactual else pictures.get(state.picture.example or ""),
                "setup": titles.get(state.setup, state.setup),
                "target": target_words(state),
                "unit": unit_of(state),
                "tried": [Tried.of(line) for line in lines],
            }
            for state, lines in _by_subject(found.lines[::-1])
        ],
        verdicts=VERDICTS,
        marks=MARKS,
    )


def expectation() -> Markup:
    """Where a visitor may say what they expect of their next edit, above the levers."""
    return render("expectation", most=MAX_EXPECTATION)


def asking() -> Markup:
    """The same question while a result waits for it, and how much a browser keeps."""
    bounds = {"lines": MAX_LINES, "characters": MAX_LOG, "crop": MAX_CROP, "crops": MAX_CROPS}
    return render("asking", most=MAX_EXPECTATION, bounds=bounds)


def edit_words(edit: Edit) -> str:
    """An edit in words, without the picture that it is on."""
    done = ", ".join(map(lever_words, edit.groups()))
    if edit.tokens is not None:
        n = sum(token > 0 for token in edit.tokens)
        where = [count(n, "patch", "es")] * (n > 0) + ["CLS"] * (0 in edit.tokens)
        done += f", on {' and '.join(where)}"
    if edit.condition is not None:
        done += f", {condition_words(edit.condition)}"
    return done


def target_words(state: ViewState) -> str:
    """The target in a sentence."""
    if state.wanted is None:
        return similarity_to("" if state.second is None else state.second.caption)
    return ClassTarget(state.wanted, state.against).named(state.classes)


def unit_of(state: ViewState) -> str:
    """Of its target."""
    return PictureTarget.UNIT if state.wanted is None else ClassTarget.UNIT


def markdown(found: Log, titles: Mapping[str, str], link: Callable[[ViewState], str]) -> str:
    """The log as a Markdown document, each line with its `link`, if it has one. Text of visitors stays text."""
    parts = ["# Log of edits", f"{count(len(found.lines), 'edit')} tried with CLIP Levers."]
    for state, lines in _by_subject(found.lines):
        setup = titles.get(state.setup, state.setup)
        parts.append(f"## {plain(state.picture.caption)}")
        parts.append(f"Setup: {plain(setup)}{_commits(state)}. Target: {plain(target_words(state))}.")
        parts += [_markdown_line(Tried.of(line), link(line.state)) for line in lines]
    return "\n\n".join(parts) + "\n"


def _markdown_line(tried: Tried, link: str) -> str:
    line = tried.line
    facts = [
        ("Edit", plain(tried.edit)),
        ("Expected", plain(line.expectation) or "not said"),
        ("Prediction", f"{plain(tried.before)} → {plain(tried.after)}"),
        ("Effect on the target", f"{signed(line.observed.effect)} {unit_of(line.state)}"),
        ("Against chance", tried.chance or "not asked"),
        ("Side effect", tried.side or "not asked"),
        ("Verdict", VERDICTS.get(line.verdict or "", "not given")),
    ]
    if link:
        own = "" if line.state.picture.example else " (without the picture, which has to be brought again)"
        facts.append(("Link", f"<{link}>{own}"))
    head = f"### {tried.when:%Y-%m-%d %H:%M} UTC"
    return f"{head}\n\n" + "\n".join(f"- {name}: {value}" for name, value in facts)


def _commits(state: ViewState) -> str:
    listed = ", ".join(f"{part} {plain(commit)}" for part, commit in sorted(state.commits.items()))
    return f" ({listed})" if listed else ""


def _by_subject(lines: Sequence[LogLine]) -> list[tuple[ViewState, list[LogLine]]]:
    """Lines that follow each other on the same picture, question and setup, and the first one's state."""

    def asked(line: LogLine) -> tuple[Any, ...]:
        state = line.state
        question = state.classes, state.templates, state.wanted, state.against, state.second
        return state.setup, state.picture, question

    grouped = [list(together) for _, together in groupby(lines, asked)]
    return [(together[0].state, together) for together in grouped]
