"""A CLIP with its dictionary: what is read of pictures, and what they are moved to."""

import numpy as np
import torch

from core.model.clip import SplitClip
from core.model.dictionary import Dictionary
from core.model.sae_clip import SaeClip


def test_the_blank_picture_is_grey_everywhere_and_can_be_read(clip: SplitClip, dictionary: Dictionary) -> None:
    model = SaeClip(clip, dictionary)
    assert model.grey.shape == (32, 32, 3)
    assert model.grey.dtype == np.uint8
    assert (model.grey == 128).all()
    assert model.trace(model.grey) == model.traces(model.grey[None])[0]


def test_it_moves_as_one_and_stays_itself_where_it_is(clip: SplitClip, dictionary: Dictionary) -> None:
    model = SaeClip(clip, dictionary)
    assert model.n_bytes == clip.n_bytes + dictionary.n_bytes
    here, elsewhere = model.to("cpu"), model.to("meta")
    assert here.clip is clip
    assert here.dictionary is dictionary
    assert elsewhere.clip.device == elsewhere.dictionary.device == torch.device("meta")
