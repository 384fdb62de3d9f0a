"""The sparse autoencoder (SAE) as this project holds it: a dictionary of components.

Each token's residual x_t is written as x_t = sum_j f_tj v_j + b_dec + e_t: the activations f_t = encode(x_t)
are few and mostly zero, the directions v_j = W_dec[j] are in the units of x, and e_t is what the dictionary
misses. Nothing here throws e_t away: steering adds differences to x instead of replacing x by its
reconstruction.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from sae_lens import SAE
from torch import Tensor

from .errors import Trouble
from .records import Record

Scope = Literal["all", "cls", "patches"]
"""The tokens a dictionary was trained on."""

ARCHITECTURES = frozenset({"standard", "gated", "topk", "abstopk", "jumprelu"})
"""sae_lens architectures whose decoder is linear and which read one token at a time."""

_CHUNK = 1 << 25
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

    def spread(self, pairs: np.ndarray, component: int) -> np.ndarray:
        """Numbers for every pair, float [n] -> one component's at every token, [T], 0 where inactive."""
        where = self.span(component)
        tokens = np.zeros(self.n_tokens, dtype=pairs.dtype)
        tokens[self.token[where]] = pairs[where]
        return tokens

    def of(self, component: int) -> np.ndarray:
        """The activation of one component at every token, float32 [T]."""
        return self.spread(self.value, component)

    def components(self) -> np.ndarray:
        """The components active anywhere, int32, ascending."""
        return np.unique(self.component)


class Dictionary:
    """A sae_lens SAE, frozen, and its scope: tokens outside it never activate and are never edited."""

    def __init__(self, sae: SAE, scope: Scope) -> None:
        """Hold `sae`. Raises Trouble for one whose activations could not be decoded, or edited, linearly."""
        settings = {
            "architecture": (sae.cfg.architecture(), ARCHITECTURES),
            "normalize_activations": (sae.cfg.normalize_activations, {"none"}),
            "reshape_activations": (sae.cfg.reshape_activations, {"none"}),
            "scope": (scope, {"all", "cls", "patches"}),
        }
        for name, (value, allowed) in settings.items():
            if value not in allowed:
                raise Trouble(
                    f"This dictionary has {name} = {value!r}, which cannot be steered here. "
                    f"Choose one with {' or '.join(sorted(allowed))}."
                )
        self.sae = sae.eval().requires_grad_(False)
        self.scope: Scope = scope

    @classmethod
    def from_folder(cls, path: str | Path, scope: Scope, device: str = "cpu") -> "Dictionary":
        """Load `cfg.json` and `sae_weights.safetensors`, in float32 whatever the precision on disk."""
        return cls(SAE.load_from_disk(path, device=device, dtype="float32"), scope)

    @property
    def n_components(self) -> int:
        """m."""
        return self.sae.cfg.d_sae

    @property
    def width(self) -> int:
        """d."""
        return self.sae.cfg.d_in

    @property
    def bias(self) -> Tensor:
        """b_dec [d], in the units of x."""
        return self.sae.b_dec

    def tokens(self, n_tokens: int) -> range:
        """The tokens in scope, of `n_tokens` with CLS."""
        return {"all": range(n_tokens), "cls": range(1), "patches": range(1, n_tokens)}[self.scope]

    @torch.no_grad()
    def encode(self, residual: Tensor) -> Tensor:
        """x [..., T, d] -> f [..., T, m], dense, 0 outside the scope."""
        scope = self.tokens(residual.shape[-2])
        if len(scope) == residual.shape[-2]:
            return self.sae.encode(residual)
        f = residual.new_zeros(*residual.shape[:-1], self.n_components)
        f[..., scope.start : scope.stop, :] = self.sae.encode(residual[..., scope.start : scope.stop, :])
        return f

    @torch.no_grad()
    def activations(self, residual: Tensor) -> Activations:
        """x [T, d] -> the active pairs. Encodes a few tokens at a time when tokens x components is large."""
        scope = self.tokens(len(residual))
        step = max(1, _CHUNK // self.n_components)
        found = []
        for start in range(scope.start, scope.stop, step):
            f = self.sae.encode(residual[start : min(start + step, scope.stop)])
            token, component = f.nonzero(as_tuple=True)
            found.append((token + start, component, f[token, component]))
        token, component, value = (torch.cat(parts).cpu().numpy() for parts in zip(*found, strict=True))
        order = np.lexsort((token, component))
        return Activations(
            token=token[order].astype(np.int32),
            component=component[order].astype(np.int32),
            value=value[order].astype(np.float32),
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
        """sum_j f_tj v_j for every token, [T, d], without b_dec; 0 where nothing is active."""
        x = torch.zeros(activations.n_tokens, self.width, dtype=self.bias.dtype, device=self.bias.device)
        step = max(1, _CHUNK // self.width)
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
        x_hat[..., scope.start : scope.stop, :] = self.sae.decode(self.sae.encode(seen))
        return x_hat
