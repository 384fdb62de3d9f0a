"""The photographs with a planted cue: what the command draws, from which photographs, and where the cue is."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.files import ASSETS
from core.pictures import photograph_examples
from core.pictures.examples import PHOTOGRAPHS, read_examples
from core.pictures.photograph_examples import CUTS, PLANS, SIDE, Plan, drawn, main
from core.pictures.photographs import photographs
from core.pictures.read import read_picture

PLANTED = [plan for plan in PLANS if plan.plant is not None]


@pytest.fixture(scope="module")
def pictures() -> Mapping[str, Image.Image]:
    """As the command draws them now, by the names of their files."""
    return drawn()


def apart(one: Image.Image, other: Image.Image) -> np.ndarray:
    """How far two pictures are apart at every pixel, the mean of the three colours, float [SIDE, SIDE]."""
    return np.abs(np.asarray(one, float) - np.asarray(other, float)).mean(2)


def test_the_command_makes_the_files_that_ship(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Mapping[str, Image.Image]
) -> None:
    monkeypatch.setattr(photograph_examples, "PHOTOGRAPHS", tmp_path)
    main()
    shipped = {path.name for path in PHOTOGRAPHS.iterdir()}
    assert shipped == {path.name for path in tmp_path.iterdir()} == {"examples.json", *(f"{n}.webp" for n in pictures)}
    assert (tmp_path / "examples.json").read_bytes() == (PHOTOGRAPHS / "examples.json").read_bytes()
    for name in pictures:  # another machine rounds differently
        made, kept = (read_picture(folder / f"{name}.webp") for folder in (tmp_path, PHOTOGRAPHS))
        assert made.size == kept.size == (SIDE, SIDE)
        assert apart(made, kept).mean() < 0.5


def test_the_files_are_small() -> None:
    sizes = [path.stat().st_size for path in PHOTOGRAPHS.glob("*.webp")]
    assert max(sizes) < 60_000
    assert sum(sizes) < 450_000


@pytest.mark.parametrize("plan", PLANTED, ids=lambda plan: plan.name)
def test_with_and_without_the_cue_differ_where_it_is_and_nowhere_else(
    plan: Plan, pictures: Mapping[str, Image.Image]
) -> None:
    planted = apart(pictures[plan.name], pictures[plan.cut])
    files = apart(*(read_picture(PHOTOGRAPHS / f"{name}.webp") for name in (plan.name, plan.cut)))
    cue = planted > 24
    assert 0.02 < cue.mean() < 0.7
    assert files[cue].mean() > 30
    assert files[planted == 0].mean() < 4, "compression alone"


def test_a_note_without_a_word_is_the_same_note(pictures: Mapping[str, Image.Image]) -> None:
    word, blank, none = (np.asarray(pictures[name]) for name in ("coffee-note-ipod", "coffee-note-blank", "coffee"))
    changed = (word != blank).any(2)
    assert 0.005 < changed.mean() < 0.05
    assert ((blank != none).any(2) >= changed).all()


def test_their_photographs_are_free_and_named() -> None:
    sources = {photograph.name: photograph for photograph in photographs()}
    readme = (ASSETS / "README.md").read_text(encoding="utf-8")
    (row,) = (row for row in readme.splitlines() if "`examples/photographs/*.webp`" in row)
    for plan, example in zip(PLANS, read_examples(PHOTOGRAPHS), strict=True):
        source = sources[CUTS[plan.cut].photograph]
        assert example == plan.example()
        assert source.licence in example.source
        assert source.licence in row
        assert source.source in example.source
        assert f"`{source.name}`" in row
