"""A page keeps its visit whatever becomes of the server: never another picture, and nothing typed is lost."""

import json
import socket
from collections.abc import Callable, Iterator

import gradio as gr
import pytest
from chromium import EXAMPLES, PATIENCE, Answers, press_strongest, tab
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from core.serving.settings import Settings
from core.setups.catalog import read_catalog

Opened = Callable[[], Page]


class Server:
    """The page, served in this process; it can be stopped, and started anew at the same address."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        from core.page.launch import launch_options, make_page

        self.page: gr.Blocks = make_page(Settings.from_environment({}), {"bundled": read_catalog()["bundled"]})
        options = launch_options() | {"server_port": self.port, "prevent_thread_lock": True, "quiet": True}
        _, address, _ = self.page.launch(**options)
        self.address = address.rstrip("/")

    def stop(self) -> None:
        """With all its connections, as the end of a process does."""
        self.page.server.config.timeout_graceful_shutdown = 0
        self.page.close()

    def forget(self) -> None:
        """All visits, as a server does after a long pause."""
        self.page.app.state_holder.session_data.clear()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tabs(browser: Browser, server: Server) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.new_page().goto(f"{server.address}/robots.txt")  # scripts stay loaded from one test to the next
    yield context
    context.close()


@pytest.fixture
def answers() -> Answers:
    """What follows a press would find out first that a server has forgotten it."""
    return Answers()


@pytest.fixture
def opened(tabs: BrowserContext, server: Server, answers: Answers) -> Iterator[Opened]:
    """Opens a tab of one browser. No script of ours may break; that a server was gone is told by the browser."""
    errors: list[str] = []
    pages: list[Page] = []

    def open_page() -> Page:
        page = tabs.new_page()
        pages.append(page)
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: errors.append(str(error)))
        answers.watch(page)
        page.goto(server.address)
        page.locator("#panel .bar.best").wait_for()
        return page

    yield open_page
    for page in pages:
        page.close()
    assert errors == []


def bring_a_horse(page: Page) -> None:
    """A picture of one's own, classes of one's own, and a lever."""
    page.locator("#upload input[type=file]").set_input_files(EXAMPLES / "horse-stamp-twin.webp")
    expect(page.locator("#panel .line")).to_contain_text("Your picture")
    classify(page, "horse\nfrog\nowl")
    press_strongest(page)
    expect(page.get_by_role("tab", name="Steering · 1")).to_be_visible()
    expect(page.locator("#prediction h2")).to_contain_text("before")


def classify(page: Page, classes: str) -> None:
    tab(page, "Image")
    page.locator("#classes textarea").fill(classes)
    page.locator("button#classify").click()
    expect(page.locator("#panel .bar")).to_have_count(len(classes.split("\n")))


def picture(page: Page) -> str:
    return str(page.locator("#panel .frame img").get_attribute("src"))


def prediction(page: Page) -> list[str]:
    return page.locator("#panel .bar").all_inner_texts()


def settled(page: Page) -> None:
    page.wait_for_function("!document.querySelector('#desk').inert")


def test_the_next_press_after_a_pause_is_about_the_same_picture(
    opened: Opened, answers: Answers, server: Server
) -> None:
    page = opened()
    bring_a_horse(page)
    seen, said = picture(page), prediction(page)
    tab(page, "Image")
    page.locator("#classes textarea").fill("horse\nfrog")
    answers.all_here(page)
    server.forget()
    page.locator("button#classify").click()
    expect(page.locator("#said-kept")).to_contain_text("press it again")
    settled(page)
    assert (picture(page), prediction(page)) == (seen, said)
    tab(page, "Evidence")
    expect(page.locator("#summary")).to_contain_text("Your edit: suppress")
    classify(page, "horse\nfrog")
    expect(page.locator("#panel .bar")).to_have_count(2)
    assert picture(page) == seen
    expect(page.locator("#said-kept .notice")).to_have_count(0)


def test_an_example_answers_after_a_pause_as_if_nothing_had_been(
    opened: Opened, answers: Answers, server: Server
) -> None:
    page = opened()
    page.locator("#gallery .example").nth(3).click()
    expect(page.locator("#gallery .example").nth(3)).to_have_attribute("aria-pressed", "true")
    button = press_strongest(page)
    seen = picture(page)
    answers.all_here(page)
    server.forget()
    button.click()
    expect(button).to_have_text("Suppress")
    assert picture(page) == seen
    expect(page.locator("#said-kept .notice")).to_have_count(0)


def test_a_restart_loses_nothing(opened: Opened, answers: Answers, server: Server) -> None:
    page = opened()
    bring_a_horse(page)
    seen = picture(page)
    tab(page, "Image")
    page.locator("#classes textarea").fill("horse\nfrog\nowl\nnot yet asked")
    answers.all_here(page)
    server.stop()
    server.start()
    for _ in range(
        10
    ):  # Gradio may find out by itself and load the page anew, or the press does, and is to be repeated
        settled(page)
        page.locator("button#classify").click()
        page.wait_for_timeout(1500)
        if page.locator("#panel .bar").count() == 4:
            break
    expect(page.locator("#panel .bar")).to_have_count(4)
    assert picture(page) == seen
    expect(page.locator("#classes textarea")).to_have_value("horse\nfrog\nowl\nnot yet asked")
    expect(page.get_by_role("tab", name="Steering · 1")).to_be_visible()


def test_a_page_that_comes_back_is_as_it_was(opened: Opened) -> None:
    """By a reload, and by the browser's way back; and it goes on from there."""
    page = opened()
    bring_a_horse(page)
    seen = picture(page)
    for levers, way in ((1, "reload"), (2, "back")):
        said = prediction(page)
        tab(page, "Image")
        page.locator("#classes textarea").fill(f"typed before the {way}")
        tab(page, "Steering")
        if way == "reload":
            page.reload()
        else:
            page.goto("about:blank")
            page.go_back()
        page.locator("#panel .bar.best").wait_for()
        expect(page.locator("#panel .line")).to_contain_text("Your picture")
        settled(page)
        assert (picture(page), prediction(page)) == (seen, said)
        expect(page.get_by_role("tab", name=f"Steering · {levers}")).to_have_attribute("aria-selected", "true")
        expect(page.locator("#levers .lever")).to_have_count(levers)
        expect(page.locator("#classes textarea")).to_have_value(f"typed before the {way}")
        tab(page, "Attribution")
        page.locator(".half.against .act[data-action=suppress]").nth(levers - 1).click()
        expect(page.get_by_role("tab", name=f"Steering · {levers + 1}")).to_be_visible()
        assert picture(page) == seen


def test_two_tabs_do_not_meet(opened: Opened, server: Server) -> None:
    one, two = opened(), opened()
    bring_a_horse(one)
    two.locator("#gallery .example").nth(2).click()
    expect(two.locator("#gallery .example").nth(2)).to_have_attribute("aria-pressed", "true")
    seen = picture(one), picture(two)
    assert seen[0] != seen[1]
    for page in (one, two):
        page.reload()
        page.locator("#panel .bar.best").wait_for()
    expect(one.locator("#panel .line")).to_contain_text("Your picture")
    expect(two.locator("#gallery .example").nth(2)).to_have_attribute("aria-pressed", "true")
    for page in (one, two):
        settled(page)
    assert (picture(one), picture(two)) == seen


def test_another_server_takes_over_and_hands_back(opened: Opened, answers: Answers, server: Server) -> None:
    """What a server holds of the visit is then older than what the page is about, or nothing."""
    other = Server()
    answers_next = [server.address]

    def route(route: Route) -> None:
        route.continue_(url=answers_next[0] + route.request.url.removeprefix(server.address))

    try:
        page = opened()
        page.route("**/gradio_api/queue/**", route)
        page.locator("#gallery .example").nth(3).click()
        expect(page.locator("#gallery .example").nth(3)).to_have_attribute("aria-pressed", "true")
        seen = picture(page)
        tab(page, "Attribution")
        buttons = page.locator(".half.for .act[data-action=suppress]")
        for k, address in enumerate((other.address, server.address, other.address)):
            answers.all_here(page)
            answers_next[0] = address
            buttons.nth(k).click()
            expect(page.get_by_role("tab", name=f"Steering · {k + 1}")).to_be_visible()
            expect(page.locator("#rows [data-pulled=true]")).to_have_count(k + 1)
            assert picture(page) == seen
    finally:
        other.stop()


QUICKER = """const wait = setTimeout;
window.setTimeout = (does, ms, ...told) => wait(does, ms < 2000 || ms > 8000 ? ms : ms / 20, ...told);"""
"""A script, for a test that is not to wait for a page that does."""


class Refusals:
    """Questions of a page that are not answered as they should: the next ones of a kind."""

    def __init__(self, page: Page, server: Server) -> None:
        fns = server.page.fns
        (load,) = (k for k, fn in fns.items() if any(event == "restore" for _, event in fn.targets))
        self._kinds = {load: "load"} | {k: "step" for k, fn in fns.items() if fn.trigger_after == load and fn.fn}
        self._kinds |= {k: "evidence" for k, fn in fns.items() if any(event == "evidence" for _, event in fn.targets)}
        self.asked = 0
        """All questions so far."""
        self.due: list[str] = []
        """Of which kind those are that are refused next."""
        self.breaks = False
        """Whether they never reach the server."""
        page.route("**/gradio_api/queue/join*", self._answer)

    def _answer(self, route: Route) -> None:
        self.asked += 1
        kind = self._kinds.get(json.loads(route.request.post_data or "")["fn_index"])
        if kind is None or kind not in self.due:
            route.continue_()
            return
        self.due.remove(kind)
        if self.breaks:
            route.abort()
        else:
            route.fulfill(status=429, json={"detail": "The server is busy."})


def example(page: Page, k: int) -> None:
    page.locator("#gallery .example").nth(k).click()
    expect(page.locator("#gallery .example").nth(k)).to_have_attribute("aria-pressed", "true")


def test_a_page_whose_question_is_refused_asks_again(opened: Opened, server: Server, answers: Answers) -> None:
    """Or whose connection breaks: Gradio loads it anew then, and it has what it was about still."""
    page = opened()
    example(page, 3)
    answers.all_here(page)
    refusals = Refusals(page, server)
    refusals.due = ["load", "step"]
    page.go_back()
    expect(page.locator("#gallery .example").first).to_have_attribute("aria-pressed", "true")
    settled(page)
    assert refusals.due == []
    answers.all_here(page)
    refusals.due, refusals.breaks = ["step"], True
    page.go_forward()
    expect(page.locator("#gallery .example").nth(3)).to_have_attribute("aria-pressed", "true")
    settled(page)
    assert refusals.due == []


def test_a_page_that_is_refused_for_good_can_be_used_and_says_so(
    opened: Opened, server: Server, answers: Answers
) -> None:
    """What is in sight is not taken for what was there: presses are about what is in sight."""
    page = opened()
    example(page, 3)
    page.locator("#classes textarea").fill("typed")
    seen, said = picture(page), page.locator("#missed .notice")
    answers.all_here(page)
    refusals = Refusals(page, server)
    page.add_init_script(QUICKER)
    refusals.due = ["load"] * 4
    page.reload()
    expect(said).to_contain_text("did not come")
    assert refusals.due == []
    settled(page)
    expect(page.locator("#gallery .example").first).to_have_attribute("aria-pressed", "true")
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    assert page.evaluate("Object.values(sessionStorage).some((kept) => kept.includes('typed'))"), (
        "a reload would try again"
    )
    said.get_by_role("button", name="Try again").click()
    expect(page.locator("#gallery .example").nth(3)).to_have_attribute("aria-pressed", "true")
    settled(page)
    expect(said).to_have_count(0)
    assert picture(page) == seen
    expect(page.locator("#classes textarea")).to_have_value("typed")
    refusals.due = ["load"] * 4
    page.go_back()
    expect(said).to_contain_text("did not come")
    assert picture(page) == seen
    example(page, 2)
    expect(said).to_have_count(0)


def test_only_the_tab_in_sight_is_asked_and_again_where_it_was_refused(
    opened: Opened, server: Server, answers: Answers
) -> None:
    page = opened()
    answers.all_here(page)
    refusals = Refusals(page, server)
    press_strongest(page)
    for name in ("Steering", "Image"):
        tab(page, name)
    answers.all_here(page)
    assert refusals.asked == 1, "the press"
    refusals.due = ["evidence"]
    tab(page, "Evidence")
    expect(page.locator("#summary")).to_contain_text("Your edit: suppress")
    expect(page.locator("#elsewhere")).to_contain_text("95 % interval")
    answers.all_here(page)
    assert (refusals.asked, refusals.due) == (3, [])
