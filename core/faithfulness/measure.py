"""Faithfulness, measured in the open: ``python -m core.faithfulness``.

1. Each of five methods orders the active components of a picture, the strongest for the target first: activation x
   gradient, integrated gradients, activation energy, logit lens, and chance.
2. Deletion suppresses the first n of an order; insertion suppresses all and puts the first n back. The dictionary's
   error stays. A good order makes the target fall fast, and come back fast ("RISE", arXiv 1806.07421, for pixels).
3. What a method predicts is ranked against what the model does without each component.
4. On the bundled setup, whose shortcuts are known: where in each order does the first component stand whose suppression
   alone takes the prediction off the foil? And how much of what a component does falls on one concept?

Intervals are 95 % percentile bootstraps over pictures. Effects are y(after) - y(before), in logits.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..bundled.scoring import Scorer, look_at
from ..errors import UserError
from ..files import ASSETS
from ..methods.attribution import Attribution, Method, ablation_effects, attribute
from ..methods.steering import Edit, steer
from ..methods.target import Target, default_target, target_values
from ..model.clip import SplitClip, logits, text_classifier
from ..model.dictionary import Dictionary
from ..model.prediction import predict
from ..model.prompts import TEMPLATES, parse_classes
from ..model.trace import Trace, trace_crops
from ..pictures.read import read_picture
from ..scenes.sampling import PLACES
from ..scenes.scene import CLASSES
from ..scenes.shortcuts import SHORTCUTS
from ..setups.loading import Setup, load_setup
from ..stats import SEED, estimate, rank_correlation
from .report import figure, tables
from .steerability import steerability

Plain = dict[str, Any]
"""What `json.dumps` takes."""

COUNTS = (0, 1, 2, 3, 5, 8, 12, 20, 30, 50)
"""How many components a curve suppresses or puts back; after these, all of them."""
DRAWS = 5
"""Random orders of a picture's components; what they do is averaged."""
MEASURED = 200
"""The most components of a picture that are ablated one by one for the rank correlation: those of most energy."""
WITHIN = (1, 3, 5)
"""Ranks within which a planted cause may be found."""
VOCABULARY: tuple[str, ...] = (*CLASSES, *(place.split()[-1] for place in PLACES.values()))
"""The things and places that the bundled setup's captions name."""
FOLDER = ASSETS / "bundled"
_BATCH = 32


@dataclass(frozen=True)
class FaithfulnessSizes:
    """How many pictures each part looks at."""

    curves: int = 60
    """Curves and rank correlations; on the bundled setup, fooled pictures, as many of each shortcut."""
    recovered: int = 200
    """Fooled pictures of each shortcut, at most, whose cause is looked for."""
    pictures: int = 400
    """Held-out pictures of each shortcut among which fooled ones are found."""
    seen: int = 100
    """Held-out pictures, clean and of each shortcut, that show how components usually fire."""


@dataclass(frozen=True)
class Question:
    """A picture and a target: all that a method may look at."""

    clip: SplitClip
    """The model."""
    dictionary: Dictionary
    """Its dictionary."""
    classifier: Tensor
    """Unit class vectors, [C, p]."""
    trace: Trace
    """The picture, read once."""
    target: Target
    """What is explained."""

    def attribution(self, method: Method = "gradient") -> Attribution:
        """The contribution of every active component."""
        return attribute(self.clip, self.dictionary, self.trace, self.classifier, self.target, method)

    @torch.no_grad()
    def values(self, residuals: Tensor) -> np.ndarray:
        """y of each residual, [B, T, d] -> float64 [B], in logits."""
        batches = (target_values(self.clip, x, self.classifier, self.target) for x in residuals.split(_BATCH))
        return torch.cat(list(batches)).cpu().double().numpy()


# What each method predicts: a number for every active component, ascending, float [k]


def by_gradient(question: Question) -> np.ndarray:
    """Activation x gradient: A_j, in logits."""
    return question.attribution().total


def by_integrated(question: Question) -> np.ndarray:
    """Integrated gradients: A_j, in logits."""
    return question.attribution("integrated").total


def by_energy(question: Question) -> np.ndarray:
    """||f_j|| ||v_j||, in the units of x, whatever the target: the strongest simple rival."""
    return question.attribution().energy


@torch.no_grad()
def by_lens(question: Question) -> np.ndarray:
    """The logit lens: f_j <P(g (v_j - mean v_j)), t>, for order only; it has no unit.

    g is the weight of the last norm, P the projection and t the target's text direction, as if v_j went straight from
    CLS to the output. f_j is the activation at CLS, which is what is read out, or, where the dictionary leaves CLS
    out, its sum over the patches. A weak baseline, known to be unfaithful in CLIP's middle layers.
    """
    clip, f = question.clip, question.trace.activations
    components, which = np.unique(f.component, return_inverse=True)
    v = question.dictionary.directions(components)
    norm = clip.model.vision_model.post_layernorm
    seen = clip.model.visual_projection((v - v.mean(-1, keepdim=True)) * norm.weight)  # [k, p]
    toward = question.target.of(question.classifier.T)  # [p]
    read = (f.token == 0) | (question.dictionary.scope == "patches")
    written = np.bincount(which, weights=f.value * read, minlength=len(components))
    return written * (seen @ toward).cpu().double().numpy()


METHODS: Mapping[str, Callable[[Question], np.ndarray]] = MappingProxyType(
    {"gradient": by_gradient, "integrated": by_integrated, "energy": by_energy, "lens": by_lens}
)
"""By the names the report uses; it calls chance "random"."""


def predictions(question: Question) -> dict[str, np.ndarray]:
    """What every method predicts for the active components, float [k] each."""
    return {name: method(question) for name, method in METHODS.items()}


def orders(
    question: Question, predicted: Mapping[str, np.ndarray], rng: np.random.Generator
) -> dict[str, list[np.ndarray]]:
    """The active components in each method's order, the strongest for the target first, int32 [k]; random: five."""
    components = question.trace.activations.components()
    found = {name: [components[np.argsort(-scores, kind="stable")]] for name, scores in predicted.items()}
    return found | {"random": [rng.permutation(components) for _ in range(DRAWS)]}


# Curves


@torch.no_grad()
def curves(question: Question, order: np.ndarray) -> np.ndarray:
    """y in logits along deletion and insertion, float64 [2, len(COUNTS) + 1].

    `order` holds every active component once. Counts beyond its length mean all of them.
    """
    f, dictionary = question.trace.activations, question.dictionary
    cuts = np.minimum((*COUNTS, len(order)), len(order))
    place = np.zeros(f.n_components, dtype=np.int64)
    place[order] = np.arange(len(order))
    level = np.searchsorted(cuts, place[f.component], side="right")  # the first cut that takes the component
    first = torch.stack(  # what the components up to each cut add to the residual, [S, T, d]
        [
            dictionary.decode(replace(f, token=f.token[at], component=f.component[at], value=f.value[at]))
            for at in (level == step for step in range(len(cuts)))
        ]
    ).cumsum(0)
    x = question.clip.place(question.trace.residual)
    return question.values(torch.cat([x - first, x - (first[-1] - first)])).reshape(2, -1)


def area(curve: np.ndarray) -> np.ndarray:
    """The mean height of curves [..., S], by trapezoids, with equal distances between successive counts.

    Not between components: that would be the tail of the curve, since nobody pulls a hundred levers.
    """
    return np.trapezoid(curve, axis=-1) / (np.shape(curve)[-1] - 1)


def effects_along(question: Question, ordered: Mapping[str, Sequence[np.ndarray]]) -> dict[str, np.ndarray]:
    """For each method y - y(x) along both curves, [2, S], in logits, averaged over its orders."""
    found = {}
    for name, some in ordered.items():
        y = np.stack([curves(question, order) for order in some])
        found[name] = (y - y[:, :1, :1]).mean(0)
    return found


# Rank correlation


def agreement(question: Question, predicted: Mapping[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """Rank correlations of predicted and measured effects, and of their sizes, over the active components.

    nan where there is none. Sizes, since energy knows no sign. Of more than 200 components, those of most energy.
    """
    components = question.trace.activations.components()
    chosen = np.sort(np.argsort(-predicted["energy"], kind="stable")[:MEASURED])
    lost = ablation_effects(
        question.clip, question.dictionary, question.trace, question.classifier, question.target, components[chosen]
    )
    return {
        name: (rank_correlation(scores[chosen], lost), rank_correlation(np.abs(scores[chosen]), np.abs(lost)))
        for name, scores in predicted.items()
    }


# Planted causes


@torch.no_grad()
def causes(question: Question) -> np.ndarray:
    """The components whose suppression alone takes the prediction off the target's wanted class, int32."""
    clip, trace = question.clip, question.trace
    components = trace.activations.components()
    x = clip.place(trace.residual)
    moved = [np.zeros(0, dtype=bool)]
    for start in range(0, len(components), _BATCH):
        edits = [Edit.of_suppressed([int(j)]) for j in components[start : start + _BATCH]]
        after = logits(
            clip.embed_from_residual(steer(x, trace.activations, edits, question.dictionary)), question.classifier, 1.0
        )
        moved.append((after.argmax(-1) != question.target.wanted).cpu().numpy())
    return components[np.concatenate(moved)]


def first_rank(order: np.ndarray, wanted: np.ndarray) -> int:
    """The place in `order`, from 1, of the first component that is among `wanted`; some must be."""
    return int(np.flatnonzero(np.isin(order, wanted))[0]) + 1


def recovery(questions: Sequence[Question]) -> Plain:
    """How early each method's order has the first component that is by itself a cause of the prediction.

    Ranks are over the pictures that have such a component: `exists` says how many do.
    """
    rng = np.random.default_rng(SEED)
    exists: list[bool] = []
    ranks: dict[str, list[list[int]]] = {name: [] for name in (*METHODS, "random")}
    for question in questions:
        wanted = causes(question)
        exists.append(len(wanted) > 0)
        if len(wanted):
            for name, some in orders(question, predictions(question), rng).items():
                ranks[name].append([first_rank(order, wanted) for order in some])
    found = {}
    for name, rows in ranks.items():
        each = np.array(rows, dtype=float).reshape(len(rows), -1 if rows else 1)
        found[name] = {
            "median_rank": estimate(np.median(each, axis=1), np.median),
            "within": {str(n): estimate((each <= n).mean(1)) for n in WITHIN},
        }
    return {"pictures": len(questions), "exists": estimate(np.array(exists, dtype=float)), "methods": found}


# The report


def faithfulness(questions: Sequence[Question]) -> Plain:
    """Curves, their areas, and rank correlations, over pictures."""
    rng = np.random.default_rng(SEED)
    along: list[dict[str, np.ndarray]] = []
    agreed: list[dict[str, tuple[float, float]]] = []
    for question in questions:
        predicted = predictions(question)
        along.append(effects_along(question, orders(question, predicted, rng)))
        agreed.append(agreement(question, predicted))
    n_components = [float(len(question.trace.activations.components())) for question in questions]
    shape = (len(questions), 2, len(COUNTS) + 1)
    found = {name: np.array([one[name] for one in along]).reshape(shape) for name in (*METHODS, "random")}
    areas = {name: area(each) for name, each in found.items()}  # [pictures, 2]
    return {
        "pictures": len(questions),
        "active_components": estimate(np.array(n_components)),
        "counts": [*COUNTS, "all"],
        "deletion": {name: [estimate(column) for column in each[:, 0].T] for name, each in found.items()},
        "insertion": {name: [estimate(column) for column in each[:, 1].T] for name, each in found.items()},
        "area": {
            name: {
                "deletion": estimate(each[:, 0]),
                "insertion": estimate(each[:, 1]),
                "between": estimate(each[:, 1] - each[:, 0]),
            }
            for name, each in areas.items()
        },
        "rank_correlation": {
            name: {
                kind: estimate(np.array([one[name][at] for one in agreed]), np.median)
                for at, kind in enumerate(("effects", "sizes"))
            }
            for name in METHODS
        },
    }


def report_bundled(setup: Setup, sizes: FaithfulnessSizes) -> Plain:
    """Everything, on held-out pictures of the bundled setup."""
    scorer = Scorer.of(setup.clip, setup.dictionary)
    fooled: dict[str, list[Question]] = {}
    crops = [look_at(scorer, "clean", sizes.seen, "test").crops]
    for name in SHORTCUTS:
        kind = look_at(scorer, name, sizes.pictures, "test")
        crops.append(kind.crops[: sizes.seen])
        at = np.flatnonzero(kind.fooled)[: max(sizes.recovered, sizes.curves)]
        fooled[name] = [
            Question(setup.clip, setup.dictionary, scorer.classifier, trace, Target(int(foil), int(truth)))
            for trace, foil, truth in zip(scorer.traces(kind.crops[at]), kind.foil[at], kind.truth[at], strict=True)
        ]
    explained = [one for questions in fooled.values() for one in questions[: math.ceil(sizes.curves / len(SHORTCUTS))]]
    return {
        "setup": setup.card.name,
        "explained": "the lure's logit minus the truth's, on pictures that a planted shortcut fools",
        "seed": SEED,
        "sizes": asdict(sizes),
        **faithfulness(explained),
        "recovery": {name: recovery(questions[: sizes.recovered]) for name, questions in fooled.items()},
        "steerability": steerability(setup.clip, setup.dictionary, scorer.traces(np.concatenate(crops)), VOCABULARY),
    }


def report_pictures(setup: Setup, folder: Path, classes: Sequence[str], count: int | None) -> Plain:
    """Curves and rank correlations on the first `count` files of a folder, by name: the predicted class's logit minus
    the runner-up's.

    Raises UserError for a folder without files, a file that is no picture, and fewer than two classes.
    """
    if len(classes) < 2:
        raise UserError("The target compares two classes. Name at least two: --classes dog,cat.")
    if not folder.is_dir():
        raise UserError(f"There is no folder “{folder}”. Name one that holds pictures.")
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))[:count]
    if not files:
        raise UserError(f"The folder “{folder}” holds no files. Name one that holds pictures.")
    classifier = text_classifier(setup.clip, classes, TEMPLATES["single"])
    questions = []
    for path in files:
        try:
            crop = setup.clip.crop(read_picture(path))
        except UserError as trouble:
            raise UserError(f"“{path.name}”: {trouble}") from trouble
        (trace,) = trace_crops(setup.clip, setup.dictionary, [crop])
        prediction = predict(trace.embedding, classifier, tuple(classes), setup.clip.logit_scale)
        target = default_target(prediction, prediction.top)
        questions.append(Question(setup.clip, setup.dictionary, classifier, trace, target))
    return {
        "setup": setup.card.name,
        "commits": dict(setup.commits),
        "explained": "the predicted class's logit minus the runner-up's",
        "seed": SEED,
        "classes": list(classes),
        **faithfulness(questions),
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setup", default="bundled", help="a name from assets/catalog.toml")
    parser.add_argument("--anyway", action="store_true", help="open it although its dictionary does not fit its CLIP")
    parser.add_argument("--pictures", type=Path, help="a folder of pictures; the bundled setup has its own")
    parser.add_argument("--classes", default="", help="what the pictures might show: dog,cat,car")
    parser.add_argument("--count", type=int, help="pictures for the curves: 60 of the bundled ones, or all of a folder")
    parser.add_argument("--out", type=Path, help="the folder for faithfulness.json and faithfulness.svg")
    arguments = parser.parse_args()
    try:
        if arguments.count is not None and arguments.count < 1:
            raise UserError("--count is a number of pictures. Give 1 or more.")
        if arguments.pictures is None and arguments.setup != "bundled":
            raise UserError("Only the bundled setup has pictures of its own. Name a folder: --pictures holiday.")
        setup = load_setup(arguments.setup, anyway=arguments.anyway)
        if arguments.pictures is None:
            report = report_bundled(
                setup, FaithfulnessSizes() if arguments.count is None else FaithfulnessSizes(curves=arguments.count)
            )
        else:
            report = report_pictures(setup, arguments.pictures, parse_classes(arguments.classes).names, arguments.count)
    except UserError as trouble:
        raise SystemExit(str(trouble)) from trouble
    # A trial on fewer pictures does not replace what the model card quotes.
    shipped = arguments.pictures is None and arguments.count is None
    out = arguments.out or (FOLDER if shipped else Path("."))
    out.mkdir(parents=True, exist_ok=True)
    (out / "faithfulness.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (out / "faithfulness.svg").write_text(figure(report), encoding="utf-8")
    print(tables(report))
