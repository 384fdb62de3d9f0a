"""What a recipe costs, in plain passes: ``python tests/benchmarks/recipes.py``.

A batch of pictures through a random CLIP in the geometry of a published one, plain and with a recipe in it. All take
turns in one run, and each turn gives a ratio to the plain pass beside it; the medians are of these. Levers: those that
a picture's attribution ranks first, and the one that fires at most tokens.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from sae_lens import JumpReLUSAE, JumpReLUSAEConfig
from speed import GEOMETRIES, Geometry, build, clocks, drawn, machine

from core.concepts.index import Identity
from core.methods.attribution import attribute
from core.methods.question import Question
from core.methods.steering import Condition, Edit, Term
from core.methods.targets import ClassTarget
from core.model.clip import SplitClip
from core.model.dictionary import Dictionary
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary
from core.recipes import Recipe, RecipeFacts, apply_recipe
from core.recipes.making import directions_of, fingerprints
from core.recipes.recipe import EncoderFacts
from core.recipes.sealing import arrays_digest
from core.setups.identity import dictionary_fingerprint

CLASSES = 20
LEVERS = 5


def jumprelu_of(dictionary: Dictionary) -> Dictionary:
    """A JumpReLU dictionary of the same weights: a threshold in place of the competition."""
    sae = dictionary.sae
    found = JumpReLUSAE(JumpReLUSAEConfig(d_in=sae.cfg.d_in, d_sae=sae.cfg.d_sae))
    found.load_state_dict({**sae.state_dict(), "threshold": torch.full((sae.cfg.d_sae,), 1.0)}, assign=True)
    return SaeDictionary(found, dictionary.scope)


def recipe_of(clip: SplitClip, dictionary: Dictionary, edit: Edit) -> Recipe:
    """A recipe of that edit; the classes are random vectors, as no text is ever read."""
    classes = torch.nn.functional.normalize(torch.randn(CLASSES, clip.projection), dim=-1)
    arrays = directions_of(dictionary, edit, classes, whole_encoder=False)
    config, none = dictionary.sae.cfg, "0" * 64
    competes = config.architecture() == "topk"
    facts = RecipeFacts(
        version=1, title="speed", setup="random",
        identity=Identity(
            clip="random", clip_commit=None, dictionary="random", dictionary_commit=None, layer=clip.layer,
            scope=dictionary.scope, components=config.d_sae, width=config.d_in, fingerprint=none,
        ),
        vision=fingerprints(clip.model, "vision"), text=fingerprints(clip.model, "text"),
        encoder=EncoderFacts(
            architecture=config.architecture(), normalisation="none", centred=config.apply_b_dec_to_input,
            k=config.k if competes else None, held="nothing" if competes else "rows",
            fingerprint=dictionary_fingerprint(dictionary),
        ),
        classes=tuple(map(str, range(CLASSES))), templates=("{}",), target=ClassTarget(0, 1), edit=edit,
        software="speed",
        directions=arrays_digest(arrays),
    )  # fmt: skip
    return Recipe(facts, arrays)


def models(geometry: Geometry, crops: np.ndarray) -> tuple[torch.Tensor, dict[str, Any]]:
    """The pictures as the model takes them, and the models by name; the plain one comes first."""
    clip, topk = build(geometry)
    pixels = clip.pixels(crops)
    # As after training, tokens differ in what fires; without it a random dictionary sees what is common to all.
    topk.sae.b_dec.copy_(clip.residual(pixels[:2]).mean((0, 1)))
    question = Question(
        SaeClip(clip, topk),
        SaeClip(clip, topk).trace(crops[0]),
        torch.nn.functional.normalize(torch.randn(CLASSES, clip.projection), dim=-1),
        ClassTarget(0, 1),
    )
    order = attribute(question).ranked()[:LEVERS].tolist()
    first = Edit.of_suppressed(order)
    conditional = replace(first, condition=Condition((Term(order[0]),), 0.0))
    f = question.trace.activations
    most = int(np.bincount(f.component).argmax())
    print(f"{LEVERS} levers; component {most} fires at {len(f.of(most).nonzero()[0])} of {f.n_tokens} tokens\n")
    rows = jumprelu_of(topk)
    put: Callable[..., Any] = partial(apply_recipe, clip.model)
    return pixels, {
        "plain": clip.model,
        "JumpReLU": put(recipe_of(clip, rows, first), count="nothing"),
        "JumpReLU, with a condition, counting where it acts": put(recipe_of(clip, rows, conditional)),
        "JumpReLU, counting answers": put(recipe_of(clip, rows, first), count="answers"),
        "top-k": put(recipe_of(clip, topk, first), dictionary=topk),
        "top-k, the component that fires most": put(recipe_of(clip, topk, Edit.of_suppressed([most])), dictionary=topk),
    }


@torch.no_grad()
def measure(geometry: Geometry, batch: int, repeats: int) -> dict[str, np.ndarray]:
    """Throughput of each in that of the plain model, by the clock and in processor time: [repeats, 2]."""
    pixels, timed = models(geometry, drawn(batch, np.random.default_rng(0)))
    found: dict[str, list[np.ndarray]] = {name: [] for name in timed}
    for _ in range(repeats + 1):
        for name, model in timed.items():
            began = clocks()
            model.get_image_features(pixel_values=pixels)
            found[name].append(clocks() - began)
    seconds = {name: np.array(values[1:]) for name, values in found.items()}  # the first turn warms up
    return {name: seconds["plain"] / values for name, values in seconds.items()}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--geometry", choices=[geometry.name for geometry in GEOMETRIES], default="ViT-B/16")
    arguments = parser.parse_args()
    (geometry,) = (one for one in GEOMETRIES if one.name == arguments.geometry)
    print(machine())
    ratios = measure(geometry, arguments.batch, arguments.repeats)
    print(f"| throughput, plain {geometry.name} = 1, batches of {arguments.batch} | by the clock | processor time |")
    print("|---|---|---|")
    for name, values in ratios.items():
        cells = [f"{statistics.median(v):.3f} ({min(v):.2f} to {max(v):.2f})" for v in values.T.tolist()]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
