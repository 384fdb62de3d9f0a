"""Dictionary: what every dictionary of components is asked for, whatever it is made of. One file for each kind.

Each token's residual x_t is written as x_t = sum_j f_tj v_j + b_t + e_t: the activations f_t = encode(x_t) are few and
mostly zero, the directions v_j are in the units of x, b_t is there with every component off, and e_t is what the
dictionary misses. Nothing here throws e_t away: steering adds differences to x instead of replacing x by its
reconstruction.

What a dictionary normalises before it encodes, it undoes in f and b, so that the equation holds as it stands.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from sae_lens import SAE
from torch import Tensor

from ..errors import UserError
from ..records import Record
from .scope import Scope, tokens_in_scope

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


class Dictionary(ABC):
    """Components, and the tokens in their scope: others never activate and are never edited. Read-only."""

    scope: Scope
    """The tokens that it reads."""

    # What it is

    @abstractmethod
    def to(self, device: str | torch.device) -> "Dictionary":
        """The same dictionary on another device; this very one if that is where it is."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where it is."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The precision of its directions."""

    @property
    @abstractmethod
    def n_components(self) -> int:
        """m."""

    @property
    @abstractmethod
    def width(self) -> int:
        """d."""

    @property
    @abstractmethod
    def weights(self) -> Mapping[str, Tensor]:
        """All its numbers, by name."""

    @property
    @abstractmethod
    def encoding(self) -> Mapping[str, object]:
        """How it encodes, as plain values: with its weights, all that its activations depend on."""

    @property
    def n_bytes(self) -> int:
        """What it takes in memory."""
        return sum(weight.nbytes for weight in self.weights.values())

    @property
    def words(self) -> tuple[str, ...]:
        """What each component stands for, [m], where that is known and no guess; else nothing."""
        return ()

    def nearness(self, text: Tensor) -> np.ndarray:  # noqa: ARG002
        """How near each of `words` is to a text with the unit embedding [p]: cosines, float64 [m].

        Raises UserError where the components are no words.
        """
        raise UserError("The components of this setup are no words, which this needs. Choose another setup.")

    @property
    def sae(self) -> SAE:
        """The SAE that it is. Raises UserError where it is none."""
        raise UserError("The components of this setup are not those of an SAE, which this needs. Choose another setup.")

    # What it does

    @abstractmethod
    def encode_seen(self, seen: Tensor) -> Tensor:
        """Tokens in scope [..., d], whichever they are -> f [..., m], such that f v is in the units of x."""

    @abstractmethod
    def bias_at(self, residual: Tensor) -> Tensor:
        """What is there with every component off, for x [..., T, d]: b, [..., T, d]."""

    @abstractmethod
    def directions(self, components: np.ndarray | Tensor) -> Tensor:
        """v_j for k components, [k, d], in the units of x."""

    @abstractmethod
    def reconstruct_seen(self, seen: Tensor) -> Tensor:
        """Tokens in scope [..., d] -> x_hat [..., d], what it makes of them."""

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

    @torch.no_grad()
    def decode(self, activations: Activations) -> Tensor:
        """sum_j f_tj v_j for every token, [T, d], without the bias; 0 where nothing is active."""
        x = torch.zeros(activations.n_tokens, self.width, dtype=self.dtype, device=self.device)
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
        x_hat[..., scope.start : scope.stop, :] = self.reconstruct_seen(seen)
        return x_hat
