"""What one can ask of a concept index: what a component fires for, which go together, which match words or a picture.

1. `concept`, `shots`, `spread`, `neighbours`: what the index holds of one component, ready to be shown.
2. `families`: groups of components that point the same way, or fire in the same pictures, or somewhat of both, so that
   one lever can pull them together.
3. `matches_words`, `matches_picture`: the components whose reference pictures are most like words, or like a picture.
4. `pushes`: what a component does to the classes, set on a blank picture and suppressed on its own reference pictures.

An index is measured once over one collection. What is said here of a component holds for those pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from scipy import sparse
from torch import Tensor

from ..errors import UserError
from ..hashing import hashed
from ..methods.steering import Edit, steer
from ..model.clip import SplitClip
from ..model.dictionary import Dictionary
from ..model.trace import trace_crops
from ..pictures.read import read_picture
from ..records import Record
from .index import ConceptIndex

Kind = Literal["top", "mean", "mid"]
"""Which reference pictures: by largest activation, by mean activation, or from around the median."""

By = Literal["direction", "firing"]
"""What makes components neighbours: their directions, or the pictures they fire in."""

WORDINGS = ("a photo of a {}", "{}")
"""What words are searched by: the mean of both. A class name matches better in the sentence, a phrase ("the word dog")
better alone. On the bundled setup, of the five best matches for each of its 40 class names, 83 % go with that class
(correlation above 0.15) by both, 83 % by the sentence, 79 % by the bare name; for "the word dog" and its like, it is
48, 43 and 48 %."""

ALIKE = 0.4
"""Likeness, 0 to 1, from which components are a family (see `families`)."""
FEWEST = 20
"""Pictures in which both of two components have to fire before their firing together says anything."""

_CHUNK = 1 << 13
"""Components whose embeddings are widened to float32 at a time."""
_UNITS = 1 << 20
"""Likenesses are added up as whole numbers of this part, so that sums do not depend on their order."""
_GREY = 128


# ---- one component


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

    @property
    def silent(self) -> bool:
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
    _check(index, component)
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
    )


@dataclass(frozen=True, eq=False, repr=False)
class Shot(Record):
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


def shots(index: ConceptIndex, component: int, kind: Kind = "top", most: int = 5) -> tuple[Shot, ...]:
    """At most that many reference pictures, the most telling first; none for a component that never fired.

    Raises UserError when there is no such component.
    """
    _check(index, component)
    found = {"top": index.top, "mean": index.mean, "mid": index.mid}[kind]
    places = np.flatnonzero(found.picture[component] >= 0)[:most].tolist()
    return tuple(
        Shot(
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


def spread(index: ConceptIndex, component: int) -> Histogram | None:
    """The histogram of a component, without the empty bins at both ends; None for one that never fired.

    Raises UserError when there is no such component.
    """
    _check(index, component)
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
    _check(index, component)
    who, how = (index.near, index.near_cosine) if by == "direction" else (index.together, index.together_share)
    listed = zip(who[component].tolist(), how[component].tolist(), strict=True)
    return tuple(Neighbour(other, value) for other, value in listed if other >= 0)[:most]


def _check(held: ConceptIndex | Dictionary, component: int) -> None:
    if not 0 <= component < held.n_components:
        raise UserError(
            f"There is no component {component}: this dictionary has {held.n_components:,}, counted from 0."
        )


# ---- families


@dataclass(frozen=True)
class Family:
    """Components that are pulled as one."""

    members: tuple[int, ...]
    """At least two, the one most like the others first."""
    likeness: float
    """The mean likeness of its pairs (see `families`), 0 to 1, at least: a pair that is not listed counts as 0."""
    cosine: float
    """Of their directions: the mean over pairs, those listed as near alone; 0 where none is."""
    together: float
    """Of their firing in the same pictures, 0 to 1: the mean over pairs, those listed as together alone."""
    label: str | None
    """The word that most members have among their label guesses; None where they do not agree."""

    def __len__(self) -> int:
        """How many members it has."""
        return len(self.members)


def families(index: ConceptIndex) -> tuple[Family, ...]:
    """Groups of components that are alike, the largest first; each component is in one at most.

    Likeness is sqrt(cosine^2 + together^2), at most 1: of the directions (opposite ones count as 0), and of the largest
    activations over a sample of pictures. Either is enough, and both together count for more. A pair counts if either
    has the other in its list, else its likeness is 0. Components that never fire are left out, as is the firing of
    those that do so in fewer than 20 pictures, where it may be chance.

    The two groups with the highest mean likeness over all pairs between them become one, again and again, as long as
    that mean is 0.4 or more (average linkage). A chain whose ends have nothing to do with each other lowers it.

    The measures were chosen on the bundled setup, whose directions are nearly at right angles: of the 190 pairs of the
    20 components by which a lying label moves the prediction most, 8 have a cosine above 0.2. A bound on it gives pairs
    and triples, and nothing like "what reacts to written words". As it is, an index of 3,000 scenes with lists of 48
    gives a family of 56 for words, one of 16 for water, one of 3 for the stamp, and one or two for each background; 282
    of the 800 components are in none. With that for words suppressed as one, 87 % instead of 11 % of 400 test scenes
    with a lying label are told right, and 98 % of clean ones, as before. On the validation scenes that this was chosen
    on it was 87 % too; there no family does better than 34 % by complete linkage (every two members have to be alike),
    31 % with bounds on both measures, and 32 % with lists of 16.
    """
    m = index.n_components
    fires = index.active_pictures
    cosine = _pairs(index.near, np.maximum(index.near_cosine, 0), fires > 0)
    together = _pairs(index.together, index.together_share, fires >= FEWEST)
    alike = cosine.power(2) + together.power(2)
    alike.data = np.minimum(1.0, np.sqrt(alike.data))
    alike = _kept(alike, alike.data >= ALIKE)
    group = average_linkage(alike, ALIKE)

    typical, _ = _within(alike, group)
    members = np.lexsort((np.arange(m), -fires, -typical, group))
    sizes = np.bincount(group)
    starts = np.cumsum(sizes) - sizes
    likeness = np.bincount(group, typical) / np.maximum(sizes * (sizes - 1), 1)
    cosines, shares = (_means(group, *_within(listed, group)) for listed in (cosine, together))
    found = []
    for number in np.flatnonzero(sizes > 1).tolist():
        who = members[starts[number] : starts[number] + sizes[number]]
        found.append(
            Family(
                members=tuple(who.tolist()),
                likeness=float(likeness[number]),
                cosine=float(cosines[number]),
                together=float(shares[number]),
                label=_common_label(index, who),
            )
        )
    return tuple(sorted(found, key=lambda family: (-len(family), family.members)))


def average_linkage(alike: sparse.csr_array, least: float) -> np.ndarray:
    """Groups by average linkage of a symmetric, sparse likeness [m, m]: the number of each one's group, int [m].

    Those of highest mean likeness over all their pairs (absent ones count as 0) join first, as long as it is at least
    `least`. In every round all pairs of groups that are each other's likest join at once. That gives the very groups
    that joining the likest pair, one at a time, would: by joining, two groups never become liker to a third than the
    likest of them was (the reducibility of Bruynooghe, 1977). Equally like pairs go by a hash: by their numbers, a long
    row of them would join one pair a round.
    """
    n = alike.shape[0]
    group = np.arange(n)
    sums = sparse.csr_array((np.rint(alike.data * _UNITS).astype(np.int64), alike.indices, alike.indptr), shape=(n, n))
    while sums.nnz:
        sums.sort_indices()
        size = np.bincount(group, minlength=n)
        row = np.repeat(np.arange(n), np.diff(sums.indptr))
        mean = sums.data / (size[row] * size[sums.indices])
        best = np.zeros(n)
        filled = np.flatnonzero(np.diff(sums.indptr))
        best[filled] = np.maximum.reduceat(mean, sums.indptr[filled])
        open_ = best >= least * _UNITS  # whoever is like none does not become so by what others do
        choice = np.full(n, -1)
        likest = np.flatnonzero((mean == best[row]) & open_[row])
        pair = np.minimum(row, sums.indices)[likest] * n + np.maximum(row, sums.indices)[likest]
        likest = likest[np.argsort(hashed(pair), kind="stable")[::-1]]  # so that the smallest is written last
        choice[row[likest]] = sums.indices[likest]
        one = np.flatnonzero(open_)
        one = one[(choice[choice[one]] == one) & (one < choice[one])]
        if not len(one):
            break
        into = np.arange(n)
        into[choice[one]] = one
        numbers, into = np.unique(into, return_inverse=True)
        group = into[group]
        sums = _kept(sums, open_[row] & open_[sums.indices])
        joins = sparse.csr_array((np.ones(n, dtype=np.int64), (np.arange(n), into)), shape=(n, len(numbers)))
        sums = sparse.csr_array(joins.T @ sums @ joins)
        n = len(numbers)
        sums = _kept(sums, np.repeat(np.arange(n), np.diff(sums.indptr)) != sums.indices)
    return group


def _pairs(who: np.ndarray, how: np.ndarray, counts: np.ndarray) -> sparse.csr_array:
    """Lists of neighbours [m, k] as a symmetric sparse matrix [m, m], of those that count, above 0."""
    m = len(who)
    one, other = np.repeat(np.arange(m), who.shape[1]), who.ravel().astype(np.int64)
    use = (other >= 0) & (other != one) & (how.ravel() > 0)
    use &= counts[one] & counts[np.maximum(other, 0)]
    listed = sparse.csr_array((how.ravel()[use].astype(np.float64), (one[use], other[use])), shape=(m, m))
    # A pair may stand in both lists, with values that differ by rounding alone.
    return sparse.csr_array(listed.maximum(listed.T.tocsr()))


def _kept(matrix: sparse.csr_array, keep: np.ndarray) -> sparse.csr_array:
    """The matrix with these of its entries alone."""
    matrix = sparse.csr_array((np.where(keep, matrix.data, 0), matrix.indices, matrix.indptr), shape=matrix.shape)
    matrix.eliminate_zeros()
    return matrix


def _within(matrix: sparse.csr_array, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For everyone, the sum and the number of the entries it has with others of its group: [m] each."""
    row = np.repeat(np.arange(len(group)), np.diff(matrix.indptr))
    inside = group[row] == group[matrix.indices]
    row = row[inside]
    return np.bincount(row, matrix.data[inside], len(group)), np.bincount(row, minlength=len(group))


def _means(group: np.ndarray, total: np.ndarray, number: np.ndarray) -> np.ndarray:
    """The mean over each group's entries; 0 where it has none."""
    return np.bincount(group, total) / np.maximum(np.bincount(group, number), 1)


def _common_label(index: ConceptIndex, who: np.ndarray) -> str | None:
    """The word that most members have among their guesses, if two have it and a third of all; of equals, the best.

    There are synonyms in any vocabulary ("label", "note", "sign"), so few words get more than half.
    """
    votes: dict[int, list[float]] = {}
    for member in who:
        for word, fit in zip(index.label[member].tolist(), index.alignment[member].tolist(), strict=True):
            if word >= 0:
                votes.setdefault(word, []).append(fit)
    if not votes:
        return None
    word, fits = max(votes.items(), key=lambda vote: (len(vote[1]), sum(vote[1]), -vote[0]))
    return index.manifest.vocabulary[word] if len(fits) >= max(2, len(who) / 3) else None


# ---- search


@dataclass(frozen=True)
class Match:
    """A component that fits what was asked for."""

    component: int
    """Index into the dictionary."""
    score: float
    """Of words: how much nearer to them its reference pictures are than to any words, as a difference of cosines. Of a
    picture: the cosine, -1 to 1, of what sets its reference pictures and that picture apart from the collection."""


def matches_words(index: ConceptIndex, text: np.ndarray, common: np.ndarray, most: int) -> tuple[Match, ...]:
    """The components whose reference pictures fit words best, those that never fired left out.

    score = cos(z_j, t) - <z_j, c> / |z_j|, with z_j the mean embedding of the component's reference pictures, t [p] the
    unit embedding of the words, and c [p] the mean embedding of everyday words in the same wording: what all words
    share. The alignment of label guesses has the empty text's embedding in place of c. Which word fits a component
    best is the same with either, but not which component fits a word best: on the bundled setup, of the five best
    matches for a class's name, 83 % go with that class (correlation above 0.15) with c, and 70 % with the empty text.
    """
    return _best(index, lambda z: _units(z) @ (text - common).astype(np.float32), most)


def matches_picture(index: ConceptIndex, picture: np.ndarray, most: int) -> tuple[Match, ...]:
    """The components whose reference pictures are most like a picture, those that never fired left out.

    score = cos(z_j - a, z - a), with z [p] the picture's embedding made unit and a the mean over the collection. If a
    were left in, all pictures would be alike: the embeddings of a CLIP lie in a narrow cone, and z_j near its middle,
    of components that fire for anything, would be near everything.
    """
    unit = picture / max(float(np.linalg.norm(picture)), 1e-12)
    apart = _units((unit - index.average)[None].astype(np.float32))[0]
    return _best(index, lambda z: _units(z - index.average) @ apart, most)


def _best(index: ConceptIndex, score: Callable[[np.ndarray], np.ndarray], most: int) -> tuple[Match, ...]:
    m = index.n_components
    parts = [score(index.embedding[start : start + _CHUNK].astype(np.float32)) for start in range(0, m, _CHUNK)]
    scores = np.where(index.active_pictures > 0, np.concatenate(parts), -np.inf)
    order = np.argsort(-scores, kind="stable")[: min(most, int((index.active_pictures > 0).sum()))]
    return tuple(Match(int(component), float(scores[component])) for component in order)


def _units(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1; 0 stays 0."""
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


# ---- what it does


@dataclass(frozen=True, eq=False, repr=False)
class Pushes(Record):
    """What a component does to the classes' logits, whichever picture is looked at.

    All changes are after minus before, in logits, and what is common to all classes is left in; the `relative_` ones
    are without it, which is what a softmax can see of them.
    """

    classes: tuple[str, ...]
    """The classes."""
    strength: float
    """What it was set to on the grey picture, in the units of f."""
    on_blank: np.ndarray
    """float32 [C]: the change when it is set to `strength` at every token in scope of a picture that is all grey."""
    each: np.ndarray
    """float32 [n, C]: the change on each of n reference pictures when it is suppressed; 0 where it does not fire."""

    @property
    def n_references(self) -> int:
        """n."""
        return len(self.each)

    @property
    def on_references(self) -> np.ndarray:
        """The mean of `each` over the pictures, float32 [C]; nan without any."""
        return _mean_rows(self.each)

    @property
    def error(self) -> np.ndarray:
        """The standard error of `on_references`, float32 [C]; nan for fewer than two pictures."""
        return _error(self.each)

    @property
    def relative_on_blank(self) -> np.ndarray:
        """`on_blank` without what is common to all classes, float32 [C]."""
        return relative(self.on_blank)

    @property
    def relative_on_references(self) -> np.ndarray:
        """`on_references` without what is common to all classes, float32 [C]."""
        return _mean_rows(relative(self.each))

    @property
    def relative_error(self) -> np.ndarray:
        """The standard error of `relative_on_references`, float32 [C]; nan for fewer than two pictures."""
        return _error(relative(self.each))


def relative(change: np.ndarray) -> np.ndarray:
    """Changes of logits [..., C] less their mean over the classes, float32: what a softmax can see of them."""
    if not change.shape[-1]:
        return change
    return (change - change.mean(axis=-1, keepdims=True, dtype=np.float64)).astype(np.float32)


def _mean_rows(each: np.ndarray) -> np.ndarray:
    if not len(each):
        return np.full(each.shape[1], np.nan, dtype=np.float32)
    return each.mean(axis=0, dtype=np.float64).astype(np.float32)


def _error(each: np.ndarray) -> np.ndarray:
    if len(each) < 2:
        return np.full(each.shape[1], np.nan, dtype=np.float32)
    return (each.std(axis=0, ddof=1, dtype=np.float64) / math.sqrt(len(each))).astype(np.float32)


def strength_of(index: ConceptIndex, component: int) -> float:
    """How strong a component is where it is strong: the mean of its `top` pictures' activations, in the units of f.

    Raises UserError for one that never fired, or when there is no such component.
    """
    _check(index, component)
    values = index.top.value[component][index.top.picture[component] >= 0]
    if not len(values):
        raise UserError(
            f"Component {component} never fired in the {index.manifest.pictures:,} pictures of the concept index: "
            "there is nothing to set it to, and no picture to suppress it on. Choose another one."
        )
    return float(values.mean(dtype=np.float64))


def crops_of(index: ConceptIndex, component: int, most: int, side: int) -> np.ndarray:
    """At most that many of its `top` reference pictures as the model reads them, uint8 [n, side, side, 3].

    They are the index's thumbnails, enlarged: finer than these, nothing is kept of the pictures themselves. A component
    that lives on fine detail fires less here than it did.
    """
    pictures = [read_picture(shot.webp) for shot in shots(index, component, "top", most)]
    crops = [np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC)) for picture in pictures]
    return np.stack(crops) if crops else np.zeros((0, side, side, 3), dtype=np.uint8)


@torch.no_grad()
def pushes(
    clip: SplitClip,
    dictionary: Dictionary,
    component: int,
    strength: float,
    crops: np.ndarray,
    classifier: Tensor,
    classes: Sequence[str],
) -> Pushes:
    """What a component does to classes, of unit vectors [C, p], when set on a grey picture and suppressed on crops.

    On the grey picture it is set at every token in scope, which no real picture does: a strong dose, to see which way
    it pushes. The crops, uint8 [n, S, S, 3], are its reference pictures. The edits take one pass through the layers
    after L. Raises UserError when there is no such component.
    """
    _check(dictionary, component)
    side = clip.model.config.vision_config.image_size
    grey = np.full((1, side, side, 3), _GREY, dtype=np.uint8)
    traces = trace_crops(clip, dictionary, np.concatenate([grey, crops]))
    before = np.stack([trace.embedding for trace in traces])

    steered = torch.stack([clip.place(trace.residual) for trace in traces])
    # A lever cannot be set beyond 100, which is nothing for a dictionary with large activations.
    scope = list(dictionary.tokens(len(traces[0].residual)))
    lacking = strength - clip.place(traces[0].activations.of(component))[scope]
    steered[0, scope] += lacking[:, None] * dictionary.directions(np.array([component]))
    off = Edit.of_suppressed([component])
    for row, trace in enumerate(traces[1:], start=1):
        steered[row] = steer(steered[row], trace.activations, [off], dictionary)[0]
    fires = [0] + [row for row, trace in enumerate(traces) if row and trace.activations.of(component).any()]
    after = before.copy()
    after[fires] = clip.finish(steered[fires]).cpu().numpy()

    # In float64, as two cosines that are nearly equal are subtracted.
    turned = _units(after.astype(np.float64)) - _units(before.astype(np.float64))
    change = clip.logit_scale * turned @ classifier.cpu().double().numpy().T
    return Pushes(tuple(classes), float(strength), change[0].astype(np.float32), change[1:].astype(np.float32))
