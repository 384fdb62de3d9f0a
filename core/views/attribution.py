"""The target, the steps that lead to it, and rows of its strongest components -> HTML of the Attribution tab."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from ..methods.waterfall import Waterfall, waterfall
from ..session.visit import Visit
from ..words import count, percent, signed
from .component import target_words
from .glossary import term, unit_term
from .html import NOTHING, render, sign
from .reference_strip import NO_FACES, Face, thumb
from .row import Axis, disagreement, effect_of, rows

# ---- the target


def target_line(visit: Visit, logit_scale: float, words: bool = False) -> Markup:
    """The target's value and what of it the components, which may be `words`, cannot explain."""
    share, target = visit.attribution.completeness.error_share or 0.0, visit.target
    return Markup("""<p class="target"><b>{} {}</b> <small>({:.0f} × cosine) · {} {} %</small></p>""").format(
        signed(visit.attribution.value),
        unit_term(target),
        target.per_cosine(logit_scale),
        term("reconstruction error", f"the {_misses(words)}"),
        percent(share),
    )


def _misses(words: bool) -> str:
    return "words miss" if words else "SAE misses"


# ---- what it is made of


@dataclass(frozen=True)
class Step:
    """A bar of the waterfall."""

    name: Markup | str
    """Under the bar."""
    start: float
    """Where it begins, in the target's unit."""
    size: float
    """What it adds."""
    title: str
    """The same in words; nothing for one that a term explains."""
    component: int | None = None
    """The component whose row it leads to."""
    picture: Markup = NOTHING
    """Of that component."""
    measured: float | None = None
    """What that component adds according to the model."""
    whole: bool = False
    """Whether it is the value itself, which begins at zero."""

    @property
    def end(self) -> float:
        """Where it ends."""
        return self.start + self.size

    @property
    def tick(self) -> float | None:
        """Where it would end if it were what was measured."""
        return None if self.measured is None else self.start + self.measured

    @property
    def tone(self) -> str:
        """Of what it adds; the value and what no component has part in are of neither."""
        if self.whole:
            return "whole"
        return "rest" if self.component is None else sign(self.size)[0]


def steps(visit: Visit, faces: Mapping[int, Face] = NO_FACES) -> list[Step]:
    """From zero to the target's value: what speaks for it, what against it, and all that no row is about."""
    found, at = waterfall(visit.attribution, [part.component for part in visit.parts]), 0.0
    drawn: list[Step] = []
    for part in visit.parts:
        face = faces.get(part.component)
        measured = "" if part.measured is None else f", measured {signed(part.measured)}"
        title = (
            f"#{part.component}{face.label_words if face else ''}: predicted {signed(part.total)}{measured} {part.unit}"
        )
        drawn.append(Step(f"#{part.component}", at, part.total, title, part.component, thumb(face), part.measured))
        at = drawn[-1].end
    others = f"The other {count(found.n_others, 'active component')} together"
    rest: list[tuple[Markup | str, float, str]] = [(f"{found.n_others} others", found.others, others)]
    for name, size, title in [*rest, *((term(what, words), size, "") for words, size, what in _besides(found, faces))]:
        if size:
            drawn.append(Step(name, at, size, title))
            at = drawn[-1].end
    value = f"{target_words(visit)} stands at {signed(found.value)} {visit.target.UNIT}"
    return [*drawn, Step(term("target"), 0.0, found.value, value, whole=True)]


def _besides(found: Waterfall, faces: Mapping[int, Face]) -> list[tuple[str, float, str]]:
    """What no component has part in: name, size and the term for it."""
    return [
        (_misses(any(face.word for face in faces.values())), found.error, "reconstruction error"),
        ("offset", found.offset, "offset"),
        ("not linear", found.beyond, "not linear"),
    ]


def waterfall_chart(visit: Visit, faces: Mapping[int, Face] = NO_FACES) -> Markup:
    """The steps as bars, each from where the one before ended; a component's leads to its row.

    The pictures are in the sheet that the rows have.
    """
    drawn, found = steps(visit, faces), waterfall(visit.attribution, [part.component for part in visit.parts])
    return render(
        "waterfall",
        steps=drawn,
        axis=Axis.over(value for step in drawn for value in (step.start, step.end, step.tick)),
        target=target_words(visit),
        unit=visit.target.UNIT,
        components=found.components,
        besides=_besides(found, faces),
        value=found.value,
    )


# ---- its strongest components


def part_rows(visit: Visit, faces: Mapping[int, Face] = NO_FACES, still: bool = False) -> Markup:
    """The strongest components, for and against, on one axis; `still`: nothing in them can be pressed.

    `faces` by component; empty without a concept index. Their pictures stand in `reference_strip.sheet`, which the page
    has once.
    """
    effects = {part.component: effect_of(part, awaited=True) for part in visit.parts}
    axis = Axis.over(value for effect in effects.values() for value in (effect.bar, effect.tick))
    speaks_for, speaks_against = visit.target.sides(visit.classes)

    def side(way: int) -> tuple[int, Markup]:
        shown = {c: effect for c, effect in effects.items() if effect.bar * way > 0}
        return len(shown), rows(visit, shown, faces, axis, anchored=True, still=still)

    return render(
        "rows",
        agreement=_agreement(visit),
        sides=(
            ("for", "▲", speaks_for, *side(1)),
            ("against", "▼", speaks_against, *side(-1)),
        ),
        pictures=next((face.concept.pictures for face in faces.values() if face.concept), None),
    )


def _agreement(visit: Visit) -> Markup | str:
    """How well prediction and measurement agree over the rows, in words."""
    if visit.agreement is None:
        return "Measuring …"
    doubted = sum(bool(disagreement(p.total, p.measured)) for p in visit.parts if p.measured is not None)
    if np.isnan(visit.agreement):
        return ""
    return Markup("{} {:.2f} · {} of {} {}").format(
        term("rank correlation", "Rank correlation"),
        visit.agreement,
        doubted or "none",
        len(visit.parts),
        term("disagreement", "disagree"),
    )
