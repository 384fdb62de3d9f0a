"""Arrays to pictures a page can hold: data URIs of small WebP and PNG files."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

FOR, AGAINST = (0, 150, 136), (226, 98, 20)
"""Teal and orange: told apart by every kind of colour vision, and never the only sign."""


def picture_uri(pixels: np.ndarray | Path, side: int = 320) -> str:
    """uint8 [H, W, 3], or a file -> a WebP of at most `side` pixels (about 10 KB)."""
    picture = Image.open(pixels).convert("RGB") if isinstance(pixels, Path) else Image.fromarray(pixels)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _uri(picture, "WEBP", quality=88, method=2)


def heat_uri(heat: np.ndarray, peak: float | None = None) -> str:
    """float [rows, columns], signed -> a PNG of a pixel per patch (about 200 bytes), which the page enlarges.

    Positive is teal, negative orange; strength is opacity, relative to `peak` (the largest absolute value here).
    """
    peak = peak or float(np.abs(heat).max()) or 1.0
    rgba = np.zeros((*heat.shape, 4), np.uint8)
    rgba[..., :3] = np.where((heat >= 0)[..., None], FOR, AGAINST)
    rgba[..., 3] = np.clip(np.abs(heat) / peak, 0, 1) ** 0.7 * 215
    return _uri(Image.fromarray(rgba), "PNG", optimize=True)


def _uri(picture: Image.Image, kind: str, **options: object) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
