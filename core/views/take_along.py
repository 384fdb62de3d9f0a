"""What leaves the page -> HTML of the Take along tab: the figure as it will be, and where there is none, why."""

import base64

from markupsafe import Markup

from ..session.visit import Visit
from .html import NOTHING
from .prediction import digest


def preview(visit: Visit, title: str, svg: bytes, undrawable: str = "") -> Markup:
    """The figure, and of what it is, for take_along.js. As an image nothing in it could run.

    `undrawable`: letters in whose place boxes stand.
    """
    lacks = Markup('<p class="legend">The figures’ font, DejaVu Sans, has no {}: boxes stand there.</p>')
    return Markup("""<div class="printed" data-of="{}"><img src="data:image/svg+xml;base64,{}" alt="{}">{}
<p class="outdated">The view has changed since.</p></div>""").format(
        digest(visit), base64.b64encode(svg).decode(), title, lacks.format(undrawable[:20]) if undrawable else NOTHING
    )


def no_figure(visit: Visit, why: str) -> Markup:
    """In place of one that cannot be drawn."""
    return Markup("""<div class="printed" data-of="{}"><p class="empty">{}</p>
<p class="outdated">The view has changed since.</p></div>""").format(digest(visit), why)
