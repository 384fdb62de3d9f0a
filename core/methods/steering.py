"""Steering of the residual stream by an edit, an intervention on some components (SAE latents).

x'_t = x_t + sum_j (f'_tj - f_tj) v_j over the edit's components, for the tokens in scope.
Suppress: f' = 0. Scale: f' = a f. Set: f' = c, also where f was 0. What the dictionary misses stays in x
untouched, so an empty edit is exactly the identity, bit for bit, as is every token an edit does not change.
An edit lists only what the visitor changed: nothing that was not pulled is ever written. Only the rows of
W_dec in the edit are read.

A conditional edit acts only where it should: a lever at the tokens where f_tj reaches its threshold, and the whole
edit in the pictures where a weighted sum of activations, each the largest over the tokens, reaches the condition's.
Both look at f as it was read, before any lever. Where an edit does not act it is exactly the identity, too.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError, echo
from ..model.dictionary import Activations, Dictionary
from ..model.sae_clip import SaeClip
from ..model.trace import Trace

Operation = Literal["suppress", "scale", "set"]
"""What a lever does to an activation f: 0, strength * f, or strength."""

MAX_STRENGTH = 100.0
MAX_LEVERS = 256
"""Of an edit that a visitor or a program gives: each costs a row of the dictionary at every move."""
MAX_TERMS = 64
"""Of a condition."""
MAX_THRESHOLD = 1e6
"""Of a condition's threshold, a lever's, and the weight of a term, either way."""


def _bounded(value: float, what: str) -> float:
    """The number itself. Raises UserError for one that is none, or beyond `MAX_THRESHOLD`."""
    number = float(value)
    if not math.isfinite(number) or abs(number) > MAX_THRESHOLD:
        raise UserError(
            f"A {what} of {number:g} cannot be used. Give a number from {-MAX_THRESHOLD:,.0f} to {MAX_THRESHOLD:,.0f}."
        )
    return number


def _index(component: int) -> int:
    """The number itself. Raises UserError for a negative one."""
    if component < 0:
        raise UserError(f"There is no component {component}. Components count from 0.")
    return int(component)


@dataclass(frozen=True)
class Lever:
    """One component and what is done to it.

    Raises UserError for a strength that is no number or beyond 100, and for such a threshold beyond a million.
    """

    component: int
    """Index into the dictionary."""
    operation: Operation = "suppress"
    """suppress, scale or set."""
    strength: float = 0.0
    """scale: a factor, without unit. set: the new activation, in the units of f. suppress: always 0."""
    family: int | None = None
    """The component whose family it was pulled with: levers of one family are shown, and moved, as one. None: alone."""
    at_least: float | None = None
    """It acts only at tokens where the activation was f_tj >= at_least, in the units of f. None: at all of them."""

    def __post_init__(self) -> None:
        """Check and normalise, so that equal levers compare equal."""
        if self.operation not in get_args(Operation):
            raise UserError(f"There is no operation “{echo(self.operation)}”. Use suppress, scale or set.")
        strength = 0.0 if self.operation == "suppress" else float(self.strength)
        if not math.isfinite(strength) or abs(strength) > MAX_STRENGTH:
            raise UserError(
                f"A strength of {strength:g} cannot be used. Give a number from {-MAX_STRENGTH:g} to {MAX_STRENGTH:g}."
            )
        object.__setattr__(self, "component", _index(self.component))
        object.__setattr__(self, "strength", strength)
        object.__setattr__(self, "family", None if self.family is None else _index(self.family))
        if self.at_least is not None:
            object.__setattr__(self, "at_least", _bounded(self.at_least, "threshold"))


@dataclass(frozen=True)
class Term:
    """One component in a condition: weight times the largest of its activations over the tokens in scope.

    Raises UserError for a weight that is no number, or beyond a million.
    """

    component: int
    """Index into the dictionary."""
    weight: float = 1.0
    """Per unit of f; negative for a component whose firing speaks against acting."""

    def __post_init__(self) -> None:
        """Check and normalise, so that equal terms compare equal."""
        object.__setattr__(self, "component", _index(self.component))
        object.__setattr__(self, "weight", _bounded(self.weight, "weight"))


@dataclass(frozen=True)
class Condition:
    """In which pictures an edit acts: where sum_j w_j max_t f_tj >= at_least, over the tokens t in scope.

    Raises UserError for no term, more than 64, two on one component, or a threshold that is no number or beyond a
    million.
    """

    terms: tuple[Term, ...]
    """In the order they are shown, and added up."""
    at_least: float
    """The threshold, in the units of the weighted sum."""

    def __post_init__(self) -> None:
        """Check and normalise, so that equal conditions compare equal."""
        object.__setattr__(self, "terms", tuple(self.terms))
        object.__setattr__(self, "at_least", _bounded(self.at_least, "threshold"))
        if not 0 < len(self.terms) <= MAX_TERMS:
            raise UserError(f"A condition has from 1 to {MAX_TERMS} components, not {len(self.terms):,}.")
        named = [term.component for term in self.terms]
        if len(set(named)) < len(named):
            raise UserError("A condition names a component twice. Keep one of them.")

    @property
    def components(self) -> np.ndarray:
        """The components of the terms, in their order, int64 [k]."""
        return np.array([term.component for term in self.terms], dtype=np.int64)

    def score(self, pooled: np.ndarray) -> np.ndarray:
        """The weighted sums of many pictures, float64 [...], of the components' pooled activations [..., k].

        They are added up term by term, in float64: a picture has the same score alone and among others.
        """
        total = np.zeros(pooled.shape[:-1])
        for k, term in enumerate(self.terms):
            total = total + term.weight * pooled[..., k].astype(np.float64)
        return total


@dataclass(frozen=True)
class Edit:
    """Levers, the tokens they act on, and the pictures.

    Raises UserError for two levers on a component, for levers of one family that differ, or for negative tokens.
    """

    levers: tuple[Lever, ...] = ()
    """In the order they were pulled; at most one for each component. The order does not change the result."""
    tokens: tuple[int, ...] | None = None
    """Ascending token indices (0 is CLS), or None for every token in the dictionary's scope."""
    condition: Condition | None = None
    """In which pictures it acts. It is asked of the whole picture, whatever the tokens. None: in all of them."""

    def __post_init__(self) -> None:
        """Check and normalise, so that equal edits compare equal."""
        object.__setattr__(self, "levers", tuple(self.levers))
        seen: set[int] = set()
        for lever in self.levers:
            if lever.component in seen:
                raise UserError(f"Component {lever.component} has two levers in one edit. Keep one of them.")
            seen.add(lever.component)
        moves: dict[int, tuple[Operation, float, float | None]] = {}
        for lever in self.levers:
            move = (lever.operation, lever.strength, lever.at_least)
            if lever.family is not None and moves.setdefault(lever.family, move) != move:
                raise UserError(
                    f"The levers of component {lever.family}'s family do not do the same. Give all of them one "
                    "operation, one strength and one threshold, or pull them one by one."
                )
        if self.tokens is not None:
            tokens = tuple(sorted({int(token) for token in self.tokens}))
            if tokens and tokens[0] < 0:
                raise UserError(f"There is no token {tokens[0]}. Tokens count from 0.")
            object.__setattr__(self, "tokens", tokens)

    @classmethod
    def of_suppressed(cls, components: Iterable[int]) -> "Edit":
        """Suppress these components on all tokens in scope."""
        return cls(tuple(Lever(int(component)) for component in components))

    def pull(self, lever: Lever) -> "Edit":
        """With this lever: in place of the one on its component, or else at the end."""
        if any(old.component == lever.component for old in self.levers):
            return replace(
                self, levers=tuple(lever if old.component == lever.component else old for old in self.levers)
            )
        return replace(self, levers=(*self.levers, lever))

    def moved(self, levers: Iterable[Lever]) -> "Edit":
        """With these levers in place of its own. Each keeps the threshold of the one on its component, if there is one.

        The tokens and the condition stay: a slider says what a lever does, not where.
        """
        at_least = {old.component: old.at_least for old in self.levers}
        return replace(
            self,
            levers=tuple(replace(lever, at_least=at_least.get(lever.component, lever.at_least)) for lever in levers),
        )

    def release(self, component: int) -> "Edit":
        """Without the lever on this component."""
        return replace(self, levers=tuple(lever for lever in self.levers if lever.component != component))

    def pull_family(
        self, family: int, members: Iterable[int], operation: Operation = "suppress", strength: float = 0.0
    ) -> "Edit":
        """With one lever for all `members`, the family of component `family`.

        Those that have a lever already keep its place, the others come at the end. Members it had before and that are
        not named any more are released. It keeps the threshold of the lever that this family, or `family` itself, had.
        """
        own = (old.at_least for old in self.levers if family in (old.family, old.component))
        at_least = next(own, None)
        new = {c: Lever(c, operation, strength, family, at_least) for c in map(int, members)}
        kept = [new.pop(old.component, old) for old in self.levers if old.component in new or old.family != family]
        return replace(self, levers=(*kept, *new.values()))

    def release_family(self, component: int) -> "Edit":
        """Without the levers that are moved as one with the lever on this component, itself included."""
        released = {lever.component for lever in self.group_of(component)}
        return replace(self, levers=tuple(lever for lever in self.levers if lever.component not in released))

    def group_of(self, component: int) -> tuple[Lever, ...]:
        """The levers that are moved as one with the lever on this component, itself included; none without one."""
        return next((group for group in self.groups() if component in [lever.component for lever in group]), ())

    def groups(self) -> tuple[tuple[Lever, ...], ...]:
        """The levers as they are shown, and moved: those of one family together, where the first of them stands."""
        found: dict[tuple[bool, int], list[Lever]] = {}
        for lever in self.levers:
            alone = lever.family is None
            found.setdefault((alone, lever.component if lever.family is None else lever.family), []).append(lever)
        return tuple(map(tuple, found.values()))

    @property
    def n_groups(self) -> int:
        """How many levers a reader counts: a family is one."""
        return len(self.groups())

    def among(self, tokens: Iterable[int] | None) -> "Edit":
        """The same levers, on these tokens only (None: all tokens in the dictionary's scope)."""
        return replace(self, tokens=None if tokens is None else tuple(tokens))


def check_size(edit: Edit) -> Edit:
    """The edit itself. Raises UserError for more than 256 levers: that many are taken here, but not from outside."""
    if len(edit.levers) > MAX_LEVERS:
        raise UserError(
            f"These are {len(edit.levers):,} levers. Keep at most {MAX_LEVERS}: release some, or pull a smaller family."
        )
    return edit


def acts(activations: Activations, edit: Edit, dictionary: Dictionary) -> bool:
    """Whether the edit's condition holds in this picture; an edit without one acts in all of them."""
    if edit.condition is None:
        return True
    scope = dictionary.tokens(activations.n_tokens)
    here = slice(scope.start, scope.stop)
    pooled = np.array([activations.of(j)[here].max(initial=-np.inf) for j in edit.condition.components.tolist()])
    return bool(edit.condition.score(pooled) >= edit.condition.at_least)


def pooled(activations: Activations, dictionary: Dictionary) -> np.ndarray:
    """max_t f_tj over the tokens in scope, of every component, float32 [m]: what conditions are asked of."""
    found = np.zeros(activations.n_components, dtype=np.float32)
    components, first, pairs = np.unique(activations.component, return_index=True, return_counts=True)
    if len(components):
        largest = np.maximum.reduceat(activations.value, first)
        everywhere = pairs == len(dictionary.tokens(activations.n_tokens))  # elsewhere some token has an f of 0
        found[components] = np.where(everywhere, largest, np.maximum(largest, 0))
    return found


@dataclass(frozen=True)
class _Plan:
    """What an edit does to the activations of its own components."""

    components: np.ndarray
    """int [k], ascending."""
    before: np.ndarray
    """f, float32 [T, k]."""
    after: np.ndarray
    """f', float32 [T, k]."""


def _plan(activations: Activations, edit: Edit, dictionary: Dictionary) -> _Plan:
    levers = sorted(edit.levers, key=lambda lever: lever.component)
    n_tokens = activations.n_tokens
    asked = [] if edit.condition is None else edit.condition.components.tolist()
    last = max([*(lever.component for lever in levers), *asked], default=-1)
    if last >= activations.n_components:
        raise UserError(
            f"There is no component {last}: this dictionary has {activations.n_components}, counted from 0."
        )
    if edit.tokens and edit.tokens[-1] >= n_tokens:
        raise UserError(f"There is no token {edit.tokens[-1]}: this picture has {n_tokens}, counted from 0.")
    scope = dictionary.tokens(n_tokens) if acts(activations, edit, dictionary) else range(0)
    chosen = np.isin(np.arange(n_tokens), scope if edit.tokens is None else [t for t in edit.tokens if t in scope])
    before = np.zeros((n_tokens, len(levers)), dtype=np.float32)
    after = before.copy()
    for k, lever in enumerate(levers):
        before[:, k] = f = activations.of(lever.component)
        wanted = lever.strength if lever.operation == "set" else lever.strength * f
        after[:, k] = np.where(chosen if lever.at_least is None else chosen & (f >= lever.at_least), wanted, f)
    return _Plan(np.array([lever.component for lever in levers], dtype=np.int64), before, after)


def edited(activations: Activations, edit: Edit, dictionary: Dictionary) -> Activations:
    """f' as the edit sets it; encoding x' anew would not give it back exactly. Raises UserError as `shift`."""
    plan = _plan(activations, edit, dictionary)
    kept = ~np.isin(activations.component, plan.components)
    token, k = np.nonzero(plan.after)
    tokens = np.concatenate([activations.token[kept], token.astype(np.int32)])
    components = np.concatenate([activations.component[kept], plan.components[k].astype(np.int32)])
    values = np.concatenate([activations.value[kept], plan.after[token, k]])
    order = np.lexsort((tokens, components))
    return replace(activations, token=tokens[order], component=components[order], value=values[order])


@torch.no_grad()
def shift(activations: Activations, edit: Edit, dictionary: Dictionary) -> Tensor:
    """What the edit adds to the residual: sum_j (f'_tj - f_tj) v_j, [T, d], 0 at tokens it does not change.

    Raises UserError for a component the dictionary, or a token the picture, does not have. Tokens outside the
    dictionary's scope are left alone.
    """
    plan = _plan(activations, edit, dictionary)
    v = dictionary.directions(plan.components)
    return torch.as_tensor(plan.after - plan.before).to(v) @ v


@torch.no_grad()
def steer(residual: Tensor, activations: Activations, edits: Sequence[Edit], dictionary: Dictionary) -> Tensor:
    """x [T, d] under each edit, [len(edits), T, d]. Tokens an edit does not change keep their bits.

    Raises UserError as `shift`.
    """
    steered = residual.expand(len(edits), *residual.shape).clone()
    for x, edit in zip(steered, edits, strict=True):
        plan = _plan(activations, edit, dictionary)
        change = plan.after - plan.before
        touched = np.flatnonzero(change.any(axis=1))
        if len(touched):
            v = dictionary.directions(plan.components)
            x[torch.as_tensor(touched, device=x.device)] += torch.as_tensor(change[touched]).to(v) @ v
    return steered


def steered(model: SaeClip, trace: Trace, edits: Sequence[Edit]) -> Tensor:
    """x of a picture under each edit, [len(edits), T, d]. Raises UserError as `shift`."""
    return steer(model.residual(trace), trace.activations, edits, model.dictionary)
