"""Terms of art -> HTML: a button that explains itself wherever one stands, and the list of all at the page's foot.

The sentences are in assets/glossary.toml. The page has them once, in that list, to which every button refers: screen
readers read it from there, and glossary.js shows it beside the button.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from markupsafe import Markup

from ..files import ASSETS
from ..methods.targets import Target

_LINK = r'<a class="term" href="#\1">\2</a>'


@cache
def sentences() -> Mapping[str, str]:
    """What each term means."""
    return MappingProxyType(tomllib.loads((ASSETS / "glossary.toml").read_text(encoding="utf-8")))


def term(name: str, words: Markup | str = "") -> Markup:
    """A term that explains itself, as `words` where it is called otherwise here. Raises KeyError for one without a
    sentence. Not for the inside of a button or a link."""
    assert sentences()[name]
    return Markup('<button type="button" class="term" aria-describedby="{}">{}</button>').format(
        _place(name), words or name
    )


def unit_term(target: Target) -> Markup:
    """The unit of a target, which explains itself."""
    return term(target.UNIT.removesuffix("s"), target.UNIT)


def glossary() -> Markup:
    """All terms and what they mean."""
    return Markup('<details id="glossary"><summary>Glossary</summary>{}</details>').format(listed())


def linked(html: Markup) -> Markup:
    """The same where no script runs: terms lead to their sentences, which have to stand below (`listed`)."""
    found = re.sub(r'<button type="button" class="term" aria-describedby="([^"]+)">(.*?)</button>', _LINK, str(html))
    return Markup(found)  # noqa: S704 - it was


def listed() -> Markup:
    """All sentences, as a list."""
    entry = Markup('<div><dt>{}</dt><dd id="{}">{}</dd></div>')
    entries = Markup("").join(entry.format(name, _place(name), sentence) for name, sentence in sentences().items())
    return Markup("<dl>{}</dl>").format(entries)


def _place(name: str) -> str:
    """The id of its sentence."""
    return f"term-{name.replace(' ', '-')}"
