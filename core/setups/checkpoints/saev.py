"""saev (SAE-V): one line of JSON, then what torch.save writes, in one file.

    f = a((x − b_dec) W_enc + b_enc), or without “− b_dec”; x_hat = f W_dec + b_dec

where a is a relu, the k largest with their signs kept (the default since schema 5), or what lies above a threshold,
which stands in for a top-k over the batch. A commit of 31 July 2025 dropped “− b_dec” (“since it's zero by default”).
Files whose schema number is 2 or more are surely younger. The released CLIP dictionary is of January 2025.

Until then the project could also train on z = (x − mean) / scalar in place of x, with the mean patch and
scalar = mean |x − mean| / sqrt(d) (`Dataset` in saev/activations.py at 837e943). Whether the released one was, its
repository does not settle: the defaults, configs/preprint/baseline.toml and the demo that compares models (saev/app)
say yes, saev/guide.md and saev/inference.md say no, and the file holds neither number. So of a file without such a
schema number every formula is returned that it may have been trained with, and whoever has activations decides by
reconstruction error.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sae_lens import JumpReLUSAEConfig, SAEConfig, StandardSAEConfig

from ...errors import UserError
from ...model.signed_topk import SignedTopKSAEConfig
from ..standardisation import ResidualStatistics, Standardisation
from .files import begins, only
from .reading import Reading, built
from .settings import dict_in, json_of, one_of, whole
from .tensors import Tensors
from .torch_archive import read_torch

FILE = "sae.pt"
HEADER = 1 << 16
_THRESHOLD = "activation.threshold"


def files_of(file: str) -> tuple[str, ...]:
    """The one file."""
    return (file,)


def read(root: Path, file: str) -> tuple[Reading, ...]:
    """The dictionary, with “− b_dec” and without, of x and of z, where its header does not tell."""
    path = begins(only(root, file), file, b"{")
    with path.open("rb") as stream:
        header = json_of(stream.readline(HEADER), file)
        settings = dict_in(file, header, "cfg") if "schema" in header else header
        d = whole(file, settings, "d_vit" if "d_vit" in settings else "d_model")
        m = whole(file, settings, "d_sae") if "d_sae" in settings else d * whole(file, settings, "exp_factor")
        if path.stat().st_size > HEADER + (1 << 20) + 8 * (2 * d * m + d + m):  # twice what it is, in double precision
            raise UserError(
                f"{file} is larger than a dictionary of {m} components for a residual {d} wide. Download it again."
            )
        younger = isinstance(header.get("schema"), int) and header["schema"] >= 2
        kind, details = _activation(file, header, settings, stated=younger)
        rest = BytesIO(stream.read())
    tensors = Tensors(file, read_torch(file, rest))
    del rest  # as large as the tensors

    beside = (_THRESHOLD,) if kind == "BatchTopK" else ()
    weights = tensors.plain(d, m, beside)
    formula = "relu({})"
    config: Callable[..., SAEConfig] = StandardSAEConfig
    if kind == "TopK":
        k = min(whole(file, details, "top_k"), m)
        formula, config = f"the {k} largest of {{}}, signs kept", partial(SignedTopKSAEConfig, k=k)
    elif kind == "BatchTopK":
        threshold = max(tensors.finite_number(_THRESHOLD), 0.0)
        formula, config = f"relu({{}}) where it is above {threshold:.4g}", JumpReLUSAEConfig
        weights["threshold"] = torch.full((m,), threshold)
    encoders = {"x W_enc + b_enc": False} if younger else {"(x − b_dec) W_enc + b_enc": True, "x W_enc + b_enc": False}
    readings = tuple(
        built(formula.format(before), config(d_in=d, d_sae=m, apply_b_dec_to_input=minus), weights)
        for before, minus in encoders.items()
    )
    if younger:
        return readings
    return *readings, *(
        replace(raw, formula=raw.formula.replace("x", "z") + "; z = (x − mean) / scalar", standardise=scaled)
        for raw in readings
    )


def scaled(statistics: ResidualStatistics) -> Standardisation:
    """As `Dataset` of saev has it: one scalar, so that the distance from the mean is sqrt(d) on average."""
    scalar = statistics.distance / len(statistics.mean) ** 0.5
    return Standardisation(statistics.mean, np.full_like(statistics.mean, scalar))


def _activation(
    file: str, header: Mapping[str, Any], settings: Mapping[str, Any], stated: bool
) -> tuple[str, Mapping[str, Any]]:
    """The class of the activation, which the settings may have `stated` surely, and its settings.

    Raises UserError for one that cannot be read here.
    """
    kind, details = header.get("cls", "Relu"), settings
    if stated or "activation" in settings:  # from schema 2 on, and in some files of schema 1
        activation = dict_in(file, settings, "activation")
        kind = activation.get("cls")
        details = {} if kind == "Relu" else dict_in(file, activation, "params")
    elif kind != "Relu":
        details = {"top_k": 32, **settings}
    one_of(file, {"activation": kind}, "activation", ("Relu", "TopK", "BatchTopK"))
    return kind, details
