"""The Log tab, without a browser: what the page sends is drawn and written down, and what comes of a line."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from markdown_it import MarkdownIt

from core.errors import UserError
from core.page.context import Context
from core.page.keeper import BRING_IT_AGAIN, bring_back
from core.page.log_tab import show_log, show_markdown
from core.page.side_panel import show_prediction
from core.page.wire import BringBack, ShowLog
from core.session import visit as session
from core.session.links import from_query
from core.session.log import MAX_LINES
from core.session.view_state import state_of
from core.session.visit import Visit

NOTE = 99
"""A component that reads the note."""


@pytest.fixture(scope="module")
def tried(context: Context, first: Visit) -> Visit:
    return session.changed(first, session.press(context.bench(first), first, NOTE, "suppress", True))


def line_of(context: Context, v: Visit, **changes: Any) -> dict[str, Any]:
    """What the page keeps of it: its own view state, and what the prediction tells."""
    shown = show_prediction(context, v)
    seen = shown.partition("data-observed='")[2].partition("'")[0]
    state = json.loads(state_of(context.bench(v), v).serialised())
    return {"id": "ab" * 8, "time": 1_764_105_923_456, "state": state, "observed": json.loads(seen)} | changes


def asked(*lines: dict[str, Any]) -> ShowLog:
    return ShowLog.read(json.dumps({"lines": lines, "address": "https://example.org/levers/", "moment": 1.5}))


def test_a_line_says_what_was_expected_what_happened_and_what_is_known(context: Context, tried: Visit) -> None:
    chance, side = {"p": 0.031, "judgement": "good"}, {"spread": 0.65, "selectivity": 5.1}
    line = line_of(context, tried, expectation="it will say dog", verdict="held", chance=chance, side=side)
    drawn = show_log(context, tried, asked(line))
    for words in (
        "“it will say dog”",
        f"suppress #{NOTE}",
        "✓</span> beyond chance, p = 0.03",
        "0.65 logits; target 5.1\u00a0× as far",
    ):
        assert words in drawn
    assert 'data-verdict="held" aria-pressed="true"' in drawn
    assert "data-check" not in drawn
    assert "data-check" in show_log(context, tried, asked(line_of(context, tried)))


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "https://a b", "https://a>b", "", None, "https://" + "a" * 500]
)
def test_an_address_that_is_none_gets_a_sentence(address: object) -> None:
    with pytest.raises(UserError, match="Reload"):
        ShowLog.read(json.dumps({"lines": [], "address": address, "moment": 1.5}))


def test_nothing_is_kept_of_a_page_without_levers(context: Context, first: Visit) -> None:
    assert "data-observed" not in show_prediction(context, first)
    assert "Nothing tried yet" in show_log(context, first, asked())


def test_what_cannot_be_read_is_said(context: Context, tried: Visit) -> None:
    drawn = show_log(context, tried, asked(line_of(context, tried), {}, {"id": 3}))
    assert "2 lines cannot be read here, and are left out" in drawn
    with pytest.raises(UserError, match="Reload"):
        asked(*[{}] * (MAX_LINES + 1))


def test_a_line_is_restored_as_the_page_carries_it(context: Context, first: Visit, tried: Visit) -> None:
    """In place of another edit of the same visit, under a key of its own."""
    later = session.changed(tried, session.press(context.bench(tried), tried, 3, "amplify", True))
    state = line_of(context, tried)["state"] | {"key": "cd" * 16, "tab": "Attribution"}
    outcome = bring_back(context, later, BringBack(state=json.dumps(state), crop="", pressed=False))
    assert (outcome.visit.edit, outcome.visit.comparison) == (tried.edit, tried.comparison)
    assert outcome.notes == ()


def test_a_line_on_a_picture_that_is_not_kept_says_so(context: Context, first: Visit, tried: Visit) -> None:
    own = session.look_at(context.bench(tried), tried, first.trace.crop[::-1].copy(), session.Subject("Your picture"))
    line = line_of(context, own)
    assert f'data-gone="{line["state"]["picture"]["content"]}"' in show_log(context, tried, asked(line))
    state = json.dumps(line["state"] | {"key": "cd" * 16})
    assert BRING_IT_AGAIN in bring_back(context, first, BringBack(state=state, crop="", pressed=False)).notes


def test_the_document_says_the_same(context: Context, tried: Visit) -> None:
    text = "# *not* a | heading\n<script>alert(1)</script> [a](b) `c` \\ &amp; 1. 2)"
    line = line_of(context, tried, expectation=text, chance={"judgement": "open"})
    written = show_markdown(context, tried, asked(line))
    tokens = [one for token in MarkdownIt().parse(written) for one in (token.children or [token])]
    assert {one.type for one in tokens} <= {
        "heading_open", "heading_close", "paragraph_open", "paragraph_close", "bullet_list_open", "bullet_list_close",
        "list_item_open", "list_item_close", "text", "text_special", "softbreak", "link_open", "link_close",
    }  # fmt: skip
    (address,) = (str(one.attrGet("href")) for one in tokens if one.type == "link_open")
    link, notes = from_query(address.removeprefix("https://example.org/levers/?"))
    assert (link.setup, link.example, link.edit, notes) == (tried.setup, tried.subject.example, tried.edit, ())
    read = "".join(one.content for one in tokens)
    assert " ".join(text.split()) in read
    when = datetime.fromtimestamp(line["time"] / 1000, UTC)
    for words in (f"{when:%Y-%m-%d %H:%M} UTC", f"suppress #{NOTE}", "cat", "cannot be told", "Verdict: not given"):
        assert words in read
