"""The dictionary against each architecture's formulas written out, densely and token by token."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import COMPONENTS, WIDTH, tiny_sae
from hypothesis import given
from hypothesis import strategies as st
from sae_lens import SAE, StandardSAE, StandardSAEConfig
from sae_lens.saes import MatchingPursuitSAE, MatchingPursuitSAEConfig

from core.dictionary import Activations, Dictionary, Scope
from core.errors import Trouble

TOKENS = 17
KINDS = [
    ("standard", {}),
    ("standard", {"apply_b_dec_to_input": False}),
    ("gated", {}),
    ("jumprelu", {}),
    ("topk", {}),
    ("topk", {"rescale_acts_by_decoder_norm": True}),
    ("abstopk", {}),
    ("abstopk", {"rescale_acts_by_decoder_norm": True}),
]
SCOPES: list[Scope] = ["all", "cls", "patches"]


@pytest.fixture(params=KINDS, ids=lambda kind: "-".join([kind[0], *kind[1]]))
def sae(request: pytest.FixtureRequest, tmp_path: Path) -> SAE:
    architecture, settings = request.param
    return tiny_sae(architecture, **settings).requires_grad_(False)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(TOKENS, WIDTH, generator=torch.Generator().manual_seed(5))


def encoded_by_hand(sae: SAE, x: torch.Tensor) -> np.ndarray:
    """f for one token x [d], by loops over the components, in float64."""
    weights = {name: value.double().numpy() for name, value in sae.state_dict().items()}
    centred = x.double().numpy() - weights["b_dec"] * sae.cfg.apply_b_dec_to_input
    f = np.zeros(COMPONENTS)
    for j in range(COMPONENTS):
        dot = sum(centred[i] * weights["W_enc"][i, j] for i in range(WIDTH))
        match sae.cfg.architecture():
            case "standard":
                f[j] = max(0.0, dot + weights["b_enc"][j])
            case "jumprelu":
                pre = dot + weights["b_enc"][j]
                f[j] = max(0.0, pre) if pre > weights["threshold"][j] else 0.0
            case "gated":
                if dot + weights["b_gate"][j] > 0:
                    f[j] = max(0.0, dot * np.exp(weights["r_mag"][j]) + weights["b_mag"][j])
            case _:
                f[j] = dot + weights["b_enc"][j]
                if sae.cfg.rescale_acts_by_decoder_norm:
                    f[j] *= np.linalg.norm(weights["W_dec"][j])
    if "topk" in sae.cfg.architecture():
        size = np.abs(f) if sae.cfg.architecture() == "abstopk" else f
        kept = sorted(range(COMPONENTS), key=lambda j: -size[j])[: sae.cfg.k]
        keep = np.isin(np.arange(COMPONENTS), kept)
        f = np.where(keep, f if sae.cfg.architecture() == "abstopk" else np.maximum(f, 0), 0)
    return f


def dense(activations: Activations) -> np.ndarray:
    """[T, m], one pair at a time."""
    f = np.zeros((activations.n_tokens, activations.n_components), dtype=np.float32)
    for token, component, value in zip(activations.token, activations.component, activations.value, strict=True):
        assert f[token, component] == 0, "a pair must not occur twice"
        f[token, component] = value
    return f


def test_activations_equal_the_formulas(sae: SAE, x: torch.Tensor) -> None:
    activations = Dictionary(sae, "all").activations(x)
    expected = np.stack([encoded_by_hand(sae, token) for token in x])
    assert 0 < len(activations.value) < TOKENS * COMPONENTS / 2
    np.testing.assert_allclose(dense(activations), expected, atol=1e-5)


@pytest.mark.parametrize("scope", SCOPES)
def test_only_tokens_in_scope_activate(sae: SAE, x: torch.Tensor, scope: Scope) -> None:
    dictionary = Dictionary(sae, scope)
    inside = {"all": set(range(TOKENS)), "cls": {0}, "patches": set(range(1, TOKENS))}[scope]
    activations = dictionary.activations(x)
    assert set(dictionary.tokens(TOKENS)) == inside
    assert set(activations.token.tolist()) == inside
    everywhere = sae.encode(x)
    expected = torch.stack([row if t in inside else torch.zeros_like(row) for t, row in enumerate(everywhere)])
    torch.testing.assert_close(torch.as_tensor(dense(activations)), expected, atol=1e-6, rtol=1e-6)
    batch = dictionary.encode(torch.stack([x, 2 * x]))
    assert batch.shape == (2, TOKENS, COMPONENTS)
    torch.testing.assert_close(batch[0], expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(batch[1], dictionary.encode(2 * x), atol=1e-5, rtol=1e-5)


def test_pairs_are_sorted_by_component_then_token(sae: SAE, x: torch.Tensor) -> None:
    activations = Dictionary(sae, "all").activations(x)
    pairs = list(zip(activations.component.tolist(), activations.token.tolist(), strict=True))
    assert pairs == sorted(pairs)
    assert (activations.value != 0).all()
    assert [a.dtype.name for a in (activations.token, activations.component, activations.value)] == [
        "int32",
        "int32",
        "float32",
    ]


def test_a_large_picture_is_encoded_in_parts(sae: SAE, x: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    dictionary = Dictionary(sae, "patches")
    at_once = dictionary.activations(x)
    decoded = dictionary.decode(at_once)
    monkeypatch.setattr("core.dictionary._CHUNK", 3 * COMPONENTS)
    in_parts = dictionary.activations(x)
    assert np.array_equal(in_parts.token, at_once.token)
    assert np.array_equal(in_parts.component, at_once.component)
    np.testing.assert_allclose(in_parts.value, at_once.value, atol=1e-6)
    torch.testing.assert_close(dictionary.decode(in_parts), decoded, atol=1e-5, rtol=1e-5)


def test_directions_are_what_one_unit_of_a_component_decodes_to(sae: SAE) -> None:
    nothing = sae.decode(torch.zeros(1, COMPONENTS))[0]
    expected = sae.decode(torch.eye(COMPONENTS)) - nothing
    chosen = np.array([7, 0, 47, 7])
    found = Dictionary(sae, "all").directions(chosen)
    torch.testing.assert_close(found, expected[torch.as_tensor(chosen)], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(Dictionary(sae, "all").bias, nothing)


@pytest.mark.parametrize("scope", SCOPES)
def test_decode_and_reconstruct_equal_the_dense_decoder(sae: SAE, x: torch.Tensor, scope: Scope) -> None:
    dictionary = Dictionary(sae, scope)
    x_hat = sae.decode(sae.encode(x))
    decoded = dictionary.decode(dictionary.activations(x))
    pair = torch.stack([x, x])
    reconstructed = dictionary.reconstruct(pair)
    assert torch.equal(pair, torch.stack([x, x])), "what is reconstructed is not written to"
    for t in range(TOKENS):
        if t in dictionary.tokens(TOKENS):
            torch.testing.assert_close(decoded[t], x_hat[t] - sae.b_dec, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(reconstructed[1, t], x_hat[t], atol=1e-5, rtol=1e-5)
        else:
            assert torch.equal(decoded[t], torch.zeros(WIDTH))
            assert torch.equal(reconstructed[1, t], x[t])


def test_nothing_active_is_nothing(x: torch.Tensor) -> None:
    sae = tiny_sae("standard")
    sae.b_enc.data.fill_(-1e6)
    dictionary = Dictionary(sae, "all")
    activations = dictionary.activations(x)
    assert len(activations.token) == 0 and len(activations.components()) == 0
    assert torch.equal(dictionary.decode(activations), torch.zeros(TOKENS, WIDTH))


def test_half_precision_on_disk_is_read_in_single(tmp_path: Path, x: torch.Tensor) -> None:
    sae = tiny_sae("jumprelu")
    sae.to(dtype=torch.float16).save_model(tmp_path)
    dictionary = Dictionary.from_folder(tmp_path, "all")
    assert {weight.dtype for weight in dictionary.sae.parameters()} == {torch.float32}
    assert not any(weight.requires_grad for weight in dictionary.sae.parameters())
    assert dictionary.encode(x).dtype == torch.float32
    assert (dictionary.n_components, dictionary.width, dictionary.scope) == (COMPONENTS, WIDTH, "all")


@pytest.mark.parametrize("setting", ["layer_norm", "expected_average_only_in"])
def test_a_dictionary_that_normalises_is_trouble(setting: str) -> None:
    config = StandardSAEConfig(d_in=WIDTH, d_sae=COMPONENTS)
    config.normalize_activations = setting  # type: ignore[assignment]
    with pytest.raises(Trouble, match=f"normalize_activations = '{setting}'"):
        Dictionary(StandardSAE(config), "all")


def test_other_architectures_and_scopes_are_trouble() -> None:
    with pytest.raises(Trouble, match="matching_pursuit"):
        Dictionary(MatchingPursuitSAE(MatchingPursuitSAEConfig(d_in=WIDTH, d_sae=COMPONENTS)), "all")
    with pytest.raises(Trouble, match="scope = 'patch'"):
        Dictionary(tiny_sae("topk"), "patch")  # type: ignore[arg-type]


# Sparse triples

SPARSE = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 9), st.floats(0.5, 9, width=32)),
    max_size=30,
    unique_by=lambda pair: pair[:2],
)


@given(SPARSE)
def test_of_and_spread_equal_a_dense_table(pairs: list[tuple[int, int, float]]) -> None:
    table = np.zeros((6, 10), dtype=np.float32)
    for token, component, value in pairs:
        table[token, component] = value
    ordered = sorted(pairs, key=lambda pair: (pair[1], pair[0]))
    token, component, value = zip(*ordered, strict=True) if ordered else ((), (), ())
    activations = Activations(
        np.array(token, np.int32), np.array(component, np.int32), np.array(value, np.float32), 6, 10
    )
    assert activations.components().tolist() == np.flatnonzero(table.any(axis=0)).tolist()
    for j in range(10):
        assert np.array_equal(activations.of(j), table[:, j])
        assert np.array_equal(activations.spread(2 * activations.value, j), 2 * table[:, j])


def test_activations_pickle_compare_and_print(x: torch.Tensor) -> None:
    dictionary = Dictionary(tiny_sae("topk"), "all")
    activations = dictionary.activations(x)
    assert pickle.loads(pickle.dumps(activations)) == activations
    assert dictionary.activations(2 * x) != activations
    assert activations != "something else"
    n = len(activations.value)
    assert repr(activations) == (
        f"Activations(token=int32[{n}], component=int32[{n}], value=float32[{n}], n_tokens=17, n_components=48)"
    )
