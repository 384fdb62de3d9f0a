"""What a visitor asked of a setup's components: the search for some, and the one whose page is open.

It outlives a change of picture, classes or levers: which components match, and which page is open, depend on the setup
alone, and are there again when that setup is. What they do in the present picture is shown anew at every change.
"""

from dataclasses import dataclass, replace

from ..concepts.search import Match
from ..pictures.read import Source
from ..workbench import Workbench

FOUND = 12
"""Components listed for a search."""
OFFERED = 6
"""Searches offered as examples."""

_EXAMPLES = ("written text", "the word cat", "a note", "water", "grass", "night", "a face", "fur", "wheels", "sky")
"""Searches worth trying, where a setup knows their words."""


@dataclass(frozen=True)
class ComponentSearch:
    """What was asked of one setup's components."""

    asked: str = ""
    """What was searched for, for the reader."""
    matches: tuple[Match, ...] | None = None
    """What was found, the best first; None before anything was searched for."""
    opened: int | None = None
    """The component whose page is open."""
    openings: int = 0
    """How many pages were opened, in any setup: the page tells an opening from a drawing anew by it."""

    def open_page(self, component: int) -> "ComponentSearch":
        """With the page of that component open."""
        return replace(self, opened=component, openings=self.openings + 1)


def examples(bench: Workbench) -> tuple[str, ...]:
    """Searches to begin with, of words that the setup has seen."""
    return tuple(words for words in _EXAMPLES if not bench.unknown_words((words,)))[:OFFERED]


def search(bench: Workbench, present: ComponentSearch, words: str, picture: Source | None) -> ComponentSearch:
    """The components that fit words, or a picture where one is given. Raises UserError for what cannot be asked."""
    if picture is not None:
        matches = bench.matches_picture(bench.open(picture).embedding, FOUND)
        return replace(present, asked="your picture", matches=matches)
    if words.strip():
        return replace(present, asked=f"“{words.strip()}”", matches=bench.matches_words(words.strip(), FOUND))
    return replace(present, asked="", matches=None)
