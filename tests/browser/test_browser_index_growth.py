"""Reference pictures that come while a page is looked at, in a real browser: nothing that is open there is lost."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chromium import Windows, tab, watched
from held_pictures import HeldPictures, held_pictures
from playwright.sync_api import Browser, expect

from core.page.context import Context
from core.page.launch import launch_options, make_page
from core.serving.settings import Settings
from core.setups.catalog import SetupSpec
from core.setups.loading import Setup


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HeldPictures]:
    with held_pictures(monkeypatch, tmp_path, 6, 30) as held:
        yield held


@pytest.fixture
def growing_address(
    context: Context, cards: Mapping[str, SetupSpec], held: HeldPictures, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A page whose tiny setup gets an index from pictures that are held."""

    def loader(card: SetupSpec, **_: Any) -> Setup:
        return context.pool.get(card.name).setup

    monkeypatch.setattr("core.serving.settings.load", loader)
    settings: Any = replace(Settings.from_environment({}), index_from=held)  # type: ignore[arg-type]
    page = make_page(settings, cards)
    _, url, _ = page.launch(**launch_options(), prevent_thread_lock=True, quiet=True)
    yield url.rstrip("/")
    page.close()


def test_faces_come_into_the_rows_and_what_is_open_stays(
    browser: Browser, growing_address: str, held: HeldPictures
) -> None:
    windows = Windows(browser, growing_address)
    with watched(windows) as open_page:
        page = open_page(query="?setup=tiny")
        expect(page.locator("#growth")).to_contain_text("4 of 37.")
        tab(page, "Attribution")
        row = page.locator("#rows .row").first
        row.locator("summary").press("Enter")
        pressed = row.locator("[data-action=suppress]")
        pressed.press("Enter")
        expect(pressed).to_have_text("Suppressed ✓")
        expect(page.locator("#rows .strip")).to_have_count(0)

        held.go[6].set()
        expect(row.locator(".strip .shot").first).to_be_visible()
        expect(page.locator("#growth")).to_contain_text("Shown: from")
        expect(row.locator(".detail")).to_be_visible()
        expect(row.locator(".detail")).to_contain_text("fires in")
        expect(pressed).to_have_text("Suppressed ✓")
        expect(pressed).to_be_focused()
    windows.close()
