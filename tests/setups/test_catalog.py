"""The catalog of setups: what it reads, what it says of a table that is not right, and the one that is shipped."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.setups.catalog import CATALOG, Layout, Location, Published, SetupSpec, find, read_catalog
from core.setups.checkpoints import files_of

TABLES = """
[[setup]]
name = "short"
title = "The short one"
clip = { folder = "clip" }
dictionary = { folder = "sae" }
layer = 2
scope = "patches"
licence = "MIT"
note = "For tests."

[[setup]]
name = "long"
title = "The long one"
clip = { repo = "someone/a-clip", revision = "v1.0" }
dictionary = { repo = "someone/an.sae_2", file = "20_resid/*.pt" }
layout = "clipscope"
layer = 20
scope = "all"
licence = "CC-BY-4.0"
note = "For tests, too."
good_for = "reading"
paper = "https://arxiv.org/abs/2604.11467"
published = { explained_variance = 0.7, active_per_token = 32, dead_share = 0.01, source = "a page" }
words = "words.txt"
report = "report.json"
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """A catalog with a setup of few words and one of many."""
    (tmp_path / "words.txt").write_text("Dog\ncat\nred fish\n", encoding="utf-8")
    (tmp_path / "latin.txt").write_text("Kätzchen", encoding="latin-1")
    path = tmp_path / "catalog.toml"
    path.write_text(TABLES, encoding="utf-8")
    return path


def test_every_entry_is_read(catalog: Path) -> None:
    cards = read_catalog(catalog)
    assert list(cards) == ["short", "long"]
    assert cards["long"] == SetupSpec(
        name="long",
        title="The long one",
        clip=Location(repo="someone/a-clip", revision="v1.0"),
        dictionary=Location(repo="someone/an.sae_2", file="20_resid/*.pt"),
        layer=20,
        scope="all",
        licence="CC-BY-4.0",
        note="For tests, too.",
        layout="clipscope",
        good_for="reading",
        paper="https://arxiv.org/abs/2604.11467",
        published=Published(0.7, 32, 0.01, "a page"),
        vocabulary=frozenset({"dog", "cat", "red", "fish"}),
        report=catalog.parent / "report.json",
    )
    assert cards["long"].downloads


def test_what_is_left_out_has_a_meaning(catalog: Path) -> None:
    card = read_catalog(catalog)["short"]
    assert card.clip == Location(catalog.parent / "clip")
    assert card.dictionary == Location(catalog.parent / "sae")
    assert card.clip.file == "."
    assert card.layout == "sae_lens"
    assert card.published == Published()
    assert (card.verified, card.vocabulary, card.report, card.good_for, card.paper) == (False, None, None, "", "")
    assert not card.downloads


def test_cards_are_read_only_and_found_by_name(catalog: Path) -> None:
    cards = read_catalog(catalog)
    assert find(cards, "long") is cards["long"]
    with pytest.raises(UserError, match="“other”.*short, long"):
        find(cards, "other")
    with pytest.raises(TypeError):
        cards["more"] = cards["long"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "The short one"', "", "'short'.*title"),
        ('dictionary = { folder = "sae" }', "", "'short'.*dictionary"),
        ('licence = "MIT"', 'license = "MIT"', "'short'.*license"),
        ('name = "short"', "", "without a name.*name"),
        ('name = "short"', 'name = "long"', "'long' twice"),
        ('scope = "patches"', 'scope = "patch"', "'short'.*scope 'patch'.*all, cls, patches"),
        ('layout = "clipscope"', 'layout = "clip_scope"', "'long'.*layout 'clip_scope'.*clipscope"),
        ('clip = { folder = "clip" }', 'clip = "clip"', "'short'"),
        ('clip = { folder = "clip" }', 'clip = { folder = "clip", repo = "a/b" }', "'short'.*not both"),
        ('clip = { folder = "clip" }', "clip = {}", "'short'.*folder, or a repository"),
        ('clip = { folder = "clip" }', 'clip = { directory = "clip" }', "'short'.*directory"),
        ('repo = "someone/a-clip"', 'repo = "a-clip"', "'long'.*a-clip.*owner/name"),
        ('file = "20_resid/*.pt"', 'file = "../secret.pt"', "'long'.*outside"),
        ('file = "20_resid/*.pt"', 'file = "/etc/passwd"', "'long'.*outside"),
        ("dead_share = 0.01", "dead = 0.01", "'long'.*dead"),
        ("layer = ", 'layer = "last" # ', "layer 'last'.*whole number"),
        ("layer = 2\n", "layer = -1\n", "layer -1.*whole number"),
        ("layer = 2\n", "layer = true\n", "layer True.*whole number"),
        ("dead_share = 0.01", 'dead_share = "few"', "'long'.*published/dead_share"),
        ('words = "words.txt"', 'words = "words.txt"\nverified = true', "'long'.*verified"),
        ('words = "words.txt"', 'words = "words.txt"\nverification = {}', "'long'.*measured"),
        ('report = "report.json"', "report = 5", "'long'.*report"),
        ('words = "words.txt"', "words = 5", "'long'.*words"),
        ('words = "words.txt"', 'words = "none.txt"', "'long'.*cannot be read"),
        ('words = "words.txt"', 'words = "latin.txt"', "'long'.*cannot be read"),
        ('note = "For tests."', 'note = "For tests."\nvocabulary = ["dog"]', "'short'.*vocabulary"),
        ("[[setup]]", "[[setup", "catalog.*cannot be read"),
        (TABLES, "[setup]\nname = 'short'", r"cannot be read.*\[\[setup\]\]"),
        (TABLES, "setup = [1]", r"cannot be read.*\[\[setup\]\]"),
        ('clip = { folder = "clip" }', 'clip = { folder = "~nobody-here/clip" }', "'short'.*cannot be read"),
    ],
)
def test_tables_that_are_not_right_are_trouble(catalog: Path, old: str, new: str, said: str) -> None:
    text = catalog.read_text(encoding="utf-8")
    assert old in text
    catalog.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=said):
        read_catalog(catalog)


def test_a_folder_may_be_anywhere_on_this_machine(catalog: Path, tmp_path: Path) -> None:
    text = catalog.read_text(encoding="utf-8").replace('folder = "clip"', f'folder = "{(tmp_path / "x").as_posix()}"')
    catalog.write_text(text.replace('folder = "sae"', 'folder = "~/sae"'), encoding="utf-8")
    card = read_catalog(catalog)["short"]
    assert card.clip.folder == tmp_path / "x"
    assert card.dictionary.folder == Path.home() / "sae"


@given(
    owner=st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True),
    name=st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True),
    more=st.text(max_size=5),
)
def test_repositories_are_named_by_owner_and_name(owner: str, name: str, more: str) -> None:
    assert str(Location(repo=f"{owner}/{name}")) == f"{owner}/{name}"
    for wrong in (owner, f"{owner}/{name}/{more}", f"/{name}", f"{owner}/", f"{owner}/{name} {more}", ""):
        with pytest.raises(UserError):
            Location(repo=wrong)


@given(st.lists(st.sampled_from(["a", "..", "b.pt", "*"]), min_size=1, max_size=5))
def test_a_file_lies_inside_its_place(parts: list[str]) -> None:
    file = "/".join(parts)
    if ".." in parts:
        with pytest.raises(UserError, match="outside"):
            Location(folder=Path("here"), file=file)
    else:
        assert str(Location(folder=Path("here"), file=file)) == f"here/{file}"


# ---- the catalog that is shipped


@pytest.fixture(scope="module")
def shipped() -> Mapping[str, SetupSpec]:
    return read_catalog(CATALOG)


def test_the_shipped_catalog_offers_what_was_promised(shipped: Mapping[str, SetupSpec]) -> None:
    assert next(iter(shipped)) == "bundled"
    layouts: set[Layout] = {card.layout for card in shipped.values()}
    assert layouts >= {"sae_lens", "clipscope", "prisma", "saev", "patchsae"}
    scope = {card.layer for card in shipped.values() if card.layout == "clipscope"}
    assert scope >= {11, 17, 20, 22}
    prisma = [(card.scope, card.layer) for card in shipped.values() if card.layout == "prisma"]
    assert {layer for kind, layer in prisma if kind == "all"} >= {4, 5, 6, 7, 8, 9, 11}
    assert len({layer for kind, layer in prisma if kind == "cls"}) >= 2
    assert {card.scope for card in shipped.values() if card.layout == "saev"} == {"patches"}
    of_vlm = [card for card in shipped.values() if card.layout == "dictionary_learning"]
    for kind in ("matroyshka_batch_top_k", "batch_top_k"):
        of_kind = [card for card in of_vlm if card.dictionary.file.startswith(kind)]
        assert {card.layer for card in of_kind if card.place == "residual"} == {11, 17, 22, 23}
        assert len([card for card in of_kind if card.place == "embedding"]) == 1
    assert {card.place for card in shipped.values()} == {"residual", "mlp", "embedding"}
    assert "openai/clip-vit-large-patch14" in {card.clip.repo for card in shipped.values()}


def test_the_bundled_setup_needs_nothing_from_elsewhere(shipped: Mapping[str, SetupSpec]) -> None:
    card = shipped["bundled"]
    assert card.verified
    assert not card.downloads
    assert card.vocabulary
    for place in (card.clip, card.dictionary):
        assert place.folder is not None
        assert place.folder.is_dir()
    assert card.report is not None
    assert card.report.is_file()


def test_every_shipped_setup_is_described(shipped: Mapping[str, SetupSpec]) -> None:
    titles = [card.title for card in shipped.values()]
    assert len(set(titles)) == len(titles)
    for card in shipped.values():
        assert all((card.licence, card.note, card.good_for)), card.name
        assert card.paper.startswith("https://"), card.name
        assert files_of(card.layout, card.dictionary.file), card.name
        stated = card.published
        for share in (stated.explained_variance, stated.dead_share):
            assert share is None or 0 <= share <= 1, card.name
        has_figures = any(
            figure is not None for figure in (stated.explained_variance, stated.active_per_token, stated.dead_share)
        )
        assert has_figures == bool(stated.source), card.name
