"""What leaves the page -> HTML of the Take along tab: the figure as it will be, and where there is none, why."""

import base64

from markupsafe import Markup

from ..session.visit import Visit
from .prediction import digest


def preview(visit: Visit, title: str, svg: bytes) -> Markup:
    """The figure, and of what it is, for take_along.js. As an image nothing in it could run."""
    return Markup("""<figure class="printed" data-of="{}"><img src="data:image/svg+xml;base64,{}" alt="{}">
<figcaption class="outdated">The view has changed since this was drawn.</figcaption></figure>""").format(
        digest(visit), base64.b64encode(svg).decode(), title
    )


def no_figure(visit: Visit, why: str) -> Markup:
    """In place of one that cannot be drawn."""
    return Markup("""<div class="printed" data-of="{}"><p class="empty">{}</p>
<p class="outdated">The view has changed since.</p></div>""").format(digest(visit), why)
