"""A term of art explains itself: pointed at, focused, tapped; and the explanation goes when it is not wanted."""

from chromium import Open, tab
from playwright.sync_api import expect

from .test_accessibility import serious

FIRST_ORDER = "Predicted: activation × gradient"


def test_a_term_is_explained_where_it_is_pointed_at_or_focused(open_page: Open) -> None:
    page = open_page()
    tab(page, "Attribution")
    box, term = page.locator(".meaning"), page.locator("#rows .term", has_text="predicted")
    open_page.answers.all_here(page)
    open_page.requests.clear()
    term.hover()
    expect(box).to_contain_text(FIRST_ORDER)
    box.hover()
    expect(box).to_be_visible()
    page.locator("h1").hover()
    expect(box).to_be_hidden()
    page.locator("#rows .term").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(term).to_be_focused()
    expect(term).to_have_accessible_description(page.locator("#term-attribution").text_content() or "")
    expect(box).to_be_visible()
    expect(box).to_contain_text(FIRST_ORDER)
    assert not serious(page)
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    assert [url for url in open_page.requests if "/gradio_api/" in url and "heartbeat" not in url] == []


def test_a_term_is_explained_by_a_tap(open_page: Open) -> None:
    page = open_page(390)
    tab(page, "Attribution")
    box, term = page.locator(".meaning"), page.locator("#waterfall .term", has_text="not linear")
    term.tap()
    expect(box).to_contain_text("what comes after the dictionary")
    place = box.bounding_box()
    assert place is not None
    assert place["x"] >= 0
    assert place["x"] + place["width"] <= 390
    page.locator("h1").tap()
    expect(box).to_be_hidden()
    term.tap()
    expect(box).to_be_visible()
    term.tap()
    expect(box).to_be_hidden()
    page.locator("#glossary summary").tap()
    expect(page.locator("#term-not-linear")).to_be_visible()
