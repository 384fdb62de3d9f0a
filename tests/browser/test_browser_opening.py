"""The story of a page whose own setup is loading: progress, an answer meanwhile, the offer, and a link that waits."""

import threading

from chromium import PATIENCE
from playwright.sync_api import Browser, Page, expect


def test_the_page_is_there_while_its_setup_loads(browser: Browser, held_back: tuple[str, threading.Event]) -> None:
    address, let_go = held_back
    context = browser.new_context(viewport={"width": 390, "height": 844})

    def opened(query: str = "") -> Page:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(address + query)
        page.locator("#panel .bar.best").wait_for()
        return page

    first, linked = opened(), opened("/?setup=tiny&example=dog-note-cat&suppress=3")
    expect(first.locator("#opening")).to_contain_text("is loading. Checking it on 18 photographs … 3 of 18.")
    expect(first.locator("#opening progress")).to_be_visible()
    expect(linked.locator("#said-kept")).to_contain_text("What you opened comes with it.")
    first.get_by_role("tab", name="Attribution").click()
    first.locator(".half.for .act[data-action=suppress]").first.click()
    expect(first.locator("#panel .flip")).to_contain_text("Flipped")
    let_go.set()
    expect(linked.locator("#chosen input")).to_have_value("Tiny <tiny> · unverified")
    expect(linked.locator("#said-kept .notice")).to_have_count(0)
    expect(linked.locator("#opening .notice")).to_have_count(0)
    expect(first.locator("#opening")).to_contain_text("is loaded and checked")
    expect(first.locator("#chosen input")).to_have_value("Bundled demo")
    expect(first.locator("#panel .flip")).to_contain_text("Flipped")
    first.get_by_role("button", name="Ask it the same").click()
    expect(first.locator("#chosen input")).to_have_value("Tiny <tiny> · unverified")
    expect(first.locator("#opening .notice")).to_have_count(0)
    expect(opened().locator("#chosen input")).to_have_value("Tiny <tiny> · unverified")
    context.close()
