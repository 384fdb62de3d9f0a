"""Files of dictionaries as their projects write them, and each project's formula in plain torch.

    release = write_saev(folder, 768, 24576)        # width and components
    release.read()                                  # as this project reads it
    release.encode(x), release.decode(f)            # as its own project computes

Nothing here is a project's code: names, keys and values are those of its files, the formulas are restated. Beside each
writer stands where they were read.
"""

import json
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, make_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from conftest import tiny_sae
from safetensors.torch import save_file
from torch import Tensor, nn

from core.setups.catalog import Layout
from core.setups.checkpoints import Reading, read_checkpoint

K = 5


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Random weights: of unit length in expectation for a matrix, small for a vector."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))
    return values * (0.1 if len(shape) == 1 else shape[0] ** -0.5)


def four(d: int, m: int) -> dict[str, Tensor]:
    return {
        "W_enc": numbers(d, m),
        "b_enc": numbers(m, seed=1),
        "W_dec": numbers(m, d, seed=2),
        "b_dec": numbers(d, seed=3),
    }


@dataclass
class Release:
    """A file as its project publishes it, and what that project computes with it."""

    root: Path
    layout: Layout
    file: str
    encode: Callable[[Tensor], Tensor]
    """x [n, d] -> f [n, m], as the project has it."""
    decode: Callable[[Tensor], Tensor]
    """f [n, m] -> x_hat [n, d]."""
    d: int
    m: int
    claims: Mapping[str, object] = field(default_factory=dict)
    readings: int = 1
    chosen: int = 0
    """Which reading is the project's."""
    spread: Callable[[Tensor], Tensor] = field(default=lambda x: torch.ones(len(x), 1))
    """x [n, d] -> what multiplies v_j in x_hat beside f_j, [n, 1]: a token's deviation, where x is standardised."""

    def read(self) -> tuple[Reading, ...]:
        return read_checkpoint(self.layout, self.root, self.file)


@contextmanager
def published_class(module: str, name: str, fields: Mapping[str, Any]) -> Iterator[Any]:
    """An object of a class that can be imported now and, as on the reader's machine, not afterwards."""
    made = make_dataclass(name, list(fields))
    made.__module__, made.__qualname__ = module, name
    parts = module.split(".")
    modules = {".".join(parts[: n + 1]): types.ModuleType(parts[n]) for n in range(len(parts))}
    setattr(modules[module], name, made)
    sys.modules.update(modules)
    try:
        yield made(**fields)
    finally:
        for one in modules:
            del sys.modules[one]


# ---- the projects' own saving and formulas, restated


SAEV_ACTIVATIONS: dict[str, dict[str, Any]] = {
    "relu": {
        "cls": "Relu",
        "params": {
            "key": "relu",
            "sparsity": {"cls": "L1Sparsity", "params": {"key": "l1-sparsity", "coeff": 4e-4}},
            "aux": {"cls": "NoAux", "params": {"key": "no-aux"}},
        },
    },
    "top-k": {
        "cls": "TopK",
        "params": {
            "key": "top-k",
            "top_k": 32,
            "sparsity": {"cls": "NoSparsity", "params": {"key": "no-sparsity"}},
            "aux": {"cls": "AuxK", "params": {"key": "auxk", "k_aux": 512, "alpha": 0.03125}},
        },
    },
    "batch-top-k": {
        "cls": "BatchTopK",
        "params": {
            "key": "batch-top-k",
            "top_k": 32,
            "sparsity": {"cls": "NoSparsity", "params": {"key": "no-sparsity"}},
            "momentum": 0.1,
            "aux": {"cls": "AuxK", "params": {"key": "auxk", "k_aux": 512, "alpha": 0.03125}},
        },
    },
}
"""As a header of schema 5 says it: OSU-NLP-Group/saev, src/saev/nn/modeling.py at 3d73f1f, `dump`."""


def write_saev(root: Path, d: int, m: int, schema: int | None = None) -> Release:
    """SAE-V: nn.dump, before its header had a schema number (None), and in June 2025 (1)."""
    w = four(d, m)
    old = {"d_vit": d, "exp_factor": m // d, "n_reinit_samples": 524288, "seed": 42}
    header = {
        None: {**old, "sparsity_coeff": 4e-4, "ghost_grads": False, "remove_parallel_grads": True},
        1: {"schema": 1, "cfg": old, "cls": "Relu", "commit": "abcdefg", "lib": "0.1.0"},
    }[schema]
    with (root / "sae.pt").open("wb") as stream:
        stream.write((json.dumps(header) + "\n").encode())
        torch.save(w, stream)

    def encode(x: Tensor) -> Tensor:
        return torch.relu(torch.einsum("nd,ds->ns", x - w["b_dec"], w["W_enc"]) + w["b_enc"])

    def decode(f: Tensor) -> Tensor:
        return torch.einsum("ns,sd->nd", f, w["W_dec"]) + w["b_dec"]

    return Release(root, "saev", "sae.pt", encode, decode, d, m, readings=4)


def write_saev_5(
    root: Path, d: int, m: int, activation: str = "top-k", k: int = K, threshold: float = 0.7, schema: int = 5
) -> Release:
    """SAE-V of today: its default is a top-k. `modeling.py` as above; `kind` for `key` in schemas 2 to 4."""
    w = four(d, m)
    said = json.loads(json.dumps(SAEV_ACTIVATIONS[activation]))
    if "top_k" in said["params"]:
        said["params"]["top_k"] = k
    if schema < 5:
        said["params"]["kind"] = said["params"].pop("key")
    header = {
        "schema": schema,
        "cfg": {
            "d_model": d,
            "d_sae": m,
            "activation": said,
            "reinit_blend": 0.8,
            "reinit_enc_dec_tranpose": True,
            "remove_parallel_grads": True,
            "normalize_w_dec": True,
        },
        "commit": "3d73f1f",
        "lib": "0.2.0",
    }
    buffers = {"activation.threshold": torch.tensor(threshold)} if activation == "batch-top-k" else {}
    with (root / "sae.pt").open("wb") as stream:
        stream.write(json.dumps(header).encode() + b"\n")
        torch.save({**w, **buffers}, stream)

    def encode(x: Tensor) -> Tensor:
        h = torch.einsum("nd,ds->ns", x, w["W_enc"]) + w["b_enc"]
        if activation == "top-k":  # what is negative among the largest stays
            _, indices = torch.topk(h, min(k, m), dim=-1, sorted=False)
            return torch.zeros_like(h).scatter(-1, indices, 1.0) * h
        if activation == "batch-top-k" and threshold > 0:
            return torch.where(h > threshold, h, torch.zeros_like(h))
        return torch.where(h > 0, h, torch.zeros_like(h))

    def decode(f: Tensor) -> Tensor:
        return torch.einsum("ns,sd->nd", f, w["W_dec"]) + w["b_dec"]

    return Release(root, "saev", "sae.pt", encode, decode, d, m)


PRISMA = {
    "model_class_name": "HookedViT",
    "model_name": "open-clip:laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K",
    "hook_point_layer": 9,
    "layer_subtype": "hook_resid_post",
    "hook_point_head_index": None,
    "context_size": 50,
    "use_cached_activations": False,
    "use_patches_only": False,
    "cached_activations_path": "activations/_network_scratch_s_sonia.joseph_datasets_kaggle_datasets/"
    "open-clip:laion_CLIP-ViT-B-32-DataComp.XL-s13B-b90K/blocks.9.hook_mlp_out",
    "d_in": 768,
    "activation_fn_str": "relu",
    "activation_fn_kwargs": {},
    "cls_token_only": False,
    "max_grad_norm": 1.0,
    "initialization_method": "encoder_transpose_decoder",
    "normalize_activations": None,
    "n_batches_in_buffer": 20,
    "store_batch_size": 32,
    "num_workers": 16,
    "num_epochs": 10,
    "total_training_images": 13000000,
    "total_training_tokens": 650000000,
    "image_size": 224,
    "device": {"__type__": "torch.device", "value": "cuda"},
    "seed": 42,
    "dtype": {"__type__": "torch.dtype", "value": "torch.float32"},
    "architecture": "standard",
    "verbose": False,
    "b_dec_init_method": "geometric_median",
    "expansion_factor": 64,
    "from_pretrained_path": None,
    "d_sae": 49152,
    "l1_coefficient": 1e-05,
    "lp_norm": 1,
    "lr": 0.0004,
    "lr_scheduler_name": "cosineannealingwarmup",
    "lr_warm_up_steps": 200,
    "train_batch_size": 4096,
    "dataset_name": "imagenet1k",
}
"""config.json of the vanilla dictionaries, less training settings that follow: on the Hub, of
Prisma-Multimodal/sparse-autoencoder-clip-b-32-sae-vanilla-x64-layer-10-hook_resid_post-l1-1e-05 (commit e7e2129) and of
layer-9-hook_mlp_out-l1-1e-05 (51f6f2d), which differ from this in the layer and the place alone. Beside it lies
n_images_2600058.pt, a plain state dict (imports: OrderedDict, FloatStorage, _rebuild_tensor_v2)."""

PRISMA_TOP_K = {
    **PRISMA,
    "vit_model_cfg": None,
    "model_path": None,
    "context_size": 1,
    "activation_fn_str": "topk",
    "activation_fn_kwargs": {"k": 64},
    "cls_token_only": True,
    "num_epochs": 500,
    "total_training_images": 650000000,
    "total_training_tokens": 325000000000,
    "l1_coefficient": 0.3,
    "lr": 0.0002,
}
"""Of sae-top_k-64-cls_only-layer_11-hook_resid_post (commit 73611b78df558947515c213b56be74c3b2be91f0), but for the
layer; beside it lies weights.pt, a plain state dict."""

PRISMA_CLAIMS = {
    "layer": 9,
    "point": "residual",
    "scope": "all",
    "model": "laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K",
}


def write_prisma(
    root: Path, d: int, m: int, changes: Mapping[str, Any], embedded: bool = False, name: str = "weights.pt"
) -> Release:
    """ViT-Prisma: `save_config` and a state dict beside it, or `save_model`'s {"cfg": object, "state_dict": ...}."""
    w = four(d, m)
    config = {**PRISMA, "d_in": d, "expansion_factor": m // d, "d_sae": m, **changes}
    if embedded:
        with published_class("vit_prisma.sae.config", "VisionModelSAERunnerConfig", config) as cfg:
            torch.save({"cfg": cfg, "state_dict": w}, root / name)
    else:
        (root / "config.json").write_text(json.dumps(config, indent=4))
        torch.save(w, root / name)
    state = {}

    def encode(x: Tensor) -> Tensor:
        if config["normalize_activations"] == "layer_norm":
            state["mu"] = x.mean(dim=-1, keepdim=True)
            x = x - state["mu"]
            state["std"] = x.std(dim=-1, keepdim=True)
            x = x / (state["std"] + 1e-5)
        hidden_pre = torch.einsum("nd,ds->ns", x - w["b_dec"], w["W_enc"]) + w["b_enc"]
        if config["activation_fn_str"] == "relu":
            return torch.relu(hidden_pre)
        topk = torch.topk(hidden_pre, k=config["activation_fn_kwargs"]["k"], dim=-1)
        return torch.zeros_like(hidden_pre).scatter_(-1, topk.indices, torch.relu(topk.values))

    def decode(f: Tensor) -> Tensor:
        x_hat = torch.einsum("ns,sd->nd", f, w["W_dec"]) + w["b_dec"]
        return x_hat * state["std"] + state["mu"] if state else x_hat

    release = Release(root, "prisma", ".", encode, decode, d, m, claims=PRISMA_CLAIMS)
    if config["normalize_activations"] == "layer_norm":
        release.spread = lambda x: x.std(dim=-1, keepdim=True)
    return release


def write_prisma_topk(root: Path, d: int, m: int, k: int = K) -> Release:
    """As the CLS-only top-k dictionaries."""
    release = write_prisma(
        root,
        d,
        m,
        {**PRISMA_TOP_K, "d_in": d, "d_sae": m, "activation_fn_kwargs": {"k": k}, "expansion_factor": m // d},
    )
    release.claims = {**PRISMA_CLAIMS, "scope": "cls"}
    return release


def write_prisma_sweep(root: Path, d: int, m: int, k: int = K) -> Release:
    """As the sweeps on ImageNet: x standardised, the config's object in the file.

    Its values are those of the config.json of imagenet-sweep-vanilla-x64-all_patches_2-hook_resid_post-64.0-68
    (commit afaba91).
    """
    changes = {
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": k},
        "normalize_activations": "layer_norm",
        "device": torch.device("cpu"),
        "dtype": torch.float32,
    }
    return write_prisma(root, d, m, changes, embedded=True)


def write_clipscope(root: Path, d: int, m: int, k: int = K) -> Release:
    """CLIP-Scope: the training checkpoint without its optimizer, with three keys added for publication.

    Keys: Lewington-pitsos/sache, sache/train.py, `save_sae_checkpoint`; Lewington-pitsos/vitsae, scripts/pull_to_hf.py.
    Formula: `TopKSAE` of the authors' package, clipscope/sae.py, of whatever it is given.
    """
    w = {"pre_b": numbers(d, seed=3), "enc": numbers(d, m), "dec": numbers(m, d, seed=2)}
    (root / "20_resid").mkdir()
    published = {
        "model_state_dict": OrderedDict(w),
        "token_count": 1200013184,
        "dead_latents": torch.zeros(m),
        "n_iter": 1200013184,
        "log_id": "20_resid-1a2b3c4d",
        "d_in": d,
        "n_features": m,
        "k": k,
    }
    torch.save(published, root / "20_resid" / "1200013184.pt")

    def encode(x: Tensor) -> Tensor:
        topk = torch.topk((x - w["pre_b"]) @ w["enc"], k=k, dim=-1)
        latent = torch.zeros(len(x), m)
        return latent.scatter_(dim=-1, index=topk.indices, src=topk.values)

    def decode(f: Tensor) -> Tensor:
        return f @ w["dec"] + w["pre_b"]

    claims = {"layer": 20, "point": "residual"}
    return Release(root, "clipscope", "20_resid/1200013184.pt", encode, decode, d, m, claims, readings=2, chosen=1)


def write_patchsae(
    root: Path,
    d: int,
    m: int,
    as_object: bool = True,
    file: str = "out.pt",
    model: str = "openai/clip-vit-base-patch16",
    named: str = "openai/openai/clip-vit-base-patch16",
) -> Release:
    """PatchSAE: `save_model`, its cfg an object (as the code has it) or a dict. `named`: the model, in its settings."""
    w = four(d, m)
    fields = {
        "class_token": None,
        "model_name": named,
        "module_name": "resid",
        "block_layer": -2,
        "d_in": d,
        "expansion_factor": m // d,
        "d_sae": m,
        "gated_sae": None,
        "dtype": torch.float32,
        "device": torch.device("cpu"),
    }
    with published_class("src.sae_training.config", "ViTSAERunnerConfig", fields) as cfg:
        torch.save({"cfg": cfg if as_object else fields, "state_dict": w}, root / file)

    def encode(x: Tensor) -> Tensor:
        return torch.relu(torch.einsum("nd,ds->ns", x - w["b_dec"], w["W_enc"]) + w["b_enc"])

    def decode(f: Tensor) -> Tensor:
        return torch.einsum("ns,sd->nd", f, w["W_dec"]) + w["b_dec"]

    claims = {"layer": -2, "point": "residual", "scope": "all", "model": model}
    return Release(root, "patchsae", file, encode, decode, d, m, claims)


VLM = "openai/clip-vit-large-patch14-336"
"""The CLIP of sae-for-vlm's dictionaries."""


def vlm_file(kind: str, layer: int) -> str:
    """Where sae-for-vlm's checkpoint of a kind lies (scripts/monosemanticity_score.sh and sae_train.py at 69e211d).

    Its layer -1 is what comes after the projection, z as it is (models/clip.py, `CLIPProjectionLayer`).
    """
    point = "post_projection" if layer == -1 else "post_mlp_residual"
    run = f"imagenet_train_activations_clip-vit-large-patch14-336_{layer}_{point}_{kind}_20_x8"
    return f"{kind}_20_x8/{run}/trainer_0/checkpoints/ae_100000.pt"


def linear(d: int, m: int) -> tuple[nn.Linear, nn.Linear, Tensor]:
    """An encoder, a decoder without a bias, and the bias that is taken off x and added again."""
    encoder, decoder = nn.Linear(d, m), nn.Linear(m, d, bias=False)
    encoder.weight.data, encoder.bias.data, decoder.weight.data = numbers(d, m).T, numbers(m), numbers(m, d, seed=2).T
    return encoder, decoder, numbers(d, seed=3)


def state(**modules: nn.Module) -> dict[str, Tensor]:
    """Their tensors, as in the state dict of a module that has them by these names."""
    return {f"{name}.{key}": value for name, one in modules.items() for key, value in one.state_dict().items()}


def trainer_config(dict_class: str, trainer_class: str, d: int, m: int, **more: object) -> dict[str, object]:
    """config.json in the folder of a trainer: saprmarks/dictionary_learning at 60ec6bf, training.py and trainers/."""
    about = {"dict_class": dict_class, "trainer_class": trainer_class, "activation_dim": d, "dict_size": m}
    return {
        "trainer": {**about, "lr": 5e-05, "steps": 100000, "layer": 22, "lm_name": "clip", **more, "device": "cuda"}
    }


def write_batch_topk(root: Path, d: int, m: int, threshold: float = 0.7, layer: int = 22) -> Release:
    """dictionary_learning's BatchTopKSAE: two nn.Linear, under sae-for-vlm's names (sae_train.py at 69e211d)."""
    encoder, decoder, b_dec = linear(d, m)
    file = vlm_file("batch_top_k", layer)
    scalars = {"k": torch.tensor(K, dtype=torch.int), "threshold": torch.tensor(threshold)}
    (root / file).parent.mkdir(parents=True)
    torch.save({"b_dec": b_dec, **scalars, **state(decoder=decoder, encoder=encoder)}, root / file)

    @torch.no_grad()
    def encode(x: Tensor) -> Tensor:
        post_relu = torch.relu(encoder(x - b_dec))
        return post_relu * (post_relu > threshold)

    @torch.no_grad()
    def decode(f: Tensor) -> Tensor:
        return decoder(f) + b_dec

    claims = {"layer": layer, "point": "embedding" if layer == -1 else "residual", "model": VLM}
    return Release(root, "dictionary_learning", file, encode, decode, d, m, claims)


def write_topk(root: Path, d: int, m: int, k: int = K) -> Release:
    """Its AutoEncoderTopK, which saves the same tensors: trainers/top_k.py."""
    encoder, decoder, b_dec = linear(d, m)
    scalars = {"k": torch.tensor(k, dtype=torch.int), "threshold": torch.tensor(0.5)}
    (root / "trainer_0" / "checkpoints").mkdir(parents=True)
    config = trainer_config("AutoEncoderTopK", "TopKTrainer", d, m, k=k, auxk_alpha=0.03125)
    (root / "trainer_0" / "config.json").write_text(json.dumps(config, indent=4))
    file = "trainer_0/checkpoints/ae_100000.pt"
    torch.save({"b_dec": b_dec, **scalars, **state(decoder=decoder, encoder=encoder)}, root / file)

    @torch.no_grad()
    def encode(x: Tensor) -> Tensor:
        post_relu = torch.relu(encoder(x - b_dec))
        top = post_relu.topk(k, sorted=False, dim=-1)
        return torch.zeros_like(post_relu).scatter_(dim=-1, index=top.indices, src=top.values)

    @torch.no_grad()
    def decode(f: Tensor) -> Tensor:
        return decoder(f) + b_dec

    return Release(root, "dictionary_learning", file, encode, decode, d, m)


def write_standard(root: Path, d: int, m: int) -> Release:
    """Its AutoEncoder: dictionary.py. Whoever loads it gets directions of unit length (`normalize_decoder`)."""
    encoder, decoder, bias = linear(d, m)
    decoder.weight.data *= torch.linspace(0.5, 2, m)
    (root / "trainer_0").mkdir()
    (root / "trainer_0" / "config.json").write_text(
        json.dumps(trainer_config("AutoEncoder", "StandardTrainerAprilUpdate", d, m, l1_penalty=0.1), indent=4)
    )
    torch.save({"bias": bias, **state(encoder=encoder, decoder=decoder)}, root / "trainer_0" / "ae.pt")
    norms = decoder.weight.norm(dim=0)

    @torch.no_grad()
    def encode(x: Tensor) -> Tensor:
        return torch.relu(encoder(x - bias)) * norms

    @torch.no_grad()
    def decode(f: Tensor) -> Tensor:
        return decoder(f / norms) + bias

    return Release(root, "dictionary_learning", "trainer_0/ae.pt", encode, decode, d, m)


def write_standard_new(root: Path, d: int, m: int) -> Release:
    """Its AutoEncoderNew: nothing is taken off x, and the decoder has a bias of its own."""
    encoder, _, _ = linear(d, m)
    decoder = nn.Linear(m, d)
    decoder.weight.data, decoder.bias.data = numbers(m, d, seed=2).T, numbers(d, seed=3)
    torch.save(state(encoder=encoder, decoder=decoder), root / "ae.pt")

    @torch.no_grad()
    def encode(x: Tensor) -> Tensor:
        return torch.relu(encoder(x))

    @torch.no_grad()
    def decode(f: Tensor) -> Tensor:
        return decoder(f)

    return Release(root, "dictionary_learning", ".", encode, decode, d, m)


def write_gated(root: Path, d: int, m: int) -> Release:
    """Its GatedAutoEncoder: dictionary.py."""
    encoder, decoder, decoder_bias = linear(d, m)
    del encoder.bias
    w = {"r_mag": numbers(m, seed=4), "gate_bias": numbers(m, seed=5), "mag_bias": numbers(m, seed=6)}
    torch.save({"decoder_bias": decoder_bias, **w, **state(encoder=encoder, decoder=decoder)}, root / "ae.pt")

    @torch.no_grad()
    def encode(x: Tensor) -> Tensor:
        x_enc = (x - decoder_bias) @ encoder.weight.T
        gate = (x_enc + w["gate_bias"] > 0).to(x.dtype)
        return gate * torch.relu(w["r_mag"].exp() * x_enc + w["mag_bias"])

    @torch.no_grad()
    def decode(f: Tensor) -> Tensor:
        return decoder(f) + decoder_bias

    return Release(root, "dictionary_learning", ".", encode, decode, d, m)


def write_jumprelu(root: Path, d: int, m: int) -> Release:
    """Its JumpReluAutoEncoder: dictionary.py. Nothing is taken off x."""
    w = {**four(d, m), "threshold": numbers(m, seed=4)}
    torch.save(w, root / "ae.pt")

    def encode(x: Tensor) -> Tensor:
        pre_jump = x @ w["W_enc"] + w["b_enc"]
        return torch.relu(pre_jump * (pre_jump > w["threshold"]))

    def decode(f: Tensor) -> Tensor:
        return f @ w["W_dec"] + w["b_dec"]

    return Release(root, "dictionary_learning", ".", encode, decode, d, m)


def write_matryoshka(root: Path, d: int, m: int, threshold: float = 0.7, layer: int = 22) -> Release:
    """dictionary_learning's MatroyshkaBatchTopKSAE: W_enc starts as a transposed view, and is saved as one."""
    w = four(d, m)
    w["W_enc"] = w["W_enc"].T.contiguous().T
    groups = torch.tensor([m // 4, m - m // 4])
    file = vlm_file("matroyshka_batch_top_k", layer)
    (root / file).parent.mkdir(parents=True)
    scalars = {"k": torch.tensor(K, dtype=torch.int), "threshold": torch.tensor(threshold), "group_sizes": groups}
    torch.save({**w, **scalars}, root / file)

    def encode(x: Tensor) -> Tensor:
        post_relu = torch.relu((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"])
        return post_relu * (post_relu > threshold)

    def decode(f: Tensor) -> Tensor:
        return f @ w["W_dec"] + w["b_dec"]

    claims = {"layer": layer, "point": "embedding" if layer == -1 else "residual", "model": VLM}
    return Release(root, "dictionary_learning", file, encode, decode, d, m, claims)


def write_clip_topk(root: Path, d: int, m: int, k: int = K) -> Release:
    """clip-topk-sae: `TopKSAE` as PyTorchModelHubMixin saves it (patrikwolf/ttt_theory, sae/sae_topk.py at 271e591).

    It was trained with k 16 and 512 x 8 components (sae/config.json at 4515994) on embeddings of OpenAI's ViT-B/16 made
    unit (scaling/data/imagenet/data_generator.py there).
    """
    w = four(d, m)
    settings = {"input_dim": d, "hidden_dim": m, "k": k, "normalize_decoder": True, "decoder_bias": True}
    (root / "config.json").write_text(json.dumps(settings | {"use_ghost_grads": True, "ghost_threshold": 0.0}))
    counts = {"feature_counts": torch.ones(m), "total_samples": torch.tensor(9)}
    save_file({name: one.contiguous() for name, one in (w | counts).items()}, root / "model.safetensors")
    seen = {}

    def encode(x: Tensor) -> Tensor:
        seen["length"] = x.norm(dim=1, keepdim=True)
        before = x / seen["length"] @ w["W_enc"] + w["b_enc"]
        top = before.topk(k, dim=-1)
        return torch.zeros_like(before).scatter_(dim=-1, index=top.indices, src=top.values)

    def decode(f: Tensor) -> Tensor:
        rows = w["W_dec"] / w["W_dec"].norm(dim=1, keepdim=True)
        return seen["length"] * (f @ rows + w["b_dec"])

    return Release(
        root,
        "clip_topk_sae",
        ".",
        encode,
        decode,
        d,
        m,
        {"point": "embedding"},
        spread=lambda x: x.norm(dim=1, keepdim=True),
    )


def write_sae_lens(root: Path, d: int, m: int) -> Release:
    """sae_lens' `save_model`: what the other layouts are turned into, so that one architecture is enough here."""
    sae = tiny_sae("jumprelu").requires_grad_(False)
    sae.cfg.metadata.hook_name, sae.cfg.metadata.model_name = "blocks.3.hook_resid_post", "clip"
    sae.save_model(root / "sub")
    claims = {"layer": 3, "point": "residual", "model": "clip"}
    return Release(root, "sae_lens", "sub", sae.encode, sae.decode, sae.cfg.d_in, sae.cfg.d_sae, claims)


def write_sae_lens_of(
    root: Path,
    d: int,
    m: int,
    architecture: str,
    minus: bool = True,
    normalisation: str = "none",
    rescaled: bool = False,
    version: str = "6.54.0",
) -> Release:
    """A folder of sae_lens (saes/sae.py and saes/{architecture}_sae.py of 6.54.0; 3.22.2 had the older names)."""
    w = four(d, m)
    w["W_dec"] *= torch.linspace(0.5, 2, m)[:, None]
    if architecture == "gated":
        w["b_gate"] = w.pop("b_enc")
        w |= {"r_mag": numbers(m, seed=4), "b_mag": numbers(m, seed=5)}
    if architecture == "jumprelu":
        w["threshold"] = numbers(m, seed=4).abs()
    k = {"k": K} if architecture in ("topk", "abstopk") else {}
    if version >= "6":
        config = {
            "d_in": d,
            "d_sae": m,
            "dtype": "float32",
            "device": "cuda",
            "apply_b_dec_to_input": minus,
            "normalize_activations": normalisation,
            "reshape_activations": "none",
            "metadata": {"sae_lens_version": version, "sae_lens_training_version": version, "hook_name": "other"},
            **k,
            **({"rescale_acts_by_decoder_norm": rescaled} if k else {}),
            "architecture": architecture,
        }
        saved = w
    else:
        config = {
            "architecture": "standard" if architecture == "topk" else architecture,
            "d_in": d,
            "d_sae": m,
            "activation_fn_str": "topk" if architecture == "topk" else "relu",
            "activation_fn_kwargs": k,
            "apply_b_dec_to_input": minus,
            "finetuning_scaling_factor": False,
            "normalize_activations": normalisation,
            "hook_name": "other",
            "hook_layer": 3,
            "dtype": "torch.float32",
            "device": "cpu",
            "sae_lens_training_version": version,
        }
        saved = {name: value.log() if name == "threshold" else value for name, value in w.items()}
        saved = {"log_threshold" if name == "threshold" else name: value for name, value in saved.items()}
        saved["scaling_factor"] = torch.full((m,), 3.0)
    root.mkdir(exist_ok=True)
    (root / "cfg.json").write_text(json.dumps(config))
    save_file(saved, root / "sae_weights.safetensors")
    state = {}

    def encode(x: Tensor) -> Tensor:
        if normalisation == "layer_norm":
            state["mu"] = x.mean(dim=-1, keepdim=True)
            x = x - state["mu"]
            state["std"] = x.std(dim=-1, keepdim=True)
            x = x / (state["std"] + 1e-5)
        sae_in = x - w["b_dec"] if minus else x
        if architecture == "gated":
            gate = (sae_in @ w["W_enc"] + w["b_gate"] > 0).float()
            return gate * torch.relu(sae_in @ (w["W_enc"] * w["r_mag"].exp()) + w["b_mag"])
        hidden_pre = sae_in @ w["W_enc"] + w["b_enc"]
        if architecture == "jumprelu":
            return torch.relu(hidden_pre) * (hidden_pre > w["threshold"])
        if architecture == "standard":
            return torch.relu(hidden_pre)
        if rescaled:
            hidden_pre = hidden_pre * w["W_dec"].norm(dim=-1)
        largest = torch.topk(hidden_pre.abs() if architecture == "abstopk" else hidden_pre, k=K, dim=-1).indices
        values = hidden_pre.gather(-1, largest)
        values = values if architecture == "abstopk" else values.relu()
        return torch.zeros_like(hidden_pre).scatter_(-1, largest, values)

    def decode(f: Tensor) -> Tensor:
        f = f / w["W_dec"].norm(dim=-1) if rescaled else f
        x_hat = f @ w["W_dec"] + w["b_dec"]
        return x_hat * state["std"] + state["mu"] if state else x_hat

    release = Release(root, "sae_lens", ".", encode, decode, d, m)
    if normalisation == "layer_norm":
        release.spread = lambda x: x.std(dim=-1, keepdim=True)
    return release


WRITERS: dict[str, tuple[Callable[..., Release], tuple[int, int], dict[str, Any]]] = {
    "saev": (write_saev, (768, 24576), {}),
    "saev-top-k": (write_saev_5, (768, 24576), {"k": 32}),
    "saev-batch-top-k": (partial(write_saev_5, activation="batch-top-k"), (768, 24576), {"threshold": 2.5}),
    "saev-relu": (partial(write_saev_5, activation="relu"), (768, 24576), {}),
    "prisma-relu": (partial(write_prisma, changes={}, name="n_images_2600058.pt"), (768, 49152), {}),
    "prisma-topk": (write_prisma_topk, (768, 49152), {"k": 64}),
    "prisma-sweep": (write_prisma_sweep, (768, 49152), {"k": 64}),
    "clipscope": (write_clipscope, (1024, 65536), {"k": 32}),
    "patchsae": (write_patchsae, (768, 49152), {}),
    "batch-topk": (write_batch_topk, (1024, 65536), {"threshold": 2.5}),
    "matryoshka": (write_matryoshka, (1024, 65536), {"threshold": 2.5}),
    "topk": (write_topk, (1024, 8192), {"k": 20}),
    "standard": (write_standard, (1024, 8192), {}),
    "standard-new": (write_standard_new, (1024, 8192), {}),
    "gated": (write_gated, (1024, 8192), {}),
    "jumprelu": (write_jumprelu, (1024, 8192), {}),
}
"""How to write it, and the sizes, width and components, of a published one."""

SMALL = (12, 48)


def small(name: str, root: Path) -> Release:
    return write_sae_lens(root, *SMALL) if name == "sae_lens" else WRITERS[name][0](root, *SMALL)


def tokens(d: int, n: int = 6) -> Tensor:
    """Tokens of different means and lengths, so that a normalisation too many or too few shows."""
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(9))
    return x * torch.linspace(0.5, 2, n)[:, None] + torch.linspace(-0.5, 0.5, n)[:, None]
