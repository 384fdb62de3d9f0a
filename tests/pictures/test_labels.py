"""Tables of labels: CSV and JSONL as people and spreadsheets write them, and whatever else comes in their place."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import UserError
from core.pictures.labels import (
    LONGEST_LABEL,
    MOST_OTHERS,
    Known,
    LabelRow,
    LabelTable,
    comparable,
    matched,
    read_labels,
)


def known(table: LabelTable) -> dict[str, Known]:
    return {path: row.known for path, row in table.rows.items()}


def reasons(table: LabelTable) -> list[str]:
    return [f"{where}: {why}" for where, why in table.left_out]


TABLE = "file_name,label,group\na.png,cat,indoors\nb/c.png,été,\n"
SAID = {"a.png": ("cat", "indoors"), "b/c.png": ("été", None)}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("line", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_encodings_line_ends_and_delimiters_of_spreadsheets(encoding: str, line: str, delimiter: str) -> None:
    table = read_labels(TABLE.replace("\n", line).replace(",", delimiter).encode(encoding), "x.csv")
    assert known(table) == SAID
    assert table.left_out == ()
    assert [("Windows-1252" in remark) for remark in table.remarks] == [True] * (encoding == "cp1252")


def test_objects_by_the_line() -> None:
    rows = [{"file_name": "a.png", "label": "cat", "group": 3}, {"label": None, "file_name": "./b.png", "more": [1]}]
    table = read_labels("\n\n".join(map(json.dumps, rows)).encode(), "x.jsonl")
    assert known(table) == {"a.png": ("cat", "3"), "b.png": (None, None)}


def test_other_columns_are_left_alone_and_named_ones_taken() -> None:
    data = b'id,what,file_name,place,\n1,cat,a.png,"by ""the, sea""",\n2,dog,b.png\n\n3,,c.png,there,,\n'
    assert known(read_labels(data, "x.csv", "what", "place")) == {
        "a.png": ("cat", 'by "the, sea"'),
        "b.png": ("dog", None),
        "c.png": (None, "there"),
    }


def test_other_columns_are_kept_to_group_by_as_far_as_they_could_be_groups() -> None:
    data = f'file_name,label,camera,day,note\na.png,cat, Leica ,3,{"x" * 201}\nb.png,dog,,"4\n",fine\n'
    rows = read_labels(data.encode(), "x.csv").rows
    assert rows["a.png"].others == (("camera", "Leica"), ("day", "3"))
    assert rows["b.png"].others == (("day", "4"), ("note", "fine"))
    lines = json.dumps({"file_name": "a.png", "label": "cat", "boxes": [1], "day": 3, "at": None, "b\0": "c"})
    assert read_labels(lines.encode(), "x.jsonl").rows["a.png"].others == (("day", "3"),)
    wide = ",".join(["file_name", "label", *(f"c{k}" for k in range(60))]) + "\na.png,cat" + ",1" * 60
    assert len(read_labels(wide.encode(), "x.csv").rows["a.png"].others) == MOST_OTHERS


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"  \n ", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"name,label\na.png,cat\n", "no column “file_name”; its first line names “name” and “label”"),
        (b"file_name\na.png\n", "no column “label”"),
        (b"a.png,cat\nb.png,dog\n", "no column “file_name” and “label”; its first line names “a.png” and “cat”"),
        (b"file_name,label,label\na.png,cat,dog\n", "two columns “label”"),
        (b"file_name,label\n", "labels no picture"),
        (b"file_name,label\n,cat\n", "line 2: It has no file_name"),
        (b'[{"file_name": "a.png", "label": "cat"}]', "JSON list"),
        (b'{"file_name": 1\n{', "line 1: It is no JSON object"),
        (b'{"file": "a.png", "label": "cat"}', "It has no file_name"),
        (b'{"file_name": "a.png", "class": "cat"}', "It has no “label”"),
        (b"{" * 200_000, "no JSON object"),
        (b"PK\x03\x04\x00\x00file_name", "no text"),
        ("file_name,label\na.png,cat".encode("utf-16-le"), "no text"),
        (b'file_name,label\na.png,"cat\n' + b"b.png,dog\n" * 20_000, "line .*quotation mark"),
    ],
)
def test_a_table_that_cannot_be_used_is_a_sentence(data: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said) as trouble:
        read_labels(data, "x.csv")
    assert "x.csv" in str(trouble.value)


def test_columns_that_were_named_have_to_be_there() -> None:
    with pytest.raises(UserError, match="no column “what” and “where”"):
        read_labels(TABLE.encode(), "x.csv", "what", "where")
    with pytest.raises(UserError, match="line 1: It has no “where”"):
        read_labels(b'{"file_name": "a.png", "label": "cat"}', "x.jsonl", None, "where")


def test_rows_that_cannot_be_used_are_listed_by_their_line() -> None:
    lines = ["file_name,label", "a.png,cat", "a.png,cat", ",dog", "./a.png,dog", "b.png,x,y", f"c.png,{'long' * 99}",
             '"d.png","two', 'lines"', "e.png,\x1b[31mred", "f.png,fox"]  # fmt: skip
    table = read_labels("\n".join(lines).encode(), "x.csv")
    assert known(table) == {"a.png": ("cat", None), "f.png": ("fox", None)}
    assert reasons(table) == [
        "x.csv, line 3: It names “a.png” again, with the same as line 2, which is taken.",
        "x.csv, line 4: It has no file_name.",
        "x.csv, line 5: It names “a.png” again, with another label or group than line 2, which is taken.",
        "x.csv, line 6: It has 3 columns, and the first line 2.",
        f"x.csv, line 7: Its “label” is longer than {LONGEST_LABEL} characters.",
        "x.csv, line 9: Its “label” holds a line break or a character that cannot be seen.",
        "x.csv, line 10: Its “label” holds a line break or a character that cannot be seen.",
    ]
    nested = b'{"file_name": "a.png", "label": ["cat"]}\n{"file_name": "b.png", "label": "dog"}\n3'
    assert reasons(read_labels(nested, "x.jsonl")) == [
        "x.jsonl, line 1: Its “label” is no text.",
        "x.jsonl, line 3: It is no JSON object.",
    ]


# ---- whatever comes

_VALUES = st.none() | st.text(max_size=8) | st.integers() | st.floats() | st.lists(st.integers(), max_size=2)
_CELLS = st.lists(st.lists(st.text(st.sampled_from("ab./\\ ,;\t\"'\r\n\0\x1bé\u2028{["), max_size=6), max_size=4))


def is_read_or_a_sentence(data: bytes) -> None:
    """Either a sentence, or rows with clean values, and each line accounted for once at most."""
    try:
        table = read_labels(data, "x.csv")
    except UserError as trouble:
        assert str(trouble).endswith((".", "?"))
        return
    assert table.rows
    for path, row in table.rows.items():
        assert path == comparable(path)
        assert all(value is None or value.strip() == value != "" for value in row.known)
    lines = [row.line for row in table.rows.values()]
    assert len(set(lines)) == len(lines)
    assert all(why.endswith(".") for _, why in table.left_out)


@given(st.binary(max_size=200))
@example(b'"')
@example(b"\xff\xfe")
@example(b"\xff\xfe\x00")
@example(b"\xfe\xff\xd8\x00")
def test_any_bytes(data: bytes) -> None:
    is_read_or_a_sentence(data)


@given(st.binary(max_size=60), st.sampled_from(["utf-8", "utf-16", "cp1252"]))
def test_any_bytes_after_a_proper_beginning(data: bytes, encoding: str) -> None:
    is_read_or_a_sentence("file_name,label\na.png,cat\n".encode(encoding) + data)


@given(_CELLS, st.sampled_from(["excel", "excel-tab", "unix"]))
def test_any_cells_as_a_library_writes_them(cells: list[list[str]], dialect: str) -> None:
    stream = io.StringIO()
    csv.writer(stream, dialect).writerows([["file_name", "label"], *cells])
    is_read_or_a_sentence(stream.getvalue().encode())


@given(st.lists(st.dictionaries(st.sampled_from(["file_name", "label", "group", "x"]), _VALUES), max_size=5))
def test_any_objects(rows: list[dict[str, Any]]) -> None:
    is_read_or_a_sentence("\n".join(map(json.dumps, rows)).encode())


_NAMES = st.text(st.sampled_from("abcé "), min_size=1, max_size=3).map(str.strip).filter(bool)
_PATHS = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)
_LABELS = st.none() | st.text(st.sampled_from("xyü,;\"' |"), max_size=5).map(str.strip)


@given(st.dictionaries(_PATHS, st.tuples(_LABELS, _LABELS), min_size=1), st.sampled_from(["csv", "tab", "jsonl"]))
def test_what_was_written_is_read(rows: dict[str, tuple[str | None, str | None]], kind: str) -> None:
    stream = io.StringIO()
    if kind == "jsonl":
        for path, (label, group) in rows.items():
            stream.write(json.dumps({"file_name": path, "label": label, "group": group}) + "\n")
    else:
        writer = csv.writer(stream, "excel-tab" if kind == "tab" else "excel")
        writer.writerows([["file_name", "label", "group"], *([path, *values] for path, values in rows.items())])
    cleaned = {path: Known(label or None, group or None) for path, (label, group) in rows.items()}
    assert known(read_labels(stream.getvalue().encode(), "x")) == cleaned


# ---- matching


def table_of(*paths: str) -> LabelTable:
    return LabelTable("x.csv", {p: LabelRow(n, Known(p, None)) for n, p in enumerate(paths, 2)}, (), ())


def test_rows_find_their_pictures() -> None:
    names = ["cat/1.png", "dog/1.png", "dog/2.png", "cafe\u0301.png"]
    found, left_out = matched(table_of("cat/1.png", "2.png", "data/dog/1.png", "caf\xe9.png"), names)
    assert {name: row.known.label for name, row in found.items()} == {
        "cat/1.png": "cat/1.png",
        "dog/2.png": "2.png",
        "dog/1.png": "data/dog/1.png",
        "cafe\u0301.png": "caf\xe9.png",
    }
    assert left_out == ()


def test_rows_that_name_no_picture_or_several_are_listed() -> None:
    names = ["cat/1.png", "dog/1.png", "dog/2.png"]
    found, left_out = matched(table_of("1.png", "g/2.png", "g.png", "2.png", "dog/2.png", "x/dog/2.png"), names)
    assert list(found) == ["dog/2.png"]
    assert [why for _, why in left_out] == [
        "Several pictures are called “1.png”. Write the whole path.",
        "No picture is called “g/2.png”.",
        "No picture is called “g.png”.",
        "The picture “2.png” is that of line 6, which is taken.",
        "The picture “x/dog/2.png” is that of line 6, which is taken.",
    ]
    assert left_out[0][0] == "x.csv, line 2"


def test_a_path_that_ends_as_several_do_names_none() -> None:
    assert matched(table_of("b/c.png"), ["a/b/c.png", "c.png"])[0] == {}
    assert matched(table_of("c.png"), ["a/b/c.png", "a/c.png"])[0] == {}
    assert matched(table_of("c.png"), ["a/b/c.png", "c.png"])[0] == {"c.png": LabelRow(2, Known("c.png", None))}


def test_many_rows_about_many_pictures_of_one_name_take_no_time() -> None:
    """Each beside each would be half a billion comparisons; so would a row of as many cells as the first line has."""
    names = [f"{number}/1.png" for number in range(5_000)]
    found, left_out = matched(table_of(*(f"x{number}/1.png" for number in range(100_000))), names)
    assert (len(found), len(left_out)) == (0, 100_000)
    table = read_labels(b"file_name,label" + b"," * 100_000 + b"\n" + b"a\n" * 5_000, "x.csv")
    assert (len(table.rows), len(table.left_out)) == (1, 4_999)


@given(st.lists(_PATHS, max_size=6, unique=True), st.lists(_PATHS, max_size=6, unique=True))
def test_every_row_is_matched_once_or_listed_once(paths: list[str], names: list[str]) -> None:
    table = table_of(*paths)
    found, left_out = matched(table, names)
    assert len(found) + len(left_out) == len(paths)
    assert set(found) <= set(names)
    for name, row in found.items():
        label = row.known.label
        assert label is not None
        assert name == label or name.endswith(f"/{label}") or label.endswith(f"/{name}")
        if name in paths:
            assert label == name
