"""What every tab shares -> HTML: head, foot, notices, sections and tables."""

from collections.abc import Sequence

from .html import escaped


def header(title: str, claim: str) -> str:
    """The top of the page: what this is."""
    return f"""<header class="top"><h1>{escaped(title)}</h1><p class="claim">{escaped(claim)}</p></header>"""


def foot() -> str:
    """The bottom of the page."""
    return """<footer class="foot"><p>Pictures you bring are deleted from the server after about an hour.
<a href="?view=api">Use it from a program</a></p></footer>"""


def notice(*sentences: str, tone: str = "quiet") -> str:
    """Sentences for the visitor. The live region stays in the page when there is nothing to say."""
    said = "".join(f'<p class="notice {tone}">{escaped(words)}</p>' for words in sentences if words)
    return f'<div role="status">{said}</div>'


def heading(title: str) -> str:
    """The title of a part."""
    return f"<h3>{escaped(title)}</h3>"


def section(title: str, body: str) -> str:
    """A part of the evidence, under its title."""
    return f'<section class="sheet">{heading(title)}{body}</section>'


def waiting(what: str, done: int = 0, total: int = 0) -> str:
    """A part that is still being computed, and how far it is."""
    bar = f'<progress max="{total}" value="{done}">{done} of {total}</progress>' if total else ""
    return f'<p class="waiting" role="status">{escaped(what)} … {bar}</p>'


def table(heads: Sequence[str], rows: Sequence[str]) -> str:
    """A table that scrolls sideways when it must; the rows are HTML."""
    head = "".join(f'<th scope="col">{escaped(words)}</th>' for words in heads)
    return f"""<div class="scroll"><table class="changes"><thead><tr>{head}</tr></thead>
<tbody>{"".join(rows)}</tbody></table></div>"""
