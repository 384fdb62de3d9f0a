"""Checkpoints of a dictionary training: written at once, and taken up only with the same settings."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from sae_lens.training.sae_trainer import SAETrainer
from safetensors.torch import load_file, save_file

from ..errors import UserError
from ..model.clip import SplitClip
from ..model.scope import Scope
from ..pictures.collection import Collection
from .buffer import Ring
from .recipe import DictionaryRecipe

CHECKPOINTS = "checkpoints"
"""The folder of checkpoints in OUT, gone when the dictionary is there."""


def settings_of(
    clip: SplitClip, scope: Scope, collection: Collection, recipe: DictionaryRecipe, world: int
) -> dict[str, Any]:
    """What a checkpoint must agree with, as JSON has it."""
    digest = hashlib.sha256()
    for weight in clip.model.vision_model.parameters():
        digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    named = {f"pictures' {name}": value for name, value in collection.manifest.items()}
    own = {"clip": digest.hexdigest()[:16], **clip.place.facts, "scope": scope, "processes": world}
    plain: dict[str, Any] = json.loads(json.dumps(asdict(recipe) | own | named))
    return plain


def newest_checkpoint(checkpoints: Path) -> Path | None:
    """The last checkpoint that was written to its end."""
    return max(checkpoints.glob("step-" + "[0-9]" * 9), default=None)


def save_checkpoint(
    checkpoints: Path,
    settings: Mapping[str, Any],
    trainer: SAETrainer[Any, Any],
    generator: torch.Generator,
    ring: Ring,
    accelerator: Accelerator,
) -> None:
    """Write a checkpoint, in a folder that gets its name when it is whole; the one before it goes."""
    states = accelerator.gather(torch.tensor([ring.state()], device=accelerator.device))
    drawing = accelerator.gather(generator.get_state()[None].to(accelerator.device))
    if not accelerator.is_main_process:
        return
    folder = checkpoints / f"step-{trainer.n_training_steps:09d}"
    unfinished = folder.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    trainer.save_checkpoint(unfinished.name, checkpoints)
    save_file({"rings": states.cpu(), "drawing": drawing.cpu()}, unfinished / "collection.safetensors")
    (unfinished / "settings.json").write_text(json.dumps(settings, indent=1) + "\n")
    unfinished.rename(folder)
    for other in checkpoints.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def load_checkpoint(
    checkpoint: Path,
    settings: Mapping[str, Any],
    trainer: SAETrainer[Any, Any],
    generator: torch.Generator,
    rank: int,
) -> list[int]:
    """Put the trainer and the drawing of tokens where they were; the state of the ring, for `Ring.restore`.

    Raises UserError for a checkpoint that is damaged, or of other settings.
    """
    with _undamaged(checkpoint):
        theirs = json.loads((checkpoint / "settings.json").read_text())
        other = [name for name in sorted({*settings, *theirs}) if settings.get(name) != theirs.get(name)]
    if other:
        differences = ", ".join(f"{name} {theirs.get(name)} and not {settings.get(name)}" for name in other)
        raise UserError(
            f"The checkpoint {checkpoint} was made with other settings: {differences}. Repeat those to go on, or "
            "delete it to start afresh."
        )
    with _undamaged(checkpoint):
        ours = load_file(checkpoint / "collection.safetensors")
        trainer.sae.load_state_dict(load_file(checkpoint / "sae_weights.safetensors"))
        trainer.load_trainer_state(checkpoint)  # by torch.load, which takes tensors and plain values only
        generator.set_state(ours["drawing"][rank])
        state: list[int] = ours["rings"][rank].tolist()
    return state


@contextmanager
def _undamaged(checkpoint: Path) -> Iterator[None]:
    """Whatever the readers of its files raise, as a sentence."""
    try:
        yield
    except Exception as error:
        raise UserError(f"The checkpoint {checkpoint} is damaged. Delete it to start afresh.") from error
