"""The shipped weights: what they score is what the committed report, its model card and README, say."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from core.bundled.scoring import (
    GOALS,
    LEVERS,
    REPORT,
    Scorer,
    ScoringSizes,
    goals_table,
    levers_table,
    repairs_table,
    score,
)
from core.bundled.training import CELLS, as_pixels, build_model, build_tokenizer, see
from core.faithfulness.__main__ import FaithfulnessSizes, report_bundled
from core.faithfulness.report import compared, figure, tables
from core.scenes.sampling import SIDE, caption_words, held_out
from core.scenes.scene import CLASSES
from core.scenes.shortcuts import SHORTCUTS
from core.setups.loading import load_setup

ROOT = Path(__file__).parents[2]
CARD = ROOT / "assets" / "bundled" / "README.md"
"""The model card of the shipped weights."""


@pytest.fixture(scope="module")
def committed():
    return json.loads(REPORT.read_text())


@pytest.fixture(scope="module")
def scorer():
    setup = load_setup("bundled")
    return Scorer.of(setup.model)


@pytest.fixture(scope="module")
def fresh(scorer):
    return score(scorer, ScoringSizes())


def figures(report, path=()):
    """Every number of a nested report with its place."""
    if isinstance(report, dict):
        for key, value in report.items():
            yield from figures(value, (*path, key))
    else:
        yield path, report


@pytest.mark.full
def test_the_shipped_weights_score_what_the_report_says(fresh, committed):
    now, then = dict(figures(fresh)), dict(figures(committed))
    assert now.keys() == then.keys()
    for place, value in then.items():
        # another machine rounds differently, which can turn a few of the pictures that stand on the edge
        slack = 0.01 * abs(value) if "active" in place[-1] else max(2, 0.01 * value) if "fooled" in place[-1] else 0.015
        assert now[place] == pytest.approx(value, abs=slack), place


def test_every_goal_is_met(committed):
    assert [goal.path[-1] for goal in GOALS if not goal.met(committed)] == []


def test_readme_quotes_the_faithfulness_report():
    report = json.loads((REPORT.parent / "faithfulness.json").read_text())
    assert tables(report) in CARD.read_text(encoding="utf-8")
    assert (REPORT.parent / "faithfulness.svg").read_text() == figure(report)


def test_readme_has_other_dictionaries_beside_the_sae():
    names = ("SAE, residual after layer 4", "SAE, image embedding", "64 words, image embedding")
    card = CARD.read_text(encoding="utf-8")
    for stem, table in (("faithfulness", compared), ("report", repairs_table)):
        reports = [json.loads((REPORT.parent / f"{stem}{of}.json").read_text()) for of in ("", "-embedding", "-words")]
        assert table(dict(zip(names, reports, strict=True))) in card


@pytest.mark.full
def test_the_faithfulness_report_is_of_the_shipped_weights():
    """Its curves again, on the same pictures; what looks at hundreds is left to the command, which takes minutes."""
    report = json.loads((REPORT.parent / "faithfulness.json").read_text())
    fresh = report_bundled(load_setup("bundled"), FaithfulnessSizes(recovered=1, pictures=60, seen=1))
    assert fresh["pictures"] == report["pictures"] == 60
    for part in ("deletion", "insertion", "area", "rank_correlation"):
        was, now = dict(figures(report[part])), dict(figures(fresh[part]))
        assert was.keys() == now.keys(), part
        for place, value in was.items():
            if isinstance(value, float):
                assert now[place] == pytest.approx(value, abs=max(0.05, 0.03 * abs(value))), (part, place)


def test_the_model_card_quotes_the_report(committed):
    card = CARD.read_text(encoding="utf-8")
    assert goals_table(committed) in card
    assert levers_table(committed) in card
    assert f"{len(caption_words())} words" in card


def test_readme_sums_up_the_reports(committed):
    """Its six rows, each figure as the report has it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme[readme.index("## Results on the bundled setup") :]
    rows = [line.split("|")[2].strip() for line in section.split("\n") if line.startswith("| ")][1:7]
    goals = {goal.name: goal.found(committed) for goal in GOALS}
    off, back, random, cost = (
        f"{100 * next(found for said, found in goals.items() if words in said):.1f} %"
        for words in (
            "off the wrong word with at most 5",
            "back to the right",
            "matched random",
            "lost to such an edit",
        )
    )
    family = json.loads((REPORT.parent / "families.json").read_text())["attacked"]
    repaired = f"{100 * family['right_before']:.1f} → {100 * family['right']:.1f} %"
    correlation = f"{next(found for said, found in goals.items() if 'correlation' in said):.2f}"
    assert rows == [off, back, random, cost, repaired, correlation]


def test_attribution_beats_every_rival(committed):
    for kind in SHORTCUTS:
        found = committed["levers"][kind]
        best = found["back_to_truth"]["5"]
        assert best > found["controls_back_to_truth"] + 0.1
        assert best > found["by_energy_back_to_truth"]
        assert all(found["off_the_lure"][str(k)] >= found["controls_off_the_lure"] for k in LEVERS)


@pytest.mark.full
def test_a_scorer_of_nonsense_finds_nothing(scorer):
    """The measure itself: with shuffled class vectors the same weights score about chance."""
    order = np.random.default_rng(0).permutation(len(CLASSES))
    shuffled = Scorer(scorer.model, scorer.classifier[torch.as_tensor(order)])
    small = ScoringSizes(pictures=16, controls=1, edits=1, clean=4, correlated=1)
    assert score(shuffled, small)["model"]["clean_accuracy"] < 0.2


def test_the_words_it_knows_are_the_captions_words():
    setup = load_setup("bundled")
    assert setup.card.vocabulary == caption_words()


def test_every_known_word_is_one_token_and_any_text_becomes_tokens():
    tokenizer = build_tokenizer()
    for word in caption_words():
        assert len(tokenizer.tokenize(word)) == 1, word
    assert tokenizer.unk_token_id not in tokenizer("zebra crossing, élan 🦓!", add_special_tokens=False).input_ids


def test_training_sees_what_the_split_model_sees(scorer):
    """The training's own forward, without cropping, equals the split model's."""
    clip = scorer.clip
    assert clip.image_size == SIDE
    assert clip.grid == (CELLS, CELLS)
    crops = scorer.crops(case.scene for case in held_out("clean", 4))
    with torch.no_grad():
        mine, _ = see(clip.model, as_pixels(torch.from_numpy(crops), clip.device), None)
        theirs = clip.embed_from_residual(clip.residual(clip.pixels(crops)))
    assert torch.allclose(mine, theirs, atol=1e-5)


def test_dropping_no_patch_drops_nothing():
    model = build_model(build_tokenizer()).eval()
    pixels = torch.randn(2, 3, SIDE, SIDE)
    everything = torch.arange(CELLS * CELLS).flip(0).expand(2, -1)  # the order of patches does not matter
    with torch.no_grad():
        (some, patches), (all_of_it, in_order) = see(model, pixels, everything), see(model, pixels, None)
    assert torch.allclose(some, all_of_it, atol=1e-5)
    assert torch.allclose(patches.flip(1), in_order, atol=1e-5)


def test_the_folder_is_small_half_precision_and_holds_no_pickle():
    files = [path for path in REPORT.parent.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10e6
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".txt", ".svg", ".md"}
    for path in files:
        if path.suffix == ".safetensors" and path.parent.name in ("clip", "dictionary"):
            assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}, path


def test_no_committed_file_is_too_large_for_a_space():
    assets = [path for path in (ROOT / "assets").rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in assets) < 9e6
    assert not re.search(r"_TABLE|TRAINING_NOTE", (ROOT / "README.md").read_text())
