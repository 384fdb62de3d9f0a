"""Prisma (ViT-Prisma): a state dict beside `config.json`, or both in one file, where the config is an object.

    f = relu((x − b_dec) W_enc + b_enc), or its top-k; x_hat = f W_dec + b_dec

of x standardised at every token where the config's normalize_activations is "layer_norm"; null and "none" leave x as it
is, as in Prisma's code. A config without that key is older than the setting. Prisma's loader would then standardise, so
this reading comes first, and the plain one second.
"""

import re
from pathlib import Path, PurePosixPath

from sae_lens import StandardSAEConfig, TopKSAEConfig

from ...errors import UserError
from .files import few, inside, matching, single
from .reading import NORMALISED, RELU, Reading, built, claims_of
from .settings import dict_in, json_in, k_of, one_of, whole
from .tensors import Tensors
from .torch_archive import read_torch, settings_in

FILE = "."


def files_of(file: str) -> tuple[str, ...]:
    """The settings and the weights, which are one file where the settings are in it."""
    weights = file if file.endswith(".pt") else inside(file, "*.pt")
    return str(PurePosixPath(weights).with_name("config.json")), weights


def read(root: Path, file: str) -> tuple[Reading, ...]:
    """ViT-Prisma: a state dict beside `config.json`, or {"cfg": object, "state_dict": state dict}, cfg coming first."""
    path = _weights_file(root, files_of(file)[1])
    file = path.relative_to(root).as_posix()
    found = read_torch(file, path)
    if "cfg" in found:
        name, settings = file, settings_in(file, found, "cfg")
    else:
        name = files_of(file)[0]
        settings = json_in(root / name, name)
    tensors = Tensors(file, dict_in(file, found, "state_dict") if "state_dict" in found else found)
    one_of(name, settings, "is_transcoder", (False, None))
    one_of(name, settings, "architecture", ("standard",), "standard")
    one_of(name, settings, "activation_fn_str", ("relu", "topk"))
    normalisations = ["layer_norm", "none"]
    if "normalize_activations" in settings:
        one_of(name, settings, "normalize_activations", ("layer_norm", "none", None))
        normalisations = [settings["normalize_activations"] or "none"]
    d = whole(name, settings, "d_in")
    m = d * whole(name, settings, "expansion_factor")
    top_k = {}
    if settings["activation_fn_str"] == "topk":
        details = dict_in(name, settings, "activation_fn_kwargs")
        if set(details) != {"k"}:  # another one would be what follows the top-k
            raise UserError(f"{name} has activation_fn_kwargs = {few(details)}; only k can be read here.")
        top_k = {"k": k_of(name, details["k"], m)}

    weights = tensors.plain(d, m)
    scope = "cls" if settings.get("cls_token_only") else "patches" if settings.get("use_patches_only") else "all"
    claims = claims_of(
        layer=settings.get("hook_point_layer"),
        point=settings.get("layer_subtype"),
        scope=scope if "cls_token_only" in settings else None,
        model=settings.get("model_name"),
    )
    readings = []
    for normalisation in normalisations:
        common = {"d_in": d, "d_sae": m, "normalize_activations": normalisation}
        config = TopKSAEConfig(**common, **top_k) if top_k else StandardSAEConfig(**common)
        formula = RELU.replace("relu(", f"the {top_k['k']} largest of relu(") if top_k else RELU
        formula += NORMALISED[normalisation]
        readings.append(built(formula, config, weights, claims))
    return tuple(readings)


def _weights_file(root: Path, pattern: str) -> Path:
    """The file of a pattern: weights.pt, or the last of n_images_*.pt, beside which lie lists of frequencies."""
    found = {path.name: path for path in matching(root, pattern) if "log_feature_sparsity" not in path.name}
    if len(found) > 1 and "weights.pt" in found:
        return found["weights.pt"]
    numbered = {int(n[1]): path for name, path in found.items() if (n := re.fullmatch(r"n_images_(\d+)\.pt", name))}
    if len(found) > 1 and len(numbered) == len(found):
        return numbered[max(numbered)]
    return single(found.values(), pattern)
