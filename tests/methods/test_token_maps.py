"""Where it looks: the sparse lists against dense arrays of every component at every token."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import COMPONENTS, tiny_sae

from core.methods.attribution import Attribution, attribute
from core.methods.question import Question
from core.methods.targets import ClassTarget
from core.methods.token_maps import AT_A_TOKEN, token_maps
from core.model.clip import SplitClip
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary
from core.model.trace import Trace


@pytest.fixture(scope="module", params=["standard", "abstopk"])
def seen(
    request: pytest.FixtureRequest, clip: SplitClip, trace: Trace, classifier: torch.Tensor
) -> tuple[Trace, Attribution]:
    """With many components at a token, or with negative activations."""
    dictionary = SaeDictionary(tiny_sae(request.param), "all")
    read = SaeClip(clip, dictionary).traces([trace.crop])[0]
    return read, attribute(Question(SaeClip(clip, dictionary), read, classifier, ClassTarget(0, 1)))


def dense(trace: Trace, attribution: Attribution) -> tuple[np.ndarray, np.ndarray]:
    """Activations and attributions, [T, m] each."""
    both = np.zeros((2, trace.activations.n_tokens, COMPONENTS), dtype=np.float32)
    f = trace.activations
    for token, component, value, part in zip(f.token, f.component, f.value, attribution.pair, strict=True):
        both[:, token, component] = value, part
    return both[0], both[1]


def test_every_token_lists_the_strongest_there(seen: tuple[Trace, Attribution]) -> None:
    f, a = dense(*seen)
    found = token_maps(*seen)
    assert len(found.tokens) == len(f)
    assert found.grid == (4, 4)
    assert any(len(firing) == AT_A_TOKEN for firing in found.tokens) or (f != 0).sum(1).max() <= AT_A_TOKEN
    for token, firing in enumerate(found.tokens):
        active = sorted(np.flatnonzero(f[token]), key=lambda j: -abs(f[token, j]))[:AT_A_TOKEN]
        assert firing == tuple((j, f[token, j], a[token, j]) for j in active)


def test_maps_are_where_a_component_fires_and_what_it_does_there(seen: tuple[Trace, Attribution]) -> None:
    f, a = dense(*seen)
    found = token_maps(*seen)
    assert {one.component for one in found.maps} == set(np.flatnonzero(f.any(0)))
    for one in found.maps:
        for dense_map, sparse_map in ((f, one.activation), (a, one.attribution)):
            spread = np.zeros(len(f), dtype=np.float32)
            spread[one.token] = sparse_map
            np.testing.assert_array_equal(spread, dense_map[:, one.component])
        assert (np.diff(one.token) > 0).all()
        assert one.activation.all()
        assert one.attribution.sum() == pytest.approx(seen[1].total_of(one.component), abs=1e-5)


def test_those_asked_for_come_first_then_the_strongest(seen: tuple[Trace, Attribution]) -> None:
    f, _ = dense(*seen)
    strongest = sorted(np.flatnonzero(f.any(0)), key=lambda j: -np.abs(f[:, j]).max())
    idle = int(np.flatnonzero(~f.any(0))[0])
    first = [int(strongest[-1]), idle, int(strongest[4])]
    found = token_maps(*seen, first, most=6)
    assert [one.component for one in found.maps] == [first[0], first[2], *strongest[:4]]
    assert [one.component for one in token_maps(*seen, first, most=1).maps] == first[:1]
    assert token_maps(*seen, (), most=0).maps == ()


def test_what_the_page_is_told_is_json_and_close(seen: tuple[Trace, Attribution]) -> None:
    found = token_maps(*seen, most=5)
    told = json.loads(json.dumps(found.plain()))
    assert (told["rows"], told["columns"]) == (4, 4)
    assert list(told["maps"]) == [str(one.component) for one in found.maps]
    for one in found.maps:
        rows = np.stack([one.token, one.activation, one.attribution], axis=1)
        np.testing.assert_allclose(told["maps"][str(one.component)], rows.ravel(), rtol=1e-2, atol=6e-5)
        assert all(type(token) is int for token in told["maps"][str(one.component)][::3])
    assert len(told["tokens"]) == 17
    for firing, listed in zip(found.tokens, told["tokens"], strict=True):
        others = [one for one in firing if str(one[0]) not in told["maps"]]
        np.testing.assert_allclose(listed, np.array(others).ravel(), rtol=1e-2, atol=6e-5)


def test_what_the_page_is_told_is_bounded(seen: tuple[Trace, Attribution]) -> None:
    """The components asked for are told of, then as many others as there is room for."""
    every = token_maps(*seen)
    weakest = every.maps[-1].component
    for room in (0, 7, 20):
        found = token_maps(*seen, [weakest], places=room)
        asked, *others = found.maps
        assert asked.component == weakest
        assert sum(len(one.token) for one in others) <= room
        assert len(found.maps) < len(every.maps)
        assert found.tokens == every.tokens


def test_a_picture_in_which_nothing_fires_has_nothing_to_show(
    clip: SplitClip, trace: Trace, classifier: torch.Tensor
) -> None:
    sae = tiny_sae("standard")
    sae.b_enc.data -= 1e6
    dictionary = SaeDictionary(sae, "all")
    read = SaeClip(clip, dictionary).traces([trace.crop])[0]
    found = token_maps(read, attribute(Question(SaeClip(clip, dictionary), read, classifier, ClassTarget(0))), [3])
    assert found.tokens == ((),) * 17
    assert found.maps == ()
    assert found.plain() == {"rows": 4, "columns": 4, "tokens": [[]] * 17, "maps": {}}


def test_an_attribution_of_another_trace_is_refused(seen: tuple[Trace, Attribution]) -> None:
    trace, attribution = seen
    with pytest.raises(ValueError, match="another trace"):
        token_maps(trace, replace(attribution, pair=attribution.pair[:-1]))
