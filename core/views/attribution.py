"""The target, and a card for each of its strongest components -> HTML of the Attribution tab."""

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup

from ..session.visit import Part, Visit
from ..words import percent, signed
from .component import actions, firing, heat_of, target_words
from .html import NOTHING, render
from .images import picture_uri
from .reference_strip import NO_FACES, STRIP, Face, face_words, guess, strip


def target_line(visit: Visit, logit_scale: float) -> Markup:
    """The target's value and what of it the components can explain."""
    a = visit.attribution
    share = a.completeness.error_share or 0.0
    return Markup("""<p class="target">{} stands at <b>{} logits</b>
<small>(a logit is {:.0f} × cosine). Predicted contributions: activation × gradient, summed over tokens.
<b>The SAE misses {} %</b> of what flows into this target; no component
 speaks for that part.</small></p>""").format(target_words(visit), signed(a.value), logit_scale, percent(share))


def cards(visit: Visit, faces: Mapping[int, Face] = NO_FACES) -> Markup:
    """Two columns, for and against. The picture stands once (--picture), each heatmap is a few bytes.

    `faces` by component; empty without a concept index. Their pictures stand in `reference_strip.sheet`, which the page
    has once.
    """
    strongest = max((abs(part.total) for part in visit.parts), default=1.0)
    wanted, other = f"“{visit.wanted}”", f"“{visit.against}”"
    for_other, against_other = ("", "") if visit.against is None else (f", for {other}", f", against {other}")

    def drawn(sign: int) -> list[Markup]:
        return [_card(p, strongest, faces.get(p.component)) for p in visit.parts if p.total * sign > 0]

    return render(
        "cards",
        agreement=_agreement(visit),
        picture=picture_uri(visit.trace.crop, 160),
        columns=(
            ("for", "▲", f"For {wanted}{against_other}", drawn(1)),
            ("against", "▼", f"Against {wanted}{for_other}", drawn(-1)),
        ),
        pictures=next(iter(faces.values())).concept.pictures if faces else None,
    )


def _card(part: Part, strongest: float, face: Face | None) -> Markup:
    return render(
        "card",
        part=part,
        heat=heat_of(part),
        guess=guess(face.concept) if face else NOTHING,
        strongest=strongest,
        doubt="" if part.measured is None else disagreement(part.total, part.measured),
        firing=firing(part),
        face=face,
        strip=strip(face, face.examples[:STRIP], "where it fires most") if face and face.examples else NOTHING,
        known=face_words(face.concept) if face else NOTHING,
        actions=actions(part.component, face),
    )


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
