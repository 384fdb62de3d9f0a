"""Names of the kinds of places, for catalogs and command lines, which are read before any library."""

from typing import Literal

PlaceName = Literal["residual", "mlp", "embedding"]
"""What of a vision tower a dictionary reads: `core.model.places` has each."""

WITHOUT_LAYER: PlaceName = "embedding"
"""The one that belongs to no layer."""
