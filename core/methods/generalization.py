"""Generalization of an edit made on one picture: what it fixes and breaks among the pictures of a set.

The set was read once (`picture_set`; the 300 scenes that every setup has are in `reference_scenes`); the edit is then
run on all of it. It fixes a picture that was wrong before it and is right with it, breaks one that was right and is
wrong with it, and leaves the others unchanged. Of a picture without a label only whether its answer changed is known.

Pictures are tried in an order that a hash of their names fixes, so that those of a trial that was stopped are as good
as drawn from all; it goes on with the others (`TrialSoFar`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..hashing import drawn_order
from ..model.sae_clip import BATCH, SaeClip
from ..records import Preview, Record
from ..stats import wilson
from ..words import percent
from .bounds import lower_bound, upper_bound
from .picture_set import PictureSet, Progress, class_logits, embeddings_of
from .steering import Edit, steered

SHOWN = 8
"""Pictures kept of those an edit fixes, of those it breaks, and of those without a label that it changes."""

_TOLD = 16
"""Of an edit that seldom acts: after the pictures of so many batches the model runs though fewer than a batch wait."""


@dataclass(frozen=True)
class Counts:
    """What became of some pictures, as numbers of pictures."""

    wrong: int
    """Wrong without the edit."""
    right: int
    """Right without the edit."""
    fixed: int
    """Of the wrong ones, right with it."""
    broken: int
    """Of the right ones, wrong with it."""
    unlabelled: int = 0
    """Of which it is not known what they show."""
    changed: int = 0
    """Of those without a label, said otherwise with it."""

    @property
    def labelled(self) -> int:
        """Of which it is known what they show."""
        return self.wrong + self.right

    @property
    def unchanged(self) -> int:
        """As right or wrong as before, though a wrong one may now be another wrong class, or said as before."""
        return self.labelled + self.unlabelled - self.fixed - self.broken - self.changed

    @property
    def right_after(self) -> int:
        """Right with the edit."""
        return self.right - self.broken + self.fixed

    @property
    def fixed_interval(self) -> tuple[float, float] | None:
        """Wilson 95 % interval for the share of wrong pictures that are fixed, 0 to 1; None when none is wrong."""
        return _interval(self.fixed, self.wrong)

    @property
    def broken_interval(self) -> tuple[float, float] | None:
        """Wilson 95 % interval for the share of right pictures that are broken, 0 to 1; None when none is right."""
        return _interval(self.broken, self.right)

    @property
    def changed_interval(self) -> tuple[float, float] | None:
        """Wilson 95 % interval for the share of those without a label that change; None when all have one."""
        return _interval(self.changed, self.unlabelled)

    @property
    def accuracy_interval(self) -> tuple[float, float] | None:
        """Wilson 95 % interval for the share that is right without the edit, 0 to 1; None when none has a label."""
        return _interval(self.right, self.labelled)

    @property
    def accuracy_after_interval(self) -> tuple[float, float] | None:
        """The same with the edit."""
        return _interval(self.right_after, self.labelled)

    def most_broken(self, confidence: float = 0.95) -> float:
        """With this confidence it breaks at most this share of right pictures like these, 0 to 1; 1 of none."""
        return upper_bound(self.broken, self.right, confidence)

    def least_fixed(self, confidence: float = 0.95) -> float:
        """With this confidence it fixes at least this share of wrong pictures like these, 0 to 1; 0 of none."""
        return lower_bound(self.fixed, self.wrong, confidence)

    @property
    def p_value(self) -> float:
        """Exact two-sided McNemar test: how likely so uneven a split of fixed and broken is if either were as likely.

        1 when nothing is fixed or broken.
        """
        from scipy.stats import binomtest  # here, since it takes nearly half a second

        turned = self.fixed + self.broken
        return float(binomtest(self.fixed, turned).pvalue) if turned else 1.0

    @property
    def said(self) -> str:
        """The counts in one sentence, with their intervals; a second one for pictures without a label."""
        told = [_sentence(self)] if self.labelled or not self.unlabelled else []
        return " ".join(told + ([_without_label(self)] if self.unlabelled else []))


@dataclass(frozen=True, eq=False, repr=False)
class Generalization(Record):
    """What one edit does to a set of pictures, in their order."""

    before: np.ndarray
    """int [N]: the class the model says without the edit."""
    after: np.ndarray
    """int [N]: the class it says with it."""
    truth: np.ndarray
    """int [N]: the class the picture shows; -1 where that is not known."""
    group: np.ndarray
    """str [N]: of each picture, what else the set tells it apart by; "" without."""
    touched: np.ndarray
    """bool [N]: whether the edit changes anything in the picture's residual; the model ran again on these only."""
    lead: np.ndarray
    """float32 [N]: without the edit, the logit of the class that the picture shows, less the highest of the others.

    Of the class that was said, where it is not known what the picture shows. 0 where there is one class alone."""
    lead_after: np.ndarray
    """float32 [N]: the lead of the same class with the edit, in logits."""
    classes: tuple[str, ...]
    """What the model chooses from."""
    shown: np.ndarray
    """int [k]: the first `SHOWN` of those fixed, then of those broken, then of those changed, as indices."""
    crops: np.ndarray
    """uint8 [k, S, S, 3]: these pictures."""

    @property
    def labelled(self) -> np.ndarray:
        """bool [N]: whether it is known what a picture shows."""
        return self.truth >= 0

    @property
    def fixed(self) -> np.ndarray:
        """Indices of the pictures that were wrong and are right with the edit, ascending."""
        return np.flatnonzero(self.labelled & (self.before != self.truth) & (self.after == self.truth))

    @property
    def broken(self) -> np.ndarray:
        """Indices of the pictures that were right and are wrong with the edit, ascending."""
        return np.flatnonzero(self.labelled & (self.before == self.truth) & (self.after != self.truth))

    @property
    def changed(self) -> np.ndarray:
        """Indices of the pictures without a label that the model says something else of with the edit, ascending."""
        return np.flatnonzero(~self.labelled & (self.before != self.after))

    @property
    def unchanged(self) -> np.ndarray:
        """Indices of all others, ascending: as right or wrong as before, though maybe another wrong class."""
        as_before = (self.before == self.truth) == (self.after == self.truth)
        return np.flatnonzero(np.where(self.labelled, as_before, self.before == self.after))

    @property
    def acts(self) -> float:
        """The share of the pictures in which the edit changes anything at all, 0 to 1; 0 of none."""
        return float(self.touched.mean()) if len(self.touched) else 0.0

    @property
    def lead_change(self) -> float:
        """The mean over all pictures of what the edit does to the lead, in logits; 0 of none."""
        return float((self.lead_after - self.lead).mean(dtype=np.float64)) if len(self.lead) else 0.0

    @property
    def counts(self) -> Counts:
        """Of all pictures, with the intervals, the test and the sentence."""
        return self.counts_of(np.ones(len(self.truth), dtype=bool))

    @property
    def by_group(self) -> dict[str, Counts]:
        """The same for each group of pictures, in the order in which they come."""
        return {str(group): self.counts_of(self.group == group) for group in dict.fromkeys(self.group.tolist())}

    @property
    def by_class(self) -> dict[str, Counts]:
        """The same for the pictures of each class, in the order of `classes`; those without a label are in none."""
        return {name: self.counts_of(self.truth == c) for c, name in enumerate(self.classes) if (self.truth == c).any()}

    @property
    def said(self) -> str:
        """All of it in one sentence."""
        return self.counts.said

    def counts_of(self, some: np.ndarray) -> Counts:
        """The same for the pictures that `some`, bool [N], holds."""
        labelled = int((some & self.labelled).sum())
        right = int((some & self.labelled & (self.before == self.truth)).sum())
        return Counts(
            wrong=labelled - right,
            right=right,
            fixed=int(some[self.fixed].sum()),
            broken=int(some[self.broken].sum()),
            unlabelled=int(some.sum()) - labelled,
            changed=int(some[self.changed].sum()),
        )

    def preview(self) -> Preview:
        """What became of each group of pictures."""
        each = self.by_group.items()
        rows = [(group, *map(str, (c.wrong, c.fixed, c.right, c.broken))) for group, c in each]
        return Preview(self.said, ("group", "wrong", "fixed", "right", "broken"), rows)


@dataclass(frozen=True, eq=False, repr=False)
class TrialSoFar(Record):
    """What an edit does to the pictures of a set on which it was tried so far: in the end, all of them."""

    of: np.ndarray
    """int [n]: which, as indices into the set, ascending."""
    found: Generalization
    """Of these, `PictureSet.part(of)`; none of them is kept in it to be shown."""

    def __len__(self) -> int:
        """How many pictures."""
        return len(self.of)


def generalize(
    model: SaeClip, pictures: PictureSet, classifier: Tensor, edit: Edit, batch: int = BATCH
) -> Iterator[Progress | Generalization]:
    """Run an edit on a set of pictures, against unit vectors [C, p] of its classes: `try_on`, and what is shown of it.

    Yields (done, total) at the start and after every batch, and at last the Generalization.
    """
    found = None
    for step in try_on(model, pictures, classifier, edit, batch=batch):
        yield len(step), len(pictures)
        found = step.found
    assert found is not None
    shown = np.concatenate([which[:SHOWN] for which in (found.fixed, found.broken, found.changed)])
    yield replace(found, shown=shown, crops=np.stack([model.grey, *(pictures.traces[i].crop for i in shown)])[1:])


@torch.no_grad()
def try_on(
    model: SaeClip,
    pictures: PictureSet,
    classifier: Tensor,
    edit: Edit,
    begun: TrialSoFar | None = None,
    batch: int = BATCH,
) -> Iterator[TrialSoFar]:
    """Run an edit on a set of pictures, or on those that it was not `begun` on, against unit vectors [C, p].

    Yields what it is so far at the start and after every batch. The tokens an edit was confined to are places in one
    picture and mean nothing in another, so that here it acts on all tokens in the dictionary's scope. The layers after
    L run only for pictures in which it changes anything, `batch` at a time: those where one of its components is
    active, or where a lever sets one. The others keep their prediction. Beside the set no more than a batch is in
    memory. Raises UserError as `steer`, ValueError when the class vectors are not as many as the classes.
    """
    if len(classifier) != len(pictures.classes):
        raise ValueError(f"{len(classifier)} class vectors for {len(pictures.classes)} classes")
    everywhere, clip = edit.among(None), model.clip
    before = class_logits(clip, embeddings_of(clip, pictures.traces), classifier)
    said = before.argmax(-1)
    of = np.where(pictures.labelled, pictures.truth, said)
    lead = leads(before, of)
    after, lead_after, touched = said.copy(), lead.copy(), np.zeros(len(said), dtype=bool)
    done = 0
    if begun is not None:
        done, had = len(begun), begun.found
        after[begun.of], lead_after[begun.of], touched[begun.of] = had.after, had.lead_after, had.touched
    order = drawn_order(pictures.names)

    def so_far(n: int) -> TrialSoFar:
        which = np.sort(order[:n])
        found = Generalization(
            before=said[which],
            after=after[which],
            truth=pictures.truth[which],
            group=pictures.group[which],
            touched=touched[which],
            lead=lead[which],
            lead_after=lead_after[which],
            classes=pictures.classes,
            shown=np.zeros(0, dtype=np.int64),
            crops=np.zeros((0, *model.grey.shape), dtype=np.uint8),
        )
        return TrialSoFar(which, found)

    yield so_far(done)
    waiting: list[tuple[int, Tensor]] = []
    for n, i in enumerate(order[done:].tolist(), done + 1):
        trace = pictures.traces[i]
        (moved,) = steered(model, trace, [everywhere])
        if not torch.equal(moved, model.residual(trace)):
            touched[i] = True
            waiting.append((i, moved))
        if len(waiting) == batch or n % (_TOLD * batch) == 0 or n == len(order):
            if waiting:
                which = np.array([k for k, _ in waiting])
                z = clip.embed_from_residual(torch.stack([residual for _, residual in waiting]))
                logits = class_logits(clip, z, classifier)
                after[which], lead_after[which] = logits.argmax(-1), leads(logits, of[which])
                waiting = []
            yield so_far(n)


def joined(parts: Sequence[Generalization]) -> Generalization:
    """What an edit did to the pictures of several sets of the same classes, as to one; none of them to be shown."""
    first = parts[0]
    columns = ("before", "after", "truth", "group", "touched", "lead", "lead_after")
    each = {name: np.concatenate([getattr(part, name) for part in parts]) for name in columns}
    return Generalization(**each, classes=first.classes, shown=first.shown[:0], crops=first.crops[:0])


def leads(logits: np.ndarray, of: np.ndarray) -> np.ndarray:
    """The logit of class `of`, int [N], less the highest of the other classes, of logits [N, C]: float32 [N].

    0 where there is one class alone.
    """
    if logits.shape[-1] < 2:
        return np.zeros(len(logits), dtype=np.float32)
    its = np.take_along_axis(logits, of[:, None], 1)[:, 0]
    others = logits.copy()
    np.put_along_axis(others, of[:, None], -np.inf, 1)
    return (its - others.max(1)).astype(np.float32)


def _interval(k: int, n: int) -> tuple[float, float] | None:
    return wilson(k, n) if n else None


def _sentence(c: Counts) -> str:
    nouns = "picture that was" if c.wrong == 1 else "pictures that were"
    fixes = f"Fixes {c.fixed} of {c.wrong} {nouns} wrong{_percents(c.fixed, c.wrong, c.fixed_interval)}"
    breaks = f"breaks {c.broken} of {c.right} that {'was' if c.right == 1 else 'were'} right"
    return f"{fixes}, {breaks}{_percents(c.broken, c.right, c.broken_interval)}."


def _without_label(c: Counts) -> str:
    nouns = "picture" if c.unlabelled == 1 else "pictures"
    share = _percents(c.changed, c.unlabelled, c.changed_interval)
    return f"Changes the answer in {c.changed} of {c.unlabelled} {nouns} without a label{share}."


def _percents(k: int, n: int, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return ""
    low, high = (f"{100 * end:.0f}" for end in interval)
    return f" ({percent(k / n, 'under', 'over')} %, 95 % interval {low} to {high} %)"
