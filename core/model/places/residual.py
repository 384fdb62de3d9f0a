"""The residual stream after a layer: `blocks.L.hook_resid_post`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..families import ModelFamily
from ..place_name import PlaceName
from .place import AtPlace, Place


@dataclass(frozen=True)
class ResidualStream(Place):
    """x after layer L: what is read is what is edited."""

    NAME: ClassVar[PlaceName] = "residual"
    HOOK: ClassVar[str] = "blocks.{layer}.hook_resid_post"

    @property
    def facts(self) -> Mapping[str, object]:
        """The layer alone: what fingerprints had before there were other places."""
        return {"layer": self.layer}

    def words(self, n_layers: int) -> str:
        """The residual stream after a layer."""
        return f"residual stream after vision layer {self.layer} of 0 to {n_layers - 1}"

    def read(self, family: ModelFamily, pixels: Tensor) -> AtPlace:
        """The layers up to L."""
        x = family.first(pixels)
        for layer in range(self.layer + 1):
            x = family.layer(layer, x)
        return _at(family, x)

    def beside(self, family: ModelFamily, pixels: Tensor) -> Mapping[int, AtPlace]:
        """After the layers L - 1, L and L + 1."""
        x, found = family.first(pixels), {}
        for layer in range(min(self.layer + 2, family.n_layers)):
            x = family.layer(layer, x)
            if layer >= self.layer - 1:
                found[layer] = _at(family, x)
        return found

    def embed(self, family: ModelFamily, x: Tensor) -> Tensor:
        """The layers after L."""
        return family.embed(family.own_tokens(x), self.layer)


def _at(family: ModelFamily, x: Tensor) -> AtPlace:
    numbered = family.numbered(x)
    return AtPlace(numbered, numbered)
