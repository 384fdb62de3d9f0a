"""PatchSAE: a state dict and the object of its settings in one file.

    f = relu((x − b_dec) W_enc + b_enc); x_hat = f W_dec + b_dec

The formula of its repository's src/sae_training/sparse_autoencoder.py.
"""

from pathlib import Path

from sae_lens import StandardSAEConfig

from .files import only
from .reading import RELU, Reading, built, claims_of
from .settings import dict_in, one_of, whole
from .tensors import Tensors
from .torch_archive import read_torch, settings_in

FILE = "out.pt"


def files_of(file: str) -> tuple[str, ...]:
    """The one file."""
    return (file,)


def read(root: Path, file: str) -> tuple[Reading, ...]:
    """PatchSAE: {"cfg": object or dict, "state_dict": state dict}; "config" in older files."""
    found = read_torch(file, only(root, file))
    settings = settings_in(file, found, "cfg" if "cfg" in found else "config")
    one_of(file, settings, "gated_sae", (False, None))
    d, m = whole(file, settings, "d_in"), whole(file, settings, "d_sae")
    claims = claims_of(
        layer=settings.get("block_layer"),
        point=settings.get("module_name"),
        scope=("cls" if settings["class_token"] else "all") if "class_token" in settings else None,
        model=settings.get("model_name"),
    )
    weights = Tensors(file, dict_in(file, found, "state_dict")).plain(d, m)
    return (built(RELU, StandardSAEConfig(d_in=d, d_sae=m), weights, claims),)
