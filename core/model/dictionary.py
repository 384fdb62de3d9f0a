"""The sparse autoencoder (SAE) as this project holds it: a dictionary of components.

Each token's residual x_t is written as x_t = sum_j f_tj v_j + b_t + e_t: the activations f_t = encode(x_t) are few and
mostly zero, the directions v_j = W_dec[j] are in the units of x, b_t is there with every component off, and e_t is what
the dictionary misses. Nothing here throws e_t away: steering adds differences to x instead of replacing x by its
reconstruction.

Most dictionaries read x as it is, and b_t is b_dec. Some were trained on x made standard at every token ("layer_norm"):
with mu and s the mean and the unbiased standard deviation of the d numbers of x_t, they encode (x_t - mu) / (s + 1e-5),
and s and mu are undone after decoding. sae_lens keeps mu and s on the module between encode and decode, where two
requests at a time would take each other's. Here the module inside never normalises: this class does, without state, and
gives s times what the module gives as f_t, so that the equation above holds as it stands with b_t = mu + s b_dec.
Others were trained on tokens made of one length ("constant_norm_rescale"), sqrt(d) x_t / |x_t|: then mu = 0 and
s = |x_t| / sqrt(d).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
import torch
from sae_lens import SAE, SAEConfig
from sae_lens.registry import get_sae_class
from safetensors.torch import save_file
from torch import Tensor

from ..errors import UserError
from ..records import Record
from .scope import Scope, tokens_in_scope
from .signed_topk import SignedTopKSAEConfig

Normalisation = Literal["none", "layer_norm", "constant_norm_rescale"]
"""What is done to every token before it is encoded, and undone after it is decoded."""

ARCHITECTURES = frozenset({"standard", "gated", "topk", "abstopk", "jumprelu", SignedTopKSAEConfig.architecture()})
"""sae_lens architectures whose decoder is linear and which read one token at a time."""

NORMALISATIONS = frozenset(get_args(Normalisation))
"""sae_lens' normalisations of activations that this class can undo in the units of x."""

_EPSILON = 1e-5

CHUNK = 1 << 25
"""Numbers in one dense block of activations or gathered directions (128 MB in float32)."""


@dataclass(frozen=True, eq=False, repr=False)
class Activations(Record):
    """The active (token, component) pairs of one picture, sorted by component, then token."""

    token: np.ndarray
    """int32 [n]: 0 is CLS, then the patches in reading order."""
    component: np.ndarray
    """int32 [n]."""
    value: np.ndarray
    """float32 [n]: f_tj, never 0."""
    n_tokens: int
    """T, with CLS."""
    n_components: int
    """m, the size of the dictionary."""

    def span(self, component: int) -> slice:
        """Where the pairs of one component lie in the arrays (empty when it is not active)."""
        first, last = np.searchsorted(self.component, (component, component + 1))
        return slice(int(first), int(last))

    def at_tokens(self, pairs: np.ndarray, component: int) -> np.ndarray:
        """Numbers for every pair, float [n] -> one component's at every token, [T], 0 where inactive."""
        where = self.span(component)
        tokens = np.zeros(self.n_tokens, dtype=pairs.dtype)
        tokens[self.token[where]] = pairs[where]
        return tokens

    def of(self, component: int) -> np.ndarray:
        """The activation of one component at every token, float32 [T]."""
        return self.at_tokens(self.value, component)

    def components(self) -> np.ndarray:
        """The components active anywhere, int32, ascending."""
        return np.unique(self.component)


def nonzero(f: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Where the flattened f is not 0, int64 [K], and its values there, float32 [K].

    On a CPU numpy finds that about four times as fast as torch.
    """
    if f.device.type != "cpu":
        there = f.flatten().nonzero()[:, 0]
        return there.cpu().numpy(), f.flatten()[there].float().cpu().numpy()
    flat = f.numpy().ravel()
    place = np.flatnonzero(flat != 0)
    return place, flat[place].astype(np.float32, copy=False)


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


class Dictionary:
    """A sae_lens SAE, frozen, and its scope: tokens outside it never activate and are never edited."""

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
        self.sae = sae.eval().requires_grad_(False)
        self.scope: Scope = scope

    @classmethod
    def from_folder(cls, path: str | Path, scope: Scope, device: str = "cpu") -> "Dictionary":
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

    def to(self, device: str | torch.device) -> "Dictionary":
        """The same dictionary on another device; this very one if that is where it is."""
        weights = {name: weight.to(device) for name, weight in self.sae.state_dict().items()}
        if weights["W_dec"].device == self.device:
            return self
        blank = blank_sae(replace(self.sae.cfg, normalize_activations=self.normalisation))
        return Dictionary(filled_sae(blank, weights), self.scope)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.sae.W_dec.device

    @property
    def n_bytes(self) -> int:
        """What the weights take in memory."""
        return sum(weight.nbytes for weight in self.sae.parameters())

    @property
    def n_components(self) -> int:
        """m."""
        return self.sae.cfg.d_sae

    @property
    def width(self) -> int:
        """d."""
        return self.sae.cfg.d_in

    def tokens(self, n_tokens: int) -> range:
        """The tokens in scope, of `n_tokens` with CLS."""
        return tokens_in_scope(self.scope, n_tokens)

    @torch.no_grad()
    def encode(self, residual: Tensor) -> Tensor:
        """x [..., T, d] -> f [..., T, m], dense, 0 outside the scope."""
        scope = self.tokens(residual.shape[-2])
        if len(scope) == residual.shape[-2]:
            return self.encode_seen(residual)
        f = residual.new_zeros(*residual.shape[:-1], self.n_components)
        f[..., scope.start : scope.stop, :] = self.encode_seen(residual[..., scope.start : scope.stop, :])
        return f

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

    @torch.no_grad()
    def activations(self, residual: Tensor) -> Activations:
        """x [T, d] -> the active pairs. Encodes a few tokens at a time when tokens x components is large."""
        scope = self.tokens(len(residual))
        step = max(1, CHUNK // self.n_components)
        found = []
        for start in range(scope.start, scope.stop, step):
            place, value = nonzero(self.encode_seen(residual[start : min(start + step, scope.stop)]))
            found.append((place // self.n_components + start, place % self.n_components, value))
        token, component, value = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.lexsort((token, component))
        return Activations(
            token=token[order].astype(np.int32),
            component=component[order].astype(np.int32),
            value=value[order],
            n_tokens=len(residual),
            n_components=self.n_components,
        )

    def directions(self, components: np.ndarray | Tensor) -> Tensor:
        """v_j for k components, [k, d], in the units of x."""
        rows = self.sae.W_dec[torch.as_tensor(components, dtype=torch.long, device=self.sae.W_dec.device)]
        if getattr(self.sae.cfg, "rescale_acts_by_decoder_norm", False):
            # Such an SAE decodes with unit rows, whatever the norms of the stored ones.
            rows = rows / rows.norm(dim=-1, keepdim=True)
        return rows

    @torch.no_grad()
    def decode(self, activations: Activations) -> Tensor:
        """sum_j f_tj v_j for every token, [T, d], without the bias; 0 where nothing is active."""
        x = torch.zeros(activations.n_tokens, self.width, dtype=self.sae.W_dec.dtype, device=self.device)
        step = max(1, CHUNK // self.width)
        for start in range(0, len(activations.token), step):
            part = slice(start, start + step)
            value = torch.as_tensor(activations.value[part]).to(x)
            token = torch.as_tensor(activations.token[part], dtype=torch.long, device=x.device)
            x.index_add_(0, token, value[:, None] * self.directions(activations.component[part]))
        return x

    @torch.no_grad()
    def reconstruct(self, residual: Tensor) -> Tensor:
        """x [..., T, d] -> x_hat [..., T, d]: tokens in scope encoded and decoded, the others as they are."""
        scope = self.tokens(residual.shape[-2])
        seen = residual[..., scope.start : scope.stop, :]
        x_hat = residual.clone()
        x_hat[..., scope.start : scope.stop, :] = self._reconstruct(seen)
        return x_hat

    def _reconstruct(self, seen: Tensor) -> Tensor:
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
