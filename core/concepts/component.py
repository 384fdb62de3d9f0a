"""Component (SAE latent) of a concept index, ready to be shown.

An index is measured once over one collection. What is said here of a component holds for those pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from ..errors import UserError
from ..model.dictionary import Dictionary
from ..records import Preview, Record
from ..words import percent
from .index import ChosenBy, ConceptIndex

Kind = Literal["top", "mean", "mid"]
"""Which reference pictures: by largest activation, by mean activation, or from around the median."""

By = Literal["direction", "firing"]
"""What makes components neighbours: their directions, or the pictures they fire in."""


class Guess(NamedTuple):
    """A guess at what a component stands for."""

    word: str
    """From the index's vocabulary."""
    alignment: float
    """cos(z_j, t) - cos(z_j, t_empty), with z_j the mean embedding of its reference pictures; -2 to 2."""


@dataclass(frozen=True)
class Concept:
    """What a card shows of one component."""

    component: int
    """Index into the dictionary."""
    guesses: tuple[Guess, ...]
    """At most three, the best first; none for one that never fired."""
    clarity: float | None
    """How much its reference pictures have in common: the mean pairwise cosine of their embeddings; None below two."""
    usual: float
    """The clarity of pictures picked at random from the collection, to compare with."""
    frequency: float
    """Share of the collection's pictures in which it fires, 0 to 1."""
    mean_active: float
    """Its mean activation over the tokens at which it fires, in the units of f."""
    peak: float
    """Its largest activation, in the units of f."""
    fired: int
    """Pictures in which it fires."""
    pictures: int
    """Pictures of the collection."""
    by: ChosenBy = "activation"
    """What its strongest reference pictures are chosen by."""

    @property
    def dead(self) -> bool:
        """Whether it never fired in the collection."""
        return self.fired == 0

    @property
    def label(self) -> str | None:
        """The best guess; None where there is none."""
        return self.guesses[0].word if self.guesses else None

    @property
    def alignment(self) -> float:
        """How well the best guess fits; 0 where there is none."""
        return self.guesses[0].alignment if self.guesses else 0.0

    @property
    def others(self) -> tuple[Guess, ...]:
        """The guesses after the best."""
        return self.guesses[1:]


def concept(index: ConceptIndex, component: int) -> Concept:
    """What the index knows of a component. Raises UserError when there is no such component."""
    check_component(index, component)
    places = zip(index.label[component].tolist(), index.alignment[component].tolist(), strict=True)
    clarity = float(index.clarity[component])
    return Concept(
        component=int(component),
        guesses=tuple(Guess(index.manifest.vocabulary[word], fit) for word, fit in places if word >= 0),
        clarity=None if math.isnan(clarity) else clarity,
        # The mean cosine over all pairs of pictures is the squared length of their mean.
        usual=float(np.square(index.average, dtype=np.float64).sum()),
        frequency=index.frequency(component),
        mean_active=float(index.mean_active[component]),
        peak=float(index.peak[component]),
        fired=int(index.active_pictures[component]),
        pictures=index.manifest.pictures,
        by=index.manifest.by,
    )


@dataclass(frozen=True, eq=False, repr=False)
class ActivatingExample(Record):
    """One reference picture of a component."""

    webp: bytes
    """The picture, small, as a WebP file."""
    value: float
    """The activation it is ordered by, in the units of f: the largest over the tokens, or for "mean" their mean."""
    token: int
    """The token at which it fires most; 0 is CLS."""
    region: np.ndarray
    """float32 [rows, columns]: where it fires, 1 at its strongest, 0 where it does not; all 0 if at CLS only."""
    row: int
    """Which of the index's pictures it is: the same picture has the same row whatever component it is shown for."""

    @property
    def on_cls(self) -> bool:
        """Whether it fires most at CLS, which sees the whole picture."""
        return self.token == 0


def activating_examples(
    index: ConceptIndex, component: int, kind: Kind = "top", most: int = 5
) -> tuple[ActivatingExample, ...]:
    """At most that many reference pictures, the most telling first; none for a component that never fired.

    Raises UserError when there is no such component.
    """
    check_component(index, component)
    found = {"top": index.top, "mean": index.mean, "mid": index.mid}[kind]
    places = np.flatnonzero(found.picture[component] >= 0)[:most].tolist()
    return tuple(
        ActivatingExample(
            webp=index.pictures.webp(int(found.picture[component, place])),
            value=float(found.value[component, place]),
            token=int(found.token[component, place]),
            region=found.region(component, place, index.manifest.grid),
            row=int(found.picture[component, place]),
        )
        for place in places
    )


@dataclass(frozen=True, eq=False, repr=False)
class Histogram(Record):
    """How strongly a component fires, over the tokens at which it does."""

    edges: np.ndarray
    """float32 [b + 1]: ascending, each sqrt 2 times the one before, in the units of f."""
    counts: np.ndarray
    """int64 [b]: tokens with an activation between two edges; neither the first nor the last is 0."""

    def quantile(self, share: float) -> float:
        """The activation that this share of the tokens stay below, in the units of f.

        Within a bin the tokens are taken to be spread evenly over the logarithm: over several bins that is right to
        some percent, and never wrong by more than sqrt 2.
        """
        below = np.concatenate([[0], np.cumsum(self.counts)]) / self.counts.sum()
        return float(np.exp(np.interp(share, below, np.log(self.edges))))

    def preview(self) -> Preview:
        """How strongly it fires at a tenth, a half and nine tenths of the tokens."""
        rows = [(f"{percent(share)} %", f"{self.quantile(share):.3g}") for share in (0.1, 0.5, 0.9)]
        return Preview(f"It fires at {int(self.counts.sum()):,} tokens", ("of them below", "activation"), rows)


def histogram(index: ConceptIndex, component: int) -> Histogram | None:
    """The histogram of a component, without the empty bins at both ends; None for one that never fired.

    Raises UserError when there is no such component.
    """
    check_component(index, component)
    counts = index.histogram[component]
    filled = np.flatnonzero(counts)
    if not len(filled):
        return None
    first, last = int(filled[0]), int(filled[-1]) + 1
    return Histogram(index.edges[first : last + 1].copy(), counts[first:last].copy())


@dataclass(frozen=True)
class Neighbour:
    """A component near another one."""

    component: int
    """Index into the dictionary."""
    value: float
    """By direction: the cosine of the two, -1 to 1. By firing: the cosine between their largest activations over a
    sample of the pictures, 0 (never in the same picture) to 1."""


def neighbours(index: ConceptIndex, component: int, by: By, most: int = 8) -> tuple[Neighbour, ...]:
    """The components nearest to one, the nearest first. Raises UserError when there is no such component."""
    check_component(index, component)
    who, how = (index.near, index.near_cosine) if by == "direction" else (index.coactivated, index.coactivation)
    listed = zip(who[component].tolist(), how[component].tolist(), strict=True)
    return tuple(Neighbour(other, value) for other, value in listed if other >= 0)[:most]


def check_component(held: ConceptIndex | Dictionary, component: int) -> None:
    """Raise UserError when there is no such component in an index or a dictionary."""
    if not 0 <= component < held.n_components:
        raise UserError(
            f"There is no component {component}: this dictionary has {held.n_components:,}, counted from 0."
        )
