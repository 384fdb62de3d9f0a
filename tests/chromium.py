"""What the tests in a real browser share: Chromium, the page opened in it and watched, and the presses all make.

Without Chromium these tests skip; with REQUIRE_BROWSER=1 they fail.
"""

import os
import shutil
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
Theme = Literal["light", "dark"]
SIZES = {1400: 900, 390: 844}
PATIENCE = 60_000
"""Milliseconds; a shared machine may be slow."""
TABS = ("Image", "Attribution", "Components", "Steering", "Before / after", "Many pictures", "Evidence")
EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"


class Answers:
    """The streams in which answers come, as long as they are open, by page."""

    def __init__(self) -> None:
        self._open: defaultdict[Page, set[Request]] = defaultdict(set)

    def watch(self, page: Page) -> None:
        page.on("request", lambda one: self._open[page].add(one) if "/queue/data" in one.url else None)
        page.on("requestfinished", lambda one: self._open[page].discard(one))
        page.on("requestfailed", lambda one: self._open[page].discard(one))

    def all_here(self, page: Page) -> None:
        """Waits until all have come: none may be drawn still, or be cut off by what comes next."""
        page.wait_for_timeout(500)
        while self._open[page]:
            page.wait_for_timeout(100)


class Open:
    """Opens the page, in as many browser contexts as it is called."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.address = address
        self.answers = Answers()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    def __call__(self, width: int = 1400, theme: Theme = "light") -> Page:
        size: ViewportSize = {"width": width, "height": SIZES[width]}
        context = self._browser.new_context(viewport=size, color_scheme=theme, has_touch=width < 500)
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        self.answers.watch(page)
        page.goto(self.address)
        page.locator("#panel .bar.best").wait_for()
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if path is None:
        words = "Chromium is not installed. Install it, or set CHROMIUM to its path."
        pytest.fail(words) if os.environ.get("REQUIRE_BROWSER") == "1" else pytest.skip(words)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def watched(browser: Browser, address: str) -> Iterator[Open]:
    """Opens the page; at the end, whatever the test did, nothing may have gone wrong or left the machine."""
    opening = Open(browser, address)
    yield opening
    opening.close()
    assert not opening.errors, "\n".join(opening.errors)
    assert [url for url in opening.requests if not url.startswith((address, "data:", "blob:"))] == []


@contextmanager
def sending(page: Page) -> Iterator[None]:
    """At its end, the server has all that was sent meanwhile: requests of a hasty visitor may overtake each other."""
    sent: list[Request] = []

    def note(request: Request) -> None:
        sent.append(request)

    page.on("request", note)
    yield
    page.wait_for_timeout(50)  # what a press leads to is sent a moment later
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
