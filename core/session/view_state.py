"""The view state: all that a visit is about, in one small serialised value that the page carries.

The page sends it with every request, and the server's session (traces, attributions) is a cache of it: where a server
has restarted, slept, forgotten or never seen the visitor, the visit is rebuilt from it (`restored`). Links, reports and
the log write down the same value.

It comes from a browser, so nothing in it is believed: every field is bounded, and what does not fit is a UserError.
What it names is looked up, never opened: an example by its name, one's own picture by the hash of what the model sees.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Annotated, Literal, get_args

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    model_validator,
)

from ..errors import UserError
from ..methods.steering import (
    MAX_LEVERS,
    MAX_STRENGTH,
    MAX_TERMS,
    MAX_THRESHOLD,
    Condition,
    Edit,
    Lever,
    Operation,
    Term,
    check_size,
)
from ..methods.targets import ClassTarget, Target
from ..model.class_lists import expanded, expanded_templates, written, written_templates
from ..model.prompts import MAX_CLASSES, MAX_LENGTH, MAX_TEMPLATES
from ..pictures.labels import LONGEST_LABEL
from ..pictures.read import Source, read_picture
from ..workbench import Workbench
from .component_search import ComponentSearch
from .many_pictures import ManyPictures
from .visit import Subject, Visit, begin, second_picture

MAX_STATE = 250_000
"""Characters of a serialised state."""
MAX_INLINE = 2_000
"""Characters of classes that a page sends with every event; of more, a mark."""
_MARK = re.compile(r"\x1fheld:[0-9a-f]{16}")
"""No class has such a character: `core.model.prompts.visible`."""

Index = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LENGTH)]
MaybeText = Annotated[str, StringConstraints(max_length=MAX_LENGTH)]
Classes = Annotated[
    tuple[Text, ...],
    Field(min_length=1, max_length=MAX_CLASSES),
    BeforeValidator(lambda told: expanded(told) if _are_names(told) else told),
    PlainSerializer(written, when_used="json"),
]
"""Classes, of which those of a list that ships are written by its name."""
Templates = Annotated[
    tuple[Text, ...],
    Field(min_length=1, max_length=MAX_TEMPLATES),
    BeforeValidator(lambda told: expanded_templates(told) if _are_names(told) else told),
    PlainSerializer(written_templates, when_used="json"),
]
"""Templates, the same way."""
Commit = Literal["clip", "dictionary"]
Threshold = Annotated[float, Field(ge=-MAX_THRESHOLD, le=MAX_THRESHOLD, allow_inf_nan=False)]
Hash = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


def _are_names(told: object) -> bool:
    """Whether this is what a list of names, or one as JSON has it, may be: whatever else comes in is refused later."""
    return isinstance(told, list | tuple) and len(told) <= MAX_CLASSES and all(isinstance(one, str) for one in told)


class Value(BaseModel):
    """A frozen value: unknown fields, and values of another type, are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LeverState(Value):
    """One lever."""

    component: Index
    operation: Operation = "suppress"
    strength: Annotated[float, Field(ge=-MAX_STRENGTH, le=MAX_STRENGTH, allow_inf_nan=False)] = 0.0
    family: Index | None = None
    at_least: Threshold | None = None


class TermState(Value):
    """One component of a condition."""

    component: Index
    weight: Threshold = 1.0


class ConditionState(Value):
    """In which pictures an edit acts."""

    terms: Annotated[tuple[TermState, ...], Field(min_length=1, max_length=MAX_TERMS)]
    at_least: Threshold


class EditState(Value):
    """Levers, the tokens they act on (None for all in the dictionary's scope), and in which pictures (None for all)."""

    levers: Annotated[tuple[LeverState, ...], Field(max_length=MAX_LEVERS)] = ()
    tokens: Annotated[tuple[Index, ...], Field(max_length=10_000)] | None = None
    condition: ConditionState | None = None

    @classmethod
    def of(cls, edit: Edit) -> "EditState":
        """An edit as it is written down. Raises UserError for more than 256 levers."""
        return cls(
            levers=tuple(LeverState(**vars(lever)) for lever in check_size(edit).levers),
            tokens=edit.tokens,
            condition=None
            if edit.condition is None
            else ConditionState(
                terms=tuple(TermState(**vars(term)) for term in edit.condition.terms),
                at_least=edit.condition.at_least,
            ),
        )

    def edit(self) -> Edit:
        """The edit.

        Raises UserError for two levers on a component, a family that is not of one kind, or two terms on a component.
        """
        condition = None
        if self.condition is not None:
            terms = (Term(one.component, one.weight) for one in self.condition.terms)
            condition = Condition(tuple(terms), self.condition.at_least)
        levers = (Lever(one.component, one.operation, one.strength, one.family, one.at_least) for one in self.levers)
        return Edit(tuple(levers), self.tokens, condition)


class PictureState(Value):
    """Which picture is looked at."""

    caption: Annotated[str, StringConstraints(max_length=400)]
    """For the reader."""
    example: Name | None = None
    """The example's name; None for a picture of one's own."""
    counterfactual: bool = False
    """Whether it is the example's counterfactual, without the cue."""
    photograph: bool = False
    """Whether it is, or may be, a photograph."""
    content: Hash
    """SHA-256 of the crop, what the model sees: `content_hash`."""


class ManyState(Value):
    """What is asked of which pictures, as in `ManyPictures`. A visitor's own are named, and not here."""

    which: Annotated[str, StringConstraints(max_length=40)] = ""
    own: Annotated[str, StringConstraints(max_length=200)] = ""
    by_labels: bool = True
    read: Annotated[str, StringConstraints(pattern="^[0-9a-f]{0,16}$")] = ""
    confusion: tuple[MaybeText, MaybeText] | None = None
    grouped_by: Annotated[str, StringConstraints(max_length=LONGEST_LABEL)] = ""
    unseen: Annotated[str, StringConstraints(pattern="^[0-9a-f]{0,16}$")] = ""


class ViewState(Value):
    """What a visit is about."""

    version: Literal[1] = 1
    """Of this form; a later one reads the earlier ones."""
    key: Annotated[str, StringConstraints(pattern="^[0-9a-f]{0,32}$")] = ""
    """Which visit this is, at random; empty for a page on which nothing was changed yet."""
    step: Annotated[int, Field(ge=0, lt=2**53)] = 0
    """How many changes this visit has seen: of two states of one visit, the one of the higher step is newer."""
    revision: Annotated[int, Field(ge=0, lt=2**53)] = 0
    """As in `Visit`: what the page's own widgets count by."""
    setup: Name
    """Its name in the catalog."""
    commits: dict[Commit, Annotated[str, StringConstraints(max_length=64)]] = {}
    """The commits that it was loaded from; nothing for folders."""
    picture: PictureState
    classes: Classes
    templates: Templates
    truth: Index | None = None
    """The class the visitor says it should be, by its place among the classes."""
    wanted: Index | None = None
    """The target's class; None where the target is the similarity to the second picture."""
    against: Index | None = None
    """The class it is compared with."""
    second: PictureState | None = None
    """The picture to compare with; None without one."""
    edit: EditState = EditState()
    many: ManyState = ManyState()
    tab: Annotated[str, StringConstraints(max_length=40)] | None = None
    """The tab that is open."""
    component: Index | None = None
    """The component whose page is open."""

    def serialised(self) -> str:
        """As JSON, without what has its default."""
        return self.model_dump_json(exclude_defaults=True)

    @property
    def is_whole(self) -> bool:
        """Whether it has its classes, and not a mark in their place (`apart`)."""
        return not _MARK.fullmatch(self.classes[0])

    def apart(self) -> tuple["ViewState", str]:
        """The state with a mark in place of classes that are long to write, and that mark; itself and "" for others.

        Whoever holds the state holds the classes beside it, and puts them back before it is restored.
        """
        names = written(self.classes)
        if sum(map(len, names)) <= MAX_INLINE:
            return self, ""
        mark = _mark_of(names)
        return self.model_copy(update={"classes": (mark,)}), mark

    @classmethod
    def parsed(cls, text: str | None) -> "ViewState":
        """What `serialised` wrote. Raises UserError for anything else."""
        if not isinstance(text, str) or len(text) > MAX_STATE:
            raise _unreadable()
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise _unreadable() from error

    @model_validator(mode="after")
    def _is_of_its_classes(self) -> "ViewState":
        for index in (self.truth, self.wanted, self.against):
            if index is not None and index >= len(self.classes) and self.is_whole:
                raise ValueError("it names a class that there is not")
        if self.wanted is None and (self.second is None or self.against is not None):
            raise ValueError("it has no target")
        return self


@lru_cache(maxsize=64)
def _mark_of(names: tuple[str, ...]) -> str:
    return f"\x1fheld:{hashlib.sha256(repr(names).encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def content_hash(crop: np.ndarray) -> str:
    """SHA-256 of what the model sees of a picture, uint8 [S, S, 3], 64 hexadecimal digits."""
    return hashlib.sha256(f"{crop.shape}".encode() + np.ascontiguousarray(crop).tobytes()).hexdigest()


def state_of(bench: Workbench, visit: Visit) -> ViewState:
    """What a visit is about; the open tab is the page's own to add. Raises UserError for more than 256 levers."""
    wanted, against = (*visit.target.classes, None, None)[:2]
    return ViewState(
        key=visit.key,
        step=visit.step,
        revision=visit.revision,
        setup=visit.setup,
        commits=commits_of(bench),
        picture=_picture_state(visit.subject, visit.trace.crop),
        classes=visit.classes,
        templates=visit.templates,
        truth=visit.truth,
        wanted=wanted,
        against=against,
        second=None if visit.second is None else _picture_state(visit.second.subject, visit.second.crop),
        edit=EditState.of(visit.edit),
        many=ManyState(**asdict(visit.many)),
        component=visit.search.opened,
    )


def _picture_state(subject: Subject, crop: np.ndarray) -> PictureState:
    return PictureState(
        caption=subject.caption[:400],
        example=subject.example,
        counterfactual=subject.counterfactual,
        photograph=subject.photograph,
        content=content_hash(crop),
    )


def is_of(bench: Workbench, visit: Visit, state: ViewState) -> bool:
    """Whether a visit that a server holds is the one that a page carries, at the same step or a later one.

    A later one: two presses may be on their way at once, and the second carries the state from before the first. A
    visit at an earlier step is another server's past, and is rebuilt. A visit without a key is one that this server
    begins with: it is the page's where that is about the same, and was never changed.
    """
    if visit.key:
        return visit.key == state.key and visit.step >= state.step
    return state_of(bench, visit) == state.model_copy(update={"key": "", "tab": None})


def restored(
    bench: Workbench, state: ViewState, sources: Iterable[Source], seconds: Iterable[Source] = ()
) -> Visit | None:
    """The visit that a state is of, worked out anew from the first of `sources` that shows its picture.

    A source may be the very crop that the model saw. None where nothing shows that picture: it has to be brought again.
    Where none of `seconds` shows its second picture, the visit has none, and another target where that was about it.
    Undo and redo begin anew. The levers stay behind, and the target is chosen anew, where another setup answers than
    the state's, or the same one from other commits: its components are others. Raises UserError for levers, or an
    open component, that this setup does not have.
    """
    same_setup = (bench.card.name, commits_of(bench)) == (state.setup, state.commits)
    crop = next(_crops(bench, state, state.picture, sources), None)
    if crop is None:
        return None
    second = None
    if state.second is not None and (again := next(_crops(bench, state, state.second, seconds), None)) is not None:
        second = second_picture(bench, again, _subject(state.second))
    target: Target | None = None
    if state.wanted is None:
        target = None if second is None else second.target
    elif same_setup:
        target = ClassTarget(state.wanted, state.against)
    visit = begin(
        bench,
        bench.trace(crop),
        _subject(state.picture),
        state.classes,
        state.templates,
        state.truth,
        target,
        state.edit.edit() if same_setup else None,
    )
    opened = state.component if same_setup and bench.index is not None else None
    if opened is not None:
        bench.concept(opened)
    return replace(
        visit,
        second=second,
        key=state.key,
        step=state.step,
        revision=state.revision,
        search=ComponentSearch(opened=opened),
        many=ManyPictures(**dict(state.many)),
    )


def _subject(picture: PictureState) -> Subject:
    return Subject(picture.caption, picture.example, picture.counterfactual, picture.photograph)


def _crops(
    bench: Workbench, state: ViewState, picture: PictureState, sources: Iterable[Source]
) -> Iterator[np.ndarray]:
    """Of the sources that show a picture of the state, what this setup sees."""
    for source in sources:
        try:
            shown = read_picture(source)
        except UserError:  # a file that is gone, say; another may do
            continue
        seen = bench.setup.clip.crop(shown)
        if bench.card.name != state.setup or content_hash(seen) == picture.content:
            yield seen


def commits_of(bench: Workbench) -> dict[Literal["clip", "dictionary"], str]:
    """The commits that a setup was loaded from; nothing for folders."""
    commits = bench.setup.commits
    return {name: commits[name] for name in get_args(Commit) if name in commits}


def _unreadable() -> UserError:
    return UserError("The page sent something that this app does not understand. Reload the page, and try again.")
