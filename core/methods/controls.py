"""Energy-matched random controls of an edit, and permutation p-values: would any edit of its size do as much?

Controls do the same operations on random components, matched in number and in energy ||f_j|| ||v_j||, how much of the
residual stream they make up in this picture. Beside them stand random directions of the same norms, and the strongest
simple rival, the most energetic components. Where does the edit's effect lie among them?

The effect of an edit is y(after) - y(before), in the unit of the target y. Everything runs the layers after L only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..model.dictionary import Activations, Dictionary
from ..model.sae_clip import BATCH
from ..records import Preview, Record
from ..words import NONE, signed
from .question import Question
from .steering import MAX_STRENGTH, MAX_THRESHOLD, Edit, Lever, edited

NEIGHBOURS = 10
"""Each component of an edit is replaced by one of this many components closest to it in energy. A lone one has no more
different controls than neighbours, and takes as many neighbours as there are to be controls."""

DIRECTIONS = 32
"""Random directions an edit is compared with: one batch."""

CHANCE = 0.05
"""The p-value, against random components and against random directions, up to which an effect is beyond chance."""


_TRIES = 16
"""Controls drawn for each one wanted, since some come twice."""


@dataclass(frozen=True)
class _Active:
    """The components active on the tokens an edit acts on."""

    component: np.ndarray
    """int32 [n], ascending."""
    energy: np.ndarray
    """float32 [n]: ||f_j|| ||v_j|| over these tokens, in the units of x, above 0."""
    norm: np.ndarray
    """float64 [n]: ||v_j||."""


def _components(edit: Edit) -> np.ndarray:
    """The components of the levers, in their order, int64 [k]."""
    return np.array([lever.component for lever in edit.levers], dtype=np.int64)


def _norms(components: np.ndarray, dictionary: Dictionary) -> np.ndarray:
    """||v_j||, float64 [k]."""
    return dictionary.directions(components).norm(dim=-1).cpu().double().numpy()


def _active(activations: Activations, edit: Edit, dictionary: Dictionary) -> _Active:
    here = slice(None) if edit.tokens is None else np.isin(activations.token, edit.tokens)
    component, first = np.unique(activations.component[here], return_index=True)
    squares = activations.value[here].astype(np.float64) ** 2
    norm = _norms(component, dictionary)
    energy = (np.sqrt(np.add.reduceat(squares, first) if len(first) else squares) * norm).astype(np.float32)
    kept = energy > 0  # a direction of length 0 is no part of the residual
    return _Active(component[kept], energy[kept], norm[kept])


def _changes(activations: Activations, edit: Edit, dictionary: Dictionary) -> np.ndarray:
    """f'_tj - f_tj of an edit's levers, in their order, float32 [T, k]. Raises UserError as `steering.shift`."""
    after = edited(activations, edit, dictionary)
    columns = [after.of(lever.component) - activations.of(lever.component) for lever in edit.levers]
    return np.array(columns, dtype=np.float32).reshape(-1, activations.n_tokens).T


def _energies(activations: Activations, edit: Edit, dictionary: Dictionary) -> np.ndarray:
    """What each lever can change, ||f_j|| ||v_j|| over the tokens where it acts, float32 [k], in the units of x.

    Whether the edit's condition holds is left out: it holds for the edit and for its controls, or for none of them.
    """
    # What a lever can change is what suppressing its component takes away.
    suppressed = Edit(tuple(Lever(one.component, at_least=one.at_least) for one in edit.levers), edit.tokens)
    sizes = np.linalg.norm(_changes(activations, suppressed, dictionary).astype(np.float64), axis=0)
    return (sizes * _norms(_components(edit), dictionary)).astype(np.float32)


def _energies_above(activations: Activations, edit: Edit, active: _Active, floor: float) -> np.ndarray:
    """||f_j|| ||v_j|| of `active` over the tokens where f_tj ||v_j|| >= floor, float32 [n], in the units of x."""
    here = np.isin(activations.component, active.component)
    if edit.tokens is not None:
        here &= np.isin(activations.token, edit.tokens)
    at = np.searchsorted(active.component, activations.component[here])
    sizes = activations.value[here].astype(np.float64) * active.norm[at]
    squares = np.where(sizes >= floor, sizes**2, 0.0)
    return np.sqrt(np.bincount(at, squares, len(active.component))).astype(np.float32)


def _moved(lever: Lever, component: int, ratio: float) -> Lever:
    """The same operation on another component; what is set, and a threshold, `ratio` times as high, within bounds."""
    strength, at_least = lever.strength, lever.at_least
    if lever.operation == "set":
        strength = float(np.clip(strength * ratio, -MAX_STRENGTH, MAX_STRENGTH))
    if at_least is not None:
        at_least = float(np.clip(at_least * ratio, -MAX_THRESHOLD, MAX_THRESHOLD))
    return Lever(component, lever.operation, strength, at_least=at_least)


def _on_other_components(edit: Edit, components: np.ndarray, norms: np.ndarray, dictionary: Dictionary) -> list[Edit]:
    """The edit on other components: a row for each edit, a component for each lever or for the first ones.

    components int [n, k], their norms float [n, k]. A set lever of strength c gets c ||v_old|| / ||v_new||: the same
    size in the units of x. So does a lever's threshold.
    """
    ratios = _norms(_components(edit), dictionary)[: components.shape[1]] / norms
    return [
        replace(edit, levers=tuple(_moved(*move) for move in zip(edit.levers, row, ratio, strict=False)))
        for row, ratio in zip(components.tolist(), ratios.tolist(), strict=True)
    ]


def matched_controls(
    activations: Activations,
    edit: Edit,
    dictionary: Dictionary,
    draws: int,
    rng: np.random.Generator,
    neighbours: int = NEIGHBOURS,
    own: bool = False,
) -> list[Edit]:
    """`draws` times the same operations on the same tokens, on random components matched in number and in energy.

    The energy of a lever is the norm of what it can change, ||f_j|| ||v_j|| over the tokens where it acts. Each
    lever moves to one of the `neighbours` components nearest to it in energy, of those active on these tokens and not
    yet in the control, and, but for `own`, not in the edit; where fewer are left than the edit has levers, the control
    takes them all. A set lever keeps its size in the units of x, strength * ||v_j||, as far as strengths go, and a
    threshold its own. A condition stays as it is: it is about the picture.

    The most energetic components have neighbours on one side only: their controls are somewhat too weak.
    Raises UserError for a component the dictionary, or a token the picture, does not have.
    """
    components = _components(edit)
    energies = _energies(activations, edit, dictionary)
    active = _active(activations, edit, dictionary)
    others = np.flatnonzero(own | ~np.isin(active.component, components))
    k = min(len(components), len(others))
    picks = rng.integers(0, np.minimum(neighbours, len(others) - np.arange(k)), size=(draws, k))
    taken = np.zeros((draws, len(others)), dtype=bool)
    drawn = np.zeros((draws, k), dtype=np.int64)
    for i, lever in enumerate(edit.levers[:k]):
        theirs = active.energy
        if lever.at_least is not None:
            floor = lever.at_least * _norms(components[i : i + 1], dictionary)[0]
            theirs = _energies_above(activations, edit, active, floor)
        # No more than i of these are taken already, so that enough neighbours are left in every draw.
        near = np.argsort(np.abs(theirs[others] - energies[i]), kind="stable")[: neighbours + i]
        nth = np.cumsum(~taken[:, near], axis=1)
        drawn[:, i] = near[(nth > picks[:, i, None]).argmax(axis=1)]
        taken[np.arange(draws), drawn[:, i]] = True
    at = others[drawn]
    return _on_other_components(edit, active.component[at], active.norm[at], dictionary)


def by_activation(activations: Activations, edit: Edit, dictionary: Dictionary) -> Edit:
    """The strongest simple rival: the same operations on the components of the largest energy, the largest first.

    Energy is ||f_j|| ||v_j|| over the tokens the edit acts on. Components of the edit are allowed; a set lever keeps
    its size as in `matched_controls`. Fewer levers where fewer components are active.
    """
    active = _active(activations, edit, dictionary)
    at = np.argsort(-active.energy, kind="stable")[: len(edit.levers)]
    return _on_other_components(edit, active.component[at][None], active.norm[at][None], dictionary)[0]


@torch.no_grad()
def random_directions(
    residual: Tensor,
    activations: Activations,
    edit: Edit,
    dictionary: Dictionary,
    draws: int,
    rng: np.random.Generator,
) -> Tensor:
    """x [T, d] under the edit with every v_j a random direction of the same norm, [draws, T, d].

    f'_tj - f_tj stay as they are, and each draw has one direction for a component, the same at all tokens. Tokens the
    edit does not change keep their bits. Raises UserError as `steering.shift`.
    """
    steered = residual.expand(draws, *residual.shape).clone()
    change = _changes(activations, edit, dictionary)
    touched = np.flatnonzero(change.any(axis=1))
    if len(touched):
        v = rng.standard_normal((draws, len(edit.levers), residual.shape[1]))
        v *= (_norms(_components(edit), dictionary) / np.linalg.norm(v, axis=-1))[..., None]
        directions, factors = (torch.as_tensor(array).to(residual) for array in (v, change[touched]))
        steered[:, torch.as_tensor(touched, device=residual.device)] += factors @ directions
    return steered


@dataclass(frozen=True, eq=False, repr=False)
class Controls(Record):
    """The effect of an edit among those of its controls.

    Chance means: how far from the middle of the controls' effects does the effect of an edit lie that picks its
    components blindly, as many, of about this energy, in this picture, and does the same to them? An effect is beyond
    chance when few of the controls lie as far out as it, and as few of the random directions: a picture may have no
    other component of such energy (`energy` tells), and weak controls are easily surpassed. That says that the choice
    of components matters to the target here; it does not say that the effect is large, wanted, or the same on another
    picture.

    Controls may hold some of the edit's own components, though not all: a blind pick can hit one that matters, and if
    controls could not, such a pick would look like a choice. An edit whose components were chosen among many by their
    measured effect is more often beyond chance than `p_value` says.
    """

    effect: float
    """Of the edit, y(after) - y(before), in `unit`."""
    random: np.ndarray
    """float32 [n]: the effects of n different matched controls, in `unit`; none where the picture has fewer other
    active components than the edit has levers."""
    directions: np.ndarray
    """float32 [m]: the effects of random directions of the same norms, in `unit`."""
    rival: float
    """The effect of the same operations on the most energetic components, in `unit`."""
    rival_edit: Edit
    """That edit."""
    energy: float | None
    """The median energy of the matched controls as a share of the edit's, sqrt(sum_j ||f_j||^2 ||v_j||^2) each; None
    without controls, or for an edit of components that are not active."""
    unit: str
    """Of the target."""

    @property
    def percentile(self) -> float:
        """The share of controls whose effect is below the edit's, 0 to 100, equals counting half; nan without any."""
        if not len(self.random):
            return float("nan")
        below, equal = (self.random < self.effect).mean(), (self.random == self.effect).mean()
        return float(100 * (below + equal / 2))

    @property
    def p_value(self) -> float:
        """(1 + controls at least as far from their median as the effect is) / (n + 1): two-sided, by rank.

        The edit counts as one of its own controls, so that p is never 0 ("Permutation P-values Should Never Be Zero",
        Phipson and Smyth, 2010), and is 1 without any.
        """
        return _rank_p(self.effect, self.random)

    @property
    def p_directions(self) -> float:
        """The same among the random directions."""
        return _rank_p(self.effect, self.directions)

    @property
    def beyond_chance(self) -> bool:
        """Whether both p-values are at most 0.05; never so with fewer than 19 of either kind."""
        return max(self.p_value, self.p_directions) <= CHANCE

    def preview(self) -> Preview:
        """The effect beside those of its controls."""

        def row(name: str, effects: np.ndarray, p_value: str) -> tuple[str, ...]:
            ends = [signed(float(end)) for end in np.quantile(effects, (0, 0.5, 1))] if len(effects) else [NONE] * 3
            return (name, str(len(effects)), *ends, p_value)

        rows = [
            row("matched components", self.random, f"{self.p_value:.3f}"),
            row("random directions", self.directions, f"{self.p_directions:.3f}"),
            row("most energetic components", np.array([self.rival]), NONE),
        ]
        said = "beyond chance" if self.beyond_chance else "not beyond chance"
        heads = ("control", "number", "lowest", "median", "highest", "p")
        return Preview(f"An effect of {signed(self.effect)} {self.unit}, {said}", heads, rows)


def _rank_p(effect: float, others: np.ndarray) -> float:
    if not len(others):
        return 1.0
    values = others.astype(np.float64)
    middle = np.median(values)
    as_far = np.abs(values - middle) >= abs(effect - middle)
    return float((1 + as_far.sum()) / (len(values) + 1))


def ask_for_a_lever(edit: Edit) -> None:
    """Raise UserError for an empty edit."""
    if not edit.levers:
        raise UserError("Pull a lever first: an edit of nothing has no effect to test.")


def _distinct(edits: Sequence[Edit]) -> list[Edit]:
    """Each set of levers once."""
    return list({frozenset(edit.levers): edit for edit in edits}.values())


def controls(question: Question, edit: Edit, draws: int = 64, seed: int = 0) -> Iterator[Controls]:
    """The edit's effect among those of its controls, after every batch of 32.

    The last one holds `DIRECTIONS` random directions and at most `draws` matched controls, no two of them the same:
    fewer where the picture has no more. Raises UserError for an empty edit, for a target that is not among the classes,
    and as `steering.shift`; as with any generator, when the first is asked for.
    """
    ask_for_a_lever(edit)
    rng = np.random.default_rng(seed)
    dictionary, f = question.model.dictionary, question.trace.activations
    several = len(edit.levers) > 1
    reach = NEIGHBOURS if several else max(1, draws)
    drawn = matched_controls(f, edit, dictionary, _TRIES * draws, rng, reach, own=several)
    # A control of fewer levers would be no match, and one that is drawn twice counts once: it is no second witness.
    itself = set(_components(edit).tolist())
    matched = _distinct(
        [one for one in drawn if len(one.levers) == len(itself) and set(_components(one).tolist()) != itself]
    )[:draws]
    energy = _relative_energy(f, edit, matched, dictionary)
    rival_edit = by_activation(f, edit, dictionary)
    edits, unit = [edit, rival_edit, *matched], question.target.UNIT
    measured, directions = np.zeros((2, 0), dtype=np.float32)
    for start in range(0, len(edits), BATCH):
        part = question.effects(question.steered(edits[start : start + BATCH]))
        measured = np.concatenate([measured, part])
        yield Controls(float(measured[0]), measured[2:], directions, float(measured[1]), rival_edit, energy, unit)
    x = question.model.residual(question.trace)
    directions = question.effects(random_directions(x, f, edit, dictionary, DIRECTIONS, rng))
    yield Controls(float(measured[0]), measured[2:], directions, float(measured[1]), rival_edit, energy, unit)


def _relative_energy(
    activations: Activations, edit: Edit, others: Sequence[Edit], dictionary: Dictionary
) -> float | None:
    """The median energy of other edits as a share of this one's; None where that is of nothing."""

    def size(one: Edit) -> float:
        return float(np.linalg.norm(_energies(activations, one, dictionary).astype(np.float64)))

    return float(np.median([size(one) for one in others]) / size(edit)) if others and size(edit) else None
