"""MCP, by the protocol's own client: the whole story with tools, and sentences for what no tool takes."""

import asyncio
import base64
import io
import json
import re
import zipfile
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client
from PIL import Image
from test_api_document import DOCUMENT, HERE
from test_app import DOG, EXAMPLES
from test_fuzz import trouble

CLASSES = "dog, cat, fox"
Call = Callable[..., Awaitable[types.CallToolResult]]


def with_client(address: str, story: Callable[[ClientSession, Call], Awaitable[None]]) -> None:
    """A story with a client that was configured as the document says."""
    (configuration,) = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)
    url = json.loads(configuration)["mcpServers"]["clip-levers"]["url"].replace(HERE, address)

    async def run() -> None:
        async with streamable_http_client(url) as (read, write, _), ClientSession(read, write) as session:
            greeted = await session.initialize()
            assert "example:NAME" in (greeted.instructions or "")

            async def call(name: str, **arguments: Any) -> types.CallToolResult:
                return await session.call_tool(name, arguments)

            await story(session, call)

    asyncio.run(run())


def said(result: types.CallToolResult) -> Any:
    """The JSON that a tool answered."""
    first = result.content[0]
    assert isinstance(first, types.TextContent)
    assert not result.isError, first.text
    return json.loads(first.text)


def images(result: types.CallToolResult) -> list[Image.Image]:
    """The pictures that it answered."""
    found = [part for part in result.content if isinstance(part, types.ImageContent)]
    assert {part.mimeType for part in found} <= {"image/webp"}
    return [Image.open(io.BytesIO(base64.b64decode(part.data))) for part in found]


def uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_the_story_of_a_fooled_picture(address: str) -> None:
    """A picture in; the component that reads the note, to be seen; it suppressed; held against chance; taken along."""
    picture = uri(DOG.read_bytes(), "image/webp")

    async def story(_: ClientSession, call: Call) -> None:
        assert "bundled" in {setup["name"] for setup in said(await call("setups"))}
        assert said(await call("predict", picture=picture, classes=CLASSES))["best"] == "cat"
        explained = await call("attribute", picture=picture, classes=CLASSES, shown=3)
        assert [map_.size for map_ in images(explained)] == [(448, 448)]
        assert said(explained)["picture"] == "image 1"
        reads_the_note = said(explained)["for"][0]["component"]
        shown = await call("component", component=reads_the_note, pictures_shown=2)
        assert len(images(shown)) == 6
        assert said(shown)["references"]["by_mean"][1]["picture"] == "image 6"
        levers = [{"component": reads_the_note}]
        assert said(await call("steer", picture=picture, classes=CLASSES, levers=levers))["after"]["best"] == "dog"
        told = said(await call("evidence", picture=picture, classes=CLASSES, levers=levers))
        assert told["chance"]["beyond_chance"]
        found = said(await call("find_edit", picture="example:dog-note-cat", classes=CLASSES, truth="dog"))
        assert found["edit"]["levers"][0]["component"] == reads_the_note
        trial = said(await call("try_on_many", pictures=[packed()], levers=levers))
        assert (trial["pictures"], trial["counts"]["right"], trial["acts_in"]) == (2, 2, 1)
        question = {"classes": CLASSES, "wanted": "dog", "against": "cat", "pictures": [packed()]}
        recipe = (await call("recipe", levers=levers, **question)).content[1]
        assert isinstance(recipe, types.EmbeddedResource)
        assert isinstance(recipe.resource, types.BlobResourceContents)
        files = zipfile.ZipFile(io.BytesIO(base64.b64decode(recipe.resource.blob)))
        assert json.loads(files.read("recipe/recipe.json"))["edit"]["levers"] == levers

    with_client(address, story)


def packed() -> str:
    """Two pictures in folders that are named after what they show."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, shows in (("dog-note-cat", "dog"), ("tree-plain", "tree")):
            archive.write(EXAMPLES / f"{name}.webp", f"{shows}/{name}.webp")
    return uri(data.getvalue(), "application/zip")


def test_tools_are_the_endpoints_with_types_and_words(address: str) -> None:
    endpoints = httpx.get(f"{address}/gradio_api/info", timeout=60).json()["named_endpoints"]
    listed: list[types.Tool] = []

    async def story(session: ClientSession, _: Call) -> None:
        listed.extend((await session.list_tools()).tools)

    with_client(address, story)
    assert {f"/{tool.name}": list(tool.inputSchema["properties"]) for tool in listed} == {
        name: [one["parameter_name"] for one in endpoint["parameters"]] for name, endpoint in endpoints.items()
    }
    for tool in listed:
        assert tool.description
        assert all(one["description"] for one in tool.inputSchema["properties"].values())
    schema = next(tool.inputSchema for tool in listed if tool.name == "steer")
    lever = schema["$defs"]["LeverJson"]["properties"]
    assert list(lever) == ["component", "operation", "strength", "family", "at_least"]
    assert lever["operation"]["enum"] == ["suppress", "scale", "set"]
    plain = httpx.get(f"{address}/gradio_api/mcp/schema", timeout=60).json()
    assert {tool["name"]: tool["inputSchema"] for tool in plain} == {tool.name: tool.inputSchema for tool in listed}


FILE = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
HOSTILE: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("nosuch", {}, "no tool"),
    ("predict", {"picture": "/etc/passwd", "classes": CLASSES}, "uploaded here"),
    ("predict", {"picture": "http://127.0.0.1/config", "classes": CLASSES}, "uploaded here"),
    ("predict", {"picture": "https://you.hf.space/gradio_api/file=/etc/passwd", "classes": CLASSES}, "uploaded here"),
    ("predict", {"picture": FILE, "classes": CLASSES}, "picture"),
    ("predict", {"picture": "example:../../etc/passwd", "classes": CLASSES}, "no example"),
    ("predict", {"picture": "data:image/png;base64,x", "classes": CLASSES}, "data URI"),
    ("predict", {"picture": uri(b"%PDF-1.7", "image/png"), "classes": CLASSES}, "PDF"),
    ("predict", {"classes": CLASSES}, "no picture"),
    ("predict", {"picture": "example:dog-note-cat", "classes": ["dog"]}, "classes"),
    ("predict", {"image": "example:dog-note-cat"}, "image"),
    ("steer", {"picture": "example:dog-note-cat", "classes": CLASSES, "levers": FILE}, "uploaded here"),
    ("steer", {"picture": "example:dog-note-cat", "classes": CLASSES, "levers": [{"component": 10**6}]}, "component"),
    ("try_on_many", {"pictures": [FILE], "levers": []}, "pictures"),
    ("recipe", {"levers": [], "classes": CLASSES}, "lever"),
    ("component", {"component": "99; drop"}, "number, from 0"),
)


def test_what_no_tool_takes_gets_a_sentence(address: str, capfd: pytest.CaptureFixture[str]) -> None:
    async def story(_: ClientSession, call: Call) -> None:
        for name, arguments, words in HOSTILE:
            refused = await call(name, **arguments)
            assert refused.isError
            (part,) = refused.content
            assert isinstance(part, types.TextContent)
            assert words in part.text
            assert not trouble(part.text), part.text

    with_client(address, story)
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(("method", "status"), [("GET", 405), ("DELETE", 405), ("PUT", 405)])
def test_only_posts_are_taken(address: str, method: str, status: int) -> None:
    """A GET would open a stream that nobody ends."""
    answer = httpx.request(method, f"{address}/gradio_api/mcp", headers={"accept": "text/event-stream"}, timeout=60)
    assert answer.status_code == status
    assert answer.text.endswith(".")


def test_a_request_is_bounded_as_all_others(address: str) -> None:
    answer = httpx.post(f"{address}/gradio_api/mcp/", json={"jsonrpc": "2.0", "pad": "a" * 2_100_000}, timeout=60)
    assert answer.status_code == 413
    assert "2 MB" in answer.json()["detail"]


ACCEPTED = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


@pytest.mark.parametrize(
    "body", ["", "[]", "5", "{}", '{"jsonrpc": "2.0"}', '[{"jsonrpc": "2.0", "id": 1, "method": "a"}]']
)
def test_what_is_no_message_gets_a_sentence(address: str, body: str, caplog: pytest.LogCaptureFixture) -> None:
    answer = httpx.post(f"{address}/gradio_api/mcp/", content=body, headers=ACCEPTED, timeout=60)
    assert answer.status_code == 400
    assert not trouble(answer.json()["error"]["message"])
    assert not caplog.records


@pytest.mark.parametrize("method", ["nosuch", "resources/read", "tools/call"])
def test_what_is_not_offered_is_an_error(address: str, method: str) -> None:
    told = {"jsonrpc": "2.0", "id": 7, "method": method, "params": {"uri": "file:///etc/passwd"}}
    answer = httpx.post(f"{address}/gradio_api/mcp/", json=told, headers=ACCEPTED, timeout=60)
    (said,) = re.findall(r"data: (.*)", answer.text)
    assert set(json.loads(said)) == {"jsonrpc", "id", "error"}
    assert "root:" not in answer.text
