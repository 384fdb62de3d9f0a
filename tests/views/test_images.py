"""Arrays as small pictures."""

import base64
import io

import numpy as np
from PIL import Image

from core.pictures.examples import FOLDER
from core.views.images import heat_uri, mask_uri, picture_uri, thumbnail_uri


def test_figures_are_small_pictures() -> None:
    rng = np.random.default_rng(0)
    heat = rng.normal(size=(8, 8)).astype(np.float32)
    assert heat_uri(heat).startswith("data:image/png;base64,")
    assert len(heat_uri(heat)) < 2000
    assert heat_uri(np.zeros((2, 2)))
    assert heat_uri(heat, 3.0) != heat_uri(heat)
    assert picture_uri(rng.integers(0, 255, (300, 500, 3)).astype(np.uint8), 64).startswith("data:image/webp")
    assert len(thumbnail_uri(FOLDER / "dog-note-cat.webp", 176)) < 10_000


def test_a_mask_is_opaque_where_the_component_fires() -> None:
    region = np.array([[0, 1, 0.25], [0.5, 0, 0]], dtype=np.float32)
    mask = Image.open(io.BytesIO(base64.b64decode(mask_uri(region).split(",")[1])))
    opacity = np.asarray(mask.convert("RGBA"))[..., 3] / 255
    assert opacity.shape == region.shape
    assert ((opacity > 0) == (region > 0)).all()
    assert opacity.max() == 1
    assert (np.argsort(opacity, axis=None) == np.argsort(region, axis=None)).all()
