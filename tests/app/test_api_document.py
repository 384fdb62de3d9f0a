"""API.md says what is so: every snippet in it is run against a served page, and every question is in it."""

import io
import re
import shutil
import subprocess
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "core" / "serving" / "API.md").read_text(encoding="utf-8")
HERE = "http://127.0.0.1:7860"
"""The page, in the document."""
PROMISED = re.compile(r"^(print\(.*\)|ask .*)  # (.*)$", re.MULTILINE)
"""A line that prints, and what."""


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def test_python(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    printed = []
    for snippet in snippets("python"):
        with redirect_stdout(io.StringIO()) as said:
            exec(compile(snippet.replace(HERE, address), "API.md", "exec"), names)
        printed += said.getvalue().splitlines()
    promised = [words for line, words in PROMISED.findall(DOCUMENT) if line.startswith("print")]
    assert printed[-len(promised) :] == promised, "after the client's own greeting"


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_curl(address: str) -> None:
    script = "\n".join(snippets("sh")).replace(HERE, address)
    run = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert run.stdout.splitlines() == [words for line, words in PROMISED.findall(DOCUMENT) if line.startswith("ask")]


def test_every_question_is_in_it_with_its_parameters(client: Client) -> None:
    named = client.view_api(return_format="dict")["named_endpoints"]
    described = dict(re.findall(r"^### (/\w+)\n\n`(\(.*?\))`", DOCUMENT, re.MULTILINE | re.DOTALL))
    assert described == {
        name: f"({', '.join(written(one) for one in endpoint['parameters'])})" for name, endpoint in named.items()
    }


def written(parameter: dict[str, Any]) -> str:
    """As in a signature of Python."""
    assert parameter["parameter_has_default"]
    default = parameter["parameter_default"]
    return f"{parameter['parameter_name']}=" + (f'"{default}"' if isinstance(default, str) else str(default))
