"""MCP tools: the named endpoints (endpoints.py) for agents and other clients of the Model Context Protocol.

A call of a tool is a request to the endpoint of its name, from within this process and in the caller's name: it passes
the same doors, waits in the same queue, and is refused with the same sentences. Around it

1. arguments are checked by the types of the endpoint's function, which also describe the tool;
2. a picture that comes as a data URI, or as the name of an example, is uploaded first;
3. of the answer, pictures become images, and a file is enclosed; the rest is JSON, of numbers to six digits.

Gradio's own server (`mcp_server=True`) would write answers as Python prints them, without pictures out of JSON, ask for
levers as “any JSON”, and queue all its callers as one page, so that they would be refused together.
"""

import base64
import binascii
import json
import mimetypes
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any, get_type_hints

import gradio as gr
import httpx
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ..errors import UserError, echo
from ..pictures.examples import PHOTOGRAPHS, Example, read_examples
from ..words import listed
from .doors import MCP, again
from .inputs import FAULT

EXAMPLE = "example:"
"""What the name of an example begins with, in place of a picture."""
NAMES = ("x-forwarded-for", "x-ip-token", "authorization", "x-hf-authorization", "cookie")
"""Headers by which a Space knows who asks, and against whose quota of ZeroGPU an answer counts."""
NO_MESSAGE = "This is no message of the Model Context Protocol. Use one of its clients."
INSTRUCTIONS = """CLIP Levers explains and edits what a CLIP says of a picture.
predict: its prediction among classes. attribute: which components (latents of a sparse autoencoder) carry it, with
a map.
component: what one fires for. steer: what the model says when some are suppressed or scaled. evidence: whether that is
more than chance. find_edit: the smallest edit that does it. try_on_many: what an edit fixes and breaks elsewhere.
recipe: the edit, saved. Trust what the model did (steer, evidence) over what was predicted (attribute).
Pictures to begin with, as example:NAME, with classes: """


@dataclass(frozen=True)
class Tool:
    """An endpoint, as a tool."""

    name: str
    """Of both."""
    description: str
    """What its function says of itself."""
    arguments: type[BaseModel]
    """Its parameters, in their order."""
    files: frozenset[str]
    """Those of them that are files."""


def tools_of(page: gr.Blocks) -> dict[str, Tool]:
    """All public endpoints, by their names."""
    found = {}
    for block in page.fns.values():
        if block.fn is None or block.api_visibility != "public" or not isinstance(block.api_name, str):
            continue
        parameters = signature(block.fn).parameters
        hints = get_type_hints(block.fn, include_extras=True)
        fields: dict[str, Any] = {name: (hints[name], one.default) for name, one in parameters.items()}
        model = create_model(block.api_name, __config__=ConfigDict(extra="forbid"), **fields)
        named = zip(parameters, block.inputs, strict=True)
        files = frozenset(name for name, part in named if isinstance(part, gr.File))
        description = " ".join((block.fn.__doc__ or "").split())
        found[block.api_name] = Tool(block.api_name, description, model, files)
    return found


class McpDoor:
    """Where MCP clients come in: a request an answer, in the streamable HTTP transport without sessions."""

    def __init__(self) -> None:
        """For one launch of a page."""
        self._examples = {example.name: example for example in (*read_examples(), *read_examples(PHOTOGRAPHS))}
        offered = (f"{example.name} ({', '.join(example.classes)})" for example in self._examples.values())
        server: Server[Any, Request] = Server("CLIP Levers", instructions=INSTRUCTIONS + "; ".join(offered))
        # The decorators of mcp are untyped.
        server.list_tools()(self._list)  # type: ignore[no-untyped-call]
        server.call_tool(validate_input=False)(self._call)  # jsonschema would tell in its own words
        self._server = server
        self._manager = StreamableHTTPSessionManager(server, stateless=True)
        self.routes = [Route(path, self) for path in (MCP, f"{MCP}/", f"{MCP}/schema")]
        """For the web server."""

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """While the web server runs."""
        async with self._manager.run():
            yield

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        answer: Response
        if scope["path"].endswith("/schema") and scope["method"] == "GET":
            tools = tools_of(scope["app"].get_blocks()).values()
            answer = JSONResponse([_for_gradio(tool) for tool in tools])
        elif scope["method"] == "POST" and not scope["path"].endswith("/schema"):
            body = await Request(scope, receive).body()
            try:
                types.JSONRPCMessage.model_validate_json(body)
            except ValidationError:
                error = {"code": types.INVALID_REQUEST, "message": NO_MESSAGE}
                answer = JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, 400)
            else:
                await self._manager.handle_request(scope, again(body, receive), send)
                return
        else:
            words = "Here are tools for MCP clients, which POST their requests: add this address to one of them."
            answer = PlainTextResponse(words, 405, {"allow": "POST"})
        await answer(scope, receive, send)

    def _request(self) -> Request:
        request = self._server.request_context.request
        assert request is not None
        return request

    async def _list(self) -> list[types.Tool]:
        return [_described(tool) for tool in tools_of(self._request().app.get_blocks()).values()]

    async def _call(self, name: str, arguments: dict[str, Any]) -> types.CallToolResult:
        request = self._request()
        try:
            tool = tools_of(request.app.get_blocks()).get(name)
            if tool is None:
                raise UserError(f"There is no tool “{echo(name)}”. List the tools, and call one of those.")
            async with _loopback(request) as http:
                given = await _given(http, tool, arguments, self._examples)
                return types.CallToolResult(content=await _content(http, await _answer(http, tool.name, given)))
        except UserError as trouble:
            return types.CallToolResult(content=[_text(str(trouble))], isError=True)


def _described(tool: Tool) -> types.Tool:
    schema = tool.arguments.model_json_schema()
    hint = types.ToolAnnotations(readOnlyHint=True, openWorldHint=False)
    return types.Tool(name=tool.name, description=tool.description, inputSchema=schema, annotations=hint)


def _for_gradio(tool: Tool) -> dict[str, Any]:
    """As Gradio's own servers tell of a tool without the protocol, which the Hub reads."""
    meta = {"mcp_type": "tool", "endpoint_name": tool.name, "file_data_present": bool(tool.files)}
    return _described(tool).model_dump(mode="json", include={"name", "description", "inputSchema"}) | {"meta": meta}


def _loopback(request: Request) -> httpx.AsyncClient:
    """Requests to this very server, as from the address that the caller has."""
    client = (request.client.host, request.client.port) if request.client else ("", 0)
    named = {name: request.headers[name] for name in NAMES if name in request.headers}
    transport = httpx.ASGITransport(request.app, client=client)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/gradio_api", headers=named)


async def _given(
    http: httpx.AsyncClient, tool: Tool, arguments: Mapping[str, Any], examples: Mapping[str, Example]
) -> list[Any]:
    """What the endpoint takes, in its order. Raises UserError for what its function does not."""
    try:
        told = tool.arguments.model_validate(dict(arguments))
    except ValidationError as error:
        raise _untaken(tool, str(error.errors()[0]["loc"][0])) from error
    given = {name: getattr(told, name) for name in tool.arguments.model_fields}
    for name in tool.files:
        one = given[name]
        if isinstance(one, list):
            given[name] = [await _uploaded(http, str(each), examples) for each in one]
        elif one is not None:
            given[name] = await _uploaded(http, str(one), examples)
    return list(given.values())


def _untaken(tool: Tool, name: str) -> UserError:
    """Of an argument that a tool does not take, or of another kind than it takes."""
    fields = tool.arguments.model_fields
    if name not in fields:
        takes = f"it takes {listed(list(fields))}" if fields else "it takes nothing"
        return UserError(f"The tool {tool.name} does not take “{echo(name)}”: {takes}.")
    return UserError(f"The tool {tool.name} cannot use that as {name}. {fields[name].description}")


async def _uploaded(http: httpx.AsyncClient, given: str, examples: Mapping[str, Example]) -> dict[str, Any]:
    """A file, as the endpoints are given it: one that was uploaded, or that is now."""
    if given.startswith(EXAMPLE):
        example = examples.get(given.removeprefix(EXAMPLE))
        if example is None:
            raise UserError(f"There is no example “{echo(given.removeprefix(EXAMPLE))}”. Begin with dog-note-cat.")
        name, data = example.file().name, example.file().read_bytes()
    elif given.startswith("data:"):
        kind, _, written = given.removeprefix("data:").partition(",")
        kind, _, coding = kind.partition(";")
        try:
            data = base64.b64decode(written, validate=True)
        except binascii.Error:
            data = b""
        if not data or coding != "base64":
            raise UserError("This data URI cannot be read. Write one as data:image/png;base64, and the file in base64.")
        name = f"given{mimetypes.guess_extension(kind) or ''}"
    else:
        return _file(given.rpartition("/gradio_api/file=")[2])
    answer = await http.post("/upload", files={"files": (name, data)})
    if answer.status_code != 200:
        raise UserError(answer.text)
    return _file(answer.json()[0])


def _file(path: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


async def _answer(http: httpx.AsyncClient, endpoint: str, given: list[Any]) -> Any:
    """What the endpoint answers. Raises UserError with what it is refused with."""
    taken = await http.post(f"/call/{endpoint}", json={"data": given})
    if taken.status_code != 200:
        raise UserError(taken.json().get("detail") or FAULT)
    answer = await http.get(f"/call/{endpoint}/{taken.json()['event_id']}")
    events = dict(_events(answer.text))
    if "complete" in events:
        return events["complete"][0]
    raise UserError((events.get("error") or {}).get("error") or FAULT)


def _events(stream: str) -> list[tuple[str, Any]]:
    """The server-sent events in a stream: the kind of each, and what it says."""
    found = []
    for block in stream.split("\n\n"):
        kind, _, data = block.partition("\n")
        if data:
            found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


async def _content(http: httpx.AsyncClient, answer: Any) -> list[types.ContentBlock]:
    """An answer as an MCP client takes it: JSON, then the pictures out of it, or a file."""
    if isinstance(answer, dict) and answer.get("meta") == {"_type": "gradio.FileData"}:
        file = await http.get(f"/file={answer['path']}")
        name = answer["orig_name"]
        enclosed = types.BlobResourceContents(
            uri=f"file:///{name}",  # type: ignore[arg-type]
            mimeType=mimetypes.guess_type(name)[0],
            blob=base64.b64encode(file.content).decode(),
        )
        said = _text(json.dumps({"file": name, "bytes": len(file.content)}))
        return [said, types.EmbeddedResource(type="resource", resource=enclosed)]
    images: list[types.ContentBlock] = []

    def without_pictures(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: without_pictures(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [without_pictures(one) for one in value]
        if key == "picture" and isinstance(value, str):
            images.append(types.ImageContent(type="image", data=value, mimeType="image/webp"))
            return f"image {len(images)}"
        return float(f"{value:.6g}") if isinstance(value, float) else value

    said = _text(json.dumps(without_pictures(answer), ensure_ascii=False))
    return [said, *images]


def _text(said: str) -> types.TextContent:
    return types.TextContent(type="text", text=said)
