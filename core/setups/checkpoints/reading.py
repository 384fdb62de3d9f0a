"""A dictionary's file as one of the formulas that it may have been trained with, and what the file says of itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sae_lens import SAE, SAEConfig
from torch import Tensor

from ...model.place_name import PlaceName
from ...model.sae_dictionary import blank_sae, filled_sae
from ..standardisation import ResidualStatistics, Standardisation

RELU = "relu((x − b_dec) W_enc + b_enc)"
NORMALISED: Mapping[str, str] = MappingProxyType(
    {
        "none": "",
        "layer_norm": ", of x made standard at every token: (x − mean) / (std + 1e-5)",
        "constant_norm_rescale": ", of x made of one length at every token: √d x / |x|",
    }
)
"""What is said of a formula, by `normalize_activations` of sae_lens."""
_LETTERS, _LAYERS = 100, 1000
"""Bounds of what a file says of itself; a sentence may quote it."""

_POINTS: Mapping[str, PlaceName] = MappingProxyType(
    {
        "hook_resid_post": "residual",
        "resid": "residual",
        "post_mlp_residual": "residual",
        "hook_mlp_out": "mlp",
        "post_mlp": "mlp",
        "post_projection": "embedding",
    }
)
"""Places by the publishers' words."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A dictionary as one of the formulas that its file may have been trained with."""

    formula: str
    """How it encodes."""
    sae: SAE
    """It, frozen, in float32. The readings of a file share their weights."""
    claims: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """What the file says of itself, or the name it is published under: "layer" (from 0; negative: from the end),
    "point" (the name of a place, `PlaceName`; else the publisher's word), "hook" (its name, where the layer in that
    is another), "scope" (all, cls or patches) and "model" (the CLIP). What it does not say is not there."""
    active: float | None = None
    """How many components it was trained to keep at a token on average, where the formula itself does not see to it."""
    standardise: Callable[[ResidualStatistics], Standardisation] | None = None
    """Where it was trained on a standardised x, by numbers that its file lacks: what they were, as far as the residual
    over photographs tells. `sae` is then one of the standardised x."""


def built(
    formula: str,
    config: SAEConfig,
    weights: Mapping[str, Tensor],
    claims: Mapping[str, object] = MappingProxyType({}),
) -> Reading:
    """A reading of the module that `config` describes, with these weights, which take no gradients from now on."""
    sae = filled_sae(blank_sae(config), weights).eval().requires_grad_(False)
    return Reading(formula, sae, MappingProxyType(dict(claims)))


def claims_of(**said: object) -> dict[str, object]:
    """What was said, in this project's words where it has them; what was not, or is no such thing, left out."""
    found: dict[str, object] = {
        key: value[:_LETTERS] for key, value in said.items() if key != "layer" and isinstance(value, str)
    }
    if type(layer := said.get("layer")) is int and abs(layer) < _LAYERS:
        found["layer"] = layer
    if (point := found.get("point")) in _POINTS:
        found["point"] = _POINTS[str(point)]
    if "model" in found:  # Prisma writes open-clip:owner/name, PatchSAE the owner twice, sae-for-vlm no owner
        model = str(found["model"]).removeprefix("open-clip:").replace("openai/openai/", "openai/")
        found["model"] = f"openai/{model}" if model.startswith("clip-vit-") else model
    return found
