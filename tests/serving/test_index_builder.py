"""Indexes that are built while the page answers: shown as they come, gone on with, and never needed."""

import gc
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from weakref import ref

import pytest
from filelock import FileLock
from huggingface_hub import constants
from streamed import Drawn
from tiny_setups import WORDS, setup_of

from core.background import Job
from core.concepts.growth import Growth
from core.concepts.index import ConceptIndex
from core.concepts.index_file import INDEX_FILES
from core.errors import UserError
from core.indexing import build_in_steps
from core.methods.side_effects import ProbeConcept
from core.model.clip import SplitClip
from core.pictures.collection import Collection
from core.serving import index_builder as module
from core.serving.index_builder import IndexBuilder
from core.setups.loading import Setup
from core.workbench import Workbench


@dataclass
class Given:
    """Pictures that are opened by a function."""

    open: Callable[[], Collection]
    pictures: str = "drawn for tests"
    workers: int = 0


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where indexes are kept; something to show after four pictures, and labels among four words."""
    words = [ProbeConcept(word, "") for word in WORDS]
    monkeypatch.setattr(module, "read_vocabulary", lambda: words)
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    monkeypatch.setattr(build_in_steps, "FIRST", 4)
    return tmp_path / "assets"


@pytest.fixture
def setup(clip: SplitClip) -> Setup:
    return setup_of(clip)


def built(setup: Setup, open_: Callable[[], Collection], rest: Callable[[], None] = lambda: None) -> Workbench:
    """A workbench whose index has been built, as far as it could be."""
    bench = Workbench(setup)
    ended(IndexBuilder(Given(open_), rest).begin(bench))
    return bench


def ended(job: Job[Growth, None] | None) -> None:
    """Wait for its end."""
    assert job is not None
    for _ in job.follow():
        pass


def trouble(bench: Workbench) -> str:
    """Why the making of its index ended."""
    assert bench.making is not None
    assert bench.making.over
    return bench.making.trouble


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.name in INDEX_FILES}


class Gate:
    """Holds a collection at a picture, till it is let go; no test waits for a moment."""

    def __init__(self, place: int) -> None:
        self.place, self.reached, self.go = place, threading.Event(), threading.Event()

    def __call__(self, place: int) -> None:
        if place == self.place:
            self.reached.set()
            assert self.go.wait(60)


def test_what_there_is_is_shown_while_the_rest_is_read(setup: Setup) -> None:
    gate, bench = Gate(30), Workbench(setup)
    with pytest.raises(UserError, match="no concept index"):
        bench.concept(0)
    told: list[tuple[str, int]] = []
    before = bench.grown
    builder = IndexBuilder(Given(lambda: Drawn((37,), gate)), grew=lambda name: told.append((name, bench.grown)))
    job = builder.begin(bench)
    assert gate.reached.wait(60)
    assert job is not None
    assert job.step is not None
    assert job.step == Growth("drawn for tests", "", 28, 37, job.step.n_bytes, shown=2)
    assert not job.over
    first = bench.index
    assert first is not None
    assert before == 0
    assert bench.grown == first.n_bytes + job.step.n_bytes
    assert job.step.n_bytes > 8 * bench.setup.dictionary.n_components * (len(first.edges) - 1), "the histogram alone"
    assert first.manifest.pictures == 14, "twice as many as were shown first"
    assert bench.concept(0).pictures == first.manifest.pictures
    assert bench.families == (), "families come with the whole"
    gate.go.set()
    ended(job)
    assert trouble(bench) == ""
    assert job.step == Growth("drawn for tests", "", 37, 37, shown=3)
    assert bench.index is not None
    assert bench.grown == bench.index.n_bytes, "nothing is held to go on with"
    assert [name for name, _ in told] == 3 * [bench.card.name]
    assert told[-1][1] == bench.grown
    assert bench.index.manifest.pictures == 32
    assert bench.concept(0).guesses, "so do labels"
    assert IndexBuilder(Given(Drawn)).begin(bench) is None, "a setup with an index needs none"


def test_a_server_that_starts_again_goes_on_and_ends_with_the_same_bytes(setup: Setup, kept: Path) -> None:
    def breaks(place: int) -> None:
        if place == 26:
            raise ConnectionError("the network is gone")

    bench = built(setup, lambda: Drawn(look=breaks))
    assert bench.index is not None, "what was shown stays"
    assert "failed (ConnectionError)" in trouble(bench)
    read: list[int] = []
    again = built(setup, lambda: Drawn(look=read.append))
    assert min(read) == 22
    resumed = files(kept)
    other = kept.with_name("other")
    kept.rename(other)
    whole = built(setup, Drawn)
    assert files(kept) == resumed
    assert again.index == whole.index
    at_once = built(setup, lambda: Drawn(look=lambda place: pytest.fail("a picture was read")))
    assert at_once.index == whole.index
    assert trouble(at_once) == ""


def test_other_weights_and_other_pictures_have_indexes_of_their_own(setup: Setup, clip: SplitClip, kept: Path) -> None:
    built(setup, Drawn)
    built(setup, lambda: Drawn((5,)))
    built(setup_of(clip, "jumprelu"), Drawn)
    manifests = list(kept.rglob("manifest.json"))
    assert len(manifests) == 3
    assert len({path.parents[1] for path in manifests}) == 2, "one folder for each fingerprint"


def unreachable() -> Collection:
    raise UserError("The Hub cannot be reached for the data set a/b. Try again later, or name a folder.")


def test_without_the_data_set_a_sentence_and_all_else(setup: Setup) -> None:
    bench = built(setup, unreachable)
    assert bench.index is None
    assert "cannot be reached" in trouble(bench)


def test_without_the_data_set_the_whole_index_of_before(setup: Setup) -> None:
    before = built(setup, Drawn).index
    bench = built(setup, unreachable)
    assert isinstance(bench.index, ConceptIndex)
    assert bench.index == before
    assert trouble(bench) == ""


def test_a_folder_that_cannot_be_written_is_a_sentence(
    setup: Setup, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.write_text("a file")
    bench = built(setup, Drawn)
    assert "HF_HOME" in trouble(bench)


def test_two_servers_do_not_write_one_index(setup: Setup, kept: Path) -> None:
    built(setup, Drawn)
    (manifest,) = kept.rglob("manifest.json")
    manifest.unlink()
    with FileLock(f"{manifest.parent}.lock"):
        bench = built(setup, Drawn)
    assert "Another server" in trouble(bench)


def test_others_go_first_before_every_batch(setup: Setup) -> None:
    rests: list[int] = []
    bench = built(setup, lambda: Drawn((12,)), lambda: rests.append(1))
    assert bench.index is not None
    assert len(rests) == 4, "three batches, and the whole"


def test_a_setup_that_has_left_the_memory_is_left_alone(setup: Setup) -> None:
    """Nothing of the building keeps its workbench; what was read is saved for when it comes back."""
    gate, read = Gate(10), []

    def look(place: int) -> None:
        read.append(place)
        gate(place)

    bench = Workbench(setup)
    job = IndexBuilder(Given(lambda: Drawn((37,), look))).begin(bench)
    assert gate.reached.wait(60)
    held = ref(bench)
    del bench
    gc.collect()
    assert held() is None
    gate.go.set()
    ended(job)
    assert max(read) == 12, "to the end of the batch"


def test_setups_take_turns(clip: SplitClip) -> None:
    gate, order = Gate(5), []

    def opened(name: str) -> Callable[[], Collection]:
        def open_() -> Collection:
            order.append(name)
            return Drawn((8,), gate)

        return open_

    given = Given(opened("first"))
    builder = IndexBuilder(given)
    one, two = Workbench(setup_of(clip)), Workbench(setup_of(clip, "jumprelu"))
    jobs = [builder.begin(one)]
    assert gate.reached.wait(60)
    given.open = opened("second")
    jobs.append(builder.begin(two))
    assert order == ["first"]
    gate.go.set()
    for job in jobs:
        ended(job)
    assert order == ["first", "second"]
    assert one.index is not None
    assert two.index is not None
