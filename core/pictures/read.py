"""Reader of a visitor's picture: one upright RGB picture, or a UserError that says why not.

A file says how large its picture is, so one that would fill the memory is refused before it is decoded; a larger JPEG
is decoded at a half or a quarter of its size, which its format allows. What a file is, its content says, not its name.
Only formats that Pillow decodes by itself are tried, and HEIC: EPS, for one, would start another program, and
JPEG 2000 may take seconds for a few hundred bytes.
"""

from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pillow_heif
from PIL import Image, ImageOps

from ..errors import UserError, echo

MAX_PIXELS = 24_000_000
"""Of a decoded picture."""
JPEG_FACTOR = 6
"""A JPEG may have so many times as many, and is then decoded smaller: phones take pictures of up to 108 megapixels."""
MAX_ASPECT = 40
"""The longer side over the shorter. A strip would become enormous when its shorter side is enlarged."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""Of Pillow."""
HEIC_ENDINGS = frozenset({".heic", ".heif", ".hif"})

_NOT_PICTURES = {
    b"clip-levers-state": "a report of this app. Drop it on Take along instead, or save its picture",
    b"%PDF": "a PDF document. Save the page as a PNG or JPEG picture",
    b"<svg": "an SVG drawing. Export it as a PNG picture",
    b"ftypjp2": "a JPEG 2000 picture. Save it as a PNG or JPEG picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture. Save it as a PNG or JPEG picture",
    b"%!PS": "a PostScript document. Export it as a PNG picture",
    b"<html": "a web page. Save the picture itself",
}
"""What people take for pictures: a mark within the first bytes, and what to do."""

Source = str | Path | bytes | Image.Image | np.ndarray
"""A path, a file's bytes, or a decoded picture. Arrays are [H, W] or [H, W, 1, 3 or 4], of uint8, uint16,
bool, or floats from 0 to 1."""


def read_picture(source: Source | None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The picture, upright, in RGB, of the size it has.

    EXIF orientation is applied, transparency laid over white, 16 bits scaled to 8, CMYK and palettes
    converted, and of an animation the first frame taken. Raises UserError for no picture, a file that is
    missing, damaged or no picture, one of more than `max_pixels` (a JPEG: six times as many) or more than 40 times as
    long as wide, and an array of another form.
    """
    if source is None:
        raise UserError("There is no picture. Choose one, or start from an example.")
    if isinstance(source, np.ndarray):
        source = _from_array(source)
    if isinstance(source, Image.Image):
        return _upright_rgb(source, max_pixels)
    stream = BytesIO(source) if isinstance(source, bytes) else _open(Path(source))
    with stream:
        try:
            picture = _heic(stream, max_pixels) or Image.open(stream, formats=FORMATS)
        except UserError:
            raise
        except Image.DecompressionBombError as error:
            raise _too_large("far more than", max_pixels) from error
        except Exception as error:  # Pillow's readers raise whatever their parsing runs into
            raise _no_picture(stream) from error
        pixels = picture.width * picture.height
        if picture.format == "JPEG" and max_pixels < pixels <= JPEG_FACTOR * max_pixels:
            # The least of its scales that is small enough: draft() takes one no smaller than what is asked for.
            shrink = next(k for k in (2, 4) if pixels <= k * k * max_pixels)
            picture.draft(None, (picture.width // shrink, picture.height // shrink))
        return _upright_rgb(picture, max_pixels)


def _heic(stream: BinaryIO, max_pixels: int) -> Image.Image | None:
    """A HEIC picture of any brand, as phones take them; None where it is something else. AVIF is left to Pillow."""
    start = stream.read(64)
    stream.seek(0)
    if start[4:8] != b"ftyp" or start[8:12] in (b"avif", b"avis") or not pillow_heif.is_supported(stream):
        return None
    stream.seek(0)
    found = pillow_heif.open_heif(stream, convert_hdr_to_8bit=True)
    width, height = found.size
    _check_size(width, height, max_pixels)
    return found.to_pillow()


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise UserError(f"The file “{echo(path.name)}” cannot be opened. Upload the picture again.") from error


def _upright_rgb(picture: Image.Image, max_pixels: int) -> Image.Image:
    _check_size(*picture.size, max_pixels)
    try:
        picture.load()
        return _rgb(_upright(picture))
    except Exception as error:  # as above: damaged files break decoders in many ways
        raise UserError("The picture is damaged or incomplete. Save it again as PNG or JPEG.") from error


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if not width or not height:
        raise UserError(f"The picture is empty: {width} x {height} pixels. Choose another.")
    if width * height > max_pixels:
        raise _too_large(f"{width * height / 1e6:.0f}, more than", max_pixels)
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UserError(f"The picture is a strip of {width} x {height} pixels. Crop it to less than {MAX_ASPECT} to 1.")


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # EXIF that cannot be read says nothing; the pixels were read
        return picture


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        picture = _eight_bits(np.asarray(picture))
    if picture.has_transparency_data:
        over = picture.convert("RGBA")
        picture = Image.new("RGBA", over.size, "white")
        picture.alpha_composite(over)
    return picture.convert("RGB")


def _eight_bits(grey: np.ndarray) -> Image.Image:
    """Grey values of another range [H, W], scaled, not clipped.

    Black is 0 and white 65,535; for floats, white is 1 or 255 where that holds all values. Values beyond, or
    below 0, make the lowest value black and the highest white.
    """

    def rows(at: slice) -> np.ndarray:  # some at a time: in float64 all would take eight times their file
        return np.nan_to_num(grey[at].astype(np.float64), copy=False, nan=0, posinf=0, neginf=0)

    blocks = [slice(start, start + 256) for start in range(0, len(grey), 256)]
    low, high = min(rows(at).min() for at in blocks), max(rows(at).max() for at in blocks)
    whites = (1.0, 255.0, 65535.0) if grey.dtype.kind == "f" else (65535.0,)
    white = next((white for white in whites if low >= 0 and high <= white), None)
    black, white = (0.0, white) if white else (low, high)
    scaled = np.empty(grey.shape, np.uint8)
    for at in blocks:
        scaled[at] = np.rint((rows(at) - black) * (255 / (white - black)))
    return Image.fromarray(scaled)


def _from_array(array: np.ndarray) -> Image.Image:
    shape = array.shape[:-1] if array.ndim == 3 and array.shape[-1] in (1, 3, 4) else array.shape
    if len(shape) != 2:
        raise UserError(f"The array has the shape {array.shape}. Give height x width, with 1, 3 or 4 channels.")
    if array.dtype == np.uint16:
        array = np.rint(array / 257)
    elif array.dtype == np.bool_:
        array = array * 255
    elif array.dtype.kind == "f" and array.size and np.isfinite(array).all() and 0 <= array.min() <= array.max() <= 1:
        array = np.rint(array * 255)
    elif array.dtype != np.uint8 and array.size:
        raise UserError(f"The array holds {array.dtype} beyond what is known. Give uint8, or floats from 0 to 1.")
    pixels = array.astype(np.uint8).reshape(*shape, *[n for n in array.shape[2:] if n > 1])
    return Image.fromarray(pixels) if pixels.size else Image.new("RGB", (shape[1], shape[0]))


def _too_large(pixels: str, max_pixels: int) -> UserError:
    return UserError(f"The picture has too many megapixels: {pixels} {max_pixels / 1e6:g}. Make it smaller.")


def _no_picture(stream: BinaryIO) -> UserError:
    stream.seek(0)
    start = stream.read(1024).lower()
    for mark, kind in _NOT_PICTURES.items():
        if mark.lower() in start:
            return UserError(f"This file is {kind}, and choose that.")
    return UserError("This file is not a picture that can be read. Choose a PNG, JPEG, WebP, GIF or TIFF file.")
