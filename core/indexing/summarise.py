"""Summary of what was accumulated, as a concept index: label guesses, clarity, and the nearest components."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ..concepts.index import FORMAT, LABELS, ActivatingExamples, ConceptIndex, Identity, Manifest
from ..errors import UserError
from ..model.clip import SplitClip, text_classifier
from ..model.dictionary import CHUNK
from ..model.prompts import TEMPLATES
from ..pictures.collection import LICENCE, Collection
from ..setups.loading import Setup
from .accumulator import EDGES, Accumulator, Occurrences, SampledPicture, TopK, values_of
from .recipe import IndexRecipe
from .thumbnails import StoredThumbnails


def clarity(mean: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Mean pairwise cosine of n unit vectors, from their mean [..., p]: float32 [...], -1/(n-1) to 1, nan for n < 2.

    |sum of u|^2 = n + (the sum over pairs, each twice), so the mean over pairs is (|mean|^2 - 1/n) n / (n - 1).
    """
    many = np.where(n < 2, np.nan, n)
    return (((mean.astype(np.float64) ** 2).sum(-1) - 1 / many) * many / (many - 1)).astype(np.float32)


def alignment(z: np.ndarray, t: np.ndarray, t_empty: np.ndarray) -> np.ndarray:
    """s(t) = cos(z, t) - cos(z, t_empty): how much more an embedding is like a text than like no text at all.

    z [..., p] of any length (for 0, all scores are 0), unit text embeddings t [V, p], and that of "", t_empty [p] ->
    float32 [..., V], -2 to 2. From "From What to How" (arXiv 2505.20229).
    """
    z = z.astype(np.float32)
    length = np.linalg.norm(z, axis=-1, keepdims=True)
    unit = z / np.where(length > 0, length, 1)
    return unit @ t.astype(np.float32).T - (unit @ t_empty.astype(np.float32))[..., None]


def summarised(
    accumulator: Accumulator,
    stored: StoredThumbnails,
    setup: Setup,
    made_for: Identity,
    collection: Collection,
    recipe: IndexRecipe,
    quiet: bool,
    *,
    licence: str = "",
    whole: bool = True,
) -> ConceptIndex:
    """All that was accumulated tells of the components. Raises UserError where no picture could be read.

    `licence` is that of the pictures, where the collection does not know it. Without the `whole`, what takes long and
    looks at all components at once is left out: label guesses and neighbours. What was accumulated stays as it is.
    """
    if not accumulator.pictures:
        raise UserError(f"None of the {accumulator.skipped:,} pictures could be read. Name another collection.")
    clip, dictionary = setup.clip, setup.dictionary
    occurrences = accumulator.compact()
    kept = accumulator.best | {"mid": _around_median(accumulator.best["mid"], occurrences.peak, recipe.mid)}
    ids = np.unique(np.concatenate([best.id[best.taken] for best in kept.values()]))
    by_activation = {"mean"} if recipe.by == "attribution" else {"top", "mean"}
    lists = {which: _references(best, occurrences, ids, which in by_activation) for which, best in kept.items()}

    z, n = _mean_embeddings(kept["top"], stored)
    label, scores = _label_guesses(clip, z, n, recipe.vocabulary if whole else ())
    active_tokens = accumulator.histogram.sum(1)
    edges, histogram = _trimmed(accumulator.histogram)
    near, near_cosine = coactivated, coactivation = _no_neighbours(accumulator.m, recipe.near)
    if whole:
        directions = dictionary.directions(np.arange(accumulator.m)).float()
        near, near_cosine = _nearest(directions, recipe.near, -np.inf, "Nearest by direction", quiet)
        peaks = _sampled_peaks(accumulator.sample, accumulator.m, directions.device)
        coactivated, coactivation = _nearest(peaks, recipe.near, 0, "Nearest by firing", quiet)
    counts = accumulator.pictures, accumulator.tokens, accumulator.skipped
    return ConceptIndex(
        manifest=manifest_of(made_for, collection, recipe, clip, *counts, licence),
        active_pictures=accumulator.active.copy(),
        active_tokens=active_tokens,
        mean_active=(accumulator.sums / np.maximum(1, active_tokens)).astype(np.float32),
        peak=accumulator.peak.copy(),
        edges=edges,
        histogram=histogram,
        **lists,
        embedding=z.astype(np.float16),
        average=(accumulator.embeddings / accumulator.pictures).astype(np.float32),
        clarity=clarity(z, n),
        label=label,
        alignment=scores,
        near=near,
        near_cosine=near_cosine,
        coactivated=coactivated,
        coactivation=coactivation,
        pictures=stored.thumbnails(ids),
    )


def source_of(collection: Collection, licence: str) -> dict[str, str]:
    """What a manifest tells of the pictures; `licence` is theirs, where the collection does not know it."""
    return ({LICENCE: licence} if licence else {}) | dict(collection.manifest)


def manifest_of(
    made_for: Identity,
    collection: Collection,
    recipe: IndexRecipe,
    clip: SplitClip,
    pictures: int,
    tokens: int,
    skipped: int,
    licence: str = "",
) -> Manifest:
    """The manifest of an index of so many pictures and tokens, with `skipped` pictures that could not be read."""
    return Manifest(
        format=FORMAT,
        setup=made_for,
        source=source_of(collection, licence),
        pictures=pictures,
        tokens=tokens,
        skipped=skipped,
        grid=clip.grid,
        vocabulary=recipe.vocabulary,
        side=min(recipe.side, clip.image_size),
        by=recipe.by,
    )


def _trimmed(histogram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The edges of the bins and their counts, without the outermost bins in which no component has any."""
    used = np.flatnonzero(histogram.any(0))
    low, high = (used[0], used[-1] + 1) if len(used) else (0, 1)
    return EDGES[low : high + 1], np.ascontiguousarray(histogram[:, low:high])


def _around_median(sample: TopK, peaks: np.ndarray, n: int) -> TopK:
    """Of every component's sample, the n pictures whose peaks are nearest their median, the nearest first."""
    peak = np.where(sample.taken, peaks[np.where(sample.taken, sample.row, 0)] if len(peaks) else np.nan, np.nan)
    ordered = np.sort(peak.astype(np.float64), axis=1)  # nan come last
    count = sample.taken.sum(1)
    rows = np.arange(len(peak))
    median = (ordered[rows, np.maximum(0, (count - 1) // 2)] + ordered[rows, count // 2 % peak.shape[1]]) / 2
    order = np.lexsort((sample.id, np.abs(peak - median[:, None])), axis=1)[:, :n]  # nan come last here too
    chosen = TopK(len(peak), n)
    for name in ("key", "id", "row"):
        setattr(chosen, name, np.take_along_axis(getattr(sample, name), order, axis=1))
    return chosen


def _references(best: TopK, occurrences: Occurrences, ids: np.ndarray, by_activation: bool) -> ActivatingExamples:
    """A list of pictures as the index has it, ordered by an activation or not; `ids` are those of its thumbnails."""
    taken, of = best.taken, best.row[best.taken]
    token, length, value = np.zeros(taken.shape, np.int32), np.zeros(taken.shape, np.int64), values_of(best.key)
    token[taken], length[taken] = occurrences.token[of], occurrences.length[of]
    if not by_activation:
        value = np.zeros(taken.shape, np.float32)
        value[taken] = occurrences.peak[of]
    regions = occurrences.only(of)
    return ActivatingExamples(
        picture=np.where(taken, np.searchsorted(ids, best.id), -1).astype(np.int32),
        value=value,
        token=token,
        start=np.concatenate([[0], np.cumsum(length.ravel())]),
        patch=regions.patch,
        share=regions.share,
    )


def _mean_embeddings(top: TopK, stored: StoredThumbnails) -> tuple[np.ndarray, np.ndarray]:
    """What the top pictures have in common: z_j, float32 [m, p], and of how many it is the mean, int64 [m]."""
    n, found, step = top.taken.sum(1), [], 1024
    for start in range(0, len(n), step):
        part = slice(start, start + step)
        taken = top.taken[part]
        units = stored.embeddings(top.id[part][taken])
        of_each = np.zeros((*taken.shape, units.shape[1]), np.float32)
        of_each[taken] = units
        sums = of_each.sum(1, dtype=np.float64)
        found.append((sums / np.maximum(1, n[part])[:, None]).astype(np.float32))
    return np.concatenate(found), n


def _label_guesses(
    clip: SplitClip, z: np.ndarray, n: np.ndarray, vocabulary: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The best labels, int32 [m, 3], and their scores, float32 [m, 3]; -1 and nan where there is none."""
    label = np.full((len(z), LABELS), -1, np.int32)
    scores = np.full((len(z), LABELS), np.nan, np.float32)
    if not vocabulary:
        return label, scores
    t = text_classifier(clip, vocabulary, TEMPLATES["single"]).float().cpu().numpy()
    empty = clip.texts([""])[0].float().cpu().numpy()
    known = np.flatnonzero(n)
    step = max(1, CHUNK // len(vocabulary))
    for start in range(0, len(known), step):
        part = known[start : start + step]
        found = alignment(z[part], t, empty)
        best = np.argsort(-found, axis=1, kind="stable")[:, :LABELS]
        label[part, : best.shape[1]] = best
        scores[part, : best.shape[1]] = np.take_along_axis(found, best, axis=1)
    return label, scores


def _sampled_peaks(sample: Sequence[SampledPicture], m: int, device: torch.device) -> Tensor:
    """The largest activation of every component in every picture of the sample: [m, K]. Dense, as only that is fast."""
    found = np.zeros((len(sample), m), np.float32)
    for row, picture in zip(found, sorted(sample, key=lambda picture: picture.id), strict=True):
        row[picture.component] = picture.peak
    return torch.from_numpy(found).to(device).T.contiguous()


def _no_neighbours(m: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """As `_nearest`, of none."""
    return np.full((m, k), -1, np.int32), np.zeros((m, k), np.float32)


def _nearest(rows: Tensor, k: int, above: float, progress: str, quiet: bool) -> tuple[np.ndarray, np.ndarray]:
    """For every row [m, d] the k others with the largest cosine `above` a limit: int32 [m, k], float32 [m, k].

    Where there are fewer, -1 and 0.
    """
    m, unit = len(rows), F.normalize(rows, dim=-1)
    index, cosine = _no_neighbours(m, k)
    step = max(1, CHUNK // m)
    for start in tqdm(range(0, m, step), desc=progress, leave=False, disable=quiet):
        part = unit[start : start + step] @ unit.T
        part[torch.arange(len(part)), start + torch.arange(len(part))] = -torch.inf
        value, where = part.topk(min(k, m - 1))
        good = value > above
        to = slice(start, start + len(part)), slice(0, value.shape[1])
        index[to] = torch.where(good, where, -1).cpu().numpy()
        cosine[to] = torch.where(good, value.clamp(-1, 1), 0).cpu().numpy()
    return index, cosine
