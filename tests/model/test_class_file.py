"""Files of classes that people bring: one a line, a table or a list, in whatever encoding, and what cannot be used."""

import csv
import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.model.class_file import MOST_BYTES, read_classes

WORDS = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=12)
NAMES = st.lists(
    WORDS.map(lambda text: unicodedata.normalize("NFC", text)), min_size=2, max_size=8, unique_by=str.casefold
)


def table(names: list[str], head: str, delimiter: str) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow(["id", head])
    writer.writerows([k, name] for k, name in enumerate(names))
    return file.getvalue()


@given(NAMES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_every_form_and_encoding_says_the_same(names: list[str], encoding: str, end: str) -> None:
    assert read_classes(end.join(names).encode(encoding), "names.txt").names == tuple(names)
    assert read_classes(json.dumps(names).encode(encoding), "names.json").names == tuple(names)
    for head, delimiter, name in (("Label", ",", "a.csv"), ("class_name", ";", "A.CSV"), ("name", "\t", "a.tsv")):
        assert read_classes(table(names, head, delimiter).encode(encoding), name).names == tuple(names)


@given(st.binary(max_size=200), st.sampled_from(["txt", "csv", "tsv", "json", ""]))
def test_any_bytes_are_classes_or_a_sentence(data: bytes, ending: str) -> None:
    try:
        found = read_classes(data, f"names.{ending}")
    except UserError as trouble:
        assert "names." in str(trouble)
        assert str(trouble).endswith((".", "?", "]."))
        return
    assert found.names


def test_a_comma_belongs_to_its_name() -> None:
    """Of ImageNet's own synsets, say; a table quotes it."""
    synsets = ("tench, Tinca tinca", "kite", "jack-o'-lantern")
    assert read_classes("\n".join(synsets).encode(), "names.txt").names == synsets
    assert read_classes(json.dumps(synsets).encode(), "names.json").names == synsets
    assert read_classes(b'"tench, Tinca tinca"\nkite\njack-o\'-lantern\n', "names.csv").names == synsets
    assert read_classes(b"dog, cat, owl\n", "names.txt").names == ("dog", "cat", "owl"), "a single line is a list"


def test_a_table_without_a_head_is_all_names() -> None:
    assert read_classes(b"dog;1\ncat;2\n", "names.csv").names == ("dog", "cat")
    assert read_classes(b"LABEL\n", "names.txt").names == ("LABEL",)


def test_empty_lines_and_repetitions_go_with_a_note() -> None:
    found = read_classes(b"\ndog\n\n  \nCat\ncat\n", "names.txt")
    assert found.names == ("dog", "Cat")
    assert found.notes == ("Written more than once, counted once: “Cat”.",)


def test_what_a_spreadsheet_of_the_west_writes_is_read_with_a_note() -> None:
    found = read_classes("Köter\nKätzchen".encode("cp1252"), "names.txt")
    assert found.names == ("Köter", "Kätzchen")
    assert "not UTF-8" in found.notes[0]


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"", "a.txt", "is empty"),
        (b"\n ,\n", "a.txt", "cannot be used: There are no classes"),
        (b"PK\x03\x04\0\0", "a.txt", "is no text"),
        (b'["dog", 3]', "a.json", "is no list of names"),
        (b'{"0": "dog"}', "a.json", "is no list of names"),
        (b"dog\ncat", "a.json", "is no JSON"),
        (b"[" * 5000, "a.json", "is no JSON"),
        (b"a," + b"x" * 140_000, "a.csv", "cannot be read beyond line 1"),
        ("\n".join(map(str, range(2001))).encode(), "a.txt", "2,001 classes. Keep at most 2,000"),
        (b"x" * 201, "a.txt", "has 201 characters. Shorten it to 200"),
        (b"dog\n" * (MOST_BYTES // 4 + 1), "a.txt", "more than 400 KB"),
        (b"label\n", "a.csv", "There are no classes"),
        (b"list:pets\ndog", "a.txt", "no class list “pets”"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_gets_a_clear_sentence(data: bytes, name: str, said: str) -> None:
    with pytest.raises(UserError) as trouble:
        read_classes(data, name)
    assert said in str(trouble.value)
    assert name in str(trouble.value)
