"""A concept index for tests: random numbers that fit together, of whatever size."""

import io

import numpy as np
from PIL import Image

from core.concepts.index import FORMAT, ActivatingExamples, ConceptIndex, Identity, Manifest, Thumbnails

VOCABULARY = ("dog", "cat", "owl", "red fish")
PICTURES = 200
EDGES = (2 ** (np.arange(-24, 25) / 2)).astype(np.float32)


def thumbnails(rng: np.random.Generator, n: int, side: int) -> Thumbnails:
    """Pictures of smooth noise."""
    files = []
    for _ in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        file = io.BytesIO()
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(file, "WEBP", lossless=True)
        files.append(file.getvalue())
    start = np.concatenate([[0], np.cumsum([len(file) for file in files])]).astype(np.int64)
    return Thumbnails(start, np.frombuffer(b"".join(files), dtype=np.uint8))


def references(
    rng: np.random.Generator, fires: np.ndarray, n: int, n_pictures: int, grid: tuple[int, int]
) -> ActivatingExamples:
    """At most n places for each component, fewer for some and none for those that never fire."""
    m, patches = len(fires), grid[0] * grid[1]
    filled = np.arange(n) < np.where(fires, rng.integers(1, n + 1, m), 0)[:, None]
    picture = np.where(filled, rng.integers(0, n_pictures, (m, n)), -1).astype(np.int32)
    value = np.where(filled, -np.sort(-rng.gamma(2.0, 2.0, (m, n)), axis=1), 0).astype(np.float32)
    token = np.where(filled, rng.integers(0, 1 + patches, (m, n)), 0).astype(np.int32)
    regions = [
        np.sort(rng.choice(patches, rng.integers(0, 5), replace=False)) if there else np.zeros(0, dtype=np.int64)
        for there in filled.ravel()
    ]
    patch = np.concatenate(regions).astype(np.uint16)
    start = np.concatenate([[0], np.cumsum([len(region) for region in regions])]).astype(np.int64)
    return ActivatingExamples(picture, value, token, start, patch, rng.integers(1, 256, len(patch)).astype(np.uint8))


def nearest(rng: np.random.Generator, m: int, k: int, low: float) -> tuple[np.ndarray, np.ndarray]:
    """k others for each, some of them missing, with values in descending order."""
    who = np.stack([rng.permutation(np.delete(np.arange(m), j))[:k] for j in range(m)]).astype(np.int32)
    value = -np.sort(-rng.uniform(low, 1, (m, k)), axis=1).astype(np.float32)
    gone = np.arange(k) >= rng.integers(k // 2, k + 1, m)[:, None]
    return np.where(gone, -1, who).astype(np.int32), np.where(gone, 0, value).astype(np.float32)


def tiny_index(
    components: int = 48,
    width: int = 32,
    projection: int = 16,
    grid: tuple[int, int] = (4, 4),
    side: int = 24,
    neighbours: int = 6,
    seed: int = 0,
) -> ConceptIndex:
    """Random, but as an index is: every fifth component never fired."""
    rng = np.random.default_rng(seed)
    fires = np.arange(components) % 5 != 4
    histogram = np.where(fires[:, None], rng.poisson(0.7, (components, len(EDGES) - 1)), 0).astype(np.int64)
    histogram[fires, 20] += 1
    pictures = thumbnails(rng, 30, side)
    lists = [references(rng, fires, n, len(pictures), grid) for n in (6, 5, 4)]
    z = rng.normal(size=(components, projection)) * 0.2 + 0.1
    label = np.stack([rng.permutation(len(VOCABULARY))[:3] for _ in range(components)])
    near, near_cosine = nearest(rng, components, neighbours, -1)
    coactivated, coactivation = nearest(rng, components, neighbours, 0)
    setup = Identity("clip", None, "dictionary", None, 1, "all", components, width, "0" * 64)
    source = {"kind": "folder", "name": "random"}
    return ConceptIndex(
        manifest=Manifest(FORMAT, setup, source, PICTURES, PICTURES * 17, 0, grid, VOCABULARY, side),
        active_pictures=np.where(fires, rng.integers(10, PICTURES, components), 0).astype(np.int64),
        active_tokens=histogram.sum(1),
        mean_active=np.where(fires, rng.uniform(0.5, 2, components), 0).astype(np.float32),
        peak=lists[0].value[:, 0],
        edges=EDGES,
        histogram=histogram,
        top=lists[0],
        mean=lists[1],
        mid=lists[2],
        embedding=np.where(fires[:, None], z, 0).astype(np.float16),
        average=z.mean(0).astype(np.float32),
        clarity=np.where(lists[0].picture[:, 1] >= 0, rng.uniform(0, 1, components), np.nan).astype(np.float32),
        label=np.where(fires[:, None], label, -1).astype(np.int32),
        alignment=np.where(fires[:, None], -np.sort(-rng.uniform(0, 0.3, label.shape)), np.nan).astype(np.float32),
        near=near,
        near_cosine=near_cosine,
        coactivated=coactivated,
        coactivation=coactivation,
        pictures=pictures,
    )
