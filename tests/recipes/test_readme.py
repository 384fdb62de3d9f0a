"""The README's examples run, as they stand."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, with the name that the package has in a checkout."""
    text = (ROOT / "core" / "recipes" / "README.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(examples) == 3
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for example in examples:
            exec(example.replace("clip_levers", "core"), names)  # our own file
    assert {path.name for path in (tmp_path / "my-recipe").iterdir()} == {"recipe.json", "directions.safetensors"}
    assert sum(path.stat().st_size for path in (tmp_path / "my-recipe").iterdir()) < 40_000
    first, *_, last = printed.getvalue().splitlines()
    assert first == "Written words are ignored: 5 levers on clip with dictionary"
    assert last.startswith("0 pictures seen.")
    assert "breaks at most" in printed.getvalue()
