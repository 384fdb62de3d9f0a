"""What a visitor types: the classes, and prompt templates of their own."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import UserError

MAX_CLASSES = 200
MAX_TEMPLATES = 32
MAX_LENGTH = 200
"""Characters in a class or a template."""


@dataclass(frozen=True)
class ClassList:
    """The classes a prediction chooses from."""

    names: tuple[str, ...]
    """In the order typed, each once."""
    notes: tuple[str, ...]
    """Sentences about what was changed or should be known; empty when there is nothing to say."""


def parse_classes(text: str) -> ClassList:
    """The classes in a text, one a line or separated by commas.

    Runs of white space become one space, invisible characters go, and a class that differs from an earlier
    one in upper and lower case only is left out, which a note says. Raises UserError for no class, more than
    200, and a class of more than 200 characters.
    """
    spellings: dict[str, list[str]] = {}
    for name in filter(None, map(_visible, re.split(r"[,\n\r]", text))):
        spellings.setdefault(name.casefold(), []).append(name)
    names = tuple(typed[0] for typed in spellings.values())
    repeated = [typed[0] for typed in spellings.values() if len(typed) > 1]
    if not names:
        raise UserError("There are no classes. Write what the picture might show, one a line: cat, dog, car.")
    if len(names) > MAX_CLASSES:
        raise UserError(f"These are {len(names):,} classes. Keep at most {MAX_CLASSES}.")
    for name in names:
        _check_length("class", name)
    notes = []
    if repeated:
        listed = ", ".join(f"“{name}”" for name in repeated)
        notes.append(f"Written more than once, counted once: {listed}.")
    if len(names) == 1:
        notes.append("With a single class its probability is always 100 %. Add what it could be mistaken for.")
    return ClassList(names, tuple(notes))


def parse_templates(text: str) -> tuple[str, ...]:
    """The templates in a text, one a line, each once.

    Raises UserError for none or more than 32, and for a line of more than 200 characters or without `{}`.
    """
    lines = tuple(dict.fromkeys(filter(None, map(_visible, re.split(r"[\n\r]", text)))))
    if not lines:
        raise UserError("There is no prompt template. Write one a line, with {} where the class goes: a photo of a {}")
    if len(lines) > MAX_TEMPLATES:
        raise UserError(f"These are {len(lines):,} templates. Keep at most {MAX_TEMPLATES}.")
    for line in lines:
        _check_length("template", line)
        if "{}" not in line:
            raise UserError(
                f"The template “{line}” does not say where the class goes. Put {{}} there: a photo of a {{}}"
            )
    return lines


def unknown_words(classes: Sequence[str], known: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """The words of each class that are not among `known` (lower case); classes without any are left out."""
    found = {name: tuple(w for w in re.findall(r"[^\W_]+", name.lower()) if w not in known) for name in classes}
    return {name: words for name, words in found.items() if words}


def _visible(text: str) -> str:
    """White space as single spaces, nothing unprintable."""
    return " ".join("".join(c for c in part if c.isprintable()) for part in text.split()).strip()


def _check_length(kind: str, text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise UserError(f"The {kind} “{text[:40]}…” has {len(text):,} characters. Shorten it to {MAX_LENGTH} or fewer.")


TEMPLATES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "single": ("a photo of a {}",),
        "ensemble": (
            "a photo of a {}",
            "a picture of a {}",
            "an image of a {}",
            "a drawing of a {}",
            "a {}",
            "{}",
        ),
    }
)
"""Named prompt templates; `{}` stands for the class."""
