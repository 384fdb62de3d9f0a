"""Numbers, counts, lists and scopes in words: plain text, for the page, for reports and for commands alike."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from .errors import printable

MINUS = "−"
NONE = "–"
"""Where there is no value."""


def count(n: int, noun: str, ending: str = "s") -> str:
    """A number and what it counts: 1 lever, 2 levers."""
    return f"{n} {noun}{'' if n == 1 else ending}"


def listed(names: Sequence[str]) -> str:
    """A; A and B; A, B and C."""
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign; what rounds to nothing is ±0."""
    rounded = f"{abs(value):.{digits}f}"
    if float(rounded) == 0:
        return f"±{rounded}"
    return f"{'+' if value > 0 else MINUS}{rounded}"


def decimal(value: float | None) -> str:
    """A number with two digits after the point."""
    return NONE if value is None else f"{value:.2f}".replace("-", MINUS)


def percent(share: float, under: str = "<", over: str = ">") -> str:
    """0 to 1 -> whole percent, without the sign %; what is not quite none, or not quite all, says so."""
    if 0 < share <= 0.005:
        return f"{under} 1"
    if 0.995 <= share < 1:
        return f"{over} 99"
    return f"{100 * share:.0f}"


def in_percent(share: float | None, digits: int = 0) -> str:
    """0 to 1 -> percent, rounded as any number, as tables of results have it."""
    return NONE if share is None else f"{100 * share:.{digits}f} %"


def size_in_words(n: int) -> str:
    """Bytes for the reader, in units of 1000 as on the Hub: 1234567 -> "1.2 MB"."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if n >= 10**power:
            return f"{n / 10**power:.1f} {unit}"
    return f"{n} bytes"


def markdown_text(text: str) -> str:
    """Text that stays text in Markdown, and on its line: every sign that could mean something is escaped."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", printable(" ".join(text.split())))


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as README files hold it."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


class ScopeWords(NamedTuple):
    """The tokens that a dictionary reads, in words."""

    tokens: str
    """Themselves."""
    only: str
    """That it reads no others."""
    short: str
    """The same, where space is scarce."""


SCOPES: Mapping[str, ScopeWords] = MappingProxyType(
    {
        "all": ScopeWords("all tokens", "all tokens", "all tokens"),
        "cls": ScopeWords("the class token", "the class token only", "CLS only"),
        "patches": ScopeWords("the patches", "patches only", "patches only"),
    }
)
"""By `Dictionary.scope`."""
