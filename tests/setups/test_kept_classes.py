"""Class vectors of lists on disk: found again for the very same reading, and for no other."""

from pathlib import Path

import pytest
import torch
from conftest import tiny_model
from huggingface_hub import constants

from core.model.class_lists import lines_of
from core.model.clip import SplitClip, text_classifier
from core.setups import kept_classes
from core.setups.kept_classes import KeptClasses

LIST, ONE = "imagenet-1k", ("a {}",)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where they are kept."""
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path))
    monkeypatch.setattr(kept_classes, "WORTH", 0)
    return tmp_path


def files(place: Path) -> list[Path]:
    return sorted(place.rglob("*.safetensors"))


def test_they_are_there_at_the_next_start(clip: SplitClip, place: Path) -> None:
    vectors = text_classifier(clip, lines_of(LIST), ONE)
    assert KeptClasses(clip).find(LIST, ONE) is None
    KeptClasses(clip).put(LIST, ONE, vectors)
    found = KeptClasses(clip).find(LIST, ONE)
    assert found is not None
    assert torch.equal(found, vectors)
    assert len(files(place)) == 1


def test_another_reading_finds_none(clip: SplitClip, place: Path) -> None:
    KeptClasses(clip).put(LIST, ONE, text_classifier(clip, lines_of(LIST), ONE))
    assert KeptClasses(clip).find(LIST, ("the {}",)) is None
    other = SplitClip(tiny_model(seed=1), clip.image_processor, clip.tokenizer, clip.place)
    assert KeptClasses(other).find(LIST, ONE) is None


@pytest.mark.parametrize("content", [b"", b"{}", b"x" * 1000])
def test_a_damaged_file_is_none(clip: SplitClip, place: Path, content: bytes) -> None:
    KeptClasses(clip).put(LIST, ONE, text_classifier(clip, lines_of(LIST), ONE))
    files(place)[0].write_bytes(content)
    assert KeptClasses(clip).find(LIST, ONE) is None


def test_vectors_that_do_not_fit_are_none(clip: SplitClip, place: Path) -> None:
    KeptClasses(clip).put(LIST, ONE, torch.zeros(3, 16))
    assert KeptClasses(clip).find(LIST, ONE) is None
    KeptClasses(clip).put(LIST, ONE, torch.full((998, 16), torch.nan))
    assert KeptClasses(clip).find(LIST, ONE) is None


def test_what_takes_a_moment_is_not_kept(clip: SplitClip, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_classes, "WORTH", 1e15)
    KeptClasses(clip).put(LIST, ONE, text_classifier(clip, lines_of(LIST), ONE))
    assert files(place) == []


def test_where_nothing_can_be_written_nothing_is_lost(clip: SplitClip, place: Path) -> None:
    (place / "clip-levers").write_text("in the way")
    KeptClasses(clip).put(LIST, ONE, text_classifier(clip, lines_of(LIST), ONE))
    assert KeptClasses(clip).find(LIST, ONE) is None
