"""Search in a concept index: the components (SAE latents) whose pictures are most like words, or like a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .index import ConceptIndex

WORDINGS = ("a photo of a {}", "{}")
"""What words are searched by: the mean of both. A class name matches better in the sentence, a phrase ("the word dog")
better alone. On the bundled setup, of the five best matches for each of its 40 class names, 83 % go with that class
(correlation above 0.15) by both, 83 % by the sentence, 79 % by the bare name; for "the word dog" and its like, it is
48, 43 and 48 %."""

_AT_A_TIME = 1 << 13
"""Components whose embeddings are widened to float32 at a time."""


@dataclass(frozen=True)
class Match:
    """A component that fits what was asked for."""

    component: int
    """Index into the dictionary."""
    score: float
    """Of words: how much nearer to them its reference pictures are than to any words, as a difference of cosines. Of a
    picture: the cosine, -1 to 1, of what sets its reference pictures and that picture apart from the collection.

    Of a component that is a word: the cosine of the two; of a picture, its activation there."""


def matches_words(index: ConceptIndex, text: np.ndarray, common: np.ndarray, most: int) -> tuple[Match, ...]:
    """The components whose reference pictures fit words best, those that never fired left out.

    score = cos(z_j, t) - <z_j, c> / |z_j|, with z_j the mean embedding of the component's reference pictures, t [p] the
    unit embedding of the words, and c [p] the mean embedding of everyday words in the same wording: what all words
    share. The alignment of label guesses has the empty text's embedding in place of c. Which word fits a component
    best is the same with either, but not which component fits a word best: on the bundled setup, of the five best
    matches for a class's name, 83 % go with that class (correlation above 0.15) with c, and 70 % with the empty text.
    """
    return _best(index, lambda z: _units(z) @ (text - common).astype(np.float32), most)


def matches_picture(index: ConceptIndex, picture: np.ndarray, most: int) -> tuple[Match, ...]:
    """The components whose reference pictures are most like a picture, those that never fired left out.

    score = cos(z_j - a, z - a), with z [p] the picture's embedding made unit and a the mean over the collection. If a
    were left in, all pictures would be alike: the embeddings of a CLIP lie in a narrow cone, and z_j near its middle,
    of components that fire for anything, would be near everything.
    """
    unit = picture / max(float(np.linalg.norm(picture)), 1e-12)
    apart = _units((unit - index.average)[None].astype(np.float32))[0]
    return _best(index, lambda z: _units(z - index.average) @ apart, most)


def strongest(scores: np.ndarray, most: int) -> tuple[Match, ...]:
    """At most that many components of the highest scores [m]; of equals the first."""
    order = np.argsort(-scores, kind="stable")[:most]
    return tuple(Match(int(component), float(scores[component])) for component in order)


def _best(index: ConceptIndex, score: Callable[[np.ndarray], np.ndarray], most: int) -> tuple[Match, ...]:
    m = index.n_components
    parts = [score(index.embedding[start : start + _AT_A_TIME].astype(np.float32)) for start in range(0, m, _AT_A_TIME)]
    scores = np.where(index.active_pictures > 0, np.concatenate(parts), -np.inf)
    return strongest(scores, min(most, int((index.active_pictures > 0).sum())))


def _units(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1; 0 stays 0."""
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
