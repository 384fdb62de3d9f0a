"""What an index is asked, against slow derivations from its arrays and from the model itself."""

import io
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from conftest import CLASSES, COMPONENTS, tiny_sae
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from tiny_index import EDGES, PICTURES, VOCABULARY, tiny_index

from core.concepts import questions as concepts
from core.concepts.index import ConceptIndex
from core.concepts.questions import (
    ALIKE,
    FEWEST,
    WORDINGS,
    Histogram,
    Pushes,
    average_linkage,
    concept,
    crops_of,
    families,
    matches_picture,
    matches_words,
    neighbours,
    pushes,
    relative,
    shots,
    spread,
    strength_of,
)
from core.errors import UserError
from core.methods.side_effects import read_vocabulary
from core.model.clip import SplitClip, text_classifier
from core.model.dictionary import Dictionary
from core.model.trace import trace_crops
from core.workbench import PUSHED_ON, Workbench

SINGLE = ("a photo of a {}",)
SILENT = 4
"""A component that never fired."""


@pytest.fixture(scope="module")
def index() -> ConceptIndex:
    return tiny_index()


@pytest.fixture(scope="module")
def indexed(bench: Workbench, index: ConceptIndex) -> Workbench:
    return Workbench(replace(bench.setup, index=index))


# ---- one component


def test_a_concept_is_what_the_index_holds(index: ConceptIndex) -> None:
    for j in range(COMPONENTS):
        found = concept(index, j)
        assert found.component == j and found.silent == (j % 5 == 4) == (found.fired == 0)
        assert found.frequency == index.active_pictures[j] / PICTURES and found.pictures == PICTURES
        assert (found.peak, found.mean_active) == (index.peak[j], index.mean_active[j])
        words = [VOCABULARY[word] for word in index.label[j] if word >= 0]
        assert [guess.word for guess in found.guesses] == words
        assert found.label == (words[0] if words else None) and found.others == found.guesses[1:]
        assert found.alignment == (index.alignment[j, 0] if words else 0)
        assert found.clarity == (None if np.isnan(index.clarity[j]) else index.clarity[j])
        assert found == pickle.loads(pickle.dumps(found)), "plain, and nothing in it that is not equal to itself"


def test_the_usual_clarity_is_that_of_arbitrary_pictures(index: ConceptIndex) -> None:
    rng = np.random.default_rng(0)
    units = rng.normal(size=(400, 16)) + 0.5
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    found = concept(replace(index, average=units.mean(0).astype(np.float32)), 0)
    pairs = np.mean([units[a] @ units[b] for a, b in rng.integers(0, 400, (20_000, 2))])
    assert found.usual == pytest.approx(pairs, abs=0.01)


@pytest.mark.parametrize("kind", ["top", "mean", "mid"])
def test_shots_are_the_reference_pictures(index: ConceptIndex, kind: str) -> None:
    held = getattr(index, kind)
    for j in range(COMPONENTS):
        found = shots(index, j, kind, 4)  # type: ignore[arg-type]
        assert len(found) == min(4, (held.picture[j] >= 0).sum())
        for place, shot in enumerate(found):
            at = j * held.picture.shape[1] + place
            region = np.zeros(16)
            for k in range(held.start[at], held.start[at + 1]):
                region[held.patch[k]] = held.share[k] / 255
            np.testing.assert_allclose(shot.region, region.reshape(4, 4), rtol=1e-6)
            assert shot.row == held.picture[j, place] and shot.value == held.value[j, place]
            assert shot.on_cls == (held.token[j, place] == 0)
            assert Image.open(io.BytesIO(shot.webp)).size == (24, 24)
            assert shot.webp == index.pictures.webp(shot.row)


def test_the_spread_is_the_filled_part_of_the_histogram(index: ConceptIndex) -> None:
    for j in range(COMPONENTS):
        found = spread(index, j)
        if j % 5 == 4:
            assert found is None
            continue
        assert found is not None and len(found.edges) == len(found.counts) + 1
        assert found.counts[0] and found.counts[-1] and found.counts.sum() == index.active_tokens[j]
        for low, high, count in zip(found.edges, found.edges[1:], found.counts, strict=False):
            assert count == index.histogram[j, list(EDGES).index(low)] and high == EDGES[list(EDGES).index(low) + 1]


@given(st.integers(0, 50), st.floats(0.05, 1.5))
def test_quantiles_are_those_of_the_activations(seed: int, width: float) -> None:
    values = np.random.default_rng(seed).lognormal(0.3, width, 4000)
    counts, _ = np.histogram(np.clip(values, EDGES[0], EDGES[-1] * 0.999), EDGES)
    filled = np.flatnonzero(counts)
    histogram = Histogram(EDGES[filled[0] : filled[-1] + 2], counts[filled[0] : filled[-1] + 1])
    shares = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
    found = [histogram.quantile(share) for share in shares]
    assert found == sorted(found)
    assert (found[0], found[-1]) == pytest.approx((histogram.edges[0], histogram.edges[-1]))
    off = np.abs(np.log(np.array(found[1:-1]) / np.quantile(values, shares[1:-1])))
    assert off.max() < (0.08 if width > 0.5 else np.log(2) / 2)


def test_neighbours_are_the_lists_without_empty_places(index: ConceptIndex) -> None:
    for j in range(COMPONENTS):
        for by, who, how in (
            ("direction", index.near, index.near_cosine),
            ("firing", index.together, index.together_share),
        ):
            found = neighbours(index, j, by, 4)  # type: ignore[arg-type]
            wanted = [(a, b) for a, b in zip(who[j].tolist(), how[j].tolist(), strict=True) if a >= 0]
            assert [(one.component, one.value) for one in found] == wanted[:4]


@pytest.mark.parametrize("component", [-1, COMPONENTS, 10**9])
def test_there_is_no_such_component(
    index: ConceptIndex, clip: SplitClip, dictionary: Dictionary, classifier: torch.Tensor, component: int
) -> None:
    with pytest.raises(UserError, match="no component.*48"):
        concept(index, component)
    for ask in (
        lambda: shots(index, component),
        lambda: spread(index, component),
        lambda: neighbours(index, component, "firing"),
        lambda: strength_of(index, component),
        lambda: crops_of(index, component, 3, 32),
        lambda: pushes(clip, dictionary, component, 1.0, np.zeros((0, 32, 32, 3), np.uint8), classifier, CLASSES),
    ):
        with pytest.raises(UserError, match="no component"):
            ask()


# ---- families


def listed(pairs: dict[tuple[int, int], float], m: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs as lists; each pair stands in the list of its first component alone."""
    who, how = np.full((m, k), -1, np.int32), np.zeros((m, k), np.float32)
    for (a, b), value in sorted(pairs.items(), key=lambda item: -item[1]):
        place = int((who[a] >= 0).sum())
        who[a, place], how[a, place] = b, value
    return who, how


def related(
    index: ConceptIndex,
    cosine: dict[tuple[int, int], float] | None = None,
    together: dict[tuple[int, int], float] | None = None,
    **others: np.ndarray,
) -> ConceptIndex:
    """The index with these pairs alone; all components fire."""
    near, near_cosine = listed(cosine or {}, COMPONENTS, 12)
    who, share = listed(together or {}, COMPONENTS, 12)
    lists = {"near": near, "near_cosine": near_cosine, "together": who, "together_share": share}
    return replace(index, **{"active_pictures": np.full(COMPONENTS, 100), **lists, **others})  # type: ignore[arg-type]


def slow_families(index: ConceptIndex) -> set[frozenset[int]]:
    """Join the two groups of highest mean likeness, one pair of groups at a time."""
    m = index.n_components
    likeness = {}
    for a, b in combinations(range(m), 2):
        squares = 0.0
        for who, how, least in (
            (index.near, index.near_cosine, 1),
            (index.together, index.together_share, FEWEST),
        ):
            if min(index.active_pictures[[a, b]]) >= least:
                said = [how[x][who[x] == y].max(initial=0) for x, y in ((a, b), (b, a))]
                squares += float(max(said)) ** 2
        alike = min(1.0, squares**0.5)
        likeness[a, b] = likeness[b, a] = alike if alike >= ALIKE else 0.0
    groups = [frozenset({j}) for j in range(m)]
    while len(groups) > 1:
        mean = {
            (g, h): sum(likeness[a, b] for a in g for b in h) / (len(g) * len(h)) for g, h in combinations(groups, 2)
        }
        g, h = max(mean, key=lambda pair: mean[pair])
        if mean[g, h] < ALIKE:
            break
        groups = [group for group in groups if group not in (g, h)] + [g | h]
    return {group for group in groups if len(group) > 1}


@pytest.mark.parametrize("seed", range(4))
def test_families_are_those_of_the_slow_way(seed: int) -> None:
    index = tiny_index(components=30, neighbours=(3, 6, 10, 14)[seed], seed=seed)
    # Random likenesses hold nothing together: some groups are planted.
    rng = np.random.default_rng(seed)
    home = rng.integers(0, 6, 30)
    same = (index.together >= 0) & (home[index.together] == home[:, None])
    share = np.where(same, rng.uniform(0.4, 0.9, same.shape), index.together_share * 0.5).astype(np.float32)
    # Likenesses are cut at 1; none of these is, as among equal ones any may join first.
    index = replace(index, together_share=np.where(index.together >= 0, share, 0), near_cosine=index.near_cosine * 0.4)
    found = families(index)
    assert {frozenset(family.members) for family in found} == slow_families(index)
    assert seed == 0 or max(map(len, found)) > 2
    sizes = [len(family) for family in found]
    assert sizes == sorted(sizes, reverse=True)
    members = [j for family in found for j in family.members]
    assert len(members) == len(set(members))


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 30), st.floats(0.02, 0.9), st.floats(0.05, 0.9))
def test_average_linkage_is_scipy_s(seed: int, n: int, filled: float, least: float) -> None:
    rng = np.random.default_rng(seed)
    # Distinct, and whole numbers of its units, so that neither ties nor rounding decide.
    values = rng.permutation(1 << 20)[: n * (n - 1) // 2] / (1 << 20)
    values[rng.random(len(values)) > filled] = 0
    dense = np.zeros((n, n))
    dense[np.triu_indices(n, 1)] = values
    dense += dense.T
    found = average_linkage(sparse.csr_array(dense), least)
    tree = linkage(squareform(1 - dense + np.diag(np.full(n, -1.0)), checks=False), "average")
    wanted = fcluster(tree, 1 - least, "distance")
    assert groups(found) == groups(wanted)


def groups(numbers: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(numbers == number).tolist()) for number in np.unique(numbers)}


def test_all_equally_alike_are_one_family(index: ConceptIndex) -> None:
    """Ties do not stop it, nor do they depend on the order of the lists."""
    pairs = {pair: 0.6 for pair in combinations(range(10, 20), 2)}
    for turned in (pairs, {(b, a): value for (a, b), value in pairs.items()}):
        (found,) = families(related(index, together=turned))
        assert found.members == tuple(range(10, 20))
        assert (found.likeness, found.together, found.cosine) == pytest.approx((0.6, 0.6, 0))


def test_a_long_row_of_ties_does_not_join_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everyone is as like its two neighbours as these are like theirs."""
    n, rounds = 2000, []
    step = concepts._kept
    monkeypatch.setattr(concepts, "_kept", lambda *given: rounds.append(1) or step(*given))
    row = np.arange(n - 1)
    half = sparse.csr_array((np.full(n - 1, 0.5), (row, row + 1)), shape=(n, n))
    group = average_linkage(sparse.csr_array(half + half.T), 0.4)
    assert np.bincount(group).max() == 2 and np.bincount(group).mean() > 1.5
    assert len(rounds) < 40, "twice a round"


def test_a_chain_does_not_grow(index: ConceptIndex) -> None:
    """Every one is alike to the next, and the ends have nothing in common."""
    found = families(related(index, together={(j, j + 1): 0.7 for j in range(20)}))
    assert found and max(map(len, found)) <= 3


def test_either_measure_is_enough_and_both_count_for_more(index: ConceptIndex) -> None:
    assert [f.members for f in families(related(index, cosine={(1, 2): 0.5}))] == [(1, 2)]
    assert [f.members for f in families(related(index, together={(1, 2): 0.5}))] == [(1, 2)]
    assert families(related(index, cosine={(1, 2): 0.3})) == families(related(index, together={(1, 2): 0.3})) == ()
    (both,) = families(related(index, cosine={(1, 2): 0.3}, together={(2, 1): 0.3}))
    assert (both.likeness, both.cosine, both.together) == pytest.approx((0.18**0.5, 0.3, 0.3))
    assert families(related(index, cosine={(1, 2): -0.9})) == (), "opposite directions are not alike"


def test_what_never_fires_is_in_no_family_and_what_hardly_does_not_by_its_firing(index: ConceptIndex) -> None:
    fires = np.full(COMPONENTS, 100)
    fires[1], fires[3] = 0, FEWEST - 1
    same = {"active_pictures": fires}
    assert families(related(index, cosine={(1, 2): 0.9}, together={(1, 2): 0.9}, **same)) == ()
    assert families(related(index, together={(2, 3): 0.9}, **same)) == ()
    assert [f.members for f in families(related(index, cosine={(2, 3): 0.9}, **same))] == [(2, 3)]


def test_the_most_typical_comes_first_and_what_most_guess_is_the_label(index: ConceptIndex) -> None:
    pairs = {(1, 7): 0.9, (2, 7): 0.9, (3, 7): 0.9, (1, 2): 0.5, (1, 3): 0.5, (2, 3): 0.6}
    label = np.full((COMPONENTS, 3), -1, np.int32)
    alignment = np.full((COMPONENTS, 3), np.nan, np.float32)

    def named(*words: tuple[int, int, float]) -> str | None:
        label[:], alignment[:] = -1, np.nan
        for place, (component, word, fit) in enumerate(words):
            label[component, place % 3], alignment[component, place % 3] = word, fit
        (found,) = families(related(index, together=pairs, label=label, alignment=alignment))
        assert found.members[0] == 7 and set(found.members) == {1, 2, 3, 7}
        assert found.members[1:] == (2, 3, 1)
        return found.label

    assert named() is None
    assert named((1, 0, 0.2), (2, 1, 0.2), (3, 2, 0.2)) is None, "one alone is no agreement"
    assert named((1, 0, 0.1), (2, 0, 0.1), (3, 2, 0.9)) == VOCABULARY[0]
    assert named((1, 0, 0.1), (2, 0, 0.1), (3, 2, 0.2), (7, 2, 0.2)) == VOCABULARY[2], "of equals, the better fit"


# ---- search


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_words_match_by_their_own_alignment_less_that_of_all_words(index: ConceptIndex) -> None:
    rng = np.random.default_rng(1)
    text, others = rng.normal(size=16), rng.normal(size=(9, 16))
    text, others = text / np.linalg.norm(text), others / np.linalg.norm(others, axis=1, keepdims=True)
    z = index.embedding
    wanted = {
        j: cosine(z[j], text) - float(np.mean([cosine(z[j], other) for other in others]))
        for j in range(COMPONENTS)
        if j % 5 != 4
    }
    found = matches_words(index, text, others.mean(0), 100)
    assert [match.component for match in found] == sorted(wanted, key=lambda j: -wanted[j])
    for match in found:
        assert match.score == pytest.approx(wanted[match.component], abs=1e-5)
    assert matches_words(index, text, others.mean(0), 3) == found[:3]


def test_a_picture_matches_by_what_sets_it_apart(index: ConceptIndex) -> None:
    picture = np.random.default_rng(2).normal(size=16)
    unit = picture / np.linalg.norm(picture)
    wanted = {
        j: cosine(index.embedding[j] - index.average, unit - index.average) for j in range(COMPONENTS) if j % 5 != 4
    }
    found = matches_picture(index, picture, 100)
    assert [match.component for match in found] == sorted(wanted, key=lambda j: -wanted[j])
    for match in found:
        assert match.score == pytest.approx(wanted[match.component], abs=1e-5)
    assert matches_picture(index, 7 * picture, 5) == found[:5], "of any length"


def test_many_components_are_searched_a_few_at_a_time(index: ConceptIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.random.default_rng(2).normal(size=16)
    whole = matches_picture(index, picture, 100)
    monkeypatch.setattr(concepts, "_CHUNK", 7)
    found = matches_picture(index, picture, 100)
    assert [match.component for match in found] == [match.component for match in whole]
    np.testing.assert_allclose([match.score for match in found], [match.score for match in whole], atol=1e-6)


# ---- what it does


@pytest.fixture(scope="module", params=["all", "cls", "patches"])
def dictionary_in(request: pytest.FixtureRequest) -> Iterator[Dictionary]:
    yield Dictionary(tiny_sae("standard"), request.param)


def read_slowly(clip: SplitClip, crop: np.ndarray, classifier: torch.Tensor, change: torch.Tensor) -> np.ndarray:
    """The logits with `change` added to the residual, all layers after L run in full, in float64."""
    x = clip.residual(clip.pixels(crop[None])) + change
    for layer in clip.model.vision_model.encoder.layers[clip.layer + 1 :]:
        x = layer(x, attention_mask=None)
    z = clip.model.visual_projection(clip.model.vision_model.post_layernorm(x[:, 0]))[0].detach().double()
    return clip.logit_scale * (classifier.double() @ (z / z.norm())).numpy()


@torch.no_grad()
def test_pushes_are_what_the_model_does(
    clip: SplitClip, dictionary_in: Dictionary, classifier: torch.Tensor, index: ConceptIndex
) -> None:
    component, strength = 7, 130.0
    crops = crops_of(index, component, 4, 32)
    found = pushes(clip, dictionary_in, component, strength, crops, classifier, CLASSES)
    v = dictionary_in.sae.W_dec[component]
    grey = np.full((32, 32, 3), 128, np.uint8)
    wanted = []
    for number, crop in enumerate([grey, *crops]):
        f = dictionary_in.encode(clip.residual(clip.pixels(crop[None])))[0, :, component]
        change = -f[:, None] * v
        if not number:
            scope = dictionary_in.tokens(len(f))
            change[scope.start : scope.stop] += strength * v
        none = torch.zeros_like(change)
        wanted.append(read_slowly(clip, crop, classifier, change) - read_slowly(clip, crop, classifier, none))
    np.testing.assert_allclose(found.on_blank, wanted[0], atol=2e-5)
    np.testing.assert_allclose(found.each, wanted[1:], atol=2e-5)
    assert found.classes == CLASSES and found.strength == strength and found.n_references == len(crops)


def test_a_picture_where_it_does_not_fire_is_not_changed_at_all(
    clip: SplitClip, classifier: torch.Tensor, index: ConceptIndex
) -> None:
    dictionary = Dictionary(tiny_sae("standard"), "all")
    crops = np.concatenate([crops_of(index, j, 3, 32) for j in (0, 1, 2, 3)])
    traces = trace_crops(clip, dictionary, crops)
    fires = np.array([[trace.activations.of(j).any() for trace in traces] for j in range(COMPONENTS)])
    component = int(np.flatnonzero(fires.any(1) & ~fires.all(1))[0])
    found = pushes(clip, dictionary, component, 1.0, crops, classifier, CLASSES)
    np.testing.assert_array_equal(found.each.any(1), fires[component])


def test_means_errors_and_what_is_common() -> None:
    rng = np.random.default_rng(0)
    each = rng.normal(2, 1, (6, 5)).astype(np.float32)
    found = Pushes(CLASSES, 1.0, each[0], each)
    np.testing.assert_allclose(found.on_references, each.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.error, each.std(0, ddof=1) / 6**0.5, rtol=1e-5)
    apart = np.array([row - row.mean() for row in each.astype(np.float64)])
    np.testing.assert_allclose(relative(each), apart, atol=1e-6)
    np.testing.assert_allclose(found.relative_on_blank, apart[0], atol=1e-6)
    np.testing.assert_allclose(found.relative_on_references, apart.mean(0), atol=1e-6)
    np.testing.assert_allclose(found.relative_error, apart.std(0, ddof=1) / 6**0.5, rtol=1e-4)
    one, none = Pushes(CLASSES, 1.0, each[0], each[:1]), Pushes(CLASSES, 1.0, each[0], each[:0])
    np.testing.assert_array_equal(one.on_references, each[0])
    assert np.isnan(one.error).all() and np.isnan(none.on_references).all() and np.isnan(none.error).all()


def test_the_strength_and_the_pictures_are_those_of_the_references(index: ConceptIndex) -> None:
    for j in range(COMPONENTS):
        values = [shot.value for shot in shots(index, j, "top", 99)]
        crops = crops_of(index, j, 3, 32)
        if j % 5 == 4:
            with pytest.raises(UserError, match="never fired"):
                strength_of(index, j)
            assert crops.shape == (0, 32, 32, 3)
            continue
        assert strength_of(index, j) == pytest.approx(np.mean(values))
        assert crops.dtype == np.uint8 and len(crops) == min(3, len(values))
        for crop, shot in zip(crops, shots(index, j, "top", 3), strict=True):
            small = Image.open(io.BytesIO(shot.webp)).convert("RGB")
            np.testing.assert_array_equal(crop, np.asarray(small.resize((32, 32), Image.Resampling.BICUBIC)))


# ---- the facade


def test_the_workbench_answers_as_the_core_does(indexed: Workbench, index: ConceptIndex, clip: SplitClip) -> None:
    assert indexed.index is index
    for j in (0, SILENT):
        assert indexed.concept(j) == concept(index, j)
        assert indexed.shots(j, "mid", 2) == shots(index, j, "mid", 2)
        assert indexed.spread(j) == spread(index, j)
        assert indexed.neighbours(j, "firing", 3) == neighbours(index, j, "firing", 3)
        assert indexed.family(j) == next((f for f in families(index) if j in f.members), None)
    assert indexed.families == families(index)
    # this setup knows one word: the empty text stands for all
    text, common = (text_classifier(clip, [word], WORDINGS)[0].numpy() for word in ("red fish", ""))
    assert indexed.matches_words("  red \n fish ", 5) == matches_words(index, text, common, 5)
    picture = np.random.default_rng(0).normal(size=16).astype(np.float32)
    assert indexed.matches_picture(picture, 5) == matches_picture(index, picture, 5)


def test_the_workbench_pushes_on_the_references(indexed: Workbench, index: ConceptIndex) -> None:
    clip, dictionary = indexed.setup.clip, indexed.setup.dictionary
    found = indexed.pushes(2, CLASSES, SINGLE)
    crops, classifier = crops_of(index, 2, PUSHED_ON, 32), text_classifier(clip, CLASSES, SINGLE)
    assert found == pushes(clip, dictionary, 2, strength_of(index, 2), crops, classifier, CLASSES)
    assert found.n_references == len(shots(index, 2, "top", PUSHED_ON)) > 0
    with pytest.raises(UserError, match="Component 4 never fired in the 200 pictures"):
        indexed.pushes(SILENT, CLASSES, SINGLE)


def test_families_are_found_once_whoever_asks(
    bench: Workbench, index: ConceptIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(asked: ConceptIndex) -> tuple[concepts.Family, ...]:
        calls.append(asked)
        return families(asked)

    monkeypatch.setattr("core.workbench.families", counted)
    shared = Workbench(replace(bench.setup, index=index))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shared.families, range(16)))
    assert len(calls) == 1 and all(answer is answers[0] for answer in answers)


@pytest.mark.parametrize("words", ["", "  \n ", "x" * 201])
def test_what_cannot_be_searched_for_is_said(indexed: Workbench, words: str) -> None:
    with pytest.raises(UserError, match="search"):
        indexed.matches_words(words, 5)


def test_everyday_words_stand_for_all_words_whatever_the_labels_of_the_index(
    bench: Workbench, index: ConceptIndex, clip: SplitClip
) -> None:
    few = replace(index, manifest=replace(index.manifest, vocabulary=("owl",)), label=np.full((COMPONENTS, 3), -1))
    knows_all = replace(bench.setup, index=few, card=replace(bench.setup.card, knows=None))
    found = Workbench(knows_all).matches_words("owl", 4)
    everyday = [concept.name for concept in read_vocabulary()]
    some = everyday[:: -(-len(everyday) // 100)]
    text = text_classifier(clip, ["owl"], WORDINGS)[0].numpy()
    common = text_classifier(clip, some, WORDINGS).mean(0).numpy()
    assert len(some) > 50 and found == matches_words(few, text, common, 4)


def test_without_an_index_it_says_what_is_missing_and_how_to_build_one(bench: Workbench) -> None:
    assert bench.index is None
    for ask in (
        lambda b: b.concept(0),
        lambda b: b.shots(0),
        lambda b: b.spread(0),
        lambda b: b.neighbours(0, "firing"),
        lambda b: b.families,
        lambda b: b.family(0),
        lambda b: b.matches_words("dog", 3),
        lambda b: b.matches_picture(np.ones(16), 3),
        lambda b: b.pushes(0, CLASSES, SINGLE),
    ):
        with pytest.raises(
            UserError, match="no concept index.*core.indexing --setup tiny --pictures FOLDER --out INDEX"
        ):
            ask(bench)
    refused = Workbench(replace(bench.setup, index_trouble="It is of another setup."))
    with pytest.raises(UserError, match="is not known. It is of another setup.$"):
        refused.concept(0)
