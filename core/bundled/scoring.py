"""Score a setup on held-out scenes whose shortcuts are known: ``python -m core.bundled.scoring``.

1. How well the model reads clean pictures, and how often each planted shortcut fools it.
2. How well the dictionary holds the residual.
3. For fooled pictures: does suppressing the first components in order of attribution move the prediction off the foil,
   and back to the truth? The target is the foil's logit minus the truth's. What do matched random components do, what
   does ranking by energy do, and what does the edit cost on clean pictures?

Every number is a share of pictures (0 to 1) unless its name says otherwise. Another dictionary of the same CLIP is
scored alike, by the options that name a setup.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import UserError
from ..files import ASSETS
from ..methods.attribution import Attribution, ablation_effects, attribute
from ..methods.controls import matched_controls
from ..methods.question import Question
from ..methods.steering import Edit, steered
from ..methods.targets import ClassTarget
from ..model.clip import SplitClip, text_classifier
from ..model.dictionary import Dictionary
from ..model.prompts import TEMPLATES
from ..model.sae_clip import BATCH, SaeClip
from ..model.trace import Trace
from ..scenes.sampling import Case, held_out
from ..scenes.scene import CLASSES, Painter, Scene
from ..scenes.shortcuts import SHORTCUTS
from ..setups.health_check import is_bundled_clip
from ..setups.loading import load
from ..setups.options import add_setup_options, named_setup
from ..stats import explained_variance, rank_correlation
from ..words import in_percent, markdown_table

REPORT = ASSETS / "bundled" / "report.json"
LEVERS = (1, 2, 3, 5, 10)
"""Numbers of components suppressed."""


@dataclass(frozen=True)
class ScoringSizes:
    """How many pictures each part looks at."""

    pictures: int = 600
    """Of each held-out kind."""
    controls: int = 5
    """Random edits for each fooled picture."""
    edits: int = 40
    """Edits of fooled pictures whose cost on clean pictures is measured."""
    clean: int = 200
    """Clean pictures they are measured on."""
    correlated: int = 40
    """Fooled pictures of each shortcut whose every active component is ablated."""


@dataclass(frozen=True)
class Scorer:
    """A model, a dictionary and the class vectors they are scored with."""

    model: SaeClip
    """The model and its dictionary."""
    classifier: torch.Tensor
    """[C, p], unit rows, in the order of ``CLASSES``."""

    @classmethod
    def of(cls, model: SaeClip) -> Scorer:
        """With the single prompt template."""
        return cls(model, text_classifier(model.clip, CLASSES, TEMPLATES["single"]))

    @property
    def clip(self) -> SplitClip:
        """The model."""
        return self.model.clip

    @property
    def dictionary(self) -> Dictionary:
        """Its dictionary."""
        return self.model.dictionary

    def crops(self, scenes: Iterable[Scene]) -> np.ndarray:
        """Rendered at the model's own size: uint8 [N, S, S, 3]."""
        painter = Painter(self.clip.image_size)
        return np.stack([painter.paint(scene) for scene in scenes])

    @torch.no_grad()
    def residuals(self, crops: np.ndarray) -> torch.Tensor:
        """[N, T, d]."""
        return torch.cat([self.clip.residual(self.clip.pixels(crops[i : i + 64])) for i in range(0, len(crops), 64)])

    @torch.no_grad()
    def predict(self, residuals: torch.Tensor) -> np.ndarray:
        """Predicted class indices, int [N]."""
        return np.concatenate(
            [
                (self.clip.embed_from_residual(residuals[i : i + 128]) @ self.classifier.T).argmax(1).cpu().numpy()
                for i in range(0, len(residuals), 128)
            ]
        )

    def traces(self, crops: np.ndarray) -> list[Trace]:
        """Each picture read once."""
        batches = (crops[i : i + BATCH] for i in range(0, len(crops), BATCH))
        return [trace for batch in batches for trace in self.model.traces(batch)]

    def steered(self, trace: Trace, edits: Sequence[Edit]) -> np.ndarray:
        """The predicted class under each edit, int [len(edits)]."""
        return self.predict(steered(self.model, trace, edits))


def index(names: Iterable[str | None]) -> np.ndarray:
    """Class names to indices, -1 for None."""
    return np.array([CLASSES.index(name) if name else -1 for name in names])


def share(flags: np.ndarray) -> float:
    """The mean of booleans, to four places; nan of nothing."""
    return round(float(np.mean(flags)), 4) if len(flags) else float("nan")


@dataclass(frozen=True)
class HeldOut:
    """One kind of held-out pictures and what the model says of them."""

    cases: list[Case]
    """The scenes and their truth."""
    crops: np.ndarray
    """With the cue, uint8 [N, S, S, 3]."""
    predicted: np.ndarray
    """Predicted class with the cue, int [N]."""
    predicted_counterfactual: np.ndarray
    """Predicted class without it, int [N]."""
    truth: np.ndarray
    """int [N]."""
    foil: np.ndarray
    """int [N], -1 where there is none."""

    @property
    def fooled(self) -> np.ndarray:
        """Where the cue alone makes the model say the foil, bool [N]."""
        return (self.predicted == self.foil) & (self.predicted_counterfactual != self.foil)


def look_at(scorer: Scorer, kind: str, count: int, split: str) -> HeldOut:
    """Render and predict ``count`` cases and their counterfactuals."""
    cases = held_out(kind, count, split)
    crops = scorer.crops(case.scene for case in cases)
    predicted = scorer.predict(scorer.residuals(crops))
    without = predicted
    if cases[0].foil:
        without = scorer.predict(scorer.residuals(scorer.crops(case.counterfactual for case in cases)))
    return HeldOut(
        cases, crops, predicted, without, index(case.truth for case in cases), index(case.foil for case in cases)
    )


def score_model(kinds: dict[str, HeldOut]) -> dict[str, float]:
    """Accuracy, and how often each shortcut fools the model."""
    attacked = kinds["attacked"]
    right = attacked.predicted_counterfactual == attacked.truth
    scores = {
        "clean_accuracy": share(kinds["clean"].predicted == kinds["clean"].truth),
        "signs_read": share(kinds["sign"].predicted == kinds["sign"].truth),
        "hard_accuracy": share(kinds["hard"].predicted == kinds["hard"].truth),
        "attacked_accuracy": share(attacked.predicted == attacked.truth),
        "word_fools": share(attacked.fooled[right]),
    }
    for name, kind in (("stamp_fools", kinds["stamped"]), ("water_fools", kinds["flooded"])):
        scores[name] = share(kind.fooled[kind.predicted_counterfactual != kind.foil])
    return scores


@torch.no_grad()
def score_dictionary(scorer: Scorer, kinds: dict[str, HeldOut]) -> dict[str, float]:
    """Explained variance, L0, dead components, and accuracy of the prediction through the reconstruction alone."""
    scope = scorer.dictionary.tokens(scorer.clip.n_tokens)
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
        return round(explained_variance(*(part.flatten(0, -2).cpu().numpy() for part in (values, errors))), 4)

    clean = kinds["clean"]
    right = share(clean.predicted == clean.truth)
    through = scorer.predict(scorer.dictionary.reconstruct(scorer.residuals(clean.crops)))
    scored = everything[:, scope.start : scope.stop]
    return {
        "explained_variance": explained(scored, error[:, scope.start : scope.stop]),
        "explained_variance_cls": explained(everything[:, :1], error[:, :1]),
        "mean_active_per_token": round(active / tokens, 2),
        "mean_active_cls": round(active_cls / pictures, 2),
        "dead_components": share((~fired).numpy()),
        "accuracy_through_reconstruction": share(through == clean.truth),
        "accuracy_lost": round(right - share(through == clean.truth), 4),
    }


def score_levers(
    scorer: Scorer, kind: HeldOut, clean: Sequence[Trace], clean_truth: np.ndarray, sizes: ScoringSizes
) -> dict[str, object]:
    """What suppressing the most attributed components does to the fooled pictures of one kind, and costs elsewhere."""
    fooled = np.flatnonzero(kind.fooled)
    rng = np.random.default_rng(0)
    traces = scorer.traces(kind.crops[fooled]) if len(fooled) else []
    predicted, rival, random, kept_edits = [], [], [], []
    corrected: list[float] = []
    for trace, at in zip(traces, fooled, strict=True):
        target = ClassTarget(int(kind.foil[at]), int(kind.truth[at]))
        question = Question(scorer.model, trace, scorer.classifier, target)
        attribution = attribute(question)
        order = attribution.strongest_for(max(LEVERS))
        by_energy = attribution.component[np.argsort(-attribution.energy, kind="stable")]
        predicted.append(scorer.steered(trace, [Edit.of_suppressed(order[:k]) for k in range(1, max(LEVERS) + 1)]))
        rival.append(scorer.steered(trace, [Edit.of_suppressed(by_energy[:5])])[0])
        five = Edit.of_suppressed(order[:5])
        controls = matched_controls(trace.activations, five, scorer.dictionary, sizes.controls, rng)
        random.append(scorer.steered(trace, controls))
        kept_edits.append(five)
        if len(corrected) < sizes.correlated:
            corrected.append(_agreement(question, attribution))
    predicted_by_k = np.array(predicted).reshape(len(fooled), max(LEVERS))
    foil, truth = kind.foil[fooled], kind.truth[fooled]
    repairable = kind.predicted_counterfactual[fooled] == truth
    off, back = predicted_by_k != foil[:, None], predicted_by_k == truth[:, None]
    result: dict[str, object] = {
        "fooled_pictures": len(fooled),
        "ceiling_removing_the_cue": share(repairable),
        "off_the_lure": {str(k): share(off[:, k - 1]) for k in LEVERS},
        "off_the_lure_with_at_most_5": share(off[:, :5].any(1)),
        "back_to_truth": {str(k): share(back[repairable, k - 1]) for k in LEVERS},
        "back_to_truth_with_at_most_5": share(back[repairable, :5].any(1)),
        "controls_off_the_lure": share(np.array(random).reshape(len(fooled), sizes.controls) != foil[:, None]),
        "controls_back_to_truth": share(
            (np.array(random).reshape(len(fooled), sizes.controls) == truth[:, None])[repairable]
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


def _agreement(question: Question, attribution: Attribution) -> float:
    return rank_correlation(attribution.total, ablation_effects(question, attribution.component))


def score(scorer: Scorer, sizes: ScoringSizes, split: str = "test") -> dict[str, Any]:
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
            name: score_levers(scorer, kinds[name], traces, clean.truth[: sizes.clean], sizes) for name in SHORTCUTS
        },
    }


@dataclass(frozen=True)
class Goal:
    """A figure that the bundled setup is meant to reach."""

    name: str
    """What it is, in words."""
    path: tuple[str, ...]
    """Where it stands in the report."""
    bound: float
    """What it is to reach."""
    at_most: bool = False
    """Whether ``bound`` is the most it may be, not the least."""

    def found(self, report: Mapping[str, Any]) -> float:
        """The figure in a report."""
        value: Any = report
        for key in self.path:
            value = value[key]
        return float(value)

    def met(self, report: Mapping[str, Any]) -> bool:
        """Whether the report reaches it."""
        return self.found(report) <= self.bound if self.at_most else self.found(report) >= self.bound


GOALS: tuple[Goal, ...] = (
    Goal("accuracy on clean pictures, 40 classes", ("model", "clean_accuracy"), 0.95),
    Goal("otherwise right pictures that a conflicting word turns into the word's class", ("model", "word_fools"), 0.4),
    Goal("hard pictures that the stamp turns into “horse”", ("model", "stamp_fools"), 0.4),
    Goal("hard pictures that water turns into “fish”", ("model", "water_fools"), 0.4),
    Goal("explained variance, all tokens", ("dictionary", "explained_variance"), 0.92),
    Goal("explained variance, class token", ("dictionary", "explained_variance_cls"), 0.9),
    Goal("dead components", ("dictionary", "dead_components"), 0.05, at_most=True),
    Goal(
        "accuracy lost when predicting through the reconstruction", ("dictionary", "accuracy_lost"), 0.02, at_most=True
    ),
    Goal(
        "fooled by a word: off the wrong word with at most 5 suppressions",
        ("levers", "attacked", "off_the_lure_with_at_most_5"),
        0.95,
    ),
    Goal(
        "fooled by a word: back to the right object with at most 5, of those that removing the note repairs",
        ("levers", "attacked", "back_to_truth_with_at_most_5"),
        0.7,
    ),
    Goal(
        "fooled by a word: off the wrong word with 5 matched random suppressions",
        ("levers", "attacked", "controls_off_the_lure"),
        0.05,
        at_most=True,
    ),
    Goal(
        "accuracy on clean pictures lost to such an edit of 5",
        ("levers", "attacked", "clean_accuracy_lost_to_5"),
        0.01,
        at_most=True,
    ),
    Goal(
        "median rank correlation of attribution and measured effect",
        ("levers", "attacked", "median_rank_correlation"),
        0.9,
    ),
)
"""What the project set out to reach, before anything was trained."""


_percent = partial(in_percent, digits=1)


def goals_table(report: Mapping[str, Any]) -> str:
    """The goals beside what was found, as a table in Markdown."""
    rows = ["| | goal | found | |", "|---|---|---|---|"]
    for goal in GOALS:
        found = goal.found(report)
        shares = "correlation" not in goal.name and "variance" not in goal.name
        write: Callable[[float], str] = _percent if shares else "{:.2f}".format
        sign = "≤" if goal.at_most else "≥"
        rows.append(
            f"| {goal.name} | {sign} {write(goal.bound)} | {write(found)} | {'met' if goal.met(report) else 'missed'} |"
        )
    return "\n".join(rows)


def levers_table(report: Mapping[str, Any]) -> str:
    """What suppressing components does to fooled pictures of each shortcut, as a table in Markdown."""
    heads = [f"{k} lever{'s' if k > 1 else ''}" for k in LEVERS]
    rows = [
        f"| fooled by | pictures | {' | '.join(heads)} | 5 random | 5 by energy | cue removed | clean accuracy lost |",
        "|---" * (len(heads) + 6) + "|",
    ]
    for kind, shortcut in SHORTCUTS.items():
        found = report["levers"][kind]
        cells = [
            f"{_percent(found['off_the_lure'][str(k)])} / {_percent(found['back_to_truth'][str(k)])}" for k in LEVERS
        ]
        rows.append(
            f"| {shortcut.fooled_by} | {found['fooled_pictures']} | {' | '.join(cells)} "
            f"| {_percent(found['controls_off_the_lure'])} / {_percent(found['controls_back_to_truth'])} "
            f"| – / {_percent(found['by_energy_back_to_truth'])} | – / {_percent(found['ceiling_removing_the_cue'])} "
            f"| {100 * found['clean_accuracy_lost_to_5']:.2f} points |"
        )
    return "\n".join(rows)


def repairs_table(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """Several dictionaries of the bundled CLIP beside each other, as a table in Markdown: one a row, by its name.

    In each cell: off the lure, and back to the truth among the pictures that removing the cue repairs, with at most 5
    components suppressed, chosen by attribution; and what 5 cost clean pictures.
    """
    rows = []
    for name, report in reports.items():
        cells = []
        for kind in SHORTCUTS:
            found = report["levers"][kind]
            off, back = (_percent(found[f"{what}_with_at_most_5"]) for what in ("off_the_lure", "back_to_truth"))
            cells.append(f"{off} / {back}; {100 * found['clean_accuracy_lost_to_5']:.1f} points")
        rows.append([name, f"{report['dictionary']['explained_variance']:.2f}", *cells])
    return markdown_table(
        ["components", "explained variance", *(shortcut.fooled_by for shortcut in SHORTCUTS.values())], rows
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where the report goes; of another dictionary, say it")
    parser.add_argument("--split", default="test", choices=("validation", "test"))
    parser.add_argument("--beside", type=Path, help="a report.json of another dictionary, to stand beside this one")
    add_setup_options(parser)
    arguments = parser.parse_args()
    try:
        card = named_setup(arguments, "bundled")
        if not is_bundled_clip(card):
            raise UserError("Only the bundled CLIP knows these scenes. Name a dictionary of it, or words.")
        if card.name != "bundled" and arguments.out is None:
            raise UserError("Say where the report of another dictionary goes: --out report.json.")
        setup = load(card, anyway=arguments.anyway)
    except UserError as trouble:
        raise SystemExit(str(trouble)) from trouble
    report = score(Scorer.of(setup.model), ScoringSizes(), arguments.split)
    (arguments.out or REPORT).write_text(json.dumps(report, indent=1) + "\n")
    print(f"{goals_table(report)}\n\n{levers_table(report)}")
    if arguments.beside is not None:
        other = json.loads(arguments.beside.read_text(encoding="utf-8"))
        print(f"\n{repairs_table({str(arguments.beside): other, card.name: report})}")


if __name__ == "__main__":
    main()
