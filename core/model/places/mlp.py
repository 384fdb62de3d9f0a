"""What the MLP of a layer adds to the residual stream: `blocks.L.hook_mlp_out`.

x after layer L is the stream before the MLP plus m. The dictionary reads m. What an edit adds to m is added to x, and
dy/dm = dy/dx, so x is what is kept and edited, and m is kept beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..families import ModelFamily
from ..place_name import PlaceName
from .place import AtPlace, Place


@dataclass(frozen=True)
class MlpOutput(Place):
    """x after layer L, of which m is read."""

    NAME: ClassVar[PlaceName] = "mlp"
    HOOK: ClassVar[str] = "blocks.{layer}.hook_mlp_out"

    def words(self, n_layers: int) -> str:
        """What the MLP of a layer puts out."""
        return f"output of the MLP of vision layer {self.layer} of 0 to {n_layers - 1}"

    def read(self, family: ModelFamily, pixels: Tensor) -> AtPlace:
        """The layers up to L, that one in two."""
        x = family.first(pixels)
        for layer in range(self.layer):
            x = family.layer(layer, x)
        return _at(family, *family.layer_in_two(self.layer, x))

    def beside(self, family: ModelFamily, pixels: Tensor) -> Mapping[int, AtPlace]:
        """Of the layers L - 1, L and L + 1."""
        x, found = family.first(pixels), {}
        for layer in range(min(self.layer + 2, family.n_layers)):
            stream, added = family.layer_in_two(layer, x)
            x = stream + added
            if layer >= self.layer - 1:
                found[layer] = _at(family, stream, added)
        return found

    def embed(self, family: ModelFamily, x: Tensor) -> Tensor:
        """The layers after L."""
        return family.embed(family.own_tokens(x), self.layer)


def _at(family: ModelFamily, stream: Tensor, added: Tensor) -> AtPlace:
    return AtPlace(family.numbered(stream + added), family.numbered(added))
