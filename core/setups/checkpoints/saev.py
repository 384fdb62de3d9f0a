"""saev (SAE-V): one line of JSON, then what torch.save writes, in one file.

    f = relu((x − b_dec) W_enc + b_enc), or without “− b_dec”; x_hat = f W_dec + b_dec

A commit of 31 July 2025 dropped “− b_dec” (“since it's zero by default”). The released CLIP dictionary is of January
2025, and of all files only those whose schema number is 2 or more are surely younger: both formulas are returned, the
likelier first, and whoever has activations decides by reconstruction error. The project standardises x for DINOv2, by
published numbers, and takes CLIP's as it is.
"""

from io import BytesIO
from pathlib import Path

from .files import begins, only
from .reading import RELU, Reading, with_relu
from .settings import dict_in, json_of, one_of, whole
from .tensors import Tensors
from .torch_archive import read_torch

FILE = "sae.pt"
_HEADER = 1 << 16


def files_of(file: str) -> tuple[str, ...]:
    """The one file."""
    return (file,)


def read(root: Path, file: str) -> tuple[Reading, ...]:
    """SAE-V: one line of JSON, then what torch.save writes, in one file."""
    path = begins(only(root, file), file, b"{")
    with path.open("rb") as stream:
        line, rest = stream.readline(_HEADER), BytesIO(stream.read())
    header = json_of(line, file)
    settings = dict_in(file, header, "cfg") if "schema" in header else header
    kind = header.get("cls", "Relu")
    if "activation" in settings:  # from schema 2 on, and in some files of schema 1
        kind = dict_in(file, settings, "activation").get("cls")
    one_of(file, {"activation": kind}, "activation", ("Relu",))
    d = whole(file, settings, "d_vit" if "d_vit" in settings else "d_model")
    m = whole(file, settings, "d_sae") if "d_sae" in settings else d * whole(file, settings, "exp_factor")
    tensors = Tensors(file, read_torch(file, rest))
    del rest  # as large as the tensors
    weights = tensors.plain(d, m)
    younger = isinstance(header.get("schema"), int) and header["schema"] >= 2
    readings = [
        with_relu(formula, weights, apply_b_dec_to_input=minus)
        for formula, minus in ((RELU, True), ("relu(x W_enc + b_enc)", False))
    ]
    return tuple(reversed(readings) if younger else readings)
