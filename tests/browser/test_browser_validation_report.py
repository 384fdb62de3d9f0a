"""The report of a validation in a browser: on a phone and in the dark, with names that look like markup."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from chromium import SIZES, Theme
from conftest import EVIL
from playwright.sync_api import Browser
from validation_report import TALLY, report_of

from core.validation.report import write_report


@pytest.mark.parametrize(("width", "theme"), [(390, "light"), (1400, "dark")])
def test_the_report_is_readable_and_asks_nobody_for_anything(
    browser: Browser, tmp_path: Path, width: int, theme: Theme
) -> None:
    long = "a" * 200
    write_report(report_of(TALLY, (*EVIL, long)), tmp_path)
    context = browser.new_context(viewport={"width": width, "height": SIZES[width]}, color_scheme=theme)
    page = context.new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(f"file://{tmp_path / 'report.html'}")
    assert all(url.startswith(("file:", "data:")) for url in asked)
    assert not errors
    assert page.evaluate("document.documentElement.scrollWidth") == width, "nothing sticks out"
    assert page.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in background[4:-1].split(","))
    assert (brightness > 384) == (theme == "light")
    found = Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    context.close()
