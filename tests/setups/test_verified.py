"""The record of verifications: written and read back, refused where it is none, and what the catalog takes from it."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.setups.catalog import CATALOG, read_catalog
from core.setups.verified import (
    FILE_NAME,
    CheckedFiles,
    GoldenLogits,
    LeversAtWork,
    LeverTrial,
    Share,
    Verification,
    read_verified,
    write_verified,
)

TABLE = """
[[setup]]
name = "one"
title = "One"
clip = { repo = "a/clip" }
dictionary = { repo = "a/sae", file = "sae.pt" }
layer = 2
scope = "patches"
licence = "MIT"
note = "For tests."
"""
STATED = "a/clip at main; a/sae/sae.pt at main; layer 2, patches, sae_lens"
shares = st.integers(0, 300).flatmap(lambda of: st.integers(0, of).map(lambda k: Share.counted(k, of)))
files = st.builds(
    CheckedFiles,
    st.text(),
    st.none() | st.text(),
    st.integers(0),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)
trials = st.builds(
    LeverTrial,
    st.sampled_from(["each picture", "other pictures"]),
    st.sampled_from(["attribution", "matched random", "most active"]),
    shares,
    shares,
    shares,
)
levers = st.builds(
    LeversAtWork,
    pictures=st.text(),
    pairs=st.integers(0),
    sources=st.integers(0),
    levers=st.integers(0),
    right=shares,
    fooled=shares,
    other=shares,
    fooled_sources=st.integers(0),
    by_kind=st.dictionaries(st.text(max_size=5), shares, max_size=2),
    one_edit=st.lists(st.integers(0), max_size=3).map(tuple),
    trials=st.lists(trials, max_size=2).map(tuple),
)
golden = st.builds(GoldenLogits, st.text(), st.lists(st.floats(-100, 100), max_size=3).map(tuple))
verifications = st.builds(
    Verification,
    stated=st.text(),
    date=st.datetimes(timezones=st.just(UTC)),
    software=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    outcome=st.sampled_from(["good", "failed"]),
    reason=st.text(),
    clip=st.none() | files,
    golden=st.none() | golden,
    levers=st.none() | levers,
)


@settings(max_examples=25)
@given(st.dictionaries(st.text(max_size=8), verifications, max_size=2))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, setups: dict[str, Verification]
) -> None:
    path = tmp_path_factory.getbasetemp() / FILE_NAME
    write_verified(path, setups)
    assert read_verified(path) == setups


def test_where_there_is_none_nothing_is_verified(tmp_path: Path) -> None:
    assert read_verified(tmp_path / FILE_NAME) == {}


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2, "setups": {}}', '{"format": 1, "setups": {"a": {}}}'])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(UserError, match="The record verified.json cannot be read"):
        read_verified(tmp_path / FILE_NAME)


def test_the_catalog_takes_its_marks_from_the_record_beside_it(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(TABLE)
    card = read_catalog(catalog)["one"]
    assert (card.stated, card.verified, card.verification) == (STATED, False, None)
    good = Verification(STATED, datetime(2026, 11, 30, tzinfo=UTC), {}, "good")
    for found, is_verified in ((good, True), (replace(good, outcome="failed", reason="It was moved."), False)):
        write_verified(tmp_path / FILE_NAME, {"one": found, "gone": good})
        card = read_catalog(catalog)["one"]
        assert (card.verified, card.verification) == (is_verified, found)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("layer = 2", "layer = 3"),
        ("patches", "cls"),
        ("layer = 2", 'layer = 2\nplace = "mlp"'),
        ("a/sae", "b/sae"),
        ('"a/clip"', '"a/clip", revision = "v2"'),
    ],
)
def test_a_verification_is_of_what_the_catalog_said_then(tmp_path: Path, old: str, new: str) -> None:
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(TABLE.replace(old, new))
    write_verified(tmp_path / FILE_NAME, {"one": Verification(STATED, datetime(2026, 11, 30, tzinfo=UTC), {}, "good")})
    assert read_catalog(catalog)["one"].verification is None


def test_a_later_run_is_held_to_the_last_good_one() -> None:
    one = Verification(
        STATED,
        datetime(2026, 11, 30, tzinfo=UTC),
        {},
        "good",
        clip=CheckedFiles("a/clip", "0" * 40, 5, {"config.json": "abc"}),
        golden=GoldenLogits("x", (1.0,)),
    )
    held = one.to_find_again
    assert held is not None
    assert (held.date, held.hashes) == (one.date, {"a/clip: config.json": "abc"})
    failed = replace(one, outcome="failed", expected=held, clip=None, golden=GoldenLogits("x", (2.0,)))
    assert failed.to_find_again is held
    assert replace(failed, expected=None).to_find_again is None


def test_the_catalog_is_read_without_any_library_that_computes() -> None:
    """The command line reads it before all else."""
    code = (
        "import sys, core.setups.catalog as c; c.read_catalog(); print({'numpy', 'scipy', 'torch'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CATALOG.parents[1]
    )
    assert ran.stdout.strip() == "set()"
