"""The concept index of a setup: what every component fires for, measured once over a collection of pictures.

For each of the m components: reference pictures (by largest and by mean activation over the tokens in scope, and some
from the middle of its range), where in each it fires, how often and how strongly it fires, a histogram, what its
reference pictures have in common (an embedding, its clarity, label guesses), and its nearest components.

`core.indexing` makes one; `index_file` saves and loads it.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field

from ..model.place_name import PlaceName
from ..records import Record

LABELS = 3
"""Label guesses of a component, at most."""

FORMAT = 1
"""The version of an index's folder."""

Text = Annotated[str, Field(max_length=1000)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Positive = Annotated[int, Field(ge=1, le=2**53)]
Size = Annotated[int, Field(ge=1, le=2**31 - 1)]
Side = Annotated[int, Field(ge=0, le=255)]


def _both_or_none(grid: tuple[int, int]) -> tuple[int, int]:
    if (grid[0] == 0) != (grid[1] == 0):
        raise ValueError("rows without columns, or columns without rows")
    return grid


ChosenBy = Literal["activation", "attribution"]
"""What the `top` pictures of a component are ordered by: how strongly it fires there, or what it contributes there."""


@dataclass(frozen=True)
class Identity:
    """Which setup an index is of."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    clip: Text
    """The CLIP: its repository, or its folder's name."""
    clip_commit: Text | None
    """The commit of that repository; None for a folder."""
    dictionary: Text
    """The dictionary: its repository and file, or its folder's name."""
    dictionary_commit: Text | None
    """The commit of that repository; None for a folder."""
    layer: Count
    """The layer of the vision tower, from 0."""
    scope: Literal["all", "cls", "patches"]
    """The tokens the dictionary reads: all, cls or patches."""
    components: Size
    """m."""
    width: Size
    """d."""
    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Of the weights themselves: see `fingerprint`. This alone decides whether an index fits."""
    place: PlaceName = "residual"
    """What of that layer the dictionary reads; an embedding is of none, and 0 stands for it."""


@dataclass(frozen=True)
class Manifest:
    """What an index was made of: manifest.json, as pydantic checks it."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    """`FORMAT` when it was made."""
    setup: Identity
    """The setup."""
    source: Annotated[Mapping[str, Text], Field(max_length=32)]
    """The collection, as `Collection.manifest` tells it: kind, name, and what else identifies it."""
    pictures: Positive
    """Pictures read."""
    tokens: Positive
    """Tokens in scope read."""
    skipped: Count
    """Pictures of the collection that could not be read."""
    grid: Annotated[tuple[Side, Side], AfterValidator(_both_or_none)]
    """Rows and columns of patches; 0 and 0 of an image embedding."""
    vocabulary: tuple[Text, ...]
    """The label guesses were chosen among these."""
    side: Annotated[int, Field(ge=1, le=65_535)]
    """Pixels of a thumbnail's side."""
    by: ChosenBy = "activation"
    """What the `top` pictures are ordered by: the component's largest activation, or its attribution A_j to the word
    of the vocabulary that the CLIP takes the picture for."""


@dataclass(frozen=True, eq=False, repr=False)
class ActivatingExamples(Record):
    """Some pictures for every component, the most telling first; n places, of which the last may be empty."""

    picture: np.ndarray
    """int32 [m, n]: rows of the index's thumbnails; -1 where there are no more."""
    value: np.ndarray
    """float32 [m, n]: an activation, in the units of f: of `top` and `mid` the largest over the tokens in scope, of
    `mean` the mean over all of them. They are ordered by it, but for a `top` that is ordered by attribution."""
    token: np.ndarray
    """int32 [m, n]: the token of the largest activation; 0 is CLS."""
    start: np.ndarray
    """int64 [m * n + 1]: where each place's patches begin in the arrays below (place k of component j: j * n + k)."""
    patch: np.ndarray
    """uint16 [K]: patches on which the component fires, from 0, in reading order."""
    share: np.ndarray
    """uint8 [K]: the activation there, 255 at the strongest patch or CLS."""

    def region(self, component: int, place: int, grid: tuple[int, int]) -> np.ndarray:
        """Where the component fires in one of its pictures: float32 [rows, columns], 1 where strongest, 0 elsewhere."""
        at = component * self.picture.shape[1] + place
        where = slice(int(self.start[at]), int(self.start[at + 1]))
        cells = np.zeros(grid[0] * grid[1], dtype=np.float32)
        cells[self.patch[where]] = self.share[where] / 255
        return cells.reshape(grid)


@dataclass(frozen=True, eq=False, repr=False)
class Thumbnails(Record):
    """The reference pictures, small, as the bytes of WebP files one after the other."""

    start: np.ndarray
    """int64 [R + 1]: where each begins."""
    bytes: np.ndarray
    """uint8: all of them. It may be mapped from a file."""

    def __len__(self) -> int:
        """R."""
        return len(self.start) - 1

    def webp(self, row: int) -> builtins.bytes:
        """The file of one of them."""
        return self.bytes[int(self.start[row]) : int(self.start[row + 1])].tobytes()


@dataclass(frozen=True, eq=False, repr=False)
class ConceptIndex(Record):
    """What is known of every component. Read-only, and shared by all visitors."""

    manifest: Manifest
    """What it was made of."""
    active_pictures: np.ndarray
    """int64 [m]: pictures in which the component fires (activation above 0 at a token in scope)."""
    active_tokens: np.ndarray
    """int64 [m]: tokens at which it fires."""
    mean_active: np.ndarray
    """float32 [m]: its mean activation over these tokens; 0 for one that never fires."""
    peak: np.ndarray
    """float32 [m]: its largest activation; 0 for one that never fires."""
    edges: np.ndarray
    """float32 [B + 1]: of the bins, the same for all components, ascending, powers of sqrt 2 around 1."""
    histogram: np.ndarray
    """int64 [m, B]: tokens at which it fires, by activation; what lies beyond the edges counts in the outer bins."""
    top: ActivatingExamples
    """By largest activation, or by attribution (`Manifest.by`), descending."""
    mean: ActivatingExamples
    """By mean activation over the tokens in scope, descending."""
    mid: ActivatingExamples
    """From around the median of its pictures' largest activations: what it fires for when it fires as usual."""
    embedding: np.ndarray
    """float16 [m, p]: z_j, the mean of the unit embeddings of the `top` pictures; 0 for one that never fires."""
    average: np.ndarray
    """float32 [p]: the mean unit embedding of all pictures read."""
    clarity: np.ndarray
    """float32 [m]: mean pairwise cosine of the unit embeddings of the `top` pictures; nan for fewer than two."""
    label: np.ndarray
    """int32 [m, 3]: the best label guesses, as places in the manifest's vocabulary; -1 where there is none."""
    alignment: np.ndarray
    """float32 [m, 3]: their alignment scores, cos(z_j, t) - cos(z_j, t_empty)."""
    near: np.ndarray
    """int32 [m, k]: the components nearest in direction, the nearest first; -1 where there are no more."""
    near_cosine: np.ndarray
    """float32 [m, k]: cosine between the directions v, -1 to 1."""
    coactivated: np.ndarray
    """int32 [m, k]: the components that fire most in the same pictures, the first most; -1 where there are no more."""
    coactivation: np.ndarray
    """float32 [m, k]: cosine between the two components' largest activations over a sample of the pictures, 0 to 1."""
    pictures: Thumbnails
    """The reference pictures, small."""

    @property
    def n_components(self) -> int:
        """m."""
        return len(self.peak)

    @property
    def n_bytes(self) -> int:
        """What it takes in memory, thumbnails apart, which are mapped."""
        parts = (self, self.top, self.mean, self.mid)
        return sum(v.nbytes for part in parts for v in vars(part).values() if isinstance(v, np.ndarray))

    def frequency(self, component: int) -> float:
        """Share of the pictures in which it fires, 0 to 1."""
        return float(self.active_pictures[component] / max(1, self.manifest.pictures))
