"""The target, and a card for each of its strongest components -> HTML of the Attribution tab."""

from collections.abc import Mapping

import numpy as np

from ..session.visit import Part, Visit
from ..words import signed
from .component import actions, firing, heat_of, lever_on, target_words
from .html import escaped, percent, sign
from .images import picture_uri
from .reference_strip import NO_FACES, STRIP, Face, face_words, guess, strip


def target_line(visit: Visit, logit_scale: float) -> str:
    """The target's value and what of it the components can explain."""
    a = visit.attribution
    share = a.completeness.error_share or 0.0
    return f"""<p class="target">{target_words(visit)} stands at <b>{signed(a.value)} logits</b>
<small>(a logit is {logit_scale:.0f} × cosine). Predicted contributions: activation × gradient, summed over tokens.
<b>The SAE misses {percent(share)} %</b> of what flows into this target; no component
 speaks for that part.</small></p>"""


def cards(visit: Visit, faces: Mapping[int, Face] = NO_FACES) -> str:
    """Two columns, for and against. The picture stands once (--picture), each heatmap is a few bytes.

    `faces` by component; empty without a concept index. Their pictures stand in `faces.sheet`, which the page has once.
    """
    strongest = max((abs(part.total) for part in visit.parts), default=1.0)
    halves = []
    wanted, other = f"“{escaped(visit.wanted)}”", f"“{escaped(visit.against)}”"
    alone = visit.against is None
    for tone, shape, title, found in (
        ("for", "▲", f"For {wanted}{'' if alone else f', against {other}'}", [p for p in visit.parts if p.total > 0]),
        (
            "against",
            "▼",
            f"Against {wanted}{'' if alone else f', for {other}'}",
            [p for p in visit.parts if p.total < 0],
        ),
    ):
        listed = "".join(_card(part, visit, strongest, faces.get(part.component)) for part in found)
        listed = listed or '<li class="empty">No component speaks this way here.</li>'
        halves.append(
            f'<section class="half {tone}"><h3><span aria-hidden="true">{shape}</span> {title} '
            f"<small>strongest {len(found)}</small></h3><ul>{listed}</ul></section>"
        )
    return f"""<p class="agreement"><span role="status">{_agreement(visit)}</span>
 <a href="#look">Where it looks ↓</a></p>
<div class="cards" style="--picture:url({picture_uri(visit.trace.crop, 160)})">{"".join(halves)}</div>
<p class="legend"><span class="key for"></span>▲ speaks for <span class="key against"></span>▼ speaks against ·
 heatmap: contribution of each patch in logits, full colour at the card's strongest patch ·
 measured: what the target lost when the model ran without the component{_face_legend(faces)}</p>"""


def _face_legend(faces: Mapping[int, Face]) -> str:
    if not faces:
        return ""
    pictures = next(iter(faces.values())).concept.pictures
    return f""" · small pictures: where the component fires most among {pictures:,} other pictures, the firing part lit.
 <b>The pictures are the evidence; the label is a guess.</b>"""


def _agreement(visit: Visit) -> str:
    """How well prediction and measurement agree over the cards, in words."""
    if visit.agreement is None:
        return "Measuring what the model does without each of these …"
    doubted = sum(bool(disagreement(p.total, p.measured)) for p in visit.parts if p.measured is not None)
    if np.isnan(visit.agreement):
        return ""
    said = f"Predicted and measured effects of these {len(visit.parts)}: rank correlation {visit.agreement:.2f}."
    if not doubted:
        return f"{said} None differs in sign or by more than a factor of two."
    return f"{said} {doubted} of them {'differ' if doubted > 1 else 'differs'} in sign or by more than a factor of two."


def _card(part: Part, visit: Visit, strongest: float, face: Face | None) -> str:
    tone, shape = sign(part.total)
    lever = lever_on(visit.edit, part.component)
    patches = part.total - part.on_cls
    known = ""
    if face:
        shots = strip(face, face.shots[:STRIP], "where it fires most") if face.shots else ""
        known = f"""{shots}<div class="known">{face_words(face.concept)}</div>"""
    return f"""<li class="card {tone}{" pulled" if lever else ""}" id="component-{part.component}">{heat_of(part)}
<div class="facts"><p class="number"><span><b>#{part.component}</b> {guess(face.concept) if face else ""}</span>
<span class="sum"><span aria-hidden="true">{shape}</span> {signed(part.total)} <small>logits</small></span></p>
<p class="scale" aria-hidden="true"><i style="width:{100 * abs(part.total) / strongest:.0f}%"></i></p>
<p class="detail measured">{_measured(part.total, part.measured)}</p>
<p class="detail">by patches {signed(patches)}, by CLS {signed(part.on_cls)}</p>
<p class="detail">{firing(part)}</p></div>
{known}<p class="actions">{actions(part.component, visit.edit, face)}</p></li>"""


def _measured(predicted: float, measured: float | None) -> str:
    if measured is None:
        return "measuring …"
    said = f"measured {signed(measured)} logits"
    doubt = disagreement(predicted, measured)
    return f"{said}: <b>{doubt}, trust this one</b>" if doubt else said


def disagreement(predicted: float, measured: float) -> str:
    """How a measured effect contradicts its prediction, in words; nothing where they agree within a factor of two.

    Effects that both round to nothing (below 0.01 logits) are not worth a sentence.
    """
    small, large = sorted((abs(predicted), abs(measured)))
    if large < 0.01:
        return ""
    if predicted * measured < 0 and small >= 0.01:
        return "the other way"
    if large <= 2 * small:
        return ""
    return "more than twice as much" if abs(measured) > abs(predicted) else "less than half"
