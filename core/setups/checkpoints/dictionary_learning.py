"""dictionary_learning, with which sae-for-vlm trains: the state dict of one of its classes, and config.json above it.

    class                   names beside W_enc and W_dec   f; x_hat = f W_dec + b
    AutoEncoder             encoder.bias bias              relu((x − b) W_enc + b_enc), for W_dec of unit length
    AutoEncoderNew          encoder.bias decoder.bias      relu(x W_enc + b_enc)
    GatedAutoEncoder        gate_bias mag_bias r_mag       relu(exp(r_mag) p + mag_bias) where p + gate_bias > 0,
                            decoder_bias                   p = (x − b) W_enc
    JumpReluAutoEncoder     b_enc b_dec threshold [m]      relu(p) where p > threshold, p = x W_enc + b_enc
    AutoEncoderTopK         encoder.bias b_dec             the k largest of relu((x − b) W_enc + b_enc)
                            k threshold
    BatchTopKSAE            the same                       relu((x − b) W_enc + b_enc) where it is above the threshold
    MatryoshkaBatchTopKSAE  b_enc b_dec k threshold        the same
                            [group_sizes]

The last two are trained with a top-k over the batch, for which the threshold stands in at a single token; a negative
one was never set, and leaves the relu. AutoEncoderTopK keeps a threshold too, and does not use it unless asked to.
Which of the two with the same names it is stands as dict_class in the trainer's config.json, or in the name that
sae-for-vlm gives to a run; where it does not, both are returned, and whoever has activations decides. The biases and
the threshold are those for x as it is: what x was divided by in training is multiplied in again before saving.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import torch
from sae_lens import GatedSAEConfig, JumpReLUSAEConfig, StandardSAEConfig, TopKSAEConfig
from torch import Tensor

from ...errors import UserError
from .files import only
from .reading import RELU, Reading, built, claims_of
from .settings import dict_in, json_in, k_of, one_of
from .tensors import Tensors
from .torch_archive import read_torch

FILE = "ae.pt"

_TOP_K = ("encoder.weight", "encoder.bias", "decoder.weight", "b_dec", "k", "threshold")
NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "AutoEncoder": ("encoder.weight", "encoder.bias", "decoder.weight", "bias"),
        "AutoEncoderNew": ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"),
        "GatedAutoEncoder": ("encoder.weight", "gate_bias", "decoder.weight", "decoder_bias", "r_mag", "mag_bias"),
        "JumpReluAutoEncoder": ("W_enc", "b_enc", "W_dec", "b_dec", "threshold"),
        "AutoEncoderTopK": _TOP_K,
        "BatchTopKSAE": _TOP_K,
        "MatryoshkaBatchTopKSAE": ("W_enc", "b_enc", "W_dec", "b_dec", "k", "threshold"),
    }
)
"""The tensors of each class, encoder, its bias, decoder and its bias first."""

_RUNS: Mapping[str, str] = MappingProxyType({"top_k": "AutoEncoderTopK", "batch_top_k": "BatchTopKSAE"})
"""What sae-for-vlm writes into the name of a run, before _{k}_x{expansion}."""

_RUN = "(?:_(?:matroyshka_)?(?:batch_)?top_k|_standard|_jumprelu|/|$)"
"""What follows the place in such a name: a pattern."""


def files_of(file: str) -> tuple[str, ...]:
    """The settings, if there are any, beside the weights or one folder above; and the weights."""
    folders = PurePosixPath(file).parents
    return "".join(f"{folder / 'config.json'}|" for folder in folders[:2]), file


def read(root: Path, file: str) -> tuple[Reading, ...]:
    """The dictionary, twice where nothing says which of two classes saved it."""
    path = only(root, file)
    tensors = Tensors(file, read_torch(file, path))
    groups = tensors.left.pop("group_sizes", None)  # they matter in training only
    classes = _classes(root, path, tensors.left)
    names = NAMES[classes[0]]
    tensors.expect(names)
    linear = names[0] == "encoder.weight"
    d, m = tensors.sizes(names[0])[:: -1 if linear else 1]
    if groups is not None and (groups.dtype != torch.int64 or groups.numel() > m or int(groups.sum()) != m):
        raise UserError(f"In {file}, group_sizes were expected to add up to the {m} components of {names[0]}.")
    weights = {
        "W_enc": tensors.take(names[0], d, m, turned=linear),
        "b_enc": tensors.take(names[1], m),
        "W_dec": tensors.take(names[2], m, d, turned=linear),
        "b_dec": tensors.take(names[3], d),
    }
    claims = {}
    if name := re.search(rf"activations_([^/]+?)_(-?\d+)_((?:post|in)_\w+?){_RUN}", path.as_posix()):
        claims = claims_of(model=name[1], layer=int(name[2]), point=name[3])

    sizes = {"d_in": d, "d_sae": m}
    if classes == ("AutoEncoder",):
        return (built(RELU, StandardSAEConfig(**sizes), _of_unit_length(weights), claims),)
    if classes == ("AutoEncoderNew",):
        config = StandardSAEConfig(**sizes, apply_b_dec_to_input=False)
        return (built("relu(x W_enc + b_enc)", config, weights, claims),)
    if classes == ("GatedAutoEncoder",):
        weights["b_gate"] = weights.pop("b_enc")
        weights |= {"r_mag": tensors.take("r_mag", m), "b_mag": tensors.take("mag_bias", m)}
        formula = "relu(exp(r_mag) p + b_mag) where p + b_gate > 0, p = (x − b_dec) W_enc"
        return (built(formula, GatedSAEConfig(**sizes), weights, claims),)
    if classes == ("JumpReluAutoEncoder",):
        weights["threshold"] = tensors.take("threshold", m)
        jump = JumpReLUSAEConfig(**sizes, apply_b_dec_to_input=False)
        return (built("relu(p) where p is above its threshold, p = x W_enc + b_enc", jump, weights, claims),)

    k, threshold = k_of(file, tensors.number("k"), m), tensors.finite_number("threshold")
    readings = []
    for one in classes:
        if one == "AutoEncoderTopK":
            formula = RELU.replace("relu(", f"the {k} largest of relu(")
            readings.append(built(formula, TopKSAEConfig(**sizes, k=k), weights, claims))
        else:
            formula = f"{RELU} where it is above {max(threshold, 0):.4g}"
            cut = {"threshold": torch.full((m,), threshold)}
            reading = built(formula, JumpReLUSAEConfig(**sizes), weights | cut, claims)
            readings.append(replace(reading, active=k))
    return tuple(readings)


def _classes(root: Path, path: Path, names: Collection[str]) -> tuple[str, ...]:
    """The class that saved these tensors, as far as that is said; else those whose names they are, or are nearest."""
    configs = [folder / "config.json" for folder in path.parents[:2] if folder == root or root in folder.parents]
    for config in (config for config in configs if config.is_file()):
        name = config.relative_to(root).as_posix()
        settings = json_in(config, name)
        if "trainer" in settings:  # else it is of something else
            trainer = dict_in(name, settings, "trainer")
            said = str(trainer.get("dict_class")).replace("Matroyshka", "Matryoshka")  # sae-for-vlm's spelling
            one_of(name, trainer | {"dict_class": said}, "dict_class", NAMES)
            return (said,)
    nearest = min(len(set(names).symmetric_difference(own)) for own in NAMES.values())
    classes = [one for one, own in NAMES.items() if len(set(names).symmetric_difference(own)) == nearest]
    if NAMES[classes[0]] == _TOP_K:
        runs = re.findall(r"(?<![a-z])((?:batch_)?top_k)_\d+_x\d+", path.as_posix())
        return (_RUNS[runs[-1]],) if runs else tuple(classes)
    return (classes[0],)


def _of_unit_length(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same dictionary with directions of length 1, as AutoEncoder.from_pretrained gives it."""
    lengths = weights["W_dec"].norm(dim=1)
    lengths[lengths == 0] = 1.0
    return {
        "W_enc": weights["W_enc"].mul_(lengths),
        "b_enc": weights["b_enc"].mul_(lengths),
        "W_dec": weights["W_dec"].div_(lengths[:, None]),
        "b_dec": weights["b_dec"],
    }
