"""The installed package: the wheel works as clip_levers, with its assets and its command, without a checkout."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from core.__main__ import COMMANDS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the built wheel is installed in, without what it depends on: that is here already."""
    built, folder = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("installed")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(built),
        str(ROOT),
    ]
    subprocess.run(build, check=True)
    (wheel,) = built.glob("clip_levers-*.whl")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "-t", str(folder), str(wheel)], check=True
    )
    return folder


def run(installed: Path, *words: str) -> str:
    """What a command prints that finds this package in the folder alone."""
    environment = os.environ | {"PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=installed, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_s_library_snippet_runs_by_the_package_s_name(installed: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    snippet = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert snippet is not None
    code = snippet[1].replace("from core.", "from clip_levers.")
    code = code.replace('"assets/', f'"{installed / "clip_levers" / "assets"}/')
    code = f"import sys\n{code}\nassert not any(name == 'core' or name.startswith('core.') for name in sys.modules)\n"
    assert "dog" in run(installed, sys.executable, "-c", code)


def test_the_command_lists_every_command_and_runs_one(installed: Path) -> None:
    command = [sys.executable, str(installed / "bin" / "clip-levers")]
    assert all(name in run(installed, *command, "--help") for name in COMMANDS)
    assert "--pictures" in run(installed, *command, "indexing", "--help")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_module(name: str) -> None:
    module = ROOT / "core" / COMMANDS[name][0].replace(".", "/")
    assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file()


def test_the_version_is_said_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert project["version"] == citation["version"]
