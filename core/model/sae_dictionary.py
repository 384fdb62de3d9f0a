"""The sparse autoencoder (SAE) as a dictionary of components.

Most SAEs read x as it is, and b_t is b_dec. Some were trained on x made standard at every token ("layer_norm"):
with mu and s the mean and the unbiased standard deviation of the d numbers of x_t, they encode (x_t - mu) / (s + 1e-5),
and s and mu are undone after decoding. sae_lens keeps mu and s on the module between encode and decode, where two
requests at a time would take each other's. Here the module inside never normalises: this class does, without state, and
gives s times what the module gives as f_t, so that the equation of `core.model.dictionary` holds as it stands with
b_t = mu + s b_dec. Others were trained on tokens made of one length ("constant_norm_rescale"), sqrt(d) x_t / |x_t|:
then mu = 0 and s = |x_t| / sqrt(d).
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
import torch
from sae_lens import SAE, SAEConfig
from sae_lens.registry import get_sae_class
from safetensors.torch import save_file
from torch import Tensor

from ..errors import UserError
from .dictionary import Dictionary
from .scope import Scope
from .signed_topk import SignedTopKSAEConfig

Normalisation = Literal["none", "layer_norm", "constant_norm_rescale"]
"""What is done to every token before it is encoded, and undone after it is decoded."""

ARCHITECTURES = frozenset({"standard", "gated", "topk", "abstopk", "jumprelu", SignedTopKSAEConfig.architecture()})
"""sae_lens architectures whose decoder is linear and which read one token at a time."""

NORMALISATIONS = frozenset(get_args(Normalisation))
"""sae_lens' normalisations of activations that this class can undo in the units of x."""

_EPSILON = 1e-5


def blank_sae(config: SAEConfig) -> SAE:
    """The SAE that `config` describes, without numbers: its tensors have shapes only (torch's meta device)."""
    sae_class, _ = get_sae_class(config.architecture())
    return sae_class(replace(config, device="meta"))


def filled_sae(blank: SAE, weights: Mapping[str, Tensor]) -> SAE:
    """`blank` with these tensors, which are not copied, in place of its own. Raises RuntimeError if they do not fit."""
    blank.load_state_dict(dict(weights), assign=True)
    blank.device = next(iter(weights.values())).device
    blank.cfg.device = str(blank.device)
    return blank


class SaeDictionary(Dictionary):
    """A sae_lens SAE, frozen, and its scope."""

    def __init__(self, sae: SAE, scope: Scope) -> None:
        """Hold `sae`. Raises UserError for one whose activations could not be decoded, or edited, linearly."""
        settings = {
            "architecture": (sae.cfg.architecture(), ARCHITECTURES),
            "normalize_activations": (sae.cfg.normalize_activations, NORMALISATIONS),
            "reshape_activations": (sae.cfg.reshape_activations, {"none"}),
            "scope": (scope, {"all", "cls", "patches"}),
        }
        for name, (value, allowed) in settings.items():
            if value not in allowed:
                raise UserError(
                    f"This dictionary has {name} = {value!r}, which cannot be steered here. "
                    f"Choose one with {' or '.join(sorted(allowed))}."
                )
        self.normalisation = cast(Normalisation, sae.cfg.normalize_activations)
        if self.normalisation != "none":  # the same tensors in a module that keeps nothing between two calls
            sae = filled_sae(blank_sae(replace(sae.cfg, normalize_activations="none")), sae.state_dict())
        self._sae = sae.eval().requires_grad_(False)
        self.scope: Scope = scope

    @classmethod
    def from_folder(cls, path: str | Path, scope: Scope, device: str = "cpu") -> "SaeDictionary":
        """Load `cfg.json` and `sae_weights.safetensors`, in float32 whatever the precision on disk."""
        return cls(SAE.load_from_disk(path, device=device, dtype="float32"), scope)

    def save(self, folder: str | Path) -> None:
        """Write `cfg.json` and `sae_weights.safetensors`: `from_folder` gives the same activations again.

        The scope is no part of that layout; whoever loads it says it again.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: weight.cpu().contiguous() for name, weight in self.sae.state_dict().items()}
        save_file(weights, folder / "sae_weights.safetensors")
        settings = self.sae.cfg.to_dict() | {"normalize_activations": self.normalisation, "device": "cpu"}
        (folder / "cfg.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")

    def to(self, device: str | torch.device) -> "SaeDictionary":
        """The same dictionary on another device; this very one if that is where it is."""
        weights = {name: weight.to(device) for name, weight in self.sae.state_dict().items()}
        if weights["W_dec"].device == self.device:
            return self
        blank = blank_sae(replace(self.sae.cfg, normalize_activations=self.normalisation))
        return SaeDictionary(filled_sae(blank, weights), self.scope)

    @property
    def sae(self) -> SAE:
        """The module, which never normalises: this class does."""
        return self._sae

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """Its parameters and buffers, by sae_lens' names."""
        return self.sae.state_dict()

    @property
    def encoding(self) -> Mapping[str, object]:
        """Its architecture, and what else decides how it encodes."""
        encodes = ("k", "apply_b_dec_to_input", "rescale_acts_by_decoder_norm")
        settings = {name: getattr(self.sae.cfg, name, None) for name in encodes}
        return settings | {"architecture": self.sae.cfg.architecture(), "normalisation": self.normalisation}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.sae.W_dec.device

    @property
    def dtype(self) -> torch.dtype:
        """The weights'."""
        return self.sae.W_dec.dtype

    @property
    def n_components(self) -> int:
        """m."""
        return self.sae.cfg.d_sae

    @property
    def width(self) -> int:
        """d."""
        return self.sae.cfg.d_in

    @torch.no_grad()
    def encode_seen(self, seen: Tensor) -> Tensor:
        """Tokens in scope [..., d], whichever they are -> f [..., m], such that f W_dec is in the units of x."""
        if self.normalisation == "none":
            return self.sae.encode(seen)
        normal, _, spread = self._normal(seen)
        return self.sae.encode(normal) * spread

    @torch.no_grad()
    def bias_at(self, residual: Tensor) -> Tensor:
        """What is there with every component off, for x [..., T, d]: b_dec, or mu + s b_dec, [..., T, d]."""
        if self.normalisation == "none":
            return self.sae.b_dec.expand_as(residual)
        _, mean, spread = self._normal(residual)
        return mean + spread * self.sae.b_dec

    def directions(self, components: np.ndarray | Tensor) -> Tensor:
        """v_j for k components, [k, d], in the units of x."""
        rows = self.sae.W_dec[torch.as_tensor(components, dtype=torch.long, device=self.sae.W_dec.device)]
        if getattr(self.sae.cfg, "rescale_acts_by_decoder_norm", False):
            # Such an SAE decodes with unit rows, whatever the norms of the stored ones.
            rows = rows / rows.norm(dim=-1, keepdim=True)
        return rows

    @torch.no_grad()
    def reconstruct_seen(self, seen: Tensor) -> Tensor:
        """Tokens in scope [..., d] -> x_hat [..., d]."""
        if self.normalisation == "none":
            return self.sae.decode(self.sae.encode(seen))
        normal, mean, spread = self._normal(seen)
        return self.sae.decode(self.sae.encode(normal)) * spread + mean

    def _normal(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return normal(x.to(self.sae.W_dec.dtype), self.normalisation)


def normal(x: Tensor, how: Normalisation) -> tuple[Tensor, Tensor, Tensor]:
    """x normalised token by token, and mu and s that undo it: [..., d], [..., 1] and [..., 1]."""
    if how == "layer_norm":
        return standard(x)
    spread = x.norm(dim=-1, keepdim=True) / x.shape[-1] ** 0.5
    return x / spread.clamp_min(_EPSILON**4), torch.zeros_like(spread), spread


def standard(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(x - mu) / (s + 1e-5), mu and s, over the d numbers of each token: [..., d], [..., 1] and [..., 1].

    As sae_lens and vit_prisma have it: s is unbiased, 1e-5 is added to it and not to the variance, and what is
    multiplied again after decoding is s alone.
    """
    spread, mean = torch.std_mean(x, dim=-1, keepdim=True)
    return (x - mean) / (spread + _EPSILON), mean, spread
