"""The doors of the server: what is closed, how much may come in, and what every answer says to the browser."""

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from core.page import doors

SENTENCE = r"[A-Z][^{}]*\."


@pytest.fixture(scope="module")
def http(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


def refused(response: httpx.Response, status: int, words: str) -> None:
    assert response.status_code == status, response.text
    said = response.text if response.headers["content-type"].startswith("text/") else response.json()["detail"]
    assert words in said
    assert said.endswith(".")
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "path",
    [
        "/monitoring", "/monitoring/", "/monitoring/summary", "/monitoring/key", "/gradio_api/dev/reload",
        "/gradio_api/deep_link?session_hash=abc", "/gradio_api/runs", "/gradio_api/proxy=http://localhost",
        "/gradio_api/profiling/traces", "/gradio_api/vibe-code",
    ],
)  # fmt: skip
def test_doors_that_the_page_does_not_use_are_closed(http: httpx.Client, path: str) -> None:
    refused(http.get(path), 404, "nothing here")


@pytest.mark.parametrize(
    "path", ["run/predict", "api/predict", "component_server", "process_recording", "vibe-edit", "stream/abc"]
)
def test_nothing_goes_past_the_queue(http: httpx.Client, path: str) -> None:
    refused(http.post(f"/gradio_api/{path}", json={"data": []}), 404, "nothing here")


def test_the_doors_that_are_open(http: httpx.Client) -> None:
    for path in ("/", "/config", "/gradio_api/info", "/gradio_api/startup-events", "/theme.css", "/robots.txt"):
        assert http.get(path).status_code == 200, path


@pytest.mark.parametrize("session", ["\ud800", "", "a b", "a" * 65, "<gradio-sep>", "..", 5, ["a"], {"a": 1}])
def test_a_session_is_called_as_pages_call_theirs(http: httpx.Client, session: object) -> None:
    """Half a character made every later event log a traceback and be kept for good."""
    told = json.dumps({"data": [], "fn_index": 0, "session_hash": session})
    for path in ("queue/join", "cancel", "reset", "call/predict"):
        response = http.post(f"/gradio_api/{path}", content=told, headers={"content-type": "application/json"})
        refused(response, 400, "Reload")


@pytest.mark.parametrize("session", ["%ED%A0%80", "a%20b", "a" * 65])
def test_nor_is_it_read_by_another_name(http: httpx.Client, session: str) -> None:
    refused(http.get(f"/gradio_api/queue/data?session_hash={session}"), 400, "Reload")
    refused(http.get(f"/gradio_api/heartbeat/{session}"), 400, "Reload")


@pytest.mark.parametrize("told", ["{", '{"data": [NaN]}', '{"data": ["\\ud800"]}', b"\xff", "[" * 100_000])
def test_what_is_no_json_gets_a_sentence(http: httpx.Client, told: str | bytes) -> None:
    response = http.post("/gradio_api/queue/join", content=told, headers={"content-type": "application/json"})
    refused(response, 400, "JSON")


@pytest.mark.parametrize("path", ["", ".", "/", "/etc/passwd", "http://localhost/", "a\0b", 5, None, ["a"]])
def test_a_file_is_one_that_was_uploaded_here(http: httpx.Client, path: object) -> None:
    """An empty path named the folder of the app."""
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    refused(http.post("/gradio_api/call/predict", json={"data": [file, "dog, cat", ""]}), 400, "Upload")


def test_a_request_is_bounded_while_it_comes(http: httpx.Client) -> None:
    """Whatever it says of its length, or when it says nothing."""
    sent = []

    def chunks() -> Iterator[bytes]:
        yield b'{"data": ["'
        for k in range(300):
            sent.append(k)
            yield b"a" * 100_000

    try:
        response = http.post("/gradio_api/queue/join", content=chunks())
    except httpx.WriteError:  # the server hung up on us
        pass
    else:
        refused(response, 413, "2 MB")
    assert len(sent) < 300


def test_a_file_is_bounded(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "MAX_UPLOAD", 100_000)
    refused(http.post("/gradio_api/upload", files={"files": ("a.png", b"a" * 200_000)}), 413, "40 MB")


def test_uploads_of_an_address_and_of_all_are_bounded(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "UPLOADS_OF_AN_ADDRESS", 2 * doors.LEAST_UPLOAD)
    monkeypatch.setattr(doors, "UPLOADS_OF_ALL", 10**12)

    def upload(local: str) -> httpx.Response:
        with httpx.Client(transport=httpx.HTTPTransport(local_address=local)) as client:
            return client.post(f"{address}/gradio_api/upload", files={"files": ("a.png", b"a")})

    assert [upload("127.0.1.1").status_code for _ in range(3)] == [200, 200, 429]
    refused(upload("127.0.1.1"), 429, "your address")
    assert upload("127.0.1.2").status_code == 200
    monkeypatch.setattr(doors, "UPLOADS_OF_ALL", doors.LEAST_UPLOAD)
    refused(upload("127.0.1.3"), 429, "no room")


def test_every_answer_tells_the_browser_what_it_may_do(http: httpx.Client) -> None:
    for response in (http.get("/"), http.get("/monitoring"), http.get("/nowhere"), http.get("/theme.css")):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "same-origin"
        policy = response.headers["content-security-policy"]
        assert "frame-ancestors 'self' https://huggingface.co" in policy
        assert "object-src 'none'" in policy


@pytest.mark.parametrize(
    "told",
    [
        {"host": "rebound.example:7860"}, {"host": "localhost.example"}, {"host": "127.0.0.1@example"}, {"host": ""},
        {"origin": "https://example.org"}, {"origin": "null"}, {"origin": "http://localhost.example:7860"},
    ],
)  # fmt: skip
def test_a_local_page_is_asked_by_no_page_from_elsewhere(http: httpx.Client, told: dict[str, str]) -> None:
    """Folders of the machine can be named on it, so that a name which was led here could read pictures of anybody's."""
    refused(http.get("/config", headers=told), 403, "machine")
    refused(http.post("/gradio_api/queue/join", json={"data": []}, headers=told), 403, "machine")
    refused(http.post("/gradio_api/mcp", json={}, headers=told), 403, "machine")


def test_and_by_its_own_names_it_is(http: httpx.Client) -> None:
    own = {"host": "localhost:1"}, {"host": "[::1]:7860"}, {"host": "127.0.0.1", "origin": "http://localhost:3000"}
    assert [http.get("/theme.css", headers=told).status_code for told in own] == [200] * 3


def test_what_is_named_after_its_content_is_kept_and_nothing_else(http: httpx.Client) -> None:
    """A browser asked for each of some eighty scripts again, whenever the page was opened."""
    page = http.get("/")
    scripts = set(re.findall(r"/assets/[\w.-]+\.(?:js|css)", page.text))
    assert scripts
    for script in scripts:
        assert "immutable" in http.get(script).headers["cache-control"], script
    for other in ("/assets/index-nothing1.js", "/favicon.ico", "/config"):
        assert "immutable" not in http.get(other).headers.get("cache-control", ""), other
    assert "immutable" not in page.headers.get("cache-control", "")


def test_answers_are_compressed_as_they_come(http: httpx.Client) -> None:
    """Each whole: what is sent can be read at once, and not when the stream ends."""
    joined = http.post("/gradio_api/queue/join", json={"fn_index": 0, "data": [], "session_hash": "compressed"})
    assert joined.status_code == 200
    with http.stream("GET", "/gradio_api/queue/data", params={"session_hash": "compressed"}) as answers:
        assert answers.headers["content-encoding"] == "gzip"
        assert json.loads(next(answers.iter_lines()).removeprefix("data: "))["msg"] in ("estimation", "process_starts")
    page = http.get("/")
    assert page.headers["content-encoding"] == "gzip"
    assert int(page.headers["content-length"]) < len(page.content) / 2


def test_a_stream_that_comes_too_late_for_its_answer_ends(http: httpx.Client) -> None:
    """A page whose answer came with an earlier stream, before it knew what it had asked, opens another for it."""
    late = {"session_hash": "late"}
    assert http.post("/gradio_api/queue/join", json={"fn_index": 0, "data": [], **late}).status_code == 200
    for _ in ("in time", "too late"):
        with http.stream("GET", "/gradio_api/queue/data", params=late) as answers:
            messages = [json.loads(line.removeprefix("data: "))["msg"] for line in answers.iter_lines() if line]
        assert messages[-2:] == ["process_completed", "close_stream"]
