"""A validation over pictures: its counts against a slow derivation, stops at any moment, several processes."""

import os
import shutil
import signal
import weakref
from collections import Counter
from contextlib import suppress
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch
from labelled import CLASSES, EDIT, OPTIONS, STATED, VALIDATED, WHERE, Labelled, group_of, label_of, setup_of
from streamed import at_a_time, in_a_process, killed_at
from tiny_edits import dense, rows, unsplit

from core.errors import UserError
from core.methods.steering import Edit, Lever
from core.model.clip import SplitClip, text_classifier
from core.model.sae_clip import SaeClip
from core.model.trace import Trace
from core.setups.loading import Setup
from core.streaming import WORK, held_back, made_of, processes, stops_told, threads_apart
from core.validation import validate as validation
from core.validation.counts import PictureCounts, TrialCounts
from core.validation.report import REPORT
from core.validation.validate import ReportOptions, ValidatedEdit, validate
from core.validation.verdict import StatedBounds

pytestmark = pytest.mark.usefixtures("one_thread")

FILES = ("junit.xml", "report.html", "report.json")


@pytest.fixture(scope="module")
def setup(clip: SplitClip) -> Setup:
    return setup_of(clip)


@pytest.fixture(scope="module")
def undisturbed(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files that every run over the pictures should end with."""
    out = tmp_path_factory.mktemp("report")
    validate(setup, Labelled(), out, VALIDATED, STATED, OPTIONS, quiet=True)
    return files(out)


def files(out: Path) -> dict[str, bytes]:
    """All that is in the folder."""
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


# ---- the numbers


def moved(setup: Setup, f: np.ndarray) -> np.ndarray:
    """What `EDIT` adds to the residual, [T, d], from all activations [T, m] of a picture."""
    after = f.copy()
    if f[:, WHERE[0]].max() >= WHERE[1]:
        after[:, 3] = 6.0
        after[:, 7] = 0.0
        after[:, 11] *= -3.0
    return (after - f) @ rows(setup.dictionary)


def test_every_count_against_the_unsplit_model_picture_by_picture(setup: Setup, tmp_path: Path) -> None:
    found = validate(setup, Labelled(), tmp_path, VALIDATED, STATED, OPTIONS, quiet=True).counts
    classifier = text_classifier(setup.clip, CLASSES, VALIDATED.templates)
    want: dict[tuple[str, str | None], Counter[str]] = {}
    leads: dict[tuple[str, str | None], float] = {}
    kept: dict[str, list[tuple[str, str | None, str, str]]] = {"fixed": [], "broken": [], "changed": []}
    for number in range(37):
        if number % 7 == 3:
            continue
        crop = setup.clip.crop(Labelled().picture(number))
        (trace,) = setup.model.traces([crop])
        f = dense(trace.activations)
        logits = [unsplit(setup.clip, trace, classifier, move) for move in (np.zeros((17, 32)), moved(setup, f))]
        before, after = (int(np.argmax(values)) for values in logits)
        label = label_of(number)
        truth = CLASSES.index(label) if label in CLASSES else None
        of = before if truth is None else truth
        lead = [float(values[of] - max(np.delete(np.asarray(values), of))) for values in logits]
        kinds = {"pictures", "answers"} if before != after else {"pictures"}
        if truth is None:
            kinds |= {"unlabelled"} | ({"changed"} if before != after else set())
        else:
            kinds.add("right" if before == truth else "wrong")
            kinds |= {"broken"} if before == truth != after else {"fixed"} if before != truth == after else set()
        if np.abs(moved(setup, f)).max() > 0:
            kinds.add("acts")
        for which in (("total", None), ("group", group_of(number)), ("class", label if truth is not None else None)):
            want.setdefault(which, Counter()).update(kinds)
            leads[which] = leads.get(which, 0.0) + lead[1] - lead[0]
        for kind in kinds & kept.keys():
            kept[kind].append((f"{number}.png", label, CLASSES[before], CLASSES[after]))

    of_all = want["total", None]
    assert of_all["fixed"] > 2 < of_all["broken"], "there is something to count"
    assert 5 < of_all["acts"] < of_all["pictures"] - 5
    tallies: dict[tuple[str, str | None], PictureCounts] = {("total", None): found.total}
    tallies |= {("class", name): tally for name, tally in found.classes.items()}
    tallies |= {("group", name): tally for name, tally in found.groups.items()}
    assert tallies.keys() == want.keys() - {("class", None), ("group", None)}
    for which, tally in tallies.items():
        for kind in ("wrong", "right", "fixed", "broken", "unlabelled", "changed", "acts", "answers", "pictures"):
            assert getattr(tally, kind) == want[which][kind], (which, kind)
        assert np.isclose(tally.lead_change, leads[which] / want[which]["pictures"], atol=2e-4)
    for kind, pictures in kept.items():
        ours = [(one.name, one.label, one.before, one.after) for one in found.kept[kind]]
        assert ours == pictures[: OPTIONS.shown]
    assert found.unread == len([n for n in range(37) if n % 7 == 3])
    assert [(one.name, one.reason) for one in found.troubles][:2] == [
        (f"{n}.png", f"Number {n} cannot be read.") for n in (3, 10)
    ]
    assert found.others == {"tench": found.of_others}
    assert found.of_others == len([n for n in range(37) if label_of(n) == "tench" and n % 7 != 3])
    assert list(found.classes) == [name for name in CLASSES if name in found.classes]


def test_a_report_is_read_back_without_its_pictures(setup: Setup, tmp_path: Path) -> None:
    found = validate(setup, Labelled(), tmp_path, VALIDATED, STATED, OPTIONS, quiet=True)
    assert found.edit == EDIT
    assert found.classes == CLASSES
    assert not any(one.webp for kept in found.counts.kept.values() for one in kept)
    assert (found.outcome, len(found.bounds)) == ("does not hold", 2)
    with pytest.raises(UserError, match="holds a report already"):
        validate(setup, Labelled(), tmp_path, VALIDATED, STATED, OPTIONS, quiet=True)


def test_nothing_can_be_read(setup: Setup, tmp_path: Path) -> None:
    class Broken(Labelled):
        def picture(self, entry: int) -> None:  # type: ignore[override]
            raise UserError("It cannot be read.")

    found = validate(setup, Broken(), tmp_path, VALIDATED, STATED, OPTIONS, quiet=True)
    assert found.outcome == "cannot be judged"
    assert found.counts.unread == 37
    assert found.remarks == ("37 pictures could not be read.",)


def test_a_component_that_is_not_there(setup: Setup, tmp_path: Path) -> None:
    other = ValidatedEdit("tiny", Edit((Lever(4_000),)), CLASSES, ("{}",))
    with pytest.raises(UserError, match="no component 4000"):
        validate(setup, Labelled(), tmp_path, other, STATED, OPTIONS, quiet=True)


def test_more_groups_than_can_be_told_apart(setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.validation.counts.MAX_GROUPS", 1)
    with pytest.raises(UserError, match="more than 1 groups, such as day"):
        validate(setup, Labelled(), tmp_path, VALIDATED, STATED, OPTIONS, quiet=True)


def test_no_picture_is_held_longer_than_its_batch(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it does not matter how many there are; what is counted is bounded too (test_counts)."""
    held: list[weakref.ref[Trace]] = []
    original = SaeClip.traces

    def traces(model: SaeClip, crops: np.ndarray) -> tuple[Trace, ...]:
        assert sum(one() is not None for one in held) <= OPTIONS.batch
        found = original(model, crops)
        held.extend(map(weakref.ref, found))
        return found

    monkeypatch.setattr(SaeClip, "traces", traces)
    validate(setup, Labelled(), tmp_path, VALIDATED, STATED, OPTIONS, quiet=True)
    assert len(held) == 37 - len([n for n in range(37) if n % 7 == 3])


# ---- what is stopped


class Stop(Exception):
    """Something happened."""


@pytest.mark.parametrize("every", [1, 3])
def test_a_run_that_fails_again_and_again_ends_with_the_same_report(
    setup: Setup, tmp_path: Path, undisturbed: dict[str, bytes], every: int
) -> None:
    failing = np.random.default_rng(every).permutation(37)[:12].tolist()  # at these pictures, each once

    def look(place: int) -> None:
        if place in failing:
            failing.remove(place)
            raise Stop

    found = None
    while found is None:
        with suppress(Stop):
            found = validate(setup, Labelled(look=look), tmp_path, VALIDATED, STATED, OPTIONS, every=every, quiet=True)
    assert not failing
    assert files(tmp_path) == undisturbed


@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_killed_at_any_moment_goes_on(
    setup: Setup, tmp_path: Path, undisturbed: dict[str, bytes], seed: int
) -> None:
    """SIGKILL between any two steps that touch the disk, and before and after every batch; the run then goes on."""
    moments = [(os, "replace"), (os, "fsync"), (validation, "tried"), (TrialCounts, "add"), (shutil, "rmtree")]

    def run() -> None:
        validate(setup, Labelled(), tmp_path, VALIDATED, STATED, OPTIONS, every=2, quiet=True)

    rng, kills, late = np.random.default_rng(seed), 0, 0
    while not (tmp_path / REPORT).exists() or (tmp_path / WORK).exists():
        process = in_a_process(killed_at(int(rng.integers(1, 20)), moments, run))
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        kills += 1
        late += any(tmp_path.glob("report.*"))
    assert kills > 5, "killed while reading"
    assert late, "killed while writing the report"
    shutil.rmtree(tmp_path / ".work-over", ignore_errors=True)  # killed while it was cleared away
    assert files(tmp_path) == undisturbed


def test_a_stop_loses_nothing_and_says_what_was_counted(
    setup: Setup, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    def look(place: int) -> None:
        if place == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stop:
        validate(setup, Labelled(look=look), tmp_path, VALIDATED, STATED, OPTIONS, every=1_000, quiet=True)
    saved = TrialCounts.load(tmp_path / WORK / "counts-0.json")
    assert saved.after == (2, 0), "the batch before the one that holds picture 20, of 13 + 0 + 9"
    done = saved.total.pictures + saved.unread
    assert done == 17
    so_far, order = map(str, stop.value.args)
    assert so_far.startswith(f"So far, after 17 of 37 pictures: Fixes {saved.total.fixed} of {saved.total.wrong} ")
    assert "no bound is stated" in order
    read: list[int] = []
    validate(setup, Labelled(look=read.append), tmp_path, VALIDATED, STATED, OPTIONS, quiet=True)
    assert min(read) == 17
    assert files(tmp_path) == undisturbed


def test_a_stop_that_comes_while_a_batch_is_counted_waits_for_it() -> None:
    done: list[int] = []

    def count() -> None:
        with held_back():
            signal.raise_signal(number)
            done.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.signal(number, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                count()
            assert signal.getsignal(number) is signal.default_int_handler
        finally:
            signal.signal(number, before)
    assert len(done) == 2


def test_sigterm_stops_a_command_as_ctrl_c_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end, stops_told(processes(), tmp_path, 4):
        signal.raise_signal(signal.SIGTERM)
    assert end.value.code == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_question_does_not_go_on_with_these_counts(setup: Setup, tmp_path: Path) -> None:
    """The bounds as well: they are stated before anything is counted."""

    def look(place: int) -> None:
        if place == 20:
            raise Stop

    with pytest.raises(Stop):
        validate(setup, Labelled(look=look), tmp_path, VALIDATED, STATED, OPTIONS, every=1, quiet=True)
    for validated, stated, options, differs in (
        (VALIDATED, StatedBounds(max_broken=0.2), OPTIONS, "its bounds differs"),
        (ValidatedEdit("tiny", Edit(), CLASSES, ("{}",)), STATED, OPTIONS, "its recipe differs"),
        (VALIDATED, STATED, ReportOptions(shown=3, side=16, batch=4), "its options differs"),
    ):
        with pytest.raises(UserError, match=f"another report: {differs}"):
            validate(setup, Labelled(), tmp_path, validated, stated, options, quiet=True)
    (tmp_path / WORK / "counts-0.json").write_text('{"total": 3}')
    with pytest.raises(UserError, match="cannot be read"):
        validate(setup, Labelled(), tmp_path, VALIDATED, STATED, OPTIONS, quiet=True)


# ---- several threads, several processes


def test_several_threads_write_the_same_report(setup: Setup, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    """Each computes alone, whatever torch would do: sums over several threads come in another order."""
    torch.set_num_threads(3)
    with threads_apart(processes()) as threads:
        assert (threads, torch.get_num_threads()) == (3, 1)
        validate(setup, Labelled(), tmp_path, VALIDATED, STATED, OPTIONS, every=2, threads=threads, quiet=True)
    assert torch.get_num_threads() == 3
    assert files(tmp_path) == undisturbed


def test_batches_are_made_at_once_and_come_in_their_order() -> None:
    gate, made = Barrier(3, timeout=30), list[str]()

    def make(batch: str) -> str:
        if batch in ("first", "second", "third"):
            gate.wait()
        made.append(batch)
        return batch.upper()

    names = ["first", "second", "third", "fourth"]
    assert list(made_of(names, make, 3)) == [(name, name.upper()) for name in names]  # type: ignore[arg-type]
    assert sorted(made) == sorted(names)


@pytest.mark.parametrize("world", [2, 7])
def test_several_processes_write_the_same_report(
    setup: Setup, tmp_path: Path, undisturbed: dict[str, bytes], world: int
) -> None:
    """Byte for byte, also with more processes than there are parts."""

    def run() -> None:
        assert processes().num_processes == world
        found = validate(setup, Labelled(), tmp_path, VALIDATED, STATED, OPTIONS, every=2, quiet=True)
        assert found.outcome == "does not hold"

    assert at_a_time(world, run) == [0] * world
    assert files(tmp_path) == undisturbed
    assert set(undisturbed) == set(FILES)
