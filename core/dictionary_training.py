"""Train a dictionary: a Matryoshka BatchTopK SAE of ``sae_lens`` on residuals of a vision tower.

The first components alone, and the first few hundred, have to reconstruct as well as they can ("Learning Multi-Level
Features with Matryoshka Sparse Autoencoders", arXiv 2503.17547). So the first ones stay whole concepts, such as a word
that is read, which a plain SAE of the same size splits into several components that fire together; one lever then
moves what took several.

The class token decides the prediction but is one token among many, so batches draw it more often than its share.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from sae_lens import MatryoshkaBatchTopKTrainingSAE, MatryoshkaBatchTopKTrainingSAEConfig
from sae_lens.config import SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer
from safetensors.torch import load_file, save_file


@dataclass(frozen=True)
class DictionaryRecipe:
    """Everything that decides what the dictionary training makes, but for the residuals."""

    levels: tuple[int, ...] = (360, 800)
    """How many of the first components have to reconstruct alone; the last is the size of the dictionary."""
    k: int = 12
    """Components active at a token, on average over a batch."""
    class_token_share: float = 0.5
    """Share of a batch that is drawn from class tokens."""
    samples: int = 4_500_000
    """Tokens seen in all."""
    batch: int = 1_024
    """Tokens in a step."""
    learning_rate: float = 1e-3
    """Adam's, constant and then falling linearly over the last fifth."""
    seed: int = 1
    """Of the weights and the order of tokens."""


def draw_tokens(residuals: torch.Tensor, recipe: DictionaryRecipe) -> Iterator[torch.Tensor]:
    """Endless batches ``[batch, d]`` from residuals ``[N, T, d]`` (token 0 is the class token)."""
    generator = torch.Generator().manual_seed(recipe.seed)
    pictures, tokens, _ = residuals.shape
    of_class = round(recipe.batch * recipe.class_token_share)
    while True:
        picture = torch.randint(pictures, (recipe.batch,), generator=generator)
        token = torch.randint(1, tokens, (recipe.batch,), generator=generator)
        token[:of_class] = 0
        yield residuals[picture, token].float()


def train_dictionary(residuals: torch.Tensor, recipe: DictionaryRecipe, folder: Path, device: str) -> None:
    """Train on ``residuals`` ``[N, T, d]`` and write an inference folder of ``sae_lens``, weights in half precision."""
    torch.manual_seed(recipe.seed)
    sae = MatryoshkaBatchTopKTrainingSAE(
        MatryoshkaBatchTopKTrainingSAEConfig(
            d_in=residuals.shape[-1],
            d_sae=recipe.levels[-1],
            matryoshka_widths=list(recipe.levels),
            k=recipe.k,
            device=device,
            normalize_activations="expected_average_only_in",  # folded into the weights at the end
        )
    )
    steps = recipe.samples // recipe.batch
    config = SAETrainerConfig(
        total_training_samples=recipe.samples,
        train_batch_size_samples=recipe.batch,
        lr=recipe.learning_rate,
        lr_end=recipe.learning_rate / 10,
        lr_warm_up_steps=min(100, steps // 10),
        lr_decay_steps=steps // 5,
        dead_feature_window=min(100, max(1, steps // 5)),
        n_batches_for_norm_estimate=50,
        device=device,
    )
    SAETrainer(config, sae, draw_tokens(residuals, recipe)).fit()
    calibrate_threshold(sae, residuals, recipe)
    sae.save_inference_model(folder)
    halve(folder)


@torch.no_grad()
def calibrate_threshold(sae: MatryoshkaBatchTopKTrainingSAE, residuals: torch.Tensor, recipe: DictionaryRecipe) -> None:
    """Set the threshold so that ``k`` components are active on average over many tokens.

    The running average that ``sae_lens`` keeps follows the smallest activation of each batch and can leave the saved
    JumpReLU two or three times denser than trained.
    """
    drawn = draw_tokens(residuals, recipe)
    tokens = torch.cat([next(drawn) for _ in range(8)]).to(sae.W_dec.device)
    _, before = sae.encode_with_hidden_pre(tokens)
    sae.topk_threshold.fill_(before.relu().flatten().topk(recipe.k * len(tokens)).values[-1].item())


def halve(folder: Path) -> None:
    """Store the weights of a ``sae_lens`` folder in half precision."""
    weights = folder / "sae_weights.safetensors"
    save_file({name: tensor.half().contiguous() for name, tensor in load_file(weights).items()}, weights)
    config = json.loads((folder / "cfg.json").read_text())
    config["dtype"] = "float16"
    (folder / "cfg.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
