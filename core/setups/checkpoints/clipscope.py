"""CLIP-Scope: a training checkpoint of the authors' own SAE.

    f = the k largest of (z − pre_b) enc, signs kept; z_hat = f dec + pre_b; z = (x − mean) / (deviation + 1e-6)

The released ones were trained on z (`batch_norm: True` in vitact/build_configs.py of Lewington-pitsos/vitsae), with
mean and deviation of each of the d numbers over a batch of 128 pictures with 257 tokens (`training_step` in
sache/train.py of Lewington-pitsos/sache), and what is published of them is of z. No file holds mean or deviation, and
the authors' package, clipscope, gives x itself to the same formula. Both readings are returned: for the first, mean and
deviation are taken from photographs.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ...model.signed_topk import SignedTopKSAEConfig
from ..standardisation import ResidualStatistics, Standardisation
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
    """Of z, and of x itself. pre_b is taken off, and added again at the end; the encoder has no bias."""
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
    raw = built(f"the {k} largest of (x − pre_b) enc, signs kept", config, weights, claims)
    formula = f"the {k} largest of (z − pre_b) enc, signs kept; z = (x − mean) / deviation, for each number of a token"
    return replace(raw, formula=formula, standardise=batch_norm), raw


def batch_norm(statistics: ResidualStatistics) -> Standardisation:
    """As `training_step` of sache has it: 1e-6 is added to the deviation."""
    return Standardisation(statistics.mean, statistics.deviation + np.float32(1e-6))
