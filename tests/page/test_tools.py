"""MCP tools without a server: whose address a call has, and what becomes of whatever a caller sends for arguments."""

import asyncio
from typing import Any

import gradio as gr
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request

from core.errors import UserError
from core.page import endpoints, tools
from core.page.context import Context


@pytest.fixture(scope="module")
def known(context: Context) -> dict[str, tools.Tool]:
    with gr.Blocks() as page:
        endpoints.build(context)
    return tools.tools_of(page)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["data:", "data:,", "data:image/png;base64,AAAA", "data:a;base64,é", "example:", "/etc/passwd"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=80)
@given(st.data())
def test_arguments_are_taken_or_refused_with_a_sentence(known: dict[str, tools.Tool], data: st.DataObject) -> None:
    tool = known[data.draw(st.sampled_from(sorted(known)))]
    names = st.sampled_from([*tool.arguments.model_fields, "nosuch"])
    arguments = data.draw(st.dictionaries(names, ANYTHING, max_size=3))
    full = httpx.MockTransport(lambda _: httpx.Response(429, text="The server has no room for more pictures now."))

    async def taken() -> list[object]:
        async with httpx.AsyncClient(transport=full, base_url="http://here") as http:
            return await tools._given(http, tool, arguments, {})

    try:
        assert len(asyncio.run(taken())) == len(tool.arguments.model_fields)
    except UserError as refused:
        assert str(refused)[0].isupper()
        assert str(refused).endswith(".")
        assert len(str(refused)) < 400


def test_a_call_comes_from_its_caller() -> None:
    """So that bounds and quotas are those of whoever calls, and not of the server itself."""
    seen: list[Any] = []
    headers = [(name.encode(), name[::-1].encode()) for name in ("x-forwarded-for", "x-ip-token", "mcp-session-id")]

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.extend([scope["client"], *(dict(scope["headers"]).get(name) for name, _ in headers)])
        await Starlette()(scope, receive, send)

    request = Request({"type": "http", "app": app, "client": ("198.51.100.9", 4711), "headers": headers})

    async def call() -> None:
        async with tools._loopback(request) as http:
            await http.get("/nothing")

    asyncio.run(call())
    assert seen == [("198.51.100.9", 4711), headers[0][1], headers[1][1], None]
