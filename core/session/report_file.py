"""Report file: the state that a report carries, written into its HTML and read back, and nothing else of it.

A report is one HTML file that anybody may have changed. It is never rendered, and none of its markup is looked at:
marks are searched for in its bytes, each of which has to be there once. Between them stands base64: of the view state,
which comes back through `ViewState.parsed`, and of the pictures that the model saw, which are read as any picture.
"""

import base64
import re
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from .view_state import MAX_STATE, ViewState

MAX_REPORT = 8_000_000
"""Bytes of a file that is looked through: reports are below 3 MB."""
STATE_NAME = "clip-levers-state"
"""Of the meta element that has the state."""
CROP_ID = "clip-levers-picture"
"""Of the image that has the picture."""
SECOND_ID = "clip-levers-second-picture"
"""Of the image that has the second picture."""

_STATE = re.compile(rb'<meta name="%s" content="([A-Za-z0-9+/=]+)"' % STATE_NAME.encode())
_CROP = re.compile(rb'<img id="%s" src="data:image/webp;base64,([A-Za-z0-9+/=]+)"' % CROP_ID.encode())
_SECOND = re.compile(rb'<img id="%s" src="data:image/webp;base64,([A-Za-z0-9+/=]+)"' % SECOND_ID.encode())
_MOST_STATE = 4 * MAX_STATE
"""Bytes of a state: four for a character at most."""


class CarriedInquiry(NamedTuple):
    """What a report was made from."""

    state: ViewState
    """What it is about."""
    crop: bytes | None
    """A file: the picture as the model saw it, or so the report says; None where there is none."""
    second: bytes | None
    """The same of the second picture."""


def packed(state: ViewState) -> str:
    """A state as a report carries it."""
    return base64.b64encode(state.serialised().encode()).decode()


def read_report(path: Path) -> CarriedInquiry:
    """What a report carries. Raises UserError for a file that is no report, or of which the state was damaged.

    Whether the picture is the one that the state is about, `core.session.view_state.restored` looks to.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_REPORT + 1)
    except (OSError, ValueError) as error:
        raise UserError("The file is not here, or not any more. Bring it again.") from error
    if len(content) > MAX_REPORT:
        raise UserError(f"The file has more than {MAX_REPORT // 10**6} MB: no report is as large. Bring another.")
    found, crops, seconds = (mark.findall(content) for mark in (_STATE, _CROP, _SECOND))
    if not found:
        raise UserError("This is no report of this app: there is no state in it. Bring the HTML file as it was saved.")
    if max(map(len, (found, crops, seconds))) > 1 or len(found[0]) > 2 * _MOST_STATE:
        raise UserError("This report was changed: its state cannot be told. Bring the file as it was saved.")
    try:
        state = ViewState.parsed(base64.b64decode(found[0], validate=True).decode())
        crop, second = (base64.b64decode(one[0], validate=True) if one else None for one in (crops, seconds))
    except ValueError as error:  # base64, UTF-8, and a UserError about pages
        raise UserError("This report was changed: its state cannot be read. Bring the file as it was saved.") from error
    return CarriedInquiry(state, crop, second)
