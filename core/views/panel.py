"""The picture and its prediction, now against before -> HTML beside every tab."""

from ..model.prediction import Comparison
from ..session.visit import Visit
from ..words import count
from .html import escaped, flag, percent
from .images import picture_uri

PANEL_CLASSES = 6
"""Classes beside the picture; the chart has all."""


def panel(visit: Visit, cue: str | None = None, shown: int = PANEL_CLASSES) -> str:
    """The picture as the model sees it, and the prediction now against before.

    With `cue` (what the twin lacks) comes the button that shows the same scene without it.
    """
    c, pulled = visit.comparison, visit.edit.n_groups
    order = [int(k) for k in c.before.order[:shown]]
    order += [] if c.after.top in order else [c.after.top]
    rest = len(c.before.classes) - len(order)
    rows = "".join(_bar(c, k, bool(pulled)) for k in order)
    tone, words = flip_words(c, pulled)
    legend = '<span class="key now"></span>now'
    if pulled:
        legend = f'<span class="key was"></span>before {legend} ({count(pulled, "lever")})'
    caption, height, width = escaped(visit.subject.caption), *visit.trace.crop.shape[:2]
    return f"""<section class="panel" aria-label="Picture and prediction">
<figure class="seen"><img src="{picture_uri(visit.trace.crop)}" alt="{caption} (as the model sees it)" width="{width}"
 height="{height}"><figcaption>{caption}<small>As the model sees it, {width} × {height} px</small></figcaption>
{_twin(visit, cue)}</figure>
<div class="prediction"><h2>Prediction <small>{legend}</small></h2><ul class="bars">{rows}</ul>
{f'<p class="more">and {rest} more: see Before / after</p>' if rest > 0 else ""}
<p class="flip {tone}" aria-live="polite"><b>{words}</b>
<small>{_moved(c, pulled)}</small></p></div></section>"""


def flip_words(comparison: Comparison, levers: int) -> tuple[str, str]:
    """(tone, sentence): whether the predicted class changed."""
    was, now = (f"“{escaped(p.best)}”" for p in (comparison.before, comparison.after))
    if not levers:
        return "still", f"CLIP says {now}. No lever pulled yet."
    if comparison.flipped:
        return "flipped", f'<span aria-hidden="true">▲</span> Flipped: {was} → {now}'
    return "still", f"No flip: still {now}"


def _moved(c: Comparison, pulled: int) -> str:
    if not pulled:
        return f'<span class="wide">probabilities among {count(len(c.before.classes), "class", "es")}, no others</span>'
    return f'embedding cosine {c.cosine:.3f}<span class="wide"> between before and now (1 = unchanged)</span>'


def _twin(visit: Visit, cue: str | None) -> str:
    if cue is None:
        return ""
    words = f"Show with the {cue}" if visit.subject.counterfactual else f"Show without the {cue}"
    return f"""<button type="button" class="act twin" data-twin aria-pressed="{flag(visit.subject.counterfactual)}"
>{escaped(words)}</button>"""


def _bar(c: Comparison, k: int, pulled: bool) -> str:
    was, now = float(c.before.probabilities[k]), float(c.after.probabilities[k])
    name = escaped(c.before.classes[k])
    change = f'<span class="was">{percent(was)} →</span> ' if pulled else ""
    said = f"{percent(was)} % before, {percent(now)} % now" if pulled else f"{percent(now)} %"
    return f"""<li class="bar{" best" if k == c.after.top else ""}"><span class="name" title="{name}">{name}</span>
<span class="track" role="img" aria-label="{name}: {said}"><i class="was" style="width:{100 * was * pulled:.1f}%"></i><i
 class="now" style="width:{100 * now:.1f}%"></i></span>
<span class="value">{change}<b>{percent(now)} %</b></span></li>"""
