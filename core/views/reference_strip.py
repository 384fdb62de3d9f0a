"""What makes a component recognisable, drawn: its reference pictures with the place that fires lit, a guessed name.

Pictures and masks are written once, in a style sheet (`sheet`), as classes named by their content; the strips only name
these classes. So a part of the page that is drawn anew after every move of a lever carries no picture again.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ..concepts.component import ActivatingExample, Concept, Guess
from ..concepts.families import Family
from ..words import count, signed
from .html import escaped, percent
from .images import mask_uri, webp_uri

ONLY_CLS = "<em>only CLS</em>"

STRIP = 5
"""Reference pictures in a strip."""

CHIPPED = 12
"""Members of a family that are listed with their picture."""

_CLARITY = ((0.6, "very clear"), (0.35, "clear"), (0.15, "fairly clear"), (-math.inf, "mixed"))
"""Words for how far the reference pictures are from arbitrary ones (0) towards all the same (1)."""


@dataclass(frozen=True)
class Face:
    """One component, as it is recognised."""

    concept: Concept
    """What the index knows of it."""
    shots: tuple[ActivatingExample, ...]
    """Reference pictures, the strongest first."""
    family: Family | None = None
    """The near-duplicates it belongs to; None for a component of its own."""


NO_FACES: Mapping[int, Face] = MappingProxyType({})
"""What is known of the components without a concept index."""


def sheet(shots: Iterable[ActivatingExample]) -> str:
    """The style sheet with these pictures and masks, each once; `strip` and `chip` refer to it."""
    rules: dict[str, str] = {}
    for shot in shots:
        picture, mask = _classes(shot)
        rules.setdefault(picture, f"--shot:url({webp_uri(shot.webp)})")
        if mask:
            rules.setdefault(mask, f"--lit:url({mask_uri(shot.region)})")
    return f"<style>{''.join(f'.{name}{{{rule}}}' for name, rule in rules.items())}</style>"


def strip(face: Face, shots: Sequence[ActivatingExample], which: str) -> str:
    """Reference pictures in a row, the firing region lit and the rest dimmed. A press opens the component's page.

    `which` says, for those who cannot see them, which pictures these are.
    """
    c = face.concept
    cls = sum(not shot.region.any() for shot in shots)
    said = f"{count(len(shots), 'reference picture')} of component {c.component}, {which}; lit where it fires"
    said += f"; in {cls} of them it fires at CLS only" if cls else ""
    return f"""<div class="strip" role="img" aria-label="{said}" data-component="{c.component}"
 data-action="open">{"".join(_shot(shot) for shot in shots)}</div>"""


def _shot(shot: ActivatingExample, whole: bool = False) -> str:
    """One picture; `whole`: nothing dimmed, as also where CLS alone fires, which sees the whole picture."""
    lit = bool(shot.region.any())
    picture, mask = _classes(shot)
    names = f"shot {picture} {'whole' if whole or not lit else mask}"
    if whole:
        return f'<span class="{names}"></span>'
    where = f"on {count(int(np.count_nonzero(shot.region)), 'patch', 'es')}" if lit else "at CLS only"
    return f"""<span class="{names}" title="activation {shot.value:.3g}, {where}">{"" if lit else ONLY_CLS}</span>"""


def _classes(shot: ActivatingExample) -> tuple[str, str]:
    """Names made of the content, for the picture and for the mask; no mask where nothing is lit."""

    def key(content: bytes) -> str:
        return hashlib.blake2s(content, digest_size=5).hexdigest()

    return f"r{key(shot.webp)}", f"m{key(shot.region.tobytes())}" if shot.region.any() else ""


def chip(component: int, note: str, face: Face | None) -> str:
    """A component in passing: its strongest picture, its number, a note (HTML). A press opens its page."""
    tiny = _shot(face.shots[0], whole=True) if face and face.shots else ""
    label = f" {guess(face.concept)}" if face else ""
    return f"""<button type="button" class="chip" data-component="{component}" data-action="open"
 aria-label="Open component {component}">{tiny}<span><b>#{component}</b> {note}{label}</span></button>"""


def guess(concept: Concept) -> str:
    """The label, marked as a guess; nothing where there is none."""
    if not concept.guesses:
        return ""
    best = concept.guesses[0]
    return f"""<span class="guess" title="A guess. {alignment_words(best)}">guess: “{escaped(best.word)}”</span>"""


def alignment_words(best: Guess) -> str:
    """The score of a label guess, and what it is."""
    return (
        f"Alignment {signed(best.alignment, 3)}: cosine of the word with the component’s reference pictures, less that "
        "of an empty text."
    )


def face_words(concept: Concept) -> str:
    """Clarity and frequency on a line, in words that explain themselves when pointed at."""
    if concept.dead:
        return f"""<p class="detail">It never fired in the {concept.pictures:,} pictures of the index.</p>"""
    return f"""<p class="detail">{" · ".join(filter(None, (_clarity(concept), _frequency(concept))))}</p>"""


def _clarity(concept: Concept) -> str:
    """How much its reference pictures have in common."""
    if concept.clarity is None:
        return ""
    beyond = (concept.clarity - concept.usual) / max(1 - concept.usual, 1e-6)
    word = next(word for least, word in _CLARITY if beyond >= least)
    how = (
        f"Clarity {concept.clarity:.2f}: how alike its reference pictures are to the model (mean cosine of their "
        f"embeddings). 1: all the same; {concept.usual:.2f}: pictures picked at random."
    )
    return f"""<span title="{how}">{word} <small>(clarity {concept.clarity:.2f})</small></span>"""


def _frequency(concept: Concept) -> str:
    """How often it fires."""
    how = f"In {concept.fired:,} of the {concept.pictures:,} pictures of the index."
    return f"""<span title="{how}">fires in {percent(concept.frequency)} % of pictures</span>"""
