"""Values as the page writes them: text that stays text, truth values, signs with their shape."""

import html

from .. import words


def escaped(text: object) -> str:
    """Text as HTML shows it, never as HTML reads it."""
    return html.escape(str(text), quote=True)


def flag(on: bool) -> str:
    """A truth value as attributes write it."""
    return str(bool(on)).lower()


def sign(value: float) -> tuple[str, str]:
    """(class, shape): the sign is told by shape and sign, colour only repeats it."""
    return ("for", "▲") if value >= 0 else ("against", "▼")


def percent(share: float) -> str:
    """0 to 1 -> whole percent."""
    return escaped(words.percent(share))
