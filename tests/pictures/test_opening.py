"""Opening of what somebody brings: folders, zips and files with labels, within bounds; what is left out is listed."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from core.pictures.batches import batches
from core.pictures.collection import Collection
from core.pictures.intake import Bounds
from core.pictures.opening import open_pictures
from core.pictures.options import CollectionOptions, LabelledOptions
from core.scenes.scene import CLASSES


def picture(shade: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (6, 5), (shade, shade, shade)).save(stream, "PNG")
    return stream.getvalue()


def crop(seen: Image.Image) -> np.ndarray:
    return np.asarray(seen.resize((2, 2)))


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def known(collection: Collection) -> dict[str, tuple[str | None, str | None]]:
    """Label and group of each picture that can be read, by name."""
    found = batches(collection, crop, 4, range(collection.n_parts))
    return {n: (la, g) for b in found for n, la, g in zip(b.names, b.labels, b.groups, strict=True)}


def test_a_zip_of_folders_is_labelled_by_them_below_its_single_root(tmp_path: Path) -> None:
    files = {
        "all/cat/1.png": picture(1),
        "all/dog/big/2.png": picture(2),
        "all/3.png": picture(3),
        "all/notes.txt": b"x",
    }
    found = open_pictures(zipped(tmp_path / "a.zip", files), bounds=Bounds())
    assert known(found) == {"3.png": (None, None), "cat/1.png": ("cat", None), "dog/big/2.png": ("dog", None)}
    assert found.classes == ("cat", "dog")
    assert found.intake.left_out == (("all/notes.txt", "It is no picture, by its name."),)
    assert found.intake.remarks == ("Labels are the names of folders.", "1 of 3 pictures have no label.")
    assert (found.manifest["kind"], found.manifest["name"]) == ("archive", "a.zip")


def test_options_of_a_command(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/1.png").write_bytes(picture())
    assert known(LabelledOptions(str(tmp_path)).open()) == {"cat/1.png": ("cat", None)}
    (tmp_path / "x.csv").write_text("file_name,what,where\ncat/1.png,dog,here\n")
    options = LabelledOptions(str(tmp_path), labels=tmp_path / "x.csv", label_column="what", group_column="where")
    assert known(options.open()) == {"cat/1.png": ("dog", "here")}


def test_a_public_page_opens_no_folder_and_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(picture())
    for given in (tmp_path, str(tmp_path), str(tmp_path / "1.png"), "owner/pictures", [tmp_path]):
        with pytest.raises(UserError):
            open_pictures(given, bounds=Bounds())


# ---- files, and several archives


def written(folder: Path, files: dict[str, bytes]) -> list[Path]:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return [folder / name for name in files]


def test_files_one_by_one_with_a_table_among_them(tmp_path: Path) -> None:
    files = dict.fromkeys(("x/a.png", "y/b.jpg", "z/a.png", "x/no-ending"), picture())
    files |= {"x/labels.csv": b"file_name,label\na.png,cat\n", "x/old.rar": b"", "y/broken.png": picture()[:40]}
    found = open_pictures(written(tmp_path, files), bounds=Bounds())
    assert known(found) == {"a.png": ("cat", None), "b.jpg": (None, None), "no-ending": (None, None)}
    assert found.size == 4
    assert found.intake.left_out == (
        ("a.png", "Another picture has the same name, and is taken."),
        ("old.rar", "It is an archive of another kind. Pack the pictures into a zip."),
    )
    assert found.intake.remarks == ("Labels are those of labels.csv.", "3 of 4 pictures have no label.")
    assert found.manifest["kind"] == "files"


def test_an_archive_beside_others_is_a_folder_of_its_own(tmp_path: Path) -> None:
    zips = [zipped(tmp_path / f"{name}.zip", {"1.png": picture(), "in/2.png": picture()}) for name in ("cat", "dog")]
    assert known(open_pictures([*zips, *written(tmp_path, {"3.png": picture()})])) == {
        "3.png": (None, None),
        "cat/1.png": ("cat", None),
        "cat/in/2.png": ("cat", None),
        "dog/1.png": ("dog", None),
        "dog/in/2.png": ("dog", None),
    }


def test_an_archive_is_known_by_its_beginning(tmp_path: Path) -> None:
    path = zipped(tmp_path / "pictures", {"cat/1.png": picture(), "dog/1.png": picture()})
    for given in (path, str(path), [path]):
        assert known(open_pictures(given)) == {"cat/1.png": ("cat", None), "dog/1.png": ("dog", None)}


@pytest.mark.parametrize(("given", "said"), [([], "No files"), ([Path("no/such.png")], "no file “such.png”")])
def test_nothing_is_a_sentence(given: list[Path], said: str) -> None:
    for bounds in (None, Bounds()):
        with pytest.raises(UserError, match=said):
            open_pictures(given, bounds=bounds)


def test_a_broken_link_in_a_folder_is_a_picture_that_cannot_be_read(tmp_path: Path) -> None:
    written(tmp_path, {"a.png": picture()})
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    found = open_pictures(tmp_path)
    assert known(found) == {"a.png": (None, None)}
    assert [piece.trouble for piece in found.part(0) if piece.picture is None] == [
        "The file “b.png” cannot be opened. Upload the picture again."
    ]


@pytest.mark.parametrize("path", ["x" * 5_000, "~nobody-of-this-name/x", "a\0b"])
def test_a_path_that_no_system_takes_is_a_sentence(path: str) -> None:
    with pytest.raises(UserError):
        open_pictures(path)


def test_a_file_that_is_too_large_is_listed(tmp_path: Path) -> None:
    files = written(tmp_path, {"a.png": picture(), "b.bmp": bytes(2_000)})
    found = open_pictures(files, bounds=replace(Bounds(), each=1_000))
    assert found.size == 1
    assert found.intake.left_out == (("b.bmp", "It has 2.0 kB, more than 1.0 kB."),)


# ---- where labels come from

CATS_AND_DOGS = {"cat/1.png": picture(), "dog/2.png": picture(), "3.png": picture()}
BY_FOLDER = {"cat/1.png": ("cat", None), "dog/2.png": ("dog", None), "3.png": (None, None)}
TABLE = b"file_name,label,group\ncat/1.png,lion,zoo\n3.png,fox,wood\n4.png,owl,wood\n"
BY_TABLE = {"cat/1.png": ("lion", "zoo"), "dog/2.png": (None, None), "3.png": ("fox", "wood")}


@pytest.mark.parametrize("as_zip", [True, False])
def test_a_table_at_the_root_goes_before_folders_and_one_that_is_given_before_that(
    as_zip: bool, tmp_path: Path
) -> None:
    def opened(files: dict[str, bytes], **options: Any) -> Collection:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        if as_zip:
            return open_pictures(
                zipped(folder / "x.zip", {f"x/{name}": data for name, data in files.items()}), **options
            )
        written(folder, files)
        return open_pictures(folder, **options)

    assert known(opened(CATS_AND_DOGS)) == BY_FOLDER
    assert known(opened(CATS_AND_DOGS, labelled=False)) == dict.fromkeys(BY_FOLDER, (None, None))
    found = opened({**CATS_AND_DOGS, "metadata.csv": TABLE})
    assert known(found) == BY_TABLE
    assert found.classes == ("fox", "lion")
    assert found.intake.left_out == (("metadata.csv, line 4", "No picture is called “4.png”."),)
    assert found.manifest["labels"] != opened(CATS_AND_DOGS).manifest["labels"]
    assert "labels" not in opened(CATS_AND_DOGS, labelled=False).manifest

    [given] = written(tmp_path, {"given.jsonl": b'{"file_name": "2.png", "label": "wolf"}'})
    found = opened({**CATS_AND_DOGS, "metadata.csv": TABLE}, labels=given)
    assert known(found)["dog/2.png"] == ("wolf", None)
    assert known(found)["3.png"] == (None, None)

    for useless in (b"a,b\n1,2\n", b"file_name,label\nno.png,cat\n", b"\0"):
        found = opened({**CATS_AND_DOGS, "results.csv": useless})
        assert known(found) == BY_FOLDER
        [(name, why)] = found.intake.left_out
        assert name == "results.csv"
        assert why.endswith(".")
    found = opened({**CATS_AND_DOGS, "a.csv": TABLE, "b.csv": TABLE})
    assert known(found) == BY_FOLDER
    assert [name for name, _ in found.intake.left_out] == ["a.csv", "b.csv"]


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        (b"a,b\n1,2\n", {}, "no column “file_name” and “label”"),
        (b"file_name,label\nno.png,cat\n", {}, "names none of the pictures: it has “no.png”.*called “3.png”"),
        (TABLE, {"label_column": "class"}, "no column “class”"),
        (TABLE * 30_000, {"bounds": Bounds()}, "more than 524.3 kB"),
        (None, {}, "cannot be read"),
    ],
)
def test_labels_that_were_given_and_cannot_be_used_are_a_sentence(
    data: bytes | None, options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = zipped(tmp_path / "x.zip", CATS_AND_DOGS)
    if data is not None:
        (tmp_path / "y.csv").write_bytes(data)
    with pytest.raises(UserError, match=said):
        open_pictures([path], tmp_path / "y.csv", **options)


def test_labels_are_matched_before_some_pictures_are_taken(tmp_path: Path) -> None:
    """So that lines about pictures beyond the limit are not taken for lines about none."""
    written(tmp_path, {f"{number}.png": picture() for number in range(9)})
    written(tmp_path, {"x.csv": b"file_name,label\n" + b"".join(b"%d.png,cat\n" % number for number in range(9))})
    found = open_pictures(tmp_path, limit=3)
    assert known(found) == {f"{number}.png": ("cat", None) for number in (0, 3, 6)}
    assert found.intake.left_out == ()
    assert found.intake.remarks == ("Labels are those of x.csv.", "3 of 9 pictures were taken, spread evenly.")


def test_scenes_bring_their_own_labels(tmp_path: Path) -> None:
    found = open_pictures("scenes:index", bounds=replace(Bounds(), pictures=4))
    assert found.size == 4
    assert found.classes == CLASSES
    assert all(label in CLASSES and group for label, group in known(found).values())
    with pytest.raises(UserError, match="of their own"):
        open_pictures("scenes:index", tmp_path / "x.csv")


# ---- data sets


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows with a class of a number, a text, a number, and a list."""
    folder = tmp_path_factory.mktemp("parquet")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "kind": datasets.ClassLabel(names=["cat", "dog"]),
            "label": datasets.Value("string"),
            "group": datasets.Value("int32"),
            "boxes": [datasets.Value("float32")],
        }
    )
    rows = [
        {
            "image": {"bytes": picture(), "path": f"in/{number}.png" if number else None},
            "kind": (0, 1, -1)[number],
            "label": ("a", " ", None)[number],
            "group": (7, None, 8)[number],
            "boxes": [1.0],
        }
        for number in range(3)
    ]
    datasets.Dataset.from_list(rows, features=features).to_parquet(folder / "train.parquet")
    return folder


def test_a_data_set_is_labelled_by_its_classes(parquet: Path) -> None:
    found = LabelledOptions(str(parquet)).open()
    assert found.classes == ("cat", "dog")
    assert known(found) == {
        "train/0/0": ("cat", "7"),
        "train/0/1 1.png": ("dog", None),
        "train/0/2 2.png": (None, "8"),
    }
    assert (found.manifest["label"], found.manifest["group"]) == ("kind", "group")


def test_columns_of_a_data_set_can_be_named(parquet: Path) -> None:
    found = LabelledOptions(str(parquet), label_column="label", group_column="kind").open()
    assert found.classes == ()
    assert list(known(found).values()) == [("a", "cat"), (None, "dog"), (None, None)]
    unlabelled = CollectionOptions(str(parquet)).open()
    assert list(known(unlabelled).values()) == [(None, None)] * 3
    assert set(unlabelled.manifest) == {"kind", "name", "split", "fingerprint", "column"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"label_column": "what"}, "no column “what”.*Name the column that holds labels"),
        ({"group_column": "where"}, "no column “where”.*Name the column that holds groups"),
        ({"labels": Path("x.csv")}, "labels of its own"),
    ],
)
def test_labels_that_a_data_set_does_not_have_are_a_sentence(parquet: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        LabelledOptions(str(parquet), **options).open()


def test_a_column_of_lists_is_no_label(parquet: Path) -> None:
    found = LabelledOptions(str(parquet), label_column="boxes").open()
    with pytest.raises(UserError, match="“boxes” of the data set .* holds list"):
        known(found)


def test_a_data_set_has_parts_and_other_columns(parquet: Path, tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    for name in ("validation", "test"):
        (tmp_path / "two" / f"{name}.parquet").write_bytes((parquet / "train.parquet").read_bytes())
    found = LabelledOptions(str(tmp_path / "two")).open()
    assert set(found.splits) == {"validation", "test"}
    assert found.manifest["split"] == found.splits[0], "there is none called train"
    chosen = LabelledOptions(str(tmp_path / "two"), split=found.splits[1]).open()
    assert chosen.manifest["split"] == found.splits[1]
    assert [piece.others for piece in chosen.part(0)] == [(("label", "a"),), (), ()]
    with pytest.raises(UserError, match="has no part “train”. It has: "):
        LabelledOptions(str(tmp_path / "two"), split="train").open()


def test_a_text_column_called_label_is_one(parquet: Path, tmp_path: Path) -> None:
    rows = datasets.Dataset.from_parquet(str(parquet / "train.parquet"), cache_dir=str(tmp_path / "cache"))
    (tmp_path / "plain").mkdir()
    rows.remove_columns("kind").to_parquet(tmp_path / "plain/train.parquet")
    assert [label for label, _ in known(LabelledOptions(str(tmp_path / "plain")).open()).values()] == ["a", None, None]


def test_where_it_is_allowed_a_folder_can_be_named_within_bounds(tmp_path: Path) -> None:
    for k in range(6):
        (tmp_path / "cat").mkdir(exist_ok=True)
        (tmp_path / "cat" / f"{k}.png").write_bytes(picture(k))
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a.png").write_bytes(picture())
    named = Bounds(pictures=4)
    found = open_pictures(str(tmp_path), bounds=named, may_name=True)
    assert found.size == 4
    assert found.seconds == named.seconds
    assert set(known(found).values()) == {("cat", None)}
    with pytest.raises(UserError, match="local runs only"):
        open_pictures(str(tmp_path), bounds=Bounds())
    with pytest.raises(UserError, match="more than 5 files below"):
        open_pictures(str(tmp_path), bounds=replace(named, walked=5), may_name=True)
    for lost in ("/no/such/folder", "~nobody-here/x", "a\0b", "../no/such"):
        with pytest.raises(UserError):
            open_pictures(lost, bounds=named, may_name=True)


def test_where_it_is_allowed_a_data_set_can_be_named_within_bounds(tmp_path: Path) -> None:
    rows = {"image": [{"bytes": picture(k), "path": None} for k in range(5)], "label": [k % 2 for k in range(5)]}
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    datasets.Dataset.from_dict(rows, kinds).to_parquet(tmp_path / "train.parquet")
    found = open_pictures(str(tmp_path), bounds=Bounds(pictures=3), may_name=True)
    assert found.size == 3
    assert found.seconds == Bounds().seconds
    assert {label for label, _ in known(found).values()} <= {"cat", "dog"}
