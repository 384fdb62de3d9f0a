"""Classes and templates as visitors type them."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.model.prompts import parse_classes, parse_templates, unknown_words

WORDS = (
    st.text(st.characters(exclude_categories=("C", "M", "Z"), exclude_characters="{},，、،"), min_size=1, max_size=20)
    .map(lambda text: unicodedata.normalize("NFC", text))
    .filter(lambda text: not set(text) & set("{},，、،"))
)
NAMES = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)


@given(st.lists(NAMES, min_size=1, max_size=12), st.sampled_from(["\n", "\r\n", " \n\n  ", "\u2028", ", ", " ,", "，"]))
def test_classes_are_the_parts_once_each(names: list[str], between: str) -> None:
    found = parse_classes(between.join(f" {name}\t" for name in names))
    expected: list[str] = []
    for name in names:
        if name.casefold() not in [earlier.casefold() for earlier in expected]:
            expected.append(name)
    assert list(found.names) == expected
    assert any("once" in note for note in found.notes) == (len(expected) < len(names))
    assert any("100 %" in note for note in found.notes) == (len(expected) == 1)
    assert any("commas separate" in note for note in found.notes) == (
        len(names) > 1 and between.strip(" ") in (",", "，")
    )


@given(st.lists(NAMES, min_size=2, max_size=3), st.lists(NAMES, min_size=2, max_size=3))
def test_on_several_lines_a_comma_belongs_to_its_name(first: list[str], second: list[str]) -> None:
    typed = [", ".join(first), ", ".join(second)]
    found = parse_classes("\n".join(f"{line},  " for line in typed))
    if len({line.casefold() for line in typed}) == 2:
        assert list(found.names) == typed
        assert found.notes == ("Read as one class a line: commas belong to the names.",)


def test_imagenet_s_own_names_survive() -> None:
    """Of the synsets of ILSVRC 2012 (https://gist.github.com/yrevar/942d3a0ac09ec9e5eb3a): names and their synonyms."""
    synsets = (
        "tench, Tinca tinca",
        "goldfish, Carassius auratus",
        "great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias",
        "black-and-tan coonhound",
        "carpenter's kit, tool kit",
        "jack-o'-lantern",
    )
    assert parse_classes("\n".join(synsets)).names == synsets


@pytest.mark.parametrize(
    "name", ["🏳️\u200d🌈", "क्\u200dष", "می\u200cخواهم", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"]
)
def test_joiners_are_letters(name: str) -> None:
    """Without them these are a white flag, another conjunct, another word, and a black flag."""
    assert parse_classes(f"{name}\ncat").names == (name, "cat")


def test_two_spellings_of_one_letter_are_one_class() -> None:
    found = parse_classes("e\u0301cole\n\u00e9cole\ncat")
    assert found.names == ("\u00e9cole", "cat")
    assert "counted once" in found.notes[0]


@given(st.lists(NAMES, min_size=1, max_size=12))
def test_parsing_its_own_answer_changes_nothing(names: list[str]) -> None:
    found = parse_classes("\n".join(names))
    again = parse_classes("\n".join(found.names))
    assert again.names == found.names


@given(st.text(max_size=60))
def test_any_text_gives_clean_classes_or_a_sentence(text: str) -> None:
    try:
        names = parse_classes(text).names
    except UserError as trouble:
        assert str(trouble).endswith(".")
        return
    assert names
    assert all(name == name.strip(" ,") and "  " not in name for name in names)
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for name in names for c in name)
    assert all(any(unicodedata.category(c) not in ("Cf", "Mn", "Me") for c in name) for name in names), "invisible"
    assert parse_classes("\n".join((*names, "x, y"))).names[: len(names)] == names


def test_repeated_classes_are_named() -> None:
    found = parse_classes("Cat\ndog\ncat\nCAT,\nDog")
    assert found.names == ("Cat", "dog")
    assert found.notes == ("Written more than once, counted once: “Cat”, “dog”.",)
    assert parse_classes("cat\ndog").notes == ()


def test_markup_and_braces_are_text() -> None:
    assert parse_classes("<b>cat</b>\n{0} <script>").names == ("<b>cat</b>", "{0} <script>")


def test_invisible_characters_go() -> None:
    assert parse_classes("ca\u200bt\n\u202edog\x00\n\u200b").names == ("cat", "dog")


@pytest.mark.parametrize("text", ["", " \n ,, \t", "\u200b"])
def test_no_class_is_trouble(text: str) -> None:
    with pytest.raises(UserError, match="no classes"):
        parse_classes(text)


def test_limits_of_classes() -> None:
    assert len(parse_classes("\n".join(map(str, range(2000)))).names) == 2000
    with pytest.raises(UserError, match="2,001 classes. Keep at most 2,000"):
        parse_classes("\n".join(map(str, range(2001))))
    with pytest.raises(UserError, match="2,001 classes"):
        parse_classes("\n".join(["list:imagenet-1k", *map(str, range(1003))]))
    assert parse_classes("a" * 200).names == ("a" * 200,)
    with pytest.raises(UserError, match="10,000 characters") as trouble:
        parse_classes("cat\n" + "b" * 10_000)
    assert len(str(trouble.value)) < 200, "the message must not repeat the whole class"


@pytest.mark.parametrize("repeated", ["dog\n", "\n", "x, ", "e\u0301", " "])
def test_a_text_is_bounded_before_it_is_read(repeated: str) -> None:
    """A request may have 2 MB of it, and reading 1 MB of short lines took seconds."""
    for parse in (parse_classes, parse_templates):
        with pytest.raises(UserError, match="The text has 1,0..,... characters. Shorten it to 100,000"):
            parse(repeated * (1_000_000 // len(repeated) + 1))
    assert parse_classes("dog\n" * 25_000).names == ("dog",)


# Templates


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=10), st.sampled_from(["\n", "\r\n", "\n\n  \n"]))
def test_templates_are_the_lines_once_each(parts: list[tuple[str, str]], end: str) -> None:
    lines = [f"{before} {{}}, {after}" for before, after in parts]
    assert parse_templates(end.join(f"  {line}\t" for line in lines)) == tuple(dict.fromkeys(lines))


@given(st.lists(WORDS, max_size=5), WORDS)
def test_a_line_without_a_place_for_the_class_is_named(lines: list[str], bad: str) -> None:
    text = "\n".join([f"{line} {{}}" for line in lines] + [bad])
    with pytest.raises(UserError) as trouble:
        parse_templates(text)
    assert bad in str(trouble.value)


@pytest.mark.parametrize("text", ["", "  \n\t\n", "{}" + "a" * 199, "\n".join(f"{{}} {i}" for i in range(81)), "{0}"])
def test_templates_that_cannot_be_used_are_trouble(text: str) -> None:
    with pytest.raises(UserError):
        parse_templates(text)


def test_the_longest_and_most_templates_pass() -> None:
    assert parse_templates("{}" + "a" * 198) == ("{}" + "a" * 198,)
    assert len(parse_templates("\n".join(f"{{}} {i}" for i in range(80)))) == 80


# Words


def test_unknown_words_of_each_class() -> None:
    classes = ("Red fish", "red-fish", "owl", "Golden retriever", "fish2", "…")
    assert unknown_words(classes, frozenset({"red", "fish", "owl"})) == {
        "Golden retriever": ("golden", "retriever"),
        "fish2": ("fish2",),
    }
