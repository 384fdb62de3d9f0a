"""A picture set: many pictures read once by a setup, with what is known of each and what the model says of it.

A set is read once; every edit tried on it (`generalization`), and every search through its failures, then runs only the
layers after L. What is proposed on some of its pictures has to be judged on others: `split` deals them out by a hash of
their names, so that whoever asks gets the same parts.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ..errors import UserError, echo
from ..hashing import name_place
from ..model.clip import SplitClip, logits, text_classifier
from ..model.dictionary import Dictionary
from ..model.sae_clip import SaeClip
from ..model.trace import Trace
from ..pictures.batches import Batch
from ..pictures.labels import Others
from ..records import Preview, Record
from ..words import count
from .steering import pooled

Progress = tuple[int, int]
"""Pictures done, and how many there are."""

MOST_BYTES = 2 << 30
"""What the traces of one set may take in memory, where nothing else is said: about 1,600 pictures of a ViT-L/14."""


MOST_GROUPS = 200
"""Groups by which pictures may be told apart: a column of more is none of groups."""


@dataclass(frozen=True, eq=False, repr=False)
class PictureSet(Record):
    """Many pictures, as one setup read them: numpy and plain values only, so that it pickles.

    The residuals make up most of it: of 88 KB a picture for the bundled setup 50, of 1.3 MB for a ViT-L/14 1.1.
    """

    traces: tuple[Trace, ...]
    """Each picture, read once."""
    names: tuple[str, ...]
    """Of each picture: its file's name, or what the data set calls it."""
    truth: np.ndarray
    """int [N]: the class each shows, an index into `classes`; -1 where that is not known, or is none of them."""
    group: np.ndarray
    """str [N]: what else the pictures are told apart by, such as where they come from; "" without."""
    said: np.ndarray
    """int [N]: the class the model says without any edit."""
    classes: tuple[str, ...]
    """What the model chooses from."""
    labels: tuple[str | None, ...] = ()
    """What each picture came labelled as, also where that is none of the classes; () where `truth` tells it all."""
    troubles: tuple[tuple[str, str], ...] = ()
    """Of each picture that could not be read, and is not among the N: its name, and why."""
    others: tuple[Others, ...] = ()
    """What other columns say of each picture; () where nothing is said of any."""

    def __len__(self) -> int:
        """How many pictures."""
        return len(self.traces)

    def __repr__(self) -> str:
        """Their number; the traces are too many to print."""
        return f"PictureSet({len(self.traces)} pictures, {len(self.classes)} classes)"

    @property
    def labelled(self) -> np.ndarray:
        """bool [N]: whether it is known which of the classes a picture shows."""
        return self.truth >= 0

    @property
    def right(self) -> np.ndarray:
        """bool [N]: whether the model says that class, without any edit."""
        return self.labelled & (self.said == self.truth)

    @property
    def wrong(self) -> np.ndarray:
        """bool [N]: whether it says another."""
        return self.labelled & (self.said != self.truth)

    @property
    def n_bytes(self) -> int:
        """What the traces take in memory."""
        return sum(map(_n_bytes, self.traces))

    @property
    def known_labels(self) -> tuple[str | None, ...]:
        """What each picture is labelled as; None where that is not known."""
        return self.labels or tuple(self.classes[c] if c >= 0 else None for c in self.truth)

    @property
    def label_names(self) -> tuple[str, ...]:
        """All labels there are, sorted."""
        return tuple(sorted({label for label in self.known_labels if label is not None}))

    @property
    def columns(self) -> tuple[str, ...]:
        """The other columns by which pictures may be grouped: they tell some apart, and not almost each."""
        said: dict[str, set[str]] = {}
        for each in self.others:
            for column, value in each:
                said.setdefault(column, set()).add(value)
        most = min(MOST_GROUPS, max(2, len(self) // 2))
        return tuple(column for column, values in said.items() if 2 <= len(values) <= most)

    def grouped(self, column: str) -> "PictureSet":
        """The same pictures, grouped by another column; "" where it says nothing."""
        return replace(self, group=np.array([dict(each).get(column, "") for each in self.others], dtype=str))

    def part(self, indices: Sequence[int] | np.ndarray) -> "PictureSet":
        """These of the pictures, in the order of `indices`; the traces are shared, not copied."""
        which = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            traces=tuple(self.traces[i] for i in which),
            names=tuple(self.names[i] for i in which),
            truth=self.truth[which],
            group=self.group[which],
            said=self.said[which],
            labels=tuple(self.labels[i] for i in which) if self.labels else (),
            others=tuple(self.others[i] for i in which) if self.others else (),
            troubles=(),
        )

    def preview(self) -> Preview:
        """How many pictures each class has, and how many of them are said right."""
        rows = [
            (name, str(int((self.truth == c).sum())), str(int((self.right & (self.truth == c)).sum())))
            for c, name in enumerate(self.classes)
            if (self.truth == c).any()
        ]
        title = f"{count(len(self), 'picture')}, {int(self.labelled.sum())} with a label, {int(self.right.sum())} right"
        return Preview(title, ("class", "pictures", "right"), rows)


def peaks(pictures: PictureSet, dictionary: Dictionary) -> sparse.csr_array:
    """max_t f_tj of each component in each picture, over the tokens in scope, float32 [N, m], sparse."""
    rows = [sparse.csr_array(pooled(trace.activations, dictionary)[None]) for trace in pictures.traces]
    return sparse.csr_array(sparse.vstack([sparse.csr_array((0, dictionary.n_components), dtype=np.float32), *rows]))


def split(names: Sequence[str], shares: Sequence[float], seed: int = 0) -> tuple[np.ndarray, ...]:
    """Deal pictures out: for each share its indices into `names`, ascending; no picture is in two parts.

    A picture's part depends on its name, the shares and the seed alone, and not on the other pictures: part k where the
    SHA-256 of seed and name, as a number from 0 to 1, falls into the k-th of the intervals that the shares lay end to
    end. So parts have about their share of the pictures, and what a sum below 1 leaves over is in none. Pictures
    of one name stay together; copies of a picture under other names may come apart. Raises ValueError for shares that
    are not positive, or add up to more than 1.
    """
    if any(share <= 0 for share in shares) or sum(shares) > 1 + 1e-9:
        raise ValueError(f"shares {tuple(shares)} are not parts of a whole")
    ends = np.cumsum(shares)
    if sum(shares) > 1 - 1e-9:
        ends[-1:] = 1.0
    drawn = np.array([name_place(name, seed) for name in names])
    part = np.searchsorted(ends, drawn, side="right")
    return tuple(np.flatnonzero(part == k) for k in range(len(ends)))


class ReadOnce:
    """A set that is read once, by whoever asks: who asks meanwhile takes part, and who stops leaves it to the next."""

    def __init__(self, begin: Callable[[], Iterator[Progress | PictureSet]]) -> None:
        """By a reading that `begin` begins, anew after one that failed."""
        self._begin = begin
        self._reading: Iterator[Progress | PictureSet] | None = None
        self._lock = Lock()
        self.found: PictureSet | None = None

    def steps(self) -> Iterator[Progress]:
        """How far it is, until `found` is there."""
        while self.found is None:
            with self._lock:
                if self.found is not None:
                    break
                try:
                    self._reading = self._reading or self._begin()
                    step = next(self._reading)
                except BaseException:
                    self._reading = None
                    raise
                if isinstance(step, PictureSet):
                    self.found, self._reading = step, None
                    break
            yield step


class Reader(Protocol):
    """What reads pictures: a `SaeClip`, or who asks one elsewhere."""

    def traces(self, crops: np.ndarray) -> tuple[Trace, ...]:
        """Read uint8 crops [B, S, S, 3] in one batch."""
        ...


def read_set(
    model: SaeClip,
    batches: Iterable[Batch],
    classes: Sequence[str],
    templates: Sequence[str],
    total: int | None = None,
    most_bytes: int = MOST_BYTES,
) -> Iterator[Progress | PictureSet]:
    """Read pictures once, and ask of each which of the classes it shows; without classes, which of their labels.

    Yields (done, total) after every batch, those that could not be read counted as done (`total`: how many there are,
    where that is known; else those done), and at last the PictureSet. Raises UserError when not one can be read, when
    there are neither classes nor labels, and as soon as it is clear that the traces would take more than `most_bytes`.
    """
    for step in read_traces(model, batches, total, most_bytes):
        if isinstance(step, PictureSet):
            names = tuple(classes) or step.label_names
            step = classified(model.clip, step, names, text_classifier(model.clip, names, templates))
        yield step


def read_traces(
    model: Reader, batches: Iterable[Batch], total: int | None = None, most_bytes: int = MOST_BYTES
) -> Iterator[Progress | PictureSet]:
    """As `read_set`, without asking anything of the pictures yet: the set has no classes (`classified` gives it some).

    Raises UserError when not one can be read, or when the traces would take more than `most_bytes`.
    """
    traces: list[Trace] = []
    names: list[str] = []
    labels: list[str | None] = []
    groups: list[str | None] = []
    others: list[Others] = []
    troubles: list[tuple[str, str]] = []
    taken = 0
    for batch in batches:
        read = model.traces(batch.crops)
        taken += sum(map(_n_bytes, read))
        traces += read
        names += batch.names
        labels += batch.labels
        groups += batch.groups
        others += batch.others or ((),) * len(batch.names)
        troubles += batch.troubles
        done = len(traces) + len(troubles)
        expected = taken if total is None or not traces else taken / len(traces) * (total - len(troubles))
        if max(taken, expected) > most_bytes:
            raise UserError(
                f"These are too many pictures: one of them takes {taken // len(traces) >> 10:,} KB in memory with this "
                f"setup, and there is room for {int(most_bytes * len(traces) / taken):,}. Bring fewer."
            )
        yield done, done if total is None else total
    if not traces:
        why = f" The first, {echo(troubles[0][0])}: {troubles[0][1]}" if troubles else ""
        raise UserError(f"There is no picture here that can be read. Bring PNG, JPEG or WebP files.{why}")
    unknown = np.full(len(traces), -1)
    group = np.array([group or "" for group in groups])
    known = tuple(labels), tuple(troubles), tuple(others) if any(others) else ()
    yield PictureSet(tuple(traces), tuple(names), unknown, group, unknown, (), *known)


def classified(clip: SplitClip, pictures: PictureSet, classes: Sequence[str], classifier: Tensor) -> PictureSet:
    """The same pictures among other classes, of unit vectors [C, p]; none of them is read again.

    A label is the class that is written like it, or else like it but for capitals and spaces. Raises UserError without
    classes.
    """
    if not classes:
        raise UserError("Nothing is known of what these pictures show. Name classes, or bring pictures with labels.")
    loosely = {_loose(name): c for c, name in reversed(list(enumerate(classes)))}
    exactly = {name: c for c, name in reversed(list(enumerate(classes)))}
    truth = [
        -1 if label is None else exactly.get(label, loosely.get(_loose(label), -1)) for label in pictures.known_labels
    ]
    return replace(
        pictures,
        truth=np.array(truth, dtype=np.int64),
        said=said_of(clip, pictures.traces, classifier),
        classes=tuple(classes),
        labels=pictures.known_labels,
    )


def _loose(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()


def _n_bytes(trace: Trace) -> int:
    f, part_seen = trace.activations, () if trace.part_seen is None else (trace.part_seen,)
    arrays = (trace.crop, trace.residual, trace.embedding, f.token, f.component, f.value, *part_seen)
    return sum(array.nbytes for array in arrays)


@torch.no_grad()
def class_logits(clip: SplitClip, embeddings: Tensor, classifier: Tensor) -> np.ndarray:
    """Logits [N, C] of image embeddings [N, p], in one product."""
    return logits(embeddings, classifier, clip.scoring).cpu().numpy()


def embeddings_of(clip: SplitClip, traces: Sequence[Trace]) -> Tensor:
    """Image embeddings of traced pictures, [N, p], not normalised, on the model's device."""
    if not traces:
        return clip.tensor(np.zeros((0, clip.projection), dtype=np.float32))
    return clip.tensor(np.stack([trace.embedding for trace in traces]))


def said_of(clip: SplitClip, traces: Sequence[Trace], classifier: Tensor) -> np.ndarray:
    """The class of the highest logit for each picture, int [N]; of equals the first."""
    return class_logits(clip, embeddings_of(clip, traces), classifier).argmax(-1)
