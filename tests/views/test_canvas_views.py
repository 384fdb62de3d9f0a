"""The canvas tells its script where everything fires, whatever words are in it, and offers the two maps."""

import json
import re
from dataclasses import replace

import numpy as np
from conftest import EVIL
from markupsafe import Markup
from view_helpers import WORD, Reader

from core.methods.token_maps import token_maps
from core.session import visit as session
from core.session.visit import Visit
from core.views.canvas import after, canvas
from core.views.prediction import digest


def drawn(visit: Visit, labels: dict[int, str] | None = None, cls_in_scope: bool = True) -> Markup:
    maps = token_maps(visit.trace, visit.attribution, [part.component for part in visit.parts])
    by_token = session.contributions(visit.trace, visit.attribution)
    return canvas(visit, maps, by_token, labels or {}, cls_in_scope=cls_in_scope)


def test_the_page_reads_what_the_picture_has(visit: Visit) -> None:
    """Every (token, component) pair of the trace, with its activation and attribution, and all words as text."""
    names = {c: word for c, word in enumerate((*EVIL, WORD) * 10)}
    (said,) = (text for text in Reader(drawn(visit, names)).texts if text.startswith("{"))
    told, f = json.loads(said), visit.trace.activations
    assert (told["rows"], told["columns"]) == visit.trace.grid
    assert told["labels"] == {str(c): names[c] for c in f.components().tolist()}
    assert told["firing"] == [int((f.token == t).sum()) for t in range(f.n_tokens)]
    assert told["tokens"] == [[]] * f.n_tokens, "all of them have maps"
    pairs = {(flat[k], int(c)): flat[k + 1 : k + 3] for c, flat in told["maps"].items() for k in range(0, len(flat), 3)}
    assert sorted(pairs) == sorted(zip(f.token.tolist(), f.component.tolist(), strict=True))
    for t, c, value, share in zip(f.token, f.component, f.value, visit.attribution.pair, strict=True):
        np.testing.assert_allclose(pairs[int(t), int(c)], (value, share), rtol=1e-2, atol=6e-5)
    assert np.isclose(sum(told["before"]["tokens"]), visit.attribution.pair.sum(), atol=1e-2)


def test_the_two_maps_are_told_apart(visit: Visit) -> None:
    html = drawn(visit)
    assert "Where it fires" in html
    assert "What its firing contributes to the target, in logits" in html
    assert html.count('role="grid"') == 1
    assert html.count('role="radio"') == 2


def test_cls_is_offered_where_it_is_something(visit: Visit) -> None:
    assert "data-look-at-cls" in drawn(visit)
    assert "data-cls" in drawn(visit)
    assert "data-cls" not in drawn(visit, cls_in_scope=False)
    f = visit.trace.activations
    kept = f.token > 0
    patches_only = replace(f, token=f.token[kept], component=f.component[kept], value=f.value[kept])
    attribution = replace(visit.attribution, pair=visit.attribution.pair[kept])
    blind = replace(visit, trace=replace(visit.trace, activations=patches_only), attribution=attribution)
    assert "data-look-at-cls" not in drawn(blind)


def test_the_target_after_the_edit(visit: Visit) -> None:
    by_token = np.array([0.5, -0.25, 0.00001])
    assert json.loads(after(visit, 0.25, by_token)) == {"value": 0.25, "tokens": [0.5, -0.25, 0], "of": digest(visit)}
    assert digest(visit) != digest(replace(visit, revision=visit.revision + 1))


def test_a_caption_ends_as_it_does(visit: Visit) -> None:
    for words, told in (("A dog.", "A dog."), ("Is it a dog?", "Is it a dog?"), ("Mine", "Mine.")):
        html = drawn(replace(visit, subject=replace(visit.subject, caption=words)))
        assert re.search(rf'data-caption="{re.escape(told)} \d+ × \d+ px, as the model sees it"', html)
