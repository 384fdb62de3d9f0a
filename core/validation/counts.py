"""Counts of a validation: what an edit did to all pictures read so far, in as much memory however many they are.

1. A batch's trial (`core.methods.generalization`) is counted in: of all pictures, of each class and of each group, how
   many were right and wrong without the edit, how many it fixed and broke, in how many it acts and changes the answer,
   and what it does to the lead.
2. The first pictures of those fixed, broken and changed are kept as thumbnails, and the first that could not be read by
   name; "first" in the order of the collection, so that it does not matter who read them.
3. Counts of several processes add up exactly: leads are summed as whole millionths of a logit. They are saved as JSON,
   at once or not at all.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..errors import UserError, printable
from ..files import replacing
from ..methods.generalization import Counts, Generalization
from ..pictures.batches import Batch
from ..pictures.thumbnail import thumbnail
from ..words import listed

PARTS = 1_000_000
"""A logit has so many of the parts in which changes of the lead are summed: whole numbers add up in any order."""
MAX_GROUPS = 200
"""Groups that are told apart."""
MAX_TROUBLES = 100
"""Pictures that could not be read and are named."""
MAX_OTHERS = 20
"""Labels that are none of the classes and are named."""
MAX_NAME = 200
"""Characters of a picture's name, its label or its group."""

T = TypeVar("T")
Count = Annotated[int, Field(ge=0)]


class _State(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PictureCounts(_State):
    """Numbers of some pictures."""

    model_config = ConfigDict(frozen=True)

    wrong: Count = 0
    """Wrong without the edit."""
    right: Count = 0
    """Right without it."""
    fixed: Count = 0
    """Of the wrong ones, right with it."""
    broken: Count = 0
    """Of the right ones, wrong with it."""
    unlabelled: Count = 0
    """Of which it is not known what they show, or which show none of the classes."""
    changed: Count = 0
    """Of those, with another answer."""
    acts: Count = 0
    """Of all, in which the edit changes anything at all."""
    answers: Count = 0
    """Of all, with another answer, be it right or wrong."""
    lead: int = 0
    """What it did to the leads of all, summed, in millionths of a logit; the lead as in `Generalization`."""

    def __add__(self, other: PictureCounts) -> PictureCounts:
        """Of both."""
        names = type(self).model_fields
        return PictureCounts(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @classmethod
    def of(cls, found: Generalization, some: np.ndarray) -> PictureCounts:
        """Of the pictures of a trial that `some`, bool [N], holds."""
        moved = (found.lead_after.astype(np.float64) - found.lead)[some]
        return cls(
            **asdict(found.counts_of(some)),
            acts=int(found.touched[some].sum()),
            answers=int((found.before != found.after)[some].sum()),
            lead=int(np.rint(moved * PARTS).astype(np.int64).sum()),
        )

    @property
    def counts(self) -> Counts:
        """With intervals, the exact test and the sentence."""
        return Counts(self.wrong, self.right, self.fixed, self.broken, self.unlabelled, self.changed)

    @property
    def pictures(self) -> int:
        """All of them."""
        return self.wrong + self.right + self.unlabelled

    @property
    def lead_change(self) -> float:
        """The mean change of the lead, in logits; 0 of none."""
        return self.lead / PARTS / self.pictures if self.pictures else 0.0


class KeptPicture(_State):
    """A picture that the edit changed, for the report."""

    id: int
    """See `Piece`."""
    name: str
    """What its collection calls it."""
    label: str | None
    """What it shows; None where that is not known."""
    group: str
    """What else it is told apart by; "" without."""
    before: str
    """The class that the model says without the edit."""
    after: str
    """The class that it says with it."""
    webp: str = ""
    """What the model saw of it, made smaller: a WebP file in base64; the numbers of a report are kept without."""


class Trouble(_State):
    """A picture that could not be read."""

    place: tuple[int, int, int]
    """Its part, its batch there, and which of those that could not be read in it."""
    name: str
    """What its collection calls it."""
    reason: str
    """Why, in a sentence."""


class TrialCounts(_State):
    """What an edit did to the pictures that one process has read, or several."""

    total: PictureCounts = PictureCounts()
    """All of them."""
    classes: dict[str, PictureCounts] = {}
    """Those of each class that some picture shows."""
    groups: dict[str, PictureCounts] = {}
    """Those of each group; empty where pictures have none."""
    others: dict[str, int] = {}
    """Labels that are none of the classes, and how many pictures have them; the first `MAX_OTHERS` by alphabet."""
    of_others: Count = 0
    """Pictures with such a label, in all; they count as without one."""
    kept: dict[str, list[KeptPicture]] = {}
    """Of those "fixed", "broken" and "changed" the first."""
    unread: Count = 0
    """Pictures that could not be read, which are not among all."""
    troubles: list[Trouble] = []
    """The first `MAX_TROUBLES` of these."""
    after: tuple[int, int] | None = None
    """The last batch that is counted in: its part and its number."""
    done: bool = False
    """Whether that was the last of all."""

    def add(self, batch: Batch, found: Generalization, most: int, side: int) -> None:
        """Count in a batch and its trial, and keep up to `most` pictures of a kind, `side` pixels wide at most.

        Raises UserError where there are more groups than can be told apart.
        """
        some = np.ones(len(batch.ids), bool)
        self.total += PictureCounts.of(found, some)
        for c in np.unique(found.truth[found.labelled]).tolist():
            self._count(self.classes, found.classes[c], PictureCounts.of(found, found.truth == c))
        for group in sorted({group for group in found.group.tolist() if group}):
            self._count(self.groups, group, PictureCounts.of(found, found.group == group))
        self._check_groups()
        known = frozenset(found.classes)
        others = [short(label) for label in batch.labels if label is not None and label not in known]
        self.of_others += len(others)
        self._count_others({label: others.count(label) for label in set(others)})
        for kind in ("fixed", "broken", "changed"):
            kept = self.kept.setdefault(kind, [])
            kept += [_kept(batch, found, i, side) for i in getattr(found, kind)[: most - len(kept)].tolist()]
        self.unread += batch.skipped
        self.troubles += [
            Trouble(place=(batch.part, batch.number, place), name=short(name), reason=short(reason))
            for place, (name, reason) in enumerate(batch.troubles[: MAX_TROUBLES - len(self.troubles)])
        ]
        self.after = batch.part, batch.number

    def merge(self, other: TrialCounts, most: int) -> None:
        """Count in what another process has read."""
        self.total += other.total
        for mine, theirs in ((self.classes, other.classes), (self.groups, other.groups)):
            for name, tally in theirs.items():
                self._count(mine, name, tally)
        self._check_groups()
        self.of_others += other.of_others
        self._count_others(other.others)
        for kind, kept in other.kept.items():
            self.kept[kind] = _first([*self.kept.get(kind, []), *kept], most, lambda one: one.id)
        self.unread += other.unread
        self.troubles = _first([*self.troubles, *other.troubles], MAX_TROUBLES, lambda one: one.place)

    def ordered(self, classes: Sequence[str]) -> TrialCounts:
        """The same, whoever read what first: classes in this order, groups by alphabet."""
        in_order = {name: self.classes[name] for name in classes if name in self.classes}
        return self.model_copy(update={"classes": in_order, "groups": dict(sorted(self.groups.items()))})

    def save(self, path: Path) -> None:
        """Write it, at once or not at all."""
        with replacing(path) as beside:
            beside.write_text(self.model_dump_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """What was saved; new counts where nothing was."""
        return cls.model_validate_json(path.read_bytes()) if path.exists() else cls()

    @staticmethod
    def _count(tallies: dict[str, PictureCounts], name: str, tally: PictureCounts) -> None:
        tallies[name] = tallies.get(name, PictureCounts()) + tally

    def _count_others(self, labels: dict[str, int]) -> None:
        """A label that is left out once has `MAX_OTHERS` before it in the alphabet, and never comes back."""
        both = {label: self.others.get(label, 0) + labels.get(label, 0) for label in {*self.others, *labels}}
        self.others = {label: both[label] for label in sorted(both)[:MAX_OTHERS]}

    def _check_groups(self) -> None:
        if len(self.groups) > MAX_GROUPS:
            raise UserError(
                f"The pictures are of more than {MAX_GROUPS} groups, such as {listed(sorted(self.groups)[:3])}. "
                "Name another column of groups, or none."
            )


def short(text: str) -> str:
    """A name out of anybody's files as the counts hold it: what can be seen of it, and not without end."""
    text = printable(text)
    return text if len(text) <= MAX_NAME else f"{text[: MAX_NAME - 1]}…"


def _kept(batch: Batch, found: Generalization, i: int, side: int) -> KeptPicture:
    label = batch.labels[i]
    return KeptPicture(
        id=int(batch.ids[i]),
        name=short(batch.names[i]),
        label=None if label is None else short(label),
        group=str(found.group[i]),
        before=found.classes[found.before[i]],
        after=found.classes[found.after[i]],
        webp=b64encode(thumbnail(batch.crops[i], side)).decode(),
    )


def _first(things: Iterable[T], most: int, order: Callable[[T], Any]) -> list[T]:
    return sorted(things, key=order)[:most]
