"""Faults of the house get one sentence at the start, which says what to do."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path

import gradio as gr
import httpx
import pytest
from open_page import OpenPage

from core.background import Job
from core.errors import UserError
from core.page.fair_queue import FairQueue
from core.page.inputs import TypedBlocks
from core.page.lanes import EVERY
from core.page.launch import serve
from core.serving.house import chosen_port, uploads_folder
from core.serving.turns import Turns

ROOT = Path(__file__).parents[2]


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is in use."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1", "", "7860.0"])
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(UserError, match="Give it the number of a port"):
        chosen_port({"GRADIO_SERVER_PORT": text})


def test_a_port_in_use(taken: int) -> None:
    with pytest.raises(UserError, match=rf"Port {taken} of 127\.0\.0\.1 cannot be used: .* Stop what uses it"):
        chosen_port({"GRADIO_SERVER_PORT": str(taken)})
    port = free_port()
    assert chosen_port({"GRADIO_SERVER_PORT": str(port)}) == port


def test_the_app_does_not_move_to_another_port(taken: int) -> None:
    ended = run_app(taken, "-X", "importtime", "app.py")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert ended.stderr.strip().splitlines()[-1].startswith(f"Port {taken} of 127.0.0.1 cannot be used")
    imported = {line.rsplit("|")[-1].strip() for line in ended.stderr.splitlines() if line.startswith("import time:")}
    assert "core.page.command" in imported
    assert not imported & {"torch", "transformers", "sae_lens", "gradio"}, "told before these are imported"


def test_the_app_s_options_are_told_whatever_the_port(taken: int) -> None:
    ended = run_app(taken, "app.py", "--help")
    assert ended.returncode == 0
    assert "--setup" in ended.stdout


def run_app(port: int, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port)}
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_what_visitors_bring_has_a_folder_of_its_own(tmp_path: Path) -> None:
    with uploads_folder({"GRADIO_TEMP_DIR": str(tmp_path / "new")}) as folder:
        assert folder.parent == tmp_path / "new"
        assert folder.is_dir()
        (folder / "picture").write_bytes(b"")
    assert not folder.exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(UserError, match=r"cannot be written: .* Set GRADIO_TEMP_DIR"),
        uploads_folder({"GRADIO_TEMP_DIR": str(tmp_path / "file" / "below")}),
    ):
        pass


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 5_000_000, 5_000_000))
    with (
        pytest.raises(UserError, match=r"is full: 5 MB are free, .* Make room"),
        uploads_folder({"GRADIO_TEMP_DIR": str(tmp_path)}),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_an_answer_that_is_being_worked_out_is_given_before_the_app_ends(capfd: pytest.CaptureFixture[str]) -> None:
    """SIGTERM comes while a press is under way: it is answered, nothing new is taken, and the server is gone.

    What is made in the background saves how far it is.
    """
    begun, port, saved = threading.Event(), free_port(), list[int]()

    def made(tell: Callable[[int], None]) -> None:
        n = 0
        try:
            while True:
                n += 1
                tell(n)
                threading.Event().wait(0.01)
        finally:
            threading.Event().wait(1.3)  # longer than the answer
            saved.append(n)

    making: Job[int, None] = Job("making it", made)
    making.start()

    def slow() -> int:
        begun.set()
        threading.Event().wait(1)
        return 7

    with TypedBlocks() as page:
        shown = gr.Number(elem_id="shown")
        gr.Button(elem_id="slow").click(slow, None, shown, **EVERY)
    page.queue(api_open=False)
    page._queue = FairQueue(page, Turns(), hosted=False)
    page.unsaved = lambda: [making]
    found: list[object] = []

    async def visit() -> None:
        address = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient() as http:
            while True:
                try:
                    config = (await http.get(f"{address}/config")).raise_for_status().json()
                    break
                except httpx.HTTPError:
                    await asyncio.sleep(0.05)
        opened = OpenPage(address, config)
        asked = asyncio.create_task(opened.press("slow", "click"))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.3)
        try:
            await opened.press("slow", "click")
        except Exception as refused:
            found.append(str(refused))
        found.append((await asked)[opened.id("shown")])
        await opened.close()

    visitor = threading.Thread(target=lambda: asyncio.run(asyncio.wait_for(visit(), 60)))
    visitor.start()
    serve(page, port)
    visitor.join()
    assert found == ["The server is about to stop. Reload the page in a minute.", 7]
    assert len(saved) == 1
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/")
