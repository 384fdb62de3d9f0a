"""Words as a dictionary of components, after the projection: a picture as a sparse, non-negative sum of texts.

SpLiCE ("Interpreting CLIP with Sparse Linear Concept Embeddings", arXiv 2402.10376). For an image embedding z, with t_k
the unit text embedding of word k, m_t their mean over the words and m_i the mean of unit image embeddings over some
pictures:

1. c_k = unit(t_k - m_t): what a word says that not all words do. u = unit(z / |z| - m_i): the same of the picture.
2. w >= 0 minimises |C w - u|^2 + 2 penalty |w|_1, by scikit-learn's coordinate descent in float64, and exactly.
3. With s = |z / |z| - m_i|: z = sum_k f_k c_k + b + e, where f = |z| s w, b = |z| m_i, and e = |z| s (u - C w) is what
   the words miss.

So the components are words, and no guess: c_k are the directions. Nothing is trained, and e is large: what a picture
holds that these words do not say is not in them.
"""

from collections.abc import Mapping, Sequence
from copy import copy

import numpy as np
import torch
from torch import Tensor

from .dictionary import Dictionary
from .scope import Scope

PENALTIES = tuple(float(f"{0.5 * 0.9**step:.2g}") for step in range(40))
"""What a penalty is chosen from, the largest first: 0.5 down to 0.0082. The paper has 0.1 to 0.35."""

_GAPS = (1e-4, 1e-6, 1e-8, 1e-10)
"""Of the objective, whose value without any word is 1: what coordinate descent leaves at most above the least. Which
words are active is known long before how strongly they are, which a linear system then tells exactly."""
_ROUNDS = 5_000
_ROUNDING = 1e-9


class WordDictionary(Dictionary):
    """Words, one component each, for the image embedding of one model."""

    scope: Scope = "cls"

    def __init__(self, words: Sequence[str], texts: Tensor, picture_mean: Tensor, penalty: float) -> None:
        """Of m words with unit text embeddings [m, p], no two of them the same, and the mean m_i [p]."""
        if len(words) != len(texts):
            raise ValueError(f"{len(words)} words with {len(texts)} embeddings")
        self._words, self.penalty = tuple(words), penalty
        exact = texts.detach().cpu().double()
        self._text_mean = exact.mean(0)
        apart = torch.nn.functional.normalize(exact - self._text_mean, dim=-1)
        self._directions = apart.to(texts)
        self._picture_mean = picture_mean.to(texts)
        # Of the directions as they are rounded, so that what is encoded is what is decoded.
        self._columns = np.asfortranarray(self._directions.cpu().double().numpy().T)
        self._gram = self._columns.T @ self._columns

    def to(self, device: str | torch.device) -> "WordDictionary":
        """The same dictionary on another device; this very one if that is where it is. It encodes on the CPU."""
        directions = self._directions.to(device)
        if directions.device == self.device:
            return self
        moved = copy(self)
        moved._directions, moved._picture_mean = directions, self._picture_mean.to(device)
        return moved

    @property
    def device(self) -> torch.device:
        """Where the directions are."""
        return self._directions.device

    @property
    def dtype(self) -> torch.dtype:
        """The texts'."""
        return self._directions.dtype

    @property
    def n_components(self) -> int:
        """m."""
        return len(self._words)

    @property
    def width(self) -> int:
        """p."""
        return self._directions.shape[1]

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """C and m_i."""
        return {"directions": self._directions, "picture_mean": self._picture_mean}

    @property
    def encoding(self) -> Mapping[str, object]:
        """The penalty, and the words."""
        return {"architecture": "splice", "penalty": self.penalty, "words": self._words}

    @property
    def n_bytes(self) -> int:
        """With what coordinate descent needs."""
        return super().n_bytes + self._columns.nbytes + self._gram.nbytes

    @property
    def words(self) -> tuple[str, ...]:
        """All of them."""
        return self._words

    def nearness(self, text: Tensor) -> np.ndarray:
        """Cosines of c_k with what the text says that not all words do."""
        apart = text.detach().cpu().double() - self._text_mean
        unit = apart / apart.norm().clamp_min(1e-12)
        return self._columns.T @ unit.numpy()

    @torch.no_grad()
    def encode_seen(self, seen: Tensor) -> Tensor:
        """z [..., p] -> f [..., m] in the units of z. Each alone, so that its neighbours in a batch do not matter."""
        units, spread = self._split(seen)
        found = np.zeros((len(units), self.n_components))
        for row, (unit, size) in enumerate(zip(units, spread, strict=True)):
            found[row] = size * self._solved(unit, self.penalty)
        return torch.as_tensor(found).to(seen).reshape(*seen.shape[:-1], self.n_components)

    def _solved(self, unit: np.ndarray, penalty: float, start: np.ndarray | None = None) -> np.ndarray:
        """w [m] of one u [p], float64; not a number where u is none."""
        from sklearn.linear_model import lasso_path  # takes a second to import

        if not np.isfinite(unit).all():
            return np.full(self.n_components, np.nan)
        along = self._columns.T @ unit
        w = start
        for gap in _GAPS:
            # Its objective is |C w - u|^2 / (2 p) + alpha |w|_1: ours over 2 p, with alpha = penalty / p.
            _, found, _ = lasso_path(
                self._columns,
                unit,
                alphas=[penalty / len(unit)],
                precompute=self._gram,
                Xy=along,
                coef_init=w,
                positive=True,
                check_input=False,
                tol=gap,
                max_iter=_ROUNDS,
            )
            w = found[:, 0]
            if (exact := self._among(np.flatnonzero(w), along, penalty)) is not None:
                return exact
        assert w is not None
        return w

    def _among(self, active: np.ndarray, along: np.ndarray, penalty: float) -> np.ndarray | None:
        """The least with these words alone, where that is the least of all: c_k (u - C w) is the penalty for each of
        them, and no more for any other. None where it is not."""
        w = np.zeros(self.n_components)
        try:
            w[active] = np.linalg.solve(self._gram[np.ix_(active, active)], along[active] - penalty)
        except np.linalg.LinAlgError:
            return None
        slope = along - self._gram[:, active] @ w[active]
        return w if (w >= 0).all() and slope.max(initial=0) <= penalty + _ROUNDING else None

    def _split(self, z: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """z [..., p] -> u [n, p] and |z| s [n], float64; u is 0 where there is nothing beyond the mean."""
        flat = z.detach().cpu().double().reshape(-1, self.width)
        length = flat.norm(dim=-1, keepdim=True)
        apart = flat / length.clamp_min(1e-300) - self._picture_mean.cpu().double()
        spread = apart.norm(dim=-1, keepdim=True)
        return (apart / spread.clamp_min(1e-300)).numpy(), (length * spread)[:, 0].numpy()

    @torch.no_grad()
    def bias_at(self, residual: Tensor) -> Tensor:
        """b = |z| m_i, [..., T, p]."""
        return residual.norm(dim=-1, keepdim=True) * self._picture_mean

    def directions(self, components: np.ndarray | Tensor) -> Tensor:
        """c_k for some words, [k, p], each of length 1."""
        return self._directions[torch.as_tensor(components, dtype=torch.long, device=self.device)]

    @torch.no_grad()
    def reconstruct_seen(self, seen: Tensor) -> Tensor:
        """z [..., p] -> C f + b."""
        return self.encode_seen(seen) @ self._directions + self.bias_at(seen)


def with_active(
    words: Sequence[str], texts: Tensor, pictures: Tensor, picture_mean: Tensor, active: float
) -> WordDictionary:
    """The words with the largest of PENALTIES at which that many are active in a picture, on average over image
    embeddings [n, p]; with the smallest where none of them lets so many be.
    """
    found = WordDictionary(words, texts, picture_mean, PENALTIES[-1])
    units, _ = found._split(pictures)
    weights: list[np.ndarray | None] = [None] * len(units)
    for penalty in PENALTIES:
        weights = [found._solved(unit, penalty, start) for unit, start in zip(units, weights, strict=True)]
        if sum(np.count_nonzero(w) for w in weights if w is not None) >= active * len(units):
            found.penalty = penalty
            break
    return found
