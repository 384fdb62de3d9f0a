"""Train a dictionary for any CLIP: ``python -m core.dictionary_training --clip X --layer N --pictures Y --out Z``.

1. Pictures of a collection run through the CLIP up to layer L. The residuals of some thousand of them, tokens in scope
   only, are held in a ring in half precision; over the training it is renewed evenly with the next pictures, so that
   each is read about once. A collection that fits into the ring stays there as it is.
2. Batches of tokens are drawn from the ring for an SAE of ``sae_lens``: BatchTopK, or Matryoshka BatchTopK where there
   are several levels. Of these the first components alone, and the first few hundred, have to reconstruct as well as
   they can ("Learning Multi-Level Features with Matryoshka Sparse Autoencoders", arXiv 2503.17547). So the first ones
   stay whole concepts, such as a word that is read, which a plain SAE of the same size splits into several components
   that fire together; one lever then moves what took several.
3. The threshold is calibrated, and a folder of ``sae_lens`` written. The command then checks it as any setup is checked
   (`core.setups.health`) and writes a catalog of one setup beside it: ``python app.py --catalog OUT/catalog.toml``.

The class token decides the prediction but is one token among many, so batches draw it more often than its share.

Several processes (on GPUs ``accelerate launch -m core.dictionary_training ...``, on CPUs ``torchrun``) share out the
collection's parts, the ring and every batch among them. They start with the same weights and average their gradients,
so their weights stay equal.

What is drawn at a step depends on the step alone. So a run that was stopped and is taken up at its last checkpoint ends
with the same dictionary as one that was not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

import psutil
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
from ..model.dictionary import Dictionary, Scope
from ..pictures.batches import batches
from ..pictures.collection import Collection, share
from ..pictures.options import add_collection_options, chosen_collection
from ..setups.catalog import Location, SetupSpec, read_catalog
from ..setups.health import check, doubts, example_samples, refusal
from ..setups.hub import CLIP_FILES, Download, Fetched, fetch, size_in_words
from ..setups.options import place_named

_READ = 128
"""Pictures that run through the CLIP at a time."""
_DRAWN = 8
"""Batches by which the threshold is calibrated, and what the dictionary explains is measured."""
_DENSE = 1 << 25
"""Numbers in one dense block of activations (128 MB)."""
_UNFINISHED = "checkpoints"
"""The folder of checkpoints in OUT, gone when the dictionary is there."""


@dataclass(frozen=True)
class DictionaryRecipe:
    """Everything that decides what the dictionary training makes, but for the CLIP and the collection."""

    levels: tuple[int, ...] = (360, 800)
    """How many of the first components have to reconstruct alone; the last is the size of the dictionary."""
    k: int = 12
    """Components active at a token, on average over a batch."""
    class_token_share: float = 0.5
    """Share of a batch that is drawn from class tokens, where patches are in scope as well."""
    samples: int = 4_500_000
    """Tokens seen in all."""
    batch: int = 1_024
    """Tokens in a step, over all processes."""
    learning_rate: float = 1e-3
    """Adam's, constant after the warm-up and falling linearly to a tenth over the last fifth."""
    warm_up: int = 100
    """Steps over which it rises, at most a tenth of all."""
    dead_after: int = 100
    """Steps without firing after which a component is revived, at most a fifth of all."""
    buffer: int = 32_000
    """Pictures whose residuals are held at a time, over all processes."""
    seed: int = 1
    """Of the weights and the order of tokens."""
    half: bool = True
    """Whether the weights are stored in half precision."""

    def __post_init__(self) -> None:
        """Raise UserError for numbers that nothing can be trained with."""
        levels = (0, *self.levels)
        fits = {
            f"The levels are {self.levels}. Name sizes above 0, each larger than the last.": len(levels) > 1
            and all(less < more for less, more in zip(levels, levels[1:], strict=False)),
            f"{self.k} components cannot be active of {levels[-1]}. Let k be from 1 to the size.": 1
            <= self.k
            <= levels[-1],
            f"The class token's share is {self.class_token_share:g}. It is from 0 to 1.": 0
            <= self.class_token_share
            <= 1,
            f"{self.samples} tokens in batches of {self.batch} make no step. See more tokens.": 1
            <= self.batch
            <= self.samples,
            f"The learning rate is {self.learning_rate:g}. Take one above 0.": self.learning_rate > 0,
            f"A buffer of {self.buffer} pictures holds nothing. Hold 1 or more.": self.buffer >= 1,
            f"The warm-up takes {self.warm_up} steps. Take 0 or more.": self.warm_up >= 0,
            f"A component cannot be dead after {self.dead_after} steps. Wait for 1 or more.": self.dead_after >= 1,
        }
        for sentence, holds in fits.items():
            if not holds:
                raise UserError(sentence)


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


# ---- residuals, held and renewed


class _Mark(NamedTuple):
    """Where a batch of pictures lies."""

    first: int
    """Pictures read before it."""
    part: int
    """Its part of the collection."""
    number: int
    """Its number in that part."""


class Ring:
    """The residuals of the pictures that were read last, of one process's share of a collection."""

    def __init__(
        self,
        clip: SplitClip,
        scope: Scope,
        collection: Collection,
        capacity: int,
        parts: Sequence[int] | None = None,
        workers: int = 0,
    ) -> None:
        """Room for so many pictures; nothing is read yet. `parts` is the share, by default all of them."""
        self.scope = scope
        self.read = 0
        self.skipped = 0
        self._clip, self._collection, self._workers = clip, collection, workers
        self._parts = list(range(collection.n_parts) if parts is None else parts)
        self._tokens = {"all": slice(None), "cls": slice(0, 1), "patches": slice(1, None)}[scope]
        tokens = len(range(1 + clip.grid[0] * clip.grid[1])[self._tokens])
        size = 2 * capacity * tokens * clip.width
        if size > psutil.virtual_memory().available:
            raise UserError(
                f"The residuals of {capacity:,} pictures take {size_in_words(size)}, more memory than there is. "
                "Hold fewer with --buffer."
            )
        self.held = torch.empty(capacity, tokens, clip.width, dtype=torch.float16)
        """float16 [n, tokens in scope, d], n at most the capacity."""
        self._at_a_time = min(_READ, capacity)
        self._batches = self._stream(None)
        self._found = False
        self._marks: deque[_Mark] = deque()

    def fill(self, tell: Callable[[int], object] = lambda read: None) -> None:
        """Read until it is full or the share is at its end. `tell` hears how many pictures were read at a time."""
        while self.read < len(self.held):
            before = self.read
            if not self._read_on():
                self.held = self.held[: self.read]
            tell(self.read - before)

    def renew(self, until: int) -> None:
        """Read on, round and round, until so many pictures were read in all."""
        while self.read < until:
            self._read_on()

    def state(self) -> list[int]:
        """Whole numbers from which `restore` makes the same ring."""
        return [len(self.held), self.read, self.skipped, *self._marks[0]]

    def restore(self, state: Sequence[int], tell: Callable[[int], object] = lambda read: None) -> None:
        """Hold again what was held, by reading it again."""
        size, read, skipped, *oldest = state
        mark = _Mark(*oldest)
        self.held = self.held[:size]
        self._batches = self._stream(mark)
        self._found = True
        self.read = mark.first
        while self.read < read:
            before = self.read
            self._read_on()
            tell(self.read - before)
        self.skipped = skipped

    def draw(self, count: int, class_token_share: float, generator: torch.Generator) -> Tensor:
        """Tokens [count, d], float16; token 0 being the class token where it is in scope."""
        pictures, tokens, _ = self.held.shape
        first = 1 if self.scope == "all" else 0
        picture = torch.randint(pictures, (count,), generator=generator)
        token = torch.randint(first, tokens, (count,), generator=generator)
        if self.scope == "all":
            token[: round(count * class_token_share)] = 0
        return self.held[picture, token]

    def _stream(self, start: _Mark | None) -> Iterator[Any]:
        """The batches of one round, from one of them on."""
        parts, after = self._parts, None
        if start is not None:
            parts = parts[parts.index(start.part) :]
            after = (start.part, start.number - 1) if start.number else None
        return batches(self._collection, self._clip.crop, self._at_a_time, parts, after, self._workers)

    def _read_on(self) -> bool:
        """Read the next batch of pictures over the oldest. False where a round ended instead, and the next begins."""
        batch = next(self._batches, None)
        if batch is None:
            if not self._found:
                raise UserError("None of the collection's pictures could be read. Choose another collection.")
            self._batches, self._found = self._stream(None), False
            return False
        self.skipped += batch.skipped
        if not len(batch.crops):
            return True
        x = self._clip.residual(self._clip.pixels(batch.crops))[:, self._tokens].half().cpu()
        if not bool(torch.isfinite(x).all()):
            raise UserError(
                f"The residual after layer {self._clip.layer} holds numbers beyond half precision. Choose another."
            )
        self._found = True
        self.held[(torch.arange(len(x)) + self.read) % len(self.held)] = x
        self._marks.append(_Mark(self.read, batch.part, batch.number))
        self.read += len(x)
        while len(self._marks) > 1 and self._marks[1].first <= self.read - len(self.held):
            self._marks.popleft()
        return True


# ---- training


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
    accelerator = accelerator or _accelerator()
    rank, world = accelerator.process_index, accelerator.num_processes
    if checkpoint_every < 1:
        raise UserError(f"A checkpoint cannot be written every {checkpoint_every} steps. Take 1 or more.")
    if recipe.batch % world:
        raise UserError(f"A batch of {recipe.batch} cannot be shared by {world} processes. Make it a multiple of that.")
    if collection.n_parts < world:
        raise UserError(
            f"The collection comes in {collection.n_parts} parts, fewer than there are processes ({world}). "
            "Start fewer processes."
        )
    settings = _settings(clip, scope, collection, recipe, world)
    size = _size(collection)
    to_read, capacity = -(-size // world), -(-recipe.buffer // world)
    ring = Ring(clip, scope, collection, min(capacity, size), share(collection.n_parts, rank, world), workers)
    trainer = _Trainer(_new_sae(clip, recipe, _device(accelerator)), recipe, accelerator)
    generator = torch.Generator().manual_seed(recipe.seed + 1_000 * rank)
    checkpoints = folder / _UNFINISHED

    def draw() -> Tensor:
        tokens = ring.draw(recipe.batch // world, recipe.class_token_share, generator)
        return tokens.to(_device(accelerator)).float()

    newest = _newest(checkpoints)
    with _bar(accelerator, "Reading pictures", min(len(ring.held), to_read), "pictures") as bar:
        if newest is None:
            ring.fill(bar.update)
            trainer.measure_scale(draw)
        else:
            ring.restore(_take_up(newest, settings, trainer, generator, rank), bar.update)

    first = len(ring.held)
    later = max(0, to_read - first) if first == capacity else 0  # with room left, the whole share is held
    with _bar(accelerator, "Training", trainer.steps, "steps", trainer.n_training_steps) as bar:
        while (step := trainer.n_training_steps) < trainer.steps:
            ring.renew(first + later * step // trainer.steps)
            output = trainer.one_step(draw())
            bar.update()
            if step % 50 == 0:
                bar.set_postfix_str(f"loss {output.loss.item():.4g}", refresh=False)
            if (step + 1) % checkpoint_every == 0:
                _save_checkpoint(checkpoints, settings, trainer, generator, ring)

    again = torch.Generator().manual_seed(recipe.seed + 1_000 * rank)
    tokens = torch.cat([ring.draw(recipe.batch // world, recipe.class_token_share, again) for _ in range(_DRAWN)])
    tokens = accelerator.gather(tokens.to(_device(accelerator))).float()
    sae = trainer.finish()
    calibrate_threshold(sae, tokens, recipe.k)
    counts = accelerator.reduce(torch.tensor([ring.read, ring.skipped], device=_device(accelerator)), "sum").tolist()
    if accelerator.is_main_process:
        sae.cfg.metadata.hook_name = f"blocks.{clip.layer}.hook_resid_post"
        sae.cfg.metadata.dataset_path = collection.manifest["name"]
        sae.save_inference_model(folder)
        _tidy(folder, recipe.half)
        shutil.rmtree(checkpoints, ignore_errors=True)
    accelerator.wait_for_everyone()
    explained, active = _measured(Dictionary.from_folder(folder, scope, _device(accelerator)), tokens)
    return Trained(counts[0] + counts[1], counts[1], explained, active)


class _Trainer(SAETrainer[Any, Any]):
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
            device=_device(accelerator),
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
        mean = torch.tensor(norms / drawn, dtype=torch.float64, device=_device(self._accelerator))
        self.activation_scaler.scaling_factor = self.sae.cfg.d_in**0.5 / self._accelerator.reduce(mean, "mean").item()

    def one_step(self, batch: Tensor) -> TrainStepOutput:
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


def _new_sae(clip: SplitClip, recipe: DictionaryRecipe, device: str) -> BatchTopKTrainingSAE:
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
    for some in tokens.split(max(1, _DENSE // sae.cfg.d_sae)):
        _, before = sae.encode_with_hidden_pre(some)
        both = torch.cat([largest, before.relu().flatten()])
        largest = both.topk(min(wanted, len(both))).values
    sae.topk_threshold.fill_(largest[-1].item())


@torch.no_grad()
def _measured(dictionary: Dictionary, tokens: Tensor) -> tuple[float, float]:
    """Explained variance and L0 over tokens [n, d], all taken to be in scope."""
    missed, active = 0.0, 0
    for some in tokens.split(max(1, _DENSE // dictionary.n_components)):
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


def _accelerator() -> Accelerator:
    """This process among those that train together. Without CUDA on the CPU: on Apple's GPU `sae_lens` cannot train."""
    return Accelerator(cpu=not torch.cuda.is_available())


def _device(accelerator: Accelerator) -> str:
    """Where this process computes, as safetensors names it: some ways to start processes make "cpu:0" of a CPU."""
    return "cpu" if accelerator.device.type == "cpu" else str(accelerator.device)


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


def _settings(
    clip: SplitClip, scope: Scope, collection: Collection, recipe: DictionaryRecipe, world: int
) -> dict[str, Any]:
    """What a checkpoint must agree with, as JSON has it."""
    digest = hashlib.sha256()
    for weight in clip.model.vision_model.parameters():
        digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    named = {f"pictures' {name}": value for name, value in collection.manifest.items()}
    own = {"clip": digest.hexdigest()[:16], "layer": clip.layer, "scope": scope, "processes": world}
    plain: dict[str, Any] = json.loads(json.dumps(asdict(recipe) | own | named))
    return plain


def _newest(checkpoints: Path) -> Path | None:
    """The last checkpoint that was written to its end."""
    return max(checkpoints.glob("step-" + "[0-9]" * 9), default=None)


def _save_checkpoint(
    checkpoints: Path, settings: Mapping[str, Any], trainer: _Trainer, generator: torch.Generator, ring: Ring
) -> None:
    """Write a checkpoint, in a folder that gets its name when it is whole; the one before it goes."""
    accelerator = trainer._accelerator
    state = torch.tensor([ring.state()], device=_device(accelerator))
    states = accelerator.gather(state)
    drawing = accelerator.gather(generator.get_state()[None].to(_device(accelerator)))
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


def _take_up(
    checkpoint: Path, settings: Mapping[str, Any], trainer: _Trainer, generator: torch.Generator, rank: int
) -> list[int]:
    """Put the trainer and the drawing of tokens where they were; the state of the ring."""
    with _undamaged(checkpoint):
        theirs = json.loads((checkpoint / "settings.json").read_text())
        other = [name for name in sorted({*settings, *theirs}) if settings.get(name) != theirs.get(name)]
    if other:
        said = ", ".join(f"{name} {theirs.get(name)} and not {settings.get(name)}" for name in other)
        raise UserError(
            f"The checkpoint {checkpoint} was made with other settings: {said}. Repeat those to go on, or delete it "
            "to start afresh."
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


# ---- the command


def write_catalog(folder: Path, clip: Location, layer: int, scope: Scope, recipe: DictionaryRecipe, on: str) -> Path:
    """Write ``catalog.toml`` beside the dictionary in ``folder``: a setup that `core.setups.loading` loads."""
    made_of = clip.repo or (clip.folder or Path()).resolve().name
    place = {"folder": str(clip.folder.resolve())} if clip.folder else {"repo": clip.repo, "revision": clip.revision}
    note = (
        f"A dictionary trained on {on}: {recipe.levels[-1]:,} components, {recipe.k} of them active at a token. "
        "Nobody but its maker has looked at it."
    )
    table = {
        "name": folder.resolve().name,
        "title": f"{made_of} layer {layer}, trained on {on}",
        "clip": place,
        "dictionary": {"folder": "."},
        "layer": layer,
        "scope": scope,
        "licence": "as its makers say",
        "note": note,
    }
    lines = [f"{key} = {_toml(value)}" for key, value in table.items()]
    catalog = folder / "catalog.toml"
    catalog.write_text("\n".join(["[[setup]]", *lines]) + "\n", encoding="utf-8")
    return catalog


def _toml(value: object) -> str:
    """A value as TOML: text as JSON has it, which TOML reads alike."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def report_health(card: SetupSpec, folder: Path, clip: SplitClip) -> str | None:
    """Check the dictionary in ``folder`` as a setup is checked when it loads, and print its figures.

    Returns why it would be refused; None where it would not.
    """
    dictionary = Dictionary.from_folder(folder, card.scope, str(clip.device))
    health = check(clip, dictionary, example_samples())
    print(health.said)
    for row in health.rows(card.published):
        print(f"  {row.label}: {row.ours:.1f} {row.unit}".rstrip())
    for doubt in doubts(health, card):
        print(f"  {doubt}")
    return refusal(health, card)


def _fetch_clip(name: str, accelerator: Accelerator) -> tuple[Location, Fetched]:
    """The CLIP of that name: a folder where there is one, else a repository, at one commit."""
    place = place_named(name, ".")
    with tqdm(
        desc="Downloading the CLIP", unit="B", unit_scale=True, disable=not accelerator.is_main_process, delay=1
    ) as bar:

        def tell(download: Download) -> None:
            bar.total = download.total
            bar.update(download.done - bar.n)

        with accelerator.local_main_process_first():
            fetched = fetch(place, CLIP_FILES, tell)
    if fetched.commit is not None:
        place = Location(repo=name, revision=fetched.commit)
    return place, fetched


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    bundled = DictionaryRecipe()
    parser = argparse.ArgumentParser(
        prog="python -m core.dictionary_training",
        description="Train a dictionary for a CLIP. Run the same command again to take up a run that was stopped. "
        "The defaults are those of the bundled setup; in brackets, what to begin with for a CLIP of usual size.",
    )
    parser.add_argument("--clip", required=True, help="a CLIP in Hugging Face's layout: a folder, or owner/name")
    parser.add_argument("--layer", type=int, required=True, help="the residual after this vision layer, from 0")
    parser.add_argument("--scope", choices=get_args(Scope), default="all", help="the tokens to read")
    parser.add_argument("--out", type=Path, required=True, help="where the dictionary is written, and its catalog")

    add_collection_options(parser, "scenes:training")

    made = parser.add_argument_group("what is trained")
    made.add_argument(
        "--levels", type=int, nargs="+", default=list(bundled.levels), help="sizes that reconstruct alone; the last is "
        "that of the dictionary, and a single one makes a plain BatchTopK [2048 16384]",
    )  # fmt: skip
    made.add_argument("--k", type=int, default=bundled.k, help="components active at a token, on average [32]")
    made.add_argument("--samples", type=int, default=bundled.samples, help="tokens seen in all [100000000]")
    made.add_argument("--batch", type=int, default=bundled.batch, help="tokens in a step [4096]")
    made.add_argument("--learning-rate", type=float, default=bundled.learning_rate, help="Adam's [0.0003]")
    made.add_argument("--warm-up", type=int, default=bundled.warm_up, help="steps over which it rises [1000]")
    made.add_argument("--dead-after", type=int, default=bundled.dead_after, help="steps without firing after which a "
                      "component is revived [1000]")  # fmt: skip
    made.add_argument("--class-token-share", type=float, default=bundled.class_token_share, help="of every batch, "
                      "with the scope all")  # fmt: skip
    made.add_argument("--buffer", type=int, default=bundled.buffer, help="pictures whose residuals are held at a time")
    made.add_argument("--seed", type=int, default=bundled.seed)
    made.add_argument("--full-precision", action="store_true", help="store float32, not float16")
    made.add_argument("--checkpoint-every", type=int, default=1_000, help="steps")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """The command."""
    arguments = _arguments(words)
    try:
        _run(arguments)
    except UserError as trouble:
        raise SystemExit(str(trouble)) from trouble
    except KeyboardInterrupt as stop:
        last = _newest(arguments.out / _UNFINISHED)
        where = "the beginning" if last is None else f"step {int(last.name.removeprefix('step-')):,}"
        raise SystemExit(f"\nStopped. Run the same command again to go on from {where}.") from stop


def _run(arguments: argparse.Namespace) -> None:
    out: Path = arguments.out
    if (out / "cfg.json").exists() and _newest(out / _UNFINISHED) is None:
        raise UserError(f"{out} holds a dictionary already. Name another folder, or delete it.")
    recipe = DictionaryRecipe(
        levels=tuple(arguments.levels),
        k=arguments.k,
        class_token_share=arguments.class_token_share,
        samples=arguments.samples,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        warm_up=arguments.warm_up,
        dead_after=arguments.dead_after,
        buffer=arguments.buffer,
        seed=arguments.seed,
        half=not arguments.full_precision,
    )
    accelerator = _accelerator()
    collection = chosen_collection(arguments)
    place, fetched = _fetch_clip(arguments.clip, accelerator)
    clip = SplitClip.from_folder(fetched.folder, arguments.layer, _device(accelerator))
    trained = train_dictionary(
        clip,
        arguments.scope,
        collection,
        recipe,
        out,
        accelerator=accelerator,
        checkpoint_every=arguments.checkpoint_every,
        workers=arguments.workers,
    )
    if not accelerator.is_main_process:
        return
    left_out = f", of which {trained.skipped:,} could not be read" if trained.skipped else ""
    print(f"Trained on {trained.pictures:,} pictures{left_out}.")
    print(
        f"It explains {100 * trained.explained_variance:.1f} % of the variance of tokens drawn as in training, with "
        f"{trained.active_per_token:.1f} components active at each."
    )
    on = f"{trained.pictures - trained.skipped:,} pictures of {collection.manifest['name']}"
    catalog = write_catalog(out, place, arguments.layer, arguments.scope, recipe, on)
    (card,) = read_catalog(catalog).values()
    refused = report_health(card, out, clip)
    if refused is not None:
        raise UserError(f"{refused} The dictionary stays in {out}.")
    print(f"To use it: python app.py --catalog {catalog} --setup {card.name}")
