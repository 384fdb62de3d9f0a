"""The facade: every question the app asks is one method, plain values in, plain values out.

A picture is opened once; every later question starts from its trace and runs only the layers after L. Nothing
a visitor does is kept here: the only state is a cache of class vectors, which depend on texts alone.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .attribution import Attribution, Method, attribute, measured_effects
from .catalog import Setup, SetupCard
from .clip import text_classifier
from .comparison import Comparison, Prediction, compare, predict
from .pictures import Source, read_picture
from .prompts import unknown_words
from .steering import Edit, edited, steer
from .target import Target
from .trace import Trace, trace_crops

CACHED_CLASSIFIERS = 64
_BATCH = 32

Names = tuple[str, ...]
"""Class names, or templates."""


class Workbench:
    """All questions about one setup. Safe to share between visitors.

    Every method raises Trouble when what it is given cannot be used; the message is for the visitor.
    """

    def __init__(self, setup: Setup) -> None:
        """Work with `setup`."""
        self.setup = setup

        @lru_cache(maxsize=CACHED_CLASSIFIERS)
        def classifier(classes: Names, templates: Names) -> Tensor:
            return text_classifier(setup.clip, classes, templates)

        self._classifier = classifier

    @property
    def card(self) -> SetupCard:
        """What the setup is."""
        return self.setup.card

    def open(self, source: Source | None) -> Trace:
        """Read a picture: a path, bytes, a PIL picture or an array (see `core.pictures`)."""
        crop = self.setup.clip.crop(read_picture(source))
        return trace_crops(self.setup.clip, self.setup.dictionary, [crop])[0]

    def unknown_words(self, classes: Names) -> dict[str, Names]:
        """Each class with words this setup has never seen, and these words."""
        known = self.card.knows
        return {} if known is None else unknown_words(classes, known)

    def classify(self, trace: Trace, classes: Names, templates: Names) -> Prediction:
        """What the model says about the picture, among these classes."""
        classifier = self._classifier(classes, templates)
        return predict(trace.embedding, classifier, classes, self.setup.clip.logit_scale)

    def attribute(
        self, trace: Trace, classes: Names, templates: Names, target: Target, method: Method = "gradient"
    ) -> Attribution:
        """The contribution of every active component to the target, in logits."""
        classifier = self._classifier(classes, templates)
        return attribute(self.setup.clip, self.setup.dictionary, trace, classifier, target, method)

    def measure(
        self,
        trace: Trace,
        classes: Names,
        templates: Names,
        target: Target,
        components: Sequence[int] | np.ndarray,
    ) -> np.ndarray:
        """The measured effect of each component on the target, float32 [k], in logits, by ablating it."""
        classifier = self._classifier(classes, templates)
        return measured_effects(self.setup.clip, self.setup.dictionary, trace, classifier, target, components)

    @torch.no_grad()
    def steer(self, trace: Trace, edit: Edit) -> Trace:
        """The trace as the edit leaves it; its activations are those the edit sets, not encoded anew."""
        residual = self._steered(trace, [edit])
        return Trace(
            crop=trace.crop,
            residual=residual[0].cpu().numpy(),
            activations=edited(trace.activations, edit, self.setup.dictionary),
            embedding=self._embeddings(trace, residual)[0].cpu().numpy(),
            grid=trace.grid,
        )

    def compare(self, trace: Trace, edit: Edit, classes: Names, templates: Names) -> Comparison:
        """The prediction before and after an edit, for every class."""
        return self.compare_many(trace, [edit], classes, templates)[0]

    @torch.no_grad()
    def compare_many(
        self, trace: Trace, edits: Sequence[Edit], classes: Names, templates: Names
    ) -> tuple[Comparison, ...]:
        """The same for several edits of one picture, in batches."""
        classifier = self._classifier(classes, templates)
        found = []
        for start in range(0, len(edits), _BATCH):
            after = self._embeddings(trace, self._steered(trace, edits[start : start + _BATCH]))
            scale = self.setup.clip.logit_scale
            found += [compare(trace.embedding, z, classifier, classes, scale) for z in after]
        return tuple(found)

    def _steered(self, trace: Trace, edits: Sequence[Edit]) -> Tensor:
        x = self.setup.clip.place(trace.residual)
        return steer(x, trace.activations, edits, self.setup.dictionary)

    def _embeddings(self, trace: Trace, residuals: Tensor) -> Tensor:
        """Embeddings [B, p] of residuals [B, T, d] of one picture.

        A residual that no edit changed keeps the trace's embedding: batches round differently, by a few 1e-7,
        and an edit that does nothing should be seen to do nothing.
        """
        clip = self.setup.clip
        embeddings = clip.place(trace.embedding).repeat(len(residuals), 1)
        changed = (residuals != clip.place(trace.residual)).flatten(1).any(1)
        if changed.any():
            embeddings[changed] = clip.finish(residuals[changed])
        return embeddings
