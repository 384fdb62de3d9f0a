"""API for programs: the questions of the page, words and files in, plain JSON out.

What takes long is a generator: it yields None after every step, so that others have their turns, and the answer last.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TypeVar

from ..errors import UserError
from ..methods.controls import ask_for_a_lever
from ..methods.dose_response import Response
from ..methods.steering import Edit, acts
from ..methods.targets import ClassTarget, PictureTarget, Target
from ..model.prompts import ClassList, parse_classes
from ..model.trace import Trace
from ..recipes import Recipe, claim_of, make_recipe
from ..session.typed import class_named, named_target
from ..setups.catalog import find
from ..setups.pool import SetupPool
from ..workbench import Names, Workbench
from . import api_json as plain
from .api_inputs import (
    Against,
    Classes,
    ClassesOfMany,
    ClassesPushed,
    Component,
    EditCondition,
    For,
    Levers,
    Like,
    Picture,
    Pictures,
    PicturesShown,
    SetupName,
    Shown,
    Title,
    Tokens,
    Truth,
    Unseen,
    Wanted,
    Words,
    plain_edit,
)
from .api_inputs import edit as edit_of
from .api_json import NAMED, UNITS, Plain
from .api_trial import SINGLE, TrialOnMany, tried_on_files, tried_on_scenes

MOST_PICTURES = 16
"""Reference pictures of a kind, at most."""
SHOWN, SHOWN_PICTURES = 10, 4
"""Components of a kind, and reference pictures, where a program names no number."""

Steps = Generator[Plain | None]
"""What is worked out in steps: None after each, and the answer last."""
T = TypeVar("T")


class Programs:
    """Answers by the setups of a pool. Every answer names the setup it came from; every method raises UserError.

    Answers among classes have `notes`, which say how the text with these was read. The methods, with their parameters,
    are the endpoints of the page and the tools of MCP: what they say of themselves is what an agent reads.
    """

    def __init__(self, pool: SetupPool[Workbench], default: Callable[[], str]) -> None:
        """Answer by `pool`, and by the setup that `default` names where none is named, whenever that is asked."""
        self._pool, self._default = pool, default

    def setups(self) -> list[Plain]:
        """The setups (a CLIP with a dictionary of components) that can answer, by the names that `setup` takes."""
        loaded = self._pool.loaded()
        return [plain.card(card) | {"loaded": card.name in loaded} for card in self._pool.cards.values()]

    def predict(self, picture: Picture = None, classes: Classes = "", setup: SetupName = "") -> Plain:
        """Zero-shot prediction of a CLIP among the classes: logits, probabilities and ranks."""
        bench, asked = self._bench(setup), parse_classes(classes)
        trace = bench.open(picture)
        found = plain.prediction(bench.classify(trace, asked.names, SINGLE)) | plain.picture(trace)
        return _told(bench, "predict", found, asked)

    def attribute(
        self, picture: Picture = None, classes: Classes = "", wanted: Wanted = "", against: Against = "",
        shown: Shown = SHOWN, setup: SetupName = "", like: Like = None,
    ) -> Plain:  # fmt: skip
        """Which components carry a prediction, or make two pictures alike: the strongest for and against, and a map.

        By default the predicted class is explained, against the next; with `like`, the similarity to it. Follow with
        `component` to see what a component fires for, and with `steer` to see what the model says without it.
        """
        bench, asked = self._bench(setup), parse_classes(classes)
        trace = bench.open(picture)
        target = _target(bench, trace, asked.names, wanted, against, like)
        found = bench.attribute(trace, asked.names, SINGLE, target)
        told = plain.attribution(found, trace, asked.names, max(1, shown or SHOWN), bench.word) | plain.picture(trace)
        return _told(bench, "attribute", told, asked)

    def steer(
        self, picture: Picture = None, classes: Classes = "", levers: Levers = None, tokens: Tokens = None,
        condition: EditCondition = None, setup: SetupName = "",
    ) -> Plain:  # fmt: skip
        """What the model says before and after an edit: components suppressed, scaled or set."""
        bench, asked, edit = self._bench(setup), parse_classes(classes), edit_of(levers, tokens, condition)
        trace = bench.open(picture)
        found = plain.comparison(bench.compare(trace, edit, asked.names, SINGLE))
        does = {"edit": plain_edit(edit), "acts": acts(trace.activations, edit, bench.setup.dictionary)}
        return _told(bench, "steer", found | does | plain.picture(trace), asked)

    def evidence(
        self, picture: Picture = None, classes: Classes = "", wanted: Wanted = "", against: Against = "",
        levers: Levers = None, tokens: Tokens = None, condition: EditCondition = None, setup: SetupName = "",
        like: Like = None,
    ) -> Steps:  # fmt: skip
        """Whether an edit's effect on one picture is more than chance, at which doses, and what else it changes.

        The effect is on the target: `wanted` against `against`, by default the predicted class against the next; with
        `like`, the similarity to that picture.
        """
        bench, asked, edit = self._bench(setup), parse_classes(classes), edit_of(levers, tokens, condition)
        ask_for_a_lever(edit)
        trace = bench.open(picture)
        target = _target(bench, trace, asked.names, wanted, against, like)
        question = trace, asked.names, SINGLE, target, edit
        chance = yield from _last(bench.controls(*question))
        doses: list[Response] = []
        for response in bench.responses(*question):
            doses.append(response)
            yield None
        side_effects = bench.side_effects(*question)
        yield None
        missed = bench.reconstruction_error(trace, asked.names, SINGLE)
        found = plain.target(target, asked.names) | {
            "edit": plain_edit(edit),
            "effect": chance.effect,
            "chance": plain.chance(chance),
            "doses": plain.doses(doses, asked.names),
            "side_effects": plain.side_effects(side_effects),
            "reconstruction_error": plain.reconstruction_error(missed),
        }
        yield _told(bench, "evidence", found | plain.picture(trace), asked)

    def component(
        self, component: Component = None, classes: ClassesPushed = "",
        pictures_shown: PicturesShown = SHOWN_PICTURES, setup: SetupName = "",
    ) -> Plain:  # fmt: skip
        """What a component fires for: reference pictures, label guesses, neighbours, family, what it pushes."""
        if component is None:
            raise UserError("Name a component by its number, from 0.")
        bench = self._bench(setup)
        shown = min(MOST_PICTURES, SHOWN_PICTURES if pictures_shown is None else pictures_shown)
        if bench.index is None and component < len(bench.setup.dictionary.words):
            return _told(bench, "component", plain.named(component, bench.word(component)))
        found = plain.concept(bench.concept(component), bench.family(component))
        found["references"] = {
            "strongest": plain.references(bench.activating_examples(component, "top", shown)),
            "usual": plain.references(bench.activating_examples(component, "mid", shown)),
            "by_mean": plain.references(bench.activating_examples(component, "mean", shown)),
        }
        found["near"] = {
            "by_direction": plain.neighbours(bench.neighbours(component, "direction")),
            "by_firing": plain.neighbours(bench.neighbours(component, "firing")),
        }
        if not classes.strip() or not found["pictures_fired_in"]:
            return _told(bench, "component", found)
        asked = parse_classes(classes)
        found["pushes"] = plain.steering_effects(bench.steering_effects(component, asked.names, SINGLE))
        return _told(bench, "component", found, asked)

    def search(
        self, words: Words = "", picture: Picture = None, shown: Shown = SHOWN, setup: SetupName = ""
    ) -> Plain:  # fmt: skip
        """The components whose reference pictures fit words, or a picture where there are no words."""
        bench, most = self._bench(setup), max(1, shown or SHOWN)
        if words.strip():
            found = bench.matches_words(words, most)
        else:
            found = bench.matches_picture(bench.open(picture).embedding, most)
        told = [plain.named(one.component, bench.word(one.component)) | {"score": one.score} for one in found]
        return _told(bench, "search", {"found": told})

    def find_edit(
        self, picture: Picture = None, classes: Classes = "", truth: Truth = "", setup: SetupName = ""
    ) -> Steps:  # fmt: skip
        """The fewest suppressions with which the model says what the picture shows: levers for `steer`."""
        bench, asked = self._bench(setup), parse_classes(classes)
        wanted = class_named(asked.names, truth)
        if wanted is None:
            raise UserError("Name the class that the model should say, as truth: one of the classes.")
        trace = bench.open(picture)
        search = yield from _last(bench.find_edit(trace, asked.names, SINGLE, wanted))
        yield _told(bench, "find_edit", plain.search(search, asked.names) | plain.picture(trace), asked)

    def try_on_many(
        self, pictures: Pictures = None, classes: ClassesOfMany = "", levers: Levers = None,
        condition: EditCondition = None, setup: SetupName = "",
    ) -> Steps:  # fmt: skip
        """What an edit fixes and breaks in many pictures: those brought, or the reference scenes."""
        bench, asked, edit = self._bench(setup), _maybe(classes), edit_of(levers, None, condition)
        trial = yield from self._trial(bench, pictures, asked, edit)
        unread = [{"name": name, "why": why} for name, why in trial.unread[:NAMED]]
        more = {"edit": plain_edit(edit), "which": trial.pictures, "unread": unread, "remarks": list(trial.remarks)}
        yield _told(bench, "try_on_many", plain.trial(trial.found, trial.names) | more, asked)

    def recipe(
        self, levers: Levers = None, condition: EditCondition = None, classes: Classes = "", wanted: For = "",
        against: Against = "", title: Title = "", pictures: Pictures = None, unseen: Unseen = False,
        setup: SetupName = "",
    ) -> Generator[Recipe | None]:  # fmt: skip
        """The edit as a recipe, a zip that runs in other code: with what it does to many pictures as its claim."""
        bench, asked, edit = self._bench(setup), parse_classes(classes), edit_of(levers, None, condition)
        ask_for_a_lever(edit)
        first, second = (class_named(asked.names, name) for name in (wanted, against))
        if first is None:
            raise UserError("Name the class that the edit is for, as wanted: one of the classes.")
        trial = yield from self._trial(bench, pictures, asked if pictures else None, edit)
        claim = claim_of(trial.found, trial.pictures, unseen=unseen)
        name = " ".join(title.split())[:200] or f"More of {asked.names[first]}"
        vectors = bench.class_vectors(asked.names, SINGLE)
        target = ClassTarget(first, second)
        yield make_recipe(bench.setup, edit, asked.names, SINGLE, target, title=name, claims=[claim], vectors=vectors)

    def _trial(
        self, bench: Workbench, pictures: Sequence[str] | None, asked: ClassList | None, edit: Edit
    ) -> Generator[None, None, TrialOnMany]:
        """What the edit does to these pictures, among these classes, or to the reference scenes."""
        if not pictures and asked is not None:
            raise UserError("The reference scenes have classes of their own. Leave the classes out, or bring pictures.")
        classes = () if asked is None else asked.names
        steps = tried_on_files(bench, pictures, classes, edit) if pictures else tried_on_scenes(bench, edit)
        trial = yield from _last(steps)
        assert isinstance(trial, TrialOnMany)
        return trial

    def _bench(self, setup: str) -> Workbench:
        return self._pool.get(find(self._pool.cards, setup or self._default()).name)


def _last(steps: Iterator[T]) -> Generator[None, None, T]:
    """The last of some steps; None is yielded after every one."""
    found: list[T] = []
    for step in steps:
        found = [step]
        yield None
    return found[0]


def _maybe(classes: str) -> ClassList | None:
    return parse_classes(classes) if classes.strip() else None


def _target(bench: Workbench, trace: Trace, classes: Names, wanted: str, against: str, like: str | None) -> Target:
    """The similarity to a second picture where there is one, else a target of classes.

    Raises UserError where both are named.
    """
    if like is None:
        return named_target(bench.classify(trace, classes, SINGLE), wanted, against)
    if wanted or against:
        raise UserError("The similarity to a picture is no class’s. Leave out `wanted` and `against`, or `like`.")
    return PictureTarget.like(bench.open(like).embedding, "The second picture.")


def _told(bench: Workbench, name: str, answer: Plain, asked: ClassList | None = None) -> Plain:
    """The answer with its units, how the classes were read, and the setup."""
    read = {} if asked is None else {"templates": list(SINGLE), "notes": list(asked.notes)}
    return answer | read | {"units": UNITS[name], "setup": plain.provenance(bench.setup)}
