"""Place: where a dictionary reads a vision tower, and where an edit acts.

What is edited is x. What a dictionary reads is `seen`. Mostly they are the same; where they are not, seen is a part of
x, so that an edit's difference to what was seen is added to x all the same, and dy/dseen = dy/dx. So all that comes
after a place knows of x alone: an edit adds to it, and `embed` runs what is left.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from torch import Tensor

from ...errors import UserError
from ...words import SCOPES, ScopeWords
from ..families import ModelFamily
from ..place_name import PlaceName
from ..scope import Scope


class AtPlace(NamedTuple):
    """What some pictures leave at a place."""

    x: Tensor
    """[B, T, d]: what an edit adds to, and what all that follows is computed from."""
    seen: Tensor
    """[B, T, d]: what the dictionary reads; x itself, or a part of it."""


@dataclass(frozen=True)
class Place(ABC):
    """A place of a vision tower."""

    NAME: ClassVar[PlaceName]
    """How catalogs and the command line call places of this kind."""
    HOOK: ClassVar[str]
    """TransformerLens' name of the hook point, with {layer} for the layer."""

    layer: int
    """The layer of the vision tower that it belongs to, from 0."""

    def check(self, n_layers: int) -> None:
        """Raise UserError when a vision tower of so many layers has no such place."""
        if not 0 <= self.layer < n_layers:
            raise UserError(
                f"This CLIP has {n_layers} vision layers. Choose a layer from 0 to {n_layers - 1}, not {self.layer}."
            )

    @property
    def hook(self) -> str:
        """TransformerLens' name of the hook point."""
        return self.HOOK.format(layer=self.layer)

    @property
    def facts(self) -> Mapping[str, object]:
        """What tells it from other places, as plain values: part of a setup's fingerprint."""
        return {"layer": self.layer, "place": self.NAME}

    @abstractmethod
    def words(self, n_layers: int) -> str:
        """The place for the reader, of a vision tower with so many layers."""

    def tokens_words(self, scope: Scope) -> ScopeWords:
        """The tokens that a dictionary of that scope reads here, for the reader."""
        return SCOPES[scope]

    @abstractmethod
    def read(self, family: ModelFamily, pixels: Tensor) -> AtPlace:
        """pixels [B, 3, S, S] -> what they leave here."""

    @abstractmethod
    def beside(self, family: ModelFamily, pixels: Tensor) -> Mapping[int, AtPlace]:
        """The same by layer: here, and at the same place one layer before and one after, as far as there are any."""

    @abstractmethod
    def embed(self, family: ModelFamily, x: Tensor) -> Tensor:
        """x [B, T, d] -> the image embeddings [B, p], not normalised. Differentiable."""

    def lens(self, family: ModelFamily, directions: Tensor) -> Tensor:
        """Directions [k, d] in the units of x -> [k, p], as if they went straight to the image embedding."""
        return family.lens(directions)

    # What x is made of

    def width(self, family: ModelFamily) -> int:
        """d."""
        return family.width

    def has_class_token(self, family: ModelFamily) -> bool:
        """Whether token 0 of x is a class token."""
        return family.CLASS_TOKEN

    def grid(self, family: ModelFamily) -> tuple[int, int]:
        """Rows and columns of the patches that x has a token for, from token 1 on."""
        return family.grid

    def scope(self, family: ModelFamily, asked: Scope) -> Scope:
        """The tokens of x that a dictionary of that scope reads here. Raises UserError where there are none."""
        if family.CLASS_TOKEN:
            return asked
        if asked == "cls":
            raise UserError("This model has no class token. Choose the scope “patches” or “all”, which are one here.")
        return "patches"
