"""The photographs that ship with the app, and crops of them."""

from itertools import islice

import numpy as np
import pytest
from PIL import Image

from core.files import ASSETS
from core.pictures.photographs import FOLDER, Photograph, crops, photographs
from core.pictures.read import read_picture

ALL = photographs()
FREE = {"public domain", "CC0 1.0", "CC BY 2.0"}


def test_every_file_is_listed_and_small() -> None:
    names = [photograph.name for photograph in ALL]
    assert names == sorted(path.stem for path in FOLDER.glob("*.webp"))
    assert len(names) > 10
    assert sum(photograph.path.stat().st_size for photograph in ALL) < 700_000


@pytest.mark.parametrize("photograph", ALL, ids=lambda photograph: photograph.name)
def test_each_has_one_right_class_and_a_free_licence_that_is_told(photograph: Photograph) -> None:
    assert len(set(photograph.classes)) == len(photograph.classes) >= 4
    assert photograph.classes.count(photograph.label) == 1
    assert photograph.licence in FREE
    (row,) = (
        row
        for row in (ASSETS / "README.md").read_text(encoding="utf-8").splitlines()
        if f"`photographs/{photograph.name}.webp`" in row
    )
    assert photograph.licence in row
    picture = read_picture(photograph.path)
    assert min(picture.size) >= 300  # enough for a CLIP that sees 336 pixels, nearly
    assert np.asarray(picture, dtype=float).std() > 20


def test_crops_are_squares_of_each_photograph_in_turn() -> None:
    found = list(crops(len(ALL), seed=3))
    assert all(crop.mode == "RGB" and crop.width == crop.height for crop in found)
    for crop, photograph in zip(found, ALL, strict=True):
        picture = read_picture(photograph.path)
        assert 0.49 * min(picture.size) < crop.width <= min(picture.size)
        assert inside(crop, picture) != inside(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT), picture)


def test_about_half_are_mirrored() -> None:
    pictures = [read_picture(photograph.path) for photograph in ALL]
    mirrored = [not inside(crop, pictures[n % len(pictures)]) for n, crop in enumerate(crops(4 * len(ALL)))]
    assert 0.3 < np.mean(mirrored) < 0.7


def inside(crop: Image.Image, picture: Image.Image) -> bool:
    """Whether the crop is in the picture as it is: its first row is found, and then all of it."""
    small, large = np.asarray(crop), np.asarray(picture)
    windows = np.lib.stride_tricks.sliding_window_view(large, small.shape)[:, :, 0]
    starts = np.argwhere((windows[..., 0, :, :] == small[0]).all((-2, -1)))
    return any(np.array_equal(windows[row, column], small) for row, column in starts)


def test_few_crops_are_the_first_of_many_and_a_seed_is_one_choice() -> None:
    many, few, others = (list(islice(crops(n, seed), 5)) for n, seed in ((40, 0), (5, 0), (5, 1)))
    assert many == few
    assert few != others
