"""A concept index at other places and of other families: the same numbers, of what the dictionary reads there."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from streamed import Drawn
from unsplit_places import model_at, words_at

from core.concepts.component import activating_examples
from core.indexing.build import build
from core.indexing.recipe import IndexRecipe
from core.model.places import ImageEmbedding, MlpOutput, Place, ResidualStream
from core.pictures.collection import Collection
from core.setups.catalog import Location, SetupSpec
from core.setups.loading import Setup

RECIPE = IndexRecipe(top=3, mean=4, mid=2, near=5, side=24, batch=4, mid_sample=6, together_sample=15, vocabulary=())


def crops_of(setup: Setup, collection: Collection) -> Iterator[np.ndarray]:
    for number in range(collection.n_parts):
        for piece in collection.part(number):
            if piece.picture is not None:
                yield setup.clip.crop(piece.picture)


@pytest.mark.parametrize(
    ("family", "place", "words"),
    [
        ("siglip", ResidualStream(1), False),
        ("clip", MlpOutput(2), False),
        ("siglip", ImageEmbedding(), False),
        ("siglip", ImageEmbedding(), True),
    ],
)
def test_it_is_of_what_is_read_there(family: str, place: Place, words: bool, tmp_path: Path) -> None:
    model = words_at(family) if words else model_at(family, place)
    card = SetupSpec("t", "T", Location(tmp_path), Location(tmp_path), place.layer, model.dictionary.scope, "", "")
    setup = Setup(card, model)
    index = build(setup, Drawn(), tmp_path / "new", RECIPE, quiet=True)
    seen = model.clip.read(model.clip.pixels(np.stack(list(crops_of(setup, Drawn()))))).seen
    f = model.dictionary.encode(seen).clamp(min=0)
    torch.testing.assert_close(torch.as_tensor(index.peak), f.amax((0, 1)), atol=1e-5, rtol=1e-4)
    assert index.active_tokens.tolist() == (f > 0).sum((0, 1)).tolist()
    assert index.manifest.grid == model.clip.grid
    best = int(index.peak.argmax())
    example = activating_examples(index, best)[0]
    picture, token = np.unravel_index(int(f[:, :, best].argmax()), f.shape[:2])
    assert example.token == token
    assert example.region.shape == model.clip.grid
    assert np.array_equal(example.region.ravel() > 0, (f[picture, 1:, best] > 0).numpy())
