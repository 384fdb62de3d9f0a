"""The search against brute force through the unsplit CLIP in float64, one residual for each set, decoded densely."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import COMPONENTS, tiny_model, tiny_sae
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn.functional import normalize

from core.errors import UserError
from core.methods.attribution import attribute
from core.methods.edit_search import (
    ALTERNATIVES,
    CANDIDATES,
    CLEAR,
    MOST,
    TRIPLED,
    Candidate,
    Components,
    Search,
    find_edit,
)
from core.methods.question import Question
from core.methods.steering import Edit
from core.methods.targets import ClassTarget
from core.model.clip import SplitClip, text_classifier
from core.model.dictionary import Dictionary
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary
from core.model.trace import Trace
from core.setups.catalog import Location, SetupSpec
from core.setups.loading import Setup
from core.workbench import Workbench

ONE = ("a photo of a {}",)
SEEDS = (*range(8), 16, 62)
"""The last two have sets to thin in which it matters what goes first."""
N_CLASSES = 4
ROUNDING = 2e-4
"""Logits: float32 in a batch against float64 alone, at a scale of about 14."""


def vectors(n: int, seed: int) -> torch.Tensor:
    """Random unit vectors [n, p]."""
    return normalize(torch.randn(n, 16, generator=torch.Generator().manual_seed(seed)), dim=-1)


PROBES = vectors(30, 1000)


class Unsplit:
    """The picture under suppressions, through the unsplit model in float64 with a hook after layer 1."""

    def __init__(self, clip: SplitClip, trace: Trace) -> None:
        self.model = tiny_model().double()
        self.pixels = clip.pixels(trace.crop[None]).double()
        self.scale = float(np.exp(self.model.logit_scale.item()))
        sae = tiny_sae("topk").to(dtype=torch.float64)
        v = sae.decode(torch.eye(COMPONENTS).double()) - sae.decode(torch.zeros(1, COMPONENTS).double())
        x = torch.as_tensor(trace.residual).double()
        self.parts = [torch.as_tensor(trace.activations.of(j)).double()[:, None] * v[j] for j in range(COMPONENTS)]
        self.x = x
        self.before = self.embeddings([()])[0]

    def embeddings(self, sets: list[Components]) -> torch.Tensor:
        """z [len(sets), p] with the parts f_j v_j of each set taken out of x."""
        residuals = torch.stack([self.x - sum((self.parts[j] for j in one), torch.zeros_like(self.x)) for one in sets])
        layer = self.model.vision_model.encoder.layers[1]
        hook = layer.register_forward_hook(lambda module, inputs, output: residuals)
        with torch.no_grad():
            z = self.model.get_image_features(pixel_values=self.pixels.repeat(len(sets), 1, 1, 1)).pooler_output
        hook.remove()
        return z

    def logits(self, z: torch.Tensor, rows: torch.Tensor) -> np.ndarray:
        return (self.scale * (z / z.norm(dim=-1, keepdim=True)) @ rows.double().T).numpy()


class Case:
    """One question, what was found with and without probes, and what the unsplit model says of any set."""

    def __init__(self, unsplit: Unsplit, clip: SplitClip, dictionary: Dictionary, trace: Trace, seed: int, truth: int):
        self.unsplit, self.truth = unsplit, truth
        self.classifier = vectors(N_CLASSES, seed)
        *self.steps, self.found = find_edit(SaeClip(clip, dictionary), trace, self.classifier, truth)
        *_, self.probed = find_edit(SaeClip(clip, dictionary), trace, self.classifier, truth, PROBES)
        self.predicted = int(unsplit.logits(unsplit.before, self.classifier).argmax())
        target = ClassTarget(self.predicted, truth)
        totals = attribute(Question(SaeClip(clip, dictionary), trace, self.classifier, target))
        self.ranked = tuple(int(j) for j in totals.ranked() if totals.total_of(int(j)) > 0)[:CANDIDATES]
        self.seen: dict[Components, Candidate] = {}

    def look(self, sets: list[Components]) -> list[Candidate]:
        """What the unsplit model says about sets of components, in the words of the search."""
        new = [one for one in sets if one not in self.seen]
        if new:
            z = self.unsplit.embeddings(new)
            rows, old = (
                self.unsplit.logits(z, self.classifier),
                self.unsplit.logits(self.unsplit.before, self.classifier),
            )
            probed, unprobed = (
                self.unsplit.logits(z, PROBES),
                self.unsplit.logits(self.unsplit.before, PROBES),
            )
            for one, row, concepts in zip(new, rows, probed, strict=True):
                margin = min(row[self.truth] - row[c] for c in range(N_CLASSES) if c != self.truth)
                effect = (row[self.predicted] - row[self.truth]) - (old[self.predicted] - old[self.truth])
                change = concepts - unprobed
                side = float(np.sqrt(np.mean((change - change.mean()) ** 2)))
                edit = Edit.of_suppressed(one)
                self.seen[one] = Candidate(edit, int(row.argmax()), margin, effect, side, bool(margin > CLEAR))
        return [self.seen[one] for one in sets]

    def exhausted(self, size: int) -> list[Components]:
        """The sets of up to three that the search owes."""
        return list(combinations(self.ranked[: TRIPLED if size == 3 else CANDIDATES], size))

    def prefixes(self) -> list[Components]:
        return [self.ranked[:n] for n in range(4, min(MOST, len(self.ranked)) + 1)]

    def thinned(self, pick: Callable[..., int] = max) -> tuple[Components, Components] | None:
        """The first prefix that hits, and what greedy elimination leaves of it: `max` keeps the largest margin."""
        for prefix in self.prefixes():
            if not self.look([prefix])[0].hit:
                continue
            left = prefix
            while True:
                options = {j: tuple(i for i in left if i != j) for j in left}
                margins = {j: self.look([rest])[0].margin for j, rest in options.items()}
                spared = {j: margin for j, margin in margins.items() if margin > CLEAR}
                if not spared:
                    return prefix, left
                left = options[pick(spared, key=lambda j: spared[j])]
        return None

    def all_tried(self) -> list[Components]:
        """Every set a search without a hit owes."""
        return [*(one for size in (1, 2, 3) for one in self.exhausted(size)), *self.prefixes()]


def components(edit: Edit | None) -> Components:
    assert edit is not None
    assert edit.tokens is None
    assert all(lever.operation == "suppress" for lever in edit.levers)
    return tuple(lever.component for lever in edit.levers)


@pytest.fixture(scope="module")
def cases(clip: SplitClip, dictionary: Dictionary, trace: Trace) -> list[Case]:
    """Random classes, each in turn what the picture should be."""
    unsplit = Unsplit(clip, trace)
    made = []
    for seed in SEEDS:
        top = int(unsplit.logits(unsplit.before, vectors(N_CLASSES, seed)).argmax())
        made += [Case(unsplit, clip, dictionary, trace, seed, truth) for truth in range(N_CLASSES) if truth != top]
    return made


def hits(cases: list[Case], *sizes: int) -> list[Case]:
    """The cases with an answer of one of these sizes, at least one of each."""
    chosen = [case for case in cases if case.found.hit and case.found.size in sizes]
    assert {case.found.size for case in chosen} == set(sizes)
    return chosen


def misses(cases: list[Case]) -> list[Case]:
    chosen = [case for case in cases if not case.found.hit]
    assert len(chosen) >= 3
    return chosen


def test_every_search_ends_in_one_answer_and_counts_on_the_way(cases: list[Case]) -> None:
    for case in cases:
        counts = [0, *(step.tried for step in case.steps)]
        assert all(0 < after - before <= 32 for before, after in zip(counts, counts[1:], strict=False))
        assert not any(step.done or step.hit or step.edit or step.alternatives for step in case.steps)
        assert {step.size for step in case.steps if step.size < 4} == set(range(1, min(case.found.size, 3) + 1))
        found = case.found
        assert found.done
        assert found.tried == counts[-1]
        assert found.candidates == case.ranked
        assert (found.predicted, found.truth) == (case.predicted, case.truth)
        assert found.hit == (found.edit is not None)


def test_no_more_is_tried_than_it_takes(cases: list[Case]) -> None:
    for case in hits(cases, 1, 2):
        assert case.found.tried == sum(len(case.exhausted(size)) for size in range(1, case.found.size + 1))
    for case in misses(cases):
        assert case.found.tried == len(case.all_tried())


def test_up_to_three_it_is_the_best_of_the_smallest_by_brute_force(cases: list[Case]) -> None:
    hits(cases, 1, 2, 3)
    for case in cases:
        for size in (1, 2, 3):
            sets = case.exhausted(size)
            hit = [(one, seen) for one, seen in zip(sets, case.look(sets), strict=True) if seen.hit]
            if not hit:
                continue
            assert case.found.size == case.probed.size == size
            assert components(case.found.edit) == max(hit, key=lambda pair: pair[1].margin)[0]
            assert components(case.probed.edit) == min(hit, key=lambda pair: pair[1].side_effect or 0)[0]
            break
        else:
            assert not case.found.hit or case.found.size >= 3


def test_probes_change_the_choice_but_not_the_size(cases: list[Case]) -> None:
    differ = [case for case in cases if case.found.edit != case.probed.edit]
    assert differ
    for case in differ:
        assert case.probed.margin is not None
        assert case.found.margin is not None
        assert case.probed.margin < case.found.margin
        assert case.probed.size == case.found.size <= 3
    for case in cases:
        assert case.found.side_effect is None
        assert all(other.side_effect is None for other in case.found.alternatives)


def test_beyond_three_it_is_a_thinned_prefix(cases: list[Case]) -> None:
    dropped, mattered = 0, 0
    for case in cases:
        if any(seen.hit for size in (1, 2, 3) for seen in case.look(case.exhausted(size))):
            continue
        expected = case.thinned()
        assert case.found.hit == (expected is not None)
        if expected is not None:
            prefix, left = expected
            assert components(case.found.edit) == components(case.probed.edit) == left
            assert case.found.size == len(left)
            dropped += len(prefix) - len(left)
            mattered += case.thinned(min) != expected
    assert dropped >= 3
    assert mattered


def test_no_lever_of_an_answer_is_idle(cases: list[Case]) -> None:
    assert any(case.found.hit and case.found.size > 3 for case in cases)
    for case in cases:
        for found in (case.found, case.probed):
            if found.hit and found.size > 1:
                kept = components(found.edit)
                assert not any(seen.hit for seen in case.look(list(combinations(kept, len(kept) - 1))))


def test_numbers_are_the_unsplit_models(cases: list[Case]) -> None:
    for case in cases:
        for found in (case.found, case.probed):
            told = list(found.alternatives)
            if found.edit is not None:
                assert found.margin is not None
                assert found.effect is not None
                told.append(Candidate(found.edit, case.truth, found.margin, found.effect, found.side_effect, True))
            for one, seen in zip(told, case.look([components(one.edit) for one in told]), strict=True):
                assert abs(seen.margin - CLEAR) > ROUNDING  # else what counts as a hit would be up to rounding
                assert (one.predicted, one.hit) == (seen.predicted, seen.hit)
                assert one.margin == pytest.approx(seen.margin, abs=ROUNDING)
                assert one.effect == pytest.approx(seen.effect, abs=ROUNDING)
                if found is case.probed:
                    assert one.side_effect == pytest.approx(seen.side_effect, abs=ROUNDING)


def test_alternatives_are_the_best_others_of_the_size(cases: list[Case]) -> None:
    for case in hits(cases, 1, 2):
        for found in (case.found, case.probed):
            sets = [one for one in case.exhausted(found.size) if one != components(found.edit)]
            best = sorted(case.look(sets), key=lambda seen: (-seen.hit, -seen.margin))[:ALTERNATIVES]
            assert [other.edit for other in found.alternatives] == [seen.edit for seen in best]
    for case in cases:
        for other in case.found.alternatives:
            assert other.edit != case.found.edit
            assert not case.found.hit or len(other.edit.levers) == case.found.size
    both = {other.hit for case in cases if case.found.hit for other in case.found.alternatives}
    assert both == {True, False}


def test_a_miss_tells_the_nearest_of_all_sets(cases: list[Case]) -> None:
    for case in misses(cases):
        found = case.found
        nearest = sorted(case.look(case.all_tried()), key=lambda seen: -seen.margin)[:ALTERNATIVES]
        assert [other.edit for other in found.alternatives] == [seen.edit for seen in nearest]
        assert not any(other.hit for other in found.alternatives)
        assert (found.edit, found.margin, found.effect, found.side_effect) == (None, None, None, None)
        assert found.size == max(map(len, case.all_tried()))
        closest = found.alternatives[0]
        expected = f"No set of up to {found.size} suppressions that was tried makes it “{'abcd'[case.truth]}”."
        said = found.said("abcd")
        assert said.startswith(expected)
        assert said.endswith(f"{-closest.margin:.2f} logits short.")
        assert f"#{closest.edit.levers[-1].component}" in said


def test_the_same_question_has_the_same_answer(
    clip: SplitClip, dictionary: Dictionary, trace: Trace, cases: list[Case]
) -> None:
    for case in [*hits(cases, 1, 2, 3)[:6], misses(cases)[0]]:
        again = list(find_edit(SaeClip(clip, dictionary), trace, case.classifier, case.truth))
        assert again == [*case.steps, case.found]
        assert pickle.loads(pickle.dumps(again)) == again


def test_the_model_is_right_already(
    clip: SplitClip, dictionary: Dictionary, trace: Trace, classifier: torch.Tensor
) -> None:
    z = torch.as_tensor(trace.embedding)
    values = (clip.logit_scale * classifier @ z / z.norm()).tolist()
    top = values.index(max(values))
    (found,) = find_edit(SaeClip(clip, dictionary), trace, classifier, top)
    assert (found.edit, found.hit, found.done, found.tried, found.size) == (Edit(), True, True, 0, 0)
    second = max(value for index, value in enumerate(values) if index != top)
    assert found.margin == pytest.approx(values[top] - second, abs=ROUNDING)
    assert (found.effect, found.side_effect, found.alternatives) == (0.0, None, ())
    assert found.said(["x"] * top + ["owl"]) == "The model already says “owl”: no edit is needed."
    assert next(find_edit(SaeClip(clip, dictionary), trace, classifier, top, PROBES)).side_effect == 0.0
    (alone,) = find_edit(SaeClip(clip, dictionary), trace, classifier[:1], 0)
    assert alone.hit
    assert alone.margin is None


def test_nothing_speaks_for_the_wrong_class(
    clip: SplitClip, dictionary: Dictionary, trace: Trace, cases: list[Case]
) -> None:
    f = trace.activations
    none = replace(f, token=f.token[:0], component=f.component[:0], value=f.value[:0])
    case = cases[0]
    (found,) = find_edit(SaeClip(clip, dictionary), replace(trace, activations=none), case.classifier, case.truth)
    assert (found.done, found.hit, found.edit, found.tried, found.alternatives) == (True, False, None, 0, ())
    names = ["a", "b", "c", "d"]
    expected = f"“{names[case.predicted]}” against “{names[case.truth]}”"
    assert found.said(names) == f"No component speaks for {expected} here: there is nothing to suppress."


def test_one_probe_has_no_spread(clip: SplitClip, dictionary: Dictionary, trace: Trace, cases: list[Case]) -> None:
    case = hits(cases, 1)[0]
    for probes in (PROBES[:0], PROBES[:1]):
        *_, found = find_edit(SaeClip(clip, dictionary), trace, case.classifier, case.truth, probes)
        assert found == case.found


@pytest.mark.parametrize("truth", [-1, 5])
def test_a_class_that_is_not_there_is_refused_at_once(
    clip: SplitClip, dictionary: Dictionary, trace: Trace, classifier: torch.Tensor, truth: int
) -> None:
    with pytest.raises(UserError, match=f"no class number {truth}: there are 5"):
        find_edit(SaeClip(clip, dictionary), trace, classifier, truth)


def sentence(n_candidates: int, *suppressed: int) -> str:
    edit = Edit.of_suppressed(suppressed)
    candidates = tuple(range(n_candidates))
    return Search(1, 0, candidates, 9, len(suppressed), True, edit, True).said(("cat", "dog"))


def test_said() -> None:
    classes = ("cat", "dog")
    assert sentence(12, 512) == "One suppression does it: #512."
    assert sentence(12, 5, 9) == "Suppressing 2 components does it: #5 and #9; no single one of the 12 strongest does."
    assert sentence(7, 5, 9, 1) == (
        "Suppressing 3 components does it: #5, #9 and #1; no single one or pair among the 7 strongest does."
    )
    assert sentence(12, 5, 9, 1, 2) == (
        "Suppressing 4 components does it: #5, #9, #1 and #2; no single one or pair among the 12 strongest does, "
        "no three of the 8 strongest, and none of these can be left out."
    )
    for n, size, expected in (
        (1, 1, "1 edit tried so far, the latest of 1 suppression."),
        (64, 2, "64 edits tried so far, the latest of 2 suppressions."),
    ):
        assert Search(1, 0, (3,), n, size).said(classes) == expected
    near = Candidate(Edit.of_suppressed((4, 3)), 0, -1.234, 0.5, None, False)
    missed = Search(1, 0, (4, 3), 3, 2, True, alternatives=(near,))
    start = "No set of up to 2 suppressions that was tried makes it “dog”. The closest: #4 and #3, "
    assert missed.said(classes) == f"{start}1.23 logits short."
    for tiny in (-0.004, CLEAR / 2):
        nearest = replace(missed, alternatives=(replace(near, margin=tiny),))
        assert nearest.said(classes) == f"{start}less than 0.01 logits short."
    only = replace(missed, size=1, alternatives=(replace(near, edit=Edit.of_suppressed((4,))),))
    assert only.said(classes) == (
        "No single suppression that was tried makes it “dog”. The closest: #4, 1.23 logits short."
    )


names = st.lists(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=6), min_size=2, max_size=5, unique=True)


@pytest.mark.parametrize(("architecture", "scope"), [("topk", "all"), ("jumprelu", "patches")])
def test_every_hit_flips_on_the_workbench(clip: SplitClip, picture: Image.Image, architecture, scope) -> None:
    dictionary = SaeDictionary(tiny_sae(architecture), scope)
    card = SetupSpec("tiny", "Tiny", Location(Path("a")), Location(Path("b")), 1, scope, "MIT", "")
    bench = Workbench(Setup(card, SaeClip(clip, dictionary)))
    trace = SaeClip(clip, dictionary).traces([clip.crop(picture)])[0]
    flips = []

    @settings(max_examples=25)
    @given(names.map(tuple), st.data())
    def check(classes: tuple[str, ...], data: st.DataObject) -> None:
        truth = data.draw(st.integers(0, len(classes) - 1))
        probes = data.draw(st.sampled_from([None, PROBES]))
        *_, found = find_edit(SaeClip(clip, dictionary), trace, text_classifier(clip, classes, ONE), truth, probes)
        if found.edit is not None:
            after = bench.compare(trace, found.edit, classes, ONE)
            assert after.after.top == truth
            assert len(found.edit.levers) == found.size <= MOST
            flips.append(after.flipped)
        for other in found.alternatives:
            assert bench.compare(trace, other.edit, classes, ONE).after.top == truth or not other.hit

    check()
    assert sum(flips) >= 3
