"""The Many pictures tab in a real browser: one visitor's way from a failure to a lever, and a set of their own."""

import re
import zipfile
from pathlib import Path

from chromium import EXAMPLES, Open, pick, press_strongest, tab
from playwright.sync_api import Page, expect


def zipped(folder: Path) -> Path:
    """Pictures in folders, a table of what they show and of their cameras, and one file that is no picture."""
    rows = ["file_name,label,camera"]
    with zipfile.ZipFile(folder / "zoo.zip", "w") as archive:
        for label, name in (("dog", "dog-note-cat"), ("dog", "dog-note-cat-twin"), ("cow", "cow-water")):
            archive.write(EXAMPLES / f"{name}.webp", f"{label}/{name}.webp")
            rows.append(f"{label}/{name}.webp,{label},{'old' if 'twin' in name else 'new'}")
        archive.writestr("labels.csv", "\n".join(rows))
        archive.writestr("dog/broken.png", b"no picture")
    return folder / "zoo.zip"


def fixed_and_broken(page: Page) -> tuple[int, int]:
    found = re.search(r"Fixes (\d+) of .* breaks (\d+) of", page.locator("#tried .told").inner_text())
    assert found is not None
    return int(found[1]), int(found[2])


def test_from_failures_to_a_lever_that_holds_and_leaves(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    tab(page, "Many pictures")
    expect(page.locator("#tried .told")).to_contain_text("No lever yet")
    expect(page.locator(".strips li")).to_have_count(16)
    page.locator(".confusion").first.click()
    families = page.locator("#failures .rows").first
    expect(families.locator(".row").first).to_be_visible()
    expect(page.locator("#failures h3")).to_contain_text("judged on")
    note = families.locator(".row", has_text="fixes 26, breaks 0")
    note.locator("[data-action=family]").click()
    expect(note.locator("[data-action=family]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#tried .told")).to_contain_text("Fixes")
    fixed, broken = fixed_and_broken(page)
    assert fixed >= 26, "on both halves, no fewer than on one"
    assert fixed > broken
    said = page.locator("#tried .told").inner_text()
    page.locator(".turned.fixed .pictured").first.click()
    expect(page.locator("#panel .line")).to_contain_text("one of 300 pictures")
    expect(page.locator("#prediction .flip")).to_contain_text("Flipped")
    assert page.locator("#tried .told").inner_text() == said, "the edit is the same"
    page.locator("#failures .opens").first.click()
    page.locator("#component [data-back]").first.click()
    expect(page.locator("#failures .opens").first).to_be_focused()
    page.locator("#recipe-box > button").click()
    page.locator("#recipe-title :is(input, textarea)").fill("Notes are ignored")
    page.locator("#save-recipe").click()
    expect(page.locator("#said-recipe")).to_contain_text("“Notes are ignored” is ready.")
    expect(page.locator("#said-recipe")).to_contain_text(f"repairs {fixed} of 168 wrong")
    with page.expect_download() as download:
        page.locator("#recipe-file a").first.click()
    download.value.save_as(tmp_path / "recipe.zip")
    page.locator("#prediction [data-step=reset]").click()
    expect(page.locator("#tried .told")).to_contain_text("No lever yet")
    expect(page.locator("#recipe-file")).to_be_hidden()
    page.locator("#load-recipe input[type=file]").set_input_files(tmp_path / "recipe.zip")
    expect(page.locator("#said-recipe")).to_contain_text("“Notes are ignored” is in place.")
    expect(page.locator("#tried .told")).to_contain_text(said[:40])


def test_a_set_of_ones_own(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    press_strongest(page)
    tab(page, "Many pictures")
    pick(page, "#which-pictures", "Your own pictures")
    expect(page.locator("#tried")).to_contain_text("Bring some pictures")
    page.locator("#read-pictures").click()
    expect(page.locator("#said-reading")).to_contain_text("There are no files yet")
    page.locator("#own-pictures input[type=file]").set_input_files(zipped(tmp_path))
    expect(page.locator("#own-pictures")).to_contain_text("zoo.zip")
    page.locator("#read-pictures").click()
    expect(page.locator("#said-reading")).to_contain_text("3 pictures read. Labels are those of labels.csv.")
    expect(page.locator("#said-reading details")).to_contain_text("broken.png")
    expect(page.locator("#about-pictures")).to_contain_text("zoo.zip; 2 classes")
    pick(page, "#classes-of", "the classes of this page")
    expect(page.locator("#about-pictures")).to_contain_text("zoo.zip; 5 classes")
    expect(page.locator("#tried .told")).to_contain_text("Fixes 1 of 1")
    pick(page, "#grouped-by", "camera")
    expect(page.locator("#tried .by-class[open] th").first).to_have_text("camera")
    open_page.answers.all_here(page)
    page.reload()
    page.locator("#panel .bar.best").wait_for()
    expect(page.locator("#tried")).to_contain_text("“zoo.zip” are not on the server any more")
    expect(page.locator("#which-pictures input")).to_have_value("Your own pictures")
    expect(page.get_by_role("tab", name="Steering · 1")).to_be_visible()
    pick(page, "#which-pictures", "All scenes (300)")
    expect(page.locator("#tried .told")).to_contain_text("Fixes 9 of 168")
    expect(page.locator("#bringing")).to_be_hidden()
    expect(page.locator("#grouped-by")).to_be_hidden()
