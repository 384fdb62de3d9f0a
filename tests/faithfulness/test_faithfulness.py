"""Faithfulness: curves against single edits of the unsplit model, an exactly solvable reader, ranks by brute force."""

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from conftest import CLASSES, COMPONENTS, WIDTH, tiny_model, tiny_sae, tiny_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from transformers import CLIPImageProcessorPil

from core import stats as bootstrap
from core.bundled.scoring import look_at as scorer_looks_at
from core.errors import UserError
from core.faithfulness import __main__ as faithfulness
from core.faithfulness.__main__ import FaithfulnessSizes, report_pictures
from core.faithfulness.curves import COUNTS, agreement, area, curves, effects_along
from core.faithfulness.orderings import METHODS, by_lens, orders, predictions
from core.faithfulness.recovery import causes, first_rank, recovery
from core.faithfulness.report import NAMES, STYLES, figure, tables
from core.faithfulness.steerability import SHOWN, concentration, impulse, steerability, typical_patterns
from core.methods.attribution import ablation_effects, attribute
from core.methods.question import Question
from core.methods.steering import Edit, Lever, steer
from core.methods.targets import ClassTarget
from core.model.clip import SplitClip, text_classifier
from core.model.places import ResidualStream
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary
from core.model.scoring import Scoring
from core.model.trace import Trace
from core.pictures.read import read_picture
from core.setups.catalog import Location, SetupSpec, read_catalog
from core.setups.clips import read_clip
from core.setups.loading import Setup

SETUPS = [(1, "topk", "all"), (2, "gated", "patches"), (3, "jumprelu", "all"), (0, "standard", "cls")]


@pytest.fixture(scope="module", params=SETUPS, ids=lambda setup: "-".join(map(str, setup)))
def question(request, picture):
    """A picture and a target in float64, of setups that differ in layer, dictionary and scope."""
    layer, architecture, scope = request.param
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    clip = SplitClip(tiny_model().double(), processor, tiny_tokenizer(), ResidualStream(layer))
    dictionary = SaeDictionary(tiny_sae(architecture).to(dtype=torch.float64), scope)
    (trace,) = SaeClip(clip, dictionary).traces([clip.crop(picture)])
    return Question(SaeClip(clip, dictionary), trace, text_classifier(clip, CLASSES, ("a {}",)), ClassTarget(0, 1))


def dense(question):
    """f [T, m] and v [m, d], in float64."""
    f = np.stack([question.trace.activations.of(j) for j in range(COMPONENTS)], axis=1).astype(np.float64)
    return f, question.model.dictionary.directions(np.arange(COMPONENTS)).double().numpy()


def class_logits(question, x):
    """Logits [C] through the unsplit model: a hook puts x in place of the residual after layer L."""
    clip = question.model.clip
    layer = clip.model.vision_model.encoder.layers[clip.layer]
    hook = layer.register_forward_hook(lambda module, inputs, output: torch.as_tensor(x)[None])
    with torch.no_grad():
        z = clip.model.get_image_features(pixel_values=clip.pixels(question.trace.crop[None])).pooler_output[0]
    hook.remove()
    return (float(np.exp(clip.model.logit_scale.item())) * (z / z.norm()) @ question.classifier.T).numpy()


def without(question, components):
    """x less everything these components write."""
    f, v = dense(question)
    return question.trace.residual - sum((np.outer(f[:, j], v[j]) for j in components), np.zeros((17, WIDTH)))


def y(question, x):
    found = class_logits(question, x)
    return found[question.target.wanted] - found[question.target.against]


# Curves


def test_curves_are_edits_of_the_unsplit_model(question):
    active = question.trace.activations.components()
    order = np.random.default_rng(0).permutation(active)
    found = curves(question, order)
    assert found.shape == (2, len(COUNTS) + 1)
    for place, count in enumerate((*COUNTS, len(order))):
        assert found[0, place] == pytest.approx(y(question, without(question, order[:count])), abs=1e-5)
        assert found[1, place] == pytest.approx(y(question, without(question, order[count:])), abs=1e-5)


def test_curves_begin_and_end_where_they_must(question):
    order = question.trace.activations.components()
    deletion, insertion = curves(question, order)
    whole, nothing = y(question, question.trace.residual), y(question, without(question, order))
    assert [deletion[0], insertion[-1]] == pytest.approx([whole, whole], abs=1e-5)
    assert [deletion[-1], insertion[0]] == pytest.approx([nothing, nothing], abs=1e-5)
    assert abs(whole - nothing) > 0.01


def test_counts_beyond_the_components_mean_all_of_them(question):
    order = question.trace.activations.components()
    deletion, insertion = curves(question, order)
    beyond = np.array([*COUNTS, COMPONENTS]) >= len(order)
    np.testing.assert_allclose(deletion[beyond], deletion[-1], atol=1e-9)
    np.testing.assert_allclose(insertion[beyond], insertion[-1], atol=1e-9)


def test_effects_are_changes_averaged_over_orders(question):
    rng = np.random.default_rng(1)
    some = [rng.permutation(question.trace.activations.components()) for _ in range(3)]
    found = effects_along(question, {"random": some})["random"]
    expected = np.mean([curves(question, order) for order in some], axis=0) - y(question, question.trace.residual)
    np.testing.assert_allclose(found, expected, atol=1e-5)


class Scales:
    """A reader whose every answer is known: y = s / sqrt(1 + s^2), s the weight of CLS along one direction."""

    scoring = Scoring(1.0)

    def __init__(self, toward):
        self.toward = toward

    def tensor(self, array):
        return torch.as_tensor(array, dtype=torch.float64)

    def embed_from_residual(self, x):
        s = x[:, 0] @ self.toward
        return torch.stack([s, torch.ones_like(s)], -1)


@pytest.fixture(scope="module", params=range(3))
def solvable(request):
    """Only the sum of what components put on CLS counts, so the best order is by that: no other does better."""
    rng = np.random.default_rng(request.param)
    dictionary = SaeDictionary(tiny_sae("topk", seed=request.param, k=9).to(dtype=torch.float64), "cls")
    x = rng.normal(size=(17, WIDTH)).astype(np.float32)
    toward = torch.as_tensor(rng.normal(size=WIDTH) / WIDTH)
    f = dictionary.activations(torch.as_tensor(x, dtype=torch.float64))
    trace = Trace(np.zeros((1, 1, 3), np.uint8), x, f, np.array([x[0] @ toward.numpy(), 1.0]), (4, 4))
    model = SaeClip(Scales(toward), dictionary)  # type: ignore[arg-type]  # a stand-in
    return Question(model, trace, torch.eye(2, dtype=torch.float64), ClassTarget(0))


def test_the_gradient_order_is_the_best_where_everything_adds_up(solvable):
    f, v = dense(solvable)
    active = solvable.trace.activations.components()
    part = {j: f[0, j] * v[j] @ solvable.model.clip.toward.numpy() for j in active}
    s = solvable.trace.residual[0].astype(float) @ solvable.model.clip.toward.numpy()
    best = sorted(active, key=lambda j: -part[j])
    (order,) = orders(solvable, {"gradient": METHODS["gradient"](solvable)}, np.random.default_rng(0))["gradient"]
    assert order.tolist() == best

    def answer(kept):
        total = s - sum(part.values()) + sum(part[j] for j in kept)
        return total / np.sqrt(1 + total**2)

    deletion, insertion = curves(solvable, order)
    cuts = [min(count, len(best)) for count in (*COUNTS, len(best))]
    np.testing.assert_allclose(deletion, [answer(best[n:]) for n in cuts], atol=1e-9)
    np.testing.assert_allclose(insertion, [answer(best[:n]) for n in cuts], atol=1e-9)
    rng = np.random.default_rng(2)
    for _ in range(30):
        other = curves(solvable, rng.permutation(active))
        assert (other[0] >= deletion - 1e-9).all()
        assert (other[1] <= insertion + 1e-9).all()
        assert area(other[1] - other[0]) < area(insertion - deletion)


def test_area_is_the_mean_height():
    assert area(np.full(7, 2.5)) == pytest.approx(2.5)
    assert area(np.linspace(0, 1, 11)) == pytest.approx(0.5)
    rng = np.random.default_rng(0)
    curve = rng.normal(size=(3, 2, 11))
    middles = (curve[..., 1:] + curve[..., :-1]) / 2
    np.testing.assert_allclose(area(curve), middles.mean(-1))


# Methods


def test_orders_hold_every_active_component_once_the_strongest_first(question):
    predicted = predictions(question)
    active = question.trace.activations.components()
    found = orders(question, predicted, np.random.default_rng(0))
    assert found.keys() == NAMES.keys()
    for name, some in found.items():
        assert all(sorted(order) == active.tolist() for order in some)
        if name != "random":
            by = dict(zip(active.tolist(), predicted[name].tolist(), strict=True))
            ranked = [by[j] for j in some[0]]
            assert ranked == sorted(ranked, reverse=True)
    assert len({tuple(order) for order in found["random"]}) == len(found["random"])


def test_energy_is_that_of_what_the_component_writes(question):
    f, v = dense(question)
    expected = [np.linalg.norm(np.outer(f[:, j], v[j])) for j in question.trace.activations.components()]
    np.testing.assert_allclose(METHODS["energy"](question), expected, rtol=1e-5)


def test_lens_is_the_readout_as_a_matrix(question):
    """Projection x norm's weight x centring, written out; the norm's own Jacobian is this less its radial part."""
    f, v = dense(question)
    vision = question.model.clip.model.vision_model
    centre = np.eye(WIDTH) - np.ones((WIDTH, WIDTH)) / WIDTH
    weights = question.model.clip.model.visual_projection.weight.numpy() @ np.diag(vision.post_layernorm.weight.numpy())
    toward = (question.classifier[0] - question.classifier[1]).numpy()
    read = f.sum(0) if question.model.dictionary.scope == "patches" else f[0]
    expected = [read[j] * toward @ weights @ centre @ v[j] for j in question.trace.activations.components()]
    np.testing.assert_allclose(by_lens(question), expected, rtol=1e-6, atol=1e-9)


def test_agreement_is_spearmans_with_the_measured_effects(question, monkeypatch):
    predicted = predictions(question)
    active = question.trace.activations.components()
    whole = y(question, question.trace.residual)
    lost = np.array([whole - y(question, without(question, [j])) for j in active])
    for name, (effects, sizes) in agreement(question, predicted).items():
        assert effects == pytest.approx(spearmanr(predicted[name], lost).statistic, abs=0.02)
        assert sizes == pytest.approx(spearmanr(np.abs(predicted[name]), np.abs(lost)).statistic, abs=0.02)
    monkeypatch.setattr("core.faithfulness.curves.MEASURED", 5)
    most = np.sort(np.argsort(-predicted["energy"], kind="stable")[:5])
    few = agreement(question, predicted)["gradient"][0]
    # ablations without any effect are ranked by their rounding, so by the library's own here
    lost = ablation_effects(question, active[most])
    assert few == pytest.approx(spearmanr(predicted["gradient"][most], lost).statistic, abs=1e-6)


def test_agreement_of_the_solvable_reader_is_perfect(solvable):
    gradient = {name: METHODS[name](solvable) for name in ("gradient", "energy")}
    effects, _ = agreement(solvable, gradient)["gradient"]
    # y is a rising function of s, so single ablations rank as contributions do
    assert effects == pytest.approx(1)


# Planted causes


def led(question):
    """The same question about what the model says, so that some components may be causes."""
    top = int(class_logits(question, question.trace.residual).argmax())
    runner_up = int(np.argsort(-class_logits(question, question.trace.residual))[1])
    return replace(question, target=ClassTarget(top, runner_up))


def test_causes_are_single_suppressions_that_change_the_prediction(question):
    asked = led(question)
    expected = [
        j
        for j in asked.trace.activations.components()
        if class_logits(asked, without(asked, [j])).argmax() != asked.target.wanted
    ]
    assert causes(asked).tolist() == expected


def test_causes_do_not_depend_on_batches(question, monkeypatch):
    asked = led(question)
    expected = causes(asked).tolist()
    monkeypatch.setattr("core.faithfulness.recovery.BATCH", 3)
    assert causes(asked).tolist() == expected


@given(st.permutations(range(12)), st.sets(st.integers(0, 11), min_size=1))
def test_first_rank_is_found_by_looking(order, wanted):
    expected = next(place for place, j in enumerate(order, 1) if j in wanted)
    assert first_rank(np.array(order), np.array(sorted(wanted))) == expected


@pytest.fixture(scope="module")
def asked(clip, dictionary):
    """Questions about several pictures of noise, the target what the model says against the runner-up."""
    rng = np.random.default_rng(5)
    crops = rng.integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)
    classifier = text_classifier(clip, CLASSES[1:3], ("a {}",))  # two: of more, some suppression always finds one
    traces = SaeClip(clip, dictionary).traces(crops)
    return [led(Question(SaeClip(clip, dictionary), trace, classifier, ClassTarget(0))) for trace in traces]


def test_recovery_by_brute_force(asked):
    found = recovery(asked)
    ranks = []
    for question in asked:
        wanted = {
            int(j)
            for j in question.trace.activations.components()
            if class_logits(question, without(question, [j]).astype(np.float32)).argmax() != question.target.wanted
        }
        if wanted:
            ranked = attribute(question).ranked()
            ranks.append(next(place for place, j in enumerate(ranked, 1) if int(j) in wanted))
    assert 2 <= len(ranks) < len(asked)  # else this test would show less than it says
    assert found["pictures"] == len(asked)
    assert found["exists"]["value"] == pytest.approx(len(ranks) / len(asked), abs=1e-4)
    gradient = found["methods"]["gradient"]
    assert gradient["median_rank"]["value"] == np.median(ranks)
    assert gradient["median_rank"]["of"] == len(ranks)
    for within in (1, 3, 5):
        expected = np.mean([rank <= within for rank in ranks])
        assert gradient["within"][str(within)]["value"] == pytest.approx(expected, abs=1e-4)


def test_recovery_of_nothing_says_so():
    found = recovery([])
    assert found["pictures"] == 0
    assert found["exists"]["value"] is None
    assert found["methods"]["random"]["median_rank"] == {"value": None, "low": None, "high": None, "of": 0}


# Intervals


def test_interval_is_the_percentile_bootstrap():
    values = np.random.default_rng(0).exponential(size=25)
    low, high = bootstrap.interval(values)
    rng = np.random.default_rng(1)
    means = [values[rng.integers(0, 25, 25)].mean() for _ in range(20_000)]
    width = np.percentile(means, 97.5) - np.percentile(means, 2.5)
    assert low == pytest.approx(np.percentile(means, 2.5), abs=0.06 * width)
    assert high == pytest.approx(np.percentile(means, 97.5), abs=0.06 * width)
    assert bootstrap.interval(values) == (low, high)  # the same every time


def test_interval_of_many_normal_numbers_is_the_textbooks():
    values = np.random.default_rng(0).normal(3, 2, 400)
    low, high = bootstrap.interval(values)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.08 * half)


def test_interval_of_a_median_lies_among_the_numbers():
    values = np.arange(101.0)
    low, high = bootstrap.interval(values, np.median)
    assert 0 < low < 50 < high < 100


def test_estimate_leaves_out_what_does_not_exist():
    found = bootstrap.estimate(np.array([1.0, np.nan, 3.0, 2.0]))
    assert found["value"] == 2
    assert found["of"] == 3
    assert found["low"] <= 2 <= found["high"]
    assert bootstrap.estimate(np.array([4.0])) == {"value": 4.0, "low": None, "high": None, "of": 1}
    assert bootstrap.estimate(np.array([np.nan])) == {"value": None, "low": None, "high": None, "of": 0}


# Steerability


def test_concentration_of_one_concept_is_one_and_of_an_even_change_almost_none():
    one = np.zeros(46)
    one[7] = -2.5
    even = np.where(np.arange(46) % 2, 1.0, -1.0)
    assert concentration(np.stack([one, one + 30, even])) == pytest.approx([1, 1, 1 / 45])
    assert concentration(np.array([np.zeros(46), np.full(46, 5.0), np.full(46, 1 / 3)])).tolist() == [0, 0, 0]


CHANGES = st.lists(st.floats(-50, 50, width=32), min_size=3, max_size=30)


@given(CHANGES, st.floats(-20, 20), st.floats(0.1, 10))
def test_concentration_is_a_squared_correlation_with_one_concept(change, shift, factor):
    change = np.array(change)
    found = float(concentration(change))
    assert 0 <= found <= 1
    if np.abs(change - change.mean()).max() > 1e-2:
        expected = max(np.corrcoef(change, np.eye(len(change))[i])[0, 1] ** 2 for i in range(len(change)))
        assert found == pytest.approx(expected, rel=1e-6)
        assert float(concentration(change * factor + shift)) == pytest.approx(found, rel=1e-6)


@pytest.fixture(scope="module")
def traces(clip, dictionary):
    crops = np.random.default_rng(6).integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    return SaeClip(clip, dictionary).traces(crops)


def test_typical_patterns_by_brute_force(traces):
    components, patterns = typical_patterns(traces)
    assert components.tolist() == sorted({int(j) for trace in traces for j in trace.activations.components()})
    for j, pattern in zip(components, patterns, strict=True):
        maps = sorted((trace.activations.of(int(j)) for trace in traces), key=np.linalg.norm)
        active = [f for f in maps if f.any()]
        below = [len([g for g in active if np.linalg.norm(g) <= np.linalg.norm(f)]) / len(active) for f in active]
        expected = next(f for f, share in zip(active, below, strict=True) if share >= 0.95)
        assert np.linalg.norm(pattern) == pytest.approx(np.linalg.norm(expected), rel=1e-6)
        assert any(np.array_equal(pattern, f) for f in active)


def test_an_impulse_is_a_set_lever(clip, dictionary, trace, classifier):
    components = [3, int(trace.activations.components()[0])]
    strength = 1.7
    added = np.stack([strength - trace.activations.of(j) for j in components])
    found = impulse(SaeClip(clip, dictionary), trace, added, dictionary.directions(np.array(components)), classifier)
    x = clip.tensor(trace.residual)
    edits = [Edit(), *(Edit((Lever(j, "set", strength),)) for j in components)]
    z = clip.embed_from_residual(steer(x, trace.activations, edits, dictionary))
    answers = (clip.logit_scale * (z / z.norm(dim=-1, keepdim=True)) @ classifier.T).numpy()
    np.testing.assert_allclose(found, answers[1:] - answers[0], atol=1e-5)


def test_steerability_lists_what_one_lever_at_a_time_shows(clip, dictionary, traces, monkeypatch):
    components, patterns = typical_patterns(traces)
    (grey,) = SaeClip(clip, dictionary).traces([np.full((32, 32, 3), 128, np.uint8)])
    vocabulary = text_classifier(clip, CLASSES, ("a photo of a {}",))
    v = dictionary.directions(components)
    shown = {}
    for j, pattern, direction in zip(components, patterns, v, strict=True):
        x = torch.as_tensor(grey.residual + np.outer(pattern - grey.activations.of(int(j)), direction))[None]
        z = torch.stack([clip.embed_from_residual(x)[0], torch.as_tensor(grey.embedding)])
        answers = (clip.logit_scale * (z / z.norm(dim=-1, keepdim=True)) @ vocabulary.T).double().numpy()
        d = answers[0] - answers[1] - (answers[0] - answers[1]).mean()
        shown[int(j)] = (d**2).max() / (d**2).sum() * 5 / 4, CLASSES[int(np.abs(d).argmax())], d[np.abs(d).argmax()]
    moves = float(np.mean(sorted(abs(effect) for _, _, effect in shown.values())[-16:-14]))
    monkeypatch.setattr(
        "core.faithfulness.steerability.MOVES", moves
    )  # half-way between two of them, so that 15 move a word
    moving = {j: one for j, one in shown.items() if abs(one[2]) >= moves}
    assert SHOWN < len(moving) == 15 < len(shown)
    found = steerability(SaeClip(clip, dictionary), traces, CLASSES)
    for key, some in (("all", shown), ("moving", moving)):
        shares = np.array([concentrated for concentrated, _, _ in some.values()])
        assert found[key]["components"] == len(shares)
        assert found[key]["median"]["value"] == pytest.approx(np.median(shares), abs=1e-3)
        assert found[key]["above_half"]["value"] == pytest.approx((shares > 0.5).mean(), abs=0.03)
        assert sum(found[key]["histogram"]) == pytest.approx(1, abs=0.01)
    expected = sorted((concentrated for concentrated, _, _ in moving.values()), reverse=True)[:SHOWN]
    assert [one["concentration"] for one in found["strongest"]] == pytest.approx(expected, abs=1e-3)
    for one in found["strongest"]:
        concentrated, concept, effect = moving[one["component"]]
        assert one["concept"] == concept
        assert (one["concentration"], one["effect"]) == pytest.approx((concentrated, effect), abs=1e-3)
    assert found["control"]["beyond_control"]["value"] == pytest.approx(0.05, abs=1 / len(shown))
    assert found["control"]["histogram"] != found["all"]["histogram"]


def test_steerability_needs_words(clip, dictionary, traces):
    with pytest.raises(UserError, match="two words"):
        steerability(SaeClip(clip, dictionary), traces, ["dog"])


# The command


@pytest.fixture
def setup(clip_folder, dictionary_folder):
    card = SetupSpec("tiny <1>", "Tiny", Location(clip_folder), Location(dictionary_folder), 1, "all", "MIT", "")
    return Setup(
        card, SaeClip(read_clip(clip_folder, ResidualStream(1)), SaeDictionary.from_folder(dictionary_folder, "all"))
    )


@pytest.fixture
def folder(tmp_path, picture):
    """Two small pictures."""
    where = tmp_path / "pictures"
    where.mkdir()
    picture.save(where / "a.png")
    picture.transpose(0).save(where / "b.webp")
    return where


def check_drawing(text, curves=True):
    """An SVG with every method's line in both panels, and no number that is none."""
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg")
    paths = [path.get("d") or "" for path in root.iter() if path.tag.endswith("path")]
    assert any(paths)
    assert not any("nan" in path or "inf" in path for path in paths)
    for method, name in NAMES.items():
        assert f">{name}<" in text
        assert not curves or text.count(f"stroke: {STYLES[method][0]}") >= 2, method


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["faithfulness", *map(str, arguments)])
    faithfulness.main()


def stand_in(monkeypatch, setup):
    """The setup in place of whichever is loaded; "tiny" is its name."""
    known = dict(read_catalog()) | {"tiny": setup.card}
    monkeypatch.setattr(faithfulness, "named_setup", lambda arguments, otherwise: known[arguments.setup or otherwise])
    monkeypatch.setattr(faithfulness, "load", lambda card, anyway: setup)


def test_the_command_on_a_folder_of_pictures(monkeypatch, capsys, tmp_path, folder, setup):
    stand_in(monkeypatch, setup)
    out = tmp_path / "out"
    run(monkeypatch, "--setup", "tiny", "--pictures", folder, "--classes", "dog, cat, owl", "--out", out)
    report = json.loads((out / "faithfulness.json").read_text())
    assert report["setup"] == setup.card.name
    assert report["pictures"] == 2
    assert report["classes"] == ["dog", "cat", "owl"]
    assert "recovery" not in report
    assert "steerability" not in report
    for method in NAMES:
        deletion, insertion = report["deletion"][method], report["insertion"][method]
        assert len(deletion) == len(insertion) == len(report["counts"])
        assert deletion[0]["value"] == 0
        assert insertion[-1]["value"] == pytest.approx(0, abs=1e-4)
        assert deletion[-1]["value"] == pytest.approx(insertion[0]["value"], abs=1e-3)
        areas = report["area"][method]
        assert areas["between"]["value"] == pytest.approx(
            areas["insertion"]["value"] - areas["deletion"]["value"], abs=2e-4
        )
    check_drawing((out / "faithfulness.svg").read_text())
    assert capsys.readouterr().out.strip() == tables(report)
    run(monkeypatch, "--setup", "tiny", "--pictures", folder, "--classes", "dog,cat,owl", "--out", out, "--count", 1)
    alone = json.loads((out / "faithfulness.json").read_text())
    assert alone["pictures"] == 1
    assert alone["area"]["gradient"]["between"]["low"] is None


def test_a_picture_is_asked_about_what_the_model_says_of_it(setup, folder):
    report = report_pictures(setup, folder, CLASSES, None)
    classifier = text_classifier(setup.clip, CLASSES, ("a photo of a {}",))
    whole, changes = [], []
    for name in ("a.png", "b.webp"):
        crop = setup.clip.crop(read_picture(folder / name))
        (trace,) = setup.model.traces([crop])
        question = led(Question(setup.model, trace, classifier, ClassTarget(0)))
        active = trace.activations.components()
        whole.append(y(question, trace.residual))
        changes.append(y(question, without(question, active).astype(np.float32)) - whole[-1])
        lost = ablation_effects(
            Question(setup.model, trace, classifier, question.target), attribute(question).ranked()[:1]
        )
        changes[-1] = (changes[-1], -float(lost[0]))
    everything, first = np.mean(changes, axis=0)
    assert min(whole) > 0
    assert report["deletion"]["lens"][-1]["value"] == pytest.approx(everything, abs=1e-3)
    assert report["deletion"]["gradient"][1]["value"] == pytest.approx(first, abs=1e-3)


def test_the_command_on_the_bundled_scenes(monkeypatch, capsys, tmp_path, setup):
    """With a model that knows nothing, and every picture counted as fooled by what it says."""

    def look_at(scorer, kind, count, split):
        found = scorer_looks_at(scorer, kind, count, split)
        return replace(
            found, foil=found.predicted, predicted_counterfactual=found.predicted + 1, truth=(found.predicted + 2) % 40
        )

    monkeypatch.setattr(faithfulness, "look_at", look_at)
    stand_in(monkeypatch, setup)
    monkeypatch.setattr(faithfulness, "FaithfulnessSizes", partial(FaithfulnessSizes, recovered=2, pictures=3, seen=2))
    run(monkeypatch, "--count", 3, "--out", tmp_path)
    report = json.loads((tmp_path / "faithfulness.json").read_text())
    assert report["pictures"] == 3
    assert report["sizes"] == {"curves": 3, "recovered": 2, "pictures": 3, "seen": 2}
    assert {kind: found["pictures"] for kind, found in report["recovery"].items()} == {
        "attacked": 2, "stamped": 2, "flooded": 2
    }  # fmt: skip
    assert report["steerability"]["all"]["components"] > 5
    text = (tmp_path / "faithfulness.svg").read_text()
    check_drawing(text)
    assert "tiny &lt;1&gt;" in text
    assert ">Steerability<" in text
    printed = capsys.readouterr().out
    assert printed.strip() == tables(report)
    for table in [block for block in printed.split("\n\n") if block.startswith("|")]:
        assert len({line.count("|") for line in table.strip().splitlines()}) == 1
    assert all(name in printed for name in NAMES.values())
    assert "a conflicting word, 2" in printed


def test_a_model_that_nothing_fools_still_has_a_report(monkeypatch, capsys, tmp_path, setup):
    def look_at(scorer, kind, count, split):
        found = scorer_looks_at(scorer, kind, count, split)
        return replace(found, foil=np.full(count, -1))

    monkeypatch.setattr(faithfulness, "look_at", look_at)
    stand_in(monkeypatch, setup)
    monkeypatch.setattr(faithfulness, "FaithfulnessSizes", partial(FaithfulnessSizes, recovered=1, pictures=1, seen=1))
    run(monkeypatch, "--out", tmp_path)
    report = json.loads((tmp_path / "faithfulness.json").read_text())
    assert report["pictures"] == 0
    assert report["area"]["gradient"]["between"]["value"] is None
    assert "| activation × gradient | – | – | – | – | – |" in capsys.readouterr().out
    check_drawing((tmp_path / "faithfulness.svg").read_text(), curves=False)


def test_errors_are_sentences(monkeypatch, tmp_path, folder, setup):
    stand_in(monkeypatch, setup)
    (tmp_path / "empty").mkdir()
    for arguments, words in (
        (("--setup", "tiny"), "Only the bundled CLIP"),
        (("--pictures", folder), "There are no classes"),
        (("--pictures", folder, "--classes", "dog"), "at least two"),
        (("--pictures", folder / "nowhere", "--classes", "dog,cat"), "There is no folder"),
        (("--pictures", tmp_path / "empty", "--classes", "dog,cat"), "holds no files"),
        (("--pictures", folder, "--classes", "dog,cat", "--count", "0"), "Give 1 or more"),
    ):
        with pytest.raises(SystemExit, match=words):
            run(monkeypatch, *arguments)
    (folder / "notes.txt").write_text("not a picture")
    with pytest.raises(SystemExit, match="“notes.txt”: This file is not a picture"):
        run(monkeypatch, "--pictures", folder, "--classes", "dog,cat", "--out", tmp_path)
    assert not list(Path(tmp_path).glob("faithfulness.*"))


def test_a_figure_of_one_picture_has_lines_without_bands(setup, folder):
    check_drawing(figure(report_pictures(setup, folder, CLASSES, 1)))
