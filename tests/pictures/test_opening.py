"""Opening of what somebody brings: folders, zips and files with labels, within bounds; what is left out is listed."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from core.pictures.batches import batches
from core.pictures.collection import Collection
from core.pictures.intake import Bounds
from core.pictures.opening import open_pictures
from core.pictures.options import LabelledOptions


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
