"""Measurement of a setup's health on a few pictures, made whenever it loads.

1. Every weight of the CLIP and of the dictionary is looked at: are all finite?
2. Every picture is read up to the place: what the dictionary reads there, s_t, and the same one layer earlier and one
   later.
3. The dictionary encodes the tokens in its scope, s_hat_t is what it makes of them. Over all pictures: how much of the
   variance of s is in s_hat, how many components are active at a token, and how many are silent on all pictures.
4. s_hat stands in for s, and what comes after the place runs: how many answers stay as they were? An answer is the one
   best class; where two tie for it, or a logit is not finite, there is none.
5. The same dictionary on the layers beside L.

What the figures mean is said in `core.setups.health`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..errors import UserError, first_line
from ..files import ASSETS
from ..model.clip import SplitClip, logits, text_classifier
from ..model.dictionary import Dictionary
from ..model.places import AtPlace
from ..model.prompts import TEMPLATES
from ..model.scoring import Scoring
from ..pictures.examples import PHOTOGRAPHS, Example, read_examples
from ..pictures.photographs import photographs
from ..pictures.read import read_picture
from ..stats import explained_variance
from .catalog import SetupSpec
from .health import Fit, Health, doubts
from .standardisation import Standardisation

BUNDLED_CLIP = ASSETS / "bundled" / "clip"
"""The CLIP that is checked on rendered scenes, with whichever dictionary."""
_BESIDE_TOKENS = 2000
"""About how many tokens are encoded for each neighbouring layer."""
_SAME_COSINE = 1e-6
"""Cosines that differ by less are a tie: float32 leaves that much between equal ones."""
_SAME_TEXT = 1e-3
"""Unit vectors of two classes that are nearer are the same."""


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
class ProbeSet:
    """The pictures that a setup is checked on."""

    kind: str
    """What they are, for the reader: "photographs"."""
    samples: tuple[Sample, ...]
    """At least two."""


def probe_for(spec: SetupSpec) -> ProbeSet:
    """The pictures that a setup is checked on: photographs, but for the bundled CLIP, which has never seen one.

    Those that cues are planted on are among them, without the cues: with one, a healthy CLIP may be wrong.
    """
    if is_bundled_clip(spec):
        return ProbeSet("example pictures", example_samples())
    clean: dict[Path, Example] = {}
    for example in read_examples(PHOTOGRAPHS):
        if example.counterfactual is not None:
            clean.setdefault(example.file(counterfactual=True), example)
    found = [Sample(read_picture(one.path), one.classes, one.label) for one in photographs()]
    found += (Sample(read_picture(path), one.classes, one.truth) for path, one in clean.items())
    return ProbeSet("photographs", tuple(found))


def is_bundled_clip(spec: SetupSpec) -> bool:
    """Whether it is this project's own CLIP, with whichever dictionary."""
    return spec.clip.folder is not None and spec.clip.folder.resolve() == BUNDLED_CLIP.resolve()


def example_samples() -> tuple[Sample, ...]:
    """The example pictures, each followed by its counterfactual (the same scene without its cue) where it has one."""
    return tuple(
        Sample(read_picture(example.file(counterfactual)), example.classes, example.truth)
        for example in read_examples()
        for counterfactual in ((False, True) if example.counterfactual else (False,))
    )


@torch.no_grad()
@np.errstate(invalid="ignore", over="ignore")  # what is not finite is looked for, and told otherwise
def check(
    clip: SplitClip,
    dictionary: Dictionary,
    spec: SetupSpec,
    probe: ProbeSet,
    tell: Callable[[int, int], None] | None = None,
    standardisation: Standardisation | None = None,
) -> Health:
    """How a CLIP and `dictionary` do on the pictures of `probe`, and the doubts that this raises; `spec` is what is
    published of them, `standardisation` what is folded into the dictionary.

    `tell` hears before every picture how many are done, and of how many. It stops the check by raising. Raises
    UserError when the CLIP's tokenizer cannot be used with its text tower at all. One picture is read at a time; of all
    of them s and what the dictionary misses of it are kept, [T, d] each.
    """
    samples = probe.samples
    if len(samples) < 2:
        raise ValueError("variance over the pictures needs at least two of them")
    questions = dict.fromkeys(sample.classes for sample in samples)
    read_as_end = _read_as_end(clip, tuple(name for classes in questions for name in classes), spec)
    classifiers = {classes: text_classifier(clip, classes, TEMPLATES["single"]) for classes in questions}
    model = _Model(clip, classifiers, read_as_end)
    per_picture = len(dictionary.tokens(clip.n_tokens))
    beside_every = -(-per_picture * len(samples) // _BESIDE_TOKENS)
    tally = _Tally(clip, dictionary, standardisation)
    for done, sample in enumerate(samples):
        if tell is not None:
            tell(done, len(samples))
        found = clip.read_beside(clip.pixels(clip.crop(sample.picture)[None]))
        by_layer = {layer: AtPlace(at.x[0], at.seen[0]) for layer, at in found.items()}
        answer = model.answer(by_layer[clip.layer].x, sample)
        tally.add(by_layer, model, answer, sample, beside=done % beside_every == 0)
    health = tally.health(model, probe)
    return replace(health, doubts=doubts(health, spec))


# ---- what is measured


@dataclass(frozen=True)
class _Answer:
    """What the model says of one picture, with some x in place of its own."""

    logits: np.ndarray
    """[C], float64."""
    best: int | None
    """The best class; None where two tie for it, or a logit is not finite."""
    finite: bool
    """Whether all logits are."""

    @classmethod
    def of(cls, logits: np.ndarray, scoring: Scoring) -> "_Answer":
        finite = bool(np.isfinite(logits).all())
        first, second = np.argsort(-logits, kind="stable")[:2]
        one = finite and logits[first] - logits[second] > _SAME_COSINE * scoring.scale
        return cls(logits, int(first) if one else None, finite)


class _Model:
    """The CLIP's part in the check: what it says, and what that rests on."""

    def __init__(self, clip: SplitClip, classifiers: dict[tuple[str, ...], Tensor], read_as_end: str) -> None:
        self.clip, self._classifiers, self.read_as_end = clip, classifiers, read_as_end
        self._embeddings: list[Tensor] = []
        self.answers: list[_Answer] = []

    def answer(self, x: Tensor, sample: Sample) -> _Answer:
        """Of a picture's own x [T, d]."""
        embedding = self.clip.embed_from_residual(x[None])[0]
        self._embeddings.append(F.normalize(embedding, dim=-1))
        self.answers.append(self._logits(embedding, sample))
        return self.answers[-1]

    def answer_through(self, x_hat: Tensor, sample: Sample) -> _Answer:
        """Of what stands in its place."""
        return self._logits(self.clip.embed_from_residual(x_hat[None])[0], sample)

    def _logits(self, embedding: Tensor, sample: Sample) -> _Answer:
        scoring = self.clip.scoring
        found = logits(embedding, self._classifiers[sample.classes], scoring)
        return _Answer.of(found.cpu().double().numpy(), scoring)

    def texts_apart(self) -> float:
        return max(float(_distances(rows).max()) for rows in self._classifiers.values())

    def pictures_apart(self) -> float:
        return float(_distances(torch.stack(self._embeddings)).max())

    def same_texts(self) -> tuple[tuple[str, str], ...]:
        pairs: dict[tuple[str, str], None] = {}
        for classes, rows in self._classifiers.items():
            for one, other in zip(*np.nonzero(np.triu(_distances(rows) < _SAME_TEXT, 1)), strict=True):
                pairs[classes[one], classes[other]] = None
        return tuple(pairs)


class _Tally:
    """What the dictionary did so far."""

    def __init__(self, clip: SplitClip, dictionary: Dictionary, standardisation: Standardisation | None) -> None:
        self._layer, self._dictionary, self._standardisation = clip.layer, dictionary, standardisation
        self._place = clip.place.words(clip.n_layers)
        self._has_cls = clip.has_class_token and 0 in dictionary.tokens(clip.n_tokens)
        self._seen: list[np.ndarray] = []
        self._missed: list[np.ndarray] = []
        self._beside: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        self._active = self._active_cls = 0
        self._fired = np.zeros(dictionary.n_components, dtype=bool)
        self._sum = np.zeros(dictionary.width)
        self._squares = 0.0
        self._encoded = True
        self._answers: list[tuple[bool, bool, bool]] = []
        self._changes: list[float] = []
        self._finite_through = True
        self._chances: list[float] = []

    def add(self, by_layer: dict[int, AtPlace], model: _Model, answer: _Answer, sample: Sample, beside: bool) -> None:
        """One picture: x and s [T, d] at L and the layers beside it, which are looked at only if `beside`."""
        x, read = by_layer[self._layer]
        seen, missed, again = self._look(read, count=True)
        self._seen.append(seen)
        self._missed.append(missed)
        through = model.answer_through(x - read + again, sample)
        truth = sample.classes.index(sample.truth)
        kept = answer.best is not None and answer.best == through.best
        self._answers.append((answer.best == truth, through.best == truth, kept))
        self._chances.append(1 / len(sample.classes))
        self._finite_through &= through.finite
        first, second = np.argsort(-answer.logits, kind="stable")[:2]
        self._changes.append(float(np.subtract(*np.subtract(through.logits, answer.logits)[[first, second]])))
        if beside:
            for layer, at in by_layer.items():
                pair = (seen, missed) if layer == self._layer else self._look(at.seen)[:2]
                self._beside.setdefault(layer, []).append(pair)

    def health(self, model: _Model, probe: ProbeSet) -> Health:
        """What it comes to, without doubts."""
        seen, missed = np.concatenate(self._seen), np.concatenate(self._missed)
        unanswered = sum(answer.best is None for answer in model.answers)
        right, right_through, kept = (np.array(values) for values in zip(*self._answers, strict=True))
        cls = None
        if self._has_cls:
            cls = explained_variance(np.stack([x[0] for x in self._seen]), np.stack([e[0] for e in self._missed]))
        standardised = None
        if self._standardisation is not None:
            standardised = self._standardisation.explained_variance(seen, missed)
        pictures = len(self._answers)
        return Health(
            pictures=pictures,
            kind=probe.kind,
            tokens=len(seen),
            components=self._dictionary.n_components,
            not_finite=self._not_finite(model, seen, missed),
            logit_scale=model.clip.logit_scale,
            texts_apart=model.texts_apart(),
            pictures_apart=model.pictures_apart(),
            read_as_end=model.read_as_end,
            same_texts=model.same_texts(),
            explained_variance=explained_variance(seen, missed),
            explained_variance_standardised=standardised,
            explained_variance_cls=cls,
            active_per_token=self._active / len(seen),
            active_on_cls=self._active_cls / pictures if self._has_cls else None,
            silent_share=float(1 - self._fired.mean()),
            components_vary=self._components_vary(len(seen)),
            chance=float(np.mean(self._chances)),
            unanswered=unanswered,
            accuracy=float(right.mean()),
            accuracy_through=float(right_through.mean()),
            answers_kept=float(kept.sum()) / max(1, len(kept) - unanswered),
            margin_change=float(np.median(self._changes)),
            fits=tuple(_fit(layer, *zip(*pairs, strict=True)) for layer, pairs in sorted(self._beside.items())),
        )

    def _components_vary(self, tokens: int) -> float:
        constant = float(np.square(self._sum).sum() / tokens)
        return 1 - constant / self._squares if self._squares else 0.0

    def _not_finite(self, model: _Model, seen: np.ndarray, missed: np.ndarray) -> str:
        """Where the first number stands that is not finite, from what is read to what is said; else nothing."""
        module = model.clip.model
        parts = (
            ("CLIP", dict((*module.named_parameters(), *module.named_buffers()))),
            ("dictionary", self._dictionary.weights),
        )
        for part, weights in parts:
            if name := _weight_not_finite(weights):
                return f"the weight {name} of its {part}"
        if not np.isfinite(seen).all():
            return f"the {self._place}"
        if not (self._encoded and np.isfinite(missed).all()):
            return "what its dictionary makes of what it reads"
        if not all(answer.finite for answer in model.answers):
            return "the logits of its CLIP"
        return "" if self._finite_through else "the logits that its CLIP gives for its dictionary's reconstruction"

    def _look(self, x: Tensor, count: bool = False) -> tuple[np.ndarray, np.ndarray, Tensor]:
        """s [T, d] -> s and s - s_hat at the tokens in scope, float32 [n, d], and s_hat [T, d].

        s_hat is put together from the active pairs: nothing dense outlives `Dictionary.activations`, which encodes a
        few tokens at a time.
        """
        scope = self._dictionary.tokens(len(x))
        inside = slice(scope.start, scope.stop)
        found = self._dictionary.activations(x)
        added = self._dictionary.decode(found)
        x_hat = x.clone()
        x_hat[inside] = (added + self._dictionary.bias_at(x))[inside]
        missed = (x - x_hat)[inside].float().cpu().numpy()
        if count:
            self._active += len(found.value)
            self._active_cls += int((found.token == 0).sum())
            self._fired[found.component] = True
            sums = added[inside].cpu().double()  # Apple's GPU has no doubles
            self._sum += sums.sum(0).numpy()
            self._squares += float(sums.square().sum())
            self._encoded &= bool(np.isfinite(found.value).all())
        return x[inside].float().cpu().numpy(), missed, x_hat


def _read_as_end(clip: SplitClip, classes: Sequence[str], spec: SetupSpec) -> str:
    """The token at which the text tower reads the first text that it does not read at its end; else nothing.

    Raises UserError where the tokenizer fails, or gives ids that the text tower has no embedding for: on a GPU such an
    id would not only fail, but end every computation of the process.
    """
    prompts = [TEMPLATES["single"][0].replace("{}", name) for name in classes]
    settings = clip.model.config.text_config
    try:
        found = clip.tokenizer(
            prompts, padding=True, truncation=True, max_length=settings.max_position_embeddings, return_tensors="np"
        )
        ids, ends = found["input_ids"], found["attention_mask"].sum(1) - 1
    except Exception as error:
        raise UserError(
            f"The setup {spec.name!r} is refused. The tokenizer of its CLIP cannot read “{prompts[0]}”: "
            f"{first_line(error)}. Choose a CLIP whose folder has its own tokenizer."
        ) from error
    known, largest = settings.vocab_size, int(ids.max())
    if largest >= known:
        raise UserError(
            f"The setup {spec.name!r} is refused. The tokenizer of its CLIP gives the token {largest:,}, and its text "
            f"tower knows {known:,} tokens. It is of another model; choose a CLIP whose folder has its own tokenizer."
        )
    read = clip.family.reads_at(ids)
    if read is None or not (wrong := np.flatnonzero(read != ends)).size:
        return ""
    return str(clip.tokenizer.decode([ids[wrong[0], read[wrong[0]]]]))


def _weight_not_finite(weights: Mapping[str, Tensor]) -> str:
    """The name of the first weight with a number that is not finite; nothing when there is none."""
    for name, weight in weights.items():
        if weight.is_floating_point() and weight.numel() and not _is_finite(weight):
            return name
    return ""


def _is_finite(weight: Tensor) -> bool:
    if weight.device.type == "cpu":  # the extremes are found in a tenth of the time, and without a copy
        return bool(torch.isfinite(torch.stack(torch.aminmax(weight))).all())
    return bool(torch.isfinite(weight).all())


def _distances(rows: Tensor) -> np.ndarray:
    """Between all pairs of rows [n, p]: [n, n], each exact to float32 of its own size."""
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").cpu().numpy()


def _fit(layer: int, seen: Sequence[np.ndarray], missed: Sequence[np.ndarray]) -> Fit:
    x, e = (np.concatenate(parts).astype(np.float64) for parts in (seen, missed))
    spread = np.square(x - x.mean(0)).sum(1)
    shares = np.square(e).sum(1)[spread > 0] / spread[spread > 0]
    return Fit(layer, explained_variance(x, e), float(np.median(shares)) if len(shares) else float("nan"))
