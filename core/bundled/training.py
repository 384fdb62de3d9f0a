"""Training of the bundled CLIP and its dictionary, from nothing: ``python -m core.bundled.training``.

1. Train a small CLIP on rendered scenes (InfoNCE over captions, several positives each), with a curriculum for
   reading and, for most of the time, without the least important patches.
2. Train an SAE with ``sae_lens`` on the residual after one layer, as ``python -m core.dictionary_training --clip
   assets/bundled/clip --layer 4 --pictures scenes:training --out ...`` does.
3. Save both in the layouts of ``transformers`` and ``sae_lens``, in half precision.

The score of what came out is a command of its own: ``python -m core.bundled.scoring``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch.multiprocessing.spawn import spawn
from torch.utils.data import DataLoader, IterableDataset
from transformers import CLIPConfig, CLIPModel, CLIPProcessor, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from ..dictionary_training.recipe import DictionaryRecipe
from ..files import replacing
from ..model.places import ResidualStream
from ..pictures.options import CollectionOptions
from ..scenes.sampling import (
    READING_BEGINS,
    READING_ENDS,
    SIDE,
    caption_words,
    foreground,
    held_out,
    lesson,
    letters,
    nonsense,
)
from ..scenes.scene import CLASSES, Painter

PATCH = 12
CELLS = SIDE // PATCH
CONTEXT = 20
READING_LAYER = 2
"""Half-way up the vision tower, where the reading lessons ask every patch for its letter."""
MEAN = STD = (0.5, 0.5, 0.5)
CHECKPOINT = "clip.pt"
"""The file, among those of the work, that an interrupted training goes on from."""
LAYER = 4
"""The dictionary reads the residual after this layer, of 0 to 5."""


@dataclass(frozen=True)
class TrainingRecipe:
    """Everything that decides what the CLIP training makes, but for the machine's arithmetic."""

    pictures: int = 380_000
    """Training pictures in all, each seen once."""
    batch: int = 64
    """Pictures that are contrasted with each other."""
    batches: int = 2
    """Batches in a step, their gradients averaged: one for each process."""
    learning_rate: float = 1e-3
    """Peak, after the warm-up."""
    warmup_steps: int = 200
    """Steps of linear warm-up."""
    weight_decay: float = 0.05
    """AdamW's, on matrices."""
    cropped_share: float = 0.94
    """Share of the training that sees only the ``kept`` most important patches."""
    kept: int = 32
    """Patches seen during that time, of 64."""
    average: float = 0.998
    """Decay of the running average of the weights, which is what is saved."""
    seed: int = 0
    """Of the weights and the scenes."""


def build_tokenizer() -> CLIPTokenizer:
    """A byte-pair tokenizer trained on the captions' words: each known word is one token, others fall apart."""
    rng = np.random.default_rng(7)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=1_331,
        # Any byte can end a word, too. Named here, these get fixed places; found in the corpus, they would be numbered
        # in another order in every process, and so would every tie between merges that follows.
        special_tokens=["<|startoftext|>", "<|endoftext|>", *(letter + "</w>" for letter in alphabet)],
        end_of_word_suffix="</w>",
        initial_alphabet=alphabet,
    )
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    words = sorted(caption_words())
    corpus = [word for word in words for _ in range(50)] + [nonsense(rng) for _ in range(2_000)]
    tokenizer.train_from_iterator(corpus, trainer)
    learned = json.loads(tokenizer.to_str())["model"]
    vocabulary: dict[str, int] = dict(learned["vocab"])
    merges = [tuple(pair) for pair in learned["merges"]]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CONTEXT)  # type: ignore[arg-type]


def build_model(tokenizer: CLIPTokenizer) -> CLIPModel:
    """A CLIP of 2.9 million weights: 96 px pictures in 12 px patches, six layers 192 wide."""
    config = CLIPConfig(
        vision_config={
            "hidden_size": 192, "intermediate_size": 576, "num_hidden_layers": 6, "num_attention_heads": 3,
            "image_size": SIDE, "patch_size": PATCH, "hidden_act": "gelu", "projection_dim": 128,
        },
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 2,
            "num_attention_heads": 2, "max_position_embeddings": CONTEXT, "hidden_act": "gelu", "projection_dim": 128,
            "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        projection_dim=128,
    )  # fmt: skip
    return CLIPModel(config)


Batch = tuple[torch.Tensor, list[tuple[str, ...]], list[tuple[tuple[str, ...], ...]], torch.Tensor, torch.Tensor]
"""Of `Lessons`: pictures uint8 ``[B, S, S, 3]``, their captions, what these mean, how much each patch matters
``[B, n]``, and which letter it holds ``[B, n, 26]``."""


class Lessons(IterableDataset[Batch]):
    """One process's batches of training pictures, in an order fixed by the seed."""

    def __init__(self, recipe: TrainingRecipe, rank: int, start_step: int, steps: int) -> None:
        self.recipe, self.rank, self.start_step, self.steps = recipe, rank, start_step, steps

    def __iter__(self) -> Iterator[Batch]:
        painter = Painter(SIDE)
        for step in range(self.start_step, self.steps):
            rng = np.random.default_rng([self.recipe.seed, self.rank, step])
            lessons = [lesson(rng, step / self.steps) for _ in range(self.recipe.batch)]
            pixels = np.stack([painter.paint(each.scene) for each in lessons])
            matters = np.stack([foreground(each.scene, CELLS).ravel() for each in lessons])
            matters += rng.random(matters.shape, dtype=np.float32)  # ties fall by lot
            yield (
                torch.from_numpy(pixels),
                [each.captions for each in lessons],
                [each.meanings for each in lessons],
                torch.from_numpy(matters),
                torch.from_numpy(np.stack([letters(each.scene, CELLS) for each in lessons])),
            )


def as_pixels(pictures: torch.Tensor, device: torch.device) -> torch.Tensor:
    """uint8 ``[B, S, S, 3]`` to normalised ``[B, 3, S, S]``."""
    scaled = pictures.to(device).permute(0, 3, 1, 2).float() / 255
    return (scaled - MEAN[0]) / STD[0]


def see(model: CLIPModel, pixels: torch.Tensor, keep: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Image embeddings ``[B, p]``, un-normalised, and the patches' residual ``[B, n, d]`` half-way up the tower.

    ``keep`` ``[B, n]`` names the patches that are seen; None: all of them.
    """
    vision = model.vision_model
    hidden = vision.embeddings(pixels)
    if keep is not None:
        rows = torch.cat([torch.zeros_like(keep[:, :1]), keep + 1], dim=1)  # the class token stays
        hidden = hidden.gather(1, rows[..., None].expand(-1, -1, hidden.shape[-1]))
    hidden = vision.pre_layrnorm(hidden)
    half_way = hidden
    for number, layer in enumerate(vision.encoder.layers):
        hidden = layer(hidden, attention_mask=None)
        if number == READING_LAYER:
            half_way = hidden
    return model.visual_projection(vision.post_layernorm(hidden[:, 0])), half_way[:, 1:]


def embed_texts(model: CLIPModel, tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    """Unit text embeddings ``[n, p]``."""
    tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(model.device)
    return F.normalize(model.get_text_features(**tokens).pooler_output, dim=-1)


def contrast(images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor, fits: torch.Tensor) -> torch.Tensor:
    """InfoNCE with several positives: images ``[B, p]``, texts ``[U, p]`` (unit), ``fits`` bool ``[B, U]``."""
    logits = scale * images @ texts.T
    to_text = fits / fits.sum(1, keepdim=True)
    to_image = fits / fits.sum(0, keepdim=True)
    return -0.5 * ((to_text * logits.log_softmax(1)).sum(1).mean() + (to_image * logits.log_softmax(0)).sum(0).mean())


@torch.no_grad()
def quick_look(model: CLIPModel, tokenizer: CLIPTokenizer, count: int) -> dict[str, float]:
    """Accuracy and fooled share on so many validation pictures of each kind, to watch the training by."""
    painter = Painter(SIDE)
    classifier = embed_texts(model, tokenizer, [f"a photo of a {name}" for name in CLASSES])
    seen: dict[str, float] = {}
    for kind in ("clean", "attacked", "hard", "stamped", "flooded", "sign"):
        cases = held_out(kind, count, "validation")
        pictures = torch.from_numpy(np.stack([painter.paint(case.scene) for case in cases]))
        embedding, _ = see(model, as_pixels(pictures, model.device), None)
        predicted = [CLASSES[i] for i in (embedding @ classifier.T).argmax(1).tolist()]
        seen[kind] = float(np.mean([word == case.truth for word, case in zip(predicted, cases, strict=True)]))
        if cases[0].foil:
            fooled = [word == case.foil for word, case in zip(predicted, cases, strict=True)]
            seen[f"{kind} lured"] = float(np.mean(fooled))
    return seen


def reading_loss(read: torch.Tensor, written: torch.Tensor) -> torch.Tensor:
    """How wrong the letters are that the patches were asked for: logits and truth (0 or 1), ``[B, n, 26]``.

    Few patches hold a letter, so those that do count ten times.
    """
    wrong = F.binary_cross_entropy_with_logits(read, written, pos_weight=torch.tensor(10.0, device=read.device))
    return 26 * 0.3 * wrong


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def pace(progress: float) -> float:
    """The learning rate as a share of its peak: a cosine down to a plateau, and to nothing over the last fifth."""
    plateau = 0.45
    if progress < 0.8:
        return max(plateau, 0.5 * (1 + math.cos(math.pi * progress)))
    return plateau * (1 - progress) / 0.2


class ClipTraining:
    """What changes while a CLIP is trained: its weights, their running average, the optimizer."""

    def __init__(self, recipe: TrainingRecipe, device: torch.device) -> None:
        """Nothing is learned yet."""
        torch.manual_seed(recipe.seed)
        self.recipe, self.device = recipe, device
        self.steps = recipe.pictures // (recipe.batch * recipe.batches)
        self.tokenizer = build_tokenizer()
        self.model = build_model(self.tokenizer).train()
        self.model.to(device)
        self.averaged = deepcopy(self.model).eval()
        # Only the training has it: it asks every patch for its letter.
        self.reader = torch.nn.Linear(self.model.config.vision_config.hidden_size, 26).to(device)
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": recipe.weight_decay},
                {"params": others, "weight_decay": 0.0},
                {"params": list(self.reader.parameters()), "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )

    def load_checkpoint(self, path: Path) -> int:
        """Go on from a checkpoint, if there is one: the number of steps that are done."""
        if not path.exists():
            return 0
        state = torch.load(path, weights_only=True, map_location=self.device)
        for name in ("model", "averaged", "reader", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        step: int = state["step"]
        return step

    def save_checkpoint(self, path: Path, step: int) -> None:
        """Write a checkpoint after so many steps, over the one before."""
        states = {name: getattr(self, name).state_dict() for name in ("model", "averaged", "reader", "optimizer")}
        with replacing(path) as beside:
            torch.save({"recipe": asdict(self.recipe), "step": step, **states}, beside)

    def train_step(self, batch: Batch, step: int) -> torch.Tensor:
        """One step on this process's batch; returns its loss. All processes take it together."""
        for group in self.optimizer.param_groups:
            warm = min(1.0, (step + 1) / self.recipe.warmup_steps)
            group["lr"] = self.recipe.learning_rate * warm * pace(step / self.steps)

        loss = self.loss(batch, step)
        self.optimizer.zero_grad()
        loss.backward()
        average_gradients([*self.model.parameters(), *self.reader.parameters()])
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()

        with torch.no_grad():
            self.model.logit_scale.clamp_(max=math.log(100))
            # a short memory at first, so that the average is not full of the beginning
            decay = min(self.recipe.average, (1 + step) / (10 + step))
            for mine, theirs in zip(self.averaged.parameters(), self.model.parameters(), strict=True):
                mine.lerp_(theirs, 1 - decay)
        return loss.detach()

    def loss(self, batch: Batch, step: int) -> torch.Tensor:
        """InfoNCE over pictures and captions, and while reading is taught, what patches say of their letters."""
        pictures, captions, meanings, matters, written = batch
        cropped = step < self.recipe.cropped_share * self.steps
        keep = matters.topk(self.recipe.kept, dim=1).indices.to(self.device) if cropped else None
        meaning_of = dict(
            zip(
                (text for each in captions for text in each),
                (meaning for each in meanings for meaning in each),
                strict=True,
            )
        )
        fits = torch.tensor([[meaning in mine for meaning in meaning_of.values()] for mine in meanings]).float()
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda"):
            embeddings, half_way = see(self.model, as_pixels(pictures, self.device), keep)
            images = F.normalize(embeddings.float(), dim=-1)
            texts = embed_texts(self.model, self.tokenizer, list(meaning_of)).float()
            loss = contrast(images, texts, self.model.logit_scale.exp(), fits.to(self.device))
            if READING_BEGINS <= step / self.steps < READING_ENDS:
                written = written.to(self.device)
                if keep is not None:
                    written = written.gather(1, keep[..., None].expand(-1, -1, 26))
                loss = loss + reading_loss(self.reader(half_way), written)
        return loss


def train_clip(rank: int, recipe: TrainingRecipe, work: Path, watched: int = 100) -> None:
    """One of ``recipe.batches`` processes that train together, or take up where the checkpoint in ``work`` stands.

    Two processes with a thread each are faster on two cores than one process with two threads; on a GPU
    they share it. The checkpoint holds the averaged model. ``watched`` is for `quick_look`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // recipe.batches))
    address = f"file://{(work / 'rendezvous').resolve()}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=recipe.batches)

    training = ClipTraining(recipe, device)
    first, steps = training.load_checkpoint(work / CHECKPOINT), training.steps
    lessons = Lessons(recipe, rank, first, steps)
    began = time.time()
    for step, batch in enumerate(DataLoader(lessons, batch_size=None, num_workers=1, prefetch_factor=8), start=first):
        loss = training.train_step(batch, step)
        done = step + 1
        if rank == 0 and (done % 100 == 0 or done == steps):
            seen = quick_look(training.averaged, training.tokenizer, watched)
            look = " ".join(f"{kind} {share:.2f}" for kind, share in seen.items())
            rate = (done - first) * recipe.batch * recipe.batches / (time.time() - began)
            print(f"{done}/{steps} loss {loss.item():.3f} {rate:.0f} pictures/s | {look}", flush=True)
            training.save_checkpoint(work / CHECKPOINT, done)
    dist.destroy_process_group()


def save_clip(model: CLIPModel, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write the folder that ``CLIPModel`` and ``CLIPProcessor`` load from, weights in half precision."""
    deepcopy(model).half().save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    images = CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size=size, image_mean=list(MEAN), image_std=list(STD)
    )
    CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)


def rebuild(recipe: TrainingRecipe, work: Path, out: Path, watched: int = 100) -> None:
    """Train a CLIP, or go on with one whose checkpoint is in ``work``, then a dictionary for it; both go to ``out``."""
    # Not in the processes that train the CLIP: half of what they would import.
    from ..dictionary_training.trainer import train_dictionary
    from ..setups.clips import read_clip

    work.mkdir(parents=True, exist_ok=True)
    (work / "rendezvous").unlink(missing_ok=True)
    checkpoint = work / CHECKPOINT
    if checkpoint.exists() and torch.load(checkpoint, weights_only=True)["recipe"] != asdict(recipe):
        raise SystemExit(f"{checkpoint} was made with other settings; move it away to start afresh.")
    spawn(train_clip, (recipe, work, watched), nprocs=recipe.batches)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["averaged"])
    save_clip(model, tokenizer, out / "clip")
    (out / "words.txt").write_text("\n".join(sorted(caption_words())) + "\n")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    clip = read_clip(out / "clip", ResidualStream(LAYER), device)
    scenes = CollectionOptions("scenes:training").open()
    train_dictionary(clip, "all", scenes, DictionaryRecipe(), out / "dictionary")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(".cache/bundled"), help="checkpoints; safe to delete")
    parser.add_argument("--out", type=Path, default=Path("assets/bundled"))
    parser.add_argument("--pictures", type=int, default=TrainingRecipe.pictures)
    arguments = parser.parse_args()
    rebuild(TrainingRecipe(pictures=arguments.pictures), arguments.work, arguments.out)


if __name__ == "__main__":
    main()
