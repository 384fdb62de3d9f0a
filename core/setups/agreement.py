"""Agreement of a dictionary's file and width with its setup: CLIP, layer, tokens, place."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from ..errors import UserError
from ..model.clip import SplitClip
from ..words import SCOPES
from .catalog import SetupSpec
from .checkpoints import Reading

_PLACES: Mapping[str, str] = MappingProxyType(
    {
        "hook_mlp_out": "what the MLP adds",
        "post_mlp": "what the MLP adds",
        "in_mlp": "the inside of the MLP",
        "ln2.hook_normalized": "what the MLP is given",
        "hook_attn_out": "what attention adds",
        "hook_resid_mid": "the residual between attention and MLP",
        "hook_resid_pre": "the residual before the first layer",
        "post_projection": "the image embedding, after the last layer and the projection",
    }
)
"""Places that dictionaries are published for, by the publishers' words."""


def agree(card: SetupSpec, clip: SplitClip, reading: Reading) -> None:
    """Raise UserError where the dictionary cannot be of this CLIP, or says of itself what the card does not."""
    claims, whose = reading.claims, f"The dictionary of the setup {card.name!r}"
    point = str(claims.get("point", "residual"))
    if point != "residual":
        raise UserError(
            f"{whose} was trained on {_place(point, claims.get('layer'))}; only the residual after a layer can be "
            "edited here. Choose one that was trained on that."
        )
    width, embedding = reading.sae.cfg.d_in, clip.model.config.projection_dim
    if width == embedding != clip.width:
        raise UserError(
            f"{whose} is {width} wide, as the image embedding after the projection is; the residual of its CLIP, which "
            f"is edited here, is {clip.width} wide. Choose one that was trained on the residual after a layer."
        )
    if width != clip.width:
        raise UserError(
            f"{whose} is for a residual {width} wide; its CLIP has {clip.width}. Choose one trained on this CLIP."
        )
    differences = []
    if "layer" in claims:
        layer = cast(int, claims["layer"])
        if card.layer != (layer if layer >= 0 else clip.n_layers + layer):
            hook = f" (“{claims['hook']}”)" if "hook" in claims else ""
            differences.append((f"layer {layer}{hook}", f"layer {card.layer}"))
    if claims.get("scope", card.scope) != card.scope:
        differences.append((SCOPES[str(claims["scope"])].short, SCOPES[card.scope].short))
    if differences:
        theirs, ours = (" and ".join(parts) for parts in zip(*differences, strict=True))
        raise UserError(
            f"{whose} says that it was trained on {theirs}; the setup is for {ours} (layers from 0). "
            "Correct the setup, or choose another dictionary."
        )


def _place(point: str, layer: object) -> str:
    """A place in words, with its name."""
    in_layer = "" if layer is None or point in ("hook_resid_pre", "post_projection") else f" in layer {layer}"
    return f"{_PLACES.get(point, 'another place')}{in_layer} (“{point}”)"
