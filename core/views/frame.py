"""What every tab shares -> HTML: head, foot, notices, sections and tables."""

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from .glossary import glossary
from .html import NOTHING, joined

TITLE = "CLIP Levers"
CLAIM = "Find what drives a prediction, pull it, see all that changes."
"""What this is, in a sentence."""


def header(title: str, claim: str) -> Markup:
    """The top of the page: what this is, and a tour of it."""
    return Markup("""<header class="top"><h1>{}</h1><p class="claim">{}</p>
<button type="button" class="act" data-take-tour>Tour</button></header>""").format(title, claim)


def foot() -> Markup:
    """The bottom of the page."""
    return Markup("""<footer class="foot">{}<p>Pictures you bring are deleted from the server after about an hour.
<a href="?view=api">Use it from a program</a></p></footer>""").format(glossary())


def links() -> Markup:
    """The link to what is in sight, to be copied (links.js)."""
    return Markup("""<section class="links" aria-label="Link">
<button type="button" class="act" data-copy="link" title="The address of what is in sight">Copy link</button>
<button type="button" class="act" data-copy="embed" title="An iframe with this result, for your own page">Embed</button>
<a class="act" href="?" target="_blank" rel="noopener">Open in CLIP Levers</a>
<p role="status"></p><input type="text" readonly hidden aria-label="To be copied">
</section>""")


def notice(*sentences: str, tone: str = "quiet") -> Markup:
    """Sentences for the visitor. The live region stays in the page when there is nothing to say."""
    sentence = Markup('<p class="notice {}">{}</p>')
    return Markup('<div role="status">{}</div>').format(joined(sentence.format(tone, s) for s in sentences if s))


def missed() -> Markup:
    """What keeper.js says where a visit was not brought back: what is in sight is not to be taken for it."""
    return Markup("""<div role="status"></div><template><p class="notice bad">The server is too busy, or cannot be
reached: what you were to see here did not come. In sight is what was here before. You can go on with that, or
<button type="button" class="act">Try again</button></p></template>""")


def heading(title: str) -> Markup:
    """The title of a part."""
    return Markup("<h3>{}</h3>").format(title)


def section(title: str, body: Markup) -> Markup:
    """A part of a tab, under its title."""
    return Markup('<section class="sheet">{}{}</section>').format(heading(title), body)


def without_levers(words: Markup) -> Markup:
    """Words that hold while no lever is pulled. Once one is, and its answer is awaited, the style sheet hides them."""
    return Markup('<span class="no-levers">{}</span><span class="levers-wait">Waiting to be measured …</span>').format(
        words
    )


def waiting(what: str, done: int = 0, total: int = 0, stops: bool = False) -> Markup:
    """A part that is still being computed, and how far it is; `stops`: with a button that stops it (many.js)."""
    bar = NOTHING
    if total:
        bar = Markup('<progress max="{total}" value="{done}">{done} of {total}</progress>').format(
            done=done, total=total
        )
    button = Markup('<button type="button" class="act" data-halt>Stop</button>') if stops else NOTHING
    return Markup('<p class="waiting" role="status">{} … {}{}</p>').format(what, bar, button)


def stopped(words: str = "Stopped.") -> Markup:
    """What stands in place of an answer that the visitor stopped, or above as much of it as there is (many.js)."""
    return Markup("""<p class="waiting" role="status">{}
<button type="button" class="act" data-resume>Go on</button></p>""").format(words)


def table(heads: Sequence[str], rows: Iterable[Markup]) -> Markup:
    """A table that scrolls sideways when it must."""
    head = joined(Markup('<th scope="col">{}</th>').format(words) for words in heads)
    return Markup("""<div class="scroll" tabindex="0" role="region" aria-label="Table: {}"><table class="changes">
<thead><tr>{}</tr></thead>
<tbody>{}</tbody></table></div>""").format(", ".join(heads), head, joined(rows))
