"""Components one can recognise, in a real browser: their faces, their pages, the search, families."""

import re
from collections.abc import Callable

import pytest
from chromium import EXAMPLES, SIZES, TABS, Open, choose_setup, step, tab
from playwright.sync_api import Locator, Page, expect

STRONGEST = 99
"""The component that speaks most for the word in the first example; it has a family."""
HIDES = """(shown) => {
  const strip = document.querySelector('#side').getBoundingClientRect();
  const box = shown.getBoundingClientRect();
  return box.top < strip.bottom && box.bottom > strip.top && box.left < strip.right && box.right > strip.left;
}"""
"""Whether the panel, which stays on top on a phone, hides the beginning of something."""
AT_REST = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def row(page: Page) -> Locator:
    return page.locator(f"#component-{STRONGEST}")


def open_by_number(page: Page) -> None:
    row(page).get_by_role("button", name=f"Open component {STRONGEST}").click()


def heading(page: Page) -> Locator:
    return page.locator("#component h3")


def ask(page: Page, words: str) -> None:
    """At once: what is typed letter by letter may be searched for before it is complete."""
    page.locator("#words-for textarea").fill(words)
    page.locator("#words-for textarea").press("Enter")


def expect_in_sight(page: Page) -> None:
    """The page of a component begins in the upper half of the screen, and nothing covers that."""
    shown = page.locator("#component .component")
    expect(shown).to_be_focused()
    page.wait_for_function("document.querySelector('#component .component').getBoundingClientRect().top < 300")
    box = shown.bounding_box()
    assert box is not None
    assert box["y"] > -1  # a scroll ends at whole pixels
    assert not shown.evaluate(HIDES)


def expect_pushes(page: Page) -> None:
    expect(page.locator("#component .pushes")).to_have_count(2)
    expect(page.locator("#component .pushes .name").first).to_be_visible()


@pytest.mark.parametrize("width", SIZES)
def test_a_component_has_a_face_and_a_page(open_page: Open, width: int) -> None:
    page = open_page(width)
    tab(page, "Attribution")
    strip = row(page).locator(".strip")
    expect(strip.locator(".shot")).to_have_count(4)
    expect(row(page).locator(".guess")).to_have_text(re.compile("^guess: “.+”$"))
    details = row(page).locator(".detail")
    expect(details).to_be_hidden()
    row(page).locator("summary").press("Enter")
    expect(details).to_have_text(re.compile(r"by CLS .* patches .*clarity 0\.\d\d.*fires in [\d,]+ of 2,400 pictures"))
    expect(page.locator("#rows .legend")).to_contain_text("They are the evidence; the label is a guess.")
    shot = strip.locator(".shot").first
    dimmed, lit = (
        shot.evaluate(f"(shot) => ({{...getComputedStyle(shot, '::{part}')}})") for part in ("before", "after")
    )
    assert "data:image/webp" in dimmed["backgroundImage"]
    assert dimmed["backgroundImage"] == lit["backgroundImage"]
    assert "brightness" in dimmed["filter"]
    assert lit["filter"] == "none"
    assert "data:image/png" in lit["maskImage"]

    row(page).get_by_role("button", name="More about").click()
    expect(page.get_by_role("tab", name="Components")).to_have_attribute("aria-selected", "true")
    expect(heading(page)).to_contain_text(f"Component #{STRONGEST} guess:")
    expect_in_sight(page)
    for title in ("Fires most", "Fires as usual", "Fires all over"):
        section = page.locator("#component .evidences section").filter(has_text=title)
        assert section.locator(".shot").count() >= 4
        expect(section.locator(".shot").first).to_be_visible()
    expect(page.locator("#component .histogram .plot i").first).to_be_visible()
    expect(page.locator("#component .here")).to_contain_text("Attribution to “cat” against “dog”: ▲ +")
    expect_pushes(page)
    expect(page.locator("#component")).to_contain_text("Suppressed on its")

    for title in ("Nearest in direction", "Fire in the same pictures", "Its family"):
        chip = page.locator("#component section").filter(has_text=title).last.locator(".chip").first
        number = chip.get_attribute("data-component")
        chip.click()
        expect(heading(page)).to_contain_text(f"#{number} ")
        expect_in_sight(page)
        if page.locator("#component section").filter(has_text="Its family").count() == 0:
            break
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", SIZES)
def test_search_by_words(open_page: Open, width: int) -> None:
    """What is found can be opened, though a long list stands above, and led back from, and suppressed."""
    page = open_page(width)
    tab(page, "Components")
    expect(page.locator("#component")).to_contain_text("Press a component’s number")
    ask(page, "the word cat")
    rows = page.locator("#found .row")
    expect(rows).to_have_count(12)
    expect(page.locator("#found .told")).to_contain_text("match with “the word cat”")
    opens = rows.nth(10).locator(".opens")
    number = opens.inner_text()
    for _ in range(2):  # what is open already comes into sight again
        opens.click()
        expect(heading(page)).to_contain_text(f"{number} ")
        expect_in_sight(page)
        page.locator("#component [data-back]").last.click()
        expect(opens).to_be_focused()
        expect(opens).to_be_in_viewport()
    active = rows.filter(has_text="logits").first
    button = active.locator("[data-action=suppress]")
    button.click()
    expect(button).to_have_text("Suppressed ✓")
    expect(page.locator("#panel .flip")).to_contain_text("flip")
    expect(page.get_by_role("tab", name="Steering · 1")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ask(page, "")
    expect(rows).to_have_count(0)
    expect(page.locator("#found [data-ask]").first).to_be_visible()
    expect(heading(page)).to_contain_text(f"{number} ")


def test_search_by_a_picture(open_page: Open) -> None:
    """A picture that is dropped is asked about until words are, or it is taken away."""
    page = open_page()
    tab(page, "Components")
    told = page.locator("#found .told")
    drop = page.locator("#picture-for")
    data = (EXAMPLES / "dog-note-cat.webp").read_bytes()
    transfer = page.evaluate_handle(
        """(bytes) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], 'dog.webp', { type: 'image/webp' }));
          return transfer;
        }""",
        list(data),
    )
    drop.locator("button").first.dispatch_event("drop", {"dataTransfer": transfer})
    expect(told).to_contain_text("match with your picture")
    expect(page.locator("#found .row")).to_have_count(12)
    expect(drop).to_contain_text("dog")
    ask(page, "the word cat")
    expect(told).to_contain_text("match with “the word cat”")
    expect(drop.locator("input[type=file]")).to_have_count(1)  # it is empty again
    drop.locator("input[type=file]").set_input_files(EXAMPLES / "photo-cat.webp")
    expect(told).to_contain_text("match with your picture")
    drop.get_by_role("button", name="Clear").click()
    expect(told).to_contain_text("match with “the word cat”")


def test_what_cannot_be_searched_for_costs_nothing(open_page: Open) -> None:
    page = open_page()
    tab(page, "Components")
    evil = "<img src=x onerror=window.pwned=1> `${window.pwned=2}` {{x}} \"'><b>cat</b>"
    ask(page, evil)
    expect(page.locator("#found .told")).to_contain_text(f"match with “{evil}”")
    ask(page, "x" * 300)
    expect(page.locator("#said-search")).to_contain_text("300 characters. Shorten it to 200 or fewer.")
    expect(page.locator("#found .told")).to_contain_text(f"match with “{evil}”")
    assert page.evaluate("window.pwned") is None
    ask(page, "cat")
    expect(page.locator("#said-search .notice")).to_have_count(0)


def test_a_family_is_one_lever(open_page: Open) -> None:
    page = open_page()
    tab(page, "Attribution")
    family = row(page).locator("[data-action=family]")
    family.click()
    expect(family).to_have_text(re.compile(r"Family \(\d+\) ✓"))
    n = int(re.sub(r"\D", "", family.inner_text()))
    expect(page.locator("#panel .flip")).to_contain_text("Flipped: “cat” → “dog”")
    expect(page.get_by_role("tab", name="Steering · 1")).to_be_visible()
    tab(page, "Steering")
    lever = page.locator("#levers .lever")
    expect(lever).to_have_count(1)
    expect(lever).to_contain_text(f"#{STRONGEST} and its family")
    expect(lever.locator(".members li")).to_have_count(n)
    expect(lever.locator(".members li").first).to_be_visible()
    lever.get_by_role("radio", name="Scale").click()
    expect(lever.locator("[type=range]:visible")).to_have_count(1)
    expect(page.locator("#panel .flip")).to_contain_text("No flip")  # once its activation is as it was
    exact = lever.locator(".exact")
    exact.fill("0")
    exact.press("Enter")
    expect(page.locator("#panel .flip")).to_contain_text("Flipped: “cat” → “dog”")
    lever.locator("[data-remove]").click()
    expect(lever).to_have_count(0)
    expect(page.get_by_role("tab", name="Steering", exact=True)).to_be_visible()
    expect(page.locator("#panel .flip")).to_contain_text("CLIP says")
    step(page, "undo").click()
    expect(lever.locator(".members li")).to_have_count(n)
    expect(page.get_by_role("tab", name="Steering · 1")).to_be_visible()
    tab(page, "Attribution")
    row(page).locator("[data-action=suppress]").click()  # one of them by a lever of its own
    tab(page, "Steering")
    expect(lever).to_have_count(2)
    expect(lever.filter(has_text=f"the others of #{STRONGEST}’s family")).to_contain_text(f"{n - 1} components as one")


def test_evidence_for_a_family(open_page: Open) -> None:
    """It comes to its end, and is still there after a look at another tab."""
    page = open_page()
    tab(page, "Attribution")
    family = row(page).locator("[data-action=family]")
    family.click()
    expect(family).to_contain_text("✓")
    tab(page, "Evidence")
    expect(page.locator("#elsewhere")).to_contain_text("95 % interval")
    words = re.compile(rf"suppress #{STRONGEST} and its family \(\d+ components\)")
    expect(page.locator("#summary .edit")).to_contain_text(words)
    expect(page.locator("#chance")).to_contain_text("Beyond chance")
    for name in ("Attribution", "Evidence"):
        tab(page, name)
        open_page.answers.all_here(page)
    expect(page.locator("#summary .edit")).to_contain_text(words)
    expect(page.locator("#elsewhere")).to_contain_text("95 % interval")


def test_a_setup_without_an_index(open_page: Open) -> None:
    """It says what is missing; what was asked of the other setup is there again when that is."""
    page = open_page()
    tab(page, "Components")
    ask(page, "the word cat")
    page.locator("#found .opens").first.click()
    title = heading(page).inner_text()
    choose_setup(page, "Tiny <tiny> · unverified")
    expect(page.locator("#component")).to_contain_text("Tiny <tiny> has no concept index")
    expect(page.locator("#component code").first).to_have_text("python -m core.indexing")
    expect(page.locator("#words-for")).to_be_hidden()
    expect(page.locator("#found .row")).to_have_count(0)
    tab(page, "Attribution")
    expect(page.locator("#rows .row").first).to_be_visible()
    assert page.locator("#rows .strip, #rows [data-action=open], #rows [data-action=family]").count() == 0
    page.locator("#canvas [data-look-at-cls]").click()
    assert page.locator("#canvas .firing button").count() > 0
    assert page.locator("#canvas [data-action=open]").count() == 0
    tab(page, "Components")
    page.evaluate("scrollTo(0, 0)")
    choose_setup(page, "Bundled demo")
    expect(page.locator("#found .row")).to_have_count(12)
    expect(heading(page)).to_have_text(title)
    expect(page.locator("#words-for textarea")).to_have_value("the word cat")
    assert page.evaluate("scrollY") == 0, "its page was not opened just now"
    tab(page, "Steering")
    expect(page.locator("#levers .empty")).to_be_visible()


def change_by_a_lever(page: Page) -> None:
    page.locator("#component [data-action=suppress]").first.click()
    expect(page.locator("#component [data-action=suppress]")).to_have_text("Suppressed ✓")


def change_by_the_counterfactual(page: Page) -> None:
    page.locator("[data-twin]").click()
    expect(page.locator("#component .here")).to_contain_text("Not active here")
    page.locator("[data-twin]").click()
    expect(page.locator("#component .here")).to_contain_text("activation up to")


@pytest.mark.parametrize(("width", "change"), [(1400, change_by_the_counterfactual), (390, change_by_a_lever)])
def test_an_open_page_follows_and_stays_where_it_is(
    open_page: Open, width: int, change: Callable[[Page], None]
) -> None:
    page = open_page(width)
    tab(page, "Components")
    ask(page, "the word cat")
    page.locator("#found .row").filter(has_text="logits").locator(".opens").first.click()
    expect_in_sight(page)
    expect_pushes(page)
    top = page.locator("#component .here").bounding_box()
    change(page)
    page.evaluate(AT_REST)
    now = page.locator("#component .here").bounding_box()
    assert top is not None
    assert now is not None
    assert abs(top["y"] - now["y"]) < 30


def test_another_example_while_a_page_is_open(open_page: Open) -> None:
    page = open_page()
    tab(page, "Attribution")
    open_by_number(page)
    expect(page.locator("#component .here")).to_contain_text("“cat” against “dog”")
    tab(page, "Image")
    page.locator("#gallery .example").filter(has_text="A car with a note").click()
    expect(page.locator("#panel")).to_contain_text("A car with a note")
    tab(page, "Components")
    expect(page.locator("#component .here")).not_to_contain_text("against “dog”")
    expect(heading(page)).to_contain_text(f"#{STRONGEST} ")


def test_all_tabs_are_in_reach_on_a_phone(open_page: Open) -> None:
    """Also with the longest titles, and whatever is in them."""
    page = open_page(390)
    tab(page, "Attribution")
    row(page).locator("[data-action=family]").click()
    open_by_number(page)
    expect(page.get_by_role("tab", name="Steering · 1")).to_be_visible()
    expect_in_sight(page)
    for name in TABS:
        button = page.get_by_role("tab", name=name)
        box = button.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        assert box["height"] >= 32
        assert button.evaluate("(button) => button.scrollWidth <= button.clientWidth"), f"{name} is cut"
        button.click()
        expect(button).to_have_attribute("aria-selected", "true")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
    tab(page, "Steering")
    expect(page.locator("#levers .lever .members li").first).to_be_visible()
