"""A trained dictionary (SAE): read from its files, and, where they leave that open, by the formula that fits best."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from ...model.clip import SplitClip
from ..agreement import agree
from ..catalog import SetupSpec
from ..checkpoints import files_of as files_of_layout
from ..checkpoints import hint_for_names as hint_for_layout
from ..checkpoints import read_checkpoint
from ..foreign_errors import readable
from ..made import Hear, Made
from ..readings import choose
from ..residual_statistics import statistics_of


def files_of(card: SetupSpec) -> tuple[str, ...]:
    """Those of its layout."""
    return files_of_layout(card.layout, card.dictionary.file)


def hint_for_names(card: SetupSpec) -> Callable[[Iterable[str]], str]:
    """Which layout they look like."""
    return partial(hint_for_layout, card.layout)


def made(card: SetupSpec, clip: SplitClip, clip_commit: str | None, root: Path, hear: Hear) -> Made:
    """What the file says of itself is compared with the card."""
    with readable("dictionary", str(card.dictionary)):
        readings = read_checkpoint(card.layout, root, card.dictionary.file)
    for reading in readings:
        agree(card, clip, reading)
    statistics = None
    if any(reading.standardise for reading in readings):
        statistics = statistics_of(card, clip, clip_commit, hear("Measuring the CLIP's residual on photographs"))
    choosing = hear("Choosing among the formulas it may have been trained with")
    return choose(clip, readings, card.scope, statistics, choosing)
