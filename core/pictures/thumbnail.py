"""Thumbnail of what the model saw of a picture: a small WebP file."""

from io import BytesIO

import numpy as np
from PIL import Image


def thumbnail(crop: np.ndarray, side: int, quality: int = 80) -> bytes:
    """What the model saw of a picture, uint8 [S, S, 3], at most `side` pixels wide: a WebP file."""
    picture = Image.fromarray(crop)
    if picture.width > side:
        picture = picture.resize((side, side), Image.Resampling.LANCZOS)
    stream = BytesIO()
    picture.save(stream, "WEBP", quality=quality, method=6)  # the smallest files
    return stream.getvalue()
