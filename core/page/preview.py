"""Head of the page as it is sent: its preview, which is what a message with a link to it shows, and its first script.

OpenGraph and Twitter read the preview there. Gradio's own page has such tags that name Gradio; ours stand in their
place. What Gradio is given as `head=` it puts there too late: once its own scripts have begun.
"""

import os
import re
from collections.abc import MutableMapping
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..files import ASSETS
from ..views.frame import CLAIM, TITLE

PICTURE = "/preview.png"
"""Where the picture is."""
_THEIRS = re.compile(r'<meta\s+(?:property="og:|name="twitter:)[^>]*>')
_TAG = Markup('<meta {}="{}" content="{}">')


async def _picture(_: Request) -> FileResponse:
    return FileResponse(ASSETS / "screenshot.png", headers={"cache-control": "public, max-age=86400"})


ROUTES = [Route(PICTURE, _picture)]


def tags(address: str) -> Markup:
    """The tags of a page at this address, which ends with no slash."""
    said = {
        "og:type": "website", "og:title": TITLE, "og:description": CLAIM, "og:url": f"{address}/",
        "og:image": f"{address}{PICTURE}", "twitter:card": "summary_large_image",
    }  # fmt: skip
    kinds = (("name" if name.startswith("twitter") else "property", name, told) for name, told in said.items())
    return Markup("").join(_TAG.format(*one) for one in kinds)


class LinkPreview:
    """The layer around a Gradio app, as ASGI calls it."""

    def __init__(self, app: ASGIApp) -> None:
        """Around `app`."""
        self._app = app
        self._first = f"<script>{(ASSETS / 'widgets' / 'loader.js').read_text(encoding='utf-8')}</script>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; the page itself is read whole, and sent on with our tags and script."""
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        space = os.environ.get("SPACE_HOST")
        address = f"https://{space}" if space else str(Request(scope).base_url).rstrip("/")
        start: MutableMapping[str, Any] = {}
        body = bytearray()

        async def send_on(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            page = _with_ours(bytes(body), f"{tags(address)}{self._first}") if _is_html(start) else bytes(body)
            headers = [one for one in start["headers"] if one[0].lower() != b"content-length"]
            start["headers"] = [*headers, (b"content-length", str(len(page)).encode())]
            await send(start)
            await send({"type": "http.response.body", "body": page})

        await self._app(scope, receive, send_on)


def _is_html(start: MutableMapping[str, Any]) -> bool:
    return dict(start["headers"]).get(b"content-type", b"").startswith(b"text/html")


def _with_ours(page: bytes, ours: str) -> bytes:
    return _THEIRS.sub("", page.decode()).replace("<head>", f"<head>{ours}", 1).encode()
