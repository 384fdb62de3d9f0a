"""Links: a view state as the query string of the page's address, and back.

`?setup=bundled&example=dog-note-cat&classes=dog,cat,fox&truth=dog&target=cat,dog&suppress=99&tab=evidence`

What has its default is left out. A list is separated by commas; a comma within a name is written `\\,`, and a
backslash `\\\\`, which outlives programs that encode an address anew. Levers keep their order, so that a parameter may
come again: `suppress=99&scale=12:2,7:-0.5@1.25&suppress=4~4.8.15` suppresses 99, doubles 12, turns 7 around where it
fires with 1.25 or more, and suppresses the family that was pulled with 4. `tokens=0,3-9` are those the edit acts on,
and `when=7,3:-0.5@2` is the condition f_7 - 0.5 f_3 >= 2. `like=cat` names the example that the picture is compared
with; without a `target` of classes, that is the target. Classes of a list that ships stand there by its name,
`classes=list:imagenet-1k,zebra crossing`. Commits, and the content hash of a picture of one's own, are
abbreviated as git does: a picture itself is in no link.

A link comes from anybody: every parameter is read by itself, and what cannot be used is left out, with a sentence.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, NamedTuple, get_args
from urllib.parse import parse_qsl, quote_plus

from ..errors import UserError, echo, printable
from ..methods.steering import MAX_LEVERS, Condition, Edit, Lever, Operation, Term
from ..model.class_lists import expanded, written
from ..model.prompts import MAX_CLASSES, MAX_LENGTH, TEMPLATES, parse_templates, visible
from .many_pictures import OWN
from .view_state import LeverState, ViewState

VERSION = 1
"""Of this form, written as `v` from the second on; a later one reads the earlier ones."""
LONGEST = 6000
"""Characters of a query that an address may have: of longer ones, many a server on the way takes none."""
LONGEST_READ = 3 * LONGEST
"""Characters of a query that is read: whoever encodes a link anew may write three for each."""
ABBREVIATED = 12
"""Digits of a commit."""
HASHED = 16
"""Digits of a picture's content hash."""
MAX_NOTES = 5
"""Sentences about one link; what more there is to say is counted."""
MAX_TOKENS = 10_000

_FOREIGN = re.compile("_.*|utm_.*|fbclid|gclid|embed|view|logs")
"""Parameters that are not about a view: those of Gradio, the Hub and counters of visitors, and `embed`."""
_INDEX = re.compile(r"\d{1,10}", re.ASCII)
_NUMBER = re.compile(r"[-+]?[\d.]{1,30}(e[-+]?\d{1,3})?", re.ASCII | re.IGNORECASE)
_LEVER = re.compile(r"(?:(\d{1,10})~)?(\d{1,10}(?:\.\d{1,10})*)(?::([^:@]*))?(?:@([^:@]*))?", re.ASCII)
_RANGE = re.compile(r"(\d{1,10})(?:-(\d{1,10}))?", re.ASCII)


class TargetNames(NamedTuple):
    """A target as a link names it."""

    wanted: str
    """The class."""
    against: str | None
    """The class it is compared with."""


@dataclass(frozen=True)
class Link:
    """What a link says of a view. None where it says nothing, and what it comes with is to be taken."""

    setup: str | None = None
    """Its name in the catalog."""
    commits: Mapping[str, str] = field(default_factory=dict)
    """How the commits of its CLIP and its dictionary begin, by `clip` and `dictionary`."""
    example: str | None = None
    """The example's name."""
    counterfactual: bool = False
    """Whether it is the example's counterfactual, without the cue."""
    picture: str | None = None
    """How the content hash of a picture that is no example begins."""
    classes: tuple[str, ...] | None = None
    """The classes."""
    templates: tuple[str, ...] = TEMPLATES["single"]
    """How they are put into words."""
    truth: str | None = None
    """The class that it should be; empty where the visitor says none."""
    target: TargetNames | None = None
    """What is explained; None, too, where it is the similarity to the second picture."""
    like: str | None = None
    """The name of the example that is the second picture."""
    like_picture: str | None = None
    """How the content hash of a second picture begins that is no example."""
    edit: Edit = Edit()
    """The edit, of components that the setup may not have."""
    pictures: str = ""
    """Which picture set is asked, as in `ManyPictures.which`."""
    by_labels: bool = True
    """As in `ManyPictures`."""
    confusion: tuple[str, str] | None = None
    """As in `ManyPictures`."""
    component: int | None = None
    """The component whose page is open."""
    tab: str | None = None
    """The tab that is open."""


def to_query(state: ViewState) -> str:
    """A view state as the query of an address, without the question mark. `tab` comes last."""
    picture, many = state.picture, state.many
    said: list[tuple[str, str]] = [("setup", state.setup)]
    if picture.example is None:
        said.append(("picture", picture.content[:HASHED]))
    else:
        said.append(("example", picture.example))
    if picture.counterfactual:
        said.append(("cue", "off"))
    said.append(("classes", _list(written(state.classes))))
    wording = next((name for name, templates in TEMPLATES.items() if templates == state.templates), None)
    if wording is None:
        said.append(("templates", _list(state.templates)))
    elif wording != "single":
        said.append(("wording", wording))
    if state.truth is not None:
        said.append(("truth", state.classes[state.truth]))
    elif picture.example is not None:
        said.append(("truth", ""))  # an example comes with one
    if state.second is not None:
        example = state.second.example
        said.append(("like-picture", state.second.content[:HASHED]) if example is None else ("like", example))
    if asked := [k for k in (state.wanted, state.against) if k is not None]:
        said.append(("target", _list(state.classes[k] for k in asked)))
    said += _levers(state.edit.levers)
    if state.edit.tokens is not None:
        said.append(("tokens", ",".join(_ranges(state.edit.tokens)) or "none"))
    if state.edit.condition is not None:
        terms = (f"{one.component}{_after(':', one.weight, 1.0)}" for one in state.edit.condition.terms)
        said.append(("when", f"{','.join(terms)}@{_number(state.edit.condition.at_least)}"))
    if many.which != OWN:  # a set that a visitor brought is on one server alone
        said += [("pictures", many.which)] if many.which else []
        said += [] if many.by_labels else [("labels", "off")]
        said += [("confusion", _list(many.confusion))] if many.confusion is not None else []
    if state.component is not None:
        said.append(("component", str(state.component)))
    said += [(name, commit[:ABBREVIATED]) for name, commit in sorted(state.commits.items()) if commit]
    if state.tab is not None:
        said.append(("tab", state.tab))
    return "&".join(f"{name}={quote_plus(value, safe=',:@~')}" for name, value in said)


def from_query(text: str) -> tuple[Link, tuple[str, ...]]:
    """What the query of an address says, and sentences about what of it cannot be used. Raises nothing."""
    if len(text) > LONGEST_READ:
        return Link(), (f"This link has {len(text):,} characters, more than any that this app makes: nothing is read.",)
    notes: list[str] = []
    levers: list[Lever] = []
    said: dict[str, Any] = {}
    for name, value in parse_qsl(text.removeprefix("?"), keep_blank_values=True):
        try:
            if name in get_args(Operation):
                levers += _read_levers(name, value, notes)
            elif name not in _READERS:
                if not _FOREIGN.fullmatch(name):
                    raise UserError("is nothing that a link can say")
            elif name in said:
                raise UserError("is said twice, and the first one counts")
            else:
                said[name] = _READERS[name](value)
        except UserError as trouble:
            shown = f"{echo(name)}={echo(value)}" if value else echo(name)
            notes.append(f"“{shown}” in this link {trouble}.")
    edit = _edit_of(levers, notes)
    edit = replace(edit, tokens=said.pop("tokens", None), condition=said.pop("when", None))
    said |= {"edit": edit, "commits": {name: said.pop(name) for name in ("clip", "dictionary") if name in said}}
    if said.pop("v", VERSION) != VERSION:
        notes.insert(0, "This link is of a newer version of this app: what this one knows of it is restored.")
    link = Link(**{_FIELDS.get(name, name): value for name, value in said.items()})
    if len(notes) > MAX_NOTES:
        notes[MAX_NOTES:] = [f"{len(notes) - MAX_NOTES:,} more parts of this link cannot be used."]
    return link, tuple(map(printable, notes))


# ---- how it is written


def _list(names: Iterable[str]) -> str:
    return ",".join(name.replace("\\", "\\\\").replace(",", "\\,") for name in names)


def _number(value: float) -> str:
    """The shortest that is read as the same number."""
    return repr(float(value)).removesuffix(".0")


def _after(sign: str, value: float | None, default: float | None = None) -> str:
    return "" if value is None or value == default else f"{sign}{_number(value)}"


def _levers(levers: Iterable[LeverState]) -> Iterator[tuple[str, str]]:
    """In their order: those of one operation that follow each other, and of these, those that are moved as one."""
    for operation, some in groupby(levers, lambda one: one.operation):
        written = []
        for (family, strength, at_least), group in groupby(some, lambda one: (one.family, one.strength, one.at_least)):
            does = ("" if operation == "suppress" else f":{_number(strength)}") + _after("@", at_least)
            components = [str(one.component) for one in group]
            if family is None:
                written += [f"{component}{does}" for component in components]
            else:
                written.append(f"{family}~{'.'.join(components)}{does}")
        yield operation, ",".join(written)


def _ranges(tokens: Iterable[int]) -> Iterator[str]:
    """Ascending numbers, with a dash for three and more that follow each other."""
    for _, run in groupby(enumerate(sorted(set(tokens))), lambda one: one[1] - one[0]):
        first, *others = [token for _, token in run]
        if len(others) < 2:
            yield from map(str, (first, *others))
        else:
            yield f"{first}-{others[-1]}"


# ---- how it is read. A reader of one parameter raises UserError with the end of a sentence about it.


def _split(text: str) -> list[str]:
    """A list at its commas, which a backslash makes part of a name."""
    parts = [""]
    at = iter(text)
    for character in at:
        if character == ",":
            parts.append("")
        else:
            parts[-1] += next(at, "") if character == "\\" else character
    return parts


def _read_index(text: str) -> int:
    if not _INDEX.fullmatch(text) or int(text) >= 2**31:
        raise UserError(f"names “{echo(text)}”, which is no whole number from 0")
    return int(text)


def _read_number(text: str) -> float:
    try:
        if _NUMBER.fullmatch(text):
            return float(text)
    except ValueError:
        pass
    raise UserError(f"has “{echo(text)}” where a number belongs")


def _read_levers(operation: str, text: str, notes: list[str]) -> Iterator[Lever]:
    for part in _split(text):
        try:
            yield from _read_lever(operation, part)
        except UserError as trouble:
            notes.append(f"“{operation}={echo(part)}” in this link {str(trouble).rstrip('.')}.")


def _read_lever(operation: Any, text: str) -> list[Lever]:
    matched = _LEVER.fullmatch(text)
    if matched is None:
        raise UserError("is no lever")
    family, components, strength, at_least = matched.groups()
    if (strength is None) != (operation == "suppress"):
        raise UserError("says how much, which nothing suppressed needs" if strength else "does not say how much")
    number = 0.0 if strength is None else _read_number(strength)
    where = None if at_least is None else _read_number(at_least)
    pulled_with = None if family is None else _read_index(family)
    found = [_read_index(one) for one in components.split(".")]
    try:
        return [Lever(component, operation, number, pulled_with, where) for component in found]
    except UserError as trouble:
        raise UserError(f"cannot be used: {trouble}") from trouble


def _edit_of(levers: Iterable[Lever], notes: list[str]) -> Edit:
    """With each lever that can stand beside those before it."""
    edit = Edit()
    for lever in levers:
        if len(edit.levers) == MAX_LEVERS:
            notes.append(f"This link has more than {MAX_LEVERS} levers: the first {MAX_LEVERS} are pulled.")
            break
        try:
            edit = Edit((*edit.levers, lever))
        except UserError as trouble:
            notes.append(f"The lever on {lever.component} in this link is left out: {trouble}")
    return edit


def _read_tokens(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in [] if text == "none" else _split(text):
        matched = _RANGE.fullmatch(part)
        if matched is None:
            raise UserError(f"names “{echo(part)}”, which is no token")
        first, last = _read_index(matched[1]), _read_index(matched[2] or matched[1])
        if last < first or len(found) + last - first >= MAX_TOKENS:
            raise UserError("names more tokens than a picture has, or none")
        found |= set(range(first, last + 1))
    return tuple(sorted(found))


def _read_condition(text: str) -> Condition:
    terms, sign, at_least = text.rpartition("@")
    if not sign:
        raise UserError("does not say from which sum on the edit acts")
    least, found = _read_number(at_least), []
    for part in _split(terms):
        component, weighted, weight = part.partition(":")
        found.append((_read_index(component), _read_number(weight) if weighted else 1.0))
    try:
        return Condition(tuple(Term(*one) for one in found), least)
    except UserError as trouble:
        raise UserError(f"cannot be used: {str(trouble).rstrip('.')}") from trouble


def _read_classes(text: str) -> tuple[str, ...]:
    names = tuple(filter(None, map(visible, _split(text))))
    try:
        names = expanded(names)
    except UserError as trouble:
        raise UserError(f"cannot be used: {str(trouble).rstrip('.')}") from trouble
    if not names:
        raise UserError("names no class")
    if len(names) > MAX_CLASSES:
        raise UserError(f"names {len(names):,} classes, and a picture is asked about {MAX_CLASSES:,} at most")
    if max(map(len, names)) > MAX_LENGTH:
        raise UserError(f"names a class of more than {MAX_LENGTH} characters")
    spellings: dict[str, str] = {}
    for name in names:
        spellings.setdefault(name.casefold(), name)
    return tuple(spellings.values())


def _read_templates(text: str) -> tuple[str, ...]:
    try:
        return parse_templates("\n".join(_split(text)))
    except UserError as trouble:
        raise UserError(f"cannot be used: {str(trouble).rstrip('.')}") from trouble


def _read_wording(text: str) -> tuple[str, ...]:
    return TEMPLATES[_one_of(*TEMPLATES)(text)]


def _read_target(text: str) -> TargetNames:
    wanted, *others = map(visible, _split(text))
    if not wanted or len(others) > 1:
        raise UserError("is not one class, or two")
    return TargetNames(wanted, others[0] if others else None)


def _read_confusion(text: str) -> tuple[str, str]:
    names = tuple(map(visible, _split(text)))
    if len(names) != 2 or max(map(len, names)) > MAX_LENGTH:
        raise UserError("is not two classes")
    return names[0], names[1]


def _read_version(text: str) -> int:
    if _read_index(text) < 1:
        raise UserError("is no version")
    return int(text)


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise UserError(f"is none of: {', '.join(words)}")
        return text

    return read


def _read_name(text: str) -> str:
    name = visible(text)
    if not 0 < len(name) <= MAX_LENGTH:
        raise UserError("names nothing")
    return name


def _read_text(text: str) -> str:
    return visible(text)[:MAX_LENGTH]


def _digits(least: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(f"[0-9a-f]{{{least},64}}", text):
            raise UserError(f"is not {least} or more hexadecimal digits")
        return text

    return read


_READERS: Mapping[str, Callable[[str], Any]] = {
    "v": _read_version,
    "setup": _read_name,
    "clip": _digits(7),
    "dictionary": _digits(7),
    "example": _read_name,
    "cue": lambda text: _one_of("off")(text) == "off",
    "picture": _digits(HASHED),
    "classes": _read_classes,
    "wording": _read_wording,
    "templates": _read_templates,
    "truth": _read_text,
    "target": _read_target,
    "like": _read_name,
    "like-picture": _digits(HASHED),
    "tokens": _read_tokens,
    "when": _read_condition,
    "pictures": _read_text,
    "labels": lambda text: _one_of("off")(text) != "off",
    "confusion": _read_confusion,
    "component": _read_index,
    "tab": _read_name,
}
"""What reads each parameter but the levers'."""
_FIELDS = {"cue": "counterfactual", "wording": "templates", "labels": "by_labels", "like-picture": "like_picture"}
"""Of `Link`, where its name is another one than the parameter's."""
