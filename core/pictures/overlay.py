"""Overlay: a map of patches laid over its picture, as one file that any program shows."""

import io

import numpy as np
from PIL import Image

FOR, AGAINST = (0, 150, 136), (226, 98, 20)
"""Teal and orange: told apart by every kind of colour vision, and never the only sign."""
SIDE = 448
"""Pixels of the longer side of such a picture."""


def coloured(heat: np.ndarray, peak: float | None = None) -> Image.Image:
    """float [rows, columns], signed -> a pixel per patch: positive teal, negative orange, and strength is opacity.

    Strength is relative to `peak`, the largest absolute value here.
    """
    peak = peak or float(np.abs(heat).max()) or 1.0
    rgba = np.zeros((*heat.shape, 4), np.uint8)
    rgba[..., :3] = np.where((heat >= 0)[..., None], FOR, AGAINST)
    rgba[..., 3] = np.clip(np.abs(heat) / peak, 0, 1) ** 0.7 * 215
    return Image.fromarray(rgba)


def overlay(pixels: np.ndarray, heat: np.ndarray) -> bytes:
    """A picture, uint8 [H, W, 3], in grey, with a map over it, float [rows, columns]: a WebP file of some 20 KB."""
    picture = Image.fromarray(pixels).convert("L").convert("RGBA")
    scale = SIDE / max(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
    picture.alpha_composite(coloured(heat).resize(picture.size, Image.Resampling.NEAREST))
    file = io.BytesIO()
    picture.convert("RGB").save(file, "WEBP", quality=85, method=2)
    return file.getvalue()
