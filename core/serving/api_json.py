"""JSON of the API for programs: answers as plain values, and edits from them."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ..concepts.component import ActivatingExample, Concept, Neighbour
from ..concepts.effects import SteeringEffects
from ..concepts.families import Family
from ..errors import UserError
from ..methods.attribution import Attribution
from ..methods.steering import Edit, check_size
from ..model.prediction import Comparison, Prediction
from ..session.typed import Index, Text, lever
from ..setups.catalog import Location, SetupSpec
from ..setups.loading import Setup

Plain = dict[str, Any]
"""What `json.dumps` takes."""


def card(c: SetupSpec) -> Plain:
    """What is known of a setup without loading it."""
    return {
        "name": c.name,
        "title": c.title,
        "clip": _name(c.clip),
        "dictionary": _name(c.dictionary),
        "layer": c.layer,
        "scope": c.scope,
        "verified": c.verified,
    }


def provenance(s: Setup) -> Plain:
    """Which models answered, the commits of the Hub's, how the dictionary encodes, what is doubtful of them, and what
    their concept index was made of.

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


def attribution(a: Attribution, classes: tuple[str, ...], shown: int) -> Plain:
    """The target's value in logits and the `shown` strongest components for it and against it, in logits."""
    t = a.target
    return {
        "wanted": classes[t.wanted],
        "against": None if t.against is None else classes[t.against],
        "value": a.value,
        "method": a.method,
        "error_share": a.completeness.error_share,
        "for": [_component(a, int(j)) for j in a.strongest_for(shown)],
        "against_it": [_component(a, int(j)) for j in a.strongest_against(shown)],
    }


def _component(a: Attribution, component: int) -> Plain:
    return {"component": component, "contribution": a.total_of(component)}


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
            "picture": b64encode(example.webp).decode(),
            "activation": example.value,
            "token": example.token,
            "region": np.round(example.region, 3).tolist(),
        }
        for example in examples
    ]


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


class _Lever(BaseModel):
    """A lever as programs write it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    component: Index
    operation: Text = "suppress"
    strength: float | Text = 0.0


_LEVERS = TypeAdapter(list[_Lever])
_TOKENS: TypeAdapter[list[int] | None] = TypeAdapter(list[Index] | None)


def edit(levers: object, tokens: object = None) -> Edit:
    """An edit from [{"component": 3, "operation": "scale", "strength": 2.0}, ...] and token indices or None.

    `operation` is suppress (the default), scale or set. Raises UserError for anything else, and for more than 256
    levers.
    """
    try:
        written, chosen = _LEVERS.validate_python(levers), _TOKENS.validate_python(tokens)
    except ValidationError as error:
        raise UserError(
            "Give the levers, and the tokens if not all, as lists of JSON, with whole numbers from 0: "
            '[{"component": 3, "operation": "scale", "strength": 2}] and [0, 17].'
        ) from error
    pulled = (lever(one.component, one.operation, one.strength) for one in written)
    return check_size(Edit(tuple(pulled), None if chosen is None else tuple(chosen)))
