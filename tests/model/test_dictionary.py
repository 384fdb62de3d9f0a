"""The dictionary against each architecture's formulas written out, densely and token by token."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from conftest import COMPONENTS, WIDTH, tiny_sae
from hypothesis import given
from hypothesis import strategies as st
from sae_lens import SAE, StandardSAE, StandardSAEConfig
from sae_lens.saes import MatchingPursuitSAE, MatchingPursuitSAEConfig

from core.errors import UserError
from core.model.dictionary import Activations, Dictionary, nonzero
from core.model.sae_dictionary import SaeDictionary, blank_sae, filled_sae
from core.model.scope import Scope
from core.model.signed_topk import SignedTopKSAEConfig

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
    ("signed_topk", {"k": 40}),  # so many that some are negative
]
SCOPES: list[Scope] = ["all", "cls", "patches"]


def small_sae(architecture: str, **settings: Any) -> SAE:
    """`tiny_sae`, with the architecture of this project beside those of sae_lens."""
    if architecture != "signed_topk":
        return tiny_sae(architecture, **settings).requires_grad_(False)
    sae = tiny_sae("topk", **settings)
    return filled_sae(blank_sae(SignedTopKSAEConfig(**vars(sae.cfg))), sae.state_dict()).requires_grad_(False)


@pytest.fixture(params=KINDS, ids=lambda kind: "-".join([kind[0], *kind[1]]))
def sae(request: pytest.FixtureRequest) -> SAE:
    architecture, settings = request.param
    return small_sae(architecture, **settings)


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
        f = np.where(keep, np.maximum(f, 0) if sae.cfg.architecture() == "topk" else f, 0)
    return f


def dense(activations: Activations) -> np.ndarray:
    """[T, m], one pair at a time."""
    f = np.zeros((activations.n_tokens, activations.n_components), dtype=np.float32)
    for token, component, value in zip(activations.token, activations.component, activations.value, strict=True):
        assert f[token, component] == 0, "a pair must not occur twice"
        f[token, component] = value
    return f


def test_activations_equal_the_formulas(sae: SAE, x: torch.Tensor) -> None:
    activations = SaeDictionary(sae, "all").activations(x)
    expected = np.stack([encoded_by_hand(sae, token) for token in x])
    assert 0 < len(activations.value) < TOKENS * COMPONENTS
    assert (activations.value < 0).any() == (sae.cfg.architecture() in ("abstopk", "signed_topk"))
    np.testing.assert_allclose(dense(activations), expected, atol=1e-5)


@pytest.mark.parametrize("scope", SCOPES)
def test_only_tokens_in_scope_activate(sae: SAE, x: torch.Tensor, scope: Scope) -> None:
    dictionary = SaeDictionary(sae, scope)
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
    activations = SaeDictionary(sae, "all").activations(x)
    pairs = list(zip(activations.component.tolist(), activations.token.tolist(), strict=True))
    assert pairs == sorted(pairs)
    assert (activations.value != 0).all()
    assert [a.dtype.name for a in (activations.token, activations.component, activations.value)] == [
        "int32",
        "int32",
        "float32",
    ]


def test_a_large_picture_is_encoded_in_parts(sae: SAE, x: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    dictionary = SaeDictionary(sae, "patches")
    at_once = dictionary.activations(x)
    decoded = dictionary.decode(at_once)
    monkeypatch.setattr("core.model.dictionary.CHUNK", 3 * COMPONENTS)
    in_parts = dictionary.activations(x)
    assert np.array_equal(in_parts.token, at_once.token)
    assert np.array_equal(in_parts.component, at_once.component)
    np.testing.assert_allclose(in_parts.value, at_once.value, atol=1e-6)
    torch.testing.assert_close(dictionary.decode(in_parts), decoded, atol=1e-5, rtol=1e-5)


def test_directions_are_what_one_unit_of_a_component_decodes_to(sae: SAE) -> None:
    nothing = sae.decode(torch.zeros(1, COMPONENTS))[0]
    expected = sae.decode(torch.eye(COMPONENTS)) - nothing
    chosen = np.array([7, 0, 47, 7])
    found = SaeDictionary(sae, "all").directions(chosen)
    torch.testing.assert_close(found, expected[torch.as_tensor(chosen)], atol=1e-6, rtol=1e-5)
    bias = SaeDictionary(sae, "all").bias_at(torch.randn(3, 2, WIDTH))
    torch.testing.assert_close(bias, nothing.expand(3, 2, WIDTH))


@pytest.mark.parametrize("scope", SCOPES)
def test_decode_and_reconstruct_equal_the_dense_decoder(sae: SAE, x: torch.Tensor, scope: Scope) -> None:
    dictionary = SaeDictionary(sae, scope)
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
    dictionary = SaeDictionary(sae, "all")
    activations = dictionary.activations(x)
    assert len(activations.token) == 0
    assert len(activations.components()) == 0
    assert torch.equal(dictionary.decode(activations), torch.zeros(TOKENS, WIDTH))


def test_half_precision_on_disk_is_read_in_single(tmp_path: Path, x: torch.Tensor) -> None:
    sae = tiny_sae("jumprelu")
    sae.to(dtype=torch.float16).save_model(tmp_path)
    dictionary = SaeDictionary.from_folder(tmp_path, "all")
    assert {weight.dtype for weight in dictionary.sae.parameters()} == {torch.float32}
    assert not any(weight.requires_grad for weight in dictionary.sae.parameters())
    assert dictionary.encode(x).dtype == torch.float32
    assert (dictionary.n_components, dictionary.width, dictionary.scope) == (COMPONENTS, WIDTH, "all")


@pytest.mark.parametrize("setting", ["covariance_whitening", "expected_average_only_in"])
def test_a_dictionary_that_normalises_otherwise_is_trouble(setting: str) -> None:
    config = StandardSAEConfig(d_in=WIDTH, d_sae=COMPONENTS)
    config.normalize_activations = setting
    with pytest.raises(UserError, match=f"normalize_activations = '{setting}'"):
        SaeDictionary(StandardSAE(config), "all")


def test_other_architectures_and_scopes_are_trouble() -> None:
    with pytest.raises(UserError, match="matching_pursuit"):
        SaeDictionary(MatchingPursuitSAE(MatchingPursuitSAEConfig(d_in=WIDTH, d_sae=COMPONENTS)), "all")
    with pytest.raises(UserError, match="scope = 'patch'"):
        SaeDictionary(tiny_sae("topk"), "patch")  # type: ignore[arg-type]


# Dictionaries that standardise every token


@pytest.fixture(params=KINDS, ids=lambda kind: "-".join([kind[0], *kind[1]]))
def standardising(request: pytest.FixtureRequest) -> SAE:
    """As sae_lens does it, with mean and standard deviation kept on the module."""
    architecture, settings = request.param
    return small_sae(architecture, normalize_activations="layer_norm", **settings)


@pytest.fixture
def far(x: torch.Tensor) -> torch.Tensor:
    """Tokens that differ much in mean and size; one does not vary at all."""
    tokens = 3 + x * torch.logspace(-1, 2, TOKENS)[:, None]
    tokens[4] = 2.5
    return tokens


@pytest.mark.parametrize("scope", SCOPES)
def test_standardising_without_state_equals_sae_lens_with_it(
    standardising: SAE, far: torch.Tensor, scope: Scope
) -> None:
    dictionary = SaeDictionary(standardising, scope)
    inside = list(dictionary.tokens(TOKENS))
    f = standardising.encode(far)
    spread = standardising.ln_std  # it is only there between encode and decode
    x_hat = standardising.decode(f)
    assert dictionary.normalisation == "layer_norm"

    activations = dictionary.activations(far)
    expected = torch.zeros(TOKENS, COMPONENTS)
    expected[inside] = (f * spread)[inside]
    assert expected.any()
    torch.testing.assert_close(torch.as_tensor(dense(activations)), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(dictionary.encode(far), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(dictionary.encode(torch.stack([far, x_hat]))[0], expected, atol=1e-4, rtol=1e-4)

    torch.testing.assert_close(dictionary.reconstruct(far)[inside], x_hat[inside], atol=1e-3, rtol=1e-4)
    rebuilt = dictionary.decode(activations) + dictionary.bias_at(far)
    torch.testing.assert_close(rebuilt[inside], x_hat[inside], atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(
        dictionary.encode(far) @ dictionary.directions(np.arange(COMPONENTS)),
        dictionary.decode(activations),
        atol=1e-3,
        rtol=1e-4,
    )


def test_the_bias_of_a_standardising_dictionary_is_its_reconstruction_of_nothing(far: torch.Tensor) -> None:
    sae = tiny_sae("standard", normalize_activations="layer_norm").requires_grad_(False)
    sae.b_enc.fill_(-1e6)
    dictionary = SaeDictionary(sae, "patches")
    assert len(dictionary.activations(far).value) == 0
    bias = dictionary.bias_at(far)
    torch.testing.assert_close(bias[1:], dictionary.reconstruct(far)[1:])
    by_hand = [token.mean() + token.std(unbiased=True) * sae.b_dec for token in far]
    torch.testing.assert_close(bias, torch.stack(by_hand))


def test_the_weights_are_shared_and_the_module_given_keeps_its_own_normalisation(far: torch.Tensor) -> None:
    sae = tiny_sae("topk", normalize_activations="layer_norm")
    before = sae(far)
    dictionary = SaeDictionary(sae, "all")
    assert sae.cfg.normalize_activations == "layer_norm"
    assert torch.equal(sae(far), before)
    for name, weight in dictionary.sae.named_parameters():
        assert weight.data_ptr() == dict(sae.named_parameters())[name].data_ptr()
        assert not weight.requires_grad


def test_requests_at_one_time_do_not_take_each_others_mean(far: torch.Tensor) -> None:
    dictionary = SaeDictionary(tiny_sae("topk", normalize_activations="layer_norm"), "all")
    requests = [torch.stack([far * (1 + n) - n] * 40) for n in range(8)]
    alone = [dictionary.reconstruct(x)[0] for x in requests]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(dictionary.reconstruct, requests * 4))
    for n, found in enumerate(together):
        assert torch.equal(found[0], alone[n % 8])


@pytest.mark.parametrize("scope", SCOPES)
def test_tokens_made_of_one_length_without_state_equal_sae_lens_with_it(far: torch.Tensor, scope: Scope) -> None:
    """And so does what it misses, x - x_hat, whichever way that is put together."""
    sae = small_sae("signed_topk", normalize_activations="constant_norm_rescale")
    dictionary = SaeDictionary(sae, scope)
    inside = list(dictionary.tokens(TOKENS))
    x_hat = sae(far)
    activations = dictionary.activations(far)
    rebuilt = dictionary.decode(activations) + dictionary.bias_at(far)
    assert dictionary.normalisation == "constant_norm_rescale"
    torch.testing.assert_close(rebuilt[inside], x_hat[inside], atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(dictionary.reconstruct(far)[inside], x_hat[inside], atol=1e-3, rtol=1e-4)
    for t in inside:
        unit = far[t] / far[t].norm() * WIDTH**0.5
        expected = encoded_by_hand(dictionary.sae, unit) * float(far[t].norm()) / WIDTH**0.5
        np.testing.assert_allclose(dense(activations)[t], expected, atol=1e-3, rtol=1e-4)


def test_a_token_of_no_length_has_no_numbers_that_are_none() -> None:
    dictionary = SaeDictionary(tiny_sae("standard", normalize_activations="constant_norm_rescale"), "all")
    assert not dictionary.encode(torch.zeros(2, WIDTH)).any()


# On disk and on other devices


@pytest.mark.parametrize("normalisation", ["none", "layer_norm", "constant_norm_rescale"])
def test_what_is_saved_is_loaded(sae: SAE, far: torch.Tensor, tmp_path: Path, normalisation: str) -> None:
    sae.cfg.normalize_activations = normalisation
    dictionary = SaeDictionary(sae, "patches")
    dictionary.save(tmp_path / "new" / "folder")
    again = SaeDictionary.from_folder(tmp_path / "new" / "folder", "patches")
    assert again.sae.cfg.architecture() == sae.cfg.architecture()
    assert again.normalisation == dictionary.normalisation == normalisation
    assert again.activations(far) == dictionary.activations(far)
    assert torch.equal(again.reconstruct(far), dictionary.reconstruct(far))


def test_another_device(far: torch.Tensor) -> None:
    dictionary = SaeDictionary(small_sae("signed_topk", normalize_activations="layer_norm"), "cls")
    assert dictionary.to("cpu") is dictionary.to(torch.device("cpu")) is dictionary
    other = dictionary.to("meta")
    assert other.device.type == "meta"
    assert {weight.device.type for weight in other.sae.parameters()} == {"meta"}
    assert (other.scope, other.normalisation, other.sae.cfg.device) == ("cls", "layer_norm", "meta")
    assert other.reconstruct(far.to("meta")).shape == far.shape
    assert dictionary.device.type == "cpu"
    assert dictionary.activations(far).value.any()


def test_bytes_of_the_weights() -> None:
    dictionary = SaeDictionary(tiny_sae("jumprelu"), "all")
    assert dictionary.n_bytes == 4 * (2 * WIDTH * COMPONENTS + 2 * COMPONENTS + WIDTH) == dictionary.to("meta").n_bytes


# Sparse triples

SPARSE = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 9), st.floats(0.5, 9, width=32)),
    max_size=30,
    unique_by=lambda pair: pair[:2],
)


@given(SPARSE)
def test_of_and_at_tokens_equal_a_dense_table(pairs: list[tuple[int, int, float]]) -> None:
    table = np.zeros((6, 10), dtype=np.float32)
    for token, component, value in pairs:
        table[token, component] = value
    ordered = sorted(pairs, key=lambda pair: (pair[1], pair[0]))
    tokens, components, values = (np.array([pair[k] for pair in ordered]) for k in range(3))
    activations = Activations(tokens.astype(np.int32), components.astype(np.int32), values.astype(np.float32), 6, 10)
    assert activations.components().tolist() == np.flatnonzero(table.any(axis=0)).tolist()
    for j in range(10):
        assert np.array_equal(activations.of(j), table[:, j])
        assert np.array_equal(activations.at_tokens(2 * activations.value, j), 2 * table[:, j])


def test_activations_pickle_compare_and_print(x: torch.Tensor) -> None:
    dictionary = SaeDictionary(tiny_sae("topk"), "all")
    activations = dictionary.activations(x)
    assert pickle.loads(pickle.dumps(activations)) == activations
    assert dictionary.activations(2 * x) != activations
    assert activations != "something else"
    n = len(activations.value)
    assert repr(activations) == (
        f"Activations(token=int32[{n}], component=int32[{n}], value=float32[{n}], n_tokens=17, n_components=48)"
    )


@pytest.mark.parametrize("layout", [lambda f: f, lambda f: f.T])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_search_for_active_components_finds_what_torch_finds(layout, dtype) -> None:
    f = layout(torch.tensor([[0.0, 2.0, -0.0, -3.0], [float("nan"), 0.0, 1e-30, 0.0]], dtype=dtype))
    place, value = nonzero(f)
    assert place.dtype == np.int64
    assert value.dtype == np.float32
    np.testing.assert_array_equal(place, f.flatten().nonzero()[:, 0].numpy())
    np.testing.assert_array_equal(value, f.flatten()[place].float().numpy())


def test_activations_are_found_by_that_search(monkeypatch: pytest.MonkeyPatch, dictionary: Dictionary) -> None:
    search = Mock(wraps=nonzero)
    monkeypatch.setattr("core.model.dictionary.nonzero", search)
    dictionary.activations(torch.randn(5, dictionary.width))
    assert [tuple(called.args[0].shape) for called in search.call_args_list] == [(5, dictionary.n_components)]
