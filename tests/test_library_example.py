"""The example of the library runs from its first cell to its last, and tells the story that it says it tells."""

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "assets" / "library.py"


def test_the_example_of_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    told = runpy.run_path(str(EXAMPLE))
    said = capsys.readouterr().out
    assert told["chance"].beyond_chance
    assert len(told["trial"].before) == 60
    assert told["recipe"].facts.claims[0].n == 60
    assert "The plain model says 'cat', with the recipe it says 'dog'." in said
    cells = [line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if line.startswith("# %% ")]
    assert len(cells) == 8
