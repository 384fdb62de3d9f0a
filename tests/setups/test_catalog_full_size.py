"""Every entry of the catalog, loaded as a page loads it, from files of the published sizes: `pytest -m full_size`.

Nothing is downloaded. What is published is made here, with other numbers in it:

1. For each CLIP a repository with the files of the real one, in the layout and under the names of its pages on the
   Hub, and random weights in the geometry of its vision tower. The text tower of those in transformers' layout is a
   small one behind OpenAI's vocabulary; nothing here depends on its size.
2. For each dictionary a file in its layout and of its size, which does reconstruct the residual of that CLIP: of its
   components, r pairs are the leading principal directions of some photographs, v and -v, and all others, who would
   spoil it, never fire. What it should come to follows from the project's own formula (see `published_saes`).
   CLIP-Scope's is one of standardised activations, as those that are published.
3. `core.setups.loading.load` gets both from a Hub on this machine, chooses among formulas and checks the health; then
   the Hub ends, and it loads them again.
"""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
import open_clip_files
import published_saes
import pytest
import torch
import torch.nn.functional as F
from conftest import tokenizer_of
from fake_hub import serve
from open_clip_files import PUBLISHED_CONFIG, PUBLISHED_FILES, make_weights, see
from published_saes import (
    PRISMA_TOP_K,
    Release,
    write_batch_topk,
    write_clip_topk,
    write_clipscope,
    write_matryoshka,
    write_patchsae,
    write_prisma,
    write_saev,
)
from published_tokenizer import laion_settings, published_merges, vocabulary
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

from core.errors import UserError
from core.methods.steering import Edit
from core.methods.targets import ClassTarget
from core.model.prompts import TEMPLATES
from core.pictures.photographs import crops, photographs
from core.pictures.read import read_picture
from core.setups.catalog import Layout, Location, SetupSpec, read_catalog
from core.setups.checkpoints import files_of, read_checkpoint
from core.setups.health_check import ProbeSet, Sample
from core.setups.loading import Loading, Setup, load
from core.setups.published_tokens import END, PUBLISHED, START
from core.workbench import Workbench

CARDS = read_catalog()
FROM_ELSEWHERE = [name for name in CARDS if name != "bundled"]

SIZES: dict[Layout, tuple[int, int]] = {
    "clipscope": (1024, 65536),
    "prisma": (768, 49152),
    "saev": (768, 24576),
    "patchsae": (768, 49152),
    "dictionary_learning": (1024, 8192),  # x8
    "clip_topk_sae": (512, 4096),
}
"""Width and components of the catalog's dictionaries, by layout."""
VLM_PROJECTION = (768, 6144)
"""Of sae-for-vlm's after the projection, x8 too."""
CONCEPT_SCOPE = (1024, 32768)
"""Of ConceptScope's, which is laid out as PatchSAE's."""


def sizes(card: SetupSpec) -> tuple[int, int]:
    """Width and components of a card's dictionary."""
    if card.layout == "dictionary_learning" and card.place == "embedding":
        return VLM_PROJECTION
    return CONCEPT_SCOPE if card.name == "concept-scope" else SIZES[card.layout]


CROPS = 3
"""How many crops statistics are taken of here, for the sake of time; a visitor's are of `residual_statistics.CROPS`."""

PAIRS = 200
"""r, the principal directions in a dictionary; fewer than the width, so that it fits no other layer as well."""


# ---- CLIPs, as their repositories hold them


@dataclass(frozen=True)
class Geometry:
    """A published CLIP."""

    width: int
    """d of the vision tower."""
    layers: int
    """Of the vision tower."""
    patch: int
    """Pixels."""
    side: int
    """Pixels of a picture."""
    projection: int
    """p, the width of the embeddings."""
    activation: str
    """In the MLPs."""
    weights: str
    """The file they are in."""
    precision: torch.dtype
    """In the file."""
    others: tuple[str, ...]
    """Files of the repository that nobody asked for."""
    pictures: int
    """How many of the example pictures the health check sees: all of them would take half an hour."""
    colours: tuple[tuple[float, ...], tuple[float, ...]] = (
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    )
    """Mean and standard deviation that pictures are normalised by."""


CLIPS = {
    # huggingface.co/laion/CLIP-ViT-L-14-laion2B-s32B-b82K at 1627032
    "laion/CLIP-ViT-L-14-laion2B-s32B-b82K": Geometry(
        *(1024, 24, 14, 224, 768, "gelu", "model.safetensors", torch.float16),
        others=("README.md", "pytorch_model.bin", "open_clip_config.json", "open_clip_pytorch_model.bin"),
        pictures=2,
        colours=((0.5,) * 3, (0.5,) * 3),
    ),
    # huggingface.co/openai/clip-vit-base-patch16 at 57c2164: no safetensors
    "openai/clip-vit-base-patch16": Geometry(
        *(768, 12, 16, 224, 512, "quick_gelu", "pytorch_model.bin", torch.float32),
        others=("README.md", "flax_model.msgpack"),
        pictures=4,
    ),
    # huggingface.co/openai/clip-vit-large-patch14 at 32bd642: 1.71 GB of safetensors
    "openai/clip-vit-large-patch14": Geometry(
        *(1024, 24, 14, 224, 768, "quick_gelu", "model.safetensors", torch.float32),
        others=("README.md", "pytorch_model.bin", "flax_model.msgpack", "tf_model.h5"),
        pictures=2,
    ),
    # huggingface.co/openai/clip-vit-large-patch14-336 at ce19dc9, as its copy grantpitt/clip-vit-large-patch14-336 at
    # 483f4b4 lists it: no safetensors
    "openai/clip-vit-large-patch14-336": Geometry(
        *(1024, 24, 14, 336, 768, "quick_gelu", "pytorch_model.bin", torch.float16),
        others=("README.md", "tf_model.h5"),
        pictures=3,
    ),
}
"""Those in transformers' layout."""

DATACOMP = "laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K"
"""The one in open_clip's layout; `open_clip_files` says what is known of it."""

SETTINGS = (
    "config.json preprocessor_config.json tokenizer.json vocab.json merges.txt tokenizer_config.json "
    "special_tokens_map.json"
).split()

Run = Callable[[Tensor], tuple[Sequence[Tensor], Sequence[Tensor], Tensor]]
"""Of pixels [1, 3, S, S], the residual after every layer, what their MLPs add (where a card reads that), and the
embedding, by the whole, unsplit model."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A CLIP in the files of its repository, and what the whole, unsplit model makes of some pictures."""

    repo: str
    """Its name."""
    folder: Path
    """Its files."""
    cache: Path
    """Where huggingface_hub keeps what it downloads; the setups of one CLIP share it, as on a visitor's machine."""
    wanted: tuple[str, ...]
    """The files that are needed."""
    samples: tuple[Sample, ...]
    """The pictures: photographs."""
    crops: np.ndarray
    """After every layer, of the crops that statistics are taken of, float32 [layers, CROPS, T, d]."""
    residuals: np.ndarray
    """After every layer, float32 [layers, pictures, T, d]."""
    added: np.ndarray
    """What the MLP of every layer adds, float32 [layers, pictures, T, d]; of no layer where no card reads it."""
    embeddings: np.ndarray
    """Not normalised, float32 [pictures, p]."""

    def seen(self, card: SetupSpec, layer: int | None = None) -> Tensor:
        """The tokens in scope after a layer (the card's), of all pictures, [n, d]; or what else the card reads."""
        if card.place == "embedding":
            return torch.from_numpy(self.embeddings)
        return self.in_scope(self.added if card.place == "mlp" else self.residuals, card, layer)

    def statistics(self, card: SetupSpec, layer: int | None = None) -> tuple[Tensor, Tensor]:
        """Mean and deviation [d] of the same tokens of the crops."""
        x = self.in_scope(self.crops, card, layer)
        return x.mean(0), x.std(0)

    def in_scope(self, residuals: np.ndarray, card: SetupSpec, layer: int | None) -> Tensor:
        x = torch.from_numpy(residuals[card.layer if layer is None else layer])
        scope = {"all": slice(None), "cls": slice(0, 1), "patches": slice(1, None)}[card.scope]
        return x[:, scope].flatten(0, 1)


def write_settings(folder: Path, shape: Geometry) -> None:
    """All but the weights, in the older forms in which they are published."""
    vision = {
        "hidden_size": shape.width,
        "intermediate_size": 4 * shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.width // 64,
        "image_size": shape.side,
        "patch_size": shape.patch,
        "hidden_act": shape.activation,
    }
    marks = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}  # as published, though the ids are others
    text = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 1, **marks}
    config = {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": shape.projection,
        "logit_scale_init_value": 2.6592,
        "text_config": text | {"vocab_size": 49408, "max_position_embeddings": 77, "model_type": "clip_text_model"},
        "text_config_dict": None,
        "vision_config": vision | {"model_type": "clip_vision_model"},
        "vision_config_dict": None,
        "torch_dtype": "float32",
        "transformers_version": None,
    }
    mean, std = shape.colours
    pictures = {
        "crop_size": shape.side,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": mean,
        "image_std": std,
        "resample": 3,
        "size": shape.side,
    }
    words = laion_settings()
    contents = {
        "config.json": config,
        "preprocessor_config.json": pictures,
        "vocab.json": vocabulary(),
        "tokenizer_config.json": words,
        "special_tokens_map.json": {name: words[name] for name in ("bos_token", "eos_token", "unk_token", "pad_token")},
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    merges = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in published_merges()), ""])
    (folder / "merges.txt").write_text(merges, encoding="utf-8")
    tokenizer = tokenizer_of(vocabulary(), published_merges(), 77)
    (folder / "tokenizer.json").write_text(tokenizer.backend_tokenizer.to_str(), encoding="utf-8")


def write_weights(folder: Path, shape: Geometry) -> None:
    """Random ones, under whose layers the residual changes much (see `conftest.tiny_model`)."""
    with torch.device("meta"):
        model = CLIPModel(CLIPConfig.from_pretrained(folder))
    torch.manual_seed(0)
    weights = {}
    for name, weight in model.named_parameters():
        std = weight[0].numel() ** -0.5 if weight.ndim >= 2 else 0.2
        mean = 1.0 if "norm" in name and "bias" not in name else 0.0
        weights[name] = (mean + std * torch.randn(weight.shape)).to(shape.precision)
    weights["logit_scale"] = torch.tensor(100.0).log().to(shape.precision)
    for tower, positions in (("text_model", 77), ("vision_model", 1 + (shape.side // shape.patch) ** 2)):
        weights[f"{tower}.embeddings.position_ids"] = torch.arange(positions)[None]  # in older files, and not needed
    if shape.weights.endswith(".bin"):
        torch.save(weights, folder / shape.weights)
    else:
        save_file(weights, folder / shape.weights, metadata={"format": "pt"})


def write_transformers(folder: Path, shape: Geometry) -> tuple[tuple[str, ...], CLIPImageProcessorPil, Run]:
    """A repository in transformers' layout: which files are needed of it, and the model in it."""
    write_settings(folder, shape)
    write_weights(folder, shape)
    for name in shape.others:
        (folder / name).write_bytes(b"not asked for")
    model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()

    def run(pixels: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor], Tensor]:
        out = model.vision_model(pixels, output_hidden_states=True)
        return out.hidden_states[1:], (), model.visual_projection(out.pooler_output)

    return (*SETTINGS, shape.weights), CLIPImageProcessorPil.from_pretrained(folder), run


def write_open_clip(folder: Path) -> tuple[tuple[str, ...], CLIPImageProcessorPil, Run]:
    """The same for the repository in open_clip's layout; the model is open_clip's forward pass written down."""
    config = json.loads(PUBLISHED_CONFIG)["model_cfg"]
    weights = make_weights(config) | {"logit_scale": torch.tensor(100.0).log()}
    (folder / "open_clip_config.json").write_text(PUBLISHED_CONFIG, encoding="utf-8")
    open_clip_files.write_tokenizer(folder, vocabulary(), published_merges(), 77)
    open_clip_files.write_weights(folder, weights)
    others = ("README.md", "open_clip_pytorch_model.bin")
    for name in others:
        (folder / name).write_bytes(b"not asked for")
    assert sorted(files_in(folder)) == sorted(PUBLISHED_FILES)
    wanted = tuple(name for name in PUBLISHED_FILES if name not in others)

    def run(pixels: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor], Tensor]:
        added: list[Tensor] = []
        after, embedding = see(weights, config, pixels, added)
        return after, added, embedding

    return wanted, CLIPImageProcessorPil(), run


@torch.no_grad()
def published_clip(repo: str, root: Path) -> Clip:
    """Write a repository, and run the model in it."""
    folder = root / "clip"
    folder.mkdir()
    wanted, processor, run = write_open_clip(folder) if repo == DATACOMP else write_transformers(folder, CLIPS[repo])
    n = 8 if repo == DATACOMP else CLIPS[repo].pictures
    samples = tuple(Sample(read_picture(one.path), one.classes, one.label) for one in photographs()[:n])
    pictures = [*(sample.picture for sample in samples), *crops(CROPS)]
    states, adds, embeddings = [], [], []
    for one in processor(pictures, return_tensors="pt")["pixel_values"]:
        after, added, embedding = run(one[None])
        states.append(torch.cat(tuple(after)).numpy())
        adds.append(torch.cat(tuple(added)).numpy() if added else np.zeros((0,)))
        embeddings.append(embedding[0].numpy())
    residuals, of_crops = np.stack(states[:n], axis=1), np.stack(states[n:], axis=1)
    of_mlps = np.stack(adds[:n], axis=1)
    return Clip(repo, folder, root / "cache", wanted, samples, of_crops, residuals, of_mlps, np.stack(embeddings[:n]))


@pytest.fixture(scope="module")
def clip(request: pytest.FixtureRequest) -> Iterator[Clip]:
    with TemporaryDirectory() as root:  # pytest would keep gigabytes
        yield published_clip(request.param, Path(root))


# ---- dictionaries that fit them


def fitting(x: Tensor, components: int, minus: bool = True) -> dict[tuple[int, ...], Tensor]:
    """Four tensors, by shape, whose pairs of components are the principal directions of x [n, d].

    For an encoder that reads x as it is, without "- b_dec", unless `minus`.
    """
    d, mean = x.shape[1], x.mean(0)
    v = torch.linalg.eigh((x - mean).T @ (x - mean))[1].T.flip(0)[:PAIRS]
    at = torch.randperm(components)[: 2 * PAIRS]
    inner = torch.randn(components, d) / d**0.5
    outer, bias = 1e-3 * inner.T.contiguous(), torch.full((components,), -1.0)
    inner[at] = torch.cat([v, -v])
    outer[:, at], bias[at] = inner[at].T, 0.0
    if not minus:
        bias[at] = -inner[at] @ mean
    return {(d, components): outer, (components,): bias, (components, d): inner, (d,): mean.contiguous()}


def write_dictionary(
    card: SetupSpec, clip: Clip, root: Path, layer: int | None = None, minus: bool = True, scaled: bool = False
) -> Release:
    """The file of a card, made for what its CLIP puts out after a layer (the card's).

    CLIP-Scope's is made for standardised activations. SAE-V's is made without "- b_dec" unless `minus`, and for
    activations that were scaled as a whole if `scaled`.
    """
    torch.manual_seed(1)
    d, m = sizes(card)
    k = int(card.published.active_per_token or 0)
    mean, scale = torch.zeros(d), torch.ones(d)
    if card.layout == "clipscope":
        mean, deviation = clip.statistics(card, layer)
        scale = deviation + 1e-6
    elif scaled:
        mean, _ = clip.statistics(card, layer)
        distances = torch.linalg.norm(clip.in_scope(clip.crops, card, layer) - mean, dim=1)
        scale = (distances.mean() / d**0.5).expand(d)
    seen = clip.seen(card, layer)
    if card.layout == "clip_topk_sae":  # it is of unit embeddings, and takes no bias off them
        weights = fitting(F.normalize(seen, dim=1), m, minus=False)
    else:
        weights = fitting((seen - mean) / scale, m, minus=minus)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published_saes, "numbers", lambda *shape, seed=0: weights[shape])
        release = WRITERS[card.layout](card, root, d, m, k)
    encode = release.encode if minus else lambda z: torch.relu(z @ weights[d, m] + weights[(m,)])
    decode = release.decode
    release.encode = lambda x: encode((x - mean) / scale)
    release.decode = lambda f: decode(f) * scale + mean
    for name in ("README.md", "decoy.ckpt", "decoys/decoy.pt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"not asked for")
    return release


def clipscope(card: SetupSpec, root: Path, d: int, m: int, k: int) -> Release:
    release = write_clipscope(root, d, m, k)
    (root / "20_resid").rename(root / f"{card.layer}_resid")
    return release


def prisma(card: SetupSpec, root: Path, d: int, m: int, k: int) -> Release:
    at = {"hook_point_layer": card.layer, "layer_subtype": "hook_mlp_out" if card.place == "mlp" else "hook_resid_post"}
    if card.scope == "cls":
        return write_prisma(root, d, m, {**PRISMA_TOP_K, "activation_fn_kwargs": {"k": k}, **at})
    return write_prisma(root, d, m, at, name="n_images_2600058.pt")


def patchsae(card: SetupSpec, root: Path, d: int, m: int, k: int) -> Release:
    named = str(card.clip.repo) if card.name == "concept-scope" else f"openai/{card.clip.repo}"
    return write_patchsae(root, d, m, file=card.dictionary.file, model=str(card.clip.repo), named=named)


def dictionary_learning(card: SetupSpec, root: Path, d: int, m: int, k: int) -> Release:
    write = write_matryoshka if card.dictionary.file.startswith("matroyshka") else write_batch_topk
    release = write(root, d, m, layer=-1 if card.place == "embedding" else card.layer)
    assert release.file == card.dictionary.file
    return release


WRITERS: dict[Layout, Callable[[SetupSpec, Path, int, int, int], Release]] = {
    "clipscope": clipscope,
    "prisma": prisma,
    "saev": lambda card, root, d, m, k: write_saev(root, d, m),
    "patchsae": patchsae,
    "dictionary_learning": dictionary_learning,
    "clip_topk_sae": lambda card, root, d, m, k: write_clip_topk(root, d, m, k),
}
"""How the file of a card is written, with `published_saes.numbers` for its numbers."""


@torch.no_grad()
def expected(release: Release, x: Tensor) -> tuple[float, float]:
    """Explained variance and active components at a token, for x [n, d], by the project's own formula."""
    f = release.encode(x)
    missed = (x - release.decode(f)).double()
    spread = (x - x.mean(0)).double()
    return 1 - float(missed.square().sum() / spread.square().sum()), float((f != 0).sum() / len(x))


# ---- what is checked


def check_answers(setup: Setup, clip: Clip) -> None:
    """A prediction, its attribution, a suppression and no edit at all."""
    sample, templates = clip.samples[0], TEMPLATES["single"]
    bench, classes = Workbench(setup), sample.classes
    trace = bench.open(sample.picture)
    np.testing.assert_allclose(
        trace.embedding, clip.embeddings[0], rtol=0, atol=1e-3 * np.abs(clip.embeddings[0]).max()
    )
    prediction = bench.classify(trace, classes, templates)
    target = ClassTarget(int(prediction.order[0]), int(prediction.order[1]))
    found = bench.attribute(trace, classes, templates, target)
    complete = found.completeness
    parts = [complete.components, complete.error, complete.bias, complete.rest]
    assert abs(complete.gap) < 1e-3 * sum(abs(part) for part in parts if part is not None)
    assert set(trace.activations.token.tolist()) <= set(setup.dictionary.tokens(trace.activations.n_tokens))

    strongest = int(found.component[np.abs(found.total).argmax()])
    (measured,) = bench.ablation_effects(trace, classes, templates, target, [strongest])
    after = bench.compare(trace, Edit.of_suppressed([strongest]), classes, templates)
    change = after.logit_change[target.wanted] - after.logit_change[target.against]
    assert change == pytest.approx(-measured, rel=1e-2, abs=1e-3)
    assert abs(change) > 1e-3

    assert np.array_equal(bench.steer(trace, Edit()).residual, trace.residual)
    same = bench.compare(trace, Edit(), classes, templates)
    assert np.array_equal(same.after.logits, prediction.logits)
    assert not same.flipped


def check_setup(setup: Setup, card: SetupSpec, clip: Clip, release: Release) -> None:
    """It is what the files are."""
    dictionary, health = setup.dictionary, setup.health
    assert (dictionary.width, dictionary.n_components) == sizes(card)
    assert dictionary.scope == card.scope
    assert setup.clip.layer == card.layer
    assert setup.clip.n_layers == len(clip.residuals)
    assert setup.clip.width == sizes(card)[0]
    assert health is not None
    assert not health.not_finite
    assert health.pictures == len(clip.samples)
    explained, active = expected(release, clip.seen(card))
    assert health.explained_variance == pytest.approx(explained, abs=1e-3)
    assert explained > 0.9
    assert health.active_per_token == pytest.approx(active, rel=1e-2)
    tried = dict(setup.alternatives)
    assert len(tried) == {"clipscope": 2, "saev": 4}.get(card.layout, 0)
    if tried:  # of the same photographs
        assert tried.pop(setup.formula) == pytest.approx(explained, abs=1e-3)
    assert all(value < explained - 0.05 for value in tried.values())
    assert setup.clip.tokenizer("a photo of a cat")["input_ids"] == [START, *PUBLISHED["a photo of a cat"], END]


# ---- the tests


def of_setups(names: Iterable[str]) -> pytest.MarkDecorator:
    """For each setup with its CLIP. For the scope of a module pytest sorts all tests by CLIP, and makes each once."""
    pairs = [(CARDS[name].clip.repo, name) for name in names]
    return pytest.mark.parametrize(("clip", "name"), pairs, indirect=["clip"], ids=list(names), scope="module")


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder that is gone at once afterwards."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def few(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """The health check sees the pictures of this CLIP, which are fewer than a visitor's for the sake of time."""
    monkeypatch.setattr("core.setups.loading.probe_for", lambda spec: ProbeSet("pictures", clip.samples))
    monkeypatch.setattr("core.setups.readings.photographs", lambda: photographs()[: len(clip.samples)])
    monkeypatch.setattr("core.setups.residual_statistics.CROPS", CROPS)


@pytest.mark.full_size
@pytest.mark.usefixtures("few")
@of_setups(FROM_ELSEWHERE)
def test_an_entry_loads_from_the_hub_and_then_without_it(
    clip: Clip, name: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(root))  # for the folders of one's own
    card = read_catalog()[name]
    place = root / "there" if card.dictionary.folder is None else card.dictionary.folder
    place.mkdir(parents=True)
    release = write_dictionary(card, clip, place)

    downloaded_before = clip.cache.is_dir()
    repositories = {clip.repo: {card.clip.revision: clip.folder}}
    if card.dictionary.repo is not None:
        repositories[card.dictionary.repo] = {card.dictionary.revision: place}
    with serve(repositories) as hub:
        hub.attach(monkeypatch, clip.cache)
        commits = {"clip": hub.commit(clip.repo, card.clip.revision)}
        wanted = [] if downloaded_before else list(clip.wanted)
        if card.dictionary.repo is not None:
            commits["dictionary"] = hub.commit(card.dictionary.repo, card.dictionary.revision)
            wanted += [name for name in files_in(place) if not name.startswith(("README", "decoy"))]
        told: list[Loading] = []
        setup = load(card, tell=told.append)
        assert sorted(hub.downloads()) == sorted(PurePosixPath(name).name for name in wanted)
        assert any(step.in_bytes for step in told) == bool(wanted)
    assert setup.commits == commits
    for part, commit in commits.items():
        revision = getattr(card, part).revision
        assert commit == revision or revision == "main"
    check_setup(setup, card, clip, release)
    if card.layout == "saev":
        assert "− b_dec" in setup.formula
        assert setup.standardisation is None
    if card.layout == "clipscope":
        assert "deviation" in setup.formula
        assert setup.standardisation is not None
    if card.dictionary.repo is not None:
        rmtree(place)  # only the cache has it now

    health, formula = setup.health, setup.formula
    del setup
    gc.collect()
    told.clear()
    again = load(card, tell=told.append)
    assert (again.commits, again.health, again.formula) == (commits, health, formula)
    assert not any(step.in_bytes for step in told)
    check_answers(again, clip)
    if card.dictionary.repo is not None:
        rmtree(clip.cache / f"models--{card.dictionary.repo.replace('/', '--')}")


def files_in(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def in_folders(card: SetupSpec, clip: Clip, root: Path) -> SetupSpec:
    return replace(card, clip=Location(clip.folder), dictionary=Location(root, file=card.dictionary.file))


@pytest.mark.full_size
@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(("minus", "scaled"), [(False, False), (True, True)], ids=["no-b_dec", "scaled"])
@of_setups(["sae-v"])
def test_the_formula_that_its_header_does_not_say_is_told_by_reconstruction(
    clip: Clip, name: str, root: Path, minus: bool, scaled: bool
) -> None:
    card = CARDS[name]
    release = write_dictionary(card, clip, root, minus=minus, scaled=scaled)
    setup = load(in_folders(card, clip, root))
    assert ("− b_dec" in setup.formula, "scalar" in setup.formula) == (minus, scaled)
    check_setup(setup, card, clip, release)


@pytest.mark.full_size
@pytest.mark.usefixtures("few")
@of_setups(["prisma-vanilla-9", "prisma-top-k-9", "sae-v", "sae-for-vlm-22"])
def test_a_dictionary_of_the_layer_before_is_doubted_with_its_numbers(clip: Clip, name: str, root: Path) -> None:
    """Not CLIP-Scope's, which is given mean and deviation of the layer it is read at, and so fits no other as well."""
    card = CARDS[name]
    write_dictionary(card, clip, root, card.layer - 1)
    setup = load(in_folders(card, clip, root), anyway=True)
    assert setup.health is not None
    said = " ".join(doubt.sentence for doubt in setup.health.doubts)
    assert f"of the variance after layer {card.layer - 1} and " in said


OPENING = """
import gc, json, sys
from dataclasses import replace
from pathlib import Path

def of_status(name):
    return next(1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

import core.setups.loading
from core.setups.catalog import Location, read_catalog
from core.model.prompts import TEMPLATES
from core.setups.health_check import ProbeSet, probe_for
from core.pictures.photographs import photographs
from core.methods.targets import ClassTarget
from core.workbench import Workbench

name, clip, dictionary, crops = sys.argv[1:]
card = read_catalog()[name]
card = replace(card, clip=Location(Path(clip)), dictionary=Location(Path(dictionary), file=card.dictionary.file))
samples = probe_for(card).samples
core.setups.loading.probe_for = lambda spec: ProbeSet("pictures", samples[:2])
core.setups.readings.photographs = lambda: photographs()[:2]
core.setups.residual_statistics.CROPS = int(crops)
classes, templates = samples[0].classes, TEMPLATES["single"]

libraries = of_status("VmRSS")
bench = Workbench(core.setups.loading.load(card))
gc.collect()
loading, loaded = of_status("VmHWM"), of_status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
trace = bench.open(samples[0].picture)
bench.classify(trace, classes, templates)
found = bench.attribute(trace, classes, templates, ClassTarget(0, 1))
maps = [trace.activations.at_tokens(found.pair, int(component)) for component in found.ranked()[:20]]
opening, weights = of_status("VmHWM"), bench.setup.n_bytes
print(json.dumps(dict(libraries=libraries, weights=weights, loading=loading, loaded=loaded, opening=opening)))
"""


@pytest.mark.full_size
@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="Only Linux says how high memory went.")
@of_setups(["clip-scope-20"])
def test_opening_a_picture_takes_less_than_a_gigabyte_beyond_the_weights(clip: Clip, name: str, root: Path) -> None:
    """In a process of its own. The kernel keeps the most memory that a process ever had (VmHWM); it is made to begin
    anew after loading (5 to clear_refs, see proc(5)), and compared with what the process had then, and, stricter, with
    what it had before loading and the weights."""
    card = CARDS[name]
    write_dictionary(card, clip, root)
    ran = subprocess.run(
        [sys.executable, "-c", OPENING, name, str(clip.folder), str(root), str(CROPS)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    memory = json.loads(ran.stdout.splitlines()[-1])
    print({what: f"{size / 1e9:.2f} GB" for what, size in memory.items()})
    assert memory["weights"] > 1.7e9
    d, m = sizes(card)  # loading holds the CLIP, the file's weights and those made of them, never a third time
    assert memory["loading"] - memory["libraries"] - memory["weights"] < 1.5 * 4 * 2 * d * m
    assert memory["opening"] - memory["loaded"] < 1e9
    assert memory["opening"] - memory["libraries"] - memory["weights"] < 1e9


def test_every_layout_has_a_reader_and_says_what_it_needs(tmp_path: Path) -> None:
    for layout in get_args(Layout):
        with pytest.raises(UserError):
            read_checkpoint(layout, tmp_path)
    for card in CARDS.values():
        patterns = files_of(card.layout, card.dictionary.file)
        assert patterns, card.name
        assert all(PurePosixPath(pattern).suffix for pattern in patterns), card.name
        assert not any(PurePosixPath(pattern).is_absolute() or ".." in pattern for pattern in patterns), card.name
