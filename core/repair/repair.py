"""Search for an edit that repairs failures among many pictures, in three parts that have no picture in common.

1. Discovery: components and families that drive the failures are proposed (`core.methods.failures`), and the edit grows
   by the candidate that repairs most more than it breaks, as long as one does.
2. Choice: a condition, where one is needed to break few pictures that were right, by Learn then Test
   (`core.methods.conditions`).
3. Judgement: what the edit does to pictures that had no part in it. Only this is claimed.

These are parts of what is in memory. Where there are more pictures than that, what is in memory is a sample that a hash
of their names draws (`sampled`), and all others stream by once and judge the edit, too (`judge`).
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import UserError
from ..methods.conditions import CONFIDENCE, RATE, SHARES, TERMS, Promise
from ..methods.failures import Candidates, Confusion, Findings, find_candidates
from ..methods.generalization import Generalization, joined
from ..methods.picture_set import MOST_BYTES, PictureSet, read_traces, split
from ..methods.steering import MAX_LEVERS, Edit
from ..methods.targets import ClassTarget
from ..model.clip import text_classifier
from ..model.sae_clip import BATCH
from ..pictures.batches import batches
from ..pictures.collection import Collection
from ..pictures.drawn import Drawn, n_pictures
from ..workbench import Step, Workbench

_SPARE = 0.8
"""Of the memory, what a sample is planned to take: pictures take more or less than the first."""


@dataclass(frozen=True)
class RepairOptions:
    """Which failures are to be repaired, and by how much of an edit."""

    sample: int = 5_000
    """pictures to find the edit and its condition on, drawn by a hash of their names, as far as there is memory for
    them; all others judge it"""
    truth: str | None = None
    """repair failures of this class alone; by default of all"""
    said: str | None = None
    """repair pictures of which this is said alone; by default whatever else is said"""
    groups: str | None = None
    """use pictures of these groups alone, separated by commas; by default all"""
    levers: int = 5
    """components and families in the edit, at most"""
    terms: int = TERMS
    """components in a condition, at most; 0 for an edit without one"""
    rate: float = RATE
    """share of right pictures that it may break"""
    confidence: float = CONFIDENCE
    """with which that is promised"""

    def __post_init__(self) -> None:
        """Raise UserError for a number that is out of range."""
        if self.levers < 1 or self.terms < 0 or self.sample < 1:
            raise UserError("--levers and --sample are 1 or more, and --terms 0 or more. Correct them.")
        if not (0 < self.rate < 1 and 0 < self.confidence < 1):
            raise UserError("--rate and --confidence are between 0 and 1. Correct them.")

    def chosen(self, pictures: PictureSet) -> PictureSet:
        """The pictures that are meant. Raises UserError for a group that none is of."""
        known = sorted(set(pictures.group.tolist()))
        for name in self._groups:
            if name not in known:
                raise UserError(f"“{name}” is no group of these pictures: {', '.join(known)}. Choose among them.")
        return self.of_groups(pictures)

    def of_groups(self, pictures: PictureSet) -> PictureSet:
        """The pictures that are meant, which may be none."""
        if self.groups is None:
            return pictures
        return pictures.part(np.flatnonzero(np.isin(pictures.group, self._groups)))

    @property
    def _groups(self) -> list[str]:
        return [] if self.groups is None else [name.strip() for name in self.groups.split(",")]

    def confusion(self, classes: Sequence[str]) -> Confusion:
        """The failures that are meant. Raises UserError for a class that is none."""
        for name in (self.truth, self.said):
            if name is not None and name not in classes:
                raise UserError(f"“{name}” is none of the classes: {', '.join(classes)}. Choose one of them.")
        truth, said = (None if name is None else classes.index(name) for name in (self.truth, self.said))
        return Confusion(truth, said)


@dataclass(frozen=True, eq=False)
class FoundRepair:
    """An edit that was found, and what it does to pictures that had no part in finding it."""

    findings: Findings
    """What may drive the failures."""
    edit: Edit
    """With its condition, where there is one."""
    promise: Promise | None
    """What may be promised of it; None where no condition was asked for."""
    trial: Generalization
    """Of the judging part."""

    @property
    def target(self) -> ClassTarget:
        """The class that the failures show less the one that is said of them, or one of both; the first of any."""
        confusion = self.findings.confusion
        return ClassTarget(*[c for c in (confusion.truth, confusion.said) if c is not None] or [0])


def find_repair(
    bench: Workbench, pictures: PictureSet, templates: tuple[str, ...], options: RepairOptions
) -> Generator[Step | FoundRepair]:
    """An edit that repairs failures of a set: how far that is, and the answer last.

    Raises UserError where there is no such failure on the discovery part, or nothing repairs more than it breaks.
    """
    discovery, choice, judging = parts = split(pictures.names, SHARES)
    if not all(map(len, parts)):
        raise UserError(f"{len(pictures)} pictures are too few to find, choose and judge on. Bring more.")
    classifier = text_classifier(bench.setup.clip, pictures.classes, templates)
    families = [family.members for family in bench.families] if bench.index is not None else []
    confusion, found = options.confusion(pictures.classes), None
    for step in find_candidates(bench.setup.model, pictures, classifier, confusion, (discovery, choice), families):
        if isinstance(step, Findings):
            found = step
        else:
            yield step
    assert found is not None
    edit = Edit()
    for grown in _grown(bench, pictures.part(discovery), templates, found, options.levers):
        if isinstance(grown, Edit):
            edit = grown
        else:
            yield grown
    promised = None
    if options.terms:
        for told in bench.find_condition(pictures, edit, templates, options.terms, options.rate, options.confidence):
            if isinstance(told, Promise):
                promised = told
            else:
                yield told
        assert promised is not None
        edit = replace(edit, condition=promised.choice.condition)
    *_, judged = bench.try_edit(pictures.part(judging), edit, templates)
    assert isinstance(judged, Generalization)
    yield FoundRepair(found, edit, promised, judged)


def sampled(
    bench: Workbench, collection: Collection, most: int, most_bytes: int = MOST_BYTES
) -> tuple[Collection, Collection | None]:
    """At most about so many pictures of a collection, and fewer where they take too much memory, and the others.

    Nothing is drawn where all of them fit. Raises UserError when none of the first can be read.
    """
    n, crop = n_pictures(collection), bench.setup.clip.crop
    first = next(
        (batch for batch in batches(collection, crop, BATCH, range(collection.n_parts)) if len(batch.ids)), None
    )
    if first is None:
        raise UserError("There is no picture here that can be read. Bring PNG, JPEG or WebP files.")
    *_, read = read_traces(bench, [first])
    assert isinstance(read, PictureSet)
    room = int(most_bytes * _SPARE / (read.n_bytes / len(read)))
    share = min(most, room) / n
    return (collection, None) if share >= 1 else (Drawn(collection, share), Drawn(collection, share, others=True))


def judge(
    bench: Workbench,
    others: Collection,
    found: FoundRepair,
    classes: tuple[str, ...],
    templates: tuple[str, ...],
    options: RepairOptions,
    workers: int = 0,
) -> Generator[Step | Generalization]:
    """What a repair does to these pictures, too, and to its judging part: how far that is, and the answer last.

    They are read and forgotten batch by batch.
    """
    parts, done = [found.trial], 0
    for batch in batches(others, bench.setup.clip.crop, BATCH, range(others.n_parts), workers=workers):
        if len(batch.ids):
            *_, read = bench.read_set([batch], classes, templates)
            assert isinstance(read, PictureSet)
            *_, trial = bench.try_edit(options.of_groups(read), found.edit, templates)
            assert isinstance(trial, Generalization)
            parts.append(trial)
        done += len(batch.ids) + batch.skipped
        yield "Judging it on all others", done, max(done, others.size or 0)
    yield joined(parts)


def _grown(
    bench: Workbench, pictures: PictureSet, templates: tuple[str, ...], found: Findings, most: int
) -> Generator[Step | Edit]:
    """The candidates that together repair most more than they break, one after the other; the edit last."""
    edit, best = Edit(), 0
    candidates = [*_edits(found.families), *_edits(found.components)]
    for number in range(most):
        tried = []
        for k, more in enumerate(candidates):
            yield f"Which component or family repairs most (lever {number + 1})", k, len(candidates)
            larger = _joined(edit, more)
            if len(larger.levers) > MAX_LEVERS:
                continue
            *_, trial = bench.try_edit(pictures, larger, templates)
            assert isinstance(trial, Generalization)
            tried.append((trial.counts.fixed - trial.counts.broken, larger))
        net, larger = max(tried, key=lambda one: one[0], default=(0, edit))
        if net <= best:
            break
        edit, best = larger, net
    if not edit.levers:
        raise UserError(
            "No component, and no family, repairs more of these pictures than it breaks. The failures may have another "
            "cause than what this dictionary sees: look at them in the app."
        )
    yield edit


def _edits(candidates: Candidates) -> list[Edit]:
    return [
        Edit.of_suppressed(members) if len(members) == 1 else Edit().pull_family(members[0], members)
        for members in candidates.members
    ]


def _joined(edit: Edit, more: Edit) -> Edit:
    has = {lever.component for lever in edit.levers}
    return Edit((*edit.levers, *(lever for lever in more.levers if lever.component not in has)))


def share_right(pictures: PictureSet) -> float:
    """Of the pictures with a label, 0 to 1; nan of none."""
    labelled = pictures.labelled
    return float(np.mean(pictures.right[labelled])) if labelled.any() else float("nan")
