"""Words for numbers: signs are true ones, what rounds to none or to all says so, and lists read as sentences do."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from core.errors import printable
from core.words import count, decimal, in_percent, listed, markdown_table, markdown_text, percent, signed


def test_counts() -> None:
    assert [count(n, "lever") for n in (0, 1, 2)] == ["0 levers", "1 lever", "2 levers"]
    assert count(2, "class", "es") == "2 classes"
    assert count(1, "patch", "es") == "1 patch"


def test_lists() -> None:
    assert [listed("abc"[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


@given(st.floats(-1e6, 1e6), st.integers(1, 4))
def test_a_sign_is_told_of_all_that_does_not_round_to_nothing(value: float, digits: int) -> None:
    said = signed(value, digits)
    assert float(said.translate({ord("−"): "-", ord("±"): None})) == pytest.approx(value, abs=0.51 * 10**-digits)
    assert said[0] == ("±" if float(said[1:]) == 0 else "+" if value > 0 else "−")


def test_decimals() -> None:
    assert (decimal(-1.234), decimal(2), decimal(None)) == ("−1.23", "2.00", "–")


@given(st.floats(0, 1) | st.fractions(0, 1, max_denominator=1000).map(float))
@example(1 / 200)
@example(199 / 200)
def test_only_none_is_0_percent_and_only_all_is_100(share: float) -> None:
    said = percent(share)
    assert (said == "0") == (share == 0)
    assert (said == "100") == (share == 1)
    assert said in ("< 1", "> 99") or float(said) == pytest.approx(100 * share, abs=0.5)
    assert percent(share, "under", "over") == said.replace("<", "under").replace(">", "over")


def test_percent_in_tables() -> None:
    assert (in_percent(0.125), in_percent(0.125, 1), in_percent(None)) == ("12 %", "12.5 %", "–")


@given(st.text(max_size=60))
@example("- a")
@example("\x9b31m\u202ea")
@example("1. a\n===")
@example("![a](b)<c>&amp;`d`~~e~~|_f_*g*\\")
def test_any_text_stays_text_in_markdown(text: str) -> None:
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(f"- x {markdown_text(text)}\n")
    inline = [child for token in tokens for child in token.children or ()]
    assert {one.type for one in inline} <= {"text", "text_special"}
    assert "".join(one.content for one in inline) == f"x {printable(' '.join(text.split()))}".rstrip()


def test_a_table() -> None:
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
