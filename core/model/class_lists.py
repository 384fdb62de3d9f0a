"""Class lists and prompt templates as they were published, which ship with this app: a visit names them.

A list is written `list:` and its name, as one class or one template among others, wherever classes are typed, linked or
kept: a thousand names then take a few letters. `expanded` reads that, `written` writes it, and each undoes the other.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import chain
from types import MappingProxyType

from ..errors import UserError, echo
from ..files import ASSETS

FOLDER = ASSETS / "class_lists"
BEGINS = "list:"
"""What the name of a list is written after."""
TITLES: Mapping[str, str] = MappingProxyType({"imagenet-1k": "ImageNet-1k"})
"""What each list of classes is called, by its name."""
WORDINGS = "openai-7", "openai-80"
"""The lists of templates."""


@cache
def lines_of(name: str) -> tuple[str, ...]:
    """The lines of a list's file, each once: of ImageNet-1k's 1,000 classes two pairs have one name."""
    return tuple(dict.fromkeys((FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()))


def classes_of(written: str) -> tuple[str, ...] | None:
    """The classes of the list that is written so; None for what is one class. Raises UserError for no such list."""
    if not written.startswith(BEGINS):
        return None
    name = written.removeprefix(BEGINS).strip()
    if name not in TITLES:
        offered = ", ".join(f"{BEGINS}{one}" for one in TITLES)
        raise UserError(f"There is no class list “{echo(name)}”. There is: {offered}.")
    return lines_of(name)


def expanded(written: Iterable[str]) -> tuple[str, ...]:
    """Classes with the names of lists in place of these. A list stays together: what it has is not asked twice.

    Raises UserError for a list that there is not.
    """
    written = tuple(written)
    lists = {one: names for one in written if (names := classes_of(one)) is not None}
    if not lists:
        return written
    listed = _folded(chain.from_iterable(lists.values()))
    found: list[str] = []
    for one in written:
        if one in lists:
            found += lists[one]
            lists[one] = ()
        elif one.casefold() not in listed:
            found.append(one)
    return tuple(found)


def segments(classes: Sequence[str]) -> Iterator[tuple[str | None, tuple[str, ...]]]:
    """The classes in their order, part by part: the name of a list with its classes, or None with others."""
    places: dict[int, str] = {}
    for name in TITLES:
        names = lines_of(name)
        if len(names) <= len(classes) and names[0] in classes:
            at = classes.index(names[0])
            if tuple(classes[at : at + len(names)]) == names:
                places[at] = name
    others: list[str] = []
    at = 0
    while at < len(classes):
        if at not in places:
            others.append(classes[at])
            at += 1
            continue
        if others:
            yield None, tuple(others)
            others = []
        yield places[at], lines_of(places[at])
        at += len(lines_of(places[at]))
    if others:
        yield None, tuple(others)


def written(classes: Sequence[str]) -> tuple[str, ...]:
    """Classes with lists by their names, in place of what these have."""
    return _written(tuple(classes))


@lru_cache(maxsize=64)
def _written(classes: tuple[str, ...]) -> tuple[str, ...]:
    """The same, of what is asked at every press."""
    parts = list(segments(classes))
    lists = [name for name, _ in parts if name is not None]
    others = chain.from_iterable(names for name, names in parts if name is None)
    listed = _folded(chain.from_iterable(map(lines_of, lists)))
    if len(set(lists)) < len(lists) or _folded(others) & listed:  # `expanded` would leave them out
        return classes
    return tuple(chain.from_iterable(names if name is None else (BEGINS + name,) for name, names in parts))


def _folded(names: Iterable[str]) -> set[str]:
    return {name.casefold() for name in names}


def words_of(classes: Sequence[str]) -> tuple[str, ...]:
    """Classes as a reader is told them: a list by what it is called and how many it has."""
    told = ((f"{TITLES[name]} ({len(names):,} names)",) if name else names for name, names in segments(classes))
    return tuple(chain.from_iterable(told))


def expanded_templates(written: Sequence[str]) -> tuple[str, ...]:
    """Templates, where they may be written as one list of them."""
    return next((lines_of(name) for name in WORDINGS if tuple(written) == (BEGINS + name,)), tuple(written))


def written_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """Templates, written as a list where they are one."""
    return next(((BEGINS + name,) for name in WORDINGS if lines_of(name) == tuple(templates)), tuple(templates))
