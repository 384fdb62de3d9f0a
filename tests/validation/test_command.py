"""The command: its exit codes, what it says, and the workflow in its README."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from labelled import CLASSES, Labelled
from streamed import at_a_time

import core.pictures.collection
from core.__main__ import COMMANDS
from core.methods.steering import Edit, Lever
from core.methods.targets import ClassTarget
from core.recipes.files import save_recipe
from core.recipes.making import make_recipe
from core.setups.catalog import Location, SetupSpec
from core.setups.loading import Setup, load
from core.validation.__main__ import main

README = (Path(__file__).parents[2] / "core" / "validation" / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def setup(clip_folder: Path, exact_folder: Path) -> Setup:
    return load(SetupSpec("tiny", "Tiny", Location(clip_folder), Location(exact_folder), 1, "all", "MIT", ""))


@pytest.fixture(scope="module")
def place(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, and 30 pictures in folders of their classes, one of them broken."""
    place = tmp_path_factory.mktemp("place")
    edit = Edit((Lever(3), Lever(40, "set", 2.0)))
    save_recipe(
        make_recipe(setup, edit, CLASSES, ("a photo of a {}",), ClassTarget(0, 1), title="My recipe"),
        place / "my-recipe",
    )
    for number in range(30):
        if number % 7 != 3:
            folder = place / "held-out" / CLASSES[number % len(CLASSES)]
            folder.mkdir(parents=True, exist_ok=True)
            Labelled().picture(number).save(folder / f"{number}.png")
    (place / "held-out" / CLASSES[0] / "broken.png").write_bytes(b"no picture")
    return place


@pytest.fixture
def setup_words(clip_folder: Path, exact_folder: Path) -> list[str]:
    return ["--clip", str(clip_folder), "--dictionary", str(exact_folder), "--layer", "1"]


def ran(words: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert isinstance(end.value.code, int)
    return end.value.code


def test_several_processes_write_what_one_does(
    place: Path, tmp_path: Path, setup_words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte. Each loads the model: sums depend on where in memory its weights are, see `device_name`."""
    monkeypatch.setattr(core.pictures.collection, "PART", 10)
    words = [str(place / "my-recipe"), "--pictures", str(place / "held-out"), *setup_words, "--max-broken", "0.9"]
    assert ran([*words, "--out", str(tmp_path / "one")]) == 0
    assert at_a_time(2, lambda: main([*words, "--out", str(tmp_path / "two")])) == [0, 0]
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two
    assert len(one) == 3


@pytest.mark.parametrize(
    ("bounds", "code", "said"),
    [
        (["--max-broken", "0.9999", "--min-fixed", "0.0001", "--confidence", "0.5"], 0, "My recipe: holds"),
        (["--max-broken", "0.3", "--min-fixed", "0.9", "--confidence", "0.5"], 1, "My recipe: does not hold"),
        (["--max-broken", "0.01"], 2, "It takes at least 299 such pictures"),
    ],
)
def test_exit_codes(
    place: Path,
    tmp_path: Path,
    setup_words: list[str],
    capsys: pytest.CaptureFixture[str],
    bounds: list[str],
    code: int,
    said: str,
) -> None:
    words = [str(place / "my-recipe"), "--pictures", str(place / "held-out"), "--out", str(tmp_path / "out")]
    assert ran([*words, *setup_words, *bounds]) == code
    told = capsys.readouterr().out
    assert said in told
    assert "1 picture could not be read." in told
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["outcome"] == ["holds", "does not hold", "cannot be judged"][code]
    assert [one["name"] for one in report["counts"]["troubles"]] == ["dog/broken.png"]
    assert report["counts"]["total"]["unlabelled"] == 0
    (suite,) = ElementTree.parse(tmp_path / "out" / "junit.xml").getroot()
    assert len(suite) == len(bounds) // 2 - ("--confidence" in bounds)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([], "no bound to hold"),
        (["--max-broken", "2"], "--max-broken is 2"),
        (["--max-broken", "0.1", "--pictures", "nowhere/at/all"], "no folder"),
        (["--max-broken", "0.1", "--every", "0"], "--every is 1 or more"),
        (["--max-broken", "0.1", "--side", "0"], "--side is 0"),
        (["--max-broken", "0.1", "--setup", "bundled"], "of another setup, 'tiny'"),
        (["--max-broken", "0.1"], "setup “tiny” is in no catalog here"),
        (["--max-broken", "0.1", "--labels", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_what_the_command_cannot_use_is_a_sentence_and_no_failure_of_the_recipe(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str], said: str
) -> None:
    words = [str(place / "my-recipe"), "--pictures", str(place / "held-out"), "--out", str(tmp_path / "out")]
    assert ran([*words, *wrong]) == 2
    assert said in capsys.readouterr().err


def test_labels_and_groups_out_of_a_table(place: Path, tmp_path: Path, setup_words: list[str]) -> None:
    """With a byte order mark, a line that names no picture, and a label that is no class."""
    names = sorted(path.relative_to(place / "held-out").as_posix() for path in (place / "held-out").rglob("*.png"))
    lines = [f'{name},"{CLASSES[i % 2]}",{"day" if i % 3 else "night"}' for i, name in enumerate(names)]
    lines[0] = f"{names[0]},tench,day"
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["file_name,label,group", *lines, "gone.png,dog,day"]), encoding="utf-8-sig")
    words = [str(place / "my-recipe"), "--pictures", str(place / "held-out"), "--labels", str(table)]
    assert ran([*words, "--out", str(tmp_path / "out"), *setup_words, "--max-broken", "0.01"]) == 2
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    counts = report["counts"]
    assert list(counts["classes"]) == list(CLASSES[:2])
    assert set(counts["groups"]) == {"day", "night"}
    assert counts["others"] == {"tench": 1}
    assert counts["total"]["unlabelled"] == counts["of_others"] == 1
    assert report["intake"]["n_left_out"] == 1
    assert "gone.png" in report["intake"]["left_out"][0][1]
    assert "gone.png" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_no_recipe(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran([str(place / "other"), "--pictures", str(place), "--max-broken", "0.1"]) == 2
    assert "There is no folder" in capsys.readouterr().err


# ---- the workflow of the README


def workflow() -> dict[Any, Any]:
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    return yaml.safe_load(text)


def test_the_workflow_asks_for_little_and_pins_what_it_uses() -> None:
    (job,) = workflow()["jobs"].values()
    assert workflow()["permissions"] == {}
    assert job["permissions"] == {"contents": "read"}
    ours = "".join(path.read_text() for path in (Path(__file__).parents[2] / ".github" / "workflows").glob("*.yml"))
    for step in job["steps"]:
        assert "${{" not in step.get("run", "")
        if action := step.get("uses"):
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action)
            assert action in ours or action.startswith("actions/upload-artifact@")


def test_the_workflows_command_runs_where_its_files_are(
    place: Path, tmp_path: Path, setup_words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As bash reads the step, with this command in place of the installed one; the gate's code is the step's."""
    (step,) = (step for step in workflow()["jobs"]["gate"]["steps"] if step.get("name") == "Does the recipe hold?")
    assert COMMANDS["validation"][0] == "validation"
    monkeypatch.chdir(tmp_path)
    for name in ("my-recipe", "held-out"):
        (tmp_path / name).symlink_to(place / name)
    script = "clip-levers() { printf '%s\\0' \"$@\" > words; echo told; return 2; }\n" + step["run"]
    ended = subprocess.run(
        ["bash", "-e", "-c", script], env={"GITHUB_STEP_SUMMARY": "summary", "PATH": "/usr/bin:/bin"}
    )
    assert ended.returncode == 2, "not that of tee"
    assert (tmp_path / "summary").read_text() == "told\n"
    command, *words = (tmp_path / "words").read_text().split("\0")[:-1]
    assert command == "validation"
    assert ran([*words, *setup_words]) == 1, "hardly any is fixed"
    assert (tmp_path / "validation" / "report.html").is_file()
