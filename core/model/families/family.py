"""Model family: what every model with a vision and a text tower is asked for, whichever class of transformers it is.

A vision tower is layers with something before them and something after: pixels -> x before the first layer -> the
layers, one by one -> the image embedding z. Within it x has the tower's own tokens, [B, t, d]. Outside, token 0 is the
class token's and the patches begin with 1, in every model: where there is no class token, nothing is at 0. So a patch
has one number in edits, links, indexes and on the page. `numbered` and `own_tokens` lead from one to the other.

There are no hooks and no state: a forward hook on a shared model would leak between visitors, so the layers are simply
called.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from ..scoring import Scoring


class ModelFamily(ABC):
    """A model of transformers, run layer by layer. Read-only: eval mode, weights without gradients."""

    MODELS: ClassVar[Mapping[str, type[PreTrainedModel]]]
    """The classes of transformers that it runs, by their `model_type`."""
    CLASS_TOKEN: ClassVar[bool]
    """Whether the vision tower has a class token, which comes before the patches."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Run `model`, which is frozen by this."""
        self.model: Any = model.eval().requires_grad_(False)  # whose towers transformers declares as anything

    @classmethod
    @abstractmethod
    def check(cls, config: Any, where: str) -> None:
        """Raise UserError for a configuration of a variant that is not run here; `where` it lies, for the reader."""

    # Sizes

    @property
    def n_layers(self) -> int:
        """Number of layers of the vision tower."""
        return int(self.model.config.vision_config.num_hidden_layers)

    @property
    def width(self) -> int:
        """d, the width of the residual stream."""
        return int(self.model.config.vision_config.hidden_size)

    @property
    @abstractmethod
    def projection(self) -> int:
        """p, the length of the embeddings of pictures and texts."""

    @property
    def image_size(self) -> int:
        """S, the side of the picture that it sees, in pixels."""
        return int(self.model.config.vision_config.image_size)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        side = self.image_size // int(self.model.config.vision_config.patch_size)
        return side, side

    @property
    def context(self) -> int:
        """Tokens that the text tower reads, with those at the start and the end."""
        return int(self.model.config.text_config.max_position_embeddings)

    @property
    @abstractmethod
    def scoring(self) -> Scoring:
        """How a cosine becomes a logit, and a logit a probability."""

    # The vision tower

    @property
    def layers(self) -> Sequence[Any]:
        """The layers of the vision tower."""
        return self.model.vision_model.encoder.layers

    @abstractmethod
    def first(self, pixels: Tensor) -> Tensor:
        """pixels [B, 3, S, S] -> x [B, t, d], the residual stream before the first layer."""

    def layer(self, number: int, x: Tensor) -> Tensor:
        """x [B, t, d] before a layer, from 0 -> after it."""
        return self.layers[number](x, attention_mask=None)

    def layer_in_two(self, number: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, t, d] before a layer -> the stream before its MLP, and what the MLP adds: their sum is x after it."""
        layer = self.layers[number]
        attended, _ = layer.self_attn(hidden_states=layer.layer_norm1(x), attention_mask=None)
        stream = x + attended
        return stream, layer.mlp(layer.layer_norm2(stream))

    def numbered(self, x: Tensor) -> Tensor:
        """The tower's own tokens [B, t, d] -> [B, T, d]: with 0 at token 0 where there is no class token."""
        return x if self.CLASS_TOKEN else F.pad(x, (0, 0, 1, 0))

    def own_tokens(self, x: Tensor) -> Tensor:
        """The same back, [B, T, d] -> [B, t, d]."""
        return x if self.CLASS_TOKEN else x[:, 1:]

    @abstractmethod
    def embed(self, x: Tensor, after: int) -> Tensor:
        """x [B, t, d] after a layer -> image embeddings [B, p], not normalised. Differentiable."""

    @abstractmethod
    def lens(self, directions: Tensor) -> Tensor:
        """Directions [k, d] -> [k, p]: as if they went straight from the tokens that are read out to the embedding."""

    # The text tower

    def written(self, text: str) -> str:
        """A text as the model was trained to read it, before it is cut into tokens."""
        return text

    @abstractmethod
    def text_features(self, ids: Sequence[Sequence[int]], tokenizer: Any) -> Tensor:
        """Tokens of n texts -> text embeddings [n, p], not normalised."""

    def tokens_read(self, ids: Sequence[int]) -> int:
        """How many tokens the text tower computes for a text of these."""
        return len(ids)

    @abstractmethod
    def reads_at(self, ids: np.ndarray) -> np.ndarray | None:
        """Where each text is read whose padded tokens are these, int [n, t] -> int [n]; None: always at the last."""

    def _tensor(self, rows: Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor(rows, device=self.model.device)
