"""Every reader on a file written as its project writes it, against that project's formula in plain torch."""

import json
import os
import pickle
import subprocess
import tempfile
import types
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from published_saes import (
    PRISMA,
    PRISMA_CLAIMS,
    SMALL,
    WRITERS,
    K,
    Release,
    four,
    published_class,
    small,
    tokens,
    trainer_config,
    write_batch_topk,
    write_clipscope,
    write_matryoshka,
    write_patchsae,
    write_prisma,
    write_prisma_sweep,
    write_sae_lens,
    write_saev,
    write_saev_5,
    write_standard,
    write_topk,
)
from safetensors.torch import save_file
from torch import Tensor

from core.errors import UserError
from core.model.sae_dictionary import SaeDictionary
from core.setups.catalog import Layout
from core.setups.checkpoints import Reading, files_of, read_checkpoint


def check(release: Release) -> None:
    """Activations and reconstruction are the project's, in the module and in the dictionary made of it."""
    x = tokens(release.d)
    f = release.encode(x)
    x_hat = release.decode(f)
    assert 0 < (f != 0).sum() < f.numel()
    readings = release.read()
    assert len(readings) == release.readings
    reading = readings[release.chosen]
    sae = reading.sae
    assert {weight.dtype for weight in sae.parameters()} == {torch.float32}
    assert not any(weight.requires_grad for weight in sae.parameters())
    assert not sae.training
    assert dict(reading.claims) == dict(release.claims)
    assert reading.formula
    torch.testing.assert_close(sae.encode(x), f, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(sae.decode(f), x_hat, atol=1e-4, rtol=1e-4)
    dictionary = SaeDictionary(sae, "all")
    assert (dictionary.width, dictionary.n_components) == (release.d, release.m)
    torch.testing.assert_close(dictionary.reconstruct(x), x_hat, atol=1e-4, rtol=1e-4)
    activations = dictionary.activations(x)
    assert len(activations.value) == (f != 0).sum()
    assert (activations.value < 0).any() == (f < 0).any()
    torch.testing.assert_close(dictionary.decode(activations) + dictionary.bias_at(x), x_hat, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["sae_lens", *WRITERS])
def test_a_file_in_its_layout_computes_as_its_project_does(name: str, tmp_path: Path) -> None:
    check(small(name, tmp_path))


@pytest.mark.full_size
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_of_its_published_size_computes_as_its_project_does(name: str) -> None:
    write, sizes, settings = WRITERS[name]
    with tempfile.TemporaryDirectory() as folder:  # pytest would keep half a gigabyte for each
        check(write(Path(folder), *sizes, **settings))


@pytest.mark.parametrize("name", ["sae_lens", *WRITERS])
def test_every_layout_can_be_saved_as_a_sae_lens_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    release = small(name, tmp_path / "in")
    for reading in release.read():
        dictionary = SaeDictionary(reading.sae, "patches")
        dictionary.save(tmp_path / "out")
        x = tokens(release.d)
        again = SaeDictionary.from_folder(tmp_path / "out", "patches")
        assert again.activations(x) == dictionary.activations(x)
        assert torch.equal(again.reconstruct(x), dictionary.reconstruct(x))
        (read_again,) = read_checkpoint("sae_lens", tmp_path / "out")
        assert SaeDictionary(read_again.sae, "patches").activations(x) == dictionary.activations(x)


# ---- what each layout leaves open


@pytest.mark.parametrize("schema", [None, 1])
def test_both_formulas_of_saev_before_schema_2_are_read_the_likelier_first(schema: int | None, tmp_path: Path) -> None:
    release = write_saev(tmp_path, *SMALL, schema=schema)
    check(release)
    first, second, *scaled = release.read()
    assert all(reading.standardise is not None and "z" in reading.formula for reading in scaled)
    assert not any(reading.standardise or "z" in reading.formula for reading in (first, second))
    assert "− b_dec" in first.formula
    assert "− b_dec" not in second.formula
    x = tokens(release.d)
    assert (first.sae.encode(x) - second.sae.encode(x)).abs().max() > 0.05
    for name, weight in first.sae.named_parameters():
        assert weight.data_ptr() == dict(second.sae.named_parameters())[name].data_ptr(), "they share their weights"


@pytest.mark.parametrize("schema", [2, 3, 4, 5])
@pytest.mark.parametrize("activation", ["relu", "top-k", "batch-top-k"])
def test_saev_from_schema_2_on_says_how_it_encodes(activation: str, schema: int, tmp_path: Path) -> None:
    for details in ({"k": K}, {"k": 40}, {"threshold": 0.0}, {"threshold": -1.0}):  # 40: some below zero
        check(write_saev_5(tmp_path, *SMALL, activation, schema=schema, **details))


def test_a_top_k_of_more_than_there_are_is_all_as_in_saev(tmp_path: Path) -> None:
    (reading,) = write_saev_5(tmp_path, *SMALL, k=100).read()
    assert reading.sae.cfg.k == SMALL[1]


def test_a_file_of_saev_too_large_for_its_header_is_not_read(tmp_path: Path) -> None:
    release = write_saev_5(tmp_path, *SMALL)
    os.truncate(tmp_path / "sae.pt", 1 << 40)  # nothing is written
    assert "sae.pt is larger than a dictionary of 48 components" in refused(release)


def test_saev_of_schema_1_with_a_top_k(tmp_path: Path) -> None:
    """Its first form: the activation's class stands in `cls`, and k in the settings, by default 32."""
    release = write_saev(tmp_path, *SMALL, schema=1)
    line, rest = (tmp_path / "sae.pt").read_bytes().split(b"\n", 1)
    for k, said in ((7, {"top_k": 7}), (32, {})):
        header = json.loads(line) | {"cls": "TopK"}
        header["cfg"] |= said
        (tmp_path / "sae.pt").write_bytes(json.dumps(header).encode() + b"\n" + rest)
        first, second, *_ = release.read()
        x = tokens(release.d)
        assert ((first.sae.encode(x) != 0).sum(1) == k).all()
        assert ((second.sae.encode(x) != 0).sum(1) == k).all()
        assert "− b_dec" in first.formula
        assert "− b_dec" not in second.formula


@pytest.mark.parametrize("embedded", [False, True])
@pytest.mark.parametrize("normalisation", [None, "none", "layer_norm"])
@pytest.mark.parametrize(
    "activation",
    [
        {},
        {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}},
        {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 40}},  # some of them below zero
    ],
    ids=["relu", "topk", "large-topk"],
)
def test_prisma_says_how_it_encodes(embedded: bool, normalisation: str, activation: dict, tmp_path: Path) -> None:
    changes = {"normalize_activations": normalisation, **activation}
    release = write_prisma(tmp_path, *SMALL, changes, embedded)
    check(release)
    assert ("standard at every token" in release.read()[0].formula) == (normalisation == "layer_norm")


def test_prisma_before_it_could_standardise_is_read_both_ways(tmp_path: Path) -> None:
    for chosen, normalisation in enumerate(("layer_norm", "none")):
        release = write_prisma(tmp_path, *SMALL, {"normalize_activations": normalisation})
        config = json.loads((tmp_path / "config.json").read_text())
        del config["normalize_activations"], config["cls_token_only"], config["use_patches_only"]
        (tmp_path / "config.json").write_text(json.dumps(config))
        release.readings, release.chosen = 2, chosen
        release.claims = {name: value for name, value in PRISMA_CLAIMS.items() if name != "scope"}
        check(release)


@pytest.mark.parametrize(
    ("changes", "claims"),
    [
        ({"cls_token_only": True}, {"scope": "cls"}),
        ({"use_patches_only": True}, {"scope": "patches"}),
        ({"layer_subtype": "hook_mlp_out", "hook_point_layer": 3}, {"point": "mlp", "layer": 3}),
    ],
)
def test_prisma_says_where_it_was_trained(changes: dict, claims: dict, tmp_path: Path) -> None:
    (reading,) = write_prisma(tmp_path, *SMALL, changes).read()
    assert dict(reading.claims) == {**PRISMA_CLAIMS, **claims}


def test_the_config_in_prismas_file_comes_before_the_one_beside_it(tmp_path: Path) -> None:
    release = write_prisma(tmp_path, *SMALL, {"hook_point_layer": 4}, embedded=True)
    (tmp_path / "config.json").write_text(json.dumps({**PRISMA, "d_in": 1, "expansion_factor": 1}))
    assert release.read()[0].claims["layer"] == 4


def test_a_state_dict_of_prisma_without_a_config_in_it(tmp_path: Path) -> None:
    release = write_prisma(tmp_path, *SMALL, {})
    torch.save({"state_dict": four(*SMALL)}, tmp_path / "weights.pt")
    check(release)


def test_which_file_of_prisma_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()

    def put(name: str, value: int) -> None:
        write_prisma(folder, *SMALL, {}, name=name)
        torch.save({**four(*SMALL), "b_dec": torch.full((SMALL[0],), float(value))}, folder / name)

    def found(file: str) -> float:
        return read_checkpoint("prisma", tmp_path, file)[0].sae.b_dec[0].item()

    put("n_images_2600058.pt", 1)
    torch.save(torch.zeros(3), folder / "n_images_2600058_log_feature_sparsity.pt")
    assert found("sub") == 1
    put("n_images_13000.pt", 2)
    assert found("sub") == found("sub/n_images_*.pt") == 1, "the last, by number"
    put("weights.pt", 3)
    assert found("sub") == 3
    assert found("sub/n_images_*.pt") == 1
    assert found("sub/n_images_13000.pt") == 2
    put("other.pt", 4)
    assert found("sub") == 3
    (folder / "weights.pt").unlink()
    with pytest.raises(UserError, match="several: n_images_13000.pt, n_images_2600058.pt, other.pt"):
        found("sub")
    with pytest.raises(UserError, match="there is none"):
        found("sub/w*.pt")


def test_patchsae_with_a_dict_in_place_of_an_object(tmp_path: Path) -> None:
    release = write_patchsae(tmp_path, *SMALL, as_object=False)
    check(release)
    saved = torch.load(tmp_path / "out.pt")
    saved["cfg"]["class_token"] = True
    torch.save({"config": saved["cfg"], "state_dict": saved["state_dict"]}, tmp_path / "out.pt")
    assert release.read()[0].claims["scope"] == "cls"
    saved["cfg"]["gated_sae"] = True
    torch.save(saved, tmp_path / "out.pt")
    with pytest.raises(UserError, match="out.pt has gated_sae = True"):
        release.read()


@pytest.mark.parametrize("write", [write_batch_topk, write_matryoshka])
@pytest.mark.parametrize("threshold", [-1.0, 0.0, 1.5])
def test_thresholds_of_batch_topk(write: Callable[..., Release], threshold: float, tmp_path: Path) -> None:
    release = write(tmp_path, *SMALL, threshold=threshold)
    check(release)
    assert release.read()[0].formula.endswith(f"above {max(threshold, 0):g}")


@pytest.mark.parametrize("said", ["config", "path", "nothing"])
@pytest.mark.parametrize("dict_class", ["AutoEncoderTopK", "BatchTopKSAE"])
def test_which_top_k_of_dictionary_learning_it_is(dict_class: str, said: str, tmp_path: Path) -> None:
    """Both classes save the same tensors."""
    release = (write_topk if dict_class == "AutoEncoderTopK" else write_batch_topk)(tmp_path / "in", *SMALL)
    folder = tmp_path / "out"
    if said == "path":  # the name that sae-for-vlm gives
        kind = {"AutoEncoderTopK": "top_k", "BatchTopKSAE": "batch_top_k"}[dict_class]
        folder = folder / f"imagenet_train_activations_clip_{kind}_20_x8" / "trainer_0"
    folder.mkdir(parents=True)
    (tmp_path / "in" / release.file).rename(folder / "ae.pt")
    if said == "config":
        (folder / "config.json").write_text(json.dumps(trainer_config(dict_class, "", *SMALL)))
    release.root, release.file, release.claims = folder, ".", {}
    release.readings = 2 if said == "nothing" else 1
    release.chosen = 1 if said == "nothing" and dict_class == "BatchTopKSAE" else 0
    check(release)


def test_the_config_comes_before_the_path(tmp_path: Path) -> None:
    release = write_batch_topk(tmp_path, *SMALL)
    config = (tmp_path / release.file).parents[1] / "config.json"
    config.write_text(json.dumps(trainer_config("AutoEncoderTopK", "TopKTrainer", *SMALL)))
    assert "5 largest" in release.read()[0].formula
    config.write_text(json.dumps(trainer_config("GatedAutoEncoder", "GatedSAETrainer", *SMALL)))
    assert "lacks gate_bias, decoder_bias, r_mag, mag_bias" in refused(release)
    config.write_text(json.dumps(trainer_config("IdentityDict", "", *SMALL)))
    assert "dict_class = IdentityDict, which cannot be read here" in refused(release)
    config.write_text(json.dumps({"trainer": None}))
    assert "does not hold trainer" in refused(release)


def test_a_direction_without_a_length_stays_so(tmp_path: Path) -> None:
    release = write_standard(tmp_path, *SMALL)
    saved = torch.load(tmp_path / release.file)
    saved["decoder.weight"][:, 3] = 0
    torch.save(saved, tmp_path / release.file)
    (reading,) = release.read()
    assert (reading.sae.W_dec[3] == 0).all()
    assert all(weight.isfinite().all() for weight in reading.sae.parameters())


def test_a_dictionary_of_the_projected_embedding_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "imagenet_train_activations_clip-vit-large-patch14-336_-1_post_projection_batch_top_k_20_x4"
    folder.mkdir()
    release = write_batch_topk(tmp_path, *SMALL)
    (tmp_path / release.file).rename(folder / "ae.pt")
    (reading,) = read_checkpoint("dictionary_learning", folder)
    assert dict(reading.claims) == {
        "layer": -1,
        "point": "embedding",
        "model": "openai/clip-vit-large-patch14-336",
    }


def test_sae_lens_from_before_its_version_6(tmp_path: Path) -> None:
    """TinyCLIP's layout: the activation function and the hook stand in the configuration itself."""
    w = four(*SMALL)
    save_file({**w, "scaling_factor": torch.ones(SMALL[1])}, tmp_path / "sae_weights.safetensors")
    old = {
        "d_in": SMALL[0],
        "d_sae": SMALL[1],
        "dtype": "torch.float32",
        "device": "cuda",
        "model_name": "tiny",
        "hook_point": "blocks.9.hook_mlp_out",
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": K},
        "normalize_activations": "layer_norm",
        "sae_lens_training_version": "3.0.0",
    }
    (tmp_path / "cfg.json").write_text(json.dumps(old))
    (reading,) = read_checkpoint("sae_lens", tmp_path)
    assert reading.sae.cfg.architecture() == "topk"
    assert reading.sae.cfg.k == K
    assert SaeDictionary(reading.sae, "all").normalisation == "layer_norm"
    assert dict(reading.claims) == {"layer": 9, "point": "mlp", "model": "tiny"}
    (tmp_path / "cfg.json").write_text(json.dumps(old | {"activation_fn_str": "tanh-relu"}))
    with pytest.raises(UserError, match="activation_fn_str = tanh-relu"):
        read_checkpoint("sae_lens", tmp_path)


@pytest.mark.parametrize("used", [False, True, None])
def test_a_scaling_factor_counts_where_the_settings_say_so(used: bool | None, tmp_path: Path) -> None:
    """sae_lens until 5: x_hat = (scaling_factor f) W_dec + b_dec, if `finetuning_scaling_factor`."""
    w = four(*SMALL)
    scale = torch.linspace(0.5, 2, SMALL[1])
    save_file({**w, "scaling_factor": scale}, tmp_path / "sae_weights.safetensors")
    config = {"d_in": SMALL[0], "d_sae": SMALL[1], "architecture": "standard", "sae_lens_training_version": "3.22.2"}
    config |= {} if used is None else {"finetuning_scaling_factor": used}
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    (reading,) = read_checkpoint("sae_lens", tmp_path)
    x = tokens(SMALL[0])
    f = torch.relu((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"])
    torch.testing.assert_close(reading.sae.encode(x), f)
    torch.testing.assert_close(reading.sae.decode(f), (f * scale if used else f) @ w["W_dec"] + w["b_dec"])


@pytest.mark.parametrize("version", ["3.22.2", "6.54.0"])
@pytest.mark.parametrize("said", ["absent", None, "none", False])
def test_sae_lens_without_a_normalisation(said: object, version: str, tmp_path: Path) -> None:
    """false: as in the cfg.json of Prisma-Multimodal/sae_exp_16_tinyclip_40m_imagenet_layer_8 (commit 315b9f3)."""
    release = write_sae_lens(tmp_path, *SMALL)
    path = tmp_path / "sub" / "cfg.json"
    config = json.loads(path.read_text()) | {"normalize_activations": said}
    config["metadata"]["sae_lens_version"] = version
    if said == "absent":
        del config["normalize_activations"]
    path.write_text(json.dumps(config))
    (reading,) = release.read()
    assert reading.sae.cfg.normalize_activations == "none"


def test_what_sae_lens_multiplied_by_an_average_says_how_to_fold_it(tmp_path: Path) -> None:
    release = write_sae_lens(tmp_path, *SMALL)
    path = tmp_path / "sub" / "cfg.json"
    for value in ("expected_average_only_in", True):
        config = json.loads(path.read_text()) | {"normalize_activations": value}
        config["metadata"]["sae_lens_version"] = "6.0.0" if value != True else "3.0.0"  # noqa: E712
        path.write_text(json.dumps(config))
        assert "sae.fold_activation_norm_scaling_factor(factor)" in refused(release)


@pytest.mark.parametrize(
    ("hook", "claims"),
    [
        ("blocks.5.hook_resid_post", {"layer": 5, "point": "residual"}),
        ("blocks.5.hook_resid_pre", {"layer": 4, "point": "residual", "hook": "blocks.5.hook_resid_pre"}),
        ("blocks.0.hook_resid_pre", {"layer": 0, "point": "hook_resid_pre"}),
        ("blocks.5.hook_mlp_out", {"layer": 5, "point": "mlp"}),
        ("blocks.5.attn.hook_z", {"layer": 5, "point": "attn.hook_z"}),
        ("post_projection", {"point": "embedding"}),
        ("encoder", {}),
        (["blocks.5.hook_resid_pre"], {}),
    ],
)
def test_where_sae_lens_says_that_it_was_trained(hook: object, claims: dict, tmp_path: Path) -> None:
    release = write_sae_lens(tmp_path, *SMALL)
    path = tmp_path / "sub" / "cfg.json"
    config = json.loads(path.read_text())
    config["metadata"]["hook_name"] = hook
    path.write_text(json.dumps(config))
    assert dict(release.read()[0].claims) == claims | {"model": "clip"}


@pytest.mark.parametrize("file", ["sub", "sub/cfg.json", "sub/sae_weights.safetensors"])
def test_a_file_of_sae_lens_names_its_folder(file: str, tmp_path: Path) -> None:
    write_sae_lens(tmp_path, *SMALL)
    assert files_of("sae_lens", file) == ("sub/cfg.json", "sub/sae_weights.safetensors")
    assert read_checkpoint("sae_lens", tmp_path, file)


@pytest.mark.parametrize(
    ("layout", "file", "files"),
    [
        ("sae_lens", ".", ("cfg.json", "sae_weights.safetensors")),
        ("sae_lens", "a/b", ("a/b/cfg.json", "a/b/sae_weights.safetensors")),
        ("saev", ".", ("sae.pt",)),
        ("saev", "sub/sae.pt", ("sub/sae.pt",)),
        ("prisma", ".", ("config.json", "*.pt")),
        ("prisma", "sub", ("sub/config.json", "sub/*.pt")),
        ("prisma", "n_images_*.pt", ("config.json", "n_images_*.pt")),
        ("prisma", "sub/weights.pt", ("sub/config.json", "sub/weights.pt")),
        ("clipscope", "20_resid/1200013184.pt", ("20_resid/1200013184.pt",)),
        ("patchsae", "out/a.pt", ("out/a.pt",)),
        ("dictionary_learning", "a/ae.pt", ("a/config.json|config.json|", "a/ae.pt")),
        ("dictionary_learning", ".", ("config.json|", "ae.pt")),
        ("dictionary_learning", "t/c/ae_1.pt", ("t/c/config.json|t/config.json|", "t/c/ae_1.pt")),
    ],
)
def test_the_files_a_layout_needs(layout: Layout, file: str, files: tuple[str, ...]) -> None:
    assert files_of(layout, file) == files


@pytest.mark.parametrize("name", WRITERS)
def test_the_files_needed_are_the_files_read(name: str, tmp_path: Path) -> None:
    release = small(name, tmp_path)
    names = [name for pattern in files_of(release.layout, release.file) for name in pattern.split("|") if name]
    needed = {path for name in names for path in tmp_path.glob(name)}
    assert needed
    for path in tmp_path.rglob("*.*"):
        if path.is_file() and path not in needed:
            path.unlink()
    release.read()


# ---- nothing in a file is run


class Runs:
    """Unpickled by anything but a restricted reader, this calls what it was given."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def hostile(mark: Path) -> dict[str, Runs]:
    return {
        "os.system": Runs(os.system, f"touch {mark}"),
        "eval": Runs(eval, f"open({str(mark)!r}, 'w')"),
        "Popen": Runs(subprocess.Popen, ["touch", str(mark)]),
        "open": Runs(open, str(mark), "w"),
        "mkdir": Runs(os.makedirs, str(mark)),
    }


@pytest.mark.parametrize("call", list(hostile(Path("x"))))
@pytest.mark.parametrize("where", ["cfg", "beside", "tensor", "whole"])
@pytest.mark.parametrize("layout", ["prisma", "patchsae", "clipscope", "saev"])
def test_what_a_file_would_run_is_not_run(call: str, where: str, layout: Layout, tmp_path: Path) -> None:
    mark = tmp_path / "it-ran"
    name = {"prisma": "prisma-sweep"}.get(layout, layout)
    release = small(name, tmp_path)
    path = tmp_path / (release.file if release.file != "." else "weights.pt")
    evil = hostile(mark)[call]
    line = path.read_bytes().split(b"\n")[0] + b"\n" if layout == "saev" else b""
    (tmp_path / "plain").write_bytes(path.read_bytes()[len(line) :])
    inside = {"vit_prisma.sae.config.VisionModelSAERunnerConfig", "src.sae_training.config.ViTSAERunnerConfig"}
    with torch.serialization.safe_globals([(types.SimpleNamespace, one) for one in inside]):
        saved = torch.load(tmp_path / "plain", weights_only=True)
    saved = vars(saved) if not isinstance(saved, dict) else saved
    saved.pop("cfg", None)
    state = next((saved[key] for key in ("state_dict", "model_state_dict") if key in saved), saved)
    if where == "tensor":
        state[next(iter(state))] = evil
    changed = {"cfg": {**saved, "cfg": evil}, "beside": {**saved, "comment": evil}, "whole": evil}.get(where, saved)
    with path.open("wb") as stream:
        stream.write(line)
        torch.save(changed, stream)

    allowed = set(torch.serialization.get_safe_globals())
    try:
        assert release.read()
    except UserError as trouble:
        assert str(trouble).endswith(".")
    assert not mark.exists()
    assert set(torch.serialization.get_safe_globals()) == allowed, "and nothing stays allowed"


def test_this_hostile_file_is_hostile(tmp_path: Path) -> None:
    mark = tmp_path / "it-ran"
    torch.save({"cfg": hostile(mark)["mkdir"]}, tmp_path / "weights.pt")
    torch.load(tmp_path / "weights.pt", weights_only=False)
    assert mark.exists()


def test_a_stranger_beside_the_weights_changes_nothing(tmp_path: Path) -> None:
    """A training checkpoint may hold anything; it is not looked at, and its class need not be there."""
    release = write_clipscope(tmp_path, *SMALL)
    saved = torch.load(tmp_path / release.file)
    with published_class("somebody.training", "Progress", {"steps": 3, "path": Path("x")}) as progress:
        torch.save({**saved, "progress": progress}, tmp_path / release.file)
    check(release)


def test_files_with_objects_are_read_at_the_same_time(tmp_path: Path) -> None:
    allowed = set(torch.serialization.get_safe_globals())
    releases = []
    writers: list[Callable[..., Release]] = [write_prisma_sweep, write_patchsae]
    for n, write in enumerate(writers * 4):
        (tmp_path / str(n)).mkdir()
        releases.append(write(tmp_path / str(n), *SMALL))
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda release: release.read(), releases * 5))
    assert all(len(readings) == 1 for readings in found)
    assert set(torch.serialization.get_safe_globals()) == allowed


def test_a_file_overwritten_later_changes_nothing(tmp_path: Path) -> None:
    release = write_clipscope(tmp_path, *SMALL)
    reading, _ = release.read()
    before = reading.sae.W_enc.clone()
    path = tmp_path / release.file
    with path.open("r+b") as stream:
        stream.write(bytes(path.stat().st_size))
    assert torch.equal(reading.sae.W_enc, before)


# ---- files that do not fit


NAMES = ["sae_lens", *WRITERS]


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Release]:
    return {name: small(name, tmp_path_factory.mktemp(name)) for name in NAMES}


@pytest.fixture(scope="module")
def undamaged(releases: dict[str, Release]) -> dict[str, tuple[Reading, ...]]:
    """What is read of each."""
    return {name: release.read() for name, release in releases.items()}


def weights_of(release: Release) -> Path:
    """The file with the tensors."""
    pattern = files_of(release.layout, release.file)[-1]
    return next(release.root.glob(pattern))


@contextmanager
def changed(path: Path, content: bytes) -> Iterator[None]:
    """The file with another content, for a while."""
    original = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(original)


def refused(release: Release) -> str:
    """The sentence it is refused with."""
    with pytest.raises(UserError) as caught:
        release.read()
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "Traceback" not in sentence
    assert "weights_only" not in sentence
    return sentence


def same(found: tuple[Reading, ...], expected: tuple[Reading, ...]) -> bool:
    return len(found) == len(expected) and all(
        torch.equal(value, one.sae.state_dict()[name])
        for one, other in zip(expected, found, strict=True)
        for name, value in other.sae.state_dict().items()
    )


@pytest.mark.parametrize("name", NAMES)
@examples(max_examples=25)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_trouble(name: str, releases: dict[str, Release], share: float) -> None:
    path = weights_of(releases[name])
    content = path.read_bytes()
    with changed(path, content[: int(share * len(content))]):
        assert path.name in refused(releases[name])


@pytest.mark.parametrize("name", WRITERS)  # safetensors has no checksum
@examples(max_examples=40)
@given(where=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_a_damaged_file_is_trouble_or_was_not_touched(
    name: str, releases: dict[str, Release], undamaged: dict[str, tuple[Reading, ...]], where: float, bits: int
) -> None:
    release, whole = releases[name], undamaged[name]
    path = weights_of(release)
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= bits
    with changed(path, bytes(content)):
        try:
            found = release.read()
        except UserError as trouble:
            assert str(trouble).endswith(".")
        else:
            assert {r.formula for r in found} == {r.formula for r in whole}
            assert same(found, whole)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 402860072\n",
        b"PK\x03\x04",
        b"{}\n",
        b"{",
    ],
    ids=["empty", "pointer", "beginning", "object", "brace"],
)
def test_other_files_are_trouble(name: str, releases: dict[str, Release], content: bytes) -> None:
    path = weights_of(releases[name])
    with changed(path, content):
        sentence = refused(releases[name])
    assert path.name in sentence
    if content.startswith(b"version") and name != "sae_lens":
        assert "begins with “version https://git-lfs" in sentence
    if not content:
        assert "is empty" in sentence


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_not_there_is_trouble(name: str, releases: dict[str, Release]) -> None:
    release = releases[name]
    needed = [name for name in files_of(release.layout, release.file) if not name.endswith("|")]
    for path in [path for name in needed for path in release.root.glob(name)]:
        away = path.rename(path.with_suffix(".away"))
        assert path.name in refused(release) or "there is none" in refused(release)
        path.mkdir()
        refused(release)
        path.rmdir()
        away.rename(path)


@pytest.mark.parametrize("name", WRITERS)
def test_an_archive_that_was_packed_anew_is_trouble(name: str, releases: dict[str, Release], tmp_path: Path) -> None:
    """torch would take the packed bytes for numbers."""
    path = weights_of(releases[name])
    line = path.read_bytes().split(b"\n")[0] + b"\n" if name.startswith("saev") else b""
    (tmp_path / "plain.zip").write_bytes(path.read_bytes()[len(line) :])
    source = zipfile.ZipFile(tmp_path / "plain.zip")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in source.infolist():
            packed.writestr(entry.filename, source.read(entry))
    with changed(path, line + (tmp_path / "packed.zip").read_bytes()):
        assert "packed anew" in refused(releases[name])


@pytest.mark.parametrize("name", WRITERS)
def test_torchs_old_format_and_pickles_are_trouble(name: str, releases: dict[str, Release], tmp_path: Path) -> None:
    torch.save(four(*SMALL), tmp_path / "old", _use_new_zipfile_serialization=False)
    path = weights_of(releases[name])
    for content in ((tmp_path / "old").read_bytes(), pickle.dumps(four(*SMALL))):
        with changed(path, content):
            refused(releases[name])


# The tensors, one at a time


def split(release: Release) -> tuple[bytes, Any, dict[str, Tensor]]:
    """What is before the archive, what is in it, and the tensors in that, each to be changed in place."""
    path = weights_of(release)
    if release.layout == "sae_lens":
        from safetensors.torch import load_file

        tensors = load_file(path)
        return b"", tensors, tensors
    content = path.read_bytes()
    line = content.split(b"\n")[0] + b"\n" if release.layout == "saev" else b""
    if release.layout in ("prisma", "patchsae") and not (release.root / "config.json").exists():
        pytest.skip("its object would have to be made again")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "plain").write_bytes(content[len(line) :])
        saved = torch.load(Path(folder) / "plain", weights_only=True)
    return line, saved, next((saved[key] for key in ("state_dict", "model_state_dict") if key in saved), saved)


def joined(release: Release, line: bytes, saved: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        if release.layout == "sae_lens":
            save_file(saved, path)
        else:
            torch.save(saved, path)
        return line + path.read_bytes()


PLAIN = [
    "sae_lens",
    "saev",
    "saev-batch-top-k",
    "prisma-relu",
    "clipscope",
    "batch-topk",
    "matryoshka",
    "topk",
    "standard",
    "gated",
    "jumprelu",
]
CHANGES = ["dropped", "renamed", "another", "int64", "bool", "complex64", "nan", "inf", "scalar", "list", "repeated"]


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("change", CHANGES)
def test_a_tensor_that_does_not_fit_is_trouble(name: str, change: str, releases: dict[str, Release]) -> None:
    release = releases[name]
    for key in split(release)[2]:
        line, saved, tensors = split(release)
        tensor = tensors[key]
        single = tensor.ndim == 0 or key in ("k", "group_sizes")
        if change in ("dropped", "renamed"):
            if (change, key) == ("dropped", "group_sizes"):  # needed in training only
                continue
            del tensors[key]
            if change == "renamed":
                tensors[f"module.{key}"] = tensor
        elif change == "another":
            tensors["W_skip"] = torch.zeros(SMALL[0], SMALL[0])
        elif change in ("int64", "bool", "complex64"):
            if single and change == "int64" and key != "threshold":
                continue
            tensors[key] = tensor.to(getattr(torch, change))
        elif change in ("nan", "inf"):
            if key in ("k", "group_sizes"):
                continue
            tensors[key] = tensor.contiguous().clone()
            tensors[key].view(-1)[-1] = float(change)
        elif change == "scalar":
            tensors[key] = torch.zeros((2,) if single else ())
        elif change == "list":
            if release.layout == "sae_lens":
                continue
            tensors[key] = tensor.tolist()  # type: ignore[assignment]
        else:  # one number, said to be as many as the shape has
            if single or release.layout == "sae_lens":
                continue
            tensors[key] = torch.zeros(()).expand(tensor.shape)
        with changed(weights_of(release), joined(release, line, saved)):
            sentence = refused(release)
        assert weights_of(release).name in sentence
        if change not in ("list", "another"):
            assert key in sentence


@pytest.mark.parametrize("name", PLAIN)
@examples(max_examples=30)
@given(data=st.data())
def test_a_tensor_of_another_shape_is_trouble(name: str, releases: dict[str, Release], data: st.DataObject) -> None:
    release = releases[name]
    line, saved, tensors = split(release)
    key = data.draw(
        st.sampled_from(
            [key for key in tensors if key not in ("k", "threshold", "group_sizes", "activation.threshold")]
        )
    )
    old = tuple(tensors[key].shape)
    shape = data.draw(st.lists(st.integers(0, 60), max_size=3).map(tuple).filter(lambda new: new != old))
    tensors[key] = torch.zeros(shape)
    with changed(weights_of(release), joined(release, line, saved)):
        sentence = refused(release)
    assert weights_of(release).name in sentence
    assert "expected" in sentence


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_read_in_single(
    name: str, dtype: torch.dtype, releases: dict[str, Release], undamaged: dict[str, tuple[Reading, ...]]
) -> None:
    release, whole = releases[name], undamaged[name]
    line, saved, tensors = split(release)
    for key, tensor in tensors.items():
        if tensor.dtype == torch.float32:
            tensors[key] = tensor.to(dtype)
    with changed(weights_of(release), joined(release, line, saved)):
        for one, other in zip(whole, release.read(), strict=True):
            for key, value in other.sae.state_dict().items():
                assert value.dtype == torch.float32
                assert value.is_contiguous()
                torch.testing.assert_close(value, one.sae.state_dict()[key], atol=2e-2, rtol=2e-2)


def test_a_mismatch_says_what_was_expected_and_found(tmp_path: Path) -> None:
    release = write_prisma(tmp_path, *SMALL, {})
    torch.save({**four(*SMALL), "W_enc": torch.zeros(12, 10)}, tmp_path / "weights.pt")
    assert refused(release) == "In weights.pt, W_enc is [12, 10], expected [12, 48]."
    torch.save({"W_enc": torch.zeros(12, 48), "b_gate": torch.zeros(48)}, tmp_path / "weights.pt")
    assert refused(release) == (
        "weights.pt lacks b_enc, W_dec, b_dec and also holds b_gate; expected W_enc, b_enc, W_dec, b_dec. "
        "Choose another file or layout."
    )


# The settings


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"is_transcoder": True}, "is_transcoder = True"),
        ({"architecture": "gated"}, "architecture = gated"),
        ({"activation_fn_str": "tanh-relu"}, "activation_fn_str = tanh-relu"),
        ({"activation_fn_str": "topk"}, "activation_fn_kwargs = ;"),
        (
            {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 0}},
            "k = 0, expected a whole number from 1",
        ),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 49}}, "k = 49"),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5, "postact_fn": "x"}}, "k, postact_fn"),
        ({"normalize_activations": "constant_norm_rescale"}, "normalize_activations = constant_norm_rescale"),
        ({"d_in": "12"}, "d_in = 12, expected a whole number"),
        ({"expansion_factor": 8}, r"W_enc is \[12, 48\], expected \[12, 96\]"),
    ],
)
@pytest.mark.parametrize("embedded", [False, True])
def test_settings_of_prisma_that_cannot_be_read(changes: dict, sentence: str, embedded: bool, tmp_path: Path) -> None:
    release = write_prisma(tmp_path, *SMALL, changes, embedded)
    with pytest.raises(UserError, match=sentence):
        release.read()


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (
            {"schema": 5, "cfg": {"d_model": 12, "d_sae": 48, "activation": {"cls": "TopK", "params": {"top_k": 0}}}},
            "top_k = 0, expected a whole number",
        ),
        ({"schema": 5, "cfg": {"d_model": 12, "d_sae": 48, "activation": {"cls": "TopK"}}}, "does not hold params"),
        (
            {"schema": 5, "cfg": {"d_model": 12, "d_sae": 48, "activation": {"cls": "BatchTopK", "params": {}}}},
            "lacks activation.threshold",
        ),
        ({"schema": 2, "cfg": {"d_model": 12, "d_sae": 48}}, "does not hold activation"),
        ({"schema": 1, "cls": "JumpRelu", "cfg": {"d_vit": 12, "exp_factor": 4}}, "activation = JumpRelu"),
        ({"schema": 1, "cls": "Relu"}, "does not hold cfg"),
        ({"d_vit": 16, "exp_factor": 3}, r"W_enc is \[12, 48\], expected \[16, 48\]"),
        ({"exp_factor": 4}, "d_model = None, expected a whole number"),
    ],
)
def test_headers_of_saev_that_cannot_be_read(header: dict, sentence: str, tmp_path: Path) -> None:
    release = write_saev(tmp_path, *SMALL)
    rest = (tmp_path / "sae.pt").read_bytes().split(b"\n", 1)[1]
    (tmp_path / "sae.pt").write_bytes(json.dumps(header).encode() + b"\n" + rest)
    with pytest.raises(UserError, match=sentence):
        release.read()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architecture": "transcoder"}, "architecture = transcoder"),
        ({"architecture": "matching_pursuit"}, "architecture = matching_pursuit"),
        ({"normalize_activations": "covariance_whitening"}, "normalize_activations = covariance_whitening"),
        ({"reshape_activations": "hook_z"}, "reshape_activations = hook_z"),
        ({"apply_b_dec_to_input": "yes"}, "apply_b_dec_to_input = yes"),
        ({"d_sae": 49}, r"is \[.*48.*\], expected"),
        ({"d_in": None}, "d_in = None"),
        ({"architecture": "topk", "k": 1000}, "k = 1000"),
    ],
)
def test_settings_of_sae_lens_that_cannot_be_read(changes: dict, sentence: str, tmp_path: Path) -> None:
    release = write_sae_lens(tmp_path, *SMALL)
    path = tmp_path / "sub" / "cfg.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UserError, match=sentence):
        release.read()


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 100) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


@pytest.mark.parametrize("name", ["sae_lens", "saev", "prisma-relu"])
@examples(max_examples=60)
@given(data=st.data())
def test_any_settings_are_a_dictionary_or_trouble(
    name: str, releases: dict[str, Release], undamaged: dict[str, tuple[Reading, ...]], data: st.DataObject
) -> None:
    release, whole = releases[name], undamaged[name]
    path = next(release.root.glob(files_of(release.layout, release.file)[0]))
    text, *rest = path.read_bytes().split(b"\n", 1) if name == "saev" else [path.read_bytes()]
    settings = json.loads(text)
    keys = data.draw(st.lists(st.sampled_from([*settings, "k", "schema", "activation", "metadata"]), max_size=3))
    for key in keys:
        if data.draw(st.booleans()):
            settings[key] = data.draw(JUNK)
        else:
            settings.pop(key, None)
    with changed(path, b"\n".join([json.dumps(settings).encode(), *rest])):
        try:
            found = release.read()
        except UserError as trouble:
            assert str(trouble).endswith(".")
        else:
            assert {name: value.shape for name, value in found[0].sae.state_dict().items()} == {
                name: value.shape for name, value in whole[0].sae.state_dict().items()
            }
            assert torch.equal(found[0].sae.W_enc, whole[0].sae.W_enc)


@pytest.mark.parametrize("content", [b"", b"[]", b"nonsense", b'{"d_in": ', b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize("name", ["sae_lens", "prisma-relu"])
def test_settings_that_are_no_settings_are_trouble(name: str, content: bytes, releases: dict[str, Release]) -> None:
    release = releases[name]
    path = next(release.root.glob(files_of(release.layout, release.file)[0]))
    with changed(path, content):
        assert path.name in refused(release)
