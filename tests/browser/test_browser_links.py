"""Links in a browser: one opens the whole view, the address follows what is done, back leads back; a page embeds it."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from chromium import EXAMPLES, Open, press_strongest, tab
from playwright.sync_api import Page, expect

LINK = "?setup=bundled&example=horse-stamp&classes=horse,frog,red+owl&suppress=99&scale=3:2&tab=attribution"


def said(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query, keep_blank_values=True)


def until(page: Page, holds: Callable[[], bool]) -> None:
    """The address is written a moment after the page."""
    for _ in range(300):
        if holds():
            return
        page.wait_for_timeout(50)
    raise AssertionError(page.url)


def test_a_link_opens_the_view_and_the_address_follows_it(open_page: Open) -> None:
    page = open_page(query=f"{LINK}&supress=7")
    expect(page.locator("#prediction .pulled li span")).to_have_text(["#99 suppressed", "#3 × 2"])
    expect(page.locator("#panel .bar .name").first).to_have_text("horse")
    expect(page.get_by_role("tab", name="Attribution")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#said-kept")).to_contain_text("“supress=7” in this link is nothing that a link can say.")
    opened = page.url
    press_strongest(page)
    until(page, lambda: len(said(page)["suppress"]) == 2)
    open_page.answers.all_here(page)  # and a second has gone by: what comes next is an entry of its own
    page.wait_for_timeout(1000)
    tab(page, "Image")
    until(page, lambda: "tab" not in said(page))
    page.go_back()
    expect(page.get_by_role("tab", name="Attribution")).to_have_attribute("aria-selected", "true")
    page.go_back()
    expect(page.locator("#prediction .pulled li")).to_have_count(2)
    assert page.url == opened
    page.go_forward()
    expect(page.locator("#prediction .pulled li")).to_have_count(3)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("[data-copy=link]").click()
    expect(page.locator(".links p")).to_contain_text("Copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.url

    fresh = open_page(query=f"?{urlsplit(copied).query}")
    expect(fresh.locator("#prediction .pulled li span")).to_have_text(
        page.locator("#prediction .pulled li span").all_inner_texts()
    )
    assert fresh.locator("#panel .bar").all_inner_texts() == page.locator("#panel .bar").all_inner_texts()
    assert fresh.locator("#said-kept").inner_text() == ""


def test_a_picture_of_one_s_own_stays_at_a_reload_and_leaves_for_a_link(open_page: Open) -> None:
    page = open_page()
    assert urlsplit(page.url).query == "", "nothing was done yet"
    page.locator("#upload input[type=file]").set_input_files(EXAMPLES / "horse-stamp-twin.webp")
    expect(page.locator("#panel .line")).to_contain_text("Your picture")
    until(page, lambda: "picture" in said(page))
    own, seen = page.url, page.locator("#panel .frame img").get_attribute("src")
    page.locator("[data-copy=link]").click()
    expect(page.locator(".links p")).to_contain_text("Your picture is in no link")
    open_page.answers.all_here(page)
    page.reload()
    expect(page.locator("#panel .line")).to_contain_text("Your picture")
    assert page.locator("#panel .frame img").get_attribute("src") == seen
    assert page.url == own
    open_page.answers.all_here(page)
    page.locator("#gallery .example").nth(2).click()
    expect(page.locator("#panel .line")).not_to_contain_text("Your picture")
    page.go_back()
    expect(page.locator("#panel .line")).to_contain_text("Your picture")
    assert page.locator("#panel .frame img").get_attribute("src") == seen
    open_page.answers.all_here(page)
    page.goto(f"{open_page.address}/?example=owl-note-nonsense")
    expect(page.locator("#panel .bar .name").first).to_have_text("owl")
    fresh = open_page(query=f"?{urlsplit(own).query}")
    expect(fresh.locator("#said-kept")).to_contain_text("no link can carry")


def test_a_result_stands_in_another_page(open_page: Open) -> None:
    page = open_page(query=f"{LINK}&embed=1")
    expect(page.locator("#prediction .pulled li span")).to_have_text(["#99 suppressed", "#3 × 2"])
    expect(page.locator("#panel .line")).to_contain_text("after the edit")
    for hidden in ("#top", "#tabs", "#foot", "#canvas .controls", "#prediction [data-step=undo]", "[data-copy=link]"):
        expect(page.locator(hidden)).to_be_hidden()
    full = page.get_by_role("link", name="Open in CLIP Levers")
    expect(full).to_have_attribute(
        "href", f"{open_page.address}/{LINK}".replace("&suppress", "&truth=horse&target=horse,frog&suppress")
    )
    assert page.url.endswith("&embed=1"), "no address to follow"
    page.set_viewport_size({"width": 820, "height": 700})  # as wide as Embed's own code has it
    full.click(trial=True)  # nothing lies over it
