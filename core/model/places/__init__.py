"""Places of a vision tower at which a dictionary reads and an edit acts. One file for each kind of place."""

from collections.abc import Mapping
from types import MappingProxyType

from ..place_name import PlaceName
from .embedding import ImageEmbedding
from .mlp import MlpOutput
from .place import AtPlace, Place
from .residual import ResidualStream

__all__ = ["PLACES", "AtPlace", "ImageEmbedding", "MlpOutput", "Place", "ResidualStream", "place_of"]

PLACES: Mapping[PlaceName, type[Place]] = MappingProxyType(
    {"residual": ResidualStream, "mlp": MlpOutput, "embedding": ImageEmbedding}
)
"""By name."""


def place_of(name: PlaceName, layer: int) -> Place:
    """The place of that kind, at that layer."""
    return PLACES[name](layer)
