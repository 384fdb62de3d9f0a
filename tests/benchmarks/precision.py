"""What a lower precision of the layers up to L changes: ``python tests/benchmarks/precision.py``.

On a GPU those layers, the most expensive ones, may multiply in half precision (`CLIP_LEVERS_PREFIX`). The residual
that comes out of them is then a little another one, and with it everything that follows. This compares each example
picture with itself in float32: the residual, the components that are active, what they contribute, the answer.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import torch

from core.methods.attribution import attribute
from core.methods.question import Question
from core.methods.targets import default_target
from core.model.clip import SplitClip, text_classifier
from core.model.devices import PREFIXES, best_device
from core.model.dictionary import Dictionary
from core.model.prediction import predict
from core.model.prompts import TEMPLATES
from core.model.sae_clip import SaeClip
from core.model.trace import Trace
from core.setups.health_check import Sample, example_samples
from core.setups.loading import load_setup
from core.stats import rank_correlation


@dataclass(frozen=True)
class Precision:
    """What a lower precision changed, over some pictures."""

    pictures: int
    """How many."""
    residual_error: float
    """Median over pictures of ||x' - x|| / ||x||, over all tokens."""
    same_components: float
    """Of the active (token, component) pairs of either, the share that both have, 0 to 1."""
    attribution_correlation: float
    """Median rank correlation of all components' contributions to the target."""
    logit_change: float
    """The largest change of a class's logit."""
    answers_kept: float
    """Share of pictures with the same best class, 0 to 1."""


def effect(clip: SplitClip, prefix: torch.dtype, dictionary: Dictionary, samples: Sequence[Sample]) -> Precision:
    """Compare `clip` with itself, its first layers in `prefix`. Each sample has at least two classes."""
    lower = SplitClip(clip.model, clip.image_processor, clip.tokenizer, clip.place, prefix)
    found = [_differences(clip, lower, dictionary, sample) for sample in samples]
    error, shared, either, correlation, change, kept = (np.array(values) for values in zip(*found, strict=True))
    return Precision(
        pictures=len(samples),
        residual_error=float(np.median(error)),
        same_components=float(shared.sum() / either.sum()),
        attribution_correlation=float(np.median(correlation)),
        logit_change=float(change.max()),
        answers_kept=float(kept.mean()),
    )


def _differences(
    clip: SplitClip, lower: SplitClip, dictionary: Dictionary, sample: Sample
) -> tuple[float, int, int, float, float, bool]:
    crop = clip.crop(sample.picture)
    (a,), (b,) = (SaeClip(one, dictionary).traces([crop]) for one in (clip, lower))
    classifier = text_classifier(clip, sample.classes, TEMPLATES["single"])
    said, says = (predict(t.embedding, classifier, sample.classes, clip.scoring) for t in (a, b))
    target = default_target(said, said.top)
    pairs, others = _pairs(a), _pairs(b)
    totals = np.zeros((2, dictionary.n_components))
    for row, trace in zip(totals, (a, b), strict=True):
        found = attribute(Question(SaeClip(clip, dictionary), trace, classifier, target))
        np.add.at(row, trace.activations.component, found.pair)
    active = np.flatnonzero(totals.any(0))
    return (
        float(np.linalg.norm(b.residual - a.residual) / np.linalg.norm(a.residual)),
        len(pairs & others),
        len(pairs | others),
        rank_correlation(totals[0, active], totals[1, active]),
        float(np.abs(says.logits - said.logits).max()),
        said.top == says.top,
    )


def _pairs(trace: Trace) -> set[tuple[int, int]]:
    f = trace.activations
    return set(zip(f.token.tolist(), f.component.tolist(), strict=True))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setup", default="bundled")
    arguments = parser.parse_args()
    device = best_device()
    setup, samples = load_setup(arguments.setup, device), example_samples()
    print(f"{setup.card.title}, {len(samples)} example pictures, on {device}\n")
    print("| first layers in | residual | same components | attribution, rank correlation | logits | answers kept |")
    print("|---|---|---|---|---|---|")
    for name in list(PREFIXES)[1:]:
        p = effect(setup.clip, PREFIXES[name], setup.dictionary, samples)
        print(
            f"| {name} | off by {100 * p.residual_error:.2f} % | {100 * p.same_components:.1f} % "
            f"| {p.attribution_correlation:.4f} | up to {p.logit_change:.3f} | {100 * p.answers_kept:.0f} % |"
        )


if __name__ == "__main__":
    main()
