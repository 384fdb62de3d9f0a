"""Pictures of every kind, and files that only look like pictures."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageSequence

from core.errors import UserError
from core.pictures.read import read_picture

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)


def saved(picture: Image.Image, kind: str, **settings: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **settings)
    return stream.getvalue()


def png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    """A PNG file by hand, for what Pillow does not write; `rows` may lack data."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def png16(values: np.ndarray, colour: int) -> bytes:
    """uint16 [H, W, C] as a PNG of 16 bits a channel."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(values.shape[1], values.shape[0], 16, colour, rows)


def pixels(source: object) -> np.ndarray:
    picture = read_picture(source)  # type: ignore[arg-type]
    assert picture.mode == "RGB"
    return np.asarray(picture)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "JPEG", "WEBP", "AVIF"])
def test_files_of_every_format(kind: str, tmp_path: Path) -> None:
    smooth = Image.fromarray(np.dstack([np.linspace(0, 255, 24 * 32).reshape(24, 32).astype(np.uint8)] * 3))
    data = saved(smooth, kind, **({"lossless": True} if kind == "WEBP" else {}))
    path = tmp_path / "picture.dat"
    path.write_bytes(data)
    for source in (data, path, str(path)):
        assert np.abs(pixels(source).astype(int) - np.asarray(smooth)).max() <= 6


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"])
def test_modes_keep_their_colours(mode: str) -> None:
    flat = Image.new("RGB", (5, 4), (255, 255, 255) if mode in "1L" else (204, 51, 102))
    source = Image.new("LAB", (5, 4), (255, 128, 128)) if mode == "LAB" else flat.convert(mode)
    expected = np.full(3, 255) if mode == "LAB" else np.array(flat)[0, 0].astype(int)
    found = pixels(source)
    assert found.shape == (4, 5, 3)
    assert np.abs(found.astype(int) - expected).max() <= 3


def test_cmyk_files() -> None:
    cmyk = Image.new("CMYK", (5, 4), (0, 255, 255, 0))
    for kind in ("TIFF", "JPEG"):
        assert np.abs(pixels(saved(cmyk, kind)).astype(int) - (255, 0, 0)).max() <= 3


# Sixteen bits


def test_sixteen_bit_grey_is_scaled() -> None:
    values = np.linspace(0, 65535, 32 * 24).reshape(24, 32).astype(np.uint16)
    expected = np.rint(values / 257).astype(int)
    sources = [
        png16(values[..., None], 0),
        saved(Image.fromarray(values), "TIFF"),
        Image.fromarray(values),
        values,
    ]
    sources.append(b"P5 32 24 65535\n" + values.astype(">u2").tobytes())
    for source in sources:
        found = pixels(source)
        assert np.abs(found.astype(int) - expected[..., None]).max() == 0


def test_dark_sixteen_bit_pictures_stay_dark() -> None:
    assert pixels(np.full((4, 4), 2570, np.uint16)).max() == 10
    assert pixels(b"P5 2 1 65535\n" + np.array([[257, 514]], ">u2").tobytes())[0, :, 0].tolist() == [1, 2]


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (6, 4)])
def test_sixteen_bit_colour_is_scaled(colour: int, channels: int) -> None:
    values = RNG.integers(0, 65536, (5, 7, channels)).astype(np.uint16)
    values[..., 3:] = 65535
    assert np.abs(pixels(png16(values, colour)).astype(int) - values[..., :3] / 257).max() <= 1


@pytest.mark.parametrize(("factor", "white"), [(1.0, 1.0), (200.0, 255.0), (60000.0, 65535.0), (1e6, 1e6)])
def test_float_pictures_are_scaled(factor: float, white: float) -> None:
    values = np.linspace(0, factor, 12, dtype=np.float32).reshape(3, 4)
    data = saved(Image.fromarray(values), "TIFF")
    np.testing.assert_allclose(pixels(data)[..., 0], np.rint(values / white * 255), atol=1)


def test_negative_and_missing_values_are_shown_as_far_as_they_go() -> None:
    values = np.array([[-1.0, 0.0, np.nan, 1.0]], dtype=np.float32)
    assert pixels(saved(Image.fromarray(values), "TIFF"))[0, :, 1].tolist() == [0, 128, 128, 255]


# Transparency


@given(st.integers(0, 255), st.integers(0, 255))
def test_transparency_is_laid_over_white(alpha: int, grey: int) -> None:
    expected = 255 + (grey - 255) * alpha / 255
    for colour, mode in (((grey, grey, grey, alpha), "RGBA"), ((grey, alpha), "LA")):
        found = pixels(saved(Image.new(mode, (3, 2), colour), "PNG"))
        assert np.abs(found - expected).max() <= 1


def test_transparent_colours_of_palettes_and_rgb() -> None:
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    palette.putpalette([255, 0, 0, 0, 0, 255])
    for kind in ("PNG", "GIF"):
        assert pixels(saved(palette, kind, transparency=0)).tolist() == [[[255, 255, 255], [0, 0, 255]]]
    two = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8))
    assert pixels(saved(two, "PNG", transparency=(255, 0, 0))).tolist() == [[[255, 255, 255], [0, 0, 255]]]


# Orientation and frames

UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(COLOURS), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    assert np.array_equal(pixels(data), UPRIGHT[orientation](COLOURS))
    assert np.array_equal(pixels(read_picture(data)), UPRIGHT[orientation](COLOURS)), "turned once, not twice"


def test_orientation_of_sixteen_bit_pictures() -> None:
    values = np.arange(6, dtype=np.uint16).reshape(2, 3) * 10000
    exif = Image.Exif()
    exif[0x0112] = 6
    found = pixels(saved(Image.fromarray(values), "PNG", exif=exif))
    assert np.array_equal(found[..., 0], np.rint(values.T[:, ::-1] / 257))


def test_broken_exif_is_ignored() -> None:
    data = saved(Image.fromarray(COLOURS), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")
    assert np.array_equal(pixels(data), COLOURS)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_of_several_frames_the_first(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    settings = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **settings)
    assert len(list(ImageSequence.Iterator(Image.open(io.BytesIO(data))))) == 3
    assert np.abs(pixels(data).astype(int) - (255, 0, 0)).max() <= 1


# Arrays


@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,)])
@pytest.mark.parametrize("kind", ["uint8", "bool", "float32", "float64"])
def test_arrays(channels: tuple[int, ...], kind: str) -> None:
    values = RNG.integers(0, 256, (5, 7, *channels)) if kind != "bool" else RNG.integers(0, 2, (5, 7, *channels)) * 255
    if channels == (4,):
        values[..., 3] = 255
    source = values.astype(np.uint8) if kind == "uint8" else (values / 255).astype(kind)
    expected = values[..., None] if not channels else values[..., :3]
    assert np.array_equal(pixels(source), np.broadcast_to(expected, (5, 7, 3)))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(5, np.uint8),
        np.zeros((5, 5, 2), np.uint8),
        np.zeros((5, 5, 5), np.uint8),
        np.zeros((2, 5, 5, 3), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((0, 0), np.float32),
        np.full((5, 5), 300, np.int64),
        np.full((5, 5), 1.5),
        np.full((5, 5), -0.1),
        np.full((5, 5), np.nan),
        np.full((5, 5), "a"),
        np.zeros((5, 5), complex),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_that_are_no_pictures_are_trouble(array: np.ndarray) -> None:
    with pytest.raises(UserError):
        read_picture(array)


# What is refused


def test_no_picture_is_trouble() -> None:
    with pytest.raises(UserError, match="no picture"):
        read_picture(None)


def test_files_that_cannot_be_opened_are_trouble(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path, "a\0b.png", "https://example.org/a.png", ""):
        with pytest.raises(UserError, match="cannot be opened"):
            read_picture(path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", "PDF"),
        (b"\n%PDF-1.4", "PDF"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "not a picture"),
        (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 \0\0\0\0jp2 ", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0\x29", "JPEG 2000"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "PostScript"),
        (b"<!doctype html><HTML>", "web page"),
        (b"just some words", "not a picture"),
        (b"", "not a picture"),
        (b"\x89PNG\r\n\x1a\n", "not a picture"),
        (b"\xff\xd8\xff", "not a picture"),
    ],
)
def test_files_that_are_no_pictures_are_trouble(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "called.png"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(UserError, match=said):
            read_picture(source)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
def test_half_a_file_is_trouble(kind: str) -> None:
    data = saved(Image.fromarray(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)), kind)
    with pytest.raises(UserError):
        read_picture(data[: len(data) // 2])


@pytest.mark.parametrize(("width", "height"), [(6001, 4000), (12000, 9000), (20000, 10000), (2**31 - 1, 2**31 - 1)])
def test_a_picture_too_large_is_refused_before_it_is_decoded(width: int, height: int) -> None:
    with pytest.raises(UserError, match="megapixels"):  # its data is missing: decoding would say "damaged"
        read_picture(png(width, height, 8, 2, b""))


def test_a_large_picture_that_is_allowed_is_decoded() -> None:
    with pytest.raises(UserError, match="damaged"):
        read_picture(png(6000, 4000, 1, 0, b""))


def test_a_jpeg_of_a_large_camera_is_decoded_smaller() -> None:
    """48 megapixels come out as 12: each pixel the mean of four, as the format's own scaling has it."""
    small = Image.fromarray(RNG.integers(60, 200, (3, 4, 3), dtype=np.uint8))
    large = small.resize((8000, 6000), Image.Resampling.NEAREST)
    found = read_picture(saved(large, "JPEG", quality=95))
    assert found.size == (4000, 3000)
    expected = np.asarray(small.resize(found.size, Image.Resampling.NEAREST)).astype(int)
    assert np.abs(np.asarray(found).astype(int) - expected).mean() < 2
    with pytest.raises(UserError, match="megapixels"):
        read_picture(saved(Image.new("L", (16000, 9100)), "JPEG"))


@pytest.mark.parametrize("size", [(3999, 6000), (4000, 6000)])
def test_a_jpeg_within_bounds_keeps_its_size(size: tuple[int, int]) -> None:
    assert read_picture(saved(Image.new("L", size), "JPEG")).size == size


def heic(picture: Image.Image, brand: bytes = b"heic", **settings: object) -> bytes:
    """A HEIC file as a phone's, by another brand where that is named."""
    stream = io.BytesIO()
    pillow_heif.from_pillow(picture).save(stream, quality=95, **settings)
    data = stream.getvalue()
    assert data[4:10] == b"ftyphe"
    return data[:8] + brand + data[12:]


# Brands of ISO/IEC 23008-12 and its amendments that phones and cameras write for still pictures
@pytest.mark.parametrize("brand", [b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc"])
def test_heic_of_every_brand_is_read_whatever_it_is_called(brand: bytes, tmp_path: Path) -> None:
    smooth = Image.fromarray(np.dstack([np.linspace(0, 255, 64 * 96).reshape(64, 96).astype(np.uint8)] * 3))
    path = tmp_path / "IMG_0001.jpg_large"
    path.write_bytes(heic(smooth, brand))
    found = pixels(path)
    assert found.shape == (64, 96, 3)
    assert np.abs(found.astype(int) - np.asarray(smooth)).max() <= 8


def test_heic_is_upright_and_bounded() -> None:
    """A phone held upright stores the picture lying, and says how to turn it (EXIF orientation 6: a quarter turn)."""
    lying = Image.new("RGB", (96, 64), (200, 30, 30))
    lying.paste((30, 30, 200), (0, 0, 48, 64))
    exif = Image.Exif()
    exif[0x0112] = 6
    found = read_picture(heic(lying, exif=exif.tobytes()))
    assert found.size == (64, 96)
    assert found.getpixel((32, 10))[2] > 150 > 60 > found.getpixel((32, 10))[0]  # type: ignore[index]
    with pytest.raises(UserError, match="megapixels"):
        read_picture(heic(Image.new("L", (6016, 4000))))


def test_half_a_heic_is_a_sentence() -> None:
    data = heic(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)))
    with pytest.raises(UserError):
        read_picture(data[: len(data) // 2])


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_grey_of_another_range_is_scaled_in_parts_as_in_one(kind: type) -> None:
    values: np.ndarray = RNG.uniform(-1e6, 1e6, (600, 20)).astype(kind)
    expected = np.rint((values - values.min()) * (255 / (float(values.max()) - float(values.min()))))
    assert np.abs(pixels(saved(Image.fromarray(values), "TIFF"))[:, :, 0].astype(int) - expected).max() <= 1


def test_strips_are_refused() -> None:
    with pytest.raises(UserError, match="strip of 41 x 1"):
        read_picture(Image.new("RGB", (41, 1)))
    with pytest.raises(UserError, match="strip of 2 x 81"):
        read_picture(Image.new("L", (2, 81)))
    assert read_picture(Image.new("RGB", (40, 1))).size == (40, 1)


FILES = [saved(Image.fromarray(COLOURS), kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP")] + [
    png16(np.full((4, 4, 3), 1000, np.uint16), 2),
    heic(Image.new("RGB", (16, 16), (9, 99, 199))),
]


@given(st.sampled_from(FILES), st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=4))
def test_damaged_files_are_a_picture_or_a_sentence(data: bytes, damage: list[tuple[int, int]]) -> None:
    broken = bytearray(data)
    for place, value in damage:
        broken[place % len(broken)] = value
    try:
        picture = read_picture(bytes(broken))
    except UserError as trouble:
        assert str(trouble).endswith(".")
    else:
        assert picture.mode == "RGB"
        assert min(picture.size) > 0


def test_pillow_and_the_picture_given_stay_as_they_were() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    given_picture = Image.new("RGBA", (3, 3), (1, 2, 3, 4))
    read_picture(given_picture)
    with pytest.raises(UserError):
        read_picture(png(20000, 10000, 8, 2, b""))
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    assert given_picture.mode == "RGBA"
    assert given_picture.getpixel((0, 0)) == (1, 2, 3, 4)
