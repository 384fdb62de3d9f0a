"""What the start of the app costs, beside the bare imports of its libraries: ``python tests/benchmarks/start.py``.

Starts in new processes, in turns: one that imports torch, transformers, gradio and sae_lens and nothing else; `app.py`
until its first HTTP answer is read; and, where there is Chromium, `app.py` until a waiting browser first paints
something, and until the prediction is in sight. All are timed from the start of the process; none includes its exit.
Every figure is a ratio to the bare imports of the same run, by the clock and in processor time, that of the browser
included; where others use the machine, the least of several says more than the median. Nothing here is a test; a
machine's figures are quoted in README.

With ``--published`` the same is measured of an app that is meant to open with a published setup: CLIP-Scope's, the
default of a Space, made of random numbers in the published layout and size (`tests/setups/test_catalog_full_size.py`:
1.2 GB), on a Hub of this machine. The page is to be served within 1.5 times the bundled start. At last one start is
followed until visitors open with that setup: it is downloaded, read and checked in the background.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests/chromium.py, tests/fake_hub.py

import psutil
from chromium import FLAGS
from fake_hub import serve
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[2]
BARE = "import torch, transformers, gradio, sae_lens; print('here', flush=True); input()"
FIRST_PAINT = """() => {
  const [paint] = performance.getEntriesByName("first-contentful-paint");
  return paint && performance.timeOrigin + paint.startTime;
}"""
"""When something was painted first, in milliseconds since 1970."""
PATIENCE = 900
"""Seconds."""
PUBLISHED = "clip-scope-20"
"""The setup that a Space opens with."""
AT_HOME = {"HF_HUB_OFFLINE": "1"}
"""What the environment of an app says that asks no Hub, and opens with the bundled setup."""

Figures = dict[str, tuple[float, float]]
"""By what was waited for: seconds by the clock, and of processor time."""


@contextmanager
def published() -> Iterator[Mapping[str, str]]:
    """A published setup on a Hub of this machine; what the environment of an app says that is to open with it."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "setups")]
    from test_catalog_full_size import CARDS, published_clip, write_dictionary

    with TemporaryDirectory() as folder:
        root, card = Path(folder), CARDS[PUBLISHED]
        clip, dictionary = published_clip(str(card.clip.repo), root), root / "dictionary"
        dictionary.mkdir()
        write_dictionary(card, clip, dictionary)
        places = {card.clip: clip.folder, card.dictionary: dictionary}
        with serve({str(place.repo): {place.revision: there} for place, there in places.items()}) as hub:
            for place in places:
                hub.commit(str(place.repo), place.revision)  # it goes through all the files, once
            yield {
                "CLIP_LEVERS_SETUP": PUBLISHED, "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.address,
                "HF_HOME": str(root / "home"), "NO_PROXY": "127.0.0.1",
            }  # fmt: skip


@contextmanager
def started(command: Sequence[str], port: int, more: Mapping[str, str]) -> Iterator[tuple[float, psutil.Popen]]:
    """A process of Python in this folder, and when it began; it is killed at the end."""
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), **more}
    began = time.time()
    process = psutil.Popen(
        [sys.executable, *command], cwd=ROOT, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield began, process
    finally:
        process.kill()
        process.communicate()


def processor_time(process: psutil.Process) -> float:
    """Seconds that a process has used so far; 0 for one that has ended."""
    try:
        used = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0
    return used.user + used.system


def bare() -> Figures:
    """The libraries alone."""
    with started(["-c", BARE], 0, AT_HOME) as (began, process):
        assert process.stdout.readline() == "here\n", "the libraries cannot be imported"
        return {"bare imports": (time.time() - began, processor_time(process))}


def answered(environment: Mapping[str, str], meant: str = "") -> Figures:
    """The app, until a program has its first answer; `meant` says what it is meant to open with."""
    with listening(environment) as (address, began, process):
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
            answer.read()
        return {f"first HTTP answer{meant}": (time.time() - began, processor_time(process))}


def painted(browser: Browser, environment: Mapping[str, str], meant: str = "") -> Figures:
    """The app, until a browser that is there already shows something, and until it shows the prediction."""
    page = browser.new_context().new_page()
    used = -all_time()
    with listening(environment) as (address, began, _):
        page.goto(address, wait_until="commit")
        painted_at = page.wait_for_function(FIRST_PAINT, timeout=PATIENCE * 1000).json_value() / 1000
        first = painted_at - began, used + all_time()
        page.locator("#panel .bar.best").wait_for(timeout=PATIENCE * 1000)
        in_sight = time.time() - began, used + all_time()
    page.context.close()
    return {f"first paint{meant}": first, f"prediction in sight{meant}": in_sight}


def opened(environment: Mapping[str, str]) -> Figures:
    """The app, until whoever comes opens with the published setup. Raises AssertionError where that cannot be had."""
    with listening(environment) as (address, began, process):
        while True:
            with urllib.request.urlopen(f"{address}config", timeout=PATIENCE) as answer:
                parts = {part["props"].get("elem_id"): part["props"] for part in json.load(answer)["components"]}
            assert "answers instead" not in parts["opening"]["value"], parts["opening"]["value"]
            if parts["chosen"]["value"] == PUBLISHED:
                return {"a visitor opens with the published setup": (time.time() - began, processor_time(process))}
            time.sleep(0.5)


def all_time() -> float:
    """Processor time of all that this process has started and that still runs: the browser, and the app."""
    return sum(processor_time(child) for child in psutil.Process().children(recursive=True))


@contextmanager
def listening(environment: Mapping[str, str] = AT_HOME) -> Iterator[tuple[str, float, psutil.Popen]]:
    """The app, as soon as it takes connections: its address, when it began, its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with started(["app.py"], port, environment) as (began, process):
        while True:
            assert process.poll() is None, "the app ended"
            assert time.time() - began < PATIENCE, "the app does not start"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.01)
        yield f"http://127.0.0.1:{port}/", began, process


def measure(steps: Sequence[Callable[[], Figures]], repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Each step `repeats` times, in turns, every other turn backwards; after Ctrl-C those whole so far.

    The first turn warms up.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for turn in range(repeats + 1):
        began = time.time()
        try:
            taken = [step() for step in steps[:: -1 if turn % 2 else 1]]
        except KeyboardInterrupt:
            print(f"stopped after {max(0, turn - 1)} of {repeats} turns", file=sys.stderr)
            break
        print(f"turn {turn} of {repeats} took {time.time() - began:.0f} s", file=sys.stderr)
        for name, figures in chain.from_iterable(one.items() for one in taken if turn):
            found.setdefault(name, []).append(figures)
    return found


def row(name: str, figures: Sequence[tuple[float, float]], bases: Sequence[tuple[float, float]]) -> str:
    """A line of the table: ratios of the medians and of the least, by the clock and in processor time."""
    cells = [
        f"{summary(taken) / summary(base):.2f}"
        for taken, base in zip(zip(*figures, strict=True), zip(*bases, strict=True), strict=True)
        for summary in (statistics.median, min)
    ]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--published", action="store_true", help="measure an app with a published setup, too")
    options = parser.parse_args()
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with published() if options.published else nullcontext() as hub, sync_playwright() as playwright:
        meant = [(AT_HOME, ""), *([] if hub is None else [(hub, ", a published setup")])]
        steps: list[Callable[[], Figures]] = [bare, *(partial(answered, *one) for one in meant)]
        if chromium is not None:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            steps += [partial(painted, browser, *one) for one in meant]
        found = measure(steps, options.repeats)
        bases = found.pop("bare imports", [])
        if not bases:
            return
        report(found, bases)
        if hub is not None and len(bases) == options.repeats:
            report({name: [figures] for name, figures in opened(hub).items()}, bases)


def report(found: Mapping[str, Sequence[tuple[float, float]]], bases: Sequence[tuple[float, float]]) -> None:
    """Print what was found, in bare imports."""
    by_clock, of_processor = (statistics.median(taken) for taken in zip(*bases, strict=True))
    print(
        f"{os.cpu_count()} cores; bare imports {by_clock:.1f} s by the clock, {of_processor:.1f} s of processor time\n"
    )
    print(
        "| in bare imports | by the clock | least by least | processor time | least by least |\n|---|---|---|---|---|"
    )
    for name, figures in found.items():
        print(row(name, figures, bases))


if __name__ == "__main__":
    main()
