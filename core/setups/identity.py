"""Identity of a setup: its names and commits, and a fingerprint of its weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..concepts.index import Identity
from ..files import as_text
from ..model.clip import SplitClip
from ..model.dictionary import Dictionary
from .catalog import Location, SetupSpec

_SAMPLE = 4096
"""Numbers of each tensor that a fingerprint looks at."""


def fingerprint(clip: SplitClip, dictionary: Dictionary) -> str:
    """A hash of what decides an index: the weights of both, the layer, the scope, and how the dictionary encodes.

    Of every tensor it takes the name, the shape and at most some 4,096 evenly spaced numbers, as float32, which takes
    a fraction of a second for the largest setups and is the same wherever they are. 64 hexadecimal digits of SHA-256.
    """
    encodes = ("k", "apply_b_dec_to_input", "rescale_acts_by_decoder_norm")
    settings = {name: getattr(dictionary.sae.cfg, name, None) for name in encodes}
    settings |= {"architecture": dictionary.sae.cfg.architecture(), "normalisation": dictionary.normalisation}
    settings |= {"layer": clip.layer, "scope": dictionary.scope}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for part, tensors in (("clip", clip.model.state_dict()), ("dictionary", dictionary.sae.state_dict())):
        for name, tensor in sorted(tensors.items()):
            digest.update(f"\n{part} {name} {list(tensor.shape)} ".encode())
            digest.update(_sampled(tensor).tobytes())
    return digest.hexdigest()


def _sampled(tensor: Tensor) -> np.ndarray:
    """Evenly spaced numbers of a tensor in reading order, as little-endian float32; all of one that is small."""
    if not tensor.numel():
        return np.empty(0, dtype="<f4")
    # An odd step meets all columns of a matrix, whose width is mostly a power of two.
    places = np.arange(0, tensor.numel(), max(1, tensor.numel() // _SAMPLE) | 1)
    where = [torch.as_tensor(at, device=tensor.device) for at in np.unravel_index(places, tensor.shape or (1,))]
    return tensor.reshape(tensor.shape or (1,))[tuple(where)].float().cpu().numpy().astype("<f4")


def identity(card: SetupSpec, commits: Mapping[str, str], clip: SplitClip, dictionary: Dictionary) -> Identity:
    """What a setup is, to be compared with what an index was made of; `commits` as in `core.setups.loading.Setup`."""
    return Identity(
        clip=_named(card.clip),
        clip_commit=commits.get("clip"),
        dictionary=_named(card.dictionary),
        dictionary_commit=commits.get("dictionary"),
        layer=clip.layer,
        scope=dictionary.scope,
        components=dictionary.n_components,
        width=dictionary.width,
        fingerprint=fingerprint(clip, dictionary),
    )


def _named(place: Location) -> str:
    """The repository, or the folder's name without the way to it, and what is in it."""
    name = place.repo if place.folder is None else place.folder.resolve().name
    return as_text(f"{name}" if place.file == "." else f"{name}/{place.file}")
