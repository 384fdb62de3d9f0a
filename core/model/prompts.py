"""Classes and prompt templates of the zero-shot classifier, read from what a visitor types."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import UserError, echo
from .class_lists import BEGINS, TITLES, WORDINGS, classes_of, expanded, lines_of

MAX_CLASSES = 2_000
MAX_TEMPLATES = 80
MAX_LENGTH = 200
"""Characters in a class or a template."""
MAX_TEXT = 100_000
"""Characters of what is typed in one place, and of all classes together: two thousand names of fifty."""

_LINE = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_COMMA = re.compile("[,，、،]")
_COMMAS = ",，、، "
_FILLERS = frozenset(
    map(chr, (0xAD, 0x61C, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF))
) | frozenset(map(chr, range(0xFFF9, 0xFFFC)))
"""Format characters that no script needs for another word: soft hyphens, marks of direction, invisible spaces."""


@dataclass(frozen=True)
class ClassList:
    """The classes a prediction chooses from."""

    names: tuple[str, ...]
    """In the order typed, each once."""
    notes: tuple[str, ...]
    """Sentences about what was changed or should be known; empty when there is nothing to say."""


def parse_classes(text: str) -> ClassList:
    """The classes in a text: one a line, so that a comma belongs to its name; a single line is a list with commas.

    Names are put into Unicode's composed form (NFC), runs of white space become one space, and characters that no
    script needs go (see `visible`). A class that differs from an earlier one in upper and lower case only is left out.
    `list:imagenet-1k` stands for the names of that list (`core.model.class_lists`). Notes say how the text was read.
    Raises UserError for no class, more than 2,000, a class of more than 200 characters, a list that there is not, and a
    text of more than 100,000 characters.
    """
    _check_size(text)
    lines = [line for line in map(visible, _LINE.split(text)) if line.strip(_COMMAS)]
    is_list = len(lines) == 1 and len(_COMMA.split(lines[0].strip(_COMMAS))) > 1
    parts = _COMMA.split(lines[0]) if is_list else lines
    spellings: dict[str, list[str]] = {}
    for name in filter(None, (part.strip(_COMMAS) for part in parts)):
        spellings.setdefault(name.casefold(), []).append(name)
    typed = tuple(same[0] for same in spellings.values())
    repeated = [same[0] for same in spellings.values() if len(same) > 1]
    if not typed:
        raise UserError("There are no classes. Write what the picture might show, one a line.")
    for name in typed:
        _check_length("class", name)
    names = expanded(typed)
    check_classes(names)
    notes = [_about_list(one) for one in typed if classes_of(one) is not None]
    if is_list:
        notes.append("Read as a list: on a single line, commas separate the classes.")
    elif any(_COMMA.search(name) for name in names) and len(lines) > 1:
        notes.append("Read as one class a line: commas belong to the names.")
    if repeated:
        listed = echo(", ".join(f"“{name}”" for name in repeated))
        notes.append(f"Written more than once, counted once: {listed}.")
    if len(names) == 1:
        notes.append("With a single class its probability is always 100 %. Add what it could be mistaken for.")
    return ClassList(names, tuple(notes))


def _about_list(written: str) -> str:
    name = written.removeprefix(BEGINS).strip()
    return f"“{BEGINS}{name}” stands for the {len(lines_of(name)):,} names of {TITLES[name]}’s classes."


def check_classes(names: Sequence[str]) -> None:
    """Raise UserError for more classes, or longer ones all together, than a picture is asked about."""
    if len(names) > MAX_CLASSES:
        raise UserError(f"These are {len(names):,} classes. Keep at most {MAX_CLASSES:,}.")
    if sum(map(len, names)) > MAX_TEXT:
        raise UserError(f"These classes have more than {MAX_TEXT:,} characters in all. Shorten them, or keep fewer.")


def parse_templates(text: str) -> tuple[str, ...]:
    """The templates in a text, one a line, each once.

    Raises UserError for none or more than 80, for a line of more than 200 characters or without `{}`, and for a text of
    more than 100,000 characters.
    """
    _check_size(text)
    lines = tuple(dict.fromkeys(filter(None, map(visible, _LINE.split(text)))))
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


def visible(text: str) -> str:
    """A line as it is classified: NFC, white space as single spaces, without characters that no script needs.

    Joiners (U+200C, U+200D), variation selectors, emoji tags and the format characters of single scripts stay: they
    make another word, or another emoji. Controls, half characters (surrogates), what is unassigned, marks of direction
    and invisible fillers go. A line of what nobody can see is empty.
    """
    kept = " ".join("".join(c for c in part if not _is_needless(c)) for part in text.split()).strip()
    kept = " ".join(unicodedata.normalize("NFC", kept).split())
    return kept if any(unicodedata.category(c) not in ("Cf", "Mn", "Me", "Zs") for c in kept) else ""


def _is_needless(character: str) -> bool:
    category = unicodedata.category(character)
    return category in ("Cc", "Cs", "Co", "Cn") or category == "Cf" and character in _FILLERS


def _check_size(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise UserError(f"The text has {len(text):,} characters. Shorten it to {MAX_TEXT:,} or fewer.")


def _check_length(kind: str, text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise UserError(f"The {kind} “{echo(text)}” has {len(text):,} characters. Shorten it to {MAX_LENGTH} or fewer.")


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
        **{name: lines_of(name) for name in WORDINGS},
    }
)
"""Named prompt templates; `{}` stands for the class."""
