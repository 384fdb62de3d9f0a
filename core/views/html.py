"""Values as the page writes them: text that stays text, numbers with their sign, shares in percent."""

import html

MINUS = "−"


def escaped(words: object) -> str:
    """Text as HTML shows it, never as HTML reads it."""
    return html.escape(str(words), quote=True)


def flag(on: bool) -> str:
    """A truth value as attributes write it."""
    return str(bool(on)).lower()


def count(n: int, word: str, ending: str = "s") -> str:
    """A number and what it counts."""
    return f"{n} {word}{'' if n == 1 else ending}"


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign; what rounds to nothing is ±0."""
    rounded = f"{abs(value):.{digits}f}"
    if float(rounded) == 0:
        return f"±{rounded}"
    return f"{'+' if value > 0 else MINUS}{rounded}"


def decimal(value: float) -> str:
    """A number with two digits after the point."""
    return f"{value:.2f}".replace("-", MINUS)


def sign(value: float) -> tuple[str, str]:
    """(class, shape): the sign is told by shape and sign, colour only repeats it."""
    return ("for", "▲") if value >= 0 else ("against", "▼")


def percent(share: float) -> str:
    """0 to 1 -> whole percent; what is not quite none, or not quite all, says so."""
    if 0 < share < 0.005:
        return "&lt; 1"
    if 0.995 < share < 1:
        return "&gt; 99"
    return f"{100 * share:.0f}"
