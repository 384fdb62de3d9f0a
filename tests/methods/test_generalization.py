"""Edits run on a set of pictures, against the unsplit model, one picture at a time."""

import math
from collections.abc import Iterable
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from conftest import COMPONENTS
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from unsplit import best, unsplit

from core.errors import UserError
from core.hashing import drawn_order
from core.methods.generalization import SHOWN, Counts, Generalization, generalize, leads, try_on
from core.methods.picture_set import PictureSet, Progress
from core.methods.reference_scenes import KINDS, read_references
from core.methods.steering import Condition, Edit, Lever, Term
from core.model.clip import SplitClip, text_classifier
from core.model.dictionary import Dictionary
from core.model.prompts import TEMPLATES
from core.model.sae_clip import SaeClip
from core.model.trace import Trace
from core.scenes.scene import CLASSES


@pytest.fixture(scope="module")
def vectors(clip: SplitClip) -> Tensor:
    return text_classifier(clip, CLASSES, TEMPLATES["single"])


@pytest.fixture(scope="module")
def some(clip: SplitClip, dictionary: Dictionary) -> PictureSet:
    """Every eighth reference scene, half of them called right, so that there is something to fix and to break."""
    *_, whole = read_references(SaeClip(clip, dictionary), batch=70)
    assert isinstance(whole, PictureSet)
    few = whole.part(np.arange(0, len(whole), 8))
    return replace(few, truth=np.where(np.arange(len(few)) % 2, few.said, (few.said + 1) % len(CLASSES)))


def result(steps: Iterable[Progress | Generalization]) -> Generalization:
    *_, last = steps
    assert isinstance(last, Generalization)
    return last


# Edits run on them


def slow_difference(dictionary: Dictionary, trace: Trace, edit: Edit) -> Tensor:
    """What the edit adds to the residual, [T, d]: the difference of two dense decodes."""
    f = dictionary.encode(torch.as_tensor(trace.residual))
    changed = f.clone()
    for lever in edit.levers:
        j = lever.component
        changed[:, j] = lever.strength if lever.operation == "set" else lever.strength * f[:, j]
    with torch.no_grad():
        return dictionary.sae.decode(changed) - dictionary.sae.decode(f)


def slow_lead(clip: SplitClip, z: Tensor, vectors: Tensor, of: int) -> float:
    """The logit of one class less the best of the others."""
    logits = (clip.model.logit_scale.exp() * (vectors @ (z / z.norm()))).tolist()
    own = logits.pop(int(of))
    return own - max(logits)


def shared_by(pictures: PictureSet) -> np.ndarray:
    """In how many pictures each component is active, int [m]."""
    found = np.zeros(COMPONENTS, dtype=int)
    for trace in pictures.traces:
        found[trace.activations.components()] += 1
    return found


def rare(pictures: PictureSet) -> int:
    """The component active in the number of pictures closest to half of them."""
    return int(np.abs(shared_by(pictures) - len(pictures.traces) / 2).argmin())


@pytest.mark.parametrize("way", ["suppress", "scale", "set", "many"])
def test_an_edit_does_what_it_does_to_each_picture_alone(
    clip: SplitClip, dictionary: Dictionary, some: PictureSet, vectors: Tensor, way: str
) -> None:
    common = [int(j) for j in np.argsort(-shared_by(some))[:12]]
    edit = {
        "suppress": Edit.of_suppressed([rare(some)]),
        "scale": Edit((Lever(rare(some), "scale", -8.0),)),
        "set": Edit((Lever(common[0], "set", 15.0), Lever(common[3], "scale", 1.5))),
        "many": Edit.of_suppressed(common),
    }[way]
    found = result(generalize(SaeClip(clip, dictionary), some, vectors, edit, batch=7))
    assert np.array_equal(found.before, some.said)
    assert np.array_equal(found.truth, some.truth)
    assert found.classes == some.classes
    assert found.shown.tolist() == [*found.fixed[:SHOWN], *found.broken[:SHOWN]]
    for i, crop in zip(found.shown, found.crops, strict=True):
        assert np.array_equal(crop, some.traces[i].crop)
    assert found.lead_change == pytest.approx(float(np.mean(found.lead_after.astype(float) - found.lead)), abs=1e-6)
    for i, trace in enumerate(some.traces):
        difference = slow_difference(dictionary, trace, edit)
        z = unsplit(clip, trace, difference)
        assert best(z, vectors, found.after[i])
        assert found.lead[i] == pytest.approx(
            slow_lead(clip, unsplit(clip, trace, None), vectors, some.truth[i]), abs=1e-3
        )
        assert found.lead_after[i] == pytest.approx(slow_lead(clip, z, vectors, some.truth[i]), abs=1e-3)
        assert found.touched[i] == bool((difference.abs() > 1e-6).any())
    if way in ("set", "many"):
        assert found.touched.all()
        assert found.fixed.size + found.broken.size > 0
    else:
        assert 0 < found.touched.sum() < len(found.touched)


def test_the_model_runs_for_touched_pictures_only(
    clip: SplitClip, dictionary: Dictionary, some: PictureSet, vectors: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    component = rare(some)
    active = [component in trace.activations.components() for trace in some.traces]
    embed = Mock(wraps=clip.embed_from_residual)
    monkeypatch.setattr(clip, "embed_from_residual", embed)
    found = result(generalize(SaeClip(clip, dictionary), some, vectors, Edit.of_suppressed([component]), batch=4))
    assert found.touched.tolist() == active
    assert np.array_equal(found.after[~found.touched], found.before[~found.touched])
    sizes = [len(called.args[0]) for called in embed.call_args_list]
    assert sum(sizes) == sum(active)
    assert set(sizes[:-1]) == {4}
    assert sizes[-1] <= 4


def test_an_edit_of_nothing_runs_nothing(
    clip: SplitClip, dictionary: Dictionary, some: PictureSet, vectors: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip, "embed_from_residual", None)
    for edit in (Edit(), Edit(tuple(Lever(j, "scale", 1.0) for j in range(COMPONENTS)))):
        steps = list(generalize(SaeClip(clip, dictionary), some, vectors, edit))
        assert steps[:-1] == [(0, len(some.traces)), (len(some.traces),) * 2]
        found = result(steps)
        assert np.array_equal(found.after, some.said)
        assert not found.touched.any()
        assert found.unchanged.size == len(some.traces)


def test_a_choice_of_tokens_does_not_carry_over(
    clip: SplitClip, dictionary: Dictionary, some: PictureSet, vectors: Tensor
) -> None:
    edit = Edit((Lever(rare(some), "scale", -8.0),))
    whole, part = (result(generalize(SaeClip(clip, dictionary), some, vectors, e)) for e in (edit, edit.among((2,))))
    assert whole == part
    assert whole.touched.any()


def test_a_conditional_edit_acts_where_its_condition_holds(
    clip: SplitClip, dictionary: Dictionary, some: PictureSet, vectors: Tensor
) -> None:
    model, asked = SaeClip(clip, dictionary), rare(some)
    score = np.array([trace.activations.of(asked).max() for trace in some.traces])
    at_least = float(np.median(score[score > 0]))
    everywhere = Edit((Lever(0, "set", 15.0),))
    where = replace(everywhere, condition=Condition((Term(asked),), at_least))
    always, found = (result(generalize(model, some, vectors, edit)) for edit in (everywhere, where.among((1,))))
    holds = score >= at_least
    assert 0 < holds.sum() < len(holds)
    assert found.touched.tolist() == (always.touched & holds).tolist()
    assert np.array_equal(found.after, np.where(holds, always.after, always.before))
    assert found.acts == holds.mean()


def test_pictures_without_a_label_change_or_do_not(
    clip: SplitClip, dictionary: Dictionary, some: PictureSet, vectors: Tensor
) -> None:
    edit = Edit.of_suppressed([int(j) for j in np.argsort(-shared_by(some))[:12]])
    model, unknown = SaeClip(clip, dictionary), replace(some, truth=np.full(len(some), -1))
    known, found = (result(generalize(model, pictures, vectors, edit)) for pictures in (some, unknown))
    assert np.array_equal(found.after, known.after)
    assert found.changed.tolist() == np.flatnonzero(known.after != known.before).tolist()
    assert found.changed.size > 0
    assert found.shown.tolist() == found.changed[:SHOWN].tolist()
    assert (found.lead >= 0).all(), "of the class that was said"
    assert (found.lead_after[found.changed] <= 0).all()
    assert found.counts == Counts(0, 0, 0, 0, len(some), len(found.changed))
    assert result(generalize(model, some.part([]), vectors, edit)).counts == Counts(0, 0, 0, 0)


def test_a_run_tells_its_progress(clip: SplitClip, dictionary: Dictionary, some: PictureSet, vectors: Tensor) -> None:
    edit, total = Edit((Lever(0, "set", 1.0),)), len(some.traces)
    steps = list(generalize(SaeClip(clip, dictionary), some, vectors, edit, batch=10))
    assert steps[:-1] == [*((done, total) for done in range(0, total, 10)), (total, total)]


def test_a_trial_that_was_stopped_is_of_pictures_that_their_names_drew_and_goes_on(
    clip: SplitClip, dictionary: Dictionary, some: PictureSet, vectors: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, edit = SaeClip(clip, dictionary), Edit((Lever(0, "set", 15.0),))
    whole = result(generalize(model, some, vectors, edit, batch=7))
    trial = try_on(model, some, vectors, edit, batch=7)
    sizes = [len(next(trial)) for _ in range(3)]
    assert sizes == [0, 7, 14]
    begun = next(trial)
    assert begun.of.tolist() == sorted(drawn_order(some.names)[:21])
    assert begun.found.counts == whole.counts_of(np.isin(np.arange(len(some)), begun.of))
    mixed = some.part(np.random.default_rng(0).permutation(len(some)))
    (again,) = [one for one in try_on(model, mixed, vectors, edit, batch=7) if len(one) == 21]
    assert {mixed.names[i] for i in again.of} == {some.names[i] for i in begun.of}, "in whichever order they come"
    ran = Mock(wraps=clip.embed_from_residual)
    monkeypatch.setattr(clip, "embed_from_residual", ran)
    *_, found = try_on(model, some, vectors, edit, begun, batch=7)
    assert sum(len(called.args[0]) for called in ran.call_args_list) == len(some) - 21
    assert found.of.tolist() == list(range(len(some)))
    assert replace(found.found, shown=whole.shown, crops=whole.crops) == whole


def test_what_does_not_fit_is_refused(
    clip: SplitClip, dictionary: Dictionary, some: PictureSet, vectors: Tensor
) -> None:
    with pytest.raises(UserError, match="no component 48"):
        result(generalize(SaeClip(clip, dictionary), some, vectors, Edit.of_suppressed([COMPONENTS])))
    with pytest.raises(ValueError, match="3 class vectors for 40 classes"):
        result(generalize(SaeClip(clip, dictionary), some, vectors[:3], Edit()))


# The counts


@st.composite
def generalizations(draw: st.DrawFn) -> Generalization:
    n = draw(st.integers(1, 30))
    before, after = (np.array(draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))) for _ in range(2))
    truth = np.array(draw(st.lists(st.integers(-1, 2), min_size=n, max_size=n)))
    group = np.array(draw(st.lists(st.sampled_from(["", *sorted(KINDS)]), min_size=n, max_size=n)))
    nothing, lead = np.zeros(0, dtype=int), np.zeros(n, dtype=np.float32)
    return Generalization(
        before,
        after,
        truth,
        group,
        before != after,
        lead,
        lead,
        ("a", "b", "c"),
        nothing,
        np.zeros((0, 2, 2, 3), np.uint8),
    )


@given(generalizations())
def test_every_picture_is_fixed_broken_changed_or_unchanged(g: Generalization) -> None:
    n = len(g.truth)

    def becomes(i: int) -> str:
        if g.truth[i] < 0:
            return "unchanged" if g.before[i] == g.after[i] else "changed"
        was, now = g.before[i] == g.truth[i], g.after[i] == g.truth[i]
        return {(False, True): "fixed", (True, False): "broken"}.get((bool(was), bool(now)), "unchanged")

    def counted_slowly(mine: list[int]) -> Counts:
        labelled = [i for i in mine if g.truth[i] >= 0]
        right = sum(bool(g.before[i] == g.truth[i]) for i in labelled)
        of = {outcome: sum(became[i] == outcome for i in mine) for outcome in ("fixed", "broken", "changed")}
        return Counts(len(labelled) - right, right, of["fixed"], of["broken"], len(mine) - len(labelled), of["changed"])

    became = [becomes(i) for i in range(n)]
    for outcome in ("fixed", "broken", "changed", "unchanged"):
        assert getattr(g, outcome).tolist() == [i for i, value in enumerate(became) if value == outcome]
    assert g.counts == counted_slowly(list(range(n)))
    assert g.counts.unchanged == became.count("unchanged")
    after = sum(bool(g.after[i] == g.truth[i]) for i in range(n))
    assert g.counts.right_after == after
    assert list(g.by_group) == list(dict.fromkeys(g.group.tolist()))
    for group, counts in g.by_group.items():
        assert counts == counted_slowly([i for i in range(n) if g.group[i] == group])
    assert list(g.by_class) == [name for c, name in enumerate(g.classes) if c in g.truth]
    for name, counts in g.by_class.items():
        assert counts == counted_slowly([i for i in range(n) if g.truth[i] >= 0 and g.classes[g.truth[i]] == name])
    assert g.acts == pytest.approx(sum(g.touched) / n)
    assert g.said == g.counts.said


@given(st.integers(1, 5), st.data())
def test_a_lead_is_the_logit_less_the_best_other(n_classes: int, data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 6))
    row = st.lists(st.integers(-9, 9), min_size=n_classes, max_size=n_classes)
    logits = np.array(data.draw(st.lists(row, min_size=n, max_size=n)), dtype=np.float32).reshape(n, n_classes)
    of = np.array(data.draw(st.lists(st.integers(0, n_classes - 1), min_size=n, max_size=n)), dtype=int)
    kept = logits.copy()
    found = leads(logits, of)
    assert found.dtype == np.float32
    assert np.array_equal(logits, kept), "what is given is not written to"
    for values, c, lead in zip(logits.tolist(), of.tolist(), found.tolist(), strict=True):
        others = values[:c] + values[c + 1 :]
        assert lead == (values[c] - max(others) if others else 0)


counted = st.tuples(st.integers(0, 200), st.integers(0, 200)).flatmap(
    lambda n: st.builds(Counts, st.just(n[0]), st.just(n[1]), st.integers(0, n[0]), st.integers(0, n[1]))
)
without_labels = st.integers(0, 200).flatmap(
    lambda n: st.builds(Counts, st.just(0), st.just(0), st.just(0), st.just(0), st.just(n), st.integers(0, n))
)


def wilson(k: int, n: int) -> tuple[float, float]:
    """The two shares that lie 1.96 of their own standard errors from k of n."""
    z, p = 1.959963984540054, k / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


@settings(max_examples=60)
@given(st.one_of(counted, without_labels))
def test_intervals_are_wilsons(c: Counts) -> None:
    for k, n, found in (
        (c.fixed, c.wrong, c.fixed_interval),
        (c.broken, c.right, c.broken_interval),
        (c.changed, c.unlabelled, c.changed_interval),
        (c.right, c.labelled, c.accuracy_interval),
        (c.right + c.fixed - c.broken, c.labelled, c.accuracy_after_interval),
    ):
        assert (found is None) == (n == 0)
        if found is not None:
            assert found == pytest.approx(wilson(k, n), abs=1e-9)
            assert 0 <= found[0] <= k / n <= found[1] <= 1


@settings(max_examples=60)
@given(counted)
def test_the_p_value_is_the_exact_mcnemar(c: Counts) -> None:
    """Twice the chance of at most the smaller count when each change is a fair coin."""
    n = c.fixed + c.broken
    tail = sum(math.comb(n, i) for i in range(min(c.fixed, c.broken) + 1)) / 2**n
    assert c.p_value == pytest.approx(min(1.0, 2 * tail), rel=1e-9)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (
            Counts(87, 213, 12, 3),
            "Fixes 12 of 87 pictures that were wrong (14 %, 95 % interval 8 to 23 %), "
            "breaks 3 of 213 that were right (1 %, 95 % interval 0 to 4 %).",
        ),
        (
            Counts(0, 1, 0, 1),
            "Fixes 0 of 0 pictures that were wrong, breaks 1 of 1 that was right (100 %, 95 % interval 21 to 100 %).",
        ),
        (
            Counts(1, 299, 0, 1),
            "Fixes 0 of 1 picture that was wrong (0 %, 95 % interval 0 to 79 %), "
            "breaks 1 of 299 that were right (under 1 %, 95 % interval 0 to 2 %).",
        ),
        (
            Counts(300, 0, 299, 0),
            "Fixes 299 of 300 pictures that were wrong (over 99 %, 95 % interval 98 to 100 %), "
            "breaks 0 of 0 that were right.",
        ),
        (Counts(0, 0, 0, 0), "Fixes 0 of 0 pictures that were wrong, breaks 0 of 0 that were right."),
        (
            Counts(0, 0, 0, 0, 40, 5),
            "Changes the answer in 5 of 40 pictures without a label (12 %, 95 % interval 5 to 26 %).",
        ),
        (
            Counts(0, 2, 0, 0, 1, 0),
            "Fixes 0 of 0 pictures that were wrong, breaks 0 of 2 that were right (0 %, 95 % interval 0 to 66 %). "
            "Changes the answer in 0 of 1 picture without a label (0 %, 95 % interval 0 to 79 %).",
        ),
    ],
)
def test_the_sentence(counts: Counts, said: str) -> None:
    assert counts.said == said
