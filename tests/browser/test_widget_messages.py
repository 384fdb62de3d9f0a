"""What the widgets send when they are pressed: messages of the forms that tests/page/widget_messages.json holds."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, get_args

import httpx
from chromium import Open, step, tab
from playwright.sync_api import Request, expect

from core.page.wire import (
    AskWords,
    ChooseExample,
    ChoosePatches,
    ClaimUnseen,
    EditMessage,
    ExplainConfusion,
    HistoryStep,
    Message,
    OpenPicture,
    OpenTab,
    PressComponent,
    SecondStep,
    ShowCounterfactual,
    UseCondition,
    UseEdit,
)

WRITTEN = json.loads((Path(__file__).parents[1] / "page" / "widget_messages.json").read_text(encoding="utf-8"))
READ_BY: dict[str, type[Message]] = {
    "choose": ChooseExample, "like": ChooseExample, "second": SecondStep,
    "twin": ShowCounterfactual, "act": PressComponent, "ask": AskWords, "use": UseEdit,
    "look": OpenPicture, "explain": ExplainConfusion, "condition": UseCondition, "claim": ClaimUnseen,
    "step": HistoryStep,
    "pull": EditMessage, "pick": ChoosePatches, "tab": OpenTab,
}  # fmt: skip
NOTE = 99
"""A component that reads the note of the first example; it has a family."""


def form(message: Any) -> Any:
    """Names and types, in any order; of a list, those of its members, each once."""
    if isinstance(message, str) and message.startswith("{"):
        return form(json.loads(message))
    if isinstance(message, dict):
        return frozenset((key, form(value)) for key, value in message.items())
    if isinstance(message, list):
        return frozenset(map(form, message))
    return "number" if type(message) in (int, float) else type(message).__name__


def test_what_the_scripts_write_is_what_is_held(open_page: Open, address: str) -> None:
    dependencies = {one["id"]: one for one in httpx.get(f"{address}/config").json()["dependencies"]}
    sent: dict[str, list[Any]] = defaultdict(list)

    def hear(request: Request) -> None:
        if "/queue/join" not in request.url:
            return
        body = json.loads(request.post_data or "")
        one = dependencies[body["fn_index"]]
        for event in {event for _, event in one["targets"]}:
            name = "tab" if event in ("evidence", "many", "components") else event
            sent[name].append(body["data"][-1] if event in ("pull", "pick") else body.get("event_data"))

    page = open_page()
    page.on("request", hear)
    page.locator("#gallery [data-example=owl-note-nonsense]").click()
    expect(page.locator("#gallery [data-example=owl-note-nonsense]")).to_have_attribute("aria-pressed", "true")
    page.locator("#gallery [data-example=dog-note-cat]").click()
    expect(page.locator("#gallery [data-example=dog-note-cat]")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Compare with another picture").click()
    page.locator("#likes [data-like=car-note-car]").click()
    page.locator("#second [data-take-away]").click()
    expect(page.locator("#second .second")).to_have_count(0)
    for pressed in ("true", "false"):
        page.locator("[data-twin]").click()
        expect(page.locator("[data-twin]")).to_have_attribute("aria-pressed", pressed)

    tab(page, "Attribution")
    card = page.locator(f"#component-{NOTE}")
    for action in ("family", "amplify", "suppress"):
        button = card.locator(f".act[data-action={action}]")
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")
    page.locator("#canvas [data-token='13']").click()
    page.locator("#canvas [data-action=open]").first.click()
    expect(page.locator("#component .component")).to_be_visible()
    page.locator("#words-for textarea").fill("the word cat")
    page.locator("#words-for textarea").press("Enter")
    expect(page.locator("#found .row")).to_have_count(12)

    tab(page, "Steering")
    family = page.locator("#levers .lever.family")
    alone = page.locator("#levers .lever:not(.family)").first
    expect(family).to_have_count(1)
    alone.get_by_role("radio", name="Scale").click()
    alone.locator(".exact").fill("1,5")
    alone.locator(".exact").press("Enter")
    expect(alone.locator("[type=range]")).to_have_value("1.5")
    alone.locator(".at-least").fill("0,4")
    alone.locator(".at-least").press("Enter")
    expect(page.locator("#prediction .pulled")).to_contain_text("where ≥ 0.4")
    for pressed in ("undo", "redo", "reset"):
        step(page, pressed).click()
    expect(page.locator("#levers .lever")).to_have_count(0)
    page.locator("#canvas [data-paint]").click()
    page.locator("#canvas [data-cls]").click()
    page.locator("#canvas [data-token='17']").click()
    expect(page.locator("#canvas .scope output")).to_contain_text("of 64 patches and CLS")
    page.locator("[data-find]").click()
    page.locator("[data-use]").first.click()
    expect(page.locator("#levers .lever").first).to_be_visible()

    tab(page, "Many pictures")
    page.locator(".confusion").first.click()
    expect(page.locator(".confusion").first).to_have_attribute("aria-pressed", "true")
    step(page, "reset").click()
    page.locator("#failures [data-component='36'][data-action=family]").first.click()  # it breaks some
    page.locator("#condition-box > button").click()
    page.locator("#condition-box input[type=number]").first.fill("6")
    page.locator("#find-condition").click()
    slider = page.locator("#promise .thresholds [type=range]")
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "It never acts.")
    expect(page.locator("#promise .thresholds .at")).to_have_text("It never acts.")
    page.locator("#promise .plot.fixed").hover()
    expect(page.locator("#promise .thresholds .at")).to_contain_text("Judged on")
    page.locator("#promise [data-condition]").first.click()
    expect(page.locator("#tried .edit")).to_contain_text("only in pictures where")
    page.locator("#prediction [data-condition]").click()
    expect(page.locator("#tried .edit")).not_to_contain_text("only in pictures where")
    page.locator(".bounds button.act").click()
    expect(page.locator(".bounds .claimed")).to_be_visible()
    expect(page.locator(".bounds .unclaimed")).to_be_hidden()
    page.locator(".pictured").first.click()
    expect(page.locator("#panel .line")).to_contain_text("one of 300 pictures")

    assert sent.keys() >= READ_BY.keys() == WRITTEN.keys()
    for event, message in READ_BY.items():
        assert form(WRITTEN[event]) in map(form, sent[event]), event
        for one in sent[event]:
            message.read(one)
    assert sent["find"] == [{}], "it says nothing"
    assert WRITTEN["choose"] in sent["choose"]
    assert WRITTEN["twin"] in sent["twin"]
    assert WRITTEN["act"] in sent["act"]
    for message, event, field in ((PressComponent, "act", "action"), (HistoryStep, "step", "step")):
        assert {one[field] for one in sent[event]} == set(get_args(message.model_fields[field].annotation)), event
