"""Trial of levers on pictures whose cue is known: does it fool the CLIP, and do a few suppressions undo that?

1. A pair is a picture with a cue that names a wrong class, the foil, and its counterfactual without the cue. Where the
   counterfactual is right and the foil is said once the cue is there, the picture is fooled. Beside that stands how
   often another wrong class is said: a cue that only disturbs speaks for both alike.
2. In each fooled picture the components are suppressed that speak most for the foil against the truth, by attribution,
   `LEVERS` at most. Is the foil said no more? Is the truth said? And is the counterfactual still right with that edit?
   The same is asked of as many random components of matched energy, and of the most active ones.
3. One edit for all: the components with the largest attribution, added up over the fooled pictures of every second
   source. It is judged, beside its own controls, on the other sources alone.

A model with random weights has fooled pictures, too: near a tie any change tips the answer, and attribution finds the
components that tip it back. So levers say something only where the cue speaks (`LeversAtWork.cue_speaks`).

One picture and its counterfactual are in memory at a time, and a number for each component.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..methods.attribution import attribute
from ..methods.controls import by_activation, matched_controls
from ..methods.question import Question
from ..methods.steering import Edit
from ..methods.targets import ClassTarget
from ..model.clip import text_classifier
from ..model.prompts import TEMPLATES
from ..model.sae_clip import SaeClip
from ..model.trace import Trace
from ..pictures.cue_pairs import planned_cues
from ..pictures.photographs import photographs
from ..scenes.sampling import held_out
from ..scenes.scene import CLASSES, Painter, Scene
from .catalog import SetupSpec
from .health_check import is_bundled_clip
from .verified import ChosenBy, ChosenOn, LeversAtWork, LeverTrial, Share

LEVERS = 5
"""Components in an edit, at most."""
EACH = 6
"""Cues of each kind on each photograph: 234 pairs of thirteen."""
SCENES = 300
"""Pairs of rendered scenes, for the bundled CLIP."""


@dataclass(frozen=True)
class CuePair:
    """A picture with a cue, and its counterfactual."""

    source: str
    """Of the counterfactual: pairs of one source have the same."""
    kind: str
    """Of the cue."""
    truth: int
    """The class that is shown."""
    foil: int
    """The class that the cue names, another one."""
    cued: Callable[[], Image.Image]
    """Draws the picture with the cue, in RGB."""
    plain: Callable[[], Image.Image]
    """Draws the counterfactual."""


@dataclass(frozen=True)
class CuePairs:
    """Pictures with known cues that a CLIP is tried on."""

    pictures: str
    """What they are, for the reader."""
    classes: tuple[str, ...]
    """What each may be."""
    pairs: tuple[CuePair, ...]
    """Those of one source one after the other."""


def cue_pairs_for(spec: SetupSpec, side: int) -> CuePairs:
    """What a setup is tried on: photographs, but for the bundled CLIP, which knows rendered scenes of `side` pixels."""
    if not is_bundled_clip(spec):
        labels = tuple(photograph.label for photograph in photographs())
        pairs = [
            CuePair(
                cue.photograph.name,
                cue.kind,
                labels.index(cue.photograph.label),
                labels.index(cue.foil),
                cue.picture,
                cue.counterfactual,
            )
            for cue in planned_cues(EACH)
        ]
        return CuePairs("photographs with a written note, price tag or watermark", labels, tuple(pairs))
    painter = Painter(side)

    def painted(scene: Scene) -> Callable[[], Image.Image]:
        return lambda: Image.fromarray(painter.paint(scene))

    cases = [
        CuePair(
            str(k),
            "note",
            CLASSES.index(case.truth),
            CLASSES.index(str(case.foil)),
            painted(case.scene),
            painted(case.counterfactual),
        )
        for k, case in enumerate(held_out("attacked", SCENES))
    ]
    return CuePairs("held-out rendered scenes with a written note", CLASSES, tuple(cases))


@dataclass
class _Tally:
    """What was counted so far for one way to choose components."""

    off: list[bool] = field(default_factory=list)
    back: list[bool] = field(default_factory=list)
    broken: list[bool] = field(default_factory=list)

    def trial(self, chosen_on: ChosenOn, by: ChosenBy) -> LeverTrial:
        return LeverTrial(chosen_on, by, _share(self.off), _share(self.back), _share(self.broken))


def _share(flags: Sequence[bool]) -> Share:
    return Share.counted(sum(flags), len(flags))


@torch.no_grad()
def levers_at_work(
    model: SaeClip, asked: CuePairs, tell: Callable[[int, int], None] | None = None, seed: int = 0
) -> LeversAtWork:
    """What cues do to a CLIP, and levers about it. `tell` hears how many pairs are done, and of how many."""
    classifier = text_classifier(model.clip, asked.classes, TEMPLATES["single"])
    trial = _Trial(model, classifier, np.random.default_rng(seed))
    sources = list(dict.fromkeys(pair.source for pair in asked.pairs))
    choosing = {sources[k] for k in np.random.default_rng(seed).permutation(len(sources))[::2]}
    ordered = sorted(asked.pairs, key=lambda pair: pair.source not in choosing)  # a stable order: sources stay together
    for done, pair in enumerate(ordered):
        if tell is not None:
            tell(done, len(ordered))
        trial.add(pair, pair.source in choosing)
    return trial.result(asked, len(sources))


class _Trial:
    """What was seen so far."""

    def __init__(self, model: SaeClip, classifier: Tensor, rng: np.random.Generator) -> None:
        self._model, self._classifier, self._rng = model, classifier, rng
        self._right: list[bool] = []
        self._fooled: list[bool] = []
        self._other: list[bool] = []
        self._kinds: dict[str, list[bool]] = {}
        self._sources: set[str] = set()
        self._tried: set[str] = set()
        self._sums = np.zeros(model.dictionary.n_components)
        self._tallies: defaultdict[tuple[ChosenOn, ChosenBy], _Tally] = defaultdict(_Tally)
        self._plain: tuple[str, Trace] | None = None

    def add(self, pair: CuePair, choosing: bool) -> None:
        """Look at one pair; while `choosing`, what speaks for its foil has a say in the edit for all."""
        is_new = self._plain is None or self._plain[0] != pair.source
        if self._plain is None or is_new:
            self._plain = pair.source, self._read(pair.plain())
        plain = self._plain[1]
        right = self._said(plain, [Edit()]) == [pair.truth]
        self._right.append(right)
        if not right:
            return
        one_edit = Edit.of_suppressed(() if choosing else self.one_edit)
        if is_new and one_edit.levers:
            self._count_plain("other pictures", self._with_controls(one_edit, plain), pair, plain)
        cued = self._read(pair.cued())
        (said,) = self._said(cued, [Edit()])
        fooled = said == pair.foil
        self._fooled.append(fooled)
        self._other.append(said == _other_wrong(pair, len(self._classifier)))
        self._kinds.setdefault(pair.kind, []).append(fooled)
        if not fooled:
            return
        self._sources.add(pair.source)
        question = Question(self._model, cued, self._classifier, ClassTarget(pair.foil, pair.truth))
        found = attribute(question)
        own = self._with_controls(Edit.of_suppressed(found.strongest_for(LEVERS).tolist()), cued)
        self._count_fooled("each picture", own, pair, cued)
        self._count_plain("each picture", own, pair, plain)
        if choosing:
            self._sums[found.component] += found.total
        elif one_edit.levers:
            self._count_fooled("other pictures", self._with_controls(one_edit, cued), pair, cued)

    @property
    def one_edit(self) -> tuple[int, ...]:
        """The components that speak most for the foils of all pictures that had a say, the strongest first."""
        first = np.argsort(-self._sums, kind="stable")[:LEVERS]
        return tuple(int(j) for j in first if self._sums[j] > 0)

    def result(self, asked: CuePairs, n_sources: int) -> LeversAtWork:
        """What it comes to."""
        return LeversAtWork(
            pictures=asked.pictures,
            pairs=len(asked.pairs),
            sources=n_sources,
            levers=LEVERS,
            right=_share(self._right),
            fooled=_share(self._fooled),
            other=_share(self._other),
            fooled_sources=len(self._sources),
            by_kind={kind: _share(flags) for kind, flags in self._kinds.items()},
            one_edit=self.one_edit,
            trials=tuple(tally.trial(*chosen) for chosen, tally in self._tallies.items()),
        )

    def _with_controls(self, edit: Edit, trace: Trace) -> list[Edit]:
        """An edit, and its controls in a picture: in the order of `ChosenBy`."""
        dictionary, f = self._model.dictionary, trace.activations
        return [edit, *matched_controls(f, edit, dictionary, 1, self._rng), by_activation(f, edit, dictionary)]

    def _count_fooled(self, chosen_on: ChosenOn, edits: Sequence[Edit], pair: CuePair, cued: Trace) -> None:
        for by, said in zip(get_args(ChosenBy), self._said(cued, edits), strict=True):
            self._tallies[chosen_on, by].off.append(said != pair.foil)
            self._tallies[chosen_on, by].back.append(said == pair.truth)

    def _count_plain(self, chosen_on: ChosenOn, edits: Sequence[Edit], pair: CuePair, plain: Trace) -> None:
        for by, said in zip(get_args(ChosenBy), self._said(plain, edits), strict=True):
            self._tallies[chosen_on, by].broken.append(said != pair.truth)

    def _said(self, trace: Trace, edits: Sequence[Edit]) -> list[int]:
        """The class that is said with each edit."""
        question = Question(self._model, trace, self._classifier, ClassTarget(0))
        return question.answers(question.steered(edits))[0].argmax(-1).tolist()

    def _read(self, picture: Image.Image) -> Trace:
        return self._model.trace(self._model.clip.crop(picture))


def _other_wrong(pair: CuePair, n: int) -> int:
    """The class after the foil that is not the truth: over many pairs, each class is named, and is this, as often."""
    return next(c for c in (*((pair.foil + k) % n for k in range(1, n)), -1) if c != pair.truth)
