"""Which way imports point in core: read from the code itself, so that no package can come to need one above it."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

CORE = Path(__file__).parents[1] / "core"
GROUND = frozenset({"errors", "records", "stats", "files", "hashing", "words", "background", "progress"})
"""Single modules that anything may import, and that import nothing but each other."""
LEVELS: Mapping[str, int] = {
    name: level
    for level, names in enumerate(
        (
            ("scenes",),
            ("model", "pictures"),
            ("methods", "streaming"),
            ("concepts",),
            ("setups",),
            ("workbench", "recipes"),
            # Commands stand beside the workbench.
            ("dictionary_training", "indexing", "faithfulness", "bundled", "repair", "session"),
            ("views", "serving"),
            # A command that draws its report as the page draws.
            ("page", "validation"),
            ("__main__",),
        )
    )
    for name in names
}
"""Every package, and how high it stands: an import points down, or within the package."""
SIDEWAYS = frozenset({("bundled", "dictionary_training"), ("bundled", "faithfulness"), ("faithfulness", "bundled")})
"""Imports between commands: scores ask for scenes of the bundled setup, and its training trains a dictionary."""
ONLY_THE_PAGE = frozenset({"gradio", "gradio_client"})
HEAVY = frozenset({"torch", "transformers", "sae_lens"})
LIGHT = frozenset({"page", "views", "session"})
"""Packages that reach models through the workbench alone."""


@cache
def parsed(path: Path) -> ast.Module:
    """A module of this checkout."""
    return ast.parse(path.read_text(encoding="utf-8"))


def package_of(path: Path) -> str:
    """The first name below core: a package, or a single module."""
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Absolute names of what a module imports, wherever in it: "core.model.clip", "torch"."""
    package = ["core", *path.relative_to(CORE).parent.parts]
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            # `from . import x` and `from ..views import x` may name modules
            yield from ((base,) if node.module and base != "core" else (f"{base}.{alias.name}" for alias in node.names))


MODULES = sorted(CORE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(CORE).as_posix())
def test_imports_point_down(path: Path) -> None:
    own = package_of(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "core":
            assert parts[0] not in ONLY_THE_PAGE or own == "page", f"{name}: gradio is the page's alone"
            assert parts[0] not in HEAVY or own not in LIGHT, f"{name}: models are reached through the workbench"
            continue
        other = parts[1]
        if own == other or own == "__init__":
            continue
        if own in GROUND:
            assert other in GROUND, f"{name}: the ground rests on nothing else"
        elif other not in GROUND:
            assert other in LEVELS, f"{name}: where does {other} stand?"
            assert LEVELS[other] < LEVELS[own] or (own, other) in SIDEWAYS, f"{name} is not below {own}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(CORE).as_posix())
def test_imports_within_core_are_relative(path: Path) -> None:
    """So that the same folder installs as the package clip_levers."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] == "core" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert (node.module or "").split(".")[0] != "core"


@pytest.mark.parametrize("path", [CORE.parent / "app.py", CORE / "page" / "__main__.py"], ids=lambda path: path.name)
def test_the_app_comes_by_its_command_alone(path: Path) -> None:
    """Which tells at once what is wrong with the house (tests/serving/test_house.py)."""
    tree = parsed(path)
    found = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert [name.rsplit(".")[-1] for name in found if name] == ["command"]
    assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))


def test_every_package_says_what_it_holds() -> None:
    for path in CORE.glob("*/__init__.py"):
        assert (ast.get_docstring(parsed(path)) or "").strip(), path


def longest(path: Path) -> Iterator[tuple[int, str]]:
    """Lines and name of each function."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1, node.name


@pytest.mark.parametrize("path", [*MODULES, CORE.parent / "app.py"], ids=lambda path: path.name)
def test_no_function_is_longer_than_one_can_hold_in_mind(path: Path) -> None:
    bound = 80 if CORE in path.parents and package_of(path) == "page" else 120
    assert {name: lines for lines, name in longest(path) if lines > bound} == {}


def test_no_two_public_classes_have_one_name() -> None:
    """One meaning a word."""
    seen: dict[str, Path] = {}
    for path in MODULES:
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                assert node.name not in seen, f"{node.name}: {seen[node.name]} and {path}"
                seen[node.name] = path
    assert len(seen) > 50, "the classes are found"
