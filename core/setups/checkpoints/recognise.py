"""Recognition of a file's layout, for whoever named another than its own, or a dictionary of another place."""

import json
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from ...errors import UserError
from ..catalog import Layout
from . import dictionary_learning, saev
from .settings import json_in
from .tensors import PLAIN
from .torch_archive import read_torch, settings_in

_FILES: Mapping[Layout, str] = MappingProxyType(
    {
        "sae_lens": r"(.*/)?sae_weights\.safetensors",
        "prisma": r"(.*/)?(weights|n_images_\d+)\.pt",
        "saev": r"(.*/)?sae\.pt",
        "clipscope": r"(.*/)?\d+_resid/\d+\.pt",
        "dictionary_learning": r"(.*/)?ae(_\d+)?\.pt",
        "patchsae": r"(.*/)?out\.pt",
    }
)
"""The paths that a layout's weights have where they are published: patterns."""

_IN_FOLDERS: frozenset[Layout] = frozenset({"sae_lens", "prisma"})
"""Layouts whose files are named by their folder."""

_CLIP = frozenset({"preprocessor_config.json", "tokenizer.json", "cfg.json"})
_MSAE = frozenset({"mean_center", "scaling_factor", "target_norm"})


def hint_for_names(asked: Layout, paths: Iterable[str]) -> str:
    """A sentence for files by these paths, which are not of the layout asked for; empty if they are unknown."""
    nearest = sorted(paths, key=lambda path: (path.count("/"), path))
    if asked != "clip_topk_sae" and {"config.json", "model.safetensors"} <= set(nearest) and not _CLIP & set(nearest):
        return (
            "It looks like a module that huggingface_hub saved, as clip-topk-sae is, which reads the image embedding: "
            "try `--layout clip_topk_sae --place embedding`."
        )
    for layout, pattern in _FILES.items():
        for path in (path for path in nearest if layout != asked and re.fullmatch(pattern, path)):
            place = PurePosixPath(path).parent.as_posix() if layout in _IN_FOLDERS else path
            in_folder = f" --file {place}" if "/" in path and place != "." else ""
            return f"It looks like a dictionary of {layout}: try `--layout {layout}{in_folder}`."
    return ""


def hint_for_file(asked: Layout, root: Path, file: str) -> str:
    """A sentence for a file or folder that could not be read in the layout asked for; empty if it is unknown."""
    path = root / file
    try:
        if path.is_dir():
            names = [found.name for found in islice(path.iterdir(), 1000)]
            return hint_for_names(asked, names)
        with path.open("rb") as stream:
            begin = stream.readline(saev.HEADER)
        if begin.startswith(b"{"):
            layout: Layout | None = "saev" if {"schema", "d_vit"} & json.loads(begin).keys() else None
        else:
            found = read_torch(file, path)
            if "model" in found and _MSAE & found.keys():
                return (
                    "It looks like an SAE of MSAE, of the image embedding. Its file says neither which activation it "
                    "has nor how far that is capped, so that it cannot be read here: save it with sae_lens, uncapped."
                )
            layout = _of_tensors(path, file, found)
    except (UserError, OSError, ValueError, AttributeError):  # damaged, or nothing of the kind
        return ""
    return "" if layout in (None, asked) else f"It looks like a dictionary of {layout}: try `--layout {layout}`."


def _of_tensors(path: Path, file: str, found: Mapping[str, object]) -> Layout | None:
    """The layout of what torch.save wrote."""
    if "model_state_dict" in found and "n_features" in found:
        return "clipscope"
    for key in found.keys() & {"cfg", "config"}:
        settings = settings_in(file, found, key)
        return "prisma" if "hook_point_layer" in settings else "patchsae" if "block_layer" in settings else None
    if any(found.keys() == set(names) for names in dictionary_learning.NAMES.values()) or "group_sizes" in found:
        return "dictionary_learning"
    beside = path.with_name("config.json")
    if set(PLAIN) == found.keys() and beside.is_file() and "hook_point_layer" in json_in(beside, beside.name):
        return "prisma"
    return None
