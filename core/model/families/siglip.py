"""SigLIP and SigLIP 2 of fixed resolution: no class token, a head that attends to all patches, a sigmoid for each text.

The text tower was trained on texts padded to its whole context, and reads each at the last token, which mostly is
padding; it takes no attention mask.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel, SiglipModel

from ...errors import UserError
from ..scoring import Scoring
from .family import ModelFamily


class SiglipFamily(ModelFamily):
    """SiglipModel."""

    MODELS: ClassVar[Mapping[str, type[PreTrainedModel]]] = MappingProxyType({"siglip": SiglipModel})
    CLASS_TOKEN: ClassVar[bool] = False

    @classmethod
    def check(cls, config: Any, where: str) -> None:
        """One without a head has no embedding; one whose towers end in different lengths compares nothing."""
        vision, text = config.vision_config, config.text_config
        if not vision.vision_use_head:
            raise UserError(f"The SigLIP in {where} is without the head that reads its patches. Choose a whole one.")
        if vision.hidden_size != text.projection_size:
            raise UserError(
                f"The SigLIP in {where} has picture embeddings of {vision.hidden_size} numbers and text embeddings of "
                f"{text.projection_size}, which cannot be compared. Choose another one."
            )

    @property
    def projection(self) -> int:
        """The width of the vision tower: there is no projection behind its head."""
        return self.width

    @property
    def scoring(self) -> Scoring:
        """A sigmoid of scale * cosine + bias, for each text alone."""
        return Scoring(self.model.logit_scale.exp().item(), self.model.logit_bias.item(), per_class=True)

    def first(self, pixels: Tensor) -> Tensor:
        """The embedded patches."""
        return self.model.vision_model.embeddings(pixels)

    def embed(self, x: Tensor, after: int) -> Tensor:
        """Through the layers that are left, the last norm and the head."""
        for number in range(after + 1, self.n_layers):
            x = self.layer(number, x)
        vision = self.model.vision_model
        return vision.head(vision.post_layernorm(x))

    def lens(self, directions: Tensor) -> Tensor:
        """O V (g (v - mean v)), with g the weight of the last norm, V and O the head's values and what it puts out."""
        vision = self.model.vision_model
        attention = vision.head.attention
        centred = (directions - directions.mean(-1, keepdim=True)) * vision.post_layernorm.weight
        values = F.linear(centred, attention.in_proj_weight[-self.width :])
        return F.linear(values, attention.out_proj.weight)

    def written(self, text: str) -> str:
        """In lower case, as in training.

        Most of its tokenizers see to that, but not the one that files of SigLIP 2 name
        (huggingface/transformers#43054).
        """
        return text.lower()

    def text_features(self, ids: Sequence[Sequence[int]], tokenizer: Any) -> Tensor:
        """Padded to the whole context, and read at the last token."""
        rows = []
        for each in ids:
            padding = [tokenizer.pad_token_id] * (self.context - len(each))
            rows.append([*padding, *each] if tokenizer.padding_side == "left" else [*each, *padding])
        return self.model.get_text_features(input_ids=self._tensor(rows)).pooler_output

    def tokens_read(self, ids: Sequence[int]) -> int:
        """All of the context, however short the text."""
        return self.context

    def reads_at(self, ids: np.ndarray) -> np.ndarray | None:
        """Always at the last token."""
        return None
