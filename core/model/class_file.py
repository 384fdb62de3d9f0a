"""Classes out of a file that somebody brings: names one a line (TXT), in a table (CSV), or as a list (JSON)."""

import csv
import io
import json

from ..errors import UserError, echo, printable
from ..files import decoded
from .prompts import MAX_CLASSES, MAX_TEXT, ClassList, parse_classes

MOST_BYTES = 4 * MAX_TEXT
"""Of a file: more than as many characters of any script take in UTF-8."""
HEADS = ("class", "classes", "class_name", "classname", "name", "names", "label", "labels")
"""How a column of names is headed, in whatever case."""
_DELIMITERS = ",;\t"


def read_classes(data: bytes, name: str) -> ClassList:
    """The classes in a file's bytes, read as `parse_classes` reads them, one a line; `name` is the file's.

    A file whose name ends in .json is a list of names; one that ends in .csv or .tsv a table, of which the first of its
    columns headed so (`HEADS`) counts, or else the first column, all of it. Every other file has one name a line. Notes
    say how it was read. Raises UserError for what is no such file, and for what `parse_classes` refuses.
    """
    name = echo(printable(name))
    if len(data) > MOST_BYTES:
        raise UserError(f"The file {name} has more than {MOST_BYTES // 1000} KB. Keep at most {MAX_CLASSES:,} names.")
    text, guessed = decoded(data)
    if "\0" in text:
        raise UserError(f"The file {name} is no text. Bring names one a line (TXT), in a table (CSV) or a list (JSON).")
    if not text.strip():
        raise UserError(f"The file {name} is empty. Write one name a line into it.")
    ending = name.rpartition(".")[2].lower()
    if ending == "json":
        text = "\n".join(_of_json(text, name))
    elif ending in ("csv", "tsv"):
        text = "\n".join(_of_table(text, name))
    try:
        found = parse_classes(text)
    except UserError as trouble:
        raise UserError(f"The file {name} cannot be used: {trouble}") from trouble
    remark = f"{name} is not UTF-8 and was read as Windows-1252. Save it as UTF-8 if letters are wrong."
    return ClassList(found.names, (*(remark,) * guessed, *found.notes))


def _of_json(text: str, name: str) -> list[str]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f'The file {name} is no JSON. Write a list of names into it: ["dog", "cat"].') from error
    if not isinstance(told, list) or not all(isinstance(one, str) for one in told):
        raise UserError(f'The file {name} is no list of names. Write it so: ["dog", "cat"].')
    return [_one_line(one) for one in told]


def _of_table(text: str, name: str) -> list[str]:
    head = text.lstrip().partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(_DELIMITERS, key=head.count))
    try:
        rows = [cells for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise UserError(
            f"The file {name} cannot be read beyond line {reader.line_num}: {error}. Is a quotation mark missing?"
        ) from error
    heads = [cell.strip().lower() for cell in rows[0]] if rows else []
    named = next((heads.index(one) for one in HEADS if one in heads), None)
    rows, at = (rows, 0) if named is None else (rows[1:], named)
    return [_one_line(cells[at]) for cells in rows if len(cells) > at]


def _one_line(text: str) -> str:
    """A name with its white space as single spaces: it may hold line breaks, which part names elsewhere."""
    return " ".join(text.split())
