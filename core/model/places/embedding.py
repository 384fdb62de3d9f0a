"""The image embedding, after the last layer and the projection: a vector for the whole picture, and no map.

x is z as one token. An edit adds to z; what is left is to compare: z is made unit, and meets the classes. Some
dictionaries read z itself, some z made unit, some z centred: that is the dictionary's normalisation
(`core.model.dictionary`), or folded into its weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...words import ScopeWords
from ..families import ModelFamily
from ..place_name import PlaceName
from ..scope import Scope
from .place import AtPlace, Place

_WHOLE = ScopeWords("the whole picture", "one vector for the whole picture", "whole picture")


@dataclass(frozen=True)
class ImageEmbedding(Place):
    """z [1, p]."""

    NAME: ClassVar[PlaceName] = "embedding"
    HOOK: ClassVar[str] = "post_projection"

    layer: int = 0
    """It is behind all of them: no layer is asked for, and 0 stands here."""

    @property
    def facts(self) -> Mapping[str, object]:
        """No layer."""
        return {"place": self.NAME}

    def check(self, n_layers: int) -> None:
        """Every model has one."""

    def words(self, n_layers: int) -> str:
        """The image embedding."""
        return "image embedding, after the last layer and the projection"

    def tokens_words(self, scope: Scope) -> ScopeWords:
        """It has no tokens: one vector."""
        return _WHOLE

    def read(self, family: ModelFamily, pixels: Tensor) -> AtPlace:
        """The whole vision tower."""
        z = family.embed(family.first(pixels), -1)[:, None]
        return AtPlace(z, z)

    def beside(self, family: ModelFamily, pixels: Tensor) -> Mapping[int, AtPlace]:
        """Alone: it has no layer to lie beside."""
        return {self.layer: self.read(family, pixels)}

    def embed(self, family: ModelFamily, x: Tensor) -> Tensor:
        """x is z."""
        return x[:, 0]

    def lens(self, family: ModelFamily, directions: Tensor) -> Tensor:
        """They are in the units of z already."""
        return directions

    def width(self, family: ModelFamily) -> int:
        """p."""
        return family.projection

    def has_class_token(self, family: ModelFamily) -> bool:
        """Its one token is the whole picture's."""
        return False

    def grid(self, family: ModelFamily) -> tuple[int, int]:
        """No patches."""
        return 0, 0

    def scope(self, family: ModelFamily, asked: Scope) -> Scope:
        """Its one token, which has the number of the class token."""
        return "cls"
