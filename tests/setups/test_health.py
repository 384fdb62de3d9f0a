"""The health check against its figures worked out again, token by token; what it refuses, and what it doubts.

The broken CLIPs are the bundled one with one thing changed, which no error gives away.
"""

import pickle
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import LAYERS, WIDTH, tiny_sae
from PIL import Image
from sae_lens import SAE
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from core.errors import UserError
from core.model.clip import SplitClip
from core.model.dictionary import Dictionary
from core.model.places import ResidualStream
from core.model.sae_dictionary import SaeDictionary
from core.model.scope import Scope
from core.pictures.examples import FOLDER as EXAMPLES
from core.pictures.examples import PHOTOGRAPHS, read_examples
from core.pictures.photographs import photographs
from core.pictures.read import read_picture
from core.setups.catalog import CATALOG, Location, Published, SetupSpec, read_catalog
from core.setups.clips import read_clip
from core.setups.health import Fit, Health, doubts, refusal
from core.setups.health_check import BUNDLED_CLIP, ProbeSet, Sample, check, example_samples, probe_for
from core.setups.standardisation import Standardisation

PINNED = SetupSpec(
    "tiny",
    "Tiny",
    Location(repo="a/b", revision="0" * 40),
    Location(repo="c/d", revision="1" * 40),
    1,
    "all",
    "MIT",
    "",
)
CARD = SetupSpec("tiny", "Tiny", Location(EXAMPLES), Location(EXAMPLES), 1, "all", "MIT", "")
ASKED = (("dog", "cat", "owl"), ("bus", "dog"), ("dog", "cat", "owl"), ("cat", "red fish", "bus", "owl"))


@pytest.fixture(scope="module")
def probe() -> ProbeSet:
    """Four noisy pictures of different sizes, two of them asked the same."""
    rng = np.random.default_rng(3)
    pictures = [rng.integers(0, 256, (40 + 7 * n, 64, 3), dtype=np.uint8) for n in range(len(ASKED))]
    return ProbeSet(
        "noisy pictures",
        tuple(
            Sample(Image.fromarray(pixels), classes, classes[n % len(classes)])
            for n, (pixels, classes) in enumerate(zip(pictures, ASKED, strict=True))
        ),
    )


def at_layer(clip: SplitClip, layer: int) -> SplitClip:
    return SplitClip(clip.model, clip.image_processor, clip.tokenizer, ResidualStream(layer))


# ---- the figures once more, slowly


def residual_by_hand(clip: SplitClip, picture: Image.Image, layer: int) -> torch.Tensor:
    """[T, d], by the unsplit model."""
    pixels = clip.image_processor(picture, return_tensors="pt")["pixel_values"]
    return clip.model.vision_model(pixels, output_hidden_states=True).hidden_states[layer + 1][0]


def embedding_by_hand(clip: SplitClip, x: torch.Tensor, layer: int) -> torch.Tensor:
    """Every layer that is left on every token; [p], of length 1."""
    x = x[None]
    for block in clip.model.vision_model.encoder.layers[layer + 1 :]:
        x = block(x, attention_mask=None)
    z = clip.model.visual_projection(clip.model.vision_model.post_layernorm(x[:, 0]))[0]
    return z / z.norm()


def texts_by_hand(clip: SplitClip, classes: Sequence[str]) -> list[torch.Tensor]:
    """Every prompt by itself; each [p], of length 1."""
    found = []
    for name in classes:
        tokens = clip.tokenizer([f"a photo of a {name}"], truncation=True, max_length=20, return_tensors="pt")
        t = clip.model.get_text_features(**tokens).pooler_output[0]
        found.append(t / t.norm())
    return found


def logits_by_hand(clip: SplitClip, x: torch.Tensor, layer: int, classes: Sequence[str]) -> np.ndarray:
    z = embedding_by_hand(clip, x, layer)
    return np.array([(clip.model.logit_scale.exp() * z @ t).item() for t in texts_by_hand(clip, classes)])


def farthest(rows: list[torch.Tensor]) -> float:
    return max((one - other).norm().item() for one in rows for other in rows)


def without_any(sae: SAE, normalised: bool, x: torch.Tensor) -> torch.Tensor:
    """What is left of x_hat [d] with every component off."""
    return sae.b_dec * x.std() + x.mean() if normalised else sae.b_dec


def seen_by_hand(sae: SAE, normalised: bool, x: torch.Tensor, scope: Scope) -> tuple[torch.Tensor, np.ndarray]:
    """x_hat [T, d] and which components are active [T, m], token by token."""
    x_hat, active = x.clone(), np.zeros((len(x), sae.cfg.d_sae), dtype=bool)
    for t in range(len(x)):
        if {"all": False, "cls": t > 0, "patches": t == 0}[scope]:
            continue
        mean, spread = (x[t].mean(), x[t].std()) if normalised else (0.0, 1.0)
        f = sae.encode((x[t] - mean) / (spread + 1e-5 * normalised))
        x_hat[t] = sae.decode(f) * spread + mean
        active[t] = (f != 0).numpy()
    return x_hat, active


def explained_by_hand(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Of (x, x_hat) pairs, each [d]."""
    mean = torch.stack([x for x, _ in pairs]).double().mean(0)
    left = sum((x.double() - x_hat.double()).square().sum() for x, x_hat in pairs)
    return float(1 - left / sum((x.double() - mean).square().sum() for x, _ in pairs))


@pytest.mark.parametrize("scope", ["all", "cls", "patches"])
@pytest.mark.parametrize("kind", ["topk", "jumprelu", "layer_norm"])
@pytest.mark.parametrize("layer", [0, 1, LAYERS - 1])
@torch.no_grad()
def test_every_figure_is_what_it_says(clip: SplitClip, probe: ProbeSet, kind: str, scope: Scope, layer: int) -> None:
    normalised = kind == "layer_norm"
    dictionary = SaeDictionary(
        tiny_sae("standard", normalize_activations="layer_norm") if normalised else tiny_sae(kind), scope
    )
    clip = at_layer(clip, layer)
    found = check(clip, dictionary, replace(CARD, layer=layer, scope=scope), probe)

    scoped = {"all": range(17), "cls": range(1), "patches": range(1, 17)}[scope]
    added: list[torch.Tensor] = []
    pairs, cls_pairs, active, right, right_through, kept, change = [], [], [], [], [], [], []
    for sample in probe.samples:
        x = residual_by_hand(clip, sample.picture, layer)
        x_hat, fired = seen_by_hand(dictionary.sae, normalised, x, scope)
        pairs += [(x[t], x_hat[t]) for t in scoped]
        added += [x_hat[t] - without_any(dictionary.sae, normalised, x[t]) for t in scoped]
        cls_pairs.append((x[0], x_hat[0]))
        active.append(fired)
        before, after = (logits_by_hand(clip, one, layer, sample.classes) for one in (x, x_hat))
        best, second = sorted(range(len(before)), key=lambda c: -before[c])[:2]
        right.append(sample.classes[best] == sample.truth)
        right_through.append(sample.classes[int(after.argmax())] == sample.truth)
        kept.append(best == after.argmax())
        change.append((after[best] - after[second]) - (before[best] - before[second]))

    assert (found.pictures, found.tokens, found.components) == (4, 4 * len(scoped), dictionary.n_components)
    assert (found.not_finite, found.unanswered, found.same_texts, found.kind) == ("", 0, (), "noisy pictures")
    assert found.read_as_end == ""
    assert found.chance == pytest.approx((1 / 3 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert found.logit_scale == pytest.approx(clip.model.logit_scale.exp().item())
    assert found.explained_variance == pytest.approx(explained_by_hand(pairs), abs=1e-4)
    r = torch.stack(added).double()
    assert found.components_vary == pytest.approx(float((r - r.mean(0)).square().sum() / r.square().sum()), abs=1e-4)
    texts = {classes: texts_by_hand(clip, classes) for classes in ASKED}
    assert found.texts_apart == pytest.approx(max(farthest(rows) for rows in texts.values()), abs=1e-4)
    seen = [embedding_by_hand(clip, residual_by_hand(clip, s.picture, layer), layer) for s in probe.samples]
    assert found.pictures_apart == pytest.approx(farthest(seen), abs=1e-4)
    assert found.active_per_token == sum(fired.sum() for fired in active) / (4 * len(scoped))
    assert found.silent_share == pytest.approx(np.mean([not any(f[:, j].any() for f in active) for j in range(48)]))
    if scope == "patches":
        assert found.explained_variance_cls is None
        assert found.active_on_cls is None
    else:
        assert found.explained_variance_cls == pytest.approx(explained_by_hand(cls_pairs), abs=1e-4)
        assert found.active_on_cls == sum(fired[0].sum() for fired in active) / 4
    assert (found.accuracy, found.accuracy_through) == (np.mean(right), np.mean(right_through))
    assert found.answers_kept == np.mean(kept)
    assert found.margin_change == pytest.approx(np.median(change), abs=1e-3)
    assert found == pickle.loads(pickle.dumps(found))


@torch.no_grad()
def fit_by_hand(clip: SplitClip, dictionary: Dictionary, samples: Sequence[Sample], layer: int) -> tuple[float, float]:
    pairs = []
    for sample in samples:
        x = residual_by_hand(clip, sample.picture, layer)
        pairs += list(zip(x, seen_by_hand(dictionary.sae, False, x, "all")[0], strict=True))
    mean = torch.stack([x for x, _ in pairs]).mean(0)
    shares = [((x - x_hat).square().sum() / (x - mean).square().sum()).item() for x, x_hat in pairs]
    return explained_by_hand(pairs), float(np.median(shares))


@pytest.mark.parametrize(("layer", "beside"), [(0, [0, 1]), (1, [0, 1, 2]), (LAYERS - 1, [LAYERS - 2, LAYERS - 1])])
@pytest.mark.parametrize("tokens", [2000, 17])
def test_the_layers_beside_are_looked_at(
    clip: SplitClip,
    dictionary: Dictionary,
    probe: ProbeSet,
    monkeypatch: pytest.MonkeyPatch,
    layer: int,
    beside: list[int],
    tokens: int,
) -> None:
    monkeypatch.setattr("core.setups.health_check._BESIDE_TOKENS", tokens)  # 17: of the four pictures, the first
    fits = check(at_layer(clip, layer), dictionary, replace(CARD, layer=layer), probe).fits
    assert [fit.layer for fit in fits] == beside
    for fit in fits:
        expected = fit_by_hand(clip, dictionary, probe.samples if tokens > 17 else probe.samples[:1], fit.layer)
        assert (fit.explained_variance, fit.missed) == pytest.approx(expected, abs=1e-4)


@torch.no_grad()
def test_of_standardised_activations_it_has_what_their_training_logs(
    clip: SplitClip, dictionary: Dictionary, probe: ProbeSet
) -> None:
    """Token by token, against the mean of the token's own numbers: `training_step` in sache/train.py of
    Lewington-pitsos/sache at 0c97cd3."""
    mean, scale = np.linspace(-1, 1, WIDTH, dtype=np.float32), np.linspace(0.5, 2, WIDTH, dtype=np.float32)
    logged = []
    for sample in probe.samples:
        x = residual_by_hand(clip, sample.picture, 1)
        batch, reconstruction = (
            (one - torch.tensor(mean)) / torch.tensor(scale) for one in (x, dictionary.reconstruct(x))
        )
        variance = (batch - batch.mean(-1, keepdim=True)).pow(2).sum(-1)
        logged += (1 - (batch - reconstruction).pow(2).sum(-1) / variance).tolist()
    found = check(clip, dictionary, CARD, probe, standardisation=Standardisation(mean, scale))
    assert found.explained_variance_standardised == pytest.approx(np.mean(logged), abs=1e-4)
    without = check(clip, dictionary, CARD, probe)
    assert without.explained_variance_standardised is None
    assert replace(found, explained_variance_standardised=None) == without


def test_it_tells_how_far_it_is_and_stops_where_that_raises(
    clip: SplitClip, dictionary: Dictionary, probe: ProbeSet
) -> None:
    told = []
    check(clip, dictionary, CARD, probe, lambda done, total: told.append((done, total)))
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4)]

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(clip, dictionary, CARD, probe, stop)
    with pytest.raises(ValueError, match="two"):
        check(clip, dictionary, CARD, ProbeSet("one", probe.samples[:1]))


def test_the_model_is_seen_in_the_precision_it_runs_in(
    clip: SplitClip, dictionary: Dictionary, probe: ProbeSet
) -> None:
    lower = SplitClip(clip.model, clip.image_processor, clip.tokenizer, clip.place, torch.bfloat16)
    exact, rough = (check(one, dictionary, CARD, probe) for one in (clip, lower))
    assert rough.explained_variance != exact.explained_variance
    assert rough.explained_variance == pytest.approx(exact.explained_variance, abs=0.1)


# ---- the bundled setup

Parts = tuple[SplitClip, Dictionary, SetupSpec]


@pytest.fixture(scope="module")
def bundled() -> Parts:
    card = read_catalog(CATALOG)["bundled"]
    assert card.clip.folder is not None
    assert card.dictionary.folder is not None
    clip = read_clip(card.clip.folder, card.at)
    return clip, SaeDictionary.from_folder(card.dictionary.folder, card.scope), card


@pytest.fixture(scope="module")
def examples(bundled: Parts) -> ProbeSet:
    return probe_for(bundled[2])


@pytest.fixture(scope="module")
def few(examples: ProbeSet) -> ProbeSet:
    """Some of them, for what is broken on every picture: a check takes its time for each."""
    return ProbeSet(examples.kind, examples.samples[:6])


def test_the_bundled_setup_is_checked_on_its_examples(examples: ProbeSet) -> None:
    assert examples == ProbeSet("example pictures", example_samples())
    assert len(examples.samples) == len(list(EXAMPLES.glob("*.webp"))) > 12
    assert all(sample.truth in sample.classes and len(sample.classes) > 1 for sample in examples.samples)
    assert all(sample.picture.mode == "RGB" for sample in examples.samples)


def test_all_others_are_checked_on_photographs(tmp_path: Path) -> None:
    asked = [probe_for(PINNED), probe_for(CARD)]
    assert asked[0].kind == asked[1].kind == "photographs"
    plain, clean = asked[0].samples[: len(photographs())], asked[0].samples[len(photographs()) :]
    assert len(plain) > 8
    for sample, photograph in zip(plain, photographs(), strict=True):
        assert (sample.classes, sample.truth) == (photograph.classes, photograph.label)
        assert sample.picture == read_picture(photograph.path)
    # Those that a cue is planted on, once each, and without it.
    planted = [example for example in read_examples(PHOTOGRAPHS) if example.counterfactual]
    assert len(clean) == len({example.counterfactual for example in planted}) > 4
    for sample in clean:
        example = next(one for one in planted if read_picture(one.file(counterfactual=True)) == sample.picture)
        assert (sample.classes, sample.truth) == (example.classes, example.truth)
    # Whatever dictionary somebody trains for the bundled CLIP, and however its folder is named.
    link = tmp_path / "link"
    link.symlink_to(BUNDLED_CLIP, target_is_directory=True)
    assert probe_for(replace(CARD, clip=Location(link))).kind == "example pictures"


def test_the_bundled_setup_is_healthy(bundled: Parts, examples: ProbeSet) -> None:
    clip, dictionary, card = bundled
    health = check(clip, dictionary, card, examples)
    assert health.doubts == ()
    assert refusal(health, card) is None
    assert health.explained_variance > 0.9  # report.json has 0.95
    assert health.explained_variance_cls is not None
    assert health.explained_variance_cls > 0.9  # and 0.92
    assert 8 < health.active_per_token < 14
    assert health.answers_kept > 0.9
    assert f"{health.pictures} of {health.pictures} pictures" in health.summary


@pytest.mark.parametrize("layer", [0, 1, 2, 3, 5])
def test_the_bundled_dictionary_at_another_layer_is_doubted_with_numbers(
    bundled: Parts, examples: ProbeSet, layer: int
) -> None:
    clip, dictionary, card = bundled
    spec = replace(card, layer=layer)
    health = check(at_layer(clip, layer), dictionary, spec, examples)
    (said,) = (doubt for doubt in health.doubts if "after layer" in doubt.sentence)
    towards = layer + 1 if layer < card.layer else layer - 1
    assert f"after layer {towards}" in said.sentence
    assert "six layers" in said.sentence
    assert f"{health.explained_variance:.2f}".replace("-", "−") in said.sentence
    # One layer off it may still explain 0.85: what was learnt of a small CLIP alone refuses nothing.
    refused = refusal(health, spec)
    assert (said.about, refused is not None) == (("explained variance", True) if layer < 2 else ("layer", False))
    if refused is not None:
        assert refused.startswith("The setup 'bundled' is refused.")
        assert said.sentence in refused


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda sae: (sae.W_dec.mul_(3), sae.b_dec.mul_(3)), id="not scaled back"),
        pytest.param(lambda sae: sae.W_enc.mul_(0.25), id="not scaled"),
        pytest.param(lambda sae: sae.W_dec.copy_(sae.W_dec.flip(0)), id="rows in another order"),
        pytest.param(lambda sae: sae.W_enc.normal_(), id="random encoder"),
        pytest.param(lambda sae: sae.W_dec[:, 3].fill_(float("nan")), id="not a number"),
        pytest.param(lambda sae: sae.b_dec[0].fill_(float("inf")), id="infinite"),
        pytest.param(lambda sae: sae.W_dec[0].fill_(float("nan")), id="one component is not a number"),
        pytest.param(lambda sae: (sae.W_enc.zero_(), sae.b_enc.fill_(-1)), id="silent"),
        pytest.param(lambda sae: sae.W_dec.zero_(), id="an empty decoder"),
        pytest.param(lambda sae: (sae.W_enc.zero_(), sae.b_enc.fill_(9)), id="all fire everywhere"),
    ],
)
def test_a_damaged_dictionary_is_refused(bundled: Parts, few: ProbeSet, damage: Callable[[SAE], object]) -> None:
    clip, _, card = bundled
    assert card.dictionary.folder is not None
    sae = SaeDictionary.from_folder(card.dictionary.folder, card.scope).sae
    with torch.no_grad():
        damage(sae)
    health = check(clip, SaeDictionary(sae, "all"), card, few)
    for spec in (card, PINNED):
        said = refusal(health, replace(spec, layer=card.layer))
        unfit = not health.not_finite and health.components_vary > 1e-6
        assert (said is None) == (unfit and spec is PINNED)
        assert said is None or ("not finite were met in the weight" in said) == bool(health.not_finite)
        assert refusal(health, replace(spec, layer=card.layer), anyway=True) == (None if unfit else said)


# ---- CLIPs that are broken without an error


def weight(name: str, change: Callable[[torch.Tensor], object]) -> Callable[[SplitClip], None]:
    return lambda clip: (change(clip.model.get_parameter(name)), None)[1]


def text_tower(**settings: int) -> Callable[[SplitClip], None]:
    def change(clip: SplitClip) -> None:
        for name, value in settings.items():
            setattr(clip.model.config.text_config, name, value)
            setattr(clip.model.text_model, name, value)

    return change


def nan_at(*place: int) -> Callable[[torch.Tensor], object]:
    return lambda values: values[place].fill_(float("nan"))


def words_in_another_order(values: torch.Tensor) -> None:
    values.copy_(values[torch.randperm(len(values), generator=torch.Generator().manual_seed(0))])


def all_words_unknown(clip: SplitClip) -> None:
    clip.tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({"[UNK]": 2, "[PAD]": 1}, unk_token="[UNK]")), pad_token="[PAD]"
    )


def pixels_divided_twice(clip: SplitClip) -> None:
    clip.image_processor.rescale_factor /= 255


MEANINGLESS: dict[str, tuple[Callable[[SplitClip], None], str]] = {
    "nan in the text tower": (weight("text_model.encoder.layers.1.mlp.fc1.bias", nan_at(0)), "text_model.encoder"),
    "nan in the text projection": (weight("text_projection.weight", nan_at(0, 0)), "text_projection.weight"),
    "nan in the projection": (weight("visual_projection.weight", nan_at(5, 3)), "visual_projection.weight"),
    "nan in the first layer": (
        weight("vision_model.encoder.layers.0.mlp.fc2.bias", nan_at(0)),
        "layers.0.mlp.fc2.bias",
    ),
    "nan in a layer after L": (
        weight("vision_model.encoder.layers.5.mlp.fc1.bias", nan_at(0)),
        "layers.5.mlp.fc1.bias",
    ),
    "nan for one word": (weight("text_model.embeddings.token_embedding.weight", nan_at(1000)), "token_embedding"),
    "infinity in the last norm": (
        weight("vision_model.post_layernorm.bias", lambda values: values[0].fill_(float("-inf"))),
        "vision_model.post_layernorm.bias",
    ),
    "finite weights that overflow": (
        weight("vision_model.encoder.layers.2.mlp.fc2.weight", lambda values: values.fill_(3e38)),
        "the residual stream after vision layer 4",
    ),
    "the same in the text tower": (
        weight("text_model.encoder.layers.0.mlp.fc2.weight", lambda values: values.fill_(3e38)),
        "the logits",
    ),
    "nan as the logit scale": (weight("logit_scale", lambda value: value.fill_(float("nan"))), "logit scale"),
    "the scale's exponential": (weight("logit_scale", lambda value: value.copy_(value.exp())), "1.3e+08"),
    "that of a usual scale": (
        weight("logit_scale", lambda value: value.fill_(100.0)),
        "logit scale of its CLIP is inf",
    ),
    "the inverse scale's logarithm": (
        weight("logit_scale", lambda value: value.neg_()),
        "logit scale of its CLIP is 0.05",
    ),
    "a processor that divides by nothing": (
        lambda clip: setattr(clip.image_processor, "image_std", [0.0] * 3),
        "the residual stream after vision layer 4",
    ),
    "an empty projection": (weight("visual_projection.weight", lambda values: values.zero_()), "to its vision tower"),
    "an empty text projection": (weight("text_projection.weight", lambda values: values.zero_()), "to its text tower"),
    "an empty patch embedding": (
        weight("vision_model.embeddings.patch_embedding.weight", lambda values: values.zero_()),
        "to its vision tower",
    ),
    "an empty norm": (
        weight("vision_model.post_layernorm.weight", lambda values: values.zero_()),
        "to its vision tower",
    ),
    "an empty text norm": (
        weight("text_model.final_layer_norm.weight", lambda values: values.zero_()),
        "to its text tower",
    ),
    "an end of text that is no token": (text_tower(eos_token_id=7), "end-of-text"),
    "an end of text that begins every text": (text_tower(eos_token_id=0), "end-of-text"),
    "a tokenizer that knows no word": (all_words_unknown, "to its text tower"),
}
"""What is done to the CLIP, and what the refusal says of it."""


@torch.no_grad()
def broken(bundled: Parts, change: Callable[[SplitClip], None]) -> SplitClip:
    clip, _, _ = bundled
    again = SplitClip(deepcopy(clip.model), deepcopy(clip.image_processor), clip.tokenizer, clip.place)
    change(again)
    return again


@pytest.mark.parametrize("name", MEANINGLESS)
def test_a_clip_whose_answers_rest_on_nothing_is_refused(bundled: Parts, few: ProbeSet, name: str) -> None:
    _, dictionary, card = bundled
    change, words = MEANINGLESS[name]
    health = check(broken(bundled, change), dictionary, card, few)
    assert {doubt.weight for doubt in health.doubts} == {"meaningless"}
    for spec in (card, PINNED):  # nobody can have meant this, and nothing overrides it
        said = refusal(health, spec, anyway=True)
        assert said is not None
        assert words in said


@pytest.mark.parametrize(
    ("change", "about", "words"),
    [
        pytest.param(
            weight("text_model.embeddings.token_embedding.weight", words_in_another_order),
            "right answers", ["24 %", "guessing is on 20 %", "tokenizer"], id="another vocabulary",
        ),
        pytest.param(
            text_tower(eos_token_id=2), "texts", ["reads texts at “", "end-of-text"], id="an old configuration",
        ),
        pytest.param(pixels_divided_twice, "pictures", ["hardly differ", "image processor"], id="divided twice"),
        pytest.param(
            weight("logit_scale", lambda value: value.copy_(value.log())), "logit scale", ["2.93"], id="two logarithms",
        ),
    ],
)  # fmt: skip
def test_a_clip_that_may_be_broken_is_doubted(
    bundled: Parts, examples: ProbeSet, change: Callable[[SplitClip], None], about: str, words: list[str]
) -> None:
    _, dictionary, card = bundled
    health = check(broken(bundled, change), dictionary, card, examples)
    said = [doubt.sentence for doubt in health.doubts if doubt.about == about]
    assert any(all(word in sentence for word in words) for sentence in said), health.doubts


def test_two_words_that_are_one_to_the_tokenizer_tie_and_are_named(bundled: Parts, examples: ProbeSet) -> None:
    """A tie is no answer, right or wrong, though the truth stands first in the list."""
    clip, dictionary, card = bundled
    same = ("dog", "dog  ", "cat", " dog")  # a byte-pair tokenizer leaves spaces out
    said = [clip_says(clip, sample.picture, ("dog", "cat")) for sample in examples.samples]
    dogs = said.count("dog")
    assert 2 < dogs < len(said)

    def asked(ties: int) -> Health:
        """So many of the pictures that are dogs to it are asked the question that has the dog three times."""
        left, samples = ties, []
        for sample, answer in zip(examples.samples, said, strict=True):
            classes = same if answer == "dog" and left else ("cat", "dog")
            left -= classes is same
            samples.append(replace(sample, classes=classes, truth="dog"))
        return check(clip, dictionary, card, ProbeSet("example pictures", tuple(samples)))

    health = asked(2)
    right = (dogs - 2) / len(said)
    assert (health.unanswered, health.accuracy, health.accuracy_through) == (2, right, right)
    assert health.answers_kept == 1
    assert f"the same answer on {len(said) - 2} of {len(said) - 2} pictures" in health.summary
    assert health.same_texts == (("dog", "dog  "), ("dog", " dog"), ("dog  ", " dog"))
    doubted = {doubt.about: doubt.sentence for doubt in health.doubts}
    assert "“dog” and “dog  ” are the same to its text tower, and so are the texts of 2 more pairs" in doubted["texts"]
    assert f"On 2 of {len(said)} example pictures two classes tie" in doubted["ties"]

    # Where that is so for half of the pictures, the model does not answer.
    assert dogs >= len(said) / 2
    (doubt,) = asked(dogs).doubts
    assert doubt.weight == "meaningless"
    assert f"On {dogs} of {len(said)} example pictures" in doubt.sentence


def clip_says(clip: SplitClip, picture: Image.Image, classes: tuple[str, ...]) -> str:
    x = clip.residual(clip.pixels(clip.crop(picture)[None]))[0]
    return classes[int(logits_by_hand(clip, x, clip.layer, classes).argmax())]


@pytest.mark.parametrize(
    ("tokenizer", "words"),
    [
        pytest.param({"vocab": {"[UNK]": 49407, "[PAD]": 1}, "pad_token": "[PAD]"}, "token 49,407", id="too large"),
        pytest.param({"vocab": {"[UNK]": 2}}, "padding", id="cannot pad"),
    ],
)
def test_a_tokenizer_that_cannot_be_used_is_refused(
    bundled: Parts, examples: ProbeSet, tokenizer: dict[str, Any], words: str
) -> None:
    _, dictionary, card = bundled
    vocab = tokenizer.pop("vocab")
    foreign = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(vocab, unk_token="[UNK]")), **tokenizer)
    clip = broken(bundled, lambda clip: setattr(clip, "tokenizer", foreign))
    with pytest.raises(UserError, match=f"'bundled' is refused. .*{words}.* its own tokenizer"):
        check(clip, dictionary, card, examples)


# ---- what is made of the figures

WELL = Health(
    pictures=20,
    tokens=1000,
    components=4096,
    kind="photographs",
    not_finite="",
    logit_scale=100.0,
    texts_apart=0.6,
    pictures_apart=1.0,
    read_as_end="",
    same_texts=(),
    explained_variance=0.7,
    explained_variance_standardised=None,
    explained_variance_cls=0.6,
    active_per_token=32.0,
    active_on_cls=30.5,
    silent_share=0.75,
    components_vary=0.8,
    chance=0.2,
    unanswered=0,
    accuracy=0.9,
    accuracy_through=0.85,
    answers_kept=0.95,
    margin_change=-0.2,
    fits=(Fit(0, 0.5, 0.5), Fit(1, 0.7, 0.25), Fit(2, 0.6, 0.4)),
)
STATED = Published(explained_variance=0.75, active_per_token=32, dead_share=0.01, source="a page")


def judged(card: SetupSpec = CARD, **change: Any) -> Health:
    """What is well but for a change, with the doubts that follow."""
    health = replace(WELL, **change)
    return replace(health, doubts=doubts(health, card))


def beside(*figures: tuple[float, float]) -> tuple[Fit, ...]:
    """(explained variance, missed at the median token) of the layers 0, 1 and 2."""
    return tuple(Fit(layer, *pair) for layer, pair in enumerate(figures))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"not_finite": "the logits of its CLIP"}, ["finite", "the logits of its CLIP"]),
        ({"logit_scale": float("nan")}, ["logit scale", "nan"]),
        ({"texts_apart": 1e-5}, ["class names", "tokenizer"]),
        ({"pictures_apart": 0.0}, ["All 20 photographs", "image processor"]),
        ({"unanswered": 10}, ["On 10 of 20 photographs", "tie"]),
        ({"active_per_token": 0.0, "components_vary": 0.0}, ["None of its 4,096 components"]),
        ({"components_vary": 1e-9}, ["the same at every token", "20 photographs"]),
    ],
)
def test_what_is_meaningless_is_refused_whoever_says_otherwise(change: dict, words: list[str]) -> None:
    health = judged(**change, explained_variance=0.1)
    assert [doubt.weight for doubt in health.doubts] == ["meaningless"]
    for spec in (CARD, PINNED):
        said = refusal(health, spec, anyway=True)
        assert said is not None
        assert said.startswith("The setup 'tiny' is refused. ")
        assert all(word in said for word in words), said


@pytest.mark.parametrize(
    ("change", "numbers"),
    [
        ({"explained_variance": 0.29}, ["0.29", "0.30", "0.75 is published"]),
        ({"explained_variance": -12.3456}, ["−12.35"]),
        ({"explained_variance": float("nan")}, ["nan"]),
        ({"answers_kept": 0.35}, ["35 %", "40 %", "0.70"]),
    ],
)
def test_what_is_unfit_is_refused_with_its_numbers_and_a_way_around(change: dict, numbers: list[str]) -> None:
    card = replace(CARD, published=STATED)
    health = judged(card, **change)
    said = refusal(health, card)
    assert said is not None
    assert "--anyway" in said
    assert "anyway=True" in said
    assert all(number in said for number in numbers), said
    (doubt,) = (doubt for doubt in health.doubts if doubt.weight == "unfit")
    assert doubt.sentence in said
    assert "--anyway" not in doubt.sentence
    assert refusal(health, card, anyway=True) is None
    assert refusal(health, replace(PINNED, published=STATED)) is None


def test_pinned_to_commits_are_files_of_the_hub_that_cannot_change() -> None:
    assert PINNED.at_pinned_commits
    assert not CARD.at_pinned_commits
    for changed in (
        Location(Path("here")),
        Location(repo="some/where"),
        Location(repo="some/where", revision="v1"),
    ):
        assert not replace(PINNED, clip=changed).at_pinned_commits
        assert not replace(PINNED, dictionary=changed).at_pinned_commits


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"explained_variance": 0.59}, ["0.59", "0.75 is published"]),
        ({"active_per_token": 65.5}, ["65.5", "32 are published"]),
        ({"active_per_token": 15.0}, ["15", "32 are published"]),
        ({"fits": beside((0.73, 0.24), (0.7, 0.25), (0.6, 0.4))}, ["0.73", "after layer 0"]),
        ({"fits": beside((0.9, 0.24), (0.7, 0.25), (0.6, 0.4))}, ["0.90", "after layer 0"]),
        ({"fits": beside((0.8, 0.2), (0.7, 0.25), (0.6, 0.4))}, ["0.80", "after layer 0", "0.70", "after layer 1"]),
        ({"explained_variance_cls": 0.1}, ["class token", "0.10"]),
        ({"answers_kept": 0.7}, ["70 %"]),
        ({"accuracy": 0.3}, ["30 %", "guessing is on 20 %", "tokenizer"]),
        ({"logit_scale": 3.0}, ["logit scale is 3,"]),
        ({"logit_scale": 500.0}, ["logit scale is 500,"]),
        ({"texts_apart": 0.01}, ["0.010"]),
        ({"read_as_end": "dog"}, ["reads texts at “dog”", "end-of-text"]),
        ({"same_texts": (("dog", "wolf"),)}, ["“dog” and “wolf” are the same"]),
        ({"pictures_apart": 0.02}, ["0.020"]),
        ({"unanswered": 3}, ["On 3 of 20 photographs"]),
    ],
)
def test_what_is_odd_is_said_and_not_refused(change: dict, words: list[str]) -> None:
    card = replace(CARD, published=STATED)
    health = judged(card, **change)
    assert refusal(health, card) is None
    (doubt,) = health.doubts
    assert doubt.weight == "odd", doubt
    assert all(word in doubt.sentence for word in words), doubt


def test_what_is_well_is_neither() -> None:
    for card in (CARD, replace(CARD, published=STATED)):
        assert doubts(WELL, card) == ()
    # next to all is explained everywhere: the neighbour's last tenth of a percent says nothing
    assert judged(fits=beside((1.0, 0.0), (0.999, 0.001), (0.999, 0.001))).doubts == ()


def test_published_figures_stand_beside_ours() -> None:
    rows = {row.label: row for row in WELL.rows(STATED)}
    assert (rows["Explained variance"].ours, rows["Explained variance"].published) == pytest.approx((70, 75))
    assert (rows["Active at a token"].ours, rows["Active at a token"].published) == (32, 32)
    silent = rows["Silent on these pictures"]
    assert (silent.ours, silent.published) == pytest.approx((75, 1))
    assert all(words in silent.remark for words in ("4,096", "20 pictures", "1,000 tokens", "millions"))
    assert "class token" in " ".join(rows)
    assert {row.unit for row in rows.values()} == {"%", "components", "logits"}
    without = replace(WELL, explained_variance_cls=None, active_on_cls=None).rows(Published())
    assert len(without) == len(rows) - 2
    assert all(row.published is None for row in without)
    assert "class token" not in " ".join(row.label for row in without)


OF_STANDARDISED = replace(STATED, standardised=True)


def test_figures_of_standardised_activations_are_compared_with_those_alone() -> None:
    rows = {row.label: row for row in replace(WELL, explained_variance_standardised=0.72).rows(OF_STANDARDISED)}
    assert list(rows)[:2] == ["Explained variance", "Explained variance, standardised"]
    assert (rows["Explained variance"].ours, rows["Explained variance"].published) == (70, None)
    standardised = rows["Explained variance, standardised"]
    assert (standardised.ours, standardised.published) == pytest.approx((72, 75))
    assert rows["Silent on these pictures"].published == pytest.approx(1)
    own = {row.label: row.published for row in replace(WELL, explained_variance_standardised=0.72).rows(STATED)}
    assert (own["Explained variance"], own["Explained variance, standardised"]) == (75, None)

    raw = {row.label: row.published for row in WELL.rows(OF_STANDARDISED)}
    assert raw["Explained variance"] is None
    assert raw["Silent on these pictures"] is None
    assert "Explained variance, standardised" not in raw


@pytest.mark.parametrize(
    ("explained", "standardised", "words"),
    [
        (0.5, 0.7, []),  # however much of x, the published figure is not of x
        (0.7, 0.59, ["0.59", "of standardised activations", "0.75 is published"]),
        (0.7, None, ["0.75", "of standardised activations is published", "nothing here can be compared"]),
    ],
)
def test_what_is_far_below_published_is_told_of_the_same_activations(
    explained: float, standardised: float | None, words: list[str]
) -> None:
    card = replace(CARD, published=OF_STANDARDISED)
    found = judged(
        card,
        explained_variance=explained,
        explained_variance_standardised=standardised,
        fits=beside((0.3, 0.8), (explained, 0.25), (0.3, 0.8)),
    ).doubts
    assert len(found) == bool(words)
    assert all(word in doubt.sentence for doubt in found for word in words)


def test_a_refusal_says_what_the_published_figure_is_of() -> None:
    card = replace(CARD, published=OF_STANDARDISED)
    said = refusal(judged(card, explained_variance=0.1, explained_variance_standardised=0.1), card)
    assert said is not None
    assert "0.75 is published of standardised activations" in said


def test_the_sentence_has_the_figures() -> None:
    assert all(words in WELL.summary for words in ("20 photographs", "70 %", "1,000", "32 of 4,096", "19 of 20"))
