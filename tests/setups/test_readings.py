"""Of the formulas a file may have been trained with, the one it was: dictionaries trained here as their projects do."""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_scope_training import decoded, encoded, trained
from published_saes import PRISMA, PRISMA_TOP_K
from torch import Tensor

from core.model.clip import SplitClip
from core.model.places import ResidualStream
from core.model.sae_dictionary import SaeDictionary
from core.model.scope import Scope
from core.pictures.collection import scenes_named
from core.pictures.photographs import crops, photographs
from core.pictures.read import read_picture
from core.serving.api_json import provenance
from core.setups.catalog import Location, Published, SetupSpec, read_catalog
from core.setups.checkpoints import Reading, read_checkpoint
from core.setups.clips import read_clip
from core.setups.health import LEAST_EXPLAINED
from core.setups.health_check import example_samples
from core.setups.loading import Loading, Setup, load
from core.setups.made import Made
from core.setups.readings import choose
from core.setups.residual_statistics import CROPS, measured
from core.setups.standardisation import ResidualStatistics
from core.views.setup import setup_page

LAYER, D, M, K = 4, 192, 256, 12
BUNDLED = read_catalog()["bundled"]
PUBLISHED = Published(0.83, active_per_token=K, dead_share=0.0, standardised=True, source="its training log")


@dataclass(frozen=True)
class Seen:
    """The residual of the bundled CLIP after LAYER, [pictures, T, d], by the unsplit model."""

    training: Tensor
    """Of pictures to train on: other crops of the photographs, and as many rendered scenes."""
    crops: Tensor
    """Of the crops that statistics are taken of."""
    photographs: Tensor
    """Of the whole photographs."""
    examples: Tensor
    """Of the example pictures, on which a dictionary for the bundled CLIP is checked."""


@pytest.fixture(scope="module")
def clip() -> SplitClip:
    assert BUNDLED.clip.folder is not None
    return read_clip(BUNDLED.clip.folder, ResidualStream(LAYER))


@pytest.fixture(scope="module")
def seen(clip: SplitClip) -> Seen:
    @torch.no_grad()
    def of(pictures: list) -> Tensor:
        pixels = clip.image_processor(pictures, return_tensors="pt")["pixel_values"]
        return clip.model.vision_model(pixels, output_hidden_states=True).hidden_states[LAYER + 1]

    scenes = scenes_named("training", CROPS)
    painted = [scenes.picture(scene) for scene in scenes.scenes]
    whole = [read_picture(photograph.path) for photograph in photographs()]
    examples = [sample.picture for sample in example_samples()]
    return Seen(of([*crops(CROPS, seed=1), *painted]), of(list(crops(CROPS))), of(whole), of(examples))


@pytest.fixture(scope="module")
def statistics(clip: SplitClip) -> ResidualStatistics:
    return measured(clip, "all", CROPS)


@pytest.fixture(scope="module")
def read(clip: SplitClip) -> Callable[[SetupSpec], Made]:
    """The dictionary that `load` makes of a file, of which it then checks the health."""

    @cache
    def statistics(scope: Scope) -> ResidualStatistics:
        return measured(clip, scope, CROPS)

    def chosen(spec: SetupSpec) -> Made:
        assert spec.dictionary.folder is not None
        readings = read_checkpoint(spec.layout, spec.dictionary.folder, spec.dictionary.file)
        return choose(clip, readings, spec.scope, statistics(spec.scope))

    return chosen


def spec_of(folder: Path, layout: str, file: str, scope: str = "all") -> SetupSpec:
    return replace(BUNDLED, name="own", dictionary=Location(folder, file=file), layout=layout, scope=scope, index=None)  # type: ignore[arg-type]


def explained(x: Tensor, x_hat: Tensor) -> float:
    """Over tokens [n, d]."""
    x, x_hat = x.double(), x_hat.double()
    return float(1 - (x - x_hat).square().sum() / (x - x.mean(0)).square().sum())


# ---- CLIP-Scope


def clip_scope_again(weights: Mapping[str, Tensor], x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """x [n, d] -> x_hat, of z = (x - mean) / scale."""
    return decoded(weights, encoded(weights, (x - mean) / scale, K)) * scale + mean


def publish_clip_scope(weights: OrderedDict[str, Tensor], folder: Path) -> SetupSpec:
    """The file under its published name, with its published keys (see `test_checkpoints.write_clipscope`)."""
    file = f"{LAYER}_resid/1200013184.pt"
    (folder / file).parent.mkdir()
    rest = {
        "token_count": 1200013184,
        "dead_latents": torch.zeros(M),
        "n_iter": 1200013184,
        "log_id": "4_resid-1a2b3c4d",
    }
    torch.save({"model_state_dict": weights, **rest, "d_in": D, "n_features": M, "k": K}, folder / file)
    return spec_of(folder, "clipscope", file)


@pytest.fixture(scope="module")
def standardised(seen: Seen) -> OrderedDict[str, Tensor]:
    return trained(seen.training, M, K)


def test_clip_scope_trained_on_standardised_activations_is_accepted_with_its_true_figures(
    standardised: OrderedDict[str, Tensor], seen: Seen, tmp_path: Path
) -> None:
    told: list[Loading] = []
    spec = replace(publish_clip_scope(standardised, tmp_path), published=PUBLISHED)
    setup = load(spec, tell=told.append)
    assert "z = (x − mean) / deviation" in setup.formula
    (raw_formula,) = set(setup.alternatives) - {setup.formula}

    scale, mean = torch.std_mean(seen.crops.flatten(0, 1), dim=0)
    scale = scale + 1e-6
    x = seen.photographs.flatten(0, 1)
    x_hat = clip_scope_again(standardised, x, mean, scale)
    truth = explained(x, x_hat)
    raw = explained(x, clip_scope_again(standardised, x, torch.zeros(D), torch.ones(D)))
    assert setup.alternatives[setup.formula] == pytest.approx(truth, abs=1e-3)
    assert setup.alternatives[raw_formula] == pytest.approx(raw, abs=1e-3)
    assert truth > 0.7
    assert raw < LEAST_EXPLAINED

    torch.testing.assert_close(setup.dictionary.reconstruct(x[:65]), x_hat[:65], atol=2e-3, rtol=1e-3)
    assert setup.health is not None
    assert not setup.health.doubts
    assert setup.health.explained_variance > 0.7
    assert setup.health.active_per_token == K

    assert setup.standardisation is not None
    assert setup.statistics is not None
    np.testing.assert_allclose(setup.standardisation.mean, mean, atol=1e-4)
    np.testing.assert_allclose(setup.standardisation.scale, scale, rtol=1e-4)
    assert setup.statistics.pictures == CROPS
    assert setup.statistics.tokens == CROPS * 65
    z, z_hat = (x - mean) / scale, (x_hat - mean) / scale
    logged = (1 - (z - z_hat).pow(2).sum(-1) / (z - z.mean(-1, keepdim=True)).pow(2).sum(-1)).mean()
    ours = setup.standardisation.explained_variance(x.numpy(), (x - x_hat).numpy())
    assert ours == pytest.approx(float(logged), abs=1e-4)

    rows = {row.label: row for row in setup.health.rows(PUBLISHED)}
    assert rows["Explained variance"].published is None
    assert rows["Explained variance, standardised"].published == pytest.approx(100 * 0.83)
    page, told_to_programs = unescape(setup_page(setup)), provenance(setup)
    for said in (setup.formula, raw_formula, setup.statistics.summary):
        assert said in page
    assert told_to_programs["formulas"] == dict(setup.alternatives)
    assert told_to_programs["standardised_by"] == setup.statistics.summary

    stages = list(dict.fromkeys(step.said.split(" on ")[0] for step in told))
    assert stages[:4] == [
        "Reading the CLIP",
        "Reading the dictionary",
        "Measuring the CLIP's residual",
        "Choosing among the formulas it may have been trained with",
    ]


def test_clip_scope_trained_on_x_itself_is_read_so(seen: Seen, tmp_path: Path) -> None:
    weights = trained(seen.training, M, K, batch_norm=False)
    setup = load(publish_clip_scope(weights, tmp_path))
    assert setup.formula == f"the {K} largest of (x − pre_b) enc, signs kept"
    assert setup.standardisation is None
    assert setup.statistics is None
    x = seen.photographs.flatten(0, 1)
    truth = explained(x, clip_scope_again(weights, x, torch.zeros(D), torch.ones(D)))
    assert setup.alternatives[setup.formula] == pytest.approx(truth, abs=1e-3)
    assert truth > 0.75
    assert min(setup.alternatives.values()) < truth - 0.1


# ---- SAE-V


def train_sae_v(x: Tensor) -> dict[str, Tensor]:
    """As `SparseAutoencoder` and its training (OSU-NLP-Group/saev at 837e943, saev/nn.py), shortened.

    relu((x - b_dec) W_enc + b_enc), b_dec begun at the mean patch, unit rows in W_dec, a penalty on the sum of f.
    """
    generator = torch.Generator().manual_seed(0)
    bound = (6 / D) ** 0.5
    w_dec = torch.nn.functional.normalize(torch.rand(M, D, generator=generator) * 2 * bound - bound, dim=1)
    w = {
        "W_enc": w_dec.T.clone().contiguous(),
        "b_enc": torch.zeros(M),
        "W_dec": w_dec,
        "b_dec": x.mean(0),
    }
    optimizer = torch.optim.Adam([weight.requires_grad_() for weight in w.values()], lr=3e-3)
    for _ in range(150):
        batch = x[torch.randint(len(x), (256,), generator=generator)]
        f = torch.relu((batch - w["b_dec"]) @ w["W_enc"] + w["b_enc"])
        error = (f @ w["W_dec"] + w["b_dec"] - batch).pow(2).mean()
        loss = error + 4e-4 * f.sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            w["W_dec"] /= w["W_dec"].norm(dim=1, keepdim=True)
    return {name: weight.detach() for name, weight in w.items()}


def scaling(patches: Tensor, scaled: bool) -> tuple[Tensor, Tensor]:
    """act_mean [d] and scalar as in `Dataset` (saev/activations.py at 837e943) of patches [n, d]; 0 and 1 unscaled."""
    if not scaled:
        return torch.zeros(D), torch.tensor(1.0)
    act_mean = patches.mean(dim=0)
    return act_mean, torch.linalg.norm(patches - act_mean, axis=1).mean() / D**0.5


@pytest.fixture(scope="module")
def trained_sae_v(seen: Seen) -> dict[bool, dict[str, Tensor]]:
    """One for patches that were scaled, and one for patches as they are."""
    patches = seen.training[:, 1:].flatten(0, 1)
    found = {}
    for scaled in (True, False):
        act_mean, scalar = scaling(patches, scaled)
        found[scaled] = train_sae_v((patches - act_mean) / scalar)
    return found


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("minus", [True, False])
def test_sae_v_is_read_by_the_formula_it_was_trained_with(
    scaled: bool,
    minus: bool,
    seen: Seen,
    trained_sae_v: dict[bool, dict[str, Tensor]],
    read: Callable[[SetupSpec], Made],
    tmp_path: Path,
) -> None:
    w = dict(trained_sae_v[scaled])
    w["b_dec"] = w["b_dec"] + 0.5 * scaled  # of a centred x it is next to 0, and "- b_dec" would say nothing
    if not minus:  # the same dictionary, for an encoder that leaves it out
        w["b_enc"] = w["b_enc"] - w["b_dec"] @ w["W_enc"]
    with (tmp_path / "sae.pt").open("wb") as stream:  # `dump` of saev/nn.py at 837e943: there was no schema number
        stream.write(json.dumps({"d_vit": D, "exp_factor": M // D + 1, "d_sae": M, "seed": 42}).encode() + b"\n")
        torch.save(w, stream)
    spec = spec_of(tmp_path, "saev", "sae.pt", "patches")
    chosen = read(spec)
    assert len(chosen.figures) == 4
    assert ("z = (x − mean) / scalar" in chosen.formula, "− b_dec" in chosen.formula) == (scaled, minus)

    act_mean, scalar = scaling(seen.crops[:, 1:].flatten(0, 1), scaled)
    x = seen.photographs[:, 1:].flatten(0, 1)
    f = torch.relu(((x - act_mean) / scalar - w["b_dec"] * minus) @ w["W_enc"] + w["b_enc"])
    truth = explained(x, (f @ w["W_dec"] + w["b_dec"]) * scalar + act_mean)
    assert chosen.figures[chosen.formula] == pytest.approx(truth, abs=2e-3)
    assert truth > 0.6
    if scaled and minus:
        setup = load(spec)
        assert (setup.formula, setup.alternatives) == (chosen.formula, chosen.figures)


# ---- Prisma


def train_prisma(x: Tensor, k: int | None, normalised: bool = False) -> dict[str, Tensor]:
    """A restatement of `train_step` and `SparseAutoencoder` of ViT-Prisma, src/vit_prisma/sae at 6f359fc, shortened.

    b_dec begins at the geometric median, W_enc as the transpose of W_dec, whose rows are of unit length at every step;
    the error of a token is divided by its distance from the batch's mean, and without a top-k comes a penalty on f.
    """
    generator = torch.Generator().manual_seed(0)
    median = x.mean(0)
    for _ in range(30):
        weight = 1 / (x - median).norm(dim=1, keepdim=True)
        median = (weight * x).sum(0) / weight.sum()
    w_dec = torch.nn.functional.normalize(torch.randn(2 * D, D, generator=generator), dim=1)
    w = {
        "W_enc": w_dec.T.clone().contiguous(),
        "b_enc": torch.zeros(2 * D),
        "W_dec": w_dec,
        "b_dec": torch.zeros(D) if normalised else median,
    }
    optimizer = torch.optim.Adam([weight.requires_grad_() for weight in w.values()], lr=3e-3)
    for _ in range(120):
        with torch.no_grad():
            w["W_dec"] /= w["W_dec"].norm(dim=1, keepdim=True)
        batch = x[torch.randint(len(x), (256,), generator=generator)]
        f, x_hat = prisma_again(w, batch, k, normalised)
        distance = (batch - batch.mean(0)).norm(dim=-1, keepdim=True)
        loss = ((x_hat - batch).pow(2) / distance).mean()
        if k is None:
            loss = loss + 1e-5 * f.norm(p=1, dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(w.values(), 1.0)
        with torch.no_grad():
            gradient = w["W_dec"].grad
            assert gradient is not None
            gradient -= (gradient * w["W_dec"]).sum(1, keepdim=True) * w["W_dec"]
        optimizer.step()
    return {name: weight.detach() for name, weight in w.items()}


@pytest.fixture(scope="module")
def trained_prisma(seen: Seen) -> Callable[[bool], dict[str, Tensor]]:
    """One without a top-k on all tokens, by whether it standardises each."""
    return cache(lambda normalised: train_prisma(seen.training.flatten(0, 1), None, normalised))


def prisma_again(w: Mapping[str, Tensor], x: Tensor, k: int | None, normalised: bool = False) -> tuple[Tensor, Tensor]:
    """x [n, d] -> f [n, m], x_hat [n, d]."""
    mu, std = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
    seen = (x - mu) / (std + 1e-5) if normalised else x
    f = (seen - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    if k is None:
        f = torch.relu(f)
    else:
        top = torch.topk(f, k=k, dim=-1)
        f = torch.zeros_like(f).scatter(-1, top.indices, torch.relu(top.values))
    x_hat = f @ w["W_dec"] + w["b_dec"]
    return f, x_hat * std + mu if normalised else x_hat


def publish_prisma(w: Mapping[str, Tensor], folder: Path, config: Mapping[str, object], file: str) -> SetupSpec:
    """The files under their published names, with their published keys (see `published_saes.PRISMA`)."""
    sizes = {"d_in": D, "expansion_factor": 2, "d_sae": 2 * D, "hook_point_layer": LAYER}
    (folder / "config.json").write_text(json.dumps({**config, **sizes}, indent=4))
    torch.save(OrderedDict(w), folder / file)
    return spec_of(folder, "prisma", ".", "cls" if config["cls_token_only"] else "all")


@pytest.mark.parametrize("scope", ["cls", "all"])
def test_prisma_as_published_is_accepted_with_its_true_explained_variance(
    scope: str, seen: Seen, trained_prisma: Callable[[bool], dict[str, Tensor]], tmp_path: Path
) -> None:
    tokens = slice(0, 1) if scope == "cls" else slice(None)
    k = K if scope == "cls" else None
    w = train_prisma(seen.training[:, 0], k) if scope == "cls" else trained_prisma(False)
    config = {**PRISMA_TOP_K, "activation_fn_kwargs": {"k": K}} if scope == "cls" else PRISMA
    assert config["normalize_activations"] is None
    setup = load(publish_prisma(w, tmp_path, config, "weights.pt" if scope == "cls" else "n_images_2600058.pt"))
    assert not setup.alternatives
    assert setup.health is not None
    assert not setup.health.doubts
    assert setup.health.kind == "example pictures"
    x = seen.examples[:, tokens].flatten(0, 1)
    f, x_hat = prisma_again(w, x, k)
    truth = explained(x, x_hat)
    assert setup.health.explained_variance == pytest.approx(truth, abs=1e-3)
    assert truth > 0.6
    assert setup.health.active_per_token == pytest.approx(float((f != 0).sum(1).double().mean()), rel=1e-3)


@pytest.mark.parametrize("normalised", [False, True])
def test_prisma_from_before_it_could_say_so_is_read_by_the_formula_it_was_trained_with(
    normalised: bool,
    seen: Seen,
    trained_prisma: Callable[[bool], dict[str, Tensor]],
    read: Callable[[SetupSpec], Made],
    tmp_path: Path,
) -> None:
    w = trained_prisma(normalised)
    config = {name: value for name, value in PRISMA.items() if name != "normalize_activations"}
    chosen = read(publish_prisma(w, tmp_path, config, "n_images_2600058.pt"))
    assert len(chosen.figures) == 2
    assert ("standard at every token" in chosen.formula) == normalised
    x = seen.photographs.flatten(0, 1)
    truth = explained(x, prisma_again(w, x, None, normalised)[1])
    assert chosen.figures[chosen.formula] == pytest.approx(truth, abs=1e-3)


# ---- dictionary_learning: two classes with the same tensors


def train_top_k(x: Tensor, of_batch: bool) -> dict[str, Tensor]:
    """A restatement of `TopKTrainer`, or `BatchTopKTrainer`, of saprmarks/dictionary_learning at 60ec6bf, shortened.

    Both keep the threshold, a moving average of the least activation that is kept.
    """
    generator = torch.Generator().manual_seed(0)
    scale = x.pow(2).sum(1).mean().sqrt()  # `normalize_activations`; the biases are scaled back before they are saved
    x = x / scale
    w_dec = torch.nn.functional.normalize(torch.randn(M, D, generator=generator), dim=1)
    w = {"W_enc": w_dec.T.clone(), "b_enc": torch.zeros(M), "W_dec": w_dec, "b_dec": x.mean(0)}
    optimizer = torch.optim.Adam([weight.requires_grad_() for weight in w.values()], lr=2e-3)
    threshold = -1.0
    for _ in range(200):
        batch = x[torch.randint(len(x), (256,), generator=generator)]
        p = torch.relu((batch - w["b_dec"]) @ w["W_enc"] + w["b_enc"])
        if of_batch:
            top = p.flatten().topk(K * len(p))
            f = torch.zeros_like(p).flatten().scatter(-1, top.indices, top.values).reshape(p.shape)
            least = float(f.detach()[f > 0].min())
        else:
            top = p.topk(K, dim=-1)
            f = torch.zeros_like(p).scatter(-1, top.indices, top.values)
            least = float(top.values.detach().where(top.values > 0, torch.inf).min(1).values.mean())
        threshold = least if threshold < 0 else 0.9 * threshold + 0.1 * least
        loss = (f @ w["W_dec"] + w["b_dec"] - batch).pow(2).sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(w.values(), 1.0)
        optimizer.step()
        with torch.no_grad():
            w["W_dec"] /= w["W_dec"].norm(dim=1, keepdim=True)
    w = {name: weight.detach() for name, weight in w.items()}
    return {
        "b_dec": w["b_dec"] * scale,
        "k": torch.tensor(K, dtype=torch.int),
        "threshold": threshold * scale,
        "decoder.weight": w["W_dec"].T.contiguous(),
        "encoder.weight": w["W_enc"].T.contiguous(),
        "encoder.bias": w["b_enc"] * scale,
    }


@pytest.fixture(scope="module")
def top_ks(seen: Seen) -> dict[bool, dict[str, Tensor]]:
    """One of each class."""
    return {of_batch: train_top_k(seen.training.flatten(0, 1), of_batch) for of_batch in (False, True)}


@pytest.mark.parametrize("of_batch", [False, True])
def test_a_top_k_that_nothing_names_is_read_by_the_formula_it_was_trained_with(
    of_batch: bool,
    seen: Seen,
    top_ks: dict[bool, dict[str, Tensor]],
    read: Callable[[SetupSpec], Made],
    tmp_path: Path,
) -> None:
    w = top_ks[of_batch]
    torch.save(w, tmp_path / "ae.pt")
    spec = spec_of(tmp_path, "dictionary_learning", "ae.pt")
    chosen = read(spec)
    assert ("is above" in chosen.formula) == of_batch
    assert len(chosen.figures) == 2
    x = seen.photographs.flatten(0, 1)
    f = torch.relu((x - w["b_dec"]) @ w["encoder.weight"].T + w["encoder.bias"])
    f = f * (f > (w["threshold"] if of_batch else f.topk(K + 1, dim=-1).values[:, -1:]))
    truth = explained(x, f @ w["decoder.weight"].T + w["b_dec"])
    assert chosen.figures[chosen.formula] == pytest.approx(truth, abs=1e-3)
    assert truth > 0.8
    if of_batch:
        setup = load(spec)
        assert (setup.formula, setup.alternatives) == (chosen.formula, chosen.figures)


def test_a_threshold_that_keeps_many_more_than_k_is_not_taken_whatever_it_explains(
    seen: Seen, top_ks: dict[bool, dict[str, Tensor]], read: Callable[[SetupSpec], Made], tmp_path: Path
) -> None:
    """A TopK whose threshold was never set, or fell behind: with more components more can be explained."""
    for threshold in (-1.0, 0.3):
        torch.save({**top_ks[False], "threshold": torch.tensor(threshold)}, tmp_path / "ae.pt")
        chosen = read(spec_of(tmp_path, "dictionary_learning", "ae.pt"))
        assert chosen.formula.startswith(f"the {K} largest")
        x = seen.examples.flatten(0, 1)
        assert len(chosen.dictionary.activations(x).value) / len(x) == pytest.approx(K, abs=0.1)


# ---- the choice itself


def reading_of(weights: Mapping[str, Tensor], folder: Path) -> tuple[Reading, ...]:
    spec = publish_clip_scope(OrderedDict(weights), folder)
    return read_checkpoint("clipscope", folder, spec.dictionary.file)


def test_readings_share_the_weights_of_their_file(standardised: OrderedDict[str, Tensor], tmp_path: Path) -> None:
    first, second = reading_of(standardised, tmp_path)
    assert first.sae is second.sae
    assert first.standardise is not None
    assert second.standardise is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_reading_that_is_not_finite_is_not_taken(
    bad: float,
    clip: SplitClip,
    standardised: OrderedDict[str, Tensor],
    statistics: ResidualStatistics,
    tmp_path: Path,
) -> None:
    first, second = reading_of(standardised, tmp_path)
    broken = replace(statistics, mean=np.full_like(statistics.mean, bad))
    chosen = choose(clip, (first, second), "all", broken)
    assert chosen.formula == second.formula
    assert chosen.figures[first.formula] == -np.inf


def test_of_two_that_are_as_good_the_likelier_one_is_taken(
    clip: SplitClip, standardised: OrderedDict[str, Tensor], statistics: ResidualStatistics, tmp_path: Path
) -> None:
    first, second = reading_of(standardised, tmp_path)
    again = replace(first, formula="the same")
    for order in ((first, again, second), (second, first, again)):
        assert choose(clip, order, "all", statistics).formula == first.formula
    assert choose(clip, (again, first), "all", statistics).formula == "the same"


def test_a_single_reading_costs_nothing(
    clip: SplitClip, standardised: OrderedDict[str, Tensor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("no photograph is read")

    _, raw = reading_of(standardised, tmp_path)
    monkeypatch.setattr("core.setups.readings.read_picture", never)
    chosen = choose(clip, (raw,), "all", None)
    assert chosen.figures == {}
    assert chosen.dictionary.sae is raw.sae


Peak = Callable[[], int]


def test_the_weights_are_never_held_three_times(
    clip: SplitClip,
    standardised: OrderedDict[str, Tensor],
    statistics: ResidualStatistics,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Only what is taken is folded, and only once: the file's weights and one folded copy."""
    made: list[Setup | SaeDictionary] = []

    class Counted(SaeDictionary):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            made.append(self)

    first, second = reading_of(standardised, tmp_path)
    monkeypatch.setattr("core.setups.readings.SaeDictionary", Counted)
    chosen = choose(clip, (first, second), "all", statistics)
    storages = {d.sae.W_enc.data_ptr() for d in made}  # type: ignore[union-attr]
    assert len(made) == 3
    assert storages == {first.sae.W_enc.data_ptr(), chosen.dictionary.sae.W_enc.data_ptr()}
