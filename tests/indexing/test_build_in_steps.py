"""An index that is built in small steps: right on the way, the same in the end, whatever stops it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamed import Drawn
from tiny_setups import RECIPE, setup_of

from core.concepts.index_file import INDEX_FILES, load
from core.errors import UserError
from core.indexing import build_in_steps as module
from core.indexing.build import build
from core.indexing.build_in_steps import build_in_steps
from core.indexing.thumbnails import ThumbnailStore
from core.model.clip import SplitClip
from core.setups.loading import Setup
from core.streaming import WORK

pytestmark = pytest.mark.usefixtures("one_thread")

LATER = ("near", "near_cosine", "coactivated", "coactivation", "label", "alignment")
"""What looks at all components at once."""


@pytest.fixture(scope="module")
def setup(clip: SplitClip) -> Setup:
    return setup_of(clip)


@pytest.fixture(scope="module")
def whole(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of the command."""
    out = tmp_path_factory.mktemp("whole") / "index"
    build(setup, Drawn(), out, RECIPE, quiet=True)
    return out


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something to show after four pictures, and saved after eight at the latest."""
    monkeypatch.setattr(module, "FIRST", 4)
    monkeypatch.setattr(module, "SAVED_EVERY", 8)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in INDEX_FILES}


@pytest.mark.usefixtures("early")
def test_on_the_way_it_is_the_index_of_the_pictures_so_far(setup: Setup, tmp_path: Path, whole: Path) -> None:
    pictures = (37,)  # in one part, so that those so far are a collection themselves
    steps = list(build_in_steps(setup, Drawn(pictures), tmp_path / "grown", RECIPE))
    assert [step.done for step in steps] == [*range(4, 37, 4), 37, 37]
    shown = [step for step in steps if step.index is not None]
    assert [step.index.manifest.pictures for step in shown if step.index] == [7, 14, 32], "twice as many each time"
    for number, step in enumerate(shown[:-1]):
        so_far = build(setup, Drawn((step.done,)), tmp_path / str(number), RECIPE, quiet=True)
        index = step.index
        assert index is not None
        manifest = replace(index.manifest, source=so_far.manifest.source)
        assert (index.label == -1).all()
        assert (index.near == -1).all()
        assert replace(index, manifest=manifest, **{name: getattr(so_far, name) for name in LATER}) == so_far
    last = shown[-1].index
    assert last == build(setup, Drawn(pictures), tmp_path / "at once", RECIPE, quiet=True)
    assert contents(tmp_path / "grown") == contents(tmp_path / "at once")


@pytest.mark.usefixtures("early")
@pytest.mark.parametrize("stop", [1, 6])
def test_stopped_gently_it_goes_on_from_the_last_batch(setup: Setup, tmp_path: Path, whole: Path, stop: int) -> None:
    read: list[int] = []
    out = tmp_path / "index"
    steps = build_in_steps(setup, Drawn(look=read.append), out, RECIPE)
    for _ in range(stop):
        done = next(steps).done
    steps.close()
    read.clear()
    after = list(build_in_steps(setup, Drawn(look=read.append), out, RECIPE))
    assert after[0].index is not None, "what there was is shown again at once"
    assert after[0].done == done
    assert read == list(range(done, 37)), "nothing that was counted is read again"
    assert contents(out) == contents(whole)
    assert not (out / WORK).exists()


def test_a_whole_one_comes_at_once(setup: Setup, whole: Path) -> None:
    def look(place: int) -> None:
        raise AssertionError("a picture was read")

    (step,) = build_in_steps(setup, Drawn(look=look), whole, RECIPE)
    assert step.done == 37
    assert step.index is not None
    assert step.index == load(whole, step.index.manifest.setup)


def failing_at(place: int, error: BaseException) -> Callable[[int], None]:
    def look(read: int) -> None:
        if read == place:
            raise error

    return look


@pytest.mark.usefixtures("early")
def test_a_data_set_that_breaks_off_leaves_what_was_read(setup: Setup, tmp_path: Path, whole: Path) -> None:
    """What a batch left half counted is not saved."""
    out = tmp_path / "index"
    with pytest.raises(ConnectionError):
        list(build_in_steps(setup, Drawn(look=failing_at(25, ConnectionError())), out, RECIPE))
    assert list(build_in_steps(setup, Drawn(), out, RECIPE))[0].done == 22, "to the end of the last batch"
    assert contents(out) == contents(whole)


@pytest.mark.usefixtures("early")
def test_a_batch_that_fails_half_way_is_not_counted(
    setup: Setup, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, add, left = tmp_path / "index", ThumbnailStore.add, [5]

    def fails(store: ThumbnailStore, ids: np.ndarray, crops: np.ndarray, units: np.ndarray) -> None:
        left[0] -= 1
        if not left[0]:
            raise MemoryError
        add(store, ids, crops, units)

    monkeypatch.setattr(ThumbnailStore, "add", fails)
    with pytest.raises(MemoryError):
        list(build_in_steps(setup, Drawn(), out, RECIPE))
    list(build_in_steps(setup, Drawn(), out, RECIPE))
    assert contents(out) == contents(whole)


def test_without_a_picture_that_can_be_read_there_is_a_sentence(setup: Setup, tmp_path: Path) -> None:
    class Broken(Drawn):
        def picture(self, entry: int) -> Image.Image:
            raise UserError("It cannot be read.")

    with pytest.raises(UserError, match="None of the 37 pictures"):
        list(build_in_steps(setup, Broken(), tmp_path / "index", RECIPE))


def test_the_licence_stands_in_the_manifest(setup: Setup, tmp_path: Path) -> None:
    *_, last = build_in_steps(setup, Drawn((3,)), tmp_path / "index", RECIPE, licence="cc-by-4.0")
    assert json.loads((tmp_path / "index" / "manifest.json").read_text())["source"]["licence"] == "cc-by-4.0"
    assert last.index is not None
    assert last.index.manifest.source["licence"] == "cc-by-4.0"
