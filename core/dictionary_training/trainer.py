"""Training of a dictionary (SAE) on a CLIP's residuals: BatchTopK, or Matryoshka BatchTopK, by ``sae_lens``.

1. Pictures of a collection run through the CLIP up to layer L. The residuals of some thousand of them, tokens in scope
   only, are held in a ring (`core.dictionary_training.buffer`); over the training it is renewed evenly with the next
   pictures, so that each is read about once. A collection that fits into the ring stays there as it is.
2. Batches of tokens are drawn from the ring for an SAE of ``sae_lens``: BatchTopK, or Matryoshka BatchTopK where there
   are several levels. Of these the first components alone, and the first few hundred, have to reconstruct as well as
   they can ("Learning Multi-Level Features with Matryoshka Sparse Autoencoders", arXiv 2503.17547). So the first ones
   stay whole concepts, such as a word that is read, which a plain SAE of the same size splits into several components
   that fire together; one lever then moves what took several.
3. The threshold is calibrated, and a folder of ``sae_lens`` written.

The class token decides the prediction but is one token among many, so batches draw it more often than its share.

Several processes (on GPUs ``accelerate launch -m core.dictionary_training ...``, on CPUs ``torchrun``) share out the
collection's parts, the ring and every batch among them. They start with the same weights and average their gradients,
so their weights stay equal.

What is drawn at a step depends on the step alone. So a run that was stopped and is taken up at its last checkpoint ends
with the same dictionary as one that was not.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from sae_lens import (
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
)
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.sae import TrainStepOutput
from sae_lens.training.sae_trainer import SAETrainer
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm.auto import tqdm

from ..errors import UserError
from ..model.clip import SplitClip
from ..model.devices import device_name
from ..model.dictionary import CHUNK
from ..model.sae_dictionary import SaeDictionary
from ..model.scope import Scope
from ..pictures.collection import Collection, share
from .buffer import Ring
from .checkpoint import CHECKPOINTS, load_checkpoint, newest_checkpoint, save_checkpoint, settings_of
from .recipe import DictionaryRecipe

_DRAWN = 8
"""Batches by which the threshold is calibrated, and what the dictionary explains is measured."""


@dataclass(frozen=True)
class Trained:
    """How a training ended: what the dictionary does with tokens drawn as in training."""

    pictures: int
    """Pictures read, over all processes; those that were read again count again."""
    skipped: int
    """Pictures among them that could not be read."""
    explained_variance: float
    """1 - sum |x - x_hat|^2 / sum |x - mean|^2 over these tokens."""
    active_per_token: float
    """L0: components active at a token, on average."""


def train_dictionary(
    clip: SplitClip,
    scope: Scope,
    collection: Collection,
    recipe: DictionaryRecipe,
    folder: Path,
    *,
    accelerator: Accelerator | None = None,
    checkpoint_every: int = 1_000,
    workers: int = 0,
) -> Trained:
    """Train a dictionary on the residuals of ``clip`` and write it to ``folder``, as ``sae_lens`` loads it.

    Checkpoints lie in there meanwhile, every so many steps; where there is one, the training is taken up from it. With
    several processes (each with its own ``accelerator``) all must see the same ``folder``. ``workers`` threads read
    pictures ahead. Raises UserError when the collection cannot be read, the memory does not suffice, the processes are
    too many for the collection, or the checkpoint is of other settings.
    """
    accelerator = accelerator or new_accelerator()
    rank, world = accelerator.process_index, accelerator.num_processes
    _check(collection, recipe, checkpoint_every, world)
    settings = settings_of(clip, scope, collection, recipe, world)
    to_read, capacity = -(-_size(collection) // world), -(-recipe.buffer // world)
    parts = share(collection.n_parts, rank, world)
    ring = Ring(clip, scope, collection, min(capacity, _size(collection)), parts, workers)
    trainer = DistributedTrainer(new_sae(clip, recipe, device_name(accelerator.device)), recipe, accelerator)
    generator = torch.Generator().manual_seed(recipe.seed + 1_000 * rank)

    def draw(source: torch.Generator) -> Tensor:
        tokens = ring.draw(recipe.batch // world, recipe.class_token_share, source)
        return tokens.to(device_name(accelerator.device))

    checkpoint = newest_checkpoint(folder / CHECKPOINTS)
    with _bar(accelerator, "Reading pictures", min(len(ring.held), to_read), "pictures") as bar:
        if checkpoint is None:
            ring.fill(bar.update)
            trainer.measure_scale(lambda: draw(generator).float())
        else:
            ring.restore(load_checkpoint(checkpoint, settings, trainer, generator, rank), bar.update)

    first = len(ring.held)
    later = max(0, to_read - first) if first == capacity else 0  # with room left, the whole share is held
    with _bar(accelerator, "Training", trainer.steps, "steps", trainer.n_training_steps) as bar:
        while (step := trainer.n_training_steps) < trainer.steps:
            ring.renew(first + later * step // trainer.steps)
            output = trainer.train_step(draw(generator).float())
            bar.update()
            if step % 50 == 0:
                bar.set_postfix_str(f"loss {output.loss.item():.4g}", refresh=False)
            if (step + 1) % checkpoint_every == 0:
                save_checkpoint(folder / CHECKPOINTS, settings, trainer, generator, ring, accelerator)

    again = torch.Generator().manual_seed(recipe.seed + 1_000 * rank)
    tokens = accelerator.gather(torch.cat([draw(again) for _ in range(_DRAWN)])).float()
    sae = trainer.finish()
    calibrate_threshold(sae, tokens, recipe.k)
    if accelerator.is_main_process:
        sae.cfg.metadata.hook_name = clip.place.hook
        sae.cfg.metadata.dataset_path = collection.manifest["name"]
        sae.save_inference_model(folder)
        _tidy(folder, half=not recipe.full_precision)
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    accelerator.wait_for_everyone()
    counts = torch.tensor([ring.read, ring.skipped], device=device_name(accelerator.device))
    read, skipped = accelerator.reduce(counts, "sum").tolist()
    explained, active = _measured(SaeDictionary.from_folder(folder, scope, device_name(accelerator.device)), tokens)
    return Trained(read + skipped, skipped, explained, active)


def _check(collection: Collection, recipe: DictionaryRecipe, checkpoint_every: int, world: int) -> None:
    """Raise UserError for what so many processes cannot do."""
    if checkpoint_every < 1:
        raise UserError(f"A checkpoint cannot be written every {checkpoint_every} steps. Take 1 or more.")
    if recipe.batch % world:
        raise UserError(f"A batch of {recipe.batch} cannot be shared by {world} processes. Make it a multiple of that.")
    if collection.n_parts < world:
        raise UserError(
            f"The collection comes in {collection.n_parts} parts, fewer than there are processes ({world}). "
            "Start fewer processes."
        )


class DistributedTrainer(SAETrainer[Any, Any]):
    """The trainer of ``sae_lens``, for several processes that each draw their own share of a batch."""

    def __init__(self, sae: BatchTopKTrainingSAE, recipe: DictionaryRecipe, accelerator: Accelerator) -> None:
        """Nothing is drawn yet. All processes get the first one's weights."""
        steps = recipe.samples // recipe.batch
        config = SAETrainerConfig(
            total_training_samples=recipe.samples // accelerator.num_processes,
            train_batch_size_samples=recipe.batch // accelerator.num_processes,
            lr=recipe.learning_rate,
            lr_end=recipe.learning_rate / 10,
            lr_warm_up_steps=min(recipe.warm_up, steps // 10),
            lr_decay_steps=steps // 5,
            dead_feature_window=min(recipe.dead_after, max(1, steps // 5)),
            n_batches_for_norm_estimate=50,
            device=device_name(accelerator.device),
        )
        super().__init__(config, sae, iter(()))
        self.steps = -(-config.total_training_samples // config.train_batch_size_samples)
        """Steps in all."""
        self._accelerator = accelerator
        if accelerator.num_processes > 1:
            for weight in sae.parameters():
                weight.data = broadcast(weight.data)
                weight.register_post_accumulate_grad_hook(self._average)

    def _average(self, weight: Tensor) -> None:
        """Replace the gradient by its mean over the processes: before it is clipped."""
        weight.grad = self._accelerator.reduce(weight.grad, "mean")

    def measure_scale(self, draw: Callable[[], Tensor]) -> None:
        """Find the factor that brings tokens to a mean norm of sqrt d, the same for all processes."""
        norms, drawn = 0.0, 0
        for _ in range(self.cfg.n_batches_for_norm_estimate):
            lengths = draw().norm(dim=-1)
            norms += lengths.float().sum().item()
            drawn += lengths.numel()
        mean = torch.tensor(norms / drawn, dtype=torch.float64, device=device_name(self._accelerator.device))
        self.activation_scaler.scaling_factor = self.sae.cfg.d_in**0.5 / self._accelerator.reduce(mean, "mean").item()

    def train_step(self, batch: Tensor) -> TrainStepOutput:
        """A step on this process's share of a batch."""
        self.maybe_reset_sparsity()
        output = self.step(batch)
        if self._accelerator.num_processes > 1:  # a component is alive where it fires in any process
            fired = (self.n_forward_passes_since_fired == 0).float()
            self.n_forward_passes_since_fired[self._accelerator.reduce(fired, "max") > 0] = 0
        self.n_training_steps += 1
        return output

    def finish(self) -> BatchTopKTrainingSAE:
        """The SAE, for tokens as they are, and with its last figures noted."""
        self.sae.fold_activation_norm_scaling_factor(self.activation_scaler.scaling_factor)
        self.set_final_sae_metadata()
        return self.sae


def new_sae(clip: SplitClip, recipe: DictionaryRecipe, device: str) -> BatchTopKTrainingSAE:
    """An SAE of that recipe with the weights it starts from: Matryoshka BatchTopK where there are several levels."""
    torch.manual_seed(recipe.seed)
    common: dict[str, Any] = {
        "d_in": clip.width,
        "d_sae": recipe.levels[-1],
        "k": recipe.k,
        "device": device,
        "normalize_activations": "expected_average_only_in",  # folded into the weights at the end
    }
    if len(recipe.levels) == 1:
        return BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**common))
    config = MatryoshkaBatchTopKTrainingSAEConfig(**common, matryoshka_widths=list(recipe.levels))
    return MatryoshkaBatchTopKTrainingSAE(config)


@torch.no_grad()
def calibrate_threshold(sae: BatchTopKTrainingSAE, tokens: Tensor, k: int) -> None:
    """Set the threshold so that ``k`` components are active on average over tokens ``[n, d]``.

    The running average that ``sae_lens`` keeps follows the smallest activation of each batch and can leave the saved
    JumpReLU two or three times denser than trained.
    """
    wanted = k * len(tokens)
    largest = tokens.new_empty(0)
    for some in tokens.split(max(1, CHUNK // sae.cfg.d_sae)):
        _, before = sae.encode_with_hidden_pre(some)
        both = torch.cat([largest, before.relu().flatten()])
        largest = both.topk(min(wanted, len(both))).values
    sae.topk_threshold.fill_(largest[-1].item())


@torch.no_grad()
def _measured(dictionary: SaeDictionary, tokens: Tensor) -> tuple[float, float]:
    """Explained variance and L0 over tokens [n, d], all taken to be in scope."""
    missed, active = 0.0, 0
    for some in tokens.split(max(1, CHUNK // dictionary.n_components)):
        f = dictionary.sae.encode(some)
        missed += (some - dictionary.sae.decode(f)).cpu().double().square().sum().item()
        active += int((f != 0).sum())
    exact = tokens.cpu().double()
    spread = (exact - exact.mean(0)).square().sum().item()
    return 1 - missed / spread, active / len(tokens)


def _tidy(folder: Path, half: bool) -> None:
    """Store the weights of a ``sae_lens`` folder in half precision, or as they are, and its settings readably."""
    config = json.loads((folder / "cfg.json").read_text())
    config["device"] = "cpu"
    if half:
        weights = folder / "sae_weights.safetensors"
        save_file({name: tensor.half().contiguous() for name, tensor in load_file(weights).items()}, weights)
        config["dtype"] = "float16"
    (folder / "cfg.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


def new_accelerator() -> Accelerator:
    """This process among those that train together. Without CUDA on the CPU: on Apple's GPU `sae_lens` cannot train."""
    return Accelerator(cpu=not torch.cuda.is_available())


def _size(collection: Collection) -> int:
    """Pictures to read in all: those of the collection, once."""
    if collection.size is None:
        raise UserError("It is not known how many pictures this data set holds. Say with --limit how many to read.")
    return collection.size


def _bar(accelerator: Accelerator, what: str, total: int, unit: str, done: int = 0) -> Any:
    """A progress bar on one line, of the first process only."""
    hidden = not accelerator.is_main_process
    return tqdm(desc=what, total=total, initial=done, unit=f" {unit}", disable=hidden, dynamic_ncols=True)


# ---- checkpoints


# ---- the command
