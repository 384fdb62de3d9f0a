"""The story of a report: made on one page, read without a server, dropped on another page, which shows the same."""

from pathlib import Path

from chromium import EXAMPLES, Open, press_strongest, tab
from playwright.sync_api import Browser, Page, expect


def numbers(page: Page) -> list[str]:
    """What the page says of every class."""
    return page.locator("#prediction .bar").all_inner_texts()


def test_a_report_is_read_without_a_server_and_brings_its_inquiry_back(
    open_page: Open, browser: Browser, tmp_path: Path
) -> None:
    page = open_page()
    page.locator("#upload input[type=file]").set_input_files(EXAMPLES / "photo-cat.webp")
    expect(page.locator("#panel")).to_contain_text("Your picture")
    press_strongest(page)
    tab(page, "Take along")
    expect(page.locator("#print-figure img")).to_be_visible()
    page.locator("#make-report").click()
    link = page.locator("#report-files a").first
    with page.expect_download() as download:
        link.click()
    report = tmp_path / download.value.suggested_filename
    download.value.save_as(report)

    context = browser.new_context(offline=True, viewport={"width": 390, "height": 844})
    reader = context.new_page()
    errors: list[str] = []
    asked: list[str] = []
    reader.on("console", lambda message: errors.append(message.text))
    reader.on("pageerror", lambda error: errors.append(str(error)))
    reader.on("request", lambda request: asked.append(request.url))
    reader.goto(f"file://{report}")
    expect(reader.locator("h1")).to_contain_text("CLIP says")
    assert reader.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    assert reader.evaluate("document.documentElement.scrollWidth") == 390
    assert not errors
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
    context.close()

    fresh = open_page()
    assert numbers(fresh) != numbers(page)
    tab(fresh, "Take along")
    fresh.locator("#bring-report input[type=file]").set_input_files(report)
    expect(fresh.locator("#said-take-along")).to_contain_text("is back")
    expect(fresh.locator("#said-kept .notice")).to_have_count(0)
    expect(fresh.locator("#panel")).to_contain_text("Your picture")
    assert numbers(fresh) == numbers(page)
    assert fresh.locator("#classes textarea").input_value() == page.locator("#classes textarea").input_value()
    page.locator("#prediction [data-step=reset]").click()
    expect(page.locator("#draw-again")).to_be_visible()
    expect(page.locator("#download-figure")).to_be_hidden()
