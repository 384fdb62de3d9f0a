"""Attribution of the target y (`core.methods.targets`) to the components (SAE latents).

1. `gradient`: A_tj = f_tj <v_j, dy/dx_t>, activation x gradient, for ALL active pairs from one forward and
   one backward through the layers after L ("From What to How", arXiv 2505.20229; as attribution patching with
   a zero reference). A_j = sum_t A_tj. To first order nothing is lost: the components, the dictionary's
   error, its bias and the tokens out of its scope add up to <x, dy/dx>.
2. `integrated`: the same with the gradient averaged along f -> 0, the error kept ("Axiomatic Attribution for
   Deep Networks", arXiv 1703.01365), so that sum_j A_j is y(x) minus y with every component off.
3. `ablation_effects`: what the model did, the ground truth: y(x) - y(x - sum_t f_tj v_j), one j at a time.

`attributions` is the first of these for many pictures, each with a target of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor

from ..model.clip import logits
from ..model.dictionary import CHUNK, Activations, Dictionary
from ..model.sae_clip import BATCH, SaeClip
from ..model.trace import Trace
from ..records import Preview, Record
from ..words import count, decimal, in_percent, signed
from .question import Question
from .steering import Edit
from .targets import Target

Method = Literal["gradient", "integrated"]
"""How contributions are computed."""

N_STEPS = 32
SHOWN = 5
"""Components of either sign in a printed table."""


@dataclass(frozen=True)
class Completeness:
    """Where the target's value goes, in its unit.

    gradient: components + error + bias + rest = whole = <x, dy/dx>, exactly. (This is not y(x): the layers
    after the place are not linear.) integrated: components = whole = y(x) - y(x with every component off), up to the
    steps of the integral; error, bias and rest have no part of that difference and are None.
    """

    components: float
    """sum_j A_j."""
    whole: float
    """What the parts have to add up to."""
    error: float | None = None
    """<e, dy/dx>: what flows through what the dictionary misses of what it reads. No component explains it."""
    bias: float | None = None
    """<b_t, dy/dx_t>, over the tokens in scope: what the dictionary has there with every component off."""
    rest: float | None = None
    """What flows past the dictionary: <x_t, dy/dx_t> over the tokens out of its scope, and, where it reads a part s of
    x alone (the MLP's output), <x_t - s_t, dy/dx_t> over those in scope."""

    @property
    def gap(self) -> float:
        """whole minus the sum of the parts: for "integrated" the steps of the integral, otherwise rounding alone."""
        return self.whole - self.components - sum(part or 0.0 for part in (self.error, self.bias, self.rest))

    @property
    def error_share(self) -> float | None:
        """|error| / (|components| + |error| + |bias| + |rest|), 0 to 1; None for "integrated"."""
        if self.error is None:
            return None
        parts = sum(abs(part or 0.0) for part in (self.components, self.error, self.bias, self.rest))
        return abs(self.error) / parts if parts else 0.0


@dataclass(frozen=True, eq=False, repr=False)
class Attribution(Record):
    """The contribution of every active component to the target."""

    target: Target
    """What was explained."""
    value: float
    """y(x), in the target's unit, as is all else that follows from it."""
    method: Method
    """gradient or integrated."""
    component: np.ndarray
    """int32 [k]: the active components, ascending."""
    total: np.ndarray
    """float32 [k]: A_j; positive speaks for the target, negative against it."""
    pair: np.ndarray
    """float32 [n]: A_tj for every pair of the trace's activations, in their order."""
    peak: np.ndarray
    """float32 [k]: the activation of largest size over tokens, with its sign, in the units of f."""
    energy: np.ndarray
    """float32 [k]: ||f_j|| ||v_j||, how much of the residual stream is component j, in the units of x."""
    completeness: Completeness
    """Where the target's value goes, and the share of it no component can explain."""

    def total_of(self, component: int) -> float:
        """A_j; 0 for a component that is not active."""
        at = int(np.searchsorted(self.component, component))
        return float(self.total[at]) if at < len(self.component) and self.component[at] == component else 0.0

    def ranked(self) -> np.ndarray:
        """The active components from the strongest for the target to the strongest against it, int32 [k]."""
        return self.component[np.argsort(-self.total, kind="stable")]

    def strongest_for(self, k: int) -> np.ndarray:
        """At most k components that speak for the target (A_j > 0), the strongest first, int32."""
        return self.ranked()[: min(k, int((self.total > 0).sum()))]

    def strongest_against(self, k: int) -> np.ndarray:
        """At most k components that speak against the target (A_j < 0), the strongest first, int32."""
        return self.ranked()[::-1][: min(k, int((self.total < 0).sum()))]

    def preview(self) -> Preview:
        """The components that speak most for the target, and most against it."""
        shown = [*self.strongest_for(SHOWN).tolist(), *self.strongest_against(SHOWN).tolist()[::-1]]
        at = np.searchsorted(self.component, shown)
        rows = [
            (f"#{j}", signed(total), decimal(peak))
            for j, total, peak in zip(shown, self.total[at].tolist(), self.peak[at].tolist(), strict=True)
        ]
        share = self.completeness.error_share
        missed = "" if share is None else f", {in_percent(share)} through what the dictionary misses"
        value = f"{decimal(self.value)} {self.target.UNIT}"
        title = f"{self.target.words}: {value}; {count(len(self.component), 'active component')}"
        return Preview(f"{title}{missed}", ("component", "attribution", "peak"), rows)


def pair_contributions(
    token: np.ndarray, component: np.ndarray, value: np.ndarray, gradient: Tensor, dictionary: Dictionary
) -> np.ndarray:
    """f_tj <v_j, g_t> for n pairs of a token, which is a row of g [T, d], and a component: float64 [n]."""
    parts = [np.zeros(0)]
    step = max(1, CHUNK // dictionary.width)
    for start in range(0, len(token), step):
        part = slice(start, start + step)
        g = gradient[torch.as_tensor(token[part], dtype=torch.long, device=gradient.device)]
        slope = (g * dictionary.directions(component[part])).sum(-1)
        parts.append(slope.cpu().double().numpy() * value[part])
    return np.concatenate(parts)


def _pairs(f: Activations, gradient: Tensor, dictionary: Dictionary) -> np.ndarray:
    """The same of the active pairs of one picture."""
    return pair_contributions(f.token, f.component, f.value, gradient, dictionary)


def attribute(question: Question, method: Method = "gradient", n_steps: int = N_STEPS) -> Attribution:
    """Contributions of all components to the question's target.

    `n_steps` is the number of points of the integral (midpoint rule), used by "integrated" alone. Raises
    UserError for a target that is not among the classes.
    """
    dictionary, f = question.model.dictionary, question.trace.activations
    x, seen = question.model.residual(question.trace), question.model.seen(question.trace)
    (value,), (gradient,) = question.gradients(x[None])
    if method == "gradient":
        pair = _pairs(f, gradient, dictionary)
        whole = (x * gradient).cpu().double().sum(-1).sum().item()
        scope = list(dictionary.tokens(f.n_tokens))
        bias = (dictionary.bias_at(seen)[scope] * gradient[scope]).cpu().double().sum().item()
        components = float(pair.sum())
        inside = (seen * gradient).cpu().double().sum(-1)[scope].sum().item()
        completeness = Completeness(
            components=components,
            whole=whole,
            error=inside - components - bias,  # <s - s_hat, g> without decoding s_hat
            bias=bias,
            rest=whole - inside,
        )
    else:
        mean, without = _path(question, x, dictionary.decode(f), n_steps)
        pair = _pairs(f, mean, dictionary)
        completeness = Completeness(components=float(pair.sum()), whole=value.item() - without)
    component, first = np.unique(f.component, return_index=True)
    return Attribution(
        target=question.target,
        value=value.item(),
        method=method,
        component=component,
        total=_sums(pair, first).astype(np.float32),
        pair=pair.astype(np.float32),
        peak=_peaks(f.value, first),
        energy=_energy(f, component, first, dictionary),
        completeness=completeness,
    )


def attributions(
    model: SaeClip, traces: Sequence[Trace], classifier: Tensor, targets: Sequence[Target], batch: int = BATCH
) -> Iterator[sparse.csr_array]:
    """A_j of every component in many pictures, each for its own target, by activation x gradient.

    Float64 [B, m], sparse, for every batch of them in turn: one forward and one backward through the layers after L.
    Raises UserError for a target that is not among the classes of the unit vectors [C, p].
    """
    for start in range(0, len(traces), batch):
        some = traces[start : start + batch]
        with torch.enable_grad():
            x = torch.stack([model.residual(trace) for trace in some]).requires_grad_()
            z = model.clip.embed_from_residual(x)
            y, units = logits(z, classifier, model.clip.scoring), F.normalize(z, dim=-1)
            some_targets = targets[start : start + batch]
            values = [target.of(*each) for target, *each in zip(some_targets, y, units, strict=True)]
            (gradient,) = torch.autograd.grad(torch.stack(values).sum(), x)
        rows, columns, sums = [], [], []
        for row, (trace, g) in enumerate(zip(some, gradient, strict=True)):
            component, first = np.unique(trace.activations.component, return_index=True)
            rows.append(np.full(len(component), row))
            columns.append(component.astype(np.int64))
            sums.append(_sums(_pairs(trace.activations, g, model.dictionary), first))
        place = np.concatenate(rows), np.concatenate(columns)
        yield sparse.csr_array((np.concatenate(sums), place), shape=(len(some), model.dictionary.n_components))


def _path(question: Question, x: Tensor, decoded: Tensor, n_steps: int) -> tuple[Tensor, float]:
    """The mean of dy/dx [T, d] along x - (1 - a) decoded, a from 0 to 1, and y at a = 0."""
    off = x - decoded
    total = torch.zeros_like(x)
    for batch in torch.split((torch.arange(n_steps) + 0.5) / n_steps, BATCH):
        points = off + batch.to(x)[:, None, None] * decoded
        total += question.gradients(points)[1].sum(0)
    with torch.no_grad():
        without = question.values(off[None]).item()
    return total / n_steps, without


def _sums(pair: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Sums over each component's pairs, which start at `first`."""
    return np.add.reduceat(pair, first) if len(first) else np.zeros(0)


def _peaks(value: np.ndarray, first: np.ndarray) -> np.ndarray:
    if not len(first):
        return np.zeros(0, dtype=np.float32)
    high, low = np.maximum.reduceat(value, first), np.minimum.reduceat(value, first)
    return np.where(high >= -low, high, low)


def _energy(f: Activations, component: np.ndarray, first: np.ndarray, dictionary: Dictionary) -> np.ndarray:
    norms = dictionary.directions(component).norm(dim=-1).cpu().double().numpy()
    return (np.sqrt(_sums(f.value.astype(np.float64) ** 2, first)) * norms).astype(np.float32)


@torch.no_grad()
def ablation_effects(question: Question, components: Sequence[int] | np.ndarray, batch: int = BATCH) -> np.ndarray:
    """y(x) - y(x without component j on any token), float32 [k]: positive if j held y up.

    Exact ablation, one component at a time, `batch` of them in one forward. A component that is not active
    has exactly no effect, and costs no forward.
    """
    effects = np.zeros(len(components), dtype=np.float32)
    value = question.value
    active = np.flatnonzero(np.isin(components, question.trace.activations.component))
    for start in range(0, len(active), batch):
        part = active[start : start + batch]
        edits = [Edit.of_suppressed([int(components[i])]) for i in part]
        y = question.values_of(question.embeddings_under(edits))
        effects[part] = value - y.cpu().double().numpy()
    return effects
