"""The canvas and the prediction at the side, in a real browser: what is pointed at shows at once and asks nobody."""

import re
from typing import Any

import pytest
from chromium import Open, press_strongest, step, tab
from playwright.sync_api import Locator, Page, Request, expect

NOTE = 99
"""The component that speaks most for the word in the first example; it has a family."""
CELLS = "#canvas [data-token='{}']"


def line(page: Page) -> Locator:
    return page.locator("#canvas .line")


def row(page: Page, component: int = NOTE) -> Locator:
    return page.locator(f"#rows [data-row='{component}']").first


def painted(page: Page) -> list[int]:
    """The opacity of every patch of the map, 0 to 255."""
    return page.locator("#canvas canvas").evaluate("""(canvas) => [...canvas.getContext('2d')
      .getImageData(0, 0, canvas.width, canvas.height).data].filter((_, k) => k % 4 === 3)""")


def test_what_is_pointed_at_shows_and_asks_nobody(open_page: Open) -> None:
    page = open_page()
    tab(page, "Attribution")
    page.mouse.move(1390, 5)
    open_page.answers.all_here(page)
    requests: list[Request] = []
    page.on("request", lambda request: requests.append(request))  # noqa: PLW0108 - Playwright marks what it is given
    expect(line(page)).to_contain_text("A dog with a note")
    assert not any(painted(page))
    row(page).hover()
    expect(line(page)).to_contain_text(f"#{NOTE} guess: “")
    expect(line(page)).to_contain_text("Activation: full colour at")
    activation = painted(page)
    assert max(activation) > 200
    page.locator("#canvas [data-how=attribution]").focus()
    page.keyboard.press("Space")
    row(page).hover()
    expect(line(page)).to_contain_text(re.compile(r"Attribution: full colour at .+ logits; in all ▲ \+\d\.\d\d, of"))
    assert painted(page) != activation
    others = page.locator("#rows [data-row]")
    shown = set()
    for k in range(others.count()):
        others.nth(k).hover()
        expect(line(page)).to_contain_text(f"#{others.nth(k).get_attribute('data-row')} ")
        shown.add(tuple(painted(page)))
    assert len(shown) > 3
    page.locator(CELLS.format(13)).hover()
    expect(page.locator("#canvas .here")).to_contain_text("Row 2, column 5: ")
    assert requests == [], [one.url for one in requests]


def test_a_map_is_drawn_within_the_event(open_page: Open) -> None:
    """Nothing is waited for: it is there when the event is over."""
    page = open_page()
    tab(page, "Attribution")
    drawn = row(page).evaluate("""(row) => {
      row.dispatchEvent(new PointerEvent('pointerover', { bubbles: true, pointerType: 'mouse' }));
      const canvas = document.querySelector('#canvas canvas');
      return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value);
    }""")
    assert drawn


def test_a_row_carries_the_map_of_what_is_not_among_the_strongest(open_page: Open) -> None:
    page = open_page()
    tab(page, "Attribution")
    row(page).evaluate("""(row) => {
      row.dataset.row = 1000000;
      row.dataset.map = '[[1, 2.5, -0.5], [2, 5, 0.25], [0, 1, 0.5]]';
    }""")
    row(page, 1_000_000).hover()
    expect(line(page)).to_contain_text("#1000000. Activation: full colour at 5; at CLS 1")
    assert [k for k, value in enumerate(painted(page)) if value] == [0, 1]
    page.locator("#canvas [data-how=attribution]").click()
    row(page, 1_000_000).hover()
    expect(line(page)).to_contain_text("full colour at 0.5 logits; in all ▲ +0.25, of it by CLS ▲ +0.50")
    expect(page.locator("#canvas .minus")).to_have_count(1)  # a sign, not colour alone
    row(page, 1_000_000).evaluate("(row) => { row.dataset.map = '[]'; }")
    page.mouse.move(1390, 5)
    row(page, 1_000_000).hover()
    expect(line(page)).to_contain_text("not active in this picture")


def test_maps_by_keyboard(open_page: Open) -> None:
    page = open_page()
    tab(page, "Attribution")
    row(page).locator("[data-action=suppress]").focus()
    expect(line(page)).to_contain_text(f"#{NOTE} guess")
    page.get_by_role("tab", name="Attribution").focus()
    expect(line(page)).to_contain_text("A dog with a note")
    page.get_by_role("radio", name="Activation").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="Attribution")).to_be_focused()
    expect(page.get_by_role("radio", name="Attribution")).to_be_checked()
    page.locator(CELLS.format(1)).focus()
    here = page.locator("#canvas .here")
    for key, place in (("ArrowRight", "Row 1, column 2"), ("ArrowDown", "Row 2, column 2"), ("ArrowLeft", "column 1")):
        page.keyboard.press(key)
        expect(here).to_contain_text(place)
    page.keyboard.press("ArrowLeft")
    expect(here).to_contain_text("Row 1, column 8")  # in reading order
    expect(page.locator(CELLS.format(8))).to_have_attribute("aria-selected", "true")
    listed = page.locator("#canvas .firing button")
    listed.first.focus()
    expect(line(page)).to_contain_text(f"#{listed.first.get_attribute('data-row')}")


def test_what_fires_at_a_patch(open_page: Open) -> None:
    """It is listed, the place is kept by a click, and what is listed shows its map and opens its page."""
    page = open_page()
    here, listed = page.locator("#canvas .here"), page.locator("#canvas .firing button")
    expect(here).to_contain_text("Point at a patch")
    page.locator(CELLS.format(13)).click()
    expect(here).to_contain_text(re.compile(r"Row 2, column 5: \d+ components fire"))
    assert listed.count() > 1
    assert "activation" in listed.first.inner_text()
    assert "logits" in listed.first.inner_text()
    page.locator(CELLS.format(64)).hover()
    expect(here).to_contain_text("Row 8, column 8")
    page.locator("#canvas .line").hover()
    expect(here).to_contain_text("Row 2, column 5")
    listed.nth(1).hover()
    number = listed.nth(1).get_attribute("data-row")
    expect(line(page)).to_contain_text(f"#{number}")
    page.locator("#canvas [data-look-at-cls]").click()
    expect(here).to_contain_text("CLS: ")
    page.locator(CELLS.format(13)).click()
    listed.nth(1).click()
    expect(page.get_by_role("tab", name="Components")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#component h3")).to_contain_text(f"#{number} ")
    page.mouse.move(1390, 5)
    expect(line(page)).to_contain_text(f"#{number}")  # of the open component


def test_the_target_before_and_after_the_edit(open_page: Open) -> None:
    page = open_page()
    after = page.locator("#canvas [data-base=after]")
    expect(after).to_have_attribute("aria-disabled", "true")
    page.locator("#canvas [data-base=before]").click()
    expect(line(page)).to_contain_text(re.compile(r"“cat” against “dog” before any edit: \+\d\.\d\d logits; by"))
    assert max(painted(page)) > 100
    press_strongest(page)
    page.locator("#prediction").hover()
    tab(page, "Before / after")
    expect(line(page)).to_contain_text(re.compile(r"after the edit: −\d\.\d\d logits; by patches .+, by CLS"))
    value = line(page).inner_text()
    page.locator("#canvas [data-base=before]").click()
    expect(line(page)).to_contain_text("before any edit")
    after.click()
    expect(line(page)).to_have_text(value)
    page.locator("#prediction [data-release]").click()
    expect(line(page)).to_contain_text("before any edit")  # there is no edit any more
    step(page, "undo").click()
    after.click()
    expect(line(page)).to_have_text(value)
    tab(page, "Image")
    expect(line(page)).to_contain_text("A dog with a note")


def test_patches_by_mouse_and_keyboard(open_page: Open) -> None:
    page = open_page()
    press_strongest(page)
    expect(page.locator("[data-paint]")).to_be_hidden()
    tab(page, "Steering")
    where = page.locator("#canvas .scope output")
    page.locator("[data-paint]").click()
    expect(where).to_have_text("all tokens")
    for patch in (1, 2):
        page.locator(CELLS.format(patch)).click()
    expect(where).to_have_text("2 of 64 patches")
    page.locator(CELLS.format(2)).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(where).to_have_text("3 of 64 patches")
    open_page.answers.all_here(page)  # of quick gestures the latest counts, and those between are no steps
    page.locator("#canvas [data-cls]").click()
    expect(where).to_have_text("3 of 64 patches and CLS")
    expect(page.locator("#prediction .where")).to_have_text("on 3 of 64 patches and CLS")
    step(page, "undo").click()
    expect(page.locator("#canvas [data-cls]")).to_have_attribute("aria-pressed", "false")
    expect(where).to_have_text("3 of 64 patches")
    page.locator("[data-all]").click()
    expect(where).to_have_text("all tokens")
    expect(page.locator("#prediction .where")).to_be_hidden()


def test_a_stroke_is_one_step(open_page: Open) -> None:
    page = open_page()
    press_strongest(page)
    tab(page, "Steering")
    page.locator("[data-paint]").click()
    boxes = [page.locator(CELLS.format(patch)).bounding_box() for patch in (9, 14)]
    (x0, y0), (x1, y1) = ((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes if box)
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move(x1, y1, steps=30)
    page.mouse.up()
    where = page.locator("#canvas .scope output")
    expect(where).to_have_text("6 of 64 patches")
    expect(page.locator("#prediction .where")).to_have_text("on 6 of 64 patches")
    expect(where).to_have_text("6 of 64 patches")
    step(page, "undo").click()
    expect(where).to_have_text("all tokens")
    step(page, "redo").click()
    expect(where).to_have_text("6 of 64 patches")
    tab(page, "Attribution")
    expect(page.locator("#canvas .scope")).to_be_hidden()
    expect(page.locator("#canvas .grid button.acts")).to_have_count(6)  # still in sight


def test_chips_release_and_buttons_follow_the_edit(open_page: Open) -> None:
    page = open_page()
    tab(page, "Attribution")
    suppress, amplify, family = (
        row(page).locator(f"[data-action={action}]") for action in ("suppress", "amplify", "family")
    )
    chips = page.locator("#prediction .pulled li")
    family.click()
    expect(chips).to_have_text(re.compile(rf"#{NOTE} and its family \(\d+\) suppressed"))
    for button, pressed in ((suppress, "true"), (amplify, "false"), (family, "true")):
        expect(button).to_have_attribute("aria-pressed", pressed)
    amplify.click()
    expect(chips).to_have_count(2)
    expect(amplify).to_have_text("Amplified ✓")
    expect(suppress).to_have_text("Suppress")
    chips.first.hover()
    expect(line(page)).to_contain_text("#")
    page.get_by_role("button", name=f"Release #{NOTE}", exact=True).focus()
    page.keyboard.press("Enter")
    expect(chips).to_have_count(1)
    expect(amplify).to_have_text("Amplify")
    page.locator("#prediction [data-release]").first.focus()
    page.keyboard.press("Enter")
    expect(chips).to_have_count(0)
    expect(step(page, "undo")).to_be_focused()
    expect(page.locator("[data-action][aria-pressed=true]")).to_have_count(0)
    step(page, "undo").click()
    expect(chips).to_have_count(1)


def test_a_lever_sends_no_rows_and_no_picture(open_page: Open) -> None:
    page = open_page()
    tab(page, "Attribution")
    row(page).evaluate("(row) => { row.dataset.here = 'still'; }")
    page.locator("#canvas .canvas").evaluate("(canvas) => { canvas.dataset.here = 'still'; }")
    press_strongest(page)
    expect(page.locator("#prediction .flip")).to_contain_text("Flipped")
    for kept in (row(page), page.locator("#canvas .canvas")):
        expect(kept).to_have_attribute("data-here", "still")


def test_the_canvas_of_a_desktop(open_page: Open) -> None:
    """It is large, with all of the answer in sight under it, and stays in sight while the page scrolls."""
    page = open_page()
    frame = page.locator("#canvas .frame")
    expect(page.locator("#prediction")).to_be_in_viewport(ratio=1)
    box = frame.bounding_box()
    assert box
    assert min(box["width"], box["height"]) >= 360
    tab(page, "Attribution")
    page.mouse.wheel(0, 1500)
    expect(frame).to_be_in_viewport(ratio=0.8)
    page.set_viewport_size({"width": 1100, "height": 800})
    box = frame.bounding_box()
    assert box
    assert min(box["width"], box["height"]) >= 360


@pytest.mark.parametrize("how", ["tap", "keys"])
def test_the_canvas_of_a_phone(open_page: Open, how: str) -> None:
    """Small and in sight beside the top class; large on a tap, and back."""
    page = open_page(390)
    tab(page, "Attribution")
    frame, best = page.locator("#canvas .frame"), page.locator("#prediction .bar.best")
    page.evaluate("scrollTo(0, 1200)")
    for part in (frame, best):
        expect(part).to_be_in_viewport(ratio=1)
    expect(best).to_contain_text("%")
    small = frame.bounding_box()
    strip = page.locator("#side").bounding_box()
    assert small
    assert strip
    assert 80 <= small["width"] <= 110
    assert strip["height"] <= 150
    listed = page.locator("#canvas .firing")
    expect(listed).to_be_hidden()

    def press(button: Locator) -> Any:
        if how == "tap":
            return button.tap()
        button.focus()
        return page.keyboard.press("Enter")

    row(page).locator(".who").tap()
    assert max(painted(page)) > 200
    press(page.get_by_role("button", name="Show the picture large"))
    large = frame.bounding_box()
    assert large
    assert large["width"] > 300
    expect(line(page)).to_contain_text(f"#{NOTE} guess")
    page.locator(CELLS.format(13)).tap()
    expect(page.locator("#canvas .here")).to_contain_text("Row 2, column 5: ")
    expect(listed).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    if how == "keys":
        page.keyboard.press("Escape")
    else:
        page.get_by_role("button", name="Close").tap()
    expect(page.get_by_role("button", name="Show the picture large")).to_be_focused()
    expect(listed).to_be_hidden()
    expect(frame).to_have_css("width", f"{small['width']:g}px")
    press(page.get_by_role("button", name="Show the picture large"))
    page.locator("#canvas .firing button").first.tap()
    expect(page.locator("#component .component")).to_be_visible()
    expect(listed).to_be_hidden()


def test_bars_move(open_page: Open) -> None:
    """They are the same elements before and after, so that the width can move; not for those who asked for less."""
    page = open_page()
    bar = page.locator("#prediction .track i.now").first
    bar.evaluate("(bar) => { window.bar = bar; }")
    assert "width" in bar.evaluate("(bar) => getComputedStyle(bar).transitionProperty")
    press_strongest(page)
    expect(page.locator("#prediction .flip")).to_contain_text("Flipped")
    assert bar.evaluate("(bar) => bar === window.bar")
    page.emulate_media(reduced_motion="reduce")
    assert bar.evaluate("(bar) => getComputedStyle(bar).transitionProperty") == "none"
