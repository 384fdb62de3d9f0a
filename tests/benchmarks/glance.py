"""What the page costs the eye and the line: ``python tests/benchmarks/glance.py``.

Starts the app, opens it in Chromium, and goes the way of a first visitor. Measured are bytes (as decoded), pixels,
requests and clicks, and two ratios of times in one run: a press, from event to answer, to the workbench's own answer;
the first evidence to a later one. No time stands alone. Nothing here is a test; figures are quoted in README.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx
import psutil
from chromium import SIZES, chromium, tab
from open_page import OpenPage
from playwright.sync_api import Browser, Page
from start import listening

from core.methods.steering import Edit, Lever
from core.model.prompts import TEMPLATES
from core.pictures.examples import read_examples
from core.setups.catalog import read_catalog
from core.setups.loading import load
from core.workbench import Workbench

PRESSES = 100
STRONGEST = 99
"""The component that speaks most for the word in the first example."""
QUIET = 1500
"""Milliseconds without an answer after which a step is over."""
SUPPRESS = "#rows [data-action=suppress]"


@contextmanager
def counting(page: Page) -> Iterator[SimpleNamespace]:
    """Bytes that come in, as decoded, and requests that go out."""
    counted = SimpleNamespace(bytes=0, requests=0)
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")

    def came(event: dict[str, Any]) -> None:
        counted.bytes += event["dataLength"]

    def went(event: dict[str, Any]) -> None:
        counted.requests += not event["request"]["url"].startswith(("data:", "blob:"))

    session.on("Network.dataReceived", came)
    session.on("Network.requestWillBeSent", went)
    yield counted
    before = -1
    while before != counted.bytes:
        before = counted.bytes
        page.wait_for_timeout(QUIET)
    session.detach()


def opened(browser: Browser, address: str, width: int = 1400) -> Page:
    """The page, when all of it is there."""
    page = browser.new_page(viewport={"width": width, "height": SIZES[width]})
    page.goto(address)
    page.locator("#panel .bar.best").wait_for()
    page.wait_for_timeout(QUIET)
    return page


def measure(browser: Browser, address: str) -> dict[str, str]:
    """The figures, in words."""
    document = browser.new_page().goto(address)
    assert document is not None
    found = {"bytes of the first page": f"{len(document.body()):,}"}
    for width in SIZES:
        page = opened(browser, address, width)
        tab(page, "Attribution")
        page.wait_for_timeout(QUIET)
        height = page.evaluate("document.querySelector('#rows').closest('[role=tabpanel]').scrollHeight")
        found[f"pixels of Attribution at {width}"] = f"{height:,}"
    page = opened(browser, address)
    clicks = 0
    tab(page, "Attribution")
    clicks += 1
    page.wait_for_timeout(QUIET)
    with counting(page) as hovered:
        for row in page.locator("#rows [data-row]:visible").all()[:12]:
            row.hover()
    found["requests of twelve hovers"] = str(hovered.requests)
    with counting(page) as pressed:
        page.locator(SUPPRESS).first.click()
        clicks += 1
        page.locator("#panel .flip.flipped").wait_for()
    found["clicks to the flip"] = str(clicks)
    found["bytes of a lever press"] = f"{pressed.bytes:,}"
    first = evidence(page, page.locator(SUPPRESS).first.get_attribute("data-component"))
    found["clicks to the evidence for it"] = str(clicks + 1)
    tab(page, "Attribution")
    page.locator(SUPPRESS).nth(1).click()
    page.wait_for_timeout(QUIET)
    later = evidence(page, page.locator(SUPPRESS).nth(1).get_attribute("data-component"))
    found["first evidence, in later ones"] = f"{first / later:.2f}"
    tab(page, "Image")
    with counting(page) as chosen:
        page.locator("#gallery .example").nth(3).click()
    found["bytes of another example"] = f"{chosen.bytes:,}"
    return found


def evidence(page: Page, component: str | None) -> float:
    """Seconds until all of it is there about an edit with this component: what stood there before is about another."""
    began = time.monotonic()
    tab(page, "Evidence")
    page.locator("#summary", has_text=f"#{component}").wait_for()
    page.locator("#elsewhere", has_text="95 % interval").wait_for()
    return time.monotonic() - began


@dataclass(frozen=True)
class Cost:
    """Of one of many answers."""

    clock: float
    """Seconds from asking to the answer; the median."""
    processor: float
    """Seconds that the answering process computed."""


async def presses(address: str, server: psutil.Process) -> Cost:
    """A press that pulls a lever anew, from the event to its answer, without a browser."""
    async with httpx.AsyncClient() as http:
        config = (await http.get(f"{address}/config")).json()
    page = OpenPage(address, config)
    component = int(re.findall(r'data-component="(\d+)"', str(page.values[page.id("rows")]))[0])
    times: list[float] = []
    for k in range(2 * PRESSES):
        if k == PRESSES:
            before = server.cpu_times()
        began = time.monotonic()
        action = ("suppress", "amplify")[k % 2]
        await page.press("rows", "act", {"component": component, "action": action, "on": True})
        times.append(time.monotonic() - began)
    await page.close()
    return Cost(statistics.median(times[PRESSES:]), _processor(before, server.cpu_times()) / PRESSES)


def answers() -> Cost:
    """The workbench's own answer to the same: the prediction under an edit of one lever."""
    bench = Workbench(load(read_catalog()["bundled"]))
    example, process = read_examples()[0], psutil.Process()
    trace = bench.open(example.file())
    times: list[float] = []
    for k in range(2 * PRESSES):
        if k == PRESSES:
            before = process.cpu_times()
        began = time.monotonic()
        edit = Edit((Lever(STRONGEST, *((("suppress", 0.0), ("scale", 2.0))[k % 2])),))
        bench.compare(trace, edit, example.classes, TEMPLATES["single"])
        times.append(time.monotonic() - began)
    return Cost(statistics.median(times[PRESSES:]), _processor(before, process.cpu_times()) / PRESSES)


def _ms(cost: Cost) -> str:
    return f"{1000 * cost.clock:.1f}, {1000 * cost.processor:.1f}"


def _processor(before: Any, after: Any) -> float:
    return float(after.user + after.system - before.user - before.system)


def main() -> None:
    """Print the table."""
    with listening() as (address, _, process):
        with chromium() as browser:
            figures = measure(browser, address)
        press = asyncio.run(presses(address.rstrip("/"), psutil.Process(process.pid)))
    answer = answers()
    figures["a press, in answers of the workbench, by the clock"] = f"{press.clock / answer.clock:.1f}"
    figures["the same, in processor time"] = f"{press.processor / answer.processor:.1f}"
    figures["a press, ms by the clock, and of processor time"] = _ms(press)
    figures["an answer of the workbench, the same"] = _ms(answer)
    print("| what | |\n|---|---|")
    for name, figure in figures.items():
        print(f"| {name} | {figure} |")


if __name__ == "__main__":
    main()
