"""Faithfulness at other places and of other families: curves that end where all is gone, by the unsplit model."""

import numpy as np
import pytest
import torch
from unsplit_places import hooked, own, question_at, whole

from core.faithfulness.curves import curves, faithfulness
from core.faithfulness.orderings import METHODS, predictions
from core.faithfulness.steerability import steerability
from core.model.places import ImageEmbedding, MlpOutput, Place, ResidualStream


@pytest.mark.parametrize(
    ("family", "place"), [("siglip", ResidualStream(2)), ("clip", MlpOutput(3)), ("clip", ImageEmbedding())]
)
def test_every_number_is_there_and_curves_end_where_all_is_gone(family: str, place: Place) -> None:
    question = question_at(family, place)
    clip, trace = question.model.clip, question.trace
    predicted = predictions(question)
    assert set(predicted) == set(METHODS)
    assert all(np.isfinite(scores).all() and scores.any() for scores in predicted.values())
    deletion, insertion = curves(question, trace.activations.components())
    change = -question.model.dictionary.decode(trace.activations)
    with hooked(clip.model, place, own(clip, change[None])):
        z = whole(clip.model, clip.pixels(trace.crop[None]))[0]
    units = z / z.norm()
    without = question.target.of(clip.scoring.scale * (question.classifier @ units), units).item()
    assert deletion[-1] == pytest.approx(without, abs=1e-4)
    assert insertion[0] == pytest.approx(without, abs=1e-4)
    assert insertion[-1] == pytest.approx(question.value, abs=1e-4)
    told = faithfulness([question, question])
    assert told["pictures"] == 2
    assert torch.tensor(told["area"]["gradient"]["between"]["value"]).isfinite()
    assert steerability(question.model, [trace], ["dog", "cat", "owl"])["all"]["components"] > 0
