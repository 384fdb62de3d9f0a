"""Rows of components and what a target is made of, in a real browser: how large, how pressed, how searched for."""

import json
import re

import pytest
from chromium import SIZES, Open, pick, tab
from playwright.sync_api import Page, Request, expect

ROW = 84
"""The most pixels that a row is high on a desktop."""
TWELVE = {1400: 900, 390: 1600}
"""The most pixels of all rows of the target."""
TYPE = """(box, words) => {
  for (const letter of words) {
    box.value += letter;
    box.dispatchEvent(new Event('input', { bubbles: true }));
  }
}"""
"""Typing without a pause, however slow the machine is."""


def heights(page: Page, rows: str) -> list[float]:
    return page.locator(rows).evaluate_all("(rows) => rows.map((row) => row.getBoundingClientRect().height)")


def searches(page: Page) -> list[str]:
    """The words of the searches that the page asks for from now on."""
    asked: list[str] = []

    def hear(request: Request) -> None:
        told = json.loads(request.post_data or "{}").get("event_data") if "/queue/join" in request.url else None
        if told and "words" in told:
            asked.append(told["words"])

    page.on("request", hear)
    return asked


@pytest.mark.parametrize("width", SIZES)
def test_the_strongest_components_are_seen_at_once(open_page: Open, width: int) -> None:
    page = open_page(width)
    tab(page, "Attribution")
    expect(page.locator("#rows .axis .tick")).to_have_count(12)
    found = heights(page, "#rows .row")
    assert len(found) == 12
    top, bottom = (
        page.locator("#rows .row").nth(k).evaluate(f"(row) => row.getBoundingClientRect().{side}")
        for k, side in ((0, "top"), (-1, "bottom"))
    )
    assert bottom - top <= TWELVE[width]
    if width == 1400:
        assert max(found) <= ROW
    for action in ("suppress", "amplify"):  # what a press writes on a button makes no row higher
        page.locator(f"#rows .row:has([data-action=family]) [data-action={action}]").first.click()
        expect(page.locator(f"#rows [data-action={action}][aria-pressed=true]")).to_have_count(1)
    assert heights(page, "#rows .row") == found
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("where", ["Components", "Steering"])
def test_rows_are_as_low_everywhere(open_page: Open, where: str) -> None:
    page = open_page()
    tab(page, where)
    if where == "Components":
        page.locator("[data-ask]").first.click()
        expect(page.locator("#found .row")).to_have_count(12)
        page.locator("#found .opens").first.click()
        expect(page.locator("#component .component")).to_be_visible()
    else:
        page.locator("[data-find]").click()
        expect(page.locator("#finder .row").first).to_be_visible()
        page.locator("[data-use]").first.click()
        expect(page.locator("#levers .lever")).to_have_count(1)
        expect(page.locator("#levers .shot")).to_have_count(4)
        assert max(heights(page, "#levers .lever")) <= ROW
    rows = {"Components": "#found .row", "Steering": "#finder .row:not(:has(.several))"}[where]
    assert max(heights(page, rows)) <= ROW


@pytest.mark.parametrize("width", SIZES)
def test_a_bar_leads_to_its_row(open_page: Open, width: int) -> None:
    page = open_page(width)
    tab(page, "Attribution")
    bars = page.locator("#waterfall a")
    expect(bars).to_have_count(12)
    expect(page.locator("#waterfall .tick")).to_have_count(12)
    for k in (0, 11):
        number = bars.nth(k).get_attribute("data-row")
        bars.nth(k).focus()
        page.keyboard.press("Enter")
        row = page.locator(f"#component-{number}")
        expect(row).to_be_focused()
        expect(row).to_be_in_viewport(ratio=1)
        page.keyboard.press("Tab")
        assert row.evaluate("(row) => row.contains(document.activeElement)"), "its buttons come next"


def test_the_bars_are_of_the_target(open_page: Open) -> None:
    page = open_page()
    tab(page, "Attribution")
    said = page.locator("#waterfall figcaption")
    before = said.inner_text()
    pick(page, "#wanted", "car")
    expect(said).not_to_have_text(before)
    value = re.findall(r"[+−]\d+\.\d\d logits", page.locator("#target").inner_text())[0]
    expect(said).to_contain_text(f"= {value}")


def test_search_while_typing(open_page: Open) -> None:
    """After a pause one search for what stands there then; Enter does not wait."""
    page = open_page()
    tab(page, "Components")
    asked = searches(page)
    box = page.locator("#words-for textarea")
    box.evaluate(TYPE, "the word cat")
    expect(page.locator("#found .told")).to_contain_text("match with “the word cat”")
    assert asked == ["the word cat"], "not one for every letter"
    box.fill("water")
    box.press("Enter")
    expect(page.locator("#found .told")).to_contain_text("match with “water”")
    expect(box).to_have_value("water")
    example = page.locator("[data-ask]").last
    words = example.inner_text()
    example.click()
    expect(page.locator("#found .told")).to_contain_text(f"match with “{words}”")
    expect(box).to_have_value(words)


def test_results_and_the_open_component_side_by_side(open_page: Open) -> None:
    page = open_page()
    tab(page, "Components")
    page.locator("[data-ask]").first.click()
    expect(page.locator("#found .row")).to_have_count(12)
    page.locator("#found .row").last.scroll_into_view_if_needed()
    page.locator("#found .opens").last.click()
    component = page.locator("#component .component")
    expect(component).to_be_focused()
    found, opened = page.locator("#found").bounding_box(), component.bounding_box()
    assert found is not None
    assert opened is not None
    assert opened["x"] >= found["x"] + found["width"]
    assert -1 <= opened["y"] < 300, "it begins in sight, to a pixel, wherever the list was"
    expect(page.locator("#found .row").last).to_be_in_viewport()


def test_the_open_component_in_place_of_the_results_on_a_phone(open_page: Open) -> None:
    page = open_page(390)
    tab(page, "Components")
    page.locator("[data-ask]").first.click()
    last = page.locator("#found .opens").last
    last.click()
    expect(page.locator("#component .component")).to_be_focused()
    expect(page.locator("#found")).to_be_hidden()
    page.locator("#component [data-back]").first.click()
    expect(page.locator("#component .component")).to_be_hidden()
    expect(last).to_be_focused()
    expect(last).to_be_in_viewport()
    last.click()  # the one that was open already
    expect(page.locator("#component .component")).to_be_visible()


def test_a_lever_leads_to_its_component(open_page: Open) -> None:
    page = open_page()
    tab(page, "Steering")
    page.locator("[data-find]").click()
    page.locator("[data-use]").first.click()
    opens = page.locator("#levers .opens")
    number = opens.inner_text()
    opens.click()
    expect(page.locator("#component h3")).to_contain_text(f"{number} ")
    page.locator("#component [data-back]").first.click()
    expect(opens).to_be_focused()
