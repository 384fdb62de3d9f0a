"""The tour: offered once, on the real parts, over step by step as the visitor does what it says; by keyboard, too."""

from chromium import EXAMPLES, Open, press_strongest, step, tab
from playwright.sync_api import Locator, Page, expect

from .test_accessibility import serious


def press(page: Page, name: str) -> None:
    """A button of the tour, by keyboard."""
    page.locator(".tour").get_by_role("button", name=name, exact=True).press("Enter")


def shown(card: Locator) -> Locator:
    """The step that is in sight: the card holds them all."""
    return card.locator("[data-step]:visible")


def test_the_tour_leads_to_the_flip_and_to_the_evidence_by_keyboard(open_page: Open) -> None:
    page = open_page(390)
    page.emulate_media(reduced_motion="reduce")
    page.set_viewport_size({"width": 768, "height": 844})
    assert page.evaluate("document.querySelector('.top h1').offsetLeft") == 0, "the title stands left"
    page.set_viewport_size({"width": 390, "height": 844})
    card = page.locator(".tour")
    expect(shown(card)).to_contain_text("New here?")
    press(page, "Start the tour")
    expect(shown(card)).to_contain_text("1 of 6 Look. Of this picture CLIP says “cat”")
    expect(card).to_be_focused()
    assert not serious(page)
    press(page, "Next")
    press(page, "The writing")
    expect(shown(card)).to_contain_text("You guessed the writing.")
    expect(page.locator("#canvas .frame")).to_have_attribute("data-mapped", "true")
    press(page, "Show me where")
    expect(page.get_by_role("tab", name="Attribution")).to_be_focused()
    page.keyboard.press("Enter")
    expect(shown(card)).to_contain_text("4 of 6")
    expect(card).to_be_focused()
    press(page, "Show me where")
    page.keyboard.press("Enter")
    expect(page.locator("#panel .flip")).to_contain_text("Flipped: “cat” → “dog”")
    expect(shown(card)).to_contain_text("Now CLIP says “dog”.")
    press(page, "Show me where")
    page.keyboard.press("Enter")
    expect(shown(card)).to_contain_text("6 of 6")
    press(page, "Done")
    expect(card).to_be_hidden()
    expect(page.locator("[data-take-tour]")).to_be_focused()
    open_page.answers.all_here(page)
    page.reload()
    page.locator("#panel .bar.best").wait_for()
    open_page.answers.all_here(page)
    expect(card).to_be_hidden()


def test_the_tour_can_be_skipped_and_taken_later_from_anywhere(open_page: Open) -> None:
    page = open_page()
    card = page.locator(".tour")
    card.get_by_role("button", name="Not now").click()
    expect(card).to_be_hidden()
    page.locator("#upload input").set_input_files(EXAMPLES / "photo-cat.webp")
    expect(page.locator("#panel .line")).to_contain_text("Your picture")
    press_strongest(page)
    page.locator("[data-take-tour]").click()
    expect(card.get_by_text("It takes the place of what is open now.")).to_be_visible()
    card.get_by_role("button", name="Start the tour").click()
    expect(shown(card)).to_contain_text("1 of 6 Look.")
    expect(page.locator("#panel .line")).to_contain_text("A dog with a note")
    expect(step(page, "reset")).to_have_attribute("aria-disabled", "true")
    card.get_by_role("button", name="Next").click()
    tab(page, "Components")  # whatever else is done meanwhile, it waits
    expect(shown(card)).to_contain_text("2 of 6")
    page.keyboard.press("Escape")
    expect(card).to_be_visible()
    card.focus()
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()


def test_the_tour_is_not_offered_where_a_link_opens_something(open_page: Open) -> None:
    """What others add to an address is no link."""
    page = open_page(query="?__theme=light&utm_source=letter&fbclid=1")
    expect(shown(page.locator(".tour"))).to_contain_text("New here?")
    open_page.answers.all_here(page)
    page.goto(f"{open_page.address}/?example=cow-water")
    page.locator("#panel .bar.best").wait_for()
    open_page.answers.all_here(page)
    expect(page.locator(".tour")).to_be_hidden()
