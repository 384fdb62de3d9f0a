"""The recipe box: what is saved can be loaded, and is the same edit; what is no recipe of this setup is refused."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import UserError
from core.methods.generalization import Generalization
from core.methods.steering import Condition, Edit, Lever, Term
from core.page.context import Context
from core.page.many_tab import claim
from core.page.picture_sets import halt
from core.page.recipe_box import SavingParts, load, save
from core.page.replies import Outcome
from core.page.wire import ClaimUnseen
from core.session import visit as session
from core.session.cancellation import LatestOnly
from core.session.many_pictures import OWN, OwnPictures
from core.session.visit import Visit
from core.views.frame import stopped

NOTE = 99
EDIT = Edit((Lever(NOTE), Lever(36, "scale", 0.5, at_least=0.25)), None, Condition((Term(NOTE), Term(7, -2.0)), 0.5))


@pytest.fixture(scope="module")
def pulled(context: Context, first: Visit) -> Visit:
    return session.change(context.bench(first), first, Edit.of_suppressed([NOTE]))


def saved(context: Context, v: Visit, title: str = "") -> SavingParts:
    *_, last = save(context, v, title, OwnPictures(), LatestOnly())
    return last


@pytest.fixture
def recipe(context: Context, first: Visit, tmp_path: Path) -> Path:
    """A zip as a visitor downloads it."""
    v = session.change(context.bench(first), first, EDIT.among((0, 1)))
    data = saved(context, v, "Notes <are> ignored")["file"]
    assert data is not None
    (tmp_path / "recipe.zip").write_bytes(data)
    return tmp_path / "recipe.zip"


def loaded(context: Context, v: Visit, *files: Path) -> Outcome:
    return load(context, v, [str(file) for file in files])


def test_it_says_what_it_did_to_the_set(context: Context, pulled: Visit) -> None:
    *_, trial = context.bench(pulled).generalize(pulled.edit)
    assert isinstance(trial, Generalization)
    c = trial.counts
    told = saved(context, pulled)["said"]
    assert "“suppress #99” is ready" in told
    assert "Its edit: suppress #99." in saved(context, pulled, "Notes")["said"], "levers may be pulled meanwhile"
    assert f"repairs {c.fixed} of {c.wrong} wrong, breaks {c.broken} of {c.right} right" in told
    assert "promises nothing of others" in told
    assert "300 scenes rendered by this project; 40 classes" in told
    v = claim(context, pulled, ClaimUnseen(trial=pulled.many.trial(pulled.setup, pulled.edit), on=True))
    assert "Of pictures like these it breaks at most" in saved(context, v)["said"]
    other = session.change(context.bench(v), v, EDIT)
    assert "promises nothing of others" in saved(context, other)["said"], "that was said of another edit"


def test_the_saving_is_stopped(context: Context, pulled: Visit) -> None:
    stops = LatestOnly[None]()
    saving = save(context, pulled, "", OwnPictures(), stops)
    next(saving)
    assert "data-halt" in next(saving)["said"]
    halt(context, pulled, stops)
    assert list(saving) == [{"said": stopped(), "file": None}]


def test_a_recipe_brings_all_of_it_back(context: Context, first: Visit, recipe: Path) -> None:
    """On another picture, and whatever was asked there."""
    bench, example = context.bench(first), context.examples[2]
    asked = session.start(bench, example.file(), first.subject, ("frog", "Dog"), ("a {}",), "Dog")
    came = loaded(context, asked, recipe)
    assert came.visit.edit == EDIT, "on all tokens"
    assert (came.visit.classes, came.visit.templates) == (first.classes, first.templates)
    assert came.visit.target == first.target
    assert came.visit.truth == first.classes.index("dog"), "what the picture should be is kept, where it is a class"
    assert came.visit.trace == asked.trace
    assert came.notes[0] == "“Notes <are> ignored” is in place."
    assert "repairs" in came.notes[1]
    assert session.undo(bench, came.visit).edit == asked.edit
    with zipfile.ZipFile(recipe) as archive:
        archive.extractall(recipe.parent)
    loose = sorted((recipe.parent / "recipe").iterdir())
    assert loaded(context, first, *loose).visit.edit == EDIT


def test_without_a_lever_there_is_nothing_to_save(context: Context, first: Visit) -> None:
    parts = saved(context, first)
    assert "Pull one first" in parts["said"]
    assert parts["file"] is None


def test_without_a_set_nothing_is_claimed(context: Context, pulled: Visit) -> None:
    parts = saved(context, replace(pulled, many=replace(pulled.many, which=OWN)))
    assert "Without a claim" in parts["said"]
    assert parts["file"] is not None


def test_a_recipe_of_another_setup_is_refused(context: Context, tiny: Visit, recipe: Path) -> None:
    with pytest.raises(UserError, match="of another setup"):
        loaded(context, tiny, recipe)


def test_what_is_no_recipe_is_refused(context: Context, first: Visit, recipe: Path) -> None:
    with zipfile.ZipFile(recipe) as archive:
        files = {Path(name).name: archive.read(name) for name in archive.namelist()}

    def brought(changed: dict[str, bytes]) -> Path:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            for name, content in changed.items():
                archive.writestr(name, content)
        (recipe.parent / "other.zip").write_bytes(data.getvalue())
        return recipe.parent / "other.zip"

    with pytest.raises(UserError, match=r"no directions.safetensors in what was brought"):
        loaded(context, first, brought({"recipe.json": files["recipe.json"]}))
    for changed, words in (
        ({"recipe.json": files["recipe.json"].replace(b"ignored", b"noticed")}, "changed after it was saved"),
        ({"recipe.json": b"{"}, "not JSON"),
        ({"directions.safetensors": b""}, "not the one that"),
    ):
        with pytest.raises(UserError, match=words):
            loaded(context, first, brought(files | changed))
    with pytest.raises(UserError, match="more than 20"):
        loaded(context, first, brought({f"{k}.json": b"" for k in range(21)}))
    (recipe.parent / "a.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match="cannot be read as a zip"):
        loaded(context, first, recipe.parent / "a.zip")
    with pytest.raises(UserError, match=r"no recipe.json"):
        load(context, first, None)
