"""What a message shows that has a link to the page, and who may show the page within their own."""

import asyncio
import re

import httpx
import pytest
from starlette.responses import HTMLResponse

from core.page import preview
from core.views.frame import CLAIM, TITLE


def tags(page: str) -> list[tuple[str, str]]:
    return re.findall(r'<meta\s+(?:name|property)="((?:og|twitter):[a-z:]+)"\s+content="([^"]*)"', page)


def test_the_head_names_this_page_and_its_picture(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page = httpx.get(f"{address}/?setup=bundled")
    assert dict(tags(page.text)) == {
        "og:type": "website",
        "og:title": TITLE,
        "og:description": CLAIM,
        "og:url": f"{address}/",
        "og:image": f"{address}/preview.png",
        "twitter:card": "summary_large_image",
    }
    assert len(tags(page.text)) == 6, "each once: Gradio's are gone"
    picture = httpx.get(f"{address}/preview.png")
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    monkeypatch.setenv("SPACE_HOST", "owner-name.hf.space")
    assert dict(tags(httpx.get(address).text))["og:image"] == "https://owner-name.hf.space/preview.png"


def test_who_asks_writes_no_markup() -> None:
    """On a page that anybody may ask; a local one refuses that host."""
    page = preview.LinkPreview(HTMLResponse("<html><head></head></html>"))

    async def ask() -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(page), base_url="http://here") as http:
            return (await http.get("/", headers={"host": '"><script>alert(1)</script>'})).text

    told = asyncio.run(ask())
    assert "og:image" in told
    assert "<script>alert(1)" not in told


def test_one_result_may_stand_in_anybody_s_page_and_the_whole_may_not(address: str) -> None:
    def ancestors(path: str) -> str:
        return httpx.get(f"{address}{path}").headers["content-security-policy"].partition("frame-ancestors ")[2]

    assert ancestors("/?suppress=99&embed=1") == "*"
    for path in ("/", "/?embed=0", "/?embed=1&embed=0", "/config?embed=1", "/?xembed=1", "/?embed=&embed=1"):
        assert ancestors(path).startswith("'self' https://huggingface.co"), path
