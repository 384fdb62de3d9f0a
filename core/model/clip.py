"""Zero-shot CLIP, split after layer L of its vision tower (the hook point `blocks.L.hook_resid_post`).

1. A picture is resized and cropped to what the model sees (`crop`), then rescaled and normalised (`pixels`).
2. `residual` runs the vision tower up to and including layer L: x in R^d for every token (token 0 is CLS, the
   rest are the patches in reading order).
3. `embed_from_residual` runs what is left, from x to the image embedding z. Whoever changes x sees the change in z.
4. `texts` and `text_classifier` turn class names into unit vectors t; `logits` compares: scale * cos(z, t).

There are no hooks and no state: a forward hook on a shared model would leak between visitors, so the layers are simply
called in two groups. The result equals the unsplit model's.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, PreTrainedTokenizerBase
from transformers.image_processing_backends import PilBackend
from transformers.models.clip.modeling_clip import CLIPEncoderLayer

from ..background import aside
from ..errors import UserError

_TEXT_BATCH = 128
MAX_TEXT_WORK = 3e12
"""Multiplications for the classes of one question on a CPU: half a minute of a few cores."""


class SplitClip:
    """A CLIP, its vision tower split after layer L. Read-only: eval mode, weights without gradients."""

    def __init__(
        self,
        model: CLIPModel,
        image_processor: PilBackend,
        tokenizer: PreTrainedTokenizerBase,
        layer: int,
        prefix: torch.dtype = torch.float32,
    ) -> None:
        """Split `model` after `encoder.layers[layer]`, from 0. Raises UserError when there is no such layer.

        `prefix` is the precision in which the layers up to L multiply; everything after them stays in the weights'.
        What a lower one changes is measured by `tests/benchmarks/precision.py`.
        """
        self.model = model.eval().requires_grad_(False)
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self.layer = layer
        self.prefix = prefix
        check_layer(self.n_layers, layer)

    def to(self, device: str) -> "SplitClip":
        """The same on another device; itself where it is there already."""
        if torch.device(device) == self.device:
            return self
        # Handed to deepcopy as copied already, the weights are never held twice where they are now.
        tensors = [*self.model.parameters(), *self.model.buffers()]
        moved = {id(t): _like(t, t.to(device)) for t in tensors}
        model = deepcopy(self.model, moved)
        return SplitClip(model, self.image_processor, self.tokenizer, self.layer, self.prefix)

    # What it is

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.logit_scale.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights (float32 unless built otherwise)."""
        return self.model.logit_scale.dtype

    @property
    def n_bytes(self) -> int:
        """The weights' size in memory."""
        return sum(t.nbytes for t in (*self.model.parameters(), *self.model.buffers()))

    @property
    def n_layers(self) -> int:
        """Number of layers of the vision tower."""
        return self.model.config.vision_config.num_hidden_layers

    @property
    def width(self) -> int:
        """d, the width of the residual stream."""
        return self.model.config.vision_config.hidden_size

    @property
    def context(self) -> int:
        """Tokens that the text tower reads, with the start and the end."""
        return self.model.config.text_config.max_position_embeddings

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches; the residual has 1 + rows * columns tokens."""
        vision = self.model.config.vision_config
        side = vision.image_size // vision.patch_size
        return side, side

    @property
    def logit_scale(self) -> float:
        """A logit is this times a cosine: exp of the learned scale, 100 for most published CLIPs."""
        return self.model.logit_scale.exp().item()

    def place(self, array: np.ndarray | Tensor) -> Tensor:
        """An array as a tensor on the model's device, in its precision. It may share memory: do not write."""
        return torch.as_tensor(array, device=self.device, dtype=self.dtype)

    # Pictures

    def crop(self, picture: Image.Image) -> np.ndarray:
        """What the model sees of an RGB picture, uint8 [S, S, 3]: its processor's own resize and crop."""
        seen = self.image_processor(picture, do_rescale=False, do_normalize=False)["pixel_values"][0]
        return np.ascontiguousarray(np.asarray(seen, dtype=np.uint8).transpose(1, 2, 0))

    def pixels(self, crops: np.ndarray) -> Tensor:
        """uint8 crops [B, S, S, 3] -> the model's input [B, 3, S, S]: its processor's own normalisation."""
        settings: Any = self.image_processor  # whose settings transformers does not declare
        values = self.place(crops).permute(0, 3, 1, 2)
        if settings.do_rescale:
            values = values * settings.rescale_factor
        if settings.do_normalize:
            mean, std = (self.place(np.array(v)).view(1, 3, 1, 1) for v in (settings.image_mean, settings.image_std))
            values = (values - mean) / std
        return values.contiguous()

    def in_prefix(self) -> AbstractContextManager[object]:
        """Within it, layers multiply in the precision of those up to L."""
        if self.prefix == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.prefix)

    @torch.no_grad()
    def residual(self, pixels: Tensor) -> Tensor:
        """pixels [B, 3, S, S] -> x [B, T, d], the residual stream after layer L."""
        vision = self.model.vision_model
        with self.in_prefix():
            x = vision.pre_layrnorm(vision.embeddings(pixels))
            for layer in vision.encoder.layers[: self.layer + 1]:
                x = layer(x, attention_mask=None)
        return x.to(self.dtype)

    def embed_from_residual(self, residual: Tensor) -> Tensor:
        """x [B, T, d] after layer L -> the image embeddings [B, p], not normalised. Differentiable.

        Only CLS is read out, so in the last layer only CLS asks: every token still gives a key and a value,
        but the query, the output projection and the MLP are computed for one token instead of T. It is exact.
        """
        vision = self.model.vision_model
        x = residual
        rest = vision.encoder.layers[self.layer + 1 :]
        for layer in rest[:-1]:
            x = layer(x, attention_mask=None)
        cls = _last_layer_at_cls(rest[-1], x) if len(rest) else x[:, 0]
        return self.model.visual_projection(vision.post_layernorm(cls))

    # Texts

    def token_ids(self, prompts: Sequence[str]) -> list[tuple[int, ...]]:
        """The tokens of each prompt, with the start and the end; of a longer one than the context the end is lost.

        A tokenizer keeps how it was last asked to cut and to pad, so several threads have to ask in the same way: only
        here, and without padding.
        """
        ids = self.tokenizer(list(prompts), truncation=True, max_length=self.context)["input_ids"]
        return [tuple(each) for each in ids]

    def texts(self, prompts: Sequence[str]) -> Tensor:
        """n prompts -> unit text embeddings [n, p]. Longer prompts than the context lose their end."""
        none = torch.empty(0, self.model.config.projection_dim, device=self.device, dtype=self.dtype)
        batches = (prompts[start : start + _TEXT_BATCH] for start in range(0, len(prompts), _TEXT_BATCH))
        return torch.cat([none, *(aside(partial(self._texts, batch)) for batch in batches)])

    @torch.no_grad()
    def _texts(self, prompts: Sequence[str]) -> Tensor:
        """The same for one batch, in whatever thread."""
        ids = self.token_ids(prompts)
        length = max(map(len, ids))
        pad = self.tokenizer.pad_token_id
        padded = torch.tensor([[*each, *[pad] * (length - len(each))] for each in ids], device=self.device)
        used = torch.tensor([[k < len(each) for k in range(length)] for each in ids], device=self.device).long()
        features = self.model.get_text_features(input_ids=padded, attention_mask=used)
        return F.normalize(features.pooler_output, dim=-1)


def check_layer(n_layers: int, layer: int) -> None:
    """Raise UserError when a vision tower of so many layers has no such layer, from 0."""
    if not 0 <= layer < n_layers:
        raise UserError(
            f"This CLIP has {n_layers} vision layers. Choose a layer from 0 to {n_layers - 1}, not {layer}."
        )


def _like(old: Tensor, new: Tensor) -> Tensor:
    """`new` as what `old` is: a frozen parameter or a buffer."""
    return torch.nn.Parameter(new, requires_grad=False) if isinstance(old, torch.nn.Parameter) else new


def _last_layer_at_cls(layer: CLIPEncoderLayer, x: Tensor) -> Tensor:
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


def logits(embedding: Tensor, classifier: Tensor, logit_scale: float) -> Tensor:
    """Image embeddings [..., p] against unit class vectors [C, p]: scale * cosine, in logits, [..., C]."""
    return logit_scale * F.normalize(embedding, dim=-1) @ classifier.T


def text_classifier(clip: SplitClip, classes: Sequence[str], templates: Sequence[str]) -> Tensor:
    """Unit class vectors [C, p]: the mean over templates of the unit embeddings, made unit again.

    The prompt ensembling of "Learning Transferable Visual Models From Natural Language Supervision" (arXiv
    2103.00020, section 3.1.4). `{}` is replaced literally, so that a class may itself hold braces.
    """
    prompts = [template.replace("{}", name) for name in classes for template in templates]
    embeddings = clip.texts(prompts)
    if not prompts:  # without classes there is nothing to group
        return embeddings
    embeddings = embeddings.view(len(classes), len(templates), -1)
    return F.normalize(embeddings.mean(1), dim=-1)


def check_text_work(clip: SplitClip, classes: Sequence[str], templates: Sequence[str]) -> None:
    """Raise UserError where a CPU would read these classes for longer than anybody waits: tokens times weights."""
    if clip.device.type != "cpu":
        return
    weights = sum(t.numel() for t in clip.model.text_model.encoder.parameters())
    longest = MAX_TEXT_WORK / max(weights, 1)
    tokens = sum(map(len, clip.token_ids([t.replace("{}", name) for name in classes for t in templates])))
    if tokens > longest:
        n = len(classes) * len(templates)
        raise UserError(
            f"{len(classes)} classes in {len(templates)} wordings are {n:,} texts: minutes of this CLIP, here. "
            f"Ask for about {int(n * longest / tokens):,} at most: fewer classes, fewer wordings, or shorter ones."
        )


def indistinct_classes(clip: SplitClip, classes: Sequence[str], templates: Sequence[str]) -> tuple[str, str] | None:
    """The first two classes that the text tower is given the same tokens for, with every template; None where none are.

    Their class vectors are the same numbers, so that no answer tells them apart: they differ only behind the context's
    end, or in what the tokenizer makes alike.
    """
    seen: dict[tuple[tuple[int, ...], ...], str] = {}
    for name in classes:
        tokens = tuple(clip.token_ids([template.replace("{}", name) for template in templates]))
        if (other := seen.setdefault(tokens, name)) != name:
            return other, name
    return None
