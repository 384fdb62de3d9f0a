"""Trial of an edit on many pictures for programs: the reference scenes, or files that a program brings.

Pictures that are brought are read batch by batch and forgotten: no program takes memory for more than a batch, and
whoever asks again brings them again.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError, echo
from ..methods.generalization import Generalization, joined
from ..methods.picture_set import PictureSet
from ..methods.steering import Edit
from ..model.prompts import TEMPLATES
from ..model.sae_clip import BATCH
from ..pictures.batches import batches
from ..pictures.collection import Collection
from ..pictures.intake import Bounds
from ..pictures.opening import open_pictures
from ..workbench import Step, Workbench

SINGLE = TEMPLATES["single"]


@dataclass
class TrialOnMany:
    """What an edit did to the pictures that were read so far."""

    pictures: str
    """Which pictures these are, in words."""
    names: list[str] = field(default_factory=list)
    """Of the pictures that could be read."""
    unread: list[tuple[str, str]] = field(default_factory=list)
    """The names of the others, and why."""
    parts: list[Generalization] = field(default_factory=list)
    """What it did, batch by batch."""
    remarks: tuple[str, ...] = ()
    """Sentences on what was brought: what labels are from, how many files were left out."""

    @property
    def found(self) -> Generalization:
        """What it did to all of them; without pictures to show."""
        return joined(self.parts)


def tried_on_scenes(bench: Workbench, edit: Edit) -> Generator[Step | TrialOnMany]:
    """On the reference scenes, which every setup reads once: how far that is, and the trial last."""
    for step in bench.references():
        if not isinstance(step, PictureSet):
            yield step
            continue
        words = f"scenes rendered by this project; {len(step.classes)} classes"
        trial = TrialOnMany(words, list(step.names))
        yield from _tried(bench, step, edit, trial)
        yield trial


def tried_on_files(
    bench: Workbench, files: Sequence[str], classes: Sequence[str], edit: Edit
) -> Generator[Step | TrialOnMany]:
    """On pictures that a program brings, among these classes or else among their labels: the trial last.

    Raises UserError for what is no set of pictures, or more than the page takes (`core.pictures.intake.Bounds`).
    """
    collection = open_pictures([Path(file) for file in files], bounds=Bounds())
    classes = tuple(classes) or collection.classes
    if not classes:
        raise UserError("Nothing is known of what these pictures show. Name classes, or bring pictures with labels.")
    found = collection.intake
    left_out = [f"{name}: {why}" for name, why in found.left_out[:20]]
    trial = TrialOnMany(_words(collection, classes), remarks=(*found.remarks, *left_out))
    for batch in batches(collection, bench.setup.clip.crop, BATCH, range(collection.n_parts)):
        trial.unread += batch.troubles
        if batch.names:
            for step in bench.read_set([batch], tuple(classes), SINGLE):
                if isinstance(step, PictureSet):
                    trial.names += step.names
                    yield from _tried(bench, step, edit, trial)
        done = len(trial.names) + len(trial.unread)
        yield "Trying the edit on the pictures", done, collection.size or done
    if not trial.parts:
        why = f" The first, {echo(trial.unread[0][0])}: {trial.unread[0][1]}" if trial.unread else ""
        raise UserError(f"There is no picture here that can be read. Bring PNG, JPEG or WebP files.{why}")
    yield trial


def _tried(bench: Workbench, pictures: PictureSet, edit: Edit, trial: TrialOnMany) -> Generator[Step]:
    for step in bench.try_edit(pictures, edit, SINGLE):
        if isinstance(step, Generalization):
            trial.parts.append(step)
        else:
            yield step


def _words(collection: Collection, classes: Sequence[str]) -> str:
    return f"pictures that were brought, {echo(collection.manifest['name'])}; {len(classes)} classes"
