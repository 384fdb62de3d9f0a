"""How many crops of photographs a standardisation takes: ``python tests/benchmarks/standardisation.py``.

Mean and deviation of the residual, which files of dictionaries trained on standardised activations lack, are taken from
crops of a few photographs (`core.setups.residual_statistics`). This folds those of more and more crops into one such
dictionary, and compares each with that of the most crops: what it explains, which components are active, what the model
answers when it sees the reconstruction alone. Without `--setup` the dictionary is trained here for the bundled CLIP, by
a restatement of CLIP-Scope's training on other crops and rendered scenes; with `--setup clip-scope-20` it is that one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import torch
from clip_scope_training import trained
from sae_lens import SAE
from torch import Tensor

from core.model.clip import SplitClip, logits, text_classifier
from core.model.prompts import TEMPLATES
from core.model.sae_dictionary import SaeDictionary, blank_sae, filled_sae
from core.model.signed_topk import SignedTopKSAEConfig
from core.pictures.collection import scenes_named
from core.pictures.photographs import crops
from core.setups.catalog import find, read_catalog
from core.setups.checkpoints import files_of, read_checkpoint
from core.setups.checkpoints.clipscope import batch_norm
from core.setups.clips import find_clip, read_clip
from core.setups.health_check import ProbeSet, probe_for
from core.setups.hub import fetch
from core.setups.residual_statistics import measured
from core.setups.standardisation import folded
from core.stats import explained_variance

COUNTS = (4, 13, 26, 52, 104, 208, 416)
COMPONENTS, K, STEPS, TRAINING = 768, 16, 1500, 512
"""Of the dictionary trained here: its size, how many are active, steps of 16 pictures each, crops and scenes each."""


@dataclass(frozen=True)
class Effect:
    """What a dictionary with the statistics of some crops does on some pictures."""

    explained: float
    """Share of the variance of x."""
    standardised: float
    """What the training logs: see `Standardisation.explained_variance`."""
    active: frozenset[tuple[int, int, int]]
    """(picture, token, component)."""
    answers: tuple[int, ...]
    """The best class of each picture, seen through the reconstruction alone."""
    seconds: float
    """To measure the statistics."""


@torch.no_grad()
def effect(clip: SplitClip, sae: SAE, n: int, probe: ProbeSet, residuals: Sequence[Tensor]) -> Effect:
    """Of `sae`, which is one of standardised tokens in all scopes, with the statistics of n crops."""
    start = time.perf_counter()
    standardisation = batch_norm(measured(clip, "all", n))
    seconds = time.perf_counter() - start
    dictionary = SaeDictionary(folded(sae, standardisation), "all").to(clip.device)
    missed, active, answers = [], [], []
    for number, (sample, x) in enumerate(zip(probe.samples, residuals, strict=True)):
        found = dictionary.activations(x)
        x_hat = dictionary.decode(found) + dictionary.bias_at(x)
        missed.append((x - x_hat).cpu().numpy())
        active += [(number, int(t), int(j)) for t, j in zip(found.token, found.component, strict=True)]
        classifier = text_classifier(clip, sample.classes, TEMPLATES["single"])
        said = logits(clip.embed_from_residual(x_hat[None])[0], classifier, clip.scoring)
        answers.append(int(said.argmax()))
    seen, left = np.concatenate([x.cpu().numpy() for x in residuals]), np.concatenate(missed)
    return Effect(
        explained_variance(seen, left),
        standardisation.explained_variance(seen, left),
        frozenset(active),
        tuple(answers),
        seconds,
    )


def trained_here() -> tuple[SplitClip, SAE]:
    """The bundled CLIP, and a dictionary trained for it as CLIP-Scope's are."""
    spec = read_catalog()["bundled"]
    assert spec.clip.folder is not None
    clip = read_clip(spec.clip.folder, spec.at)
    scenes = scenes_named("training", TRAINING)
    pictures = [*crops(TRAINING, seed=1), *(scenes.picture(scene) for scene in scenes.scenes)]
    batches = [np.stack([clip.crop(picture) for picture in pictures[i : i + 64]]) for i in range(0, len(pictures), 64)]
    x = torch.cat([clip.residual(clip.pixels(batch)) for batch in batches])
    w = trained(x, COMPONENTS, K, steps=STEPS, pictures=16)
    weights = {"W_enc": w["enc"], "b_enc": torch.zeros(COMPONENTS), "W_dec": w["dec"], "b_dec": w["pre_b"]}
    blank = blank_sae(SignedTopKSAEConfig(d_in=clip.width, d_sae=COMPONENTS, k=K))
    return clip, filled_sae(blank, weights).eval().requires_grad_(False)


def published(name: str, device: str) -> tuple[SplitClip, SAE]:
    """A setup of the catalog whose dictionary was trained so, from the Hub."""
    spec = find(read_catalog(), name)
    files, _ = find_clip(spec.clip, spec.at, print).download(print)
    clip = read_clip(files, spec.at, device)
    folder = fetch(spec.dictionary, files_of(spec.layout, spec.dictionary.file), print).folder
    readings = read_checkpoint(spec.layout, folder, spec.dictionary.file)
    return clip, next(reading.sae for reading in readings if reading.standardise is batch_norm)


def main() -> None:
    """Print a table: crops, what they explain, and how far they agree with the most."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--setup", help="a CLIP-Scope setup of the catalog; else one is trained here")
    parser.add_argument("--device", default="cpu", help="where it runs: cpu, cuda or mps")
    options = parser.parse_args()
    clip, sae = published(options.setup, options.device) if options.setup else trained_here()
    report(clip, sae, options.setup)


@torch.no_grad()
def report(clip: SplitClip, sae: SAE, setup: str | None) -> None:
    """The tables; `setup` is None for what was trained here."""
    catalog = read_catalog()
    probes = {"photographs": probe_for(catalog[setup or "clip-scope-20"])}
    if setup is None:
        probes["rendered scenes"] = probe_for(catalog["bundled"])
    for kind, probe in probes.items():
        residuals = [clip.residual(clip.pixels(clip.crop(sample.picture)[None]))[0] for sample in probe.samples]
        raw = SaeDictionary(sae, "all").to(clip.device)
        left = [(x - raw.reconstruct(x[None])[0]).cpu().numpy() for x in residuals]
        explained = explained_variance(np.concatenate([x.cpu().numpy() for x in residuals]), np.concatenate(left))
        print(f"\n{len(residuals)} {kind}; fed x itself, the dictionary explains {explained:.3f}\n")
        print("| crops | explained variance | standardised | same components | same answers | seconds |")
        print("|---|---|---|---|---|---|")
        found = {n: effect(clip, sae, n, probe, residuals) for n in COUNTS}
        most = found[COUNTS[-1]]
        for n, one in found.items():
            same = len(one.active & most.active) / len(one.active | most.active)
            kept = sum(a == b for a, b in zip(one.answers, most.answers, strict=True))
            print(
                f"| {n} | {one.explained:.4f} | {one.standardised:.4f} | {100 * same:.1f} % | "
                f"{kept} of {len(residuals)} | {one.seconds:.1f} |"
            )


if __name__ == "__main__":
    main()
