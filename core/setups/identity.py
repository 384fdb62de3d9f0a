"""Identity of a setup: its names and commits, and a fingerprint of its weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..concepts.index import Identity
from ..files import as_text
from ..model.clip import SplitClip
from ..model.dictionary import Dictionary
from .catalog import Location, SetupSpec

Tower = Literal["vision", "text"]
"""Of a CLIP."""

_SAMPLE = 4096
"""Numbers of each tensor that a fingerprint looks at."""


def fingerprint(clip: SplitClip, dictionary: Dictionary) -> str:
    """A hash of what decides an index: the weights of both, the layer, the scope, and how the dictionary encodes.

    Of every tensor it takes the name, the shape and at most some 4,096 evenly spaced numbers, as float32, which takes
    a fraction of a second for the largest setups and is the same wherever they are. 64 hexadecimal digits of SHA-256.
    """
    settings = dict(dictionary.encoding) | dict(clip.place.facts) | {"scope": dictionary.scope}
    return _hashed(settings, {"clip": clip.model.state_dict(), "dictionary": dictionary.weights})


def dictionary_fingerprint(dictionary: Dictionary) -> str:
    """The same of a dictionary alone, wherever it reads."""
    return _hashed(dictionary.encoding, {"dictionary": dictionary.weights})


def tower_fingerprint(model: PreTrainedModel, tower: Tower, precision: torch.dtype = torch.float32) -> str:
    """The same of one tower of a CLIP with its projection, and of the settings that decide what its weights compute.

    Numbers are rounded to `precision` first, so that a CLIP that was loaded in it is known by the hash of the one it
    was rounded from. The names are those of CLIPModel; CLIPVisionModelWithProjection has the same for its tower.
    """
    config = getattr(model.config, f"{tower}_config", model.config)
    names = ("hidden_act", "layer_norm_eps", "num_attention_heads", "num_hidden_layers")
    begins = (f"{tower}_model.", {"vision": "visual", "text": "text"}[tower] + "_projection.")
    weights = {name: weight for name, weight in model.state_dict().items() if name.startswith(begins)}
    return _hashed({name: getattr(config, name) for name in names}, {tower: weights}, precision)


def _hashed(
    settings: Mapping[str, object],
    parts: Mapping[str, Mapping[str, Tensor]],
    precision: torch.dtype = torch.float32,
) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for part, tensors in parts.items():
        for name, tensor in sorted(tensors.items()):
            digest.update(f"\n{part} {name} {list(tensor.shape)} ".encode())
            digest.update(_sampled(tensor, precision).tobytes())
    return digest.hexdigest()


def _sampled(tensor: Tensor, precision: torch.dtype = torch.float32) -> np.ndarray:
    """Evenly spaced numbers of a tensor in reading order, rounded, as little-endian float32; all of a small one."""
    if not tensor.numel():
        return np.empty(0, dtype="<f4")
    # An odd step meets all columns of a matrix, whose width is mostly a power of two.
    places = np.arange(0, tensor.numel(), max(1, tensor.numel() // _SAMPLE) | 1)
    where = [torch.as_tensor(at, device=tensor.device) for at in np.unravel_index(places, tensor.shape or (1,))]
    return tensor.reshape(tensor.shape or (1,))[tuple(where)].to(precision).float().cpu().numpy().astype("<f4")


def identity(card: SetupSpec, commits: Mapping[str, str], clip: SplitClip, dictionary: Dictionary) -> Identity:
    """What a setup is, to be compared with what an index was made of; `commits` as in `core.setups.loading.Setup`."""
    return Identity(
        clip=_named(card.clip),
        clip_commit=commits.get("clip"),
        dictionary=_named(card.dictionary),
        dictionary_commit=commits.get("dictionary"),
        layer=clip.layer,
        place=card.place,
        scope=dictionary.scope,
        components=dictionary.n_components,
        width=dictionary.width,
        fingerprint=fingerprint(clip, dictionary),
    )


def _named(place: Location) -> str:
    """The repository, or the folder's name without the way to it, and what is in it."""
    name = place.repo if place.folder is None else place.folder.resolve().name
    return as_text(f"{name}" if place.file == "." else f"{name}/{place.file}")
