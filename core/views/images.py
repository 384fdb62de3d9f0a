"""Arrays -> pictures that a page can hold: data URIs of small WebP and PNG files."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from ..pictures.overlay import coloured


def picture_uri(pixels: np.ndarray, side: int = 320) -> str:
    """uint8 [H, W, 3] -> a WebP of at most `side` pixels (about 10 KB)."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _uri(picture, "WEBP", quality=88, method=2)


def thumbnail_uri(file: Path, side: int) -> str:
    """A file -> a WebP of at most `side` pixels, to choose by (about 4 KB at 176)."""
    picture = Image.open(file).convert("RGB")
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _uri(picture, "WEBP", quality=78, method=4)


def lossless_uri(pixels: np.ndarray) -> str:
    """uint8 [H, W, 3] -> a WebP from which every pixel comes back (about 60 KB for 224 x 224)."""
    return _uri(Image.fromarray(pixels), "WEBP", lossless=True, method=2)


def heat_uri(heat: np.ndarray, peak: float | None = None) -> str:
    """float [rows, columns], signed -> a PNG of a pixel per patch (about 200 bytes), which the page enlarges.

    Its colours are those of `core.pictures.overlay`, relative to `peak` (the largest absolute value here).
    """
    return _uri(coloured(heat, peak), "PNG", optimize=True)


def mask_uri(region: np.ndarray) -> str:
    """float [rows, columns], 0 to 1 -> a PNG of a pixel per patch (about 100 bytes) whose opacity is the region.

    As a CSS mask it lights what lies in the region.
    """
    opacity = np.clip(region, 0, 1) ** 0.7 * 255
    flat = np.stack([np.zeros_like(opacity), opacity], axis=-1)
    return _uri(Image.fromarray(flat.round().astype(np.uint8)), "PNG", optimize=True)


def webp_uri(file: bytes) -> str:
    """A WebP file, as it is."""
    return _data_uri(file, "WEBP")


def _uri(picture: Image.Image, kind: str, **options: object) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return _data_uri(buffer.getvalue(), kind)


def _data_uri(file: bytes, kind: str) -> str:
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file).decode()}"
