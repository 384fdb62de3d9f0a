"""Settings of a view -> words: all that is needed to get the same numbers again, for captions, reports and tables."""

import numpy as np

from ..errors import printable
from ..files import ASSETS
from ..model.class_lists import words_of
from ..session.view_state import content_hash
from ..session.visit import Subject, Visit
from ..setups.catalog import Location
from ..setups.loading import Setup
from ..words import count
from .component import target_words
from .evidence import condition_words, lever_words
from .prediction import tokens_words

NAMED = 12
"""Classes, or wordings, that a caption names; of more, the rest are counted."""
NO_EDIT = "none"
"""In place of an edit."""


def settings(setup: Setup, visit: Visit) -> dict[str, str]:
    """What was set, by what it is called: the setup with its commits, the picture, the question, the edit."""
    card, commits = setup.card, setup.commits
    place = setup.clip.place
    told = {
        "Setup": card.title,
        "CLIP": _place(card.clip, commits.get("clip")),
        "Dictionary": _place(card.dictionary, commits.get("dictionary")),
        "Place": f"{place.words(setup.clip.n_layers)}; {place.tokens_words(card.scope).only}",
        "Picture": _picture(visit.subject, visit.trace.crop),
        "Classes": ", ".join(words_of(visit.classes)),
        "Wording": "; ".join(visit.templates),
        "Target": target_words(visit),
        **_second(visit),
        "Should be": "not said" if visit.truth is None else f"“{visit.classes[visit.truth]}”",
        "Edit": edit_words(visit),
    }
    return {name: printable(value) for name, value in told.items()}


def _picture(subject: Subject, crop: np.ndarray) -> str:
    return f"{subject.caption} (SHA-256 of its pixels {content_hash(crop)[:12]}…)"


def _second(visit: Visit) -> dict[str, str]:
    """The picture that the target is about, besides the first."""
    if visit.second is None or not visit.about_second:
        return {}
    return {"Second picture": _picture(visit.second.subject, visit.second.crop)}


def edit_words(visit: Visit) -> str:
    """The edit, where it acts and when, in words."""
    if not visit.edit.levers:
        return NO_EDIT
    rows, columns = visit.trace.grid
    done = ", ".join(map(lever_words, visit.edit.groups()))
    where = f"{done}, on {tokens_words(visit.edit.tokens, rows * columns)}" if rows else done
    condition = visit.edit.condition
    return where if condition is None else f"{where}, {condition_words(condition)}"


def in_a_sentence(setup: Setup, visit: Visit) -> str:
    """The same for a caption, with no more than some of many classes."""
    told = settings(setup, visit) | {
        "Classes": _some(words_of(visit.classes), ", ", "class", "es"),
        "Wording": _some(visit.templates, "; ", "wording"),
    }
    return printable(". ".join(f"{name}: {value.rstrip('.')}" for name, value in told.items()) + ".")


def _some(names: tuple[str, ...], between: str, noun: str, ending: str = "s") -> str:
    rest = len(names) - NAMED
    return between.join(names[:NAMED]) + (f" and {count(rest, f'more {noun}', ending)}" if rest > 0 else "")


def _place(place: Location, commit: str | None) -> str:
    if place.folder is None:
        return f"{place}, at {commit or place.revision}"
    inside = "" if place.file == "." else f"/{place.file}"
    if place.folder.is_relative_to(ASSETS):
        return f"{place.folder.relative_to(ASSETS.parent).as_posix()}{inside}, as CLIP Levers ships it"
    return f"a folder, {place.folder.name}{inside}"
