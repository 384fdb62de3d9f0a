"""A tiny random CLIP and tiny random dictionaries, saved as folders and loaded as any other setup.

What takes long to import is imported where it is used: the process that hands out the tests needs none of it.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

os.environ.setdefault("HF_HUB_OFFLINE", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # before torch: several processes share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    gc.disable()  # till all is imported, which stays: `pytest_collection_finish`

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    import torch
    from fake_hub import Hub
    from gradio_client import Client
    from PIL import Image
    from sae_lens import SAE
    from transformers import CLIPModel, CLIPTokenizer, MetaClip2Model, SiglipModel

    from core.concepts.index import ConceptIndex
    from core.methods.question import Question
    from core.methods.targets import ClassTarget
    from core.model.clip import SplitClip
    from core.model.dictionary import Dictionary
    from core.model.trace import Trace
    from core.page.context import Context
    from core.session.visit import Visit
    from core.setups.catalog import SetupSpec
    from core.workbench import Workbench

# Times vary on a shared machine, and failures should be the same on every machine.
settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.load_profile("steady")


def pytest_collection_finish() -> None:
    """What is imported stays, and is not looked through for garbage."""
    gc.freeze()
    gc.enable()


M = TypeVar("M", "CLIPModel", "MetaClip2Model", "SiglipModel")
LAYERS = 4
WIDTH = 32
COMPONENTS = 48
CLASSES = ("dog", "cat", "owl", "red fish", "bus")
EVIL = ("<img src=x onerror=alert(1)>", "\"'><script>alert(2)</script>", "{{constructor}}", "a & b")
"""Names that must stay text."""


def tokenizer_of(vocabulary: Mapping[str, int], merges: list[tuple[str, str]], context: int) -> CLIPTokenizer:
    """CLIP's tokenizer with these merges, which transformers declares as strings and hands on as pairs."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer(vocab=dict(vocabulary), merges=merges, model_max_length=context)  # type: ignore[arg-type]


def tiny_tokenizer() -> CLIPTokenizer:
    """A byte-pair tokenizer of letters, with two merges so that merging is exercised."""
    letters = "abcdefghijklmnopqrstuvwxyz{}"
    vocab = [
        "<|startoftext|>",
        "<|endoftext|>",
        *letters,
        *(letter + "</w>" for letter in letters),
        "do",
        "dog</w>",
    ]
    return tokenizer_of({token: index for index, token in enumerate(vocab)}, [("d", "o"), ("do", "g</w>")], 24)


VISION = {
    "hidden_size": WIDTH,
    "intermediate_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
    "hidden_act": "gelu",
}
TEXT = {
    "vocab_size": 60,
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 24,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
"""Of tiny models of any family."""


def tiny_model(seed: int = 0) -> CLIPModel:
    """A random CLIP whose layers change the residual stream much; started as usual, they hardly do."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"vision_config": {**VISION}, "text_config": {**TEXT}, "projection_dim": 16}
    return lively(CLIPModel(CLIPConfig(**sizes, logit_scale_init_value=2.6592)))


def tiny_metaclip(seed: int = 0) -> MetaClip2Model:
    """The same as a MetaCLIP 2."""
    import torch
    from transformers import MetaClip2Config, MetaClip2Model

    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"vision_config": {**VISION}, "text_config": {**TEXT}, "projection_dim": 16}
    return lively(MetaClip2Model(MetaClip2Config(**sizes, logit_scale_init_value=2.6592)))


def tiny_siglip(seed: int = 0) -> SiglipModel:
    """The same as a SigLIP, which has no projections: its texts are as wide as its pictures."""
    import torch
    from transformers import SiglipConfig, SiglipModel

    torch.manual_seed(seed)
    model = lively(SiglipModel(SiglipConfig(vision_config={**VISION}, text_config=TEXT | {"projection_size": WIDTH})))
    model.logit_scale.data.fill_(2.6592)
    model.logit_bias.data.fill_(-3.0)
    return model


def lively(model: M) -> M:
    """A model with random weights, large enough that each matters."""
    import torch

    for name, weight in model.named_parameters():
        if weight.ndim >= 2:
            torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
        elif "bias" in name:
            torch.nn.init.normal_(weight, std=0.2)
        elif "norm" in name:
            torch.nn.init.normal_(weight, mean=1.0, std=0.2)
    return model.eval()


def tiny_sae(architecture: str, seed: int = 0, **config: Any) -> SAE:
    """A random dictionary that fires on some components of some tokens; its decoder rows differ in length."""
    import torch
    from sae_lens import (
        GatedSAE,
        GatedSAEConfig,
        JumpReLUSAE,
        JumpReLUSAEConfig,
        StandardSAE,
        StandardSAEConfig,
        TopKSAE,
        TopKSAEConfig,
    )
    from sae_lens.saes import AbsTopKSAE, AbsTopKSAEConfig

    from core.model.signed_topk import SignedTopKSAE, SignedTopKSAEConfig

    kinds = {
        "standard": (StandardSAE, StandardSAEConfig),
        "gated": (GatedSAE, GatedSAEConfig),
        "jumprelu": (JumpReLUSAE, JumpReLUSAEConfig),
        "topk": (TopKSAE, TopKSAEConfig),
        "abstopk": (AbsTopKSAE, AbsTopKSAEConfig),
        "signed_topk": (SignedTopKSAE, SignedTopKSAEConfig),
    }
    sae_class, config_class = kinds[architecture]
    if architecture.endswith("topk"):
        config = {"k": 5, **config}
    torch.manual_seed(seed)
    sae = sae_class(config_class(**{"d_in": WIDTH, "d_sae": COMPONENTS} | config))
    for name, weight in sae.named_parameters():
        std = {"W_enc": 0.3, "W_dec": 0.25, "b_dec": 0.3}.get(name, 0.5)
        mean = -1.5 if name in ("b_enc", "b_gate") and "topk" not in architecture else 0.0
        torch.nn.init.normal_(weight, mean=mean, std=std)
        if name == "threshold":
            weight.data.abs_()
    return sae


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """As in forked processes: over more threads, sums come in another order and differ in the last bits."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def few_references() -> Iterator[None]:
    """A fifth of the reference scenes, in files that have them read often."""
    from core.methods.reference_scenes import KINDS

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.methods.reference_scenes.KINDS", {kind: n // 5 for kind, n in KINDS.items()})
        yield


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP on disk: weights, image processor, tokenizer."""
    from transformers import CLIPImageProcessorPil, CLIPProcessor

    folder = tmp_path_factory.mktemp("clip")
    tiny_model().save_pretrained(folder)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(image_processor=processor, tokenizer=tiny_tokenizer()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def dictionary_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A top-k dictionary on disk."""
    folder = tmp_path_factory.mktemp("dictionary")
    tiny_sae("topk").save_model(folder)
    return folder


@pytest.fixture(scope="session")
def clip(clip_folder: Path) -> SplitClip:
    """The tiny CLIP, split after layer 1 of 0 to 3."""
    from core.model.places import ResidualStream
    from core.setups.clips import read_clip

    return read_clip(clip_folder, ResidualStream(1))


@pytest.fixture(scope="session")
def dictionary(dictionary_folder: Path) -> Dictionary:
    """The tiny top-k dictionary on all tokens."""
    from core.model.sae_dictionary import SaeDictionary

    return SaeDictionary.from_folder(dictionary_folder, "all")


@pytest.fixture(scope="session")
def picture() -> Image.Image:
    """A wide picture with smooth structure and noise."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:48, 0:80]
    base = np.stack([columns * 3, rows * 5, (rows + columns) * 2], axis=-1)
    return Image.fromarray(np.clip(base + rng.normal(0, 20, base.shape), 0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def trace(clip: SplitClip, dictionary: Dictionary, picture: Image.Image) -> Trace:
    """The picture, read once."""
    from core.model.sae_clip import SaeClip

    return SaeClip(clip, dictionary).traces([clip.crop(picture)])[0]


@pytest.fixture(scope="session")
def classifier(clip: SplitClip) -> torch.Tensor:
    """Class vectors of CLASSES."""
    from core.model.clip import text_classifier

    return text_classifier(clip, CLASSES, ("a photo of a {}",))


@pytest.fixture(scope="session")
def question_of(clip: SplitClip, picture: Image.Image, classifier: torch.Tensor) -> Callable[[ClassTarget], Question]:
    """Questions about the picture, with more components active than a lever has neighbours."""
    from core.methods.question import Question
    from core.model.sae_clip import SaeClip
    from core.model.sae_dictionary import SaeDictionary

    model = SaeClip(clip, SaeDictionary(tiny_sae("topk", k=12), "all"))
    (trace,) = model.traces([clip.crop(picture)])
    return partial(Question, model, trace, classifier)


@pytest.fixture(scope="session")
def strongest(question_of: Callable[[ClassTarget], Question]) -> list[int]:
    """The components of these questions that speak most for dog against cat."""
    from core.methods.attribution import attribute
    from core.methods.targets import ClassTarget

    return attribute(question_of(ClassTarget(0, 1))).strongest_for(4).tolist()


@pytest.fixture(scope="session")
def bench(clip: SplitClip, dictionary: Dictionary) -> Workbench:
    """All questions about the tiny CLIP, which knows one word."""
    from core.model.sae_clip import SaeClip
    from core.setups.catalog import Location, SetupSpec
    from core.setups.loading import Setup
    from core.workbench import Workbench

    card = SetupSpec(
        "tiny", "Tiny", Location(Path("a")), Location(Path("b")), 1, "all", "MIT", "", vocabulary=frozenset({"dog"})
    )
    return Workbench(Setup(card, SaeClip(clip, dictionary)))


@pytest.fixture(scope="module")
def index() -> ConceptIndex:
    """A tiny concept index."""
    from tiny_index import tiny_index

    return tiny_index()


@pytest.fixture(scope="module")
def indexed(bench: Workbench, index: ConceptIndex) -> Workbench:
    """All questions about the tiny CLIP with that index."""
    from core.workbench import Workbench

    return Workbench(replace(bench.setup, index=index))


@pytest.fixture(scope="session")
def visit(bench: Workbench, picture: Image.Image) -> Visit:
    """Two levers on some tokens, in a visit of which every name looks like markup."""
    from core.methods.steering import Edit, Lever
    from core.model.prompts import TEMPLATES
    from core.session import visit as session
    from core.session.visit import Subject

    start = session.start(bench, picture, Subject(EVIL[0]), EVIL, TEMPLATES["single"], None)
    shown = [part.component for part in start.parts]
    return session.change(
        bench, session.measure(bench, start), Edit((Lever(shown[0]), Lever(shown[1], "set", 2.0)), (0, 3, 4))
    )


def exact_sae(width: int) -> SAE:
    """A dictionary that misses nothing: every direction of the residual once with each sign."""
    import torch
    from sae_lens import StandardSAE, StandardSAEConfig

    sae = StandardSAE(StandardSAEConfig(d_in=width, d_sae=2 * width))
    both = torch.cat([torch.eye(width), -torch.eye(width)])
    for name, weight in {"W_enc": both.T, "W_dec": both}.items():
        getattr(sae, name).data = weight.clone().contiguous()
    return sae


@pytest.fixture(scope="session")
def exact_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That dictionary for the tiny CLIP, on disk: one that passes every check."""
    folder = tmp_path_factory.mktemp("exact")
    exact_sae(WIDTH).save_model(folder)
    return folder


@pytest.fixture(scope="session")
def siglip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny SigLIP on disk, as transformers saves one; a SigLIP 2 of fixed resolution is one, too."""
    from transformers import SiglipImageProcessorPil, SiglipProcessor

    folder = tmp_path_factory.mktemp("siglip")
    tiny_siglip().save_pretrained(folder)
    processor = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    SiglipProcessor(image_processor=processor, tokenizer=tiny_tokenizer()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def cards(
    clip_folder: Path, siglip_folder: Path, dictionary_folder: Path, exact_folder: Path
) -> Mapping[str, SetupSpec]:
    """What a page offers: the bundled setup, a tiny one, one that fails its check, one that is not there, one of words.

    That last one is what is typed behind `app.py --clip FOLDER`, with few words and one mean for all pictures.
    """
    from core.serving.command_line import app_arguments
    from core.setups.catalog import Location, SetupSpec, read_catalog
    from core.setups.options import own_setup

    def card(name: str, dictionary: Path) -> SetupSpec:
        note = f"The setup called {name}, <b>for tests</b>."
        return SetupSpec(name, f"Tiny <{name}>", Location(clip_folder), Location(dictionary), 1, "all", "MIT", note)

    others = (("tiny", exact_folder), ("random", dictionary_folder), ("lost", exact_folder / "nowhere"))
    listed = siglip_folder / "few.txt"
    listed.write_text("\n".join(a + b for a in "abcdef" for b in "ghijkl"), encoding="utf-8")
    examples = Path(__file__).parents[1] / "assets" / "examples"
    typed = ("--clip", siglip_folder, "--words", listed, "--mean-of", examples)
    words = own_setup(app_arguments([str(one) for one in typed]))
    return {
        "bundled": read_catalog()["bundled"],
        **{name: card(name, folder) for name, folder in others},
        "words": replace(words, name="words", title="Tiny <words>"),
    }


@pytest.fixture(scope="session")
def context(cards: Mapping[str, SetupSpec]) -> Context:
    """A page that offers these setups, without a server."""
    from core.page.context import Context
    from core.serving.settings import Settings, make_pool

    return Context.of(make_pool(Settings.from_environment({}), cards))


@pytest.fixture(scope="session")
def first(context: Context) -> Visit:
    """What that page opens with: a dog with a note that says "cat", taken for a cat."""
    return opening_visit(context, "bundled")


@pytest.fixture(scope="session")
def tiny(context: Context) -> Visit:
    """The same picture, asked of the tiny setup, which has no concept index."""
    return opening_visit(context, "tiny")


def opening_visit(context: Context, setup: str) -> Visit:
    """A visit of that setup that begins with the first example."""
    from core.model.prompts import TEMPLATES
    from core.session.visit import start, subject_of

    e = context.examples[0]
    return start(context.pool.get(setup), e.file(), subject_of(e), e.classes, TEMPLATES["single"], e.truth)


@pytest.fixture(scope="session", autouse=True)
def uploads(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is uploaded lies in a folder of this process: a page that closes deletes it, by its content."""
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("uploads"))


@pytest.fixture(scope="session", autouse=True)
def ports(worker_id: str) -> None:
    """Ports of this process alone: of two that find the same one free, one waits for ever for its server."""
    from gradio import http_server

    http_server.INITIAL_PORT_VALUE += 200 * int(worker_id.removeprefix("gw") if worker_id != "master" else 0)


@pytest.fixture(scope="session")
def address(cards: Mapping[str, SetupSpec]) -> Iterator[str]:
    """The page, served; its address."""
    from core.page.launch import launch_options, make_page
    from core.serving.settings import Settings

    page = make_page(Settings.from_environment({}), cards)
    _, url, _ = page.launch(**launch_options(), prevent_thread_lock=True, quiet=True)
    yield url.rstrip("/")
    page.close()


@pytest.fixture
def held_back(
    context: Context, cards: Mapping[str, SetupSpec], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, threading.Event]]:
    """The address of a page that is meant to open with the tiny setup, whose loading is held back, and its release."""
    from core.page.launch import launch_options, make_page
    from core.serving.settings import Settings
    from core.setups.loading import Loading, Setup

    let_go = threading.Event()

    def loader(card: SetupSpec, *, tell: Callable[[Loading], None], **_: object) -> Setup:
        if card.name == "tiny":
            tell(Loading("Checking it on 18 photographs", 3, 18))
            assert let_go.wait(60)
        return context.pool.get(card.name).setup

    monkeypatch.setattr("core.serving.settings.load", loader)
    page = make_page(replace(Settings.from_environment({}), setup="tiny"), cards)
    _, url, _ = page.launch(**launch_options(), prevent_thread_lock=True, quiet=True)
    for job in page.jobs:
        job.start()
    yield url.rstrip("/"), let_go
    let_go.set()
    page.close()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub with nothing on it, asked by somebody who may write."""
    from fake_hub import TOKEN, serve

    with serve({}) as hub:
        hub.attach(monkeypatch, tmp_path / "cache")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


@pytest.fixture(scope="session")
def client(address: str) -> Client:
    """A program that asks that page."""
    from gradio_client import Client

    return Client(address, verbose=False)


@pytest.fixture(scope="session")
def bundled() -> Workbench:
    """The bundled setup, to compare the page's answers with."""
    from core.setups.loading import load_setup
    from core.workbench import Workbench

    return Workbench(load_setup("bundled"))
