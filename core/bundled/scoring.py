"""Score a setup on held-out scenes whose shortcuts are known: ``python -m core.bundled.scoring``.

1. How well the model reads clean pictures, and how often each planted shortcut fools it.
2. How well the dictionary holds the residual.
3. For fooled pictures: does suppressing the first components in order of attribution move the prediction off the lure,
   and back to the truth? The target is the lure's logit minus the truth's. What do matched random components do, what
   does ranking by energy do, and what does the edit cost on clean pictures?

Every number is a share of pictures (0 to 1) unless its name says otherwise. ``--check`` compares with the committed
report instead of writing it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.attribution import Attribution, Target, attribute, measured_effects
from core.bundled.sampling import Case, held_out
from core.bundled.scenes import CLASSES, Painter
from core.clip import TEMPLATES, SplitClip, text_classifier
from core.dictionary import Dictionary
from core.evidence import matched_controls, rank_correlation
from core.steering import Edit, steer
from core.trace import Trace, trace_crops

BUNDLED = Path(__file__).parents[2] / "assets" / "bundled"
LEVERS = (1, 2, 3, 5, 10)
"""Numbers of components suppressed."""
SHORTCUTS = ("attacked", "stamped", "flooded")


@dataclass(frozen=True)
class Sizes:
    """How many pictures each part looks at."""

    pictures: int = 1_000
    """Of each held-out kind."""
    controls: int = 10
    """Random edits for each fooled picture."""
    edits: int = 60
    """Edits of fooled pictures whose cost on clean pictures is measured."""
    clean: int = 200
    """Clean pictures they are measured on."""
    correlated: int = 60
    """Fooled pictures of each shortcut whose every active component is ablated."""


@dataclass(frozen=True)
class Scorer:
    """A model, a dictionary and the class vectors they are scored with."""

    clip: SplitClip
    """The model."""
    dictionary: Dictionary
    """Its dictionary."""
    classifier: torch.Tensor
    """[C, p], unit rows, in the order of ``CLASSES``."""

    @classmethod
    def of(cls, clip: SplitClip, dictionary: Dictionary) -> Scorer:
        """With the single prompt template."""
        return cls(clip, dictionary, text_classifier(clip, CLASSES, TEMPLATES["single"]))

    def crops(self, scenes: Iterable) -> np.ndarray:
        """Rendered at the model's own size: uint8 [N, S, S, 3]."""
        painter = Painter(self.clip.model.config.vision_config.image_size)
        return np.stack([painter.paint(scene) for scene in scenes])

    @torch.no_grad()
    def residuals(self, crops: np.ndarray) -> torch.Tensor:
        """[N, T, d]."""
        return torch.cat(
            [self.clip.residual(self.clip.pixels(crops[i : i + 64])) for i in range(0, len(crops), 64)]
        )

    @torch.no_grad()
    def says(self, residuals: torch.Tensor) -> np.ndarray:
        """Predicted class indices, int [N]."""
        return np.concatenate(
            [
                (self.clip.finish(residuals[i : i + 128]) @ self.classifier.T).argmax(1).cpu().numpy()
                for i in range(0, len(residuals), 128)
            ]
        )

    def traces(self, crops: np.ndarray) -> list[Trace]:
        """Each picture read once."""
        batches = (crops[i : i + 32] for i in range(0, len(crops), 32))
        return [trace for batch in batches for trace in trace_crops(self.clip, self.dictionary, batch)]

    def steered(self, trace: Trace, edits: Sequence[Edit]) -> np.ndarray:
        """The predicted class under each edit, int [len(edits)]."""
        x = self.clip.place(trace.residual)
        return self.says(steer(x, trace.activations, edits, self.dictionary))


def index(names: Iterable[str | None]) -> np.ndarray:
    """Class names to indices, -1 for None."""
    return np.array([CLASSES.index(name) if name else -1 for name in names])


def share(flags: np.ndarray) -> float:
    """The mean of booleans, to four places; nan of nothing."""
    return round(float(np.mean(flags)), 4) if len(flags) else float("nan")


@dataclass(frozen=True)
class Kind:
    """One kind of held-out pictures and what the model says of them."""

    cases: list[Case]
    """The scenes and their truth."""
    crops: np.ndarray
    """With the cue, uint8 [N, S, S, 3]."""
    said: np.ndarray
    """Predicted class with the cue, int [N]."""
    said_twin: np.ndarray
    """Predicted class without it, int [N]."""
    truth: np.ndarray
    """int [N]."""
    lure: np.ndarray
    """int [N], -1 where there is none."""

    @property
    def fooled(self) -> np.ndarray:
        """Where the cue alone makes the model say the lure, bool [N]."""
        return (self.said == self.lure) & (self.said_twin != self.lure)


def look_at(scorer: Scorer, kind: str, count: int, split: str) -> Kind:
    """Render and predict ``count`` cases and their twins."""
    cases = held_out(kind, count, split)
    crops = scorer.crops(case.scene for case in cases)
    said = scorer.says(scorer.residuals(crops))
    twins = said
    if cases[0].lure:
        twins = scorer.says(scorer.residuals(scorer.crops(case.twin for case in cases)))
    return Kind(
        cases, crops, said, twins, index(case.truth for case in cases), index(case.lure for case in cases)
    )


def score_model(kinds: dict[str, Kind]) -> dict[str, float]:
    """Accuracy, and how often each shortcut fools the model."""
    attacked = kinds["attacked"]
    right = attacked.said_twin == attacked.truth
    scores = {
        "clean_accuracy": share(kinds["clean"].said == kinds["clean"].truth),
        "signs_read": share(kinds["sign"].said == kinds["sign"].truth),
        "hard_accuracy": share(kinds["hard"].said == kinds["hard"].truth),
        "attacked_accuracy": share(attacked.said == attacked.truth),
        "word_fools": share(attacked.fooled[right]),
    }
    for name, kind in (("stamp_fools", kinds["stamped"]), ("water_fools", kinds["flooded"])):
        scores[name] = share(kind.fooled[kind.said_twin != kind.lure])
    return scores


@torch.no_grad()
def score_dictionary(scorer: Scorer, kinds: dict[str, Kind]) -> dict[str, float]:
    """Explained variance, L0, dead components, and accuracy of the prediction through the reconstruction alone."""
    scope = scorer.dictionary.tokens(1 + scorer.clip.grid[0] * scorer.clip.grid[1])
    fired = torch.zeros(scorer.dictionary.n_components, dtype=torch.bool)
    active, active_cls, tokens, pictures = 0, 0, 0, 0
    everything = torch.cat([scorer.residuals(kind.crops) for kind in kinds.values()])
    missed = []
    for x in everything.split(32):
        f = scorer.dictionary.encode(x)
        fired |= (f != 0).any(0).any(0).cpu()
        active += int((f != 0).sum())
        active_cls += int((f[:, 0] != 0).sum())
        tokens += len(x) * len(scope)
        pictures += len(x)
        missed.append(x - scorer.dictionary.reconstruct(x))
    error = torch.cat(missed)

    def explained(values: torch.Tensor, errors: torch.Tensor) -> float:
        flat = values.flatten(0, -2)
        spread = (flat - flat.mean(0)).square().sum()
        return round(1 - (errors.square().sum() / spread).item(), 4)

    clean = kinds["clean"]
    through = scorer.says(scorer.dictionary.reconstruct(scorer.residuals(clean.crops)))
    scored = everything[:, scope.start : scope.stop]
    return {
        "explained_variance": explained(scored, error[:, scope.start : scope.stop]),
        "explained_variance_cls": explained(everything[:, :1], error[:, :1]),
        "mean_active_per_token": round(active / tokens, 2),
        "mean_active_cls": round(active_cls / pictures, 2),
        "dead_components": share((~fired).numpy()),
        "clean_accuracy": share(clean.said == clean.truth),
        "clean_accuracy_through_reconstruction": share(through == clean.truth),
    }


def score_levers(
    scorer: Scorer, kind: Kind, clean: Sequence[Trace], clean_truth: np.ndarray, sizes: Sizes
) -> dict[str, object]:
    """What suppressing the most attributed components does to the fooled pictures of one kind, and costs elsewhere."""
    fooled = np.flatnonzero(kind.fooled)
    rng = np.random.default_rng(0)
    traces = scorer.traces(kind.crops[fooled]) if len(fooled) else []
    said, rival, random, corrected, kept_edits = [], [], [], [], []
    for trace, at in zip(traces, fooled, strict=True):
        target = Target(int(kind.lure[at]), int(kind.truth[at]))
        attribution = attribute(scorer.clip, scorer.dictionary, trace, scorer.classifier, target)
        order = attribution.strongest_for(max(LEVERS))
        by_energy = attribution.component[np.argsort(-attribution.energy, kind="stable")]
        said.append(scorer.steered(trace, [Edit.of_suppressed(order[:k]) for k in range(1, max(LEVERS) + 1)]))
        rival.append(scorer.steered(trace, [Edit.of_suppressed(by_energy[:5])])[0])
        random.append(
            scorer.steered(trace, matched_controls(attribution, order[:5], sizes.controls, rng))
        )
        kept_edits.append(Edit.of_suppressed(order[:5]))
        if len(corrected) < sizes.correlated:
            corrected.append(_agreement(scorer, trace, attribution, target))
    said_by_k = np.array(said).reshape(len(fooled), max(LEVERS))
    lure, truth = kind.lure[fooled], kind.truth[fooled]
    repairable = kind.said_twin[fooled] == truth
    off, back = said_by_k != lure[:, None], said_by_k == truth[:, None]
    result: dict[str, object] = {
        "fooled_pictures": len(fooled),
        "ceiling_removing_the_cue": share(repairable),
        "off_the_lure": {str(k): share(off[:, k - 1]) for k in LEVERS},
        "off_the_lure_with_at_most_5": share(off[:, :5].any(1)),
        "back_to_truth": {str(k): share(back[repairable, k - 1]) for k in LEVERS},
        "back_to_truth_with_at_most_5": share(back[repairable, :5].any(1)),
        "controls_off_the_lure": share(np.array(random).reshape(len(fooled), -1) != lure[:, None]),
        "controls_back_to_truth": share(
            (np.array(random).reshape(len(fooled), -1) == truth[:, None])[repairable]
        ),
        "by_energy_back_to_truth": share((np.array(rival) == truth)[repairable]),
        "median_rank_correlation": round(float(np.median(corrected)), 4) if corrected else float("nan"),
    }
    edits = [kept_edits[i] for i in np.linspace(0, len(kept_edits) - 1, min(sizes.edits, len(kept_edits))).astype(int)]
    if edits:
        after = np.array([scorer.steered(trace, edits) for trace in clean])
        before = np.array([scorer.steered(trace, [Edit()])[0] for trace in clean])
        result["clean_accuracy_lost_to_5"] = round(
            float(np.mean(before == clean_truth) - np.mean(after == clean_truth[:, None])), 4
        )
    return result


def _agreement(scorer: Scorer, trace: Trace, attribution: Attribution, target: Target) -> float:
    effects = measured_effects(
        scorer.clip, scorer.dictionary, trace, scorer.classifier, target, attribution.component
    )
    return rank_correlation(attribution.total, effects)


def score(scorer: Scorer, sizes: Sizes, split: str = "test") -> dict[str, object]:
    """The whole report: nested plain values, shares to four places."""
    kinds = {
        name: look_at(scorer, name, sizes.pictures, split)
        for name in ("clean", "attacked", "hard", "stamped", "flooded", "sign")
    }
    clean = kinds["clean"]
    traces = scorer.traces(clean.crops[: sizes.clean])
    return {
        "pictures_of_each_kind": sizes.pictures,
        "model": score_model(kinds),
        "dictionary": score_dictionary(scorer, kinds),
        "levers": {
            name: score_levers(scorer, kinds[name], traces, clean.truth[: sizes.clean], sizes)
            for name in SHORTCUTS
        },
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=BUNDLED)
    parser.add_argument("--layer", type=int, required=True)
    parser.add_argument("--scope", default="all")
    parser.add_argument("--split", default="test", choices=("validation", "test"))
    parser.add_argument("--pictures", type=int, default=Sizes.pictures)
    arguments = parser.parse_args()
    clip = SplitClip.from_folder(arguments.folder / "clip", arguments.layer)
    dictionary = Dictionary.from_folder(arguments.folder / "dictionary", arguments.scope)
    report = score(Scorer.of(clip, dictionary), Sizes(pictures=arguments.pictures), arguments.split)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
