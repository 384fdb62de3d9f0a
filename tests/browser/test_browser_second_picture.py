"""Why are these two alike? A second picture is chosen, asked about, and there again after a reload."""

from chromium import EXAMPLES, Open, tab
from playwright.sync_api import expect


def test_two_pictures_with_a_note_are_alike_by_the_note(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="Compare with another picture").click()
    expect(page.locator("#likes .example")).to_have_count(page.locator("#gallery .example").count())
    page.locator("#likes [data-like=car-note-car]").click()
    expect(page.locator("#second")).to_contain_text("cosine 0.530")
    expect(page.locator("#likes [aria-pressed=true]")).to_have_attribute("data-like", "car-note-car")
    tab(page, "Attribution")
    expect(page.locator("#wanted input")).to_have_value("similarity")
    expect(page.locator("#rows h3").first).to_contain_text("Makes them alike")
    note = page.locator("#rows .half.for li.row").first
    expect(note.locator(".figures")).to_contain_text("measured +12.11")
    note.locator("[data-action=suppress]").click()
    similarity = page.locator("#prediction .similarity")
    expect(similarity).to_contain_text("52.97 → 40.85 (−12.11)")
    assert "like=car-note-car" in page.url
    assert "target=" not in page.url

    tab(page, "Image")
    page.locator("#second-upload input[type=file]").set_input_files(EXAMPLES / "owl-note-nonsense.webp")
    expect(page.locator("#second img[data-own]")).to_be_visible()
    page.locator("[data-copy=link]").click()
    expect(page.locator(".links p")).to_contain_text("Your second picture is in no link")
    said = similarity.inner_text()
    assert "→" in said
    open_page.answers.all_here(page)
    page.reload()
    expect(page.locator("#second img[data-own]")).to_be_visible()
    expect(similarity).to_have_text(said)
    page.locator("#second [data-take-away]").click()
    expect(page.locator("#second .second")).to_have_count(0)
    expect(similarity).to_have_count(0)
