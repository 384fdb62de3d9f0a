"""dictionary_learning, with which sae-for-vlm trains: a state dict of its BatchTopK or Matryoshka BatchTopK class.

    f = p where p > threshold, else 0; p = relu((x − b_dec) W_enc + b_enc); x_hat = f W_dec + b_dec

Trained with a top-k over the batch, for which the threshold stands in at a single token. A negative one was never set,
and leaves the relu.
"""

import re
from pathlib import Path

import torch
from sae_lens import JumpReLUSAEConfig

from ...errors import UserError
from .files import only
from .reading import RELU, Reading, built, claims_of
from .settings import k_of
from .tensors import PLAIN, Tensors
from .torch_archive import read_torch

FILE = "ae.pt"


def files_of(file: str) -> tuple[str, ...]:
    """The one file."""
    return (file,)


def read(root: Path, file: str) -> tuple[Reading, ...]:
    """sae-for-vlm: BatchTopK and Matryoshka BatchTopK of dictionary_learning, as they are after training."""
    path = only(root, file)
    tensors = Tensors(file, read_torch(file, path))
    linear = ("encoder.weight", "encoder.bias", "decoder.weight", "b_dec")
    names = linear if any(str(name).startswith("encoder.") for name in tensors.left) else PLAIN
    groups = ("group_sizes",) if "group_sizes" in tensors.left else ()
    tensors.expect((*names, "k", "threshold", *groups))
    d, m = tensors.sizes(names[0])[:: -1 if names is linear else 1]
    k_of(file, tensors.number("k"), m)
    threshold = tensors.finite_number("threshold")
    if groups:
        sizes = tensors.left.pop("group_sizes")
        if sizes.dtype != torch.int64 or sizes.numel() > m or int(sizes.sum()) != m:
            raise UserError(f"In {file}, group_sizes were expected to add up to the {m} components of {names[0]}.")
    weights = {
        "W_enc": tensors.take(names[0], d, m, turned=names is linear),
        "b_enc": tensors.take(names[1], m),
        "W_dec": tensors.take(names[2], m, d, turned=names is linear),
        "b_dec": tensors.take(names[3], d),
        "threshold": torch.full((m,), threshold),
    }
    claims = {}
    if name := re.search(r"activations_([^/]+?)_(-?\d+)_(post_\w+?)(?:_(?:matroyshka_)?batch|/|$)", path.as_posix()):
        claims = claims_of(model=name[1], layer=int(name[2]), point=name[3])
    config = JumpReLUSAEConfig(d_in=d, d_sae=m)
    return (built(f"{RELU} where it is above {max(threshold, 0):.4g}", config, weights, claims),)
