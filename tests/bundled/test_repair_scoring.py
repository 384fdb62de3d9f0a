"""A repair found from failures alone does what the committed report, and the model card, say."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.bundled import repair_scoring as repair
from core.bundled.scoring import Scorer
from core.concepts.families import families
from core.errors import UserError
from core.methods.attribution import attribute
from core.methods.bounds import lower_bound, upper_bound
from core.methods.picture_set import PictureSet, split
from core.methods.question import Question
from core.methods.reference_scenes import reference_cases
from core.methods.steering import Edit
from core.methods.targets import ClassTarget
from core.scenes.scene import CLASSES
from core.setups.loading import Setup, load_setup

CARD = Path(__file__).parents[2] / "assets" / "bundled" / "README.md"
FEW = repair.stream(40)


@pytest.fixture(scope="module")
def setup() -> Setup:
    return load_setup("bundled")


@pytest.fixture(scope="module")
def judge(setup: Setup) -> repair.Judge:
    return repair.Judge(Scorer.of(setup.model), FEW)


@pytest.fixture(scope="module")
def few(judge: repair.Judge) -> PictureSet:
    return judge.read(FEW)


@pytest.fixture(scope="module")
def committed() -> dict:
    return json.loads(repair.REPORT.read_text(encoding="utf-8"))


def test_the_scenes_are_of_their_kinds_and_no_others() -> None:
    many = repair.stream(600)
    assert list(many)[:40] == list(FEW)
    assert many == repair.stream(600)
    kinds = [name.split()[0] for name in many]
    assert {kind: kinds.count(kind) for kind in repair.LIKE_THESE} == pytest.approx(
        dict.fromkeys(repair.LIKE_THESE, 200), abs=40
    )
    for name, case in {**many, **repair.elsewhere(5)}.items():
        kind, word = name.split()[0], case.scene.label.word if case.scene.label else None
        expected = {"clean": None, "hard": None, "attacked": case.foil}.get(kind, case.truth)
        assert word == expected, name
        assert (case.foil not in (None, case.truth)) == (kind == "attacked")
        assert (case.scene.main is None) == (kind == "sign")
        assert case.scene.stamp is None
    scenes = {case.scene for case in many.values()}
    assert len(scenes) == 600
    assert not scenes & {case.scene for case in reference_cases()}


def test_what_is_read_is_what_is_drawn(judge: repair.Judge, few: PictureSet) -> None:
    assert few.names == tuple(FEW)
    assert few.group.tolist() == [name.split()[0] for name in FEW]
    assert [few.classes[c] for c in few.truth] == [case.truth for case in FEW.values()]
    crops = judge.scorer.crops(case.scene for case in FEW.values())
    assert all(np.array_equal(trace.crop, crop) for trace, crop in zip(few.traces, crops, strict=True))
    assert np.array_equal(few.said, judge.scorer.predict(judge.scorer.residuals(crops)))


def test_a_blanked_word_is_the_scene_without_it(judge: repair.Judge, few: PictureSet) -> None:
    crops = judge.scorer.crops(replace(case.scene, label=None) for case in FEW.values())
    assert np.array_equal(judge.blanked(few), judge.scorer.predict(judge.scorer.residuals(crops)))


def test_projections_take_out_what_lies_along_the_directions(judge: repair.Judge, few: PictureSet) -> None:
    rng = np.random.default_rng(0)
    p = len(few.traces[0].embedding)
    directions = rng.normal(size=(3, p))
    directions[2] = directions[0] - 2 * directions[1]  # in the span of the others
    slow: list[np.ndarray] = []
    for v in directions[:2]:  # Gram and Schmidt
        v = v - sum((float(v @ u) * u for u in slow), np.zeros(p))
        slow.append(v / np.linalg.norm(v))
    assert len(repair.orthonormal(torch.as_tensor(directions))) == 2
    found = judge.projected(torch.as_tensor(directions, dtype=torch.float32))(few)
    for trace, said in zip(few.traces, found, strict=True):
        z = trace.embedding / np.linalg.norm(trace.embedding)
        z = z - sum(((z @ u) * u for u in slow), np.zeros(p))
        cosines = judge.scorer.classifier.numpy() @ z
        assert cosines[said] >= cosines.max() - 1e-5


def test_outcomes_are_counted(few: PictureSet) -> None:
    after = np.where(np.arange(len(few)) % 3, few.truth, few.said)
    after[:5] = (few.truth[:5] + 1) % len(CLASSES)
    found = repair.outcome(few, after)
    pairs = list(zip(few.said == few.truth, after == few.truth, strict=True))
    assert (found.fixed, found.broken) == (pairs.count((False, True)), pairs.count((True, False)))
    assert found.right == sum(was for was, _ in pairs)
    assert found.wrong + found.right == len(few)
    assert found.fixed > 0
    assert found.broken > 0


def test_the_strongest_are_so_on_the_mean(judge: repair.Judge, few: PictureSet) -> None:
    model = judge.scorer.model
    norms = model.dictionary.directions(np.arange(model.dictionary.n_components)).norm(dim=1).numpy()
    total, active = np.zeros(len(norms)), np.zeros(len(norms))
    for i in np.flatnonzero(few.said != few.truth):
        target = ClassTarget(int(few.said[i]), int(few.truth[i]))
        one = attribute(Question(model, few.traces[i], judge.scorer.classifier, target))
        total[one.component] += one.total
        active[one.component] += one.peak * norms[one.component]
    attributed, most_active = repair.strongest(judge, few)
    np.testing.assert_allclose(total[attributed], np.sort(total)[::-1], atol=1e-3)
    np.testing.assert_allclose(active[most_active], np.sort(active)[::-1], atol=1e-3)


def test_written_text_is_no_class(judge: repair.Judge) -> None:
    phrases, words = repair.written(judge)
    assert phrases.shape == (len(repair.PHRASES), words.shape[1])
    clip, shown = judge.scorer.clip, judge.scorer.classifier
    assert torch.allclose(phrases[1], clip.texts(["a sign"])[0] - shown.mean(0), atol=1e-6)
    one = F.normalize(clip.texts(["the word dog"]), dim=-1)[0]
    k = CLASSES.index("dog")
    assert (words[k] + shown[k]) @ one > 0.7


@pytest.mark.full
def test_a_small_run_makes_the_same_report(setup: Setup, committed: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "SIZES", (1, 8))
    monkeypatch.setattr(repair, "SHARES", (0.3, 0.2, 0.1, 0.4))
    monkeypatch.setattr(repair, "PHRASES", repair.PHRASES[:1])
    monkeypatch.setattr("core.bundled.family_scoring.DRAWS", 1)
    found = repair.score(setup, n=60, other=2, watch=40)
    parts = split(tuple(repair.stream(60)), repair.SHARES)
    assert found["pictures"] == [len(parts[k]) for k in (0, 1, 3)]
    assert found.keys() == committed.keys()
    assert list(found["ways"]) == list(committed["ways"])
    assert all(found["ways"][name].keys() == way.keys() for name, way in committed["ways"].items())
    assert found["ways"]["components by attribution"]["chosen"] in ("the first 1", "the first 8")
    assert not any(under["promised"] for under in found["conditional"].values()), "6 pictures promise nothing"
    tables = [block for block in repair.tables(found).split("\n\n") if block.startswith("|")]
    assert [len({line.count("|") for line in table.splitlines()}) for table in tables] == [1, 1]


@pytest.mark.full
def test_the_committed_edit_does_what_is_said(judge: repair.Judge, setup: Setup, committed: dict) -> None:
    """On 240 of the judging scenes, within three standard errors."""
    stream = repair.stream(repair.PICTURES)
    names = tuple(stream)
    parts = split(names, repair.SHARES)
    assert committed["pictures"] == [len(parts[k]) for k in (0, 1, 3)]
    pictures = judge.read({names[i]: stream[names[i]] for i in parts[3][:240]})
    ours = committed["ways"][repair.OURS]
    assert setup.index is not None
    assert tuple(ours["components"]) in {family.members for family in families(setup.index)}
    found = repair.outcome(pictures, judge.edited(Edit.of_suppressed(ours["components"]))(pictures))
    fixed, broken = ours["fixed"] / committed["failures"][2], ours["broken"] / committed["right"]
    assert found.fixed / found.wrong == pytest.approx(fixed, abs=3 * (fixed * (1 - fixed) / found.wrong) ** 0.5)
    assert found.broken / found.right == pytest.approx(broken, abs=3 * (broken * (1 - broken) / found.right) ** 0.5)


def test_the_bounds_are_those_of_the_counts(committed: dict) -> None:
    wrong, right = committed["failures"][2], committed["right"]
    assert wrong + right == committed["pictures"][2]
    for way in (*committed["ways"].values(), *committed["conditional"].values()):
        assert way["fixed_at_least"] == pytest.approx(lower_bound(way["fixed"], wrong, 0.95), abs=1e-4)
        assert way["broken_at_most"] == pytest.approx(upper_bound(way["broken"], right, 0.95), abs=1e-4)


def test_what_the_model_card_says_of_it(committed: dict) -> None:
    """Components that drive failures repair more than every rival, less than the ceiling; words that are true lose."""
    assert repair.tables(committed) in CARD.read_text(encoding="utf-8")
    ways, before = committed["ways"], committed["accuracy"]
    gain = {name: way["fixed"] - way["broken"] for name, way in ways.items()}
    found = (repair.OURS, "components by attribution")
    rivals = set(ways) - {*found, repair.CEILING}
    assert min(gain[name] for name in found) > max(gain[name] for name in rivals)
    assert gain[repair.CEILING] > max(gain[name] for name in found)
    for name in found:
        assert ways[name]["accuracy"]["attacked"] > before["attacked"] + 0.6
        assert ways[name]["accuracy"]["sign"] < before["sign"] - 0.3
        assert ways[name]["accuracy"]["hard_named"] < before["hard_named"] - 0.3
    conditional = committed["conditional"]
    for rate, under in conditional.items():
        assert under["promised"]
        assert under["broken"] <= float(rate) * committed["right"]
    fixed = [conditional[rate]["fixed"] for rate in ("0.01", "0.02", "0.05")]
    assert 0.1 * fixed[2] < fixed[0] < fixed[1] < fixed[2] == ways[repair.OURS]["fixed"]
    assert not committed["watch"]["false_alarm"]
    assert committed["watch"]["noticed_after"] <= 64


def test_without_an_index_there_are_no_families(setup: Setup) -> None:
    with pytest.raises(UserError, match="concept index"):
        repair.score(replace(setup, index=None))
