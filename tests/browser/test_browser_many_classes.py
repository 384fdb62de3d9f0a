"""A thousand classes in the browser: ImageNet's names are chosen, read with a stop between, asked about, and found."""

import re
from collections.abc import Iterator, Sequence
from threading import Semaphore

import pytest
import torch
from chromium import Open, press_strongest, tab
from playwright.sync_api import expect

from core.model import class_vectors
from core.model.clip import SplitClip, classifier_steps


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Semaphore]:
    """How many steps of readings there may be: the first, and then as many as are let go."""
    let = Semaphore(1)

    def gated(clip: SplitClip, classes: Sequence[str], templates: Sequence[str]) -> Iterator[torch.Tensor]:
        for step in classifier_steps(clip, classes, templates):
            assert let.acquire(timeout=60)
            yield step

    monkeypatch.setattr(class_vectors, "classifier_steps", gated)
    monkeypatch.setattr("core.workbench.AT_ONCE", 0)
    yield let
    let.release(1000)  # nobody waits for what is over


def test_imagenet_s_names_are_chosen_read_and_found(open_page: Open, steps: Semaphore) -> None:
    page = open_page()
    box, reading = page.locator("#classes textarea"), page.locator("#reading")
    typed = box.input_value()
    page.locator("#listed").click()
    expect(box).to_have_value("list:imagenet-1k")
    page.locator("#put-back").click()
    expect(box).to_have_value(typed)
    page.locator("#put-back").click()
    expect(box).to_have_value("list:imagenet-1k")

    page.locator("#classify").click()
    expect(reading.locator("progress")).to_have_attribute("value", "128")
    expect(reading.locator("progress")).to_have_attribute("max", "998")
    expect(page.locator("#panel .bar.best .name")).to_have_text("cat")
    reading.get_by_role("button", name="Stop").click()
    for _ in range(5):  # it ends at the next step after the stop has come
        steps.release()
        page.wait_for_timeout(200)
    expect(reading).to_have_text(re.compile(r"Stopped at \d+ of 998 texts"))
    expect(page.locator("#panel .bar.best .name")).to_have_text("cat")

    steps.release(1000)
    page.locator("#classify").click()
    expect(page.locator("#panel .more")).to_contain_text("others, under Before / after")
    expect(reading).to_be_empty()
    press_strongest(page)
    tab(page, "Before / after")
    page.locator("#find-class input").fill("crane")
    found = page.locator("#found-classes tbody th")
    expect(found).to_have_count(2)
    assert sorted(found.all_inner_texts()) == ["construction crane", "crane bird"]
    assert "classes=list:imagenet-1k&" in page.url


def test_a_page_keeps_many_classes_of_ones_own(open_page: Open) -> None:
    """They are sent once, stand beside what the page carries, and come back after a reload."""
    page = open_page()
    names = [f"thing {chr(97 + k // 26)}{chr(97 + k % 26)}" for k in range(400)]
    page.locator("#classes textarea").fill("\n".join(names))
    page.locator("#classify").click()
    expect(page.locator("#panel .beside")).to_contain_text("among these 400 classes")
    press_strongest(page)
    open_page.answers.all_here(page)
    page.reload()
    expect(page.locator("#panel .pulled li")).to_have_count(1)
    expect(page.locator("#panel .more")).to_contain_text("39")
    expect(page.locator("#classes textarea")).to_have_value("\n".join(names))
