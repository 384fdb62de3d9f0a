"""Tiny models of any family, read at any place, and the unsplit model as what they are compared with."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from conftest import CLASSES, tiny_metaclip, tiny_model, tiny_sae, tiny_siglip, tiny_tokenizer
from torch import Tensor
from transformers import CLIPImageProcessorPil, PreTrainedModel

from core.methods.question import Question
from core.methods.targets import ClassTarget
from core.model.clip import SplitClip, text_classifier
from core.model.places import ImageEmbedding, Place
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary
from core.model.word_dictionary import WordDictionary

MODELS: Mapping[str, Callable[[], PreTrainedModel]] = MappingProxyType(
    {"clip": tiny_model, "metaclip_2": tiny_metaclip, "siglip": tiny_siglip}
)
"""Tiny models by their `model_type`."""


def split_at(name: str, place: Place) -> SplitClip:
    """A tiny model, split at a place."""
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return SplitClip(MODELS[name](), processor, tiny_tokenizer(), place)


def model_at(name: str, place: Place) -> SaeClip:
    """The same with a top-k dictionary there, on all tokens that there are."""
    clip = split_at(name, place)
    return SaeClip(clip, SaeDictionary(tiny_sae("topk", k=9, d_in=clip.width), clip.scope("all")))


def words_at(name: str) -> SaeClip:
    """The same with words after the projection."""
    clip = split_at(name, ImageEmbedding())
    words = [first + second for first in "abcdefg" for second in "hijklm"]
    noise = np.random.default_rng(6).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    mean = torch.nn.functional.normalize(clip.residual(clip.pixels(noise))[:, 0], dim=-1).mean(0)
    return SaeClip(clip, WordDictionary(words, clip.texts(words), mean, 0.03))


def question_at(name: str, place: Place, words: bool = False) -> Question:
    """What speaks for the first class against the second in a picture of noise."""
    model = words_at(name) if words else model_at(name, place)
    crop = np.random.default_rng(5).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    classifier = text_classifier(model.clip, CLASSES, ("a photo of a {}",))
    return Question(model, model.trace(crop), classifier, ClassTarget(0, 1))


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
