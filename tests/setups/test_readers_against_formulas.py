"""The table of readers: each layout's and variant's file, against a plain restatement of its project's formula.

For every row a file is written as the project writes it and read as this project reads it. Three numbers are compared,
each as the largest difference over the largest value: the activations, the reconstruction, and the residual under an
edit (one component suppressed, one doubled, at every token), which the project's own decoder gives as
x + decode(f') - decode(f). `pytest -s` prints the table.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from published_saes import (
    Release,
    tokens,
    write_batch_topk,
    write_clipscope,
    write_gated,
    write_jumprelu,
    write_matryoshka,
    write_patchsae,
    write_prisma,
    write_prisma_sweep,
    write_prisma_topk,
    write_sae_lens_of,
    write_saev,
    write_saev_5,
    write_standard,
    write_standard_new,
    write_topk,
)
from torch import Tensor

from core.methods.steering import Edit, Lever, steer
from core.model.sae_dictionary import SaeDictionary
from core.setups.standardisation import ResidualStatistics, folded

Write = Callable[[Path, int, int], Release]

SIZES = (64, 512)
"""Width and components."""

ERROR = 2e-6
"""What single precision may leave of such sums (5e-7 was seen); another formula is beyond 1e-2."""


def of_z(write: Write, scale: Callable[[ResidualStatistics], Tensor], root: Path, d: int, m: int) -> Release:
    """The same file, of a run on standardised activations, z = (x - mean) / scale: restated from x on."""
    release = write(root, d, m)
    encode, decode = release.encode, release.decode
    mean, by = torch.from_numpy(STATISTICS.mean), scale(STATISTICS)
    release.encode = lambda x: encode((x - mean) / by)
    release.decode = lambda f: decode(f) * by + mean
    release.chosen = 0 if release.layout == "clipscope" else 2
    return release


def statistics(x: Tensor) -> ResidualStatistics:
    """Of the tokens x [n, d]."""
    mean, deviation = x.mean(0).numpy(), x.std(0).numpy()
    return ResidualStatistics(mean, deviation, float((x - x.mean(0)).norm(dim=1).mean()), len(x), 1)


X = tokens(SIZES[0], 40) + torch.linspace(-2, 2, SIZES[0])
STATISTICS = statistics(X)


def second(release: Release) -> Release:
    release.chosen = 1
    return release


def without_minus(root: Path, d: int, m: int) -> Release:
    """A file of SAE-V of July 2025, whose header says no more than those before: nothing is taken off x."""
    release = write_saev(root, d, m, schema=1)
    w = release.read()[0].sae.state_dict()
    release.encode = lambda x: torch.relu(x @ w["W_enc"] + w["b_enc"])
    return second(release)


def variants() -> Iterator[tuple[str, Write]]:
    """Every layout and variant, by name."""
    for schema in (None, 1):
        yield f"saev {schema}", partial(write_saev, schema=schema)
    yield "saev 1, nothing taken off x", without_minus
    yield "saev, x scaled", partial(of_z, write_saev, lambda s: torch.tensor(s.distance / len(s.mean) ** 0.5))
    for schema in (2, 3, 4, 5):
        for activation in ("relu", "top-k", "batch-top-k"):
            yield f"saev {schema} {activation}", partial(write_saev_5, activation=activation, schema=schema)
    yield "prisma vanilla", partial(write_prisma, changes={}, name="n_images_2600058.pt")
    yield "prisma vanilla, x standardised", partial(write_prisma, changes={"normalize_activations": "layer_norm"})
    yield "prisma top-k", write_prisma_topk
    yield "prisma sweep", write_prisma_sweep
    yield "clipscope, x as it is", lambda *at: second(write_clipscope(*at))
    yield "clipscope", partial(of_z, write_clipscope, lambda s: torch.from_numpy(s.deviation) + 1e-6)
    yield "patchsae", write_patchsae
    yield "patchsae, a dict", partial(write_patchsae, as_object=False)
    for name, write in (
        ("BatchTopKSAE", write_batch_topk),
        ("MatroyshkaBatchTopKSAE", write_matryoshka),
        ("AutoEncoderTopK", write_topk),
        ("AutoEncoder", write_standard),
        ("AutoEncoderNew", write_standard_new),
        ("GatedAutoEncoder", write_gated),
        ("JumpReluAutoEncoder", write_jumprelu),
    ):
        yield f"dictionary_learning {name}", write
    for architecture in ("standard", "gated", "topk", "abstopk", "jumprelu"):
        for minus in (True, False):
            for normalisation in ("none", "layer_norm"):
                for rescaled in (False, True) if "topk" in architecture else (False,):
                    for version in ("6.54.0",) if rescaled or architecture == "abstopk" else ("6.54.0", "3.22.2"):
                        name = f"sae_lens {version} {architecture} {normalisation}"
                        name += " - b_dec" * minus + " rescaled" * rescaled
                        yield (
                            name,
                            partial(
                                write_sae_lens_of,
                                architecture=architecture,
                                minus=minus,
                                normalisation=normalisation,
                                rescaled=rescaled,
                                version=version,
                            ),
                        )


def error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(("name", "write"), variants(), ids=lambda value: value if isinstance(value, str) else "")
@torch.no_grad()
def test_a_reader_computes_what_its_project_computes(name: str, write: Write, tmp_path: Path) -> None:
    release = write(tmp_path, *SIZES)
    f = release.encode(X)
    x_hat = release.decode(f)
    reading = release.read()[release.chosen]
    sae = reading.sae if reading.standardise is None else folded(reading.sae, reading.standardise(STATISTICS))
    dictionary = SaeDictionary(sae, "all")
    spread = release.spread(X)
    activations = dictionary.activations(X)
    assert len(activations.value) == (f != 0).sum() > 0

    often = np.bincount(activations.component).argsort()[::-1]
    suppressed, doubled = int(often[0]), int(often[1])
    edited = f.clone()
    edited[:, suppressed] = 0
    edited[:, doubled] *= 2
    edit = Edit((Lever(suppressed), Lever(doubled, "scale", 2.0)))
    assert error(x_hat, X) > 0.01, "there is something to get wrong"
    assert error(release.decode(edited), x_hat) > 0.01, "and by the edit, too"
    errors = (
        error(dictionary.encode(X), f * spread),
        error(dictionary.reconstruct(X), x_hat),
        error(steer(X, activations, [edit], dictionary)[0], X + release.decode(edited) - x_hat),
    )
    print(f"{name:60} {'  '.join(f'{one:.0e}' for one in errors)}")
    assert max(errors) < ERROR, errors
