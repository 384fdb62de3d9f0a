"""Chromium for the tests of this folder: started once, since that takes longer than many of them."""

from collections.abc import Iterator

import pytest
from chromium import Open, Windows, chromium, watched
from playwright.sync_api import Browser


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, until the last test of this folder: Playwright's event loop is in the way of others."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def windows(browser: Browser, address: str) -> Iterator[Windows]:
    """Where the served page is opened."""
    windows = Windows(browser, address)
    yield windows
    windows.close()


@pytest.fixture
def open_page(windows: Windows) -> Iterator[Open]:
    """Opens the served page, and looks to it that nothing goes wrong there."""
    with watched(windows) as open_page:
        yield open_page
