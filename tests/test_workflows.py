"""The GitHub workflows: pinned actions, least rights, and nothing deployed that was not tested.

By hand, after a change: `actionlint` (https://github.com/rhysd/actionlint), which knows the language itself.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.indexing.__main__ import parser as indexing_options
from core.setups.catalog import CATALOG
from core.setups.verified import FILE_NAME
from core.setups.verify import parser

FOLDER = Path(__file__).parents[1] / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
PINNED = re.compile(r"[\w-]+/[\w./-]+@[0-9a-f]{40}")


def read(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def triggers(workflow: dict[Any, Any]) -> Any:
    return workflow[True]  # YAML 1.1 takes the word `on` for a truth value


def jobs() -> list[Any]:
    return [pytest.param(job, id=f"{path.stem}: {name}") for path in FILES for name, job in read(path)["jobs"].items()]


def test_the_workflows_are_these() -> None:
    assert [path.name for path in FOLDER.iterdir()]
    assert {path.stem for path in FILES} == {"deploy", "hub", "index", "test"}
    assert len(list(FOLDER.iterdir())) == len(FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_is_allowed_that_no_job_asks_for(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {}
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(triggers(workflow))
    assert path.stem == "index" or "secrets." not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_actions_are_pinned_and_say_their_version(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        if "uses:" not in line:
            continue
        action, _, version = line.split("uses:")[1].strip().partition(" # ")
        if action.startswith("./"):
            assert (FOLDER.parents[1] / action).is_file()
        else:
            assert PINNED.fullmatch(action), line
            assert re.fullmatch(r"v\d+\.\d+\.\d+", version), line


def hub_jobs() -> dict[str, Any]:
    return read(FOLDER / "hub.yml")["jobs"]


@pytest.mark.parametrize("job", jobs())
def test_a_job_asks_for_little_and_ends(job: dict[str, Any]) -> None:
    if job != hub_jobs()["propose"]:
        assert set(job["permissions"].items()) <= {("contents", "read"), ("id-token", "write")}
    if "steps" not in job:
        return
    assert job["timeout-minutes"] <= (340 if job == hub_jobs()["verify"] else 90)
    for step in job["steps"]:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"] == {"persist-credentials": False}
        assert "${{" not in step.get("run", ""), "what others can write reaches a script by its environment only"


def test_only_what_was_tested_is_deployed_from_main_and_by_trusted_publishing() -> None:
    workflow = read(FOLDER / "deploy.yml")
    test, deploy = workflow["jobs"]["test"], workflow["jobs"]["deploy"]
    assert triggers(workflow) == {"push": {"branches": ["main"]}}
    assert test["uses"] == "./.github/workflows/test.yml"
    assert "workflow_call" in triggers(read(FOLDER / "test.yml"))
    assert deploy["needs"] == "test"
    assert "vars.HF_SPACE" in deploy["if"]
    assert deploy["permissions"] == {"contents": "read", "id-token": "write"}
    assert deploy["steps"][-1]["env"]["HF_OIDC_RESOURCE"] == "spaces/${{ vars.HF_SPACE }}"
    writing = (deploy, hub_jobs()["propose"])
    others = [job["permissions"] for path in FILES for job in read(path)["jobs"].values() if job not in writing]
    assert all(rights == {"contents": "read"} for rights in others)


def test_the_scheduled_run_is_not_content_with_a_skip() -> None:
    workflow = read(FOLDER / "hub.yml")
    assert set(triggers(workflow)) == {"schedule", "workflow_dispatch"}
    (step,) = [step for step in workflow["jobs"]["hub"]["steps"] if "pytest -m hub" in step.get("run", "")]
    assert step["env"] == {"REQUIRE_HUB": "1"}


def test_what_verifying_came_to_is_proposed_by_a_job_that_runs_nothing_else() -> None:
    """The job that may write takes one file from the one that loads and computes, and knows git and gh alone."""
    verify, propose = (hub_jobs()[name] for name in ("verify", "propose"))
    (run,) = [step["run"] for step in verify["steps"] if "core.setups.verify" in step.get("run", "")]
    options = parser().parse_args(run.split("core.setups.verify")[1].split())
    assert options.names == []
    assert options.catalog == CATALOG
    assert options.minutes < verify["timeout-minutes"] - 60, "the last setup has its time, too"
    given, taken = verify["steps"][-1], propose["steps"][1]
    assert given["with"]["path"] == f"assets/{FILE_NAME}"
    assert given["if"] == propose["if"] == "${{ !cancelled() }}", "what failed is recorded, too"
    assert (taken["with"]["name"], taken["with"]["path"]) == (given["with"]["name"], "assets")
    assert propose["permissions"] == {"contents": "write", "pull-requests": "write"}
    checkout, _, last = propose["steps"]
    assert checkout["uses"].startswith("actions/checkout@")
    words = {line.split()[0] for line in last["run"].replace("\\\n", " ").splitlines()}
    assert words == {"git", "gh", 'branch="verified-$GITHUB_RUN_ID-$GITHUB_RUN_ATTEMPT"'}
    assert f"-- assets/{FILE_NAME}" in last["run"]


def test_an_index_is_made_by_hand_and_only_the_step_that_pushes_it_has_the_token() -> None:
    path = FOLDER / "index.yml"
    workflow, text = read(path), path.read_text(encoding="utf-8")
    assert set(triggers(workflow)) == {"workflow_dispatch"}
    job = workflow["jobs"]["index"]
    assert job["environment"] == "hub-index"
    make, push = job["steps"][-2:]
    assert re.findall(r"secrets\.\w+", text) == ["secrets.HF_TOKEN"]
    assert push["env"] == {"HF_TOKEN": "${{ secrets.HF_TOKEN }}"}
    assert "--push=" in push["run"]
    assert "--push" not in make["run"]
    inputs = triggers(workflow)["workflow_dispatch"]["inputs"]
    assert set(job["env"].values()) == {f"${{{{ inputs.{name} }}}}" for name in inputs}


def test_what_the_index_workflow_types_the_command_understands() -> None:
    """With the inputs' defaults, in the shell's own words."""
    inputs = triggers(read(FOLDER / "index.yml"))["workflow_dispatch"]["inputs"]
    given = {name.upper(): one.get("default", "some/thing") for name, one in inputs.items()} | {"RUNNER_TEMP": "/there"}
    for step in read(FOLDER / "index.yml")["jobs"]["index"]["steps"][-2:]:
        script = step["run"].replace("python -m core.indexing", "printf '%s\\n'")
        typed = subprocess.run(
            ["bash", "-c", script], env=dict(os.environ) | given, capture_output=True, text=True, check=True
        )
        options = indexing_options().parse_args(typed.stdout.splitlines())
        assert options.setup == "some/thing"
        assert options.collection.pictures == "some/thing"
        assert options.licence == "some/thing"
        assert str(options.out) == "/there/index"
