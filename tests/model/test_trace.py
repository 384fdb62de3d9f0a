"""A trace holds what the model computes, for one picture or many."""

import numpy as np
import pytest
import torch
from conftest import WIDTH
from PIL import Image

from core.model.clip import SplitClip
from core.model.dictionary import Dictionary
from core.model.sae_clip import SaeClip
from core.model.trace import Trace


def test_trace_is_what_the_model_computes(
    clip: SplitClip, dictionary: Dictionary, trace: Trace, picture: Image.Image
) -> None:
    with torch.no_grad():
        pixels = clip.image_processor(picture, return_tensors="pt")["pixel_values"]
        embedding = clip.model.get_image_features(pixel_values=pixels).pooler_output[0]
    assert trace.residual.shape == (17, WIDTH)
    assert trace.residual.dtype == np.float32
    assert trace.grid == (4, 4)
    assert np.array_equal(trace.crop, clip.crop(picture))
    torch.testing.assert_close(torch.as_tensor(trace.embedding), embedding, atol=1e-5, rtol=1e-5)
    assert trace.activations == dictionary.activations(torch.as_tensor(trace.residual))


def test_many_pictures_at_once_are_the_same_as_one_by_one(clip: SplitClip, dictionary: Dictionary) -> None:
    crops = np.random.default_rng(3).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    for together, crop in zip(SaeClip(clip, dictionary).traces(crops), crops, strict=True):
        (alone,) = SaeClip(clip, dictionary).traces([crop])
        np.testing.assert_allclose(together.residual, alone.residual, atol=1e-5)
        np.testing.assert_allclose(together.embedding, alone.embedding, atol=1e-5)
        assert np.array_equal(together.crop, crop)
        assert together.activations.components().tolist() == alone.activations.components().tolist()


def test_no_pictures_give_no_traces(clip: SplitClip, dictionary: Dictionary) -> None:
    assert SaeClip(clip, dictionary).traces([]) == ()


def test_a_trace_owns_its_numbers(trace: Trace) -> None:
    """A trace of one picture out of a batch must not keep, or pickle, the whole batch."""
    assert trace.residual.base is None
    assert trace.embedding.base is None
    assert trace.crop.base is None
    with pytest.raises(AttributeError):
        trace.grid = (1, 1)  # type: ignore[misc]
