"""clip-topk-sae: its file, as huggingface_hub's mixin saves it, against the authors' formula restated.

Names and formula: `TopKSAE` in sae/sae_topk.py of patrikwolf/ttt_theory (271e591), which derives from
PyTorchModelHubMixin; its README says that the embeddings it was trained on were normalised.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from core.errors import UserError
from core.model.sae_dictionary import SaeDictionary
from core.setups.checkpoints import files_of, read_checkpoint

D, M, K = 16, 40, 6


def saved(folder: Path, **changes: Any) -> dict[str, torch.Tensor]:
    settings = {
        "input_dim": D,
        "hidden_dim": M,
        "k": K,
        "use_ghost_grads": True,
        "ghost_threshold": 0.0,
        "ghost_weight": 0.01,
        "normalize_decoder": True,
        "decoder_bias": True,
    } | changes
    (folder / "config.json").write_text(json.dumps(settings))
    torch.manual_seed(0)
    weights = {"W_enc": torch.randn(D, M), "b_enc": torch.randn(M), "W_dec": torch.randn(M, D)}
    if settings["decoder_bias"]:
        weights["b_dec"] = torch.randn(D)
    save_file(
        weights | {"feature_counts": torch.ones(M), "total_samples": torch.tensor(9)}, folder / "model.safetensors"
    )
    return weights


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("biased", [True, False])
def test_it_is_what_the_authors_compute_of_unit_embeddings(tmp_path: Path, normalised: bool, biased: bool) -> None:
    w = saved(tmp_path, normalize_decoder=normalised, decoder_bias=biased)
    (reading,) = read_checkpoint("clip_topk_sae", tmp_path)
    dictionary = SaeDictionary(reading.sae, "cls")
    z = torch.randn(5, 1, D) * torch.logspace(-1, 1, 5)[:, None, None]
    for one in z:
        length = one.norm()
        before = (one[0] / length) @ w["W_enc"] + w["b_enc"]
        kept = sorted(range(M), key=lambda j: -float(before[j]))[:K]  # no ReLU: signs are kept
        rows = w["W_dec"] / w["W_dec"].norm(dim=1, keepdim=True) if normalised else w["W_dec"]
        unit = sum(float(before[j]) * rows[j] for j in kept) + w.get("b_dec", torch.zeros(D))
        torch.testing.assert_close(dictionary.reconstruct(one)[0], length * unit, atol=1e-4, rtol=1e-4)
        active = dictionary.activations(one)
        assert sorted(active.component.tolist()) == sorted(kept)
        for j, f in zip(active.component.tolist(), active.value.tolist(), strict=True):
            moved = float(before[j]) * rows[j] * length  # what the component adds to z
            torch.testing.assert_close(f * dictionary.directions([j])[0], moved, atol=1e-4, rtol=1e-4)  # type: ignore[arg-type]
    assert dict(reading.claims) == {"point": "embedding"}
    assert files_of("clip_topk_sae", "sub") == ("sub/config.json", "sub/model.safetensors")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"k": M + 1}, "k = 41"),
        ({"input_dim": D + 1}, "W_enc"),
        ({"normalize_decoder": "no"}, "normalize_decoder = no"),
        ({"hidden_dim": None}, "hidden_dim = None"),
    ],
)
def test_what_does_not_fit_is_a_sentence(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    saved(tmp_path, **changes)
    with pytest.raises(UserError, match=said):
        read_checkpoint("clip_topk_sae", tmp_path)
