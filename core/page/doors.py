"""Doors of the server: what of Gradio's stays closed, how much may come in, and who reads answers.

A layer between the web server and Gradio. Whatever it turns away gets one sentence, and reaches nothing behind it.
"""

import os
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson

from .fair_queue import SESSION, FairQueue, address_of

MEGABYTE = 1_000_000
MAX_BODY = 2 * MEGABYTE
"""Bytes of a request that brings no file."""
MAX_FILE_MB = 40
"""Of a file that is brought."""
MAX_UPLOAD = (MAX_FILE_MB + 1) * MEGABYTE
"""Bytes of a request that brings one: the file, and what is around it."""
HOUR = 3600.0
UPLOADS_OF_AN_ADDRESS = 400 * MEGABYTE
UPLOADS_OF_ALL = 2_000 * MEGABYTE
"""Bytes in an hour; after that, Gradio deletes what was uploaded."""
LEAST_UPLOAD = MEGABYTE // 2
"""What an upload counts for at least, so that many small ones are bounded, too."""

CLOSED = re.compile(
    r"/monitoring.*|/login.*|/pwa_icon.*|/gradio_api/"
    r"(dev/|run/|api/|deep_link|component_server|process_recording|proxy=|stream/|vibe-|undo-vibe|runs?\b|run-history"
    r"|profiling|custom_component).*"
)
"""What of Gradio's this page does not use: it would go past the queue, write files, or tell about other visitors."""

MCP = "/gradio_api/mcp"
"""Where MCP clients come in (tools.py)."""

HERE = re.compile(rb"(https?://)?(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?")
"""What this machine calls a page of its own."""

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    # Gradio's scripts and styles stand in the page, and its HTML parts make functions of theirs.
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; worker-src 'self' blob:; connect-src 'self' data: blob: https://huggingface.co; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self' https://huggingface.co https://*.hf.space",
}
"""Of every answer."""

EMBEDDED = HEADERS | {
    "content-security-policy": HEADERS["content-security-policy"].partition("frame-ancestors")[0] + "frame-ancestors *"
}
"""Of the page that shows one result, which may stand in anybody's."""

NAMED_BY_CONTENT = re.compile(r"/assets/[^/]+-[\w-]{8}\d*\.\w+")
"""Gradio's scripts and styles, which have other names when they are others: a browser need not ask for one again."""
KEPT = {"cache-control": "public, max-age=31536000, immutable"}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass
class _Upload:
    began: float
    address: str
    size: int = LEAST_UPLOAD


class _RefusedError(Exception):
    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class Doors:
    """The layer around a Gradio app, as ASGI calls it."""

    def __init__(self, app: App) -> None:
        """Around `app`."""
        self._app = app
        self._uploads: deque[_Upload] = deque()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began, headers = False, EMBEDDED if _is_embedded(scope) else HEADERS

        async def send_on(message: MutableMapping[str, Any]) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                kept = KEPT if message["status"] == 200 and NAMED_BY_CONTENT.fullmatch(path) else {}
                ours = [(name.encode(), value.encode()) for name, value in {**headers, **kept}.items()]
                message["headers"] = [*message.get("headers", ()), *ours]
            await send(message)

        queue: FairQueue = scope["app"].get_blocks()._queue
        path: str = scope["path"].rstrip("/")
        try:
            if queue.local:
                _check_is_of_here(scope)
            readers = _session_read(scope, path, queue)
            if CLOSED.fullmatch(path):
                raise _RefusedError(404, "There is nothing here.")
            if path == "/gradio_api/upload":
                _forget_broken_off(Path(scope["app"].uploaded_file_dir))
                receive = self._bounded(receive, address_of(scope, queue.hosted))
            elif scope["method"] == "POST":
                receive = await _read(receive, None if path == MCP else Path(scope["app"].uploaded_file_dir))
            queue.readers.update(readers)
            try:
                await self._app(scope, receive, send_on)
            finally:
                queue.readers.subtract(readers)
                for session in readers:
                    if not queue.readers[session]:
                        del queue.readers[session]
        except _RefusedError as refused:
            if not began:
                await _refuse(send_on, refused, plain=path == "/gradio_api/upload")

    def _bounded(self, receive: Receive, address: str) -> Receive:
        """The same request, refused when more comes than may."""
        now = time.monotonic()
        while self._uploads and now - self._uploads[0].began > HOUR:
            self._uploads.popleft()
        upload = _Upload(now, address)
        self._uploads.append(upload)
        received = 0

        async def read() -> MutableMapping[str, Any]:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            upload.size = max(received, LEAST_UPLOAD)
            if received > MAX_UPLOAD:
                raise _RefusedError(413, f"The file is larger than {MAX_FILE_MB} MB. Make the picture smaller.")
            if sum(one.size for one in self._uploads if one.address == address) > UPLOADS_OF_AN_ADDRESS:
                raise _RefusedError(
                    429, "Too much was uploaded from your address. Wait for some minutes, and try again."
                )
            if sum(one.size for one in self._uploads) > UPLOADS_OF_ALL:
                raise _RefusedError(429, "The server has no room for more pictures now. Try again in some minutes.")
            return message

        return read


def _check_is_of_here(scope: Scope) -> None:
    """Raises _RefusedError for what a page elsewhere has a browser of this machine ask, its name led here or not."""
    headers = dict(scope["headers"])
    if not all(HERE.fullmatch(told) for told in (headers.get(b"host", b""), headers.get(b"origin", b"localhost"))):
        raise _RefusedError(
            403,
            "This page is for the machine that it runs on: open it there as http://127.0.0.1 or http://localhost. "
            "To offer it elsewhere, start it with GRADIO_SERVER_NAME or GRADIO_ROOT_PATH.",
        )


def _is_embedded(scope: Scope) -> bool:
    asked = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True).get("embed")
    return scope["path"] == "/" and asked == ["1"]


def _forget_broken_off(uploads: Path) -> None:
    """Delete what is left of uploads that broke off, which Gradio forgets: whole files lie in folders."""
    for file in uploads.glob("*"):
        with suppress(OSError):
            if file.is_file() and time.time() - file.stat().st_mtime > HOUR:
                file.unlink()


def _session_read(scope: Scope, path: str, queue: FairQueue) -> tuple[str, ...]:
    """The session whose answers a request reads, if it does. Raises _RefusedError for the name of no session."""
    sessions = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [])
    heartbeat = re.fullmatch(r"/gradio_api/heartbeat/(.*)", path)
    for session in [*sessions, *(heartbeat.groups() if heartbeat else ())]:
        _check_session(session)
    if path == "/gradio_api/queue/data":
        return tuple(sessions[:1])
    if scope["method"] == "GET" and (called := re.fullmatch(r"/gradio_api/call/(?:v2/)?[^/]+/([^/]+)", path)):
        event = queue.event_ids_to_events.get(called[1])
        return (event.session_hash if event else called[1],)
    return ()


def _check_session(session: object) -> None:
    if not isinstance(session, str) or not SESSION.fullmatch(session):
        raise _RefusedError(400, "The page calls itself what no page does. Reload it, and try again.")


async def _read(receive: Receive, uploads: Path | None) -> Receive:
    """The same request, whole, and checked. Without `uploads` it names no files: what it leads to comes here again."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise _RefusedError(413, "The request is larger than 2 MB. Ask for less at once.")
        if not message.get("more_body"):
            break
    _check(bytes(body), uploads)
    return again(bytes(body), receive)


def again(body: bytes, receive: Receive) -> Receive:
    """A request that was read, to be read once more; then what comes after it."""
    left: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> MutableMapping[str, Any]:
        return left.pop() if left else await receive()

    return read


def _check(body: bytes, uploads: Path | None) -> None:
    """Raises _RefusedError for what no page sends: no JSON, the name of no session, a file that was not uploaded."""
    if not body:
        return
    try:
        told = orjson.loads(body)  # which takes no Infinity, and no half of a character
    except orjson.JSONDecodeError:
        raise _RefusedError(400, "The request is not written as JSON. Reload the page, and try again.") from None
    if isinstance(told, dict) and told.get("session_hash") is not None:
        _check_session(told["session_hash"])
    if uploads is None:
        return
    for path in _paths(told):
        if not isinstance(path, str) or not path or not _lies_in(path, uploads):
            raise _RefusedError(400, "That file is not among those uploaded here. Upload the picture again.")


def _paths(told: object) -> Iterator[object]:
    """What is named as the path of a file, anywhere."""
    left = [told]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if "path" in one:
                yield one["path"]
            left += one.values()
        elif isinstance(one, list):
            left += one


def _lies_in(path: str, folder: Path) -> bool:
    try:
        return Path(os.path.abspath(path)).is_relative_to(folder)
    except ValueError:
        return False


async def _refuse(send: Send, why: _RefusedError, plain: bool) -> None:
    body = why.sentence.encode() if plain else orjson.dumps({"detail": why.sentence})
    kind = b"text/plain; charset=utf-8" if plain else b"application/json"
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": why.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
