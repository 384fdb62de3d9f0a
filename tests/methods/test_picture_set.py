"""Picture sets: read once from batches, asked among any classes, parts of them, and how pictures are dealt out."""

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from conftest import COMPONENTS
from hypothesis import given
from hypothesis import strategies as st
from unsplit import best, unsplit

from core.errors import UserError
from core.methods.picture_set import PictureSet, Progress, classified, peaks, read_set, split
from core.model.clip import SplitClip, text_classifier
from core.model.dictionary import Dictionary
from core.model.sae_clip import SaeClip
from core.pictures.batches import Batch

names = st.lists(st.text(max_size=8), max_size=40)


@pytest.fixture(scope="module")
def pictures(clip: SplitClip, dictionary: Dictionary) -> PictureSet:
    crops = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    return PictureSet(
        traces=SaeClip(clip, dictionary).traces(crops),
        names=("a", "b", "c", "d", "e"),
        truth=np.array([0, 1, -1, 1, 0]),
        group=np.array(["", "x", "y", "x", ""]),
        said=np.array([0, 0, 1, 1, 1]),
        classes=("dog", "cat"),
    )


def test_who_is_right_and_what_is_known(pictures: PictureSet) -> None:
    assert len(pictures) == 5
    assert pictures.labelled.tolist() == [True, True, False, True, True]
    assert pictures.right.tolist() == [True, False, False, True, False]
    assert pictures.wrong.tolist() == [False, True, False, False, True]
    assert str(pictures).splitlines()[0] == "5 pictures, 4 with a label, 2 right"
    assert pictures.n_bytes >= sum(trace.residual.nbytes + trace.crop.nbytes for trace in pictures.traces)
    assert all(trace.activations.n_components == COMPONENTS for trace in pictures.traces)


def test_a_part_is_these_pictures_in_this_order(pictures: PictureSet) -> None:
    part = pictures.part([3, 0])
    assert part.names == ("d", "a")
    assert part.traces == (pictures.traces[3], pictures.traces[0])
    assert part.traces[0] is pictures.traces[3]
    assert (part.truth.tolist(), part.said.tolist(), part.group.tolist()) == ([1, 0], [1, 0], ["x", ""])
    assert part.classes == pictures.classes
    assert len(pictures.part([])) == 0


# Reading


ONE = ("a photo of a {}",)


def batch(number: int, n: int, labels: list[str | None], *troubles: tuple[str, str]) -> Batch:
    """A batch of random pictures, each in the group of its batch, the first in none."""
    crops = np.random.default_rng(number).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    names = tuple(f"{number}-{k}" for k in range(n))
    groups = tuple(f"g{number}" if k else None for k in range(n))
    return Batch(0, number, np.arange(n), crops, names, tuple(labels), groups, troubles)


def batches() -> Iterator[Batch]:
    yield batch(0, 3, ["dog", "cat", None], ("x.png", "It is broken."))
    yield batch(1, 0, [])
    yield batch(2, 2, ["DOG ", "red_fish"], ("y.png", "It is empty."), ("z.png", "It is too large."))


def last(steps: Iterable[Progress | PictureSet]) -> PictureSet:
    *_, found = steps
    assert isinstance(found, PictureSet)
    return found


def test_a_set_is_what_the_batches_hold(clip: SplitClip, dictionary: Dictionary) -> None:
    classes, model = ("owl", "dog", "red fish"), SaeClip(clip, dictionary)
    *steps, _ = read_set(model, batches(), classes, ONE, total=8)
    assert steps == [(4, 8), (4, 8), (8, 8)]
    *steps, found = read_set(model, batches(), classes, ONE)
    assert steps == [(4, 4), (4, 4), (8, 8)]
    assert isinstance(found, PictureSet)
    assert found.names == ("0-0", "0-1", "0-2", "2-0", "2-1")
    assert found.group.tolist() == ["", "g0", "g0", "", "g2"]
    assert found.labels == ("dog", "cat", None, "DOG ", "red_fish")
    assert found.truth.tolist() == [1, -1, -1, 1, 2], "written alike but for capitals and spaces"
    assert found.troubles == (("x.png", "It is broken."), ("y.png", "It is empty."), ("z.png", "It is too large."))
    vectors = text_classifier(clip, classes, ONE)
    crops = [crop for each in batches() for crop in each.crops]
    for trace, crop, said in zip(found.traces, crops, found.said, strict=True):
        assert np.array_equal(trace.crop, crop)
        assert best(unsplit(clip, trace, None), vectors, said)
    part = found.part([4])
    assert (part.labels, part.troubles) == (("red_fish",), ())


def test_classes_may_come_from_the_labels_and_be_changed(clip: SplitClip, dictionary: Dictionary) -> None:
    found = last(read_set(SaeClip(clip, dictionary), batches(), (), ONE))
    assert found.classes == found.label_names == ("DOG ", "cat", "dog", "red_fish")
    assert found.truth.tolist() == [2, 1, -1, 0, 3], "exactly where that is possible"
    few = classified(clip, found, ("cat",), text_classifier(clip, ("cat",), ONE))
    assert few.truth.tolist() == [-1, 0, -1, -1, -1]
    assert few.said.tolist() == [0] * 5
    again = classified(clip, few, found.classes, text_classifier(clip, found.classes, ONE))
    assert again == found, "no label is lost"


def test_labels_are_those_of_the_truth_where_there_are_no_others(pictures: PictureSet, clip: SplitClip) -> None:
    other = classified(clip, pictures, ("cat", "owl"), text_classifier(clip, ("cat", "owl"), ONE))
    assert other.labels == ("dog", "cat", None, "cat", "dog")
    assert other.truth.tolist() == [-1, 0, -1, 0, -1]


def test_what_cannot_be_used_is_said(clip: SplitClip, dictionary: Dictionary) -> None:
    model = SaeClip(clip, dictionary)
    with pytest.raises(UserError, match=r"no picture here that can be read.*x\.png: It is broken\."):
        last(read_set(model, [batch(0, 0, [], ("x.png", "It is broken."))], (), ONE))
    with pytest.raises(UserError, match="no picture here that can be read"):
        last(read_set(model, [], ("dog",), ONE))
    with pytest.raises(UserError, match="Name classes"):
        last(read_set(model, [batch(0, 2, [None, None])], (), ONE))


def test_memory_is_bounded_before_it_is_full(clip: SplitClip, dictionary: Dictionary) -> None:
    model = SaeClip(clip, dictionary)
    one = last(read_set(model, batches(), ("dog",), ONE)).n_bytes / 5
    asked = iter(range(100))

    def many() -> Iterator[Batch]:
        for number in asked:
            yield batch(number, 2, ["dog", None])

    with pytest.raises(UserError, match="there is room for 9"):
        last(read_set(model, many(), ("dog",), ONE, total=200, most_bytes=int(one * 9.9)))
    assert next(asked) == 1, "it is clear after the first batch"
    with pytest.raises(UserError, match="there is room for 9"):
        last(read_set(model, many(), ("dog",), ONE, most_bytes=int(one * 9.9)))
    assert next(asked) == 7


def test_peaks_are_the_largest_activations(pictures: PictureSet, dictionary: Dictionary) -> None:
    slow = np.array([[trace.activations.of(j).max() for j in range(COMPONENTS)] for trace in pictures.traces])
    found = peaks(pictures, dictionary)
    assert found.dtype == np.float32
    assert np.array_equal(found.toarray(), slow)
    assert peaks(pictures.part([]), dictionary).shape == (0, COMPONENTS)


# Parts


shares = st.lists(st.floats(0.01, 1), min_size=1, max_size=4).map(lambda few: [x / sum(few) for x in few])


@given(names, shares, st.integers(0, 3), st.booleans())
def test_parts_are_disjoint_and_do_not_depend_on_the_others(
    names: list[str], shares: list[float], seed: int, whole: bool
) -> None:
    shares = shares if whole else [share / 2 for share in shares]
    parts = split(names, shares, seed)
    assert len(parts) == len(shares)
    dealt = np.concatenate(parts)
    assert len(set(dealt.tolist())) == len(dealt)
    assert not whole or sorted(dealt.tolist()) == list(range(len(names)))
    mine = [{names[i] for i in part} for part in parts]
    for k, part in enumerate(parts):
        assert part.tolist() == sorted(part.tolist())
        alone = [split([names[i]], shares, seed)[k].tolist() for i in part]
        assert alone == [[0]] * len(part)
        assert all(not mine[k] & other for other in mine[:k]), "pictures of one name stay together"


def test_parts_have_about_their_share() -> None:
    many = [f"{i}.png" for i in range(4_000)]
    for seed in (0, 1):
        sizes = [len(part) for part in split(many, (0.5, 0.3, 0.1), seed)]
        assert sizes == pytest.approx([2_000, 1_200, 400], abs=130)
    first, second = (split(many, (0.5, 0.5), seed)[0] for seed in (0, 1))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("shares", [(0.5, 0.6), (0.5, 0.0), (-0.1,)])
def test_shares_are_parts_of_a_whole(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="parts of a whole"):
        split(["a"], shares)
