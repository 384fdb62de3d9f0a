"""CLIPs as they are published: the layouts of their files, and the model read from them.

1. A layout is a `ClipFolder`: it says which files a CLIP needs, and reads them. `layout_of` chooses one by the names of
   the files.
2. `find_clip` fetches and judges a CLIP's settings, so that one that cannot be used is refused before the weights of
   anything are downloaded.
3. Whichever the layout, what `read_clip` gives is a model of a known family (`core.model.families`), with a tokenizer
   and an image processor on PIL, all weights read in float32 and none made up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ...errors import UserError
from ...model.clip import SplitClip
from ...model.places import Place
from ..catalog import Location
from ..foreign_errors import readable
from ..hub import Download, Listing, download, list_files
from .open_clip import OpenClipFolder
from .parts import ClipFolder, ClipSettings
from .transformers_folder import TransformersFolder

__all__ = [
    "LAYOUTS",
    "ClipFolder",
    "ClipSource",
    "OpenClipFolder",
    "TransformersFolder",
    "find_clip",
    "layout_of",
    "read_clip",
]

LAYOUTS: tuple[type[ClipFolder], ...] = (TransformersFolder, OpenClipFolder)
"""Of a repository that holds both, the first is read."""


@dataclass(frozen=True, eq=False)
class ClipSource:
    """A CLIP that can be used, but for its weights, which have not been downloaded."""

    listing: Listing
    """Its files."""
    layout: type[ClipFolder]
    """How they are laid out."""
    settings: ClipSettings
    """All that is known of it without the weights."""

    def download(self, tell: Callable[[Download], None]) -> tuple[ClipFolder, str | None]:
        """All its files, and their commit (None for a folder). Raises UserError and tells as `hub.download` does."""
        fetched = download(self.listing, self.layout.patterns(), tell)
        return self.layout(fetched.folder, str(self.listing.location)), fetched.commit


def layout_of(listing: Listing) -> type[ClipFolder]:
    """A layout of which all files are there, else one that has begun. Raises UserError where there is none."""
    for layout in LAYOUTS:
        if not listing.lacking(layout.patterns()):
            return layout
    for layout in LAYOUTS:
        if not listing.lacking((layout.CONFIG,)):
            return layout
    names = " nor ".join(layout.CONFIG for layout in LAYOUTS)
    raise UserError(f"{listing.location} holds no CLIP: neither {names} is there. Choose a place that holds one.")


def find_clip(location: Location, place: Place, tell: Callable[[Download], None]) -> ClipSource:
    """A CLIP to be split at `place`, its settings read and found to be good.

    Raises UserError where the location holds no CLIP that can be used, and as `hub.list_files` and `hub.download` do.
    """
    listing = list_files(location)
    layout = layout_of(listing)
    # What it is comes first: of another model nobody misses a tokenizer.
    there = [pattern for pattern in layout.SETTINGS if not listing.lacking((pattern,))]
    files = layout(download(listing, there, tell, whole=False).folder, str(location))
    with readable("CLIP", files.where):
        config = files.config()
        place.check(config.vision_config.num_hidden_layers)
        listing.choose(layout.patterns())
        return ClipSource(listing, layout, files.settings())


def read_clip(
    files: ClipFolder | Path, place: Place, device: str = "cpu", prefix: torch.dtype = torch.float32
) -> SplitClip:
    """The CLIP of a folder, split at `place` (see `SplitClip` for `prefix`).

    Raises UserError where the folder holds no CLIP, or one that cannot be read.
    """
    if isinstance(files, Path):
        files, _ = find_clip(Location(files), place, _nobody).download(_nobody)
    with readable("CLIP", files.where):
        settings = files.settings()
        model = files.model(settings.config)
    torch.nn.Module.to(model, device)  # moves it in place; transformers' own `to` has no usable type
    return SplitClip(model, settings.image_processor, settings.tokenizer, place, prefix)


def _nobody(download: Download) -> None:
    """Hear nothing."""
