"""Kept figures of health checks, so that a start need not repeat one: shipped for the bundled setup, else remembered.

1. What a check came to depends on the files of both parts, on how they were read, where and in which precision the
   model runs, on the libraries, and on the pictures. All that is written down as text (`about_check`): files of the Hub
   by their commits, those of the bundled setup by the SHA-256 of their bytes; setups in folders of one's own are
   checked at every start, in the background as all others (`core.page.opening`).
2. `assets/bundled/health.json` has the bundled setup's (`core.bundled.health` writes it, a test measures it again).
   Others are remembered in huggingface_hub's folder for assets. Kept figures are used only where every line of that
   text is the same.
3. Figures alone are kept. What is doubtful follows from them anew, by today's rules.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy
import PIL
import sae_lens
import torch
import transformers
from pydantic import TypeAdapter, ValidationError

from ..concepts.index import Identity
from ..files import ASSETS, replacing
from ..model.clip import SplitClip
from ..pictures import examples, photographs
from .catalog import SetupSpec
from .health import Health, doubts
from .health_check import is_bundled_clip
from .kept import kept_at

BUNDLED_HEALTH = ASSETS / "bundled" / "health.json"
"""The figures of the bundled setup."""

_VERSION = "1"
"""Of what is measured. To be raised whenever `core.setups.health_check` gives the same setup other figures."""
_HEALTH = TypeAdapter(Health)


def about_check(spec: SetupSpec, clip: SplitClip, setup: Identity) -> Mapping[str, str] | None:
    """What the figures of a check depend on; None for a setup in folders that may change unseen.

    `setup` is the identity of the loaded parts: its fingerprint tells how the files were read, its commits which they
    are.
    """
    parts = {"clip": setup.clip_commit, "dictionary": setup.dictionary_commit}
    if _is_bundled(spec):
        for part in parts:
            parts[part] = _hash_of(getattr(spec, part).folder)
    pictures = [examples.FOLDER] if is_bundled_clip(spec) else [photographs.FOLDER, examples.PHOTOGRAPHS]
    about = {
        "version": _VERSION,
        "fingerprint": setup.fingerprint,
        "device": clip.device.type,
        "precision": str(clip.prefix).removeprefix("torch."),
        "pictures": _hash_of(*pictures),
        "software": _software(),
    }
    for part, version in parts.items():
        if version is None:
            return None
        about[part] = version
    return about


def kept_health(spec: SetupSpec, about: Mapping[str, str]) -> Health | None:
    """The figures that were kept for this very check, with the doubts they raise; None where there are none."""
    path = BUNDLED_HEALTH if _is_bundled(spec) else _remembered_at(spec, about)
    if path is None:
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["about"] != about:
            return None
        health = _HEALTH.validate_python(kept["health"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError):  # what is damaged is measured anew
        return None
    return replace(health, doubts=doubts(health, spec))


def remember(health: Health, spec: SetupSpec, about: Mapping[str, str]) -> None:
    """Keep the figures for the next start. Where nothing can be written, nothing is lost but the time."""
    path = None if _is_bundled(spec) else _remembered_at(spec, about)
    if path is None:
        return
    with suppress(OSError, ValueError):
        write_health(health, about, path)


def write_health(health: Health, about: Mapping[str, str], path: Path) -> None:
    """Write the file that `kept_health` reads. Raises OSError, and ValueError for a figure that is not finite."""
    figures = _HEALTH.dump_python(replace(health, doubts=()))
    text = json.dumps({"about": dict(about), "health": figures}, indent=1, allow_nan=False)
    with replacing(path, shared=True) as beside:
        beside.write_text(text + "\n", encoding="utf-8")


def _is_bundled(spec: SetupSpec) -> bool:
    folder = spec.dictionary.folder
    return is_bundled_clip(spec) and folder is not None and folder.resolve() == BUNDLED_HEALTH.parent / "dictionary"


def _software() -> str:
    """The libraries that decide the figures, with their versions; builds of one version compute the same."""
    libraries = (torch, transformers, sae_lens, numpy, PIL)
    return ", ".join(f"{one.__name__} {str(one.__version__).partition('+')[0]}" for one in libraries)


def _hash_of(*folders: Path) -> str:
    """SHA-256 of the names and bytes of the files in some folders."""
    digest = hashlib.sha256()
    for path in (path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _remembered_at(spec: SetupSpec, about: Mapping[str, str]) -> Path | None:
    """The file for this check; None where there can be no folder."""
    return kept_at("health", str(spec.dictionary), about, "json")
