"""Does this dictionary fit this CLIP, here? A check on a few pictures, made whenever a setup loads.

1. Every picture is read up to layer L: x_t, and beside it the residual one layer earlier and one later.
2. The dictionary encodes the tokens in its scope, x_hat_t is what it makes of them. Over all pictures: how much of the
   variance of x is in x_hat, how many components are active at a token, and how many are silent on all pictures.
3. x_hat takes the place of x, and the layers after L run: how many answers stay as they were?
4. The same dictionary on the layers beside L: one that fits a neighbour better was trained there.

What is bad is refused with its numbers (`refusal`); what is odd is said (`doubts`). The pictures are few and rendered:
these figures tell a wrong layer, a missing normalisation or damaged weights from a dictionary that fits. They do not
replace the figures that a release states over millions of tokens, which stand beside them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..model.clip import SplitClip, logits, text_classifier
from ..model.dictionary import Dictionary
from ..model.prompts import TEMPLATES
from ..pictures.examples import read_examples
from ..pictures.read import read_picture
from .catalog import Published, SetupSpec

LEAST_EXPLAINED = 0.3
"""Explained variance below which a dictionary is refused.

What is published ranges from 0.64 (CLIP-Scope's layer 8, 32 components at a token) to 0.99 (Prisma's dense ones), over
photographs; on rendered pictures a good dictionary may do worse, so the bound is half of the lowest. The bundled one
(layer 4 of 0 to 5) has 0.95 here. Read wrongly it has: at layer 1: 0.18, at layer 0: -0.87; fed x/2: 0.22, x/4: -0.65,
2x: -2.3, 4x: -30; fed x made standard token by token, which was not undone: -0.41; with the rows of its decoder in
another order: -3.5; with six of ten components set to 0: -0.85. What passes is looked at in two other ways, below.
"""

CLEARLY_BETTER = 0.85
"""A dictionary is refused when a neighbouring layer leaves less than this share of what it leaves unexplained at L.

One layer off, explained variance alone says little: the bundled dictionary has 0.85 at layer 3, 0.63 at layer 2 and
0.72 at layer 5, more than CLIP-Scope has where it belongs. But the layer towards its own is always explained better.
Measured on the bundled CLIP, for the bundled dictionary and 24 small ones (96 to 640 components, of which 1 to 6 are
active, trained on layers 1 to 5, on all tokens or on CLS; explained variance 0.51 to 0.83): where a dictionary belongs,
the neighbours leave at least 1.23 times as much unexplained; one layer off, the better neighbour leaves 0.2 to 0.82
times as much.
"""

LEAST_KEPT = 0.4
"""Share of answers below which a dictionary is refused: twice what guessing among five classes keeps.

The bundled one keeps every answer; fed x/4, it keeps 0.57; with its decoder's rows in another order, 0.19.
"""

_FEWER_POINTS = 0.02
"""A neighbour's explained variance is not called better for less: near 1, both leave next to nothing."""
_FAR_BELOW = 0.15
"""Explained variance this far below the published one is odd. Other pictures account for some of it."""
_OFTEN = 2.0
"""So many times the published number of active components, or that fraction of it, is odd."""
_MOSTLY = 0.75
"""Fewer answers kept than this is odd."""
_BESIDE_TOKENS = 2000
"""About how many tokens are encoded for each neighbouring layer."""


@dataclass(frozen=True)
class Sample:
    """A picture, and a question with a known answer."""

    picture: Image.Image
    """In RGB, of any size."""
    classes: tuple[str, ...]
    """What it could be; two or more."""
    truth: str
    """What it is, one of the classes."""


@dataclass(frozen=True)
class Fit:
    """How well the dictionary fits one layer, over the tokens in scope of some of the pictures."""

    layer: int
    """From 0."""
    explained_variance: float
    """As in `Health`."""
    missed: float
    """The median over tokens of |x - x_hat|^2 / |x - mean|^2: a few enormous tokens do not decide it."""


@dataclass(frozen=True)
class Row:
    """A figure for the reader, beside what the release states."""

    label: str
    """What it is."""
    ours: float
    """Measured here."""
    published: float | None
    """What the release states; None where it does not."""
    unit: str
    """Of both: "%" (0 to 100), "components", "logits"."""
    remark: str
    """How to read it; empty when that is plain."""


@dataclass(frozen=True)
class Health:
    """How a dictionary did on some pictures. Shares are 0 to 1."""

    pictures: int
    """How many."""
    tokens: int
    """In the dictionary's scope, over all pictures."""
    components: int
    """m, the size of the dictionary."""
    finite: bool
    """Whether every activation and every number of x_hat is finite."""
    explained_variance: float
    """1 - sum |x - x_hat|^2 / sum |x - mean|^2 over the tokens in scope of all pictures, the mean for each of the d
    dimensions over the same tokens; 1 at best, negative when the mean alone would do better."""
    explained_variance_cls: float | None
    """The same over the CLS tokens; None when CLS is out of scope."""
    active_per_token: float
    """L0: components active at a token in scope, on average."""
    active_on_cls: float | None
    """The same at CLS; None when CLS is out of scope."""
    silent_share: float
    """Share of components that are active at none of these tokens."""
    accuracy: float
    """Share of pictures whose best class is the truth."""
    accuracy_through: float
    """The same with x_hat in place of x."""
    answers_kept: float
    """Share of pictures whose best class is the same with x_hat in place of x, right or wrong."""
    margin_change: float
    """How the lead of the best class over the next changes through x_hat: median over pictures, in logits."""
    fits: tuple[Fit, ...]
    """At layer L and the layers beside it, in their order, all on the same pictures."""

    @property
    def said(self) -> str:
        """The sentence for the visitor."""
        kept = round(self.answers_kept * self.pictures)
        return (
            f"On {self.pictures} example pictures the components hold {100 * self.explained_variance:.0f} % of the "
            f"variance of the {self.tokens:,} tokens they read; {_number(self.active_per_token)} of "
            f"{self.components:,} are active at a token. Seeing nothing but what they hold, the model gives the same "
            f"answer on {kept} of {self.pictures} pictures."
        )

    def rows(self, published: Published) -> tuple[Row, ...]:
        """Every figure, beside those that the release states."""
        stated = published.explained_variance
        dead = published.dead_share
        rows = [
            Row(
                "Explained variance",
                100 * self.explained_variance,
                _percent(stated),
                "%",
                "1 − Σ|x − x̂|² / Σ|x − mean|² over the tokens read, the mean over all of them",
            ),
            Row("Active at a token", self.active_per_token, published.active_per_token, "components", ""),
            Row(
                "Silent on these pictures",
                100 * self.silent_share,
                _percent(dead),
                "%",
                f"of {self.components:,} components, on {self.pictures} pictures with {self.tokens:,} tokens. What a "
                "release calls dead stays silent over millions of tokens: that is far less.",
            ),
            Row("Right answers", 100 * self.accuracy, None, "%", f"of {self.pictures}, some chosen to fool a model"),
            Row("Right answers through the components alone", 100 * self.accuracy_through, None, "%", ""),
            Row("Same answer through the components alone", 100 * self.answers_kept, None, "%", ""),
            Row(
                "Change of the lead through the components alone",
                self.margin_change,
                None,
                "logits",
                "of the best class over the next, median over the pictures",
            ),
        ]
        if self.explained_variance_cls is not None and self.active_on_cls is not None:
            of_cls = Row("Explained variance, class token", 100 * self.explained_variance_cls, None, "%", "")
            at_cls = Row("Active at the class token", self.active_on_cls, None, "components", "")
            rows[1:2] = [of_cls, rows[1], at_cls]
        return tuple(rows)


def example_samples() -> tuple[Sample, ...]:
    """The example pictures, each followed by its twin (the same scene without its cue) where it has one."""
    found = []
    for example in read_examples():
        for twin in (False, True) if example.twin else (False,):
            found.append(Sample(read_picture(example.file(twin)), example.classes, example.truth))
    return tuple(found)


def check(
    clip: SplitClip, dictionary: Dictionary, samples: Sequence[Sample], tell: Callable[[int, int], None] | None = None
) -> Health:
    """How `dictionary` does on `samples`, at least two.

    `tell` hears before every picture how many are done, and of how many. It stops the check by raising.
    """
    return check_each(clip, [dictionary], samples, tell)[0]


@torch.no_grad()
def check_each(
    clip: SplitClip,
    dictionaries: Sequence[Dictionary],
    samples: Sequence[Sample],
    tell: Callable[[int, int], None] | None = None,
) -> tuple[Health, ...]:
    """As `check`, for several dictionaries of the same width and scope, and with the model's part done only once.

    One picture is read at a time. What is kept of all of them is x and what each dictionary misses of it, [T, d] each.
    """
    if len(samples) < 2:
        raise ValueError("variance over the pictures needs at least two of them")
    classifiers = {
        classes: text_classifier(clip, classes, TEMPLATES["single"])
        for classes in dict.fromkeys(sample.classes for sample in samples)
    }
    per_picture = len(dictionaries[0].tokens(1 + clip.grid[0] * clip.grid[1]))
    beside_every = -(-per_picture * len(samples) // _BESIDE_TOKENS)
    tallies = [_Tally(clip, dictionary) for dictionary in dictionaries]
    for done, sample in enumerate(samples):
        if tell is not None:
            tell(done, len(samples))
        residuals = _residuals(clip, clip.crop(sample.picture))
        answer = _Answer(clip, residuals[clip.layer], classifiers[sample.classes], sample.classes.index(sample.truth))
        for tally in tallies:
            tally.add(residuals, answer, beside=done % beside_every == 0)
    return tuple(tally.health(len(samples)) for tally in tallies)


def refusal(health: Health, card: SetupSpec) -> str | None:
    """Why a setup cannot be used, with the numbers; None when nothing speaks against it."""
    refused = f"The setup {card.name!r} is refused:"
    where = f"on {health.pictures} pictures, at layer {card.layer} counted from 0"
    if not health.finite:
        return (
            f"{refused} its dictionary gives numbers that are not finite ({where}). "
            "Its file is damaged, or it does not belong to this CLIP; choose another."
        )
    explained = _signed(health.explained_variance)
    if not health.explained_variance >= LEAST_EXPLAINED:
        published = card.published.explained_variance
        stated = "" if published is None else f"; {published:.2f} is published"
        return (
            f"{refused} its dictionary explains {explained} of the variance ({where}), where 1 is all of it and "
            f"{LEAST_EXPLAINED:.2f} the least that is asked for{stated}. "
            f"{_elsewhere(health, card) or 'The layer, the scope, the layout or the CLIP may be another one.'}"
        )
    if health.answers_kept < LEAST_KEPT:
        return (
            f"{refused} with its reconstruction in place of the residual the model keeps "
            f"{100 * health.answers_kept:.0f} % of its answers ({where}), where {100 * LEAST_KEPT:.0f} % is the least "
            f"that is asked for; it explains {explained} of the variance. "
            "The layer, the scope or the CLIP may be another one."
        )
    if _share_left(health, card) < CLEARLY_BETTER:
        return f"{refused} its dictionary is of another layer ({where}). {_elsewhere(health, card)}"
    return None


def doubts(health: Health, card: SetupSpec) -> tuple[str, ...]:
    """Sentences about what is odd and yet not refused; none when all is as it should be."""
    said = []
    published, explained, active = card.published, health.explained_variance, health.active_per_token
    if published.explained_variance is not None and explained < published.explained_variance - _FAR_BELOW:
        said.append(
            f"The dictionary explains {_signed(explained)} of the variance here; {published.explained_variance:.2f} is "
            "published. Pictures like these are rarely what it was trained on, but a wrong layer looks the same."
        )
    if published.active_per_token and not 1 / _OFTEN <= active / published.active_per_token <= _OFTEN:
        said.append(
            f"{_number(active)} components are active at a token here; {_number(published.active_per_token)} are "
            "published. Its activations may be scaled otherwise than its training had them."
        )
    if _share_left(health, card) < 1:
        said.append(f"{_elsewhere(health, card)} The difference is small: compare with what the release says.")
    cls = health.explained_variance_cls
    if card.scope == "all" and cls is not None and cls < LEAST_EXPLAINED:
        said.append(
            f"Of the class token, which the answer is read from, the dictionary explains {_signed(cls)} of the "
            "variance: what decides the answer may lie outside its components."
        )
    if health.answers_kept < _MOSTLY:
        said.append(
            f"Seeing nothing but what the components hold, the model keeps {100 * health.answers_kept:.0f} % of its "
            "answers: much of what decides lies outside them."
        )
    if health.accuracy < LEAST_KEPT:
        said.append(
            f"The model itself is right on {100 * health.accuracy:.0f} % of the pictures: its weights, image processor "
            "and tokenizer may not belong together."
        )
    return tuple(said)


# ---- what is measured


class _Answer:
    """What the model says of one picture, with any residual in place of its own."""

    def __init__(self, clip: SplitClip, x: Tensor, classifier: Tensor, truth: int) -> None:
        self._clip, self._classifier = clip, classifier
        said = self._logits(x)
        self._best, self._next = np.argsort(-said, kind="stable")[:2]
        self._lead = said[self._best] - said[self._next]
        self._truth = truth
        self.right = bool(self._best == truth)

    def through(self, x_hat: Tensor) -> tuple[bool, bool, float]:
        """With x_hat [T, d] in place of x: whether the answer is right, and the same, and how the lead changes."""
        said = self._logits(x_hat)
        best = int(said.argmax())
        lead = said[self._best] - said[self._next]
        return best == self._truth, best == self._best, float(lead - self._lead)

    def _logits(self, x: Tensor) -> np.ndarray:
        embedding = self._clip.finish(x[None])[0]
        return logits(embedding, self._classifier, self._clip.logit_scale).cpu().double().numpy()


class _Tally:
    """What one dictionary did so far."""

    def __init__(self, clip: SplitClip, dictionary: Dictionary) -> None:
        self._layer, self._dictionary = clip.layer, dictionary
        self._has_cls = 0 in dictionary.tokens(2)
        self._seen: list[np.ndarray] = []
        self._missed: list[np.ndarray] = []
        self._beside: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        self._active = self._active_cls = 0
        self._fired = np.zeros(dictionary.n_components, dtype=bool)
        self._finite = True
        self._answers: list[tuple[bool, bool, bool, float]] = []

    def add(self, residuals: dict[int, Tensor], answer: _Answer, beside: bool) -> None:
        """One picture: its residual [T, d] at L and the layers beside it, which are looked at only if `beside`."""
        seen, missed, x_hat = self._look(residuals[self._layer], count=True)
        self._seen.append(seen)
        self._missed.append(missed)
        self._answers.append((answer.right, *answer.through(x_hat)))
        if beside:
            for layer, x in residuals.items():
                pair = (seen, missed) if layer == self._layer else self._look(x)[:2]
                self._beside.setdefault(layer, []).append(pair)

    def health(self, pictures: int) -> Health:
        """What it comes to."""
        seen, missed = np.concatenate(self._seen), np.concatenate(self._missed)
        right, right_through, kept, change = (np.array(values) for values in zip(*self._answers, strict=True))
        cls = None
        if self._has_cls:
            cls = _explained(np.stack([x[0] for x in self._seen]), np.stack([e[0] for e in self._missed]))
        return Health(
            pictures=pictures,
            tokens=len(seen),
            components=self._dictionary.n_components,
            finite=self._finite,
            explained_variance=_explained(seen, missed),
            explained_variance_cls=cls,
            active_per_token=self._active / len(seen),
            active_on_cls=self._active_cls / pictures if self._has_cls else None,
            silent_share=float(1 - self._fired.mean()),
            accuracy=float(right.mean()),
            accuracy_through=float(right_through.mean()),
            answers_kept=float(kept.mean()),
            margin_change=float(np.median(change)),
            fits=tuple(_fit(layer, *zip(*pairs, strict=True)) for layer, pairs in sorted(self._beside.items())),
        )

    def _look(self, x: Tensor, count: bool = False) -> tuple[np.ndarray, np.ndarray, Tensor]:
        """x [T, d] -> x and x - x_hat at the tokens in scope, float32 [n, d], and x_hat [T, d].

        x_hat is put together from the active pairs: nothing dense outlives `Dictionary.activations`, which encodes a
        few tokens at a time.
        """
        scope = self._dictionary.tokens(len(x))
        inside = slice(scope.start, scope.stop)
        found = self._dictionary.activations(x)
        x_hat = x.clone()
        x_hat[inside] = (self._dictionary.decode(found) + self._dictionary.bias_at(x))[inside]
        missed = (x - x_hat)[inside].float().cpu().numpy()
        if count:
            self._active += len(found.value)
            self._active_cls += int((found.token == 0).sum())
            self._fired[found.component] = True
            self._finite &= bool(np.isfinite(found.value).all() and np.isfinite(missed).all())
        return x[inside].float().cpu().numpy(), missed, x_hat


def _residuals(clip: SplitClip, crop: np.ndarray) -> dict[int, Tensor]:
    """The residual [T, d] of one picture after layer L, the one before and the one after, as far as there are any."""
    first = max(clip.layer - 1, 0)
    x = SplitClip(clip.model, clip.image_processor, clip.tokenizer, first, clip.prefix).residual(
        clip.pixels(crop[None])
    )
    found = {first: x[0]}
    for layer in range(first + 1, min(clip.layer + 2, clip.n_layers)):
        with clip.in_prefix():
            x = clip.model.vision_model.encoder.layers[layer](x, attention_mask=None)
        x = x.to(clip.dtype)
        found[layer] = x[0]
    return found


def _explained(seen: np.ndarray, missed: np.ndarray) -> float:
    """1 - sum |e|^2 / sum |x - mean|^2 over tokens [n, d], in float64; nan where x does not vary."""
    seen, missed = seen.astype(np.float64), missed.astype(np.float64)
    spread = np.square(seen - seen.mean(0)).sum()
    return float(1 - np.square(missed).sum() / spread) if spread else float("nan")


def _fit(layer: int, seen: Sequence[np.ndarray], missed: Sequence[np.ndarray]) -> Fit:
    x, e = (np.concatenate(parts).astype(np.float64) for parts in (seen, missed))
    spread = np.square(x - x.mean(0)).sum(1)
    shares = np.square(e).sum(1)[spread > 0] / spread[spread > 0]
    return Fit(layer, _explained(x, e), float(np.median(shares)) if len(shares) else float("nan"))


# ---- what is made of it


def _neighbour(health: Health, card: SetupSpec) -> tuple[Fit, Fit] | None:
    """How it fits layer L, and the neighbour that it fits best; None when there is none, or none that is better by more
    than a trifle."""
    here = next(fit for fit in health.fits if fit.layer == card.layer)
    others = [fit for fit in health.fits if fit is not here]
    best = max(others, key=lambda fit: fit.explained_variance, default=here)
    better = best.explained_variance - here.explained_variance > _FEWER_POINTS
    return (here, best) if better else None


def _share_left(health: Health, card: SetupSpec) -> float:
    """What the best neighbour leaves unexplained, over what L does: of the sum over tokens or of the median token,
    whichever speaks more for L. 1 or more where L is the best."""
    pair = _neighbour(health, card)
    if pair is None:
        return 1.0
    here, best = pair
    of_all, of_median = 1 - here.explained_variance, max(here.missed, 1e-12)
    return max((1 - best.explained_variance) / of_all, best.missed / of_median)


def _elsewhere(health: Health, card: SetupSpec) -> str:
    """Where it fits better; nothing where it does not."""
    pair = _neighbour(health, card)
    if pair is None:
        return ""
    here, best = pair
    return (
        f"It explains {_signed(best.explained_variance)} of the variance after layer {best.layer} and "
        f"{_signed(here.explained_variance)} after layer {here.layer}: it was probably trained on another layer, in "
        "that direction."
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _signed(value: float) -> str:
    """Two places, with a true minus."""
    return f"{value:.2f}".replace("-", "−")


def _number(value: float) -> str:
    """A count that may be an average: 10.6, 1,534."""
    return f"{value:,.1f}".removesuffix(".0") if value < 100 else f"{value:,.0f}"
