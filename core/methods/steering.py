"""Steering of the residual stream by an edit, an intervention on some components (SAE latents).

x'_t = x_t + sum_j (f'_tj - f_tj) v_j over the edit's components, for the tokens in scope.
Suppress: f' = 0. Scale: f' = a f. Set: f' = c, also where f was 0. What the dictionary misses stays in x
untouched, so an empty edit is exactly the identity, bit for bit, as is every token an edit does not change.
An edit lists only what the visitor changed: nothing that was not pulled is ever written. Only the rows of
W_dec in the edit are read.
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


@dataclass(frozen=True)
class Lever:
    """One component and what is done to it. Raises UserError for a strength that is no number or beyond 100."""

    component: int
    """Index into the dictionary."""
    operation: Operation = "suppress"
    """suppress, scale or set."""
    strength: float = 0.0
    """scale: a factor, without unit. set: the new activation, in the units of f. suppress: always 0."""
    family: int | None = None
    """The component whose family it was pulled with: levers of one family are shown, and moved, as one. None: alone."""

    def __post_init__(self) -> None:
        """Check and normalise, so that equal levers compare equal."""
        if self.operation not in get_args(Operation):
            raise UserError(f"There is no operation “{echo(self.operation)}”. Use suppress, scale or set.")
        for component in (self.component, *(() if self.family is None else (self.family,))):
            if component < 0:
                raise UserError(f"There is no component {component}. Components count from 0.")
        strength = 0.0 if self.operation == "suppress" else float(self.strength)
        if not math.isfinite(strength) or abs(strength) > MAX_STRENGTH:
            raise UserError(
                f"A strength of {strength:g} cannot be used. Give a number from {-MAX_STRENGTH:g} to {MAX_STRENGTH:g}."
            )
        object.__setattr__(self, "component", int(self.component))
        object.__setattr__(self, "strength", strength)
        object.__setattr__(self, "family", None if self.family is None else int(self.family))


@dataclass(frozen=True)
class Edit:
    """Levers and the tokens they act on.

    Raises UserError for two levers on a component, for levers of one family that differ, or for negative tokens.
    """

    levers: tuple[Lever, ...] = ()
    """In the order they were pulled; at most one for each component. The order does not change the result."""
    tokens: tuple[int, ...] | None = None
    """Ascending token indices (0 is CLS), or None for every token in the dictionary's scope."""

    def __post_init__(self) -> None:
        """Check and normalise, so that equal edits compare equal."""
        object.__setattr__(self, "levers", tuple(self.levers))
        seen: set[int] = set()
        for lever in self.levers:
            if lever.component in seen:
                raise UserError(f"Component {lever.component} has two levers in one edit. Keep one of them.")
            seen.add(lever.component)
        moves: dict[int, tuple[Operation, float]] = {}
        for lever in self.levers:
            move = (lever.operation, lever.strength)
            if lever.family is not None and moves.setdefault(lever.family, move) != move:
                raise UserError(
                    f"The levers of component {lever.family}'s family do not do the same. Give all of them one "
                    "operation and one strength, or pull them one by one."
                )
        if self.tokens is not None:
            tokens = tuple(sorted({int(token) for token in self.tokens}))
            if tokens and tokens[0] < 0:
                raise UserError(f"There is no token {tokens[0]}. Tokens count from 0, which is CLS.")
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

    def release(self, component: int) -> "Edit":
        """Without the lever on this component."""
        return replace(self, levers=tuple(lever for lever in self.levers if lever.component != component))

    def pull_family(
        self, family: int, members: Iterable[int], operation: Operation = "suppress", strength: float = 0.0
    ) -> "Edit":
        """With one lever for all `members`, the family of component `family`.

        Those that have a lever already keep its place, the others come at the end. Members it had before and that are
        not named any more are released.
        """
        new = {lever.component: lever for lever in (Lever(int(c), operation, strength, family) for c in members)}
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
    if levers and levers[-1].component >= activations.n_components:
        raise UserError(
            f"There is no component {levers[-1].component}: "
            f"this dictionary has {activations.n_components}, counted from 0."
        )
    if edit.tokens and edit.tokens[-1] >= n_tokens:
        raise UserError(
            f"There is no token {edit.tokens[-1]}: this picture has {n_tokens}, counted from 0, which is CLS."
        )
    scope = dictionary.tokens(n_tokens)
    chosen = np.isin(np.arange(n_tokens), scope if edit.tokens is None else [t for t in edit.tokens if t in scope])
    before = np.zeros((n_tokens, len(levers)), dtype=np.float32)
    after = before.copy()
    for k, lever in enumerate(levers):
        before[:, k] = f = activations.of(lever.component)
        wanted = lever.strength if lever.operation == "set" else lever.strength * f
        after[:, k] = np.where(chosen, wanted, f)
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
