"""Validation of an edit over a collection of labelled pictures, of any number: counts, then the verdict on its bounds.

1. The pictures stream by once (`core.streaming`). Each batch is a small picture set, on which the edit is tried as
   everywhere (`core.methods.generalization`); what came of it is counted (`core.validation.counts`), and the pictures
   are forgotten.
2. A run that was stopped goes on from there, and one that was killed from the last counts that were saved; several
   processes add theirs up. Either ends with the same report.
3. The counts are held against the bounds that were stated before (`core.validation.verdict`), and the report is written
   (`core.validation.report`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..concepts.index import Identity
from ..errors import UserError, printable
from ..methods.generalization import Generalization, generalize
from ..methods.picture_set import PictureSet, said_of
from ..methods.steering import Edit
from ..model.clip import text_classifier
from ..model.sae_clip import SaeClip
from ..pictures.batches import Batch
from ..pictures.collection import Collection
from ..pictures.intake import Intake
from ..setups.loading import Setup
from ..streaming import Streaming, begin, end, held_back, made_of, processes, restoring, stream
from .counts import TrialCounts, short
from .report import REPORT, VERSION, ValidationReport, read_report, write_report
from .verdict import StatedBounds, judge, outcome_of


@dataclass(frozen=True)
class ValidatedEdit:
    """What is validated: an edit, and the question it was made for."""

    name: str
    """What its recipe is called."""
    edit: Edit
    """The levers."""
    classes: tuple[str, ...]
    """What the model chooses from."""
    templates: tuple[str, ...]
    """The prompts for them."""


@dataclass(frozen=True)
class ReportOptions:
    """What the report shows, and how pictures are read for it."""

    shown: int = 24
    """pictures in the report of those fixed, and as many of those broken"""
    side: int = 160
    """pixels of such a picture's side, at most: pictures are not enlarged"""
    batch: int = 32
    """pictures at a time; numbers depend on it by a few 1e-7"""

    def __post_init__(self) -> None:
        """Raise UserError for a number that is out of range."""
        for name, least, most in (("shown", 0, 1000), ("side", 16, 1024), ("batch", 1, 100_000)):
            if not least <= getattr(self, name) <= most:
                raise UserError(f"--{name} is {getattr(self, name)}. Choose {least} to {most:,}.")


def validate(
    setup: Setup,
    collection: Collection,
    out: Path,
    validated: ValidatedEdit,
    stated: StatedBounds,
    options: ReportOptions,
    *,
    every: int = 100,
    workers: int = 0,
    threads: int = 1,
    quiet: bool = False,
) -> ValidationReport:
    """Try the edit on all pictures of the collection, hold the bounds against it, and write the report into `out`.

    Or go on with what was begun there. Saves what it has every `every` batches, and when it is stopped (the
    KeyboardInterrupt says what was counted so far); `workers` threads read pictures ahead, `threads` compute batches
    (`core.streaming.threads_apart`); `quiet` shows no progress. In several processes that accelerate has started, all
    call this with the same arguments; the folder is shared by all. Raises UserError when the folder holds a report, or
    the beginnings of another, when a component is not in the dictionary, and when there are too many groups.
    """
    group = processes()
    made_for = setup.identity
    settings = {
        "version": VERSION,
        "setup": asdict(made_for),
        "pictures": dict(collection.manifest),
        "recipe": asdict(validated),
        "bounds": asdict(stated),
        "options": asdict(options),
    }
    work = begin(out, "report", REPORT, settings, group)
    counts = _restored(work, group.process_index)
    if not counts.done:
        classifier = text_classifier(setup.clip, validated.classes, validated.templates)
        path = _counted(work, group.process_index)
        found = stream(
            collection,
            setup.clip.crop,
            group,
            Streaming(options.batch, every, workers, quiet),
            after=counts.after,
            seen=counts.total.pictures + counts.unread,
            save=lambda: counts.save(path),
        )
        try:
            for batch, trial in made_of(found, lambda one: tried(setup.model, one, classifier, validated), threads):
                with held_back():
                    counts.add(batch, trial, options.shown, options.side)
        except KeyboardInterrupt as stop:
            counts.save(path)
            raise KeyboardInterrupt(*_so_far(counts, collection, group.num_processes)) from stop
        counts.done = True
        counts.save(path)
    group.wait_for_everyone()
    if group.is_main_process:
        for rank in range(1, group.num_processes):
            counts.merge(_restored(work, rank), options.shown)
        write_report(_report(made_for, collection, validated, stated, counts), out)
        end(out)
    group.wait_for_everyone()
    return read_report(out)


@torch.no_grad()
def tried(model: SaeClip, batch: Batch, classifier: Tensor, validated: ValidatedEdit) -> Generalization:
    """What the edit does to the pictures of a batch, in their order; of none nothing."""
    traces = model.traces(batch.crops)
    place = {name: c for c, name in enumerate(validated.classes)}
    pictures = PictureSet(
        traces=traces,
        names=batch.names,
        truth=np.array([-1 if label is None else place.get(label, -1) for label in batch.labels], dtype=np.int64),
        group=np.array([short(group or "") for group in batch.groups], dtype=str),
        said=said_of(model.clip, traces, classifier),
        classes=validated.classes,
    )
    *_, found = generalize(model, pictures, classifier, validated.edit)
    assert isinstance(found, Generalization)
    return found


def _report(
    made_for: Identity,
    collection: Collection,
    validated: ValidatedEdit,
    stated: StatedBounds,
    counts: TrialCounts,
) -> ValidationReport:
    bounds = judge(counts.total, stated)
    return ValidationReport(
        outcome=outcome_of(bounds),
        bounds=bounds,
        recipe=printable(validated.name),
        edit=validated.edit,
        classes=validated.classes,
        templates=validated.templates,
        setup=made_for,
        pictures={printable(name): printable(value) for name, value in collection.manifest.items()},
        intake=Intake(
            remarks=tuple(map(printable, collection.intake.remarks)),
            left_out=tuple((short(name), short(reason)) for name, reason in collection.intake.left_out),
            n_left_out=collection.intake.n_left_out,
        ),
        counts=counts.ordered(validated.classes),
    )


def _so_far(counts: TrialCounts, collection: Collection, n_processes: int) -> tuple[str, ...]:
    """What a run that was stopped has counted, in sentences; nothing of no pictures."""
    done = counts.total.pictures + counts.unread
    if not done:
        return ()
    of = f" of {collection.size:,}" if collection.size is not None else ""
    by = "" if n_processes == 1 else f" by this one of {n_processes} processes"
    return (
        f"So far, after {done:,}{of} pictures{by}: {counts.total.counts.said}",
        "They came in the order of the collection, which is no random one: no bound is stated on them.",
    )


def _counted(work: Path, rank: int) -> Path:
    return work / f"counts-{rank}.json"


def _restored(work: Path, rank: int) -> TrialCounts:
    """What a process has saved, or the beginning."""
    with restoring(work):
        return TrialCounts.load(_counted(work, rank))
