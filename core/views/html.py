"""HTML from values: templates and `Markup`, in which all that is not `Markup` is escaped.

A view returns `Markup`. Text gets into it by a template (`render`) or by `Markup("<b>{}</b>").format(text)`, and both
escape whatever is not `Markup` itself: text becomes markup for no lack of care. `Markup(...)` is called on literals
alone, which ruff (S704) looks to.
"""

import re
from collections.abc import Iterable

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.ext import Extension
from markupsafe import Markup

from ..files import ASSETS
from ..words import count, decimal, percent, signed
from .glossary import term

NOTHING = Markup("")


def flag(on: bool) -> str:
    """A truth value as attributes write it."""
    return str(bool(on)).lower()


def sign(value: float) -> tuple[str, str]:
    """(class, shape): the sign is told by shape and sign, colour only repeats it."""
    return ("for", "▲") if value >= 0 else ("against", "▼")


def joined(parts: Iterable[Markup]) -> Markup:
    """One after the other."""
    return NOTHING.join(parts)


class _WithoutIndent(Extension):
    """Templates are indented for the reader; what is sent is not."""

    def preprocess(self, source: str, _name: str | None, _filename: str | None = None) -> str:
        return re.sub(r"^[ \t]+", "", source, flags=re.MULTILINE)


def _environment() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(ASSETS / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        auto_reload=False,
        extensions=[_WithoutIndent],
    )
    templates.filters |= {"count": count, "decimal": decimal, "flag": flag, "percent": percent, "signed": signed}
    templates.globals |= {"sign": sign, "term": term}
    templates.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return templates


_TEMPLATES = _environment()


def render(template: str, /, **values: object) -> Markup:
    """The template of that name (assets/templates/NAME.html), filled with values."""
    return Markup(_TEMPLATES.get_template(f"{template}.html").render(values))  # noqa: S704 - it escapes by itself
