"""Does a family of components hold a planted shortcut? ``python -m core.bundled.family_scoring``.

1. Families come from the concept index (`core.concepts.families.families`), which knows nothing of shortcuts, classes
   or truths.
2. For each shortcut, every family is suppressed as one lever on validation scenes that show it. The family after which
   most are right is taken.
3. On test scenes: how many are right, and how many say the foil, without and with that family suppressed; what the same
   lever does to clean scenes; and what as many components drawn at random do.

Unlike an attribution, a family is found once and is the same for every picture.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..concepts.families import Family, families
from ..errors import UserError
from ..files import ASSETS
from ..methods.steering import Edit, shift
from ..scenes.shortcuts import SHORTCUTS
from ..setups.loading import Setup, load_setup
from .scoring import HeldOut, Scorer, look_at, share

REPORT = ASSETS / "bundled" / "families.json"
CHOSEN_ON = 200
"""Validation scenes of each kind."""
JUDGED_ON = 600
"""Test scenes of each kind."""
DRAWS = 10
"""Random sets of as many components."""
SEED = 4_000_001

Plain = dict[str, Any]


@torch.no_grad()
def predict_without(scorer: Scorer, kind: HeldOut, edits: Sequence[Edit]) -> np.ndarray:
    """The predicted class of every picture under each edit, int [edits, pictures].

    Pictures that an edit changes nothing in keep their prediction.
    """
    predicted = np.repeat(kind.predicted[None], len(edits), 0)
    for picture, trace in enumerate(scorer.traces(kind.crops)):
        x = scorer.model.residual(trace)
        changes = torch.stack([shift(trace.activations, edit, scorer.dictionary) for edit in edits])
        touched = changes.flatten(1).any(1).cpu().numpy()
        if touched.any():
            predicted[touched, picture] = scorer.predict(x + changes[torch.from_numpy(touched)])
    return predicted


def best_family(scorer: Scorer, kind: HeldOut, found: Sequence[Family]) -> Family:
    """The family whose suppression leaves most of the pictures right; of equals the first, which is the larger."""
    predicted = predict_without(scorer, kind, [Edit.of_suppressed(family.members) for family in found])
    return found[int((predicted == kind.truth).sum(1).argmax())]


def random_edits(setup: Setup, size: int, seed: int) -> list[Edit]:
    """Suppressions of as many components, drawn among all that ever fire."""
    assert setup.index is not None
    rng = np.random.default_rng([SEED, seed])
    fire = np.flatnonzero(setup.index.active_pictures)
    return [Edit.of_suppressed(rng.choice(fire, size, replace=False)) for _ in range(DRAWS)]


def score(setup: Setup, chosen_on: int = CHOSEN_ON, judged_on: int = JUDGED_ON) -> Plain:
    """What `assets/bundled/families.json` holds; shares of pictures. Raises UserError without a concept index."""
    if setup.index is None:
        raise UserError(f"The setup {setup.card.name!r} has no concept index, and so no families. Build one first.")
    scorer, found = Scorer.of(setup.model), families(setup.index)
    clean = look_at(scorer, "clean", judged_on, "test")
    report: Plain = {
        "families": len(found),
        "components_in_families": sum(len(family) for family in found),
        "pictures": judged_on,
    }
    for number, name in enumerate(SHORTCUTS):
        family = best_family(scorer, look_at(scorer, name, chosen_on, "validation"), found)
        kind = look_at(scorer, name, judged_on, "test")
        edits = [Edit.of_suppressed(family.members), *random_edits(setup, len(family), number)]
        predicted, clean_predicted = predict_without(scorer, kind, edits), predict_without(scorer, clean, edits[:1])
        report[name] = {
            "members": list(family.members),
            "label": family.label,
            "right_before": share(kind.predicted == kind.truth),
            "right": share(predicted[0] == kind.truth),
            "right_at_random": share(predicted[1:] == kind.truth),
            "right_with_the_cue_removed": share(kind.predicted_counterfactual == kind.truth),
            "lured_before": share(kind.predicted == kind.foil),
            "lured": share(predicted[0] == kind.foil),
            "lured_at_random": share(predicted[1:] == kind.foil),
            "clean_before": share(clean.predicted == clean.truth),
            "clean": share(clean_predicted[0] == clean.truth),
        }
    return report


def table(report: Mapping[str, Any]) -> str:
    """The block for the model card, assets/bundled/README.md."""

    def arrow(found: Mapping[str, float], which: str) -> str:
        return f"{100 * found[f'{which}_before']:.1f} → **{100 * found[which]:.1f} %**"

    heads = (
        "| scenes with | the family | right | say the cue's class | as many at random: right | cue removed: right "
        "| clean scenes right |"
    )
    rows = []
    for name, shortcut in SHORTCUTS.items():
        found = report[name]
        guess = f", guess “{found['label']}”" if found["label"] else ""
        rows.append(
            f"| {shortcut.fooled_by} | {len(found['members'])} components{guess} | {arrow(found, 'right')} "
            f"| {arrow(found, 'lured')} | {100 * found['right_at_random']:.1f} % "
            f"| {100 * found['right_with_the_cue_removed']:.1f} % | {arrow(found, 'clean')} |"
        )
    return "\n".join([heads, "|---|---|---|---|---|---|---|", *rows])


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPORT)
    arguments = parser.parse_args()
    report = score(load_setup("bundled"))
    arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"{report['families']} families hold {report['components_in_families']} components.\n\n{table(report)}")


if __name__ == "__main__":
    main()
