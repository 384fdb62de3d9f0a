"""Dictionaries as their publishers lay them out, read into sae_lens modules: one small reader for each layout.

    layout            tensors                             f, where x_hat = f W_dec + b_dec     yet to be seen in a file
    sae_lens          as cfg.json's architecture has it   as the architecture encodes          (this project writes it)
    saev              W_enc b_enc W_dec b_dec, after a    relu((x − b_dec) W_enc + b_enc),     which of the two; that x
                      line of JSON                        or without “− b_dec”                 is taken as it is
    prisma            W_enc b_enc W_dec b_dec             the first of these, or its top-k     which embed their config;
                                                          and relu after; x standardised       which standardise x
                                                          where the config says so
    clipscope         enc dec pre_b                       top-k of (x − pre_b) enc, signs      what else is in the file
                                                          kept; b_dec = pre_b
    patchsae          W_enc b_enc W_dec b_dec             relu((x − b_dec) W_enc + b_enc)      whether cfg is an object
    sae_for_vlm       the same (Matryoshka), or           p where p > threshold, else 0;       which has which names
                      encoder.weight encoder.bias         p = relu((x − b_dec) W_enc + b_enc)
                      decoder.weight b_dec; and
                      k threshold [group_sizes]
    attributing_clip  encoder.0.{weight_g,weight_v,bias}  top-k of x W_enc + b_enc, signs      anything: none on the Hub
                      decoder.{weight_g,weight_v}         kept; W = g v / |v|; b_dec = 0

The formulas are those of each project's own code. x is what a layer of the vision tower puts out.

- saev: a commit of 31 July 2025 dropped “− b_dec” (“since it's zero by default”). The released CLIP dictionary is of
  January 2025, and of all files only those whose schema number is 2 or more are surely younger: both formulas are
  returned, the likelier first, and whoever has activations decides by reconstruction error. The project standardises x
  for DINOv2, by published numbers, and takes CLIP's as it is.
- prisma: a config that does not say whether x is standardised is older than that setting. Prisma's loader would then
  standardise, so this reading comes first, and the plain one second.
- sae_for_vlm: trained with a top-k over the batch, for which a threshold stands in at a single token. A negative one
  was never set, and leaves the relu.
- attributing_clip: trained on the directions of x and x_hat alone, so the length of x_hat means nothing, and its
  explained variance may be bad. The file does not hold k. The name of its folder does (“topk-cls-64-30000”); without
  one it is 64, as in every published configuration.

Nothing in a file is ever run. Weights are read with `weights_only=True`; where a file holds objects, as Prisma's and
PatchSAE's configurations are, every class or function in it that torch does not know becomes an `_Inert`, which keeps
what it is given. The archive is checked for damage, and every tensor for name, shape, type and finite numbers, since
torch does neither: what does not fit is a sentence, never a dictionary with other numbers. Tensors are copied out of
the mapped file one at a time, so that a file overwritten later changes nothing.
"""

import json
import math
import re
import threading
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path, PurePosixPath
from pickle import UnpicklingError
from types import MappingProxyType
from typing import Any

import torch
from sae_lens import SAE, JumpReLUSAEConfig, SAEConfig, StandardSAEConfig, TopKSAEConfig
from sae_lens.loading.pretrained_sae_loaders import handle_config_defaulting
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import Parameter

from ..errors import UserError
from ..model.dictionary import ARCHITECTURES, NORMALISATIONS, blank_sae, filled_sae
from ..model.signed_topk import SignedTopKSAEConfig
from .catalog import Layout

_RELU = "relu((x − b_dec) W_enc + b_enc)"
_STANDARD = ", of x made standard at every token: (x − mean) / (std + 1e-5)"
_NAMES = ("W_enc", "b_enc", "W_dec", "b_dec")
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_RESIDUAL = frozenset({"hook_resid_post", "resid", "post_mlp_residual"})
_HEADER = 1 << 16

_LOADING = threading.Lock()
"""What torch may load besides weights is set for the whole process: one file at a time."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A dictionary as one of the formulas that its file may have been trained with."""

    formula: str
    """How it encodes."""
    sae: SAE
    """It, frozen, in float32."""
    claims: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """What the file says of itself, or the name it is published under: "layer" (from 0; negative: from the end),
    "point" ("residual" for what a layer puts out, else the publisher's word), "scope" (all, cls or patches) and "model"
    (the CLIP). What it does not say is not there."""


def files_of(layout: Layout, file: str = ".") -> tuple[str, ...]:
    """The files a layout needs, given the file or folder of its place: patterns, relative to the repository's root."""
    file = _named(layout, file)
    if layout == "sae_lens":
        return _inside(file, "cfg.json"), _inside(file, "sae_weights.safetensors")
    if layout == "prisma":
        weights = file if file.endswith(".pt") else _inside(file, "*.pt")
        return str(PurePosixPath(weights).with_name("config.json")), weights
    return (file,)


def read_checkpoint(layout: Layout, root: Path, file: str = ".") -> tuple[Reading, ...]:
    """The dictionary in `root / file`: one reading where the formula is known, several where it is not.

    `root` is the folder a repository lies in. The first reading is the likelier one; they share their weights. Raises
    UserError for whatever does not fit: what was expected, and what was found.
    """
    return _LAYOUTS[layout][0](root, _named(layout, file))


# ---- layouts


def _sae_lens(root: Path, folder: str) -> tuple[Reading, ...]:
    """sae_lens' own folder. Settings from before its version 6 are brought up to date by sae_lens."""
    name, weights = files_of("sae_lens", folder)
    settings = _json(root / name, name)
    _one_of(name, settings, "architecture", ARCHITECTURES, "standard")
    for key in ("activation_fn", "activation_fn_str"):  # before version 6; later versions would not look at it
        _one_of(name, settings, key, ("relu", "topk"), "relu")
    try:
        config = SAEConfig.from_dict(handle_config_defaulting(settings | {"dtype": "float32", "device": "cpu"}))
        _whole(name, vars(config), "d_in")
        components = _whole(name, vars(config), "d_sae")
        _one_of(name, vars(config), "normalize_activations", NORMALISATIONS)
        _one_of(name, vars(config), "reshape_activations", ("none",))
        for flag in ("apply_b_dec_to_input", "rescale_acts_by_decoder_norm"):
            _one_of(name, vars(config), flag, (True, False), False)
        if isinstance(config, TopKSAEConfig):
            _k(name, config.k, components)
        blank = blank_sae(config)
    except UserError:
        raise
    except Exception as error:  # whatever sae_lens makes of settings that are not its own
        what = f"{type(error).__name__}: {_few([error])}"
        raise UserError(f"{name} does not hold the settings of a sae_lens dictionary ({what}).") from error

    _begins(root / weights, weights, None)
    try:
        found = load_file(root / weights)
    except Exception as error:  # whatever safetensors makes of bytes that are not its own
        raise UserError(f"{weights} is damaged, or not a safetensors file. Download it again.") from error
    tensors = _Tensors(weights, found)
    expected = {key: tuple(parameter.shape) for key, parameter in blank.named_parameters()}
    if "log_threshold" in tensors.left and "threshold" in expected:  # until sae_lens 4
        tensors.left["threshold"] = tensors.take("log_threshold", components).exp()
    if "scaling_factor" in tensors.left:  # until sae_lens 4, unused where it is 1
        if not bool((tensors.take("scaling_factor", components) == 1).all()):
            raise UserError(f"{weights} scales its activations (scaling_factor), which cannot be done here.")
    tensors.expect(expected)
    sae = filled_sae(blank, {key: tensors.take(key, *shape) for key, shape in expected.items()})
    claims = _claims(model=config.metadata.model_name)
    if hook := re.fullmatch(r"blocks\.(\d+)\.(.+)", str(config.metadata.hook_name)):
        claims |= _claims(layer=int(hook[1]), point=hook[2])
    formula = f"sae_lens’ “{config.architecture()}”"
    return (_reading(formula + _STANDARD * (config.normalize_activations == "layer_norm"), sae, claims),)


def _saev(root: Path, file: str) -> tuple[Reading, ...]:
    """SAE-V: one line of JSON, then what torch.save writes, in one file."""
    path = _begins(_only(root, file), file, b"{")
    with path.open("rb") as stream:
        line, rest = stream.readline(_HEADER), BytesIO(stream.read())
    header = _json_of(line, file)
    settings = _dict(file, header, "cfg") if "schema" in header else header
    kind = header.get("cls", "Relu")
    if "activation" in settings:  # from schema 2 on, and in some files of schema 1
        kind = _dict(file, settings, "activation").get("cls")
    _one_of(file, {"activation": kind}, "activation", ("Relu",))
    d = _whole(file, settings, "d_vit" if "d_vit" in settings else "d_model")
    m = _whole(file, settings, "d_sae") if "d_sae" in settings else d * _whole(file, settings, "exp_factor")
    tensors = _Tensors(file, _torch(file, rest))
    del rest  # as large as the tensors
    weights = tensors.plain(d, m)
    younger = isinstance(header.get("schema"), int) and header["schema"] >= 2
    readings = [
        _standard(formula, weights, apply_b_dec_to_input=minus)
        for formula, minus in ((_RELU, True), ("relu(x W_enc + b_enc)", False))
    ]
    return tuple(reversed(readings) if younger else readings)


def _prisma(root: Path, file: str) -> tuple[Reading, ...]:
    """ViT-Prisma: a state dict beside `config.json`, or {"cfg": object, "state_dict": state dict}, cfg coming first."""
    path = _prisma_weights(root, files_of("prisma", file)[1])
    file = path.relative_to(root).as_posix()
    found = _torch(file, path)
    if "cfg" in found:
        name, settings = file, _settings(file, found, "cfg")
    else:
        name = files_of("prisma", file)[0]
        settings = _json(root / name, name)
    tensors = _Tensors(file, _dict(file, found, "state_dict") if "state_dict" in found else found)
    _one_of(name, settings, "is_transcoder", (False,), False)
    _one_of(name, settings, "architecture", ("standard",), "standard")
    _one_of(name, settings, "activation_fn_str", ("relu", "topk"))
    normalisations = ["layer_norm", "none"]
    if "normalize_activations" in settings:
        _one_of(name, settings, "normalize_activations", normalisations)
        normalisations = [settings["normalize_activations"]]
    d = _whole(name, settings, "d_in")
    m = d * _whole(name, settings, "expansion_factor")
    top_k = {}
    if settings["activation_fn_str"] == "topk":
        details = _dict(name, settings, "activation_fn_kwargs")
        if set(details) != {"k"}:  # another one would be what follows the top-k
            raise UserError(f"{name} has activation_fn_kwargs = {_few(details)}; only k can be read here.")
        top_k = {"k": _k(name, details["k"], m)}

    weights = tensors.plain(d, m)
    scope = "cls" if settings.get("cls_token_only") else "patches" if settings.get("use_patches_only") else "all"
    claims = _claims(
        layer=settings.get("hook_point_layer"),
        point=settings.get("layer_subtype"),
        scope=scope if "cls_token_only" in settings else None,
        model=settings.get("model_name"),
    )
    readings = []
    for normalisation in normalisations:
        common = {"d_in": d, "d_sae": m, "normalize_activations": normalisation}
        config = TopKSAEConfig(**common, **top_k) if top_k else StandardSAEConfig(**common)
        formula = _RELU.replace("relu(", f"the {top_k['k']} largest of relu(") if top_k else _RELU
        formula += _STANDARD * (normalisation == "layer_norm")
        readings.append(_reading(formula, filled_sae(blank_sae(config), weights), claims))
    return tuple(readings)


def _prisma_weights(root: Path, pattern: str) -> Path:
    """The file of a pattern: weights.pt, or the last of n_images_*.pt, beside which lie lists of frequencies."""
    found = {path.name: path for path in _matching(root, pattern) if "log_feature_sparsity" not in path.name}
    if len(found) > 1 and "weights.pt" in found:
        return found["weights.pt"]
    numbered = {int(n[1]): path for name, path in found.items() if (n := re.fullmatch(r"n_images_(\d+)\.pt", name))}
    if len(found) > 1 and len(numbered) == len(found):
        return numbered[max(numbered)]
    return _single(found.values(), pattern)


def _clipscope(root: Path, file: str) -> tuple[Reading, ...]:
    """CLIP-Scope: pre_b is taken off x, and added again at the end; the encoder has no bias."""
    path = _only(root, file)
    found = _torch(file, path)
    d, m = _whole(file, found, "d_in"), _whole(file, found, "n_features")
    k = _k(file, found.get("k"), m)
    tensors = _Tensors(file, _dict(file, found, "model_state_dict"))
    tensors.expect(("pre_b", "enc", "dec"))
    weights = {
        "W_enc": tensors.take("enc", d, m),
        "b_enc": torch.zeros(m),
        "W_dec": tensors.take("dec", m, d),
        "b_dec": tensors.take("pre_b", d),
    }
    layer = re.search(r"(?:^|/)(\d+)_resid(?:/|$)", file)
    claims = _claims(layer=int(layer[1]), point="resid") if layer else {}
    config = SignedTopKSAEConfig(d_in=d, d_sae=m, k=k)
    formula = f"the {k} largest of (x − pre_b) enc, signs kept"
    return (_reading(formula, filled_sae(blank_sae(config), weights), claims),)


def _patchsae(root: Path, file: str) -> tuple[Reading, ...]:
    """PatchSAE: {"cfg": object or dict, "state_dict": state dict}; "config" in older files."""
    found = _torch(file, _only(root, file))
    settings = _settings(file, found, "cfg" if "cfg" in found else "config")
    _one_of(file, settings, "gated_sae", (False, None))
    d, m = _whole(file, settings, "d_in"), _whole(file, settings, "d_sae")
    claims = _claims(
        layer=settings.get("block_layer"),
        point=settings.get("module_name"),
        scope=("cls" if settings["class_token"] else "all") if "class_token" in settings else None,
        model=settings.get("model_name"),
    )
    return (_standard(_RELU, _Tensors(file, _dict(file, found, "state_dict")).plain(d, m), claims),)


def _sae_for_vlm(root: Path, file: str) -> tuple[Reading, ...]:
    """sae-for-vlm: BatchTopK and Matryoshka BatchTopK of dictionary_learning, as they are after training."""
    path = _only(root, file)
    tensors = _Tensors(file, _torch(file, path))
    linear = ("encoder.weight", "encoder.bias", "decoder.weight", "b_dec")
    names = linear if any(str(name).startswith("encoder.") for name in tensors.left) else _NAMES
    groups = ("group_sizes",) if "group_sizes" in tensors.left else ()
    tensors.expect((*names, "k", "threshold", *groups))
    d, m = tensors.sizes(names[0])[:: -1 if names is linear else 1]
    _k(file, tensors.number("k"), m)
    threshold = tensors.number("threshold")
    if not isinstance(threshold, float) or not math.isfinite(threshold):
        raise UserError(f"In {file}, threshold is {threshold}, expected a finite number.")
    if groups:
        sizes = tensors.left.pop("group_sizes")
        if sizes.dtype != torch.int64 or sizes.numel() > m or int(sizes.sum()) != m:
            raise UserError(f"In {file}, group_sizes do not add up to the {m} components of {names[0]}.")
    weights = {
        "W_enc": tensors.take(names[0], d, m, turned=names is linear),
        "b_enc": tensors.take(names[1], m),
        "W_dec": tensors.take(names[2], m, d, turned=names is linear),
        "b_dec": tensors.take(names[3], d),
        "threshold": torch.full((m,), threshold),
    }
    claims = {}
    if name := re.search(r"activations_([^/]+?)_(-?\d+)_(post_\w+?)(?:_(?:matroyshka_)?batch|/|$)", path.as_posix()):
        claims = _claims(model=name[1], layer=int(name[2]), point=name[3])
    sae = filled_sae(blank_sae(JumpReLUSAEConfig(d_in=d, d_sae=m)), weights)
    return (_reading(f"{_RELU} where it is above {max(threshold, 0):.4g}", sae, claims),)


def _attributing_clip(root: Path, file: str) -> tuple[Reading, ...]:
    """attributing-clip: a Lightning checkpoint; both matrices as length g and direction v of each component."""
    path = _only(root, file)
    found = _torch(file, path)
    tensors = _Tensors(file, _dict(file, found, "state_dict"))
    sides = ("encoder.0", "decoder")
    tensors.expect(("encoder.0.bias", *(f"{side}.{part}" for side in sides for part in ("weight_g", "weight_v"))))
    m, d = tensors.sizes("encoder.0.weight_v")
    name = re.search(r"topk-(cls|spatial)-(\d+)-\d+_layer-(-?\d+)", path.as_posix())
    k = _k(file, int(name[2]) if name else 64, m)
    outer = tensors.take("encoder.0.weight_v", d, m, turned=True)
    outer *= tensors.take("encoder.0.weight_g", m, 1)[:, 0] / outer.norm(dim=0)
    inner = tensors.take("decoder.weight_v", m, d, turned=True)
    inner *= tensors.take("decoder.weight_g", 1, m).T / inner.norm(dim=1, keepdim=True)
    if not (_finite(outer) and _finite(inner)):
        raise UserError(f"In {file}, a component has no direction (weight_v of length 0). Download it again.")
    weights = {"W_enc": outer, "b_enc": tensors.take("encoder.0.bias", m), "W_dec": inner, "b_dec": torch.zeros(d)}
    claims = {}
    if name:
        scope = {"cls": "cls", "spatial": "patches"}[name[1]]
        claims = _claims(layer=int(name[3]), point="resid", scope=scope)
    sae = filled_sae(blank_sae(SignedTopKSAEConfig(d_in=d, d_sae=m, k=k)), weights)
    return (_reading(f"the {k} largest of x W_enc + b_enc, signs kept", sae, claims),)


_LAYOUTS: Mapping[Layout, tuple[Callable[[Path, str], tuple[Reading, ...]], str]] = MappingProxyType(
    {
        "sae_lens": (_sae_lens, "."),
        "saev": (_saev, "sae.pt"),
        "prisma": (_prisma, "."),
        "clipscope": (_clipscope, "*.pt"),
        "patchsae": (_patchsae, "out.pt"),
        "sae_for_vlm": (_sae_for_vlm, "ae.pt"),
        "attributing_clip": (_attributing_clip, "last.ckpt"),
    }
)
"""The reader of each layout, and the file or folder it reads where the place names none."""


def _reading(formula: str, sae: SAE, claims: Mapping[str, object]) -> Reading:
    return Reading(formula, sae.eval().requires_grad_(False), MappingProxyType(dict(claims)))


def _standard(
    formula: str,
    weights: Mapping[str, Tensor],
    claims: Mapping[str, object] = MappingProxyType({}),
    apply_b_dec_to_input: bool = True,
) -> Reading:
    """A reading with a relu, of `_Tensors.plain`."""
    d, m = weights["W_enc"].shape
    config = StandardSAEConfig(d_in=d, d_sae=m, apply_b_dec_to_input=apply_b_dec_to_input)
    return _reading(formula, filled_sae(blank_sae(config), weights), claims)


def _claims(**said: object) -> dict[str, object]:
    """What was said, in this project's words where it has them; what was not, or is no such thing, left out."""
    found: dict[str, object] = {
        key: value for key, value in said.items() if type(value) is (int if key == "layer" else str)
    }
    if found.get("point") in _RESIDUAL:
        found["point"] = "residual"
    if "model" in found:  # Prisma writes open-clip:owner/name, PatchSAE the owner twice, sae-for-vlm no owner
        model = str(found["model"]).removeprefix("open-clip:").replace("openai/openai/", "openai/")
        found["model"] = f"openai/{model}" if model.startswith("clip-vit-") else model
    return found


# ---- tensors


class _Tensors:
    """The tensors of a file, checked as they are taken."""

    def __init__(self, file: str, found: Mapping[str, Any]) -> None:
        """Raises UserError unless these are plain tensors, with numbers."""
        if not all(
            type(tensor) in (Tensor, Parameter)
            and tensor.layout == torch.strided
            and not (tensor.is_meta or tensor.is_nested or tensor.is_quantized)
            for tensor in found.values()
        ):
            raise UserError(f"{file} does not hold the tensors of a dictionary by name. Choose another file or layout.")
        self.file = file
        self.left: dict[str, Tensor] = dict(found)

    def expect(self, names: Collection[str]) -> None:
        """Raises UserError unless it has these tensors, and no others: one too many is another kind of dictionary."""
        missing, more = [name for name in names if name not in self.left], [n for n in self.left if n not in names]
        if missing or more:
            wrong = [f"lacks {_few(missing)}"] * bool(missing) + [f"also holds {_few(more)}"] * bool(more)
            raise UserError(
                f"{self.file} {' and '.join(wrong)}; expected {_few(names)}. Choose another file or layout."
            )

    def sizes(self, name: str) -> tuple[int, int]:
        """Rows and columns of a matrix. Raises UserError for what is none."""
        shape = tuple(self.left[name].shape)
        if len(shape) != 2 or 0 in shape:
            raise UserError(f"In {self.file}, {name} is {list(shape)}, expected a matrix.")
        return shape[0], shape[1]

    def number(self, name: str) -> Any:
        """A tensor that holds one number, as Python's. Raises UserError for what is none."""
        tensor = self.left.pop(name)
        if tensor.numel() != 1:
            raise UserError(f"In {self.file}, {name} is {list(tensor.shape)}, expected one number.")
        return tensor.item()

    def take(self, name: str, *shape: int, turned: bool = False) -> Tensor:
        """The tensor, of this shape, as contiguous float32 of its own; it is stored transposed if `turned`.

        Raises UserError for another shape, for numbers that are no floats, and for one that is not finite.
        """
        tensor = self.left.pop(name).detach()
        stored = shape[::-1] if turned else shape
        if tuple(tensor.shape) != stored:
            raise UserError(f"In {self.file}, {name} is {list(tensor.shape)}, expected {list(stored)}.")
        if tensor.dtype not in _FLOATS:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise UserError(f"In {self.file}, {name} holds {kind} numbers, expected floating-point ones.")
        if tensor.untyped_storage().nbytes() < tensor.nbytes:  # one number, repeated to any size
            raise UserError(f"In {self.file}, {name} holds fewer numbers than its shape {list(stored)} says.")
        own = (tensor.T if turned else tensor).to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        if not _finite(own):
            raise UserError(f"In {self.file}, {name} holds numbers that are not finite. Download it again.")
        return own

    def plain(self, d: int, m: int) -> dict[str, Tensor]:
        """W_enc [d, m], b_enc [m], W_dec [m, d] and b_dec [d], and nothing else."""
        self.expect(_NAMES)
        return {name: self.take(name, *shape) for name, shape in zip(_NAMES, ((d, m), (m,), (m, d), (d,)), strict=True)}


def _finite(tensor: Tensor) -> bool:
    """Whether every number is finite, without a second tensor of that size: nan and inf show in the extremes."""
    return all(bool(extreme.isfinite()) for extreme in torch.aminmax(tensor))


# ---- settings


def _one_of(file: str, settings: Mapping[str, Any], key: str, allowed: Collection, default: Any = None) -> None:
    """Raises UserError unless the setting is one of those that can be read here."""
    value = settings.get(key, default)
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in allowed):
        choices = " or ".join(sorted(map(repr, allowed)))
        raise UserError(f"{file} has {key} = {_few([value])}, which cannot be read here: expected {choices}.")


def _whole(file: str, settings: Mapping[str, Any], key: str) -> int:
    """A size. Raises UserError for what is no whole number from 1 on."""
    value = settings.get(key)
    if type(value) is not int or value < 1:
        raise UserError(f"{file} has {key} = {_few([value])}, expected a whole number from 1 on.")
    return value


def _k(file: str, k: Any, components: int) -> int:
    """How many components are kept at a token. Raises UserError for more than there are."""
    if type(k) is not int or not 1 <= k <= components:
        raise UserError(f"{file} has k = {_few([k])}, expected a whole number from 1 to {components}.")
    return k


def _dict(file: str, settings: Mapping[str, Any], key: str) -> dict:
    """What is inside by that name. Raises UserError for what holds nothing by name."""
    value = settings.get(key)
    if not isinstance(value, dict):
        raise UserError(f"{file} does not hold {key} as this layout has it. Choose another file or layout.")
    return value


def _settings(file: str, found: Mapping[str, Any], key: str) -> dict:
    """Settings in a file of torch's: a dict, or what an object held whose class nobody looked at."""
    value = found.get(key)
    return _dict(file, {key: value.state if isinstance(value, _Inert) else value}, key)


def _few(names: Any) -> str:
    """Names or values for a sentence, cut short: whoever wrote the file chose them."""
    shown = [str(name) if len(str(name)) <= 40 else f"{str(name)[:40]}…" for name in list(names)[:6]]
    return ", ".join(shown) + (", …" if len(names) > 6 else "")


# ---- files


def _named(layout: Layout, file: str) -> str:
    return _LAYOUTS[layout][1] if file == "." else PurePosixPath(file).as_posix()


def _inside(folder: str, name: str) -> str:
    return str(PurePosixPath(folder, name))


def _matching(root: Path, pattern: str) -> list[Path]:
    return sorted(root.glob(pattern)) if "*" in pattern else [root / pattern]


def _single(found: Any, pattern: str) -> Path:
    paths = list(found)
    if len(paths) != 1:
        found = f"several: {_few([path.name for path in paths])}" if paths else "none"
        raise UserError(f"One file {pattern} is needed, and there is {found}. Name the file in the catalog.")
    return paths[0]


def _only(root: Path, pattern: str) -> Path:
    """The one file of a pattern. Raises UserError for none, or several."""
    return _single(_matching(root, pattern), pattern)


def _begins(path: Path, file: str, start: bytes | None) -> Path:
    """`path`, after a look at its first bytes. Raises UserError if it is not there, is empty, or begins otherwise."""
    try:
        with path.open("rb") as stream:
            begin = stream.read(40)
    except OSError as error:
        raise UserError(f"{file} is not there, or cannot be read. Choose a place that holds it.") from error
    if not begin:
        raise UserError(f"{file} is empty. Download it again.")
    if start is not None and not begin.startswith(start):
        shown = begin.decode("ascii", "backslashreplace")
        raise UserError(f"{file} begins with “{shown}”, which this layout does not. Choose another file or layout.")
    return path


def _json(path: Path, file: str) -> dict:
    return _json_of(_begins(path, file, None).read_bytes(), file)


def _json_of(text: bytes, file: str) -> dict:
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} does not hold its settings as JSON. Download it again.") from error
    if not isinstance(settings, dict):
        raise UserError(f"{file} does not hold its settings by name. Download it again.")
    return settings


class _Inert:
    """Stands in for any class or function a file names. It keeps what it is given, and does nothing with it."""

    state: object = None

    def __new__(cls, *args: object) -> "_Inert":
        """Made or called: the same."""
        return object.__new__(cls)

    def __init__(self, *args: object) -> None:
        """Whatever it was called with is dropped."""

    def __setstate__(self, state: object) -> None:
        """Keep what the object held."""
        self.state = state


def _torch(file: str, source: Path | BytesIO) -> dict:
    """The dict that torch.save wrote, its tensors on the CPU, mapped from the file where there is one."""
    _check_archive(file, source)
    try:
        with _LOADING:
            unknown = torch.serialization.get_unsafe_globals_in_checkpoint(_again(source))
            with torch.serialization.safe_globals([(_Inert, name) for name in unknown]):
                mapped = isinstance(source, Path)
                found = torch.load(_again(source), map_location="cpu", weights_only=True, mmap=mapped)
    except UnpicklingError as error:
        raise UserError(
            f"{file} holds more than tensors and settings, and nothing in it was run. Use the file of its publisher."
        ) from error
    except Exception as error:  # what bytes made by anybody can lead an unpickler to has no end
        raise UserError(f"{file} is damaged, or not what torch.save writes. Download it again.") from error
    return _dict(file, {"its tensors by name": found}, "its tensors by name")


def _check_archive(file: str, source: Path | BytesIO) -> None:
    """Raises UserError unless this is a whole zip archive as torch.save writes it.

    torch itself looks at no checksum, and would take compressed bytes for numbers.
    """
    if isinstance(source, Path):
        _begins(source, file, b"PK")
    try:
        with zipfile.ZipFile(_again(source)) as archive:
            whole = archive.testzip() is None
            plain = all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
    except Exception as error:  # as above
        raise UserError(f"{file} is cut short or damaged. Download it again.") from error
    if not whole or not plain:
        raise UserError(f"{file} is {'packed anew' if whole else 'damaged'}. Download it again.")


def _again(source: Path | BytesIO) -> Path | BytesIO:
    """From its beginning."""
    if isinstance(source, BytesIO):
        source.seek(0)
    return source
