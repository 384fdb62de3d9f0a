"""What programs send and get, as plain JSON."""

import pytest

from core.errors import UserError
from core.methods.steering import MAX_LEVERS, Edit, Lever
from core.serving import api_json as plain


def test_edits_from_plain_json() -> None:
    wish = [{"component": 3}, {"component": 4, "operation": "scale", "strength": 2}]
    assert plain.edit(wish, [2, 1]) == Edit((Lever(3), Lever(4, "scale", 2.0)), (1, 2))
    bad: object
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


NO_STRENGTHS: tuple[object, ...] = (None, True, [1.0], {}, "x" * 1_000_000)


@pytest.mark.parametrize(
    ("levers", "tokens"),
    [
        *(([{"component": wrong}], None) for wrong in (float("inf"), 1.5, 2.0, "3", True, -1, 2**63, [3])),
        *(([{"component": 1, "strength": wrong}], None) for wrong in NO_STRENGTHS),
        ([{"component": 1, "strenght": 2}], None), ([{"component": 1, "operation": ["set"]}], None),
        ({"component": 1}, None), ([], "all"), ([], [float("inf")]), ([], ["0"]), ([], [-1]), ([], {"0": 1}),
    ],
)  # fmt: skip
def test_what_is_no_edit_gets_a_sentence(levers: object, tokens: object) -> None:
    with pytest.raises(UserError) as told:
        plain.edit(levers, tokens)
    assert len(str(told.value)) < 300


def test_more_levers_than_256_are_refused() -> None:
    assert len(plain.edit([{"component": n} for n in range(MAX_LEVERS)]).levers) == MAX_LEVERS
    with pytest.raises(UserError, match="20,000 levers. Keep at most 256"):
        plain.edit([{"component": n} for n in range(20_000)])
