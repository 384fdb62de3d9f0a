"""Paint the reference scenes at the size that the bundled CLIP sees: ``python -m core.bundled.references``.

Painting takes seconds, which the first evidence after a start need not wait for. To be run after every change of the
scenes, or of which of them are reference scenes.
"""

import numpy as np
from PIL import Image

from ..files import replacing
from ..methods.reference_scenes import PAINTED, crops, reference_cases
from ..scenes.sampling import SIDE

COLUMNS = 20


def painted() -> Image.Image:
    """All of them, row by row."""
    pictures = np.stack(list(crops(reference_cases(), SIDE)))
    rows = pictures.reshape(-1, COLUMNS, SIDE, SIDE, 3).swapaxes(1, 2)
    return Image.fromarray(rows.reshape(-1, COLUMNS * SIDE, 3))


def main() -> None:
    """The command."""
    with replacing(PAINTED) as path:
        painted().save(path, "WEBP", lossless=True, quality=100, method=6)
    print(f"{PAINTED.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
