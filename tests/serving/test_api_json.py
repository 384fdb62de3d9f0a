"""What programs send and get, as plain JSON."""

import pytest

from core.errors import UserError
from core.methods.steering import Edit, Lever
from core.serving import api_json as plain


def test_edits_from_plain_json() -> None:
    wish = [{"component": 3}, {"component": 4, "operation": "scale", "strength": 2}]
    assert plain.edit(wish, [2, 1]) == Edit((Lever(3), Lever(4, "scale", 2.0)), (1, 2))
    for bad in (
        None,
        "x",
        [1],
        [{}],
        [{"component": "x"}],
        [{"component": 1, "operation": "explode"}],
        [{"component": 1}] * 2,
    ):
        with pytest.raises(UserError):
            plain.edit(bad)
    with pytest.raises(UserError):
        plain.edit([{"component": 1, "operation": "scale", "strength": "nan"}])
