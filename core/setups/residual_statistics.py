"""Mean and deviation of a CLIP's residual over photographs, which files of dictionaries trained on standardised x lack.

1. `measured` reads seeded crops of the photographs (`core.pictures.photographs`) up to layer L, and takes the figures
   of all tokens in scope.
2. A minute or more of a large CLIP's time is spent once: the figures are kept as a file in huggingface_hub's folder for
   assets, by repository, commit, layer, scope and pictures. Where that cannot be written, they are measured again.
3. A catalog ships them (`statistics = "statistics/my-setup.safetensors"`), so that every machine has the same numbers.
   This writes such a file, and the entry to put into the catalog:

       python -m core.setups.residual_statistics --setup clip-scope-20 --out assets/statistics/clip-scope-20.safetensors
"""

import argparse
import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save
from tqdm import tqdm

from ..errors import UserError
from ..files import replacing
from ..model.clip import SplitClip
from ..model.scope import Scope, tokens_in_scope
from ..pictures.photographs import FOLDER, crops
from .catalog import CATALOG, SetupSpec, find, read_catalog
from .clips import find_clip, read_clip
from .kept import kept_folder
from .standardisation import ResidualStatistics

CROPS = 104
"""How many crops are read: eight of each photograph. What fewer or more change is measured by
tests/benchmarks/standardisation.py."""

_BATCH = 8
_FORMAT = "clip-levers residual statistics 1"
_ARRAYS = ("mean", "deviation", "distance")
_COUNTS = ("tokens", "pictures")


@torch.no_grad()
def measured(
    clip: SplitClip, scope: Scope, n: int, tell: Callable[[int, int], None] | None = None
) -> ResidualStatistics:
    """The statistics over n crops. `tell` hears before every batch how many are read, and of how many."""
    scoped = tokens_in_scope(scope, clip.n_tokens)
    seen = np.empty((n, len(scoped), clip.width), dtype=np.float32)
    batch: list[np.ndarray] = []
    for index, picture in enumerate(crops(n), 1):
        batch.append(clip.crop(picture))
        if len(batch) == _BATCH or index == n:
            if tell is not None:
                tell(index - len(batch), n)
            read = clip.read(clip.pixels(np.stack(batch))).seen[:, scoped.start : scoped.stop]
            seen[index - len(batch) : index] = read.float().cpu().numpy()
            batch = []
    x = seen.reshape(-1, clip.width)
    mean = x.mean(0, dtype=np.float64)
    x -= mean.astype(np.float32)  # in place, and no squares kept: of a large CLIP x alone takes 100 MB
    deviation = np.sqrt(np.einsum("nd,nd->d", x, x, dtype=np.float64) / (len(x) - 1))
    distance = float(np.sqrt(np.einsum("nd,nd->n", x, x, dtype=np.float64)).mean())
    return ResidualStatistics(mean.astype(np.float32), deviation.astype(np.float32), distance, len(x), n)


def statistics_of(
    spec: SetupSpec, clip: SplitClip, commit: str | None, tell: Callable[[int, int], None] | None = None
) -> ResidualStatistics:
    """Those of a setup: shipped with its catalog, remembered, or measured now, and remembered for the next time.

    `commit` is its CLIP's; None for a folder, whose figures are not remembered. A shipped file of another commit is not
    used. Raises UserError for one that is damaged, or not of this CLIP, layer, scope and width.
    """
    about = about_setup(spec, clip, commit)
    if spec.statistics is not None:
        found, made_for = read_statistics(spec.statistics)
        if wrong := [key for key in about if key != "commit" and made_for.get(key) != about[key]]:
            given = ", ".join(f"{key} {made_for.get(key, '(not told)')}" for key in wrong)
            raise UserError(
                f"{spec.statistics.name} is for {given}; the setup {spec.name!r} needs "
                f"{', '.join(f'{key} {about[key]}' for key in wrong)}. Correct the catalog."
            )
        if made_for.get("commit") == about["commit"]:
            return found
    path = None if commit is None else _remembered_at(about, clip.prefix)
    if path is not None and path.is_file():
        try:
            found, made_for = read_statistics(path)
        except UserError:  # what is damaged is written anew
            made_for = {}
        if made_for == about:
            return found
    found = measured(clip, spec.scope, CROPS, tell)
    if path is not None:
        with suppress(OSError):  # nothing is lost but the time
            write_statistics(found, about, path)
    return found


def about_setup(spec: SetupSpec, clip: SplitClip, commit: str | None) -> Mapping[str, str]:
    """What decides the statistics, besides the pictures: stands in their file."""
    return {
        "clip": str(spec.clip),
        "commit": commit or "",
        **{name: str(value) for name, value in clip.place.facts.items()},
        "scope": spec.scope,
        "width": str(clip.width),
    }


def write_statistics(statistics: ResidualStatistics, about: Mapping[str, str], path: Path) -> None:
    """Write the file that `read_statistics` reads, at once, so that nobody reads half of it. Raises OSError."""
    arrays = {name: np.atleast_1d(getattr(statistics, name)) for name in _ARRAYS}
    counts = {name: str(getattr(statistics, name)) for name in _COUNTS}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, shared=True) as beside:
        beside.write_bytes(save(arrays, {"format": _FORMAT, **about, **counts}))


def read_statistics(path: Path) -> tuple[ResidualStatistics, Mapping[str, str]]:
    """The statistics in a file, and what they are for (see `about_setup`). Raises UserError for any other file."""
    try:
        with safe_open(path, framework="numpy") as file:
            about = dict(file.metadata() or {})
            mean, deviation, distance = (file.get_tensor(name) for name in _ARRAYS)
        counts = [int(about.pop(name)) for name in _COUNTS]
        right = about.pop("format") == _FORMAT and mean.shape == deviation.shape == (int(about["width"]),)
        right = right and distance.shape == (1,) and mean.dtype == deviation.dtype == np.float32
        right = right and bool(np.isfinite([*mean, *deviation, *distance]).all() and (deviation >= 0).all())
    except Exception as error:  # safetensors raises its own, and int and KeyError come from what is missing
        raise UserError(f"{path.name} does not hold the statistics of a residual. Measure them again.") from error
    if not right:
        raise UserError(f"{path.name} holds statistics of another form. Measure them again.")
    return ResidualStatistics(mean, deviation, float(distance[0]), *counts), about


def _remembered_at(about: Mapping[str, str], prefix: torch.dtype) -> Path | None:
    """The file for the statistics over these very pictures, in this precision; None where there can be no folder."""
    pictures = hashlib.sha256(f"{CROPS} crops, seed 0\n".encode())
    for path in sorted(FOLDER.glob("*.webp")):
        pictures.update(path.name.encode() + path.read_bytes())
    folder = kept_folder("residual-statistics", f"{about['clip']}@{about['commit']}")
    if folder is None:
        return None
    precision = str(prefix).removeprefix("torch.")
    return folder / f"layer-{about['layer']}-{about['scope']}-{precision}-{pictures.hexdigest()[:16]}.safetensors"


def main(arguments: list[str] | None = None) -> None:
    """Measure the statistics of a setup of the catalog, and write them for it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--setup", required=True, help="the setup, by its name in the catalog")
    parser.add_argument("--catalog", type=Path, default=CATALOG, help="the catalog")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, beside or below the catalog")
    parser.add_argument("--device", default="cpu", help="where the CLIP runs: cpu, cuda or mps")
    options = parser.parse_args(arguments)
    spec = find(read_catalog(options.catalog), options.setup)
    files, commit = find_clip(spec.clip, spec.at, print).download(print)
    clip = read_clip(files, spec.at, options.device)
    with tqdm(total=CROPS, unit="crop") as bar:
        found = measured(clip, spec.scope, CROPS, lambda done, _: bar.update(done - bar.n) and None)
        bar.update(CROPS - bar.n)
    write_statistics(found, about_setup(spec, clip, commit), options.out)
    inside = os.path.relpath(options.out, options.catalog.parent)
    print(f'{found.summary}. In the entry of {spec.name}:\nstatistics = "{Path(inside).as_posix()}"')


if __name__ == "__main__":
    main()
