"""What the page costs the eye and the line: ``python tests/benchmarks/glance.py``.

Starts the app, opens it in Chromium, and goes the way of a first visitor. Measured are bytes (as decoded), pixels,
requests and clicks, and two ratios of times in one run: a press, from event to answer, to the workbench's own answer;
the first evidence to a later one. No time stands alone. Nothing here is a test; figures are quoted in README.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx
import torch
from chromium import SIZES, chromium, tab
from open_page import OpenPage
from playwright.sync_api import Browser, Page
from start import listening

from core.page.launch import launch_options, make_page
from core.serving.settings import Settings
from core.setups.catalog import read_catalog
from core.workbench import Workbench

PRESSES = 100
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
    page.locator("#listed").click()
    page.locator("#said-classes", has_text="998 names").wait_for()
    with counting(page) as asked:
        page.locator("#classify").click()
        page.locator("#panel", has_text="these 998 classes").wait_for()
    found["bytes of ImageNet's names"] = f"{asked.bytes:,}"
    tab(page, "Attribution")
    page.wait_for_timeout(QUIET)
    with counting(page) as pressed:
        page.locator(SUPPRESS).first.click()
    found["bytes of a lever press among these"] = f"{pressed.bytes:,}"
    return found


def evidence(page: Page, component: str | None) -> float:
    """Seconds until all of it is there about an edit with this component: what stood there before is about another."""
    began = time.monotonic()
    tab(page, "Evidence")
    page.locator("#summary", has_text=f"#{component}").wait_for()
    page.locator("#elsewhere", has_text="95 % interval").wait_for()
    return time.monotonic() - began


def press(address: str, times: int) -> None:
    """Pull one lever anew so many times, without a browser."""

    async def all_of_them() -> None:
        async with httpx.AsyncClient() as http:
            config = (await http.get(f"{address}/config")).json()
        page = OpenPage(address, config)
        component = int(re.findall(r'data-component="(\d+)"', str(page.values[page.id("rows")]))[0])
        for k in range(times):
            action = ("suppress", "amplify")[k % 2]
            await page.press("rows", "act", {"component": component, "action": action, "on": True})
        await page.close()

    asyncio.run(all_of_them())


def press_costs() -> tuple[float, float]:
    """Processor time of a press in the server, in ms, and what of it the workbench takes for its answer.

    The server is this process, on one thread of torch; whoever presses is another. A visit of few presses is taken
    from one of many, so that its opening does not count.
    """
    torch.set_num_threads(1)
    inside = [0.0]
    compare = Workbench.compare

    def timed(*given: Any) -> Any:
        began = time.thread_time()
        found = compare(*given)
        inside[0] += time.thread_time() - began
        return found

    page = make_page(Settings.from_environment({}), {"bundled": read_catalog()["bundled"]})
    with patch.object(Workbench, "compare", timed):
        _, address, _ = page.launch(**launch_options(), prevent_thread_lock=True, quiet=True)
        costs = []
        for times in (PRESSES, PRESSES, 3 * PRESSES):  # the first warms up
            inside[0], began = 0.0, time.process_time()
            visitor = get_context("spawn").Process(target=press, args=(address.rstrip("/"), times))
            visitor.start()
            visitor.join()
            assert visitor.exitcode == 0
            costs.append((time.process_time() - began, inside[0]))
        page.close()
    _, few, many = costs
    return tuple(1000 * (b - a) / (2 * PRESSES) for a, b in zip(few, many, strict=True))  # type: ignore[return-value]


def main() -> None:
    """Print the table."""
    with listening() as (address, _, _process), chromium() as browser:
        figures = measure(browser, address)
    server, workbench = press_costs()
    figures["a press, in answers of the workbench"] = f"{server / workbench:.1f}"
    figures["ms of the server's processor time for a press; of these for the workbench's answer"] = (
        f"{server:.1f}; {workbench:.1f}"
    )
    print("| what | |\n|---|---|")
    for name, figure in figures.items():
        print(f"| {name} | {figure} |")


if __name__ == "__main__":
    main()
