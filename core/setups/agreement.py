"""Agreement of a dictionary's file and width with its setup: CLIP, layer, tokens, place."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from ..errors import UserError
from ..model.clip import SplitClip
from ..model.place_name import PlaceName
from ..model.places import place_of
from ..model.scope import Scope
from ..words import SCOPES, listed
from .catalog import SetupSpec
from .checkpoints import Reading

_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        "in_mlp": "the inside of the MLP",
        "ln2.hook_normalized": "what the MLP is given",
        "hook_attn_out": "what attention adds",
        "hook_resid_mid": "the residual between attention and MLP",
        "hook_resid_pre": "the residual before the first layer",
    }
)
"""Places that dictionaries are published for and that are none here, by the publishers' words."""
_SHORT: Mapping[PlaceName, str] = MappingProxyType(
    {"residual": "the residual after a layer", "mlp": "the output of an MLP", "embedding": "the image embedding"}
)
"""Kinds of places."""


def agree(card: SetupSpec, clip: SplitClip, reading: Reading) -> None:
    """Raise UserError where the dictionary cannot be of this CLIP, or says of itself what the card does not."""
    claims, whose = reading.claims, f"The dictionary of the setup {card.name!r}"
    point = str(claims.get("point", card.place))
    if point not in _SHORT:
        raise UserError(
            f"{whose} was trained on {_elsewhere(point, claims.get('layer'))}; only {listed(list(_SHORT.values()))} "
            "can be edited here. Choose one that was trained on one of these."
        )
    width = reading.sae.cfg.d_in
    if point == card.place and width != clip.width:
        others = [name for name in _SHORT if name != point and place_of(name, card.layer).width(clip.family) == width]
        hint = f" If it reads {_SHORT[others[-1]]}, say so by its place: {others[-1]}." if others else ""
        raise UserError(
            f"{whose} is {width} wide; {_SHORT[card.place]} of its CLIP is {clip.width} wide.{hint} "
            "Else choose one that was trained on this CLIP."
        )
    differences = []
    if point != card.place:
        differences.append((_SHORT[cast(PlaceName, point)], _SHORT[card.place]))
    if "layer" in claims and "layer" in card.at.facts:
        layer = cast(int, claims["layer"])
        if card.layer != (layer if layer >= 0 else clip.n_layers + layer):
            hook = f" (“{claims['hook']}”)" if "hook" in claims else ""
            differences.append((f"layer {layer}{hook}", f"layer {card.layer}"))
    if "scope" in claims and (scope := clip.scope(cast(Scope, claims["scope"]))) != card.scope:
        differences.append((SCOPES[scope].short, SCOPES[card.scope].short))
    if differences:
        theirs, ours = (" and ".join(parts) for parts in zip(*differences, strict=True))
        raise UserError(
            f"{whose} says that it was trained on {theirs}; the setup is for {ours} (layers from 0). "
            "Correct the setup, or choose another dictionary."
        )


def _elsewhere(point: str, layer: object) -> str:
    """A place in words, with its name."""
    in_layer = "" if layer is None or point == "hook_resid_pre" else f" in layer {layer}"
    return f"{_ELSEWHERE.get(point, 'another place')}{in_layer} (“{point}”)"
