"""Picture sets: parts of them, and how their pictures are dealt out."""

import numpy as np
import pytest
from conftest import COMPONENTS
from hypothesis import given
from hypothesis import strategies as st

from core.methods.picture_set import PictureSet, split
from core.model.clip import SplitClip
from core.model.dictionary import Dictionary
from core.model.sae_clip import SaeClip

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
