"""Does a repair found from failures alone pay, and what do its rivals do? ``python -m core.bundled.repair_scoring``.

1. Scenes: a third clean, a third with a word that lies, a third with a word that is true. Of each the truth is known,
   and nothing of what it holds. Parts by name: to propose on, to choose on, to judge on.
2. On the first part the failures are asked which components drive them (`core.methods.failures`); on the second that
   edit is taken after which most are right; on the last, which neither has seen, it is judged: exact one-sided
   Clopper-Pearson bounds on what it repairs and breaks of pictures like these (`core.methods.bounds`).
3. The same edit under a condition, found on the first two parts, whose threshold is chosen on a third so that the edit
   breaks at most a stated share (`core.methods.conditions`).
4. The edit as a recipe in the model, which counts without labels (`core.recipes`): whether it keeps still while scenes
   are like these, and how soon it says that all of them lie now.
5. The rivals need no training either, and are chosen on the same second part: the most active components, projections
   that take a direction out of the image embedding, as many components at random. The ceiling is the picture without
   its word.
6. All of them once more on scenes that are not like these: words alone, and things that can hardly be told without one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..concepts.families import families
from ..concepts.index import ConceptIndex
from ..errors import UserError
from ..files import ASSETS
from ..methods.attribution import attributions
from ..methods.bounds import lower_bound, upper_bound
from ..methods.conditions import Outcomes, promise
from ..methods.failures import Confusion, Findings, find_candidates
from ..methods.generalization import Counts, Generalization, generalize
from ..methods.picture_set import PictureSet, class_logits, embeddings_of, peaks, said_of, split
from ..methods.steering import Edit
from ..methods.targets import ClassTarget
from ..model.prompts import TEMPLATES
from ..model.sae_clip import BATCH
from ..recipes import Claim, apply_recipe, make_recipe
from ..scenes.sampling import SIGN_OPENINGS, Case, attacked, clean, hard, place_label, sign
from ..scenes.scene import CLASSES, Painter
from ..setups.loading import Setup, load_setup
from ..words import NONE, count, in_percent, markdown_table
from .family_scoring import random_edits
from .scoring import Scorer, share

REPORT = ASSETS / "bundled" / "repair.json"
PICTURES = 2_400
ELSEWHERE = 200
"""Scenes of each kind that is not like these."""
SHARES = (0.1, 0.15, 0.3, 0.45)
"""Of the pictures, to propose on, to choose on, to set thresholds on, to judge on."""
RATES = (0.01, 0.02, 0.05)
"""Of right pictures, that a conditional edit may break."""
WATCHED = 500
"""Scenes like these that pass through the model before others come, and others at most."""
SIZES = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89)
"""How many components, or directions, are tried."""
DRAWS = 10
"""Random edits."""
CONFIDENCE = 0.95
"""Of each bound; of two together, 90 %."""
SEED = 5_000_001
OURS, CEILING = "a family of components", "the word blanked"
PHRASES = (
    ("the word",), ("a sign",), ("a note",), ("a label",), ("a sign saying",),
    ("the word", "a sign", "a note", "a label"),
)  # fmt: skip
"""What written text may be called, in words that this setup knows."""

Plain = dict[str, Any]
Answer = Callable[[PictureSet], np.ndarray]
"""The class that is said of each picture of a set once it is repaired, int [N]."""


def named(rng: np.random.Generator) -> Case:
    """A clean picture with a label that says what it shows."""
    case = clean(rng)
    return replace(case, scene=replace(case.scene, label=place_label(rng, case.truth)))


def hard_named(rng: np.random.Generator) -> Case:
    """A picture that can hardly be told, with a label that says what it shows."""
    case = hard(rng)
    return replace(case, scene=replace(case.scene, label=place_label(rng, case.truth)))


LIKE_THESE: Mapping[str, tuple[str, Callable[[np.random.Generator], Case]]] = {
    "clean": ("no word", clean),
    "attacked": ("a word that lies", attacked),
    "named": ("a word that is true", named),
}
NOT_LIKE_THESE: Mapping[str, tuple[str, Callable[[np.random.Generator], Case]]] = {
    "hard": ("a thing hard to tell, no word", hard),
    "hard_named": ("a thing hard to tell, a word that is true", hard_named),
    "sign": ("a word alone", sign),
}


def stream(n: int) -> dict[str, Case]:
    """So many scenes of the kinds of `LIKE_THESE`, as likely, by name."""
    rng, kinds = np.random.default_rng([SEED, 0]), tuple(LIKE_THESE)
    drawn = ((kinds[int(rng.integers(len(kinds)))], k) for k in range(n))
    return {f"{kind} {k}": LIKE_THESE[kind][1](rng) for kind, k in drawn}


def elsewhere(n: int) -> dict[str, Case]:
    """So many scenes of each kind of `NOT_LIKE_THESE`, by name."""
    found: dict[str, Case] = {}
    for number, (kind, (_, draw)) in enumerate(NOT_LIKE_THESE.items()):
        rng = np.random.default_rng([SEED, 1 + number])
        found |= {f"{kind} {k}": draw(rng) for k in range(n)}
    return found


@dataclass(frozen=True)
class Repair:
    """One repair that may be taken."""

    words: str
    """What it is."""
    answer: Answer
    """What is said with it."""
    components: tuple[int, ...] = ()
    """That it suppresses; none where it does something else."""
    counts: Counts | None = None
    """What it does to the choosing part, where that is known already."""


@dataclass(frozen=True)
class Judge:
    """What repairs are scored with."""

    scorer: Scorer
    """The model and the class vectors."""
    cases: Mapping[str, Case]
    """Every scene by its name."""

    def read(self, cases: Mapping[str, Case]) -> PictureSet:
        """Scenes as a set; a picture's group is its kind."""
        crops = self.painted(case.scene for case in cases.values())
        traces = tuple(trace for some in crops for trace in self.scorer.model.traces(some))
        return PictureSet(
            traces=traces,
            names=tuple(cases),
            truth=np.array([CLASSES.index(case.truth) for case in cases.values()]),
            group=np.array([name.split()[0] for name in cases]),
            said=said_of(self.scorer.clip, traces, self.scorer.classifier),
            classes=CLASSES,
        )

    def painted(self, scenes: Iterable[Any]) -> Iterator[np.ndarray]:
        """Crops of scenes, a batch at a time, uint8 [B, S, S, 3]."""
        painter = Painter(self.scorer.clip.image_size)
        waiting = []
        for scene in scenes:
            waiting.append(painter.paint(scene))
            if len(waiting) == BATCH:
                yield np.stack(waiting)
                waiting = []
        if waiting:
            yield np.stack(waiting)

    def edited(self, edit: Edit) -> Answer:
        """What is said with an edit."""

        def answer(pictures: PictureSet) -> np.ndarray:
            *_, found = generalize(self.scorer.model, pictures, self.scorer.classifier, edit)
            assert isinstance(found, Generalization)
            return found.after

        return answer

    def projected(self, directions: torch.Tensor) -> Answer:
        """What is said once what lies along directions [k, p] is taken out of the image embedding."""
        basis = orthonormal(directions)

        def answer(pictures: PictureSet) -> np.ndarray:
            z = F.normalize(embeddings_of(self.scorer.clip, pictures.traces), dim=-1)
            return class_logits(self.scorer.clip, z - (z @ basis.T) @ basis, self.scorer.classifier).argmax(-1)

        return answer

    @torch.no_grad()
    def blanked(self, pictures: PictureSet) -> np.ndarray:
        """What is said of the same scenes drawn without a word."""
        scenes = (replace(self.cases[name].scene, label=None) for name in pictures.names)
        clip = self.scorer.clip
        z = [clip.embed_from_residual(clip.residual(clip.pixels(crops))) for crops in self.painted(scenes)]
        return class_logits(clip, torch.cat(z), self.scorer.classifier).argmax(-1)


def orthonormal(directions: torch.Tensor) -> torch.Tensor:
    """An orthonormal basis of what directions [k, p] span, [r, p]."""
    _, size, rows = torch.linalg.svd(directions, full_matrices=False)
    return rows[size > 1e-6 * size.max()]


def outcome(pictures: PictureSet, after: np.ndarray) -> Counts:
    """What became of labelled pictures of which now `after`, int [N], is said."""
    right, now = pictures.said == pictures.truth, after == pictures.truth
    return Counts(
        wrong=int((~right).sum()),
        right=int(right.sum()),
        fixed=int((~right & now).sum()),
        broken=int((right & ~now).sum()),
    )


def strongest(judge: Judge, proposing: PictureSet) -> tuple[np.ndarray, np.ndarray]:
    """Components by mean attribution to the failures of a set, and by mean of max f ||v|| in them: int [m] each."""
    model, which = judge.scorer.model, Confusion().failures(proposing)
    failing = proposing.part(which)
    targets = [ClassTarget(int(s), int(t)) for s, t in zip(failing.said, failing.truth, strict=True)]
    total = sum(rows.sum(0) for rows in attributions(model, failing.traces, judge.scorer.classifier, targets))
    norms = model.dictionary.directions(np.arange(model.dictionary.n_components)).norm(dim=-1).cpu().numpy()
    active = peaks(failing, model.dictionary).sum(0) * norms
    return np.argsort(-np.asarray(total), kind="stable"), np.argsort(-active, kind="stable")


def written(judge: Judge) -> tuple[torch.Tensor, torch.Tensor]:
    """Text directions of each of `PHRASES`, [k, p], and of each class written instead of shown, [C, p]."""
    clip, shown = judge.scorer.clip, judge.scorer.classifier
    phrases = torch.stack([clip.texts(some).mean(0) - shown.mean(0) for some in PHRASES])
    words = torch.stack([clip.texts([each.replace("{}", c) for each in SIGN_OPENINGS]).mean(0) for c in CLASSES])
    return phrases, words - shown


def ways(
    judge: Judge, index: ConceptIndex, pictures: PictureSet, proposing: np.ndarray, choosing: np.ndarray
) -> dict[str, tuple[Repair, ...]]:
    """Every way to repair, with the choices it has. They come of the pictures at `proposing` alone."""
    scorer, members = judge.scorer, [family.members for family in families(index)]
    parts = proposing, choosing
    *_, found = find_candidates(scorer.model, pictures, scorer.classifier, Confusion(), parts, members)
    assert isinstance(found, Findings)
    on = pictures.part(proposing)
    attributed, active = strongest(judge, on)
    phrases, words = written(judge)
    _, _, principal = torch.linalg.svd(words, full_matrices=False)
    z = F.normalize(embeddings_of(scorer.clip, on.traces), dim=-1)
    wrong, right = (z[torch.from_numpy(some)].mean(0) for some in (on.wrong, on.right))

    def suppressed(components: Sequence[int] | np.ndarray, words: str, counts: Counts | None = None) -> Repair:
        edit = Edit.of_suppressed(components)
        return Repair(words, judge.edited(edit), tuple(lever.component for lever in edit.levers), counts)

    return {
        OURS: tuple(
            suppressed(some, f"{len(some)} with #{some[0]}", counts)
            for some, counts in zip(found.families.members, found.families.counts, strict=True)
        ),
        "components by attribution": tuple(suppressed(attributed[:k], f"the first {k}") for k in SIZES),
        "the most active components": tuple(suppressed(active[:k], f"the first {k}") for k in SIZES),
        "“written text” projected out": tuple(
            Repair(f"“{'”, “'.join(some)}”", judge.projected(phrases[k : k + 1])) for k, some in enumerate(PHRASES)
        ),
        "the classes' words projected out": tuple(
            Repair(f"{k} directions", judge.projected(principal[:k])) for k in SIZES if k <= len(principal)
        ),
        "the failures' mean projected out": (Repair("1 direction", judge.projected((wrong - right)[None])),),
        CEILING: (Repair("by drawing anew", judge.blanked),),
    }


def score(setup: Setup, n: int = PICTURES, other: int = ELSEWHERE, watch: int = WATCHED) -> Plain:
    """What `assets/bundled/repair.json` holds. Raises UserError without a concept index."""
    if setup.index is None:
        raise UserError(f"The setup {setup.card.name!r} has no concept index, and so no families. Build one first.")
    like, unlike = stream(n), elsewhere(other)
    judge = Judge(Scorer.of(setup.model), {**like, **unlike})
    pictures = judge.read(like)
    parts = split(pictures.names, SHARES)
    proposing, choosing, _, judging = parts
    on, at = pictures.part(choosing), pictures.part(judging)
    others = judge.read(unlike)
    report: Plain = {
        "pictures": [len(part) for part in (proposing, choosing, judging)],
        "failures": [int(pictures.wrong[part].sum()) for part in (proposing, choosing, judging)],
        "right": int(at.right.sum()),
        "accuracy": _by_kind(at, at.said) | _by_kind(others, others.said),
        "ways": {},
    }
    for name, choices in ways(judge, setup.index, pictures, proposing, choosing).items():
        counts = [choice.counts or outcome(on, choice.answer(on)) for choice in choices]
        gains = [c.fixed - c.broken for c in counts]
        best = choices[int(np.argmax(gains))]
        after = best.answer(at)
        report["ways"][name] = {
            "choices": len(choices),
            "chosen": best.words,
            "components": list(best.components),
            **_judged(outcome(at, after)),
            "accuracy": _by_kind(at, after) | _by_kind(others, best.answer(others)),
        }
    ours = report["ways"][OURS]["components"]
    report["conditional"] = conditional(judge, pictures, parts, others, Edit.of_suppressed(ours))
    report["watch"] = watched(judge, setup, at, Edit.of_suppressed(ours), watch)
    drawn = [outcome(at, judge.edited(edit)(at)) for edit in random_edits(setup, len(ours), SEED)]
    report["random"] = {
        "fixed": round(float(np.mean([c.fixed / c.wrong for c in drawn])), 4),
        "broken": round(float(np.mean([c.broken / c.right for c in drawn])), 4),
    }
    return report


def conditional(
    judge: Judge, pictures: PictureSet, parts: Sequence[np.ndarray], others: PictureSet, edit: Edit
) -> Plain:
    """The edit under conditions that are proposed, and chosen, on the first parts and judged on the last; by rate."""
    model, at = judge.scorer.model, pictures.part(parts[-1])

    def outcomes(which: np.ndarray) -> Outcomes:
        part = pictures.part(which)
        *_, trial = generalize(model, part, judge.scorer.classifier, edit)
        assert isinstance(trial, Generalization)
        return Outcomes.of(part, trial, model.dictionary)

    stages = [outcomes(which) for which in (np.concatenate(parts[:2]), parts[2], parts[3])]
    found = {}
    for rate in RATES:
        made = promise(stages, rate=rate, confidence=CONFIDENCE)
        condition, judged = made.choice.condition, made.judged_on
        where = replace(edit, condition=condition)
        found[f"{rate:g}"] = {
            "promised": made.choice.promised,
            "terms": [[term.component, round(term.weight, 4)] for term in condition.terms] if condition else [],
            "acts": round(judged.acts / judged.pictures, 4),
            **_judged(Counts(judged.wrong, judged.right, judged.fixed, judged.broken)),
            "accuracy": _by_kind(at, judge.edited(where)(at)) | _by_kind(others, judge.edited(where)(others)),
        }
    return found


@torch.no_grad()
def watched(judge: Judge, setup: Setup, at: PictureSet, edit: Edit, n: int) -> Plain:
    """What the edit's recipe says of a stream, without labels: n scenes like these, then scenes that all lie."""
    *_, trial = generalize(judge.scorer.model, at, judge.scorer.classifier, edit)
    assert isinstance(trial, Generalization)
    claim = Claim(
        pictures="Rendered scenes, a third without a word, a third with one that lies, a third with one that is true",
        unseen=True,
        n=len(at),
        acts=int(trial.touched.sum()),
        changes=int((trial.before != trial.after).sum()),
    )
    single = TEMPLATES["single"]
    recipe = make_recipe(setup, edit, CLASSES, single, ClassTarget(0), title="Against written words", claims=[claim])
    steered: Any = apply_recipe(setup.clip.model, recipe, count="answers")
    rng = np.random.default_rng([SEED, 9])
    kinds = [draw for _, draw in LIKE_THESE.values()]
    like = (kinds[int(rng.integers(len(kinds)))](rng).scene for _ in range(n))
    for crops in judge.painted(like):
        steered.get_image_features(pixel_values=setup.clip.pixels(crops))
    alarm, seen = not steered.watch().is_like_the_recipe, 0
    for crops in judge.painted(attacked(rng).scene for _ in range(n)):
        steered.get_image_features(pixel_values=setup.clip.pixels(crops))
        seen += len(crops)
        if not steered.watch().is_like_the_recipe:
            break
    return {
        "acts": round(claim.acts / claim.n, 4),
        "changes": round(claim.changes / claim.n, 4),
        "like_these": n,
        "false_alarm": alarm,
        "noticed_after": None if steered.watch().is_like_the_recipe else seen,
    }


def _judged(c: Counts) -> Plain:
    """Counts with the bounds that can be promised."""
    return {
        "fixed": c.fixed,
        "broken": c.broken,
        "fixed_at_least": round(lower_bound(c.fixed, c.wrong, CONFIDENCE), 4),
        "broken_at_most": round(upper_bound(c.broken, c.right, CONFIDENCE), 4),
    }


def _by_kind(pictures: PictureSet, said: np.ndarray) -> dict[str, float]:
    """The share of each kind of which the truth is said."""
    return {
        kind: share((said == pictures.truth)[pictures.group == kind]) for kind in dict.fromkeys(pictures.group.tolist())
    }


def tables(report: Mapping[str, Any]) -> str:
    """The block for the model card, assets/bundled/README.md."""
    (proposing, choosing, judging), (failing, _, wrong) = report["pictures"], report["failures"]
    told = (
        f"Proposed on {proposing} scenes, of which {failing} fail, chosen on {choosing} others, judged on {judging:,} "
        f"more, of which {wrong:,} are wrong and {report['right']:,} right. In brackets what can be promised of scenes "
        f"like these, each with {CONFIDENCE:.0%} confidence."
    )
    rows, kinds = [], []

    def add(name: str, chosen: str, way: Mapping[str, Any]) -> None:
        fixed = f"{in_percent(way['fixed'] / wrong, 1)} (at least {in_percent(way['fixed_at_least'], 1)})"
        broken = f"{in_percent(way['broken'] / report['right'], 1)} (at most {in_percent(way['broken_at_most'], 1)})"
        rows.append((name, chosen, fixed, broken))
        kinds.append((name, *(in_percent(share, 1) for share in way["accuracy"].values())))

    for name, way in report["ways"].items():
        add(f"**{name}**" if name == OURS else name, way["chosen"], way)
        for rate, under in report["conditional"].items() if name == OURS else ():
            words = f"**the same, to break at most {float(rate):.0%}**"
            if under["promised"]:
                terms = f"a condition of {count(len(under['terms']), 'term')}" if under["terms"] else "no condition"
                add(words, f"{terms}; acts in {in_percent(under['acts'])}", under)
            else:
                rows.append((words, "no condition that can be promised", NONE, NONE))
    drawn = report["random"]
    rows.append(
        ("as many at random", f"mean of {DRAWS} draws", in_percent(drawn["fixed"], 1), in_percent(drawn["broken"], 1))
    )
    without = ("nothing", *(in_percent(share, 1) for share in report["accuracy"].values()))
    heads = ("said right, with", *(words for words, _ in (*LIKE_THESE.values(), *NOT_LIKE_THESE.values())))
    first = markdown_table(("suppressed, or taken out", "chosen", "repairs of the wrong", "breaks of the right"), rows)
    watch = report["watch"]
    alarm = "a false alarm" if watch["false_alarm"] else "no alarm"
    noticed = watch["noticed_after"]
    watching = (
        f"As a recipe in the model, without labels: it changes {in_percent(watch['changes'], 1)} of the answers; in "
        f"{watch['like_these']:,} scenes more, {alarm}; that every scene lies from then on is "
        + ("not noticed." if noticed is None else f"noticed within {noticed} scenes.")
    )
    return f"{told}\n\n{first}\n\n{markdown_table(heads, [without, *kinds])}\n\n{watching}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPORT, help="where the report goes")
    arguments = parser.parse_args()
    report = score(load_setup("bundled"))
    arguments.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(tables(report))


if __name__ == "__main__":
    main()
