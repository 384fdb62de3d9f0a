"""Questions that cross to another process: the same answers, plain values both ways, and sentences that survive."""

import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import wraps
from inspect import isgeneratorfunction
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_index import tiny_index

from core.errors import UserError
from core.methods.failures import Confusion
from core.methods.generalization import Generalization
from core.methods.picture_set import PictureSet
from core.methods.steering import Edit, Lever
from core.methods.targets import ClassTarget
from core.model.prompts import TEMPLATES
from core.serving.settings import Settings, make_pool
from core.serving.zero_gpu import LONG, LONG_IN_STEPS, Answers, Call, Far, seconds
from core.session import visit as session
from core.session.visit import Subject, Visit
from core.setups.catalog import SetupSpec
from core.setups.loading import Setup
from core.workbench import Workbench

CLASSES, TRUTH = ("dog", "cat", "owl"), 0
pytestmark = pytest.mark.usefixtures("one_thread", "few_references")

SINGLE = TEMPLATES["single"]
FORK = multiprocessing.get_context("fork")


def borrowed(duration: Callable[..., int]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What ZeroGPU's decorator does, but for the GPU: a forked process, pickles both ways, no exceptions."""

    def mark(task: Callable[..., Any]) -> Callable[..., Any]:
        def work(pipe: Any, sent: bytes) -> None:
            try:
                arguments = pickle.loads(sent)
                answers = task(*arguments) if isgeneratorfunction(task) else [task(*arguments)]
                for answer in answers:
                    pipe.send_bytes(pickle.dumps(("answer", answer)))
                pipe.send_bytes(pickle.dumps(("end", None)))
            except Exception as error:
                pipe.send_bytes(pickle.dumps(("error", type(error).__name__)))

        def answers(*arguments: Any) -> Iterator[Any]:
            assert duration(*arguments) > 0
            ours, theirs = FORK.Pipe()
            process = FORK.Process(target=work, args=(theirs, pickle.dumps(arguments)), daemon=True)
            process.start()
            try:
                while True:
                    kind, value = pickle.loads(ours.recv_bytes())
                    if kind == "error":
                        raise RuntimeError(f"GPU task aborted: {value}")
                    if kind == "end":
                        return
                    yield value
            finally:
                process.kill()
                process.join()

        @wraps(task)
        def one(*arguments: Any) -> Any:
            return next(answers(*arguments))

        return wraps(task)(answers) if isgeneratorfunction(task) else one

    return mark


@pytest.fixture(scope="module")
def bench(bench: Workbench) -> Workbench:
    """The tiny setup, with a concept index."""
    return Workbench(replace(bench.setup, index=tiny_index()))


@pytest.fixture(scope="module")
def far(bench: Workbench) -> Far:
    """The tiny setup, its long questions answered in a forked process."""
    settings = Settings("tiny", True, 10**9, torch.float32, "cpu")
    cards = MappingProxyType({"tiny": bench.card})
    pool = make_pool(settings, cards, borrowed, far_device="cpu", loader=lambda card, tell: bench.setup)
    found = pool.get("tiny")
    assert isinstance(found, Far)
    return found


@pytest.fixture(scope="module")
def visit(bench: Workbench, picture: Image.Image) -> Visit:
    start = session.start(bench, picture, Subject("a picture"), CLASSES, SINGLE, "cat")
    return session.change(bench, start, Edit((Lever(int(start.attribution.ranked()[0])), Lever(3, "scale", 2.0))))


def questions(v: Visit) -> dict[str, tuple[Any, ...]]:
    """Arguments of every question that crosses."""
    asked = (v.trace, v.classes, v.templates)
    names = tuple(f"{k}.png" for k in range(8))
    truth = np.full(8, (v.prediction.order[0] + 1) % 3)
    failing = PictureSet((v.trace,) * 8, names, truth, np.array([""] * 8), truth * 0 + v.prediction.order[0], v.classes)
    return {
        "trace": (v.trace.crop,),
        "traces": (np.stack([v.trace.crop] * 3),),
        "reconstruction_error": asked,
        "effects_on": (np.stack([v.trace.crop] * 2), 2, 1.5, v.classes, v.templates),
        "ablation_effects": (*asked, v.target, v.attribution.ranked()[:6]),
        "controls": (*asked, v.target, v.edit),
        "responses": (*asked, v.target, v.edit),
        "find_edit": (*asked, 1),
        "generalize": (v.edit,),
        "references": (),
        "try_edit": (failing, v.edit, v.templates),
        "try_on": (failing, v.edit, v.templates),
        "find_candidates": (failing, Confusion(), v.templates),
    }


def same(a: Any, b: Any) -> bool:
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


def test_every_long_question_is_asked_here(visit: Visit) -> None:
    assert set(questions(visit)) == LONG | LONG_IN_STEPS


@pytest.mark.parametrize("name", sorted(LONG | LONG_IN_STEPS))
def test_the_answers_are_those_given_here(far: Far, bench: Workbench, visit: Visit, name: str) -> None:
    """Not only equal: bit by bit the same, after two pickles and in another process."""
    arguments = questions(visit)[name]
    if name in LONG:
        assert same(getattr(far, name)(*arguments), getattr(bench, name)(*arguments))
        return
    here, there = list(getattr(Workbench(bench.setup), name)(*arguments)), list(getattr(far, name)(*arguments))
    assert len(here) == len(there) > 1
    assert all(map(same, here, there))


@pytest.mark.parametrize("name", sorted(LONG | LONG_IN_STEPS))
def test_everything_that_crosses_is_plain(bench: Workbench, visit: Visit, name: str) -> None:
    arguments = questions(visit)[name]
    again = pickle.loads(pickle.dumps(Call(bench.card, name, arguments)))
    assert again.card == bench.card
    assert all(map(same, again.arguments, arguments))
    found = getattr(bench, name)(*arguments)
    for answer in found if name in LONG_IN_STEPS else [found]:
        sent = pickle.dumps(answer)
        assert same(pickle.loads(sent), answer)
        assert b"torch" not in sent


def test_a_whole_visit_far_away_is_the_same_visit(far: Far, bench: Workbench, picture: Image.Image) -> None:
    there, here = (
        session.measure(one, session.start(one, picture, Subject("a"), CLASSES, SINGLE, "cat")) for one in (far, bench)
    )
    assert there == here
    assert pickle.loads(pickle.dumps(there)) == there


def test_what_the_visitor_must_be_told_crosses(far: Far, visit: Visit) -> None:
    asked = (visit.trace, visit.classes, visit.templates)
    with pytest.raises(UserError, match="no component"):
        list(far.generalize(Edit.of_suppressed([10**6])))
    with pytest.raises(UserError):
        far.ablation_effects(*asked, ClassTarget(99), visit.attribution.ranked()[:2])
    with pytest.raises(UserError):
        next(far.controls(*asked, visit.target, Edit()))
    with pytest.raises(UserError, match="never fired"):
        far.steering_effects(4, visit.classes, visit.templates)


def test_the_reference_scenes_cross_once(far: Far, visit: Visit) -> None:
    *_, pictures = far.references()
    assert list(far.references()) == [pictures]
    assert isinstance(pictures, PictureSet)
    *_, whole = far.try_edit(pictures, visit.edit, SINGLE)
    *_, some = far.try_edit(pictures.part(range(5)), visit.edit, SINGLE)
    assert isinstance(whole, Generalization)
    assert isinstance(some, Generalization)
    assert np.array_equal(some.after, whole.after[:5])
    *_, trial = far.try_on(pictures, visit.edit, SINGLE)
    assert (trial.of.tolist(), trial.found) == (list(range(len(pictures))), whole)


def test_who_stops_asking_stops_the_answer(far: Far, visit: Visit) -> None:
    asking = far.generalize(visit.edit)
    next(asking)
    asking.close()
    *_, answer = far.generalize(visit.edit)
    assert isinstance(answer, Generalization)
    assert answer.classes


def test_only_what_is_known_can_be_asked(bench: Workbench) -> None:
    answers = Answers(lambda name: bench, "cpu")
    for name in ("setup", "__class__", "_steered", "generalize"):
        with pytest.raises(ValueError, match="no such question"):
            answers.answer(Call(bench.card, name, ()))
    with pytest.raises(ValueError, match="no such question"):
        next(answers.answer_in_steps(Call(bench.card, "trace", ())))


def test_a_setup_that_came_after_the_fork_is_loaded_there(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[SetupSpec, str, bool]] = []

    def load(card: SetupSpec, device: str, anyway: bool) -> Setup:
        asked.append((card, device, anyway))
        return bench.setup

    monkeypatch.setattr("core.serving.zero_gpu.load", load)
    answers = Answers(lambda name: None, "cpu")
    crop = np.zeros((32, 32, 3), np.uint8)
    assert answers.answer(Call(bench.card, "trace", (crop,))).get() == bench.trace(crop)
    answers.answer(Call(bench.card, "trace", (crop,)))
    assert asked == [(bench.card, "cpu", True)], "once"


def test_more_work_asks_for_more_time(bench: Workbench, visit: Visit) -> None:
    asked = {name: seconds(Call(bench.card, name, arguments)) for name, arguments in questions(visit).items()}
    assert asked["trace"] <= asked["effects_on"] < asked["controls"] < asked["find_edit"] < asked["generalize"] <= 120
    arguments = questions(visit)
    many = Edit.of_suppressed(range(20))
    more = Call(bench.card, "responses", (*arguments["responses"][:-1], many))
    assert seconds(more) > asked["responses"]
    few, lots = (
        Call(bench.card, "ablation_effects", (*arguments["ablation_effects"][:-1], range(n))) for n in (1, 1000)
    )
    assert seconds(few) < seconds(lots)
