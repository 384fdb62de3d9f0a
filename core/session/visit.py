"""A visitor's session: one frozen value, and the steps that lead from it to the next.

What the visitor set (picture, classes, templates, target, edit) stands beside what the workbench answered. Every
step takes the workbench and a visit and returns another visit, or raises UserError and leaves the old one as it
was, so that a mistake costs the visitor nothing.
"""

import secrets
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import UserError
from ..methods.attribution import Attribution
from ..methods.picture_set import PictureSet
from ..methods.steering import Edit, Lever, check_size
from ..methods.targets import ClassTarget, PictureTarget, Target, default_target
from ..model.prediction import Comparison, Prediction
from ..model.prompts import MAX_CLASSES, check_classes
from ..model.trace import Trace
from ..pictures.examples import Example
from ..pictures.read import Source
from ..records import Record
from ..stats import rank_correlation
from ..workbench import Names, Workbench
from .component_search import ComponentSearch
from .history import History
from .many_pictures import ManyPictures

SHOWN = 6
"""Components shown on each side."""


@dataclass(frozen=True)
class Subject:
    """Which picture is looked at."""

    caption: str
    """For the reader, and for those who cannot see it."""
    example: str | None = None
    """Name of the example, None for a visitor's own picture."""
    counterfactual: bool = False
    """Whether it is the example's counterfactual: the same scene without its cue."""
    photograph: bool = False
    """Whether it is, or may be, a photograph."""


@dataclass(frozen=True, eq=False, repr=False)
class SecondPicture(Record):
    """Another picture, with which the one that is looked at may be compared."""

    subject: Subject
    """Which picture it is."""
    crop: np.ndarray
    """uint8 [S, S, 3]: what the model sees of it."""
    target: PictureTarget
    """Similarity to it."""


@dataclass(frozen=True, eq=False, repr=False)
class Part(Record):
    """One component's part in the target: what a card or a lever shows."""

    component: int
    """Index into the dictionary."""
    total: float
    """Its contribution to the target over all tokens, in `unit`."""
    on_cls: float
    """What of it comes by the CLS token."""
    heat: np.ndarray
    """float32 [rows, columns]: what of it comes by each patch."""
    peak: float
    """Its activation of largest size in this picture; 0 when it is not active."""
    n_patches: int
    """Patches it is active on."""
    measured: float | None
    """What the target lost when the model ran without it; None as long as that was not measured."""
    unit: str
    """Of the target."""
    short_unit: str
    """The same where space is scarce."""


@dataclass(frozen=True, eq=False, repr=False)
class Counterfactual(Record):
    """What the model says when the cue is really gone from the picture."""

    prediction: Prediction
    """Of the picture without the cue, and without any edit."""
    cosine: float
    """Between the embeddings of that picture and of the visit's, as its edit leaves it, -1 to 1."""


@dataclass(frozen=True, eq=False, repr=False)
class Visit(Record):
    """All that one visitor set and was told."""

    setup: str
    """Name of the setup that answered."""
    subject: Subject
    """The picture, in words."""
    trace: Trace
    """The picture, as the model left it."""
    classes: Names
    """What it could be."""
    templates: Names
    """How the classes are put into words."""
    truth: int | None
    """The class the visitor says it should be."""
    target: Target
    """What the attribution explains."""
    attribution: Attribution
    """How much each component contributes to it."""
    parts: tuple[Part, ...]
    """The strongest components, for and against."""
    comparison: Comparison
    """The prediction before and after the edit."""
    second: SecondPicture | None = None
    """Another picture, to which the similarity is, or may be, the target."""
    history: History = History()
    """The edit and its undo."""
    revision: int = 0
    """How often the edit or the picture changed other than by the page's own levers; their older messages are void."""
    latest_message: dict[str, float] = field(default_factory=dict)
    """The page's clock, ms, at the latest message of each widget."""
    key: str = ""
    """Which visit this is, at random; empty while nothing was changed. See `core.session.view_state`."""
    step: int = 0
    """How many changes this visit has seen."""
    awaited: str = ""
    """How the content hash of a picture begins that has to be brought before this visit is about it; see
    `core.page.keeper` and `core.page.open_link`."""
    search: ComponentSearch = ComponentSearch()
    """What was asked of the setup's components."""
    searches: dict[str, ComponentSearch] = field(default_factory=dict)
    """The same of the setups that answered before, by their names: it is there again when one of them is."""
    many: ManyPictures = ManyPictures()
    """What was asked of many pictures."""

    @property
    def prediction(self) -> Prediction:
        """What the model says, without any edit."""
        return self.comparison.before

    @property
    def edit(self) -> Edit:
        """The edit in force."""
        return self.history.present

    @property
    def about_second(self) -> bool:
        """Whether the similarity to the second picture is the target."""
        return self.second is not None and self.target == self.second.target

    @property
    def class_target(self) -> ClassTarget:
        """The target, or, where it has no class in it, the one that would be chosen."""
        if self.target.classes:
            return ClassTarget(*self.target.classes)
        return target_for(self.prediction, self.truth)

    @property
    def moved(self) -> tuple[float, float]:
        """The target before the edit and after it, in its unit."""
        was, now = (
            float(self.target.of(p.logits, p.unit_embedding)) for p in (self.comparison.before, self.comparison.after)
        )
        return was, now

    @property
    def agreement(self) -> float | None:
        """Rank correlation of predicted and measured effects over the shown parts; None while not all are measured."""
        effects = [part.measured for part in self.parts if part.measured is not None]
        if len(effects) < len(self.parts):
            return None
        return rank_correlation(np.array([part.total for part in self.parts]), np.array(effects))

    def part(self, component: int) -> Part:
        """A component's part in the target, whether it is shown or not, active or not."""
        found = next((part for part in self.parts if part.component == component), None)
        return found or _part(self.trace, self.attribution, component)


def subject_of(example: Example, counterfactual: bool = False) -> Subject:
    """An example, or its counterfactual, as what is looked at."""
    caption = f"{example.sentence} Here without the {example.cue}." if counterfactual else example.sentence
    return Subject(caption, example.name, counterfactual, not example.rendered)


def start(
    bench: Workbench,
    source: Source | None,
    subject: Subject,
    classes: Names,
    templates: Names,
    truth: str | None,
    foil: str | None = None,
) -> Visit:
    """A visit that begins with this picture and no edit. Raises UserError for a picture that cannot be read.

    Where the truth is predicted, the target compares it with the foil, if there is one.
    """
    trace = bench.open(source)
    right, wrong = class_index(classes, truth), class_index(classes, foil)
    return begin(bench, trace, subject, classes, templates, right, foil=wrong)


def begin(
    bench: Workbench,
    trace: Trace,
    subject: Subject,
    classes: Names,
    templates: Names,
    truth: int | None,
    target: Target | None = None,
    edit: Edit | None = None,
    foil: int | None = None,
) -> Visit:
    """A visit about a picture that has been read; without a target, one is chosen."""
    edit = check_size(edit or Edit())
    answers = _answers(bench, trace, classes, templates, truth, edit, target, foil)
    answers |= {"history": History(edit)}
    return Visit(setup=bench.card.name, subject=subject, trace=trace, classes=classes, templates=templates, **answers)


def after(old: Visit, new: Visit) -> Visit:
    """A new beginning by the same visitor, on the same page: older messages of its widgets are void."""
    return replace(
        new,
        revision=old.revision + 1,
        latest_message=old.latest_message,
        search=old.search,
        searches=old.searches,
        many=old.many,
        second=old.second if new.setup == old.setup else None,
        key=old.key,
        step=old.step,
    )


def changed(old: Visit, new: Visit) -> Visit:
    """The visit after a change, at the next step; the first change gives it a key. What was none is left as it is."""
    if new is old:
        return old
    return replace(new, key=old.key or secrets.token_hex(16), step=old.step + 1)


def change_setup(bench: Workbench, visit: Visit, source: Source | None, second: Source | None = None) -> Visit:
    """The same picture and question put to another setup. The levers stay behind: its components are others.

    Wordings that take that setup minutes to read stay behind, too: `Workbench.readable`. `second` is the second picture
    of the visit, if it has one; without it, what this setup saw of it is taken.
    """
    truth = None if visit.truth is None else visit.classes[visit.truth]
    templates = bench.readable(visit.classes, visit.templates)
    new = after(visit, start(bench, source, visit.subject, visit.classes, templates, truth))
    searches = visit.searches | {visit.setup: visit.search}
    search = replace(searches.get(new.setup, ComponentSearch()), openings=visit.search.openings)
    new = replace(new, search=search, searches=searches)
    if visit.second is None:
        return new
    seen_again = second_picture(bench, visit.second.crop if second is None else second, visit.second.subject)
    return compare_with(bench, new, seen_again) if visit.about_second else replace(new, second=seen_again)


def open_from_set(
    bench: Workbench, visit: Visit, pictures: PictureSet, name: str, templates: Names, photograph: bool
) -> Visit:
    """A picture of a set, asked about the set's classes, with the edit in place, on all tokens as the set is tried.

    `photograph`: whether the set may hold photographs. Raises UserError where it has no picture of that name.
    """
    if name not in pictures.names:
        raise UserError("That picture is not in this set, or not any more. Press another.")
    if len(pictures.classes) > MAX_CLASSES:
        raise UserError(
            f"This set has {len(pictures.classes):,} classes, and a picture is asked about {MAX_CLASSES:,} at most. "
            "Ask the set about the classes of this page."
        )
    at = pictures.names.index(name)
    truth = None if pictures.truth[at] < 0 else int(pictures.truth[at])
    subject = Subject(f"{name}, one of {len(pictures)} pictures", photograph=photograph)
    edit = visit.edit.among(None)
    new = after(visit, begin(bench, pictures.traces[at], subject, pictures.classes, templates, truth, edit=edit))
    return replace(new, history=visit.history.then(edit))


def look_at(bench: Workbench, visit: Visit, source: Source | None, subject: Subject) -> Visit:
    """Another picture, while all else the visitor set stays: classes, truth, target and levers."""
    trace = bench.open(source)
    answers = _answers(bench, trace, visit.classes, visit.templates, visit.truth, visit.edit, target=visit.target)
    return replace(visit, subject=subject, trace=trace, revision=visit.revision + 1, **answers)


def restart(bench: Workbench, visit: Visit, classes: Names, templates: Names, target: Target, edit: Edit) -> Visit:
    """The same picture with another question and edit, as a recipe has them. Raises UserError as `begin`."""
    truth = None if visit.truth is None else class_index(classes, visit.classes[visit.truth])
    new = after(visit, begin(bench, visit.trace, visit.subject, classes, templates, truth, target, edit))
    return replace(new, history=visit.history.then(edit))


def ask(bench: Workbench, visit: Visit, classes: Names, templates: Names, truth: str | None) -> Visit:
    """Other classes or other words for them; the levers stay. The target is chosen anew where it is of classes."""
    target = visit.target if visit.about_second else None
    answers = _answers(bench, visit.trace, classes, templates, class_index(classes, truth), visit.edit, target)
    return replace(visit, classes=classes, templates=templates, **answers)


def set_target(bench: Workbench, visit: Visit, target: Target) -> Visit:
    """Another target. Raises UserError for a class against itself."""
    return replace(visit, **_explained(bench, visit.trace, visit.classes, visit.templates, target))


def second_picture(bench: Workbench, source: Source | None, subject: Subject) -> SecondPicture:
    """A picture to be compared with. Raises UserError for one that cannot be read."""
    trace = bench.open(source)
    return SecondPicture(subject, trace.crop, PictureTarget.like(trace.embedding, subject.caption))


def compare_with(bench: Workbench, visit: Visit, second: SecondPicture) -> Visit:
    """With a second picture, and the similarity to it as the target."""
    return set_target(bench, replace(visit, second=second), second.target)


def without_second(bench: Workbench, visit: Visit) -> Visit:
    """Without the second picture; a target that is about it is chosen anew."""
    without = replace(visit, second=None)
    return set_target(bench, without, visit.class_target) if visit.about_second else without


def measure(bench: Workbench, visit: Visit) -> Visit:
    """With the measured effect of every shown component. It takes a while: the page shows the predictions first."""
    shown = np.array([part.component for part in visit.parts], dtype=np.int64)
    effects = bench.ablation_effects(visit.trace, visit.classes, visit.templates, visit.target, shown)
    parts = (replace(part, measured=float(effect)) for part, effect in zip(visit.parts, effects, strict=True))
    return replace(visit, parts=tuple(parts))


def change(bench: Workbench, visit: Visit, edit: Edit) -> Visit:
    """Another edit, made by a press: the levers on the page are drawn anew."""
    return _with_history(bench, visit, visit.history.then(edit), visit.revision + 1)


def press(bench: Workbench, visit: Visit, component: int, action: str, on: bool) -> Visit:
    """A component's button pressed: suppress, amplify (twice its activation), or suppress its whole family.

    `on` is what the button is to be. A lever keeps its threshold. Raises UserError for a component that is not there.
    """
    edit = visit.edit
    at_least = next((lever.at_least for lever in edit.levers if lever.component == component), None)
    if action == "family":
        edit = edit.pull_family(component, _members(bench, component)) if on else edit.release_family(component)
    elif on:
        levers = {"suppress": Lever(component), "amplify": Lever(component, "scale", 2.0)}
        edit = edit.pull(replace(levers[action], at_least=at_least))
    else:
        edit = edit.release(component)
    return change(bench, visit, edit)


def _members(bench: Workbench, component: int) -> tuple[int, ...]:
    family = bench.family(component)
    return (component,) if family is None else family.members


def undo(bench: Workbench, visit: Visit) -> Visit:
    """The edit before this one."""
    return _with_history(bench, visit, visit.history.undo(), visit.revision + 1)


def redo(bench: Workbench, visit: Visit) -> Visit:
    """The edit that was taken back."""
    return _with_history(bench, visit, visit.history.redo(), visit.revision + 1)


def accept_message(visit: Visit, widget: str, revision: int, moment: float) -> Visit | None:
    """The visit, having had a widget's message; None for one about an older picture or edit, or out of order.

    `revision` is that of the visit the widget showed, `moment` the page's clock in ms.
    """
    if revision != visit.revision or moment <= visit.latest_message.get(widget, -1.0):
        return None
    return replace(visit, latest_message=visit.latest_message | {widget: moment})


def pull(bench: Workbench, visit: Visit, edit: Edit, gesture: float) -> Visit:
    """Another edit, made by the levers on the page themselves, which show it already."""
    return _with_history(bench, visit, visit.history.then(edit, gesture), visit.revision)


def without_cue(bench: Workbench, visit: Visit, source: Source | None) -> Counterfactual:
    """What the model says of the picture's counterfactual. Raises UserError for a picture that cannot be read."""
    without = bench.open(source)
    edited = bench.steer(visit.trace, visit.edit)
    a, b = (z / np.linalg.norm(z) for z in (without.embedding, edited.embedding))
    return Counterfactual(bench.classify(without, visit.classes, visit.templates), float(np.clip(a @ b, -1, 1)))


def afterwards(bench: Workbench, visit: Visit) -> tuple[Trace, Attribution]:
    """The picture as the edit leaves it, and the same target explained on it."""
    if not visit.edit.levers:
        return visit.trace, visit.attribution
    trace = bench.steer(visit.trace, visit.edit)
    return trace, bench.attribute(trace, visit.classes, visit.templates, visit.target)


def contributions(trace: Trace, attribution: Attribution) -> np.ndarray:
    """What all components together contribute at every token, float64 [T], in its unit."""
    return np.bincount(trace.activations.token, weights=attribution.pair, minlength=trace.activations.n_tokens)


def patches(trace: Trace, tokens: np.ndarray) -> np.ndarray:
    """Numbers for every token [T] -> for every patch [rows, columns]."""
    return tokens[1:].reshape(trace.grid)


def _answers(
    bench: Workbench,
    trace: Trace,
    classes: Names,
    templates: Names,
    truth: int | None,
    edit: Edit,
    target: Target | None = None,
    foil: int | None = None,
) -> dict[str, Any]:
    check_classes(classes)
    comparison = bench.compare(trace, edit, classes, templates)
    return {
        "truth": truth,
        "comparison": comparison,
        **_explained(bench, trace, classes, templates, target or target_for(comparison.before, truth, foil)),
    }


def target_for(prediction: Prediction, truth: int | None, foil: int | None = None) -> ClassTarget:
    """The predicted class against the truth, or against the runner-up where that is right or not known.

    Where it is right, a foil is compared with in the runner-up's place.
    Not the predicted class alone: most of what carries one logit carries all the others as well.
    """
    if foil is not None and prediction.top == truth:
        return ClassTarget(prediction.top, foil)
    return default_target(prediction, prediction.top if truth is None else truth)


def _explained(bench: Workbench, trace: Trace, classes: Names, templates: Names, target: Target) -> dict[str, Any]:
    attribution = bench.attribute(trace, classes, templates, target)
    shown = [*attribution.strongest_for(SHOWN), *attribution.strongest_against(SHOWN)]
    parts = tuple(_part(trace, attribution, int(component)) for component in shown)
    return {"target": target, "attribution": attribution, "parts": parts}


def _part(trace: Trace, attribution: Attribution, component: int) -> Part:
    tokens = trace.activations.at_tokens(attribution.pair, component)
    f = trace.activations.of(component)
    return Part(
        component=component,
        total=attribution.total_of(component),
        on_cls=float(tokens[0]),
        heat=patches(trace, tokens),
        peak=float(f[np.abs(f).argmax()]),
        n_patches=int(np.count_nonzero(f[1:])),
        measured=None,
        unit=attribution.target.UNIT,
        short_unit=attribution.target.SHORT_UNIT,
    )


def _with_history(bench: Workbench, visit: Visit, history: History, revision: int) -> Visit:
    comparison = bench.compare(visit.trace, check_size(history.present), visit.classes, visit.templates)
    return replace(visit, history=history, comparison=comparison, revision=revision)


def class_index(classes: Names, name: str | None) -> int | None:
    """Where a class stands among the classes, whatever its upper and lower case; None where it does not."""
    folded = [one.casefold() for one in classes]
    return folded.index(name.casefold()) if name is not None and name.casefold() in folded else None
