"""What a lower precision of the first layers changes: nothing for the same one, a little for a lower one."""

import numpy as np
import pytest
import torch
from PIL import Image
from precision import effect

from core.model.clip import SplitClip
from core.model.dictionary import Dictionary
from core.model.sae_clip import SaeClip
from core.setups.health_check import Sample


@pytest.fixture(scope="module")
def samples(picture: Image.Image) -> list[Sample]:
    return [Sample(picture.rotate(angle), ("dog", "cat", "owl"), "dog") for angle in (0, 40, 90, 200)]


def test_the_same_precision_changes_nothing(clip: SplitClip, dictionary: Dictionary, samples: list[Sample]) -> None:
    same = effect(clip, torch.float32, dictionary, samples)
    assert (same.pictures, same.residual_error, same.same_components, same.logit_change) == (4, 0, 1, 0)
    assert same.attribution_correlation == pytest.approx(1)
    assert same.answers_kept == 1


def test_a_lower_one_changes_a_little(clip: SplitClip, dictionary: Dictionary, samples: list[Sample]) -> None:
    lower, finer = (effect(clip, dtype, dictionary, samples) for dtype in (torch.bfloat16, torch.float16))
    assert 0 < finer.residual_error < lower.residual_error < 0.05
    assert all(0.5 < one.same_components <= 1 for one in (lower, finer))
    assert lower.attribution_correlation > 0.8
    assert 0 < lower.logit_change < 2


def test_only_the_layers_up_to_l_are_lowered(clip: SplitClip, dictionary: Dictionary, picture: Image.Image) -> None:
    lower = SplitClip(clip.model, clip.image_processor, clip.tokenizer, clip.place, torch.bfloat16)
    crop = clip.crop(picture)
    (trace,) = SaeClip(lower, dictionary).traces([crop])
    assert trace.residual.dtype == trace.embedding.dtype == np.float32
    with torch.no_grad():
        expected = clip.embed_from_residual(torch.from_numpy(trace.residual)[None])[0].numpy()
    np.testing.assert_allclose(trace.embedding, expected, atol=1e-5)
    x = clip.residual(clip.pixels(crop[None]))[0].numpy()
    assert 0 < np.linalg.norm(trace.residual - x) / np.linalg.norm(x) < 0.05
