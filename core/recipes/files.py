"""Saving and loading a recipe: a folder of two files, or a repository on the Hub, checked when read.

`recipe.json` says everything but the arrays, `directions.safetensors` holds those. Either may come from anybody, so
nothing in them is believed: what does not fit together is a UserError.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load

from ..errors import UserError, first_line
from ..files import replacing
from ..setups.catalog import Location
from ..setups.hub import Download, fetch
from .recipe import VERSION, Directions, Recipe, RecipeFacts, first_fault, needed_components
from .sealing import arrays_bytes, digest_of

FACTS, ARRAYS = "recipe.json", "directions.safetensors"

_MAX_FACTS = 1_000_000
"""Bytes of recipe.json."""
_MAX_ARRAYS = 4_000_000_000
"""Bytes of directions.safetensors: the encoder of 500,000 components of width 2,000."""


def save_recipe(recipe: Recipe, folder: str | Path) -> Path:
    """Write the two files, each whole or not at all; the folder. Raises UserError where they cannot be written.

    Where one of them is lost, or is of another recipe, `load_recipe` says so.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / ARRAYS) as path:
            path.write_bytes(arrays_bytes(recipe.arrays))
        with replacing(folder / FACTS) as path:
            path.write_text(facts_text(recipe.facts), encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"The recipe cannot be written to {folder}: {first_line(error)}. Name another folder."
        ) from error
    return folder


def load_recipe(place: str | Path, revision: str = "main", tell: Callable[[Download], None] = lambda _: None) -> Recipe:
    """A recipe from a folder, or from a repository on the Hub, `owner/name`, at a branch, a tag or a commit.

    A folder of that name comes first; `tell` hears how far a download is. Raises UserError when there is none, when it
    cannot be read, and when it is of a later version, damaged, or changed by hand.
    """
    folder = Path(place).expanduser()
    if folder.is_dir():
        return read_recipe(folder)
    if isinstance(place, Path) or str(place).startswith((".", "/", "~")) or str(place).count("/") != 1:
        raise UserError(f"There is no folder {place}. Name the folder of a recipe, or a repository as owner/name.")
    return read_recipe(fetch(Location(repo=str(place), revision=revision), (FACTS, ARRAYS), tell).folder)


def read_recipe(folder: Path) -> Recipe:
    """The recipe in a folder. Raises UserError as `load_recipe` does."""
    facts = _read_facts(_bytes(folder / FACTS, _MAX_FACTS))
    data = _bytes(folder / ARRAYS, _MAX_ARRAYS)
    if hashlib.sha256(data).hexdigest() != facts.directions:
        raise UserError(f"{ARRAYS} is not the one that {FACTS} was saved with. Take both from where you had them.")
    return Recipe(facts, _read_arrays(data, facts))


def facts_text(facts: RecipeFacts) -> str:
    """recipe.json."""
    written = facts.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(written | {"digest": digest_of(written)}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _bytes(path: Path, most: int) -> bytes:
    try:
        if path.stat().st_size > most:
            raise UserError(f"{path.name} is too large for a recipe, {most:,} bytes at most. Take another recipe.")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"There is no {path.name} in {path.parent}. Name the folder of a recipe.") from error
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {first_line(error)}. Take another recipe.") from error


def _read_facts(data: bytes) -> RecipeFacts:
    """What recipe.json says, of any version that there was."""
    try:
        raw = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise _damaged("it is not JSON") from error
    if not isinstance(raw, dict):
        raise _damaged("it is not one JSON object")
    version = raw.get("version")
    if isinstance(version, int) and version > VERSION:
        raise UserError(
            f"This recipe is of version {version}, and this program reads up to {VERSION}. Update clip-levers."
        )
    digest = raw.pop("digest", None)
    try:
        if digest != digest_of(raw):
            raise UserError(
                f"{FACTS} was damaged, or changed after it was saved: what it claims may be of another edit. "
                "Take it from where you had it, or make the recipe anew."
            )
        return RecipeFacts.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        raise _damaged(first_fault(error)) from error
    except UserError:
        raise
    except (ValueError, RecursionError) as error:  # such as a number that JSON has no form for
        raise _damaged(first_line(error)) from error


def _read_arrays(data: bytes, facts: RecipeFacts) -> Directions:
    """The arrays, of the sizes that what recipe.json says asks for."""
    try:
        arrays = load(data)
    except (SafetensorError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise _damaged(first_line(error), ARRAYS) from error
    wanted = _shapes(facts)
    if odd := set(arrays) ^ set(wanted):
        raise _damaged(f"it lacks or misnames {', '.join(sorted(odd)[:3])}", ARRAYS)
    for name, shape in wanted.items():
        array = arrays[name]
        if len(shape) != array.ndim or any(w not in (None, n) for w, n in zip(shape, array.shape, strict=True)):
            raise _damaged(f"{name} has the shape {list(array.shape)}", ARRAYS)
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise _damaged(f"{name} holds what are no numbers of 32 bits", ARRAYS)
    return Directions(**arrays)


def _shapes(facts: RecipeFacts) -> Mapping[str, tuple[int | None, ...]]:
    """The arrays that a recipe has, and their sizes; None where that is the CLIP's to say."""
    k, d, m = len(needed_components(facts.edit)), facts.identity.width, facts.identity.components
    encoder = facts.encoder
    wanted: dict[str, tuple[int | None, ...]] = {
        "encoder": (k, d), "bias": (k,), "decoder": (k, d), "classes": (len(facts.classes), None),
    }  # fmt: skip
    if encoder.centred:
        wanted["centre"] = (d,)
    if encoder.architecture == "jumprelu":
        wanted["threshold"] = (k,)
    if encoder.architecture == "gated":
        wanted |= {"gate_bias": (k,), "gate_scale": (k,)}
    if encoder.held == "encoder":
        wanted |= {"whole_encoder": (m, d), "whole_bias": (m,)}
    return wanted


def _damaged(why: str, name: str = FACTS) -> UserError:
    return UserError(f"{name} is not that of a recipe ({why}). Take another recipe, or make this one anew.")
