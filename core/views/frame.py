"""What every tab shares -> HTML: head, foot, notices."""

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
