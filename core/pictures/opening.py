"""Opening of whatever pictures somebody names or brings, with their labels, as one collection.

A folder, a zip, files one by one (pictures, zips, and a table of labels among them), a data set of the Hub, or scenes.
Labels are those of a table that is given (`core.pictures.labels`), else of the one table that lies at the root of the
pictures, else the names of the first folders below the root. A data set and scenes have labels of their own.

On a page that anybody can reach there are `Bounds`; then only files are taken, and scenes, so that nobody has the
server read its own folders, or the Hub; unless they say that nobody but its owner reaches that page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..errors import UserError, echo, printable
from ..files import as_text
from ..words import size_in_words
from .archives import OTHER_ARCHIVES, TABLES, Archive, is_archive
from .collection import ENDINGS, Collection, Files, fingerprint, picture_files, scenes_named, spread
from .hub_dataset import DataSetChoice, data_set
from .intake import Bounds, LeftOut, intake
from .labels import LabelRow, LabelTable, from_folders, matched, read_labels
from .read import MAX_PIXELS

_TWICE = "Another picture has the same name, and is taken."


@dataclass
class _Found:
    """What was found where somebody pointed."""

    kind: str
    """Of the collection, for its manifest."""
    name: str
    """Of the folder, of the archive or of the first file."""
    read: Callable[[str], Path | bytes]
    """The file of a picture, or what is in it."""
    size: Callable[[str], int]
    """Bytes of a picture."""
    names: Sequence[str]
    """Of the pictures, sorted."""
    tables: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)
    """What may hold labels, and lies at the root."""
    left_out: tuple[LeftOut, ...] = ()
    """What is no picture."""


def open_pictures(
    given: str | Path | Sequence[Path],
    labels: Path | None = None,
    *,
    bounds: Bounds | None = None,
    may_name: bool = False,
    labelled: bool = True,
    label_column: str | None = None,
    group_column: str | None = None,
    limit: int | None = None,
    choice: DataSetChoice | None = None,
) -> Collection:
    """The pictures that somebody names, or files that somebody brings, with what is known of each.

    `given` is a folder, a zip, a data set (of the Hub, or a folder with its files), `scenes:index`, or files; `limit`
    takes so many of them, evenly spread. Where there are bounds, folders and data sets are refused but for `may_name`.
    Columns are of the table, or of the data set. What was left out, and why, is the collection's `intake`. Raises
    UserError when there are no such pictures, or none at all, when more is given than the bounds allow, and when labels
    were given and cannot be used.
    """
    if isinstance(given, str) and given.startswith("scenes:"):
        if labels is not None:
            raise UserError("Scenes have labels of their own. Leave the file of labels out.")
        return scenes_named(given.partition(":")[2], _most(limit, bounds))
    if bounds is not None and not may_name and (isinstance(given, str) or isinstance(given, Path) and given.is_dir()):
        raise UserError("Folders and data sets can be named in local runs only. Bring files, or a zip.")
    found = _found(given, bounds)
    if found is None:
        if labels is not None:
            raise UserError(
                "A data set has labels of its own. Leave the file of labels out, or name the data set's column."
            )
        chosen = choice or DataSetChoice()
        opened = data_set(str(given), chosen, _most(limit, bounds), labelled, label_column, group_column)
        opened.seconds = None if bounds is None else bounds.seconds
        return opened
    if not found.names:
        why = f" {found.left_out[0][0]}: {found.left_out[0][1]}" if found.left_out else ""
        raise UserError(
            f"There are no pictures in what was given.{why} Bring PNG, JPEG or WebP files, or a zip of them."
        )
    rows, remarks, left_out = _labels(found, labels, label_column, group_column, bounds) if labelled else ({}, [], [])
    return _collection(found, rows, remarks, left_out, bounds, limit)


def _most(limit: int | None, bounds: Bounds | None) -> int | None:
    """So many pictures, where there is a bound at all."""
    return min((n for n in (limit, bounds and bounds.pictures) if n), default=None)


def _collection(
    found: _Found,
    rows: Mapping[str, LabelRow],
    remarks: list[str],
    left_out: list[LeftOut],
    bounds: Bounds | None,
    limit: int | None,
) -> Collection:
    """So many of the pictures as the bounds and the limit allow."""
    names, known = spread(found.names, _most(limit, bounds)), {name: row.known for name, row in rows.items()}
    if len(names) < len(found.names):
        remarks.append(f"{len(names):,} of {len(found.names):,} pictures were taken, spread evenly.")
    n_classes = len({known[name].label for name in names if name in known})
    if bounds is not None and n_classes > bounds.classes:
        known = {}
        remarks.append(f"There are {n_classes:,} different labels, more than {bounds.classes}: none was taken.")
    if known and (without := sum(1 for name in names if name not in known or known[name].label is None)):
        remarks.append(f"{without:,} of {len(names):,} pictures have no label.")
    size = sum(map(found.size, names)) if bounds is not None else 0
    if bounds is not None and size > bounds.unpacked:
        raise UserError(
            f"The pictures take {size_in_words(size)} in all, more than {size_in_words(bounds.unpacked)}. Bring fewer."
        )
    manifest = {
        "kind": found.kind,
        "name": printable(as_text(found.name)),
        "pictures": str(len(names)),
        "fingerprint": fingerprint((name, found.size(name)) for name in names),
    }
    if known:
        manifest["labels"] = fingerprint((f"{name}\0{known[name]}", 0) for name in names if name in known)
    others = {name: row.others for name, row in rows.items() if row.others}
    made = Files(names, found.read, manifest, known, MAX_PIXELS if bounds is None else bounds.pixels, others)
    made.intake = intake(remarks, (*found.left_out, *left_out))
    made.seconds = None if bounds is None else bounds.seconds
    return made


# ---- where the pictures are


def _found(given: str | Path | Sequence[Path], bounds: Bounds | None) -> _Found | None:
    """The pictures, and what else lies there; None for a data set."""
    if not isinstance(given, str | Path):
        return _of_files(list(given), bounds)
    try:
        path = Path(given).expanduser()
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, RuntimeError) as error:  # a path that no system takes, or of nobody's home
        raise UserError(f"There is no folder {echo(given)}. Correct the path.") from error
    if is_folder:
        return _of_folder(path, bounds)
    return _of_files([path], bounds) if is_file else None


def _of_folder(folder: Path, bounds: Bounds | None) -> _Found | None:
    """None for a folder without pictures, which may be that of a data set."""
    names = picture_files(folder, None if bounds is None else bounds.walked)
    if not names:
        return None

    def read(name: str) -> Path:
        return folder / name

    tables = {path.name: partial(_content, path) for path in sorted(folder.iterdir()) if path.suffix.lower() in TABLES}
    return _Found("folder", folder.resolve().name, read, lambda name: _size(read(name)), names, tables)


def _size(path: Path) -> int:
    """Bytes of a file; 0 of one that is not there, such as the end of a broken link: reading it says so."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _of_files(paths: Sequence[Path], bounds: Bounds | None) -> _Found:
    """Files one by one; of several archives, and of archives beside pictures, each is a folder of its own."""
    if not paths:
        raise UserError("No files were given. Bring pictures, or a zip of them.")
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None:
        raise UserError(f"There is no file “{echo(printable(missing.name))}”. Bring it again.")
    if bounds is not None:
        _check_given(paths, bounds)
    read: dict[str, Callable[[], Path | bytes]] = {}
    sizes: dict[str, int] = {}
    tables: dict[str, Callable[[], bytes]] = {}
    left_out: list[LeftOut] = []
    listed = 0
    alone = sum(path.suffix.lower() not in TABLES for path in paths) == 1
    for path in paths:
        ending = path.suffix.lower()
        name, size = printable(path.name), _size(path)
        if is_archive(path):
            try:
                archive = Archive(path, ENDINGS, bounds)
            except UserError as error:
                if alone:
                    raise
                left_out.append((echo(name), str(error)))
                continue
            listed += archive.n_entries
            if bounds is not None and listed > bounds.files:
                raise UserError(f"The archives list more than {bounds.files:,} files together. Bring fewer.")
            folder = "" if alone else f"{printable(path.stem)}/"
            left_out += archive.left_out
            pictures = {folder + inside: info for inside, info in archive.pictures.items()}
            left_out += [(echo(inside), _TWICE) for inside in pictures if inside in read]
            sizes = {inside: info.file_size for inside, info in pictures.items()} | sizes
            read = {inside: partial(archive.read, info) for inside, info in pictures.items()} | read
            tables |= {folder + inside: partial(archive.read, info) for inside, info in archive.tables.items()}
        elif ending in TABLES:
            tables[name] = partial(_content, path)
        elif ending in OTHER_ARCHIVES:
            left_out.append((echo(name), "It is an archive of another kind. Pack the pictures into a zip."))
        elif name in read:
            left_out.append((echo(name), _TWICE))
        elif bounds is not None and size > bounds.each:
            left_out.append((echo(name), f"It has {size_in_words(size)}, more than {size_in_words(bounds.each)}."))
        else:
            read[name], sizes[name] = partial(Path, path), size
    main = next((path for path in paths if path.suffix.lower() not in TABLES), paths[0])
    kind = "archive" if alone and is_archive(main) else "files"
    return _Found(kind, main.name, lambda name: read[name](), sizes.__getitem__, sorted(read), tables, tuple(left_out))


def _check_given(paths: Sequence[Path], bounds: Bounds) -> None:
    """Raise UserError when more is given than the bounds allow."""
    if len(paths) > bounds.files:
        raise UserError(f"{len(paths):,} files were given, more than {bounds.files:,}. Bring fewer.")
    size = sum(map(_size, paths))
    if size > bounds.packed:
        raise UserError(
            f"The files take {size_in_words(size)} in all, more than {size_in_words(bounds.packed)}. Bring fewer."
        )


# ---- what is known of them


def _labels(
    found: _Found, given: Path | None, label_column: str | None, group_column: str | None, bounds: Bounds | None
) -> tuple[Mapping[str, LabelRow], list[str], list[LeftOut]]:
    """What is known of each picture, remarks on that, and what could not be used."""
    left_out: list[LeftOut] = []
    tables: Mapping[str, Callable[[], bytes]] = found.tables
    if given is not None:
        tables = {given.name: partial(_content, given)}
    elif len(found.tables) > 1:
        tables = {}
        why = "It is one of several files that may hold labels. Bring one."
        left_out += [(echo(printable(name)), why) for name in found.tables]
    for name, content in tables.items():
        try:
            data = content()
            if bounds is not None and len(data) > bounds.table:
                raise UserError(
                    f"The file {echo(printable(name))} takes more than {size_in_words(bounds.table)}. Leave lines out."
                )
            table = read_labels(data, name, label_column, group_column)
            rows, unknown = _matched(table, found.names)
        except UserError as trouble:
            if given is not None or label_column is not None:
                raise
            left_out.append((echo(printable(name)), str(trouble)))
        else:
            return rows, [f"Labels are those of {table.name}.", *table.remarks], [*table.left_out, *unknown]
    folders = {name: LabelRow(0, known) for name, known in from_folders(found.names).items()}
    return folders, ["Labels are the names of folders."] if folders else [], left_out


def _matched(table: LabelTable, names: Sequence[str]) -> tuple[Mapping[str, LabelRow], tuple[LeftOut, ...]]:
    """As `matched`. Raises UserError when the table is not that of these pictures at all."""
    rows, unknown = matched(table, names)
    if not rows:
        raise UserError(
            f"The file {table.name} names none of the pictures: it has “{echo(next(iter(table.rows)))}”, say, and they "
            f"are called “{echo(printable(names[0]))}” and so on. Write paths as they are here."
        )
    return rows, unknown


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"The file {echo(path)} cannot be read. Name a CSV or JSONL with the labels.") from error
