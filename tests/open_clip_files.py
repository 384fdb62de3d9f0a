"""CLIPs in open_clip's layout, made for tests: files, weights under its names, and its forward pass written down.

The file names are those of laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K; its commit 0ca1367, “Add model”, lists them and
shows `open_clip_config.json` (https://huggingface.co/laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K/commit/0ca1367). The
names of weights and the arithmetic are those of github.com/mlfoundations/open_clip at 89fb801: src/open_clip/model.py
(`CLIP`), transformer.py (`VisionTransformer`, `ResidualAttentionBlock`, `text_global_pool`), layers.py.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from conftest import tokenizer_of
from safetensors.torch import save_file
from torch import Tensor

PUBLISHED_CONFIG = """{
  "model_cfg": {
    "embed_dim": 512,
    "vision_cfg": {
      "image_size": 224,
      "layers": 12,
      "width": 768,
      "patch_size": 32
    },
    "text_cfg": {
      "context_length": 77,
      "vocab_size": 49408,
      "width": 512,
      "heads": 8,
      "layers": 12
    }
  },
  "preprocess_cfg": {
    "mean": [
      0.48145466,
      0.4578275,
      0.40821073
    ],
    "std": [
      0.26862954,
      0.26130258,
      0.27577711
    ]
  }
}"""
"""`open_clip_config.json` of laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K at 0ca1367, all 469 bytes."""

PUBLISHED_FILES = (
    "README.md merges.txt open_clip_config.json open_clip_model.safetensors open_clip_pytorch_model.bin "
    "special_tokens_map.json tokenizer.json tokenizer_config.json vocab.json"
).split()
"""What that commit holds."""


def datacomp_settings() -> dict[str, object]:
    """`tokenizer_config.json` there, of 33 lines, as seen in laion/CLIP-ViT-B-32-CommonPool.M-s128M-b4K: 806 bytes."""
    mark = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    start, end = (
        {"__type": "AddedToken", "content": content, **mark} for content in ("<|startoftext|>", "<|endoftext|>")
    )
    return {
        **{"add_prefix_space": False, "bos_token": start, "do_lower_case": True, "eos_token": end},
        **{"errors": "replace", "model_max_length": 77, "name_or_path": "openai/clip-vit-large-patch14"},
        **{"pad_token": "<|endoftext|>", "special_tokens_map_file": "./special_tokens_map.json"},
        **{"tokenizer_class": "CLIPTokenizer", "unk_token": end},
    }


def make_weights(model_cfg: Mapping[str, Any], seed: int = 0) -> dict[str, Tensor]:
    """Random weights under open_clip's names, under whose layers a residual changes much."""
    vision, text, p = model_cfg["vision_cfg"], model_cfg["text_cfg"], model_cfg["embed_dim"]
    noise = torch.Generator().manual_seed(seed)

    def matrix(*shape: int, fan: int = 0) -> Tensor:
        return torch.randn(shape, generator=noise) * (fan or shape[-1]) ** -0.5

    def norm(name: str, width: int) -> dict[str, Tensor]:
        bias = 0.2 * torch.randn(width, generator=noise)
        return {f"{name}.weight": 1 + 0.2 * torch.randn(width, generator=noise), f"{name}.bias": bias}

    def layers(prefix: str, tower: Mapping[str, Any]) -> dict[str, Tensor]:
        d, hidden = tower["width"], int(tower["width"] * tower.get("mlp_ratio", 4.0))
        made: dict[str, Tensor] = {}
        for number in range(tower["layers"]):
            at = f"{prefix}transformer.resblocks.{number}."
            made |= norm(f"{at}ln_1", d) | norm(f"{at}ln_2", d)
            for name, rows, columns in (
                ("attn.in_proj_", 3 * d, d),
                ("attn.out_proj.", d, d),
                ("mlp.c_fc.", hidden, d),
                ("mlp.c_proj.", d, hidden),
            ):
                made[f"{at}{name}weight"] = matrix(rows, columns)
                made[f"{at}{name}bias"] = 0.2 * matrix(rows, fan=1)
            if tower.get("ls_init_value") is not None:
                made |= {f"{at}{name}.gamma": matrix(d, fan=1) for name in ("ls_1", "ls_2")}
        return made

    d, patch = vision["width"], vision["patch_size"]
    positions = 1 + (vision["image_size"] // patch) ** 2
    return {
        "visual.class_embedding": matrix(d, fan=1),
        "visual.positional_embedding": matrix(positions, d, fan=4),
        "visual.conv1.weight": matrix(d, 3, patch, patch, fan=3 * patch**2),
        **norm("visual.ln_pre", d),
        **layers("visual.", vision),
        **norm("visual.ln_post", d),
        "visual.proj": matrix(d, p, fan=d),
        "token_embedding.weight": matrix(text["vocab_size"], text["width"], fan=1),
        "positional_embedding": matrix(text["context_length"], text["width"], fan=4),
        **layers("", text),
        **norm("ln_final", text["width"]),
        "text_projection": matrix(text["width"], p, fan=text["width"]),
        "logit_scale": torch.tensor(3.0),
    }


def write_tokenizer(folder: Path, vocab: Mapping[str, int], merges: list[tuple[str, str]], context: int) -> None:
    """In all the files that are published."""
    settings = datacomp_settings() | {"model_max_length": context}
    contents = {
        "vocab.json": json.dumps(vocab),
        "merges.txt": "\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges), ""]),
        "tokenizer.json": tokenizer_of(vocab, merges, context).backend_tokenizer.to_str(),
        "tokenizer_config.json": json.dumps(settings),
        "special_tokens_map.json": json.dumps({name: settings[name] for name in ("bos_token", "eos_token")}),
    }
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8")


def write_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """In the better of the two formats."""
    save_file({name: weight.contiguous() for name, weight in weights.items()}, folder / "open_clip_model.safetensors")


# The forward pass, from weights by their names


def through_layers(
    x: Tensor,
    w: Mapping[str, Tensor],
    prefix: str,
    heads: int,
    quick: bool,
    mask: bool,
    added: list[Tensor] | None = None,
) -> list[Tensor]:
    """x [n, T, d] after every layer; `added` receives what the MLP of each adds."""
    after, number = [], 0
    while f"{prefix}transformer.resblocks.{number}.ln_1.weight" in w:
        at = f"{prefix}transformer.resblocks.{number}."

        def linear(x: Tensor, name: str, at: str = at) -> Tensor:
            return F.linear(x, w[f"{at}{name}weight"], w[f"{at}{name}bias"])

        def norm(x: Tensor, name: str, at: str = at) -> Tensor:
            return F.layer_norm(x, x.shape[-1:], w[f"{at}{name}.weight"], w[f"{at}{name}.bias"], 1e-5)

        n, tokens, d = x.shape
        q, k, v = (
            part.reshape(n, tokens, heads, d // heads).permute(0, 2, 1, 3)
            for part in linear(norm(x, "ln_1"), "attn.in_proj_").split(d, dim=-1)
        )
        scores = q @ k.transpose(-1, -2) / (d // heads) ** 0.5
        if mask:
            scores = scores + torch.full((tokens, tokens), float("-inf")).triu(1)
        read = F.softmax(scores, dim=-1) @ v
        read = linear(read.permute(0, 2, 1, 3).reshape(n, tokens, d), "attn.out_proj.")
        x = x + read * w.get(f"{at}ls_1.gamma", torch.ones(()))
        hidden = linear(norm(x, "ln_2"), "mlp.c_fc.")
        hidden = hidden * torch.sigmoid(1.702 * hidden) if quick else F.gelu(hidden)
        adds = linear(hidden, "mlp.c_proj.") * w.get(f"{at}ls_2.gamma", torch.ones(()))
        if added is not None:
            added.append(adds)
        x = x + adds
        after.append(x)
        number += 1
    return after


def see(
    w: Mapping[str, Tensor], model_cfg: Mapping[str, Any], pixels: Tensor, added: list[Tensor] | None = None
) -> tuple[list[Tensor], Tensor]:
    """Of pixels [n, 3, S, S], the residual after every layer [n, T, d], and the embeddings [n, p]; `added` as above."""
    vision = model_cfg["vision_cfg"]
    heads = vision["width"] // vision.get("head_width", 64)
    patches = F.conv2d(pixels, w["visual.conv1.weight"], stride=vision["patch_size"]).flatten(2).permute(0, 2, 1)
    first = w["visual.class_embedding"].expand(len(pixels), 1, -1)
    x = torch.cat([first, patches], dim=1) + w["visual.positional_embedding"]
    x = F.layer_norm(x, x.shape[-1:], w["visual.ln_pre.weight"], w["visual.ln_pre.bias"], 1e-5)
    after = through_layers(x, w, "visual.", heads, bool(model_cfg.get("quick_gelu")), False, added)
    cls = after[-1][:, 0]
    cls = F.layer_norm(cls, cls.shape[-1:], w["visual.ln_post.weight"], w["visual.ln_post.bias"], 1e-5)
    return after, cls @ w["visual.proj"]


def read(w: Mapping[str, Tensor], model_cfg: Mapping[str, Any], tokens: Tensor) -> Tensor:
    """Of tokens [n, context], the embeddings [n, p]: read at the highest id, or at the one that is named."""
    text = model_cfg["text_cfg"]
    x = F.embedding(tokens, w["token_embedding.weight"]) + w["positional_embedding"]
    x = through_layers(x, w, "", text["heads"], bool(model_cfg.get("quick_gelu")), mask=True)[-1]
    x = F.layer_norm(x, x.shape[-1:], w["ln_final.weight"], w["ln_final.bias"], 1e-5)
    ends = (tokens == text["eos_id"]).int() if text.get("pool_type") == "eos" else tokens
    return x[torch.arange(len(x)), ends.argmax(-1)] @ w["text_projection"]


def padded(ids: list[list[int]], context: int, end: int) -> Tensor:
    """Tokens [n, context], as open_clip's own tokenizer lays them out: cut, the end kept, and zeros after it."""
    rows = [row if len(row) <= context else [*row[: context - 1], end] for row in ids]
    return torch.tensor([row + [0] * (context - len(row)) for row in rows])
