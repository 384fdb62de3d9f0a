"""The commands whose options are the fields of dataclasses: what is documented is understood, and explained."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from core.dictionary_training.__main__ import parser as dictionary_parser
from core.dictionary_training.recipe import DictionaryRecipe
from core.indexing.__main__ import parser as indexing_parser
from core.indexing.recipe import IndexRecipe
from core.validation.__main__ import parser as validation_parser
from core.validation.verdict import StatedBounds

ROOT = Path(__file__).parents[1]
PARSERS = {"indexing": indexing_parser, "dictionary_training": dictionary_parser, "validation": validation_parser}


def documented() -> list[tuple[str, list[str]]]:
    """Every command line of the READMEs that names a command and its options."""
    found = []
    for page in sorted([ROOT / "README.md", *ROOT.glob("core/**/*.md"), *ROOT.glob("assets/**/*.md")]):
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for command, options in re.findall(rf"-m core\.({'|'.join(PARSERS)}) ([^`\n]*--[^`\n]*)", text):
            found.append((command, shlex.split(options)))
    return found


def test_every_documented_command_line_is_understood() -> None:
    lines = documented()
    assert {command for command, _ in lines} == set(PARSERS)
    assert len(lines) > 3
    for command, options in lines:
        needed = [] if "--out" in options else ["--out", "somewhere"]
        understood = PARSERS[command]().parse_args(options + needed)
        assert understood.collection.pictures == options[options.index("--pictures") + 1]


def test_options_are_the_recipes_fields() -> None:
    given = "--clip c --layer 3 --out o --pictures p --levels 8 64 --k 2 --learning-rate 3e-4 --full-precision".split()
    understood = dictionary_parser().parse_args(given)
    assert understood.recipe == DictionaryRecipe(levels=(8, 64), k=2, learning_rate=3e-4, full_precision=True)
    understood = indexing_parser().parse_args("--out o --pictures p --mid 40 --limit 7".split())
    assert understood.recipe == IndexRecipe(mid=40)
    assert understood.recipe.kept_for_mid == 160
    assert understood.collection.limit == 7


@pytest.mark.parametrize(
    ("command", "recipe", "said"),
    [
        ("indexing", IndexRecipe, "pixels of a thumbnail's side, at most: pictures are not enlarged (default: 112)"),
        (
            "dictionary_training",
            DictionaryRecipe,
            "components active at a token, on average over a batch [32] (default: 12)",
        ),
        (
            "validation",
            StatedBounds,
            "the share of the wrong pictures that the edit has to fix at least, between 0",
        ),
    ],
)
def test_help_has_every_option_with_its_fields_words(
    command: str, recipe: type, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        PARSERS[command]().parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert end.value.code == 0
    assert said in text
    options = {field.name.replace("_", "-") for field in fields(recipe) if field.metadata.get("cmd", True)}
    assert options <= set(re.findall(r"--([a-z-]+)", text))
