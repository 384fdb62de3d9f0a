"""Side effects of an edit: everything it changed in one picture besides its target ("ripple" on the page).

1. The probe vocabulary, `assets/vocabulary.txt`, names everyday concepts. Those a setup knows, and the visitor does not
   ask about, are its probe words (`probe_words`).
2. How far an edit moved each of them, in the unit of the target: a logit for one of classes, hundredths of cosine for a
   similarity. A shift common to all is invisible to any softmax, so what counts is their spread around it: the side
   effect.
3. selectivity = |effect on the target| / side effect: how many times more the edit did to what it was meant for than
   to concepts it was not meant for.
4. `attribution_changes`: which components outside the edit now mean something else to the target.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from ..files import ASSETS
from ..model.prediction import logit_change, turn
from ..model.prompts import unknown_words
from ..model.sae_clip import BATCH
from ..records import Preview, Record
from ..stats import beyond_common
from ..words import count, decimal, signed
from .attribution import Attribution
from .question import Question
from .steering import Edit

VOCABULARY = ASSETS / "vocabulary.txt"

SHOWN = 5
"""Concepts of either direction in a printed table."""

ROUNDING = 1e-4
"""Logits, or hundredths of cosine. Side effects below it are float32 noise of another batch, and measure nothing."""


@dataclass(frozen=True)
class ProbeConcept:
    """An everyday concept of the probe vocabulary."""

    name: str
    """As people type it, in lower case."""
    group: str
    """The heading it stands under: objects, animals, food and so on."""


@dataclass(frozen=True, eq=False, repr=False)
class SideEffects(Record):
    """What one edit of one picture did to its target, and to everything else."""

    concepts: tuple[str, ...]
    """The probe words."""
    change: np.ndarray
    """float32 [V]: each concept's logit, or cosine, with the edit minus without, in `unit`."""
    cosine: float
    """Between the image embeddings without and with the edit, -1 to 1: 1 when it did not turn at all."""
    effect: float
    """The target with the edit minus without, in `unit`."""
    unit: str
    """Of the target."""

    @property
    def relative(self) -> np.ndarray:
        """The change of each concept beyond that of all, float32 [V]: what a softmax can see of it."""
        return beyond_common(self.change).astype(np.float32)

    @property
    def side_effect(self) -> float | None:
        """Standard deviation of `change` over the concepts; None for fewer than 2 concepts."""
        return float(self.change.std(dtype=np.float64)) if len(self.change) > 1 else None

    @property
    def selectivity(self) -> float | None:
        """|effect| / side effect, without unit; None where there is no side effect beyond rounding to compare with."""
        spread = self.side_effect
        return None if spread is None or spread < ROUNDING else abs(self.effect) / spread

    def most_up(self, k: int) -> np.ndarray:
        """Indices of at most k concepts that rose against the others (`relative` > 0), the furthest first, int."""
        return np.argsort(-self.change, kind="stable")[: min(k, int((self.relative > 0).sum()))]

    def most_down(self, k: int) -> np.ndarray:
        """Indices of at most k concepts that fell against the others (`relative` < 0), the furthest first, int."""
        return np.argsort(self.change, kind="stable")[: min(k, int((self.relative < 0).sum()))]

    def preview(self) -> Preview:
        """The concepts that moved most against the others."""
        shown = [*self.most_up(SHOWN).tolist(), *self.most_down(SHOWN).tolist()[::-1]]
        rows = [(self.concepts[k], signed(float(self.relative[k]))) for k in shown]
        side, times = decimal(self.side_effect), decimal(self.selectivity)
        title = (
            f"The target moved by {signed(self.effect)} {self.unit}, {count(len(self.concepts), 'concept')} by {side} "
            f"(selectivity {times}); cosine {self.cosine:.3f}"
        )
        return Preview(title, ("concept", f"{self.unit}, against the others"), rows)


@dataclass(frozen=True, eq=False, repr=False)
class AttributionChanges(Record):
    """Components outside an edit whose attribution changed, the most changed first."""

    component: np.ndarray
    """int32 [k]."""
    before: np.ndarray
    """float32 [k]: A_j without the edit, in the unit of the target; 0 where the component is not active."""
    after: np.ndarray
    """float32 [k]: A_j with it."""

    def preview(self) -> Preview:
        """Each of them without the edit and with it."""
        numbers = zip(self.component.tolist(), self.before.tolist(), self.after.tolist(), strict=True)
        rows = [(f"#{j}", signed(a), signed(b)) for j, a, b in numbers]
        title = f"The attribution of {count(len(rows), 'other component')} changed most"
        return Preview(title, ("component", "before", "after"), rows)


def read_vocabulary(path: Path = VOCABULARY) -> tuple[ProbeConcept, ...]:
    """The concepts of a file, in its order: one a line, under headings such as `# animals`."""
    found, group = [], ""
    for line in filter(None, map(str.strip, path.read_text(encoding="utf-8").splitlines())):
        if line.startswith("#"):
            group = line.lstrip("# ")
        else:
            found.append(ProbeConcept(line, group))
    return tuple(found)


def probe_words(
    concepts: Iterable[ProbeConcept], vocabulary: frozenset[str] | None, classes: Sequence[str]
) -> tuple[str, ...]:
    """The concepts all of whose words are known (None: all are), without those that a visitor's class names.

    A class “a red car” names “car”, whose change would be the target's own.
    """
    asked = [frozenset(name.casefold().split()) for name in classes]
    having: dict[str, set[frozenset[str]]] = {}
    for words in asked:
        for word in words:
            having.setdefault(word, set()).add(words)
    names = []
    for concept in concepts:
        words = frozenset(concept.name.casefold().split())
        if not any(words <= others for others in having.get(next(iter(words)), ())):
            names.append(concept.name)
    unknown = {} if vocabulary is None else unknown_words(names, vocabulary)
    return tuple(name for name in names if name not in unknown)


def side_effects(
    question: Question,
    edits: Sequence[Edit],
    concepts: Sequence[str],
    vocabulary_classifier: Tensor,
    batch: int = BATCH,
) -> tuple[SideEffects, ...]:
    """The side effects of each of several edits of one picture, `batch` of them in one forward.

    The target is among the class vectors [C, p]; the concepts, none of them a class, have the unit vectors [V, p], made
    with the same templates, or with a single one where these are many. An edit that does nothing has side effects of
    exactly 0. Raises UserError for a target that is not among the classes, and as `steer`.
    """
    if len(concepts) != len(vocabulary_classifier):
        raise ValueError(f"{len(concepts)} concepts with {len(vocabulary_classifier)} vectors")
    before, target, scale = question.trace.embedding, question.target, question.model.clip.logit_scale
    found = []
    for start in range(0, len(edits), batch):
        embeddings = question.embeddings_under(edits[start : start + batch])
        changes = logit_change(before, embeddings, vocabulary_classifier, target.per_cosine(scale))
        # The target is linear in both: its effect is the target of their changes.
        turned = turn(before, embeddings)
        effects = target.of(logit_change(before, embeddings, question.classifier, scale), turned).tolist()
        # |u' - u|^2 = 2 - 2 cos, which has no rounding to lose where the two are nearly the same.
        cosines = 1 - (turned**2).sum(-1) / 2
        found += [
            SideEffects(tuple(concepts), change, max(-1.0, float(cosine)), effect, target.UNIT)
            for change, cosine, effect in zip(changes, cosines, effects, strict=True)
        ]
    return tuple(found)


def attribution_changes(before: Attribution, after: Attribution, edit: Edit, k: int = 8) -> AttributionChanges:
    """At most k components outside the edit whose total changed most, of those that changed at all.

    `after` explains the same target, by the same method, on the steered trace. There these components have the
    activations that they had: what changed is what the layers after L make of them. Raises ValueError for attributions
    that cannot be compared.
    """
    if (before.target, before.method) != (after.target, after.method):
        raise ValueError("the two attributions explain different targets, or by different methods")
    components = np.union1d(before.component, after.component)
    components = components[~np.isin(components, [lever.component for lever in edit.levers])]
    a, b = (_totals(attribution, components) for attribution in (before, after))
    change = np.abs(b.astype(np.float64) - a)
    first = np.argsort(-change, kind="stable")[: min(k, np.count_nonzero(change))]
    return AttributionChanges(components[first], a[first], b[first])


def _totals(attribution: Attribution, components: np.ndarray) -> np.ndarray:
    """A_j of some components, float32 [k], 0 where not active."""
    found = np.zeros(len(components), dtype=np.float32)
    _, here, there = np.intersect1d(components, attribution.component, assume_unique=True, return_indices=True)
    found[here] = attribution.total[there]
    return found
