"""A picture set: many pictures read once by a setup, with what is known of each and what the model says of it.

A set is read once; every edit tried on it (`generalization`), and every search through its failures, then runs only the
layers after L. What is proposed on some of its pictures has to be judged on others: `split` deals them out by a hash of
their names, so that whoever asks gets the same parts.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..model.clip import SplitClip, logits
from ..model.trace import Trace
from ..records import Preview, Record
from ..words import count

Progress = tuple[int, int]
"""Pictures done, and how many there are."""


@dataclass(frozen=True, eq=False, repr=False)
class PictureSet(Record):
    """Many pictures, as one setup read them: numpy and plain values only, so that it pickles.

    The residuals make up most of it: 50 KB a picture for the bundled setup, 1 MB for a ViT-L/14.
    """

    traces: tuple[Trace, ...]
    """Each picture, read once."""
    names: tuple[str, ...]
    """Of each picture: its file's name, or what the data set calls it."""
    truth: np.ndarray
    """int [N]: the class each shows, an index into `classes`; -1 where that is not known, or is none of them."""
    group: np.ndarray
    """str [N]: what else the pictures are told apart by, such as where they come from; "" without."""
    said: np.ndarray
    """int [N]: the class the model says without any edit."""
    classes: tuple[str, ...]
    """What the model chooses from."""

    def __len__(self) -> int:
        """How many pictures."""
        return len(self.traces)

    def __repr__(self) -> str:
        """Their number; the traces are too many to print."""
        return f"PictureSet({len(self.traces)} pictures, {len(self.classes)} classes)"

    @property
    def labelled(self) -> np.ndarray:
        """bool [N]: whether it is known which of the classes a picture shows."""
        return self.truth >= 0

    @property
    def right(self) -> np.ndarray:
        """bool [N]: whether the model says that class, without any edit."""
        return self.labelled & (self.said == self.truth)

    @property
    def wrong(self) -> np.ndarray:
        """bool [N]: whether it says another."""
        return self.labelled & (self.said != self.truth)

    @property
    def n_bytes(self) -> int:
        """What the traces take in memory."""
        return sum(
            array.nbytes
            for trace in self.traces
            for f in [trace.activations]
            for array in (trace.crop, trace.residual, trace.embedding, f.token, f.component, f.value)
        )

    def part(self, indices: Sequence[int] | np.ndarray) -> "PictureSet":
        """These of the pictures, in the order of `indices`; the traces are shared, not copied."""
        which = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            traces=tuple(self.traces[i] for i in which),
            names=tuple(self.names[i] for i in which),
            truth=self.truth[which],
            group=self.group[which],
            said=self.said[which],
        )

    def preview(self) -> Preview:
        """How many pictures each class has, and how many of them are said right."""
        rows = [
            (name, str(int((self.truth == c).sum())), str(int((self.right & (self.truth == c)).sum())))
            for c, name in enumerate(self.classes)
            if (self.truth == c).any()
        ]
        title = f"{count(len(self), 'picture')}, {int(self.labelled.sum())} with a label, {int(self.right.sum())} right"
        return Preview(title, ("class", "pictures", "right"), rows)


def split(names: Sequence[str], shares: Sequence[float], seed: int = 0) -> tuple[np.ndarray, ...]:
    """Deal pictures out: for each share its indices into `names`, ascending; no picture is in two parts.

    A picture's part depends on its name, the shares and the seed alone, and not on the other pictures: part k where the
    SHA-256 of seed and name, as a number from 0 to 1, falls into the k-th of the intervals that the shares lay end to
    end. So parts have about their share of the pictures, and what a sum below 1 leaves over is in none. Pictures
    of one name stay together; copies of a picture under other names may come apart. Raises ValueError for shares that
    are not positive, or add up to more than 1.
    """
    if any(share <= 0 for share in shares) or sum(shares) > 1 + 1e-9:
        raise ValueError(f"shares {tuple(shares)} are not parts of a whole")
    ends = np.cumsum(shares)
    if sum(shares) > 1 - 1e-9:
        ends[-1:] = 1.0
    drawn = np.array([_place(name, seed) for name in names])
    part = np.searchsorted(ends, drawn, side="right")
    return tuple(np.flatnonzero(part == k) for k in range(len(ends)))


def _place(name: str, seed: int) -> float:
    """Where a name falls, from 0 to below 1."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / (1 << 48)


@torch.no_grad()
def class_logits(clip: SplitClip, embeddings: Tensor, classifier: Tensor) -> np.ndarray:
    """Logits [N, C] of image embeddings [N, p], in one product."""
    return logits(embeddings, classifier, clip.logit_scale).cpu().numpy()


def embeddings_of(clip: SplitClip, traces: Sequence[Trace]) -> Tensor:
    """Image embeddings of traced pictures, [N, p], not normalised, on the model's device."""
    if not traces:
        return clip.place(np.zeros((0, clip.model.config.projection_dim), dtype=np.float32))
    return clip.place(np.stack([trace.embedding for trace in traces]))


def said_of(clip: SplitClip, traces: Sequence[Trace], classifier: Tensor) -> np.ndarray:
    """The class of the highest logit for each picture, int [N]; of equals the first."""
    return class_logits(clip, embeddings_of(clip, traces), classifier).argmax(-1)
