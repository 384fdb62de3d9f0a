"""The command that scores attribution methods by faithfulness: ``python -m core.faithfulness``.

1. Each of five methods orders the active components of a picture, the strongest for the target first: activation x
   gradient, integrated gradients, activation energy, logit lens, and chance (`core.faithfulness.orderings`).
2. Deletion and insertion curves along these orders; what a method predicts is ranked against what the model does
   without each component (`core.faithfulness.curves`).
3. On the bundled CLIP, with whichever dictionary, whose shortcuts are known: where in each order does the first
   component stand whose suppression alone takes the prediction off the foil (`core.faithfulness.recovery`)? And how
   much of what a component does falls on one concept (`core.faithfulness.steerability`)?

Intervals are 95 % percentile bootstraps over pictures.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..bundled.scoring import Scorer, look_at
from ..errors import UserError
from ..files import ASSETS
from ..methods.question import Question
from ..methods.targets import ClassTarget, default_target
from ..model.clip import text_classifier
from ..model.prediction import predict
from ..model.prompts import TEMPLATES, parse_classes
from ..pictures.read import read_picture
from ..scenes.sampling import PLACES
from ..scenes.scene import CLASSES
from ..scenes.shortcuts import SHORTCUTS
from ..setups.health_check import is_bundled_clip
from ..setups.loading import Setup, load
from ..setups.options import add_setup_options, named_setup
from ..stats import SEED
from .curves import faithfulness
from .recovery import recovery
from .report import compared, figure, tables
from .steerability import steerability

VOCABULARY: tuple[str, ...] = (*CLASSES, *(place.split()[-1] for place in PLACES.values()))
"""The things and places that the bundled setup's captions name."""
FOLDER = ASSETS / "bundled"


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


def report_bundled(setup: Setup, sizes: FaithfulnessSizes) -> dict[str, Any]:
    """Everything, on held-out pictures of the bundled CLIP."""
    scorer = Scorer.of(setup.model)
    fooled: dict[str, list[Question]] = {}
    crops = [look_at(scorer, "clean", sizes.seen, "test").crops]
    for name in SHORTCUTS:
        kind = look_at(scorer, name, sizes.pictures, "test")
        crops.append(kind.crops[: sizes.seen])
        at = np.flatnonzero(kind.fooled)[: max(sizes.recovered, sizes.curves)]
        fooled[name] = [
            Question(setup.model, trace, scorer.classifier, ClassTarget(int(foil), int(truth)))
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
        "steerability": steerability(setup.model, scorer.traces(np.concatenate(crops)), VOCABULARY),
    }


def report_pictures(setup: Setup, folder: Path, classes: Sequence[str], count: int | None) -> dict[str, Any]:
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
        trace = setup.model.trace(crop)
        prediction = predict(trace.embedding, classifier, tuple(classes), setup.clip.scoring)
        target = default_target(prediction, prediction.top)
        questions.append(Question(setup.model, trace, classifier, target))
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
    parser = argparse.ArgumentParser(
        prog="python -m core.faithfulness", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_setup_options(parser)
    parser.add_argument("--pictures", type=Path, help="a folder of pictures; the bundled CLIP has its own")
    parser.add_argument("--classes", default="", help="what the pictures might show: dog,cat,car")
    parser.add_argument("--count", type=int, help="pictures for the curves: 60 of the bundled ones, or all of a folder")
    parser.add_argument("--beside", type=Path, help="a faithfulness.json of the bundled CLIP, to stand beside this one")
    parser.add_argument("--out", type=Path, help="the folder for faithfulness.json and faithfulness.svg")
    arguments = parser.parse_args()
    try:
        if arguments.count is not None and arguments.count < 1:
            raise UserError("--count is a number of pictures. Give 1 or more.")
        card = named_setup(arguments, "bundled")
        if arguments.pictures is None and not is_bundled_clip(card):
            raise UserError("Only the bundled CLIP has pictures of its own. Name a folder: --pictures holiday.")
        setup = load(card, anyway=arguments.anyway)
        if arguments.pictures is None:
            report = report_bundled(
                setup, FaithfulnessSizes() if arguments.count is None else FaithfulnessSizes(curves=arguments.count)
            )
        else:
            report = report_pictures(setup, arguments.pictures, parse_classes(arguments.classes).names, arguments.count)
    except UserError as trouble:
        raise SystemExit(str(trouble)) from trouble
    # A trial on fewer pictures, or of another dictionary, does not replace what the model card quotes.
    shipped = arguments.pictures is None and arguments.count is None and card.name == "bundled"
    out = arguments.out or (FOLDER if shipped else Path("."))
    out.mkdir(parents=True, exist_ok=True)
    (out / "faithfulness.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (out / "faithfulness.svg").write_text(figure(report), encoding="utf-8")
    print(tables(report))
    if arguments.beside is not None:
        other = json.loads(arguments.beside.read_text(encoding="utf-8"))
        print(compared({other["setup"]: other, report["setup"]: report}))


if __name__ == "__main__":
    main()
