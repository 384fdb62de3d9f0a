"""Recipes: what a folder holds, and that nothing but what was saved is read back."""

import json
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CLASSES, COMPONENTS, WIDTH
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tiny_recipes import CLAIM, CONDITION, EDIT, KINDS, recipe_of, setup_of

from core.errors import UserError
from core.methods.steering import Edit, Lever
from core.methods.targets import ClassTarget
from core.model.clip import SplitClip
from core.recipes import Claim, Recipe, load_recipe, make_recipe, save_recipe
from core.recipes.files import ARRAYS, FACTS, facts_text
from core.recipes.recipe import schema
from core.recipes.sealing import arrays_digest, digest_of

SCHEMA = Path(__file__).parents[2] / "core" / "recipes" / "recipe.schema.json"


@pytest.fixture(scope="module")
def recipe(clip: SplitClip) -> Recipe:
    return recipe_of(setup_of(clip, "jumprelu"))


@pytest.fixture(scope="module")
def folder(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_recipe(recipe, tmp_path_factory.mktemp("recipes") / "mine")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


def resealed(raw: dict[str, Any], folder: Path) -> None:
    """Write a recipe.json that was changed by whoever knows how it is sealed."""
    raw = {name: value for name, value in raw.items() if name != "digest"}
    (folder / FACTS).write_text(json.dumps(raw | {"digest": digest_of(raw)}))


def copy(folder: Path, to: Path) -> dict[str, Any]:
    """Copy both files; what recipe.json says."""
    for name in (FACTS, ARRAYS):
        (to / name).write_bytes((folder / name).read_bytes())
    found: dict[str, Any] = json.loads((to / FACTS).read_text())
    return found


def test_the_shipped_schema_is_that_of_the_program() -> None:
    hint = "python -c 'from core.recipes.recipe import schema; print(schema(), end=str())' writes it"
    assert SCHEMA.read_text() == schema(), hint


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("whole", [False, True])
def test_what_is_saved_is_read_back(clip: SplitClip, kind: str, whole: bool, tmp_path: Path) -> None:
    recipe = recipe_of(setup_of(clip, kind), replace(EDIT, condition=CONDITION), whole)
    assert len(recipe.arrays.bias) == 5
    assert load_recipe(save_recipe(recipe, tmp_path / "mine")) == recipe
    size = sum(path.stat().st_size for path in (tmp_path / "mine").iterdir())
    held = whole and kind.endswith("topk")
    assert recipe.facts.encoder.held == ("encoder" if held else "nothing" if kind.endswith("topk") else "rows")
    assert (size > 4 * COMPONENTS * WIDTH) == held


def test_it_is_small(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.iterdir()) < 6_000
    assert {path.name for path in folder.iterdir()} == {FACTS, ARRAYS}


def test_saving_replaces_and_leaves_nothing_beside(recipe: Recipe, clip: SplitClip, tmp_path: Path) -> None:
    save_recipe(recipe_of(setup_of(clip, "topk")), tmp_path)
    save_recipe(recipe, tmp_path)
    assert load_recipe(tmp_path) == recipe
    assert {path.name for path in tmp_path.iterdir()} == {FACTS, ARRAYS}


def test_what_is_half_written_is_told(recipe: Recipe, clip: SplitClip, tmp_path: Path) -> None:
    """A crash between the two files leaves the arrays of the one and what the other says."""
    save_recipe(recipe, tmp_path / "a")
    save_recipe(recipe_of(setup_of(clip, "topk")), tmp_path / "b")
    (tmp_path / "a" / ARRAYS).write_bytes((tmp_path / "b" / ARRAYS).read_bytes())
    with pytest.raises(UserError, match="is not the one that recipe.json was saved with"):
        load_recipe(tmp_path / "a")


def test_a_place_that_cannot_be_written(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Name another folder"):
        save_recipe(recipe, tmp_path / "file" / "inside")


def test_tokens_stay_behind(clip: SplitClip) -> None:
    assert recipe_of(setup_of(clip, "topk"), EDIT.among([0, 3])).facts.edit == EDIT


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Edit(), "no lever"),
        (Edit((Lever(COMPONENTS),)), "no component 48"),
        (Edit.of_suppressed(range(300)), "300 levers"),
    ],
)
def test_edits_that_are_no_recipe(clip: SplitClip, edit: Edit, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_recipe(setup_of(clip, "topk"), edit, CLASSES, ("{}",), ClassTarget(0), title="none")


def test_what_recipe_json_cannot_hold_is_told_when_it_is_made(clip: SplitClip) -> None:
    many = tuple(map(str, range(2001)))
    for classes, title, claims, message in (
        (CLASSES, "", (), "title: "),
        (CLASSES, "t" * 201, (), "title: "),
        (many, "many", (), "classes: "),
        (("c" * 201,), "long", (), "classes/0: "),
        (CLASSES, "claims", (CLAIM,) * 65, "claims: "),
    ):
        with pytest.raises(UserError, match=message):
            make_recipe(setup_of(clip, "topk"), EDIT, classes, ("{}",), ClassTarget(0), title=title, claims=claims)
    with pytest.raises(UserError, match="target"):
        make_recipe(setup_of(clip, "topk"), EDIT, CLASSES, ("{}",), ClassTarget(1, 1), title="target")


def test_no_folder_of_that_name(tmp_path: Path) -> None:
    for place in (tmp_path / "none", str(tmp_path / "none"), "./none", "none", "a/b/c"):
        with pytest.raises(UserError, match="There is no folder"):
            load_recipe(place)
    with pytest.raises(UserError, match="no recipe.json"):
        load_recipe(tmp_path)


def test_a_later_version(folder: Path, tmp_path: Path) -> None:
    resealed(copy(folder, tmp_path) | {"version": 2, "what": "nobody knows yet"}, tmp_path)
    with pytest.raises(UserError, match="version 2.*reads up to 1. Update"):
        load_recipe(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw["edit"]["levers"][0].update(component=3),
        lambda raw: raw["claims"][0].update(broken=0),
        lambda raw: raw.update(title="harmless"),
        lambda raw: raw.pop("digest"),
        lambda raw: raw.update(digest=7),
    ],
)
def test_what_was_changed_by_hand_is_refused(folder: Path, tmp_path: Path, change: Any) -> None:
    raw = copy(folder, tmp_path)
    change(raw)
    (tmp_path / FACTS).write_text(json.dumps(raw))
    with pytest.raises(UserError, match="damaged, or changed"):
        load_recipe(tmp_path)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda raw: raw["edit"]["levers"][0].update(component=COMPONENTS), "no such component"),
        (lambda raw: raw["edit"]["levers"][0].update(component=3), "encoder has the shape|saved with|lacks"),
        (lambda raw: raw["edit"]["levers"].append({"component": 2}), "two levers"),
        (lambda raw: raw["edit"].update(levers=[]), "from 1 to 256"),
        (lambda raw: raw["edit"].update(tokens=[0]), "every token in scope"),
        (lambda raw: raw["edit"].update(more=1), "edit/more"),
        (lambda raw: raw["edit"].update(condition={"terms": [], "at_least": 0}), "A condition has"),
        (lambda raw: raw["edit"].update(condition={"terms": [{"component": 4}], "at_least": 0}), "has the shape"),
        (lambda raw: raw["edit"]["levers"][1].update(strength=1e9), "strength"),
        (lambda raw: raw["edit"]["levers"][1].update(strength="2"), "edit/levers/1/strength"),
        (lambda raw: raw["target"].update(wanted=5), "target"),
        (lambda raw: raw["target"].update(against=0), "target"),
        (lambda raw: raw.update(classes=[]), "classes"),
        (lambda raw: raw["classes"].append("one more"), "classes has the shape"),
        (lambda raw: raw["claims"][0].update(fixed=11), "larger than the whole"),
        (lambda raw: raw["claims"][0].update(changes=4), "more is fixed and broken than changed"),
        (lambda raw: raw["encoder"].update(k=3), "has a k"),
        (lambda raw: raw["encoder"].update(held="nothing"), "enough for others"),
        (lambda raw: raw["encoder"].update(architecture="gated"), "lacks or misnames"),
        (lambda raw: raw["encoder"].update(centred=True), "lacks or misnames centre"),
        (lambda raw: raw["identity"].update(width=31), "has the shape"),
        (lambda raw: raw.update(version=0), "version"),
        (lambda raw: raw.pop("version"), "version"),
        (lambda raw: raw.update(extra=1), "extra"),
    ],
)
def test_what_does_not_fit_together_is_refused(folder: Path, tmp_path: Path, change: Any, where: str) -> None:
    raw = copy(folder, tmp_path)
    change(raw)
    resealed(raw, tmp_path)
    if where.startswith("encoder has"):  # another component of the same number of rows: nothing can tell
        assert load_recipe(tmp_path).facts.edit.levers[0].component == 3
        return
    with pytest.raises(UserError, match=where):
        load_recipe(tmp_path)


def test_arrays_that_are_no_numbers(recipe: Recipe, tmp_path: Path) -> None:
    broken = recipe.arrays.decoder.copy()
    broken[0, 0] = np.nan
    for decoder in (broken, recipe.arrays.decoder.astype(np.float16)):
        arrays = replace(recipe.arrays, decoder=decoder)
        facts = recipe.facts.model_copy(update={"directions": arrays_digest(arrays)})
        with pytest.raises(UserError, match="decoder holds"):
            load_recipe(save_recipe(Recipe(facts, arrays), tmp_path))


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_recipe_or_a_sentence(scratch: Path, folder: Path, data: bytes) -> None:
    copy(folder, scratch)
    for name in (FACTS, ARRAYS):
        (scratch / name).write_bytes(data)
        with pytest.raises(UserError):
            load_recipe(scratch)


def test_json_of_any_depth_is_told(scratch: Path, folder: Path) -> None:
    """There is a depth, a little below this limit, that Python reads and does not write."""
    copy(folder, scratch)
    for depth in range(sys.getrecursionlimit() - 300, sys.getrecursionlimit()):
        (scratch / FACTS).write_text(f'{{"nested":{"[" * depth}{"]" * depth}}}')
        with pytest.raises(UserError, match=FACTS):
            load_recipe(scratch)


@given(st.data())
def test_damaged_files_are_told(scratch: Path, folder: Path, data: st.DataObject) -> None:
    copy(folder, scratch)
    path = scratch / data.draw(st.sampled_from([FACTS, ARRAYS]))
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[at:]
    else:
        content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with suppress(UserError):
        assert load_recipe(scratch) == load_recipe(folder)  # white space of JSON, say


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_any_value_in_any_place_is_a_recipe_or_a_sentence(scratch: Path, folder: Path, data: st.DataObject) -> None:
    raw = copy(folder, scratch)
    here: Any = raw
    while True:
        places = list(here) if isinstance(here, dict) else list(range(len(here)))
        place = data.draw(st.sampled_from(places))
        if not isinstance(here[place], dict | list) or not here[place] or data.draw(st.booleans()):
            break
        here = here[place]
    here[place] = data.draw(json_values)
    try:
        resealed(raw, scratch)
    except ValueError:  # nan
        (scratch / FACTS).write_text(json.dumps(raw))
    try:
        found = load_recipe(scratch)
    except UserError as error:
        assert str(error)
    else:
        assert found.arrays == load_recipe(folder).arrays


@given(
    st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50),
    st.integers(0, 50), st.integers(0, 50),
)  # fmt: skip
def test_claims_add_up(n: int, acts: int, changes: int, wrong: int, right: int, fixed: int, broken: int) -> None:
    counts = {"n": n, "acts": acts, "changes": changes, "wrong": wrong, "right": right, "fixed": fixed}
    possible = fixed <= wrong and broken <= right and wrong + right <= n and fixed + broken <= changes <= acts <= n
    try:
        Claim(pictures="some", unseen=True, broken=broken, **counts)
    except ValidationError:
        assert not possible
    else:
        assert possible


def test_the_text_is_for_people_too(recipe: Recipe) -> None:
    text = facts_text(recipe.facts)
    assert '"title": "not the word"' in text
    assert CLAIM.pictures in text
    assert text.count("\n") > 50
