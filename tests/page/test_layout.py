"""The page as a whole, built without a server: what stands where, and what it offers to programs."""

import ast
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.blocks import Block

from core.page import layout
from core.page.context import Context
from core.page.widgets import tells
from core.page.wire import EditMessage
from core.session.visit import Visit

PAGE = Path(layout.__file__).parent
LONGEST = 80
"""Lines of a function in core/page."""


@pytest.fixture(scope="module")
def page(context: Context) -> gr.Blocks:
    return layout.build(context.pool, "bundled")


def by_id(page: gr.Blocks) -> dict[str, Any]:
    return {str(block.elem_id): block for block in page.blocks.values() if block.elem_id}


def followed(page: gr.Blocks, tab: str) -> set[int]:
    """The listeners after which a tab is asked again, where it is in sight."""
    js = tells("changed", tab)
    return {fn.trigger_after for fn in page.fns.values() if fn.js == js and fn.trigger_after is not None}


def test_there_are_tabs_among_the_tabs_and_nothing_else(page: gr.Blocks) -> None:
    """Gradio counts all children as tabs; with others among them it would draw a renamed one twice."""
    tabs = by_id(page)["tabs"]
    assert isinstance(tabs, gr.Tabs)
    assert [type(child) for child in tabs.children] == [gr.Tab] * 9
    assert [child.id for child in tabs.children if isinstance(child, gr.Tab)] == [
        "image", "attribution", "components", "steering", "compare", "many", "evidence", "take-along", "log",
    ]  # fmt: skip


def test_it_opens_with_the_first_example_measured(page: gr.Blocks) -> None:
    parts = by_id(page)
    assert "CLIP says “cat”" in parts["prediction"].value
    assert "measured" in parts["waterfall"].value
    assert "Rank correlation" in parts["rows"].value, "the second half of the answer is there already"
    assert EditMessage.read(parts["levers"].value).levers == ()


def test_no_script_names_a_prop_of_its_widget_in_quotes(page: gr.Blocks) -> None:
    """Gradio would take it for the name of an event, and send that in place of what is drawn."""
    widgets = [part for part in by_id(page).values() if isinstance(part, gr.HTML) and part.js_on_load]
    assert any("html" in part.props for part in widgets)
    for part in widgets:
        assert not [name for name in part.props if name != "value" and hasattr(part, name)], part.elem_id


def test_a_published_setup_opens_with_a_photograph(context: Context, tiny: Visit) -> None:
    """The first that a cue is planted on, and not the rendered dog: the setup is loaded, as `tiny` is of it."""
    parts = by_id(layout.build(context.pool, "tiny"))
    assert "A note says “iPod”" in parts["canvas"].props["html"]
    assert "dog-note-cat" not in parts["gallery"].value


def test_listeners_are_private_but_for_the_named_endpoints(page: gr.Blocks) -> None:
    offered = {fn.api_name for fn in page.fns.values() if fn.api_visibility == "public"}
    assert offered == {
        "setups", "predict", "attribute", "steer", "evidence", "component", "search", "find_edit", "try_on_many",
        "recipe",
    }  # fmt: skip


def test_no_function_of_the_page_is_long() -> None:
    long = {
        f"{path.name}:{node.name}": node.end_lineno - node.lineno + 1
        for path in PAGE.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.end_lineno and node.end_lineno - node.lineno >= LONGEST
    }
    assert long == {}


def test_a_slider_asks_nothing_of_the_components_in_sight(page: gr.Blocks) -> None:
    """Evidence follows it; a press on a component's button is followed by both, since it may open a page."""
    parts = by_id(page)
    pulled, pressed = (
        next(k for k, fn in page.fns.items() if (parts[name]._id, event) in fn.targets)
        for name, event in (("levers", "pull"), ("rows", "act"))
    )
    assert {pulled, pressed} <= followed(page, "evidence")
    assert pressed in followed(page, "components")
    assert pulled not in followed(page, "components")


def test_a_tab_out_of_sight_is_asked_nothing(page: gr.Blocks) -> None:
    """To open one, and to change the visit, calls a script alone, which asks the tab in sight."""
    asking = {(by_id(page)["following"]._id, tab) for tab in ("evidence", "many", "components")}
    streams = [fn for fn in page.fns.values() if fn.types_generator and asking & set(fn.targets)]
    assert sorted(target for fn in streams for target in fn.targets) == sorted(asking)
    opened = [page.blocks[part] for fn in page.fns.values() for part, event in fn.targets if part and event == "select"]
    assert [tab.id for tab in opened if isinstance(tab, gr.Tab)] == ["take-along"], "it draws its figure"


def test_nothing_that_leaves_the_page_is_drawn_at_a_press(page: gr.Blocks) -> None:
    """A figure takes longer than the model's answer; a script tells that one is outdated."""
    parts = by_id(page)
    leaving = {"print-figure", "figure-caption", "download-figure", "report-files", "said-report", "said-take-along"}
    own = {parts[name]._id for name in leaving}
    for name, event in (("levers", "pull"), ("rows", "act"), ("prediction", "step")):
        heard = next(k for k, fn in page.fns.items() if (parts[name]._id, event) in fn.targets)
        drawn = [one._id for k, fn in page.fns.items() if heard in (k, fn.trigger_after) for one in fn.outputs]
        assert drawn
        assert not own & set(drawn)


@pytest.mark.parametrize(
    ("name", "tab"),
    [("found", "components"), ("component", "components"), ("summary", "evidence"), ("tried", "many")],
)
def test_what_is_drawn_in_sight_is_up_to_date_in_the_end(page: gr.Blocks, name: str, tab: str) -> None:
    """A stream that began before a step may draw after it: what such a step draws is drawn again after it."""
    part = by_id(page)[name]
    drawing = {k: fn for k, fn in page.fns.items() if part in fn.outputs}
    assert [fn.targets for fn in drawing.values() if fn.types_generator] == [[(by_id(page)["following"]._id, tab)]]
    assert {k for k, fn in drawing.items() if not fn.types_generator} <= followed(page, tab)


@pytest.mark.parametrize(("name", "event"), [("found", "ask"), ("picture-for", "upload"), ("picture-for", "clear")])
def test_a_search_is_followed_by_its_answer(page: gr.Blocks, name: str, event: str) -> None:
    (asked,) = (k for k, fn in page.fns.items() if (by_id(page)[name]._id, event) in fn.targets)
    assert asked in followed(page, "components")


def test_a_promise_leaves_with_its_setup(page: gr.Blocks) -> None:
    """Its condition would be put on other components of the same numbers."""
    parts = by_id(page)
    changing = [fn for fn in page.fns.values() if parts["setup-line"] in fn.outputs]
    assert changing
    assert all(parts["promise"] in fn.outputs for fn in changing)


def test_a_press_constructs_no_part_anew(page: gr.Blocks, first: Visit) -> None:
    """Gradio takes as long to describe one to itself as the model takes to answer."""
    parts = by_id(page)
    fn = next(fn for fn in page.fns.values() if (parts["rows"]._id, "act") in fn.targets)
    told = gr.EventData(None, {"component": 99, "action": "suppress", "on": True})
    assert fn.fn is not None
    drawn = fn.fn(told, first, parts["keeper"].value, None)
    assert parts["prediction"] in drawn
    assert [part for part, value in drawn.items() if isinstance(value, Block)] == []


def test_no_part_is_told_of_progress_that_it_does_not_show(page: gr.Blocks) -> None:
    """At every change of state Gradio's script copies all that stands in a part that is told, and in those below it."""
    hidden = [one for one in page.fns.values() if one.show_progress == "hidden"]
    assert hidden
    assert [one.name for one in hidden if one.show_progress_on is None and one.outputs] == []
    told = {place for one in page.fns.values() for place in one.show_progress_on or ()}
    assert told
    assert {type(place) for place in told} == {gr.HTML}
