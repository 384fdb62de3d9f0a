"""Failures among many pictures: which classes are confused, and which components (SAE latents) drive that.

1. A confusion is a true class and the one that was said, with all pictures of which that holds (`confusions`).
2. On the discovery part of the pictures, every component is given three numbers: its mean attribution over the
   failures, to the logit of the class that was said less that of the truth; in how many failures it is among the first
   five by that; and how well its firing tells the failures from right pictures of the same class (AUROC). The first of
   each order are the candidates.
3. On the judging part, of which no picture was looked at before, the same numbers are taken again, and each candidate
   is suppressed in all pictures: what it fixes, and what it breaks. Numbers of the discovery part flatter a candidate,
   which was chosen by them; those of the judging part do not.

Families of components are candidates in the same way: their attribution is the sum of their members', and they fire as
strongly as the member that fires most, by f ||v||, in the units of the residual stream.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from scipy import sparse
from torch import Tensor

from ..errors import UserError
from ..model.dictionary import CHUNK
from ..model.sae_clip import BATCH, SaeClip
from ..records import Preview, Record
from ..words import count, signed
from .attribution import attributions
from .generalization import Counts, Generalization, generalize
from .picture_set import PictureSet, peaks
from .steering import Edit
from .targets import ClassTarget

FIRST = 5
"""A component is among the first of a picture when no more than four have a larger attribution."""
MOST = 5
"""Candidates of each order."""

By = Literal["attribution", "among_first", "auroc"]
"""What candidates are ordered by."""

Stage = tuple[str, int, int]
"""What is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Confusion:
    """Failures of one kind: pictures of one class of which another was said."""

    truth: int | None = None
    """The class they show, by its number; None for any."""
    said: int | None = None
    """The class that the model says, by its number; None for any other."""

    def failures(self, pictures: PictureSet) -> np.ndarray:
        """Indices of the pictures of which it holds, ascending."""
        mine = pictures.wrong
        if self.truth is not None:
            mine = mine & (pictures.truth == self.truth)
        if self.said is not None:
            mine = mine & (pictures.said == self.said)
        return np.flatnonzero(mine)

    def words(self, classes: Sequence[str]) -> str:
        """True class → class that was said."""
        truth, said = ("any" if c is None else classes[c] for c in (self.truth, self.said))
        return f"{truth} → {said}"


@dataclass(frozen=True, eq=False, repr=False)
class Standing(Record):
    """Where k candidates stand on one part of the pictures."""

    failures: int
    """Pictures of the confusion."""
    right: int
    """Right pictures of the same true classes, which the failures are told from."""
    attribution: np.ndarray
    """float64 [k]: the mean over the failures of A_j to the class said less the true one, in logits; nan of none."""
    among_first: np.ndarray
    """int [k]: in how many failures it is among the first five by that."""
    auroc: np.ndarray
    """float64 [k]: how likely it fires more in a failure than in a right picture of the same class, ties half; 0 to 1.

    0.5 tells nothing. nan where there are no such pairs."""


@dataclass(frozen=True, eq=False, repr=False)
class Candidates(Record):
    """Components, or families of them, that may drive a confusion; by mean attribution on the discovery part."""

    members: tuple[tuple[int, ...], ...]
    """Of each candidate, its component, or those of its family."""
    discovery: Standing
    """On the part that they were chosen on."""
    judging: Standing
    """On the other."""
    fixed: np.ndarray
    """int [k]: how many failures of the judging part are right with the candidate suppressed."""
    counts: tuple[Counts, ...]
    """What suppressing it does to all pictures of the judging part."""

    def order(self, by: By) -> np.ndarray:
        """The candidates' places, int [k], the foremost on the discovery part first."""
        return np.argsort(-getattr(self.discovery, by), kind="stable")


@dataclass(frozen=True, eq=False, repr=False)
class Findings(Record):
    """What may drive one confusion, proposed on one part of the pictures and judged on another."""

    confusion: Confusion
    """What was looked into."""
    classes: tuple[str, ...]
    """What the model chooses from."""
    discovery: np.ndarray
    """Indices of the pictures that candidates were proposed on."""
    judging: np.ndarray
    """Indices of those they were judged on; none is in both."""
    components: Candidates
    """Single ones."""
    families: Candidates
    """Families; none where there are none."""

    @property
    def said(self) -> str:
        """Which pictures it rests on, in a sentence."""
        on, at = self.components.discovery, self.components.judging
        return (
            f"Proposed on {count(on.failures, 'failure')} among {count(len(self.discovery), 'picture')}, judged on "
            f"{at.failures} among {len(self.judging)} others."
        )

    def preview(self) -> Preview:
        """The candidates, as they were judged."""
        rows = []
        for found in (self.families, self.components):
            for k, members in enumerate(found.members):
                name = f"#{members[0]}" + (f" and {len(members) - 1} more" if len(members) > 1 else "")
                c, at = found.counts[k], found.judging
                first, auroc = f"{at.among_first[k]} of {at.failures}", f"{at.auroc[k]:.2f}"
                rows.append((name, signed(at.attribution[k]), first, auroc, str(c.fixed), str(c.broken)))
        heads = ("candidate", "attribution", "among the first", "AUROC", "fixes", "breaks")
        return Preview(f"{self.confusion.words(self.classes)}. {self.said}", heads, rows)


def confusions(pictures: PictureSet) -> dict[Confusion, int]:
    """How many pictures of each class are said to be which other one, the most frequent first."""
    pairs, counts = np.unique(
        np.stack([pictures.truth, pictures.said])[:, pictures.wrong], axis=1, return_counts=True
    )  # [2, k], [k]
    order = np.argsort(-counts, kind="stable")
    return {Confusion(int(pairs[0, k]), int(pairs[1, k])): int(counts[k]) for k in order}


def find_candidates(
    model: SaeClip,
    pictures: PictureSet,
    classifier: Tensor,
    confusion: Confusion,
    parts: tuple[np.ndarray, np.ndarray],
    families: Sequence[Sequence[int]] = (),
    most: int = MOST,
    batch: int = BATCH,
) -> Iterator[Stage | Findings]:
    """What may drive a confusion: candidates of the first of two parts (indices), judged on the second.

    `classifier` holds the unit class vectors [C, p] that the set was asked with. Yields what it is at after every
    batch, and at last the Findings. Beside the set it takes the activations' peaks, some KB a picture, and a batch.
    Raises UserError when no picture of the first part fails that way, ValueError when a picture is in both.
    """
    discovery, judging = (np.asarray(part, dtype=np.int64) for part in parts)
    if np.intersect1d(discovery, judging).size:
        raise ValueError("the parts have pictures in common")
    on = pictures.part(discovery)
    if not len(confusion.failures(on)):
        raise UserError(
            f"Among the {len(on)} pictures to find components on, none fails in this way "
            f"({confusion.words(pictures.classes)}). Choose another kind of failure, or bring more pictures."
        )
    tallies = []
    for part, words in ((on, "the failures"), (pictures.part(judging), "failures among the other pictures")):
        which, rows = confusion.failures(part), []
        targets = [ClassTarget(int(part.said[i]), int(part.truth[i])) for i in which]
        for each in attributions(model, [part.traces[i] for i in which], classifier, targets, batch):
            rows.append(each)
            yield f"What drives {words}", sum(row.shape[0] for row in rows), len(which)
        none = sparse.csr_array((0, model.dictionary.n_components))
        tallies.append(
            _Tally(part, which, sparse.csr_array(sparse.vstack([none, *rows])), peaks(part, model.dictionary))
        )
    alone = [(j,) for j in range(model.dictionary.n_components)]
    kinds: Sequence[Sequence[tuple[int, ...]]] = (alone, [tuple(map(int, family)) for family in families])
    proposed = [_propose(model, tallies[0], tallies[1], units, most) for units in kinds]
    total, done, judged = sum(len(members) for members, _, _ in proposed), 0, []
    for members, first, second in proposed:
        counts, fixed = [], []
        for unit in members:
            yield "What suppressing each does to the other pictures", done, total
            *_, found = generalize(model, tallies[1].pictures, classifier, Edit.of_suppressed(unit), batch)
            assert isinstance(found, Generalization)
            counts.append(found.counts)
            fixed.append(np.isin(tallies[1].failures, found.fixed).sum())
            done += 1
        judged.append(Candidates(members, first, second, np.array(fixed, dtype=np.int64), tuple(counts)))
    yield Findings(confusion, pictures.classes, discovery, judging, *judged)


def auroc(strength: sparse.csr_array, failed: np.ndarray, right: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """How well each column of strengths [N, k] tells failures from right pictures of the same class, float64 [k].

    Over all pairs of a failure and a right picture that show the same class: the share in which the failure's is
    higher, ties half. For one class that is the area under the ROC curve, the Mann-Whitney U over the number of pairs,
    which is the sum of the failures' ranks less n(n + 1)/2; for several, pairs within each class are added up, so that
    what is common in a class of many failures is not taken for their cause. nan where there are no pairs.
    """
    from scipy.stats import rankdata  # here, since it takes nearly half a second

    k, pairs = strength.shape[1], 0
    won = np.zeros(k)
    for c in np.unique(truth[failed]):
        here = np.flatnonzero((failed | right) & (truth == c))
        n = int(failed[here].sum())
        if n == len(here):
            continue
        pairs += n * (len(here) - n)
        rows = sparse.csc_array(strength[here])
        step = max(1, CHUNK // 8 // len(here))
        for start in range(0, k, step):
            ranks = rankdata(rows[:, start : start + step].toarray(), axis=0)
            won[start : start + step] += ranks[failed[here]].sum(0) - n * (n + 1) / 2
    return won / pairs if pairs else np.full(k, np.nan)


@dataclass(frozen=True)
class _Tally:
    """What is counted on one part of the pictures."""

    pictures: PictureSet
    failures: np.ndarray
    """Indices into `pictures`, int [n]."""
    attribution: sparse.csr_array
    """A_j in each of these, [n, m]."""
    peaks: sparse.csr_array
    """Of every picture, [N, m]."""

    def totals(self, units: Sequence[tuple[int, ...]]) -> sparse.csr_array:
        """The attribution of each unit, a component or a family, in each failure, [n, k]."""
        members, owners = _flat(units)
        shape = (self.attribution.shape[1], len(units))
        return sparse.csr_array(self.attribution @ sparse.csr_array((np.ones(len(members)), (members, owners)), shape))

    def strength(self, model: SaeClip, units: Sequence[tuple[int, ...]]) -> sparse.csr_array:
        """How strongly each unit fires in each picture, [N, k], in the units of x: that of its strongest member."""
        members, owners = _flat(units)
        energy = sparse.csc_array(self.peaks[:, members].multiply(_norms(model, members)))
        if len(members) == len(units):
            return sparse.csr_array(energy)
        starts = np.searchsorted(owners, np.arange(len(units) + 1))
        columns = [energy[:, a:b].toarray().max(axis=1) for a, b in pairwise(starts)]
        return sparse.csr_array(np.stack(columns, axis=1))

    def standing(self, model: SaeClip, units: Sequence[tuple[int, ...]], which: np.ndarray) -> Standing:
        """Where those at the places `which`, int [k], stand among all units."""
        part, totals, n = self.pictures, self.totals(units), len(self.failures)
        failed = np.zeros(len(part), dtype=bool)
        failed[self.failures] = True
        right = part.right & np.isin(part.truth, part.truth[failed])
        return Standing(
            failures=n,
            right=int(right.sum()),
            attribution=totals.sum(0)[which] / n if n else np.full(len(which), np.nan),
            among_first=_among_first(totals)[which],
            auroc=auroc(self.strength(model, [units[i] for i in which]), failed, right, part.truth),
        )


def _flat(units: Sequence[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """All members, int [M], and the place of the unit of each, int [M], ascending."""
    members = np.array([j for unit in units for j in unit], dtype=np.int64)
    return members, np.repeat(np.arange(len(units)), [len(unit) for unit in units])


def _propose(
    model: SaeClip, on: _Tally, at: _Tally, units: Sequence[tuple[int, ...]], most: int
) -> tuple[tuple[tuple[int, ...], ...], Standing, Standing]:
    """The first `most` of each order on the one part, and where they stand on either."""
    active = np.unique(on.totals(units).indices)  # the others can be no cause
    standing = on.standing(model, units, active)
    foremost = []
    for by, least in (("attribution", 0.0), ("among_first", 0), ("auroc", 0.5)):
        values = getattr(standing, by)
        order = np.argsort(-values, kind="stable")
        foremost.append(order[values[order] > least][:most])
    chosen = np.unique(np.concatenate(foremost))
    chosen = active[chosen[np.argsort(-standing.attribution[chosen], kind="stable")]]
    members = tuple(units[i] for i in chosen)
    return members, on.standing(model, units, chosen), at.standing(model, units, chosen)


def _among_first(totals: sparse.csr_array) -> np.ndarray:
    """In how many rows each column is among the `FIRST` largest that are above 0, int [k]; of equals the first."""
    found = np.zeros(totals.shape[1], dtype=np.int64)
    for start, end in zip(totals.indptr[:-1], totals.indptr[1:], strict=True):
        values, columns = totals.data[start:end], totals.indices[start:end]
        order = np.lexsort((columns, -values))
        found[columns[order[values[order] > 0][:FIRST]]] += 1
    return found


def _norms(model: SaeClip, components: np.ndarray) -> np.ndarray:
    """||v_j||, float64 [k]."""
    return model.dictionary.directions(components).norm(dim=-1).cpu().double().numpy()
