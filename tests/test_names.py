"""One meaning a word: no two public classes of this project share a name."""

import ast
from collections import defaultdict
from pathlib import Path

import core

ROOT = Path(core.__file__).parent


def test_no_two_public_classes_have_one_name():
    homes: dict[str, list[str]] = defaultdict(list)
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(ROOT)))
    assert len(homes) > 50, "the classes are found"
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}
