"""The unsplit model of any family as what a place of it is compared with: hooks on its own modules."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from core.model.clip import SplitClip
from core.model.places import ImageEmbedding, Place


def module_of(model: Any, place: Place) -> Any:
    """The module whose output the place is."""
    layers = model.vision_model.encoder.layers
    return {
        "residual": lambda: layers[place.layer],
        "mlp": lambda: layers[place.layer].mlp,
        "embedding": lambda: getattr(model, "visual_projection", getattr(model.vision_model, "head", None)),
    }[place.NAME]()


@contextmanager
def hooked(model: Any, place: Place, change: Tensor | None = None) -> Iterator[list[Tensor]]:
    """What the unsplit model has at the place, with `change` added there, which is in it already."""
    seen: list[Tensor] = []

    def hook(module: Any, inputs: Any, output: Tensor) -> Tensor:
        seen.append(output if change is None else output + change)
        return seen[-1]

    handle = module_of(model, place).register_forward_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()


def whole(model: Any, pixels: Tensor) -> Tensor:
    """Embeddings by the unsplit model."""
    with torch.no_grad():
        return model.get_image_features(pixel_values=pixels).pooler_output


def numbered(split: SplitClip, own: Tensor) -> Tensor:
    """A tensor of the unsplit model as a place numbers its tokens: patches begin with 1."""
    if isinstance(split.place, ImageEmbedding):
        return own[:, None]
    return own if split.has_class_token else torch.cat([torch.zeros_like(own[:, :1]), own], 1)


def own(split: SplitClip, x: Tensor) -> Tensor:
    """The same back."""
    if isinstance(split.place, ImageEmbedding):
        return x[:, 0]
    return x if split.has_class_token else x[:, 1:]
