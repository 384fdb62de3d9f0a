"""Conditions of an edit, found and proved on pictures: where it may act so that it breaks few that were right.

1. Discovery, on one part of the pictures: a weighted sum of pooled activations that is high where the unconditional
   edit repairs, and low where it breaks. The best single component; or logistic regression, repaired against broken,
   with an L2 penalty, of all components, and then the few that come nearest to what it says.
2. Choice, on a second part: a threshold for the sum, from "never acts" down to "acts in all pictures", by Learn then
   Test (`bounds`), so that the edit breaks at most a stated share with a stated confidence, though these pictures
   chose. Only one sum is tried: of several, each would have a part of what may go wrong.
3. Judgement, on a third part: what the conditional edit does there, with Clopper-Pearson bounds.

What an edit does where it acts does not depend on the threshold. So all that is needed of a picture is its pooled
activations and what the unconditional edit does to it: every threshold, and every redrawn set, is arithmetic on these.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..model.dictionary import Dictionary
from ..records import Preview, Record
from ..words import count, percent
from .bounds import check_share, learn_then_test, lower_bound, most_allowed, pictures_needed, upper_bound
from .generalization import Generalization
from .picture_set import PictureSet, split
from .steering import MAX_TERMS, Condition, Term, pooled

RATE, CONFIDENCE = 0.02, 0.95
"""What is promised where nothing else is asked for: at most 2 % broken, with confidence 95 %."""
TERMS = 5
"""The most components of a condition where nothing else is asked for: as many as one reads at a glance."""
SHARES = (0.4, 0.4, 0.2)
"""Of the pictures, for discovery, choice and judgement."""

_EVEN = 0.25
"""How far the regression takes components as equals: 0 in the units they have, 1 in their standard deviations."""
_FIT = 5.0
"""How far the regression follows the pictures: C of scikit-learn, for activations of a total variance of 1."""
_SHRINK = 0.03
"""Ridge of the few terms that stand for it, in sums of squares of the component that varies most."""


@dataclass(frozen=True, eq=False, repr=False)
class Outcomes(Record):
    """What an edit without a condition does to each of many pictures, and what a condition can be asked of there."""

    pooled: np.ndarray
    """float32 [N, m]: max_t f_tj over the tokens in scope (`steering.pooled`)."""
    right: np.ndarray
    """bool [N]: right without the edit."""
    wrong: np.ndarray
    """bool [N]: wrong without it; a picture without a label is neither."""
    fixed: np.ndarray
    """bool [N]: wrong without the edit and right with it."""
    broken: np.ndarray
    """bool [N]: right without it and wrong with it."""

    @classmethod
    def of(cls, pictures: PictureSet, trial: Generalization, dictionary: Dictionary) -> "Outcomes":
        """Of an edit without a condition, tried on these pictures."""
        marks = np.zeros((2, len(pictures)), dtype=bool)
        marks[0, trial.fixed], marks[1, trial.broken] = True, True
        rows = [pooled(trace.activations, dictionary) for trace in pictures.traces]
        return cls(np.stack(rows), pictures.right, pictures.wrong, *marks)

    def __len__(self) -> int:
        """How many pictures."""
        return len(self.right)

    def part(self, indices: np.ndarray) -> "Outcomes":
        """These of the pictures, in the order of `indices`, with repetitions if it has them."""
        columns = (self.pooled, self.right, self.wrong, self.fixed, self.broken)
        return Outcomes(*(column[indices] for column in columns))

    def score(self, terms: Sequence[Term]) -> np.ndarray:
        """The weighted sum of every picture, float64 [N]."""
        condition = Condition(tuple(terms), 0.0)
        return condition.score(self.pooled[:, condition.components])

    def preview(self) -> Preview:
        """What the edit does without a condition."""
        return Preview(
            f"{count(len(self), 'picture')}: of {self.wrong.sum()} wrong {self.fixed.sum()} repaired, "
            f"of {self.right.sum()} right {self.broken.sum()} broken"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Proposal(Record):
    """A weighted sum to set a threshold on, and the thresholds that will be tried, fixed on the discovery part."""

    terms: tuple[Term, ...]
    """The strongest first, by weight times standard deviation on the discovery part."""
    thresholds: np.ndarray
    """float64 [S], descending: from "acts in next to none" to "acts wherever it changed an answer", and then -inf.

    At the last it acts in all pictures: the edit without a condition."""

    def preview(self) -> Preview:
        """Its terms."""
        rows = [(f"#{term.component}", f"{term.weight:+.3g}") for term in self.terms]
        return Preview(f"A sum of {count(len(rows), 'term')}", ("component", "weight"), rows)


@dataclass(frozen=True, eq=False, repr=False)
class Curve(Record):
    """What the edit does at every threshold of a proposal, on some pictures."""

    terms: tuple[Term, ...]
    """Of the sum."""
    at_least: np.ndarray
    """float64 [S], descending: the thresholds."""
    acts: np.ndarray
    """int [S]: in how many pictures it acts."""
    fixed: np.ndarray
    """int [S]: how many of the wrong ones it repairs."""
    broken: np.ndarray
    """int [S]: how many of the right ones it breaks."""
    pictures: int
    """All of them."""
    wrong: int
    """Those that were wrong without the edit."""
    right: int
    """Those that were right."""

    def preview(self) -> Preview:
        """Each threshold in a row."""
        columns = (self.acts, self.fixed, self.broken)
        rows = [
            (f"{at:.3g}", *map(str, row))
            for at, *row in zip(self.at_least, *(column.tolist() for column in columns), strict=True)
        ]
        title = f"{self.pictures} pictures, {self.wrong} of them wrong and {self.right} right"
        return Preview(title, ("at least", "acts in", "repairs", "breaks"), rows)


@dataclass(frozen=True, eq=False)
class Curves:
    """The edit at every threshold of the sum that was taken, from the highest down."""

    choice: Curve
    """On the part whose pictures chose the threshold."""
    judging: Curve
    """On the part that judges it, at the same thresholds."""
    allowed: int
    """Right pictures of the choice part that may be broken at a threshold which is promised."""


@dataclass(frozen=True)
class PartCounts:
    """What an edit did to some pictures, as numbers of pictures, with bounds on what it does to others like them."""

    pictures: int
    """All of them."""
    wrong: int
    """Wrong without the edit."""
    right: int
    """Right without it."""
    acts: int
    """In which the edit acts."""
    fixed: int
    """Of the wrong ones, right with it."""
    broken: int
    """Of the right ones, wrong with it."""

    def most_broken(self, confidence: float = CONFIDENCE) -> float:
        """With this confidence it breaks at most this share of right pictures, 0 to 1; 1 where none was right."""
        return upper_bound(self.broken, self.right, confidence)

    def least_fixed(self, confidence: float = CONFIDENCE) -> float:
        """With this confidence it repairs at least this share of wrong pictures, 0 to 1."""
        return lower_bound(self.fixed, self.wrong, confidence)


@dataclass(frozen=True)
class Choice:
    """Whether a promise may be made, and of which condition."""

    promised: bool
    """Whether the edit under the condition breaks at most the stated share, with the stated confidence."""
    condition: Condition | None
    """None: the edit as it is, in all pictures."""


@dataclass(frozen=True)
class Promise:
    """What may be promised of an edit under a condition, or how many pictures a promise would take."""

    choice: Choice
    """Whether there is a promise, and the condition it is of."""
    rate: float
    """alpha: the share of right pictures it may break, 0 to 1."""
    confidence: float
    """1 - delta."""
    chosen_on: PartCounts
    """What the edit does to the choice part under that condition; without a promise, in all pictures."""
    judged_on: PartCounts
    """What it does to the judging part."""
    needed: int
    """Right pictures that the choice part needs for a promise of an edit that breaks none of them."""
    found_on: int
    """Pictures of the discovery part."""
    curves: Curves | None = field(default=None, compare=False)
    """What other thresholds of the condition would do; None without a condition."""

    def said(self, like_these: str) -> str:
        """The promise in words. `like_these` says where the pictures come from: "photographs of our shop, in May"."""
        share, level = f"{100 * self.rate:g} %", f"{100 * self.confidence:g} %"
        chosen, judged = self.chosen_on, self.judged_on
        if not self.choice.promised:
            return self._said_none(share, level)
        breaks = "Needs no condition: as it is, it breaks" if self.choice.condition is None else "Breaks"
        return (
            f"{breaks} at most {share} of the pictures that were right, with confidence {level}, on pictures like "
            f"these: drawn independently from where these come from ({like_these}). That was tested on "
            f"{count(chosen.pictures, 'picture')}, {chosen.right} of them right, of which it breaks {chosen.broken} "
            f"(Learn then Test, α = {share}, δ = {100 * (1 - self.confidence):.2g} %). On {judged.pictures} others "
            f"it repairs {judged.fixed} of {judged.wrong} wrong ones (at least "
            f"{_share(judged.least_fixed(self.confidence))} %) and breaks {judged.broken} of {judged.right} right ones "
            f"(at most {_share(judged.most_broken(self.confidence))} %), each with confidence {level}."
        )

    def _said_none(self, share: str, level: str) -> str:
        right, n = self.chosen_on.right, self.found_on + self.chosen_on.pictures + self.judged_on.pictures
        if right >= self.needed:
            return (
                f"No condition that was found keeps the edit from breaking more than {share} of the right pictures, "
                f"as far as {right} of them can tell with confidence {level}. Try more terms, or another edit."
            )
        others = f": a set of about {-(-self.needed * n // right):,} pictures such as these {n:,}" if right else ""
        return (
            f"With {count(right, 'right picture')} to choose on, nothing can be promised: that at most {share} are "
            f"broken, with confidence {level}, takes {self.needed:,} right ones even for an edit that breaks none"
            f"{others}."
        )


def propose(discovery: Outcomes, most_terms: int = TERMS, rate: float = RATE) -> tuple[Proposal, ...]:
    """A sum to set a threshold on, of at most so many components, found on the discovery part.

    None where the edit repairs no picture or breaks none, or all are alike: then there is nothing to tell apart.
    """
    if not discovery.fixed.any() or not discovery.broken.any():
        return ()
    terms = regressed(discovery, min(most_terms, MAX_TERMS)) if most_terms > 1 else best_single(discovery, rate)
    if not terms:
        return ()
    changed = discovery.fixed | discovery.broken
    return (Proposal(terms, np.append(np.unique(discovery.score(terms)[changed])[::-1], -np.inf)),)


def best_single(discovery: Outcomes, rate: float = RATE) -> tuple[Term, ...]:
    """The component, for or against acting, whose best threshold repairs most while it breaks at most `rate`.

    All on the discovery part; of equals the first, for acting before against.
    """
    k = int(rate * discovery.right.sum())
    best: list[np.ndarray] = []
    for sign in (1, -1):
        fixed, broken = (sign * discovery.pooled[which] for which in (discovery.fixed, discovery.broken))
        # acting above the (k + 1)-th largest of the broken ones breaks at most k
        bar = np.partition(broken, len(broken) - 1 - k, axis=0)[len(broken) - 1 - k] if k < len(broken) else -np.inf
        best.append((fixed > bar).sum(0))
    against, component = divmod(int(np.argmax(best)), discovery.pooled.shape[1])
    return (Term(component, -1.0 if against else 1.0),)


def regressed(discovery: Outcomes, most_terms: int) -> tuple[Term, ...]:
    """Logistic regression of repaired against broken pictures, in few terms; none where no component varies.

    It has an L2 penalty and no intercept, and components are centred over these pictures, but not all made equal in
    their spread (`_EVEN`): one that seldom fires counts for less. Its score is then told in few of them: by forward
    selection, each the one that leaves least of the score untold, fitted by least squares with a small ridge
    (orthogonal least squares). The largest weight is 1, the strongest term first. An L1 penalty in place of both did
    worse.
    """
    from sklearn.linear_model import LogisticRegression

    changed = discovery.fixed | discovery.broken
    values = discovery.pooled[changed].astype(np.float64)
    spread = values.std(0)
    there = np.flatnonzero(spread > 0)
    if not len(there):
        return ()
    unit = spread[there] ** _EVEN
    unit *= np.linalg.norm(spread[there] / unit)
    x = (values[:, there] - values[:, there].mean(0)) / unit
    fitted = LogisticRegression(C=_FIT, fit_intercept=False, max_iter=1_000).fit(x, discovery.fixed[changed])
    chosen, fit = _nearest(x, x @ fitted.coef_[0], min(most_terms, len(there)))
    weights = fit / unit[chosen]
    order = np.argsort(-np.abs(weights) * spread[there[chosen]], kind="stable")
    largest = np.abs(weights).max()
    return tuple(Term(int(there[chosen[k]]), float(weights[k] / largest)) for k in order)


def _nearest(x: np.ndarray, score: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Few columns of x [N, m], centred, and their weights, so that their sum comes near a score [N].

    Rows of the Cholesky factor of x'x + ridge are worked out for the chosen columns alone.
    """
    squares = (x**2).sum(0)
    ridge = _SHRINK * squares.max()
    # of each column, and of its product with the score: what the chosen ones leave
    unsaid, shared = squares + ridge, x.T @ score
    rows, chosen = np.empty((most, x.shape[1])), list[int]()
    for k in range(most):
        gain = shared**2 / unsaid
        gain[chosen] = -1
        j = int(gain.argmax())
        row = x[:, j] @ x - rows[:k, j] @ rows[:k]
        row[j] += ridge
        rows[k] = row = row / np.sqrt(unsaid[j])
        shared = shared - row * shared[j] / np.sqrt(unsaid[j])
        unsaid = unsaid - row**2
        chosen.append(j)
        unsaid[j] = np.inf
    few = x[:, chosen]
    return np.array(chosen), np.linalg.solve(few.T @ few + ridge * np.eye(most), few.T @ score)


def curve(outcomes: Outcomes, proposal: Proposal) -> Curve:
    """The edit at every threshold of a proposal, on these pictures."""
    score = outcomes.score(proposal.terms)

    def reaching(which: np.ndarray) -> np.ndarray:
        return int(which.sum()) - np.searchsorted(np.sort(score[which]), proposal.thresholds, side="left")

    everywhere = np.ones(len(outcomes), dtype=bool)
    return Curve(
        terms=proposal.terms,
        at_least=proposal.thresholds,
        acts=reaching(everywhere),
        fixed=reaching(outcomes.fixed),
        broken=reaching(outcomes.broken),
        pictures=len(outcomes),
        wrong=int(outcomes.wrong.sum()),
        right=int(outcomes.right.sum()),
    )


def choose(
    choice: Outcomes, proposals: Sequence[Proposal], rate: float = RATE, confidence: float = CONFIDENCE
) -> Choice:
    """The condition that repairs most of the choice part, of those under which at most `rate` are broken.

    That is promised with this confidence for all of the conditions tried, and so for the one taken (Learn then Test).
    Without a proposal the edit is tested as it is. Raises UserError for a rate or a confidence that is not between 0
    and 1.
    """
    right = int(choice.right.sum())
    if not proposals:
        (taken,) = learn_then_test([np.array([choice.broken.sum()])], right, rate, confidence)
        return Choice(bool(taken), None)
    curves = [curve(choice, proposal) for proposal in proposals]
    found = [
        (int(one.fixed[n - 1]), one.terms, float(one.at_least[n - 1]))
        for n, one in zip(learn_then_test([one.broken for one in curves], right, rate, confidence), curves, strict=True)
        if n
    ]
    if not found:
        return Choice(False, None)
    _, terms, at_least = max(found, key=lambda one: one[0])
    return Choice(True, None if at_least == -np.inf else Condition(terms, at_least))


def counts_under(outcomes: Outcomes, condition: Condition | None) -> PartCounts:
    """What the edit does to these pictures under a condition; without one it acts in all of them."""
    acts = np.ones(len(outcomes), dtype=bool)
    if condition is not None:
        acts = outcomes.score(condition.terms) >= condition.at_least
    counted = (outcomes.wrong, outcomes.right, acts, acts & outcomes.fixed, acts & outcomes.broken)
    return PartCounts(len(outcomes), *(int(which.sum()) for which in counted))


def promise(
    parts: Sequence[Outcomes],
    most_terms: int = TERMS,
    rate: float = RATE,
    confidence: float = CONFIDENCE,
) -> Promise:
    """A condition found on the first of three parts, chosen on the second, judged on the third.

    Raises UserError for a rate or a confidence that is not between 0 and 1.
    """
    check_share(rate, "rate")
    check_share(confidence, "confidence")
    discovery, choice, judging = parts
    proposals = propose(discovery, most_terms, rate)
    chosen = choose(choice, proposals, rate, confidence)
    each = 1 - (1 - confidence) / max(1, len(proposals))
    chosen_on, judged_on = (counts_under(part, chosen.condition) for part in (choice, judging))
    curves = None
    if chosen.condition is not None:
        taken = next(proposal for proposal in proposals if proposal.terms == chosen.condition.terms)
        allowed = most_allowed(chosen_on.right, rate, each)
        assert allowed is not None  # else no threshold could have been taken
        curves = Curves(curve(choice, taken), curve(judging, taken), allowed)
    needed = pictures_needed(rate, each)
    return Promise(chosen, rate, confidence, chosen_on, judged_on, needed, len(discovery), curves)


def promise_of(
    pictures: PictureSet,
    trial: Generalization,
    dictionary: Dictionary,
    most_terms: int = TERMS,
    rate: float = RATE,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Promise:
    """The same for an edit without a condition that was tried on a set, dealt into `SHARES` by the pictures' names."""
    outcomes = Outcomes.of(pictures, trial, dictionary)
    parts = [outcomes.part(which) for which in split(pictures.names, SHARES, seed)]
    return promise(parts, most_terms, rate, confidence)


def _share(value: float) -> str:
    return percent(value, "under ", "over ")
