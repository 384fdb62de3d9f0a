"""Class vectors, read once and step by step: by several at a time, stopped and gone on with, kept and let go."""

from collections.abc import Iterator
from itertools import islice
from threading import Thread

import pytest
import torch
from conftest import CLASSES

from core.model import class_vectors
from core.model.class_lists import lines_of
from core.model.class_vectors import ClassVectors, Names
from core.model.clip import SplitClip, classifier_steps, text_classifier

ONE = ("a {}",)
MANY = tuple(map(str, range(300)))
LIST = lines_of("imagenet-1k")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many classes were read, step by step."""
    found: list[int] = []

    def counted(clip: SplitClip, classes: Names, templates: Names) -> Iterator[torch.Tensor]:
        for step in classifier_steps(clip, classes, templates):
            found.append(len(step))
            yield step

    monkeypatch.setattr(class_vectors, "classifier_steps", counted)
    return found


def test_they_are_those_of_the_classifier(clip: SplitClip) -> None:
    for templates in (ONE, ("a {}", "the {}", "{}")):
        for classes in (CLASSES, MANY, ()):
            assert torch.equal(ClassVectors(clip).read(classes, templates), text_classifier(clip, classes, templates))


def test_a_step_is_of_as_many_texts_as_a_batch(clip: SplitClip, made: list[int]) -> None:
    vectors = ClassVectors(clip)
    assert list(vectors.steps(MANY, ONE)) == [(128, 300), (256, 300), (300, 300)]
    assert list(vectors.steps(MANY, ONE)) == [], "they are read"
    assert vectors.missing(MANY, ONE) == ()
    assert made == [128, 128, 44]
    assert list(vectors.steps(("a", "b"), ONE * 100)) == [(100, 200), (200, 200)]


def test_who_stops_leaves_it_to_the_next_one_where_it_is(clip: SplitClip, made: list[int]) -> None:
    vectors = ClassVectors(clip)
    assert list(islice(vectors.steps(MANY, ONE), 1)) == [(128, 300)]
    assert vectors.missing(MANY, ONE) == MANY
    assert list(vectors.steps(MANY, ONE)) == [(256, 300), (300, 300)]
    assert torch.equal(vectors.read(MANY, ONE), text_classifier(clip, MANY, ONE))
    assert made[:3] == [128, 128, 44]


def test_several_take_part_in_one_reading(clip: SplitClip, made: list[int]) -> None:
    vectors, found = ClassVectors(clip), []
    threads = [Thread(target=lambda: found.append(vectors.read(MANY, ONE))) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sum(made) == len(MANY)
    assert all(torch.equal(one, found[0]) for one in found)


def test_a_reading_that_failed_begins_anew(clip: SplitClip, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = ClassVectors(clip)
    with monkeypatch.context() as broken:
        broken.setattr(SplitClip, "texts", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            vectors._reading(MANY, ONE).send(None)
    assert torch.equal(vectors.read(MANY, ONE), text_classifier(clip, MANY, ONE))


def test_a_list_is_read_once_whoever_adds_to_it(clip: SplitClip, made: list[int]) -> None:
    vectors = ClassVectors(clip)
    alone = vectors.read(LIST, ONE)
    with_others = vectors.read(("zebra crossing", *LIST, "my dog"), ONE)
    assert sum(made) == len(LIST) + 2
    assert torch.equal(with_others[1:-1], alone)
    assert vectors.missing((*LIST, "another"), ONE) == ("another",)


def test_what_was_not_asked_for_longest_is_let_go(clip: SplitClip, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = ClassVectors(clip)
    monkeypatch.setattr(class_vectors, "MOST_BYTES", 2 * 128 * clip.texts(["a"]).nbytes)
    first, second, third = (tuple(f"{kind}{k}" for k in range(128)) for kind in "abc")
    vectors.read(first, ONE)
    vectors.read(second, ONE)
    vectors.read(first, ONE)
    vectors.read(third, ONE)
    assert [not vectors.missing(one, ONE) for one in (first, second, third)] == [True, False, True]


class Drawer:
    """A shelf in memory."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, Names], torch.Tensor] = {}

    def find(self, name: str, templates: Names) -> torch.Tensor | None:
        return self.held.get((name, templates))

    def put(self, name: str, templates: Names, vectors: torch.Tensor) -> None:
        self.held[name, templates] = vectors


def test_lists_outlive_the_process_and_others_do_not(clip: SplitClip, made: list[int]) -> None:
    drawer = Drawer()
    before = ClassVectors(clip, drawer).read((*LIST, *MANY), ONE)
    assert list(drawer.held) == [("imagenet-1k", ONE)]
    made.clear()
    again = ClassVectors(clip, drawer)
    assert again.missing((*LIST, *MANY), ONE) == MANY
    assert torch.equal(again.read((*LIST, *MANY), ONE), before)
    assert sum(made) == len(MANY)
