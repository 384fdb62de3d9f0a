"""The prediction now against before, and the edit that made it so -> HTML at the side of every tab."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from ..methods.steering import Edit, Lever
from ..model.prediction import Comparison, Prediction
from ..session.log import observed
from ..session.view_state import content_hash
from ..session.visit import Visit
from ..stats import beyond_common
from .html import render
from .row import map_of
from .second import similarity_line

SHOWN_CLASSES = 6
"""Classes beside the picture; the chart has all, or more."""
ALL_LISTED = 40
"""Classes up to which the chart and the table have all of them."""
LISTED, MOVED = 8, 4
"""Of more, the likeliest before the edit; those after it, and those that it moved most: a press sends each twice."""


def prediction(visit: Visit, shown: int = SHOWN_CLASSES) -> Markup:
    """The prediction now against before, and what is done to make it so, for canvas.js and pressed.js too."""
    c, groups, tokens = visit.comparison, visit.edit.groups(), visit.edit.tokens
    rows, columns = visit.trace.grid
    order = list(dict.fromkeys([*c.before.order[:shown].tolist(), *_asked_about(visit), c.after.top]))
    tone, flip = flip_words(c, len(groups))
    return render(
        "prediction",
        held=held(visit.edit),
        patches={"tokens": tokens, "revision": visit.revision, "heard": visit.latest_message.get("patches", 0)},
        digest=digest(visit),
        observed=observed(visit).model_dump() if groups else None,
        levers=len(groups),
        groups=[
            (head(group), group_name(group), done(group[0]), len(group), map_of(visit, head(group))) for group in groups
        ],
        where="" if tokens is None or not groups or not rows else tokens_words(tokens, rows * columns),
        conditional=visit.edit.condition is not None,
        classes=c.before.classes,
        before=at(c.before.probabilities, order),
        after=at(c.after.probabilities, order),
        best=c.after.top,
        shown=order,
        tone=tone,
        flip=flip,
        cosine=c.cosine,
        similarity=similarity_line(visit),
        shares=at(c.after.shares, order) if c.after.per_class else None,
        steps=(
            ("undo", "↶", "Undo", bool(visit.history.past)),
            ("redo", "↷", "Redo", bool(visit.history.future)),
            ("reset", "Clear", "Clear: no lever", visit.edit != Edit()),
        ),
    )


def meaning(prediction: Prediction) -> str:
    """What the probabilities are."""
    n = len(prediction.classes)
    if prediction.per_class:
        return "of each class alone: the sigmoid of its logit"
    return f"softmax over {'this class' if n == 1 else f'these {n:,} classes'}"


def _asked_about(visit: Visit) -> list[int]:
    """The classes of the target, and the one that it should be."""
    return [*visit.target.classes, *([] if visit.truth is None else [visit.truth])]


def listed(visit: Visit) -> list[int]:
    """The classes that stand in charts and tables, the likeliest before the edit first: all, or of many these.

    The likeliest before it and after it, those whose logits it moved most against the others, and those of the target.
    """
    c, n = visit.comparison, len(visit.classes)
    if n <= ALL_LISTED:
        return c.before.order.tolist()
    shown = {*_largest(c.before.logits, LISTED), *_largest(c.after.logits, MOVED), *_asked_about(visit)}
    if visit.edit.levers:
        shown |= {*_largest(np.abs(beyond_common(c.logit_change)), MOVED)}
    return sorted(shown, key=lambda k: (-c.before.logits[k], k))


def _largest(values: np.ndarray, k: int) -> list[int]:
    """Where the k largest are, in any order: without sorting a thousand at every press."""
    return np.argpartition(-values, k)[:k].tolist()


def at(values: np.ndarray, shown: Iterable[int]) -> dict[int, float]:
    """Those of the classes that are shown."""
    return {k: float(values[k]) for k in shown}


def held(edit: Edit) -> list[dict[str, Any]]:
    """The edit as the page's scripts read it: its levers, those of a family as one."""
    return [
        {
            "components": [lever.component for lever in group],
            "operation": group[0].operation,
            "strength": group[0].strength,
        }
        for group in edit.groups()
    ]


def digest(visit: Visit) -> str:
    """A name for what is in sight: the picture, the question and the edit."""
    second = None if visit.second is None else content_hash(visit.second.crop)
    question = visit.classes, visit.templates, visit.target, second
    said = (visit.setup, visit.subject, visit.revision, *question, visit.edit)
    return hashlib.blake2s(repr(said).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def flip_words(comparison: Comparison, levers: int) -> tuple[str, Markup | str]:
    """(tone, sentence): whether the predicted class changed."""
    was, now = comparison.before.best, comparison.after.best
    if not levers:
        return "still", f"CLIP says “{now}”"
    if comparison.flipped:
        return "flipped", Markup('<span aria-hidden="true">▲</span> Flipped: “{}” → “{}”').format(was, now)
    return "still", f"No flip: still “{now}”"


def head(group: Sequence[Lever]) -> int:
    """The component that stands for a lever: its own; of a family, the one it was pulled from, if it is in it still."""
    return next((lever.component for lever in group if lever.component == lever.family), group[0].component)


def group_name(group: Sequence[Lever]) -> str:
    """What a lever is on: a component, or a family by the one it was pulled from, which may have left it since."""
    if len(group) == 1:
        return f"#{group[0].component}"
    whole = any(lever.component == lever.family for lever in group)
    return f"#{group[0].family} and its family" if whole else f"the others of #{group[0].family}’s family"


def done(lever: Lever) -> str:
    """What a lever does, in words."""
    where = "" if lever.at_least is None else f" where ≥ {lever.at_least:g}"
    if lever.operation == "suppress":
        return f"suppressed{where}"
    return f"× {lever.strength:g}{where}" if lever.operation == "scale" else f"set to {lever.strength:g}{where}"


def tokens_words(tokens: Sequence[int] | None, n_patches: int) -> str:
    """Where an edit acts, in words (the page says the same in canvas.js)."""
    if tokens is None:
        return "all tokens"
    n = sum(token > 0 for token in tokens)
    if 0 in tokens:
        return f"{n} of {n_patches} patches and CLS" if n else "CLS only"
    return f"{n} of {n_patches} patches"
