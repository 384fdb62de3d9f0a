"""Recipe of an edit: the edit itself, the setup it is of, the question it answers, and what was claimed of it.

`RecipeFacts` is `recipe.json`, as pydantic checks it; `recipe.schema.json` beside this module is its JSON Schema.
`Directions` are the arrays of `directions.safetensors`: what the edit needs of the dictionary, and the class vectors.

A recipe acts at every token in the dictionary's scope: tokens that an edit was confined to are places in one picture.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from ..concepts.index import Identity
from ..methods.steering import MAX_LEVERS, Edit
from ..methods.targets import ClassTarget
from ..model.prompts import MAX_CLASSES, MAX_LENGTH, MAX_TEMPLATES
from ..model.sae_dictionary import Normalisation
from ..records import Preview, Record
from ..words import count, in_percent

VERSION = 1
"""Of the form of `recipe.json`."""
MAX_CLAIMS = 64

Architecture = Literal["standard", "jumprelu", "gated", "topk", "abstopk", "signed_topk"]
"""How activations come from the encoder: the names of sae_lens, and `core.model.signed_topk`."""

Held = Literal["rows", "encoder", "nothing"]
"""What the recipe holds of the dictionary's encoder.

rows: those of its own components, and nothing else is needed. Of a top-k dictionary, whose components compete, every
row is needed: encoder says that they are here, nothing that they come from the dictionary itself.
"""

Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LENGTH)]
Sentence = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Hash = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Precision = Literal["float32", "float16", "bfloat16"]


class _Value(BaseModel):
    """A frozen value: unknown fields, and values of another type, are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class Claim(_Value):
    """What the edit did to some pictures, in numbers of pictures, and what that promises."""

    pictures: Sentence
    """Which pictures these are, and where they come from: for others than such as these nothing is promised."""
    unseen: bool
    """Whether the edit was chosen without them. Only then are the bounds what they say."""
    n: Count
    """How many."""
    acts: Count
    """In how many the edit changes anything in the residual."""
    changes: Count
    """Of how many it changes the answer."""
    wrong: Count = 0
    """Of those with a label: wrong without the edit."""
    right: Count = 0
    """Right without it."""
    fixed: Count = 0
    """Of the wrong, right with it."""
    broken: Count = 0
    """Of the right, wrong with it."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Of each bound."""
    broken_at_most: Share | None = None
    """Upper bound of the share of right pictures that it breaks; None where none was right, or no label is known."""
    fixed_at_least: Share | None = None
    """Lower bound of the share of wrong pictures that it fixes; None where none was wrong, or no label is known."""

    @property
    def said(self) -> str:
        """The claim in one sentence, with its bounds."""
        where = f"{self.pictures} ({count(self.n, 'picture')})"
        acts = f"{where}: acts in {self.acts:,}, changes the answer of {self.changes:,}"
        if not self.wrong + self.right:
            return f"{acts}."
        found = (
            f"{acts}; repairs {self.fixed:,} of {self.wrong:,} wrong, breaks {self.broken:,} of {self.right:,} right"
        )
        bounds = [
            f"{verb} at {end} {in_percent(share, 1)}"
            for verb, end, share in (("breaks", "most", self.broken_at_most), ("repairs", "least", self.fixed_at_least))
            if share is not None
        ]
        if not bounds:
            return f"{found}."
        if not self.unseen:
            return f"{found}. The edit was chosen with these pictures, so this promises nothing of others."
        promise = " and ".join(bounds)
        return f"{found}. Of pictures like these it {promise}, each with confidence {in_percent(self.confidence)}."

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        parts = ((self.fixed, self.wrong), (self.broken, self.right), (self.wrong + self.right, self.n))
        if any(part > whole for part, whole in (*parts, (self.acts, self.n), (self.changes, self.acts))):
            raise ValueError("a part is larger than the whole")
        if self.fixed + self.broken > self.changes:
            raise ValueError("more is fixed and broken than changed")
        return self


class EncoderFacts(_Value):
    """How the dictionary computes activations, and what the recipe holds of it."""

    architecture: Architecture
    """As sae_lens names it."""
    normalisation: Normalisation
    """What is done to a token before it is encoded."""
    centred: bool
    """Whether b_dec is subtracted from a token before it is encoded."""
    k: Annotated[int, Field(ge=1, lt=2**31)] | None
    """Components active at a token, of a top-k dictionary; None of others."""
    held: Held
    """What is held of the encoder."""
    fingerprint: Hash
    """Of the dictionary's weights and settings."""


class RecipeFacts(_Value):
    """All of a recipe but its arrays."""

    version: Literal[1]
    """Of this form; a later one reads the earlier ones."""
    title: Text
    """What the edit is for."""
    setup: Text
    """The setup's name in the catalog it came from."""
    identity: Identity
    """The setup: names, commits, and a fingerprint of its weights."""
    vision: dict[Precision, Hash]
    """Fingerprint of the CLIP's vision tower and projection, as loaded in each precision."""
    text: dict[Precision, Hash]
    """The same of its text tower: the classes' vectors come from it."""
    encoder: EncoderFacts
    """The dictionary."""
    classes: Annotated[tuple[Text, ...], Field(min_length=1, max_length=MAX_CLASSES)]
    """What the pictures may show."""
    templates: Annotated[tuple[Text, ...], Field(min_length=1, max_length=MAX_TEMPLATES)]
    """How a class is put into words."""
    target: ClassTarget
    """What the edit was made to change, by places among the classes."""
    edit: Edit
    """The levers, with their thresholds, and the condition."""
    claims: Annotated[tuple[Claim, ...], Field(max_length=MAX_CLAIMS)] = ()
    """What was seen of it, on which pictures."""
    software: Text
    """What wrote this."""
    directions: Hash
    """SHA-256 of directions.safetensors."""

    @model_validator(mode="after")
    def _is_one_edit(self) -> Self:
        named = self.target.classes
        if not all(0 <= index < len(self.classes) for index in named) or len(set(named)) < len(named):
            raise ValueError("the target is not among the classes")
        if not 0 < len(self.edit.levers) <= MAX_LEVERS:
            raise ValueError(f"an edit has from 1 to {MAX_LEVERS} levers")
        if self.edit.tokens is not None:
            raise ValueError("a recipe acts at every token in scope")
        if needed_components(self.edit)[-1] >= self.identity.components:
            raise ValueError("the dictionary has no such component")
        if self.encoder.k is not None and self.encoder.k > self.identity.components:
            raise ValueError("the dictionary has fewer than k components")
        if (self.encoder.k is None) == needs_whole_encoder(self.encoder.architecture):
            raise ValueError("a top-k dictionary, and no other, has a k")
        if (self.encoder.held == "rows") == needs_whole_encoder(self.encoder.architecture):
            raise ValueError("the rows of its own components are enough for others than top-k dictionaries only")
        return self


@dataclass(frozen=True, eq=False, repr=False)
class Directions(Record):
    """The arrays of a recipe, float32 and of the dictionary's k components that the edit needs, ascending."""

    encoder: np.ndarray
    """[k, d]: what a token is multiplied with."""
    bias: np.ndarray
    """[k]: added to that."""
    decoder: np.ndarray
    """[k, d]: v_j, in the units of x."""
    classes: np.ndarray
    """[C, p]: unit vectors of the classes, by the templates."""
    centre: np.ndarray | None = None
    """[d]: subtracted from a token first; None for nothing."""
    threshold: np.ndarray | None = None
    """[k], of JumpReLU."""
    gate_bias: np.ndarray | None = None
    """[k], of a gated dictionary."""
    gate_scale: np.ndarray | None = None
    """[k], of a gated dictionary: the factor of its magnitudes."""
    whole_encoder: np.ndarray | None = None
    """[m, d]: every row, of a top-k dictionary whose encoder is held."""
    whole_bias: np.ndarray | None = None
    """[m]: added to that."""


@dataclass(frozen=True, eq=False, repr=False)
class Recipe(Record):
    """A saved edit: it runs in any code that has the CLIP it is of."""

    facts: RecipeFacts
    """What recipe.json says."""
    arrays: Directions
    """What directions.safetensors holds."""

    def preview(self) -> Preview:
        """What it is for, and what was claimed of it."""
        facts = self.facts
        levers, pictures = count(len(facts.edit.levers), "lever"), ", in some pictures" if facts.edit.condition else ""
        title = f"{facts.title}: {levers} on {facts.identity.clip} with {facts.identity.dictionary}{pictures}"
        return Preview("\n".join([title, *(claim.said for claim in facts.claims), f"Made by {facts.software}."]))


def needed_components(edit: Edit) -> list[int]:
    """The components of an edit's levers and of its condition, ascending."""
    terms = () if edit.condition is None else edit.condition.terms
    return sorted({lever.component for lever in edit.levers} | {term.component for term in terms})


def needs_whole_encoder(architecture: str) -> bool:
    """Whether an activation depends on all others at its token, as the k largest do."""
    return architecture.endswith("topk")


def first_fault(error: ValidationError) -> str:
    """Where a value does not fit the form of recipe.json, and why."""
    first = error.errors()[0]
    return f"{'/'.join(map(str, first['loc'])) or 'as a whole'}: {first['msg']}"


def schema() -> str:
    """The JSON Schema of recipe.json, as it is shipped."""
    form = RecipeFacts.model_json_schema()
    form["properties"]["digest"] = {
        "type": "string",
        "pattern": "^[0-9a-f]{64}$",
        "description": "SHA-256 of all other fields, as JSON with sorted keys and without spaces.",
    }
    form["required"].append("digest")
    return json.dumps(form, indent=1) + "\n"
