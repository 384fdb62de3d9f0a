"""Reference pictures of a component (its activating examples) -> HTML: lit where it fires, with a guessed name.

Pictures and masks are written once, in a style sheet (`sheet`), as classes named by their content; the strips only name
these classes. So a part of the page that is drawn anew after every move of a lever carries no picture again.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from markupsafe import Markup

from ..concepts.component import ActivatingExample, Concept, Guess
from ..concepts.families import Family
from ..words import count, percent, signed
from .glossary import term
from .html import NOTHING, joined
from .images import mask_uri, webp_uri

ONLY_CLS = Markup("<em>only CLS</em>")

STRIP = 4
"""Reference pictures in the strip of a row."""

CHIPPED = 12
"""Members of a family that are listed with their picture."""

_CLARITY = ((0.6, "very clear"), (0.35, "clear"), (0.15, "fairly clear"), (-math.inf, "mixed"))
"""Words for how far the reference pictures are from arbitrary ones (0) towards all the same (1)."""


@dataclass(frozen=True)
class Face:
    """One component, as it is recognised."""

    concept: Concept | None
    """What the concept index knows of it; None without one."""
    examples: tuple[ActivatingExample, ...] = ()
    """Reference pictures, the strongest first."""
    family: Family | None = None
    """The near-duplicates it belongs to; None for a component of its own."""
    word: str | None = None
    """What it stands for, where its dictionary is of words: that is no guess."""

    @property
    def label(self) -> str | None:
        """Its word, or else the best guess; None where there is neither."""
        return self.word or (None if self.concept is None else self.concept.label)

    @property
    def label_words(self) -> str:
        """The same for the reader, in brackets, and whether it is a guess."""
        return f" ({'' if self.word else 'guess: '}“{self.label}”)" if self.label else ""


NO_FACES: Mapping[int, Face] = MappingProxyType({})
"""What is known of the components without a concept index."""


def sheet(examples: Iterable[ActivatingExample]) -> Markup:
    """The style sheet with these pictures and masks, each once; `strip` and `chip` refer to it."""
    rules: dict[str, str] = {}
    for example in examples:
        picture, mask = _classes(example)
        rules.setdefault(picture, f"--shot:url({webp_uri(example.webp)})")
        if mask:
            rules.setdefault(mask, f"--lit:url({mask_uri(example.region)})")
    rule = Markup(".{}{{{}}}")
    return Markup("<style>{}</style>").format(joined(rule.format(name, rules[name]) for name in rules))


def strip(face: Face, examples: Sequence[ActivatingExample], which: str) -> Markup:
    """Reference pictures in a row, the firing region lit and the rest dimmed. A press opens the component's page.

    `which` says, for those who cannot see them, which pictures these are.
    """
    assert face.concept is not None  # it knows the pictures
    component = face.concept.component
    cls = sum(example.region.size > 0 and not example.region.any() for example in examples)
    words = f"{count(len(examples), 'reference picture')} of component {component}, {which}"
    words += "; lit where it fires" if any(example.region.size for example in examples) else ""
    words += f"; in {cls} of them it fires at CLS only" if cls else ""
    return Markup("""<div class="strip" role="img" aria-label="{words}" data-component="{component}"
 data-action="open">{pictures}</div>""").format(words=words, component=component, pictures=joined(map(_lit, examples)))


def _lit(example: ActivatingExample) -> Markup:
    """One picture, dimmed where nothing fires; not where CLS alone does, which sees the whole picture.

    Nor where the dictionary reads the image embedding: then there is no region.
    """
    picture, mask = _classes(example)
    where = f", on {count(int(np.count_nonzero(example.region)), 'patch', 'es')}" if mask else ", at CLS only"
    note = NOTHING if mask else ONLY_CLS
    if not example.region.size:
        where, note = "", NOTHING
    return Markup('<span class="shot {} {}" title="activation {:.3g}{}">{}</span>').format(
        picture, mask or "whole", example.value, where, note
    )


def _classes(example: ActivatingExample) -> tuple[str, str]:
    """Names made of the content, for the picture and for the mask; no mask where nothing is lit."""

    def key(content: bytes) -> str:
        return hashlib.blake2s(content, digest_size=5).hexdigest()

    return f"r{key(example.webp)}", f"m{key(example.region.tobytes())}" if example.region.any() else ""


def chip(component: int, note: Markup, face: Face | None) -> Markup:
    """A component in passing: its strongest picture, its number, a note. A press opens its page."""
    label = NOTHING if face is None else Markup(" {}").format(named(face))
    return Markup("""<button type="button" class="chip" data-component="{component}" data-action="open"
 data-row="{component}" aria-label="Open component {component}">{picture}<span><b>#{component}</b>
 {note}{label}</span></button>""").format(component=component, picture=thumb(face), note=note, label=label)


def thumb(face: Face | None) -> Markup:
    """A component's strongest reference picture alone; nothing where there is none."""
    if face is None or not face.examples:
        return NOTHING
    return Markup('<span class="shot {} whole"></span>').format(_classes(face.examples[0])[0])


def named(face: Face | None) -> Markup:
    """What a component stands for: its word, or a label, marked as a guess; nothing where there is neither."""
    if face is None:
        return NOTHING
    if face.word:
        return Markup('<span class="word">“{}”</span>').format(face.word)
    return guess(face.concept) if face.concept else NOTHING


def guess(concept: Concept) -> Markup:
    """The label, marked as a guess; nothing where there is none."""
    if not concept.guesses:
        return NOTHING
    best = concept.guesses[0]
    return Markup('<span class="guess" title="A guess. {}">guess: “{}”</span>').format(alignment_words(best), best.word)


def alignment_words(best: Guess) -> str:
    """The score of a label guess, and what it is."""
    return (
        f"Alignment {signed(best.alignment, 3)}: cosine of the word with the reference pictures, less that of an empty "
        "text."
    )


def face_words(concept: Concept) -> Markup:
    """Clarity and frequency."""
    if concept.dead:
        return Markup("It never fired in the {:,} pictures of the index").format(concept.pictures)
    return Markup(" · ").join(filter(None, (_clarity(concept), _frequency(concept))))


def _clarity(concept: Concept) -> Markup:
    """How much its reference pictures have in common."""
    if concept.clarity is None:
        return NOTHING
    beyond = (concept.clarity - concept.usual) / max(1 - concept.usual, 1e-6)
    word = next(word for least, word in _CLARITY if beyond >= least)
    return Markup("{} <small>({} {:.2f}; of random pictures {:.2f})</small>").format(
        word, term("clarity"), concept.clarity, concept.usual
    )


def _frequency(concept: Concept) -> Markup:
    """How often it fires."""
    return Markup("fires in {:,} of {:,} pictures ({} %)").format(
        concept.fired, concept.pictures, percent(concept.frequency)
    )
