"""What the tests in a real browser share: Chromium, the page opened in it and watched, and the presses all make.

Without Chromium these tests skip; with REQUIRE_BROWSER=1 they fail.
"""

import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, ViewportSize, expect, sync_playwright

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
ONE_PROCESS = "--process-per-site"
"""For all pages of a context: the scripts that they share are read once."""
Theme = Literal["light", "dark"]
SIZES = {1400: 900, 390: 844}
PATIENCE = 60_000
"""Milliseconds; a shared machine may be slow."""
TABS = (
    "Image", "Attribution", "Components", "Steering", "Before / after", "Many pictures", "Evidence", "Take along",
    "Log",
)  # fmt: skip
EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"


PAUSE = "() => new Promise((done) => setTimeout(() => requestIdleCallback(done), 250))"
"""A while by the page's own clock, and until it has nothing to do: on a busy machine that may be long."""


class Answers:
    """What each page waits for: questions under way, and the streams in which answers come."""

    def __init__(self) -> None:
        self._open: defaultdict[Page, set[Request]] = defaultdict(set)
        self._left_behind: defaultdict[Page, set[Request]] = defaultdict(set)

    def watch(self, page: Page) -> None:
        page.on("request", lambda one: self._note(page, one))
        page.on("requestfinished", lambda one: self._open[page].discard(one))
        page.on("requestfailed", lambda one: self._open[page].discard(one))
        page.on("domcontentloaded", lambda _: self._open[page].difference_update(self._left_behind.pop(page, ())))

    def _note(self, page: Page, one: Request) -> None:
        if "/gradio_api/queue/" in one.url:
            self._open[page].add(one)
        elif one.is_navigation_request() and one.frame == page.main_frame:
            # What the document before had asked for ends with it, and nobody may be told that it did.
            self._left_behind[page] |= self._open[page]

    def all_here(self, page: Page) -> None:
        """Waits until all have come: none may be drawn still, or be cut off by what comes next."""
        quiet, until = 0, time.monotonic() + PATIENCE / 1000
        while quiet < 2:  # what an answer leads to is asked a moment later, and so is what was typed
            page.evaluate(PAUSE)
            quiet = 0 if self._open[page] else quiet + 1
            assert quiet or time.monotonic() < until, [one.url for one in self._open[page]]


class Windows:
    """One browser context for each width, in which the page's scripts stay loaded from one test to the next.

    A page's first opening in a context takes three times as long as a later one. What pages keep is their tab's.
    """

    def __init__(self, browser: Browser, address: str) -> None:
        self.address = address
        self._browser = browser
        self._contexts: dict[int, BrowserContext] = {}

    def new_page(self, width: int, theme: Theme) -> Page:
        """An empty tab."""
        if width not in self._contexts:
            size: ViewportSize = {"width": width, "height": SIZES[width]}
            context = self._contexts[width] = self._browser.new_context(viewport=size, has_touch=width < 500)
            context.new_page().goto(f"{self.address}/robots.txt")  # it keeps the process of these pages alive
        context = self._contexts[width]
        context.clear_cookies()
        context.pages[0].evaluate("localStorage.clear()")
        page = context.new_page()
        page.emulate_media(color_scheme=theme)
        return page

    def close(self) -> None:
        for context in self._contexts.values():
            context.close()


class Open:
    """Opens the page, in as many tabs as it is called."""

    def __init__(self, windows: Windows) -> None:
        self.address = windows.address
        self.answers = Answers()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._windows = windows
        self._pages: list[Page] = []

    def __call__(self, width: int = 1400, theme: Theme = "light", query: str = "") -> Page:
        page = self._windows.new_page(width, theme)
        self._pages.append(page)
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        self.answers.watch(page)
        page.goto(f"{self.address}/{query}" if query else self.address)
        page.locator("#panel .bar.best").wait_for()
        return page

    def close(self) -> None:
        for page in self._pages:
            page.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if path is None:
        words = "Chromium is not installed. Install it, or set CHROMIUM to its path."
        pytest.fail(words) if os.environ.get("REQUIRE_BROWSER") == "1" else pytest.skip(words)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS, ONE_PROCESS])
        yield browser
        browser.close()


@contextmanager
def watched(windows: Windows) -> Iterator[Open]:
    """Opens the page; at the end, whatever the test did, nothing may have gone wrong or left the machine."""
    opening = Open(windows)
    yield opening
    opening.close()
    assert not opening.errors, "\n".join(opening.errors)
    assert [url for url in opening.requests if not url.startswith((windows.address, "data:", "blob:"))] == []


@contextmanager
def sending(page: Page) -> Iterator[None]:
    """At its end, the server has all that was sent meanwhile: requests of a hasty visitor may overtake each other."""
    sent: list[Request] = []

    def note(request: Request) -> None:
        sent.append(request)

    page.on("request", note)
    yield
    page.evaluate(PAUSE)  # what a press leads to is sent a moment later
    for request in sent:
        if request.url.endswith("/queue/join"):
            request.response()
    page.remove_listener("request", note)


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def pick(page: Page, list_: str, option: str) -> None:
    """Choose from a list, and wait until it is folded: while it folds, its options are still on the page."""
    page.locator(f"{list_} input").click()
    options = page.get_by_role("option", name=option, exact=True)
    options.click()
    expect(options).to_have_count(0)


def press_strongest(page: Page, side: str = "for") -> Locator:
    tab(page, "Attribution")
    button = page.locator(f".half.{side} .act[data-action=suppress]").first
    button.click()
    expect(button).to_have_text("Suppressed ✓")
    return button


def step(page: Page, name: str) -> Locator:
    return page.locator(f"#prediction [data-step={name}]")


def choose_setup(page: Page, name: str) -> None:
    page.locator("#chosen input").click()
    page.get_by_role("option", name=name).click()
