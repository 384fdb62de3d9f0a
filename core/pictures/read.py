"""Any picture a visitor brings, as one upright RGB picture, or a sentence about why not.

A file says how large its picture is, so one that would fill the memory is refused before it is decoded.
Only formats that Pillow decodes by itself are tried: EPS, for one, would start another program.
"""

from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from ..errors import UserError

MAX_PIXELS = 64_000_000
MAX_ASPECT = 40
"""The longer side over the shorter. A strip would become enormous when its shorter side is enlarged."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")

_NOT_PICTURES = {
    b"%PDF": "a PDF document. Save the page as a PNG or JPEG picture",
    b"<svg": "an SVG drawing. Export it as a PNG picture",
    b"ftyphei": "a HEIC photograph. Save it as a JPEG picture",
    b"%!PS": "a PostScript document. Export it as a PNG picture",
    b"<html": "a web page. Save the picture itself",
}
"""What people take for pictures: a mark within the first bytes, and what to do."""

Source = str | Path | bytes | Image.Image | np.ndarray
"""A path, a file's bytes, or a decoded picture. Arrays are [H, W] or [H, W, 1, 3 or 4], of uint8, uint16,
bool, or floats from 0 to 1."""


def read_picture(source: Source | None) -> Image.Image:
    """The picture, upright, in RGB, of the size it has.

    EXIF orientation is applied, transparency laid over white, 16 bits scaled to 8, CMYK and palettes
    converted, and of an animation the first frame taken. Raises UserError for no picture, a file that is
    missing, damaged or no picture, one of more than 64 megapixels or more than 40 times as long as wide, and
    an array of another form.
    """
    if source is None:
        raise UserError("There is no picture. Choose one, or start from an example.")
    if isinstance(source, np.ndarray):
        source = _from_array(source)
    if isinstance(source, Image.Image):
        return _upright_rgb(source)
    stream = BytesIO(source) if isinstance(source, bytes) else _open(Path(source))
    with stream:
        try:
            picture = Image.open(stream, formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise _too_large("far more than") from error
        except Exception as error:  # Pillow's readers raise whatever their parsing runs into
            raise _no_picture(stream) from error
        return _upright_rgb(picture)


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise UserError(f"The file “{path.name}” cannot be opened. Upload the picture again.") from error


def _upright_rgb(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    if not width or not height:
        raise UserError(f"The picture is empty: {width} x {height} pixels. Choose another.")
    if width * height > MAX_PIXELS:
        raise _too_large(f"{width * height / 1e6:.0f}, more than")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UserError(f"The picture is a strip of {width} x {height} pixels. Crop it to less than {MAX_ASPECT} to 1.")
    try:
        picture.load()
        return _rgb(_upright(picture))
    except Exception as error:  # as above: damaged files break decoders in many ways
        raise UserError("The picture is damaged or incomplete. Save it again as PNG or JPEG.") from error


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
    values = grey.astype(np.float64)
    values[~np.isfinite(values)] = 0
    low, high = values.min(), values.max()
    whites = (1.0, 255.0, 65535.0) if grey.dtype.kind == "f" else (65535.0,)
    white = next((white for white in whites if low >= 0 and high <= white), None)
    black, white = (0.0, white) if white else (low, high)
    return Image.fromarray(np.rint((values - black) * (255 / (white - black))).astype(np.uint8))


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


def _too_large(pixels: str) -> UserError:
    return UserError(f"The picture has too many megapixels: {pixels} {MAX_PIXELS // 1_000_000}. Make it smaller.")


def _no_picture(stream: BinaryIO) -> UserError:
    stream.seek(0)
    start = stream.read(1024).lower()
    for mark, kind in _NOT_PICTURES.items():
        if mark.lower() in start:
            return UserError(f"This file is {kind}, and choose that.")
    return UserError("This file is not a picture that can be read. Choose a PNG, JPEG, WebP, GIF or TIFF file.")
