"""Confusions, and what drives them: against counts of pairs and pictures, one by one."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import COMPONENTS
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from torch import Tensor

from core.errors import UserError
from core.methods.attribution import attribute, attributions
from core.methods.failures import (
    FIRST,
    Candidates,
    Confusion,
    Findings,
    Standing,
    auroc,
    confusions,
    find_candidates,
)
from core.methods.generalization import Counts, Generalization, generalize
from core.methods.picture_set import PictureSet, split
from core.methods.question import Question
from core.methods.reference_scenes import read_references
from core.methods.steering import Edit
from core.methods.targets import ClassTarget
from core.model.clip import SplitClip, text_classifier
from core.model.dictionary import Dictionary
from core.model.prompts import TEMPLATES
from core.model.sae_clip import SaeClip
from core.scenes.scene import CLASSES

FAMILIES = ((0, 7, 21), (3, 30), (11, 12, 13, 40))


@pytest.fixture(scope="module")
def model(clip: SplitClip, dictionary: Dictionary) -> SaeClip:
    return SaeClip(clip, dictionary)


@pytest.fixture(scope="module")
def vectors(clip: SplitClip) -> Tensor:
    return text_classifier(clip, CLASSES, TEMPLATES["single"])


@pytest.fixture(scope="module")
def pictures(model: SaeClip) -> PictureSet:
    """40 pictures of three classes: half of them right, the others said to be what the model says of them."""
    *_, whole = read_references(model, batch=70)
    assert isinstance(whole, PictureSet)
    few = whole.part(np.arange(0, len(whole), 7)[:40])
    return replace(few, truth=np.where(np.arange(40) % 2, few.said, few.said[np.arange(40) // 2]))


@pytest.fixture(scope="module")
def parts(pictures: PictureSet) -> tuple[np.ndarray, np.ndarray]:
    discovery, judging = split(pictures.names, (0.5, 0.5))
    return discovery, judging


@pytest.fixture(scope="module")
def found(model: SaeClip, vectors: Tensor, pictures: PictureSet, parts: tuple[np.ndarray, np.ndarray]) -> Findings:
    *steps, last = find_candidates(model, pictures, vectors, Confusion(), parts, FAMILIES, most=4, batch=3)
    assert all(isinstance(step, tuple) and step[1] <= step[2] for step in steps)
    assert isinstance(last, Findings)
    return last


# Confusions


@given(st.data())
def test_confusions_are_counted(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 30))
    truth, said = (
        np.array(data.draw(st.lists(st.integers(least, 3), min_size=n, max_size=n)), dtype=int) for least in (-1, 0)
    )
    pictures = PictureSet((), (), truth, np.array([""] * n), said, ("a", "b", "c", "d"))
    slow: dict[tuple[int, int], int] = {}
    for t, s in zip(truth.tolist(), said.tolist(), strict=True):
        if t >= 0 and t != s:
            slow[t, s] = slow.get((t, s), 0) + 1
    counted = confusions(pictures)
    assert {(c.truth, c.said): number for c, number in counted.items()} == slow
    assert list(counted.values()) == sorted(slow.values(), reverse=True)
    for confusion in (*counted, Confusion(), Confusion(truth=1), Confusion(said=2)):
        mine = [
            i
            for i in range(n)
            if truth[i] >= 0
            and truth[i] != said[i]
            and confusion.truth in (None, truth[i])
            and confusion.said in (None, said[i])
        ]
        assert confusion.failures(pictures).tolist() == mine
    assert Confusion(0, 3).words(pictures.classes) == "a → d"
    assert Confusion(said=1).words(pictures.classes) == "any → b"


# The three numbers


def slow_auroc(values: list[float], failed: list[bool], right: list[bool], truth: list[int]) -> float:
    """Pair by pair."""
    won, pairs = 0.0, 0
    for i in range(len(values)):
        for j in range(len(values)):
            if failed[i] and right[j] and truth[i] == truth[j]:
                pairs += 1
                won += 1.0 if values[i] > values[j] else 0.5 if values[i] == values[j] else 0.0
    return won / pairs if pairs else float("nan")


@settings(max_examples=60)
@given(st.data())
def test_auroc_is_the_share_of_pairs(data: st.DataObject) -> None:
    n, k = data.draw(st.integers(0, 14)), data.draw(st.integers(1, 3))
    row = st.lists(st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.0, -1.0]), min_size=k, max_size=k)
    strength = np.array(data.draw(st.lists(row, min_size=n, max_size=n)), dtype=np.float32).reshape(n, k)
    truth = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)), dtype=int)
    kind = np.array(data.draw(st.lists(st.sampled_from(["failed", "right", "other"]), min_size=n, max_size=n)))
    failed, right = kind == "failed", kind == "right"
    fast = auroc(sparse.csr_array(strength), failed, right, truth)
    slow = [slow_auroc(strength[:, c].tolist(), failed.tolist(), right.tolist(), truth.tolist()) for c in range(k)]
    np.testing.assert_allclose(fast, slow, rtol=1e-12)


def test_attributions_of_many_are_those_of_each(model: SaeClip, vectors: Tensor, pictures: PictureSet) -> None:
    traces = pictures.traces[:7]
    targets = [ClassTarget(k, None if k % 3 == 0 else k + 1) for k in range(7)]
    many = sparse.vstack(list(attributions(model, traces, vectors, targets, batch=3))).toarray()
    assert many.shape == (7, COMPONENTS)
    for row, trace, target in zip(many, traces, targets, strict=True):
        one = attribute(Question(model, trace, vectors, target))
        slow = np.zeros(COMPONENTS)
        slow[one.component] = one.total
        np.testing.assert_allclose(row, slow, atol=1e-5)
    with pytest.raises(UserError, match="no class number 99"):
        list(attributions(model, traces[:1], vectors, [ClassTarget(99)]))


def slow_standing(
    model: SaeClip, vectors: Tensor, part: PictureSet, units: list[tuple[int, ...]], norms: np.ndarray | None
) -> Standing:
    """Of all failures of a part, picture by picture; `norms` of the directions, for families."""
    failures = [i for i in range(len(part)) if part.truth[i] >= 0 and part.said[i] != part.truth[i]]
    each = []
    for i in failures:
        question = Question(model, part.traces[i], vectors, ClassTarget(int(part.said[i]), int(part.truth[i])))
        one = attribute(question)
        each.append([sum(one.total_of(j) for j in unit) for unit in units])
    among = [0] * len(units)
    for values in each:
        for k in sorted(range(len(units)), key=lambda k: -values[k])[:FIRST]:
            among[k] += values[k] > 0
    scale = np.ones(COMPONENTS) if norms is None else norms
    firing = [
        [max(float(trace.activations.of(j).max()) * scale[j] for j in unit) for trace in part.traces] for unit in units
    ]
    classes = {part.truth[i] for i in failures}
    right = [bool(part.said[i] == part.truth[i] and part.truth[i] in classes) for i in range(len(part))]
    failed = [i in failures for i in range(len(part))]
    return Standing(
        len(failures),
        sum(right),
        np.mean(np.array(each).reshape(len(failures), len(units)), axis=0),
        np.array(among),
        np.array([slow_auroc(values, failed, right, part.truth.tolist()) for values in firing]),
    )


@pytest.mark.parametrize("kind", ["components", "families"])
def test_candidates_are_the_first_of_each_order_and_judged_on_the_others(
    model: SaeClip,
    vectors: Tensor,
    pictures: PictureSet,
    parts: tuple[np.ndarray, np.ndarray],
    found: Findings,
    kind: str,
) -> None:
    candidates: Candidates = getattr(found, kind)
    units: list[tuple[int, ...]] = [(j,) for j in range(COMPONENTS)]
    if kind == "families":
        units = list(FAMILIES)
    v = model.dictionary.directions(np.arange(COMPONENTS))
    norms = None if kind == "components" else v.norm(dim=1).numpy().astype(float)
    on, at = (slow_standing(model, vectors, pictures.part(part), units, norms) for part in parts)
    where = [units.index(members) for members in candidates.members]
    for fast, slow in ((candidates.discovery, on), (candidates.judging, at)):
        assert (fast.failures, fast.right) == (slow.failures, slow.right)
        assert fast.failures > 3
        assert fast.right > 3
        np.testing.assert_allclose(fast.attribution, slow.attribution[where], atol=1e-5)
        np.testing.assert_array_equal(fast.among_first, slow.among_first[where])
        np.testing.assert_allclose(fast.auroc, slow.auroc[where], atol=1e-9)
    foremost = {
        k
        for values, least in ((on.attribution, 0), (on.among_first, 0), (on.auroc, 0.5))
        for k in np.argsort(-values, kind="stable")[:4]
        if values[k] > least
    }
    assert sorted(where) == sorted(foremost)
    assert candidates.discovery.attribution.tolist() == sorted(candidates.discovery.attribution, reverse=True)
    assert candidates.order("auroc").tolist() == np.argsort(-candidates.discovery.auroc, kind="stable").tolist()
    judged = pictures.part(parts[1])
    failures = Confusion().failures(judged)
    for members, counts, fixed in zip(candidates.members, candidates.counts, candidates.fixed, strict=True):
        *_, trial = generalize(model, judged, vectors, Edit.of_suppressed(members))
        assert isinstance(trial, Generalization)
        assert counts == trial.counts
        assert fixed == len(set(trial.fixed) & set(failures))


def test_what_is_judged_has_no_part_in_what_is_proposed(
    model: SaeClip, vectors: Tensor, pictures: PictureSet, parts: tuple[np.ndarray, np.ndarray], found: Findings
) -> None:
    fewer = parts[1][:5]
    *_, other = find_candidates(model, pictures, vectors, Confusion(), (parts[0], fewer), FAMILIES, most=4)
    assert isinstance(other, Findings)
    for mine, theirs in ((found.components, other.components), (found.families, other.families)):
        assert mine.members == theirs.members
        np.testing.assert_allclose(mine.discovery.attribution, theirs.discovery.attribution, atol=1e-5)
        assert all(counts.labelled == 5 for counts in theirs.counts)
    assert other.judging.tolist() == fewer.tolist()
    with pytest.raises(ValueError, match="in common"):
        next(find_candidates(model, pictures, vectors, Confusion(), (parts[0], parts[0][:1])))


def test_no_failures(model: SaeClip, vectors: Tensor, pictures: PictureSet) -> None:
    right, rest = np.flatnonzero(pictures.right), np.flatnonzero(pictures.wrong)
    with pytest.raises(UserError, match=r"none fails in this way \(any → any\)"):
        next(find_candidates(model, pictures, vectors, Confusion(), (right, rest)))
    *_, found = find_candidates(model, pictures, vectors, Confusion(), (rest, right), most=1)
    assert isinstance(found, Findings)
    assert found.families.members == ()
    assert np.isnan(found.components.judging.attribution).all()
    assert np.isnan(found.components.judging.auroc).all()
    assert found.components.fixed.tolist() == [0] * len(found.components.members)
    assert all(isinstance(counts, Counts) and counts.wrong == 0 for counts in found.components.counts)


def test_the_sentence_says_which_pictures(found: Findings) -> None:
    on, at = found.components.discovery.failures, found.components.judging.failures
    assert found.said == (
        f"Proposed on {on} failures among {len(found.discovery)} pictures, judged on {at} among "
        f"{len(found.judging)} others."
    )
    assert found.said in str(found)
