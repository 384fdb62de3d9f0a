"""A repair found among many pictures: grown on one part, promised on a second, judged on a third; the command."""

import re
from pathlib import Path

import numpy as np
import pytest
from labelled import CLASSES, Labelled, label_of

from core.errors import UserError
from core.methods.conditions import SHARES
from core.methods.failures import Confusion
from core.methods.generalization import Generalization
from core.methods.picture_set import PictureSet, split
from core.methods.steering import Edit
from core.methods.targets import ClassTarget
from core.model.sae_clip import BATCH
from core.pictures.batches import batches
from core.pictures.collection import Collection
from core.recipes import load_recipe
from core.repair.__main__ import main
from core.repair.repair import FoundRepair, RepairOptions, find_repair, judge, sampled, share_right
from core.workbench import Workbench

TEMPLATES = ("a photo of a {}",)


@pytest.fixture(scope="module")
def pictures(bench: Workbench) -> PictureSet:
    collection = Labelled((120,))
    stream = batches(collection, bench.setup.clip.crop, BATCH, range(collection.n_parts))
    *_, read = bench.read_set(stream, CLASSES, TEMPLATES)
    assert isinstance(read, PictureSet)
    return read


def test_what_is_found_repairs_more_of_the_discovery_part_than_any_single_candidate(
    bench: Workbench, pictures: PictureSet
) -> None:
    *steps, found = find_repair(bench, pictures, TEMPLATES, RepairOptions(levers=2, terms=0))
    assert isinstance(found, FoundRepair)
    assert {str(step[0]) for step in steps if isinstance(step, tuple)} > {
        "Which component or family repairs most (lever 1)"
    }
    assert 1 <= len(found.edit.levers) <= 2
    discovery, choice, judging = split(pictures.names, SHARES)
    assert found.findings.discovery.tolist() == discovery.tolist()
    assert found.findings.judging.tolist() == choice.tolist()

    def net(edit: Edit) -> int:
        *_, trial = bench.try_edit(pictures.part(discovery), edit, TEMPLATES)
        assert isinstance(trial, Generalization)
        was, now = (labels == trial.truth for labels in (trial.before, trial.after))
        return int(now.sum()) - int(was.sum())

    singles = [net(Edit.of_suppressed(members)) for members in found.findings.components.members]
    assert net(found.edit) >= max(singles) > 0
    assert found.trial.truth.tolist() == pictures.part(judging).truth.tolist()
    *_, again = bench.try_edit(pictures.part(judging), found.edit, TEMPLATES)
    assert isinstance(again, Generalization)
    assert again.after.tolist() == found.trial.after.tolist()


def test_a_promise_that_cannot_be_made_says_so_and_the_edit_stays(bench: Workbench, pictures: PictureSet) -> None:
    *_, found = find_repair(bench, pictures, TEMPLATES, RepairOptions(levers=1))
    assert isinstance(found, FoundRepair)
    assert found.promise is not None
    assert not found.promise.choice.promised
    assert found.edit.condition is None
    assert "nothing can be promised" in found.promise.said("drawn")


def test_an_edit_has_no_more_levers_than_a_recipe_holds(
    bench: Workbench, pictures: PictureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.repair.repair.MAX_LEVERS", 1)
    *_, found = find_repair(bench, pictures, TEMPLATES, RepairOptions(levers=3, terms=0))
    assert isinstance(found, FoundRepair)
    assert len(found.edit.levers) == 1


def test_options_name_what_is_meant(pictures: PictureSet) -> None:
    assert RepairOptions(truth="owl", said="dog").confusion(CLASSES) == Confusion(1, 0)
    assert RepairOptions().confusion(CLASSES) == Confusion()
    with pytest.raises(UserError, match="none of the classes"):
        RepairOptions(said="ostrich").confusion(CLASSES)
    day = RepairOptions(groups="day").chosen(pictures)
    assert set(day.group) == {"day"}
    assert len(day) == (pictures.group == "day").sum()
    with pytest.raises(UserError, match="is no group"):
        RepairOptions(groups="dusk").chosen(pictures)
    for wrong in ({"levers": 0}, {"sample": 0}, {"terms": -1}, {"rate": 0.0}, {"confidence": 1.0}):
        with pytest.raises(UserError, match="Correct them"):
            RepairOptions(**wrong)


def test_of_many_pictures_a_sample_finds_it_and_all_others_judge_it(bench: Workbench, pictures: PictureSet) -> None:
    class Unknown(Labelled):
        """As many, but nobody knows."""

        def __init__(self) -> None:
            super().__init__((50, 70))
            self.size = None

    all_of, options = Labelled((50, 70)), RepairOptions(levers=1, terms=0, sample=70)
    assert sampled(bench, all_of, 120) == (all_of, None)
    drawn, others = sampled(bench, Unknown(), options.sample)
    assert others is not None

    def read(collection: Collection, size: int = BATCH) -> PictureSet:
        stream = batches(collection, bench.setup.clip.crop, size, range(collection.n_parts))
        *_, found = bench.read_set(stream, CLASSES, TEMPLATES)
        assert isinstance(found, PictureSet)
        return found

    on, at = read(drawn), read(others)
    assert 40 < len(on) < 80
    assert sorted((*on.names, *at.names)) == sorted(pictures.names), "each picture is in one of them"
    assert read(drawn, 7).names == on.names, "however it is read"
    half = [batch for part in (0, 1) for batch in batches(drawn, bench.setup.clip.crop, 7, [part], (part, 1))]
    assert [name for batch in half for name in batch.names] == [
        name
        for part in (0, 1)
        for batch in batches(drawn, bench.setup.clip.crop, 7, [part])
        for name in batch.names
        if batch.number > 1
    ], "or gone on with"
    *_, found = find_repair(bench, on, TEMPLATES, options)
    assert isinstance(found, FoundRepair)
    *steps, trial = judge(bench, others, found, CLASSES, TEMPLATES, options)
    assert isinstance(trial, Generalization)
    *_, alone = bench.try_edit(at, found.edit, TEMPLATES)
    assert isinstance(alone, Generalization)
    judging = split(on.names, SHARES)[2]
    assert len(trial.before) == len(judging) + len(at)
    assert trial.counts.fixed == found.trial.counts.fixed + alone.counts.fixed
    assert trial.counts.broken == found.trial.counts.broken + alone.counts.broken
    last = steps[-1]
    assert isinstance(last, tuple)
    assert last[1] == last[2] > len(at), "with those that cannot be read"
    day = RepairOptions(levers=1, terms=0, groups="day")
    *_, grouped = judge(bench, others, found, CLASSES, TEMPLATES, day)
    assert isinstance(grouped, Generalization)
    assert len(grouped.before) == len(judging) + int((at.group == "day").sum())


def test_a_sample_takes_no_more_memory_than_there_is(bench: Workbench, pictures: PictureSet) -> None:
    each = pictures.n_bytes / len(pictures)
    drawn, _ = sampled(bench, Labelled((120,)), 5_000, int(50 * each))
    assert drawn.size == pytest.approx(40, abs=4)
    stream = batches(drawn, bench.setup.clip.crop, BATCH, range(drawn.n_parts))
    *_, read = bench.read_set(stream, CLASSES, TEMPLATES, drawn.size, int(50 * each))
    assert isinstance(read, PictureSet)


def test_few_pictures_are_too_few(bench: Workbench, pictures: PictureSet) -> None:
    with pytest.raises(UserError, match="too few"):
        list(find_repair(bench, pictures.part(np.arange(1)), TEMPLATES, RepairOptions()))


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory, clip_folder: Path, dictionary_folder: Path) -> list[str]:
    """The command's, for pictures in folders of their classes, one of them broken."""
    place = tmp_path_factory.mktemp("pictures")
    for number in range(90):
        label = label_of(number)
        if number % 7 != 3 and label in CLASSES:
            (place / label).mkdir(exist_ok=True)
            Labelled().picture(number).save(place / label / f"{number}.png")
    (place / CLASSES[0] / "broken.png").write_bytes(b"no picture")
    setup = ["--clip", str(clip_folder), "--dictionary", str(dictionary_folder), "--layer", "1", "--anyway"]
    return [*setup, "--pictures", str(place), "--levers", "1"]


def test_the_command_goes_from_a_folder_to_a_recipe(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "my-recipe"
    main([*words, "--out", str(out), "--title", "Mended"])
    said = capsys.readouterr().out
    assert "broken.png" in said
    assert "→" in said
    assert f"It is in {out}." in said
    facts = load_recipe(out).facts
    assert facts.title == "Mended"
    assert set(facts.classes) == set(CLASSES)
    (claim,) = facts.claims
    assert claim.unseen
    assert claim.n == claim.wrong + claim.right
    with pytest.raises(SystemExit, match="none of the classes"):
        main([*words, "--out", str(out), "--truth", "ostrich"])
    main([*words, "--out", str(out), "--sample", "40", "--terms", "0"])
    said = capsys.readouterr().out
    drawn = re.search(r"looked for on (\d+) of (\d+) pictures, drawn by a hash", said)
    assert drawn is not None
    assert 25 < int(drawn[1]) < int(drawn[2])
    (wider,) = load_recipe(out).facts.claims
    assert wider.unseen
    assert wider.n > claim.n, "all that had no part in it"


@pytest.mark.parametrize(
    ("meant", "target"),
    [
        ([], ClassTarget(0)),
        (["--truth", "a bus"], ClassTarget(2)),
        (["--said", "dog"], ClassTarget(0)),
        (["--truth", "owl", "--said", "dog"], ClassTarget(1, 0)),
    ],
)
def test_the_target_is_of_the_classes_of_the_failures(
    words: list[str], tmp_path: Path, meant: list[str], target: ClassTarget
) -> None:
    main([*words, *meant, "--classes", ", ".join(CLASSES), "--terms", "0", "--out", str(tmp_path)])
    assert load_recipe(tmp_path).facts.target == target


def test_what_cannot_be_saved_is_not_looked_for(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="title: "):
        main([*words, "--out", str(tmp_path), "--title", ""])
    assert "→" not in capsys.readouterr().out


def test_the_share_of_right_pictures_is_of_those_with_a_label(pictures: PictureSet) -> None:
    labelled = pictures.truth >= 0
    assert 0 < labelled.sum() < len(pictures)
    assert share_right(pictures) == pytest.approx((pictures.said == pictures.truth)[labelled].mean())
