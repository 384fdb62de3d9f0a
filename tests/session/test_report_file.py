"""What a report carries comes back; a report that somebody changed is a sentence, or another state, and never code."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.session.report_file import CROP_ID, MAX_REPORT, SECOND_ID, STATE_NAME, CarriedInquiry, packed, read_report
from core.session.view_state import PictureState, ViewState

STATE = ViewState(
    setup="bundled",
    picture=PictureState(caption='<script>alert("ä")</script>', content="0" * 64),
    classes=("a", "b"),
    templates=("{}",),
    wanted=0,
)
PICTURE = b"RIFF of some kind"


def mark(state: str | None, crop: str | None = base64.b64encode(PICTURE).decode()) -> str:
    """The part of a report that is read."""
    meta = "" if state is None else f'<meta name="{STATE_NAME}" content="{state}">'
    return meta + ("" if crop is None else f'<img id="{CROP_ID}" src="data:image/webp;base64,{crop}" alt="">')


def b64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def read(tmp_path: Path, content: str | bytes) -> CarriedInquiry:
    path = tmp_path / "report.html"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return read_report(path)


def test_what_is_carried_comes_back(tmp_path: Path) -> None:
    assert read(tmp_path, f"<!doctype html>{mark(packed(STATE))}<p>") == CarriedInquiry(STATE, PICTURE, None)


def test_a_report_without_its_picture_has_its_state_still(tmp_path: Path) -> None:
    assert read(tmp_path, mark(packed(STATE), None)) == CarriedInquiry(STATE, None, None)


def test_all_else_of_a_report_is_not_looked_at(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script><base href=//evil>" + "<div>" * 100_000
    assert read(tmp_path, hostile + mark(packed(STATE))) == CarriedInquiry(STATE, PICTURE, None)


def test_a_second_picture_comes_back_beside_the_first(tmp_path: Path) -> None:
    other = base64.b64encode(b"another").decode()
    second = f'<img id="{SECOND_ID}" src="data:image/webp;base64,{other}" alt="">'
    assert read(tmp_path, mark(packed(STATE)) + second) == CarriedInquiry(STATE, PICTURE, b"another")
    with pytest.raises(UserError, match="changed"):
        read(tmp_path, mark(packed(STATE)) + 2 * second)


forged = STATE.model_dump(mode="json") | {"exec": "import os"}


@pytest.mark.parametrize(
    "content",
    [
        "", "<html>", "\0" * 100, "%PDF", mark(None), mark(""), mark("AAA"), mark("===="), mark("/w=="),
        mark(b64("null")), mark(b64("{" * 50_000)), mark(b64('{"a":' * 20_000)), mark(b64(json.dumps(forged))),
        mark(b64(json.dumps(forged | {"wanted": "0"}))), mark(b64("\ud800")),
        mark(packed(STATE)) + mark(packed(STATE)), mark(packed(STATE)) + mark(None),
        mark(packed(STATE), "AAA"), mark(b64(" " * 300_000 + STATE.serialised())), mark("A" * 2_000_000),
    ],
)  # fmt: skip
def test_what_was_changed_is_a_sentence(tmp_path: Path, content: str) -> None:
    with pytest.raises(UserError, match=r"\. Bring the .*\.$"):
        read(tmp_path, content)


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    with path.open("wb") as file:
        file.truncate(MAX_REPORT + 1)
    with pytest.raises(UserError, match="8 MB"):
        read_report(path)


def test_a_file_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.html", tmp_path, Path("a\0b")):
        with pytest.raises(UserError, match="Bring it again"):
            read_report(path)


plain = st.none() | st.integers() | st.floats() | st.text(max_size=5)
values = plain | st.lists(plain, max_size=3) | st.dictionaries(st.sampled_from(["levers", "caption"]), plain)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200)
    | values.map(lambda one: mark(b64(json.dumps(one))).encode())
    | st.tuples(st.sampled_from([*ViewState.model_fields]), values).map(
        lambda pair: mark(b64(json.dumps(STATE.model_dump(mode="json") | dict([pair])))).encode()
    )
    | st.tuples(st.integers(0, 300), st.binary(max_size=4)).map(
        lambda cut: mark(packed(STATE)).encode()[: cut[0]] + cut[1] + mark(packed(STATE)).encode()[cut[0] :]
    )
)
def test_any_report_is_a_valid_state_or_a_sentence(tmp_path: Path, content: bytes) -> None:
    try:
        found = read(tmp_path, content)
    except UserError as trouble:
        assert str(trouble).endswith(".")
    else:
        assert ViewState.parsed(found.state.serialised()) == found.state, "of the types and within the bounds"
