"""The prediction before and after the edit -> HTML of the Before / after tab."""

from dataclasses import dataclass

import numpy as np

from ..model.prediction import Comparison
from ..session.visit import Visit
from ..words import decimal, signed
from .component import target_words
from .html import escaped, percent, sign
from .images import heat_uri, picture_uri
from .panel import flip_words


def chart(visit: Visit) -> str:
    """The flip in words, and the probability of every class before and after."""
    c = visit.comparison
    tone, words = flip_words(c, visit.edit.n_groups)
    rows = "".join(_pair(c, int(k)) for k in c.before.order)
    n = len(c.before.classes)
    return f"""<section class="compare"><p class="verdict {tone}">{words}</p>
<h3>Probability of each class <small>in %, softmax over {"this class" if n == 1 else f"these {n} classes"} ·
 <span class="key was"></span>before <span class="key now"></span>after</small></h3>
<div class="tall" tabindex="0" role="region" aria-label="Chart of all classes"><ul class="pairs">{rows}</ul></div>
</section>"""


def _pair(c: Comparison, k: int) -> str:
    was, now = float(c.before.probabilities[k]), float(c.after.probabilities[k])
    name = escaped(c.before.classes[k])
    return f"""<li{' class="best"' if k == c.after.top else ""}><span class="name" title="{name}">{name}</span>
<span class="pair" role="img" aria-label="{name}: before {percent(was)} %, after {percent(now)} %">
<span class="track"><i class="was" style="width:{100 * was:.1f}%"></i></span>
<span class="track"><i class="now" style="width:{100 * now:.1f}%"></i></span></span>
<span class="value"><span>{percent(was)} %</span><b>{percent(now)} %</b></span></li>"""


def table(comparison: Comparison) -> str:
    """Probability, logit and rank of every class, before and after."""
    body = "".join(_row(comparison, int(k)) for k in comparison.before.order)
    heads = ("Class", "Probability, %", "Change, points", "Logit", "Change, logits", "Rank")
    return f"""<div class="scroll tall framed" tabindex="0" role="region" aria-label="Table of changes">
<table class="changes"><thead><tr>{"".join(f'<th scope="col">{head}</th>' for head in heads)}</tr></thead>
<tbody>{body}</tbody></table></div>"""


def _row(c: Comparison, k: int) -> str:
    was, now = float(c.before.probabilities[k]), float(c.after.probabilities[k])
    change = float(c.logit_change[k])
    tone, shape = sign(change) if abs(change) >= 0.005 else ("same", "=")
    name = escaped(c.before.classes[k])
    return f"""<tr><th scope="row" title="{name}">{name}</th><td>{percent(was)} → <b>{percent(now)}</b></td>
<td>{signed(100 * (now - was), 1)}</td><td>{decimal(c.before.logits[k])} → <b>{decimal(c.after.logits[k])}</b></td>
<td class="{tone}"><span aria-hidden="true">{shape}</span> {signed(change)}</td>
<td>{c.before.ranks[k]} → <b>{c.after.ranks[k]}</b></td></tr>"""


@dataclass(frozen=True)
class Support:
    """Where a target's support sits, at one time."""

    when: str
    """Before or after."""
    value: float
    """The target's value, in logits."""
    tokens: np.ndarray
    """float [T]: what all components together contribute by each token, in logits."""


def heat_pair(visit: Visit, before: Support, after: Support) -> str:
    """Where the target's support sits before and after the edit, on one scale."""
    heats = [support.tokens[1:].reshape(visit.trace.grid) for support in (before, after)]
    peak = max(float(np.abs(heat).max()) for heat in heats) or 1.0
    both = "".join(
        f"""<figure><span class="heat large" role="img" aria-label="{s.when}: contribution of each patch"><i
 style="background-image:url({heat_uri(heat, peak)})"></i></span><figcaption><b>{s.when}: {signed(s.value)} logits</b>
<small>by patches {signed(float(heat.sum()))}, by CLS {signed(float(s.tokens[0]))}</small></figcaption></figure>"""
        for s, heat in zip((before, after), heats, strict=True)
    )
    return f"""<section class="heats" style="--picture:url({picture_uri(visit.trace.crop)})">
<h3>Where {target_words(visit)} is supported <small>predicted contribution of all components by patch, in logits; same
 scale, full colour at {peak:.2g} logits</small></h3><div class="two">{both}</div>
<p class="legend"><span class="key for"></span>▲ speaks for <span class="key against"></span>▼ speaks against</p>
</section>"""
