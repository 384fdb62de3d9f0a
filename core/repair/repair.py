"""Search for an edit that repairs failures among many pictures, in three parts that have no picture in common.

1. Discovery: components and families that drive the failures are proposed (`core.methods.failures`), and the edit grows
   by the candidate that repairs most more than it breaks, as long as one does.
2. Choice: a condition, where one is needed to break few pictures that were right, by Learn then Test
   (`core.methods.conditions`).
3. Judgement: what the edit does to pictures that had no part in it. Only this is claimed.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import UserError
from ..methods.conditions import CONFIDENCE, RATE, SHARES, TERMS, Promise
from ..methods.failures import Candidates, Confusion, Findings, find_candidates
from ..methods.generalization import Generalization
from ..methods.picture_set import PictureSet, split
from ..methods.steering import MAX_LEVERS, Edit
from ..methods.target import Target
from ..model.clip import text_classifier
from ..workbench import Step, Workbench


@dataclass(frozen=True)
class RepairOptions:
    """Which failures are to be repaired, and by how much of an edit."""

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
        if self.levers < 1 or self.terms < 0:
            raise UserError("--levers is 1 or more, and --terms 0 or more. Correct them.")
        if not (0 < self.rate < 1 and 0 < self.confidence < 1):
            raise UserError("--rate and --confidence are between 0 and 1. Correct them.")

    def chosen(self, pictures: PictureSet) -> PictureSet:
        """The pictures that are meant. Raises UserError for a group that none is of."""
        if self.groups is None:
            return pictures
        wanted, known = [name.strip() for name in self.groups.split(",")], sorted(set(pictures.group.tolist()))
        for name in wanted:
            if name not in known:
                raise UserError(f"“{name}” is no group of these pictures: {', '.join(known)}. Choose among them.")
        return pictures.part(np.flatnonzero(np.isin(pictures.group, wanted)))

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
    def target(self) -> Target:
        """The class that the failures show less the one that is said of them, or one of both; the first of any."""
        confusion = self.findings.confusion
        return Target(*[c for c in (confusion.truth, confusion.said) if c is not None] or [0])


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
