"""Model families: how a model of transformers with two towers is run layer by layer. One file for each family."""

from collections.abc import Mapping
from types import MappingProxyType

from transformers import PreTrainedModel

from ...errors import UserError
from .clip import ClipFamily, MetaClip2Family
from .family import ModelFamily
from .siglip import SiglipFamily

__all__ = ["FAMILIES", "ModelFamily", "family_of"]

FAMILIES: Mapping[str, type[ModelFamily]] = MappingProxyType(
    {model_type: family for family in (ClipFamily, MetaClip2Family, SiglipFamily) for model_type in family.MODELS}
)
"""By transformers' `model_type`."""


def family_of(model: PreTrainedModel) -> ModelFamily:
    """The model as its family runs it. Raises UserError for one of no family that is known here."""
    kind = model.config.model_type
    if kind not in FAMILIES:
        raise UserError(f"A model of the type “{kind}” cannot be run here. Choose one of: {', '.join(FAMILIES)}.")
    return FAMILIES[kind](model)
