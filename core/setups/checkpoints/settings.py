"""Settings checked as they are taken: a UserError names the file, the setting, what it is and what was expected."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ...errors import UserError
from .files import begins, few

_LARGEST = 1 << 20
"""Bytes of settings; published ones are of 1 to 5 kB."""

_WIDEST = 10**9
"""Numbers along one side of a matrix."""


def one_of(file: str, settings: Mapping[str, Any], key: str, allowed: Collection[Any], default: Any = None) -> None:
    """Raises UserError unless the setting is one of those that can be read here."""
    value = settings.get(key, default)
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in allowed):
        choices = " or ".join(sorted(map(repr, allowed)))
        raise UserError(f"{file} has {key} = {few([value])}, which cannot be read here: expected {choices}.")


def whole(file: str, settings: Mapping[str, Any], key: str) -> int:
    """A size. Raises UserError for what is no whole number from 1 on, or larger than any dictionary's."""
    value = settings.get(key)
    if type(value) is not int or not 1 <= value <= _WIDEST:
        raise UserError(f"{file} has {key} = {few([value])}, expected a whole number from 1 to {_WIDEST:,}.")
    return value


def k_of(file: str, k: Any, components: int) -> int:
    """How many components are kept at a token. Raises UserError for more than there are."""
    if type(k) is not int or not 1 <= k <= components:
        raise UserError(f"{file} has k = {few([k])}, expected a whole number from 1 to {components}.")
    return k


def dict_in(file: str, settings: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What is inside by that name. Raises UserError for what holds nothing by name."""
    value = settings.get(key)
    if not isinstance(value, dict):
        raise UserError(f"{file} does not hold {key} as this layout has it. Choose another file or layout.")
    return value


def json_in(path: Path, file: str) -> dict[str, Any]:
    """The settings in a file of JSON. Raises UserError for a file that holds none."""
    if begins(path, file, None).stat().st_size > _LARGEST:
        raise UserError(f"{file} is larger than settings are. Choose another file or layout.")
    return json_of(path.read_bytes(), file)


def json_of(text: bytes, file: str) -> dict[str, Any]:
    """The settings in some JSON. Raises UserError for what holds none."""
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} does not hold its settings as JSON. Download it again.") from error
    if not isinstance(settings, dict):
        raise UserError(f"{file} does not hold its settings by name. Download it again.")
    return settings
