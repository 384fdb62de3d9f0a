"""A zero-shot model of any family, split at a place of its vision tower: most often after layer L.

1. A picture is resized and cropped to what the model sees (`crop`), then rescaled and normalised (`pixels`).
2. `read` runs the vision tower up to the place: x in R^d for every token (token 0 is the class token, the rest are the
   patches in reading order), and what a dictionary reads there. `residual` is x alone.
3. `embed_from_residual` runs what is left, from x to the image embedding z. Whoever changes x sees the change in z.
4. `texts` and `text_classifier` turn class names into unit vectors t; `logits` compares: scale * cos(z, t) + bias.

How a model is run is its family's to say (`families`), and what x is the place's (`places`). There are no hooks and no
state: the result equals the unsplit model's.
"""

import random
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.image_processing_backends import PilBackend

from ..background import aside
from ..errors import UserError
from .families import family_of
from .places import AtPlace, Place
from .scope import Scope
from .scoring import Scoring

_TEXT_BATCH = 128
MAX_TEXT_WORK = 3e12
"""Multiplications for the classes of one question on a CPU, where nothing tells how far it is: half a minute of a few
cores."""
_COUNTED = 2048
"""Texts of which the tokens are counted; of more, so many at random."""


class SplitClip:
    """A zero-shot model, its vision tower split at a place. Read-only: eval mode, weights without gradients."""

    def __init__(
        self,
        model: PreTrainedModel,
        image_processor: PilBackend,
        tokenizer: PreTrainedTokenizerBase,
        place: Place,
        prefix: torch.dtype = torch.float32,
    ) -> None:
        """Split `model` at `place`. Raises UserError when there is no such place, or the model is of no known family.

        `prefix` is the precision in which the layers up to the place multiply; everything after it stays in the
        weights'. What a lower one changes is measured by `tests/benchmarks/precision.py`.
        """
        self.family = family_of(model)
        self.model: Any = model
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self.place = place
        self.prefix = prefix
        place.check(self.n_layers)

    def to(self, device: str) -> "SplitClip":
        """The same on another device; itself where it is there already."""
        if torch.device(device) == self.device:
            return self
        # Handed to deepcopy as copied already, the weights are never held twice where they are now.
        tensors = [*self.model.parameters(), *self.model.buffers()]
        moved = {id(t): _like(t, t.to(device)) for t in tensors}
        model = deepcopy(self.model, moved)
        return SplitClip(model, self.image_processor, self.tokenizer, self.place, self.prefix)

    # What it is

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.logit_scale.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights (float32 unless built otherwise)."""
        return self.model.logit_scale.dtype

    @property
    def n_bytes(self) -> int:
        """The weights' size in memory."""
        return sum(t.nbytes for t in (*self.model.parameters(), *self.model.buffers()))

    @property
    def layer(self) -> int:
        """L, the layer of the vision tower that the place belongs to, from 0."""
        return self.place.layer

    @property
    def n_layers(self) -> int:
        """Number of layers of the vision tower."""
        return self.family.n_layers

    @property
    def width(self) -> int:
        """d, the width of x."""
        return self.place.width(self.family)

    @property
    def projection(self) -> int:
        """p, the length of the embeddings of pictures and texts."""
        return self.family.projection

    @property
    def context(self) -> int:
        """Tokens that the text tower reads, with the start and the end."""
        return self.family.context

    @property
    def image_size(self) -> int:
        """S, the side of the picture that the model sees, in pixels."""
        return self.family.image_size

    @property
    def has_class_token(self) -> bool:
        """Whether token 0 of x is a class token."""
        return self.place.has_class_token(self.family)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the patches that x has a token for, from token 1 on; without any, 0 and 0."""
        return self.place.grid(self.family)

    @property
    def n_tokens(self) -> int:
        """T, the tokens of x: token 0, which is the class token or, in a model without one, nothing; the patches."""
        rows, columns = self.grid
        return 1 + rows * columns

    def scope(self, asked: Scope) -> Scope:
        """The tokens of x that a dictionary of that scope reads here. Raises UserError where there are none."""
        return self.place.scope(self.family, asked)

    @property
    def scoring(self) -> Scoring:
        """How a cosine becomes a logit, and a logit a probability."""
        return self.family.scoring

    @property
    def logit_scale(self) -> float:
        """A change of a logit is this times a change of a cosine: exp of the learned scale, 100 for most CLIPs."""
        return self.scoring.scale

    def tensor(self, array: np.ndarray | Tensor) -> Tensor:
        """An array as a tensor on the model's device, in its precision. It may share memory: do not write."""
        return torch.as_tensor(array, device=self.device, dtype=self.dtype)

    # Pictures

    def crop(self, picture: Image.Image) -> np.ndarray:
        """What the model sees of an RGB picture, uint8 [S, S, 3]: its processor's own resize and crop."""
        seen = self.image_processor(picture, do_rescale=False, do_normalize=False)["pixel_values"][0]
        return np.ascontiguousarray(np.asarray(seen, dtype=np.uint8).transpose(1, 2, 0))

    def pixels(self, crops: np.ndarray) -> Tensor:
        """uint8 crops [B, S, S, 3] -> the model's input [B, 3, S, S]: its processor's own normalisation."""
        settings: Any = self.image_processor  # whose settings transformers does not declare
        values = self.tensor(crops).permute(0, 3, 1, 2)
        if settings.do_rescale:
            values = values * settings.rescale_factor
        if settings.do_normalize:
            mean, std = (self.tensor(np.array(v)).view(1, 3, 1, 1) for v in (settings.image_mean, settings.image_std))
            values = (values - mean) / std
        return values.contiguous()

    def in_prefix(self) -> AbstractContextManager[object]:
        """Within it, layers multiply in the precision of those up to the place."""
        if self.prefix == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.prefix)

    @torch.no_grad()
    def read(self, pixels: Tensor) -> AtPlace:
        """pixels [B, 3, S, S] -> x [B, T, d] at the place, and what a dictionary reads of it."""
        with self.in_prefix():
            return self._in_full(self.place.read(self.family, pixels))

    @torch.no_grad()
    def read_beside(self, pixels: Tensor) -> dict[int, AtPlace]:
        """The same by layer: here, and at the same place one layer before and one after, as far as there are any."""
        with self.in_prefix():
            found = self.place.beside(self.family, pixels)
        return {layer: self._in_full(at) for layer, at in found.items()}

    def _in_full(self, at: AtPlace) -> AtPlace:
        """In the precision of the weights; what is one stays one."""
        x = at.x.to(self.dtype)
        return AtPlace(x, x if at.seen is at.x else at.seen.to(self.dtype))

    def residual(self, pixels: Tensor) -> Tensor:
        """pixels [B, 3, S, S] -> x [B, T, d] at the place."""
        return self.read(pixels).x

    def embed_from_residual(self, residual: Tensor) -> Tensor:
        """x [B, T, d] at the place -> the image embeddings [B, p], not normalised. Differentiable."""
        return self.place.embed(self.family, residual)

    # Texts

    def token_ids(self, prompts: Sequence[str]) -> list[tuple[int, ...]]:
        """The tokens of each prompt, with the start and the end; of a longer one than the context the end is lost.

        A tokenizer keeps how it was last asked to cut and to pad, so several threads have to ask in the same way: only
        here, and without padding.
        """
        texts = [self.family.written(prompt) for prompt in prompts]
        ids = self.tokenizer(texts, truncation=True, max_length=self.context)["input_ids"]
        return [tuple(each) for each in ids]

    def texts(self, prompts: Sequence[str]) -> Tensor:
        """n prompts -> unit text embeddings [n, p]. Longer prompts than the context lose their end."""
        none = torch.empty(0, self.projection, device=self.device, dtype=self.dtype)
        batches = (prompts[start : start + _TEXT_BATCH] for start in range(0, len(prompts), _TEXT_BATCH))
        return torch.cat([none, *(aside(partial(self._texts, batch)) for batch in batches)])

    @torch.no_grad()
    def _texts(self, prompts: Sequence[str]) -> Tensor:
        """The same for one batch, in whatever thread."""
        return F.normalize(self.family.text_features(self.token_ids(prompts), self.tokenizer), dim=-1)


def _like(old: Tensor, new: Tensor) -> Tensor:
    """`new` as what `old` is: a frozen parameter or a buffer."""
    return torch.nn.Parameter(new, requires_grad=False) if isinstance(old, torch.nn.Parameter) else new


def logits(embedding: Tensor, classifier: Tensor, scoring: Scoring) -> Tensor:
    """Image embeddings [..., p] against unit class vectors [C, p]: scale * cosine + bias, in logits, [..., C]."""
    return scoring.scale * F.normalize(embedding, dim=-1) @ classifier.T + scoring.bias


def text_classifier(clip: SplitClip, classes: Sequence[str], templates: Sequence[str]) -> Tensor:
    """Unit class vectors [C, p]: the mean over templates of the unit embeddings, made unit again.

    The prompt ensembling of "Learning Transferable Visual Models From Natural Language Supervision" (arXiv
    2103.00020, section 3.1.4). `{}` is replaced literally, so that a class may itself hold braces.
    """
    steps = list(classifier_steps(clip, classes, templates))
    return torch.cat(steps) if steps else clip.texts([])


def classifier_steps(clip: SplitClip, classes: Sequence[str], templates: Sequence[str]) -> Iterator[Tensor]:
    """The same for a few classes at a time, [c, p]: for as many as one batch of texts is of, and at least one."""
    some = max(1, _TEXT_BATCH // max(1, len(templates)))
    for start in range(0, len(classes), some):
        part = classes[start : start + some]
        embeddings = clip.texts([template.replace("{}", name) for name in part for template in templates])
        yield F.normalize(embeddings.view(len(part), len(templates), -1).mean(1), dim=-1)


def text_work(clip: SplitClip, classes: Sequence[str], templates: Sequence[str]) -> float:
    """Multiplications that reading these classes takes: tokens times the weights of the text tower's layers."""
    weights = sum(t.numel() for t in clip.model.text_model.encoder.parameters())
    n = len(classes) * len(templates)
    counted: Sequence[int] = range(n) if n <= _COUNTED else random.Random(0).sample(range(n), _COUNTED)
    pairs = (divmod(k, len(templates)) for k in counted)
    texts = clip.token_ids([templates[t].replace("{}", classes[c]) for c, t in pairs]) if n else []
    tokens = sum(map(clip.family.tokens_read, texts))
    return weights * tokens * n / max(1, len(counted))


def check_text_work(
    clip: SplitClip, classes: Sequence[str], templates: Sequence[str], most: float | None = None
) -> None:
    """Raise UserError where a CPU would read these classes for longer than `most` allows, by default MAX_TEXT_WORK."""
    if clip.device.type != "cpu":
        return
    work, most = text_work(clip, classes, templates), MAX_TEXT_WORK if most is None else most
    if work > most:
        n = len(classes) * len(templates)
        raise UserError(
            f"{len(classes):,} classes in {len(templates)} wordings are {n:,} texts: minutes of this CLIP, here. "
            f"Ask for about {int(n * most / work):,} at most: fewer classes, fewer wordings, or shorter ones."
        )


def indistinct_classes(
    clip: SplitClip, classes: Sequence[str], templates: Sequence[str], known: Collection[str] = ()
) -> tuple[str, str] | None:
    """The first two classes that the text tower is given the same tokens for, with every template; None where none are.

    Their class vectors are the same numbers, so that no answer tells them apart: they differ only behind the context's
    end, or in what the tokenizer makes alike. Of two that are both `known`, nothing is said.
    """
    alike: dict[tuple[int, ...], list[str]] = {}
    for name, ids in zip(classes, clip.token_ids([templates[0].replace("{}", name) for name in classes]), strict=True):
        alike.setdefault(ids, []).append(name)
    seen: dict[tuple[tuple[int, ...], ...], str] = {}
    for name in chain.from_iterable(names for names in alike.values() if len(names) > 1):
        tokens = tuple(clip.token_ids([template.replace("{}", name) for template in templates]))
        other = seen.setdefault(tokens, name)
        if other != name and not (other in known and name in known):
            return other, name
    return None
