"""Hashes by which a recipe's two files are known to be what was saved: against damage and changes by hand.

They are no signature: whoever means to can make them anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from safetensors.numpy import save

from .recipe import Directions


def digest_of(facts: Mapping[str, Any]) -> str:
    """SHA-256 of what recipe.json says, as JSON with sorted keys and without spaces."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def arrays_bytes(arrays: Directions) -> bytes:
    """directions.safetensors: the arrays that there are, by name."""
    found = {field.name: getattr(arrays, field.name) for field in fields(arrays)}
    return save({name: array for name, array in found.items() if isinstance(array, np.ndarray)})


def arrays_digest(arrays: Directions) -> str:
    """SHA-256 of directions.safetensors."""
    return hashlib.sha256(arrays_bytes(arrays)).hexdigest()
