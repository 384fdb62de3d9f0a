"""What is known of a setup, as the page shows it: whether it is verified, and what levers do there."""

from dataclasses import replace
from typing import Any

import pytest
from plain_text import plain
from view_helpers import evil_setup, levers_at_work, verification

from core.setups.loading import Setup
from core.setups.verified import CheckedFiles, Share
from core.views.setup import setup_choice, setup_page

COMMITS = {"clip": "1" * 40, "dictionary": "2" * 40}


@pytest.fixture(scope="module")
def setup() -> Setup:
    return replace(evil_setup(), commits=COMMITS)


def page(setup: Setup, **changes: Any) -> str:
    """In words, of a setup that was verified, with changes to how that went."""
    found = verification(**{part: CheckedFiles("a/b", commit) for part, commit in COMMITS.items()} | changes)
    return plain(setup_page(replace(setup, card=replace(setup.card, verification=found))))


def test_a_setup_that_nobody_verified_says_so(setup: Setup) -> None:
    assert setup_choice(setup.card).endswith(" · unverified")
    said = plain(setup_page(setup))
    assert "Unverified: its reader is tested on files made in its layout" in said
    assert "Verified2" not in said


def test_a_verified_one_says_when_and_by_what(setup: Setup) -> None:
    assert not setup_choice(replace(setup.card, verification=verification())).endswith("unverified")
    said = page(setup)
    assert "Verified2026-11-30, torch 2.13.0" in said
    assert "nverified" not in said
    assert "another commit" not in said


def test_one_that_failed_says_why(setup: Setup) -> None:
    said = page(setup, outcome="failed", reason="Its file was moved.")
    assert "It failed its verification on 2026-11-30. Its file was moved." in said
    assert "Verified2" not in said


def test_another_commit_than_the_verified_one_is_told(setup: Setup) -> None:
    said = page(setup, clip=CheckedFiles("a/b", "3" * 40))
    assert "has changed since 2026-11-30, when it was verified: this is another commit of its CLIP." in said


def test_levers_at_work_are_a_table_with_its_controls_and_intervals(setup: Setup) -> None:
    said = page(setup, levers=levers_at_work())
    assert (
        "the model says what the cue names in 60 % of 100 (50 to 69 %), and another wrong class in 1 % of 100" in said
    )
    assert "Suppressing at most 5 components takes more of them off that class than chance." in said
    assert "120 pictures of 13 scenes, 9 of which fool it with a cue" in said
    assert "chosen by attribution in each picture83 % of 60 (72 to 91 %)" in said
    assert said.count("as many at random, as energetic8 % of 60 (4 to 18 %)") == 2


def test_where_cues_do_not_speak_levers_claim_nothing(setup: Setup) -> None:
    said = page(setup, levers=levers_at_work(other=Share.counted(55, 100)))
    assert "these cues do not speak to it, and levers have nothing to undo" in said
    assert "takes more" not in said
