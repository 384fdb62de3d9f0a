"""Families against the slow way, and average linkage against scipy's."""

from dataclasses import replace
from itertools import combinations
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from conftest import COMPONENTS
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from tiny_index import VOCABULARY, tiny_index

from core.concepts import families as module
from core.concepts.families import ALIKE, FEWEST, average_linkage, families
from core.concepts.index import ConceptIndex


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
    coactivation: dict[tuple[int, int], float] | None = None,
    **others: np.ndarray,
) -> ConceptIndex:
    """The index with these pairs alone; all components fire."""
    near, near_cosine = listed(cosine or {}, COMPONENTS, 12)
    who, share = listed(coactivation or {}, COMPONENTS, 12)
    lists = {"near": near, "near_cosine": near_cosine, "coactivated": who, "coactivation": share}
    return replace(index, **{"active_pictures": np.full(COMPONENTS, 100), **lists, **others})  # type: ignore[arg-type]


def slow_families(index: ConceptIndex) -> set[frozenset[int]]:
    """Join the two groups of highest mean likeness, one pair of groups at a time."""
    m = index.n_components
    likeness = {}
    for a, b in combinations(range(m), 2):
        squares = 0.0
        for who, how, least in (
            (index.near, index.near_cosine, 1),
            (index.coactivated, index.coactivation, FEWEST),
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
    same = (index.coactivated >= 0) & (home[index.coactivated] == home[:, None])
    share = np.where(same, rng.uniform(0.4, 0.9, same.shape), index.coactivation * 0.5).astype(np.float32)
    # Likenesses are cut at 1; none of these is, as among equal ones any may join first.
    index = replace(index, coactivation=np.where(index.coactivated >= 0, share, 0), near_cosine=index.near_cosine * 0.4)
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
        (found,) = families(related(index, coactivation=turned))
        assert found.members == tuple(range(10, 20))
        assert (found.likeness, found.coactivation, found.cosine) == pytest.approx((0.6, 0.6, 0))


def test_a_long_row_of_ties_does_not_join_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everyone is as like its two neighbours as these are like theirs."""
    n, rounds = 2000, Mock(wraps=module._kept)
    monkeypatch.setattr(module, "_kept", rounds)
    row = np.arange(n - 1)
    half = sparse.csr_array((np.full(n - 1, 0.5), (row, row + 1)), shape=(n, n))
    group = average_linkage(sparse.csr_array(half + half.T), 0.4)
    assert np.bincount(group).max() == 2
    assert np.bincount(group).mean() > 1.5
    assert rounds.call_count < 40, "twice a round"


def test_a_chain_does_not_grow(index: ConceptIndex) -> None:
    """Every one is alike to the next, and the ends have nothing in common."""
    found = families(related(index, coactivation={(j, j + 1): 0.7 for j in range(20)}))
    assert found
    assert max(map(len, found)) <= 3


def test_either_measure_is_enough_and_both_count_for_more(index: ConceptIndex) -> None:
    assert [f.members for f in families(related(index, cosine={(1, 2): 0.5}))] == [(1, 2)]
    assert [f.members for f in families(related(index, coactivation={(1, 2): 0.5}))] == [(1, 2)]
    assert families(related(index, cosine={(1, 2): 0.3})) == families(related(index, coactivation={(1, 2): 0.3})) == ()
    (both,) = families(related(index, cosine={(1, 2): 0.3}, coactivation={(2, 1): 0.3}))
    assert (both.likeness, both.cosine, both.coactivation) == pytest.approx((0.18**0.5, 0.3, 0.3))
    assert families(related(index, cosine={(1, 2): -0.9})) == (), "opposite directions are not alike"


def test_what_never_fires_is_in_no_family_and_what_hardly_does_not_by_its_firing(index: ConceptIndex) -> None:
    fires = np.full(COMPONENTS, 100)
    fires[1], fires[3] = 0, FEWEST - 1
    same: dict[str, Any] = {"active_pictures": fires}
    assert families(related(index, cosine={(1, 2): 0.9}, coactivation={(1, 2): 0.9}, **same)) == ()
    assert families(related(index, coactivation={(2, 3): 0.9}, **same)) == ()
    assert [f.members for f in families(related(index, cosine={(2, 3): 0.9}, **same))] == [(2, 3)]


def test_the_most_typical_comes_first_and_what_most_guess_is_the_label(index: ConceptIndex) -> None:
    pairs = {(1, 7): 0.9, (2, 7): 0.9, (3, 7): 0.9, (1, 2): 0.5, (1, 3): 0.5, (2, 3): 0.6}
    label = np.full((COMPONENTS, 3), -1, np.int32)
    alignment = np.full((COMPONENTS, 3), np.nan, np.float32)

    def named(*words: tuple[int, int, float]) -> str | None:
        label[:], alignment[:] = -1, np.nan
        for place, (component, word, fit) in enumerate(words):
            label[component, place % 3], alignment[component, place % 3] = word, fit
        (found,) = families(related(index, coactivation=pairs, label=label, alignment=alignment))
        assert found.members[0] == 7
        assert set(found.members) == {1, 2, 3, 7}
        assert found.members[1:] == (2, 3, 1)
        return found.label

    assert named() is None
    assert named((1, 0, 0.2), (2, 1, 0.2), (3, 2, 0.2)) is None, "one alone is no agreement"
    assert named((1, 0, 0.1), (2, 0, 0.1), (3, 2, 0.9)) == VOCABULARY[0]
    assert named((1, 0, 0.1), (2, 0, 0.1), (3, 2, 0.2), (7, 2, 0.2)) == VOCABULARY[2], "of equals, the better fit"
