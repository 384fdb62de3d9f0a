"""Reference scenes: the picture set that every setup has, 300 scenes rendered by this project, whose truth is known.

Clean ones, and ones with each planted cue that speaks for another class. They have seeds of their own, which neither
training nor scoring nor the examples use. A setup reads them once (`read_references`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType

import numpy as np
from PIL import Image

from ..files import ASSETS
from ..model.clip import text_classifier
from ..model.prompts import TEMPLATES
from ..model.sae_clip import BATCH, SaeClip
from ..model.trace import Trace
from ..scenes.sampling import HELD_OUT, SIDE
from ..scenes.scene import CLASSES, Painter, Scene
from .picture_set import PictureSet, Progress, said_of

KINDS: Mapping[str, int] = MappingProxyType({"clean": 120, "attacked": 90, "stamped": 45, "flooded": 45})
"""How many of each kind of scene: without a cue, and with a conflicting word, the stamp, water."""

SEED = 3_000_000
PAINTED = ASSETS / "references.webp"
"""The reference scenes at `SIDE`, row by row, by `core.bundled.references`."""


@dataclass(frozen=True)
class Reference:
    """One reference scene, before anything is drawn."""

    kind: str
    """One of `KINDS`."""
    scene: Scene
    """What to draw."""
    truth: str
    """The class of the thing it shows."""
    foil: str | None
    """The class that its cue speaks for, never the truth; None for a clean one."""


def reference_cases() -> tuple[Reference, ...]:
    """The 300 reference scenes, always the same, by kind in the order of `KINDS`."""
    found: list[Reference] = []
    for kind, count in KINDS.items():
        rng = np.random.default_rng([SEED, tuple(HELD_OUT).index(kind)])
        cases = (HELD_OUT[kind](rng) for _ in range(count))
        found.extend(Reference(kind, case.scene, case.truth, case.foil) for case in cases)
    return tuple(found)


def crops(cases: Sequence[Reference], side: int) -> Iterator[np.ndarray]:
    """Each scene drawn at the size a model sees, uint8 [side, side, 3]: nothing is scaled or cut afterwards."""
    painter = Painter(side)
    return (painter.paint(case.scene) for case in cases)


def painted() -> np.ndarray:
    """All reference scenes as they were painted once, uint8 [N, `SIDE`, `SIDE`, 3]."""
    with Image.open(PAINTED) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    tiles = pixels.reshape(-1, SIDE, pixels.shape[1] // SIDE, SIDE, 3).swapaxes(1, 2)
    return tiles.reshape(-1, SIDE, SIDE, 3)


def read_references(model: SaeClip, batch: int = BATCH) -> Iterator[Progress | PictureSet]:
    """Read the reference scenes, `batch` of them at a time; each one's group is its kind.

    Yields (done, total) at the start and after every batch, and at last the PictureSet, among this project's 40 classes
    in the single prompt template. On a large CLIP this takes a minute; the result depends on the setup alone.
    """
    cases, clip = reference_cases(), model.clip
    yield 0, len(cases)
    side = clip.image_size
    drawn = iter(painted()) if side == SIDE else crops(cases, side)
    traces: list[Trace] = []
    while part := list(islice(drawn, batch)):
        traces += model.traces(part)
        yield len(traces), len(cases)
    classifier = text_classifier(clip, CLASSES, TEMPLATES["single"])
    yield PictureSet(
        traces=tuple(traces),
        names=tuple(f"{case.kind} scene {k}" for k, case in enumerate(cases)),
        truth=np.array([CLASSES.index(case.truth) for case in cases]),
        group=np.array([case.kind for case in cases]),
        said=said_of(clip, traces, classifier),
        classes=CLASSES,
    )
