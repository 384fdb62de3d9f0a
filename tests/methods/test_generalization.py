"""The reference pictures, and edits run on them, against the unsplit model, one picture at a time."""

import math
import pickle
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

from core.errors import UserError
from core.methods.generalization import (
    KINDS,
    SHOWN,
    Counts,
    Generalization,
    Progress,
    References,
    crops,
    generalize,
    read_references,
    reference_cases,
)
from core.methods.steering import Edit, Lever
from core.model.clip import SplitClip, text_classifier
from core.model.dictionary import Dictionary
from core.model.prompts import TEMPLATES
from core.model.sae_clip import SaeClip
from core.model.trace import Trace
from core.scenes.sampling import HELD_OUT, held_out
from core.scenes.scene import CLASSES, STAMPED_CLASS, WATER_CLASS, Painter

CASES = reference_cases()
N = len(CASES)


@pytest.fixture(scope="module")
def vectors(clip: SplitClip) -> Tensor:
    return text_classifier(clip, CLASSES, TEMPLATES["single"])


@pytest.fixture(scope="module")
def reading(clip: SplitClip, dictionary: Dictionary) -> list:
    """All that `read_references` yields."""
    return list(read_references(SaeClip(clip, dictionary), batch=70))


@pytest.fixture(scope="module")
def some(reading: list) -> References:
    """Every eighth picture, half of them called right, so that there is something to fix and to break."""
    every = np.arange(0, N, 8)
    whole = reading[-1]
    said = whole.said[every]
    return References(
        traces=tuple(whole.traces[i] for i in every),
        kind=whole.kind[every],
        truth=np.where(np.arange(len(every)) % 2, said, (said + 1) % len(CLASSES)),
        said=said,
        classes=CLASSES,
    )


def result(steps: Iterable[Progress | Generalization]) -> Generalization:
    *_, last = steps
    assert isinstance(last, Generalization)
    return last


# The scenes


def test_there_are_300_pictures_of_four_kinds() -> None:
    assert N == 300
    counted = {kind: sum(case.kind == kind for case in CASES) for kind in KINDS}
    assert counted == dict(KINDS) == {"clean": 120, "attacked": 90, "stamped": 45, "flooded": 45}


def test_they_are_always_the_same_and_all_different() -> None:
    assert reference_cases() == CASES
    assert len({case.scene for case in CASES}) == N


def test_each_kind_has_its_cue_and_no_other() -> None:
    for case in CASES:
        scene = case.scene
        assert scene.main is not None
        assert scene.main.name == case.truth in CLASSES
        cues = {"attacked": scene.label, "stamped": scene.stamp, "flooded": scene.background == "water" or None}
        assert [kind for kind, cue in cues.items() if cue is not None] == [case.kind] * (case.kind != "clean")
        word = scene.label.word if scene.label else None
        assert case.foil == {"attacked": word, "stamped": STAMPED_CLASS, "flooded": WATER_CLASS}.get(case.kind)
        assert case.foil != case.truth
        assert case.foil in CLASSES or case.kind == "clean"


@pytest.mark.parametrize("split", ["validation", "test"])
def test_none_is_among_the_held_out_pictures(split: str) -> None:
    """Not one in common with as many as are used; the same seeds would share nearly all of a kind."""
    mine = {case.scene for case in CASES}
    for kind in HELD_OUT:
        theirs = {case.scene for case in held_out(kind, 300, split)}
        assert not mine & theirs


def test_they_are_drawn_at_the_side_asked_for() -> None:
    few = CASES[::60]
    for side in (32, 50):
        drawn = list(crops(few, side))
        assert [crop.shape for crop in drawn] == [(side, side, 3)] * len(few)
        for crop, case in zip(drawn, few, strict=True):
            assert crop.dtype == np.uint8
            assert np.array_equal(crop, Painter(side).paint(case.scene))


# Reading them


def test_reading_tells_its_progress(reading: list) -> None:
    assert reading[:-1] == [(0, 300), (70, 300), (140, 300), (210, 300), (280, 300), (300, 300)]
    assert isinstance(reading[-1], References)


def test_the_references_are_the_pictures_in_order(reading: list, clip: SplitClip, vectors: Tensor) -> None:
    found = reading[-1]
    assert found.classes == CLASSES
    assert len(found.traces) == N
    assert found.kind.tolist() == [case.kind for case in CASES]
    assert [CLASSES[i] for i in found.truth] == [case.truth for case in CASES]
    painter = Painter(32)
    for i in range(0, N, 37):
        assert np.array_equal(found.traces[i].crop, painter.paint(CASES[i].scene))
        z = unsplit(clip, found.traces[i], None)
        torch.testing.assert_close(torch.as_tensor(found.traces[i].embedding), z, atol=1e-5, rtol=1e-5)
        assert best(z, vectors, found.said[i])


def test_references_print_briefly_pickle_and_compare(reading: list, some: References) -> None:
    assert repr(reading[-1]) == "References(300 pictures, 40 classes)"
    again = pickle.loads(pickle.dumps(some))
    assert again == some
    assert again != replace(some, truth=some.said)


# Edits run on them


def unsplit(clip: SplitClip, trace: Trace, difference: Tensor | None) -> Tensor:
    """The embedding by the unsplit model, which reads the pixels; a hook adds to the residual."""
    layer = clip.model.vision_model.encoder.layers[clip.layer]
    hook = layer.register_forward_hook(lambda m, i, output: None if difference is None else output + difference)
    with torch.no_grad():
        z = clip.model.get_image_features(pixel_values=clip.pixels(trace.crop[None])).pooler_output[0]
    hook.remove()
    return z


def best(z: Tensor, vectors: Tensor, said: int) -> bool:
    """Whether `said` has the highest cosine, up to rounding."""
    cosines = vectors @ (z / z.norm())
    return bool(cosines[int(said)] >= cosines.max() - 1e-6)


def slow_difference(dictionary: Dictionary, trace: Trace, edit: Edit) -> Tensor:
    """What the edit adds to the residual, [T, d]: the difference of two dense decodes."""
    f = dictionary.encode(torch.as_tensor(trace.residual))
    changed = f.clone()
    for lever in edit.levers:
        j = lever.component
        changed[:, j] = lever.strength if lever.operation == "set" else lever.strength * f[:, j]
    with torch.no_grad():
        return dictionary.sae.decode(changed) - dictionary.sae.decode(f)


def shared_by(references: References) -> np.ndarray:
    """In how many pictures each component is active, int [m]."""
    found = np.zeros(COMPONENTS, dtype=int)
    for trace in references.traces:
        found[trace.activations.components()] += 1
    return found


def rare(references: References) -> int:
    """The component active in the number of pictures closest to half of them."""
    return int(np.abs(shared_by(references) - len(references.traces) / 2).argmin())


@pytest.mark.parametrize("way", ["suppress", "scale", "set", "many"])
def test_an_edit_does_what_it_does_to_each_picture_alone(
    clip: SplitClip, dictionary: Dictionary, some: References, vectors: Tensor, way: str
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
    for i, trace in enumerate(some.traces):
        difference = slow_difference(dictionary, trace, edit)
        assert best(unsplit(clip, trace, difference), vectors, found.after[i])
        assert found.touched[i] == bool((difference.abs() > 1e-6).any())
    if way in ("set", "many"):
        assert found.touched.all()
        assert found.fixed.size + found.broken.size > 0
    else:
        assert 0 < found.touched.sum() < len(found.touched)


def test_the_model_runs_for_touched_pictures_only(
    clip: SplitClip, dictionary: Dictionary, some: References, vectors: Tensor, monkeypatch: pytest.MonkeyPatch
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
    clip: SplitClip, dictionary: Dictionary, some: References, vectors: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip, "embed_from_residual", None)
    for edit in (Edit(), Edit(tuple(Lever(j, "scale", 1.0) for j in range(COMPONENTS)))):
        steps = list(generalize(SaeClip(clip, dictionary), some, vectors, edit))
        assert steps[:-1] == [(0, len(some.traces))]
        found = result(steps)
        assert np.array_equal(found.after, some.said)
        assert not found.touched.any()
        assert found.unchanged.size == len(some.traces)


def test_a_choice_of_tokens_does_not_carry_over(
    clip: SplitClip, dictionary: Dictionary, some: References, vectors: Tensor
) -> None:
    edit = Edit((Lever(rare(some), "scale", -8.0),))
    whole, part = (result(generalize(SaeClip(clip, dictionary), some, vectors, e)) for e in (edit, edit.among((2,))))
    assert whole == part
    assert whole.touched.any()


def test_a_run_tells_its_progress(clip: SplitClip, dictionary: Dictionary, some: References, vectors: Tensor) -> None:
    edit, total = Edit((Lever(0, "set", 1.0),)), len(some.traces)
    steps = list(generalize(SaeClip(clip, dictionary), some, vectors, edit, batch=10))
    assert steps[:-1] == [*((done, total) for done in range(0, total, 10)), (total, total)]


def test_what_does_not_fit_is_refused(
    clip: SplitClip, dictionary: Dictionary, some: References, vectors: Tensor
) -> None:
    with pytest.raises(UserError, match="no component 48"):
        result(generalize(SaeClip(clip, dictionary), some, vectors, Edit.of_suppressed([COMPONENTS])))
    with pytest.raises(ValueError, match="3 class vectors for 40 classes"):
        result(generalize(SaeClip(clip, dictionary), some, vectors[:3], Edit()))


# The counts


@st.composite
def generalizations(draw: st.DrawFn) -> Generalization:
    n = draw(st.integers(1, 30))
    before, after, truth = (np.array(draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))) for _ in range(3))
    kind = np.array(draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=n, max_size=n)))
    nothing = np.zeros(0, dtype=int)
    return Generalization(
        before, after, truth, kind, before != after, ("a", "b", "c"), nothing, np.zeros((0, 2, 2, 3), np.uint8)
    )


@given(generalizations())
def test_every_picture_is_fixed_broken_or_unchanged(g: Generalization) -> None:
    def becomes(i: int) -> str:
        was, now = g.before[i] == g.truth[i], g.after[i] == g.truth[i]
        return {(False, True): "fixed", (True, False): "broken"}.get((bool(was), bool(now)), "unchanged")

    became = [becomes(i) for i in range(len(g.truth))]
    for outcome, indices in (("fixed", g.fixed), ("broken", g.broken), ("unchanged", g.unchanged)):
        assert indices.tolist() == [i for i, value in enumerate(became) if value == outcome]
    for kind, counts in (*g.by_kind.items(), (None, g.counts)):
        mine = [i for i in range(len(g.truth)) if kind in (None, g.kind[i])]
        right = sum(bool(g.before[i] == g.truth[i]) for i in mine)
        fixed, broken = (sum(became[i] == outcome for i in mine) for outcome in ("fixed", "broken"))
        assert counts == Counts(wrong=len(mine) - right, right=right, fixed=fixed, broken=broken)
        assert counts.unchanged == sum(became[i] == "unchanged" for i in mine)
    assert list(g.by_kind) == [kind for kind in KINDS if kind in g.kind]
    assert g.said == g.counts.said


counted = st.tuples(st.integers(0, 200), st.integers(0, 200)).flatmap(
    lambda n: st.builds(Counts, st.just(n[0]), st.just(n[1]), st.integers(0, n[0]), st.integers(0, n[1]))
)


def wilson(k: int, n: int) -> tuple[float, float]:
    """The two shares that lie 1.96 of their own standard errors from k of n."""
    z, p = 1.959963984540054, k / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


@settings(max_examples=60)
@given(counted)
def test_intervals_are_wilsons(c: Counts) -> None:
    for k, n, found in ((c.fixed, c.wrong, c.fixed_interval), (c.broken, c.right, c.broken_interval)):
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
    ],
)
def test_the_sentence(counts: Counts, said: str) -> None:
    assert counts.said == said
