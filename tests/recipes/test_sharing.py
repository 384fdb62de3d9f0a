"""Recipes on the Hub: pushed, taken at a revision, and told about in a model card."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import EVIL
from fake_hub import TOKEN, Hub, Misbehave, serve
from tiny_recipes import CONDITION, EDIT, recipe_of, setup_of

from core.errors import UserError
from core.methods.steering import Edit, Lever
from core.model.clip import SplitClip
from core.recipes import Recipe, load_recipe, push_recipe, save_recipe
from core.recipes.files import ARRAYS, FACTS
from core.recipes.sharing import model_card


@pytest.fixture(scope="module")
def recipe(clip: SplitClip) -> Recipe:
    return recipe_of(setup_of(clip, "jumprelu"), replace(EDIT, condition=CONDITION))


def test_there_and_back(hub: Hub, recipe: Recipe, clip: SplitClip, tmp_path: Path) -> None:
    first = push_recipe("you/fix", recipe)
    assert load_recipe("you/fix") == recipe
    other = recipe_of(setup_of(clip, "topk"), Edit((Lever(3),)))
    second = push_recipe("you/fix", save_recipe(other, tmp_path / "mine"))
    assert first != second
    assert load_recipe("you/fix") == other
    assert load_recipe("you/fix", revision=first) == recipe
    assert load_recipe("you/fix", revision=second) == other
    folder = hub.repositories["you/fix"]["main"]
    assert {path.name for path in folder.iterdir()} == {FACTS, ARRAYS, "README.md"}
    assert hub.asked("PUT"), "arrays go the way of large files"


def test_a_folder_of_that_name_comes_first(
    hub: Hub, recipe: Recipe, clip: SplitClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_recipe("you/fix", recipe)
    monkeypatch.chdir(tmp_path)
    other = recipe_of(setup_of(clip, "topk"))
    save_recipe(other, "you/fix")
    assert load_recipe("you/fix") == other


def test_without_a_token_that_may(hub: Hub, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    with pytest.raises(UserError, match="Set HF_TOKEN to a token that may"):
        push_recipe("you/fix", recipe)
    assert hub.repositories == {}


@pytest.mark.parametrize("repo", ["fix", "a/b/c", "", "you/ü ber"])
def test_what_names_no_repository(recipe: Recipe, repo: str) -> None:
    with pytest.raises(UserError, match="owner/name"):
        push_recipe(repo, recipe)


def test_a_hub_out_of_order(hub: Hub, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.misbehave = Misbehave(status=400)
    with pytest.raises(UserError, match="The Hugging Face Hub refuses you/fix"):
        push_recipe("you/fix", recipe)
    hub.misbehave = None
    with pytest.raises(UserError, match="no repository you/none"):
        load_recipe("you/none")
    push_recipe("you/fix", recipe)
    with pytest.raises(UserError, match="no revision “later”"):
        load_recipe("you/fix", revision="later")


def test_a_hub_that_is_not_there(recipe: Recipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with serve({}) as hub:
        hub.attach(monkeypatch, tmp_path / "cache")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(UserError, match="did not reach the Hub"):
        push_recipe("you/fix", recipe)


def test_the_card_tells_the_evidence(recipe: Recipe) -> None:
    text = model_card(recipe, "you/fix", "mit")
    head, body = text.split("---\n")[1:]
    facts = yaml.safe_load(head)
    assert facts["license"] == "mit"
    assert "base_model" not in facts, "that of a folder is nowhere on the Hub"
    for part in (
        "# not the word", "40 scenes drawn for this test", "repairs 4 of 10 wrong, breaks 1 of 30 right",
        "breaks at most 15.0 % and repairs at least 15.0 %", "confidence 95 %",
        "| 2 | suppressed | at every token |", "| 11 | set to 0.75 |", "fires with 0.3 or more",
        "1 x component 7 + -0.5 x component 20 reaches 0.25", "apply_recipe(model, 'you/fix')",
    ):  # fmt: skip
        assert part in body


def test_the_card_of_a_recipe_that_claims_nothing(clip: SplitClip) -> None:
    bare = recipe_of(setup_of(clip, "topk"), whole_encoder=False)
    silent = replace(bare, facts=bare.facts.model_copy(update={"claims": ()}))
    text = model_card(silent, "you/fix")
    assert "Nothing was measured" in text
    assert "dictionary=load_setup('tiny').dictionary" in text
    identity = replace(bare.facts.identity, clip="owner/clip", clip_commit="a" * 40)
    hosted = replace(bare, facts=bare.facts.model_copy(update={"identity": identity}))
    text = model_card(hosted, "you/fix")
    assert yaml.safe_load(text.split("---\n")[1])["base_model"] == "owner/clip"
    assert f"from_pretrained('owner/clip', revision='{'a' * 40}')" in text


def test_names_stay_text(recipe: Recipe) -> None:
    evil = replace(recipe, facts=recipe.facts.model_copy(update={"classes": EVIL, "title": "# [x](y) | <b>\n---"}))
    text = model_card(evil, "you/fix")
    assert "<img" not in text
    assert "<script" not in text
    assert "# \\# \\[x\\](y) \\| &lt;b&gt; ---\n" in text
