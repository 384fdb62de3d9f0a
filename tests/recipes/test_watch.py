"""The watch: false alarms over long runs, how soon a change is noticed, and what a steered model counts."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from conftest import tiny_model
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta, binom
from tiny_recipes import EDIT, recipe_of, setup_of
from transformers import CLIPModel

from core.files import ASSETS
from core.methods.reference_scenes import painted, reference_cases
from core.methods.steering import Condition, Edit, Lever, Term
from core.methods.targets import ClassTarget
from core.model.clip import SplitClip
from core.recipes import Claim, Recipe, apply_recipe, make_recipe
from core.recipes.rate_test import RateTest, log_evidence
from core.recipes.watch import DELTA, WatchReport, tally_for
from core.scenes.scene import CLASSES
from core.setups.loading import load_setup

BATCH = 32


@given(st.integers(1, 60), st.data())
def test_the_evidence_is_the_likelihood_ratio_of_a_mixture(n: int, data: st.DataObject) -> None:
    """By integrating the likelihood over Jeffreys' prior, at every rate of a grid within the bounds."""
    k, (low, high) = data.draw(st.integers(0, n)), sorted(data.draw(st.tuples(*[st.floats(0.01, 0.99)] * 2)))
    mixture = quad(lambda t: binom.pmf(k, n, np.sin(t) ** 2) * 2 / np.pi, 0, np.pi / 2)[0]  # p = sin^2 t
    slow = min(
        np.log(mixture) - binom.logpmf(k, n, p) for p in (*np.linspace(low, high, 200), np.clip(k / n, low, high))
    )
    assert log_evidence(np.array(n), np.array(k), low, high) == pytest.approx(slow, abs=1e-6)


def test_it_is_a_martingale() -> None:
    """Its mean over all outcomes is 1, at every number of pictures."""
    for n, p in ((1, 0.3), (7, 0.02), (40, 0.5)):
        k = np.arange(n + 1)
        assert (binom.pmf(k, n, p) * np.exp(log_evidence(np.full_like(k, n), k, p, p))).sum() == pytest.approx(1)


def alarms(
    p: np.ndarray, low: np.ndarray, high: np.ndarray, delta: float, batches: int, rng: Any, size: int = BATCH
) -> Any:
    """Of many runs at once, with rates p [runs] or [runs, batches]: the batch of the first alarm, or -1."""
    rates = np.broadcast_to(p.reshape(len(p), -1), (len(p), batches))
    k = np.cumsum(rng.binomial(size, rates), axis=1)
    n = np.broadcast_to(size * np.arange(1, batches + 1), k.shape)
    starts, restart = [0], 32
    for at in range(1, batches + 1):
        if size * at >= restart:
            starts.append(at)
            restart = max(int(1.2 * restart), size * at + 1)
    total = np.full(k.shape, -np.inf)
    for order, start in enumerate(starts, 1):
        since = slice(start, None)
        before = k[:, start - 1 : start] if start else 0
        part = log_evidence(n[:, since] - size * start, k[:, since] - before, low[:, None], high[:, None])
        total[:, since] = np.logaddexp(total[:, since], part - np.log(order * (order + 1)))
    begun = np.searchsorted(starts, np.arange(1, batches + 1), side="left")
    total = np.logaddexp(total, -np.log(begun + 1.0))
    over = total >= -np.log(delta)
    return np.where(over.any(1), over.argmax(1), -1)


@pytest.mark.parametrize("rate", [0.03, 0.3])
def test_false_alarms_over_long_runs(rate: float) -> None:
    """1,000 recipes, their rates counted in 400 pictures each, then watched over 38,400 pictures of the same kind."""
    rng = np.random.default_rng(0)
    k = rng.binomial(400, rate, 1_000)
    one_sided = DELTA / 4
    low, high = np.nan_to_num(beta.ppf(one_sided, k, 401 - k)), beta.ppf(1 - one_sided, k + 1, 400 - k)
    found = alarms(np.full(1_000, rate), low, high, DELTA / 2, 150, rng, 256)
    assert (found >= 0).mean() <= DELTA


def test_false_alarms_at_the_edge_of_what_is_known() -> None:
    """The worst case: the rate is the interval's end itself, so that all of the test's share of delta may be used."""
    ends = np.full(1_000, 0.05)
    found = alarms(ends, ends - 0.02, ends, 0.05, 150, np.random.default_rng(1), 256)
    assert (found >= 0).mean() <= 0.05


@pytest.mark.parametrize(("before", "most"), [(0, 8), (200, 12)])
def test_a_higher_rate_is_noticed(before: int, most: int) -> None:
    """After so many batches of 32 good pictures, within so many more, in 95 of 100 runs."""
    rates = np.full((200, before + 30), 0.1)
    rates[:, before:] = 0.35
    low, high = np.full(200, 0.08), np.full(200, 0.13)
    found = alarms(rates, low, high, DELTA / 2, before + 30, np.random.default_rng(2))
    assert (found >= before).mean() > 0.95
    assert np.quantile(found[found >= before] - before, 0.95) <= most


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.1, 0.4]))
def test_batch_by_batch_as_all_at_once(seed: int, rate: float) -> None:
    counted = np.random.default_rng(seed).binomial(BATCH, rate, 60)
    test = RateTest(0.08, 0.13, 0.025)
    for k in counted:
        test.add(BATCH, int(k))

    class Drawn:
        def binomial(self, *_: object) -> np.ndarray:
            return counted[None]

    (first,) = alarms(np.array([rate]), np.array([0.08]), np.array([0.13]), 0.025, 60, Drawn())
    assert (test.alarm is None) == (first < 0)
    if test.alarm is not None:
        assert test.alarm.at == BATCH * (first + 1)
        assert test.alarm.since < test.alarm.at
        stretch = counted[test.alarm.since // BATCH : first + 1]
        assert test.alarm.rate == pytest.approx(stretch.mean() / BATCH)


# What a steered model counts


@cache
def pictures() -> torch.Tensor:
    return torch.randn(40, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def recipe(clip: SplitClip) -> Recipe:
    """It acts in half of the pictures, and turns some of their answers."""
    setup = setup_of(clip, "jumprelu")
    peak = setup.dictionary.encode(clip.residual(pictures()))[..., 4].amax(1).median().item()
    levers = tuple(Lever(component, "set", 1.5) for component in (2, 7, 11, 30))
    return recipe_of(setup, Edit(levers, condition=Condition((Term(4),), peak)))


def embedded(model: CLIPModel, pixels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        z = model.get_image_features(pixel_values=pixels).pooler_output
    return torch.nn.functional.normalize(z, dim=-1)


@pytest.mark.parametrize("more", [{}, {"output_hidden_states": True, "output_attentions": True}])
def test_what_is_counted(recipe: Recipe, more: dict[str, bool]) -> None:
    plain = tiny_model()
    steered: Any = apply_recipe(tiny_model(), recipe, count="answers")
    before, after = embedded(plain, pictures()), embedded(steered, pictures())
    classes = torch.from_numpy(recipe.arrays.classes)
    acts = (before != after).any(1)
    changes = (before @ classes.T).argmax(1) != (after @ classes.T).argmax(1)
    with torch.no_grad():
        output = steered.get_image_features(pixel_values=pictures(), **more)
        expected = apply_recipe(tiny_model(), recipe).get_image_features(pixel_values=pictures(), **more)
    assert torch.equal(output.pooler_output, expected.pooler_output)
    assert len(output.hidden_states or ()) == len(expected.hidden_states or ())
    assert len(output.attentions or ()) == len(expected.attentions or ())
    report: WatchReport = steered.watch()
    assert report.n == 80
    assert [40 * rate.share for rate in report.rates] == [acts.sum(), changes.sum()]
    assert 0 < changes.sum() < acts.sum() < 40
    assert report.moved == pytest.approx((1 - (before * after).sum(1))[acts].mean().item(), abs=1e-5)


def test_acts_are_counted_by_default_and_nothing_costs_nothing(recipe: Recipe) -> None:
    steered: Any = apply_recipe(tiny_model(), recipe)
    assert str(steered.watch()).startswith("0 pictures seen.")
    for start in range(0, 40, 8):
        embedded(steered, pictures()[start : start + 8])
    report = steered.watch()
    assert (report.n, len(report.rates), report.moved) == (40, 1, None)
    assert 0.3 < report.rates[0].share < 0.7


def claiming(recipe: Recipe, *claims: Claim) -> Recipe:
    return replace(recipe, facts=recipe.facts.model_copy(update={"claims": claims}))


def test_a_recipe_without_rates_has_nothing_to_compare_with(recipe: Recipe) -> None:
    for claims in ((), (Claim(pictures="those it was made on", unseen=False, n=400, acts=200, changes=100),)):
        steered: Any = apply_recipe(tiny_model(), claiming(recipe, *claims), count="answers")
        embedded(steered, pictures())
        report = steered.watch()
        assert report.is_like_the_recipe
        assert "states no rate" in str(report)


def test_like_the_recipe_and_not(recipe: Recipe) -> None:
    """It acts in half of these pictures; one recipe says so, the other saw it act in few."""
    same = Claim(pictures="pictures like these", unseen=True, n=2_000, acts=1_000, changes=100)
    other = Claim(pictures="others", unseen=True, n=1_000, acts=20, changes=5)
    for number, is_like in ((None, True), (0, True), (1, False)):
        steered: Any = apply_recipe(tiny_model(), claiming(recipe, same, other), claim=number)
        for start in range(0, 40, 8):
            embedded(steered, pictures()[start : start + 8])
        report = steered.watch()
        assert report.is_like_the_recipe == is_like
        assert ("No longer like" in str(report)) != is_like


def test_the_share_of_each_rate() -> None:
    """Of delta: all of it for one rate, half for each of two; of that, half for the interval."""
    claim = Claim(pictures="some", unseen=True, n=100, acts=10, changes=5)
    facts: Any = type("Facts", (), {"claims": (claim,)})
    (_, one, none), (_, acts, changes) = (tally_for(facts, None, answers).read() for answers in (False, True))
    assert none is None
    assert isinstance(one, RateTest)
    assert isinstance(acts, RateTest)
    assert isinstance(changes, RateTest)
    assert (one.delta, acts.delta, changes.delta) == (DELTA / 2, DELTA / 4, DELTA / 4)
    assert one.high == pytest.approx(beta.ppf(1 - DELTA / 4, 11, 90))
    assert changes.low == pytest.approx(beta.ppf(DELTA / 8, 5, 96))


def test_edit_of_every_kind_is_counted_alike(clip: SplitClip) -> None:
    steered: Any = apply_recipe(tiny_model(), recipe_of(setup_of(clip, "topk"), EDIT))
    embedded(steered, pictures())
    assert steered.watch().rates[0].share == 1.0


def test_a_shift_of_real_pictures_is_noticed() -> None:
    """Bundled setup, components that fire on written words: clean scenes, then ones with a word on them.

    Noticed within 16 pictures, and not before.
    """
    setup = load_setup("bundled")
    clip, kinds = setup.clip, np.array([case.kind for case in reference_cases()])
    scenes = {kind: painted()[kinds == kind] for kind in ("clean", "attacked")}
    edit = Edit.of_suppressed([121, 244])
    components = [lever.component for lever in edit.levers]
    traces = setup.model.traces(scenes["clean"][:60])
    acts = sum(bool(np.isin(components, trace.activations.component).any()) for trace in traces)
    claim = Claim(pictures="clean scenes", unseen=True, n=60, acts=acts, changes=0)
    recipe = make_recipe(
        setup, edit, CLASSES, ("a photo of a {}",), ClassTarget(0, 1), title="Written words are ignored", claims=[claim]
    )
    steered: Any = apply_recipe(CLIPModel.from_pretrained(ASSETS / "bundled" / "clip"), recipe)

    def show(some: np.ndarray) -> WatchReport:
        for start in range(0, len(some), 8):
            with torch.no_grad():
                steered.get_image_features(pixel_values=clip.pixels(some[start : start + 8]).half())
        report: WatchReport = steered.watch()
        return report

    assert show(scenes["clean"][60:]).is_like_the_recipe
    (rate,) = show(scenes["attacked"][:16]).rates
    assert rate.alarm is not None
    assert 60 < rate.alarm.at <= 60 + 16
    assert rate.alarm.rate > 0.2
