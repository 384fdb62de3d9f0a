"""JSON of the API for programs: answers as plain values, each with its units."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

import numpy as np

from ..concepts.component import ActivatingExample, Concept, Neighbour
from ..concepts.effects import SteeringEffects
from ..concepts.families import Family
from ..methods.attribution import Attribution
from ..methods.controls import Controls
from ..methods.dose_response import Response
from ..methods.edit_search import Candidate, Search
from ..methods.generalization import Counts, Generalization
from ..methods.reconstruction_error import ReconstructionError
from ..methods.side_effects import SideEffects
from ..methods.targets import Target
from ..model.prediction import Comparison, Prediction
from ..model.trace import Trace
from ..pictures.overlay import overlay
from ..recipes.making import software
from ..session.view_state import content_hash
from ..session.visit import contributions, patches
from ..setups.catalog import Location, SetupSpec
from ..setups.loading import Setup
from .api_inputs import plain_edit

Plain = dict[str, Any]
"""What `json.dumps` takes. What is called `picture` in it, at whatever depth, is a WebP file in base64."""

SHOWN = 8
"""Concepts of either direction among side effects."""
NAMED = 100
"""Pictures of a kind that a trial names; `counts` has how many there are."""

_LOGITS = "logit scale x cosine of picture and class"
_SHARE = "0 to 1"
_TARGET = (
    "in `unit`: logits of `wanted`, less that of `against`; with `like`, hundredths of cosine of the image embeddings"
)
ALL_DOSED, MOST_DOSED = 40, 20
"""Classes up to which doses have the logits of all, and of more, how many that move most."""
_PREDICTION = {
    "logits": _LOGITS,
    "probabilities": "softmax of the logits over these classes; of a model that judges each alone (SigLIP), a sigmoid",
    "ranks": "1 is best",
}
UNITS: dict[str, Plain] = {
    "predict": _PREDICTION,
    "attribute": {
        "value": _TARGET,
        "contribution": "in `unit`: activation x gradient, summed over the tokens",
        "activation": "units of the dictionary's activations: the largest over the tokens",
        "error_share": "0 to 1: of the value, what flows through what the dictionary misses",
        "map": "`picture`: teal patches speak for the target, orange ones against it, all components together",
    },
    "steer": _PREDICTION | {"cosine": "between the image embeddings before and after, -1 to 1"},
    "evidence": {
        "effect": f"the target after the edit, less before; the target {_TARGET}",
        "chance": "effects in `unit`; p by rank, two-sided; percentile 0 to 100; energy as a share of the edit's",
        "doses": "factors on the activations, 0 suppresses and 1 changes nothing; target in `unit`, logits in logits",
        "side_effects": "everyday concepts in `unit`, after less before, beyond what all have in common",
        "reconstruction_error": "explained variance at most 1; share of CLS missed 0 to 1",
    },
    "component": {
        "alignment": "cosine", "clarity": "-1 to 1", "frequency": _SHARE,
        "mean_active, peak, activation, set_to": "units of the dictionary's activations",
        "region": "0 to 1, 1 at its strongest", "value": "cosine", "pushes": "logits, after less before",
    },
    "search": {
        "score": "cosine, beyond what everyday words have in common; of a dictionary of words the cosine, or, in a "
        "picture, the activation"
    },
    "find_edit": {"margin": "logits: of `truth`, less the best other", "effect": "logits", "side_effect": "logits"},
    "try_on_many": {
        "counts": "pictures; intervals are Wilson's, of 95 %; p_value by McNemar's exact test",
        "lead_change": "logits, the mean over all pictures",
    },
}  # fmt: skip
"""Of what each answer has."""


def card(c: SetupSpec) -> Plain:
    """What is known of a setup without loading it."""
    return {
        "name": c.name,
        "title": c.title,
        "clip": _name(c.clip),
        "dictionary": _name(c.dictionary),
        "place": c.place,
        "layer": c.layer,
        "scope": c.scope,
        "verified": c.verified,
    }


def provenance(s: Setup) -> Plain:
    """Which models answered, the commits of the Hub's, a hash of their weights, how the dictionary encodes, what is
    doubtful of them, what their concept index was made of, and the versions of the software.

    `formulas` has what each formula explains of the variance over photographs, where the dictionary's file does not
    tell which it is; None for one that gave no number.
    """
    index = None
    if s.index is not None:
        index = {"pictures": s.index.manifest.pictures, "source": dict(s.index.manifest.source)}
    doubts = [] if s.health is None else [asdict(doubt) for doubt in s.health.doubts]
    return card(s.card) | {
        "commits": dict(s.commits),
        "formula": s.formula,
        "formulas": {formula: value if isfinite(value) else None for formula, value in s.alternatives.items()},
        "standardised_by": s.statistics.summary if s.statistics else None,
        "doubts": doubts,
        "index": index,
        "fingerprint": s.fingerprint,
        "software": software(),
    }


def _name(place: Location) -> str:
    """A repository, or the name of a folder: where that lies on the machine is nobody's business."""
    where = place.repo or (place.folder.name if place.folder else "")
    return where if place.file == "." else f"{where}/{place.file}"


def prediction(p: Prediction) -> Plain:
    """Logits (logit scale x cosine), probabilities (0 to 1) and ranks (1 is best) by class."""
    return {
        "best": p.best,
        "classes": list(p.classes),
        "logits": [float(x) for x in p.logits],
        "probabilities": [float(x) for x in p.probabilities],
        "ranks": [int(x) for x in p.ranks],
    }


def comparison(c: Comparison) -> Plain:
    """Before and after an edit; `cosine` is between the two image embeddings."""
    return {
        "before": prediction(c.before),
        "after": prediction(c.after),
        "flipped": c.flipped,
        "cosine": c.cosine,
    }


def target(of: Target, classes: Sequence[str]) -> Plain:
    """The classes of a target, none where it is the similarity to a picture, and its unit."""
    wanted, against = (*(classes[index] for index in of.classes), None, None)[:2]
    return {"wanted": wanted, "against": against, "unit": of.UNIT}


def named(component: int, word: str | None) -> Plain:
    """A component, with its word where its dictionary is of words."""
    return {"component": component} | ({} if word is None else {"word": word})


def attribution(
    a: Attribution, trace: Trace, classes: tuple[str, ...], shown: int, word: Callable[[int], str | None]
) -> Plain:
    """The target's value, the `shown` strongest components for it and against it, and where all of them count."""
    return target(a.target, classes) | {
        "value": a.value,
        "method": a.method,
        "error_share": a.completeness.error_share,
        "for": [_component(a, int(j), word) for j in a.strongest_for(shown)],
        "against_it": [_component(a, int(j), word) for j in a.strongest_against(shown)],
        "picture": _file(overlay(trace.crop, patches(trace, contributions(trace, a)))) if trace.has_map else None,
    }


def _component(a: Attribution, component: int, word: Callable[[int], str | None]) -> Plain:
    peak = float(a.peak[np.searchsorted(a.component, component)])
    return named(component, word(component)) | {"contribution": a.total_of(component), "activation": peak}


def picture(trace: Trace) -> Plain:
    """Which picture it is: a hash of what the model sees of it."""
    return {"picture_sha256": content_hash(trace.crop)}


def chance(c: Controls) -> Plain:
    """The effect among those of its controls."""
    return {
        "effect": c.effect,
        "beyond_chance": c.beyond_chance,
        "matched_components": {
            "effects": c.random.tolist(),
            "p": c.p_value,
            "percentile": c.percentile if len(c.random) else None,
            "energy": c.energy,
        },
        "random_directions": {"effects": c.directions.tolist(), "p": c.p_directions},
        "most_energetic_components": {"effect": c.rival, "edit": plain_edit(c.rival_edit)},
    }


def doses(responses: Iterable[Response], classes: Sequence[str]) -> list[Plain]:
    """The whole edit (component null) and its levers at every dose, and where the answer changes.

    Of more than `ALL_DOSED` classes the logits are those of the target, of what is said, and of what moves most.
    """

    def dosed(one: Response) -> Iterable[int]:
        if len(classes) <= ALL_DOSED:
            return range(len(classes))
        return sorted({*one.target_classes, *one.top.tolist(), *one.most_affected(MOST_DOSED).tolist()})

    return [
        {
            "component": one.component,
            "doses": one.doses.tolist(),
            "target": one.target.tolist(),
            "logits": {classes[c]: one.logits[:, c].tolist() for c in dosed(one)},
            "says": [classes[c] for c in one.top.tolist()],
        }
        for one in responses
    ]


def side_effects(s: SideEffects) -> Plain:
    """What else the edit changed."""

    def moved(which: np.ndarray) -> Plain:
        return {s.concepts[k]: float(s.relative[k]) for k in which.tolist()}

    return {
        "side_effect": s.side_effect,
        "selectivity": s.selectivity,
        "concepts": len(s.concepts),
        "most_up": moved(s.most_up(SHOWN)),
        "most_down": moved(s.most_down(SHOWN)),
    }


def reconstruction_error(r: ReconstructionError) -> Plain:
    """What the dictionary misses of the picture, and what the model says when it sees only what that sees."""
    return {
        "explained_variance": r.explained_variance,
        "cls_share_missed": r.cls_share,
        "through_the_dictionary": prediction(r.through),
    }


def search(s: Search, classes: Sequence[str]) -> Plain:
    """The answer of a search for an edit: levers as `/steer` takes them, and others that come close."""
    return {
        "said": s.said(classes),
        "truth": classes[s.truth],
        "predicted": classes[s.predicted],
        "found": s.hit,
        "edit": None if s.edit is None else plain_edit(s.edit),
        "margin": s.margin,
        "effect": s.effect,
        "side_effect": s.side_effect,
        "tried": s.tried,
        "alternatives": [_candidate(one, classes) for one in s.alternatives],
    }


def _candidate(c: Candidate, classes: Sequence[str]) -> Plain:
    return {
        "edit": plain_edit(c.edit),
        "predicted": classes[c.predicted],
        "found": c.hit,
        "margin": c.margin,
        "effect": c.effect,
        "side_effect": c.side_effect,
    }


def trial(g: Generalization, names: Sequence[str]) -> Plain:
    """What an edit does to many pictures: counts of all and of each class, and the first that it fixes and breaks."""

    def named(which: np.ndarray) -> list[Plain]:
        return [
            {
                "name": names[i],
                "shows": g.classes[g.truth[i]] if g.labelled[i] else None,
                "before": g.classes[g.before[i]],
                "after": g.classes[g.after[i]],
            }
            for i in which.tolist()[:NAMED]
        ]

    return {
        "said": g.said,
        "pictures": len(g.before),
        "classes": list(g.classes),
        "acts_in": int(g.touched.sum()),
        "lead_change": g.lead_change,
        "counts": counts(g.counts),
        "by_class": {name: counts(one) for name, one in g.by_class.items()},
        "by_group": {name: counts(one) for name, one in g.by_group.items() if name},
        "fixed": named(g.fixed),
        "broken": named(g.broken),
        "changed": named(g.changed),
    }


def counts(c: Counts) -> Plain:
    """Numbers of pictures, with intervals of the shares."""
    return asdict(c) | {
        "fixed_interval": c.fixed_interval,
        "broken_interval": c.broken_interval,
        "accuracy_interval": c.accuracy_interval,
        "accuracy_after_interval": c.accuracy_after_interval,
        "p_value": c.p_value,
    }


def concept(c: Concept, family: Family | None) -> Plain:
    """What a concept index knows of a component; clarity -1 to 1, frequency 0 to 1, activations in the units of f."""
    return {
        "component": c.component,
        "guesses": [{"word": g.word, "alignment": g.alignment} for g in c.guesses],
        "clarity": c.clarity,
        "clarity_of_any_pictures": c.usual,
        "frequency": c.frequency,
        "mean_active": c.mean_active,
        "peak": c.peak,
        "pictures_fired_in": c.fired,
        "pictures": c.pictures,
        "family": [c.component] if family is None else list(family.members),
    }


def references(examples: Sequence[ActivatingExample]) -> list[Plain]:
    """Reference pictures: WebP files in base64, and where the component fires in each, 1 at its strongest."""
    return [
        {
            "picture": _file(example.webp),
            "activation": example.value,
            "token": example.token,
            "region": np.round(example.region, 3).tolist(),
        }
        for example in examples
    ]


def _file(data: bytes) -> str:
    return b64encode(data).decode()


def neighbours(found: Sequence[Neighbour]) -> list[Plain]:
    """Components near another one; `value` is a cosine."""
    return [{"component": n.component, "value": n.value} for n in found]


def steering_effects(p: SteeringEffects) -> Plain:
    """Changes of the classes' logits, after minus before, with what is common to all classes left in."""
    several = p.n_references > 1
    return {
        "classes": list(p.classes),
        "set_to": p.strength,
        "on_a_grey_picture": [float(x) for x in p.on_blank],
        "suppressed_on_references": [float(x) for x in p.on_references] if p.n_references else None,
        "standard_error": [float(x) for x in p.error] if several else None,
        "references": p.n_references,
    }
