"""Edits: their algebra, and what they do to the residual against a dense decode, token by token."""

import math
import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import COMPONENTS, WIDTH, tiny_sae
from hypothesis import assume, given
from hypothesis import strategies as st

from core.errors import UserError
from core.methods.steering import (
    MAX_STRENGTH,
    MAX_TERMS,
    MAX_THRESHOLD,
    Condition,
    Edit,
    Lever,
    Operation,
    Term,
    acts,
    edited,
    pooled,
    shift,
    steer,
)
from core.model.sae_dictionary import SaeDictionary
from core.model.scope import Scope

TOKENS = 9
X = torch.randn(TOKENS, WIDTH, generator=torch.Generator().manual_seed(7))
X[3, 4] = -0.0  # x + 0 would lose the sign of this zero
DICTIONARIES = {
    (kind, scope): SaeDictionary(tiny_sae(kind, **settings), scope)
    for kind, settings in (
        ("topk", {"rescale_acts_by_decoder_norm": True}),
        ("abstopk", {}),
        ("jumprelu", {}),
    )
    for scope in ("all", "cls", "patches")
}
FOUND = {key: dictionary.activations(X) for key, dictionary in DICTIONARIES.items()}

levers = st.builds(
    Lever,
    component=st.integers(0, COMPONENTS - 1),
    operation=st.sampled_from(["suppress", "scale", "set"]),
    strength=st.floats(-MAX_STRENGTH, MAX_STRENGTH, width=32),
)
lever_sets = st.lists(levers, max_size=6, unique_by=lambda lever: lever.component).map(tuple)
token_sets = st.none() | st.lists(st.integers(0, TOKENS - 1), max_size=TOKENS).map(tuple)
thresholds = st.floats(-1, 3, width=32)
conditions = st.builds(
    Condition,
    terms=st.lists(
        st.builds(Term, st.integers(0, COMPONENTS - 1), st.floats(-2, 2)),
        min_size=1,
        max_size=4,
        unique_by=lambda term: term.component,
    ).map(tuple),
    at_least=st.floats(-3, 3),
)
conditional = st.builds(
    Edit,
    st.lists(
        st.builds(replace, levers, at_least=st.none() | thresholds),
        max_size=6,
        unique_by=lambda lever: lever.component,
    ).map(tuple),
    token_sets,
    st.none() | conditions,
)
edits = conditional | st.builds(Edit, lever_sets, token_sets)
keys = st.sampled_from(sorted(DICTIONARIES))
Key = tuple[str, Scope]


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()


def steered(key: Key, *several: Edit) -> torch.Tensor:
    return steer(X, FOUND[key], several, DICTIONARIES[key])


def shifted(key: Key, edit: Edit) -> torch.Tensor:
    return shift(FOUND[key], edit, DICTIONARIES[key])


def slow_acts(key: Key, edit: Edit) -> bool:
    """The condition with all components dense, in float64, one term at a time."""
    if edit.condition is None:
        return True
    dictionary = DICTIONARIES[key]
    seen = dictionary.encode(X).double()[list(dictionary.tokens(TOKENS))]
    total = sum(term.weight * seen[:, term.component].max().item() for term in edit.condition.terms)
    return total >= edit.condition.at_least


def slow_activations(key: Key, edit: Edit) -> torch.Tensor:
    """f' with all components dense, in float64 [T, m], one token and one lever at a time."""
    dictionary = DICTIONARIES[key]
    f = dictionary.encode(X).double()
    changed = f.clone()
    if not slow_acts(key, edit):
        return changed
    for t in range(TOKENS):
        allowed = {"all": True, "cls": t == 0, "patches": t > 0}[dictionary.scope]
        if allowed and (edit.tokens is None or t in edit.tokens):
            for lever in edit.levers:
                j = lever.component
                if lever.at_least is not None and f[t, j].item() < lever.at_least:
                    continue
                if lever.operation == "suppress":
                    changed[t, j] = 0
                elif lever.operation == "scale":
                    changed[t, j] = f[t, j] * lever.strength
                else:
                    changed[t, j] = lever.strength
    return changed


def slow_steer(key: Key, edit: Edit) -> torch.Tensor:
    """x + decode(f') - decode(f) with all components dense, in float64."""
    sae = tiny_sae(key[0], **({"rescale_acts_by_decoder_norm": True} if key[0] == "topk" else {}))
    sae = sae.to(dtype=torch.float64)
    f, changed = DICTIONARIES[key].encode(X).double(), slow_activations(key, edit)
    with torch.no_grad():
        return (X.double() + sae.decode(changed) - sae.decode(f)).float()


@given(keys, st.lists(edits, max_size=3))
def test_steer_equals_the_dense_decode(key: Key, several: list[Edit]) -> None:
    found = steered(key, *several)
    assert found.shape == (len(several), TOKENS, WIDTH)
    for x, edit in zip(found, several, strict=True):
        torch.testing.assert_close(x, slow_steer(key, edit), atol=1e-4, rtol=1e-5)


@given(keys, edits)
def test_shift_is_the_difference(key: Key, edit: Edit) -> None:
    torch.testing.assert_close(X + shifted(key, edit), steered(key, edit)[0], atol=1e-5, rtol=1e-5)


@given(keys, edits)
def test_edited_activations_equal_the_dense_table(key: Key, edit: Edit) -> None:
    found = edited(FOUND[key], edit, DICTIONARIES[key])
    expected = slow_activations(key, edit)
    for j in range(COMPONENTS):
        np.testing.assert_allclose(found.of(j), expected[:, j], rtol=1e-6)
    pairs = list(zip(found.component.tolist(), found.token.tolist(), strict=True))
    assert pairs == sorted(set(pairs))
    assert (found.value != 0).all()
    assert (found.token.dtype, found.component.dtype, found.value.dtype) == (np.int32, np.int32, np.float32)


@given(keys, token_sets)
def test_an_empty_edit_leaves_the_activations(key: Key, tokens: tuple[int, ...] | None) -> None:
    assert edited(FOUND[key], Edit(tokens=tokens), DICTIONARIES[key]) == FOUND[key]


@given(keys, token_sets)
def test_an_empty_edit_is_the_identity_bit_for_bit(key: Key, tokens: tuple[int, ...] | None) -> None:
    assert same_bits(steered(key, Edit(tokens=tokens))[0], X)


@given(keys, st.lists(st.integers(0, COMPONENTS - 1), unique=True, max_size=6), token_sets)
def test_scale_by_one_is_the_identity_bit_for_bit(
    key: Key, components: list[int], tokens: tuple[int, ...] | None
) -> None:
    edit = Edit(tuple(Lever(component, "scale", 1.0) for component in components), tokens)
    assert same_bits(steered(key, edit)[0], X)


@given(keys, lever_sets)
def test_no_tokens_is_the_identity_bit_for_bit(key: Key, some: tuple[Lever, ...]) -> None:
    assert same_bits(steered(key, Edit(some, ()))[0], X)


@given(keys, st.integers(0, COMPONENTS - 1), token_sets)
def test_suppress_is_scale_by_zero_is_set_to_zero(key: Key, component: int, tokens: tuple[int, ...] | None) -> None:
    ways: list[Operation] = ["suppress", "scale", "set"]
    a, b, c = steered(key, *(Edit((Lever(component, way, 0.0),), tokens) for way in ways))
    assert same_bits(a, b)
    assert same_bits(a, c)


@given(keys, st.integers(0, COMPONENTS - 1), st.floats(-MAX_STRENGTH, MAX_STRENGTH, width=32))
def test_suppress_and_scale_act_only_where_the_component_is_active(key: Key, component: int, strength: float) -> None:
    active = FOUND[key].of(component) != 0
    edited = steered(key, Edit((Lever(component),)), Edit((Lever(component, "scale", strength),)))
    for x in edited:
        assert same_bits(x[torch.as_tensor(~active)], X[torch.as_tensor(~active)])
    moved = (edited[0] != X).any(-1)
    assert moved.tolist() == active.tolist(), "suppressing has to move every token where the component was active"


@given(keys, st.integers(0, COMPONENTS - 1), st.floats(-MAX_STRENGTH, MAX_STRENGTH, width=32))
def test_set_leaves_the_component_at_that_activation_everywhere(key: Key, component: int, strength: float) -> None:
    dictionary = DICTIONARIES[key]
    v = dictionary.directions(np.array([component]))[0]
    without = steered(key, Edit((Lever(component),)))[0]
    having = steered(key, Edit((Lever(component, "set", strength),)))[0]
    for t in range(TOKENS):
        expected = without[t] + strength * v if t in dictionary.tokens(TOKENS) else X[t]
        torch.testing.assert_close(having[t], expected, atol=1e-4, rtol=1e-4)


@given(keys, edits)
def test_the_order_of_levers_does_not_matter(key: Key, edit: Edit) -> None:
    other = replace(edit, levers=tuple(reversed(edit.levers)))
    assert same_bits(steered(key, edit)[0], steered(key, other)[0])


@given(keys, lever_sets, token_sets, st.integers(0, 6))
def test_edits_on_disjoint_components_add_up(
    key: Key, some: tuple[Lever, ...], tokens: tuple[int, ...] | None, cut: int
) -> None:
    a, b, both = Edit(some[:cut], tokens), Edit(some[cut:], tokens), Edit(some, tokens)
    torch.testing.assert_close(shifted(key, a) + shifted(key, b), shifted(key, both), atol=1e-4, rtol=1e-4)
    one_way = steer(steered(key, a)[0], FOUND[key], [b], DICTIONARIES[key])[0]
    other_way = steer(steered(key, b)[0], FOUND[key], [a], DICTIONARIES[key])[0]
    torch.testing.assert_close(one_way, other_way, atol=1e-4, rtol=1e-4)


@given(keys, lever_sets, st.sets(st.integers(0, TOKENS - 1)))
def test_chosen_tokens_change_as_in_the_whole_edit_and_no_others(
    key: Key, some: tuple[Lever, ...], chosen: set[int]
) -> None:
    part, whole = steered(key, Edit(some).among(chosen), Edit(some))
    for t in range(TOKENS):
        if t in chosen:
            torch.testing.assert_close(part[t], whole[t], atol=1e-5, rtol=1e-5)
        else:
            assert same_bits(part[t], X[t])


@given(keys, lever_sets)
def test_tokens_out_of_scope_are_never_edited(key: Key, some: tuple[Lever, ...]) -> None:
    dictionary = DICTIONARIES[key]
    every = Edit(some, tuple(range(TOKENS)))
    outside = [t for t in range(TOKENS) if t not in dictionary.tokens(TOKENS)]
    assert same_bits(steered(key, every)[0][outside], X[outside])
    assert same_bits(steered(key, every), steered(key, Edit(some)))


@given(keys)
def test_suppressing_everything_leaves_the_bias_and_the_error(key: Key) -> None:
    dictionary = DICTIONARIES[key]
    nothing = steered(key, Edit.of_suppressed(range(COMPONENTS)))[0]
    scope = list(dictionary.tokens(TOKENS))
    error = X - dictionary.reconstruct(X)
    assert error[scope].abs().max() > 0.1
    torch.testing.assert_close(nothing[scope], (error + dictionary.bias_at(X))[scope], atol=1e-4, rtol=1e-4)


def test_the_residual_given_is_not_written_to() -> None:
    x = X.clone()
    steer(x, FOUND["topk", "all"], [Edit.of_suppressed(range(COMPONENTS))] * 2, DICTIONARIES["topk", "all"])
    assert same_bits(x, X)


# Conditional edits


@given(keys, conditional)
def test_an_edit_whose_condition_does_not_hold_is_the_identity_bit_for_bit(key: Key, edit: Edit) -> None:
    dictionary = DICTIONARIES[key]
    assert acts(FOUND[key], edit, dictionary) == slow_acts(key, edit)
    if not acts(FOUND[key], edit, dictionary):
        assert same_bits(steered(key, edit)[0], X)
        assert edited(FOUND[key], edit, dictionary) == FOUND[key]
        assert not shifted(key, edit).any()
    else:
        assert same_bits(steered(key, edit)[0], steered(key, replace(edit, condition=None))[0])


@given(keys, conditional, st.integers(0, COMPONENTS - 1))
def test_a_condition_holds_from_its_threshold_on(key: Key, edit: Edit, component: int) -> None:
    found, dictionary = FOUND[key], DICTIONARIES[key]
    largest = float(pooled(found, dictionary)[component])
    for weight in (1.0, 0.3, -2.5):
        for at_least, wanted in ((weight * largest, True), (np.nextafter(weight * largest, np.inf), False)):
            condition = Condition((Term(component, weight),), float(at_least))
            assert acts(found, replace(edit, condition=condition), dictionary) is wanted


@given(keys, st.lists(conditions, max_size=4))
def test_pictures_have_the_scores_they_have_alone(key: Key, several: list[Condition]) -> None:
    """Many pictures at once, dense, against each by itself: the same numbers, bit for bit."""
    found, dictionary = FOUND[key], DICTIONARIES[key]
    dense = pooled(found, dictionary)
    seen = dictionary.encode(X)[list(dictionary.tokens(TOKENS))].numpy()
    np.testing.assert_array_equal(dense, seen.max(0))
    for condition in several:
        many = condition.score(np.stack([dense, 2 * dense])[:, condition.components])
        assert acts(found, Edit(condition=replace(condition, at_least=float(many[0]))), dictionary)
        assert many[1] == pytest.approx(2 * many[0])


@given(keys, st.integers(0, COMPONENTS - 1), st.sampled_from(["suppress", "scale", "set"]), thresholds)
def test_a_lever_acts_from_its_threshold_on(key: Key, component: int, operation: Operation, at_least: float) -> None:
    f = FOUND[key].of(component)
    gated, plain = steered(
        key, Edit((Lever(component, operation, 3.0, at_least=at_least),)), Edit((Lever(component, operation, 3.0),))
    )
    for t in range(TOKENS):
        assert same_bits(gated[t], plain[t] if f[t] >= at_least else X[t])


@given(conditional, levers, st.floats(-2, 2))
def test_what_moves_a_lever_leaves_where_the_edit_acts(edit: Edit, lever: Lever, strength: float) -> None:
    others = (
        edit.pull(lever),
        edit.release(lever.component),
        edit.pull_family(lever.component, (lever.component,)),
        edit.release_family(lever.component),
        edit.among((1, 2)),
        edit.moved(Lever(old.component, "scale", strength) for old in edit.levers),
    )
    assert {other.condition for other in others} == {edit.condition}
    moved = {old.component: old.at_least for old in others[-1].levers}
    assert moved == {old.component: old.at_least for old in edit.levers}
    assert others[-1].moved(edit.levers) == edit


def test_a_condition_that_cannot_be_meant_is_trouble() -> None:
    term = Term(1)
    for terms, at_least, said in (
        ((), 0.0, "from 1 to 64 components, not 0"),
        (tuple(map(Term, range(MAX_TERMS + 1))), 0.0, "not 65"),
        ((term, Term(1, -1.0)), 0.0, "names a component twice"),
        ((term,), math.nan, "threshold of nan"),
        ((term,), 2 * MAX_THRESHOLD, "from -1,000,000 to 1,000,000"),
    ):
        with pytest.raises(UserError, match=said):
            Condition(terms, at_least)
    for wrong in (math.inf, math.nan):
        with pytest.raises(UserError, match="threshold of"):
            Lever(1, at_least=wrong)
        with pytest.raises(UserError, match="weight of"):
            Term(1, wrong)
    with pytest.raises(UserError, match="component -2"):
        Term(-2)
    with pytest.raises(UserError, match=f"no component {COMPONENTS}: this dictionary has {COMPONENTS}"):
        steered(("topk", "all"), Edit(condition=Condition((Term(COMPONENTS),), 0.0)))
    with pytest.raises(UserError, match="one threshold"):
        Edit((Lever(1, family=9), Lever(2, family=9, at_least=1.0)))


# The algebra of edits


@given(edits, levers)
def test_pull_replaces_in_place_or_adds_at_the_end(edit: Edit, lever: Lever) -> None:
    pulled = edit.pull(lever)
    before = [old.component for old in edit.levers]
    known = lever.component in before
    assert [new.component for new in pulled.levers] == before + ([] if known else [lever.component])
    assert lever in pulled.levers
    assert [new for new in pulled.levers if new.component != lever.component] == [
        old for old in edit.levers if old.component != lever.component
    ]
    assert pulled.pull(lever) == pulled
    assert (pulled.tokens, pulled.condition) == (edit.tokens, edit.condition)


@given(edits, levers)
def test_release_undoes_a_new_pull(edit: Edit, lever: Lever) -> None:
    assume(lever.component not in [old.component for old in edit.levers])
    assert edit.pull(lever).release(lever.component) == edit
    assert edit.release(lever.component) == edit


@given(edits)
def test_edits_pickle_hash_and_keep_ascending_tokens(edit: Edit) -> None:
    assert pickle.loads(pickle.dumps(edit)) == edit
    assert hash(edit) == hash(Edit(edit.levers, edit.tokens, edit.condition))
    assert edit.tokens is None or list(edit.tokens) == sorted(set(edit.tokens))
    assert edit.among(None).tokens is None


@given(st.integers(0, 9), st.floats() | st.just(math.nan))
def test_the_strength_of_suppress_is_ignored(component: int, strength: float) -> None:
    assert Lever(component, "suppress", strength) == Lever(component) == Lever(component, "suppress", 5.0)


# Families: several levers, moved as one


components = st.integers(0, COMPONENTS - 1)
families = st.tuples(
    components,
    st.lists(components, unique=True, min_size=1, max_size=5),
    st.sampled_from(["suppress", "scale"]),
    st.floats(-5, 5, width=32),
)
Family = tuple[int, list[int], Operation, float]


@given(lever_sets, st.lists(families, max_size=4))
def test_a_family_is_pulled_and_shown_as_one(some: tuple[Lever, ...], pulled: list[Family]) -> None:
    """Whatever was pulled before: its members and no others are one group, and no lever of another one moves."""
    edit = Edit(some)
    for family, members, operation, strength in pulled:
        before, edit = edit, edit.pull_family(family, members, operation, strength)
        assert set(edit.group_of(members[0])) == {Lever(c, operation, strength, family) for c in members}
        others = [lever for lever in before.levers if lever.component not in members and lever.family != family]
        assert [lever for lever in edit.levers if lever.family != family] == others
        assert edit.pull_family(family, members, operation, strength) == edit
    groups = edit.groups()
    assert sorted(lever.component for group in groups for lever in group) == sorted(
        lever.component for lever in edit.levers
    )
    assert edit.n_groups == len(groups)
    first = [edit.levers.index(group[0]) for group in groups]
    assert first == sorted(first), "a group stands where its first lever does"
    for group in groups:
        assert len({(lever.family, lever.operation, lever.strength) for lever in group}) == 1
        assert len(group) == 1 or group[0].family is not None


@given(keys, lever_sets, families)
def test_a_family_does_what_its_levers_do(key: Key, some: tuple[Lever, ...], pulled: Family) -> None:
    family, members, operation, strength = pulled
    one_by_one = Edit(some)
    for component in members:
        one_by_one = one_by_one.pull(Lever(component, operation, strength))
    assert same_bits(*(steered(key, one)[0] for one in (Edit(some).pull_family(*pulled), one_by_one)))


@given(lever_sets, families)
def test_a_family_is_released_as_one(some: tuple[Lever, ...], pulled: Family) -> None:
    family, members, _, _ = pulled
    alone = tuple(lever for lever in some if lever.component not in members)
    edit = Edit(some).pull_family(*pulled)
    assert edit.release_family(members[-1]) == Edit(alone)
    assert [lever.component for lever in edit.release(members[0]).group_of(members[-1])] == [
        lever.component for lever in edit.levers if lever.component in members[1:]
    ]


def test_a_lever_alone_is_a_group_of_its_own() -> None:
    edit = Edit((Lever(5), Lever(2, "scale", 2.0)))
    assert edit.groups() == ((Lever(5),), (Lever(2, "scale", 2.0),))
    assert edit.n_groups == 2
    assert edit.group_of(2) == (Lever(2, "scale", 2.0),)
    assert edit.group_of(3) == ()
    assert edit.release_family(3) == edit
    assert edit.release_family(5) == Edit((Lever(2, "scale", 2.0),))
    assert Edit((Lever(5, family=7), Lever(7))).n_groups == 2, "a lever on the component that names a family"


def test_levers_of_a_family_that_differ_are_trouble() -> None:
    with pytest.raises(UserError, match="family do not do the same"):
        Edit((Lever(1, family=9), Lever(2, "scale", 2.0, 9)))
    with pytest.raises(UserError, match="component -3"):
        Lever(1, family=-3)
    edit = Edit((Lever(1, family=9), Lever(2, family=9))).pull(Lever(2, "scale", 2.0))
    assert edit.n_groups == 2, "a member that is pulled by itself leaves"


def test_suppressed_components_become_levers_in_order() -> None:
    assert Edit.of_suppressed(np.array([5, 2], dtype=np.int32)) == Edit((Lever(5), Lever(2)))


@pytest.mark.parametrize("strength", [math.nan, math.inf, -math.inf, 100.5, -101])
@pytest.mark.parametrize("operation", ["scale", "set"])
def test_a_strength_out_of_reach_is_trouble(operation: Operation, strength: float) -> None:
    with pytest.raises(UserError, match="-100 to 100"):
        Lever(0, operation, strength)


def test_edits_that_make_no_sense_are_trouble() -> None:
    with pytest.raises(UserError, match="suppress, scale or set"):
        Lever(0, "amplify")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="component -1"):
        Lever(-1)
    with pytest.raises(UserError, match="Component 3 has two levers"):
        Edit((Lever(3), Lever(4), Lever(3, "scale", 2)))
    with pytest.raises(UserError, match="token -2"):
        Edit((), (4, -2))


@pytest.mark.parametrize("way", [shift, edited, lambda f, edit, d: steer(X, f, [edit], d)])
def test_what_the_picture_does_not_have_is_trouble(way: Callable[..., object]) -> None:
    key: Key = ("topk", "all")
    with pytest.raises(UserError, match="no component 48"):
        way(FOUND[key], Edit((Lever(COMPONENTS),)), DICTIONARIES[key])
    with pytest.raises(UserError, match="no token 9"):
        way(FOUND[key], Edit((Lever(0),), (0, TOKENS)), DICTIONARIES[key])
