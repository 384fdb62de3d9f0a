"""Named endpoints: their names and signatures are kept, and what each answers is what the library says."""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from test_app import CLASSES, DOG, EXAMPLES, SINGLE

from core.methods.steering import Condition, Edit, Lever, Term
from core.methods.targets import ClassTarget, PictureTarget
from core.recipes import load_recipe
from core.serving import api_trial
from core.serving.api import Programs
from core.workbench import Workbench

ENDPOINTS: dict[str, dict[str, Any]] = {
    "/setups": {},
    "/predict": {"picture": None, "classes": "", "setup": ""},
    "/attribute": {
        "picture": None, "classes": "", "wanted": "", "against": "", "shown": 10, "setup": "", "like": None,
    },
    "/steer": {"picture": None, "classes": "", "levers": None, "tokens": None, "condition": None, "setup": ""},
    "/evidence": {
        "picture": None, "classes": "", "wanted": "", "against": "", "levers": None, "tokens": None, "condition": None,
        "setup": "", "like": None,
    },
    "/component": {"component": None, "classes": "", "pictures_shown": 4, "setup": ""},
    "/search": {"words": "", "picture": None, "shown": 10, "setup": ""},
    "/find_edit": {"picture": None, "classes": "", "truth": "", "setup": ""},
    "/try_on_many": {"pictures": None, "classes": "", "levers": None, "condition": None, "setup": ""},
    "/recipe": {
        "levers": None, "condition": None, "classes": "", "wanted": "", "against": "", "title": "", "pictures": None,
        "unseen": False, "setup": "",
    },
}  # fmt: skip
"""Each with its parameters, in their order, and what they are where they are left out."""
ASKED = {"picture": DOG, "classes": "dog, cat, fox"}
LIKE = DOG.with_name("car-note-car.webp")
"""Another picture with a note."""
NOTE = [{"component": 99}]
"""The component that reads the note is suppressed."""


def ask(client: Client, name: str, **given: Any) -> Any:
    """Pictures are named by their paths."""
    for key in {"picture", "pictures", "like"} & given.keys():
        files = given[key]
        given[key] = [handle_file(file) for file in files] if isinstance(files, list) else handle_file(files)
    return client.predict(**given, api_name=f"/{name}")


def test_names_and_signatures_are_kept(client: Client) -> None:
    named = client.view_api(return_format="dict")["named_endpoints"]
    assert {
        name: {one["parameter_name"]: one["parameter_default"] for one in endpoint["parameters"]}
        for name, endpoint in named.items()
    } == ENDPOINTS
    assert all(one["parameter_has_default"] for endpoint in named.values() for one in endpoint["parameters"])


def test_a_program_that_is_older_than_an_input_is_answered(client: Client) -> None:
    """It sends the values in their order, and none for what it does not know."""
    call = f"{client.src.rstrip('/')}/gradio_api/call/attribute"
    event = httpx.post(call, json={"data": [None, "dog, cat", "", "", 3, ""]}).json()["event_id"]
    assert "There is no picture" in httpx.get(f"{call}/{event}").text


def test_why_two_pictures_are_alike(client: Client, bundled: Workbench) -> None:
    trace, other = bundled.open(DOG), bundled.open(LIKE)
    target = PictureTarget.like(other.embedding, "")
    found = bundled.attribute(trace, CLASSES, SINGLE, target)
    said = ask(client, "attribute", **ASKED, like=LIKE)
    assert said["value"] == pytest.approx(found.value, abs=1e-3)
    assert (said["wanted"], said["against"], said["unit"]) == (None, None, "hundredths of cosine")
    assert said["for"][0]["component"] == found.strongest_for(1)[0]
    told = ask(client, "evidence", **ASKED, levers=NOTE, like=LIKE)
    after = bundled.steer(trace, Edit((Lever(99),))).embedding.astype(float)
    v = other.embedding / np.linalg.norm(other.embedding)
    effect = 100 * float(after @ v) / np.linalg.norm(after) - found.value
    assert told["effect"] == pytest.approx(effect, abs=1e-2)
    assert told["unit"] == "hundredths of cosine"
    with pytest.raises(AppError, match="is no class’s"):
        ask(client, "attribute", **ASKED, like=LIKE, wanted="cat")


@pytest.mark.parametrize("at_least", [0.0, 10.0, 1000.0])
def test_thresholds_and_conditions(client: Client, bundled: Workbench, at_least: float) -> None:
    trace = bundled.open(DOG)
    condition = {"terms": [{"component": 99, "weight": 0.5}, {"component": 330}], "at_least": at_least}
    lever = Lever(99, "scale", 0.25, at_least=15.0)
    levers = [{"component": 99, "operation": "scale", "strength": 0.25, "at_least": 15.0}]
    edit = Edit((lever,), None, Condition((Term(99, 0.5), Term(330)), at_least))
    said = ask(client, "steer", **ASKED, levers=levers, condition=condition)
    np.testing.assert_allclose(
        said["after"]["logits"], bundled.compare(trace, edit, CLASSES, SINGLE).after.logits, atol=1e-4
    )
    assert said["acts"] == (at_least < 1000)
    assert said["edit"]["condition"] == {"terms": [{"component": 99, "weight": 0.5}, {"component": 330, "weight": 1.0}],
                                         "at_least": at_least}  # fmt: skip
    without = bundled.compare(trace, replace(edit, levers=(Lever(99, "scale", 0.25),), condition=None), CLASSES, SINGLE)
    assert not np.allclose(said["after"]["logits"], without.after.logits, atol=1e-3), (
        "the threshold holds something back"
    )


def test_evidence(client: Client, bundled: Workbench) -> None:
    trace, edit, target = bundled.open(DOG), Edit.of_suppressed([99]), ClassTarget(1, 0)
    said = ask(client, "evidence", **ASKED, wanted="cat", against="dog", levers=NOTE)
    *_, chance = bundled.controls(trace, CLASSES, SINGLE, target, edit)
    (whole,) = bundled.responses(trace, CLASSES, SINGLE, target, edit)
    assert said["effect"] == pytest.approx(chance.effect, abs=1e-4)
    assert said["chance"]["matched_components"]["p"] == chance.p_value
    assert (said["wanted"], said["against"]) == ("cat", "dog")
    np.testing.assert_allclose(said["doses"][0]["target"], whole.target, atol=1e-3)
    assert said["doses"][0]["says"][:3] == [CLASSES[c] for c in whole.top[:3]]
    spread = bundled.side_effects(trace, CLASSES, SINGLE, target, edit)
    assert said["side_effects"]["side_effect"] == pytest.approx(spread.side_effect, abs=1e-3)
    missed = bundled.reconstruction_error(trace, CLASSES, SINGLE)
    assert said["reconstruction_error"]["explained_variance"] == pytest.approx(missed.explained_variance, abs=1e-4)


def test_an_edit_that_was_found_does_it(client: Client) -> None:
    found = ask(client, "find_edit", **ASKED, truth="dog")
    assert found["found"]
    assert ask(client, "steer", **ASKED, levers=found["edit"]["levers"])["after"]["best"] == "dog"
    with pytest.raises(AppError, match="as truth"):
        ask(client, "find_edit", **ASKED)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes in folders that are named after what they show, and a file that is no picture."""
    path = tmp_path_factory.mktemp("packed") / "some.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, shows in (("dog-note-cat", "dog"), ("boat-note-tiger", "boat"), ("fox-blank-note", "fox")):
            archive.write(EXAMPLES / f"{name}.webp", f"{shows}/{name}.webp")
        archive.writestr("fox/broken.png", b"no picture")
    return path


def test_pictures_that_are_brought(client: Client, bundled: Workbench, packed: Path) -> None:
    """By their labels, and among classes that are named: in batches or at once, the counts are the same."""
    brought = [packed]
    by_labels = ask(client, "try_on_many", pictures=brought, levers=NOTE)
    assert by_labels["classes"] == ["boat", "dog", "fox"]
    assert [one["name"] for one in by_labels["unread"]] == ["fox/broken.png"]
    assert "Labels are the names of folders." in by_labels["remarks"]
    among = "boat, tiger, dog, cat, fox"
    said = ask(client, "try_on_many", pictures=brought, classes=among, levers=NOTE)
    shows = {"dog-note-cat": "dog", "boat-note-tiger": "boat", "fox-blank-note": "fox"}
    names = tuple(among.split(", "))
    expected = {
        name: bundled.compare(bundled.open(EXAMPLES / f"{name}.webp"), Edit.of_suppressed([99]), names, SINGLE)
        for name in shows
    }
    fixed = {name for name, one in expected.items() if one.before.best != shows[name] == one.after.best}
    wrong = {name for name, one in expected.items() if one.before.best != shows[name]}
    assert {Path(one["name"]).stem for one in said["fixed"]} == fixed
    assert (said["counts"]["wrong"], said["counts"]["fixed"]) == (len(wrong), len(fixed))
    with pytest.raises(AppError, match="as a list of JSON"):
        ask(client, "try_on_many", pictures=brought, classes=among)
    with pytest.raises(AppError, match="Name classes"):
        ask(client, "try_on_many", pictures=[DOG], levers=NOTE)


def test_batches_add_up(bundled: Workbench, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *_, at_once = api_trial.tried_on_files(bundled, [str(packed)], CLASSES, Edit.of_suppressed([99]))
    monkeypatch.setattr(api_trial, "BATCH", 1)
    *_, one_by_one = api_trial.tried_on_files(bundled, [str(packed)], CLASSES, Edit.of_suppressed([99]))
    assert isinstance(at_once, api_trial.TrialOnMany)
    assert isinstance(one_by_one, api_trial.TrialOnMany)
    assert (len(at_once.parts), len(one_by_one.parts)) == (1, 3)
    assert one_by_one.found.counts == at_once.found.counts
    assert (one_by_one.names, one_by_one.unread) == (at_once.names, at_once.unread)


def test_a_recipe_is_the_edit_with_its_claim(client: Client, bundled: Workbench, packed: Path, tmp_path: Path) -> None:
    condition = {"terms": [{"component": 99, "weight": 1.0}], "at_least": 5.0}
    question = {"classes": "dog, cat, fox", "wanted": "dog", "against": "cat", "title": "Past the note"}
    file = ask(client, "recipe", levers=NOTE, condition=condition, **question, pictures=[packed], unseen=True)
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path)
    recipe = load_recipe(tmp_path / "recipe")
    assert recipe.facts.edit == Edit((Lever(99),), None, Condition((Term(99),), 5.0))
    assert (recipe.facts.title, recipe.facts.target) == ("Past the note", ClassTarget(0, 1))
    (claim,) = recipe.facts.claims
    assert (claim.n, claim.unseen) == (3, True)
    assert "some.zip" in claim.pictures
    assert recipe.facts.identity.fingerprint == bundled.setup.fingerprint
    with pytest.raises(AppError, match="as wanted"):
        ask(client, "recipe", levers=NOTE, **(question | {"wanted": ""}))
    with pytest.raises(AppError, match="lever"):
        ask(client, "recipe", levers=[], **question)


def test_more_pictures_than_the_page_takes_are_refused(client: Client, tmp_path: Path) -> None:
    """With the page's own sentences, before any is read."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(5001):
            archive.writestr(f"{n}.png", b"")
    (tmp_path / "many.zip").write_bytes(bomb.getvalue())
    with pytest.raises(AppError, match="5,000"):
        ask(client, "try_on_many", pictures=[tmp_path / "many.zip"], classes="dog, cat", levers=NOTE)


def test_reference_scenes_have_classes_of_their_own(client: Client) -> None:
    with pytest.raises(AppError, match="of their own"):
        ask(client, "try_on_many", classes="dog, cat", levers=NOTE)


def test_what_is_not_asked_for_is_not_computed(bundled: Workbench) -> None:
    """An answer in steps, each of which is one turn; nothing is left to be done after the last."""
    ask_ = Programs(_Pool(bundled), lambda: "bundled")  # type: ignore[arg-type]
    steps = list(ask_.evidence(str(DOG), "dog, cat", levers=NOTE))
    assert steps[:-1] == [None] * (len(steps) - 1)
    assert len(steps) > 4
    assert json.dumps(steps[-1])


class _Pool:
    """A pool of one setup."""

    def __init__(self, bench: Workbench) -> None:
        self.cards = {"bundled": bench.card}
        self._bench = bench

    def get(self, _name: str) -> Workbench:
        return self._bench
