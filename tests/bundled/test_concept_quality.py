"""What the bundled components are about: the facts of scenes, the statistics derived slowly, the committed report."""

import json
import re
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from core.bundled import concept_quality
from core.bundled.concept_quality import (
    ABOUT,
    BARS,
    FEWEST,
    PART,
    REPORT,
    STRONG,
    Matches,
    Seen,
    best_of_each,
    counts,
    equally_rare,
    guesses,
    look,
    match,
    measure,
    phi,
    places,
    recall,
    report,
    strong,
    tables,
    thirds,
)
from core.concepts.index import ActivatingExamples, ConceptIndex, Identity, Manifest, Thumbnails
from core.errors import UserError
from core.scenes.factors import EVERYWHERE, FACTORS, KINDS, WRITING_WORDS, factors, hue, names, table, where
from core.scenes.sampling import PAPERS, SIDE, caption_words, foreground, index_scenes, letters
from core.scenes.scene import BACKGROUNDS, Bar, Label, Painter, Scene, Stamp, Thing
from core.scenes.sprites import DISTRACTORS
from core.setups.loading import load_setup
from core.stats import wilson

ROOT = Path(__file__).parents[2]
ONE = {factor: place for place, factor in enumerate(FACTORS)}

CARD = Label(
    word="cat", x=0.5, y=0.8, height=0.16, angle=0, font="dejavu", ink=(15, 15, 20), paper=PAPERS[1]
)  # letters 0.096 wide: from 0.356 to 0.644
DOG = Thing("dog", 0, x=0.3, y=0.3, size=0.4)
LEAF = Thing("", 1, x=0.9, y=0.1, size=0.15)
FULL = Scene(
    background="plain",
    texture=0,
    shift=(0.0, 0.0),
    colour=(240, 60, 60),
    main=DOG,
    others=(LEAF, Thing("cow", 0, x=0.8, y=0.5, size=0.2)),
    bar=Bar(0.32, 0.3, 0.1, 0.5, (90, 90, 90)),
    label=CARD,
    stamp=Stamp(0.1, 0.1, 0.16),
)


# ---- the facts of a scene


def test_a_scene_holds_what_it_says():
    assert factors(FULL) == {
        ("object", "dog"),
        ("object", "cow"),
        ("distractor", "leaf"),
        ("word", "cat"),
        *(("letter", letter) for letter in "cat"),
        ("writing", "anything"),
        ("paper", "yellow"),
        ("background", "plain"),
        ("colour", "red"),
        ("stamp", "stamp"),
        ("bar", "bar"),
    }
    bare = replace(FULL, background="sand", main=None, others=(), bar=None, stamp=None)
    assert factors(bare.without_label()) == {("background", "sand")}
    nonsense = replace(bare, label=replace(CARD, word="bub"))
    assert factors(nonsense) - factors(bare.without_label()) == {
        ("writing", "anything"),
        ("writing", "nonsense"),
        ("letter", "b"),
        ("letter", "u"),
        ("paper", "yellow"),
    }
    blank = replace(bare, label=replace(CARD, word=""))
    assert factors(blank) == {("background", "sand"), ("writing", "a blank card"), ("paper", "yellow")}


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ((255, 60, 60), "red"),
        ((255, 60, 100), "red"),
        ((250, 240, 60), "yellow"),
        ((80, 220, 60), "green"),
        ((60, 230, 240), "cyan"),
        ((70, 60, 250), "blue"),
        ((220, 60, 230), "magenta"),
        ((200, 200, 201), "grey"),
        ((90, 80, 80), "grey"),
    ],
)
def test_colours_are_called_what_people_call_them(colour, name):
    assert hue(colour) == name


def test_every_fact_has_a_column_and_nearly_every_column_a_scene():
    scenes = index_scenes(3000)
    found = table(scenes)
    assert found.shape == (3000, len(FACTORS))
    assert len(ONE) == len(FACTORS)
    for scene, row in zip(scenes[:200], found, strict=False):
        assert {factor for factor, held in zip(FACTORS, row, strict=True) if held} == factors(scene)
    # As often as the sampling says: one background each, things and words evenly, no letter or colour left out.
    assert (found[:, [ONE["background", name] for name in BACKGROUNDS]].sum(1) == 1).all()
    assert found.any(0).all()


def test_the_two_splits_are_different_scenes():
    assert not set(index_scenes(500)) & set(index_scenes(500, "test"))


def test_captions_have_a_word_for_things_words_places_and_writing_only():
    named = {factor: names(factor) for factor in FACTORS}
    assert all(words <= caption_words() for words in named.values())
    assert named["object", "cat"] == named["word", "cat"] == {"cat"}
    assert named["background", "brick"] == {"bricks"}
    assert named["background", "night"] == {"night"}
    assert named["writing", "anything"] == WRITING_WORDS
    assert not named["background", "plain"]
    without = {factor for factor, words in named.items() if not words}
    assert {kind for kind, _ in without} == {
        "letter", "writing", "background", "stamp", "colour", "paper", "bar", "distractor",
    }  # fmt: skip


@pytest.mark.parametrize("cells", [8, 5])
def test_where_things_are_agrees_with_the_trainings_own_masks(cells):
    for scene in index_scenes(150):
        spots = {factor: where(scene, factor, cells) for factor in factors(scene) if factor[0] not in EVERYWHERE}
        cards = [spot for (kind, _), spot in spots.items() if kind in ("writing", "stamp")]
        things = [spot for (kind, _), spot in spots.items() if kind in ("object", "distractor")]
        nowhere = np.zeros((cells, cells), dtype=bool)
        mask = foreground(scene, cells)
        assert np.array_equal(np.any([nowhere, *cards], axis=0), mask == 2)
        assert np.array_equal(np.any([nowhere, *cards, *things], axis=0), mask > 0)
        for (kind, value), spot in spots.items():
            if kind == "letter":
                middles = letters(scene, cells)[:, ord(value) - ord("a")].reshape(cells, cells) > 0
                assert middles.any()
                assert not (middles & ~spot).any()


def test_a_bar_is_where_it_is_painted():
    painted = [Painter(96).paint(scene) for scene in (FULL, replace(FULL, bar=None))]
    changed = (painted[0] != painted[1]).any(-1).reshape(8, 12, 8, 12).any((1, 3))
    assert np.array_equal(changed, where(FULL, ("bar", "bar"), 8))


def test_where_of_what_is_not_there_or_everywhere():
    assert not where(replace(FULL, label=None), ("letter", "a"), 8).any()
    assert not where(FULL, ("letter", "z"), 8).any()
    assert not where(FULL, ("object", "cat"), 8).any()
    with pytest.raises(ValueError, match="background"):
        where(FULL, ("background", "plain"), 8)


def test_distractors_have_a_name_each():
    assert len(KINDS["distractor"].values) == len(DISTRACTORS)


# ---- statistics


def test_phi_is_pearsons_correlation_of_yes_and_no():
    rng = np.random.default_rng(0)
    firing, has = rng.random((50, 6)) < 0.3, rng.random((50, 4)) < 0.4
    firing[:, 0], has[:, 1] = True, False
    found = phi(firing, has)
    for j, f in product(range(6), range(4)):
        constant = len(set(firing[:, j])) == 1 or len(set(has[:, f])) == 1
        expected = 0 if constant else np.corrcoef(firing[:, j], has[:, f])[0, 1]
        assert found[j, f] == pytest.approx(expected, abs=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 5))
def test_equally_rare_values_are_strong_in_as_many_pictures(seed, n, m):
    rng = np.random.default_rng(seed)
    values = rng.permuted(np.arange(1, n * m + 1, dtype=np.float32)).reshape(n, m)
    count = rng.integers(0, n + 1, m)
    assert np.array_equal(strong(values, equally_rare(values, count)).sum(0), count)


def test_what_does_not_fire_is_never_strong():
    values = np.array([[0.0, 1.0, 4.0], [0.0, 0.0, 2.0]], dtype=np.float32)
    peak = values.max(0)
    assert strong(values, 0.5 * peak).tolist() == [[False, True, True], [False, False, True]]
    assert strong(values, 0.0 * peak).tolist() == [[False, True, True], [False, False, True]]
    assert strong(values, 0.75 * peak).tolist() == [[False, True, True], [False, False, False]]


FIRST, SECOND, COMMON = ONE["object", "cat"], ONE["background", "sand"], ONE["writing", "anything"]


def planted(n, seed):
    """Facts, and four components: for a rare one at precision 0.8, for a frequent one, for neither, too rare."""
    rng = np.random.default_rng(seed)
    has = np.zeros((n, len(FACTORS)), dtype=bool)
    has[:, FIRST], has[:, SECOND], has[:, COMMON] = (rng.random((3, n)).T < (0.05, 0.2, 0.5)).T
    fires = np.zeros((n, 4), dtype=bool)
    fires[:, 0] = np.where(has[:, FIRST], rng.random(n) < 0.6, rng.random(n) < 0.6 * 0.05 / 0.95 * 0.25)
    fires[:, 1] = has[:, SECOND] & (rng.random(n) < 0.9)
    fires[:, 2] = rng.random(n) < 0.4
    fires[: FEWEST - 1, 3] = True
    return has, fires


@pytest.fixture(scope="module")
def found():
    (chosen_has, chosen), (judged_has, judged) = planted(6000, 1), planted(9000, 2)
    return match(chosen, chosen_has, judged, judged_has), judged, judged_has


def test_planted_components_are_matched_with_the_precision_they_were_planted_with(found):
    matches, judged, has = found
    assert matches.factor[:2].tolist() == [FIRST, SECOND]
    low, high = wilson(int(matches.right[0]), int(matches.strong[0]))
    assert low < 0.8 < high
    assert matches.precision[1] == 1
    assert matches.told.tolist() == [True, True, True, False]
    assert matches.reach(0.7).tolist() == [True, True, False, False]
    # Half of all pictures hold the frequent factor, and so do half of those in which the third component fires.
    assert not matches.reach(0.0)[2]


def test_matches_are_counted_as_by_hand(found):
    matches, judged, has = found
    for j, f in enumerate(matches.factor):
        rows = [row for row in range(len(judged)) if judged[row, j]]
        assert matches.strong[j] == len(rows)
        assert matches.pictures == len(judged)
        assert matches.right[j] == sum(bool(has[row, f]) for row in rows)
        assert matches.present[j] == sum(bool(row[f]) for row in has)
        assert matches.least[j] == wilson(int(matches.right[j]), int(matches.strong[j]))[0]
    assert counts(matches) == {
        "components": 3,
        "reach": {"0.5": 2, "0.7": 2, "0.9": 1},
        "surely": {"0.5": 2, "0.7": int(matches.least[0] >= 0.7) + 1, "0.9": 1},
        "factors": 2,
    }
    assert counts(matches, np.array([True, False, False, True]))["reach"] == {"0.5": 1, "0.7": 1, "0.9": 0}
    best = best_of_each(matches, "background")
    right, fires, present = (int(values[1]) for values in (matches.right, matches.strong, matches.present))
    assert best == {"sand": {"component": 1, "right": right, "strong": fires, "present": present}}
    assert best_of_each(matches, "word") == {}
    both = recall(matches, np.array([True, True, False, False]))
    each = [(judged[:, j] & has[:, f]).sum() / has[:, f].sum() for j, f in ((0, FIRST), (1, SECOND))]
    assert both["median"] == pytest.approx(np.mean(each), abs=1e-4)
    assert recall(matches, np.zeros(4, dtype=bool)) == {"median": None, "frequency": None}


def test_a_factor_is_chosen_without_a_look_at_what_it_is_judged_on():
    """Chosen and judged on the same few pictures, noise would look precise; on others it does not."""
    rng = np.random.default_rng(0)
    scenes = table(index_scenes(400)), table(index_scenes(400, "test"))
    noise = [rng.random((400, 200)) < 0.03 for _ in range(2)]
    matches = match(noise[0], scenes[0], noise[1], scenes[1])
    same = match(noise[0], scenes[0], noise[0], scenes[0])
    assert matches.told.sum() > 50
    assert matches.reach(BARS[0]).sum() <= 2
    assert matches.precision[matches.told].mean() < 0.6 * same.precision[matches.told].mean()


def some_matches(which, n, hits=None, fires=20):
    """m components about given factors, all of them precise unless `hits` say otherwise."""
    factor = np.array([ONE[f] for f in which])
    n_strong = np.full(len(which), fires)
    right = n_strong if hits is None else np.array(hits)
    least = np.array([wilson(int(k), fires)[0] for k in right])
    return Matches(factor, n_strong, n_strong, right, np.ones(len(which), dtype=int), n, least)


def test_where_components_fire_is_told_by_the_strongest_token():
    cat, plain = ("word", "cat"), ("background", "plain")
    scenes = [FULL, FULL, FULL, replace(FULL, label=None)]
    covered = where(FULL, cat, 8)
    assert covered[6, 4]
    assert not covered[0, 0]
    last = 1 + np.flatnonzero(covered)[-1]  # token 0 is CLS
    token = np.array([[0, 0], [last, 5], [1, 0], [last, 0]], dtype=np.int16)
    ones = np.ones((4, 2), dtype=np.float32)
    seen = Seen(tuple(scenes), table(scenes), ones, token, ones)
    firing = np.ones((4, 2), dtype=bool)
    matches = some_matches([cat, plain], 4)
    one, other = np.array([True, False]), np.array([False, True])
    third = round(1 / 3, 4)
    # The last scene has no card: it says nothing of a component for it.
    assert places(seen, firing, 8, matches, one) == {
        "on": third,
        "cls": third,
        "area": round(covered.mean(), 4),
    }
    assert places(seen, firing, 8, matches, other) == {"on": None, "cls": 0.75, "area": None}
    assert places(seen, firing, 8, matches, one & other) == {"on": None, "cls": None, "area": None}


def test_thirds_are_the_lowest_the_middle_and_the_highest():
    rng = np.random.default_rng(0)
    by, values = rng.normal(size=10), rng.random(10)
    ordered = sorted(zip(by, values, strict=True))
    found = thirds(by, values)
    for third, part in zip(found["thirds"], (ordered[:4], ordered[4:7], ordered[7:]), strict=True):
        low, high, mean = part[0][0], part[-1][0], sum(value for _, value in part) / len(part)
        assert [third["from"], third["to"], third["mean"]] == pytest.approx([low, high, mean], abs=1e-4)
    assert found["rank_correlation"] == pytest.approx(spearmanr(by, values).statistic, abs=1e-4)
    assert thirds(by[:2], values[:2]) == {"thirds": [], "rank_correlation": None}
    assert thirds(by[:3], np.ones(3))["rank_correlation"] is None


def made_up_index(vocabulary, label, clarity, alignment, source="scenes:index", peak=None):
    """An index of which only what is measured here means something."""
    m = len(label)
    identity = Identity("clip", None, "dictionary", None, 4, "all", m, 192, "f" * 64)
    manifest = Manifest(
        1, identity, MappingProxyType({"kind": "scenes", "name": source}), 30, 30 * 65, 0, (8, 8), vocabulary, 96
    )
    count, near, nothing = np.ones(m, dtype=int), np.zeros((m, 0)), np.zeros(0)
    none = ActivatingExamples(near, near, near, np.zeros(1, dtype=int), nothing, nothing)
    return ConceptIndex(
        manifest=manifest,
        active_pictures=count,
        active_tokens=count,
        mean_active=count,
        peak=np.ones(m, dtype=np.float32) if peak is None else peak,
        edges=np.array([0.5, 1]),
        histogram=count[:, None],
        top=none,
        mean=none,
        mid=none,
        embedding=np.zeros((m, 2)),
        average=np.zeros(2),
        clarity=np.array(clarity),
        label=np.array(label),
        alignment=np.array(alignment),
        near=near,
        near_cosine=near,
        coactivated=near,
        coactivation=near,
        pictures=Thumbnails(np.zeros(1, dtype=int), np.zeros(0)),
    )


def test_guesses_are_right_where_they_name_what_a_component_is_about():
    vocabulary = ("cat", "dog", "sand", "note", "fish")
    #     component:  right first   right second      wrong   no word for it    rarely right      has no guess
    about = [("object", "cat"), ("background", "sand"), ("word", "dog"), ("stamp", "stamp"), ("object", "cow"),
             ("writing", "anything")]  # fmt: skip
    label = [[0, 1, 2], [4, 2, 0], [0, 2, 3], [0, 1, 2], [0, 1, 2], [-1, -1, -1]]
    clarity = [0.9, 0.2, 0.1, 0.5, 0.4, np.nan]
    alignment = [[0.5, 0.1, 0.1], [0.3, 0.2, 0.1], [0.4, 0.2, 0.1], [0.6, 0, 0], [0.2, 0, 0], [np.nan] * 3]
    index = made_up_index(vocabulary, label, clarity, alignment)
    matches = some_matches(about, 10, hits=[20, 20, 20, 20, 10, 20])
    assert matches.reach(ABOUT).tolist() == [True, True, True, True, False, True]
    # Ten pictures: 0 to 3 show a cat, 3 to 5 have the word cat, all lie on sand; every component is strong in 2 to 6.
    has, firing = np.zeros((10, len(FACTORS)), dtype=bool), np.zeros((10, 6), dtype=bool)
    has[:4, ONE["object", "cat"]] = has[3:6, ONE["word", "cat"]] = has[:, ONE["background", "sand"]] = True
    firing[2:7] = True
    found = guesses(index, matches, firing, has)
    assert found["kinds"]["object"]["first"] == {"right": 1, "of": 1}
    assert found["kinds"]["background"]["first"] == {"right": 0, "of": 1}
    assert found["kinds"]["background"]["three"] == {"right": 1, "of": 1}
    assert found["kinds"]["word"]["three"] == {"right": 0, "of": 1}
    assert found["kinds"].keys() == {"object", "word", "background"}
    assert found["together"]["first"] == {"right": 1, "of": 3}
    assert found["together"]["three"] == {"right": 2, "of": 3}
    assert found["without_a_word"] == 1
    # Of five first guesses, four say cat and none says sand or dog.
    assert found["together"]["chance"] == pytest.approx((4 / 5 + 0 + 0) / 3, abs=1e-4)
    # Four guess a cat, which 4 of their 5 strong pictures and 6 of all 10 hold; one a fish, which none does.
    assert found["held"] == {"components": 5, "mean": 0.64, "chance": 0.48}
    ranks = spearmanr(clarity[:3], [1, 0, 0]).statistic
    assert found["trust"]["clarity"]["right"]["rank_correlation"] == pytest.approx(ranks, abs=1e-4)
    assert found["trust"]["alignment"]["held"]["rank_correlation"] == pytest.approx(
        spearmanr([0.5, 0.3, 0.4, 0.6, 0.2], [0.8, 0, 0.8, 0.8, 0.8]).statistic, abs=1e-4
    )


# ---- the report


@pytest.fixture(scope="module")
def setup():
    return load_setup("bundled")


@pytest.fixture(scope="module")
def painter():
    return Painter(SIDE)


@pytest.fixture(scope="module")
def committed():
    return json.loads(REPORT.read_text())


@pytest.fixture(scope="module")
def index_of_nothing(setup, painter):
    """As good as an index: peaks from a few pictures, one guess for all."""
    m = setup.dictionary.n_components
    peak = look(setup, painter, index_scenes(30)).largest.max(0)
    words = tuple(sorted(caption_words()))
    return made_up_index(words, np.zeros((m, 3), dtype=int), np.ones(m), np.ones((m, 3)), peak=peak)


def test_looking_sees_what_a_trace_holds(setup, painter):
    """Each picture's strongest token and value, from its trace, one at a time."""
    scenes = index_scenes(3)
    seen = look(setup, painter, scenes)
    assert seen.scenes == tuple(scenes)
    assert np.array_equal(seen.has, table(scenes))
    fewer = seen.first(2)
    assert fewer.scenes == tuple(scenes[:2])
    for part in ("has", "largest", "token", "random"):
        assert np.array_equal(getattr(fewer, part), getattr(seen, part)[:2])
    for row, scene in enumerate(scenes):
        (trace,) = setup.model.traces([painter.paint(scene)])
        for j in range(0, setup.dictionary.n_components, 37):
            tokens = trace.activations.of(j)
            assert seen.largest[row, j] == pytest.approx(tokens.max(), rel=1e-3, abs=1e-3)
            assert tokens[seen.token[row, j]] == pytest.approx(tokens.max(), rel=1e-3, abs=1e-3)


@pytest.fixture(scope="module")
def looked(setup, painter):
    """The first of the scenes that factors are chosen on, and of those they are judged on."""
    return [look(setup, painter, index_scenes(PART, split)) for split in ("index", "test")]


def figures(part, path=()):
    """Every number of a nested report with its place, which components are the best apart."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key != "best":
                yield from figures(value, (*path, key))
    elif isinstance(part, list):
        for place, value in enumerate(part):
            yield from figures(value, (*path, place))
    else:
        yield path, part


@pytest.mark.full
def test_the_committed_report_is_of_the_shipped_weights_and_index(setup, committed, looked):
    """Its part of few pictures again; what looks at thousands is left to the command, which takes minutes."""
    assert committed["fingerprint"] == setup.index.manifest.setup.fingerprint
    assert committed["pictures"]["chosen"] == setup.index.manifest.pictures
    now, then = dict(figures(measure(setup.index, looked[0], looked[1], 8))), dict(figures(committed["part"]))
    assert now.keys() == then.keys()
    for place, value in then.items():
        # Another machine rounds differently, which moves what stands on an edge.
        if isinstance(value, int):
            assert now[place] == pytest.approx(value, abs=max(3, 0.03 * value)), place
        elif value is not None:
            assert now[place] == pytest.approx(value, abs=max(0.05, 0.03 * abs(value))), place


@pytest.mark.full
def test_the_committed_best_components_are_as_precise_on_the_pictures_of_the_part(setup, committed, looked):
    """The whole report's choice, tried on the first of its pictures."""
    firing = strong(looked[1].largest, STRONG * setup.index.peak)
    right = fires = 0
    said_right = said_fires = 0
    for kind, part in committed["kinds"].items():
        for value, best in part["best"].items():
            at = firing[:, best["component"]]
            right += int((at & looked[1].has[:, ONE[kind, value]]).sum())
            fires += int(at.sum())
            said_right, said_fires = said_right + best["right"], said_fires + best["strong"]
    low, high = wilson(right, fires)
    assert low - 0.02 < said_right / said_fires < high + 0.02


@pytest.mark.full
def test_the_index_saw_the_scenes_that_factors_are_chosen_on(setup, looked):
    seen, peak = looked[0].largest.max(0), setup.index.peak
    assert (seen <= peak * 1.001 + 1e-4).all()
    assert np.isclose(seen, peak, rtol=1e-3).mean() > 0.05  # the peaks that lie among the first of its pictures


def test_the_model_card_quotes_the_report(committed):
    card = (ROOT / "assets" / "bundled" / "README.md").read_text(encoding="utf-8")
    quoted = re.findall(r"<!-- concepts -->\n\n(.*?)\n\n<!-- end -->", card, re.DOTALL)
    assert quoted == [tables(committed)]


def test_controls_match_less(committed):
    for bar in map(str, BARS):
        assert committed["together"]["reach"][bar] > 1.3 * committed["controls"]["directions"]["reach"][bar]
        assert committed["controls"]["shuffled"]["reach"][bar] <= 0.01 * committed["together"]["components"]


def test_tables_have_as_many_cells_in_every_row(committed):
    blocks = [part.splitlines() for part in tables(committed).split("\n\n") if part.startswith("|")]
    assert len(blocks) == 4
    for block in blocks:
        assert len({line.count("|") for line in block}) == 1
    assert len(blocks[0]) == 2 + len(KINDS) + 3


def test_the_command_writes_the_report_and_prints_its_tables(
    setup, index_of_nothing, painter, tmp_path, monkeypatch, capsys
):
    few = replace(setup, index=index_of_nothing)
    monkeypatch.setattr(concept_quality, "load_setup", lambda name: few)
    monkeypatch.setattr(concept_quality, "JUDGED", 20)
    monkeypatch.setattr(concept_quality, "PART", 10)
    monkeypatch.setattr(concept_quality, "Painter", lambda side: painter)  # it has drawn all backgrounds already
    out = tmp_path / "concepts.json"
    monkeypatch.setattr(sys, "argv", ["concept_quality", "--out", str(out)])
    concept_quality.main()
    written = json.loads(out.read_text())
    assert written["pictures"] == {"chosen": 30, "judged": 20}
    assert written["part"]["pictures"] == {"chosen": 10, "judged": 10}
    assert capsys.readouterr().out == tables(written) + "\n"


def test_without_an_index_of_these_scenes_it_says_so(setup, index_of_nothing):
    with pytest.raises(UserError, match="no concept index .* It is damaged"):
        report(replace(setup, index=None, index_trouble="It is damaged."))
    source = {"kind": "folder", "name": "holiday"}
    other = replace(index_of_nothing, manifest=replace(index_of_nothing.manifest, source=source))
    with pytest.raises(UserError, match="scenes:index"):
        report(replace(setup, index=other))
