"""The picture as the model sees it, and all that is shown on it -> HTML at the side of every tab.

The page is told the maps once (in `data-maps`), and its script (canvas.js) draws them: what is pointed at anywhere
shows at once, and asks nobody.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from ..methods.token_maps import TokenMaps, logits
from ..session.visit import Visit
from .component import target_words
from .html import render
from .images import picture_uri
from .prediction import digest

PIXELS = 400
"""Of the longer side, at most."""


def canvas(
    visit: Visit,
    maps: TokenMaps,
    by_token: np.ndarray,
    labels: Mapping[int, str],
    *,
    pages: bool = True,
    cls_in_scope: bool = True,
    cue: str | None = None,
) -> Markup:
    """The picture, its maps, and what can be chosen to be shown on it.

    `by_token`: what all components together contribute at every token, [T]; `labels`: guesses by component;
    `pages`: whether components have pages to open; `cls_in_scope`: whether an edit can act on CLS. With `cue` (what the
    counterfactual lacks) comes the button that shows the same scene without it.
    """
    height, width = visit.trace.crop.shape[:2]
    activations = visit.trace.activations
    firing = np.bincount(activations.token, minlength=activations.n_tokens).tolist()
    told = {one.component for one in maps.maps} | {j for listed in maps.tokens for j, _, _ in listed}
    return render(
        "canvas",
        maps=maps.plain()
        | {
            "firing": firing,
            "labels": {str(component): labels[component] for component in sorted(told) if component in labels},
            "pages": pages,
            "target": target_words(visit),
            "unit": visit.target.UNIT,
            "short": visit.target.SHORT_UNIT,
            "cls": visit.trace.class_token,
            "before": _support(visit.attribution.value, by_token),
        },
        subject=visit.subject,
        picture=picture_uri(visit.trace.crop, PIXELS),
        width=width,
        height=height,
        has_map=visit.trace.has_map,
        cls_in_scope=cls_in_scope and visit.trace.class_token,
        cls_fires=firing[0] > 0 and visit.trace.class_token,
        cue=cue,
    )


def after(visit: Visit, value: float, by_token: np.ndarray) -> str:
    """The target's value after the edit and what all components then contribute, as JSON, and of what that is so."""
    return json.dumps(_support(value, by_token) | {"of": digest(visit)}, separators=(",", ":"))


def _support(value: float, by_token: np.ndarray) -> dict[str, Any]:
    return {"value": logits(value), "tokens": [logits(one) for one in by_token.tolist()]}
