"""The log of edits in a real browser: expected, tried, checked, judged, kept over a reload, and restored."""

import json
from pathlib import Path
from typing import Any

import httpx
from chromium import Open, press_strongest, step, tab
from playwright.sync_api import Page, expect

from core.page.wire import ShowLog, ShowTwo
from core.session.log import Log


def saved(page: Page, name: str) -> str:
    with page.expect_download() as download:
        page.get_by_role("button", name=f"Save as {name}").click()
    return Path(download.value.path()).read_text(encoding="utf-8")


def test_an_edit_is_expected_tried_checked_judged_and_restored(open_page: Open, address: str) -> None:
    page = open_page()
    tab(page, "Attribution")
    field = page.locator("#expect-attribution [data-expected]")
    field.fill("it will say dog")
    press_strongest(page)
    expect(field).to_have_value("")
    tab(page, "Evidence")
    expect(page.locator("#ripple [data-found]")).to_be_visible()

    tab(page, "Attribution")
    page.locator("#expect-attribution [data-ask]").check()
    page.locator(".half.against .act[data-action=suppress]").first.click()
    expect(page.locator(".asking")).to_be_visible()
    expect(page.locator("#prediction .flip")).to_be_hidden()
    page.locator(".asking input").fill("<b>nothing</b>")
    page.locator(".asking input").press("Enter")
    expect(page.locator("#prediction .flip")).to_be_visible()
    step(page, "undo").click()

    tab(page, "Log")
    lines = page.locator(".line-tried")
    expect(lines).to_have_count(2)  # the edit that was come back to is the first line
    expect(lines.first).to_contain_text("“<b>nothing</b>”")
    expect(lines.last).to_contain_text("“it will say dog”")
    expect(lines.last).to_contain_text("beyond chance")
    expect(lines.last.locator("[data-check]")).to_have_count(0)
    lines.last.locator("[data-verdict=held]").click()
    expect(lines.last.locator("[data-verdict=held]")).to_have_attribute("aria-pressed", "true")

    open_page.answers.all_here(page)
    page.reload()
    page.locator("#panel .bar.best").wait_for()
    expect(lines.last.locator("[data-verdict=held]")).to_have_attribute("aria-pressed", "true")
    text = lines.first.locator(".edit b").inner_text()
    lines.first.locator("[data-restore]").click()
    expect(page.locator("#prediction .pulled [data-row]")).to_have_count(2)
    expect(page.locator(".asking")).to_be_hidden()
    tab(page, "Log")
    for k in (0, 1):
        lines.nth(k).locator("[data-chosen]").check()
    page.locator("[data-pair]").click()
    expect(page.locator(".two-picture")).to_have_count(2)
    expect(page.locator(".two-pictures")).to_contain_text(text)
    page.locator("[data-both]").first.click()
    expect(page.locator(".two-picture.mapped")).to_have_count(2)
    page.locator(".two-picture").first.press("ArrowRight")
    expect(page.locator(".two-picture .patch:visible")).to_have_count(2)
    expect(page.locator("[data-there]")).to_contain_text("Row 1, column 1. What counts most there, A: ")
    tab(page, "Log")

    kept: dict[str, Any] = json.loads(saved(page, "JSON"))
    found = Log.read(kept["lines"])
    assert [line.expectation for line in found.lines] == ["it will say dog", "<b>nothing</b>"]
    assert found.lines[0].verdict == "held"
    assert f"- Edit: {text.replace('#', chr(92) + '#').replace(',', chr(92) + ',')}" in saved(page, "Markdown")

    page.locator("[data-clear=ask]").click()
    lines.first.locator("[data-verdict=refuted]").click()  # all is drawn anew, and the question stays
    expect(lines.first.locator("[data-verdict=refuted]")).to_have_attribute("aria-pressed", "true")
    page.locator("[data-clear=do]").click(timeout=5000)
    expect(lines).to_have_count(0)
    page.locator("[data-load]").set_input_files({"name": "a.json", "mimeType": "", "buffer": json.dumps(kept).encode()})
    expect(lines).to_have_count(2)


def test_other_strengths_of_a_lever_are_one_line_until_something_is_said_of_it(open_page: Open) -> None:
    page = open_page()
    lines = page.locator(".line-tried")

    def set_to(strength: str) -> None:
        tab(page, "Steering")
        page.locator("#levers .exact").fill(strength)
        page.locator("#levers .exact").press("Enter")
        expect(page.locator("#prediction .pulled li")).to_contain_text(f"× {strength}")
        tab(page, "Log")
        expect(lines.first).to_contain_text(f"× {strength}")

    press_strongest(page)
    tab(page, "Steering")
    page.locator("#levers").get_by_role("radio", name="Scale").click()
    for strength in ("3", "0.5"):
        set_to(strength)
    expect(lines).to_have_count(1)
    lines.first.locator("[data-verdict=unclear]").click()
    expect(lines.first.locator("[aria-pressed=true]")).to_have_text("Unclear")
    set_to("4")
    expect(lines).to_have_count(2)

    tab(page, "Steering")
    page.locator("#expect-steering [data-ask]").check()
    typed, flip = page.locator("#levers .exact"), page.locator("#prediction .flip")
    typed.fill("5")
    typed.press("Enter")
    page.locator("[data-skip]").click()
    expect(flip).to_be_visible()
    page.locator(
        "#canvas [data-twin]"
    ).click()  # the same edit elsewhere: it is not asked again, and nothing stays hidden
    expect(page.locator("#canvas [data-twin]")).to_have_attribute("aria-pressed", "true")
    expect(flip).to_be_visible()

    tab(page, "Log")  # the edit that was skipped is a line now
    tab(page, "Steering")
    typed.fill("6")
    typed.press("Enter")
    page.locator(".asking input").fill("half said")
    open_page.answers.all_here(page)
    page.reload()
    page.locator("#panel .bar.best").wait_for()
    tab(page, "Log")
    expect(lines.first).to_contain_text("“half said”")


def test_what_the_page_sends_of_its_log_is_read(open_page: Open, address: str) -> None:
    """Forged lines among them: the page sends what its browser keeps, and says what cannot be read."""
    page = open_page()
    listeners = httpx.get(f"{address}/config").json()["dependencies"]
    asking = [one["id"] for one in listeners if {event for _, event in one["targets"]} & {"show", "pair"}]
    sent: list[Any] = []

    def hear(body: Any) -> None:
        if body["fn_index"] in asking:
            sent.append(body["data"][-1])

    page.on("request", lambda one: hear(json.loads(one.post_data or "")) if "queue/join" in one.url else None)
    endless = {"state": {"picture": {}, "edit": {"levers": {"length": 3}}}}  # a script would go through any number
    forged: list[Any] = [3, None, {"state": {"picture": {}}}, {"id": "x"}, endless]
    place = "`clip-levers log ${location.pathname}`"
    page.evaluate(f"(lines) => localStorage.setItem({place}, JSON.stringify({{lines, pictures: 3, ask: 'x'}}))", forged)
    press_strongest(page)
    tab(page, "Log")
    expect(page.locator(".line-tried")).to_have_count(1)
    expect(page.locator("#log .notice.warn")).to_contain_text("1 line cannot be read here, and is left out")
    assert len(ShowLog.read(sent[-1]).lines) == 2
    tab(page, "Before / after")
    page.locator("[data-beside]").select_option("cue:")
    expect(page.locator(".two-pictures")).to_contain_text("Here without the note.")
    assert ShowTwo.read(sent[-1]).kind == "cue"
