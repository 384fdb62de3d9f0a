"""Does the promise of a conditional edit hold, and what does it repair? ``python -m core.bundled.promise --out DIR``.

Two edits, each the suppression of a family that holds a planted shortcut (`core.bundled.family_scoring`), on scenes
among which some are right because of what the family reads: signs that show nothing but a word; fish in water.

1. Tens of thousands of scenes are read once: the pooled activations, and the logits without and with the edit. What was
   read is kept in the folder, and not read again.
2. The first half are for discovery. The second half are the population: what an edit breaks of it is known.
3. 2,000 sets are redrawn from it with replacement. On each a threshold is chosen as for a visitor
   (`core.methods.conditions`), for conditions that were found on redrawn discovery sets. In how many does the edit then
   break more of the population than was promised, and how much does it repair?

Beside conditions on components stand others, to see what is lost by asking components alone: how far the class that is
said without the edit, or each class without and with it, stands above the mean of all classes. And in the hard case a
condition is also tried of levers that have a threshold themselves: each acts only where its component fires so much.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch

from ..files import ASSETS
from ..methods.bounds import learn_then_test
from ..methods.conditions import CONFIDENCE, RATE, Outcomes, Proposal, choose, counts_under, propose
from ..methods.picture_set import class_logits
from ..methods.steering import Edit, Term, pooled, steered
from ..model.sae_clip import BATCH
from ..scenes.sampling import Case, attacked, clean, flooded, hard, hard_scene, sign
from ..scenes.scene import CLASSES
from ..setups.loading import Setup, load_setup
from ..words import in_percent, markdown_table
from .family_scoring import REPORT as FAMILIES
from .scoring import Scorer

REPORT = ASSETS / "bundled" / "promise.json"
SCENES = 20_000
"""Of each kind of pictures."""
SETS = 2_000
"""Redrawn, for each condition."""
DISCOVERIES = 20
"""Discovery sets among them: so many times the condition is found anew."""
SIZE = 1_500
"""Pictures of a set to choose a threshold on, and of one to discover on."""
SEED = 5_000_001

_CHUNK = 1_000

Plain = dict[str, Any]


def hard_fish(rng: np.random.Generator) -> Case:
    """A fish in water, as hard to see as the things that water hides in the flooded scenes."""
    scene = hard_scene(rng, "fish", "water")
    return Case(scene, scene, "fish", None)


class Pictures(NamedTuple):
    """Which scenes an edit is tried on."""

    shortcut: str
    """Whose family is suppressed."""
    kinds: tuple[tuple[float, Callable[[np.random.Generator], Case]], ...]
    """What they are, with their shares."""
    what: str
    """In words."""
    at_least: float | None = None
    """A threshold for the levers, beside none; None where none is tried."""


PICTURES: Mapping[str, Pictures] = MappingProxyType(
    {
        "words": Pictures(
            "attacked",
            ((0.5, clean), (0.3, attacked), (0.2, sign)),
            "half clean, 30 % with a conflicting word, 20 % nothing but a word",
        ),
        "water": Pictures(
            "flooded",
            ((0.35, flooded), (0.25, hard_fish), (0.25, clean), (0.15, hard)),
            "35 % things in water, a quarter fish in water, a quarter clean, 15 % hard to see",
            4.0,  # half of its members' activations are below; tried beside 12 and 23, on the first 8,000 scenes
        ),
    }
)


def drawn_case(name: str, i: int) -> Case:
    """The i-th scene; it does not depend on how many there are."""
    rng = np.random.default_rng([SEED, tuple(PICTURES).index(name), i])
    kinds = PICTURES[name].kinds
    return kinds[int(rng.choice(len(kinds), p=[share for share, _ in kinds]))][1](rng)


@dataclass(frozen=True)
class ReadScenes:
    """What is kept of every scene."""

    pooled: np.ndarray
    """float32 [N, m]."""
    before: np.ndarray
    """float32 [N, C]: the logits without the edit."""
    after: np.ndarray
    """float32 [N, C]: with it."""
    truth: np.ndarray
    """int [N]."""
    after_from: np.ndarray | None = None
    """float32 [N, C]: with the edit whose levers have the threshold, where one is tried."""

    @property
    def outcomes(self) -> Outcomes:
        """What the edit does to each, with components to ask."""
        return self._outcomes(self.after)

    @property
    def outcomes_from(self) -> Outcomes | None:
        """The same of the edit whose levers have the threshold."""
        return None if self.after_from is None else self._outcomes(self.after_from)

    def _outcomes(self, after: np.ndarray) -> Outcomes:
        right, right_after = (logits.argmax(1) == self.truth for logits in (self.before, after))
        return Outcomes(self.pooled, right, ~right, ~right & right_after, right & ~right_after)

    @property
    def standings(self) -> np.ndarray:
        """How far each class stands above the mean of all, without and then with the edit, float32 [N, 2 C]."""
        return np.hstack([logits - logits.mean(1, keepdims=True) for logits in (self.before, self.after)])

    @property
    def said_stands(self) -> np.ndarray:
        """How far the class that is said without the edit stands above the mean of all, float32 [N, 1]."""
        return self.standings[:, : len(CLASSES)].max(1, keepdims=True)


@torch.no_grad()
def read_part(scorer: Scorer, name: str, edits: Sequence[Edit], which: range) -> ReadScenes:
    """These scenes, read and steered by an edit, and by a second one if it is there."""
    model, found = scorer.model, []
    for start in range(which.start, which.stop, BATCH):
        cases = [drawn_case(name, i) for i in range(start, min(start + BATCH, which.stop))]
        traces = model.traces(scorer.crops(case.scene for case in cases))
        z = torch.stack([model.clip.tensor(trace.embedding) for trace in traces])
        z_after = (
            model.clip.embed_from_residual(torch.cat([steered(model, trace, [edit]) for trace in traces]))
            for edit in edits
        )
        before, *after = (class_logits(model.clip, embedded, scorer.classifier) for embedded in (z, *z_after))
        truth = np.array([CLASSES.index(case.truth) for case in cases])
        rows = np.stack([pooled(trace.activations, model.dictionary) for trace in traces])
        found.append((rows, before, after[0], truth, *after[1:]))
    return ReadScenes(*(np.concatenate(column) for column in zip(*found, strict=True)))


def edits_of(name: str) -> tuple[Edit, ...]:
    """The family suppressed, and, where a threshold is tried, suppressed from there on."""
    pictures = PICTURES[name]
    edit = Edit.of_suppressed(json.loads(FAMILIES.read_text(encoding="utf-8"))[pictures.shortcut]["members"])
    if pictures.at_least is None:
        return (edit,)
    return edit, Edit(tuple(replace(lever, at_least=pictures.at_least) for lever in edit.levers))


def read(setup: Setup, name: str, scenes: int, out: Path, say: Callable[[str], None] = print) -> ReadScenes:
    """So many scenes; what lies in the folder `out` is not read again."""
    scorer, edits = Scorer.of(setup.model), edits_of(name)
    parts = []
    for start in range(0, scenes, _CHUNK):
        which = range(start, min(start + _CHUNK, scenes))
        path = out / f"{name}-{which.start}-{which.stop}.npz"
        if not path.exists():
            say(f"{name}: scenes {which.start:,} to {which.stop:,} of {scenes:,}")
            columns = vars(read_part(scorer, name, edits, which))
            np.savez(path, **{key: column for key, column in columns.items() if column is not None})
        with np.load(path) as kept:
            parts.append({key: kept[key] for key in kept.files})
    return ReadScenes(**{key: np.concatenate([part[key] for part in parts]) for key in parts[0]})


def simulate(
    outcomes: Outcomes,
    most_terms: int,
    sets: int,
    discoveries: int,
    size: int,
    seed: int,
    rate: float,
    confidence: float,
) -> Plain:
    """How often the promise fails over redrawn sets, and what is repaired: mean shares of the population, 0 to 1."""
    rng, half = np.random.default_rng([SEED, seed]), len(outcomes) // 2
    population = outcomes.part(np.arange(half, len(outcomes)))
    found: list[tuple[float, float]] = []
    terms: list[int] = []
    for k in range(sets):
        if k % (sets // discoveries) == 0:
            proposals = propose(outcomes.part(rng.integers(0, half, size)), most_terms, rate)
            terms.append(max((len(proposal.terms) for proposal in proposals), default=0))
            asked, proposals = _only_asked(population, proposals)
        choice = choose(asked.part(rng.integers(0, len(asked), size)), proposals, rate, confidence)
        if not choice.promised:
            found.append((0.0, 0.0))
            continue
        counts = counts_under(asked, choice.condition)
        found.append((counts.fixed / counts.wrong, counts.broken / counts.right))
    fixed, broken = np.array(found).T
    return {
        "most_terms": most_terms,
        "terms": float(np.mean(terms)),
        "fixed": float(fixed.mean()),
        "broken": float(broken.mean()),
        "fails": float((broken > rate).mean()),
        "promised": float((fixed > 0).mean()),
    }


def _only_asked(outcomes: Outcomes, proposals: Sequence[Proposal]) -> tuple[Outcomes, tuple[Proposal, ...]]:
    """The same with only the components that are asked of, numbered anew: sets of these are redrawn much faster."""
    used = sorted({term.component for proposal in proposals for term in proposal.terms})
    fewer = [
        Proposal(tuple(Term(used.index(term.component), term.weight) for term in one.terms), one.thresholds)
        for one in proposals
    ]
    return replace(outcomes, pooled=outcomes.pooled[:, used]), tuple(fewer)


def unconditional(outcomes: Outcomes, sets: int, size: int, rate: float, confidence: float) -> Plain:
    """The edit as it is: what it does to the population, and in what share of redrawn sets it may be promised."""
    rng, half = np.random.default_rng([SEED, 0]), len(outcomes) // 2
    population = outcomes.part(np.arange(half, len(outcomes)))
    counts = counts_under(population, None)
    promised = 0
    for _ in range(sets):
        drawn = rng.integers(0, len(population), size)
        right, broken = int(population.right[drawn].sum()), population.broken[drawn].sum()
        promised += learn_then_test([np.array([broken])], right, rate, confidence)[0]
    return {
        "right": counts.right / counts.pictures,
        "fixed": counts.fixed / counts.wrong,
        "broken": counts.broken / counts.right,
        "promised": promised / sets,
    }


def score(
    readings: Mapping[str, ReadScenes], sets: int = SETS, discoveries: int = DISCOVERIES, size: int = SIZE
) -> Plain:
    """What `assets/bundled/promise.json` holds."""
    report: Plain = {"rate": RATE, "confidence": CONFIDENCE, "sets": sets, "discoveries": discoveries, "size": size}
    for name, reading in readings.items():
        outcomes = reading.outcomes
        report[name] = {
            "scenes": len(outcomes),
            "unconditional": unconditional(outcomes, sets, size, RATE, CONFIDENCE),
            "conditions": {
                label: simulate(asked, most, sets, discoveries, size, k, RATE, CONFIDENCE)
                for k, (label, asked, most) in enumerate(_asked(name, reading), start=1)
            },
        }
    return report


def _asked(name: str, reading: ReadScenes) -> Sequence[tuple[str, Outcomes, int]]:
    """What conditions are made of, and of how many terms at most."""
    found, strong = reading.outcomes, reading.outcomes_from
    of_classes = replace(found, pooled=reading.standings)
    all_of_these = replace(found, pooled=np.hstack([reading.pooled, reading.standings]))
    rows = [
        ("one component", found, 1),
        ("up to 2 components", found, 2),
        ("up to 5 components", found, 5),
        ("up to 40 components", found, 40),
        ("how far the class said stands above the mean", replace(found, pooled=reading.said_stands), 1),
        ("up to 5 classes' standings, without and with the edit", of_classes, 5),
        ("up to 10 of these", of_classes, 10),
        ("up to 40 of these and components", all_of_these, 40),
    ]
    if strong is not None:
        levers = f"levers where they fire at least {PICTURES[name].at_least:g}, and"
        rows += [(f"{levers} {label}", strong, most) for label, _, most in rows[:4]]
    return rows


def table(report: Mapping[str, Any]) -> str:
    """The block for the model card, assets/bundled/README.md."""
    rows = []
    for name, pictures in PICTURES.items():
        found = report[name]
        plain = found["unconditional"]
        family = f"{pictures.shortcut} ({pictures.what})"
        rows.append((family, "none: always", *_shares(plain), "–", in_percent(plain["promised"])))
        for label, one in found["conditions"].items():
            rows.append(("", label, *_shares(one), in_percent(one["fails"], 1), in_percent(one["promised"])))
    heads = (
        "family suppressed, scenes", "acts by", "repairs of the wrong", "breaks of the right", "promise fails",
        "may be promised",
    )  # fmt: skip
    return markdown_table(heads, rows)


def _shares(found: Mapping[str, float]) -> tuple[str, str]:
    return in_percent(found["fixed"], 1), in_percent(found["broken"], 1)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for what is read of the scenes")
    parser.add_argument(
        "--report", type=Path, default=REPORT, help="where the report is written (default: %(default)s)"
    )
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    setup = load_setup("bundled")
    report = score({name: read(setup, name, SCENES, arguments.out) for name in PICTURES})
    arguments.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table(report))


if __name__ == "__main__":
    main()
