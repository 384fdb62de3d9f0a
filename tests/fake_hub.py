"""A small Hugging Face Hub on this machine, for tests.

    with serve({"owner/name": folder}) as hub:
        hub.attach(monkeypatch, cache)         # this process asks it, and keeps what it downloads in `cache`
        ...                                    # whatever downloads from the Hub
        hub.requests                           # what was asked, in order
        hub.misbehave = Misbehave(status=503)  # from now on; None to behave again

It speaks what huggingface_hub 2.4 asks of the real one: the metadata of a model at a revision, and files, each
announced (HEAD) before it is sent (GET, whole or from some byte on). As on the real Hub, large files are sent from
elsewhere, a second server at another port, by a redirect; refusals carry the headers that huggingface_hub tells apart.
Who has the token may make repositories and commit to them; large files are put elsewhere first, as with Git LFS.
"""

import base64
import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import close_session, constants

TOKEN = "hf_of_someone_with_access"
"""The one token that the hub knows; it opens private and gated repositories."""

LARGE = (".safetensors", ".bin", ".pt", ".h5", ".msgpack", ".onnx")
"""Files that are kept as on Git LFS: named by their SHA-256, sent from elsewhere."""

_BLOCK = 1 << 16


@dataclass(frozen=True)
class Request:
    """One request, as it came in."""

    server: str
    """"hub", or "elsewhere" for the server of large files."""
    method: str
    """GET or HEAD."""
    path: str
    """Decoded, without the query."""
    headers: Mapping[str, str]
    """By their names in lower case."""


@dataclass
class Misbehave:
    """What goes wrong, and with which requests: either the answer, or the content of a file."""

    only: str = ""
    """Requests whose method and path ("HEAD /owner/name/resolve/...") hold this."""
    times: int = 1 << 30
    """How many answers or files; the ones after are well."""
    status: int | None = None
    """The answer is this HTTP status, with nothing that the real Hub would add."""
    hang_up: bool = False
    """There is no answer: the connection is closed."""
    login_page: bool = False
    """The answer is a web page, as behind a hotel's network."""
    wait: float = 0.0
    """Seconds before the answer."""
    pause: float = 0.0
    """Seconds after each 64 kB of a file."""
    cut_after: int | None = None
    """The connection breaks after so many bytes of a file."""
    short_by: int = 0
    """So many bytes at the end of a file are neither announced nor sent."""
    wrong_bytes: bool = False
    """A file is sent with its right length and other content."""

    @property
    def spoils_files(self) -> bool:
        """Whether it is the content of a file that goes wrong."""
        return self.cut_after is not None or bool(self.pause or self.short_by or self.wrong_bytes)


@dataclass
class Hub:
    """The hub that `serve` started."""

    repositories: dict[str, dict[str, Path]]
    """By name, the folder of each revision. May be changed: a branch then moves to another commit."""
    gated: set[str]
    """Repositories whose files need a token; anybody may list them."""
    private: set[str]
    """Repositories that do not exist for who has no token."""
    address: str = ""
    """Where it is, "http://127.0.0.1:port"."""
    elsewhere: str = ""
    """Where large files come from."""
    requests: list[Request] = field(default_factory=list)
    """All so far."""
    misbehave: Misbehave | None = None
    """What goes wrong."""
    resumes: bool = True
    """Whether it sends a file from some byte on when asked to, rather than all of it."""
    uploads: Path = Path()
    """Where what is committed is kept."""
    _lock: Lock = field(default_factory=Lock)
    _folders: dict[tuple[str, str], Path] = field(default_factory=dict)

    def attach(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        """Let huggingface_hub in this process ask this hub, without a token, and keep files in `cache`, or beside it.

        It reads its settings from the environment when it is imported, which the tests do offline.
        """
        settings = {
            "ENDPOINT": self.address,
            "HUGGINGFACE_CO_URL_TEMPLATE": self.address + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_OFFLINE": False,
            "HF_HUB_CACHE": str(cache),
            "HF_ASSETS_CACHE": str(cache.with_name(f"{cache.name}-assets")),
            "HF_TOKEN_PATH": str(cache / "no-token"),
        }
        for name, value in settings.items():
            monkeypatch.setattr(constants, name, value)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        close_session()  # it had read the settings of proxies

    def commit(self, repo: str, revision: str = "main") -> str:
        """The commit of a revision: itself where it is one, else made up, and another whenever the files are others."""
        folder = self.repositories[repo][revision]
        state = [repo, *(f"{name} {_digests(*_key(path))[0]}" for name, path in _files(folder).items())]
        commit = hashlib.sha1("\n".join(state).encode()).hexdigest()
        if re.fullmatch("[0-9a-f]{40}", revision):
            commit = revision
        self._folders[repo, commit] = folder
        return commit

    def asked(self, *parts: str) -> list[Request]:
        """The requests whose method and path hold all of these."""
        return [r for r in self.requests if all(part in f"{r.method} {r.path}" for part in parts)]

    def downloads(self) -> list[str]:
        """The names (without folders) of the files that were sent or begun, in order, without the redirects to them."""
        sent = [r for r in self.requests if r.method == "GET" and "/api/" not in r.path]
        return [r.path.rsplit("/", 1)[1] for r in sent if r.server == "elsewhere" or not r.path.endswith(LARGE)]

    def _find(self, repo: str, revision: str) -> tuple[str, Path] | None:
        """Commit and folder of a revision, which may be a commit."""
        for name in self.repositories[repo]:
            self.commit(repo, name)
        if revision in self.repositories[repo]:
            revision = self.commit(repo, revision)
        folder = self._folders.get((repo, revision))
        return None if folder is None else (revision, folder)

    def _fault(self, line: str, file: bool) -> Misbehave:
        """What goes wrong with the answer to a request, or with the file that is its answer."""
        with self._lock:
            fault = self.misbehave
            if fault is None or fault.spoils_files != file or fault.only not in line or fault.times <= 0:
                return Misbehave()
            fault.times -= 1
            return fault


@contextmanager
def serve(
    repositories: Mapping[str, Path | Mapping[str, Path]],
    gated: tuple[str, ...] = (),
    private: tuple[str, ...] = (),
) -> Iterator[Hub]:
    """A hub with these repositories: each a folder (its revision "main"), or a folder for each revision."""
    by_revision = {
        repo: {"main": folders} if isinstance(folders, Path) else dict(folders)
        for repo, folders in repositories.items()
    }
    hub = Hub(by_revision, set(gated), set(private))
    servers = []
    uploads = TemporaryDirectory()
    hub.uploads = Path(uploads.name)
    for name in ("hub", "elsewhere"):
        handler = type("Handler", (_Handler,), {"hub": hub, "name": name})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    hub.address, hub.elsewhere = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
        uploads.cleanup()
        close_session()


class _Handler(BaseHTTPRequestHandler):
    """Answers one request; every answer closes its connection, so that a server that ended answers nobody."""

    protocol_version = "HTTP/1.1"
    hub: Hub
    name: str

    def log_message(self, *args: object) -> None:
        """Silence; `Hub.requests` has it all."""

    def do_HEAD(self) -> None:
        """Announce."""
        self._answer()

    def do_GET(self) -> None:
        """Send."""
        self._answer()

    def do_POST(self) -> None:
        """Make repositories, and commit."""
        self._write()

    def do_PUT(self) -> None:
        """Keep a large file."""
        self._write()

    def _write(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self._body()
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.hub.requests.append(Request(self.name, self.command, path, headers))
        fault = self.hub._fault(f"{self.command} {path}", file=False)
        if fault.status is not None:
            self._send(fault.status, {})
        elif self.command == "PUT":
            (self.hub.uploads / Path(path).name).write_bytes(body)
            self._send(200, {})
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._refuse(401, None, "Invalid username or password.")
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/(.+)", path):
            named = [{"path": each["path"], "shouldIgnore": False} for each in json.loads(body)["files"]]
            self._json(
                {"files": [n | {"uploadMode": "lfs" if n["path"].endswith(LARGE) else "regular"} for n in named]}
            )
        elif path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            actions = [{"upload": {"href": f"{self.hub.elsewhere}/uploads/{each['oid']}"}} for each in objects]
            self._json({"objects": [each | {"actions": a} for each, a in zip(objects, actions, strict=True)]})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/(.+)", path):
            self._commit(match[1], match[2], [json.loads(line) for line in body.splitlines()])
        else:
            self._send(404, {})

    def _body(self) -> bytes:
        """What was sent with the request, by its length or in chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _create(self, asked: Mapping[str, str]) -> None:
        repo = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        is_new = repo not in self.hub.repositories
        if is_new:
            folder = self.hub.uploads / repo / "empty"
            folder.mkdir(parents=True)
            self.hub.repositories[repo] = {"main": folder}
        self._json({"url": f"{self.hub.address}/{repo}"}, 200 if is_new else 409)

    def _commit(self, repo: str, branch: str, lines: list[dict[str, Any]]) -> None:
        if repo not in self.hub.repositories:
            self._refuse(404, "RepoNotFound", "Repository not found")
            return
        before = self.hub.repositories[repo][branch]
        folder = self.hub.uploads / repo / str(len(list((self.hub.uploads / repo).iterdir())))
        shutil.copytree(before, folder)
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                (folder / value["path"]).write_bytes(base64.b64decode(value["content"]))
            elif line["key"] == "lfsFile":
                shutil.copy(self.hub.uploads / value["oid"], folder / value["path"])
        self.hub.repositories[repo][branch] = folder
        commit = self.hub.commit(repo, branch)
        url = f"{self.hub.address}/{repo}/commit/{commit}"
        self._json({"success": True, "commitOid": commit, "commitUrl": url})

    def _json(self, answer: object, status: int = 200) -> None:
        self._send(status, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.hub.requests.append(Request(self.name, self.command, path, headers))
        fault = self.hub._fault(f"{self.command} {path}", file=False)
        time.sleep(fault.wait)
        with suppress(ConnectionError):  # whoever asked may have left
            if fault.hang_up:
                self.close_connection = True
            elif fault.status is not None:
                self._send(fault.status, {})
            elif fault.login_page:
                self._send(200, {"Content-Type": "text/html"}, b"<html>Welcome to our hotel</html>")
            elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path):
                self._model(match[1], match[2])
            elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                self._resolve(match[1], match[2], match[3])
            elif self.name == "elsewhere" and (match := re.fullmatch(r"/([^/]+/[^/]+)/([0-9a-f]{40})/(.+)", path)):
                self._file(self.hub._folders[match[1], match[2]] / match[3], {})
            else:
                self._send(404, {})

    # Refusals, with the headers that huggingface_hub tells them apart by (utils/_http.py, hf_raise_for_status)

    def _refuse(self, status: int, code: str | None, message: str) -> None:
        self._send(status, {"X-Error-Message": message} | ({} if code is None else {"X-Error-Code": code}))

    def _found(self, repo: str, revision: str, file: bool) -> tuple[str, Path] | None:
        """The commit and its folder; None once it is refused."""
        token = self.headers.get("Authorization")
        known = repo in self.hub.repositories and (token is not None or repo not in self.hub.private)
        if token not in (None, f"Bearer {TOKEN}"):
            self._refuse(401, None, "Invalid credentials in Authorization header")
        elif not known and token is None:  # it does not tell what is private from what is not there
            self._refuse(401, None, "Invalid username or password.")
        elif not known:
            self._refuse(404, "RepoNotFound", "Repository not found")
        elif file and token is None and repo in self.hub.gated:
            self._refuse(401, "GatedRepo", f"Access to model {repo} is restricted. Please log in.")
        elif (found := self.hub._find(repo, revision)) is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return found
        return None

    # Answers

    def _model(self, repo: str, revision: str) -> None:
        found = self._found(repo, revision, file=False)
        if found is None:
            return
        commit, folder = found
        siblings = []
        for name, path in _files(folder).items():
            sha256, sha1 = _digests(*_key(path))
            size = path.stat().st_size
            about: dict[str, object] = {"rfilename": name, "size": size, "blobId": sha1}
            if name.endswith(LARGE):
                about["lfs"] = {"sha256": sha256, "size": size, "pointerSize": 135}
            siblings.append(about if "blobs=" in self.path else {"rfilename": name})
        answer = {"id": repo, "modelId": repo, "sha": commit, "tags": [], "siblings": siblings}
        self._send(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def _resolve(self, repo: str, revision: str, name: str) -> None:
        found = self._found(repo, revision, file=True)
        if found is None:
            return
        commit, folder = found
        if name not in _files(folder):
            self._refuse(404, "EntryNotFound", "Entry not found")
            return
        path = folder / name
        sha256, sha1 = _digests(*_key(path))
        if not name.endswith(LARGE):
            self._file(path, {"X-Repo-Commit": commit, "ETag": f'"{sha1}"'})
            return
        xet = f"{self.hub.address}/api/models/{repo}/xet-read-token/{commit}"
        self._send(
            302,
            {
                "Location": f"{self.hub.elsewhere}/{repo}/{commit}/{name}",
                "X-Repo-Commit": commit,
                "X-Linked-Size": str(path.stat().st_size),
                "X-Linked-ETag": f'"{sha256}"',
                "X-Xet-Hash": sha256,
                "Link": f'<{xet}>; rel="xet-auth"',
            },
        )

    def _file(self, path: Path, headers: dict[str, str]) -> None:
        is_sent = self.command == "GET"
        fault = self.hub._fault(f"GET {unquote(self.path)}", file=True) if is_sent else Misbehave()
        size = path.stat().st_size - fault.short_by
        asked = self.hub.resumes and re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        if asked:
            headers |= {"Content-Range": f"bytes {start}-{size - 1}/{size}"}
        headers |= {"Content-Length": str(size - start), "Accept-Ranges": "bytes"}
        self._send(206 if asked else 200, headers, None)
        if not is_sent:
            return
        end = size if fault.cut_after is None else min(size, start + fault.cut_after)
        with path.open("rb") as stream:
            stream.seek(start)
            for at in range(start, end, _BLOCK):
                block = stream.read(min(_BLOCK, end - at))
                self.wfile.write(bytes(255 - byte for byte in block) if fault.wrong_bytes else block)
                time.sleep(fault.pause)

    def _send(self, status: int, headers: Mapping[str, str], body: bytes | None = b"") -> None:
        """Status, headers and body; None when the body follows, its length among the headers."""
        self.close_connection = True
        self.send_response(status)
        extra = {} if body is None else {"Content-Length": str(len(body))}
        for key, value in {**headers, **extra, "Connection": "close"}.items():
            self.send_header(key, value)
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(body)


def _files(folder: Path) -> dict[str, Path]:
    """The files of a folder by their paths inside."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _key(path: Path) -> tuple[Path, int, int]:
    return path, path.stat().st_mtime_ns, path.stat().st_size


@cache
def _digests(path: Path, _changed: int, size: int) -> tuple[str, str]:
    """SHA-256 of a file, and the SHA-1 that git gives it."""
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            sha256.update(block)
            sha1.update(block)
    return sha256.hexdigest(), sha1.hexdigest()
