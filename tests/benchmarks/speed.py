"""What each step costs, in plain image passes: ``python tests/benchmarks/speed.py``.

Latency does not depend on the weights, so the models are random, in the geometries of published ones. Every figure is
a ratio to one plain `get_image_features` of the same model in the same run: each step and the plain pass take turns,
and the medians are compared. With ``--index``, instead: what making a concept index costs, as a ratio to the least that
it could, the plain pass and a dense encode of the same batch. Nothing here is a test; a machine's figures are quoted in
README.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import torch
from PIL import Image
from sae_lens import TopKSAE, TopKSAEConfig
from transformers import CLIPImageProcessorPil, CLIPModel, PreTrainedModel, SiglipModel

from core.indexing.accumulator import Accumulator
from core.indexing.build import read_batch
from core.indexing.recipe import IndexRecipe
from core.indexing.thumbnails import ThumbnailStore
from core.methods.attribution import ablation_effects, attribute
from core.methods.controls import controls
from core.methods.dose_response import responses
from core.methods.question import Question
from core.methods.steering import Edit, steer
from core.methods.targets import ClassTarget
from core.model.clip import SplitClip
from core.model.dictionary import Dictionary
from core.model.place_name import PlaceName
from core.model.places import place_of
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary
from core.pictures.batches import Batch

CLASSES = 20
SHOWN = 20
"""Components whose heatmaps are drawn, and that are ablated one by one."""


@dataclass(frozen=True)
class Geometry:
    """The shape of a published setup."""

    name: str
    """How it is asked for."""
    width: int
    """d."""
    layers: int
    """Of the vision tower."""
    heads: int
    """Attention heads."""
    patch: int
    """Pixels, of 224."""
    layer: int
    """The place belongs to this layer, from 0."""
    components: int
    """Size of the dictionary."""
    k: int = 32
    """Components active at a token."""
    family: type[PreTrainedModel] = CLIPModel
    """The class of transformers."""
    place: PlaceName = "residual"
    """What the dictionary reads."""


GEOMETRIES = (
    Geometry("ViT-B/16", 768, 12, 12, 16, 10, 24_576),
    Geometry("ViT-B/32", 768, 12, 12, 32, 9, 49_152),
    Geometry("ViT-L/14", 1024, 24, 16, 14, 20, 65_536),
    Geometry("SigLIP 2 B/16", 768, 12, 12, 16, 9, 24_576, family=SiglipModel),
    Geometry("ViT-B/32, MLP output", 768, 12, 12, 32, 9, 49_152, place="mlp"),
    Geometry("ViT-B/32, image embedding", 768, 12, 12, 32, 0, 16_384, place="embedding"),
)


def build(geometry: Geometry) -> tuple[SplitClip, Dictionary]:
    """A random CLIP and a random top-k dictionary of that shape."""
    torch.manual_seed(0)
    config_class: Any = geometry.family.config_class
    config = config_class(
        vision_config={
            "hidden_size": geometry.width, "intermediate_size": 4 * geometry.width, "patch_size": geometry.patch,
            "num_hidden_layers": geometry.layers, "num_attention_heads": geometry.heads, "image_size": 224,
        },
        text_config={"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1},
    )  # fmt: skip
    no_tokenizer: Any = None  # no text is ever read
    place = place_of(geometry.place, geometry.layer)
    clip = SplitClip(geometry.family(config), CLIPImageProcessorPil(), no_tokenizer, place)
    sae = TopKSAE(TopKSAEConfig(d_in=clip.width, d_sae=geometry.components, k=geometry.k))
    return clip, SaeDictionary(sae, clip.scope("all"))


@torch.no_grad()
def check_split(clip: SplitClip, pixels: torch.Tensor) -> None:
    """Raise unless the split model ends as the unsplit one does, to 1e-5 of its length: what is timed is exact."""
    z = clip.model.get_image_features(pixel_values=pixels).pooler_output
    difference = (clip.embed_from_residual(clip.residual(pixels)) - z).norm() / z.norm()
    if not difference < 1e-5:
        raise ValueError(f"the split model differs from the unsplit one by {difference:.1e}")


def steps(clip: SplitClip, dictionary: Dictionary) -> dict[str, Callable[[], object]]:
    """What is timed, by name; the first is the plain pass that all others are compared with."""
    rng = np.random.default_rng(0)
    crop = rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)
    classifier = torch.nn.functional.normalize(torch.randn(CLASSES, clip.projection), dim=-1)
    pixels, target = clip.pixels(crop[None]), ClassTarget(0, 1)
    check_split(clip, pixels)
    (trace,) = SaeClip(clip, dictionary).traces([crop])
    x = clip.tensor(trace.residual)
    order = attribute(Question(SaeClip(clip, dictionary), trace, classifier, target)).ranked()
    edits = [Edit.of_suppressed(order[i : i + 5].tolist()) for i in range(32)]

    @torch.no_grad()
    def plain() -> object:
        return clip.model.get_image_features(pixel_values=pixels)

    def opening() -> object:
        (opened,) = SaeClip(clip, dictionary).traces([crop])
        found = attribute(Question(SaeClip(clip, dictionary), opened, classifier, target))
        return [opened.activations.at_tokens(found.pair, int(c)) for c in found.ranked()[:SHOWN]]

    @torch.no_grad()
    def variants(some: list[Edit]) -> object:
        return clip.embed_from_residual(steer(x, trace.activations, some, dictionary))

    @torch.no_grad()
    def public() -> object:
        """One edit as public code does it: the whole tower again, every component encoded and decoded."""
        before = clip.read(pixels)
        f = dictionary.encode(before.seen)
        kept = f.clone()
        kept[..., [lever.component for lever in edits[0].levers]] = 0
        return clip.embed_from_residual(before.x + dictionary.sae.decode(kept) - dictionary.sae.decode(f))

    def evidence() -> object:
        ablation_effects(Question(SaeClip(clip, dictionary), trace, classifier, target), order[:SHOWN])
        *_, last = controls(Question(SaeClip(clip, dictionary), trace, classifier, target), edits[0])
        return last, next(responses(Question(SaeClip(clip, dictionary), trace, classifier, target), edits[0]))

    return {
        "plain image pass": plain,
        "opening an image: prediction, all attributions, 20 heatmaps": opening,
        "one lever move": lambda: variants(edits[:1]),
        "32 variants of an edit, one batch": lambda: variants(edits),
        "the same lever move the way public code does it": public,
        "evidence: 20 measured effects, the controls, 12 doses": evidence,
    }


def measure(geometry: Geometry, repeats: int) -> dict[str, float]:
    """The median cost of every step, in plain image passes."""
    timed = steps(*build(geometry))
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for turn in range(repeats + 1):
        for name, step in timed.items():
            began = time.perf_counter()
            step()
            if turn:  # the first turn warms up
                seconds[name].append(time.perf_counter() - began)
    plain, *_ = (statistics.median(values) for values in seconds.values())
    return {name: statistics.median(values) / plain for name, values in seconds.items()}


def drawn(n: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth random pictures, uint8 [n, 224, 224, 3]: as hard to compress as photographs."""
    coarse = rng.integers(0, 256, (n, 14, 14, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((224, 224), Image.Resampling.BICUBIC)) for c in coarse])


@torch.no_grad()
def measure_index(geometry: Geometry, repeats: int, size: int) -> np.ndarray:
    """Making an index, from crops in memory, against a plain pass and a dense encode, for every batch: ratios [n, 2].

    By the clock, and in processor time, that of all threads, which others on the machine disturb less.

    The two take turns on the same pictures. Every turn has new ones, so the accumulator fills up as in a real run: its
    first batches cost most, as all that fires is then a reference.
    """
    clip, dictionary = build(geometry)
    m, p = geometry.components, clip.projection
    rng = np.random.default_rng(0)
    # As after training, tokens differ in what fires; without it a random dictionary sees what is common to all.
    dictionary.sae.b_dec.copy_(clip.read(clip.pixels(drawn(2, rng))).seen.mean((0, 1)))
    rows = max(1, (1 << 25) // m)
    accumulator, ratios = Accumulator(m, p, IndexRecipe()), []
    with tempfile.TemporaryDirectory() as folder, ThumbnailStore(Path(folder), 0, IndexRecipe(), p) as store:
        for turn in range(repeats + 1):
            ids, nothing = np.arange(size) + turn * size, (None,) * size
            batch = Batch(0, turn, ids, drawn(size, rng), tuple(map(str, ids)), nothing, nothing)
            x = clip.read(clip.pixels(batch.crops)).seen.flatten(0, 1)
            began = clocks()
            clip.model.get_image_features(pixel_values=clip.pixels(batch.crops))
            for start in range(0, len(x), rows):
                dictionary.encode_seen(x[start : start + rows])
            between = clocks()
            read_batch(accumulator, store, clip, dictionary, batch)
            store.settle()  # thumbnails, which a run makes beside the next batch, count with their own
            ratios.append((clocks() - between) / (between - began))
    return np.array(ratios[1:])  # the first turn warms up


def clocks() -> np.ndarray:
    """Seconds by the clock, and of processor time."""
    return np.array([time.perf_counter(), time.process_time()])


def machine() -> str:
    """What the figures were measured on."""
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {torch.get_num_threads()} threads\n"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--only", choices=[geometry.name for geometry in GEOMETRIES])
    parser.add_argument("--index", action="store_true", help="what making a concept index costs")
    parser.add_argument("--batch", type=int, default=IndexRecipe.batch, help="pictures in a batch of the index")
    arguments = parser.parse_args()
    chosen = [geometry for geometry in GEOMETRIES if arguments.only in (None, geometry.name)]
    if arguments.index:
        print(f"{machine()}\n| a concept index, in plain passes with dense encodes | by the clock | processor time |")
        print("|---|---|---|")
        for geometry in chosen:
            ratios = measure_index(geometry, arguments.repeats, arguments.batch)
            figures = [f"{np.median(r):.2f} ({r.min():.2f} to {r.max():.2f})" for r in ratios.T]
            print(f"| {geometry.name} | {' | '.join(figures)} |", flush=True)
        return
    found = {geometry.name: measure(geometry, arguments.repeats) for geometry in chosen}
    print(machine())
    print(f"| in plain image passes | {' | '.join(found)} |\n|{'---|' * (len(found) + 1)}")
    for name in next(iter(found.values())):
        print(f"| {name} | {' | '.join(f'{ratios[name]:.2f}' for ratios in found.values())} |")


if __name__ == "__main__":
    main()
