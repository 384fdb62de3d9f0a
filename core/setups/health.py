"""Health of a setup: its figures on a few pictures, the doubts that they raise, and when it is refused.

`core.setups.health_check` measures; here stands what the figures say. A doubt is a sentence, and it has a weight:

- *meaningless*: the model's answers rest on nothing. A number is not finite, all texts or all pictures are the same to
  the model, the logit scale is none, or no component ever fires. Such a setup is refused.
- *unfit*: the dictionary was trained to reconstruct what it is given, and hardly does. A setup of one's own is refused
  then, with the numbers, unless that is overridden. A catalogued one at pinned commits is not: somebody chose its
  files, and a few pictures know less of them than that person. It opens with this doubt.
- *odd*: all else that a reader should know before believing the setup.

The pictures are few: these figures tell a wrong layer, a missing normalisation or damaged weights from a dictionary
that fits. They do not replace those that a release states over millions of tokens, which stand beside them.
"""

from dataclasses import dataclass
from typing import Literal

from ..words import decimal
from .catalog import Published, SetupSpec

LEAST_EXPLAINED = 0.3
"""Explained variance below which a dictionary is unfit.

What is published ranges from 0.64 (CLIP-Scope's layer 8, 32 components at a token) to 0.99 (Prisma's dense ones), over
photographs; on other pictures a good dictionary may do worse, so the bound is half of the lowest. The bundled one
(layer 4 of 0 to 5) has 0.95 here. Read wrongly it has: at layer 1: 0.18, at layer 0: -0.87; fed x/2: 0.22, x/4: -0.65,
2x: -2.3, 4x: -30; fed x made standard token by token, which was not undone: -0.41; with the rows of its decoder in
another order: -3.5; with six of ten components set to 0: -0.85.
"""

CLEARLY_BETTER = 0.85
"""A neighbouring layer that leaves less than this share of what L leaves unexplained speaks for another layer.

One layer off, explained variance alone says little: the bundled dictionary has 0.85 at layer 3, 0.63 at layer 2 and
0.72 at layer 5, more than CLIP-Scope has where it belongs. But the layer towards its own is always explained better.
Measured on the bundled CLIP, for the bundled dictionary and 24 small ones (96 to 640 components, of which 1 to 6 are
active, trained on layers 1 to 5, on all tokens or on CLS; explained variance 0.51 to 0.83): where a dictionary belongs,
the neighbours leave at least 1.23 times as much unexplained; one layer off, the better neighbour leaves 0.2 to 0.82
times as much. All that is known of one CLIP of six layers. In one of 24, neighbouring residuals are far more alike, so
this is a doubt and never a refusal.
"""

LEAST_KEPT = 0.4
"""Share of answers below which a dictionary is unfit: twice what guessing among five classes keeps.

The bundled one keeps every answer; fed x/4, it keeps 0.57; with its decoder's rows in another order, 0.19.
"""

LOGIT_SCALES = (1.0, 1000.0)
"""What the logit scale can be. It starts at 14 and is kept below 100 (arXiv 2103.00020, section 2.5), where most
published CLIPs end. Stored as its exponential, a scale of 7 or more lies beyond; stored as its inverse or as its
logarithm's logarithm, it lies below or is at least odd."""
_USUAL_SCALES = (5.0, 200.0)
"""A logit scale outside of these is odd."""
_THE_SAME = 1e-3
"""Unit vectors nearer than this are the same; float32 and the order of sums leave some 1e-6 between equal ones."""
_CONSTANT = 1e-6
"""Components of which less than this share differs between tokens say nothing of a picture."""
_HARDLY_APART = 0.05
"""Where no two of the unit vectors are further apart, it is odd. Texts of CLIPs are some 0.3 to 0.9 apart, pictures
more; the bundled CLIP with its pixels divided by 255 twice has its pictures 0.008 apart."""
_SILENT = 0.5
"""A model that leaves this share of the pictures without an answer does not answer."""
_FEWER_POINTS = 0.02
"""A neighbour's explained variance is not called better for less: near 1, both leave next to nothing."""
_FAR_BELOW = 0.15
"""Explained variance this far below the published one is odd. Other pictures account for some of it."""
_OFTEN = 2.0
"""So many times the published number of active components, or that fraction of it, is odd."""
_MOSTLY = 0.75
"""Fewer answers kept than this is odd."""

Weight = Literal["meaningless", "unfit", "odd"]
"""How much a doubt weighs; see above."""
About = Literal[
    "finite numbers",
    "logit scale",
    "texts",
    "pictures",
    "ties",
    "components",
    "explained variance",
    "answers",
    "layer",
    "published variance",
    "published activity",
    "class token",
    "right answers",
]
"""What a doubt is about."""


@dataclass(frozen=True)
class Doubt:
    """Something that is not as it should be, in a sentence for the visitor."""

    about: About
    """What it is about."""
    weight: Weight
    """How much it weighs."""
    sentence: str
    """What is wrong, with its numbers."""


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
    """How a CLIP and its dictionary did on some pictures. Shares are 0 to 1."""

    pictures: int
    """How many."""
    kind: str
    """What they are: "photographs", "example pictures"."""
    tokens: int
    """In the dictionary's scope, over all pictures."""
    components: int
    """m, the size of the dictionary."""
    not_finite: str
    """Where a number was met that is not finite, in words; empty where all are: weights, residuals, what the dictionary
    makes of them, logits."""
    logit_scale: float
    """A logit is this times a cosine."""
    texts_apart: float
    """The largest distance between the unit vectors of two classes of one picture, 0 to 2."""
    pictures_apart: float
    """The largest distance between the unit embeddings of two pictures, 0 to 2."""
    read_as_end: str
    """The token at which the text tower reads a text, where that is not the text's end; else empty."""
    same_texts: tuple[tuple[str, str], ...]
    """Classes that were asked together and that the text tower does not tell apart."""
    explained_variance: float
    """1 - sum |x - x_hat|^2 / sum |x - mean|^2 over the tokens in scope of all pictures, the mean for each of the d
    dimensions over the same tokens; 1 at best, negative when the mean alone would do better."""
    explained_variance_standardised: float | None
    """Of a dictionary that was trained on standardised activations, what its training logged: the mean over the same
    tokens of what it explains of each (see `Standardisation.explained_variance`); None for any other."""
    explained_variance_cls: float | None
    """The same over the CLS tokens; None when CLS is out of scope."""
    active_per_token: float
    """L0: components active at a token in scope, on average."""
    active_on_cls: float | None
    """The same at CLS; None when CLS is out of scope."""
    silent_share: float
    """Share of components that are active at none of these tokens."""
    components_vary: float
    """What of r, the sum of active components at a token, differs between tokens: sum |r - mean|^2 / sum |r|^2, 0 to 1;
    0 where nothing is active."""
    chance: float
    """What guessing would be right on: the mean over pictures of 1 / classes."""
    unanswered: int
    """Pictures without an answer: two classes tie for the best, or a logit is not finite. They are never right."""
    accuracy: float
    """Share of pictures whose best class is the truth."""
    accuracy_through: float
    """The same with x_hat in place of x."""
    answers_kept: float
    """Of the pictures with an answer, the share with the same one with x_hat in place of x, right or wrong."""
    margin_change: float
    """How the lead of the best class over the next changes through x_hat: median over pictures, in logits."""
    fits: tuple[Fit, ...]
    """At layer L and the layers beside it, in their order, all on the same pictures."""
    doubts: tuple[Doubt, ...] = ()
    """What is not as it should be."""

    @property
    def summary(self) -> str:
        """The sentence for the visitor."""
        answered = self.pictures - self.unanswered
        return (
            f"On {self.pictures} {self.kind} the components hold {100 * self.explained_variance:.0f} % of the "
            f"variance of the {self.tokens:,} tokens they read; {_number(self.active_per_token)} of "
            f"{self.components:,} are active at a token. Seeing nothing but what they hold, the model gives the same "
            f"answer on {round(self.answers_kept * answered)} of {answered} pictures."
        )

    def rows(self, published: Published) -> tuple[Row, ...]:
        """Every figure, beside those that the release states."""
        dead = None if comparable(self, published) is None else published.dead_share
        rows = [
            Row(
                "Explained variance",
                100 * self.explained_variance,
                None if published.standardised else _percent(published.explained_variance),
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
            Row(
                "Right answers",
                100 * self.accuracy,
                None,
                "%",
                f"of {self.pictures} {self.kind}; guessing is right on {100 * self.chance:.0f} %",
            ),
            Row("Right answers through the components alone", 100 * self.accuracy_through, None, "%", ""),
            Row("Same answer through the components alone", 100 * self.answers_kept, None, "%", ""),
            Row(
                "Change of the lead through the components alone",
                self.margin_change,
                None,
                "logits",
                "of the best class over the next, median over the pictures",
            ),
            Row("Logit scale", self.logit_scale, None, "logits", "of a cosine of 1; 100 for most published CLIPs"),
        ]
        if self.explained_variance_cls is not None and self.active_on_cls is not None:
            of_cls = Row("Explained variance, class token", 100 * self.explained_variance_cls, None, "%", "")
            at_cls = Row("Active at the class token", self.active_on_cls, None, "components", "")
            rows[1:2] = [of_cls, rows[1], at_cls]
        if self.explained_variance_standardised is not None:
            standardised = Row(
                "Explained variance, standardised",
                100 * self.explained_variance_standardised,
                _percent(published.explained_variance) if published.standardised else None,
                "%",
                "of z = (x − mean) / deviation, which it was trained on: mean of 1 − |z − ẑ|² / |z − its mean|² over "
                "the tokens read",
            )
            rows.insert(1, standardised)
        return tuple(rows)


def comparable(health: Health, published: Published) -> float | None:
    """Our explained variance of the activations that the published figures are of; None where it was not measured."""
    return health.explained_variance_standardised if published.standardised else health.explained_variance


def refusal(health: Health, spec: SetupSpec, anyway: bool = False) -> str | None:
    """Why a setup cannot be used, with the numbers; None where it can, be it with doubts.

    `anyway` lets one pass that is unfit, but none that is meaningless.
    """
    refused = f"The setup {spec.name!r} is refused."
    for doubt in health.doubts:
        if doubt.weight == "meaningless":
            return f"{refused} {doubt.sentence}"
    for doubt in health.doubts:
        if doubt.weight == "unfit" and not (anyway or spec.at_pinned_commits):
            return f"{refused} {doubt.sentence} To open it nonetheless, say --anyway (in Python, anyway=True)."
    return None


def doubts(health: Health, spec: SetupSpec) -> tuple[Doubt, ...]:
    """All that is not as it should be, the gravest first. What is meaningless leaves nothing else to say."""
    return _meaningless(health) or (*_unfit(health, spec), *_odd(health, spec))


def _meaningless(health: Health) -> tuple[Doubt, ...]:
    found: list[Doubt] = []

    def meaningless(about: About, sentence: str) -> None:
        found.append(Doubt(about, "meaningless", sentence))

    least, most = LOGIT_SCALES
    if not least <= health.logit_scale <= most:
        meaningless(
            "logit scale",
            f"The logit scale of its CLIP is {health.logit_scale:.3g}, where CLIPs have 14 to 100. It may be stored as "
            "its exponential, where its logarithm is expected; choose a CLIP whose file is as transformers writes it.",
        )
    if health.not_finite:
        meaningless(
            "finite numbers",
            f"Numbers that are not finite were met in {health.not_finite}. Its file is damaged, was converted in too "
            "low a precision, or its parts do not belong together; choose another.",
        )
    if found:
        return tuple(found)  # distances and shares of what is not finite say nothing
    if health.texts_apart < _THE_SAME:
        meaningless(
            "texts",
            "All class names are the same to its text tower. Its tokenizer or its end-of-text id is of another model, "
            "or its text projection is empty; choose a CLIP whose parts belong together.",
        )
    if health.pictures_apart < _THE_SAME:
        meaningless(
            "pictures",
            f"All {health.pictures} {health.kind} are the same to its vision tower. Its image processor is of another "
            "model, or some of its weights are empty; choose a CLIP whose parts belong together.",
        )
    if not found and health.unanswered >= _SILENT * health.pictures:
        meaningless(
            "ties",
            f"On {health.unanswered} of {health.pictures} {health.kind} two classes tie for the best, so that its CLIP "
            "does not answer. Some of its weights are empty, or its tokenizer or its end-of-text id is of another "
            "model; choose another.",
        )
    if health.components_vary < _CONSTANT:
        nothing = (
            "What its components add to the residual is the same at every token of"
            if health.active_per_token
            else f"None of its {health.components:,} components is active on any of"
        )
        meaningless(
            "components",
            f"{nothing} {health.pictures} {health.kind}. Its dictionary belongs to another CLIP, its activations are "
            "scaled otherwise, or its weights are empty; choose another.",
        )
    return tuple(found)


def _unfit(health: Health, spec: SetupSpec) -> tuple[Doubt, ...]:
    if not spec.reconstructs:
        return ()
    where = f"on {health.pictures} {health.kind}, at layer {spec.layer} counted from 0"
    explained = decimal(health.explained_variance)
    found: list[Doubt] = []
    if not health.explained_variance >= LEAST_EXPLAINED:
        published = spec.published.explained_variance
        of = " of standardised activations" * spec.published.standardised
        stated = "" if published is None else f"; {published:.2f} is published{of}"
        sentence = (
            f"Its dictionary explains {explained} of the variance ({where}), where 1 is all of it and "
            f"{LEAST_EXPLAINED:.2f} the least that is asked for{stated}. "
            f"{_better_layer(health, spec) or 'The layer, the scope, the layout or the CLIP may be another one.'}"
        )
        found.append(Doubt("explained variance", "unfit", sentence))
    if health.answers_kept < LEAST_KEPT:
        sentence = (
            "With the dictionary's reconstruction in place of the residual the model keeps "
            f"{100 * health.answers_kept:.0f} % of its answers ({where}), where {100 * LEAST_KEPT:.0f} % is the least "
            f"that is asked for; it explains {explained} of the variance. "
            "The layer, the scope or the CLIP may be another one."
        )
        found.append(Doubt("answers", "unfit", sentence))
    return tuple(found)


def _odd(health: Health, spec: SetupSpec) -> tuple[Doubt, ...]:
    found: list[Doubt] = []

    def odd(about: About, sentence: str) -> None:
        found.append(Doubt(about, "odd", sentence))

    if health.accuracy < LEAST_KEPT:
        odd(
            "right answers",
            f"The model itself is right on {100 * health.accuracy:.0f} % of {health.pictures} {health.kind}, where "
            f"guessing is on {100 * health.chance:.0f} %: its weights, image processor and tokenizer may not belong "
            "together, or it has never seen pictures like these.",
        )
    published, explained, active = spec.published, health.explained_variance, health.active_per_token
    if not spec.reconstructs and (explained < LEAST_EXPLAINED or health.answers_kept < LEAST_KEPT):
        odd(
            "explained variance",
            f"Its words hold {decimal(explained)} of the variance of the image embedding, where 1 is all of it, and "
            f"with nothing but them the model keeps {100 * health.answers_kept:.0f} % of its answers on "
            f"{health.pictures} {health.kind}. They are not made to hold more: what they miss can be neither explained "
            "nor steered.",
        )
    stated, ours = published.explained_variance, comparable(health, published)
    of = " of standardised activations" * published.standardised
    if stated is not None and ours is None:
        odd(
            "published variance",
            f"{stated:.2f} of the variance{of} is published, but the dictionary does better with activations as they "
            "are: nothing here can be compared with it.",
        )
    elif stated is not None and ours is not None and ours < stated - _FAR_BELOW and explained >= LEAST_EXPLAINED:
        odd(
            "published variance",
            f"The dictionary explains {decimal(ours)} of the variance{of} here; {stated:.2f} is published. Pictures "
            "like these are rarely what it was trained on, but a wrong layer looks the same.",
        )
    if published.active_per_token and not 1 / _OFTEN <= active / published.active_per_token <= _OFTEN:
        odd(
            "published activity",
            f"{_number(active)} components are active at a token here; {_number(published.active_per_token)} are "
            "published. Its activations may be scaled otherwise than its training had them.",
        )
    share = _share_left(health, spec)
    if explained >= LEAST_EXPLAINED and share < 1:
        much = "The difference is clear" if share < CLEARLY_BETTER else "The difference is small"
        odd("layer", f"{_better_layer(health, spec)} {much}: compare with what the release says.")
    cls = health.explained_variance_cls
    if spec.scope == "all" and cls is not None and cls < LEAST_EXPLAINED:
        odd(
            "class token",
            f"Of the class token, which the answer is read from, the dictionary explains {decimal(cls)} of the "
            "variance: what decides the answer may lie outside its components.",
        )
    if LEAST_KEPT <= health.answers_kept < _MOSTLY:
        odd(
            "answers",
            f"Seeing nothing but what the components hold, the model keeps {100 * health.answers_kept:.0f} % of its "
            "answers: much of what decides lies outside them.",
        )
    if health.unanswered:
        odd(
            "ties",
            f"On {health.unanswered} of {health.pictures} {health.kind} two classes tie for the best: those count as "
            "no answer.",
        )
    if health.read_as_end:
        odd(
            "texts",
            f"Its text tower reads texts at “{health.read_as_end}” and not at their end: its tokenizer or its "
            "end-of-text id may be of another model.",
        )
    if health.same_texts:
        one, other = health.same_texts[0]
        more = len(health.same_texts) - 1
        also = f", and so are the texts of {more} more {'pair' if more == 1 else 'pairs'} of classes" if more else ""
        odd("texts", f"“{one}” and “{other}” are the same to its text tower{also}: its tokenizer may not know them.")
    if not health.same_texts and health.texts_apart < _HARDLY_APART:
        odd("texts", f"Class names hardly differ to its text tower: at most by {health.texts_apart:.3f}, of 2.")
    if health.pictures_apart < _HARDLY_APART:
        odd(
            "pictures",
            f"Pictures hardly differ to its vision tower: at most by {health.pictures_apart:.3f}, of 2. Its image "
            "processor may not be its own.",
        )
    least, most = _USUAL_SCALES
    if not least <= health.logit_scale <= most:
        odd(
            "logit scale",
            f"The logit scale is {health.logit_scale:.3g}, where CLIPs have 14 to 100: probabilities are not to be "
            "believed.",
        )
    return tuple(found)


def _neighbour(health: Health, spec: SetupSpec) -> tuple[Fit, Fit] | None:
    """How it fits layer L, and the neighbour that it fits best; None when there is none, or none that is better by more
    than a trifle."""
    here = next(fit for fit in health.fits if fit.layer == spec.layer)
    others = [fit for fit in health.fits if fit is not here]
    best = max(others, key=lambda fit: fit.explained_variance, default=here)
    better = best.explained_variance - here.explained_variance > _FEWER_POINTS
    return (here, best) if better else None


def _share_left(health: Health, spec: SetupSpec) -> float:
    """What the best neighbour leaves unexplained, over what L does: of the sum over tokens or of the median token,
    whichever speaks more for L. 1 or more where L is the best."""
    pair = _neighbour(health, spec)
    if pair is None:
        return 1.0
    here, best = pair
    of_all, of_median = 1 - here.explained_variance, max(here.missed, 1e-12)
    return max((1 - best.explained_variance) / of_all, best.missed / of_median)


def _better_layer(health: Health, spec: SetupSpec) -> str:
    """Where it fits better; nothing where it does not."""
    pair = _neighbour(health, spec)
    if pair is None:
        return ""
    here, best = pair
    return (
        f"It explains {decimal(best.explained_variance)} of the variance after layer {best.layer} and "
        f"{decimal(here.explained_variance)} after layer {here.layer}: it may have been trained on another layer, in "
        "that direction. (This rule was found on a CLIP of six layers and may not hold for a deeper one.)"
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _number(value: float) -> str:
    """A count that may be an average: 10.6, 1,534."""
    return f"{value:,.1f}".removesuffix(".0") if value < 100 else f"{value:,.0f}"
