"""Inputs of the API for programs: an edit as JSON, and what a program is told of each input."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from ..errors import UserError
from ..methods.steering import MAX_STRENGTH, Condition, Edit, Term, check_size
from ..session.typed import Index, Text, lever

T = TypeVar("T")


class _Value(BaseModel):
    """A value as programs write it: unknown fields, and values of another type, are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


_STRENGTH = {"type": "number", "minimum": -MAX_STRENGTH, "maximum": MAX_STRENGTH}


class LeverJson(_Value):
    """A lever, as in a recipe's recipe.json."""

    component: Index
    """Its number, from 0."""
    operation: Annotated[Text, WithJsonSchema({"enum": ["suppress", "scale", "set"]})] = "suppress"
    """suppress: f' = 0. scale: f' = strength * f. set: f' = strength."""
    strength: Annotated[float | Text, WithJsonSchema(_STRENGTH)] = 0.0
    """A factor (scale) or an activation (set)."""
    family: Index | None = None
    """The component whose family it was pulled with; all levers of one family do the same."""
    at_least: float | None = None
    """It acts only at tokens where the component's activation is at least this."""


class TermJson(_Value):
    """One component of a condition."""

    component: Index
    """Its number, from 0."""
    weight: float = 1.0
    """Per unit of activation; negative for a component that speaks against acting."""


class ConditionJson(_Value):
    """The edit acts in the pictures where the weighted sum of the terms' largest activations reaches the threshold."""

    terms: list[TermJson]
    """The components of the sum, 1 to 64."""
    at_least: float
    """The threshold, in units of the sum."""


Typed = Annotated[Text, BeforeValidator(lambda given: "" if given is None else given)]
"""A text, which may be left out or null."""


@dataclass(frozen=True)
class _Form:
    """What a program is told of a value that is read later, with better words than pydantic's."""

    of: Any
    """The type that it is read as."""

    def __get_pydantic_json_schema__(self, _: CoreSchema, schema_of: GetJsonSchemaHandler) -> JsonSchemaValue:
        return schema_of(TypeAdapter(self.of).core_schema)


_FILE = (
    "the name of an example (example:dog-note-cat), a data URI (data:image/png;base64,...), or the path that "
    "/gradio_api/upload answered"
)
Picture = Annotated[str | None, Field(description=f"A picture: {_FILE}.")]
Like = Annotated[
    str | None,
    Field(description=f"A second picture, {_FILE}. With it, what is explained is why the two are alike, and no class."),
]
Pictures = Annotated[
    list[str] | None,
    Field(
        description="Pictures, zips of pictures, and at most one table of labels (CSV or JSONL): of each, "
        + _FILE
        + "; "
        "labels are the names of folders where there is no table. Nothing: the reference scenes of this project."
    ),
]
Classes = Annotated[
    Typed,
    Field(
        description="What the picture may show, separated by commas or lines: dog, cat, fox. At most 2,000; "
        "list:imagenet-1k stands for ImageNet-1k's names."
    ),
]
ClassesOfMany = Annotated[
    Typed, Field(description="What the pictures may show; empty for their labels. Reference scenes have their own.")
]
ClassesPushed = Annotated[
    Typed, Field(description="Classes: with some, the answer has what the component does to them.")
]
Wanted = Annotated[
    Typed, Field(description="The class whose logit is explained; empty for the one that the model predicts.")
]
Against = Annotated[
    Typed, Field(description="The class whose logit is subtracted; empty for the strongest other, where one is needed.")
]
For = Annotated[Typed, Field(description="The class that the edit is for: one of the classes.")]
Truth = Annotated[Typed, Field(description="The class that the model should say: one of the classes.")]
Words = Annotated[Typed, Field(description="What to search for, a word or a few; empty to search by a picture.")]
Title = Annotated[Typed, Field(description="What the edit is for, in a few words.")]
SetupName = Annotated[
    Typed, Field(description="A setup's name, of those that setups lists; empty for the one that the page opens with.")
]
Unseen = Annotated[
    bool, Field(description="Whether the edit was chosen without these pictures: only then do its bounds hold.")
]
Shown = Annotated[Index | None, Field(description="How many components of each kind to list.")]
PicturesShown = Annotated[Index | None, Field(description="How many reference pictures of each kind, at most 16.")]
Component = Annotated[Index | None, Field(description="A component's number, from 0.")]
Levers = Annotated[object, Field(description="What is done to which components; at most 256."), _Form(list[LeverJson])]
Tokens = Annotated[
    object,
    Field(description="The tokens acted on: 0 is CLS, then the patches row by row. Nothing: all of them."),
    _Form(list[Index] | None),
]
EditCondition = Annotated[
    object, Field(description="In which pictures the edit acts. Nothing: in all of them."), _Form(ConditionJson | None)
]

_LEVERS = TypeAdapter(list[LeverJson])
_TOKENS: TypeAdapter[Sequence[int] | None] = TypeAdapter(list[Index] | None)
_CONDITION: TypeAdapter[ConditionJson | None] = TypeAdapter(ConditionJson | None)


def edit(levers: object, tokens: object = None, condition: object = None) -> Edit:
    """An edit from plain JSON, in the form that recipe.json has: levers, token indices or None, a condition or None.

    Raises UserError for anything else, and for more than 256 levers.
    """
    pulled = _read(
        _LEVERS, levers, "Give the levers as a list of JSON, with whole numbers from 0 for the components: "
        '[{"component": 3, "operation": "scale", "strength": 2}].'
    )  # fmt: skip
    chosen = _read(_TOKENS, tokens, "Give the tokens as a list of whole numbers from 0, such as [0, 17].")
    when = _read(
        _CONDITION, condition, 'Give the condition as {"terms": [{"component": 3, "weight": 1.0}], "at_least": 0.5}.'
    )  # fmt: skip
    made = [lever(one.component, one.operation, one.strength, one.family, one.at_least) for one in pulled]
    acts = None
    if when is not None:
        acts = Condition(tuple(Term(term.component, term.weight) for term in when.terms), when.at_least)
    return check_size(Edit(tuple(made), None if chosen is None else tuple(chosen), acts))


def plain_edit(of: Edit) -> Mapping[str, Any]:
    """An edit as plain JSON, which `edit` reads."""
    found: dict[str, Any] = {
        "levers": [
            {"component": one.component, "operation": one.operation, "strength": one.strength}
            | ({} if one.family is None else {"family": one.family})
            | ({} if one.at_least is None else {"at_least": one.at_least})
            for one in of.levers
        ],
        "tokens": None if of.tokens is None else list(of.tokens),
        "condition": None,
    }
    if of.condition is not None:
        terms = [{"component": term.component, "weight": term.weight} for term in of.condition.terms]
        found["condition"] = {"terms": terms, "at_least": of.condition.at_least}
    return found


def _read(form: TypeAdapter[T], given: object, otherwise: str) -> T:
    try:
        return form.validate_python(given)
    except ValidationError as error:
        raise UserError(otherwise) from error
