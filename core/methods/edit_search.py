"""Search for a minimal edit: the fewest suppressions that make the model say what the picture should be.

1. Attribution proposes: the target is the predicted class minus the wanted one, `truth`; candidates are the
   components with the largest positive activation x gradient.
2. Measuring decides: every candidate alone; then every pair; then every three of the strongest few. The search stops
   after the first size with a hit.
3. Beyond three, only the n strongest together, n = 4, 5, ... The first such set that hits is thinned (backward
   elimination): drop the lever whose loss leaves `truth` the largest margin, again and again, until none can be spared.
   That set has no idle lever, but another of its size or smaller may exist.

All edits are of one picture and run the layers after L only, in batches; after each, the caller hears how far it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..model.prediction import logit_change
from ..model.sae_clip import BATCH, SaeClip
from ..model.trace import Trace
from ..records import Preview, Printed
from ..words import count, decimal, listed, signed
from .attribution import attribute
from .question import Question
from .steering import Edit
from .targets import ClassTarget

MOST = 10
"""The most suppressions an edit may have."""
CANDIDATES = 12
"""The components tried alone and in pairs: those with the largest attribution."""
TRIPLED = 8
"""The strongest of them, tried in threes."""
ALTERNATIVES = 5
"""The most other edits told of beside the answer."""
CLEAR = 1e-3
"""How far `truth` has to lead, in logits: less could be rounding, which depends on what else is in a batch."""

_EXHAUSTED = {1: CANDIDATES, 2: CANDIDATES, 3: TRIPLED}

Components = tuple[int, ...]
"""A set to suppress, from the strongest attribution to the weakest."""


@dataclass(frozen=True)
class Candidate:
    """One edit that was tried, and what the model did."""

    edit: Edit
    """Suppressions, from the strongest attribution to the weakest."""
    predicted: int
    """Index of the class predicted with the edit."""
    margin: float
    """The logit of `truth` minus the best other, with the edit; negative for another prediction."""
    effect: float
    """On the target, the class predicted without an edit minus `truth`: after minus before, in logits."""
    side_effect: float | None
    """Standard deviation over the probe concepts of the change of their logits; None for fewer than 2 probes."""
    hit: bool
    """Whether the model predicts `truth`, by more than rounding (CLEAR)."""


@dataclass(frozen=True)
class Search(Printed):
    """How far a search is; the last one, `done`, is the answer."""

    truth: int
    """Index of the class wanted."""
    predicted: int
    """Index of the class predicted without an edit."""
    candidates: Components
    """The components the search draws from."""
    tried: int
    """Different edits measured so far."""
    size: int
    """Levers of the answer; where there is none (yet), of the largest edits in the latest batch."""
    done: bool = False
    """Whether this is the answer."""
    edit: Edit | None = None
    """The answer, empty where the model is right without; None when nothing tried is a hit, or not done."""
    hit: bool = False
    """Whether there is an answer."""
    margin: float | None = None
    """With the answer: the logit of `truth` minus the best other. None without an answer, or another class."""
    effect: float | None = None
    """Of the answer, on the target predicted minus `truth`: after minus before, in logits; None without one."""
    side_effect: float | None = None
    """Of the answer, in logits, as in `Candidate`; None without an answer, or for fewer than 2 probes."""
    alternatives: tuple[Candidate, ...] = ()
    """Other edits of the answer's size; without one, of any size. The largest margin first, and so
    hits before misses."""

    def said(self, classes: Sequence[str]) -> str:
        """The search in a sentence for the visitor, given the class names."""
        wanted = f"“{classes[self.truth]}”"
        if not self.done:
            return f"{count(self.tried, 'edit')} tried so far, the latest of {count(self.size, 'suppression')}."
        if self.predicted == self.truth:
            return f"The model already says {wanted}: no edit is needed."
        if self.edit is not None:
            return self._said_found(self.edit)
        if not self.candidates:
            predicted = f"“{classes[self.predicted]}”"
            return f"No component speaks for {predicted} against {wanted} here: there is nothing to suppress."
        return self._said_missed(wanted)

    def preview(self) -> Preview:
        """The answer, and the other edits beside it."""
        classes = [f"class {c}" for c in range(max(self.truth, self.predicted) + 1)]
        rows = [
            (
                _listed(one.edit),
                f"class {one.predicted}",
                signed(one.margin),
                signed(one.effect),
                decimal(one.side_effect),
            )
            for one in self.alternatives
        ]
        return Preview(self.said(classes), ("another edit", "predicted", "margin", "effect", "side effect"), rows)

    def _said_found(self, edit: Edit) -> str:
        if self.size == 1:
            return f"One suppression does it: {_listed(edit)}."
        n = len(self.candidates)
        smaller = {2: f"no single one of the {n} strongest does"}.get(
            self.size, f"no single one or pair among the {n} strongest does"
        )
        if self.size > 3:
            smaller += f", no three of the {min(n, TRIPLED)} strongest, and none of these can be left out"
        return f"Suppressing {self.size} components does it: {_listed(edit)}; {smaller}."

    def _said_missed(self, wanted: str) -> str:
        closest = self.alternatives[0]
        short = max(0.0, -closest.margin)
        gap = f"{short:.2f} logits" if short >= 0.005 else "less than 0.01 logits"
        most = f"set of up to {self.size} suppressions" if self.size > 1 else "single suppression"
        return f"No {most} that was tried makes it {wanted}. The closest: {_listed(closest.edit)}, {gap} short."


def find_edit(
    model: SaeClip, trace: Trace, classifier: Tensor, truth: int, probes: Tensor | None = None
) -> Iterator[Search]:
    """Search the smallest edit with which the model predicts class `truth`, against unit class vectors [C, p].

    `probes` are unit vectors [V, p] of concepts other than the classes. With them the answer is, of the hits of the
    smallest size up to three, the one with the least side effect; without them, the one with the largest margin. A
    larger answer is the one that is left of thinning. Yields after every batch, the answer last. Raises UserError, at
    once, for a class that is not there.
    """
    if not 0 <= truth < len(classifier):
        raise UserError(f"There is no class number {truth}: there are {len(classifier)}. Choose the truth again.")
    return _search(Question(model, trace, classifier, ClassTarget(truth)), truth, probes)


def _search(question: Question, truth: int, probes: Tensor | None) -> Iterator[Search]:
    values = question.logits.cpu().numpy()
    predicted = int(values.argmax())
    if probes is not None and len(probes) < 2:
        probes = None  # no spread to speak of
    if predicted == truth:
        yield Search(
            truth=truth,
            predicted=predicted,
            candidates=(),
            tried=0,
            size=0,
            done=True,
            edit=Edit(),
            hit=True,
            margin=float(_margins(values[None], truth)[0]) if len(values) > 1 else None,
            effect=0.0,
            side_effect=None if probes is None else 0.0,
        )
        return

    question = replace(question, target=ClassTarget(predicted, truth))
    candidates: Components = tuple(attribute(question).strongest_for(CANDIDATES).tolist())
    begun = Search(truth, predicted, candidates, tried=0, size=0)
    tried: dict[Components, Candidate] = {}

    def measure(sets: Sequence[Components]) -> Iterator[Search]:
        new = [one for one in sets if one not in tried]
        for start in range(0, len(new), BATCH):
            part = new[start : start + BATCH]
            edits = [Edit.of_suppressed(one) for one in part]
            measured = _measured(question, truth, edits, probes)
            tried.update(zip(part, measured, strict=True))
            yield replace(begun, tried=len(tried), size=max(map(len, part)))

    def answer(one: Components) -> Search:
        best = tried[one]
        return replace(
            begun,
            tried=len(tried),
            size=len(one),
            done=True,
            edit=best.edit,
            hit=True,
            margin=best.margin,
            effect=best.effect,
            side_effect=best.side_effect,
            alternatives=_strongest([tried[other] for other in tried if len(other) == len(one) and other != one]),
        )

    for size, pool in _EXHAUSTED.items():
        sets = list(combinations(candidates[:pool], size))
        yield from measure(sets)
        hits = [one for one in sets if tried[one].hit]
        if hits:
            yield answer(min(hits, key=lambda one: _cost(tried[one])))
            return

    prefixes = [candidates[:n] for n in range(max(_EXHAUSTED) + 1, min(MOST, len(candidates)) + 1)]
    yield from measure(prefixes)
    kept = next((one for one in prefixes if tried[one].hit), None)
    while kept is not None:
        fewer = list(combinations(kept, len(kept) - 1))
        yield from measure(fewer)
        hits = [one for one in fewer if tried[one].hit]
        if not hits:
            yield answer(kept)
            return
        kept = max(hits, key=lambda one: tried[one].margin)

    largest = max(map(len, tried), default=0)
    alternatives = _strongest(list(tried.values()))
    yield replace(begun, tried=len(tried), size=largest, done=True, alternatives=alternatives)


@torch.no_grad()
def _measured(question: Question, truth: int, edits: Sequence[Edit], probes: Tensor | None) -> list[Candidate]:
    """What the model does under each edit, in one forward; the target is the predicted class minus `truth`."""
    after = question.embeddings_under(edits)
    values = question.logits_of(after)
    effects = (question.values_of(after) - question.value).tolist()
    sides: list[float] | list[None] = [None] * len(edits)
    if probes is not None:
        changes = logit_change(question.trace.embedding, after, probes, question.model.clip.logit_scale)
        sides = changes.std(axis=1, dtype=np.float64).tolist()
    rows = values.cpu().numpy()
    margins = _margins(rows, truth).tolist()
    return [
        Candidate(edit, int(row.argmax()), margin, effect, side, margin > CLEAR)
        for edit, row, margin, effect, side in zip(edits, rows, margins, effects, sides, strict=True)
    ]


def _margins(values: np.ndarray, truth: int) -> np.ndarray:
    """Logits [B, C] -> that of `truth` minus the best other, [B]."""
    return values[:, truth] - np.delete(values, truth, axis=1).max(axis=1)


def _cost(hit: Candidate) -> float:
    """What makes one hit of a size better than another: less side effect; not known, more margin."""
    return -hit.margin if hit.side_effect is None else hit.side_effect


def _strongest(candidates: list[Candidate]) -> tuple[Candidate, ...]:
    """Those with the largest margins, and so hits before misses."""
    return tuple(sorted(candidates, key=lambda one: -one.margin)[:ALTERNATIVES])


def _listed(edit: Edit) -> str:
    return listed([f"#{lever.component}" for lever in edit.levers])
