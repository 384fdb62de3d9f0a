"""Hostile archives: what is bad is listed or refused with a sentence, what is good is read, nothing is written."""

import io
import os
import stat
import struct
import tracemalloc
import unicodedata
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from core.errors import UserError
from core.model.prompts import MAX_CLASSES
from core.pictures.batches import batches
from core.pictures.collection import Collection
from core.pictures.intake import MOST_LISTED, Bounds
from core.pictures.opening import open_pictures


def encoded(shown: Image.Image, form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    shown.save(stream, form)
    return stream.getvalue()


def picture(side: int = 4, form: str = "PNG") -> bytes:
    return encoded(Image.new("RGB", (side, side), (9, 99, 199)), form)


GOOD = picture()


def info_of(name: str, **fields: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def packed(entries: Sequence[tuple[str | zipfile.ZipInfo, bytes]]) -> bytes:
    """A zip of entries, in their order; names may repeat."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(info_of(name) if isinstance(name, str) else name, data)
    return stream.getvalue()


CENTRAL, LOCAL = b"PK\x01\x02", b"PK\x03\x04"


def patched(data: bytes, entry: int, field: int, form: str, value: int, *, local: int | None = None) -> bytes:
    """A zip with a field of an entry's record in the directory set, and maybe the one in the record beside its data.

    `field` is its offset there (APPNOTE 4.3.12), `local` that of its twin (4.3.7).
    """
    changed = bytearray(data)
    for mark, offset in ((CENTRAL, field), (LOCAL, local)):
        if offset is not None:
            at = -1
            for _ in range(entry + 1):
                at = data.index(mark, at + 1)
            struct.pack_into(form, changed, at + offset, value)
    return bytes(changed)


def written(folder: Path, data: bytes) -> Path:
    path = folder / "given.zip"
    path.write_bytes(data)
    return path


def read(collection: Collection) -> tuple[list[str], dict[str, str]]:
    """Names of the pictures that can be read, and why the others cannot."""
    found = list(batches(collection, lambda seen: np.asarray(seen.resize((2, 2))), 4, range(collection.n_parts)))
    assert all(b.crops.shape[1:] == (2, 2, 3) for b in found)
    return [name for b in found for name in b.names], {name: why for b in found for name, why in b.troubles}


def everything_there(folder: Path) -> list[object]:
    """What is in a folder, and what lies beside it."""
    return [
        *sorted((str(path), path.lstat().st_size) for path in folder.rglob("*")),
        *sorted(os.listdir(folder.parent)),
    ]


LINK = info_of("link.png", external_attr=(stat.S_IFLNK | 0o777) << 16)
DEVICE = info_of("device.png", external_attr=(stat.S_IFBLK | 0o777) << 16)
BZIP2 = info_of("bzip2.png", compress_type=zipfile.ZIP_BZIP2)
LZMA = info_of("lzma.png", compress_type=zipfile.ZIP_LZMA)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("../up.png", GOOD, "leads out"),
        ("a/../../up.png", GOOD, "leads out"),
        ("..\\up.png", GOOD, "leads out"),
        ("/etc/root.png", GOOD, "leads out"),
        ("\\\\server\\share\\a.png", GOOD, "leads out"),
        ("C:\\windows\\a.png", GOOD, "leads out"),
        ("C:a.png", GOOD, "leads out"),
        (LINK, b"/etc/passwd", "link"),
        (DEVICE, b"", "device"),
        ("in/other.zip", packed([("a.png", GOOD)]), "archive within"),
        ("in/other.tar.gz", b"", "archive within"),
        ("words.txt", b"some", "no picture, by its name"),
        ("deep/" * 9 + "a.png", GOOD, "8 folders deep"),
        ("long" * 300 + ".png", GOOD, "longer than 1,000"),
        (BZIP2, bytes(10**6), "unusual way"),
        (LZMA, bytes(10**6), "unusual way"),
        ("zeros.bmp", bytes(3 * 10**6), "200 times its size"),
        ("huge.bmp", os.urandom(1000) * 22_000, "more than 21.0 MB"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else None,
)
def test_a_bad_entry_is_listed_and_the_good_one_read(
    name: str | zipfile.ZipInfo, data: bytes, said: str, tmp_path: Path
) -> None:
    given_file = written(tmp_path, packed([("good.png", GOOD), (name, data)]))
    before = everything_there(tmp_path)
    found = open_pictures([given_file], bounds=Bounds())
    assert read(found) == (["good.png"], {})
    [(left_out, why)] = found.intake.left_out
    assert said in why
    assert why.endswith(".")
    shown = (name if isinstance(name, str) else name.filename).replace("\\", "/")
    assert left_out == shown if len(shown) <= 100 else left_out == shown[:99] + "…"
    assert everything_there(tmp_path) == before


def test_hidden_files_of_systems_are_not_missed(tmp_path: Path) -> None:
    names = ["x/good.png", "x/", "__MACOSX/x/._good.png", "x/.DS_Store", ".git/a.png", "x/Thumbs.db", "empty\\"]
    found = open_pictures([written(tmp_path, packed([(name, GOOD) for name in names]))])
    assert read(found) == (["good.png"], {})
    assert found.intake.left_out == ()


def test_of_two_entries_of_one_path_the_first_is_taken(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        data = packed([("a.png", GOOD), ("b/../a.png", GOOD), ("./a.png", b"x"), ("a.png", b"y")])
    found = open_pictures([written(tmp_path, data)])
    assert read(found) == (["a.png"], {})
    assert [name for name, _ in found.intake.left_out] == ["b/../a.png", "./a.png", "a.png"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: patched(data, 1, 8, "<H", 1, local=6), "encrypted"),
        (lambda data: patched(data, 1, 24, "<I", 2 * 10**9, local=22), "unpacks to 2.0 GB"),
    ],
)
def test_claims_that_are_looked_at_first(damage: Callable[[bytes], bytes], said: str, tmp_path: Path) -> None:
    data = damage(packed([("good.png", GOOD), ("bad.png", GOOD)]))
    for bounds in (None, Bounds()):
        found = open_pictures([written(tmp_path, data)], bounds=bounds)
        assert read(found) == (["good.png"], {})
        [(name, why)] = found.intake.left_out
        assert (name, said in why) == ("bad.png", True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: patched(data, 1, 16, "<I", 12345, local=14),  # the checksum
        lambda data: patched(data, 1, 24, "<I", 10, local=22),  # a size less than the true one
        lambda data: patched(data, 1, 20, "<I", 10, local=18),  # a packed size less than the true one
        lambda data: patched(data, 1, 42, "<I", 0),  # where another entry lies
        lambda data: patched(data, 1, 42, "<I", 10**9),  # where nothing is
        lambda data: patched(data, 1, 8, "<H", 0x20, local=6),  # a patch of another file
        lambda data: patched(data, 1, 10, "<H", 0, local=8),  # deflated, and said to be stored
    ],
    ids=["checksum", "size", "packed size", "offset", "far offset", "patch", "stored"],
)
def test_what_is_damaged_within_is_trouble_by_name_when_it_is_read(
    damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    data = damage(packed([("good.png", GOOD), ("bad.png", GOOD), ("last.png", b"no picture")]))
    found = open_pictures([written(tmp_path, data)], bounds=Bounds())
    good, troubles = read(found)
    assert good == ["good.png"]
    assert set(troubles) == {"bad.png", "last.png"}
    assert "not a picture" in troubles["last.png"]
    assert "Pack it anew" in troubles["bad.png"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "cannot be read as a zip"),
        (b"PK\x03\x04" + bytes(100), "cannot be read as a zip"),
        (b"Rar!\x1a\x07\x01\x00" + bytes(100), "cannot be read as a zip"),
        (packed([("a.png", GOOD)])[:-30], "cannot be read as a zip"),
        (packed([]), "no pictures"),
        (packed([("notes.txt", b"x")]), "notes.txt: It is no picture"),
        (packed([("../a.png", GOOD)]), "leads out"),
    ],
)
def test_an_archive_without_pictures_is_a_sentence(data: bytes, said: str, tmp_path: Path) -> None:
    for bounds in (None, Bounds()):
        with pytest.raises(UserError, match=said):
            open_pictures([written(tmp_path, data)], bounds=bounds)


def test_ten_thousand_tiny_files_are_refused_before_they_are_listed(tmp_path: Path) -> None:
    data = packed([(f"{number:05d}.png", GOOD) for number in range(10_000)])
    with pytest.raises(UserError, match="10,000 files, more than 5,000"):
        open_pictures([written(tmp_path, data)], bounds=Bounds())
    found = open_pictures([written(tmp_path, data)])
    assert (found.size, found.n_parts) == (10_000, 40)


def test_no_more_of_a_directory_is_read_than_the_bounds_allow(tmp_path: Path) -> None:
    """Names of 60,000 letters: ten megabytes of directory in a file of as many, for 170 entries."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(170):
            archive.writestr(f"{number:03d}{'a' * 60_000}.png", b"")
    path = written(tmp_path, stream.getvalue())
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="lists too many files"):
            open_pictures([path], bounds=Bounds())
        assert tracemalloc.get_traced_memory()[1] < 2 * 10**6
    finally:
        tracemalloc.stop()


def test_entries_that_share_their_bytes_are_bounded_by_what_they_claim(tmp_path: Path) -> None:
    """A "better zip bomb" (D. Fifield, WOOT 2019) claims gigabytes in a few kilobytes: here by one entry's data."""
    one = packed([("000.bmp", os.urandom(100_000) + bytes(15 * 10**6))])
    at = one.index(CENTRAL)
    record, end = one[at : one.index(b"PK\x05\x06")], one[one.index(b"PK\x05\x06") :]
    many = b"".join(record.replace(b"000.bmp", b"%03d.bmp" % number) for number in range(60))
    data = one[:at] + many + end[:8] + struct.pack("<HHII", 60, 60, len(many), at) + end[20:]
    with pytest.raises(UserError, match=r"906\.0 MB in all, more than 524\.3 MB"):
        open_pictures([written(tmp_path, data)], bounds=Bounds())


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"packed": 100}, "more than 100 bytes"),
        ({"files": 2}, "3 files, more than 2"),
        ({"unpacked": 100}, "in all, more than 100 bytes"),
    ],
)
def test_bounds_of_the_whole(bounds: dict[str, int], said: str, tmp_path: Path) -> None:
    data = packed([(f"{number}.png", GOOD) for number in range(3)])
    with pytest.raises(UserError, match=said):
        open_pictures([written(tmp_path, data)], bounds=replace(Bounds(), **bounds))


def test_archives_list_no_more_files_together_than_one_may(tmp_path: Path) -> None:
    paths = []
    for number in range(3):
        path = tmp_path / f"{number}.zip"
        path.write_bytes(packed([(f"{inside}.png", GOOD) for inside in range(4)]))
        paths.append(path)
    assert open_pictures(paths, bounds=replace(Bounds(), files=12)).size == 12
    with pytest.raises(UserError, match="more than 11 files together"):
        open_pictures(paths, bounds=replace(Bounds(), files=11))


def test_a_bad_archive_among_files_is_listed(tmp_path: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04")
    (tmp_path / "good.png").write_bytes(GOOD)
    found = open_pictures([tmp_path / "bad.zip", tmp_path / "good.png"], bounds=Bounds())
    assert read(found) == (["good.png"], {})
    [(name, why)] = found.intake.left_out
    assert (name, "cannot be read as a zip" in why) == ("bad.zip", True)


def test_of_too_many_labels_none_is_taken(tmp_path: Path) -> None:
    data = packed([(f"{number}/a.png", GOOD) for number in range(5)])
    found = open_pictures([written(tmp_path, data)], bounds=replace(Bounds(), classes=4))
    assert (found.size, found.classes) == (5, ())
    assert "There are 5 different labels, more than 4: none was taken." in found.intake.remarks
    assert len(open_pictures([written(tmp_path, data)], bounds=replace(Bounds(), classes=5)).classes) == 5
    assert Bounds().classes == MAX_CLASSES  # what can be asked about a picture


def test_names_that_cannot_be_told_apart_are_one(tmp_path: Path) -> None:
    found = open_pictures([written(tmp_path, packed([("a\x01.png", GOOD), ("a\x02.png", b"")]))])
    assert read(found) == (["a\N{REPLACEMENT CHARACTER}.png"], {})
    assert found.intake.n_left_out == 1


def test_of_too_many_pictures_some_are_taken_from_all_over(tmp_path: Path) -> None:
    data = packed([(f"{label}/{number}.png", GOOD) for label in "abc" for number in range(4)])
    found = open_pictures([written(tmp_path, data)], bounds=replace(Bounds(), pictures=6))
    assert read(found)[0] == ["a/0.png", "a/2.png", "b/0.png", "b/2.png", "c/0.png", "c/2.png"]
    assert "6 of 12 pictures were taken, spread evenly." in found.intake.remarks


def test_pixels_and_bytes_of_each_picture(tmp_path: Path) -> None:
    noise = encoded(Image.effect_noise((64, 64), 50))
    data = packed([("small.png", GOOD), ("large.png", picture(50)), ("noise.png", noise)])
    found = open_pictures([written(tmp_path, data)], bounds=replace(Bounds(), pixels=400, each=1_500))
    good, troubles = read(found)
    assert good == ["small.png"]
    assert "too many megapixels: 0, more than 0.0004" in troubles["large.png"]
    assert [name for name, _ in found.intake.left_out] == ["noise.png"]


def test_what_time_does_not_suffice_for_is_listed(tmp_path: Path) -> None:
    data = packed([(f"{number}.png", GOOD) for number in range(5)])
    found = open_pictures([written(tmp_path, data)], bounds=replace(Bounds(), seconds=-1))
    good, troubles = read(found)
    assert (good, list(troubles)) == ([], ["0.png", "1.png", "2.png", "3.png", "4.png"])
    assert set(troubles.values()) == {"It was not read within -1 s."}


def test_a_listing_names_the_first_and_counts_the_others(tmp_path: Path) -> None:
    data = packed([("good.png", GOOD), *((f"{number:04d}.txt", b"") for number in range(300))])
    found = open_pictures([written(tmp_path, data)], bounds=Bounds()).intake
    assert (len(found.left_out), found.n_left_out) == (MOST_LISTED, 300)


def test_two_gigabytes_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.zip"
    with path.open("wb") as file:
        file.truncate(2 * 10**9)
    with pytest.raises(UserError, match=r"2\.0 GB in all, more than 209\.7 MB"):
        open_pictures([path], bounds=Bounds())
    with pytest.raises(UserError, match="cannot be read as a zip"):
        open_pictures(path)


class Pipe(io.RawIOBase):
    """What a zip is written into that cannot go back: sizes and checksums follow the data of each entry."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += data
        return len(data)


def test_archives_as_other_programs_write_them(tmp_path: Path) -> None:
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        archive.comment = b"made by hand"
        archive.writestr("stored.png", GOOD, zipfile.ZIP_STORED)
        archive.writestr("deflated.png", GOOD, zipfile.ZIP_DEFLATED)
        with archive.open("large.png", "w", force_zip64=True) as file:
            file.write(GOOD)
    for data in (bytes(pipe.data), b"#!/bin/unpacks-itself" + pipe.data):
        for bounds in (None, Bounds()):
            found = open_pictures([written(tmp_path, data)], bounds=bounds)
            assert read(found) == (["deflated.png", "large.png", "stored.png"], {})
            assert found.intake.left_out == ()


def test_threads_read_one_archive_at_a_time(tmp_path: Path) -> None:
    shades = {f"{number:03d}.png": Image.new("L", (8, 8), number) for number in range(200)}
    found = open_pictures([written(tmp_path, packed([(name, encoded(shade)) for name, shade in shades.items()]))])
    seen = batches(found, lambda one: np.asarray(one)[:2, :2], 16, range(found.n_parts), workers=4)
    assert [int(crop[0, 0, 0]) for batch in seen for crop in batch.crops] == list(range(200))


def test_names_of_other_systems(tmp_path: Path) -> None:
    """Windows' own zips have backslashes; macOS' has UTF-8 that does not say so; DOS had code page 437."""
    data = packed([("a\\1.png", GOOD), ("b/XX.png", GOOD), ("c/X.png", GOOD)])
    data = data.replace(b"XX", "ß".encode()).replace(b"X", "ß".encode("cp437"))
    assert read(open_pictures([written(tmp_path, data)]))[0] == ["a/1.png", "b/ß.png", "c/ß.png"]


# ---- whatever comes

_PARTS = st.sampled_from(["..", ".", "", "a", "b.png", "C:", "\\", "ä", "\u202e", "\x1b[2J", "\n", "~", "é" * 60])
_PATHS = st.lists(_PARTS, max_size=5).map("/".join).map(lambda path: f"{path}.png")
_FIELDS = st.tuples(st.integers(0, 3), st.sampled_from([4, 6, 8, 10, 16, 20, 24, 28, 30, 32, 36, 38, 40, 42, 44]),
                    st.integers(0, 65_535))  # fmt: skip
_ANY_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def is_read_or_a_sentence(folder: Path, data: bytes, bounds: Bounds | None) -> None:
    """Whatever the archive is, each of its pictures is read or told of by name, and nothing is written."""
    path = written(folder, data)
    before = everything_there(folder)
    try:
        found = open_pictures([path], bounds=bounds)
    except UserError as trouble:
        assert str(trouble).endswith(".")
    else:
        good, troubles = read(found)
        assert len(good) + len(troubles) == found.size
        assert len(set(good) | set(troubles)) <= found.size
        for name in (*good, *troubles, *(name for name, _ in found.intake.left_out)):
            assert not {"Cc", "Cs", "Zl", "Zp"} & set(map(unicodedata.category, name))
            assert not name.startswith("/") or name not in good
            assert ".." not in name.split("/") or name not in good
        assert all(why.endswith(".") for why in (*troubles.values(), *(why for _, why in found.intake.left_out)))
    assert everything_there(folder) == before


@_ANY_FOLDER
@given(names=st.lists(_PATHS, max_size=4, unique=True), bounds=st.sampled_from([None, Bounds()]))
def test_any_paths(names: list[str], bounds: Bounds | None, tmp_path: Path) -> None:
    is_read_or_a_sentence(tmp_path, packed([("fine.png", GOOD), *((name, GOOD) for name in names)]), bounds)


WHOLE = packed([("a/1.png", GOOD), ("a/2.jpg", picture(8, "JPEG")), ("b/3.webp", picture(8, "WEBP")), ("l.csv", b"x")])


@_ANY_FOLDER
@given(fields=st.lists(_FIELDS, min_size=1, max_size=4), bounds=st.sampled_from([None, Bounds()]))
def test_any_lies_of_the_directory(fields: list[tuple[int, int, int]], bounds: Bounds | None, tmp_path: Path) -> None:
    data = WHOLE
    for entry, field, value in fields:
        if data.count(CENTRAL) > entry:
            data = patched(data, entry, field, "<H", value)
    is_read_or_a_sentence(tmp_path, data, bounds)


@_ANY_FOLDER
@given(
    damage=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, len(WHOLE)) | st.none(),
)
def test_any_damage(damage: list[tuple[int, int]], cut: int | None, tmp_path: Path) -> None:
    broken = bytearray(WHOLE)
    for place, value in damage:
        broken[place] = value
    is_read_or_a_sentence(tmp_path, bytes(broken[:cut]), Bounds())
