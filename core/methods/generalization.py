"""Generalization of an edit made on one picture: what it fixes and breaks among 300 reference pictures.

300 scenes rendered by this project, of which the truth is known: clean ones, and ones with each planted cue that speaks
for another class. They have seeds of their own, which neither training nor scoring nor the examples use. A setup reads
them once (`read_references`); then an edit is run on all of them (`generalize`). It fixes a picture that was wrong
before it and is right with it, breaks one that was right and is wrong with it, and leaves the others unchanged.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..files import ASSETS
from ..model.clip import SplitClip, logits, text_classifier
from ..model.prompts import TEMPLATES
from ..model.sae_clip import BATCH, SaeClip
from ..model.trace import Trace
from ..records import Preview, Record
from ..scenes.sampling import HELD_OUT, SIDE
from ..scenes.scene import CLASSES, Painter, Scene
from ..stats import wilson
from ..words import percent
from .steering import Edit, steered

KINDS: Mapping[str, int] = MappingProxyType({"clean": 120, "attacked": 90, "stamped": 45, "flooded": 45})
"""How many of each kind of scene: without a cue, and with a conflicting word, the stamp, water."""

SEED = 3_000_000
PAINTED = ASSETS / "references.webp"
"""The reference pictures at `SIDE`, row by row, by `core.bundled.references`."""
SHOWN = 8
"""Pictures kept of those an edit fixes, and of those it breaks."""

Progress = tuple[int, int]
"""Pictures done, and how many there are."""


@dataclass(frozen=True)
class Reference:
    """One reference picture, before anything is drawn."""

    kind: str
    """One of `KINDS`."""
    scene: Scene
    """What to draw."""
    truth: str
    """The class of the thing it shows."""
    foil: str | None
    """The class that its cue speaks for, never the truth; None for a clean one."""


@dataclass(frozen=True, eq=False, repr=False)
class References(Record):
    """The reference pictures, as one setup read them: numpy and plain values only, so that it pickles.

    The residuals make up most of it: 50 KB a picture for the bundled setup, 1 MB for a ViT-L/14.
    """

    traces: tuple[Trace, ...]
    """Each picture, read once."""
    kind: np.ndarray
    """str [N]: of each picture, one of `KINDS`."""
    truth: np.ndarray
    """int [N]: the class each shows, an index into `classes`."""
    said: np.ndarray
    """int [N]: the class the model says without any edit, in the single prompt template."""
    classes: tuple[str, ...]
    """What the pictures may show."""

    def __repr__(self) -> str:
        """Their number; 300 traces are too many to print."""
        return f"References({len(self.traces)} pictures, {len(self.classes)} classes)"


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

    @property
    def unchanged(self) -> int:
        """As right or wrong as before, though a wrong one may now be another wrong class."""
        return self.wrong + self.right - self.fixed - self.broken

    @property
    def fixed_interval(self) -> tuple[float, float] | None:
        """Wilson 95 % interval for the share of wrong pictures that are fixed, 0 to 1; None when none is wrong."""
        return wilson(self.fixed, self.wrong) if self.wrong else None

    @property
    def broken_interval(self) -> tuple[float, float] | None:
        """Wilson 95 % interval for the share of right pictures that are broken, 0 to 1; None when none is right."""
        return wilson(self.broken, self.right) if self.right else None

    @property
    def p_value(self) -> float:
        """Exact two-sided McNemar test: how likely so uneven a split of fixed and broken is if either were as likely.

        1 when nothing is fixed or broken.
        """
        from scipy.stats import binomtest  # here, since it takes nearly half a second

        changed = self.fixed + self.broken
        return float(binomtest(self.fixed, changed).pvalue) if changed else 1.0

    @property
    def said(self) -> str:
        """The counts in one sentence, with their intervals."""
        return _sentence(self)


@dataclass(frozen=True, eq=False, repr=False)
class Generalization(Record):
    """What one edit does to the reference pictures, in their order."""

    before: np.ndarray
    """int [N]: the class the model says without the edit."""
    after: np.ndarray
    """int [N]: the class it says with it."""
    truth: np.ndarray
    """int [N]: the class the picture shows."""
    kind: np.ndarray
    """str [N]: of each picture, one of `KINDS`."""
    touched: np.ndarray
    """bool [N]: whether the edit changes anything in the picture's residual; the model ran again on these only."""
    classes: tuple[str, ...]
    """What the pictures may show."""
    shown: np.ndarray
    """int [k]: indices of the first `SHOWN` of those fixed, and of those broken."""
    crops: np.ndarray
    """uint8 [k, S, S, 3]: these pictures."""

    @property
    def fixed(self) -> np.ndarray:
        """Indices of the pictures that were wrong and are right with the edit, ascending."""
        return np.flatnonzero((self.before != self.truth) & (self.after == self.truth))

    @property
    def broken(self) -> np.ndarray:
        """Indices of the pictures that were right and are wrong with the edit, ascending."""
        return np.flatnonzero((self.before == self.truth) & (self.after != self.truth))

    @property
    def unchanged(self) -> np.ndarray:
        """Indices of all others, ascending: as right or wrong as before, though maybe another wrong class."""
        return np.flatnonzero((self.before == self.truth) == (self.after == self.truth))

    @property
    def counts(self) -> Counts:
        """Of all pictures, with the intervals, the test and the sentence."""
        return self._count(np.ones(len(self.truth), dtype=bool))

    @property
    def by_kind(self) -> dict[str, Counts]:
        """The same for each kind of picture, in the order of `KINDS`."""
        return {kind: self._count(self.kind == kind) for kind in KINDS if (self.kind == kind).any()}

    @property
    def said(self) -> str:
        """All of it in one sentence."""
        return self.counts.said

    def preview(self) -> Preview:
        """What became of each kind of picture."""
        each = self.by_kind.items()
        rows = [(kind, *map(str, (c.wrong, c.fixed, c.right, c.broken))) for kind, c in each]
        return Preview(self.said, ("kind", "wrong", "fixed", "right", "broken"), rows)

    def _count(self, some: np.ndarray) -> Counts:
        right = int((self.before == self.truth)[some].sum())
        return Counts(
            wrong=int(some.sum()) - right,
            right=right,
            fixed=int(some[self.fixed].sum()),
            broken=int(some[self.broken].sum()),
        )


def reference_cases() -> tuple[Reference, ...]:
    """The 300 reference pictures, always the same, by kind in the order of `KINDS`."""
    found: list[Reference] = []
    for kind, count in KINDS.items():
        rng = np.random.default_rng([SEED, tuple(HELD_OUT).index(kind)])
        cases = (HELD_OUT[kind](rng) for _ in range(count))
        found.extend(Reference(kind, case.scene, case.truth, case.foil) for case in cases)
    return tuple(found)


def crops(cases: Sequence[Reference], side: int) -> Iterator[np.ndarray]:
    """Each picture drawn at the size a model sees, uint8 [side, side, 3]: nothing is scaled or cut afterwards."""
    painter = Painter(side)
    return (painter.paint(case.scene) for case in cases)


def painted() -> np.ndarray:
    """All reference pictures as they were painted once, uint8 [N, `SIDE`, `SIDE`, 3]."""
    with Image.open(PAINTED) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    tiles = pixels.reshape(-1, SIDE, pixels.shape[1] // SIDE, SIDE, 3).swapaxes(1, 2)
    return tiles.reshape(-1, SIDE, SIDE, 3)


def read_references(model: SaeClip, batch: int = BATCH) -> Iterator[Progress | References]:
    """Read the reference pictures, `batch` of them at a time.

    Yields (done, total) at the start and after every batch, and at last the References. On a large CLIP this takes a
    minute; the result depends on the setup alone.
    """
    cases, clip = reference_cases(), model.clip
    yield 0, len(cases)
    side = clip.model.config.vision_config.image_size
    drawn = iter(painted()) if side == SIDE else crops(cases, side)
    traces: list[Trace] = []
    while part := list(islice(drawn, batch)):
        traces += model.traces(part)
        yield len(traces), len(cases)
    classifier = text_classifier(clip, CLASSES, TEMPLATES["single"])
    yield References(
        traces=tuple(traces),
        kind=np.array([case.kind for case in cases]),
        truth=np.array([CLASSES.index(case.truth) for case in cases]),
        said=_says(clip, _embeddings(clip, traces), classifier),
        classes=CLASSES,
    )


@torch.no_grad()
def generalize(
    model: SaeClip, references: References, classifier: Tensor, edit: Edit, batch: int = BATCH
) -> Iterator[Progress | Generalization]:
    """Run an edit on the reference pictures, against unit vectors [C, p] of their classes.

    Yields (done, total) at the start and after every batch, and at last the Generalization. The tokens an edit was
    confined to are places in one picture and mean nothing in another, so that here it acts on all tokens in the
    dictionary's scope. The layers after L run only for pictures in which it changes anything, `batch` at a time: those
    where one of its components is active, or where a lever sets one. The others keep their prediction. Raises
    UserError as `steer`, ValueError when the class vectors are not as many as the classes.
    """
    if len(classifier) != len(references.classes):
        raise ValueError(f"{len(classifier)} class vectors for {len(references.classes)} classes")
    everywhere, clip = edit.among(None), model.clip
    before = _says(clip, _embeddings(clip, references.traces), classifier)
    after, touched = before.copy(), np.zeros(len(before), dtype=bool)
    total = len(references.traces)
    yield 0, total
    waiting: list[Tensor] = []
    for i, trace in enumerate(references.traces):
        (moved,) = steered(model, trace, [everywhere])
        if not torch.equal(moved, model.residual(trace)):
            touched[i] = True
            waiting.append(moved)
        if len(waiting) == batch or (waiting and i + 1 == total):
            z = clip.embed_from_residual(torch.stack(waiting))
            after[np.flatnonzero(touched)[-len(waiting) :]] = _says(clip, z, classifier)
            waiting = []
            yield i + 1, total
    right_before, right_after = before == references.truth, after == references.truth
    turned = (~right_before & right_after, right_before & ~right_after)
    shown = np.concatenate([np.flatnonzero(which)[:SHOWN] for which in turned])
    yield Generalization(
        before=before,
        after=after,
        truth=references.truth,
        kind=references.kind,
        touched=touched,
        classes=references.classes,
        shown=shown,
        crops=np.stack([references.traces[0].crop, *(references.traces[i].crop for i in shown)])[1:],
    )


def _embeddings(clip: SplitClip, traces: Sequence[Trace]) -> Tensor:
    """[N, p], not normalised."""
    return clip.place(np.stack([trace.embedding for trace in traces]))


def _says(clip: SplitClip, embeddings: Tensor, classifier: Tensor) -> np.ndarray:
    """The class of the highest logit for each of [N, p], int [N]; of equals the first."""
    return logits(embeddings, classifier, clip.logit_scale).cpu().numpy().argmax(-1)


def _sentence(c: Counts) -> str:
    nouns = "picture that was" if c.wrong == 1 else "pictures that were"
    fixes = f"Fixes {c.fixed} of {c.wrong} {nouns} wrong{_percents(c.fixed, c.wrong, c.fixed_interval)}"
    breaks = f"breaks {c.broken} of {c.right} that {'was' if c.right == 1 else 'were'} right"
    return f"{fixes}, {breaks}{_percents(c.broken, c.right, c.broken_interval)}."


def _percents(k: int, n: int, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return ""
    low, high = (f"{100 * end:.0f}" for end in interval)
    return f" ({percent(k / n, 'under', 'over')} %, 95 % interval {low} to {high} %)"
