"""clip-topk-sae: what huggingface_hub's PyTorchModelHubMixin saves of the authors' SAE of the image embedding.

    f = the k largest of u W_enc + b_enc, signs kept; u_hat = f W_dec + b_dec; u = z / |z|

with rows of W_dec made unit where normalize_decoder says so. The formula of sae/sae_topk.py of patrikwolf/ttt_theory,
whose README says that the embeddings were normalised. Here u is written as what sae_lens calls constant_norm_rescale,
sqrt(d) z / |z|, with the factor in the weights.
"""

from pathlib import Path

import torch
import torch.nn.functional as F

from ...model.signed_topk import SignedTopKSAEConfig
from .files import inside
from .reading import Reading, built, claims_of
from .sae_lens import safetensors_in
from .settings import json_in, k_of, one_of, whole
from .tensors import PLAIN, Tensors

FILE = "."
_COUNTS = ("feature_counts", "total_samples")
"""Of its training."""


def files_of(file: str) -> tuple[str, ...]:
    """The settings and the weights, in the folder."""
    return inside(file, "config.json"), inside(file, "model.safetensors")


def read(root: Path, file: str) -> tuple[Reading, ...]:
    """The dictionary of u, as one of z."""
    name, weights_file = files_of(file)
    settings = json_in(root / name, name)
    d, m = whole(name, settings, "input_dim"), whole(name, settings, "hidden_dim")
    k = k_of(name, settings.get("k"), m)
    for flag in ("normalize_decoder", "decoder_bias"):
        one_of(name, settings, flag, (True, False), True)
    biased = settings.get("decoder_bias", True)
    tensors = Tensors(weights_file, safetensors_in(root, weights_file))
    for count in _COUNTS:
        tensors.left.pop(count, None)
    tensors.expect(PLAIN if biased else PLAIN[:-1])
    encoder, decoder = tensors.take("W_enc", d, m), tensors.take("W_dec", m, d)
    if settings.get("normalize_decoder", True):
        decoder = F.normalize(decoder, dim=1)
    factor = d**0.5
    weights = {
        "W_enc": encoder / factor,
        "b_enc": tensors.take("b_enc", m),
        "W_dec": decoder * factor,
        "b_dec": tensors.take("b_dec", d) * factor if biased else torch.zeros(d),
    }
    config = SignedTopKSAEConfig(
        d_in=d, d_sae=m, k=k, apply_b_dec_to_input=False, normalize_activations="constant_norm_rescale"
    )
    formula = f"the {k} largest of u W_enc + b_enc, signs kept; u = z / |z|"
    return (built(formula, config, weights, claims_of(point="post_projection")),)
