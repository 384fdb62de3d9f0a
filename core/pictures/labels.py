"""Reader of labels of pictures from a table: CSV, or JSONL with an object a line, `file_name,label[,group]`.

1. The text is UTF-8 (with or without a byte order mark), UTF-16 with one, or else Windows-1252, as spreadsheets write.
2. The first line of a CSV names its columns; they are divided by commas, semicolons or tabs.
3. Rows are matched with pictures by their paths (`matched`): the same path, or else the one picture whose path ends as
   the row's, or the row's as the picture's.

What is wrong with the whole table is a UserError; a row that cannot be used is listed by its line, with the reason.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from ..errors import UserError, echo, printable
from ..files import decoded
from ..words import listed
from .intake import LeftOut

FILE_NAME = "file_name"
"""The column that names pictures."""
LONGEST_LABEL = 200
"""Characters of a label, or of a group."""
MOST_OTHERS = 20
"""Columns besides the label and the group that are kept, to group pictures by one of them later."""
_LONGEST_NAME = 4_096
"""Characters of a path."""
_DELIMITERS = (",", ";", "\t")


class Known(NamedTuple):
    """What a table, or a folder's name, says of a picture."""

    label: str | None
    """The class that it shows."""
    group: str | None
    """What else it is told apart by."""


Others = tuple[tuple[str, str], ...]
"""What other columns say of a picture: their names, and what stands there; nothing where nothing does."""


class LabelRow(NamedTuple):
    """A row of a table that can be used."""

    line: int
    """Where it ends in the file, from 1."""
    known: Known
    """Of the picture that it names."""
    others: Others = ()
    """What its other columns say of that."""


@dataclass(frozen=True)
class LabelTable:
    """The rows of a table, before they are matched with pictures."""

    name: str
    """Of its file."""
    rows: Mapping[str, LabelRow]
    """By path, as `comparable` has it."""
    left_out: tuple[LeftOut, ...]
    """Lines that cannot be used."""
    remarks: tuple[str, ...]
    """On the whole."""


def comparable(path: str) -> str:
    """A path as it is compared: slashes, composed letters (NFC), no “./” before it."""
    path = unicodedata.normalize("NFC", path.strip().replace("\\", "/"))
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    return path


def read_labels(data: bytes, name: str, label_column: str | None = None, group_column: str | None = None) -> LabelTable:
    """The labels in a file's bytes. Columns are called label and group by default, of which group may be missing.

    Raises UserError when it is no text, when no row can be used, and when a column is missing.
    """
    name = echo(printable(name))
    text, remarks = _text(data, name)
    start = text.lstrip()[:1]
    if not start:
        raise UserError(f"The file {name} is empty. Write the columns {FILE_NAME} and label into it.")
    if start == "[":
        raise UserError(f"The file {name} is a JSON list. Write one object a line (JSONL), or a CSV.")
    wanted = _Columns(label_column or "label", group_column or "group", group_column is not None)
    rows: dict[str, LabelRow] = {}
    left_out: list[LeftOut] = []
    for line, values in _json_rows(text) if start == "{" else _csv_rows(text, name, wanted):
        where = f"{name}, line {line}"
        if isinstance(values, str):
            left_out.append((where, values))
            continue
        try:
            path, known = wanted.taken(values)
        except UserError as trouble:
            left_out.append((where, str(trouble)))
            continue
        first = rows.setdefault(path, LabelRow(line, known, wanted.others(values)))
        if first.line != line:
            same = "the same as" if first.known == known else "another label or group than"
            left_out.append((where, f"It names “{echo(path)}” again, with {same} line {first.line}, which is taken."))
    if not rows:
        why = f" {left_out[0][0]}: {left_out[0][1]}" if left_out else ""
        raise UserError(f"The file {name} labels no picture.{why} Write a line for each picture.")
    return LabelTable(name, MappingProxyType(rows), tuple(left_out), remarks)


def matched(table: LabelTable, names: Sequence[str]) -> tuple[dict[str, LabelRow], tuple[LeftOut, ...]]:
    """The row of each of the pictures with these names, and the lines that name none of them."""
    by_path = {comparable(name): name for name in names}
    found: dict[str, LabelRow] = {}
    left_out: list[LeftOut] = []
    for path, row in table.rows.items():
        if path in by_path:
            found[by_path[path]] = row
    # Then the others, so that none takes a picture that is called as another row says.
    others = [(path, row) for path, row in table.rows.items() if path not in by_path]
    by_end = _by_end(by_path) if others else {}
    for path, row in others:
        where = f"{table.name}, line {row.line}"
        alike = {by_end.get(path, ""), *(end for end in _ends(path) if end in by_path)} - {""}
        if len(alike) > 1 or None in alike:
            left_out.append((where, f"Several pictures are called “{echo(path)}”. Write the whole path."))
        elif not alike:
            left_out.append((where, f"No picture is called “{echo(path)}”."))
        elif (name := by_path[alike.pop() or ""]) in found:
            left_out.append((where, f"The picture “{echo(path)}” is that of line {found[name].line}, which is taken."))
        else:
            found[name] = row
    return found, tuple(left_out)


def _ends(path: str) -> Iterator[str]:
    """What a path ends with, folder by folder, but for itself: “b/c” and “c” of “a/b/c”."""
    while path := path.partition("/")[2]:
        yield path


def _by_end(paths: Iterable[str]) -> dict[str, str | None]:
    """The path that ends so; None where several do. Thus to match many rows takes no longer than to read them."""
    found: dict[str, str | None] = {}
    for path in paths:
        for end in _ends(path):
            found[end] = None if end in found else path
    return found


class _Columns(NamedTuple):
    """The columns that are looked for."""

    label: str
    group: str
    needs_group: bool

    @property
    def needed(self) -> tuple[str, ...]:
        """Those that have to be there."""
        return (FILE_NAME, self.label, *((self.group,) if self.needs_group else ()))

    def check(self, columns: Sequence[str], name: str) -> None:
        """Raise UserError for one that a CSV lacks."""
        missing = [f"“{echo(column)}”" for column in self.needed if column not in columns]
        twice = [f"“{echo(column)}”" for column in self.needed if columns.count(column) > 1]
        if missing:
            has = listed([f"“{echo(printable(column))}”" for column in columns[:10]] or ["none"])
            raise UserError(
                f"The file {name} has no column {listed(missing)}; its first line names {has}. "
                f"Name the columns {FILE_NAME}, {echo(self.label)} and, where there are any, {echo(self.group)}."
            )
        if twice:
            raise UserError(f"The file {name} has two columns {listed(twice)}. Rename one.")

    def taken(self, values: Mapping[str, Any]) -> tuple[str, Known]:
        """The path in a row, and what it says. Raises UserError when it cannot be used."""
        path = comparable(_plain(values, FILE_NAME, _LONGEST_NAME) or "")
        if not path:
            raise UserError(f"It has no {FILE_NAME}.")
        for column in self.needed[1:]:
            if column not in values:
                raise UserError(f"It has no “{echo(column)}”.")
        label, group = (_plain(values, column, LONGEST_LABEL) for column in (self.label, self.group))
        return path, Known(label, group)

    def others(self, values: Mapping[str, Any]) -> Others:
        """What the other columns of a row say, as far as it is short and plain."""
        found: list[tuple[str, str]] = []
        for column in values:
            if column not in (FILE_NAME, self.label, self.group) and is_plain(column) and len(found) < MOST_OTHERS:
                value = values[column]
                text = str(value).strip() if isinstance(value, str | int | float) else ""
                if is_plain(text):
                    found.append((column, text))
        return tuple(found)


def is_plain(text: str) -> bool:
    """Whether it could be a label or a group: short, all of it to be seen, and not nothing."""
    return 0 < len(text) <= LONGEST_LABEL and printable(text) == text


def _plain(values: Mapping[str, Any], column: str, longest: int) -> str | None:
    """A value as text; None for an empty one."""
    value = values.get(column)
    if value is None:
        return None
    if not isinstance(value, str | int | float):
        raise UserError(f"Its “{echo(column)}” is no text.")
    text = str(value).strip()
    if len(text) > longest:
        raise UserError(f"Its “{echo(column)}” is longer than {longest:,} characters.")
    if printable(text) != text:
        raise UserError(f"Its “{echo(column)}” holds a line break or a character that cannot be seen.")
    return text or None


def _text(data: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    """A file's text, and a remark where its encoding was guessed."""
    text, guessed = decoded(data)
    remarks = (f"{name} is not UTF-8 and was read as Windows-1252. Save it as UTF-8 if letters are wrong.",) * guessed
    if "\0" in text:
        raise UserError(f"The file {name} is no text. Save the labels as a CSV in UTF-8.")
    return text, remarks


_Rows = Iterator[tuple[int, Mapping[str, Any] | str]]
"""Of each row its last line, and its values by column, or why it has none."""


def _csv_rows(text: str, name: str, wanted: _Columns) -> _Rows:
    head = text.lstrip().partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(_DELIMITERS, key=head.count))
    rows = (cells for cells in reader if any(map(str.strip, cells)))
    try:
        columns = [cell.strip() for cell in next(rows, [])]
        wanted.check(columns, name)
        places = {column: columns.index(column) for column in dict.fromkeys(columns) if column}
        for cells in rows:
            if any(map(str.strip, cells[len(columns) :])):
                yield reader.line_num, f"It has {len(cells)} columns, and the first line {len(columns)}."
            else:  # spreadsheets leave empty cells out at the end of a line, or add some
                yield reader.line_num, {column: "".join(cells[at : at + 1]) for column, at in places.items()}
    except csv.Error as error:
        raise UserError(
            f"The file {name} cannot be read beyond line {reader.line_num}: {error}. Is a quotation mark missing?"
        ) from error


def _json_rows(text: str) -> _Rows:
    for number, line in enumerate(io.StringIO(text), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, dict):
            yield number, values
        else:
            yield number, "It is no JSON object."


def from_folders(names: Iterable[str]) -> dict[str, Known]:
    """Labels from the first folder of each path; pictures in none have none, nor in one whose name is too long."""
    parts = ((name, *name.partition("/")) for name in names)
    return {
        name: Known(printable(first), None) for name, first, slash, _ in parts if slash and len(first) <= LONGEST_LABEL
    }
