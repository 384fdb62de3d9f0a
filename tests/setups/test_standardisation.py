"""A standardisation folded into a dictionary, against the dictionary on standardised tokens."""

import numpy as np
import pytest
import torch
from conftest import COMPONENTS, WIDTH, tiny_sae
from sae_lens import SAE, StandardSAE, StandardSAEConfig
from torch import Tensor

from core.model.sae_dictionary import SaeDictionary
from core.model.signed_topk import SignedTopKSAE, SignedTopKSAEConfig
from core.setups.checkpoints.clipscope import batch_norm
from core.setups.checkpoints.saev import scaled
from core.setups.standardisation import ResidualStatistics, Standardisation, folded

X = 3 * torch.randn(200, WIDTH, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.1, 4, WIDTH) + 7
STANDARDISATION = Standardisation(
    np.linspace(-3, 9, WIDTH, dtype=np.float32), np.linspace(0.2, 5, WIDTH, dtype=np.float32)
)


def signed_topk(**config: object) -> SAE:
    torch.manual_seed(3)
    sae = SignedTopKSAE(SignedTopKSAEConfig(d_in=WIDTH, d_sae=COMPONENTS, k=5, **config))
    for weight in sae.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return sae


@pytest.mark.parametrize("minus", [True, False])
@pytest.mark.parametrize("kind", ["standard", "jumprelu", "topk", "signed_topk"])
@torch.no_grad()
def test_folded_it_does_with_x_what_it_did_with_z(kind: str, minus: bool) -> None:
    """f stays, and x_hat = scale z_hat + mean, with numbers far from a mean of 0 and a scale of 1."""
    made = signed_topk if kind == "signed_topk" else lambda **config: tiny_sae(kind, **config)
    sae = made(apply_b_dec_to_input=minus)
    mean, scale = (torch.from_numpy(numbers) for numbers in (STANDARDISATION.mean, STANDARDISATION.scale))
    z = (X - mean) / scale
    before = z - sae.b_dec if minus else z
    p = before @ sae.W_enc + sae.b_enc
    f = {
        "standard": lambda: p.relu(),
        "jumprelu": lambda: p.relu() * (p > sae.threshold),
        "topk": lambda: kept(p).relu(),
        "signed_topk": lambda: kept(p),
    }[kind]()
    x_hat = (f @ sae.W_dec + sae.b_dec) * scale + mean
    assert 0 < (f != 0).sum() < f.numel()

    weights = {name: weight.clone() for name, weight in sae.state_dict().items()}
    whole = SaeDictionary(folded(sae, STANDARDISATION), "all")
    torch.testing.assert_close(whole.encode(X), f, atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(whole.reconstruct(X), x_hat, atol=2e-3, rtol=1e-4)
    assert all(torch.equal(weight, weights[name]) for name, weight in sae.state_dict().items()), "it is left alone"


def kept(p: Tensor, k: int = 5) -> Tensor:
    """The k largest of each row, the others 0."""
    return torch.where(p >= p.topk(k, dim=-1).values[:, -1:], p, 0.0)


@pytest.mark.parametrize(
    "sae",
    [
        tiny_sae("gated"),
        tiny_sae("standard", normalize_activations="layer_norm"),
        tiny_sae("topk", rescale_acts_by_decoder_norm=True),
    ],
    ids=["gated", "layer_norm", "rescaled"],
)
def test_what_cannot_be_folded_is_refused(sae: SAE) -> None:
    with pytest.raises(ValueError, match="folded"):
        folded(sae, STANDARDISATION)


def test_of_x_and_undone_are_inverse() -> None:
    z = STANDARDISATION.of(X)
    torch.testing.assert_close(
        z, (X - torch.from_numpy(STANDARDISATION.mean)) / torch.from_numpy(STANDARDISATION.scale)
    )
    torch.testing.assert_close(STANDARDISATION.undone(z), X, atol=1e-5, rtol=1e-5)


def test_explained_variance_is_what_sache_logs() -> None:
    """Lewington-pitsos/sache, sache/train.py at 0c97cd3, `training_step`: of a standardised batch, token by token."""
    x_hat = X + torch.randn(X.shape, generator=torch.Generator().manual_seed(1))
    batch, reconstruction = STANDARDISATION.of(X), STANDARDISATION.of(x_hat)
    delta_variance = (batch - reconstruction).pow(2).sum(-1)
    activation_variance = (batch - batch.mean(-1, keepdim=True)).pow(2).sum(-1)
    logged = (1 - delta_variance / activation_variance).mean()
    assert STANDARDISATION.explained_variance(X.numpy(), (X - x_hat).numpy()) == pytest.approx(float(logged), abs=1e-5)


def statistics_of(x: Tensor) -> ResidualStatistics:
    mean = x.mean(0)
    return ResidualStatistics(
        mean.numpy(), x.std(0).numpy(), float((x - mean).norm(dim=1).mean()), len(x), pictures=len(x) // 2
    )


def test_clip_scope_is_standardised_as_in_its_training() -> None:
    """The same file: mean and unbiased deviation of each number over the batch, 1e-6 added to the deviation."""
    batch_mean, batch_std = X.mean(dim=0, keepdim=True), X.std(dim=0, keepdim=True)
    batch = (X - batch_mean) / (batch_std + 1e-6)
    torch.testing.assert_close(batch_norm(statistics_of(X)).of(X), batch)


def test_sae_v_is_scaled_as_in_its_training() -> None:
    """OSU-NLP-Group/saev, saev/activations.py at 837e943, `Dataset`: all numbers by one scalar."""
    act_mean = X.mean(0)
    scalar = torch.linalg.norm(X - act_mean, axis=1).mean() / WIDTH**0.5
    torch.testing.assert_close(scaled(statistics_of(X)).of(X), (X - act_mean) / scalar, atol=1e-5, rtol=1e-5)


def test_folding_in_nothing_changes_nothing() -> None:
    sae = StandardSAE(StandardSAEConfig(d_in=WIDTH, d_sae=COMPONENTS))
    nothing = Standardisation(np.zeros(WIDTH, np.float32), np.ones(WIDTH, np.float32))
    for name, weight in folded(sae, nothing).named_parameters():
        assert torch.equal(weight, sae.get_parameter(name))
        assert not weight.requires_grad
