"""Lists that ship: what is in them, and that a list's name and its classes stand for each other when written."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.model.class_lists import (
    FOLDER,
    WORDINGS,
    expanded,
    expanded_templates,
    lines_of,
    segments,
    words_of,
    written,
    written_templates,
)
from core.model.prompts import TEMPLATES, parse_classes, parse_templates

LIST = "list:imagenet-1k"
NAMES = lines_of("imagenet-1k")
OWN = st.lists(st.sampled_from(["zebra crossing", "my dog", "list", "Straße", "a, b"]), unique=True, max_size=4)


def test_imagenet_s_names_are_those_of_its_classes_in_their_order() -> None:
    """As published: 1,000 lines, of which two pairs are the same. The places are those of ILSVRC 2012's classes."""
    lines = (FOLDER / "imagenet-1k.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1000
    assert len(NAMES) == 998
    twice = {name: [k for k, one in enumerate(lines) if one == name] for name in lines if lines.count(name) > 1}
    assert twice == {"missile": [657, 744], "sunglasses": [836, 837]}
    at = {0: "tench", 134: "crane bird", 281: "tabby cat", 388: "giant panda", 517: "construction crane",
          605: "iPod", 638: "tights", 639: "one-piece bathing suit", 954: "banana", 999: "toilet paper"}  # fmt: skip
    assert {k: lines[k] for k in at} == at


def test_all_that_ships_could_have_been_typed() -> None:
    """So it keeps within the bounds, and no name is changed by being read."""
    assert parse_classes("\n".join(NAMES)).names == NAMES
    for name in WORDINGS:
        assert parse_templates("\n".join(lines_of(name))) == TEMPLATES[name]
    assert len(TEMPLATES["openai-80"]) == 80
    assert len(TEMPLATES["openai-7"]) == 7
    assert set(TEMPLATES["openai-7"]) < set(TEMPLATES["openai-80"])


@given(OWN, OWN)
def test_a_list_and_its_name_stand_for_each_other(before: list[str], after: list[str]) -> None:
    short = tuple(dict.fromkeys([*before, LIST, *after]))
    whole = expanded(short)
    assert whole == tuple(dict.fromkeys([*before, *NAMES, *after]))
    assert written(whole) == short
    assert parse_classes("\n".join(short)).names == whole


@given(st.lists(st.sampled_from([*NAMES[:5], *NAMES[-5:], "Tench", "owl", *map(str, range(5))]), max_size=12))
def test_whatever_the_classes_what_is_written_is_read_as_the_same(some: Sequence[str]) -> None:
    for classes in (tuple(some), (*some, *NAMES), (*NAMES, *some), (*NAMES[:-1], *some)):
        assert expanded(written(classes)) == classes
        assert tuple(name for _, part in segments(classes) for name in part) == classes


def test_what_a_list_has_is_not_asked_twice() -> None:
    assert expanded(("TENCH", LIST, "owl", LIST)) == (*NAMES, "owl")
    found = parse_classes("Tench\nlist:imagenet-1k\nowl")
    assert found.names == (*NAMES, "owl")
    assert found.notes == ("“list:imagenet-1k” stands for the 998 names of ImageNet-1k’s classes.",)
    assert parse_classes("list:imagenet-1k, owl").names == (*NAMES, "owl"), "in a list with commas, too"


def test_a_list_that_there_is_not_is_trouble() -> None:
    with pytest.raises(UserError, match="no class list “pets”. There is: list:imagenet-1k"):
        parse_classes("dog\nlist:pets")


def test_a_reader_is_told_what_a_list_is_called() -> None:
    assert words_of(("owl", *NAMES)) == ("owl", "ImageNet-1k (998 names)")
    assert words_of(("owl", "dog")) == ("owl", "dog")


def test_templates_are_written_as_a_list_where_they_are_one() -> None:
    for name in WORDINGS:
        assert written_templates(TEMPLATES[name]) == (f"list:{name}",)
    for templates in TEMPLATES.values():
        assert expanded_templates(written_templates(templates)) == templates
