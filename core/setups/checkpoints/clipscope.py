"""CLIP-Scope: a training checkpoint of the authors' own SAE.

    f = the k largest of (x − pre_b) enc, signs kept; x_hat = f dec + pre_b

The formula of the authors' package clipscope.
"""

import re
from pathlib import Path

import torch

from ...model.signed_topk import SignedTopKSAEConfig
from .files import only
from .reading import Reading, built, claims_of
from .settings import dict_in, k_of, whole
from .tensors import Tensors
from .torch_archive import read_torch

FILE = "*.pt"


def files_of(file: str) -> tuple[str, ...]:
    """The one file."""
    return (file,)


def read(root: Path, file: str) -> tuple[Reading, ...]:
    """CLIP-Scope: pre_b is taken off x, and added again at the end; the encoder has no bias."""
    path = only(root, file)
    found = read_torch(file, path)
    d, m = whole(file, found, "d_in"), whole(file, found, "n_features")
    k = k_of(file, found.get("k"), m)
    tensors = Tensors(file, dict_in(file, found, "model_state_dict"))
    tensors.expect(("pre_b", "enc", "dec"))
    weights = {
        "W_enc": tensors.take("enc", d, m),
        "b_enc": torch.zeros(m),
        "W_dec": tensors.take("dec", m, d),
        "b_dec": tensors.take("pre_b", d),
    }
    layer = re.search(r"(?:^|/)(\d+)_resid(?:/|$)", file)
    claims = claims_of(layer=int(layer[1]), point="resid") if layer else {}
    config = SignedTopKSAEConfig(d_in=d, d_sae=m, k=k)
    formula = f"the {k} largest of (x − pre_b) enc, signs kept"
    return (built(formula, config, weights, claims),)
