"""What a validation keeps of pictures: the same whoever read them, and no more of many than of few."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.methods.generalization import Generalization
from core.pictures.batches import Batch
from core.validation.counts import MAX_NAME, MAX_OTHERS, MAX_TROUBLES, TrialCounts

CLASSES = ("dog", "cat", "owl")
MOST, SIDE = 5, 8


def batch_of(part: int, number: int, size: int, long: bool = False) -> tuple[Batch, Generalization]:
    """Some pictures, and what an edit did to them, by chance but always the same."""
    rng = np.random.default_rng([part, number])
    before, after, truth = (rng.integers(0, 3, size) for _ in range(3))
    truth[rng.random(size) < 0.3] = -1
    names = tuple(f"{part}/{number}/{i}" + "x" * (10_000 if long else 0) for i in range(size))
    others = [f"label {rng.integers(10**6)}" + "y" * (10_000 if long else 0) for _ in range(size)]
    batch = Batch(
        part=part,
        number=number,
        ids=(part << 32) + number * 2 * size + np.arange(size),
        crops=rng.integers(0, 256, (size, 8, 8, 3), dtype=np.uint8),
        names=names,
        labels=tuple(CLASSES[c] if c >= 0 else other for c, other in zip(truth.tolist(), others, strict=True)),
        groups=(None,) * size,
        troubles=tuple((f"{name}?", "It cannot be read. " * (100 if long else 1)) for name in names[: size // 2]),
    )
    lead = rng.normal(size=(2, size)).astype(np.float32) * 20
    return batch, Generalization(
        before=before,
        after=after,
        truth=truth,
        group=np.array([f"group {c}" if c else "" for c in rng.integers(0, 4, size)], dtype=str),
        touched=rng.random(size) < 0.5,
        lead=lead[0],
        lead_after=lead[1],
        classes=CLASSES,
        shown=np.empty(0, int),
        crops=np.empty((0, 8, 8, 3), np.uint8),
    )


def counted(places: list[tuple[int, int]]) -> TrialCounts:
    counts = TrialCounts()
    for place in places:
        counts.add(*batch_of(*place, size=6), MOST, SIDE)
    return counts


@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=12), st.integers(1, 4))
def test_several_processes_count_as_one(places: set[tuple[int, int]], world: int) -> None:
    """Each reads its parts in order; what is first of all is first, and every sum is exact."""
    alone = counted(sorted(places))
    first, *others = (counted(sorted(place for place in places if place[0] % world == rank)) for rank in range(world))
    for other in others:
        first.merge(TrialCounts.model_validate_json(other.model_dump_json()), MOST)
    exclude = {"after"}
    assert first.ordered(CLASSES).model_dump(exclude=exclude) == alone.ordered(CLASSES).model_dump(exclude=exclude)


def test_what_is_kept_does_not_grow_with_the_pictures() -> None:
    """50,000 pictures with endless names, none of them labelled as another: all that grows are the digits of counts."""
    counts, sizes = TrialCounts(), []
    for number in range(50):
        counts.add(*batch_of(number, 0, 1000, long=True), MOST, SIDE)
        sizes.append(len(counts.model_dump_json()))
    assert counts.total.pictures == 50_000
    assert counts.unread == 25_000
    assert sizes[-1] < sizes[0] + 1000
    assert [len(kept) for kept in counts.kept.values()] == [MOST] * 3
    assert len(counts.troubles) == MAX_TROUBLES
    assert len(counts.others) == MAX_OTHERS
    assert all(len(text) <= MAX_NAME for one in counts.troubles for text in (one.name, one.reason))
    assert all(len(label) <= MAX_NAME for label in counts.others)


def test_no_picture_of_a_kind_is_kept_where_none_is_asked_for() -> None:
    counts = TrialCounts()
    for number in range(3):
        counts.add(*batch_of(number, 0, 20), 0, SIDE)
    assert counts.total.fixed > 0
    assert not any(counts.kept.values())
