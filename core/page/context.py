"""Context of a page's listeners: what all its visitors share, and what follows from that for one visit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UserError
from ..pictures.examples import PHOTOGRAPHS, Example, check_pictures, read_examples
from ..pictures.read import Source, read_picture
from ..session.many_pictures import Room
from ..session.visit import Visit
from ..setups.catalog import SetupSpec
from ..setups.pool import SetupPool
from ..views.image import THUMBNAIL
from ..views.images import thumbnail_uri
from ..views.report_words import read_report
from ..workbench import Workbench
from .opening import AT_ONCE, Opening


@dataclass(frozen=True)
class Context:
    """What every listener is given first. Nothing in it belongs to one visitor."""

    pool: SetupPool[Workbench]
    """The setups to choose from."""
    examples: tuple[Example, ...]
    """All that a visit may begin with: rendered scenes, then photographs with a planted cue."""
    thumbnails: Mapping[str, str]
    """Their pictures as data URIs, by their names."""
    reports: Mapping[str, dict[str, Any]]
    """How a setup's levers did on scenes with planted shortcuts, by setup; empty where that is not known."""
    room: Room
    """Memory for the picture sets that visitors bring."""
    opening: Opening
    """Which of the setups a page opens with."""
    local: bool = False
    """Whether this machine alone reaches the page: see `Settings`."""

    @classmethod
    def of(cls, pool: SetupPool[Workbench], opens_with: str = AT_ONCE, local: bool = False) -> "Context":
        """The context of a page that offers these setups. Raises UserError for examples that cannot be read."""
        examples = (*read_examples(), *read_examples(PHOTOGRAPHS))
        check_pictures(examples)
        thumbnails = {example.name: thumbnail_uri(example.file(), THUMBNAIL) for example in examples}
        reports = {name: read_report(card.report) for name, card in pool.cards.items()}
        return cls(pool, examples, thumbnails, reports, Room(), Opening(pool, opens_with), local)

    def bench(self, visit: Visit) -> Workbench:
        """The setup a visit is about; loaded anew where it had to leave for others."""
        return self.pool.get(visit.setup)

    def card(self, visit: Visit) -> SetupSpec:
        """What that setup is."""
        return self.pool.cards[visit.setup]

    def gallery(self, card: SetupSpec) -> tuple[Example, ...]:
        """The examples for a setup: rendered scenes where it knows no other words than theirs, else photographs."""
        photographs = card.vocabulary is None
        return tuple(example for example in self.examples if (example.folder == PHOTOGRAPHS) == photographs)

    def example(self, visit: Visit) -> Example | None:
        """The example a visit is about, or whose counterfactual; None for a visitor's own picture."""
        return self.example_named(visit.subject.example)

    def example_named(self, name: str | None) -> Example | None:
        """The example of that name."""
        return next((example for example in self.examples if example.name == name), None)

    def cue(self, visit: Visit) -> str | None:
        """What that example's counterfactual lacks; None where there is none."""
        example = self.example(visit)
        return None if example is None else example.cue

    def second(self, visit: Visit, file: str | None = None) -> Source | None:
        """The second picture of a visit, found as the first one is; None without one."""
        if visit.second is None:
            return None
        example = self.example_named(visit.second.subject.example)
        return _brought(file, visit.second.crop) if example is None else example.file()

    def picture(self, visit: Visit, file: str | None) -> Source:
        """The picture of a visit: the example, the visitor's file, or, where that is gone, what the model saw of it."""
        example = self.example(visit)
        if example is not None:
            return example.file(visit.subject.counterfactual)
        return _brought(file, visit.trace.crop)


def _brought(file: str | None, crop: np.ndarray) -> Source:
    """A visitor's file, or what the model saw of it."""
    if file is not None:
        try:
            read_picture(file)
            return file
        except UserError:  # it was refused when it came: the visit is still about the picture before
            pass
    return crop
