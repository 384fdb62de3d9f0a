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
from core.bundled.training import build_tokenizer

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


OFFLINE = """
import os, socket, sys

connect = socket.socket.connect

def only_here(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"no network: {address}")
    return connect(self, address)

def resolve(host, *rest, **more):
    raise OSError(f"no network: {host}")

socket.socket.connect = socket.socket.connect_ex = only_here
socket.getaddrinfo = resolve
"""
SERVES = """
from clip_levers.setups.health_check import example_samples

sample = example_samples()[1]
trace = bench.open(sample.picture)
print(bench.classify(trace, sample.classes, TEMPLATES["single"]).best, "instead of", sample.truth)
"""
BUILDS = """
from clip_levers.bundled.training import build_tokenizer

print(build_tokenizer().backend_tokenizer.to_str())
"""
RUNS = """
from clip_levers.__main__ import main

assert not any(name == "core" or name.startswith("core.") for name in sys.modules)
main(["indexing", "--help"])
"""
NEXT = 'print("----")'


def run(installed: Path, *words: str) -> str:
    """What a command prints that finds this package in the folder alone."""
    environment = os.environ | {"PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=installed, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def said(installed: Path) -> list[str]:
    """What a second process prints that has no network: of README's snippet, then of what is asked above.

    One process for all of it, since the libraries take their time to import.
    """
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    snippet = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert snippet is not None
    code = snippet[1].replace("from core.", "from clip_levers.")
    code = code.replace('"assets/', f'"{installed / "clip_levers" / "assets"}/')
    parts = "\n".join([OFFLINE, code, NEXT, SERVES, NEXT, BUILDS, NEXT, RUNS])
    return run(installed, sys.executable, "-c", parts).split("----\n")


def test_the_readme_s_library_snippet_runs_by_the_package_s_name(said: list[str]) -> None:
    assert "dog" in said[0]


def test_a_second_process_without_network_serves_the_bundled_setup(said: list[str]) -> None:
    assert said[1].strip() == "dog instead of dog"  # the first example without its cue: the same dog without its note


def test_every_process_builds_the_same_tokenizer(said: list[str]) -> None:
    """The processes that train together, and the one that saves, each build their own."""
    mine = build_tokenizer().backend_tokenizer.to_str()
    assert said[2].strip() == mine
    assert len(mine) > 10_000


def test_the_command_lists_every_command_and_runs_one(installed: Path, said: list[str]) -> None:
    listed = run(installed, sys.executable, str(installed / "bin" / "clip-levers"), "--help")
    assert all(name in listed for name in COMMANDS)
    assert "--pictures" in said[3]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_module(name: str) -> None:
    module = ROOT / "core" / COMMANDS[name][0].replace(".", "/")
    assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file()


def test_the_version_is_said_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert project["version"] == citation["version"]
