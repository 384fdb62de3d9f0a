"""What the dictionary misses, against its dense reconstruction."""

import pickle

import numpy as np
import pytest
import torch
from conftest import CLASSES, tiny_sae
from tiny_edits import TOKENS, unsplit

from core.methods.reconstruction_error import reconstruction_error
from core.model.prediction import predict
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary
from core.model.scope import Scope


@pytest.mark.parametrize("scope", ["all", "patches", "cls"])
@pytest.mark.parametrize("kind", ["topk", "gated"])
def test_what_is_missed_against_the_dense_reconstruction(clip, picture, classifier, kind: str, scope: Scope):
    dictionary = SaeDictionary(tiny_sae(kind), scope)
    trace = SaeClip(clip, dictionary).traces([clip.crop(picture)])[0]
    found = reconstruction_error(SaeClip(clip, dictionary), trace, classifier, CLASSES)
    x = trace.residual.astype(np.float64)
    with torch.no_grad():
        x_hat = dictionary.sae(torch.as_tensor(trace.residual)).double().numpy()
    inside = [t for t in range(TOKENS) if {"all": True, "cls": t == 0, "patches": t > 0}[scope]]
    outside = [t for t in range(TOKENS) if t not in inside]
    x_hat[outside] = x[outside]
    if scope == "cls":
        assert found.explained_variance is None
    else:
        mean = sum(x[t] for t in inside) / len(inside)
        spread = sum(((x[t] - mean) ** 2).sum() for t in inside)
        lost = sum(((x[t] - x_hat[t]) ** 2).sum() for t in inside)
        assert found.explained_variance == pytest.approx(1 - lost / spread, abs=1e-4)
    if scope == "patches":
        assert found.cls_share is None
    else:
        share = ((x[0] - x_hat[0]) ** 2).sum() / (x[0] ** 2).sum()
        assert found.cls_share == pytest.approx(share, rel=1e-4)
        assert share > 0.01
    np.testing.assert_allclose(found.through.logits, unsplit(clip, trace, classifier, x_hat - x), atol=2e-4)
    assert found.before == predict(trace.embedding, classifier, CLASSES, clip.scoring)
    assert np.abs(found.through.logits - found.before.logits).max() > 1e-2
    assert pickle.loads(pickle.dumps(found)) == found
