"""CLIP: a class token that reads the patches, a projection behind each tower, a softmax over the classes."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPModel, MetaClip2Model, PreTrainedModel

from ..scoring import Scoring
from .family import ModelFamily


class ClipFamily(ModelFamily):
    """CLIPModel."""

    MODELS: ClassVar[Mapping[str, type[PreTrainedModel]]] = MappingProxyType({"clip": CLIPModel})
    CLASS_TOKEN: ClassVar[bool] = True

    @classmethod
    def check(cls, config: Any, where: str) -> None:
        """All of them are run."""

    @property
    def projection(self) -> int:
        """p."""
        return int(self.model.config.projection_dim)

    @property
    def scoring(self) -> Scoring:
        """A softmax of scale * cosine."""
        return Scoring(self.model.logit_scale.exp().item())

    def first(self, pixels: Tensor) -> Tensor:
        """The embedded class token and patches, behind the norm before the layers."""
        vision = self.model.vision_model
        return vision.pre_layrnorm(vision.embeddings(pixels))

    def embed(self, x: Tensor, after: int) -> Tensor:
        """Through the layers that are left, the last norm and the projection.

        Only CLS is read out, so in the last layer only CLS asks: every token still gives a key and a value,
        but the query, the output projection and the MLP are computed for one token instead of T. It is exact.
        """
        rest = range(after + 1, self.n_layers)
        for number in rest[:-1]:
            x = self.layer(number, x)
        cls = _at_cls(self.layers[rest[-1]], x) if len(rest) else x[:, 0]
        return self.model.visual_projection(self.model.vision_model.post_layernorm(cls))

    def lens(self, directions: Tensor) -> Tensor:
        """P (g (v - mean v)), with g the weight of the last norm and P the projection."""
        norm = self.model.vision_model.post_layernorm
        centred = directions - directions.mean(-1, keepdim=True)
        return self.model.visual_projection(centred * norm.weight)

    def text_features(self, ids: Sequence[Sequence[int]], tokenizer: Any) -> Tensor:
        """Padded to the longest of them, and read at the token at the end."""
        length = max(map(len, ids))
        padded = self._tensor([[*each, *[tokenizer.pad_token_id] * (length - len(each))] for each in ids])
        used = self._tensor([[k < len(each) for k in range(length)] for each in ids]).long()
        return self.model.get_text_features(input_ids=padded, attention_mask=used).pooler_output

    def reads_at(self, ids: np.ndarray) -> np.ndarray | None:
        """As transformers' text tower: old configurations have 2 for the end whatever the tokenizer."""
        end = self.model.config.text_config.eos_token_id
        return ids.argmax(1) if end == 2 else (ids == end).argmax(1)


class MetaClip2Family(ClipFamily):
    """MetaClip2Model: built as CLIP is, with a tokenizer for many languages, whose token for the end is 2."""

    MODELS: ClassVar[Mapping[str, type[PreTrainedModel]]] = MappingProxyType({"metaclip_2": MetaClip2Model})

    def reads_at(self, ids: np.ndarray) -> np.ndarray | None:
        """The first token for the end, whatever its number."""
        return (ids == self.model.config.text_config.eos_token_id).argmax(1)


def _at_cls(layer: Any, x: Tensor) -> Tensor:
    """One encoder layer, computed for token 0 alone: x [B, T, d] -> [B, d]."""
    attention = layer.self_attn

    def heads(values: Tensor) -> Tensor:  # [B, t, d] -> [B, heads, t, d / heads]
        return values.unflatten(-1, (attention.num_heads, attention.head_dim)).transpose(1, 2)

    normed = layer.layer_norm1(x)
    read = F.scaled_dot_product_attention(
        heads(attention.q_proj(normed[:, :1])),
        heads(attention.k_proj(normed)),
        heads(attention.v_proj(normed)),
        scale=attention.scale,
    )
    cls = x[:, 0] + attention.out_proj(read.transpose(1, 2).flatten(2))[:, 0]
    return cls + layer.mlp(layer.layer_norm2(cls))
