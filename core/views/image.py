"""The examples, and class names with unknown words -> HTML of the Image tab."""

from collections.abc import Mapping, Sequence

from ..pictures.examples import Example
from .html import escaped, flag


def gallery(examples: Sequence[Example], thumbs: Sequence[str], chosen: str | None) -> str:
    """The examples as buttons; `chosen` is a name."""
    cells = "".join(
        f"""<button type="button" class="example" data-example="{k}" aria-pressed="{flag(e.name == chosen)}">
<img src="{thumb}" alt="" width="224" height="224"><span>{escaped(e.sentence)}</span></button>"""
        for k, (e, thumb) in enumerate(zip(examples, thumbs, strict=True))
    )
    return f'<div class="gallery" role="group" aria-label="Examples">{cells}</div>'


def unknown_words(unknown: Mapping[str, Sequence[str]], known: Sequence[str]) -> str:
    """A mark on every class with words the setup never saw, and the words it did see."""
    if not unknown:
        return ""
    said = "; ".join(
        f"“{escaped(name)}”" if " ".join(words) == name.lower() else f"“{escaped(name)}” ({escaped(', '.join(words))})"
        for name, words in unknown.items()
    )
    return f"""<div class="notice warn" role="status">
<p class="listed">This demo model has never seen {said}: expect noise there.</p>
<details><summary>The {len(known)} words it knows</summary><p>{escaped(", ".join(known))}</p></details></div>"""
